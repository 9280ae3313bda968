/*
 * snapshot/source.h: the insides of a source. Private to snapshot/; snapshot/rebuild.h has what
 * others may do.
 */
#ifndef SNAPSHOT_SOURCE_H
#define SNAPSHOT_SOURCE_H

#include "log/view.h"
#include "snapshot/rebuild.h"

/** Where changes are to be read from: what of a namespace lies in the store and in the log. Read in
 * this order: the namespace's manifest, the collection's manifest, the log; so nothing written in
 * between is missed. */
struct extent {
    bool known;            /* the namespace is in the store or the log */
    int64_t covered_until; /* 0: the namespace has no manifest */
    int64_t covered_until_us;
    bool has_manifest;
    struct collection_manifest manifest; /* empty where there is none */
    int64_t chain_from;                  /* changes below are only in snapshots and data */
    int64_t store_end;                   /* every change of the collection below is in the store */
    bool has_log;
    int64_t log_start, log_end;
    int64_t end; /* the first LSN that is not known */
};
err_t extent_read(struct source *s, const char *namespace_name, struct slice collection,
                  struct extent *ret) MUST_USE;
void extent_release(struct extent *e);

/** The chain's files by number: deltas, then data; NULL behind the last. */
const struct store_file *chain_file(const struct collection_manifest *m, size_t i);
/** Whether the namespace's manifest says that the store has files of the collection. */
bool namespace_lists(const struct namespace_manifest *ns, struct slice collection);
/** ERR_CORRUPT: without its manifest a collection that has files would look like one without
 * changes. */
err_t manifest_missing(const char *namespace_name, struct slice collection) MUST_USE;
/** ERR_CORRUPT: the changes [from, to) are nowhere. */
err_t changes_missing(int64_t from, int64_t to) MUST_USE;
/** ERR_NOT_FOUND. */
err_t no_collection(const char *namespace_name, struct slice collection) MUST_USE;

/** The server's log, or NULL. */
struct log *source_log(const struct source *s);
/** ERR_UNAVAILABLE once source_options.stop is set; asked row by row where there are many. */
err_t source_check_stop(const struct source *s) MUST_USE;

/** A reader of the batches of a namespace's shard 0 from `from` on. ERR_NOT_FOUND, ERR_CORRUPT. */
struct batch_reader {
    struct log_reader live;
    struct log_view *view; /* owned; NULL: live */
};
err_t batch_reader_open(struct source *s, const char *namespace_name, int64_t from,
                        struct batch_reader *ret) MUST_USE;
err_t batch_reader_next(struct batch_reader *r, const uint8_t **ret_batch,
                        struct batch_header *ret_header) MUST_USE;
void batch_reader_close(struct batch_reader *r);

#endif
