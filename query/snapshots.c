/*
 * Snapshots over HTTP, the list of collections, and flush.
 */
#include "base/metrics.h"
#include "query/kinds.h"
#include "snapshot/lines.h"

#define FLUSH_TRIES 6
#define FLUSH_TRY_MS 10000

static err_t list_snapshots(struct query_op *op)
{
    struct snapshot_list list;
    TRY(op_check_collection(op));
    TRY(snapshot_list_read(op->q->options.store, op->namespace_name, op->collection, &list));
    buf_append_str(&op->out, "{\"snapshots\":[");
    for (size_t i = 0; i < list.count; i++) {
        if (i > 0)
            buf_append_char(&op->out, ',');
        json_snapshot(&op->out, &list.items[i]);
    }
    buf_append_str(&op->out, "]}");
    snapshot_list_free(&list);
    return OK;
}

static err_t create_snapshot(struct query_op *op)
{
    struct query_job job;
    struct source *source;
    struct snapshot snapshot;
    TRY(op_settle(op));
    TRY(op_source(op, &source));
    err_t err = query_job_begin(op->q, &job, op->namespace_name, op->collection);
    if (err == OK) {
        err =
            snapshot_create(source, op->namespace_name, op->collection, SNAPSHOT_MANUAL, &snapshot);
        query_job_end(op->q, &job);
    }
    source_close(source);
    if (err != OK)
        return err;
    metric_inc(M_snapshots_total);
    json_snapshot(&op->out, &snapshot);
    snapshot_free(&snapshot);
    op->status = 201;
    return OK;
}

/* Collections --------------------------------------------------------------------------------- */

struct collection_lister {
    struct query_op *op;
    err_t err;
};

static err_t add_snapshot_count(struct query_op *op, struct slice name)
{
    struct snapshot_list list = {0};
    err_t err = snapshot_list_read(op->q->options.store, op->namespace_name, name, &list);
    if (err != OK && err != ERR_CORRUPT)
        return err;
    json_snapshot_count(&op->out, list.count, err == OK ? NULL : err_text(err));
    snapshot_list_free(&list);
    return OK;
}

static bool add_collection(void *arg, const struct state_collection *c)
{
    struct collection_lister *l = arg;
    struct query_op *op = l->op;
    struct drill_result drill;
    struct slice name = {c->name, c->name_len};
    char hash[33];
    if (op->out.data[op->out.len - 1] != '[')
        buf_append_char(&op->out, ',');
    buf_append_str(&op->out, "{\"name\":");
    buf_append_json(&op->out, c->name, c->name_len);
    buf_printf(&op->out, ",\"count\":%llu,\"lastLsn\":%lld", (unsigned long long)c->count,
               (long long)c->last_lsn);
    if (c->last_lsn >= 0)
        json_time(&op->out, "maxTs", c->max_ts_us);
    l->err = add_snapshot_count(op, name);
    if (l->err != OK)
        return false;
    state_hash_format(c->hash, hash);
    buf_printf(&op->out, ",\"hash\":\"%s\",\"lastDrill\":", hash);
    /* One that is damaged is none; the next drill mends it. */
    if (drill_last(op->q->options.store, op->namespace_name, name, &drill) == OK)
        drill_to_json(&drill, &op->out);
    else
        buf_append_str(&op->out, "null");
    buf_append_char(&op->out, '}');
    return !op_cancelled(op);
}

static err_t list_collections(struct query_op *op)
{
    struct state *state;
    TRY(op_settle(op));
    buf_append_str(&op->out, "{\"collections\":[");
    const struct query_options *o = &op->q->options;
    CLEANUP(xfree_ptr) char *path = cdc_state_path(o->data_dir, op->namespace_name);
    err_t err = state_reader_open(o->io, path, &state);
    if (err == OK) {
        struct collection_lister l = {op, OK};
        err = state_each_collection(state, add_collection, &l);
        state_close(state);
        TRY(l.err);
        TRY(op_check_stop(op)); /* else some were left out */
    }
    if (err != OK && err != ERR_NOT_FOUND) /* no state: no collection yet */
        return err;
    buf_append_str(&op->out, "]}");
    return OK;
}

/* Flush --------------------------------------------------------------------------------------- */

static err_t flush(struct query_op *op)
{
    const char *ns = op->namespace_name[0] != '\0' ? op->namespace_name : NULL;
    err_t err = ERR_REQUEST_TIMEOUT;
    for (int i = 0; i < FLUSH_TRIES && err == ERR_REQUEST_TIMEOUT && !op_cancelled(op); i++)
        err = cdc_flush(op->q->options.cdc, ns, true, FLUSH_TRY_MS);
    if (err == ERR_REQUEST_TIMEOUT)
        return err_fail(ERR_UNAVAILABLE, "not all changes are in the store yet: try again");
    if (err != OK &&
        err != ERR_NOT_FOUND) /* a namespace that nothing was written to: nothing to do */
        return err;
    buf_append_str(&op->out, "{\"ok\":true}");
    return OK;
}

const struct query_kind snapshot_list_kind = {.content_type = "application/json",
                                              .work = list_snapshots};
const struct query_kind snapshot_create_kind = {.content_type = "application/json",
                                                .work = create_snapshot};
const struct query_kind collections_kind = {.content_type = "application/json",
                                            .work = list_collections};
const struct query_kind flush_kind = {
    .content_type = "application/json", .of_all = true, .work = flush};
