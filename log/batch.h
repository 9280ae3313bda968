/*
 * log/batch.h: Kafka's record batch, version 2 ("RecordBatch", magic 2; Kafka documentation,
 * "Message Format"; KIP-98): the only thing that a segment holds. docs/format.md has the byte
 * table.
 *
 * Reading checks everything that comes from outside; a batch that fails is ERR_CORRUPT_MESSAGE
 * (wire) and never an assertion. Any thread; no shared state.
 */
#ifndef LOG_BATCH_H
#define LOG_BATCH_H

#include "base/base.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"

#define BATCH_HEADER_BYTES 61
#define BATCH_LENGTH_PREFIX 12 /* bytes before those that batchLength counts */

enum batch_codec {
    BATCH_CODEC_NONE = 0,
    BATCH_CODEC_GZIP = 1,
    BATCH_CODEC_SNAPPY = 2,
    BATCH_CODEC_LZ4 = 3,
    BATCH_CODEC_ZSTD = 4,
};

#define BATCH_ATTR_CODEC 0x0007
#define BATCH_ATTR_APPEND_TIME 0x0008
#define BATCH_ATTR_TRANSACTIONAL 0x0010
#define BATCH_ATTR_CONTROL 0x0020
/** Ours: some record carries a request key in the header "spillway-key". Bit 14 has no meaning in
 * Kafka's format and readers ignore it; a produced batch that has it (or any other unknown bit) is
 * refused. */
#define BATCH_ATTR_KEYED 0x4000
/** Ours, as above, bit 13: whoever wrote the batch knew each event, and none is a change of a
 * collection. Readers that look for changes pass over it unread. */
#define BATCH_ATTR_PLAIN 0x2000
#define BATCH_ATTR_KNOWN_PRODUCED 0x000F

struct batch_header {
    int64_t base_offset;
    int32_t length; /* batchLength: bytes after the first 12 */
    int32_t leader_epoch;
    uint8_t magic;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp;
    int64_t max_timestamp;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence;
    int32_t record_count;
};

static inline size_t batch_total_bytes(const struct batch_header *h)
{
    return (size_t)h->length + BATCH_LENGTH_PREFIX;
}
static inline int64_t batch_next_offset(const struct batch_header *h)
{
    return h->base_offset + h->last_offset_delta + 1;
}

/** Decodes the 61 header bytes and checks what can be seen there: magic 2, a length between 49 and
 *  LIMIT_BATCH_BYTES, record_count = last_offset_delta + 1 >= 1. ERR_CORRUPT_MESSAGE otherwise. */
err_t batch_header_parse(const void *data, size_t len, struct batch_header *ret_header) MUST_USE;
/** Encodes with the CRC field as given. `out` has BATCH_HEADER_BYTES bytes. */
void batch_header_write(const struct batch_header *h, void *out);
/** The header checks and the CRC-32C over a whole batch that starts at `data` (`len` may be
 * larger). */
err_t batch_check(const void *data, size_t len, struct batch_header *ret_header) MUST_USE;

/** Computes the CRC of a whole batch and stores it in its header. */
void batch_write_crc(void *data, size_t len);
/** Sets baseOffset and partitionLeaderEpoch 0, which the CRC does not cover. */
void batch_set_base_offset(void *data, int64_t base_offset);
/** Turns the batch into LogAppendTime with this time (attributes, maxTimestamp; a new CRC). */
void batch_stamp_append_time(void *data, size_t len, int64_t now_ms);

/** One record inside a batch; slices are valid until the next call on its reader. */
struct record_header {
    struct slice key;
    struct slice value; /* data == NULL: null */
};
#define RECORD_HEADERS_SHOWN 16
struct record {
    int64_t offset;
    int64_t timestamp_ms;  /* the batch's append time where it has one */
    struct slice key;      /* data == NULL: null */
    struct slice value;    /* data == NULL: null */
    uint32_t header_count; /* as said; all are checked */
    struct record_header headers[RECORD_HEADERS_SHOWN]; /* the first ones */
};

/** Walks the records of a batch that passed batch_check. Decompresses into memory of its own,
 * bounded by `max_bytes`. Allowed order: open, next until ERR_END or an error, close. */
struct record_reader {
    struct batch_header header;
    struct buf plain;
    struct cursor at;
    int32_t index;
};
err_t record_reader_open(struct record_reader *r, const void *batch, size_t len,
                         size_t max_bytes) MUST_USE;
/** ERR_END after the last; ERR_CORRUPT_MESSAGE where a record does not parse or bytes are left
 * over. */
err_t record_reader_next(struct record_reader *r, struct record *ret_record) MUST_USE;
void record_reader_close(struct record_reader *r);
/** The value of the first header of that name; data == NULL when absent. */
struct slice record_header_find(const struct record *rec, const char *name);

/** Decompresses `len` bytes of records into `out` (appended). ERR_CORRUPT_MESSAGE for bad data,
 *  ERR_MESSAGE_TOO_LARGE above max_bytes, ERR_UNSUPPORTED_COMPRESSION for an unknown codec. */
err_t batch_decompress(enum batch_codec codec, const void *data, size_t len, size_t max_bytes,
                       struct buf *out) MUST_USE;

#endif
