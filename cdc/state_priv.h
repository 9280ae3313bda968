/*
 * cdc/state_priv.h: what the files state*.c share. Private to cdc/.
 */
#ifndef CDC_STATE_PRIV_H
#define CDC_STATE_PRIV_H

#include <sqlite3.h>

#include "base/io.h"
#include "catalog/vfs.h"
#include "cdc/state.h"

/* Statements are prepared at their first use; state.c has their texts. */
enum state_sql {
    SQL_META_GET,
    SQL_META_SET,
    SQL_META_ADD,
    SQL_COLLECTIONS,
    SQL_COLLECTION_FIND,
    SQL_COLLECTION_ADD,
    SQL_COLLECTION_SET,
    SQL_DOC_GET,
    SQL_DOC_PUT,
    SQL_DOC_DROP,
    SQL_SKIPPED_GET,
    SQL_SKIPPED_ADD,
    SQL_BOOKMARK_GET,
    SQL_BOOKMARK_PUT,
    SQL_DEAD_LETTER_ADD,
    SQL_DEAD_LETTER_TRIM,
    SQL_DEAD_LETTERS,
    SQL_COUNT,
};

struct dead_letter {
    unsigned shard;
    int64_t lsn;
    char *reason; /* owned */
};
struct shard_cursor {
    unsigned shard;
    int64_t lsn;
};

/** A collection as the writer knows it: what the table says, plus changes of the open transaction.
 */
struct cached_collection {
    struct state_collection row;
    bool changed;
};

struct state {
    struct io *io;
    struct vfs *vfs;
    sqlite3 *db;
    char *path;
    bool reader, damaged;
    int wal_pages, wal_pages_due; /* of the writer: in the WAL; from which on a checkpoint is due */
    sqlite3_stmt *statements[SQL_COUNT];

    /* Of the writer: all collections, and a table of their places (+ 1) by the hash of their names.
     */
    bool cached;
    struct cached_collection *collections;
    size_t collection_count, collection_cap;
    uint32_t *slots;
    size_t slot_count;

    struct dead_letter *dead_letters; /* for the next state_apply */
    size_t dead_letter_count, dead_letter_cap;
    struct shard_cursor *shard_cursors;
    size_t shard_cursor_count;
};

/** Turns what SQLite says into an error of ours. */
err_t state_fail(struct state *s, int rc);
err_t state_run(struct state *s, const char *sql) MUST_USE;
/** A statement, reset and ready to be bound. */
err_t state_sql(struct state *s, enum state_sql which, sqlite3_stmt **ret) MUST_USE;
/** Steps a statement that gives no rows, and resets it. */
err_t state_step_done(struct state *s, sqlite3_stmt *stmt) MUST_USE;
/** Steps once; OK with a row (the caller resets), ERR_NOT_FOUND (already reset; no sentence)
 * without. */
err_t state_step_row(struct state *s, sqlite3_stmt *stmt) MUST_USE;
/** 0 where there is none. */
err_t state_meta_get(struct state *s, const char *name, int64_t *ret) MUST_USE;
err_t state_meta_set(struct state *s, const char *name, int64_t value) MUST_USE;
err_t state_meta_add(struct state *s, const char *name, int64_t value) MUST_USE;
/** Reads a row of SQL_COLLECTIONS or SQL_COLLECTION_FIND. ERR_CORRUPT. */
err_t state_read_collection(struct state *s, sqlite3_stmt *stmt,
                            struct state_collection *ret) MUST_USE;

/** Within a transaction: the change at that LSN was skipped. */
err_t state_note_skipped(struct state *s, int64_t lsn) MUST_USE;

/** Sets how much WAL a checkpoint waits for, by the size of the file. */
err_t state_tune_checkpoint(struct state *s) MUST_USE;

/* state_cache.c */
err_t cache_load(struct state *s) MUST_USE; /* where it is not loaded */
void cache_drop(struct state *s);
/** The place of a collection, which is created where it is new (within a transaction). */
err_t cache_place(struct state *s, struct slice name, size_t *ret_place) MUST_USE;
/** Writes what changed. */
err_t cache_save(struct state *s) MUST_USE;

#define META_CURSOR "cursor"
#define META_DEAD_LETTERS "dead_letters"
#define META_MISPLACED "misplaced"

#endif
