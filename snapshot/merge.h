/*
 * snapshot/merge.h: the k-way merge of a reconstruction. Private to snapshot/.
 *
 * Inputs are sorted by (id, LSN), ids as bytes. At most one of them is the base (a snapshot: each
 * document once, of LSNs below all that count elsewhere). For each document the change with the
 * greatest LSN among those that count wins; a delete leaves nothing. Memory: one row per input and
 * one row held.
 *
 * Owner: one thread.
 */
#ifndef SNAPSHOT_MERGE_H
#define SNAPSHOT_MERGE_H

#include "cdc/state.h"

struct merge_input {
    /** The next row, borrowed until the next call; ERR_END. */
    err_t (*next)(void *arg, struct change *ret);
    void (*close)(void *arg);
    void *arg;
    bool base;
};

/** Which changes count (besides that they were not skipped). The base always does. */
struct merge_filter {
    int64_t lsn_from, lsn_to; /* [from, to) */
    int64_t ts_max_us;
};

struct merge;
struct merge *merge_new(const struct merge_filter *filter);
/** Takes over the input, also on an error; reads its first row. */
err_t merge_add(struct merge *m, const struct merge_input *input) MUST_USE;
/** The next document, by id; borrowed until the next call. ERR_END after the last; after an error
 * only merge_free is allowed. */
err_t merge_next(struct merge *m, struct state_doc *ret) MUST_USE;
void merge_free(struct merge *m); /* NULL-safe; closes the inputs */

#endif
