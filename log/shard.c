/*
 * log/shard.c: appending to a shard, and waiting for what is appended.
 *
 * A group is one write at the end of the active segment and one fdatasync; only then the high
 * watermark moves. After a failed write or sync nothing is retried on the same pages (the kernel
 * may have dropped them and call them clean): the file is cut back to what is durable and the shard
 * moves to a new segment.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/limits.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "log/shard.h"

#define PAGE_BYTES 4096u
#define FULL_PROBE_NS INT64_C(1000000000)
#define READER_GONE_NS INT64_C(10000000000)
#define POINT_SYNC_NS INT64_C(1000000000)
#define POINT_WRITE_NS INT64_C(5000000) /* what a start after a kill -9 may have to scan again */

struct stream *shard_stream(const struct shard *sh)
{
    return sh->stream;
}

unsigned shard_index(const struct shard *sh)
{
    return sh->index;
}

enum shard_status shard_status(const struct shard *sh)
{
    return (enum shard_status)atomic_load(&sh->status);
}

void shard_set_status(struct shard *sh, enum shard_status status, const char *text)
{
    lock_acquire(&sh->segments_lock);
    snprintf(sh->status_text, sizeof(sh->status_text), "%s", text);
    lock_release(&sh->segments_lock);
    enum shard_status before = (enum shard_status)atomic_exchange(&sh->status, (int)status);
    if (before == status)
        return;
    static const char *const names[] = {"open", "full", "read_only"};
    LOG_WARN("shard_status", F("shard", sh->dir), F("status", names[status]), F("why", text));
}

void shard_status_text(struct shard *sh, char *out, size_t out_len)
{
    lock_acquire(&sh->segments_lock);
    snprintf(out, out_len, "%s", sh->status_text);
    lock_release(&sh->segments_lock);
}

int64_t shard_log_start(const struct shard *sh)
{
    return atomic_load(&sh->log_start);
}

int64_t shard_high_watermark(const struct shard *sh)
{
    return atomic_load_explicit(&sh->high_watermark, memory_order_acquire);
}

int64_t shard_plain_from(const struct shard *sh)
{
    return atomic_load_explicit(&sh->plain_from, memory_order_relaxed);
}

unsigned shard_valid_cuts(const struct shard *sh)
{
    return atomic_load(&sh->valid_cuts);
}

void shard_set_user(struct shard *sh, void *user)
{
    atomic_store_explicit(&sh->user, user, memory_order_release);
}

void *shard_user(const struct shard *sh)
{
    return atomic_load_explicit(&sh->user, memory_order_acquire);
}

unsigned shard_segment_count(struct shard *sh)
{
    lock_acquire(&sh->segments_lock);
    unsigned count = (unsigned)sh->segment_count;
    lock_release(&sh->segments_lock);
    return count;
}

uint64_t shard_size_bytes(struct shard *sh)
{
    uint64_t sum = 0;
    struct segment *s;
    for (size_t i = 0; (s = shard_segment_at(sh, i)) != NULL; i++) {
        sum += segment_size(s);
        segment_unref(s);
    }
    return sum;
}

err_t shard_admit(struct shard *sh)
{
    enum shard_status status = shard_status(sh);
    if (likely(status == SHARD_OPEN))
        return OK;
    if (status == SHARD_READ_ONLY)
        return err_fail(ERR_READ_ONLY, "%s is read-only until the server is restarted", sh->dir);
    int64_t now = clock_mono_ns(sh->log->options.clock);
    if (now - atomic_load(&sh->full_since_ns) < FULL_PROBE_NS)
        return err_fail(ERR_NO_SPACE,
                        "no space left for %s; free some, writes then go on by themselves",
                        sh->dir);
    return OK;
}

/* Recovery point ------------------------------------------------------------------------------ */

/** Notes where the log is durable. A failure is harmless: the next start scans more. */
static void write_point(struct shard *sh)
{
    sh->point.segment_base = sh->active->base_offset;
    sh->point.position = atomic_load(&sh->active->size);
    sh->point.next_offset = atomic_load(&sh->high_watermark);
    sh->point_written_ns = clock_mono_ns(sh->log->options.clock);
    err_t err = OK;
    if (sh->recovery_file == NULL)
        err = recovery_point_create(sh->log->options.io, sh->dir, &sh->point, &sh->recovery_file);
    else
        err = recovery_point_write(sh->recovery_file, &sh->point);
    sh->point_written = err == OK;
    if (err != OK) {
        metric_inc(M_derived_write_failures_total);
        LOG_WARN("recovery_point_failed", F("shard", sh->dir), F("err", err_text(err)),
                 F("next", "written anew with the next group"));
        /* Not retried on the same pages: a new file is opened next time. */
        io_file_close(TAKE(sh->recovery_file));
    }
}

void shard_sync_recovery_point(struct shard *sh)
{
    if (sh->point_synced)
        return;
    if (!sh->point_written)
        write_point(sh);
    if (sh->point_written && io_file_sync(sh->recovery_file) != OK) {
        metric_inc(M_derived_write_failures_total);
        sh->point_written = false;
        io_file_close(TAKE(sh->recovery_file));
        return;
    }
    sh->point_synced = sh->point_written;
    sh->point_synced_ns = clock_mono_ns(sh->log->options.clock);
}

/** After a group: the point is behind now, and is written and synced now and then. */
static void note_point(struct shard *sh)
{
    int64_t now = clock_mono_ns(sh->log->options.clock);
    sh->point_written = false;
    sh->point_synced = false;
    if (now - sh->point_written_ns > POINT_WRITE_NS)
        write_point(sh);
    if (now - sh->point_synced_ns > POINT_SYNC_NS)
        shard_sync_recovery_point(sh);
}

/* Append -------------------------------------------------------------------------------------- */

/** Gives the batches their offsets; returns the bytes. */
static size_t assign_offsets(struct shard *sh, struct append_batch *batches, size_t count)
{
    int64_t offset = atomic_load(&sh->high_watermark);
    int64_t now_ms = clock_wall_ms(sh->log->options.clock);
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        struct append_batch *b = &batches[i];
        ASSERT(b->len >= BATCH_HEADER_BYTES);
        b->base_offset = offset;
        batch_set_base_offset(b->data, offset);
        if (b->stamp_append_time)
            batch_stamp_append_time(b->data, b->len, now_ms);
        offset += (int64_t)load_u32(b->data + 57);
        bytes += b->len;
    }
    return bytes;
}

bool shard_read_lately(const struct shard *sh, const _Atomic int64_t *when_ns)
{
    int64_t now = clock_mono_ns(sh->log->options.clock);
    return atomic_load_explicit(when_ns, memory_order_relaxed) >= now - READER_GONE_NS;
}

/** Whether nobody reads this shard at present: what is appended then need not wait for readers in
 * the page cache. */
static bool nobody_reads(struct shard *sh)
{
    return atomic_load(&sh->waiter_count) == 0 && !shard_read_lately(sh, &sh->read_ns);
}

/** Among the zeros of a prepared file a group is written up to the end of its last page. They are
 * there already, but where the page is not in the cache the kernel would read it first. */
static size_t padding(const struct shard *sh, uint64_t end)
{
    return sh->active_prepared ? (size_t)(-end % PAGE_BYTES) : 0;
}

static err_t write_group(struct shard *sh, struct append_batch *batches, size_t count, size_t bytes)
{
    static const char zeros[PAGE_BYTES];
    struct iovec iov[LIMIT_GROUP_BATCHES + 1];
    ASSERT(count <= LIMIT_GROUP_BATCHES);
    for (size_t i = 0; i < count; i++)
        iov[i] = (struct iovec){batches[i].data, batches[i].len};
    uint64_t at = atomic_load(&sh->active->size);
    size_t pad = padding(sh, at + bytes);
    iov[count] = (struct iovec){(void *)(uintptr_t)zeros, pad};
    int buffers = (int)count + (pad > 0);
    if (nobody_reads(sh))
        TRY(io_file_pwritev_unread(sh->active->file, iov, buffers, at));
    else
        TRY(io_file_pwritev(sh->active->file, iov, buffers, at));
    int64_t before = clock_mono_ns(sh->log->options.clock);
    err_t err = io_file_sync(sh->active->file);
    metric_add(M_commit_sync_ns_total, clock_mono_ns(sh->log->options.clock) - before);
    return err;
}

/** The group is durable: shows it to readers. */
static void publish(struct shard *sh, struct append_batch *batches, size_t count, size_t bytes)
{
    struct segment *active = sh->active;
    uint64_t position = atomic_load(&active->size);
    int64_t next = atomic_load(&sh->high_watermark);
    for (size_t i = 0; i < count; i++) {
        struct batch_header h;
        err_t err = batch_header_parse(batches[i].data, batches[i].len, &h);
        ASSERT(err == OK);
        segment_index_add(active, position, &h);
        position += batches[i].len;
        next = batch_next_offset(&h);
        if ((h.attributes & BATCH_ATTR_PLAIN) == 0)
            atomic_store_explicit(&sh->plain_from, next, memory_order_relaxed);
    }
    atomic_store(&active->next_offset, next);
    atomic_store(&active->size, position);
    atomic_fetch_add_explicit(&sh->end_bytes, bytes, memory_order_relaxed);
    atomic_store_explicit(&sh->high_watermark, next, memory_order_release);
    metric_inc(M_commit_groups_total);
    metric_add(M_commit_batches_total, (int64_t)count);
    metric_add(M_commit_bytes_total, (int64_t)bytes);
}

static void wake_waiters(struct shard *sh)
{
    if (atomic_load(&sh->waiter_count) == 0)
        return;
    lock_acquire(&sh->waiters_lock);
    struct shard_waiter *w;
    while ((w = sh->waiters) != NULL) {
        sh->waiters = w->next;
        if (w->next != NULL)
            w->next->link = &sh->waiters;
        w->link = NULL;
        atomic_fetch_sub(&sh->waiter_count, 1);
        w->fn(w);
    }
    lock_release(&sh->waiters_lock);
}

/** Cuts the active file back to what is durable, durably. */
static err_t cut_to_durable(struct shard *sh)
{
    sh->active_prepared = false; /* its zeros are gone */
    TRY(io_file_truncate(sh->active->file, atomic_load(&sh->active->size)));
    return io_file_sync(sh->active->file);
}

/** A new segment after a fault, at the same offset: the old file keeps what is durable in it. */
static err_t move_on(struct shard *sh)
{
    struct io *io = sh->log->options.io;
    TRY(cut_to_durable(sh));
    if (atomic_load(&sh->active->size) > 0)
        return shard_roll(sh);
    /* It holds nothing durable and its name is needed again. */
    CLEANUP(xfree_ptr) char *path = segment_path(sh->dir, sh->active->base_offset, ".log");
    CLEANUP(xfree_ptr) char *failed = segment_path(sh->dir, sh->active->base_offset, ".failed");
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    TRY(io_rename(io, path, failed));
    TRY(io_open(io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &file));
    TRY(io_file_sync(file));
    TRY(io_sync_dir(io, sh->dir));
    struct segment *fresh = segment_new_active(io, sh->dir, sh->active->base_offset, TAKE(file));
    fresh->before = sh->active->before;
    lock_acquire(&sh->segments_lock);
    struct segment *old = sh->segments[sh->segment_count - 1];
    ASSERT(old == sh->active);
    sh->segments[sh->segment_count - 1] = segment_ref(fresh);
    lock_release(&sh->segments_lock);
    sh->active = fresh;
    segment_unref(old); /* the list's */
    segment_unref(old); /* the shard's */
    return OK;
}

/** After a failed write or sync: nothing of the group may ever come back. */
static err_t handle_failure(struct shard *sh, err_t err)
{
    CLEANUP(xfree_ptr) char *text = xstrdup(err_text(err));
    metric_inc(M_commit_failures_total);
    if (err == ERR_NO_SPACE && cut_to_durable(sh) == OK) {
        atomic_store(&sh->full_since_ns, clock_mono_ns(sh->log->options.clock));
        shard_set_status(sh, SHARD_FULL, text);
        return err_fail(ERR_NO_SPACE, "%s", text);
    }
    LOG_ERROR("append_failed", F("shard", sh->dir), F("err", text),
              F("next", "moving to a new segment"));
    err_t move_err = move_on(sh);
    if (move_err != OK)
        shard_set_status(sh, SHARD_READ_ONLY, err_text(move_err));
    return err_fail(ERR_IO, "%s", text);
}

/** Rolls where the group does not fit any more. */
static err_t make_room(struct shard *sh, size_t bytes)
{
    struct segment *active = sh->active;
    uint64_t size = atomic_load(&active->size);
    int64_t relative = atomic_load(&active->next_offset) - active->base_offset;
    bool fits = size + bytes <= sh->segment_limit &&
                relative <= SHARD_BATCH_OFFSETS_MAX - (int64_t)LIMIT_BATCH_BYTES;
    if (size == 0 || (fits && !shard_prefers_prepared(sh)))
        return OK;
    err_t err = shard_roll(sh);
    if (err != OK && fits && shard_status(sh) != SHARD_READ_ONLY)
        return OK; /* it was a wish: the active segment takes the group */
    if (err == ERR_NO_SPACE) {
        atomic_store(&sh->full_since_ns, clock_mono_ns(sh->log->options.clock));
        if (shard_status(sh) != SHARD_READ_ONLY)
            shard_set_status(sh, SHARD_FULL, err_text(err));
    } else if (err != OK) {
        /* The old segment may be full beyond its limit, which is harmless; the device is failing.
         */
        metric_inc(M_commit_failures_total);
    }
    return err;
}

err_t shard_append(struct shard *sh, struct append_batch *batches, size_t count)
{
    TRY(shard_admit(sh));
    shard_maybe_checkpoint(sh);
    size_t bytes = assign_offsets(sh, batches, count);
    ASSERT(bytes <= LIMIT_BATCH_BYTES && count > 0);
    TRY(make_room(sh, bytes));
    err_t err = write_group(sh, batches, count, bytes);
    if (unlikely(err != OK))
        return handle_failure(sh, err);
    publish(sh, batches, count, bytes);
    sh->since_checkpoint += bytes;
    if (unlikely(shard_status(sh) == SHARD_FULL))
        shard_set_status(sh, SHARD_OPEN, "");
    wake_waiters(sh);
    return OK;
}

void shard_upkeep(struct shard *sh)
{
    note_point(sh);
    shard_maybe_prepare(sh);
    shard_maybe_drop_pages(sh);
}

/* Waiting ------------------------------------------------------------------------------------- */

bool shard_wait(struct shard *sh, int64_t seen, struct shard_waiter *w)
{
    lock_acquire(&sh->waiters_lock);
    /* Counted before the look at the high watermark: an append between the two sees the count. */
    atomic_fetch_add(&sh->waiter_count, 1);
    if (shard_high_watermark(sh) > seen) {
        atomic_fetch_sub(&sh->waiter_count, 1);
        w->link = NULL;
        lock_release(&sh->waiters_lock);
        return false;
    }
    w->next = sh->waiters;
    w->link = &sh->waiters;
    if (w->next != NULL)
        w->next->link = &w->next;
    sh->waiters = w;
    lock_release(&sh->waiters_lock);
    return true;
}

void shard_unwait(struct shard *sh, struct shard_waiter *w)
{
    lock_acquire(&sh->waiters_lock);
    if (w->link != NULL) {
        *w->link = w->next;
        if (w->next != NULL)
            w->next->link = w->link;
        w->link = NULL;
        atomic_fetch_sub(&sh->waiter_count, 1);
    }
    lock_release(&sh->waiters_lock);
}
