/*
 * log/shard_open.c: a shard from its directory, and back.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "log/listing.h"
#include "log/shard.h"

err_t shard_create_files(struct io *io, const char *dir)
{
    CLEANUP(xfree_ptr) char *path = segment_path(dir, 0, ".log");
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    err_t err = io_mkdir(io, dir);
    if (err != OK && err != ERR_EXISTS)
        return err;
    TRY(io_open(io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &file));
    TRY(io_file_sync(file));
    return io_sync_dir(io, dir);
}

/** Makes the segments before the active one. */
static void add_sealed(struct shard *sh, const struct listing *l, size_t until)
{
    struct io *io = sh->log->options.io;
    for (size_t i = 0; i < until; i++) {
        bool indexed = listing_has(l->indexes, l->index_count, l->logs[i]);
        struct segment *s = (indexed ? segment_new_sealed : segment_new_leftover)(
            io, sh->dir, l->logs[i], l->logs[i + 1]);
        shard_push_segment(sh, s);
    }
}

void shard_seal_leftovers(struct shard *sh)
{
    struct segment *s;
    for (size_t i = 0; (s = shard_segment_at(sh, i)) != NULL; i++) {
        if (s != sh->active && !atomic_load(&s->sealed))
            shard_seal_in_background(sh, s);
        segment_unref(s);
    }
}

static struct shard *shard_new(struct log *log, struct stream *stream, unsigned index)
{
    struct shard *sh = xcalloc(1, sizeof(*sh));
    sh->log = log;
    sh->stream = stream;
    sh->index = index;
    sh->dir = xasprintf("%s/%u", stream->dir, index);
    lock_init(&sh->segments_lock, LOCK_RANK_SEGMENTS);
    lock_init(&sh->waiters_lock, LOCK_RANK_WAITERS);
    return sh;
}

static void shard_free(struct shard *sh)
{
    for (size_t i = 0; i < sh->segment_count; i++)
        segment_unref(sh->segments[i]);
    free(sh->segments);
    segment_unref(sh->active);
    io_file_close(sh->recovery_file);
    lock_destroy(&sh->segments_lock);
    lock_destroy(&sh->waiters_lock);
    free(sh->dir);
    free(sh);
}

/** Takes what recovery found as the shard's present. */
static void settle(struct shard *sh, const struct listing *l, struct recovery_result *found)
{
    struct segment *tail = TAKE(found->active);
    add_sealed(sh, l, found->active_index);
    if (tail != NULL)
        shard_push_segment(sh, segment_ref(tail));
    sh->active = tail;
    atomic_store(&sh->log_start, l->logs[0]);
    atomic_store(&sh->high_watermark, found->next_offset);
    atomic_store(&sh->plain_from, found->next_offset); /* of earlier ones nothing is known */
    atomic_store(&sh->valid_cuts, (unsigned)l->valid_cut_count + (found->cut_valid ? 1 : 0));
    sh->segment_limit = shard_limit_for(sh, sh->segment_count > 0 ? sh->segment_count - 1 : 0);
    shard_measure_from(sh);
    atomic_store(&sh->end_bytes, sh->active == NULL ? 0 : atomic_load(&sh->active->size));
    if (found->damaged)
        shard_set_status(sh, SHARD_READ_ONLY, found->text);
}

/** Damage behind the checkpoint closes this shard to appends (its request keys are not all known)
 * and no other. */
static err_t restore_state(struct shard *sh, const struct listing *l, int64_t next_offset)
{
    err_t err = statefile_restore(sh, l->states, l->state_count, next_offset);
    if (err != ERR_CORRUPT)
        return err;
    if (shard_status(sh) != SHARD_READ_ONLY)
        shard_set_status(sh, SHARD_READ_ONLY, err_text(err));
    return OK;
}

/** A segment that held nothing durable may be gone: a fault renamed it away and its successor was
 * not made, or not durably. It is made again, empty; else its absence would count as damage. */
static err_t remake_empty_segment(struct shard *sh, const struct recovery_point *p,
                                  struct listing *l)
{
    bool is_last = l->log_count > 0 ? l->logs[l->log_count - 1] < p->segment_base
                                    : p->segment_base == p->log_start;
    if (p->position != 0 || !is_last)
        return OK;
    CLEANUP(xfree_ptr) char *path = segment_path(sh->dir, p->segment_base, ".log");
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    TRY(io_open(sh->log->options.io, path, IO_WRITE | IO_CREATE, &file));
    listing_push(&l->logs, &l->log_count, p->segment_base);
    return OK;
}

static err_t open_in(struct shard *sh, struct listing *l)
{
    struct log *log = sh->log;
    struct io *io = log->options.io;
    struct recovery_point point;
    TRY(listing_read(io, sh->dir, l));
    TRY(listing_remove_rubbish(io, sh->dir, l));
    err_t point_err = recovery_point_read(io, sh->dir, &point);
    if (point_err != OK && point_err != ERR_NOT_FOUND && point_err != ERR_CORRUPT)
        return point_err;
    if (point_err == OK)
        TRY(remake_empty_segment(sh, &point, l));
    if (l->log_count == 0) {
        if (point_err == OK && point.next_offset > 0) {
            listing_push(&l->logs, &l->log_count, point.next_offset);
            shard_set_status(sh, SHARD_READ_ONLY, "all segments of this shard are missing");
            atomic_store(&sh->log_start, point.next_offset);
            atomic_store(&sh->high_watermark, point.next_offset);
            atomic_store(&sh->plain_from, point.next_offset);
            return OK;
        }
        TRY(shard_create_files(io, sh->dir));
        TRY(io_sync_dir(io, sh->stream->dir));
        listing_push(&l->logs, &l->log_count, 0);
    }
    struct recovery_result found;
    TRY(recovery_run(log, sh->dir, l->logs, l->log_count, point_err == OK ? &point : NULL, &found));
    settle(sh, l, &found);
    if (point_err == OK && point.log_start > l->logs[0])
        atomic_store(&sh->log_start, point.log_start);
    sh->point.log_start = atomic_load(&sh->log_start);
    if (shard_status(sh) == SHARD_READ_ONLY)
        return restore_state(sh, l, found.next_offset);
    bool unchanged = point_err == OK && point.segment_base == sh->active->base_offset &&
                     point.position == atomic_load(&sh->active->size);
    if (!unchanged)
        shard_sync_recovery_point(sh);
    sh->point_synced = true;
    return restore_state(sh, l, found.next_offset);
}

err_t shard_open(struct log *log, struct stream *stream, unsigned index, struct shard **ret_shard)
{
    struct shard *sh = shard_new(log, stream, index);
    struct listing l = {0};
    err_t err = open_in(sh, &l);
    listing_release(&l);
    if (err != OK) {
        shard_free(sh);
        return err;
    }
    atomic_store(&sh->read_behind_ns, INT64_MIN);
    atomic_store(&sh->read_ns, INT64_MIN); /* what the opening itself read does not count */
    *ret_shard = sh;
    return OK;
}

static void log_failure(struct shard *sh, const char *what, err_t err)
{
    if (err == OK)
        return;
    metric_inc(M_derived_write_failures_total);
    LOG_WARN(what, F("shard", sh->dir), F("err", err_text(err)),
             F("next", "the next start takes a little longer"));
}

void shard_close(struct shard *sh, bool abandon)
{
    ASSERT(atomic_load(&sh->jobs_pending) == 0);
    if (!abandon && shard_status(sh) != SHARD_READ_ONLY && sh->active != NULL) {
        uint64_t file_size = 0, size = atomic_load(&sh->active->size);
        err_t err = io_file_size(sh->active->file, &file_size);
        if (err == OK && file_size != size) {
            err = io_file_truncate(sh->active->file, size);
            if (err == OK)
                err = io_file_sync(sh->active->file);
        }
        log_failure(sh, "segment_not_cut", err);
        uint64_t ignored;
        log_failure(sh, "state_not_written",
                    statefile_write(sh, atomic_load(&sh->high_watermark), &ignored));
        shard_sync_recovery_point(sh);
    }
    shard_free(sh);
}
