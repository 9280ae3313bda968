/*
 * net/conn.h: a TCP connection on a reactor: bytes in through a callback, bytes out through a list
 * of runs and file slices. Sockets are watched with uv_poll_t, read with recv into one buffer per
 * reactor, written with writev and sendfile.
 *
 * Owner: the reactor that accepted it; every call and callback is on its thread.
 * Allowed order: accept -> (on_data | conn_write_* | conn_pause_read | conn_resume_read)* ->
 * conn_close (by either side) -> on_close, once -> memory is freed after on_close returns.
 */
#ifndef NET_CONN_H
#define NET_CONN_H

#include <sys/socket.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "net/reactor.h"

struct conn;

struct conn_ops {
    /** A new connection; set conn_set_user here. Returning false closes it at once. */
    bool (*on_open)(struct conn *c, void *listener_arg);
    /** Bytes that arrived, borrowed for the call. All are taken: a parser that wants to stop calls
     *  conn_pause_read and keeps its own copy of the rest. */
    void (*on_data)(struct conn *c, const char *data, size_t len);
    /** All queued output has been written to the socket (called once per drain). May be NULL. */
    void (*on_drain)(struct conn *c);
    /** The peer has closed its sending side. True keeps the connection open for output (the last
     * call of on_data is over; close it with conn_close_after_write); false, or NULL here, closes
     * it. */
    bool (*on_eof)(struct conn *c);
    /** The deadline set by conn_set_deadline has passed. */
    void (*on_timeout)(struct conn *c);
    /** The peer closed, an error, or conn_close: the last callback. */
    void (*on_close)(struct conn *c);
};

/** Where a listener listens, e.g. "127.0.0.1:8080", "[::1]:0", "0.0.0.0:9092". Port 0: any free
 * one. */
struct listener;
struct listener_options {
    const char *address;
    const struct conn_ops *ops;
    void *arg;                /* passed to on_open */
    unsigned max_connections; /* over it: accepted, sent `refusal` and closed, counted */
    struct slice refusal;     /* may be empty; borrowed for the listener's life */
    size_t output_max_bytes;  /* reading pauses while more output than this is queued */
    unsigned write_stall_ms;  /* a peer that takes no output this long is closed; 0: 30 s */
};
/** Binds one socket per reactor (SO_REUSEPORT) and accepts on all. ERR_USAGE for a bad address;
 * ERR_IO with a sentence that names the address (in use, not permitted). Main thread. */
err_t listener_open(struct reactor_group *group, const struct listener_options *options,
                    struct listener **ret_listener) MUST_USE;
/** "127.0.0.1:43211", with the real port. Borrowed until listener_free. */
const char *listener_address(const struct listener *l);
/** Stops accepting (sockets closed when it returns). Main thread. */
void listener_stop(struct listener *l);
/** Connections open now. Any thread. */
unsigned listener_connections(const struct listener *l);
/** Closes all connections that are left and waits until their on_close ran. Main thread, after
 * listener_stop. */
void listener_close_all(struct listener *l);
void listener_free(struct listener *l);

void conn_set_user(struct conn *c, void *user);
void *conn_user(const struct conn *c);
struct reactor *conn_reactor(const struct conn *c);
/** The peer's address as text without port, e.g. "127.0.0.1" or "::1". Borrowed. */
const char *conn_peer(const struct conn *c);

/** Queues bytes. conn_write copies (small pieces are joined); conn_write_owned takes malloc'd
 * memory and frees it. Output is sent at the end of the turn or when the socket takes it, in order.
 * After conn_close nothing is queued. */
void conn_write(struct conn *c, const void *data, size_t len);
void conn_write_owned(struct conn *c, char *data, size_t len);
/** Queues `len` bytes of descriptor `fd` from `offset`, sent with sendfile; the range must exist.
 * `release(arg)` runs once when it has been sent or the connection is gone. */
void conn_write_file(struct conn *c, int fd, uint64_t offset, size_t len,
                     void (*release)(void *arg), void *arg);
/** Bytes queued and not yet taken by the socket.
 */
size_t conn_output_bytes(const struct conn *c);

/** While reading is paused the peer's going away is noticed only by writing. */
void conn_pause_read(struct conn *c);
void conn_resume_read(struct conn *c);
/** on_timeout is called once, `ms` from now (coarse: within 250 ms); 0 cancels. Replaces the
 * earlier one. Idle connections with no deadline cost no wake-ups. */
void conn_set_deadline(struct conn *c, unsigned ms);
/** Closes now, dropping unsent output. */
void conn_close(struct conn *c);
/** Closes after the queued output has been sent and the peer had a moment to read it (lingering
 * close: shutdown of the sending side, then input is dropped until the peer closes, 2 s at most).
 */
void conn_close_after_write(struct conn *c);

#endif
