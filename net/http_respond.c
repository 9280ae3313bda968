/*
 * Replies: built from prepared pieces into the worker's scratch buffer, then into the connection's
 * output, or, while earlier replies are missing, into the exchange.
 */
#include <string.h>

#include "net/http_priv.h"

struct status_line {
    int status;
    struct slice line;
};

#define STATUS(code, text)                                                                         \
    {                                                                                              \
        code, SLICE("HTTP/1.1 " #code " " text "\r\n")                                             \
    }

/* The commonest first. */
static const struct status_line status_lines[] = {
    STATUS(200, "OK"),
    STATUS(400, "Bad Request"),
    STATUS(401, "Unauthorized"),
    STATUS(404, "Not Found"),
    STATUS(429, "Too Many Requests"),
    STATUS(503, "Service Unavailable"),
    STATUS(201, "Created"),
    STATUS(204, "No Content"),
    STATUS(304, "Not Modified"),
    STATUS(403, "Forbidden"),
    STATUS(405, "Method Not Allowed"),
    STATUS(408, "Request Timeout"),
    STATUS(409, "Conflict"),
    STATUS(410, "Gone"),
    STATUS(413, "Content Too Large"),
    STATUS(414, "URI Too Long"),
    STATUS(415, "Unsupported Media Type"),
    STATUS(417, "Expectation Failed"),
    STATUS(422, "Unprocessable Content"),
    STATUS(431, "Request Header Fields Too Large"),
    STATUS(500, "Internal Server Error"),
    STATUS(505, "HTTP Version Not Supported"),
    STATUS(507, "Insufficient Storage"),
};

static void append_status(struct buf *head, int status)
{
    for (size_t i = 0; i < ARRAY_LEN(status_lines); i++) {
        if (status_lines[i].status == status) {
            buf_append_slice(head, status_lines[i].line);
            return;
        }
    }
    buf_printf(head, "HTTP/1.1 %03d Status\r\n", status);
}

static void append_number(struct buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    buf_append(b, digits + at, sizeof(digits) - at);
}

#define APPEND(b, literal) buf_append((b), literal, sizeof(literal) - 1)

static void append_connection(struct buf *head, const struct http_exchange *x)
{
    if (x->close)
        APPEND(head, "Connection: close\r\n");
    else if (x->http_minor == 0)
        APPEND(head, "Connection: keep-alive\r\n");
}

struct buf *http_build_head(struct http_exchange *x, int status, const char *content_type,
                            size_t len)
{
    struct buf *head = &x->worker->head;
    buf_clear(head);
    buf_reserve(head, 512);
    append_status(head, status);
    if (content_type != NULL) {
        APPEND(head, "Content-Type: ");
        buf_append_str(head, content_type);
        APPEND(head, "\r\n");
    }
    if (len == HTTP_LEN_UNKNOWN) {
        if (x->chunked)
            APPEND(head, "Transfer-Encoding: chunked\r\n");
    } else if (status != 204 && status != 304) {
        APPEND(head, "Content-Length: ");
        append_number(head, len);
        APPEND(head, "\r\n");
    }
    APPEND(head, "Date: ");
    buf_append_slice(head, http_stamp_date(x->worker));
    APPEND(head, "\r\nX-Correlation-ID: ");
    buf_append(head, x->correlation, x->correlation_len);
    APPEND(head, "\r\n");
    append_connection(head, x);
    if (x->cors != HTTP_CORS_NONE)
        http_cors_append(head, x);
    buf_append_slice(head, buf_slice(&x->extra));
    APPEND(head, "\r\n");
    return head;
}

/* A reply given before the whole body has come: can the connection live on? Only if the rest of the
 * body is known to come (no "100 Continue" is owed) and is not too much to read and drop. */
static bool can_drop_rest(const struct http_exchange *x)
{
    if (x->expect_continue && !x->continue_sent)
        return false;
    return x->request.content_length < 0 ||
           (uint64_t)x->request.content_length - x->body_bytes <= LIMIT_HTTP_DROP_BYTES;
}

static bool must_close(const struct http_exchange *x)
{
    const struct http_conn *hc = x->hc;
    if (!x->keep_alive || (!x->request_done && !can_drop_rest(x)))
        return true;
    /* Requests behind it that have been read are still answered. */
    return x == hc->tail && hc->held.len == 0 &&
           atomic_load_explicit(&hc->server->draining, memory_order_relaxed);
}

void http_decide_close(struct http_exchange *x)
{
    x->close = must_close(x);
    if (!x->close)
        return;
    ASSERT(x == x->hc->tail);
    x->hc->phase = HTTP_PHASE_OVER;
    x->request_done = true; /* what is missing of it will not be read */
}

struct slice http_refusal(void)
{
#define BODY "{\"error\":\"Too many connections\",\"code\":\"SERVICE_UNAVAILABLE\"}"
    _Static_assert(sizeof(BODY) - 1 == 61, "as Content-Length says");
    return SLICE("HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                 "Content-Length: 61\r\nRetry-After: 1\r\nConnection: close\r\n\r\n" BODY);
#undef BODY
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    buf_append_str(&x->extra, name);
    APPEND(&x->extra, ": ");
    for (; *value != '\0'; value++) /* never lets a line end through, whoever chose the value */
        buf_append_char(&x->extra, (unsigned char)*value < ' ' ? ' ' : *value);
    APPEND(&x->extra, "\r\n");
}

void http_respond(struct http_exchange *x, int status, const char *content_type, const void *body,
                  size_t len)
{
    if (x->aborted)
        return;
    ASSERT(!x->responded);
    struct http_conn *hc = x->hc;
    x->responded = true;
    http_decide_close(x);
    x->worker->requests++;
    x->worker->bad_requests += status >= 400 && status < 500;
    struct buf *head = http_build_head(x, status, content_type, len);
    bool with_body = !x->head_only && status != 204 && status != 304;
    if (hc->head == x) {
        x->written = true;
        conn_write(hc->c, head->data, head->len);
        if (with_body)
            conn_write(hc->c, body, len);
    } else {
        buf_append(&x->reply, head->data, head->len);
        if (with_body)
            buf_append(&x->reply, body, len);
    }
    http_advance(hc);
}

void http_respond_error(struct http_exchange *x, err_t code, const char *text,
                        const char *details_json)
{
    CLEANUP(buf_release) struct buf body = BUF_INIT;
    if (text == NULL)
        text = err_default_text(code);
    APPEND(&body, "{\"error\":");
    buf_append_json(&body, text, strlen(text));
    APPEND(&body, ",\"code\":");
    buf_append_json(&body, err_wire_code(code), strlen(err_wire_code(code)));
    if (details_json != NULL) {
        APPEND(&body, ",\"details\":");
        buf_append_str(&body, details_json);
    }
    APPEND(&body, "}");
    http_add_retry(x, code);
    http_respond(x, err_http_status(code), "application/json", body.data, body.len);
}
