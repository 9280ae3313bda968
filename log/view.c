#include "log/view.h"

#include <stdlib.h>
#include <string.h>

#include "log/listing.h"
#include "log/shard.h"

#define READ_BYTES MIB(1)

struct log_view {
    struct io *io;
    char *dir; /* owned */
    struct listing files;
    int64_t end;

    size_t segment; /* index of the open file among files.logs */
    struct io_file *file;
    uint64_t position;   /* of the batch to come */
    int64_t next_offset; /* its base offset */
    struct buf chunk;    /* the file's bytes from chunk_at on */
    uint64_t chunk_at;
};

void log_view_close(struct log_view *v)
{
    if (v == NULL)
        return;
    io_file_close(v->file);
    listing_release(&v->files);
    buf_release(&v->chunk);
    free(v->dir);
    free(v);
}

static void view_close_ptr(struct log_view **v)
{
    log_view_close(*v);
}

int64_t log_view_start(const struct log_view *v)
{
    return v->files.log_count > 0 ? v->files.logs[0] : 0;
}

int64_t log_view_end(const struct log_view *v)
{
    return v->end;
}

static err_t open_segment(struct log_view *v, size_t index, uint64_t position, int64_t next_offset)
{
    CLEANUP(xfree_ptr) char *path = segment_path(v->dir, v->files.logs[index], ".log");
    io_file_close(TAKE(v->file));
    TRY(io_open(v->io, path, IO_READ, &v->file));
    v->segment = index;
    v->position = position;
    v->next_offset = next_offset;
    buf_clear(&v->chunk);
    v->chunk_at = position;
    return OK;
}

/** Makes `len` bytes at the position be in the chunk; *ret_data is NULL where the file is shorter.
 */
static err_t view_bytes(struct log_view *v, size_t len, const char **ret_data)
{
    uint64_t skip = v->position - v->chunk_at;
    if (v->position < v->chunk_at || skip + len > v->chunk.len) {
        size_t want = MAX(len, READ_BYTES), got;
        buf_clear(&v->chunk);
        v->chunk_at = v->position;
        skip = 0;
        TRY(io_file_pread(v->file, buf_reserve(&v->chunk, want), want, v->position, &got));
        v->chunk.len = got;
    }
    *ret_data = skip + len <= v->chunk.len ? v->chunk.data + skip : NULL;
    return OK;
}

/** The header at the position, where it is that of the expected batch. */
static err_t header_here(struct log_view *v, struct batch_header *h, bool *ret_good)
{
    const char *data;
    TRY(view_bytes(v, BATCH_HEADER_BYTES, &data));
    *ret_good = data != NULL && batch_header_parse(data, BATCH_HEADER_BYTES, h) == OK &&
                h->base_offset == v->next_offset;
    return OK;
}

static err_t batch_here(struct log_view *v, const uint8_t **ret_batch, struct batch_header *h,
                        bool *ret_good)
{
    const char *data = NULL;
    TRY(header_here(v, h, ret_good));
    if (!*ret_good)
        return OK;
    size_t total = batch_total_bytes(h);
    TRY(view_bytes(v, total, &data));
    *ret_good = data != NULL && batch_check(data, total, h) == OK;
    *ret_batch = (const uint8_t *)data;
    return OK;
}

static void step(struct log_view *v, const struct batch_header *h)
{
    v->position += batch_total_bytes(h);
    v->next_offset = batch_next_offset(h);
}

/** Where a start would begin to look for the end. */
static err_t open_tail(struct log_view *v)
{
    struct recovery_point point;
    size_t last = v->files.log_count - 1;
    if (recovery_point_read(v->io, v->dir, &point) == OK &&
        point.segment_base == v->files.logs[last])
        return open_segment(v, last, point.position, point.next_offset);
    return open_segment(v, last, 0, v->files.logs[last]);
}

static err_t find_end(struct log_view *v)
{
    bool good = true;
    TRY(open_tail(v));
    while (good) {
        const uint8_t *batch;
        struct batch_header h;
        TRY(batch_here(v, &batch, &h, &good));
        if (good)
            step(v, &h);
    }
    v->end = v->next_offset;
    return OK;
}

err_t log_view_open(struct io *io, const char *data_dir, const char *stream, unsigned shard,
                    struct log_view **ret_view)
{
    CLEANUP(view_close_ptr) struct log_view *v = xcalloc(1, sizeof(*v));
    bool found;
    v->io = io;
    v->dir = xasprintf("%s/log/%s/%u", data_dir, stream, shard);
    TRY(io_find(io, v->dir, &found));
    if (!found)
        return err_fail(ERR_NOT_FOUND, "%s does not exist", v->dir);
    TRY(listing_read(io, v->dir, &v->files));
    if (v->files.log_count > 0)
        TRY(find_end(v));
    *ret_view = TAKE(v);
    return OK;
}

static err_t damaged(const struct log_view *v)
{
    return err_fail(ERR_CORRUPT,
                    "%s is damaged at byte %llu: no good batch with offset %lld stands there; "
                    "`spillway log verify` says more",
                    v->file->path, (unsigned long long)v->position, (long long)v->next_offset);
}

/** A segment ends where the next one begins. */
static err_t next_segment_if_done(struct log_view *v)
{
    while (v->segment + 1 < v->files.log_count && v->next_offset == v->files.logs[v->segment + 1])
        TRY(open_segment(v, v->segment + 1, 0, v->next_offset));
    return OK;
}

err_t log_view_seek(struct log_view *v, int64_t offset)
{
    if (offset < log_view_start(v) || offset > v->end)
        return err_fail(ERR_OFFSET_OUT_OF_RANGE, "offset %lld is not within %lld to %lld",
                        (long long)offset, (long long)log_view_start(v), (long long)v->end);
    if (v->files.log_count == 0)
        return OK;
    size_t index = v->files.log_count - 1;
    while (index > 0 && v->files.logs[index] > offset)
        index--;
    TRY(open_segment(v, index, 0, v->files.logs[index]));
    struct recovery_point point;
    if (recovery_point_read(v->io, v->dir, &point) == OK &&
        point.segment_base == v->files.logs[index] && point.next_offset <= offset)
        TRY(open_segment(v, index, point.position, point.next_offset));
    while (v->next_offset < v->end) {
        struct batch_header h;
        bool good;
        TRY(header_here(v, &h, &good));
        if (!good)
            return damaged(v);
        if (batch_next_offset(&h) > offset)
            return OK;
        step(v, &h);
    }
    return OK;
}

err_t log_view_next(struct log_view *v, const uint8_t **ret_batch, struct batch_header *ret_header)
{
    bool good;
    if (v->next_offset >= v->end)
        return ERR_END;
    TRY(next_segment_if_done(v));
    TRY(batch_here(v, ret_batch, ret_header, &good));
    if (!good)
        return damaged(v);
    step(v, ret_header);
    return OK;
}
