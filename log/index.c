/*
 * log/index.c: the offset index and the time index: in memory while a segment is active, as Kafka's
 * index files once it is sealed. What an index answers is only ever a starting point: it is checked
 * against the batch it points to, and a wrong file is rebuilt from the .log.
 */
#include "log/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/logger.h"
#include "base/metrics.h"

static void entries_push(struct segment *s, struct index_entry e)
{
    if (s->entry_count == s->entry_cap) {
        s->entry_cap = s->entry_cap == 0 ? 64 : s->entry_cap * 2;
        s->entries = xrealloc(s->entries, s->entry_cap * sizeof(*s->entries));
    }
    s->entries[s->entry_count++] = e;
}

static void times_push(struct segment *s, struct time_entry e)
{
    if (s->time_count == s->time_cap) {
        s->time_cap = s->time_cap == 0 ? 64 : s->time_cap * 2;
        s->times = xrealloc(s->times, s->time_cap * sizeof(*s->times));
    }
    s->times[s->time_count++] = e;
}

/** Adds a batch to the arrays; the lock is held or the segment is not shared yet. */
static void note_batch(struct segment *s, uint64_t position, const struct batch_header *h)
{
    int64_t last = h->base_offset + h->last_offset_delta;
    if (h->max_timestamp > s->max_timestamp) {
        s->max_timestamp = h->max_timestamp;
        s->max_timestamp_offset = last;
    }
    if (position < s->next_entry_at)
        return;
    s->next_entry_at = position + INDEX_INTERVAL_BYTES;
    entries_push(s, (struct index_entry){(uint32_t)(last - s->base_offset), (uint32_t)position});
    if (s->time_count == 0 || s->times[s->time_count - 1].timestamp_ms < s->max_timestamp)
        times_push(s, (struct time_entry){s->max_timestamp,
                                          (uint32_t)(s->max_timestamp_offset - s->base_offset)});
}

void segment_index_add(struct segment *s, uint64_t position, const struct batch_header *h)
{
    lock_acquire(&s->lock);
    if (position == 0)
        s->indexed_from = 0;
    else if (s->entry_count == 0 && s->indexed_from == 0 && s->next_entry_at == 0)
        s->indexed_from = s->next_entry_at = position;
    note_batch(s, position, h);
    lock_release(&s->lock);
}

static err_t hop_note(void *arg, uint64_t position, const struct batch_header *h)
{
    note_batch(arg, position, h);
    return OK;
}

/** Builds the entries of [0, to) in `part`, an unshared stand-in with the same file. */
static err_t build_part(struct segment *s, struct segment *part, uint64_t to)
{
    *part = (struct segment){
        .base_offset = s->base_offset, .file = s->file, .max_timestamp = INT64_MIN};
    uint64_t end;
    return segment_hop(part, 0, to, s->base_offset, hop_note, part, &end);
}

/** Puts the entries of `part` before those of `s`. The lock is held. */
static void prepend_part(struct segment *s, struct segment *part)
{
    struct index_entry *tail = s->entries;
    size_t tail_count = s->entry_count;
    struct time_entry *tail_times = s->times;
    size_t tail_time_count = s->time_count;
    s->entries = part->entries;
    s->entry_count = part->entry_count;
    s->entry_cap = part->entry_cap;
    s->times = part->times;
    s->time_count = part->time_count;
    s->time_cap = part->time_cap;
    for (size_t i = 0; i < tail_count; i++)
        entries_push(s, tail[i]);
    for (size_t i = 0; i < tail_time_count; i++) {
        if (s->time_count == 0 ||
            (tail_times[i].timestamp_ms > part->max_timestamp &&
             tail_times[i].timestamp_ms > s->times[s->time_count - 1].timestamp_ms))
            times_push(s, tail_times[i]);
    }
    if (part->max_timestamp >= s->max_timestamp) {
        s->max_timestamp = part->max_timestamp;
        s->max_timestamp_offset = part->max_timestamp_offset;
    }
    s->indexed_from = 0;
    free(tail);
    free(tail_times);
}

err_t segment_index_complete(struct segment *s)
{
    if (atomic_load(&s->sealed))
        return OK;
    lock_acquire(&s->lock);
    uint64_t to = s->indexed_from;
    lock_release(&s->lock);
    if (to == 0)
        return OK;
    struct segment part;
    err_t err = build_part(s, &part, to);
    lock_acquire(&s->lock);
    if (err == OK && s->indexed_from == to) {
        prepend_part(s, &part);
    } else {
        free(part.entries);
        free(part.times);
    }
    lock_release(&s->lock);
    return err;
}

/** Encodes both indexes as of now. A last time entry for the segment's maximum is added, as Kafka
 * does when a segment becomes inactive. The lock is held. */
static void encode_locked(struct segment *s, struct buf *index, struct buf *timeindex)
{
    for (size_t i = 0; i < s->entry_count; i++) {
        put_u32(index, s->entries[i].relative_offset);
        put_u32(index, s->entries[i].position);
    }
    if (s->max_timestamp != INT64_MIN &&
        (s->time_count == 0 || s->times[s->time_count - 1].timestamp_ms < s->max_timestamp))
        times_push(s, (struct time_entry){s->max_timestamp,
                                          (uint32_t)(s->max_timestamp_offset - s->base_offset)});
    for (size_t i = 0; i < s->time_count; i++) {
        put_u64(timeindex, (uint64_t)s->times[i].timestamp_ms);
        put_u32(timeindex, s->times[i].relative_offset);
    }
}

err_t segment_index_write(struct segment *s)
{
    CLEANUP(buf_release) struct buf index = BUF_INIT;
    CLEANUP(buf_release) struct buf timeindex = BUF_INIT;
    CLEANUP(xfree_ptr) char *index_path = segment_path(s->dir, s->base_offset, ".index");
    CLEANUP(xfree_ptr) char *timeindex_path = segment_path(s->dir, s->base_offset, ".timeindex");
    TRY(segment_index_complete(s));
    lock_acquire(&s->lock);
    encode_locked(s, &index, &timeindex);
    lock_release(&s->lock);
    /* The offset index last: where it is present, the segment is sealed and both are. */
    TRY(io_replace(s->io, timeindex_path, timeindex.data, timeindex.len));
    return io_replace(s->io, index_path, index.data, index.len);
}

err_t index_rebuild(struct segment *s)
{
    metric_inc(M_indexes_rebuilt_total);
    LOG_WARN("index_rebuilt", F("segment", s->file->path));
    struct segment part;
    err_t err = build_part(s, &part, atomic_load(&s->size));
    CLEANUP(buf_release) struct buf index = BUF_INIT;
    CLEANUP(buf_release) struct buf timeindex = BUF_INIT;
    if (err == OK)
        encode_locked(&part, &index, &timeindex);
    free(part.entries);
    free(part.times);
    TRY(err);
    CLEANUP(xfree_ptr) char *index_path = segment_path(s->dir, s->base_offset, ".index");
    CLEANUP(xfree_ptr) char *timeindex_path = segment_path(s->dir, s->base_offset, ".timeindex");
    TRY(io_replace(s->io, timeindex_path, timeindex.data, timeindex.len));
    TRY(io_replace(s->io, index_path, index.data, index.len));
    /* Readers that still hold the old files see their old answers, which are checked like any. */
    lock_acquire(&s->lock);
    io_file_close(TAKE(s->index_file));
    io_file_close(TAKE(s->timeindex_file));
    lock_release(&s->lock);
    return OK;
}

static err_t open_one(struct segment *s, const char *suffix, size_t entry_bytes,
                      struct io_file **ret_file, uint64_t *ret_count)
{
    CLEANUP(xfree_ptr) char *path = segment_path(s->dir, s->base_offset, suffix);
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    uint64_t size;
    TRY(io_open(s->io, path, IO_READ, &file));
    TRY(io_file_size(file, &size));
    if (size % entry_bytes != 0 || (size == 0 && atomic_load(&s->size) != 0))
        return err_fail(ERR_CORRUPT, "%s has an impossible size of %llu bytes", path,
                        (unsigned long long)size);
    *ret_file = TAKE(file);
    *ret_count = size / entry_bytes;
    return OK;
}

static err_t open_both(struct segment *s)
{
    if (s->index_file == NULL)
        TRY(open_one(s, ".index", INDEX_ENTRY_BYTES, &s->index_file, &s->index_count));
    if (s->timeindex_file == NULL)
        TRY(open_one(s, ".timeindex", TIMEINDEX_ENTRY_BYTES, &s->timeindex_file,
                     &s->timeindex_count));
    return OK;
}

err_t index_use(struct segment *s)
{
    TRY(segment_use(s));
    for (int attempt = 0;; attempt++) {
        lock_acquire(&s->lock);
        err_t err = open_both(s);
        lock_release(&s->lock);
        if (err == OK || attempt == 1)
            return err;
        TRY(index_rebuild(s));
    }
}

/** Reads entry i of the index or timeindex file. */
static err_t read_entry(struct segment *s, uint64_t i, struct index_entry *ret_entry)
{
    uint8_t bytes[INDEX_ENTRY_BYTES];
    TRY(io_file_pread_all(s->index_file, bytes, sizeof(bytes), i * INDEX_ENTRY_BYTES));
    *ret_entry = (struct index_entry){load_u32(bytes), load_u32(bytes + 4)};
    return OK;
}

static err_t read_time_entry(struct segment *s, uint64_t i, struct time_entry *ret_entry)
{
    uint8_t bytes[TIMEINDEX_ENTRY_BYTES];
    TRY(io_file_pread_all(s->timeindex_file, bytes, sizeof(bytes), i * TIMEINDEX_ENTRY_BYTES));
    *ret_entry = (struct time_entry){(int64_t)load_u64(bytes), load_u32(bytes + 8)};
    return OK;
}

/** Binary search: the last entry whose offset (or position) is <= wanted; ERR_END where there is
 * none. */
static err_t floor_entry(struct segment *s, bool by_position, uint64_t wanted, bool sealed,
                         struct index_entry *ret_entry)
{
    uint64_t low = 0, high = sealed ? s->index_count : s->entry_count;
    struct index_entry e = {0}, found = {0};
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (sealed)
            TRY(read_entry(s, middle, &e));
        else
            e = s->entries[middle];
        if ((by_position ? e.position : e.relative_offset) <= wanted) {
            found = e;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0)
        return ERR_END;
    *ret_entry = found;
    return OK;
}

/** One look-up, without the check against the batch. */
static err_t floor_once(struct segment *s, bool by_position, uint64_t wanted,
                        struct index_entry *ret_entry)
{
    if (atomic_load(&s->sealed)) {
        TRY(index_use(s));
        return floor_entry(s, by_position, wanted, true, ret_entry);
    }
    lock_acquire(&s->lock);
    err_t err = ERR_AGAIN; /* sealed meanwhile */
    if (!atomic_load(&s->sealed))
        err = floor_entry(s, by_position, wanted, false, ret_entry);
    bool partial = s->indexed_from > 0;
    lock_release(&s->lock);
    if (err == ERR_END && partial) {
        /* What was asked for lies before the part that is indexed since the start. */
        TRY(segment_index_complete(s));
        err = ERR_AGAIN;
    }
    return err == ERR_AGAIN ? floor_once(s, by_position, wanted, ret_entry) : err;
}

/** Whether the batch at an entry's position is the one that the entry speaks of. */
static bool entry_holds(struct segment *s, struct index_entry e)
{
    struct batch_header h;
    return segment_header_at(s, e.position, atomic_load(&s->size), &h) == OK &&
           h.base_offset + h.last_offset_delta - s->base_offset == (int64_t)e.relative_offset;
}

static err_t floor_checked(struct segment *s, bool by_position, uint64_t wanted,
                           uint64_t *ret_position)
{
    for (int attempt = 0;; attempt++) {
        struct index_entry e;
        err_t err = floor_once(s, by_position, wanted, &e);
        if (err == ERR_END) {
            *ret_position = 0;
            return OK;
        }
        TRY(err);
        if (entry_holds(s, e)) {
            *ret_position = e.position;
            return OK;
        }
        if (attempt == 1 || !atomic_load(&s->sealed))
            return err_fail(ERR_CORRUPT, "%s: the index points to byte %u, where no such batch is",
                            s->file->path, e.position);
        TRY(index_rebuild(s));
    }
}

err_t segment_floor_by_offset(struct segment *s, int64_t offset, uint64_t *ret_position)
{
    ASSERT(offset >= s->base_offset);
    return floor_checked(s, false, (uint64_t)(offset - s->base_offset), ret_position);
}

err_t segment_floor_by_position(struct segment *s, uint64_t position, uint64_t *ret_position)
{
    return floor_checked(s, true, position, ret_position);
}

/** Whether a time entry of a sealed segment speaks of a batch that is there. */
static bool time_entry_holds(struct segment *s, struct time_entry e)
{
    uint64_t position;
    struct batch_header h;
    int64_t offset = s->base_offset + e.relative_offset;
    return offset < atomic_load(&s->next_offset) &&
           segment_find_batch(s, offset, &position, &h) == OK &&
           h.base_offset + h.last_offset_delta == offset && h.max_timestamp == e.timestamp_ms;
}

/** The last time entry below ts_ms (`below`), or the last of all; ERR_END where there is none. */
static err_t time_entry_search(struct segment *s, bool below, int64_t ts_ms,
                               struct time_entry *ret_entry)
{
    uint64_t low = 0, high = s->timeindex_count;
    while (below && low < high) {
        uint64_t middle = low + (high - low) / 2;
        struct time_entry e;
        TRY(read_time_entry(s, middle, &e));
        if (e.timestamp_ms < ts_ms)
            low = middle + 1;
        else
            high = middle;
    }
    if (high == 0)
        return ERR_END;
    return read_time_entry(s, high - 1, ret_entry);
}

/** The same with the entry checked against its batch; a wrong file is rebuilt once. */
static err_t time_entry_checked(struct segment *s, bool below, int64_t ts_ms,
                                struct time_entry *ret_entry)
{
    for (int attempt = 0;; attempt++) {
        TRY(index_use(s));
        TRY(time_entry_search(s, below, ts_ms, ret_entry));
        if (time_entry_holds(s, *ret_entry))
            return OK;
        if (attempt == 1)
            return err_fail(ERR_CORRUPT, "%s: the time index does not fit its segment",
                            s->file->path);
        TRY(index_rebuild(s));
    }
}

err_t segment_max_timestamp(struct segment *s, int64_t *ret_ts, int64_t *ret_offset)
{
    TRY(segment_index_complete(s));
    lock_acquire(&s->lock);
    bool sealed = atomic_load(&s->sealed);
    int64_t ts = s->max_timestamp, offset = s->max_timestamp_offset;
    lock_release(&s->lock);
    if (sealed) {
        struct time_entry e;
        TRY(time_entry_checked(s, false, 0, &e));
        ts = e.timestamp_ms;
        offset = s->base_offset + e.relative_offset;
    }
    *ret_ts = ts;
    *ret_offset = offset;
    return ts == INT64_MIN ? ERR_END : OK;
}

/** The active segment's answer to older_until; false when it was sealed meanwhile. */
static bool older_in_memory(struct segment *s, int64_t ts_ms, int64_t *ret_offset)
{
    *ret_offset = s->base_offset;
    lock_acquire(&s->lock);
    bool active = !atomic_load(&s->sealed);
    for (size_t low = 0, high = s->time_count; active && low < high;) {
        size_t middle = low + (high - low) / 2;
        if (s->times[middle].timestamp_ms < ts_ms) {
            *ret_offset = s->base_offset + s->times[middle].relative_offset;
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    lock_release(&s->lock);
    return active;
}

/** An offset up to which every batch is older than ts_ms, from the time index. */
static err_t older_until(struct segment *s, int64_t ts_ms, int64_t *ret_offset)
{
    TRY(segment_index_complete(s));
    if (!atomic_load(&s->sealed) && older_in_memory(s, ts_ms, ret_offset))
        return OK;
    struct time_entry e;
    err_t err = time_entry_checked(s, true, ts_ms, &e);
    *ret_offset = err == OK ? s->base_offset + e.relative_offset : s->base_offset;
    return err == ERR_END ? OK : err;
}

err_t segment_floor_by_time(struct segment *s, int64_t ts_ms, uint64_t *ret_position)
{
    int64_t max_ts, max_offset, until;
    TRY(segment_max_timestamp(s, &max_ts, &max_offset));
    if (max_ts < ts_ms)
        return ERR_END;
    TRY(older_until(s, ts_ms, &until));
    return segment_floor_by_offset(s, until, ret_position);
}
