/*
 * net/reactor.h: one event loop per core, and the messages that other threads send to it.
 *
 * A reactor owns the connections that it accepted: all their callbacks run on its thread. Other
 * threads reach it only through reactor_post.
 */
#ifndef NET_REACTOR_H
#define NET_REACTOR_H

#include "base/base.h"
#include "base/err.h"

struct reactor;
struct uv_loop_s;

/** Something to run on the reactor's thread; embedded in the sender's object, which must stay alive
 *  until `run` is called. May be posted again from within `run` or later. */
struct reactor_msg {
    struct reactor_msg *next;
    void (*run)(struct reactor_msg *msg);
};

/** Called on the reactor's thread at the end of each turn of the loop that handled I/O or messages,
 * before it sleeps, and again where messages came meanwhile: the place to seal open batches. May
 * wait for a quick disk. Embedded in the owner; stays registered for the loop's life.
 *
 * `gathers` (may be NULL) is asked before: while one says true, the sockets are looked at once
 * more, without sleeping, before the turn ends. It says so only where the last look brought
 * something. */
struct reactor_turn_hook {
    struct reactor_turn_hook *next;
    void (*run)(struct reactor_turn_hook *hook);
    bool (*gathers)(struct reactor_turn_hook *hook);
};

/** Starts `count` reactors (1..64), each with its own thread. `index` of each is 0..count-1. */
struct reactor_group;
err_t reactor_group_start(unsigned count, struct reactor_group **ret_group) MUST_USE;
struct reactor *reactor_group_get(struct reactor_group *group, unsigned index);
unsigned reactor_group_count(const struct reactor_group *group);
/** Ends the loops (their connections must be closed before: see listener_*) and joins the threads.
 * NULL-safe. */
void reactor_group_stop(struct reactor_group *group);

unsigned reactor_index(const struct reactor *r);
struct uv_loop_s *reactor_loop(struct reactor *r);
/** Any thread. Runs msg->run on the reactor's thread soon; posts from one thread keep their order.
 *  Many posts before the reactor wakes cost one wake-up. */
void reactor_post(struct reactor *r, struct reactor_msg *msg);
/** Reactor thread (or before it has started work). */
void reactor_add_turn_hook(struct reactor *r, struct reactor_turn_hook *hook);
/** True on the reactor's own thread. Any thread. */
bool reactor_is_current(const struct reactor *r);

#endif
