/*
 * log/lookup.c: finding records by time. Timestamps need not rise: a segment or a batch is passed
 * over only when the greatest timestamp in it is too small, and inside a batch each record is
 * looked at.
 */
#include "base/limits.h"
#include "log/shard.h"

#define LOOKUP_PLAIN_MAX MIB(256)

/** The first record of this batch with ts >= wanted; ERR_END where there is none. A batch whose
 * records cannot be read answers with its first offset, so that a consumer starts there rather than
 * behind it. */
static err_t search_batch(const uint8_t *batch, const struct batch_header *h, int64_t wanted,
                          int64_t *ret_offset, int64_t *ret_ts)
{
    if (h->attributes & BATCH_ATTR_APPEND_TIME) {
        *ret_offset = h->base_offset;
        *ret_ts = h->max_timestamp;
        return OK;
    }
    struct record_reader r;
    struct record rec;
    err_t err = record_reader_open(&r, batch, batch_total_bytes(h), LOOKUP_PLAIN_MAX);
    if (err == OK) {
        while ((err = record_reader_next(&r, &rec)) == OK && rec.timestamp_ms < wanted)
            ;
        record_reader_close(&r);
    }
    if (err == OK) {
        *ret_offset = rec.offset;
        *ret_ts = rec.timestamp_ms;
    } else if (err != ERR_END) {
        *ret_offset = h->base_offset;
        *ret_ts = h->max_timestamp;
        err = OK;
    }
    return err;
}

/** Looks through the segment's batches from `offset` on; ERR_END where none fits. */
static err_t search_segment(struct shard *sh, struct segment *s, int64_t offset, int64_t ts_ms,
                            int64_t *ret_offset, int64_t *ret_ts)
{
    struct log_reader r;
    const uint8_t *batch;
    struct batch_header h;
    int64_t end = atomic_load(&s->next_offset);
    TRY(log_reader_open(&r, sh, MAX(offset, shard_log_start(sh))));
    err_t err = OK;
    bool found = false;
    while (!found && err == OK && r.next_offset < end) {
        err = log_reader_next(&r, &batch, &h);
        if (err != OK || h.max_timestamp < ts_ms)
            continue;
        err_t in_batch = search_batch(batch, &h, ts_ms, ret_offset, ret_ts);
        found = in_batch == OK;
    }
    log_reader_close(&r);
    if (err == OK && !found)
        err = ERR_END;
    return err;
}

err_t shard_offset_for_time(struct shard *sh, int64_t ts_ms, int64_t *ret_offset,
                            int64_t *ret_timestamp)
{
    *ret_offset = -1;
    *ret_timestamp = -1;
    struct segment *s;
    for (size_t i = 0; (s = shard_segment_at(sh, i)) != NULL; i++) {
        uint64_t position;
        struct batch_header h;
        err_t err = segment_use(s);
        if (err == OK)
            err = segment_floor_by_time(s, ts_ms, &position);
        if (err == OK)
            err = segment_header_at(s, position, atomic_load(&s->size), &h);
        if (err == OK)
            err = search_segment(sh, s, h.base_offset, ts_ms, ret_offset, ret_timestamp);
        segment_unref(s);
        if (err != ERR_END)
            return err;
    }
    return OK;
}

err_t shard_max_timestamp(struct shard *sh, int64_t *ret_offset, int64_t *ret_timestamp)
{
    int64_t best_ts = INT64_MIN, best_offset = -1;
    struct segment *s;
    for (size_t i = 0; (s = shard_segment_at(sh, i)) != NULL; i++) {
        int64_t ts, offset;
        err_t err = segment_use(s);
        if (err == OK)
            err = segment_max_timestamp(s, &ts, &offset);
        segment_unref(s);
        if (err == OK && ts > best_ts) {
            best_ts = ts;
            best_offset = offset;
        } else if (err != OK && err != ERR_END) {
            return err;
        }
    }
    *ret_offset = -1;
    *ret_timestamp = -1;
    if (best_offset < 0)
        return OK;
    /* The index names the batch; the record is inside it. */
    struct log_reader r;
    const uint8_t *batch;
    struct batch_header h;
    TRY(log_reader_open(&r, sh, best_offset));
    err_t err = log_reader_next(&r, &batch, &h);
    if (err == OK && search_batch(batch, &h, best_ts, ret_offset, ret_timestamp) == ERR_END) {
        *ret_offset = best_offset;
        *ret_timestamp = best_ts;
    }
    log_reader_close(&r);
    return err;
}
