/*
 * snapshot/ask.h: what a restore is asked for, read and checked. The body of POST /restore and the
 * options of `spillway restore`, which become one, are the same; so are targets in parameters and
 * arguments. Any thread.
 */
#ifndef SNAPSHOT_ASK_H
#define SNAPSHOT_ASK_H

#include "base/arena.h"
#include "base/buf.h"
#include "snapshot/restore.h"

struct restore_ask {
    struct target target;
    bool has_target, has_undo; /* one of them */
    bool dry_run;
    struct restore_filter filter;
    struct arena ids; /* of the filter's ids */
};

/** Reads JSON:
 *
 *     {"at"|"lsn"|"bookmark"|"snapshot"|"latest":…, "exclusive"?, "dryRun"?,
 *      "ids"?:[…], "only"?:"deletes"|"updates"|"inserts", "undo"?:"LSN..LSN", "maxChanges"?}
 *
 * A field that is not known is refused: a mistyped "dryRun" must not restore. ERR_INVALID_JSON,
 * ERR_VALIDATION: a sentence that names the field. *ret is released with restore_ask_release. */
err_t restore_ask_read(struct slice body, struct restore_ask *ret) MUST_USE;
void restore_ask_release(struct restore_ask *ask);
/** The target as JSON, as it stands in the events that a restore appends. */
void restore_ask_describe(const struct restore_ask *ask, struct buf *out);

/** A target by its name, "at", "lsn", "bookmark" or "snapshot", and its value as text.
 * ERR_VALIDATION. ret->name is owned. */
err_t target_read(const char *name, struct slice text, struct target *ret) MUST_USE;
/** A whole number of at least 0; ERR_VALIDATION names it. */
err_t ask_number(const char *name, struct slice text, int64_t max, int64_t *ret) MUST_USE;

#endif
