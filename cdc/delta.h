/*
 * cdc/delta.h: the store's files of one collection, and its manifests.
 *
 *     <ns>/manifest.json                           covered_until, collections by name
 *     <ns>/<collection>/manifest.json              deltas, the compacted data file
 *     <ns>/<collection>/deltas/000001_<time>.parquet   op, pk, ts, data, prev, bookmark, lsn,
 * source, restore, skipped; sorted by (pk, lsn) <ns>/<collection>/data.parquet               id,
 * doc, lsn, ts; sorted by id (after compaction) <ns>/<collection>/snapshots/… snapshot/
 *
 * Each manifest is JSON with the key "hash" last: XXH3_128 of the bytes before it. A file entry has
 * its size, the XXH3_128 of all its bytes, and, for reads of a part, where its pages end (tail) and
 * the hash of what follows; pages have CRCs. Manifests are switched last: a file that no manifest
 * names is an orphan of a crash, or of a merge, and the next cleanup or compaction removes it.
 *
 * Threads: any but reactors; blocks. Whoever changes a manifest holds manifest_lock from reading it
 * to writing it, also while it writes the delta that the manifest will name.
 */
#ifndef CDC_DELTA_H
#define CDC_DELTA_H

#include "cdc/change.h"
#include "store/store.h"

/** A file in a manifest. Strings are owned by the manifest. */
struct store_file {
    char *path; /* relative to the collection's directory */
    uint64_t size;
    char hash[33];
    uint64_t tail; /* offset where pages end */
    char tail_hash[33];
    uint64_t rows;
    int64_t lsn_from, lsn_to;     /* examined: [from, to); a snapshot or data file: [0, to) */
    int64_t ts_min_us, ts_max_us; /* of its changes; a snapshot: of all that it covers. No change:
                                     min > max */
    struct state_hash state_hash; /* of the collection as of lsn_to */
    uint64_t state_count;
    int64_t made_us; /* when */
};

struct collection_manifest {
    char *namespace_name, *collection; /* owned; the collection may hold any bytes but NUL */
    /* Where the chain of deltas begins; changes below are only in snapshots and data. A
     * collection's first delta begins at 0 (nothing was before its first change), so 0 means: all
     * are here. */
    int64_t lsn_from;
    struct store_file *deltas; /* owned; contiguous, in order */
    size_t delta_count;
    bool has_data;
    struct store_file data; /* the compacted state, as of data.lsn_to */
    uint64_t next_delta_number;
};

/** One holder at a time per namespace of a store, in this process (the data directory's lock keeps
 * others out). Held over I/O. Take it again only after manifest_unlock. */
void manifest_lock(const struct store *s, const char *namespace_name);
void manifest_unlock(const struct store *s, const char *namespace_name);
/** The same for the long jobs of snapshot/ (snapshots, cleanup, compaction): one at a time per
 * namespace. Taken before manifest_lock. */
void store_job_lock(const struct store *s, const char *namespace_name);
void store_job_unlock(const struct store *s, const char *namespace_name);

/** "<ns>/<collection>" as the store names it, malloc'd. */
char *collection_dir(const char *namespace_name, struct slice collection);

/** ERR_NOT_FOUND; ERR_CORRUPT (named): a bad hash, a gap in the chain. */
err_t collection_manifest_read(struct store *s, const char *namespace_name, struct slice collection,
                               struct collection_manifest *ret) MUST_USE;
err_t collection_manifest_write(struct store *s, const struct collection_manifest *m) MUST_USE;
void collection_manifest_free(struct collection_manifest *m);

struct namespace_manifest {
    char *namespace_name;
    int64_t covered_until;    /* every change below this LSN is in the store */
    int64_t covered_until_us; /* and no later change can have been acknowledged before this time */
    char **collections;       /* names; owned */
    size_t collection_count;
    int64_t made_us;
};
err_t namespace_manifest_read(struct store *s, const char *namespace_name,
                              struct namespace_manifest *ret) MUST_USE;
err_t namespace_manifest_write(struct store *s, const struct namespace_manifest *m) MUST_USE;
void namespace_manifest_free(struct namespace_manifest *m);

/** Reads and checks a manifest's JSON: its "hash" over the bytes before. *ret_json is a json_t of
 * jansson, owned. For snapshot/'s manifest too. */
struct json_t;
err_t manifest_load(struct store *s, const char *path, struct json_t **ret_json) MUST_USE;
/** Takes over `json` (without "hash"). */
err_t manifest_save(struct store *s, const char *path, struct json_t *json) MUST_USE;
struct json_t *store_file_to_json(const struct store_file *f);
err_t store_file_from_json(const struct json_t *json, struct store_file *ret) MUST_USE;

/** Writes changes (at least one, in any order) of one collection as a delta file, durable, and
 * fills *ret (path, sizes, hashes, rows, ts range); the caller sets lsn range and state and adds it
 * to the manifest. */
err_t delta_write(struct store *s, const char *dir, uint64_t number, int64_t now_us,
                  const struct change *const *changes, size_t count,
                  struct store_file *ret) MUST_USE;

/** The same as a stream, for changes that come sorted by (pk, lsn) already (ERR_CORRUPT when not),
 * in bounded memory. Close frees w in any case. */
struct delta_writer;
err_t delta_writer_open(struct store *s, const char *dir, uint64_t number, int64_t now_us,
                        struct delta_writer **ret) MUST_USE;
err_t delta_writer_add(struct delta_writer *w, const struct change *c) MUST_USE;
err_t delta_writer_close(struct delta_writer *w, struct store_file *ret) MUST_USE;
void delta_writer_discard(struct delta_writer *w); /* NULL-safe */
/** Frees what a store_file owns; it can be used again. */
void store_file_release(struct store_file *f);
/** A deep copy. */
struct store_file store_file_copy(const struct store_file *f);

/** Reads a delta in (pk, lsn) order; with `pk`, only that document's changes (pruned). `dir` is the
 * collection's directory. Checks the file's size and hash first (with pk: the tail's). ERR_CORRUPT
 * names the file. */
struct delta_reader;
err_t delta_open(struct store *s, const char *dir, const struct store_file *file,
                 const struct slice *pk, struct delta_reader **ret) MUST_USE;
/** Borrowed until the next call. ERR_END. */
err_t delta_next(struct delta_reader *r, struct change *ret) MUST_USE;
void delta_close(struct delta_reader *r); /* NULL-safe */

/** The same for files of documents (snapshots, data): id, doc, lsn, ts, sorted by id. */
struct docs_writer;
struct docs_reader;
struct state_doc;
err_t docs_writer_open(struct store *s, const char *path, struct docs_writer **ret) MUST_USE;
err_t docs_writer_add(struct docs_writer *w, const struct state_doc *doc) MUST_USE;
/** Finishes, commits (replace), and fills path (as given), sizes, hashes, rows, state hash and
 * count. Frees w in any case. */
err_t docs_writer_close(struct docs_writer *w, struct store_file *ret) MUST_USE;
void docs_writer_discard(struct docs_writer *w); /* NULL-safe */
err_t docs_open(struct store *s, const char *dir, const struct store_file *file,
                const struct slice *id, struct docs_reader **ret) MUST_USE;
err_t docs_next(struct docs_reader *r, struct state_doc *ret) MUST_USE;
void docs_close(struct docs_reader *r); /* NULL-safe */

#endif
