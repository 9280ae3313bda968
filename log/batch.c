/*
 * log/batch.c: record batch headers and checks. The byte table is in docs/format.md.
 */
#include "log/batch.h"

#include <string.h>

#include "base/crc32c.h"
#include "base/limits.h"

/* Offsets of the header's fields. */
enum {
    AT_BASE_OFFSET = 0,
    AT_LENGTH = 8,
    AT_EPOCH = 12,
    AT_MAGIC = 16,
    AT_CRC = 17,
    AT_ATTRIBUTES = 21,
    AT_LAST_DELTA = 23,
    AT_BASE_TS = 27,
    AT_MAX_TS = 35,
    AT_PRODUCER_ID = 43,
    AT_PRODUCER_EPOCH = 51,
    AT_BASE_SEQUENCE = 53,
    AT_COUNT = 57,
};
static_assert(AT_COUNT + 4 == BATCH_HEADER_BYTES, "Kafka's record batch header has 61 bytes");

err_t batch_header_parse(const void *data, size_t len, struct batch_header *ret_header)
{
    if (len < BATCH_HEADER_BYTES)
        return err_fail(ERR_CORRUPT_MESSAGE, "a record batch needs %d header bytes, %zu are there",
                        BATCH_HEADER_BYTES, len);
    const uint8_t *at = data;
    struct batch_header h = {
        .base_offset = (int64_t)load_u64(at + AT_BASE_OFFSET),
        .length = (int32_t)load_u32(at + AT_LENGTH),
        .leader_epoch = (int32_t)load_u32(at + AT_EPOCH),
        .magic = at[AT_MAGIC],
        .crc = load_u32(at + AT_CRC),
        .attributes = load_u16(at + AT_ATTRIBUTES),
        .last_offset_delta = (int32_t)load_u32(at + AT_LAST_DELTA),
        .base_timestamp = (int64_t)load_u64(at + AT_BASE_TS),
        .max_timestamp = (int64_t)load_u64(at + AT_MAX_TS),
        .producer_id = (int64_t)load_u64(at + AT_PRODUCER_ID),
        .producer_epoch = (int16_t)load_u16(at + AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)load_u32(at + AT_BASE_SEQUENCE),
        .record_count = (int32_t)load_u32(at + AT_COUNT),
    };
    if (h.magic != 2)
        return err_fail(ERR_UNSUPPORTED_FORMAT, "record batch has magic %u, only 2 is supported",
                        h.magic);
    if (h.length < BATCH_HEADER_BYTES - BATCH_LENGTH_PREFIX)
        return err_fail(ERR_CORRUPT_MESSAGE, "record batch says its length is %d", h.length);
    if (batch_total_bytes(&h) > LIMIT_BATCH_BYTES)
        return err_fail(ERR_MESSAGE_TOO_LARGE, "record batch of %zu bytes, at most %zu are allowed",
                        batch_total_bytes(&h), (size_t)LIMIT_BATCH_BYTES);
    if (h.record_count < 1 || h.last_offset_delta != h.record_count - 1)
        return err_fail(ERR_INVALID_RECORD, "record batch of %d records has last offset delta %d",
                        h.record_count, h.last_offset_delta);
    *ret_header = h;
    return OK;
}

void batch_header_write(const struct batch_header *h, void *out)
{
    uint8_t *at = out;
    store_u64(at + AT_BASE_OFFSET, (uint64_t)h->base_offset);
    store_u32(at + AT_LENGTH, (uint32_t)h->length);
    store_u32(at + AT_EPOCH, (uint32_t)h->leader_epoch);
    at[AT_MAGIC] = h->magic;
    store_u32(at + AT_CRC, h->crc);
    store_u16(at + AT_ATTRIBUTES, h->attributes);
    store_u32(at + AT_LAST_DELTA, (uint32_t)h->last_offset_delta);
    store_u64(at + AT_BASE_TS, (uint64_t)h->base_timestamp);
    store_u64(at + AT_MAX_TS, (uint64_t)h->max_timestamp);
    store_u64(at + AT_PRODUCER_ID, (uint64_t)h->producer_id);
    store_u16(at + AT_PRODUCER_EPOCH, (uint16_t)h->producer_epoch);
    store_u32(at + AT_BASE_SEQUENCE, (uint32_t)h->base_sequence);
    store_u32(at + AT_COUNT, (uint32_t)h->record_count);
}

err_t batch_check(const void *data, size_t len, struct batch_header *ret_header)
{
    struct batch_header h;
    TRY(batch_header_parse(data, len, &h));
    size_t total = batch_total_bytes(&h);
    if (total > len)
        return err_fail(ERR_CORRUPT_MESSAGE, "record batch of %zu bytes is cut at %zu", total, len);
    const uint8_t *at = data;
    uint32_t crc = crc32c(0, at + AT_ATTRIBUTES, total - AT_ATTRIBUTES);
    if (crc != h.crc)
        return err_fail(ERR_CORRUPT_MESSAGE, "record batch has CRC %08x, its header says %08x", crc,
                        h.crc);
    *ret_header = h;
    return OK;
}

void batch_set_base_offset(void *data, int64_t base_offset)
{
    uint8_t *at = data;
    store_u64(at + AT_BASE_OFFSET, (uint64_t)base_offset);
    store_u32(at + AT_EPOCH, 0);
}

void batch_write_crc(void *data, size_t len)
{
    ASSERT(len >= BATCH_HEADER_BYTES);
    uint8_t *at = data;
    store_u32(at + AT_CRC, crc32c(0, at + AT_ATTRIBUTES, len - AT_ATTRIBUTES));
}

void batch_stamp_append_time(void *data, size_t len, int64_t now_ms)
{
    uint8_t *at = data;
    store_u16(at + AT_ATTRIBUTES, load_u16(at + AT_ATTRIBUTES) | BATCH_ATTR_APPEND_TIME);
    store_u64(at + AT_MAX_TS, (uint64_t)now_ms);
    batch_write_crc(data, len);
}
