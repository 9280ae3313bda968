/*
 * fake_http.c: see fake_http.h.
 */
#include "fake_http.h"

#include <stdlib.h>
#include <string.h>

#define HEADERS_MAX 16

struct reactor {
    struct reactor_msg *head;
    struct reactor_msg **tail;
    struct reactor_turn_hook *hooks;
};

struct reactor_group {
    struct reactor reactor;
};

struct http_exchange {
    struct arena arena;
    struct http_request request;
    struct http_header headers[HEADERS_MAX];
    void *user;
    void *arg;
    struct reactor *reactor;
    struct fake_request *owner;
};

struct fake_request {
    struct http_exchange *x; /* NULL once the door may not use it any more */
    const struct http_handler *handler;
    char *target;
    char *head;
    bool aborted;
    bool released;
    int status;
    struct buf reply;
    struct buf reply_headers; /* "Name: value\n" */
    char found[256];
};

/* Reactors ------------------------------------------------------------------------------------ */

struct reactor_group *fake_reactors_new(void)
{
    struct reactor_group *g = xcalloc(1, sizeof(*g));
    g->reactor.tail = &g->reactor.head;
    return g;
}

void fake_reactors_free(struct reactor_group *g)
{
    ASSERT(g->reactor.head == NULL);
    free(g);
}

unsigned fake_reactors_turn(struct reactor_group *g)
{
    struct reactor *r = &g->reactor;
    unsigned ran = 0;
    while (r->head != NULL) {
        struct reactor_msg *msg = r->head;
        r->head = msg->next;
        if (r->head == NULL)
            r->tail = &r->head;
        msg->run(msg);
        ran++;
    }
    for (struct reactor_turn_hook *h = r->hooks; h != NULL; h = h->next)
        h->run(h);
    return ran;
}

struct reactor *reactor_group_get(struct reactor_group *group, unsigned index)
{
    ASSERT(index == 0);
    return &group->reactor;
}

unsigned reactor_group_count(const struct reactor_group *group)
{
    (void)group;
    return 1;
}

unsigned reactor_index(const struct reactor *r)
{
    (void)r;
    return 0;
}

void reactor_post(struct reactor *r, struct reactor_msg *msg)
{
    msg->next = NULL;
    *r->tail = msg;
    r->tail = &msg->next;
}

void reactor_add_turn_hook(struct reactor *r, struct reactor_turn_hook *hook)
{
    hook->next = r->hooks;
    r->hooks = hook;
}

/* A request, as the test gives it ------------------------------------------------------------- */

static void parse_headers(struct http_exchange *x, char *lines)
{
    for (char *line = strtok(lines, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *colon = strstr(line, ": ");
        ASSERT(colon != NULL && x->request.header_count < HEADERS_MAX);
        struct http_header *h = &x->headers[x->request.header_count++];
        h->name = (struct slice){line, (size_t)(colon - line)};
        h->value = slice_of(colon + 2);
        if (slice_equal_nocase(h->name, SLICE("Host")))
            x->request.host = h->value;
    }
}

static const struct http_route *find_route(const struct http_route *routes, size_t count,
                                           struct slice path)
{
    for (size_t i = 0; i < count; i++) {
        struct slice p = slice_of(routes[i].path);
        bool below = routes[i].match == HTTP_MATCH_PREFIX && path.len > p.len &&
                     path.data[p.len] == '/' && memcmp(path.data, p.data, p.len) == 0;
        if (below || slice_equal(path, p))
            return &routes[i];
    }
    return NULL;
}

struct fake_request *fake_http_begin(struct reactor_group *g, const struct http_route *routes,
                                     size_t route_count, const char *target, const char *headers,
                                     int64_t content_length)
{
    struct fake_request *q = xcalloc(1, sizeof(*q));
    struct http_exchange *x = xcalloc(1, sizeof(*x));
    q->x = x;
    q->target = xstrdup(target);
    q->head = xstrdup(headers);
    x->owner = q;
    x->reactor = &g->reactor;
    x->request.headers = x->headers;
    x->request.content_length = content_length;
    const char *mark = strchr(q->target, '?');
    size_t path_len = mark == NULL ? strlen(q->target) : (size_t)(mark - q->target);
    x->request.path = (struct slice){q->target, path_len};
    x->request.query = mark == NULL ? SLICE("") : slice_of(mark + 1);
    parse_headers(x, q->head);
    const struct http_route *route = find_route(routes, route_count, x->request.path);
    ASSERT(route != NULL);
    q->handler = route->handler;
    x->arg = route->arg;
    q->handler->on_request(x);
    return q;
}

void fake_http_body(struct fake_request *q, const void *data, size_t len)
{
    if (q->x == NULL)
        return;
    /* Memory of its own: what a door keeps of it must be its own copy. */
    char *copy = xmalloc(len);
    memcpy(copy, data, len);
    q->handler->on_body(q->x, copy, len);
    free(copy);
}

void fake_http_end(struct fake_request *q)
{
    if (q->x != NULL)
        q->handler->on_end(q->x);
}

void fake_http_abort(struct fake_request *q)
{
    ASSERT(q->x != NULL && !q->aborted);
    q->aborted = true;
    q->handler->on_abort(q->x);
}

static void let_go(struct fake_request *q)
{
    arena_release(&q->x->arena);
    free(q->x);
    q->x = NULL;
}

int fake_http_status(const struct fake_request *q)
{
    return q->status;
}

const char *fake_http_reply(const struct fake_request *q)
{
    return q->reply.data == NULL ? "" : q->reply.data;
}

const char *fake_http_header(struct fake_request *q, const char *name)
{
    char *line = xasprintf("\n%s: ", name);
    const char *at = q->reply_headers.data == NULL ? NULL : strstr(q->reply_headers.data, line);
    size_t skip = strlen(line);
    free(line);
    if (at == NULL)
        return NULL;
    size_t len = strcspn(at + skip, "\n");
    ASSERT(len < sizeof(q->found));
    memcpy(q->found, at + skip, len);
    q->found[len] = '\0';
    return q->found;
}

bool fake_http_released(const struct fake_request *q)
{
    return q->released;
}

void fake_http_free(struct fake_request *q)
{
    ASSERT(q->x == NULL);
    free(q->target);
    free(q->head);
    buf_release(&q->reply);
    buf_release(&q->reply_headers);
    free(q);
}

/* Net/http.h, as the door sees it ------------------------------------------------------------- */

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
    return &x->request;
}

void *http_exchange_route_arg(const struct http_exchange *x)
{
    return x->arg;
}

void http_exchange_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_exchange_user(const struct http_exchange *x)
{
    return x->user;
}

struct arena *http_exchange_arena(struct http_exchange *x)
{
    return &x->arena;
}

struct reactor *http_exchange_reactor(const struct http_exchange *x)
{
    return x->reactor;
}

struct slice http_exchange_client(const struct http_exchange *x)
{
    (void)x;
    return SLICE("192.0.2.1");
}

struct slice http_request_header(const struct http_request *r, const char *name, size_t *ret_count)
{
    struct slice found = {NULL, 0};
    size_t count = 0;
    for (size_t i = 0; i < r->header_count; i++) {
        if (slice_equal_nocase(r->headers[i].name, slice_of(name)) && count++ == 0)
            found = r->headers[i].value;
    }
    if (ret_count != NULL)
        *ret_count = count;
    return found;
}

struct slice http_request_query(const struct http_request *r, struct arena *a, const char *name)
{
    (void)a;
    size_t len = strlen(name);
    bool has =
        r->query.len > len && memcmp(r->query.data, name, len) == 0 && r->query.data[len] == '=';
    return has ? (struct slice){r->query.data + len + 1, r->query.len - len - 1}
               : (struct slice){NULL, 0};
}

void http_add_header(struct http_exchange *x, const char *name, const char *value)
{
    struct buf *b = &x->owner->reply_headers;
    if (b->len == 0)
        buf_append_char(b, '\n');
    buf_printf(b, "%s: %s\n", name, value);
}

void http_respond(struct http_exchange *x, int status, const char *content_type, const void *body,
                  size_t len)
{
    struct fake_request *q = x->owner;
    ASSERT(!q->aborted && q->status == 0 && content_type != NULL);
    q->status = status;
    buf_append(&q->reply, body, len);
    buf_append_char(&q->reply, '\0');
    buf_append_char(&q->reply_headers, '\0');
    let_go(q);
}

void http_respond_error(struct http_exchange *x, err_t code, const char *text,
                        const char *details_json)
{
    struct buf body = BUF_INIT;
    if (text == NULL)
        text = err_default_text(code);
    buf_printf(&body, "{\"error\":\"%s\",\"code\":\"%s\",\"details\":%s}", text,
               err_wire_code(code), details_json == NULL ? "null" : details_json);
    http_add_retry(x, code);
    http_respond(x, err_http_status(code), "application/json", body.data, body.len);
    buf_release(&body);
}

void http_exchange_release(struct http_exchange *x)
{
    struct fake_request *q = x->owner;
    ASSERT(q->aborted);
    q->released = true;
    let_go(q);
}
