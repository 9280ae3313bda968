/*
 * kafka/produce_check.c: see kafka/produce_check.h. The order is from the outside in: the frame,
 * the checksum, then what the header says; so a code names the first thing that is wrong.
 */
#include "kafka/produce_check.h"

#include "base/crc32c.h"
#include "base/limits.h"
#include "kafka/wire/header.h"

#define CRC_AT 17
#define CRC_FROM 21 /* attributes; everything from here on is covered */
#define ZSTD_SINCE 7

static int16_t refuse(const char **ret_text, int16_t error, const char *text)
{
    *ret_text = text;
    return error;
}

static struct batch_header header_decode(const void *data)
{
    struct cursor c = cursor_of(data, BATCH_HEADER_BYTES);
    struct batch_header h;
    h.base_offset = cursor_i64(&c);
    h.length = cursor_i32(&c);
    h.leader_epoch = cursor_i32(&c);
    h.magic = cursor_u8(&c);
    h.crc = cursor_u32(&c);
    h.attributes = cursor_u16(&c);
    h.last_offset_delta = cursor_i32(&c);
    h.base_timestamp = cursor_i64(&c);
    h.max_timestamp = cursor_i64(&c);
    h.producer_id = cursor_i64(&c);
    h.producer_epoch = cursor_i16(&c);
    h.base_sequence = cursor_i32(&c);
    h.record_count = cursor_i32(&c);
    return h;
}

/** Length, magic, checksum. Old formats have their magic at the same place. */
static int16_t check_frame(struct slice records, const char **ret_text)
{
    if (records.len == 0)
        return refuse(ret_text, err_kafka_code(ERR_INVALID_RECORD), "no record batch");
    if (records.len < BATCH_LENGTH_PREFIX + 5)
        return refuse(ret_text, err_kafka_code(ERR_CORRUPT_MESSAGE), "the batch is cut short");
    if (records.data[16] != 2)
        return refuse(ret_text, err_kafka_code(ERR_INVALID_RECORD),
                      "only record batches of magic 2 are taken");
    int32_t length = (int32_t)load_u32(records.data + 8);
    if (length < BATCH_HEADER_BYTES - BATCH_LENGTH_PREFIX)
        return refuse(ret_text, err_kafka_code(ERR_CORRUPT_MESSAGE),
                      "the batch length is too small");
    size_t total = (size_t)length + BATCH_LENGTH_PREFIX;
    if (total > LIMIT_BATCH_BYTES)
        return refuse(ret_text, err_kafka_code(ERR_MESSAGE_TOO_LARGE),
                      "the batch is larger than 8 MiB");
    if (total > records.len)
        return refuse(ret_text, err_kafka_code(ERR_CORRUPT_MESSAGE), "the batch is cut short");
    if (total < records.len)
        return refuse(ret_text, err_kafka_code(ERR_INVALID_RECORD),
                      "more than one batch for a partition");
    if (crc32c(0, records.data + CRC_FROM, total - CRC_FROM) != load_u32(records.data + CRC_AT))
        return refuse(ret_text, err_kafka_code(ERR_CORRUPT_MESSAGE), "the batch's CRC is wrong");
    return KAFKA_NONE;
}

static int16_t check_attributes(const struct batch_header *h, int version, const char **ret_text)
{
    unsigned codec = h->attributes & BATCH_ATTR_CODEC;
    if (codec > BATCH_CODEC_ZSTD)
        return refuse(ret_text, err_kafka_code(ERR_UNSUPPORTED_COMPRESSION), "unknown compression");
    if (codec == BATCH_CODEC_ZSTD && version < ZSTD_SINCE)
        return refuse(ret_text, err_kafka_code(ERR_UNSUPPORTED_COMPRESSION),
                      "zstd needs Produce version 7 or later");
    if ((h->attributes & BATCH_ATTR_TRANSACTIONAL) != 0)
        return refuse(ret_text, KAFKA_INVALID_REQUEST, "transactions are not supported");
    if ((h->attributes & BATCH_ATTR_CONTROL) != 0)
        return refuse(ret_text, err_kafka_code(ERR_INVALID_RECORD),
                      "control batches are not for clients");
    if ((h->attributes & BATCH_ATTR_APPEND_TIME) != 0)
        return refuse(ret_text, KAFKA_INVALID_TIMESTAMP,
                      "the append time is not the client's to set");
    if ((h->attributes & ~BATCH_ATTR_KNOWN_PRODUCED) != 0)
        return refuse(ret_text, err_kafka_code(ERR_INVALID_RECORD),
                      "unknown attribute bits are set");
    return KAFKA_NONE;
}

static int16_t check_counts(const struct batch_header *h, const char **ret_text)
{
    if (h->base_offset != 0)
        return refuse(ret_text, err_kafka_code(ERR_INVALID_RECORD), "the base offset must be 0");
    if (h->record_count < 1)
        return refuse(ret_text, err_kafka_code(ERR_INVALID_RECORD), "the batch has no records");
    if (h->record_count - 1 != h->last_offset_delta)
        return refuse(ret_text, err_kafka_code(ERR_INVALID_RECORD),
                      "the record count does not fit the last offset delta");
    /* A record takes 7 bytes at least; compressed ones are counted by their readers. */
    if ((h->attributes & BATCH_ATTR_CODEC) == BATCH_CODEC_NONE &&
        (size_t)h->record_count > (batch_total_bytes(h) - BATCH_HEADER_BYTES) / 7)
        return refuse(ret_text, err_kafka_code(ERR_INVALID_RECORD),
                      "the batch is too small for its record count");
    if (h->producer_id >= 0)
        return refuse(ret_text, KAFKA_INVALID_REQUEST,
                      "idempotent producing is not served: no producer id was given out");
    return KAFKA_NONE;
}

int16_t produce_check(struct slice records, int version, struct batch_header *ret_header,
                      const char **ret_text)
{
    int16_t error = check_frame(records, ret_text);
    if (error != KAFKA_NONE)
        return error;
    struct batch_header h = header_decode(records.data);
    error = check_attributes(&h, version, ret_text);
    if (error == KAFKA_NONE)
        error = check_counts(&h, ret_text);
    if (error == KAFKA_NONE)
        *ret_header = h;
    return error;
}
