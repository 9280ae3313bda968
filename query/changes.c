/*
 * Changes: of a collection from an LSN on, and of one document. What the log still has is read from
 * the log, what it has dropped from the deltas. A reply has a bound; X-Next-LSN says where the next
 * one goes on, so that a follower never holds a reply open for long.
 */
#include <stdio.h>

#include "query/kinds.h"
#include "snapshot/lines.h"

#define LIMIT_DEFAULT 1000
#define LIMIT_MAX 100000
#define REPLY_BYTES_MAX MIB(8) /* after the first change */
#define WAIT_SECONDS_MAX 60

/** One reply in the making. */
struct gather {
    struct query_op *op;
    struct state *state; /* as of `to` or later; opened with the first change that has `expect` */
    int64_t next;        /* changes below are in the reply, or none of this collection */
    int64_t to;
    unsigned count;
    bool full;
};

static void add_change(struct gather *g, const struct change *c)
{
    struct query_op *op = g->op;
    line_change(&op->out, c);
    g->count++;
    g->next = c->lsn + 1;
    g->full = g->count >= op->limit || op->out.len >= REPLY_BYTES_MAX;
}

static bool on_change(void *arg, const struct change *c)
{
    struct gather *g = arg;
    add_change(g, c);
    return !g->full && !op_cancelled(g->op);
}

/** The changes that the log has dropped, or that of one document; [g->next, to). */
static err_t gather_from_store(struct gather *g, const struct slice *doc_id, int64_t to)
{
    struct query_op *op = g->op;
    struct source *source;
    int64_t oldest = -1;
    TRY(op_source(op, &source));
    err_t err = changes_each(source, op->namespace_name, op->collection, doc_id,
                             (struct change_range){g->next, to}, on_change, g, &oldest);
    if (err == ERR_OFFSET_OUT_OF_RANGE && op->from < 0 && oldest > g->next) {
        g->next = oldest; /* from the oldest that is kept, as nobody said from where */
        err = oldest >= to
                  ? OK
                  : changes_each(source, op->namespace_name, op->collection, doc_id,
                                 (struct change_range){g->next, to}, on_change, g, &oldest);
    }
    source_close(source);
    if (err == ERR_OFFSET_OUT_OF_RANGE) {
        snprintf(op->details, sizeof(op->details), "{\"oldest\":%lld}", (long long)oldest);
        return err_fail(
            ERR_LSN_GONE,
            "the changes from LSN %lld on are no longer kept: the oldest available is %lld",
            (long long)g->next, (long long)oldest);
    }
    if (err == OK && !g->full) {
        TRY(op_check_stop(op)); /* else the rest of them was not looked at */
        g->next = MAX(g->next, to);
    }
    return err;
}

/* From the log -------------------------------------------------------------------------------- */

/** Whether the state took it: known once the state has reached it. */
static err_t find_skipped(struct gather *g, struct change *c)
{
    if (c->expect < 0)
        return OK;
    if (g->state == NULL) {
        TRY(op_settle(g->op));
        TRY(op_state(g->op, &g->state));
    }
    return state_was_skipped(g->state, c->lsn, &c->skipped);
}

static err_t gather_batch(struct gather *g, const uint8_t *batch, const struct batch_header *h)
{
    CLEANUP(arena_release) struct arena arena = ARENA_INIT;
    struct change_reader changes;
    struct change c;
    const char *malformed;
    err_t err = OK;
    change_reader_open(&changes, batch, h, g->next);
    while (err == OK && !g->full && change_reader_next(&changes, &arena, &c, &malformed)) {
        if (malformed == NULL && slice_equal(c.collection, g->op->collection)) {
            err = find_skipped(g, &c);
            if (err == OK)
                add_change(g, &c);
        }
        arena_reset(&arena);
    }
    change_reader_close(&changes);
    return err;
}

/** [g->next, g->to) */
static err_t gather_from_log(struct gather *g, struct shard *shard)
{
    struct log_reader reader;
    if (g->next >= g->to)
        return OK;
    TRY(log_reader_open(&reader, shard, g->next));
    err_t err = OK;
    while (!g->full && g->next < g->to) {
        const uint8_t *batch;
        struct batch_header h;
        err = log_reader_next(&reader, &batch, &h);
        if (err != OK)
            break;
        err = gather_batch(g, batch, &h);
        if (err == OK)
            err = op_check_stop(g->op);
        if (err != OK)
            break;
        if (!g->full)
            g->next = batch_next_offset(&h);
    }
    log_reader_close(&reader);
    return err == ERR_END ? OK : err;
}

static err_t gather_changes(struct gather *g, struct shard *shard)
{
    int64_t start = shard_log_start(shard);
    if (g->next < start)
        TRY(gather_from_store(g, NULL, MIN(start, g->to)));
    return g->full ? OK : gather_from_log(g, shard);
}

/* The kinds ----------------------------------------------------------------------------------- */

static err_t prepare(struct query_op *op, const struct http_request *r)
{
    int64_t limit;
    int64_t seconds;
    TRY(request_number(op, r, "from", INT64_MAX / 2, -1, &op->from));
    TRY(request_number(op, r, "limit", LIMIT_MAX, LIMIT_DEFAULT, &limit));
    TRY(request_number(op, r, "wait", WAIT_SECONDS_MAX, 0, &seconds));
    if (limit == 0)
        return err_fail(ERR_VALIDATION, "\"limit\" must be at least 1");
    op->limit = (unsigned)limit;
    op->wait_ms = (unsigned)seconds * 1000;
    return OK;
}

static err_t read_changes(struct query_op *op)
{
    struct shard *shard;
    TRY(op_shard(op, &shard));
    struct gather g = {.op = op, .to = shard_high_watermark(shard)};
    g.next = op->next_lsn >= 0 ? op->next_lsn : MAX(op->from, 0);
    if (g.next > g.to)
        return err_fail(ERR_VALIDATION, "LSN %lld lies beyond the end: the next change is LSN %lld",
                        (long long)g.next, (long long)g.to);
    err_t err = gather_changes(&g, shard);
    state_close(g.state);
    if (err != OK)
        return err;
    op->next_lsn = g.next;
    op->wait_shard = shard;
    op->wait_seen = g.to;
    if (g.count > 0)
        return OK;
    op->step = STEP_WAIT;
    /* Was it ever written to? An answer without changes says which it is. */
    return op->wait_ms > 0 ? OK : op_check_collection(op);
}

static err_t read_history(struct query_op *op)
{
    struct shard *shard;
    TRY(op_settle(op));
    TRY(op_shard(op, &shard));
    struct gather g = {.op = op, .to = shard_high_watermark(shard), .next = MAX(op->from, 0)};
    err_t err = gather_from_store(&g, &op->item, g.to);
    if (err == ERR_NOT_FOUND)
        return op_unknown_collection(op);
    TRY(err);
    op->next_lsn = g.next;
    if (g.count == 0 && op->from < 0)
        return err_fail(ERR_NOT_FOUND,
                        "the document \"%.*s\" has no changes in the collection \"%.*s\"",
                        (int)MIN(op->item.len, 150), op->item.data,
                        (int)MIN(op->collection.len, 150), op->collection.data);
    return OK;
}

const struct query_kind changes_kind = {.content_type = "application/x-ndjson",
                                        .parameters = "from, limit, wait",
                                        .prepare = prepare,
                                        .work = read_changes};
const struct query_kind history_kind = {.content_type = "application/x-ndjson",
                                        .parameters = "from, limit",
                                        .prepare = prepare,
                                        .work = read_history};
