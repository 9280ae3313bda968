/*
 * fake_net.h: net/conn.h and net/reactor.h without sockets and threads, so that a test sees each
 * step: bytes are given to a connection, what it writes is in `out`, messages and timers run when
 * the test says. Linked instead of the net library.
 */
#ifndef TESTS_FAKE_NET_H
#define TESTS_FAKE_NET_H

#include "base/buf.h"
#include "net/conn.h"

struct fake_conn; /* = struct conn */

struct reactor *fake_reactor_new(void);
/** Runs what is posted, then closes the loop, which must have no handles left. */
void fake_reactor_free(struct reactor *r);
/** Runs posted messages, closes and due timers until there is nothing more to do now. Returns how
 * many messages ran. */
unsigned fake_reactor_run(struct reactor *r);
/** Blocks until the next timer of the loop has fired. */
void fake_reactor_wait_timer(struct reactor *r);

/** Opens a connection; NULL when on_open refuses it. */
struct conn *fake_conn_open(struct reactor *r, const struct conn_ops *ops, void *arg);
void fake_conn_receive(struct conn *c, const void *data, size_t len);
/** The deadline set by conn_set_deadline passes. */
void fake_conn_deadline_passes(struct conn *c);
/** As if the peer had gone: on_close, then the memory is freed. */
void fake_conn_gone(struct conn *c);
struct buf *fake_conn_out(struct conn *c);
bool fake_conn_paused(const struct conn *c);
/** The server has closed it (now, or after what is in `out`). */
bool fake_conn_ended(const struct conn *c);
unsigned fake_conn_deadline_ms(const struct conn *c);
/** What conn_output_bytes says. */
void fake_conn_set_backlog(struct conn *c, size_t bytes);

#endif
