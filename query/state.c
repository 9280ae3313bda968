/*
 * Documents: the current ones from the state, in one read transaction; past ones from the nearest
 * snapshot, the deltas after it and the log, as a merge (snapshot/rebuild.h). Both come in the
 * order of ids, so that a document of the past is found on the way.
 */
#include <stdlib.h>
#include <string.h>

#include "query/kinds.h"
#include "query/lines.h"

#define CHECK_EVERY 1024 /* documents between two looks at op_cancelled */

struct reading {
    struct state *state;
    struct state_scan *scan;
    struct source *source;
    struct rebuild_plan plan;
    bool planned;
    struct rebuild *rebuild;
};

static err_t open_current(struct query_op *op, struct reading *rd)
{
    struct state_collection c;
    TRY(op_settle(op));
    TRY(op_state(op, &rd->state));
    TRY(op_collection(op, rd->state, &c));
    free(c.name);
    return state_scan_open(rd->state, c.id, &rd->scan);
}

static err_t open_past(struct query_op *op, struct reading *rd)
{
    TRY(op_settle(op));
    TRY(op_source(op, &rd->source));
    TRY(rebuild_plan(rd->source, op->namespace_name, op->collection, &op->target, &rd->plan));
    rd->planned = true;
    return rebuild_open(rd->source, op->namespace_name, op->collection, &rd->plan, &rd->rebuild);
}

static err_t next_document(struct reading *rd, struct state_doc *ret)
{
    return rd->rebuild != NULL ? rebuild_next(rd->rebuild, ret) : state_scan_next(rd->scan, ret);
}

static void close_reading(struct query_op *op)
{
    struct reading *rd = op->work;
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
    if (op->work != NULL)
        return OK;
    struct reading *rd = op->work = xcalloc(1, sizeof(*rd));
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

/** As ids are ordered: bytes, then length. */
static int compare_ids(struct slice a, struct slice b)
{
    int order = memcmp(a.data, b.data, MIN(a.len, b.len));
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static err_t no_document(const struct query_op *op)
{
    return err_fail(ERR_NOT_FOUND, "there is no document \"%.*s\" in the collection \"%.*s\"%s",
                    (int)MIN(op->doc_id.len, 150), op->doc_id.data,
                    (int)MIN(op->collection.len, 150), op->collection.data,
                    op->has_target ? " at that moment" : "");
}

static err_t read_past_document(struct query_op *op)
{
    TRY(open_reading(op));
    for (unsigned n = 1;; n++) {
        struct state_doc doc;
        err_t err = next_document(op->work, &doc);
        int order = err == OK ? compare_ids(doc.id, op->doc_id) : 1;
        if (err == ERR_END || (err == OK && order > 0))
            return no_document(op);
        if (err != OK)
            return err;
        if (order == 0) {
            line_document(&op->out, &doc);
            return OK;
        }
        if (n % CHECK_EVERY == 0 && op_cancelled(op))
            return err_fail(ERR_UNAVAILABLE, "the server is stopping");
    }
}

static err_t read_document(struct query_op *op)
{
    if (op->has_target)
        return read_past_document(op);
    struct reading *rd = op->work = xcalloc(1, sizeof(*rd));
    struct state_collection c;
    struct state_doc doc;
    TRY(op_settle(op));
    TRY(op_state(op, &rd->state));
    TRY(op_collection(op, rd->state, &c));
    free(c.name);
    err_t err = state_get(rd->state, c.id, op->doc_id, &op->arena, &doc);
    if (err == ERR_NOT_FOUND)
        return no_document(op);
    if (err == OK)
        line_document(&op->out, &doc);
    return err;
}

const struct query_kind state_kind = {.content_type = "application/x-ndjson",
                                      .prepare = request_target,
                                      .work = read_collection,
                                      .close = close_reading};
const struct query_kind document_kind = {.content_type = "application/json",
                                         .prepare = request_target,
                                         .work = read_document,
                                         .close = close_reading};
