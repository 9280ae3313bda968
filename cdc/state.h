/*
 * cdc/state.h: the current state of a namespace's collections: <data>/state/<ns>.db, one SQLite
 * file (WAL, synchronous = NORMAL) through base/io.h. Documents stay byte for byte what was sent.
 *
 * The cursor (next LSN to apply) and the documents change in one transaction. Losing the last
 * transactions is harmless: they are applied again from the log.
 *
 * Tables (docs/format.md): collection(id, name, count, hash, last_lsn, max_ts), doc(collection, id,
 * doc, lsn, ts) WITHOUT ROWID, skipped(lsn) for compare-and-set that did not hold, bookmark
 * (collection, bookmark, lsn), dead_letter(seq, shard, lsn, reason), meta(name, value).
 *
 * Threads: one writer (the namespace's job); readers open their own connection with
 * state_reader_open, from any process, beside it.
 */
#ifndef CDC_STATE_H
#define CDC_STATE_H

#include "base/io.h"
#include "cdc/change.h"

struct state;

struct state_collection {
    int64_t id;
    char *name; /* owned by the list; bytes, NUL-terminated */
    size_t name_len;
    uint64_t count;
    struct state_hash hash;
    int64_t last_lsn;  /* of the last change, also of one without effect; -1: none */
    int64_t max_ts_us; /* greatest ts of all its changes */
};

/** Opens or creates. ERR_CORRUPT: damaged or newer; the caller removes it (state_remove) and
 * rebuilds. */
err_t state_open(struct io *io, const char *path, struct state **ret_state) MUST_USE;
/** A read-only connection to a file that another may be writing: a view as of the first read until
 * state_reader_refresh. ERR_NOT_FOUND. */
err_t state_reader_open(struct io *io, const char *path, struct state **ret_state) MUST_USE;
err_t state_reader_refresh(struct state *s) MUST_USE;
/** Some call on it has answered ERR_CORRUPT. NULL: no. */
bool state_is_damaged(const struct state *s);
void state_close(struct state *s); /* NULL-safe */
/** The WAL is so long that it should be copied into the file. Writer. */
bool state_checkpoint_due(const struct state *s);
/** Copies it, on a connection of its own, while the writer goes on, until little is left. Any
 * thread, in the writer's process; the file stays in place meanwhile. After an error the writer
 * must be closed: what it sees may not be on the disk. */
err_t state_checkpoint(struct io *io, const char *path) MUST_USE;
/** Copies what is left; then the WAL begins anew with the next transaction. Where neither is called
 * a commit does all of it, later. Writer; close it after an error. */
err_t state_checkpoint_rest(struct state *s) MUST_USE;
/** Durably. OK also where there is none. */
err_t state_remove(struct io *io, const char *path) MUST_USE;

/** The next LSN to apply: everything below is in the state. */
err_t state_cursor(struct state *s, int64_t *ret_lsn) MUST_USE;
/** The same of another shard of the stream, which is only looked through for misplaced changes. */
err_t state_shard_cursor(struct state *s, unsigned shard, int64_t *ret_lsn) MUST_USE;

/** Applies changes (lsn rising, from the present cursor on, below `cursor`) in one transaction and
 * moves the cursor to `cursor`; sets change.skipped. All or, on an error, none. Folds per document,
 * writes sorted by key. Writer. ERR_IO, ERR_NO_SPACE, ERR_CORRUPT. */
err_t state_apply(struct state *s, struct change *changes, size_t count, int64_t cursor) MUST_USE;

#define STATE_DEAD_LETTERS_KEPT 10000
/* Noted within the next state_apply's transaction, and forgotten when that fails: */
/** A change that cannot be applied. The newest STATE_DEAD_LETTERS_KEPT are kept, all are counted.
 */
void state_dead_letter(struct state *s, unsigned shard, int64_t lsn, const char *reason);
void state_set_shard_cursor(struct state *s, unsigned shard, int64_t lsn);
bool state_has_notes(const struct state *s);
void state_forget_notes(struct state *s);

/** In the order in which they were found. fn returns false to stop. */
err_t state_each_dead_letter(struct state *s,
                             bool (*fn)(void *arg, unsigned shard, int64_t lsn, const char *reason),
                             void *arg) MUST_USE;
/** All that were ever found; of these, changes on another shard than 0. */
err_t state_dead_letter_count(struct state *s, uint64_t *ret_count,
                              uint64_t *ret_misplaced) MUST_USE;
/** Whether the change at lsn was skipped. */
err_t state_was_skipped(struct state *s, int64_t lsn, bool *ret) MUST_USE;

/** ERR_NOT_FOUND. The caller frees ret->name. */
err_t state_find_collection(struct state *s, struct slice name,
                            struct state_collection *ret) MUST_USE;
/** In the order of their names' bytes. fn returns false to stop. */
err_t state_each_collection(struct state *s,
                            bool (*fn)(void *arg, const struct state_collection *c),
                            void *arg) MUST_USE;

struct state_doc {
    struct slice id, doc; /* borrowed for the call or until the next step */
    int64_t lsn, ts_us;
};
/** ERR_NOT_FOUND. Slices live in `arena`. */
err_t state_get(struct state *s, int64_t collection, struct slice id, struct arena *arena,
                struct state_doc *ret) MUST_USE;
/** Documents in the order of their ids (bytes), as of one moment. ERR_END after the last. */
struct state_scan;
err_t state_scan_open(struct state *s, int64_t collection, struct state_scan **ret) MUST_USE;
err_t state_scan_next(struct state_scan *scan, struct state_doc *ret) MUST_USE;
void state_scan_close(struct state_scan *scan); /* NULL-safe */

/** The greatest LSN that carries the bookmark in that collection. ERR_NOT_FOUND. */
err_t state_bookmark(struct state *s, int64_t collection, struct slice bookmark,
                     int64_t *ret_lsn) MUST_USE;

/** Loads documents from a snapshot or delta merge into an empty state, sorted by id, then sets
 * count, hash, last_lsn, max_ts: how a lost state is rebuilt when the log begins later. One
 * transaction from begin to end. */
err_t state_load_begin(struct state *s) MUST_USE;
err_t state_load_doc(struct state *s, struct slice collection,
                     const struct state_doc *doc) MUST_USE;
/** The outcome of a change below the cursor-to-be: it was skipped. */
err_t state_load_skipped(struct state *s, int64_t lsn) MUST_USE;
err_t state_load_end(struct state *s, const struct state_collection *collections, size_t count,
                     int64_t cursor) MUST_USE;

#endif
