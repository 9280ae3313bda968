/*
 * query/op.h: one request in work. Private to query/.
 *
 *     on_request, on_body*, on_end ──> step (worker) ──> whole reply
 *                                       ^   │ MORE ──> piece; when it has left: next step
 *                                       │   └ WAIT ──> an append, or the time is over: next step
 *
 * O1. Either a worker has the operation (`busy`), or a message or wait is due, or it is the
 *     reactor's: never two at once, so its fields need no lock. Only `cancelled` is read across.
 *
 * O2. The exchange is touched by the reactor alone; once it is gone `x` is NULL.
 *
 * O3. `close` of its kind runs once, on a worker, after a step that ended or failed, or after an
 *     abort.
 */
#ifndef QUERY_OP_H
#define QUERY_OP_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/lock.h"
#include "base/worker.h"
#include "query/query.h"
#include "snapshot/rebuild.h"

struct uv_timer_s;

#define OP_PIECE_BYTES KIB(256)  /* of a streamed reply */
#define OP_UNSENT_BYTES KIB(256) /* the next piece is made while less than this waits to leave */

struct query_op;

enum op_step {
    STEP_DONE, /* `out` is the whole reply, or its last piece */
    STEP_MORE, /* `out` is a piece */
    STEP_WAIT, /* nothing yet: come back after an append to wait_shard beyond wait_seen */
};

/** A kind of request. */
struct query_kind {
    const char *content_type;
    bool takes_body;
    bool of_all; /* names no namespace: the key's own, or all */
    bool admin_only;
    const char *parameters; /* that it takes, "at, lsn"; NULL: none */
    /** Reactor: reads and checks the parameters. May be NULL. */
    err_t (*prepare)(struct query_op *op, const struct http_request *r);
    /** Worker: one step. */
    err_t (*work)(struct query_op *op);
    /** Worker: lets go of op->work. May be NULL. */
    void (*close)(struct query_op *op);
};

struct query_op {
    struct query *q;
    const struct query_kind *kind;
    struct http_exchange *x; /* NULL: the client is gone or answered */
    struct reactor *reactor;
    struct arena arena;          /* what was asked lives here */
    const struct tenant *tenant; /* NULL: not known yet */
    /* what was asked */
    char namespace_name[65];
    struct slice collection;
    struct slice item; /* the document's id or the snapshot's name; data NULL: not in the path */
    struct target target;
    bool has_target;
    int64_t from; /* -1: not given */
    unsigned wait_ms, limit;
    struct buf body;
    /* how far it is */
    bool busy;
    bool started; /* of a streamed reply: the head was sent */
    bool closed;
    _Atomic bool cancelled;
    void *work;
    struct worker_job job;
    struct reactor_msg msg;
    /* what a step leaves */
    enum op_step step;
    err_t err;
    char text[512];
    char details[64]; /* JSON, or "" */
    int status;       /* 0: 200 */
    int64_t next_lsn; /* header X-Next-LSN; -1: none */
    struct buf out;
    /* waiting */
    struct shard *wait_shard;
    int64_t wait_seen;
    bool waiting;
    struct query_op *next_waiting, **waiting_link; /* under the lock of the query */
    _Atomic bool notified; /* `msg` is on its way because of an append or a drain */
    bool timed_out;
    struct shard_waiter waiter;
    struct uv_timer_s *timer; /* owned; NULL: never started */
};

extern const struct http_handler query_handler;
/** For long polls: a client that closes its sending side is gone. */
extern const struct http_handler query_wait_handler;

/** A row's argument. */
struct query_route {
    struct query *q;
    const struct query_kind *kind;
};

struct query {
    struct query_options options;
    struct worker_pool *workers;
    struct query_route args[QUERY_ROUTE_COUNT];
    struct http_route routes[QUERY_ROUTE_COUNT];
    _Atomic bool stopping;
    struct lock lock; /* leaf; guards the fields below */
    struct lock_cond changed;
    bool draining;
    unsigned live;             /* operations in work */
    unsigned readings;         /* of them, those that hold a state or files open */
    _Atomic size_t body_bytes; /* of all requests in work */
    struct query_op *waiting;
    struct query_job *jobs;
};

/** Any thread: whether a long step should give up. */
static inline bool op_cancelled(const struct query_op *op)
{
    return atomic_load_explicit(&op->cancelled, memory_order_relaxed) ||
           atomic_load_explicit(&op->q->stopping, memory_order_relaxed);
}

/** One job at a time per name (a namespace, or a namespace and a collection). Worker. ERR_EXISTS
 * when another has it. */
struct query_job {
    struct query_job *next;
    struct buf name;
};
err_t query_job_begin(struct query *q, struct query_job *job, const char *namespace_name,
                      struct slice collection) MUST_USE;
void query_job_end(struct query *q, struct query_job *job);

/* request.c: what was asked. */
err_t request_read(struct query_op *op, const struct http_request *r) MUST_USE;
/** What request_target reads. */
#define TARGET_PARAMETERS "at, lsn, bookmark, snapshot, latest, exclusive"
err_t request_target(struct query_op *op, const struct http_request *r) MUST_USE;
/** A whole number of at least 0; `fallback` where it is absent. */
err_t request_number(struct query_op *op, const struct http_request *r, const char *name,
                     int64_t max, int64_t fallback, int64_t *ret) MUST_USE;

/* worker side, shared by the kinds */

/** ERR_UNAVAILABLE when it should give up. */
err_t op_check_stop(const struct query_op *op) MUST_USE;

/** Waits until what was acknowledged before is in the state. ERR_NOT_FOUND for an unknown
 * namespace; ERR_UNAVAILABLE when it takes too long. */
err_t op_settle(struct query_op *op) MUST_USE;
/** The namespace's shard 0. ERR_NOT_FOUND. */
err_t op_shard(struct query_op *op, struct shard **ret_shard) MUST_USE;
/** The state's file, opened for reading. ERR_NOT_FOUND. */
err_t op_state(struct query_op *op, struct state **ret_state) MUST_USE;
/** The number that the state knows the collection by. ERR_NOT_FOUND. */
err_t op_collection(struct query_op *op, struct state *s, int64_t *ret_id) MUST_USE;
/** Whether the state, up to date, knows the collection. ERR_NOT_FOUND. */
err_t op_check_collection(struct query_op *op) MUST_USE;
err_t op_source(struct query_op *op, struct source **ret_source) MUST_USE;
err_t op_unknown_collection(const struct query_op *op) MUST_USE;

#endif
