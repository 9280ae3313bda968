/*
 * fake_net.c: see fake_net.h.
 */
#include "fake_net.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

#include "net/reactor.h"

struct reactor {
    uv_loop_t loop;
    pthread_mutex_t mutex;
    struct reactor_msg *head;
    struct reactor_msg **tail;
};

struct conn {
    const struct conn_ops *ops;
    struct reactor *reactor;
    void *user;
    struct buf out;
    size_t backlog;
    bool paused;
    bool ended;
    unsigned deadline_ms;
};

struct reactor *fake_reactor_new(void)
{
    struct reactor *r = xcalloc(1, sizeof(*r));
    ASSERT(uv_loop_init(&r->loop) == 0);
    pthread_mutex_init(&r->mutex, NULL);
    r->tail = &r->head;
    return r;
}

void reactor_post(struct reactor *r, struct reactor_msg *msg)
{
    pthread_mutex_lock(&r->mutex);
    msg->next = NULL;
    *r->tail = msg;
    r->tail = &msg->next;
    pthread_mutex_unlock(&r->mutex);
}

static struct reactor_msg *message_next(struct reactor *r)
{
    pthread_mutex_lock(&r->mutex);
    struct reactor_msg *msg = r->head;
    if (msg != NULL) {
        r->head = msg->next;
        if (r->head == NULL)
            r->tail = &r->head;
    }
    pthread_mutex_unlock(&r->mutex);
    return msg;
}

unsigned fake_reactor_run(struct reactor *r)
{
    unsigned ran = 0;
    struct reactor_msg *msg;
    while ((msg = message_next(r)) != NULL) {
        msg->run(msg);
        ran++;
    }
    uv_run(&r->loop, UV_RUN_NOWAIT);
    return ran;
}

void fake_reactor_wait_timer(struct reactor *r)
{
    uv_run(&r->loop, UV_RUN_ONCE);
}

void fake_reactor_free(struct reactor *r)
{
    while (fake_reactor_run(r) > 0)
        ;
    ASSERT(uv_loop_close(&r->loop) == 0);
    pthread_mutex_destroy(&r->mutex);
    free(r);
}

struct uv_loop_s *reactor_loop(struct reactor *r)
{
    return &r->loop;
}

bool reactor_is_current(const struct reactor *r)
{
    (void)r;
    return true;
}

unsigned reactor_index(const struct reactor *r)
{
    (void)r;
    return 0;
}

void reactor_add_turn_hook(struct reactor *r, struct reactor_turn_hook *hook)
{
    (void)r;
    (void)hook;
}

struct conn *fake_conn_open(struct reactor *r, const struct conn_ops *ops, void *arg)
{
    struct conn *c = xcalloc(1, sizeof(*c));
    c->reactor = r;
    c->ops = ops;
    if (ops->on_open(c, arg))
        return c;
    ops->on_close(c);
    free(c);
    return NULL;
}

void fake_conn_receive(struct conn *c, const void *data, size_t len)
{
    char *exact = xmalloc(len + 1); /* so that ASan sees what is kept too long or read too far */
    __builtin_memcpy(exact, data, len);
    if (!c->ended)
        c->ops->on_data(c, exact, len);
    free(exact);
}

void fake_conn_deadline_passes(struct conn *c)
{
    ASSERT(c->deadline_ms > 0);
    c->deadline_ms = 0;
    c->ops->on_timeout(c);
}

void fake_conn_gone(struct conn *c)
{
    c->ops->on_close(c);
    buf_release(&c->out);
    free(c);
}

struct buf *fake_conn_out(struct conn *c)
{
    return &c->out;
}

bool fake_conn_paused(const struct conn *c)
{
    return c->paused;
}

bool fake_conn_ended(const struct conn *c)
{
    return c->ended;
}

unsigned fake_conn_deadline_ms(const struct conn *c)
{
    return c->deadline_ms;
}

void fake_conn_set_backlog(struct conn *c, size_t bytes)
{
    bool drained = c->backlog > 0 && bytes == 0;
    c->backlog = bytes;
    if (drained)
        c->ops->on_drain(c);
}

void conn_set_user(struct conn *c, void *user)
{
    c->user = user;
}

void *conn_user(const struct conn *c)
{
    return c->user;
}

struct reactor *conn_reactor(const struct conn *c)
{
    return c->reactor;
}

const char *conn_peer(const struct conn *c)
{
    (void)c;
    return "127.0.0.1";
}

void conn_write(struct conn *c, const void *data, size_t len)
{
    if (!c->ended)
        buf_append(&c->out, data, len);
}

void conn_write_owned(struct conn *c, char *data, size_t len)
{
    conn_write(c, data, len);
    free(data);
}

void conn_write_file(struct conn *c, int fd, uint64_t offset, size_t len,
                     void (*release)(void *arg), void *arg)
{
    char *data = xmalloc(len);
    ASSERT(pread(fd, data, len, (off_t)offset) == (ssize_t)len);
    conn_write_owned(c, data, len);
    release(arg);
}

size_t conn_output_bytes(const struct conn *c)
{
    return c->backlog;
}

void conn_pause_read(struct conn *c)
{
    c->paused = true;
}

void conn_resume_read(struct conn *c)
{
    c->paused = false;
}

void conn_set_deadline(struct conn *c, unsigned ms)
{
    c->deadline_ms = ms;
}

void conn_close(struct conn *c)
{
    c->ended = true;
}

void conn_close_after_write(struct conn *c)
{
    c->ended = true;
}
