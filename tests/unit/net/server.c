#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/test.h"

static struct test_server *server_of(struct http_exchange *x)
{
    return http_exchange_route_arg(x);
}

/* /echo --------------------------------------------------------------------------------------- */

struct echo {
    struct buf body;
    int pieces;
};

static void echo_request(struct http_exchange *x)
{
    http_exchange_set_user(x, xcalloc(1, sizeof(struct echo)));
}

static void echo_body(struct http_exchange *x, const char *data, size_t len)
{
    struct echo *e = http_exchange_user(x);
    buf_append(&e->body, data, len);
    e->pieces++;
}

static void echo_free(struct echo *e)
{
    buf_release(&e->body);
    free(e);
}

static void echo_end(struct http_exchange *x)
{
    struct echo *e = http_exchange_user(x);
    char pieces[16];
    snprintf(pieces, sizeof(pieces), "%d", e->pieces);
    http_add_header(x, "X-Pieces", pieces);
    http_respond(x, 200, "text/plain", e->body.data, e->body.len);
    echo_free(e);
}

static void echo_abort(struct http_exchange *x)
{
    struct test_server *s = server_of(x);
    echo_free(http_exchange_user(x));
    http_exchange_release(x);
    pthread_mutex_lock(&s->lock);
    s->aborts++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static const struct http_handler echo = {
    .on_request = echo_request, .on_body = echo_body, .on_end = echo_end, .on_abort = echo_abort};

/* /hold: the reply comes when the test asks for it -------------------------------------------- */

static unsigned held_id(struct http_exchange *x)
{
    struct slice id = http_request_query(http_exchange_request(x), http_exchange_arena(x), "id");
    return (unsigned)strtoul(id.data, NULL, 10);
}

static void hold_end(struct http_exchange *x)
{
    struct test_server *s = server_of(x);
    unsigned id = held_id(x);
    pthread_mutex_lock(&s->lock);
    s->held[id] = x;
    s->held_aborted[id] = false;
    s->held_count++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static void hold_abort(struct http_exchange *x)
{
    struct test_server *s = server_of(x);
    pthread_mutex_lock(&s->lock);
    s->held[held_id(x)] = NULL;
    s->aborts++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    http_exchange_release(x);
}

static const struct http_handler hold = {.on_end = hold_end, .on_abort = hold_abort};
static const struct http_handler hang = {
    .on_end = hold_end, .on_abort = hold_abort, .abort_on_eof = true};

struct release {
    struct reactor_msg msg;
    struct test_server *server;
    unsigned id;
    bool done;
};

static void run_release(struct reactor_msg *msg)
{
    struct release *r = CONTAINER_OF(msg, struct release, msg);
    struct test_server *s = r->server;
    struct http_exchange *x = s->held[r->id];
    char text[16];
    snprintf(text, sizeof(text), "held %u", r->id);
    http_respond(x, 200, "text/plain", text, strlen(text));
    pthread_mutex_lock(&s->lock);
    r->done = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

void server_release(struct test_server *s, unsigned id)
{
    struct release r = {.msg.run = run_release, .server = s, .id = id};
    reactor_post(http_exchange_reactor(s->held[id]), &r.msg);
    pthread_mutex_lock(&s->lock);
    while (!r.done)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void server_wait_held(struct test_server *s, unsigned count)
{
    pthread_mutex_lock(&s->lock);
    while (s->held_count < count)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void server_wait_aborts(struct test_server *s, unsigned count)
{
    pthread_mutex_lock(&s->lock);
    while (s->aborts < count)
        pthread_cond_wait(&s->changed, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

void server_wait_connections(struct test_server *s, unsigned count)
{
    while (listener_connections(s->listener) > count)
        sched_yield();
}

/* The others ---------------------------------------------------------------------------------- */

static void refuse_request(struct http_exchange *x)
{
    http_respond_error(x, ERR_AUTH_REQUIRED, NULL, NULL);
}

static const struct http_handler refuse = {.on_request = refuse_request};

static void ok_end(struct http_exchange *x)
{
    http_respond(x, 200, "application/json", "{\"ok\":true}", 11);
}

static const struct http_handler ok = {.on_end = ok_end};

static void client_end(struct http_exchange *x)
{
    struct slice client = http_exchange_client(x);
    http_respond(x, 200, "text/plain", client.data, client.len);
}

static const struct http_handler client = {.on_end = client_end};

static void query_end(struct http_exchange *x)
{
    struct slice name =
        http_request_query(http_exchange_request(x), http_exchange_arena(x), "name");
    if (name.data == NULL)
        name = SLICE("(none)");
    http_respond(x, 200, "text/plain", name.data, name.len);
}

static const struct http_handler query = {.on_end = query_end};

static void big_end(struct http_exchange *x)
{
    size_t len = MIB(32);
    char *data = xmalloc(len);
    memset(data, 'b', len);
    http_respond(x, 200, "text/plain", data, len);
    free(data);
    struct test_server *s = server_of(x);
    pthread_mutex_lock(&s->lock);
    s->held_count++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static const struct http_handler big = {.on_end = big_end};

/* /stream: a reply in pieces ------------------------------------------------------------------ */

#define PIECE_BYTES 100000

struct stream {
    unsigned left;
    bool cut;
};

static void stream_next(struct http_exchange *x)
{
    struct stream *st = http_exchange_user(x);
    if (st->left == 0) {
        http_respond_finish(x, !st->cut);
        return;
    }
    char *piece = xmalloc(PIECE_BYTES);
    memset(piece, (int)('a' + st->left % 26), PIECE_BYTES);
    st->left--;
    http_respond_piece(x, piece, PIECE_BYTES);
}

static void stream_end(struct http_exchange *x)
{
    const struct http_request *r = http_exchange_request(x);
    struct arena *a = http_exchange_arena(x);
    struct stream *st = arena_zalloc(a, sizeof(*st));
    st->left = (unsigned)strtoul(http_request_query(r, a, "n").data, NULL, 10);
    st->cut = http_request_query(r, a, "cut").data != NULL;
    http_exchange_set_user(x, st);
    if (!http_respond_start(x, 200, "text/plain"))
        http_respond_finish(x, true);
}

static void stream_abort(struct http_exchange *x)
{
    struct test_server *s = server_of(x);
    http_exchange_release(x);
    pthread_mutex_lock(&s->lock);
    s->aborts++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static const struct http_handler stream = {
    .on_end = stream_end, .on_drain = stream_next, .on_abort = stream_abort};

/* /parts -------------------------------------------------------------------------------------- */

static void parts_end(struct http_exchange *x)
{
    const struct http_request *r = http_exchange_request(x);
    struct arena *a = http_exchange_arena(x);
    struct slice first;
    struct slice second;
    struct slice none;
    err_t err = http_request_path_part(r, a, 1, &first);
    if (err == OK)
        err = http_request_path_part(r, a, 3, &second);
    if (err != OK) {
        http_respond_error(x, err, err_text(err), NULL);
        return;
    }
    assert_int_equal(http_request_path_part(r, a, 4, &none), ERR_INVALID_REQUEST);
    struct buf b = BUF_INIT;
    buf_append_slice(&b, first);
    buf_append_char(&b, '|');
    buf_append_slice(&b, second);
    http_respond(x, 200, "text/plain", b.data, b.len);
    buf_release(&b);
}

static const struct http_handler parts = {.on_end = parts_end};

static const struct http_route routes[SERVER_ROUTES] = {
    {"POST", "/echo", HTTP_MATCH_EXACT, &echo, NULL, HTTP_CORS_NONE},
    {"GET", "/hold", HTTP_MATCH_EXACT, &hold, NULL, HTTP_CORS_NONE},
    {"GET", "/hang", HTTP_MATCH_EXACT, &hang, NULL, HTTP_CORS_NONE},
    {"POST", "/refuse", HTTP_MATCH_EXACT, &refuse, NULL, HTTP_CORS_NONE},
    {"GET, POST", "/ok", HTTP_MATCH_PREFIX, &ok, NULL, HTTP_CORS_NONE},
    {"DELETE", "/ok", HTTP_MATCH_PREFIX, &ok, NULL, HTTP_CORS_NONE},
    {"GET", "/client", HTTP_MATCH_EXACT, &client, NULL, HTTP_CORS_NONE},
    {"GET", "/query", HTTP_MATCH_EXACT, &query, NULL, HTTP_CORS_NONE},
    {"GET, POST", "/public", HTTP_MATCH_PREFIX, &ok, NULL, HTTP_CORS_ANY},
    {"GET", "/private", HTTP_MATCH_PREFIX, &ok, NULL, HTTP_CORS_ORIGIN},
    {"GET", "/big", HTTP_MATCH_EXACT, &big, NULL, HTTP_CORS_NONE},
    {"GET", "/stream", HTTP_MATCH_EXACT, &stream, NULL, HTTP_CORS_NONE},
    {"GET", "/parts/@/x/@", HTTP_MATCH_PARTS, &parts, NULL, HTTP_CORS_NONE},
};

/* Start and stop ------------------------------------------------------------------------------ */

static unsigned or_default(unsigned value, unsigned fallback)
{
    return value != 0 ? value : fallback;
}

void server_start(struct test_server *s, const struct test_server_options *options)
{
    static const struct test_server_options none = {0};
    *s = (struct test_server){0};
    options = options != NULL ? options : &none;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->changed, NULL);
    for (size_t i = 0; i < SERVER_ROUTES; i++) {
        s->routes[i] = routes[i];
        s->routes[i].arg = s;
    }
    assert_ok(reactor_group_start(or_default(options->reactors, 1), &s->group));
    s->http = http_server_new(&(struct http_options){
        .routes = options->routes != NULL ? options->routes : s->routes,
        .allowed_origins = "https://app.example.com, *.trusted.org",
        .route_count = options->routes != NULL ? options->route_count : SERVER_ROUTES,
        .header_bytes_max = options->header_bytes_max != 0 ? options->header_bytes_max : KIB(16),
        .header_ms = or_default(options->header_ms, 60000),
        .body_idle_ms = or_default(options->body_idle_ms, 60000),
        .keepalive_ms = or_default(options->keepalive_ms, 60000),
    });
    assert_ok(listener_open(s->group,
                            &(struct listener_options){
                                .address = "127.0.0.1:0",
                                .ops = &http_conn_ops,
                                .arg = s->http,
                                .max_connections = or_default(options->max_connections, 1000),
                                .refusal = http_refusal(),
                                .output_max_bytes = MIB(1),
                                .write_stall_ms = options->write_stall_ms,
                            },
                            &s->listener));
    s->port = atoi(strrchr(listener_address(s->listener), ':') + 1);
}

void server_close(struct test_server *s)
{
    listener_stop(s->listener);
    listener_close_all(s->listener);
}

void server_stop(struct test_server *s)
{
    server_close(s);
    listener_free(s->listener);
    reactor_group_stop(s->group);
    http_server_free(s->http);
    pthread_cond_destroy(&s->changed);
    pthread_mutex_destroy(&s->lock);
}

struct test_server server;

int server_set_up(void **state UNUSED)
{
    server_start(&server, NULL);
    return 0;
}

int server_tear_down(void **state UNUSED)
{
    server_stop(&server);
    return 0;
}

/* The client ---------------------------------------------------------------------------------- */

int client_open(const struct test_server *s)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)s->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct timeval patience = {.tv_sec = 60};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

void client_send_bytes(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        assert_true(n > 0);
        at += n;
        len -= (size_t)n;
    }
}

void client_send(int fd, const char *text)
{
    client_send_bytes(fd, text, strlen(text));
}

void client_printf(int fd, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    assert_true(len > 0 && (size_t)len < sizeof(text));
    client_send_bytes(fd, text, (size_t)len);
}

void client_reset(int fd)
{
    struct linger now = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(fd);
}

void client_expect(int fd, int status, const char *body)
{
    int got = 0;
    char *reply = client_reply(fd, &got);
    assert_non_null(reply);
    assert_int_equal(got, status);
    if (body != NULL)
        assert_string_equal(reply_body(reply), body);
    free(reply);
}

static char *take_text(struct buf *b)
{
    buf_append_char(b, '\0');
    return b->data;
}

/* Byte by byte up to the blank line, so that nothing of the next reply is taken. */
static bool read_head(int fd, struct buf *b)
{
    while (b->len < 4 || memcmp(b->data + b->len - 4, "\r\n\r\n", 4) != 0) {
        char c;
        ssize_t n = recv(fd, &c, 1, 0);
        if (n <= 0) {
            assert_true(n == 0 || errno == ECONNRESET);
            assert_int_equal(b->len, 0);
            return false;
        }
        buf_append_char(b, c);
    }
    return true;
}

static size_t content_length(struct buf *b)
{
    buf_reserve(b, 1)[0] = '\0';
    const char *at = strstr(b->data, "Content-Length: ");
    return at == NULL ? 0 : strtoul(at + 16, NULL, 10);
}

static char *read_reply(int fd, int *ret_status, bool with_body)
{
    struct buf b = BUF_INIT;
    if (!read_head(fd, &b)) {
        buf_release(&b);
        return NULL;
    }
    size_t left = with_body ? content_length(&b) : 0;
    while (left > 0) {
        ssize_t n = recv(fd, buf_reserve(&b, left), left, 0);
        assert_true(n > 0);
        b.len += (size_t)n;
        left -= (size_t)n;
    }
    char *text = take_text(&b);
    assert_memory_equal(text, "HTTP/1.1 ", 9);
    if (ret_status != NULL)
        *ret_status = atoi(text + 9);
    return text;
}

char *client_reply(int fd, int *ret_status)
{
    return read_reply(fd, ret_status, true);
}

char *client_head_reply(int fd, int *ret_status)
{
    return read_reply(fd, ret_status, false);
}

char *client_rest(int fd, size_t *ret_len)
{
    struct buf b = BUF_INIT;
    ssize_t n;
    while ((n = recv(fd, buf_reserve(&b, KIB(64)), KIB(64), 0)) > 0)
        b.len += (size_t)n;
    assert_true(n == 0 || errno == ECONNRESET);
    if (ret_len != NULL)
        *ret_len = b.len;
    return take_text(&b);
}

const char *reply_body(const char *reply)
{
    return strstr(reply, "\r\n\r\n") + 4;
}
