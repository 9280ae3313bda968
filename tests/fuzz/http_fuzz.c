/*
 * tests/fuzz/http_fuzz.c: the HTTP server on any bytes, over a connection in memory. The first byte
 * chooses limits and the end (end of input, or a deadline), the second where the input is cut.
 * Whole and cut input give the same replies, byte for byte; every request that a handler saw is
 * answered or aborted, once; body bytes come only between a request and its end. With small limits
 * only safety is checked: where padding is counted depends on the reads. Covers: net/http_parse.c
 * net/http_conn.c net/http_request.c net/http_proxy.c net/http_cors.c net/http_respond.c
 * net/http_server.c net/http_stamp.c
 */
#include <stdlib.h>
#include <string.h>

#include "fake_conn.h"
#include "net/http_priv.h"

enum { HELD_MAX = LIMIT_HTTP_PIPELINE };

struct run {
    struct conn conn;
    struct http_exchange *held[HELD_MAX]; /* answered by hand, oldest first */
    unsigned held_count;
    unsigned begun;
    unsigned ended; /* answered or aborted */
};

static struct run *now;

/* What the handler knows of its exchange. */
struct seen {
    uint64_t body_hash;
    uint64_t body_len;
    bool ended;
};

static void on_request(struct http_exchange *x)
{
    const struct http_request *r = http_exchange_request(x);
    ASSERT(r->path.len > 0 && r->method.len > 0);
    http_exchange_set_user(x, arena_zalloc(http_exchange_arena(x), sizeof(struct seen)));
    now->begun++;
}

static void on_body(struct http_exchange *x, const char *data, size_t len)
{
    struct seen *s = http_exchange_user(x);
    ASSERT(!s->ended);
    ASSERT(http_exchange_request(x)->has_body);
    for (size_t i = 0; i < len; i++)
        s->body_hash = s->body_hash * 31 + (unsigned char)data[i];
    s->body_len += len;
}

static void answer(struct http_exchange *x)
{
    struct seen *s = http_exchange_user(x);
    const struct http_request *r = http_exchange_request(x);
    struct slice client = http_exchange_client(x);
    struct slice query = http_request_query(r, http_exchange_arena(x), "q");
    CLEANUP(buf_release) struct buf b = BUF_INIT;
    buf_printf(&b, "%.*s %.*s %.*s %.*s %llu %llx", (int)r->path.len, r->path.data,
               (int)r->host.len, r->host.data, (int)client.len, client.data, (int)query.len,
               query.data == NULL ? "" : query.data, (unsigned long long)s->body_len,
               (unsigned long long)s->body_hash);
    for (size_t i = 0; i < r->header_count; i++)
        buf_printf(&b, "\n%.*s=%.*s", (int)r->headers[i].name.len, r->headers[i].name.data,
                   (int)r->headers[i].value.len, r->headers[i].value.data);
    now->ended++;
    http_respond(x, 200, "text/plain", b.data, b.len);
}

static void on_end(struct http_exchange *x)
{
    struct seen *s = http_exchange_user(x);
    const struct http_request *r = http_exchange_request(x);
    ASSERT(!s->ended);
    s->ended = true;
    ASSERT(r->content_length < 0 || (uint64_t)r->content_length == s->body_len);
    answer(x);
}

static void on_end_later(struct http_exchange *x)
{
    struct seen *s = http_exchange_user(x);
    s->ended = true;
    ASSERT(now->held_count < HELD_MAX);
    now->held[now->held_count++] = x;
}

static void on_abort(struct http_exchange *x)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < now->held_count; i++)
        if (now->held[i] != x)
            now->held[kept++] = now->held[i];
    now->held_count = kept;
    now->ended++;
    http_exchange_release(x);
}

static void on_request_early(struct http_exchange *x)
{
    on_request(x);
    now->ended++;
    http_add_header(x, "X-Added", "a\r\nb");
    http_respond_error(x, ERR_AUTH_REQUIRED, NULL, "{}");
}

static const struct http_handler echo = {
    .on_request = on_request, .on_body = on_body, .on_end = on_end, .on_abort = on_abort};
static const struct http_handler later = {
    .on_request = on_request, .on_body = on_body, .on_end = on_end_later, .on_abort = on_abort};
static const struct http_handler waits = {.on_request = on_request,
                                          .on_body = on_body,
                                          .on_end = on_end_later,
                                          .on_abort = on_abort,
                                          .abort_on_eof = true};
static const struct http_handler early = {.on_request = on_request_early};

static const struct http_route routes[] = {
    {"GET, POST", "/", HTTP_MATCH_EXACT, &echo, NULL, HTTP_CORS_ORIGIN},
    {"GET, POST", "/later", HTTP_MATCH_PREFIX, &later, NULL, HTTP_CORS_ORIGIN},
    {"GET", "/waits", HTTP_MATCH_EXACT, &waits, NULL, HTTP_CORS_ORIGIN},
    {"POST, DELETE", "/early", HTTP_MATCH_EXACT, &early, NULL, HTTP_CORS_ORIGIN},
};

static void answer_oldest(struct run *r)
{
    struct http_exchange *x = r->held[0];
    memmove(&r->held[0], &r->held[1], --r->held_count * sizeof(r->held[0]));
    answer(x);
}

/* Replies leave, newest first and out of order, until the server reads again. */
static void make_room(struct run *r)
{
    while (r->conn.paused && r->held_count > 0) {
        answer_oldest(r);
        fake_reactor_run();
    }
}

static bool reads(const struct run *r)
{
    return !r->conn.closed && !r->conn.finishing;
}

/* Each piece lies in memory of its own, so that ASan sees a read past its end. */
static void feed(struct run *r, const uint8_t *data, size_t len)
{
    char *copy = malloc(len);
    ASSERT(copy != NULL);
    memcpy(copy, data, len);
    http_conn_ops.on_data(&r->conn, copy, len);
    free(copy);
    fake_reactor_run();
    make_room(r);
}

static void feed_all(struct run *r, const uint8_t *data, size_t len, unsigned cut)
{
    size_t at = 0;
    while (at < len && reads(r)) {
        size_t piece = cut == 0 ? len : 1 + (cut * 2654435761u >> 27);
        piece = MIN(piece, len - at);
        cut = cut * 1103515245u + 12345;
        feed(r, data + at, piece);
        at += piece;
    }
}

static void finish(struct run *r, bool by_deadline)
{
    if (reads(r) && by_deadline && r->conn.deadline_ms != 0)
        http_conn_ops.on_timeout(&r->conn);
    else if (reads(r) && !http_conn_ops.on_eof(&r->conn))
        r->conn.closed = true;
    fake_reactor_run();
    while (r->held_count > 0 && !r->conn.closed) {
        answer_oldest(r);
        fake_reactor_run();
    }
    http_conn_ops.on_close(&r->conn);
    fake_reactor_run();
    ASSERT(r->begun == r->ended);
}

static void run(struct run *r, const uint8_t *data, size_t len, unsigned options, unsigned cut)
{
    static struct clock_manual clock;
    clock_manual_init(&clock, 1795000000123456);
    bool small = (options & 1) != 0;
    struct http_server *s = http_server_new(&(struct http_options){
        .routes = routes,
        .route_count = ARRAY_LEN(routes),
        .header_bytes_max = small ? 200 : MIB(1),
        .header_ms = 1,
        .body_idle_ms = 2,
        .keepalive_ms = 3,
        .clock = &clock.base,
    });
    now = r;
    bool open = http_conn_ops.on_open(&r->conn, s);
    ASSERT(open);
    s->workers[0].rng = 1;
    feed_all(r, data, len, cut);
    if ((options & 4) != 0)
        http_server_drain(s);
    finish(r, (options & 2) != 0);
    http_server_free(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    struct run whole = {0};
    struct run pieces = {0};
    run(&whole, data + 2, size - 2, data[0], 0);
    run(&pieces, data + 2, size - 2, data[0], 1u + data[1]);
    if ((data[0] & 1) == 0) {
        ASSERT(whole.begun == pieces.begun);
        ASSERT(whole.conn.output.len == pieces.conn.output.len);
        ASSERT(whole.conn.output.len == 0 ||
               memcmp(whole.conn.output.data, pieces.conn.output.data, whole.conn.output.len) == 0);
        ASSERT(whole.conn.closed == pieces.conn.closed);
    }
    buf_release(&whole.conn.output);
    buf_release(&pieces.conn.output);
    return 0;
}
