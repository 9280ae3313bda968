/*
 * States: OPEN -> FINISHING (conn_close_after_write) -> LINGERING (output sent, sending side shut
 * down)
 * -> CLOSED; any state -> CLOSED at once by conn_close, an error, or a deadline.
 *
 * I1: libuv watches a socket for writing only while the socket is full (write_blocked).
 * I2: pausing costs nothing: reading is disarmed only when input arrives while it is not wanted.
 * I3: after CLOSED no callback but on_close is made, and that one from the loop, never from inside
 * a call.
 */
#include "net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/metrics.h"
#include "net/conn_priv.h"
#include "net/reactor_priv.h"

#define WRITE_STALL_MS 30000 /* unless the listener says otherwise */
#define LINGER_MS 2000
#define LINGER_BYTES MIB(16) /* of input dropped meanwhile */

static void on_poll(uv_poll_t *poll, int status, int events);

static void update_deadline(struct conn *c)
{
    wheel_set(&c->reactor->wheel, &c->deadline, MIN(c->user_due, c->io_due));
}

static void set_io_deadline(struct conn *c, unsigned ms)
{
    c->io_due = ms == 0 ? WHEEL_NEVER : wheel_tick_after(&c->reactor->wheel, ms);
    update_deadline(c);
}

static void arm(struct conn *c, int events)
{
    if (events == c->armed)
        return;
    c->armed = events;
    if (events == 0)
        uv_poll_stop(&c->poll);
    else
        uv_poll_start(&c->poll, events, on_poll);
}

static bool wants_read(const struct conn *c)
{
    if (c->input_over)
        return false;
    return c->state == CONN_LINGERING || (!c->read_paused && !c->output_full);
}

/* Reading that is armed but unwanted stays armed until input comes (I2). */
static void rearm(struct conn *c)
{
    int read = wants_read(c) ? UV_READABLE : c->armed & UV_READABLE;
    arm(c, read | (c->write_blocked ? UV_WRITABLE : 0));
}

static void on_closed(uv_handle_t *handle)
{
    struct conn *c = handle->data;
    ASSERT(c->magic == CONN_MAGIC);
    reactor_turn_begin(c->reactor);
    if (c->ops->on_close != NULL)
        c->ops->on_close(c);
    listener_forget(c->listener, c);
    c->magic = 0;
    free(c);
}

void conn_close(struct conn *c)
{
    if (c->state == CONN_CLOSED)
        return;
    c->state = CONN_CLOSED;
    wheel_remove(&c->reactor->wheel, &c->deadline);
    uv_close((uv_handle_t *)&c->poll, on_closed);
    close(c->fd);
    c->fd = -1;
    output_clear(&c->out, &c->reactor->out_pool);
}

static void mark_dirty(struct conn *c)
{
    if (c->in_dirty || c->write_blocked)
        return;
    c->in_dirty = true;
    c->next_dirty = c->reactor->dirty;
    c->reactor->dirty = c;
}

/* The reply is in the socket; a close now could destroy it on its way if input is still unread (RFC
 * 9112 section 9.6). */
static void linger(struct conn *c)
{
    if (c->input_over || shutdown(c->fd, SHUT_WR) != 0) {
        conn_close(c);
        return;
    }
    c->state = CONN_LINGERING;
    c->user_due = WHEEL_NEVER;
    set_io_deadline(c, LINGER_MS);
    rearm(c);
}

static void output_done(struct conn *c)
{
    c->write_blocked = false;
    if (c->io_due != WHEEL_NEVER)
        set_io_deadline(c, 0);
    if (c->state == CONN_FINISHING)
        linger(c);
    else if (c->ops->on_drain != NULL)
        c->ops->on_drain(c);
}

static unsigned stall_ms(const struct conn *c)
{
    unsigned ms = listener_options_of(c->listener)->write_stall_ms;
    return ms != 0 ? ms : WRITE_STALL_MS;
}

static void flush(struct conn *c)
{
    if (c->out.head == NULL && c->state != CONN_FINISHING)
        return;
    size_t before = c->out.bytes;
    enum out_result result = output_flush(&c->out, &c->reactor->out_pool, c->fd);
    if (result == OUT_FAILED) {
        conn_close(c);
        return;
    }
    if (c->output_full && c->out.bytes <= listener_options_of(c->listener)->output_max_bytes / 2)
        c->output_full = false;
    if (result == OUT_DONE) {
        output_done(c);
    } else {
        c->write_blocked = true;
        if (c->out.bytes != before || c->io_due == WHEEL_NEVER)
            set_io_deadline(c, stall_ms(c));
    }
    if (c->state != CONN_CLOSED)
        rearm(c);
}

void conn_flush_dirty(struct reactor *r)
{
    struct conn *c = r->dirty;
    r->dirty = NULL; /* what on_drain adds is flushed in the next turn */
    while (c != NULL) {
        struct conn *next = c->next_dirty;
        c->in_dirty = false;
        if (c->state != CONN_CLOSED)
            flush(c);
        c = next;
    }
}

static void input_ended(struct conn *c)
{
    c->input_over = true;
    if (c->state == CONN_OPEN && c->ops->on_eof != NULL && c->ops->on_eof(c)) {
        if (c->state != CONN_CLOSED)
            arm(c, c->armed & ~UV_READABLE);
        return;
    }
    if (c->state == CONN_FINISHING) /* its output still goes out */
        arm(c, c->armed & ~UV_READABLE);
    else
        conn_close(c);
}

static void drop(struct conn *c, size_t len)
{
    c->dropped_bytes += len;
    if (c->state == CONN_LINGERING && c->dropped_bytes > LINGER_BYTES)
        conn_close(c);
}

static void read_once(struct conn *c)
{
    if (!wants_read(c)) {
        arm(c, c->armed & ~UV_READABLE);
        return;
    }
    char *buf = c->reactor->recv_buf;
    ssize_t n = recv(c->fd, buf, REACTOR_RECV_BYTES, 0);
    if (n == 0)
        input_ended(c);
    else if (n > 0 && c->state == CONN_OPEN)
        c->ops->on_data(c, buf, (size_t)n);
    else if (n > 0)
        drop(c, (size_t)n);
    else if (n < 0 && errno != EAGAIN && errno != EINTR)
        conn_close(c);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct conn *c = poll->data;
    ASSERT(c->magic == CONN_MAGIC);
    reactor_turn_begin(c->reactor);
    if (status < 0) { /* reset, or another error of the socket */
        conn_close(c);
        return;
    }
    if ((events & UV_WRITABLE) != 0) {
        c->write_blocked = false;
        flush(c);
    }
    if ((events & UV_READABLE) != 0 && c->state != CONN_CLOSED)
        read_once(c);
}

void conn_on_due(struct wheel_entry *e)
{
    struct conn *c = CONTAINER_OF(e, struct conn, deadline);
    uint64_t now = wheel_tick_now(&c->reactor->wheel);
    if (c->io_due <= now) {
        conn_close(c);
        return;
    }
    if (c->user_due <= now) {
        c->user_due = WHEEL_NEVER;
        c->ops->on_timeout(c);
    }
    if (c->state != CONN_CLOSED)
        update_deadline(c);
}

bool conn_new(struct listener_socket *ls, int fd, const char *peer)
{
    struct conn *c = xcalloc(1, sizeof(*c));
    c->magic = CONN_MAGIC;
    c->fd = fd;
    c->ops = listener_options_of(ls)->ops;
    c->reactor = ls->reactor;
    c->listener = ls;
    c->deadline = WHEEL_ENTRY_INIT;
    c->user_due = c->io_due = WHEEL_NEVER;
    memcpy(c->peer, peer, strlen(peer) + 1);
    if (uv_poll_init(&c->reactor->loop, &c->poll, fd) != 0) { /* the kernel refuses to watch it */
        close(fd);
        free(c);
        return false;
    }
    c->poll.data = c;
    c->next = ls->conns;
    if (c->next != NULL)
        c->next->prev = c;
    ls->conns = c;
    if (!c->ops->on_open(c, listener_options_of(ls)->arg))
        conn_close(c);
    else if (c->state != CONN_CLOSED)
        rearm(c);
    return true;
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
    return c->peer;
}

static bool writable(const struct conn *c)
{
    return c->state == CONN_OPEN;
}

static void wrote(struct conn *c)
{
    if (c->out.bytes > listener_options_of(c->listener)->output_max_bytes)
        c->output_full = true;
    mark_dirty(c);
}

void conn_write(struct conn *c, const void *data, size_t len)
{
    if (!writable(c) || len == 0)
        return;
    output_copy(&c->out, &c->reactor->out_pool, data, len);
    wrote(c);
}

void conn_write_owned(struct conn *c, char *data, size_t len)
{
    if (!writable(c) || len == 0) {
        free(data);
        return;
    }
    output_owned(&c->out, data, len);
    wrote(c);
}

void conn_write_file(struct conn *c, int fd, uint64_t offset, size_t len,
                     void (*release)(void *arg), void *arg)
{
    if (!writable(c) || len == 0) {
        if (release != NULL)
            release(arg);
        return;
    }
    output_file(&c->out, fd, offset, len, release, arg);
    wrote(c);
}

size_t conn_output_bytes(const struct conn *c)
{
    return c->out.bytes;
}

void conn_pause_read(struct conn *c)
{
    c->read_paused = true;
}

void conn_resume_read(struct conn *c)
{
    c->read_paused = false;
    if (c->state != CONN_CLOSED)
        rearm(c);
}

void conn_set_deadline(struct conn *c, unsigned ms)
{
    if (c->state != CONN_OPEN)
        return;
    c->user_due = ms == 0 ? WHEEL_NEVER : wheel_tick_after(&c->reactor->wheel, ms);
    update_deadline(c);
}

void conn_close_after_write(struct conn *c)
{
    if (c->state != CONN_OPEN)
        return;
    c->state = CONN_FINISHING;
    c->user_due = WHEEL_NEVER;
    c->read_paused = false; /* input is dropped from here on */
    mark_dirty(c);
}
