/*
 * log/recovery.c: what of a shard's tail is kept after a crash.
 *
 * Everything up to the recovery point was synced before it was written there. From there on batches
 * are taken one by one as long as each has the expected base offset and a good CRC. What stands
 * behind the last good one:
 *
 *   nothing, or only zeros     the end (a prepared segment is zeros behind its data)
 *   bad bytes, last segment,   a torn group (at most 8 MiB was in flight): cut, and the cut bytes
 * kept as nothing valid > 8 MiB on   <segment>.<position>.cut; valid batches in there are reported,
 * never used: what lies before them is missing, and they were not acknowledged anything else
 * damage: the shard opens read-only, nothing is changed
 *
 * A segment ends where the next one begins. What is kept is synced before anyone may read it: after
 * a kill -9 it may exist only in the page cache. Recovery may itself crash and run again (it only
 * cuts what it would cut again).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "log/listing.h"
#include "log/shard.h"

#define SCAN_BUFFER_BYTES MIB(1)
#define BATCH_MAGIC_AT 16

struct scan {
    struct io_file *file;
    uint64_t file_size;
    uint64_t position; /* after the last good batch */
    int64_t next_offset;
    struct segment *segment; /* told about every good batch; may be NULL */
    uint8_t *buffer;
    size_t buffer_cap;
};

/** Reads the batch at scan->position; false where no good one with the expected offset stands
 * there. */
static err_t scan_batch(struct scan *sc, bool *ret_good)
{
    struct batch_header h;
    uint64_t left = sc->file_size - sc->position;
    *ret_good = false;
    if (left < BATCH_HEADER_BYTES)
        return OK;
    TRY(io_file_pread_all(sc->file, sc->buffer, BATCH_HEADER_BYTES, sc->position));
    if (batch_header_parse(sc->buffer, BATCH_HEADER_BYTES, &h) != OK ||
        h.base_offset != sc->next_offset || batch_total_bytes(&h) > left)
        return OK;
    size_t total = batch_total_bytes(&h);
    if (total > sc->buffer_cap) {
        sc->buffer = xrealloc(sc->buffer, total);
        sc->buffer_cap = total;
    }
    TRY(io_file_pread_all(sc->file, sc->buffer, total, sc->position));
    if (batch_check(sc->buffer, total, &h) != OK)
        return OK;
    if (sc->segment != NULL)
        segment_index_add(sc->segment, sc->position, &h);
    sc->position += total;
    sc->next_offset = batch_next_offset(&h);
    *ret_good = true;
    return OK;
}

/** Goes on to the last good batch. */
static err_t scan_run(struct scan *sc)
{
    bool good = true;
    while (good)
        TRY(scan_batch(sc, &good));
    return OK;
}

/** What stands behind the last good batch of the last segment. */
struct tail {
    uint64_t
        used_end; /* one past the last byte that is not zero; scan position where all are zero */
    uint64_t valid_bytes;   /* in whole, good batches */
    uint64_t last_valid_at; /* where the last of them begins */
};

/** Whether a good batch of this shard's future begins at data[at]. */
static bool plausible_batch(const uint8_t *data, size_t len, int64_t min_offset,
                            struct batch_header *ret_header)
{
    struct batch_header h;
    if (len < BATCH_HEADER_BYTES || data[BATCH_MAGIC_AT] != 2)
        return false;
    if (batch_header_parse(data, len, &h) != OK || h.base_offset < min_offset ||
        h.base_offset - min_offset > INT32_MAX || batch_total_bytes(&h) > len)
        return false;
    return batch_check(data, len, ret_header) == OK;
}

/** How many zero bytes `data` begins with. */
static size_t zero_run(const uint8_t *data, size_t len)
{
    size_t i = 0;
    uint64_t word = 0;
    while (i + sizeof(word) <= len && memcpy(&word, data + i, sizeof(word)) && word == 0)
        i += sizeof(word);
    while (i < len && data[i] == 0)
        i++;
    return i;
}

/** Looks at [position, file_size): windows of one group overlap by the largest batch. */
static err_t look_at_tail(struct io_file *file, uint64_t file_size, uint64_t position,
                          int64_t next_offset, struct tail *ret_tail)
{
    struct tail tail = {.used_end = position};
    size_t window = (size_t)MIN((uint64_t)LIMIT_BATCH_BYTES * 2, file_size - position);
    CLEANUP(xfree_ptr) uint8_t *data = xmalloc(window);
    uint64_t from = position;
    while (from < file_size) {
        size_t got;
        TRY(io_file_pread(file, data, window, from, &got));
        bool last = from + got >= file_size;
        size_t until = last ? got : got - LIMIT_BATCH_BYTES;
        for (size_t i = 0; i < until;) {
            /* No batch begins where its magic would be zero. */
            size_t zeros = zero_run(data + i, got - i);
            if (zeros > BATCH_MAGIC_AT) {
                i += zeros - BATCH_MAGIC_AT;
                continue;
            }
            if (data[i] != 0 && from + i + 1 > tail.used_end)
                tail.used_end = from + i + 1;
            struct batch_header h;
            if (plausible_batch(data + i, got - i, next_offset, &h)) {
                tail.valid_bytes += batch_total_bytes(&h);
                tail.last_valid_at = from + i;
                i += batch_total_bytes(&h);
                tail.used_end = from + i;
            } else {
                i++;
            }
        }
        if (last || got == 0)
            break;
        from += until;
    }
    *ret_tail = tail;
    return OK;
}

static bool tail_is_damage(const struct tail *tail, uint64_t position)
{
    return tail->valid_bytes > 0 && tail->last_valid_at > position + LIMIT_BATCH_BYTES;
}

err_t recovery_tail_is_damage(struct io_file *file, uint64_t file_size, uint64_t position,
                              int64_t next_offset, bool *ret_damage)
{
    struct tail tail;
    TRY(look_at_tail(file, file_size, position, next_offset, &tail));
    *ret_damage = tail_is_damage(&tail, position);
    return OK;
}

/** A free name for a cut at this place: "<segment>.<position>.cut", with a number before the suffix
 * where an earlier cut has that name. */
static err_t name_cut(struct io *io, const char *dir, int64_t base, uint64_t position,
                      const char *suffix, char **ret_path)
{
    for (unsigned i = 0;; i++) {
        char number[16] = "";
        if (i > 0)
            snprintf(number, sizeof(number), "%u.", i);
        CLEANUP(xfree_ptr)
        char *path = xasprintf("%s/%020lld.%llu.%s%s", dir, (long long)base,
                               (unsigned long long)position, number, suffix);
        bool taken;
        TRY(io_find(io, path, &taken));
        if (!taken) {
            *ret_path = TAKE(path);
            return OK;
        }
    }
}

static err_t copy_tail(struct io *io, const struct scan *sc, const struct tail *tail,
                       const char *path)
{
    CLEANUP(io_file_close_ptr) struct io_file *out = NULL;
    CLEANUP(xfree_ptr) uint8_t *data = xmalloc(SCAN_BUFFER_BYTES);
    TRY(io_open(io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &out));
    for (uint64_t at = sc->position; at < tail->used_end;) {
        size_t step = (size_t)MIN((uint64_t)SCAN_BUFFER_BYTES, tail->used_end - at);
        TRY(io_file_pread_all(sc->file, data, step, at));
        TRY(io_file_pwrite(out, data, step, at - sc->position));
        at += step;
    }
    return io_file_sync(out);
}

/** Copies the cut bytes to a .cut file, whole or not at all, durable. */
static err_t keep_cut(struct log *log, struct scan *sc, const struct tail *tail, const char *dir,
                      int64_t base)
{
    struct io *io = log->options.io;
    CLEANUP(xfree_ptr) char *path = NULL;
    TRY(name_cut(io, dir, base, sc->position, tail->valid_bytes > 0 ? LISTING_VALID_CUT : "cut",
                 &path));
    CLEANUP(xfree_ptr) char *temp = xasprintf("%s.tmp", path);
    TRY(copy_tail(io, sc, tail, temp));
    TRY(io_rename(io, temp, path));
    TRY(io_sync_dir(io, dir));
    LOG_WARN("torn_group_cut", F("segment", sc->file->path), F("position", (int64_t)sc->position),
             F("bytes", (int64_t)(tail->used_end - sc->position)),
             F("valid_bytes", (int64_t)tail->valid_bytes), F("kept_as", path));
    metric_add(M_recovery_cut_bytes_total, (int64_t)(tail->used_end - sc->position));
    return OK;
}

/** Cuts the last segment behind the scan's end, or finds damage. */
static err_t settle_tail(struct log *log, struct scan *sc, const char *dir, int64_t base,
                         struct recovery_result *result)
{
    struct tail tail;
    TRY(look_at_tail(sc->file, sc->file_size, sc->position, sc->next_offset, &tail));
    if (tail_is_damage(&tail, sc->position)) {
        result->damaged = true;
        snprintf(result->text, sizeof(result->text),
                 "%s is damaged at byte %llu: valid batches follow up to byte %llu", sc->file->path,
                 (unsigned long long)sc->position, (unsigned long long)tail.used_end);
        return OK;
    }
    if (tail.used_end > sc->position) {
        /* Without room for the copy the cut is still right: the bytes were never acknowledged. */
        err_t err = keep_cut(log, sc, &tail, dir, base);
        if (err != OK && err != ERR_NO_SPACE)
            return err;
        result->cut_valid = tail.valid_bytes > 0;
    }
    if (sc->file_size == sc->position)
        return OK;
    TRY(io_file_truncate(sc->file, sc->position));
    return io_file_sync(sc->file);
}

static void damage(struct recovery_result *result, const char *path, uint64_t position,
                   const char *what)
{
    result->damaged = true;
    snprintf(result->text, sizeof(result->text), "%s is damaged at byte %llu: %s", path,
             (unsigned long long)position, what);
}

/** Scans one segment from `from`; the last one becomes the active segment. */
static err_t recover_segment(struct log *log, const char *dir, const int64_t *bases, size_t i,
                             size_t count, uint64_t from, int64_t expected,
                             struct recovery_result *result)
{
    struct io *io = log->options.io;
    bool last = i + 1 == count;
    CLEANUP(xfree_ptr) char *path = segment_path(dir, bases[i], ".log");
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    struct scan sc = {.position = from, .next_offset = expected};
    TRY(io_open(io, path, last ? IO_WRITE : IO_READ, &file));
    if (last) {
        /* After a kill -9 the tail may exist in the page cache only, and after a failed sync even
         * as clean pages: it is judged by what is on the disk. */
        TRY(io_file_sync(file));
        io_file_drop_cache(file, UINT64_MAX);
    }
    TRY(io_file_size(file, &sc.file_size));
    if (sc.file_size < from) {
        damage(result, path, sc.file_size, "bytes that were durable are missing");
        return OK;
    }
    sc.file = file;
    sc.buffer_cap = KIB(64);
    sc.buffer = xmalloc(sc.buffer_cap);
    struct segment *segment = segment_new_active(io, dir, bases[i], TAKE(file));
    sc.segment = segment;
    err_t err = scan_run(&sc);
    if (err == OK && last)
        err = settle_tail(log, &sc, dir, bases[i], result);
    else if (err == OK && sc.next_offset != bases[i + 1])
        damage(result, path, sc.position, "the batches up to the next segment are missing");
    free(sc.buffer);
    if (err == OK && (last || result->damaged)) {
        /* A damaged one can still be read up to the damage. */
        atomic_store(&segment->size, sc.position);
        atomic_store(&segment->next_offset, sc.next_offset);
        if (segment->entry_count == 0 && sc.position > 0)
            segment->indexed_from = segment->next_entry_at = sc.position;
        result->active = segment;
        result->active_index = i;
    } else {
        segment_unref(segment);
    }
    result->next_offset = sc.next_offset;
    return err;
}

err_t recovery_run(struct log *log, const char *dir, const int64_t *bases, size_t count,
                   const struct recovery_point *point, struct recovery_result *ret_result)
{
    ASSERT(count > 0);
    struct recovery_result result = {0};
    size_t first = count - 1;
    uint64_t from = 0;
    int64_t expected = bases[first];
    if (point != NULL) {
        first = count;
        for (size_t i = 0; i < count; i++) {
            if (bases[i] == point->segment_base)
                first = i;
        }
        if (first == count) {
            result.next_offset = bases[count - 1];
            result.active_index = count - 1;
            snprintf(
                result.text, sizeof(result.text),
                "%s: the segment with base offset %lld, which held durable batches, is missing",
                dir, (long long)point->segment_base);
            result.damaged = true;
        } else {
            from = point->position;
            expected = point->next_offset;
        }
    }
    for (size_t i = first; i < count && !result.damaged; i++) {
        err_t err = recover_segment(log, dir, bases, i, count, from, expected, &result);
        if (err != OK) {
            segment_unref(result.active);
            return err;
        }
        from = 0;
        expected = result.next_offset;
    }
    /* The names of segments and .cut files are safe before anything is acknowledged on top of them.
     */
    if (!result.damaged) {
        err_t err = io_sync_dir(log->options.io, dir);
        if (err != OK) {
            segment_unref(result.active);
            return err;
        }
    }
    *ret_result = result;
    return OK;
}
