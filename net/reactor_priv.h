/*
 * net/reactor_priv.h: the reactor's inside, for the other files of net/.
 */
#ifndef NET_REACTOR_PRIV_H
#define NET_REACTOR_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "net/output.h"
#include "net/reactor.h"
#include "net/wheel.h"

#define REACTOR_RECV_BYTES KIB(64)

struct conn;

struct reactor {
    uv_loop_t loop;
    uv_async_t wake;
    uv_check_t check; /* runs after polling: the end of a turn */
    uv_prepare_t
        prepare; /* runs before polling: output queued by close callbacks or foreign timers */
    struct wheel wheel;
    unsigned index;
    pthread_t thread;
    uv_sem_t started; /* posted when the loop runs, or start_error says why not */
    int start_error;
    _Atomic(struct reactor_msg *) inbox; /* newest first */
    struct reactor_turn_hook *hooks;
    bool in_turn;    /* between the first callback of a turn and its end */
    bool gathering;  /* the turn goes on with the next poll, */
    uv_idle_t again; /* which does not sleep */
    bool cutting;    /* connections are being cut off: a turn ends with its poll */
    bool stopping;
    struct conn *dirty; /* connections with output to flush, in any order */
    struct out_pool out_pool;
    char *recv_buf; /* owned, REACTOR_RECV_BYTES; filled by recv and gone at the next one */
};

/** Every callback that libuv makes into net/ starts with this, so that the end of the turn is run.
 */
static inline void reactor_turn_begin(struct reactor *r)
{
    r->in_turn = true;
}

/** Runs `run(arg)` on the reactor's thread and returns when it has returned. Not on that thread. */
void reactor_call(struct reactor *r, void (*run)(struct reactor *r, void *arg), void *arg);

#endif
