/*
 * snapshot/rebuild.h: any collection as of any moment, as a stream of documents in the order of
 * ids.
 *
 * state(T) = all applied changes with ts <= T in LSN order; a prefix of the log for an LSN.
 * Sources: the nearest usable snapshot (or compacted data), the deltas after it, and the part of
 * the log that no delta holds. A streaming merge by (pk, lsn): memory is bounded by the log's part,
 * not by the collection.
 *
 * Threads: any but reactors; blocks.
 */
#ifndef SNAPSHOT_REBUILD_H
#define SNAPSHOT_REBUILD_H

#include <stdatomic.h>

#include "cdc/cdc.h"
#include "cdc/delta.h"

enum target_kind { TARGET_LATEST, TARGET_AT, TARGET_LSN, TARGET_BOOKMARK, TARGET_SNAPSHOT };

struct target {
    enum target_kind kind;
    int64_t value;  /* AT: microseconds; LSN */
    char *name;     /* BOOKMARK, SNAPSHOT; owned */
    bool exclusive; /* AT: ts < value; LSN, BOOKMARK: without that change */
};

/** Where a collection is read from: a data directory (log, state, store), with a running server or
 * not, or a store alone. */
struct source;
struct source_options {
    struct io *io;
    struct clock *clock;
    const char *data_dir;  /* NULL: a store alone */
    const char *store_url; /* NULL: <data>/store */
    struct store *store;   /* inside the server, borrowed; NULL: opened from store_url */
    bool writable;         /* where the store is opened here: for writing (no server may run) */
    struct log *log; /* inside the server; NULL: read without touching it where data_dir is given */
    struct cdc *cdc; /* inside the server, else NULL */
    /* Once it is true, what takes long ends with ERR_UNAVAILABLE; NULL: never. Borrowed. */
    const atomic_bool *stop;
};
/** ERR_NOT_FOUND when neither a log nor a store is there. *ret_source is owned. One thread at a
 * time. */
err_t source_open(const struct source_options *options, struct source **ret_source) MUST_USE;
void source_close(struct source *s); /* NULL-safe */
/** What it was made of: borrowed. The store is NULL where there is none yet, the others as given.
 */
struct io *source_io(const struct source *s);
struct clock *source_clock(const struct source *s);
struct store *source_store(const struct source *s);
struct cdc *source_cdc(const struct source *s);
const char *source_data_dir(const struct source *s);
/** A reader of the namespace's state as of now; close with state_close. ERR_NOT_FOUND: there is
 * none (a store alone, or a namespace without changes). */
err_t source_state(struct source *s, const char *namespace_name, struct state **ret_state) MUST_USE;
/** The namespace's changes in the log: LSNs [*ret_start, *ret_end). ERR_NOT_FOUND: no such log. */
err_t source_log_range(struct source *s, const char *namespace_name, int64_t *ret_start,
                       int64_t *ret_end) MUST_USE;

/** Names, sorted by bytes. */
struct name_list {
    char **names; /* owned */
    size_t count;
};
/** The collections of a namespace. ERR_NOT_FOUND: no such namespace. */
err_t source_collections(struct source *s, const char *namespace_name,
                         struct name_list *ret) MUST_USE;
void name_list_free(struct name_list *l);
/** ERR_NOT_FOUND: no such namespace, or no such collection in it. */
err_t source_check_collection(struct source *s, const char *namespace_name,
                              struct slice collection) MUST_USE;
/** Calls fn for each collection of a namespace, or (NULL) of all; stops at the first error.
 * ERR_NOT_FOUND: no such namespace. */
err_t source_each_collection(struct source *s, const char *namespace_name,
                             err_t (*fn)(void *arg, const char *namespace_name,
                                         struct slice collection),
                             void *arg) MUST_USE;

/** What a reconstruction would read: the answer of a dry run. */
struct rebuild_plan {
    struct store_file snapshot; /* path NULL: none, from the empty collection */
    struct store_file *deltas;  /* owned */
    size_t delta_count;
    int64_t log_from, log_to; /* [from, to): the log's part; equal: none */
    int64_t lsn_to;           /* only changes below this LSN count */
    int64_t ts_max_us;        /* only changes with ts <= this; INT64_MAX: all */
    int64_t base_below;       /* the snapshot ends below this LSN; 0: it may be any */
};
/** Resolves the target and chooses the sources. ERR_NOT_FOUND: collection, bookmark, snapshot;
 * ERR_VALIDATION with the available range: before retention, in the future, beyond the end, after
 * covered_until (store alone); ERR_CORRUPT names the file or the gap. */
err_t rebuild_plan(struct source *s, const char *namespace_name, struct slice collection,
                   const struct target *t, struct rebuild_plan *ret) MUST_USE;
void rebuild_plan_free(struct rebuild_plan *p);

/** Streams the documents; before source_close. */
struct rebuild;
err_t rebuild_open(struct source *s, const char *namespace_name, struct slice collection,
                   const struct rebuild_plan *p, struct rebuild **ret) MUST_USE;
/** Borrowed until the next call. ERR_END; ERR_CORRUPT names the file; ERR_UNAVAILABLE: stopped. */
err_t rebuild_next(struct rebuild *r, struct state_doc *ret) MUST_USE;
/** The state hash and the count of the documents so far. */
struct state_hash rebuild_hash(const struct rebuild *r, uint64_t *ret_rows);
/** Called now and then, by the thread that takes the documents, with bytes read and bytes to read.
 */
struct rebuild_progress {
    void (*fn)(void *arg, uint64_t done, uint64_t total);
    void *arg;
};
/** Borrowed until the close; NULL: nobody watches. */
void rebuild_watch(struct rebuild *r, const struct rebuild_progress *progress);
void rebuild_close(struct rebuild *r); /* NULL-safe */

/** LSNs [from, to). */
struct change_range {
    int64_t from, to;
};
/** Every change of one document, or (doc_id NULL) of the collection, with its LSN in the range, in
 * LSN order, from deltas and log. fn returns false to stop. ERR_NOT_FOUND as above;
 * ERR_OFFSET_OUT_OF_RANGE when range.from lies before the oldest change kept (*ret_oldest);
 * ERR_VALIDATION when it lies beyond the next one. */
err_t changes_each(struct source *s, const char *namespace_name, struct slice collection,
                   const struct slice *doc_id, struct change_range range,
                   bool (*fn)(void *arg, const struct change *c), void *arg,
                   int64_t *ret_oldest) MUST_USE;

#endif
