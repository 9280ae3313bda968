/*
 * log/prepare.c: the next segment of a busy shard, as a file of zeros.
 *
 * Overwriting blocks that were written before needs no metadata at each sync, so a busy shard's
 * next segment is prepared ("next.prepared", synced) and renamed into place by the roll. A shard's
 * first segments are small and plain; a plain one is left early, as soon as a prepared one is
 * ready. What cannot be prepared in time or for lack of space is appended to plainly.
 *
 * A worker writes one stretch at a time, and the appends call for the next one as they go on: the
 * zeros take the device and the processor in proportion to the appends, not in one burst.
 *
 *     NONE --busy--> RUNNING --stretch written--> WAITING --appends caught up--> RUNNING …
 *       ^               | all written: READY --roll--> NONE
 *       +-- too slow ---+
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/logger.h"
#include "base/metrics.h"
#include "log/shard.h"

#define PREPARE_STRETCH_BYTES IO_ZERO_MAX /* a sync of the hot path waits behind it */
#define PREPARE_FREE_FACTOR 4             /* prepare only with this many segments of free space */
#define PREPARE_PAUSE_SEGMENTS 16         /* after one that came to nothing */
#define PREPARE_BUSY_NS INT64_C(30000000000)      /* half a segment so quickly: worth preparing */
#define PREPARE_PLAIN_BYTES MIB(1)                /* … and so much of a plain segment … */
#define PREPARE_BUSY_PLAIN_NS INT64_C(1000000000) /* … within this time */
/* The zeros' share is kept so many times ahead of the appends': done before the roll, and sooner
 * where the active segment is a plain one, which waits to be left. */
#define PREPARE_LEAD (4.0 / 3)
#define PREPARE_LEAD_PLAIN 4.0

char *shard_prepared_path(const struct shard *sh)
{
    return xasprintf("%s/next.prepared", sh->dir);
}

/* Writing, on a worker ------------------------------------------------------------------------ */

static err_t check_space(struct shard *sh)
{
    uint64_t free_bytes = 0;
    TRY(io_free_bytes(sh->log->options.io, sh->dir, &free_bytes));
    if (free_bytes / PREPARE_FREE_FACTOR >= sh->prepare_bytes)
        return OK;
    return err_fail(ERR_NO_SPACE, "too little space for a segment of zeros beside %s", sh->dir);
}

/** Writes and syncs the next stretch, or gives up with ERR_AGAIN once it is plain that the device
 * has no room beside the appends: all of it must be done in the time in which the active segment
 * fills. */
static err_t write_stretch(struct shard *sh, const char *path)
{
    struct clock *clock = sh->log->options.clock;
    int64_t started = clock_mono_ns(clock);
    unsigned flags = IO_WRITE | (sh->prepare_at == 0 ? IO_CREATE | IO_TRUNCATE : 0);
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    size_t step = (size_t)MIN(PREPARE_STRETCH_BYTES, sh->prepare_bytes - sh->prepare_at);
    TRY(io_open(sh->log->options.io, path, flags, &file));
    TRY(io_file_zero(file, sh->prepare_at, step));
    if (sh->prepare_at + step == sh->prepare_bytes) /* no room ahead is needed any more */
        TRY(io_file_truncate(file, sh->prepare_bytes));
    TRY(io_file_sync(file));
    sh->prepare_at += step;
    sh->prepare_took_ns += clock_mono_ns(clock) - started;
    double whole_ns =
        (double)sh->prepare_took_ns * (double)sh->prepare_bytes / (double)sh->prepare_at;
    if (whole_ns > (double)sh->prepare_budget_ns)
        return err_fail(ERR_AGAIN, "the device is busy with appends");
    return OK;
}

static void give_up(struct shard *sh, const char *path, err_t err)
{
    LOG_DEBUG("segment_not_prepared", F("shard", sh->dir), F("why", err_text(err)),
              F("next", "appending plainly"));
    err_t ignored = io_unlink(sh->log->options.io, path);
    (void)ignored; /* a leftover is truncated by the next preparation or removed at start */
    /* While segments grow, the next is larger than the rest of this one: late says little. */
    if (sh->prepare_grown)
        atomic_store(&sh->prepare_pause, PREPARE_PAUSE_SEGMENTS);
}

static void prepare_run(struct worker_job *job)
{
    struct shard *sh = CONTAINER_OF(job, struct shard, prepare_job);
    CLEANUP(xfree_ptr) char *path = shard_prepared_path(sh);
    err_t err = sh->prepare_at == 0 ? check_space(sh) : OK;
    if (err == OK)
        err = write_stretch(sh, path);
    enum prepare_state state = PREPARE_WAITING;
    if (err != OK) {
        give_up(sh, path, err);
        state = PREPARE_NONE;
    } else if (sh->prepare_at == sh->prepare_bytes) {
        metric_inc(M_segments_prepared_total);
        state = PREPARE_READY;
    }
    atomic_store(&sh->prepare, state);
    atomic_fetch_sub(&sh->jobs_pending, 1);
}

static void submit_stretch(struct shard *sh)
{
    atomic_store(&sh->prepare, PREPARE_RUNNING);
    atomic_fetch_add(&sh->jobs_pending, 1);
    sh->prepare_job.run = prepare_run;
    worker_submit(sh->log->options.workers, &sh->prepare_job);
}

/* Deciding, on the appending thread ----------------------------------------------------------- */

void shard_measure_from(struct shard *sh)
{
    sh->prepare_from = sh->active == NULL ? 0 : atomic_load(&sh->active->size);
    sh->prepare_from_ns = clock_mono_ns(sh->log->options.clock);
}

bool shard_prefers_prepared(const struct shard *sh)
{
    return !sh->active_prepared &&
           atomic_load_explicit(&sh->prepare, memory_order_acquire) == PREPARE_READY;
}

/** The appends since shard_measure_from say that the shard is busy. A plain segment is looked at in
 * short stretches, because it is left as soon as a prepared one is ready; a prepared one once, half
 * full. */
static bool worth_preparing(struct shard *sh, int64_t age_ns)
{
    if (!sh->active_prepared && age_ns > PREPARE_BUSY_PLAIN_NS) {
        shard_measure_from(sh);
        return false;
    }
    sh->prepare_considered = true; /* once for each segment */
    return age_ns <= PREPARE_BUSY_NS;
}

/** By the share of the active segment's rest that is appended, and that of the zeros. */
static bool next_stretch_is_due(const struct shard *sh, uint64_t size)
{
    if (sh->prepare_base != sh->active->base_offset)
        return true; /* late: the roll was sooner */
    double left = (double)(sh->segment_limit - sh->prepare_start);
    double come = (double)(size - sh->prepare_start) / left;
    double lead = sh->active_prepared ? PREPARE_LEAD : PREPARE_LEAD_PLAIN;
    return come * lead >= (double)sh->prepare_at / (double)sh->prepare_bytes;
}

static void prepare_start(struct shard *sh, uint64_t size, int64_t age_ns)
{
    lock_acquire(&sh->segments_lock);
    size_t ordinal = sh->segment_count;
    lock_release(&sh->segments_lock);
    double appended = (double)(size - sh->prepare_from);
    sh->prepare_budget_ns =
        (int64_t)((double)age_ns * (double)(sh->segment_limit - size) / appended);
    sh->prepare_bytes = shard_limit_for(sh, ordinal);
    sh->prepare_grown = sh->prepare_bytes == sh->segment_limit;
    sh->prepare_at = 0;
    sh->prepare_took_ns = 0;
    sh->prepare_base = sh->active->base_offset;
    sh->prepare_start = size;
    submit_stretch(sh);
}

void shard_maybe_prepare(struct shard *sh)
{
    uint64_t size = atomic_load_explicit(&sh->active->size, memory_order_relaxed);
    int state = atomic_load_explicit(&sh->prepare, memory_order_acquire);
    if (state == PREPARE_WAITING && next_stretch_is_due(sh, size))
        submit_stretch(sh);
    uint64_t stretch = sh->segment_limit / 2;
    if (!sh->active_prepared)
        stretch = MIN(stretch, (uint64_t)PREPARE_PLAIN_BYTES);
    if (state != PREPARE_NONE || sh->prepare_considered || size < sh->prepare_from + stretch ||
        size >= sh->segment_limit)
        return;
    int64_t age_ns = clock_mono_ns(sh->log->options.clock) - sh->prepare_from_ns;
    if (!worth_preparing(sh, age_ns))
        return;
    if (atomic_load(&sh->prepare_pause) > 0)
        atomic_fetch_sub(&sh->prepare_pause, 1);
    else
        prepare_start(sh, size, age_ns);
}
