/*
 * snapshot/snapshot.h: snapshots of a collection in the store: made from one read transaction of
 * the state, listed, verified, cleaned up; compaction of deltas; retention.
 *
 *     <ns>/<collection>/snapshots/2026-02-02.parquet        daily
 *     <ns>/<collection>/snapshots/2026-02.parquet           monthly
 *     <ns>/<collection>/snapshots/<UTC time>-<lsn>.parquet  on demand; a day's or month's second
 *     <ns>/<collection>/snapshots/manifest.json             switched last
 *
 * Threads: any but reactors; blocks. Snapshots, cleanup and compaction of one namespace take turns
 * by themselves.
 */
#ifndef SNAPSHOT_SNAPSHOT_H
#define SNAPSHOT_SNAPSHOT_H

#include "cdc/delta.h"
#include "snapshot/rebuild.h"

enum snapshot_type { SNAPSHOT_MANUAL, SNAPSHOT_DAILY, SNAPSHOT_MONTHLY };

struct snapshot {
    char *name; /* owned by the list: the file's name without .parquet */
    enum snapshot_type type;
    struct store_file file;
};
struct snapshot_list {
    struct snapshot *items; /* by lsn, then name */
    size_t count;
};
/** Without any it is empty. ERR_CORRUPT: its file is damaged, or is missing beside snapshots. */
err_t snapshot_list_read(struct store *s, const char *namespace_name, struct slice collection,
                         struct snapshot_list *ret) MUST_USE;
void snapshot_list_free(struct snapshot_list *l);
/** Borrowed from the list; NULL: none of this name. */
const struct snapshot *snapshot_find(const struct snapshot_list *l, struct slice name);
/** ERR_NOT_FOUND. */
err_t no_snapshot(const char *namespace_name, struct slice collection, struct slice name) MUST_USE;

/** Makes one of the current state (deltas up to it are flushed first, where a cdc runs). A second
 * one of the same type, LSN and second is the first: it holds the same. ERR_EXISTS: that second has
 * one of this LSN and another type. */
err_t snapshot_create(struct source *src, const char *namespace_name, struct slice collection,
                      enum snapshot_type type, struct snapshot *ret) MUST_USE;
void snapshot_free(struct snapshot *s);
/** Removes one. ERR_NOT_FOUND; ERR_EXISTS where moments that are still kept can be reached from no
 * other. */
err_t snapshot_delete(struct source *src, const char *namespace_name, struct slice collection,
                      struct slice name) MUST_USE;
/** "manual", "daily", "monthly". */
const char *snapshot_type_name(enum snapshot_type type);
/** Re-reads and re-hashes snapshots (name NULL: all), deltas and data; fn is told each file and OK
 * or what is wrong. Returns the first error. */
err_t snapshot_verify(struct store *s, const char *namespace_name, struct slice collection,
                      const char *name,
                      void (*fn)(void *arg, const char *path, err_t err, const char *text),
                      void *arg) MUST_USE;

struct retention {
    unsigned daily_keep, monthly_keep, window_days;
};
/** Removes what no point inside the window needs; fn is told each path first. dry_run removes
 * nothing. */
err_t snapshot_cleanup(struct source *src, const char *namespace_name, struct slice collection,
                       const struct retention *r, bool dry_run,
                       void (*fn)(void *arg, const char *path, uint64_t size), void *arg) MUST_USE;
/** Merges deltas into larger ones (every change stays) and writes data.parquet, the state at the
 * end of the last delta. Files that a merge replaced stay until the next compaction or cleanup, for
 * those who are reading them. */
err_t snapshot_compact(struct source *src, const char *namespace_name,
                       struct slice collection) MUST_USE;
/** The same, but data.parquet only where the deltas behind it have grown to a fraction of its size.
 * *ret_written: whether any file was written. */
err_t snapshot_compact_if_it_pays(struct source *src, const char *namespace_name,
                                  struct slice collection, bool *ret_written) MUST_USE;

#endif
