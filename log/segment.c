/*
 * log/segment.c: a segment file: references, header look-ups, hopping, sealing.
 */
#include "log/segment.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "log/index.h"

#define HOP_BUFFER_BYTES KIB(64)
#define HOP_SMALL_BYTES KIB(4)

char *segment_path(const char *dir, int64_t base_offset, const char *suffix)
{
    return xasprintf("%s/%020lld%s", dir, (long long)base_offset, suffix);
}

static struct segment *segment_new(struct io *io, const char *dir, int64_t base_offset)
{
    struct segment *s = xcalloc(1, sizeof(*s));
    s->io = io;
    s->dir = xstrdup(dir);
    s->base_offset = base_offset;
    s->max_timestamp = INT64_MIN;
    atomic_init(&s->refs, 1);
    atomic_init(&s->size, 0);
    atomic_init(&s->next_offset, base_offset);
    atomic_init(&s->sealed, false);
    lock_init(&s->lock, LOCK_RANK_INDEX);
    return s;
}

struct segment *segment_new_sealed(struct io *io, const char *dir, int64_t base_offset,
                                   int64_t next_offset)
{
    struct segment *s = segment_new(io, dir, base_offset);
    atomic_store(&s->sealed, true);
    atomic_store(&s->dropped, SEGMENT_OLD);
    atomic_store(&s->next_offset, next_offset);
    return s;
}

struct segment *segment_new_leftover(struct io *io, const char *dir, int64_t base_offset,
                                     int64_t next_offset)
{
    struct segment *s = segment_new(io, dir, base_offset);
    s->leftover = true;
    atomic_store(&s->dropped, SEGMENT_OLD);
    atomic_store(&s->next_offset, next_offset);
    return s;
}

struct segment *segment_new_active(struct io *io, const char *dir, int64_t base_offset,
                                   struct io_file *file)
{
    struct segment *s = segment_new(io, dir, base_offset);
    s->file = file;
    return s;
}

struct segment *segment_ref(struct segment *s)
{
    atomic_fetch_add(&s->refs, 1);
    return s;
}

void segment_unref(struct segment *s)
{
    if (s == NULL || atomic_fetch_sub(&s->refs, 1) != 1)
        return;
    io_file_close(s->file);
    io_file_close(s->index_file);
    io_file_close(s->timeindex_file);
    free(s->entries);
    free(s->times);
    lock_destroy(&s->lock);
    free(s->dir);
    free(s);
}

err_t segment_header_at(struct segment *s, uint64_t position, uint64_t limit,
                        struct batch_header *ret_header)
{
    uint8_t bytes[BATCH_HEADER_BYTES];
    struct batch_header h;
    if (limit < BATCH_HEADER_BYTES || position > limit - BATCH_HEADER_BYTES)
        return err_fail(ERR_CORRUPT, "%s: no batch fits at byte %llu", s->file->path,
                        (unsigned long long)position);
    TRY(io_file_pread_all(s->file, bytes, sizeof(bytes), position));
    if (batch_header_parse(bytes, sizeof(bytes), &h) != OK ||
        batch_total_bytes(&h) > limit - position || h.base_offset < s->base_offset)
        return err_fail(ERR_CORRUPT, "%s: no valid batch at byte %llu", s->file->path,
                        (unsigned long long)position);
    *ret_header = h;
    return OK;
}

err_t segment_find_batch(struct segment *s, int64_t offset, uint64_t *ret_position,
                         struct batch_header *ret_header)
{
    uint64_t limit = atomic_load(&s->size);
    uint64_t position;
    struct batch_header h;
    TRY(segment_floor_by_offset(s, offset, &position));
    for (;;) {
        TRY(segment_header_at(s, position, limit, &h));
        if (batch_next_offset(&h) > offset)
            break;
        position += batch_total_bytes(&h);
    }
    if (h.base_offset > offset)
        return err_fail(ERR_CORRUPT, "%s: offset %lld is missing before byte %llu", s->file->path,
                        (long long)offset, (unsigned long long)position);
    *ret_position = position;
    *ret_header = h;
    return OK;
}

err_t segment_hop(struct segment *s, uint64_t from, uint64_t to, int64_t expected_offset,
                  segment_hop_fn fn, void *arg, uint64_t *ret_end)
{
    CLEANUP(xfree_ptr) uint8_t *buffer = xmalloc(HOP_BUFFER_BYTES);
    uint64_t buffer_at = 0;
    size_t buffer_len = 0;
    uint64_t position = from;
    *ret_end = from;
    while (position < to) {
        bool inside = position >= buffer_at && position - buffer_at <= buffer_len &&
                      buffer_len - (position - buffer_at) >= BATCH_HEADER_BYTES;
        if (!inside) {
            /* Large batches: only headers are worth reading. */
            size_t step =
                position > buffer_at + 2 * HOP_SMALL_BYTES ? HOP_SMALL_BYTES : HOP_BUFFER_BYTES;
            size_t want = (size_t)MIN((uint64_t)step, to - position);
            TRY(io_file_pread(s->file, buffer, want, position, &buffer_len));
            buffer_at = position;
        }
        struct batch_header h;
        size_t at = (size_t)(position - buffer_at);
        if (batch_header_parse(buffer + at, buffer_len - at, &h) != OK ||
            h.base_offset != expected_offset || batch_total_bytes(&h) > to - position)
            return err_fail(ERR_CORRUPT, "%s: no valid batch with offset %lld at byte %llu",
                            s->file->path, (long long)expected_offset,
                            (unsigned long long)position);
        TRY(fn(arg, position, &h));
        position += batch_total_bytes(&h);
        expected_offset = batch_next_offset(&h);
        *ret_end = position;
    }
    return OK;
}

struct hop_to {
    int64_t next_base;
    uint64_t end;
};

static err_t hop_to_fn(void *arg, uint64_t position, const struct batch_header *h)
{
    struct hop_to *to = arg;
    to->end = position + batch_total_bytes(h);
    return batch_next_offset(h) >= to->next_base ? ERR_END : OK;
}

err_t segment_hop_to(struct segment *s, uint64_t file_size, int64_t next_base, uint64_t *ret_end)
{
    struct hop_to to = {.next_base = next_base};
    uint64_t hopped;
    err_t err = segment_hop(s, 0, file_size, s->base_offset, hop_to_fn, &to, &hopped);
    if (err == OK)
        err = err_fail(ERR_CORRUPT, "%s ends before offset %lld", s->file->path,
                       (long long)next_base);
    if (err == ERR_END)
        err = OK;
    *ret_end = to.end;
    return err;
}

/** Opens the file; the lock is held. */
static err_t open_file(struct segment *s)
{
    CLEANUP(xfree_ptr) char *path = segment_path(s->dir, s->base_offset, ".log");
    uint64_t size;
    TRY(io_open(s->io, path, s->leftover ? IO_WRITE : IO_READ, &s->file));
    err_t err = io_file_size(s->file, &size);
    if (err == OK && s->leftover)
        err = segment_hop_to(s, size, atomic_load(&s->next_offset), &size);
    if (err != OK) {
        io_file_close(TAKE(s->file));
        return err;
    }
    if (s->leftover)
        s->indexed_from = s->next_entry_at = size;
    atomic_store(&s->size, size);
    return OK;
}

err_t segment_use(struct segment *s)
{
    /* Held over I/O: two readers may come at once, and none of them can go on without it. */
    lock_acquire(&s->lock);
    err_t err = s->file == NULL ? open_file(s) : OK;
    lock_release(&s->lock);
    return err;
}

uint64_t segment_size(struct segment *s)
{
    lock_acquire(&s->lock);
    bool known = s->file != NULL || atomic_load(&s->size) > 0;
    lock_release(&s->lock);
    if (known)
        return atomic_load(&s->size);
    CLEANUP(xfree_ptr) char *path = segment_path(s->dir, s->base_offset, ".log");
    struct io_stat st;
    if (io_stat(s->io, path, &st) != OK)
        return 0;
    if (!s->leftover)
        atomic_store(&s->size, st.size_bytes); /* sealed: it stays so */
    return st.size_bytes;
}

err_t segment_seal(struct segment *s)
{
    if (atomic_load(&s->sealed))
        return OK;
    TRY(segment_use(s));
    uint64_t file_size, size = atomic_load(&s->size);
    TRY(io_file_size(s->file, &file_size));
    if (file_size != size)
        TRY(io_file_truncate(s->file, size));
    /* Also when the size is right already: a run that was killed may have set it and not synced. */
    TRY(io_file_sync(s->file));
    TRY(segment_index_write(s));
    lock_acquire(&s->lock);
    free(s->entries);
    free(s->times);
    s->entries = NULL;
    s->times = NULL;
    s->entry_count = s->entry_cap = s->time_count = s->time_cap = 0;
    atomic_store(&s->sealed, true);
    lock_release(&s->lock);
    return OK;
}
