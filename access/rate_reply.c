#include "access/rate_reply.h"

#include <stdio.h>

#include "base/buf.h"

static void add_number_header(struct http_exchange *x, const char *name, int64_t n)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)n);
    http_add_header(x, name, text);
}

void rate_add_headers(struct http_exchange *x, const struct rate_verdict *v)
{
    if (!v->limited)
        return;
    if (v->limit_requests != 0) {
        add_number_header(x, "X-RateLimit-Limit-Requests", v->limit_requests);
        add_number_header(x, "X-RateLimit-Remaining-Requests", v->remaining_requests);
    }
    if (v->limit_events != 0) {
        add_number_header(x, "X-RateLimit-Limit-Events", v->limit_events);
        add_number_header(x, "X-RateLimit-Remaining-Events", v->remaining_events);
    }
    add_number_header(x, "X-RateLimit-Reset", v->reset_ms);
}

void rate_refuse(struct http_exchange *x, const struct rate_verdict *v)
{
    CLEANUP(buf_release) struct buf body = BUF_INIT;
    rate_write_body(v, &body);
    add_number_header(x, "Retry-After", v->retry_after_s);
    http_respond(x, err_http_status(ERR_RATE_LIMITED), "application/json", body.data, body.len);
}
