/*
 * The Date header (RFC 9110 section 5.6.7), formatted once per second and worker, and correlation
 * ids.
 */
#include <string.h>
#include <sys/random.h>

#include "net/http_priv.h"

#define CORRELATION_MIN 8

/* The time of this turn, in milliseconds since 1970. */
static int64_t turn_ms(struct http_worker *w)
{
    if (w->now_ms == 0)
        w->now_ms = clock_wall_ms(w->server->options.clock);
    return w->now_ms;
}

void http_stamp_seed(struct http_worker *w)
{
    ssize_t n = getrandom(&w->rng, sizeof(w->rng), 0);
    if (n != sizeof(w->rng) || w->rng == 0)
        w->rng = 0x9e3779b97f4a7c15u ^ (uintptr_t)w;
}

struct slice http_stamp_date(struct http_worker *w)
{
    time_t now_s = turn_ms(w) / 1000;
    if (now_s != w->date_s) {
        struct tm tm;
        char text[64];
        gmtime_r(&now_s, &tm);
        size_t len = strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &tm);
        ASSERT(len == HTTP_DATE_LEN);
        memcpy(w->date, text, HTTP_DATE_LEN);
        w->date_s = now_s;
    }
    return (struct slice){w->date, HTTP_DATE_LEN};
}

/* xorshift64*: ids only have to differ, not to be secret. */
static uint64_t next_random(struct http_worker *w)
{
    w->rng ^= w->rng >> 12;
    w->rng ^= w->rng << 25;
    w->rng ^= w->rng >> 27;
    return w->rng * 0x2545f4914f6cdd1du;
}

/* <milliseconds since 1970 in base 36>-<8 hex digits> */
static size_t generate(struct http_worker *w, char out[HTTP_CORRELATION_MAX])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t ms = (uint64_t)turn_ms(w);
    char reversed[16];
    size_t n = 0;
    for (; ms > 0; ms /= 36)
        reversed[n++] = digits[ms % 36];
    size_t len = 0;
    while (n > 0)
        out[len++] = reversed[--n];
    out[len++] = '-';
    uint32_t random = (uint32_t)(next_random(w) >> 32);
    for (int shift = 28; shift >= 0; shift -= 4)
        out[len++] = digits[(random >> shift) & 15];
    return len;
}

static bool is_id_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* What is left of a client's id without foreign characters; 0 when that is too little to serve as
 * one. */
static size_t clean(struct slice given, char out[HTTP_CORRELATION_MAX])
{
    size_t len = 0;
    for (size_t i = 0; i < given.len && len < HTTP_CORRELATION_MAX; i++)
        if (is_id_char(given.data[i]))
            out[len++] = given.data[i];
    return len >= CORRELATION_MIN ? len : 0;
}

/* W3C Trace Context: version "-" trace-id "-" ...: the first 16 digits of the trace id. */
static size_t from_traceparent(struct slice given, char out[HTTP_CORRELATION_MAX])
{
    if (given.len < 3 + 16 || given.data[2] != '-')
        return 0;
    for (size_t i = 0; i < 16; i++) {
        if (hex_digit(given.data[3 + i]) < 0)
            return 0;
        out[i] = given.data[3 + i];
    }
    return 16;
}

void http_stamp_correlation(struct http_exchange *x)
{
    struct slice given = {0};
    struct slice request_id = {0};
    struct slice trace = {0};
    for (size_t i = 0; i < x->request.header_count; i++) {
        const struct http_header *h = &x->request.headers[i];
        if (h->name.len == 16 && slice_equal_nocase(h->name, SLICE("x-correlation-id")))
            given = h->value;
        else if (h->name.len == 12 && slice_equal_nocase(h->name, SLICE("x-request-id")))
            request_id = h->value;
        else if (h->name.len == 11 && slice_equal_nocase(h->name, SLICE("traceparent")))
            trace = h->value;
    }
    size_t len = clean(given.data != NULL ? given : request_id, x->correlation);
    if (len == 0)
        len = from_traceparent(trace, x->correlation);
    if (len == 0)
        len = generate(x->worker, x->correlation);
    x->correlation_len = (uint8_t)len;
}
