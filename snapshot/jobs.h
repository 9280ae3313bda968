/*
 * snapshot/jobs.h: what the jobs that change a collection's files share. Private to snapshot/.
 *
 * J1. A job holds the namespace's job turn (store_job_lock), so at most one runs at a time.
 * J2. Files are committed before the manifest that names them, and removed after the manifest that
 *     no longer names them: a crash leaves orphans, never a name without its file.
 * J3. An orphan delta has a number below the manifest's next one: what the cdc job is writing at
 *     the moment has that number or a higher one and is left alone.
 *
 * J4. snapshots/manifest.json is there before the first snapshot is: where it is not, and there are
 *     snapshots, it is lost, and nobody takes them for orphans.
 */
#ifndef SNAPSHOT_JOBS_H
#define SNAPSHOT_JOBS_H

#include "snapshot/snapshot.h"
#include "snapshot/source.h"

struct job {
    struct source *source;
    struct store *store;
    const char *namespace_name;
    struct slice collection;
    char *dir; /* "<ns>/<collection>" */
    int64_t now_us;
};

/** Takes the turn; job_end gives it back. ERR_NOT_FOUND: no store. */
err_t job_begin(struct source *src, const char *namespace_name, struct slice collection,
                struct job *ret) MUST_USE;
void job_end(struct job *j); /* also of a job that did not begin */

#define DATA_PATH "data.parquet" /* in the collection's directory, like this one: */
/** "snapshots/<name>.parquet", malloc'd. */
char *snapshot_path(const char *name);
bool is_parquet(const char *name);
/** Writes snapshots/manifest.json. */
err_t snapshot_list_write(const struct job *j, const struct snapshot_list *l) MUST_USE;

/** Files that no manifest names: fn is told each, then (not dry_run) it is removed. */
struct removal {
    bool dry_run;
    void (*fn)(void *arg, const char *path, uint64_t size); /* may be NULL */
    void *arg;
};
err_t orphans_remove(const struct job *j, const struct removal *r) MUST_USE;
/** One file, by its path in the collection's directory. */
err_t removal_do(const struct job *j, const struct removal *r, const char *path,
                 uint64_t size) MUST_USE;

#endif
