/*
 * log/roll.c: from one segment to the next: limits, the switch, sealing and checkpoints in the
 * background. log/prepare.c makes the file that a busy shard moves to.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "log/shard.h"

uint64_t shard_limit_for(const struct shard *sh, size_t ordinal)
{
    uint64_t limit = sh->log->options.segment_bytes;
    return ordinal < 32 ? MIN(limit, MIB(16) << ordinal) : limit;
}

void shard_push_segment(struct shard *sh, struct segment *s)
{
    lock_acquire(&sh->segments_lock);
    if (sh->segment_count == sh->segment_cap) {
        sh->segment_cap = sh->segment_cap == 0 ? 8 : sh->segment_cap * 2;
        sh->segments = xrealloc(sh->segments, sh->segment_cap * sizeof(struct segment *));
    }
    sh->segments[sh->segment_count++] = s;
    lock_release(&sh->segments_lock);
}

struct segment *shard_segment_for(struct shard *sh, int64_t offset)
{
    struct segment *found = NULL;
    lock_acquire(&sh->segments_lock);
    size_t low = 0, high = sh->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sh->segments[middle]->base_offset <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0)
        found = segment_ref(sh->segments[low - 1]);
    lock_release(&sh->segments_lock);
    return found;
}

struct segment *shard_segment_at(struct shard *sh, size_t i)
{
    lock_acquire(&sh->segments_lock);
    struct segment *s = i < sh->segment_count ? segment_ref(sh->segments[i]) : NULL;
    lock_release(&sh->segments_lock);
    return s;
}

#define CHECKPOINT_FACTOR 4

/** Sealing, away from the appending thread. */
struct seal_job {
    struct worker_job job;
    struct shard *sh;
    struct segment *segment; /* a reference */
};

static void derived_failed(struct shard *sh, const char *what, err_t err)
{
    metric_inc(M_derived_write_failures_total);
    LOG_WARN(what, F("shard", sh->dir), F("err", err_text(err)),
             F("next", "the next start does it again"));
}

static void seal_run(struct worker_job *job)
{
    struct seal_job *seal = CONTAINER_OF(job, struct seal_job, job);
    struct shard *sh = seal->sh;
    err_t err = segment_seal(seal->segment);
    if (err != OK)
        derived_failed(sh, "seal_failed", err);
    segment_unref(seal->segment);
    free(seal);
    atomic_fetch_sub(&sh->jobs_pending, 1);
}

void shard_seal_in_background(struct shard *sh, struct segment *s)
{
    struct seal_job *seal = xmalloc(sizeof(*seal));
    seal->job.run = seal_run;
    seal->sh = sh;
    seal->segment = segment_ref(s);
    atomic_fetch_add(&sh->jobs_pending, 1);
    worker_submit(sh->log->options.workers, &seal->job);
}

/* Checkpoints of the writer's memory: they bound what a start has to read again. */

static void checkpoint_run(struct worker_job *job)
{
    struct shard *sh = CONTAINER_OF(job, struct shard, checkpoint_job);
    uint64_t bytes = 0;
    err_t err = statefile_write(sh, sh->checkpoint_offset, &bytes);
    if (err != OK)
        derived_failed(sh, "checkpoint_failed", err);
    atomic_store(&sh->checkpoint_bytes, bytes);
    atomic_store(&sh->checkpoint_running, false);
    atomic_fetch_sub(&sh->jobs_pending, 1);
}

void shard_maybe_checkpoint(struct shard *sh)
{
    /* A large checkpoint is worth writing only for more log. */
    uint64_t due = MAX(sh->log->options.checkpoint_bytes,
                       CHECKPOINT_FACTOR * atomic_load(&sh->checkpoint_bytes));
    if (sh->since_checkpoint < due || sh->log->options.state.save == NULL ||
        atomic_load(&sh->checkpoint_running))
        return;
    sh->since_checkpoint = 0;
    sh->checkpoint_offset = atomic_load(&sh->high_watermark);
    sh->checkpoint_job.run = checkpoint_run;
    atomic_store(&sh->checkpoint_running, true);
    atomic_fetch_add(&sh->jobs_pending, 1);
    worker_submit(sh->log->options.workers, &sh->checkpoint_job);
}

/** Puts a file for `base` in place: the prepared one where it is ready, else a new empty one. */
static err_t place_file(struct shard *sh, const char *path, bool prepared,
                        struct io_file **ret_file)
{
    struct io *io = sh->log->options.io;
    if (prepared) {
        CLEANUP(xfree_ptr) char *from = shard_prepared_path(sh);
        atomic_store(&sh->prepare, PREPARE_NONE);
        TRY(io_rename(io, from, path));
        return io_open(io, path, IO_WRITE, ret_file);
    }
    TRY(io_open(io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, ret_file));
    return io_file_sync(*ret_file);
}

/** Takes a half-made segment away again; what cannot be taken away would end the old one at the
 * wrong place. */
static void undo_place(struct shard *sh, const char *path)
{
    struct io *io = sh->log->options.io;
    err_t err = io_unlink(io, path);
    if (err == ERR_NOT_FOUND)
        err = OK;
    if (err == OK)
        err = io_sync_dir(io, sh->dir);
    if (err != OK)
        shard_set_status(sh, SHARD_READ_ONLY, err_text(err));
}

err_t shard_roll(struct shard *sh)
{
    struct io *io = sh->log->options.io;
    int64_t base = atomic_load(&sh->high_watermark);
    ASSERT(base == atomic_load(&sh->active->next_offset));
    ASSERT(base > sh->active->base_offset);
    CLEANUP(xfree_ptr) char *path = segment_path(sh->dir, base, ".log");
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    bool prepared = atomic_load(&sh->prepare) == PREPARE_READY;
    err_t err = place_file(sh, path, prepared, &file);
    if (err == OK)
        err = io_sync_dir(io, sh->dir);
    if (err != OK) {
        undo_place(sh, path);
        return err;
    }
    struct segment *old = sh->active;
    struct segment *fresh = segment_new_active(io, sh->dir, base, TAKE(file));
    fresh->before = atomic_load(&sh->end_bytes);
    shard_push_segment(sh, segment_ref(fresh));
    sh->active = fresh;
    lock_acquire(&sh->segments_lock);
    sh->segment_limit = shard_limit_for(sh, sh->segment_count - 1);
    lock_release(&sh->segments_lock);
    sh->active_prepared = prepared;
    sh->prepare_considered = false;
    shard_measure_from(sh);
    sh->point.segment_base = base;
    sh->point.position = 0;
    sh->point.next_offset = base;
    sh->point_written = false;
    sh->point_synced = false;
    shard_sync_recovery_point(sh);
    metric_inc(M_segments_rolled_total);
    shard_seal_in_background(sh, old);
    segment_unref(old);
    return OK;
}
