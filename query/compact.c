/*
 * POST /admin/compact: merges the deltas of every collection and writes its compacted state
 * (snapshot/compact.c), one collection after the other.
 */
#include "base/metrics.h"
#include "query/kinds.h"
#include "snapshot/snapshot.h"

struct compaction {
    struct query_op *op;
    struct source *source;
    unsigned count;
};

static err_t compact_one(void *arg, const char *namespace_name, struct slice collection)
{
    struct compaction *c = arg;
    if (op_cancelled(c->op))
        return err_fail(ERR_UNAVAILABLE, "stopped before all collections were compacted");
    err_t err = snapshot_compact(c->source, namespace_name, collection);
    if (err == OK) {
        c->count++;
        metric_inc(M_compactions_total);
    }
    return err == ERR_NOT_FOUND ? OK : err; /* nothing of it is in the store yet */
}

static err_t compact(struct query_op *op)
{
    struct compaction c = {.op = op};
    const char *ns = op->namespace_name[0] != '\0' ? op->namespace_name : NULL;
    TRY(op_source(op, &c.source));
    err_t err = source_each_collection(c.source, ns, compact_one, &c);
    source_close(c.source);
    TRY(err);
    buf_printf(&op->out, "{\"ok\":true,\"collections\":%u}", c.count);
    return OK;
}

const struct query_kind compact_kind = {
    .content_type = "application/json", .of_all = true, .work = compact};
