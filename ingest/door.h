/*
 * ingest/door.h: what the two doors, events and webhooks, share: configuration, state per reactor,
 * the budget of memory, streams, and how records get appended and answered. Private to ingest/.
 */
#ifndef INGEST_DOOR_H
#define INGEST_DOOR_H

#include <stdatomic.h>

#include "base/limits.h"
#include "ingest/decode.h"
#include "ingest/event.h"
#include "ingest/ingest.h"
#include "webhooks/webhook.h"
#include "writer/appender.h"

/** State of one reactor. Owner: that reactor. */
struct ingest_reactor {
    struct reactor *reactor;
    struct appender *appender; /* made with the first request */
    struct webhook_hmac *hmac;
    struct event_scratch scratch;
    char *window;            /* DECODER_WINDOW_BYTES, made with the first compressed body */
    struct stream **streams; /* by tenant index; NULL: not looked up yet */
};

struct ingest {
    struct ingest_options options;
    struct event_rules rules;
    char **secrets; /* in the order of webhook_providers; "" where not configured; owned */
    struct http_route *routes;
    size_t route_count;
    unsigned reactor_count;
    struct ingest_reactor *reactors;
    _Atomic size_t building_bytes; /* of all unfinished requests */
};

struct ingest_reactor *ingest_reactor_of(struct ingest *in, const struct http_exchange *x);
/** The secret of a provider; len 0 where none is configured. */
struct slice ingest_secret_of(const struct ingest *in, const struct webhook_provider *p);
/** "events" or "<namespace>.events"; returns its length. */
size_t ingest_stream_name(const struct tenant *t, char out[LIMIT_STREAM_NAME + 1]);
/** The tenant's stream, or NULL when it does not exist yet. */
struct stream *ingest_stream(struct ingest *in, struct ingest_reactor *ir, const struct tenant *t);
/** The shard for a request. All go to shard 0 until overflow shards exist (docs/architecture.md).
 */
struct shard *ingest_shard(struct stream *s);

/** Memory of one unfinished request, counted against LIMIT_BUILDING_BYTES of all. */
struct charge {
    struct ingest *in;
    size_t bytes;
};
/** ERR_BUFFER_FULL when all unfinished requests together would hold too much. */
err_t charge_add(struct charge *c, size_t bytes) MUST_USE;
void charge_release(struct charge *c);

/* Appending ----------------------------------------------------------------------------------- */

/** What became of a request's records. */
struct append_outcome {
    err_t err;
    const char *text; /* borrowed; a sentence when err is not OK */
    bool deduplicated;
    uint32_t shard;
    uint32_t count;
    int64_t lsn;
};

/**
 * Records on their way into a stream; embedded in a door's request, which lives in the exchange's
 * arena. While `pending`, other threads may hold pointers to it: an abort waits for them.
 *
 * Order: fill the fields marked "in", then one append_op_ call, which calls on_outcome exactly
 * once, at once or later, on the reactor's thread.
 */
struct append_op {
    struct http_exchange *x;     /* in */
    struct ingest *in;           /* in */
    struct ingest_reactor *ir;   /* in */
    const struct tenant *tenant; /* in */
    struct slice key;            /* in: full request key; len 0: none; lives in the arena */
    uint64_t body_hash;          /* in: 0: the key counts for any body */
    void (*on_outcome)(struct append_op *op, const struct append_outcome *outcome); /* in */
    bool pending;
    bool aborted;
    uint32_t count;
    struct stream *stream;
    struct builder *own; /* owned while the stream is being created */
    struct append_request request;
    struct key_waiter waiter;
    struct key_figures figures;
    bool has_figures;
    err_t create_err;
    char create_text[160];
    struct worker_job job;
    struct reactor_msg msg;
};

/** Appends the records behind `mark` in the shard's open batch `b`. op->stream is set. */
void append_op_shared(struct append_op *op, struct builder *b, struct builder_mark mark);
/** Appends all of `b` (moved). Creates the tenant's stream where there is none yet. */
void append_op_own(struct append_op *op, struct builder *b);
/** For on_abort: true when the exchange may be released now, else it is released with the outcome
 * (on_outcome is then not called). */
bool append_op_abort(struct append_op *op);
/** The full request key in the exchange's arena. */
struct slice append_op_key(struct append_op *op, const char *kind, struct slice text);

/** The routes' handlers. */
extern const struct http_handler events_handler;
extern const struct http_handler webhooks_handler;      /* /webhooks, /webhooks/<provider> */
extern const struct http_handler webhooks_host_handler; /* /<provider> on a host webhooks.* */

#endif
