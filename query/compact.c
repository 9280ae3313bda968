/*
 * POST /admin/compact: merges the deltas of every collection and writes its compacted state
 * (snapshot/compact.c), one collection after the other.
 */
#include "query/kinds.h"
#include "snapshot/snapshot.h"

static err_t compact_collection(struct query_op *op, struct source *source,
                                const char *namespace_name, struct slice collection)
{
    struct query_job job;
    TRY(query_job_begin(op->q, &job, namespace_name, collection));
    err_t err = snapshot_compact(source, namespace_name, collection);
    query_job_end(op->q, &job);
    return err;
}

static err_t compact_namespace(struct query_op *op, struct source *source,
                               const char *namespace_name, unsigned *count)
{
    CLEANUP(name_list_free) struct name_list names = {0};
    TRY(source_collections(source, namespace_name, &names));
    for (size_t i = 0; i < names.count; i++) {
        if (op_cancelled(op))
            return err_fail(ERR_UNAVAILABLE, "stopped before all collections were compacted");
        err_t err = compact_collection(op, source, namespace_name, slice_of(names.names[i]));
        if (err != OK && err != ERR_NOT_FOUND) /* nothing of it is in the store yet */
            return err;
        *count += err == OK;
    }
    return OK;
}

static err_t compact_all(struct query_op *op, struct source *source, unsigned *count)
{
    CLEANUP(name_list_free) struct name_list names = {0};
    TRY(source_namespaces(source, &names));
    for (size_t i = 0; i < names.count; i++)
        TRY(compact_namespace(op, source, names.names[i], count));
    return OK;
}

static err_t compact(struct query_op *op)
{
    struct source *source;
    unsigned count = 0;
    TRY(op_source(op, &source));
    err_t err = op->namespace_name[0] == '\0'
                    ? compact_all(op, source, &count)
                    : compact_namespace(op, source, op->namespace_name, &count);
    source_close(source);
    TRY(err);
    buf_printf(&op->out, "{\"ok\":true,\"collections\":%u}", count);
    return OK;
}

const struct query_kind compact_kind = {
    .content_type = "application/json", .of_all = true, .work = compact};
