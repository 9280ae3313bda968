/*
 * snapshot/change_rows.h: changes kept in memory and sorted: the log's part of a reconstruction,
 * and deltas that are to be read in LSN order. Private to snapshot/. Owner: one thread.
 */
#ifndef SNAPSHOT_CHANGE_ROWS_H
#define SNAPSHOT_CHANGE_ROWS_H

#include "cdc/change.h"

struct change_row;

struct change_rows {
    struct arena arena;
    struct change_row *rows; /* owned */
    size_t count, cap;
    size_t at; /* of change_rows_next */
    uint64_t bytes;
    bool whole; /* set by the owner: keep prev, bookmark, source and restore too */
};

/** Copies. */
void change_rows_add(struct change_rows *r, const struct change *c);
/** By (id, LSN), or by LSN. */
void change_rows_sort(struct change_rows *r);
void change_rows_sort_by_lsn(struct change_rows *r);
/** The next one, valid until change_rows_release; ERR_END. Without `whole`: op, lsn, ts, doc_id,
 * doc, skipped. */
err_t change_rows_next(struct change_rows *r, struct change *ret) MUST_USE;
void change_rows_release(struct change_rows *r);

#endif
