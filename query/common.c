/*
 * Steps that several kinds begin with. Workers.
 */
#include <stdlib.h>
#include <string.h>

#include "query/op.h"

#define SETTLE_MS 5000

err_t op_check_stop(const struct query_op *op)
{
    return op_cancelled(op) ? err_fail(ERR_UNAVAILABLE, "the server is stopping") : OK;
}

err_t op_shard(struct query_op *op, struct shard **ret_shard)
{
    CLEANUP(xfree_ptr) char *name = cdc_stream_name(op->namespace_name);
    struct stream *s = log_find_stream(op->q->options.log, name, strlen(name));
    if (s == NULL)
        return err_fail(ERR_NOT_FOUND,
                        "there is no namespace \"%s\": nothing was written to it yet",
                        op->namespace_name);
    *ret_shard = stream_shard(s, 0);
    return OK;
}

err_t op_settle(struct query_op *op)
{
    struct shard *shard;
    TRY(op_shard(op, &shard));
    err_t err = cdc_flush(op->q->options.cdc, op->namespace_name, false, SETTLE_MS);
    if (err != ERR_REQUEST_TIMEOUT)
        return err;
    return err_fail(ERR_UNAVAILABLE,
                    "the state of the namespace \"%s\" is more than %d s behind its log: try again",
                    op->namespace_name, SETTLE_MS / 1000);
}

err_t op_unknown_collection(const struct query_op *op)
{
    return err_fail(ERR_NOT_FOUND, "there is no collection \"%.*s\" in the namespace \"%s\"",
                    (int)op->collection.len, op->collection.data, op->namespace_name);
}

err_t op_state(struct query_op *op, struct state **ret_state)
{
    const struct query_options *o = &op->q->options;
    CLEANUP(xfree_ptr) char *path = cdc_state_path(o->data_dir, op->namespace_name);
    err_t err = state_reader_open(o->io, path, ret_state);
    return err == ERR_NOT_FOUND ? op_unknown_collection(op) : err;
}

err_t op_collection(struct query_op *op, struct state *s, int64_t *ret_id)
{
    struct state_collection c;
    err_t err = state_find_collection(s, op->collection, &c);
    if (err == ERR_NOT_FOUND)
        return op_unknown_collection(op);
    TRY(err);
    free(c.name);
    *ret_id = c.id;
    return OK;
}

err_t op_check_collection(struct query_op *op)
{
    struct state *state;
    int64_t id;
    TRY(op_settle(op));
    TRY(op_state(op, &state));
    err_t err = op_collection(op, state, &id);
    state_close(state);
    return err;
}

err_t op_source(struct query_op *op, struct source **ret_source)
{
    const struct query_options *o = &op->q->options;
    const struct source_options options = {.io = o->io,
                                           .clock = o->clock,
                                           .data_dir = o->data_dir,
                                           .store = o->store,
                                           .log = o->log,
                                           .cdc = o->cdc,
                                           .stop = &op->q->stopping};
    return source_open(&options, ret_source);
}
