/*
 * log/slice.c: reading: whole batches of one segment as a slice of its file, and the sequential
 * reader.
 */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "log/shard.h"

/** The end of the slice: a batch start not above position + max_bytes, or after the first batch. */
static err_t slice_end(struct segment *s, uint64_t position, size_t first_bytes, size_t max_bytes,
                       uint64_t *ret_end)
{
    uint64_t size = atomic_load(&s->size);
    uint64_t end = size;
    if (size - position > max_bytes)
        TRY(segment_floor_by_position(s, position + max_bytes, &end));
    if (end < position + first_bytes)
        end = position + first_bytes;
    *ret_end = end;
    return OK;
}

err_t shard_slice(struct shard *sh, int64_t offset, size_t max_bytes, struct log_slice *ret_slice)
{
    int64_t high = shard_high_watermark(sh);
    atomic_store_explicit(&sh->read_ns, clock_mono_ns(sh->log->options.clock),
                          memory_order_relaxed);
    if (offset < shard_log_start(sh) || offset > high)
        return err_fail(ERR_OFFSET_OUT_OF_RANGE, "offset %lld is outside [%lld, %lld]",
                        (long long)offset, (long long)shard_log_start(sh), (long long)high);
    struct log_slice slice = {.fd = -1, .first_offset = offset};
    if (offset == high) {
        *ret_slice = slice;
        return OK;
    }
    struct segment *s = shard_segment_for(sh, offset);
    if (s == NULL)
        return err_fail(ERR_CORRUPT, "%s: no segment holds offset %lld", sh->dir,
                        (long long)offset);
    struct batch_header h;
    uint64_t end;
    err_t err = segment_use(s);
    if (err == OK)
        err = segment_find_batch(s, offset, &slice.position, &h);
    if (err == OK)
        err = slice_end(s, slice.position, batch_total_bytes(&h), max_bytes, &end);
    if (err != OK) {
        segment_unref(s);
        return err;
    }
    shard_note_read(sh, s, slice.position);
    atomic_fetch_add(&s->slices, 1);
    slice.segment = s;
    slice.fd = io_file_fd(s->file);
    slice.len = (size_t)(end - slice.position);
    slice.first_offset = h.base_offset;
    *ret_slice = slice;
    return OK;
}

err_t log_slice_read(const struct log_slice *s, size_t at, void *out, size_t len)
{
    ASSERT(at <= s->len && len <= s->len - at);
    return io_file_pread_all(s->segment->file, out, len, s->position + at);
}

void log_slice_release(struct log_slice *s)
{
    struct segment *segment = TAKE(s->segment);
    if (segment != NULL)
        atomic_fetch_sub(&segment->slices, 1);
    segment_unref(segment);
    s->len = 0;
}

struct log_slice log_slice_ref(const struct log_slice *s)
{
    struct log_slice copy = *s;
    if (copy.segment != NULL) {
        segment_ref(copy.segment);
        atomic_fetch_add(&copy.segment->slices, 1);
    }
    return copy;
}

/* Sequential reader --------------------------------------------------------------------------- */

#define READER_SLICE_BYTES MIB(4)
#define READER_BUFFER_BYTES KIB(256)

err_t log_reader_open(struct log_reader *r, struct shard *sh, int64_t offset)
{
    if (offset < shard_log_start(sh) || offset > shard_high_watermark(sh))
        return err_fail(ERR_OFFSET_OUT_OF_RANGE, "offset %lld is outside [%lld, %lld]",
                        (long long)offset, (long long)shard_log_start(sh),
                        (long long)shard_high_watermark(sh));
    *r = (struct log_reader){.shard = sh, .next_offset = offset};
    return OK;
}

/** Makes `need` bytes from slice position r->at on lie in the buffer; *ret_data points to them. */
static err_t reader_bytes(struct log_reader *r, size_t need, const uint8_t **ret_data)
{
    bool inside = r->at >= r->buffer_at && r->at - r->buffer_at + need <= r->batch.len;
    if (!inside) {
        size_t want = MIN(MAX(need, (size_t)READER_BUFFER_BYTES), r->slice.len - r->at);
        if (want < need)
            return err_fail(ERR_CORRUPT, "a batch is cut at the end of its segment");
        buf_clear(&r->batch);
        TRY(log_slice_read(&r->slice, r->at, buf_reserve(&r->batch, want), want));
        r->batch.len = want;
        r->buffer_at = r->at;
    }
    *ret_data = (const uint8_t *)r->batch.data + (r->at - r->buffer_at);
    return OK;
}

err_t log_reader_next(struct log_reader *r, const uint8_t **ret_batch,
                      struct batch_header *ret_header)
{
    if (r->at == r->slice.len) {
        log_slice_release(&r->slice);
        TRY(shard_slice(r->shard, r->next_offset, READER_SLICE_BYTES, &r->slice));
        r->at = 0;
        r->buffer_at = 0;
        buf_clear(&r->batch);
        if (r->slice.len == 0)
            return ERR_END;
    }
    const uint8_t *data = NULL;
    struct batch_header h;
    TRY(reader_bytes(r, BATCH_HEADER_BYTES, &data));
    err_t err = batch_header_parse(data, BATCH_HEADER_BYTES, &h);
    /* Offsets are dense; only the first batch may begin before the offset asked for. */
    bool in_place = err == OK && (r->between ? h.base_offset == r->next_offset
                                             : h.base_offset <= r->next_offset &&
                                                   batch_next_offset(&h) > r->next_offset);
    if (err == OK && (!in_place || batch_total_bytes(&h) > r->slice.len - r->at))
        err = ERR_CORRUPT_MESSAGE;
    if (err == OK) {
        TRY(reader_bytes(r, batch_total_bytes(&h), &data));
        err = batch_check(data, batch_total_bytes(&h), &h);
    }
    if (err != OK)
        return err_fail(ERR_CORRUPT, "%s: the batch at byte %llu is damaged", r->shard->dir,
                        (unsigned long long)(r->slice.position + r->at));
    r->at += batch_total_bytes(&h);
    r->between = true;
    r->next_offset = batch_next_offset(&h);
    *ret_batch = data;
    *ret_header = h;
    return OK;
}

void log_reader_close(struct log_reader *r)
{
    log_slice_release(&r->slice);
    buf_release(&r->batch);
}
