/*
 * query/restore.h: a restore that is asked for, and putting it in place. Private to query/.
 */
#ifndef QUERY_RESTORE_H
#define QUERY_RESTORE_H

#include "query/op.h"
#include "snapshot/restore.h"

struct restore_ask {
    struct target target;
    bool dry_run;
    bool has_target, has_undo;
    struct restore_filter filter; /* ids are owned */
    struct slice only;            /* borrowed from `json`; data NULL: all kinds */
    struct json_t *json;          /* owned: the body */
};

/** Reads the body. ERR_INVALID_JSON, ERR_VALIDATION: a sentence that names the field. */
err_t restore_ask_read(struct slice body, struct restore_ask *ret) MUST_USE;
void restore_ask_release(struct restore_ask *ask);
/** The target as JSON, as it stands in the events that a restore appends. */
void restore_ask_describe(const struct restore_ask *ask, struct buf *out);

/** Appends what turns the current documents into the wanted ones, waits until it is durable and
 * applied, and appends the report (JSON) to op->out. Worker; the caller holds the collection's job.
 */
err_t restore_in_place(struct query_op *op, struct source *source, const struct restore_ask *ask,
                       const struct rebuild_plan *plan) MUST_USE;

#endif
