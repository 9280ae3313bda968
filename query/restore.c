/*
 * POST /restore: says what a restore would read and change (dry run), or does it in place.
 */
#include <string.h>

#include "query/kinds.h"
#include "query/restore.h"

/** {"snapshot":…,"deltas":[…],"logRange":[from,to]|null,"inserts":…,"updates":…,"deletes":…} */
static void report_dry_run(struct buf *out, const struct rebuild_plan *p,
                           const struct restore_counts *counts)
{
    buf_append_str(out, "{\"dryRun\":true,\"snapshot\":");
    if (p->snapshot.path == NULL)
        buf_append_str(out, "null");
    else
        buf_append_json(out, p->snapshot.path, strlen(p->snapshot.path));
    buf_append_str(out, ",\"deltas\":[");
    for (size_t i = 0; i < p->delta_count; i++) {
        buf_append_str(out, i > 0 ? "," : "");
        buf_append_json(out, p->deltas[i].path, strlen(p->deltas[i].path));
    }
    buf_append_str(out, "],\"logRange\":");
    if (p->log_from < p->log_to)
        buf_printf(out, "[%lld,%lld]", (long long)p->log_from, (long long)p->log_to - 1);
    else
        buf_append_str(out, "null");
    buf_printf(out, ",\"inserts\":%llu,\"updates\":%llu,\"deletes\":%llu}",
               (unsigned long long)counts->inserts, (unsigned long long)counts->updates,
               (unsigned long long)counts->deletes);
}

static err_t run_planned(struct query_op *op, struct source *source, const struct restore_ask *ask,
                         const struct rebuild_plan *plan)
{
    struct restore_counts counts;
    if (!ask->dry_run)
        return restore_in_place(op, source, ask, plan);
    TRY(restore_diff(source, op->namespace_name, op->collection, plan, &ask->filter, NULL, NULL,
                     &counts));
    report_dry_run(&op->out, plan, &counts);
    return OK;
}

static err_t run(struct query_op *op, const struct restore_ask *ask)
{
    struct source *source;
    struct rebuild_plan plan = {0};
    TRY(op_settle(op));
    TRY(op_source(op, &source));
    err_t err = ask->has_undo
                    ? OK
                    : rebuild_plan(source, op->namespace_name, op->collection, &ask->target, &plan);
    if (err == OK) {
        err = run_planned(op, source, ask, &plan);
        rebuild_plan_free(&plan);
    }
    source_close(source);
    return err == ERR_NOT_FOUND && ask->has_undo ? op_unknown_collection(op) : err;
}

static err_t restore(struct query_op *op)
{
    struct restore_ask ask;
    struct query_job job;
    TRY(restore_ask_read(buf_slice(&op->body), &ask));
    err_t err = OK;
    if (!ask.dry_run)
        err = query_job_begin(op->q, &job, op->namespace_name, op->collection);
    if (err == OK) {
        err = run(op, &ask);
        if (!ask.dry_run)
            query_job_end(op->q, &job);
    }
    restore_ask_release(&ask);
    return err;
}

const struct query_kind restore_kind = {
    .content_type = "application/json", .takes_body = true, .work = restore};
