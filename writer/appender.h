/*
 * writer/appender.h: a reactor's side of the writer: one open batch per shard, shared by all small
 * requests of one turn of the loop and sealed at its end; batches of their own for large requests;
 * completions brought back to the reactor's thread.
 *
 * Owner: its reactor; all calls and callbacks on that thread.
 *
 * A small request (body at most LIMIT_OWN_BATCH_BODY, complete): appender_open, builder_mark,
 * builder_add …, then appender_join; or builder_truncate back to the mark when it turns out bad.
 * All in one callback. A large one: appender_take_builder, builder_stream, builder_add … as its
 * body arrives, then appender_submit_own; or appender_give_builder.
 */
#ifndef WRITER_APPENDER_H
#define WRITER_APPENDER_H

#include "net/reactor.h"
#include "writer/builder.h"
#include "writer/writer.h"

struct appender;

struct append_result {
    err_t err;
    const char *err_text; /* borrowed; a sentence when err is not OK */
    uint32_t shard;
    int64_t first_offset;
    int64_t lsn; /* offset of the request's last event */
};

/** A request that waits for its records to be durable; embedded in the door's own object. */
struct append_request {
    struct append_request *next;
    uint32_t first_delta;
    uint32_t count;
    /** Called once on the reactor's thread. The request object may be freed inside. */
    void (*on_done)(struct append_request *req, const struct append_result *result);
};

struct appender *appender_new(struct writer *w, struct reactor *r, enum batch_codec codec);
/** Nothing may be pending. */
void appender_free(struct appender *a);

/** The open batch of this shard for this turn. ERR_BUFFER_FULL, ERR_READ_ONLY, ERR_NO_SPACE as
 * writer_submit. */
err_t appender_open(struct appender *a, struct shard *sh, struct builder **ret_builder) MUST_USE;
/** The records since `mark` are this request's. `key` (may be NULL) must have been attached to the
 * last record with builder_attach_key. Always calls on_done later, never from inside. */
void appender_join(struct appender *a, struct shard *sh, struct builder_mark mark,
                   struct key_slot *key, struct append_request *req);
/** A builder for a large request, from the appender's spare ones; give it back with
 * appender_give_builder (NULL-safe) or appender_submit_own. */
struct builder *appender_take_builder(struct appender *a);
void appender_give_builder(struct appender *a, struct builder *b);

/** Seals `b` (moved: freed later by the appender) and submits it. On an error on_done is not
 * called, the builder is freed and the key abandoned. */
err_t appender_submit_own(struct appender *a, struct shard *sh, struct builder *b,
                          struct key_slot *key, struct append_request *req) MUST_USE;

#endif
