/*
 * query/restore.h: putting a restore in place. Private to query/.
 */
#ifndef QUERY_RESTORE_H
#define QUERY_RESTORE_H

#include "query/op.h"
#include "snapshot/ask.h"

/** Appends what turns the current documents into the wanted ones, waits until it is durable and
 * applied, and appends the report (JSON) to op->out. Worker; the caller holds the collection's job.
 */
err_t restore_in_place(struct query_op *op, struct source *source, const struct restore_ask *ask,
                       const struct rebuild_plan *plan) MUST_USE;

#endif
