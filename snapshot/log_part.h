/*
 * snapshot/log_part.h: the changes of a collection in the part of the log that no delta holds.
 * Private to snapshot/.
 *
 * Whether a change with `expect` was applied is recorded in deltas; here it is decided again, as
 * cdc/ does: from the state database where it has come that far, else from the files as of `base`
 * and the changes since.
 */
#ifndef SNAPSHOT_LOG_PART_H
#define SNAPSHOT_LOG_PART_H

#include "snapshot/source.h"

/** ERR_END stops without an error. */
typedef err_t (*log_part_fn)(void *arg, const struct change *c);

/** Calls fn for each change with lsn in [from, to), in LSN order, `skipped` decided. `base` is
 * where the store's files end: base <= from, or from itself where nothing lies before. */
struct log_part {
    const char *namespace_name;
    struct slice collection;
    int64_t base, from, to;
};
err_t log_part_each(struct source *s, const struct log_part *part, log_part_fn fn,
                    void *arg) MUST_USE;

/** The same without deciding `skipped`, for looks at names and bookmarks; collection.data NULL: of
 * all collections. */
err_t log_part_each_raw(struct source *s, const struct log_part *part, log_part_fn fn,
                        void *arg) MUST_USE;

#endif
