/*
 * Between llhttp and the exchanges: collects the request line and headers into the exchange's
 * memory, keeps the limits, hands bodies on.
 *
 * llhttp (strict mode) checks the grammar. What it lets through and this file refuses: folded
 * header lines (RFC 9112 section 5.2), versions other than 1.0 and 1.1, CONNECT and upgrades
 * (ignored, as section 7.8 of RFC 9110 allows). Trailers are parsed, counted and dropped (RFC 9110
 * section 6.5.1).
 */
#include <stdio.h>
#include <string.h>

#include "net/http_priv.h"

#define HEAD_TEXT_MIN 1024
#define HEADERS_MIN 16
/* Chunk framing takes at most this many bytes per byte of body ("1", two line ends), beside a
 * slack. */
#define CHUNK_OVERHEAD_MAX 16
#define CHUNK_SLACK_BYTES KIB(64)

/* Callbacks return this to stop the parser; why is in hc->fail, or hc->phase is HTTP_PHASE_OVER. */
#define STOP HPE_USER

static int stop(struct http_conn *hc, err_t code, const char *text)
{
    hc->fail = code;
    hc->fail_text = text;
    return STOP;
}

/* Collecting the head ------------------------------------------------------------------------- */

static void grow_text(struct http_exchange *x, size_t extra)
{
    size_t cap = MAX(MAX(HEAD_TEXT_MIN, 2 * x->text_cap), x->text_len + extra);
    char *text = arena_alloc(&x->arena, cap);
    for (size_t i = 0; i < x->request.header_count; i++) {
        struct http_header *h = &x->headers[i];
        h->name.data = text + (h->name.data - x->text);
        h->value.data = text + (h->value.data - x->text);
    }
    if (x->text_len > 0)
        memcpy(text, x->text, x->text_len);
    x->text = text;
    x->text_cap = cap;
}

static void append_text(struct http_exchange *x, const char *at, size_t len)
{
    if (unlikely(x->text_cap - x->text_len < len))
        grow_text(x, len);
    memcpy(x->text + x->text_len, at, len);
    x->text_len += len;
}

static void grow_headers(struct http_exchange *x)
{
    size_t cap = MIN(MAX(HEADERS_MIN, 2 * x->headers_cap), LIMIT_HTTP_HEADERS);
    struct http_header *headers = arena_alloc(&x->arena, cap * sizeof(*headers));
    if (x->headers_cap > 0)
        memcpy(headers, x->headers, x->request.header_count * sizeof(*headers));
    x->headers = headers;
    x->headers_cap = cap;
}

/* Counts towards the limit on the request line and headers; trailers count anew. */
static int count_head(struct http_conn *hc, size_t bytes)
{
    hc->head_bytes += bytes;
    if (unlikely(hc->head_bytes > hc->server->options.header_bytes_max))
        return stop(hc, ERR_HEADERS_TOO_LARGE, NULL);
    return 0;
}

static int on_message_begin(llhttp_t *parser)
{
    struct http_conn *hc = parser->data;
    hc->phase = HTTP_PHASE_HEAD;
    hc->serial++;
    hc->head_bytes = hc->raw_bytes = 0;
    hc->msg_start = NULL;
    hc->header_open = hc->value_open = false;
    hc->current = http_exchange_new(hc);
    http_enqueue(hc, hc->current);
    return 0;
}

static int on_method(llhttp_t *parser, const char *at, size_t len)
{
    struct http_conn *hc = parser->data;
    if (hc->msg_start == NULL)
        hc->msg_start = at;
    return count_head(hc, len);
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct http_conn *hc = parser->data;
    struct http_exchange *x = hc->current;
    if (x->target_len + len > LIMIT_HTTP_URI)
        return stop(hc, ERR_URI_TOO_LONG, NULL);
    append_text(x, at, len);
    x->target_len += len;
    return count_head(hc, len);
}

static int open_header(struct http_conn *hc)
{
    struct http_exchange *x = hc->current;
    if (x->request.header_count == x->headers_cap) {
        if (x->headers_cap == LIMIT_HTTP_HEADERS)
            return stop(hc, ERR_HEADERS_TOO_LARGE, "too many header fields");
        grow_headers(x);
    }
    const char *end = x->text + x->text_len;
    x->headers[x->request.header_count++] = (struct http_header){{end, 0}, {end, 0}};
    hc->header_open = true;
    hc->value_open = hc->value_below = false;
    return count_head(hc, 4); /* ": " and the line's end */
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct http_conn *hc = parser->data;
    if (hc->phase != HTTP_PHASE_HEAD)
        return count_head(hc, len);
    if (!hc->header_open) {
        int rc = open_header(hc);
        if (rc != 0)
            return rc;
    }
    struct http_exchange *x = hc->current;
    append_text(x, at, len);
    x->headers[x->request.header_count - 1].name.len += len;
    hc->name_end = at + len;
    return count_head(hc, len);
}

static const char nameless[] = "Bad request: header field without a name";
static const char folded[] = "Bad request: folded header lines are not allowed";

/* Looks for a line end between the open header's name and `to`. */
static void check_gap(struct http_conn *hc, const char *to)
{
    if (memchr(hc->name_end, '\n', (size_t)(to - hc->name_end)) != NULL)
        hc->value_below = true;
    hc->name_end = to;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct http_conn *hc = parser->data;
    if (hc->phase != HTTP_PHASE_HEAD)
        return count_head(hc, len);
    if (!hc->header_open)
        return stop(hc, ERR_INVALID_REQUEST, nameless);
    struct http_exchange *x = hc->current;
    struct http_header *h = &x->headers[x->request.header_count - 1];
    if (h->name.len == 0)
        return stop(hc, ERR_INVALID_REQUEST, nameless);
    if (!hc->value_open) {
        check_gap(hc, at);
        if (len > 0 && hc->value_below)
            return stop(hc, ERR_INVALID_REQUEST, folded);
        h->value.data = x->text + x->text_len;
        hc->value_open = true;
    } else if (!(hc->value_cut && at == hc->feed_start)) {
        /* A second piece that does not continue the first: the value went on in the next line. */
        return stop(hc, ERR_INVALID_REQUEST, folded);
    }
    append_text(x, at, len);
    h = &x->headers[x->request.header_count - 1];
    h->value.len += len;
    hc->value_end = at + len;
    return count_head(hc, len);
}

static int on_header_value_complete(llhttp_t *parser)
{
    struct http_conn *hc = parser->data;
    if (hc->phase != HTTP_PHASE_HEAD || !hc->header_open)
        return 0;
    struct http_exchange *x = hc->current;
    struct http_header *h = &x->headers[x->request.header_count - 1];
    if (!hc->value_open)
        h->value.data = x->text + x->text_len;
    while (h->value.len > 0 &&
           (h->value.data[h->value.len - 1] == ' ' || h->value.data[h->value.len - 1] == '\t'))
        h->value.len--;
    hc->header_open = hc->value_open = false;
    return 0;
}

/* The request is known ------------------------------------------------------------------------ */

static int begin_exchange(struct http_conn *hc, unsigned method)
{
    struct http_exchange *x = hc->current;
    if (http_route_exchange(x, method) && x->handler->on_request != NULL)
        x->handler->on_request(x);
    if (hc->current != x || hc->phase == HTTP_PHASE_OVER)
        return STOP; /* the reply ends the connection */
    if (x->expect_continue && !x->responded && hc->head == x) {
        x->continue_sent = true;
        conn_write(hc->c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct http_conn *hc = parser->data;
    struct http_exchange *x = hc->current;
    uint8_t method = llhttp_get_method(parser);
    if (llhttp_get_http_major(parser) != 1)
        return stop(hc, ERR_HTTP_VERSION, NULL);
    if (method == HTTP_CONNECT)
        return stop(hc, ERR_METHOD_NOT_ALLOWED, NULL);
    parser->upgrade = 0; /* else llhttp would stop after this request */
    x->keep_alive = llhttp_should_keep_alive(parser) != 0;
    const char *text = NULL;
    err_t err = http_request_complete(x, llhttp_method_name((llhttp_method_t)method),
                                      MIN(llhttp_get_http_minor(parser), 1), &text);
    if (err != OK)
        return stop(hc, err, text);
    hc->phase = HTTP_PHASE_BODY;
    hc->head_bytes = 0;
    return begin_exchange(hc, method);
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct http_conn *hc = parser->data;
    struct http_exchange *x = hc->current;
    x->body_bytes += len;
    if (x->responded) {
        x->dropped_bytes += len;
        if (x->dropped_bytes <= LIMIT_HTTP_DROP_BYTES)
            return 0;
        hc->phase =
            HTTP_PHASE_OVER; /* no more of it is read; the reply has left, or leaves in its turn */
        x->request_done = true;
        http_advance(hc);
        return STOP;
    }
    if (x->handler->on_body != NULL)
        x->handler->on_body(x, at, len);
    return hc->phase == HTTP_PHASE_OVER ? STOP : 0;
}

static int on_message_complete(llhttp_t *parser)
{
    struct http_conn *hc = parser->data;
    struct http_exchange *x = hc->current;
    bool last = !x->keep_alive;
    hc->current = NULL;
    hc->phase = last ? HTTP_PHASE_OVER : HTTP_PHASE_IDLE;
    x->request_done = true;
    if (x->responded)
        http_advance(hc);
    else if (x->handler->on_end != NULL)
        x->handler->on_end(x); /* x may be gone now */
    if (hc->phase == HTTP_PHASE_OVER)
        return HPE_PAUSED;
    hc->full =
        hc->count >= LIMIT_HTTP_PIPELINE || conn_output_bytes(hc->c) > LIMIT_HTTP_PIPELINE_BYTES;
    return hc->full ? HPE_PAUSED : 0;
}

static const llhttp_settings_t settings = {
    .on_message_begin = on_message_begin,
    .on_method = on_method,
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_header_value_complete = on_header_value_complete,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* Feeding ------------------------------------------------------------------------------------- */

void http_parse_init(struct http_conn *hc)
{
    llhttp_init(&hc->parser, HTTP_REQUEST, &settings);
    hc->parser.data = hc;
}

void http_parse_fail(struct http_conn *hc, err_t code, const char *text)
{
    struct http_exchange *x = hc->current;
    hc->phase = HTTP_PHASE_OVER;
    hc->current = NULL;
    if (x != NULL && x->responded) { /* a body that was being dropped went wrong */
        x->request_done = true;
        http_advance(hc);
        return;
    }
    if (x != NULL && x->handler != NULL) {
        http_abort(x);
        x = NULL;
    }
    if (x == NULL) {
        x = http_exchange_new(hc);
        http_enqueue(hc, x);
    }
    if (x->correlation_len == 0) {
        x->request.header_count = 0; /* they may be incomplete */
        http_stamp_correlation(x);
    }
    x->request_done = true;
    x->keep_alive = false;
    http_respond_error(x, code, text, NULL);
}

static void fail_grammar(struct http_conn *hc, llhttp_errno_t code)
{
    char text[160];
    const char *reason = llhttp_get_error_reason(&hc->parser);
    if (code == HPE_PAUSED_H2_UPGRADE || code == HPE_PAUSED_UPGRADE)
        reason = "only HTTP/1.0 and HTTP/1.1 are spoken here";
    if (reason == NULL || reason[0] == '\0')
        reason = llhttp_errno_name(code);
    snprintf(text, sizeof(text), "Bad request: %s", reason);
    http_parse_fail(hc, ERR_INVALID_REQUEST, text);
}

/*
 * Blanks, line ends and chunk extensions are in no callback. What arrived is counted when a feed
 * ends in the middle of a request, so that padding is bounded like the rest.
 */
static void count_padding(struct http_conn *hc)
{
    const struct http_options *options = &hc->server->options;
    const char *from = hc->msg_start != NULL ? hc->msg_start : hc->feed_start;
    hc->raw_bytes += (size_t)(hc->feed_end - from);
    if (hc->phase == HTTP_PHASE_HEAD && hc->raw_bytes > options->header_bytes_max)
        http_parse_fail(hc, ERR_HEADERS_TOO_LARGE, NULL);
    else if (hc->phase == HTTP_PHASE_BODY &&
             hc->raw_bytes > 2 * options->header_bytes_max + CHUNK_SLACK_BYTES +
                                 CHUNK_OVERHEAD_MAX * hc->current->body_bytes)
        http_parse_fail(hc, ERR_INVALID_REQUEST, "too many bytes around the chunks of the body");
}

/* The parser stopped after a complete request: the rest waits until replies have left. */
static void hold_rest(struct http_conn *hc)
{
    const char *rest = llhttp_get_error_pos(&hc->parser);
    ASSERT(rest >= hc->feed_start && rest <= hc->feed_end);
    llhttp_resume(&hc->parser);
    buf_append(&hc->held, rest, (size_t)(hc->feed_end - rest));
    conn_pause_read(hc->c);
}

void http_parse_feed(struct http_conn *hc, const char *data, size_t len)
{
    hc->value_cut = hc->value_open && hc->value_end == hc->feed_end;
    hc->value_end = NULL;
    hc->name_end = data;
    hc->msg_start = NULL;
    hc->feed_start = data;
    hc->feed_end = data + len;
    hc->fail = OK;
    llhttp_errno_t code = llhttp_execute(&hc->parser, data, len);
    if (hc->phase == HTTP_PHASE_OVER)
        return;
    if (code == HPE_OK) {
        if (hc->header_open && !hc->value_open)
            check_gap(hc, hc->feed_end);
        if (hc->phase != HTTP_PHASE_IDLE)
            count_padding(hc);
    } else if (hc->fail != OK) {
        http_parse_fail(hc, hc->fail, hc->fail_text);
    } else if (code == HPE_PAUSED) {
        hold_rest(hc);
    } else {
        fail_grammar(hc, code);
    }
}
