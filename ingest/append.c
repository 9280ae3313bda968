/*
 * How a request's records get into a stream, and what becomes of its key:
 *
 *     key_begin ── new ────────> key attached ── appended ── durable ──> outcome
 *               ── done ───────> outcome: deduplicated, the first request's figures
 *               ── in flight ──> waits for the first request ──> deduplicated, or "try again"
 *
 * A stream that does not exist yet is created by a worker, because that blocks on syncs.
 */
#include <stdio.h>
#include <string.h>

#include "ingest/door.h"
#include "writer/keys.h"

static void finish(struct append_op *op, const struct append_outcome *outcome)
{
    op->pending = false;
    if (op->aborted)
        http_exchange_release(op->x);
    else
        op->on_outcome(op, outcome);
}

static void finish_error(struct append_op *op, err_t err, const char *text)
{
    struct append_outcome outcome = {.err = err, .text = text, .lsn = -1};
    finish(op, &outcome);
}

static void on_durable(struct append_request *req, const struct append_result *result)
{
    struct append_op *op = CONTAINER_OF(req, struct append_op, request);
    struct append_outcome outcome = {.err = result->err,
                                     .text = result->err_text,
                                     .shard = result->shard,
                                     .count = op->count,
                                     .lsn = result->lsn};
    finish(op, &outcome);
}

/* A key that was seen before ------------------------------------------------------------------ */

static void finish_repeat(struct append_op *op, const struct key_figures *first)
{
    if (op->body_hash != 0 && first->body_hash != 0 && op->body_hash != first->body_hash) {
        finish_error(op, ERR_KEY_REUSED, "Idempotency-Key was used with another body");
        return;
    }
    struct append_outcome outcome = {
        .deduplicated = true, .shard = first->shard, .count = first->count, .lsn = first->lsn};
    finish(op, &outcome);
}

static void on_first_done(struct reactor_msg *msg)
{
    struct append_op *op = CONTAINER_OF(msg, struct append_op, msg);
    if (op->has_figures)
        finish_repeat(op, &op->figures);
    else
        finish_error(op, ERR_UNAVAILABLE,
                     "the first request with this key failed: send this one again");
}

/** Any thread. */
static void on_first_settled(struct key_waiter *w, const struct key_figures *figures)
{
    struct append_op *op = CONTAINER_OF(w, struct append_op, waiter);
    op->has_figures = figures != NULL;
    if (figures != NULL)
        op->figures = *figures;
    reactor_post(op->ir->reactor, &op->msg);
}

/** KEY_NEW (with *ret_slot NULL where there is no key): go on. Else the outcome is or will be
 * given.
 */
static enum key_outcome begin_key(struct append_op *op, struct key_slot **ret_slot)
{
    *ret_slot = NULL;
    if (op->key.len == 0)
        return KEY_NEW;
    op->waiter.fn = on_first_settled;
    op->msg.run = on_first_done;
    op->pending = true; /* before the waiter can be called */
    return key_begin(op->in->options.writer, op->stream, op->key, op->body_hash, op->count,
                     &op->waiter, ret_slot, &op->figures);
}

/* Appending ----------------------------------------------------------------------------------- */

void append_op_shared(struct append_op *op, struct builder *b, struct builder_mark mark)
{
    struct key_slot *slot;
    op->count = builder_count(b) - mark.count;
    op->request.on_done = on_durable;
    enum key_outcome key = begin_key(op, &slot);
    if (key != KEY_NEW) {
        builder_truncate(b, mark);
        if (key == KEY_DONE)
            finish_repeat(op, &op->figures);
        return;
    }
    if (slot != NULL) {
        err_t err = builder_attach_key(b, op->key, op->count, op->body_hash);
        if (err != OK) {
            builder_truncate(b, mark);
            key_abandon(slot);
            finish_error(op, err, err_text(err));
            return;
        }
    }
    op->pending = true;
    appender_join(op->ir->appender, ingest_shard(op->stream), mark, slot, &op->request);
}

static void append_own(struct append_op *op, struct builder *b)
{
    struct key_slot *slot;
    enum key_outcome key = begin_key(op, &slot);
    if (key != KEY_NEW) {
        appender_give_builder(op->ir->appender, b);
        if (key == KEY_DONE)
            finish_repeat(op, &op->figures);
        return;
    }
    err_t err = OK;
    if (slot != NULL)
        err = builder_attach_key(b, op->key, op->count, op->body_hash);
    if (err != OK) {
        key_abandon(slot);
        appender_give_builder(op->ir->appender, b);
        finish_error(op, err, err_text(err));
        return;
    }
    op->pending = true;
    err = appender_submit_own(op->ir->appender, ingest_shard(op->stream), b, slot, &op->request);
    if (err != OK)
        finish_error(op, err, err_text(err));
}

/* Creating a stream --------------------------------------------------------------------------- */

/** A worker. */
static void create_stream(struct worker_job *job)
{
    struct append_op *op = CONTAINER_OF(job, struct append_op, job);
    struct log *log = op->in->options.log;
    char name[LIMIT_STREAM_NAME + 1];
    size_t len = ingest_stream_name(op->tenant, name);
    op->create_err = log_create_stream(log, name, 1, &op->stream);
    if (op->create_err == ERR_EXISTS) {
        op->stream = log_find_stream(log, name, len);
        op->create_err = OK;
        ASSERT(op->stream != NULL);
    }
    if (op->create_err != OK)
        snprintf(op->create_text, sizeof(op->create_text), "%s", err_text(op->create_err));
    reactor_post(op->ir->reactor, &op->msg);
}

static void on_created(struct reactor_msg *msg)
{
    struct append_op *op = CONTAINER_OF(msg, struct append_op, msg);
    struct builder *b = TAKE(op->own);
    if (op->create_err != OK) {
        appender_give_builder(op->ir->appender, b);
        finish_error(op, op->create_err, op->create_text);
        return;
    }
    if (op->aborted) {
        /* The client is gone; and at a stop the writer may take no more. */
        appender_give_builder(op->ir->appender, b);
        finish_error(op, ERR_UNAVAILABLE, "the client is gone");
        return;
    }
    op->pending = false;
    append_own(op, b);
}

void append_op_own(struct append_op *op, struct builder *b)
{
    op->count = builder_count(b);
    op->request.on_done = on_durable;
    op->stream = ingest_stream(op->in, op->ir, op->tenant);
    if (op->stream != NULL) {
        append_own(op, b);
        return;
    }
    op->own = b;
    op->pending = true;
    op->msg.run = on_created;
    op->job.run = create_stream;
    worker_submit(op->in->options.workers, &op->job);
}

bool append_op_abort(struct append_op *op)
{
    op->aborted = true;
    return !op->pending;
}

struct slice append_op_key(struct append_op *op, const char *kind, struct slice text)
{
    struct slice ns = op->tenant->namespace_name;
    struct buf key = BUF_INIT;
    request_key_write(&key, kind, ns, text);
    struct slice copy = {arena_strndup(http_exchange_arena(op->x), key.data, key.len), key.len};
    buf_release(&key);
    return copy;
}
