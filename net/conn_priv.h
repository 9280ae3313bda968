/*
 * net/conn_priv.h: the connection's inside, for conn.c, listener.c and reactor.c.
 */
#ifndef NET_CONN_PRIV_H
#define NET_CONN_PRIV_H

#include <netinet/in.h>
#include <uv.h>

#include "net/conn.h"
#include "net/output.h"
#include "net/wheel.h"

#define CONN_MAGIC 0x636f6e6eu /* "conn" */

enum conn_state {
    CONN_OPEN,
    CONN_FINISHING, /* closes when the output is sent */
    CONN_LINGERING, /* sending side shut down; input is dropped until the peer closes */
    CONN_CLOSED,    /* socket closed; on_close comes from libuv's close callback */
};

struct conn {
    unsigned magic;
    enum conn_state state;
    int fd;
    int armed;          /* the UV_READABLE | UV_WRITABLE that libuv watches now */
    bool read_paused;   /* by the user */
    bool output_full;   /* more than output_max_bytes queued: input waits */
    bool input_over;    /* end of file seen */
    bool write_blocked; /* the socket took less than what is queued */
    bool in_dirty;
    struct conn *next_dirty;
    const struct conn_ops *ops;
    void *user;
    struct reactor *reactor;
    struct listener_socket *listener;
    struct conn *next; /* in listener->conns */
    struct conn *prev;
    struct output out;
    size_t dropped_bytes;        /* input that came after the last reply */
    struct wheel_entry deadline; /* the earlier of the two below */
    uint64_t user_due;           /* conn_set_deadline */
    uint64_t io_due;             /* no progress in writing, or lingering too long */
    uv_poll_t poll;
    char peer[INET6_ADDRSTRLEN];
};

struct listener_socket {
    struct listener *listener;
    struct reactor *reactor;
    int fd;         /* -1 once stopped */
    int reserve_fd; /* given up to accept, and close, one connection when descriptors run out */
    uv_poll_t poll;
    uv_timer_t retry;
    struct conn *conns; /* open or closing */
};

/** Takes over `fd`, a connected non-blocking socket. False: it could not be watched and is closed.
 */
bool conn_new(struct listener_socket *ls, int fd, const char *peer);
/** Called by conn.c when a connection's memory is about to go. */
void listener_forget(struct listener_socket *ls, struct conn *c);
const struct listener_options *listener_options_of(const struct listener_socket *ls);

/** Sends the output of all connections that queued some. */
void conn_flush_dirty(struct reactor *r);
/** The wheel's callback. */
void conn_on_due(struct wheel_entry *e);

#endif
