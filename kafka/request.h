/*
 * kafka/request.h (private): one request in work, and the reply that is built for it.
 *
 * Life: session_take makes it, puts it at the end of its session's queue and calls the handler of
 * its API. The handler (now or later, on the session's reactor) writes the reply and calls
 * request_done exactly once. Replies leave in queue order; then the request is freed.
 *
 * A handler that cannot answer at once keeps its state in the request's arena and, where another
 * thread works for it, comes back by reactor_post. When the connection goes away meanwhile, the
 * session forgets the connection, calls on_gone (if set) and frees the request at request_done.
 *
 * Owner: the session's reactor.
 */
#ifndef KAFKA_REQUEST_H
#define KAFKA_REQUEST_H

#include "base/arena.h"
#include "kafka/door.h"
#include "kafka/wire/header.h"
#include "log/log.h"
#include "net/reactor.h"

struct kafka_session;
struct kafka_request;

/** One row per API (kafka/api_table.c). */
struct kafka_api {
    int16_t key;
    const char *name;
    int16_t min; /* advertised: min..max */
    int16_t max;
    int16_t framed_min;     /* from here on the handler knows the frame, if only to refuse */
    int16_t first_flexible; /* INT16_MAX: never */
    size_t max_bytes;       /* of a whole request */
    /** The request's bytes are valid only during the call of `handle` (else as long as the
     * request).
     */
    bool borrows;
    /** Later requests of the connection are taken while this one is unanswered. */
    bool pipelined;
    /** ERR_INVALID_REQUEST for what cannot be parsed: the connection is closed. ERR_AGAIN
     * (pipelined ones only): no room now, call again with the same bytes later; nothing was kept.
     */
    err_t (*handle)(struct kafka_request *rq, struct wire_reader *in);
    /** Answers a version outside framed_min..max; NULL: the connection is closed. */
    void (*unsupported)(struct kafka_request *rq);
};

/** NULL for a key that is not served. */
const struct kafka_api *api_find(int16_t key);
/** All rows, by key. */
const struct kafka_api *api_rows(size_t *ret_count);

struct reply_part; /* kafka/reply.h */

struct kafka_request {
    struct kafka_request *next; /* in the session's queue */
    struct kafka_session *session;
    struct kafka_door *door;
    const struct kafka_api *api;
    struct request_header header;
    bool flexible;
    struct arena arena;
    /* the reply */
    struct buf bytes; /* the run being written */
    struct reply_part *first_part;
    struct reply_part **last_part;
    bool done;
    bool silent;      /* no reply is sent (acks=0) */
    bool close_after; /* the connection is closed when the reply is out */
    /** The connection is gone; request_done must still be called. May be NULL. */
    void (*on_gone)(struct kafka_request *rq);
    /** The session's timer went off; see session_timer_start. */
    void (*on_timer)(struct kafka_request *rq);
    void *state; /* the handler's */
};

/** The reply is complete (or `silent` is set). The request may be freed inside. */
void request_done(struct kafka_request *rq);
/** True when nobody waits for the answer any more. */
bool request_is_gone(const struct kafka_request *rq);

struct reactor *request_reactor(const struct kafka_request *rq);
/** One timer per session, for the one request that is not pipelined: on_timer is called once. */
void request_timer_start(struct kafka_request *rq, unsigned ms);
void request_timer_stop(struct kafka_request *rq);
/** How long this pipelined request has been answered with ERR_AGAIN. */
unsigned request_waited_ms(const struct kafka_request *rq);

#endif
