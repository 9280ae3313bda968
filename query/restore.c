/*
 * POST /restore: says what a restore would read and change (dry run), or does it in place.
 */
#include "query/restore.h"
#include "query/kinds.h"
#include "snapshot/lines.h"

static err_t run_planned(struct query_op *op, struct source *source, const struct restore_ask *ask,
                         const struct rebuild_plan *plan)
{
    struct restore_counts counts;
    if (!ask->dry_run)
        return restore_in_place(op, source, ask, plan);
    TRY(restore_diff(source, op->namespace_name, op->collection, plan, &ask->filter, NULL, NULL,
                     &counts));
    json_dry_run(&op->out, plan, &counts);
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
