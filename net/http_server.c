/*
 * The server object: route table, per-reactor state, the pool of exchanges, draining.
 */
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "net/http_priv.h"

#define POOL_MAX 256           /* exchanges at rest per worker */
#define KEEP_BUF_BYTES KIB(16) /* larger buffers of an exchange are given back */

static uint64_t method_bit(struct slice name)
{
    for (unsigned m = 0; m < 64; m++) {
        if (m > HTTP_SOURCE)
            break;
        if (slice_equal(name, slice_of(llhttp_method_name((llhttp_method_t)m))))
            return 1ULL << m;
    }
    ASSERT(false && "a route names a known method");
    return 0;
}

/* "GET, POST" as bits; GET includes HEAD. */
static uint64_t method_bits(const char *list)
{
    uint64_t bits = 0;
    while (*list != '\0') {
        size_t len = strcspn(list, ", ");
        bits |= method_bit((struct slice){list, len});
        list += len;
        list += strspn(list, ", ");
    }
    if ((bits & (1ULL << HTTP_GET)) != 0)
        bits |= 1ULL << HTTP_HEAD;
    return bits;
}

struct http_server *http_server_new(const struct http_options *options)
{
    struct http_server *s = aligned_alloc(64, sizeof(*s));
    ASSERT(s != NULL);
    memset(s, 0, sizeof(*s));
    s->options = *options;
    if (s->options.clock == NULL)
        s->options.clock = clock_real();
    bool good = http_proxies_parse(options->trusted_proxies, &s->proxies);
    ASSERT(good);
    s->rows = xcalloc(options->route_count + 1, sizeof(*s->rows));
    for (size_t i = 0; i < options->route_count; i++) {
        const struct http_route *route = &options->routes[i];
        s->rows[i] = (struct http_row){route, strlen(route->path), method_bits(route->methods)};
    }
    for (unsigned i = 0; i < HTTP_WORKERS_MAX; i++)
        s->workers[i].server = s;
    return s;
}

static void exchange_destroy(struct http_exchange *x)
{
    buf_release(&x->extra);
    buf_release(&x->reply);
    arena_release(&x->arena);
    free(x);
}

void http_server_free(struct http_server *s)
{
    if (s == NULL)
        return;
    for (unsigned i = 0; i < HTTP_WORKERS_MAX; i++) {
        struct http_worker *w = &s->workers[i];
        ASSERT(w->conns == NULL);
        while (w->pool != NULL) {
            struct http_exchange *x = w->pool;
            w->pool = x->next;
            exchange_destroy(x);
        }
        buf_release(&w->head);
    }
    http_proxies_release(&s->proxies);
    free(s->rows);
    free(s);
}

static void on_turn_end(struct reactor_turn_hook *hook)
{
    struct http_worker *w = CONTAINER_OF(hook, struct http_worker, hook);
    w->now_ms = 0;
    if (w->requests == 0)
        return;
    metric_add(M_http_requests_total, w->requests);
    if (w->bad_requests != 0)
        metric_add(M_http_bad_requests_total, w->bad_requests);
    w->requests = w->bad_requests = 0;
}

static void drain_worker(struct reactor_msg *msg)
{
    struct http_worker *w = CONTAINER_OF(msg, struct http_worker, drain);
    for (struct http_conn *hc = w->conns; hc != NULL; hc = hc->next)
        if (hc->phase == HTTP_PHASE_IDLE && hc->head == NULL)
            conn_close_after_write(hc->c);
}

struct http_worker *http_worker_of(struct http_server *s, struct reactor *r)
{
    struct http_worker *w = &s->workers[reactor_index(r)];
    if (atomic_load_explicit(&w->reactor, memory_order_relaxed) == NULL) {
        http_stamp_seed(w);
        w->hook.run = on_turn_end;
        w->drain.run = drain_worker;
        reactor_add_turn_hook(r, &w->hook);
        atomic_store_explicit(&w->reactor, r, memory_order_release);
    }
    return w;
}

void http_server_drain(struct http_server *s)
{
    if (atomic_exchange(&s->draining, true))
        return;
    for (unsigned i = 0; i < HTTP_WORKERS_MAX; i++) {
        struct http_worker *w = &s->workers[i];
        struct reactor *r = atomic_load_explicit(&w->reactor, memory_order_acquire);
        if (r != NULL)
            reactor_post(r, &w->drain);
    }
}

struct http_exchange *http_exchange_new(struct http_conn *hc)
{
    struct http_worker *w = hc->worker;
    struct http_exchange *x = w->pool;
    if (x != NULL) {
        w->pool = x->next;
        w->pool_count--;
    } else {
        x = xcalloc(1, sizeof(*x));
    }
    struct buf extra = x->extra;
    struct buf reply = x->reply;
    struct arena arena = x->arena;
    memset(x, 0, offsetof(struct http_exchange, correlation));
    x->extra = extra;
    x->reply = reply;
    x->arena = arena;
    x->hc = hc;
    x->worker = w;
    return x;
}

static void clear_buf(struct buf *b)
{
    if (b->cap > KEEP_BUF_BYTES)
        buf_release(b);
    buf_clear(b);
}

void http_exchange_free(struct http_exchange *x)
{
    struct http_worker *w = x->worker;
    if (w->pool_count >= POOL_MAX) {
        exchange_destroy(x);
        return;
    }
    clear_buf(&x->extra);
    clear_buf(&x->reply);
    arena_reset(&x->arena);
    x->next = w->pool;
    w->pool = x;
    w->pool_count++;
}

/* Routes -------------------------------------------------------------------------------------- */

/* Part by part; "@" in the pattern stands for any part that is not empty. */
static bool parts_match(const char *pattern, struct slice path)
{
    size_t at = 0;
    while (*pattern != '\0' && at < path.len && path.data[at] == '/') {
        size_t wanted = strcspn(++pattern, "/");
        const char *part = path.data + ++at;
        const char *slash = memchr(part, '/', path.len - at);
        size_t len = slash == NULL ? path.len - at : (size_t)(slash - part);
        bool any = wanted == 1 && *pattern == '@';
        if (any ? len == 0 : len != wanted || memcmp(part, pattern, len) != 0)
            return false;
        pattern += wanted;
        at += len;
    }
    return *pattern == '\0' && at == path.len;
}

static bool path_matches(const struct http_row *row, struct slice path)
{
    if (row->route->match == HTTP_MATCH_PARTS)
        return parts_match(row->route->path, path);
    if (path.len < row->path_len || memcmp(path.data, row->route->path, row->path_len) != 0)
        return false;
    if (path.len == row->path_len)
        return true;
    return row->route->match == HTTP_MATCH_PREFIX && path.data[row->path_len] == '/';
}

static void answer_not_allowed(struct http_exchange *x, uint64_t methods)
{
    static const struct slice body = SLICE("{\"error\":\"Method not allowed\"}");
    CLEANUP(buf_release) struct buf allow = BUF_INIT;
    for (unsigned m = 0; m <= HTTP_SOURCE; m++) {
        if ((methods & (1ULL << m)) == 0 || m == HTTP_HEAD)
            continue;
        buf_append_str(&allow, allow.len > 0 ? ", " : "");
        buf_append_str(&allow, llhttp_method_name((llhttp_method_t)m));
    }
    buf_append_char(&allow, '\0');
    http_add_header(x, "Allow", allow.data);
    http_respond(x, 405, "application/json", body.data, body.len);
}

bool http_route_exchange(struct http_exchange *x, unsigned method)
{
    const struct http_server *s = x->worker->server;
    uint64_t bit = method < 64 ? 1ULL << method : 0;
    uint64_t allowed = 0;
    for (size_t i = 0; i < s->options.route_count; i++) {
        const struct http_row *row = &s->rows[i];
        if (!path_matches(row, x->request.path))
            continue;
        if ((row->methods & bit) != 0) {
            x->handler = row->route->handler;
            x->route_arg = row->route->arg;
            x->cors = row->route->cors;
            return true;
        }
        if (allowed == 0)
            x->cors = row->route->cors;
        allowed |= row->methods;
    }
    if (method == HTTP_OPTIONS)
        http_cors_preflight(x);
    else if (allowed != 0)
        answer_not_allowed(x, allowed);
    else
        http_respond(x, 404, "text/plain", "Not found", 9);
    return false;
}
