/*
 * Documents: the current ones from the state, in one read transaction; past ones from the nearest
 * snapshot, the deltas after it and the log, as a merge (snapshot/rebuild.h). Both come in the
 * order of ids, so that a document of the past is found on the way.
 */
#include <stdlib.h>

#include "query/kinds.h"
#include "snapshot/lines.h"

#define READINGS_MAX 32 /* at once; each has files open and some megabytes of caches */
/* A reading keeps the state's write-ahead log from being cut: a client that takes longer is let go.
 */
#define READING_NS_MAX (INT64_C(3600) * 1000000000)

#define PAST_TRIES 3 /* plans for one document, where files are replaced */

struct reading {
    int64_t until_ns;
    struct state *state;
    struct state_scan *scan;
    struct source *source;
    struct rebuild_plan plan;
    bool planned;
    struct rebuild *rebuild;
};

/** Opens the state, up to date, and finds the collection there. */
static err_t find_current(struct query_op *op, struct reading *rd, int64_t *ret_id)
{
    TRY(op_settle(op));
    TRY(op_state(op, &rd->state));
    return op_collection(op, rd->state, ret_id);
}

static err_t open_current(struct query_op *op, struct reading *rd)
{
    int64_t id;
    TRY(find_current(op, rd, &id));
    return state_scan_open(rd->state, id, &rd->scan);
}

static err_t make_plan(struct query_op *op, struct reading *rd)
{
    TRY(rebuild_plan(rd->source, op->namespace_name, op->collection, &op->target, &rd->plan));
    rd->planned = true;
    return OK;
}

static err_t open_plan(struct query_op *op, struct reading *rd)
{
    TRY(op_settle(op));
    TRY(op_source(op, &rd->source));
    return make_plan(op, rd);
}

static err_t open_past(struct query_op *op, struct reading *rd)
{
    TRY(open_plan(op, rd));
    return rebuild_open(rd->source, op->namespace_name, op->collection, &rd->plan, &rd->rebuild);
}

static err_t next_document(struct reading *rd, struct state_doc *ret)
{
    return rd->rebuild != NULL ? rebuild_next(rd->rebuild, ret) : state_scan_next(rd->scan, ret);
}

/** Makes op->work, unless there is too much of it. */
static err_t begin_reading(struct query_op *op, struct reading **ret)
{
    struct query *q = op->q;
    lock_acquire(&q->lock);
    bool full = q->readings >= READINGS_MAX;
    q->readings += !full;
    lock_release(&q->lock);
    if (full)
        return err_fail(ERR_UNAVAILABLE, "%d collections are being read: try again", READINGS_MAX);
    *ret = op->work = xcalloc(1, sizeof(**ret));
    (*ret)->until_ns = clock_mono_ns(q->options.clock) + READING_NS_MAX;
    return OK;
}

static void close_reading(struct query_op *op)
{
    struct reading *rd = op->work;
    lock_acquire(&op->q->lock);
    op->q->readings--;
    lock_release(&op->q->lock);
    rebuild_close(rd->rebuild);
    if (rd->planned)
        rebuild_plan_free(&rd->plan);
    source_close(rd->source);
    state_scan_close(rd->scan);
    state_close(rd->state);
    free(rd);
    op->work = NULL;
}

static err_t open_reading(struct query_op *op)
{
    struct reading *rd = op->work;
    if (rd != NULL && clock_mono_ns(op->q->options.clock) > rd->until_ns)
        return err_fail(ERR_REQUEST_TIMEOUT, "the client has been reading for an hour");
    if (rd != NULL)
        return OK;
    TRY(begin_reading(op, &rd));
    ASSERT(rd != NULL);
    return op->has_target ? open_past(op, rd) : open_current(op, rd);
}

static err_t read_collection(struct query_op *op)
{
    TRY(open_reading(op));
    buf_reserve(&op->out, OP_PIECE_BYTES);
    while (op->out.len < OP_PIECE_BYTES) {
        struct state_doc doc;
        err_t err = next_document(op->work, &doc);
        if (err == ERR_END)
            return OK;
        if (err != OK)
            return err;
        line_document(&op->out, &doc);
    }
    op->step = STEP_MORE;
    return OK;
}

static err_t no_document(const struct query_op *op)
{
    return err_fail(ERR_NOT_FOUND, "there is no document \"%.*s\" in the collection \"%.*s\"%s",
                    (int)MIN(op->item.len, 150), op->item.data, (int)MIN(op->collection.len, 150),
                    op->collection.data, op->has_target ? " at that moment" : "");
}

/** A document's version, made from a base and the changes after it. */
struct version {
    const struct rebuild_plan *plan;
    bool present;
    int64_t lsn, ts_us;
    struct buf doc;
};

static void version_release(struct version *v)
{
    buf_release(&v->doc);
}

static bool take_change(void *arg, const struct change *c)
{
    struct version *v = arg;
    if (c->skipped || c->ts_us > v->plan->ts_max_us)
        return true;
    v->present = c->op != CHANGE_DELETE;
    v->lsn = c->lsn;
    v->ts_us = c->ts_us;
    buf_clear(&v->doc);
    if (v->present)
        buf_append_slice(&v->doc, c->doc);
    return true;
}

/** What the plan's snapshot has of the document. */
static err_t take_base(struct query_op *op, struct source *source, struct version *v)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(op->namespace_name, op->collection);
    struct docs_reader *docs;
    struct state_doc doc;
    TRY(docs_open(source_store(source), dir, &v->plan->snapshot, &op->item, &docs));
    err_t err = docs_next(docs, &doc);
    if (err == OK) {
        v->present = true;
        v->lsn = doc.lsn;
        v->ts_us = doc.ts_us;
        buf_append_slice(&v->doc, doc.doc);
    }
    docs_close(docs);
    return err == ERR_END ? OK : err;
}

/** The base's row and the document's changes: the other documents are not read. */
static err_t take_version(struct query_op *op, struct source *source, struct version *v)
{
    const struct rebuild_plan *plan = v->plan;
    int64_t oldest;
    bool has_base = plan->snapshot.path != NULL;
    int64_t from = has_base ? plan->snapshot.lsn_to : 0;
    v->present = false;
    buf_clear(&v->doc);
    if (has_base)
        TRY(take_base(op, source, v));
    return from < plan->lsn_to
               ? changes_each(source, op->namespace_name, op->collection, &op->item,
                              (struct change_range){from, plan->lsn_to}, take_change, v, &oldest)
               : OK;
}

/** Compaction and cleanup may have replaced a file since the plan was made: only what is wrong
 * with each plan is damage. */
static err_t read_past_document(struct query_op *op)
{
    struct reading *rd;
    TRY(begin_reading(op, &rd));
    TRY(open_plan(op, rd));
    CLEANUP(version_release) struct version v = {.plan = &rd->plan};
    err_t err = take_version(op, rd->source, &v);
    for (int i = 1; i < PAST_TRIES && (err == ERR_CORRUPT || err == ERR_OFFSET_OUT_OF_RANGE); i++) {
        rebuild_plan_free(&rd->plan);
        rd->planned = false;
        TRY(make_plan(op, rd));
        err = take_version(op, rd->source, &v);
    }
    TRY(err);
    if (!v.present)
        return no_document(op);
    const struct state_doc doc = {op->item, buf_slice(&v.doc), v.lsn, v.ts_us};
    line_document(&op->out, &doc);
    return OK;
}

static err_t read_document(struct query_op *op)
{
    if (op->has_target)
        return read_past_document(op);
    struct reading *rd;
    struct state_doc doc;
    int64_t id;
    TRY(begin_reading(op, &rd));
    TRY(find_current(op, rd, &id));
    err_t err = state_get(rd->state, id, op->item, &op->arena, &doc);
    if (err == ERR_NOT_FOUND)
        return no_document(op);
    if (err == OK)
        line_document(&op->out, &doc);
    return err;
}

const struct query_kind state_kind = {.content_type = "application/x-ndjson",
                                      .parameters = TARGET_PARAMETERS,
                                      .prepare = request_target,
                                      .work = read_collection,
                                      .close = close_reading};
const struct query_kind document_kind = {.content_type = "application/json",
                                         .parameters = TARGET_PARAMETERS,
                                         .prepare = request_target,
                                         .work = read_document,
                                         .close = close_reading};
