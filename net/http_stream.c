/*
 * Replies in pieces: chunked transfer coding (RFC 9112 section 7.1) for HTTP/1.1, the end of the
 * connection as the end of the reply for HTTP/1.0. While earlier replies are missing the pieces
 * gather in the exchange, as a whole reply does.
 */
#include <stdio.h>
#include <stdlib.h>

#include "net/http_priv.h"

/* Bytes of the reply, in their turn. */
static void put(struct http_exchange *x, const void *data, size_t len)
{
    if (x->written)
        conn_write(x->hc->c, data, len);
    else
        buf_append(&x->reply, data, len);
}

bool http_respond_start(struct http_exchange *x, int status, const char *content_type)
{
    if (x->aborted)
        return false;
    ASSERT(!x->responded && x->handler != NULL);
    x->responded = x->streaming = true;
    x->chunked = x->http_minor > 0;
    if (!x->chunked) {
        x->keep_alive = false;
        http_drop_behind(x);
    }
    http_decide_close(x);
    x->worker->requests++;
    x->worker->bad_requests += status >= 400 && status < 500;
    x->written = x->hc->head == x;
    struct buf *head = http_build_head(x, status, content_type, HTTP_LEN_UNKNOWN);
    put(x, head->data, head->len);
    return !x->head_only;
}

void http_respond_piece(struct http_exchange *x, char *data, size_t len)
{
    ASSERT(x->aborted || x->streaming);
    if (x->aborted || x->head_only || len == 0) {
        free(data);
        return;
    }
    char line[24];
    if (x->chunked)
        put(x, line, (size_t)snprintf(line, sizeof(line), "%zx\r\n", len));
    if (x->written) {
        conn_write_owned(x->hc->c, data, len);
    } else {
        buf_append(&x->reply, data, len);
        free(data);
    }
    if (x->chunked)
        put(x, "\r\n", 2);
}

size_t http_respond_unsent(const struct http_exchange *x)
{
    if (x->aborted)
        return 0;
    return x->written ? conn_output_bytes(x->hc->c) : x->reply.len;
}

/* A drain that began while the reply was on its way has left this connection open. */
static void end_when_draining(struct http_exchange *x)
{
    struct http_conn *hc = x->hc;
    if (!x->close && x == hc->tail && x->request_done && hc->held.len == 0 &&
        atomic_load_explicit(&hc->server->draining, memory_order_relaxed))
        hc->phase = HTTP_PHASE_OVER;
}

void http_respond_finish(struct http_exchange *x, bool complete)
{
    if (x->aborted)
        return;
    ASSERT(x->streaming);
    struct http_conn *hc = x->hc;
    x->streaming = false;
    if (!complete) {
        hc->phase = HTTP_PHASE_OVER; /* on_close frees the exchange */
        conn_close(hc->c);
        return;
    }
    if (x->chunked && !x->head_only)
        put(x, "0\r\n\r\n", 5);
    end_when_draining(x);
    http_advance(hc);
}
