/*
 * writer/builder.c: records into one batch (log/batch.h), compressed as one LZ4 frame.
 *
 *     out:  [61 header bytes][LZ4 frame so far]
 *     raw:  records that are not compressed yet; the last one always stays here until the seal
 */
#include "writer/builder.h"

#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/limits.h"
#include "writer/lz4_frame.h"

#define KEY_HEADER_NAME "spillway-key"
#define KEY_VALUE_VERSION 1
#define RECORD_OVERHEAD_MAX 64 /* lengths, deltas and names around one record's own bytes */

struct builder {
    enum batch_codec codec;
    struct buf raw;
    struct buf out;
    size_t compressed_raw; /* bytes of records that went through the compressor */
    bool frame_open;
    bool streaming; /* blocks are compressed as they fill */
    bool keyed;
    bool plain; /* all records so far are */
    uint32_t count;
    int64_t base_ts_ms;
    int64_t max_ts_ms;
    size_t last_at;         /* in raw: where the last record begins … */
    size_t last_headers_at; /* … and its header count */
};

struct builder *builder_new(enum batch_codec codec)
{
    ASSERT(codec == BATCH_CODEC_LZ4 || codec == BATCH_CODEC_NONE);
    struct builder *b = xcalloc(1, sizeof(*b));
    b->codec = codec;
    builder_reset(b);
    return b;
}

void builder_free(struct builder *b)
{
    if (b == NULL)
        return;
    buf_release(&b->raw);
    buf_release(&b->out);
    free(b);
}

void builder_reset(struct builder *b)
{
    buf_clear(&b->raw);
    buf_clear(&b->out);
    b->compressed_raw = 0;
    b->frame_open = false;
    b->streaming = false;
    b->keyed = false;
    b->plain = true;
    b->count = 0;
    b->base_ts_ms = 0;
    b->max_ts_ms = INT64_MIN;
    b->last_at = 0;
    b->last_headers_at = 0;
}

uint32_t builder_count(const struct builder *b)
{
    return b->count;
}

size_t builder_bytes(const struct builder *b)
{
    return b->compressed_raw + b->raw.len;
}

struct builder_mark builder_mark(const struct builder *b)
{
    return (struct builder_mark){builder_bytes(b), b->count, b->max_ts_ms, b->plain};
}

void builder_truncate(struct builder *b, struct builder_mark mark)
{
    ASSERT(b->compressed_raw == 0 && mark.bytes <= b->raw.len && mark.count <= b->count);
    b->raw.len = mark.bytes;
    b->count = mark.count;
    b->max_ts_ms = mark.max_ts_ms;
    b->plain = mark.plain;
}

/* Compression --------------------------------------------------------------------------------- */

static void frame_begin(struct builder *b)
{
    buf_reserve(&b->out, BATCH_HEADER_BYTES + LZ4_FRAME_BEGIN_BYTES);
    lz4_frame_begin((uint8_t *)b->out.data + BATCH_HEADER_BYTES);
    b->out.len = BATCH_HEADER_BYTES + LZ4_FRAME_BEGIN_BYTES;
    b->frame_open = true;
}

static void compress(struct builder *b, size_t len)
{
    for (size_t at = 0, step; at < len; at += step) {
        step = MIN(len - at, LZ4_FRAME_BLOCK_BYTES);
        uint8_t *out = (uint8_t *)buf_reserve(&b->out, LZ4_FRAME_BLOCK_ROOM(step));
        b->out.len += lz4_frame_block((const uint8_t *)b->raw.data + at, step, out);
    }
    b->compressed_raw += len;
}

void builder_stream(struct builder *b)
{
    b->streaming = b->codec == BATCH_CODEC_LZ4;
}

/** Compresses the blocks that end before the last record, which attach_key may still change. */
static void compress_full_blocks(struct builder *b)
{
    size_t ready = b->last_at / LZ4_FRAME_BLOCK_BYTES * LZ4_FRAME_BLOCK_BYTES;
    if (!b->frame_open)
        frame_begin(b);
    compress(b, ready);
    buf_consume(&b->raw, ready);
    b->last_at -= ready;
    b->last_headers_at -= ready;
}

/** Compresses what is left; false when the records are better left as they are. */
static bool compress_rest(struct builder *b)
{
    if (b->codec != BATCH_CODEC_LZ4 || (!b->frame_open && b->raw.len < LIMIT_COMPRESS_MIN))
        return false;
    bool whole = !b->frame_open;
    if (whole)
        frame_begin(b);
    compress(b, b->raw.len);
    lz4_frame_end((uint8_t *)buf_reserve(&b->out, LZ4_FRAME_END_BYTES));
    b->out.len += LZ4_FRAME_END_BYTES;
    return !whole || b->out.len - BATCH_HEADER_BYTES < b->raw.len;
}

/* Encoding ------------------------------------------------------------------------------------ */

static uint8_t *put_length(uint8_t *at, size_t len)
{
    return at + store_uvarlong(at, (uint64_t)len << 1);
}

static uint8_t *put_bytes(uint8_t *at, struct slice s)
{
    if (s.data == NULL) {
        *at = 1; /* zigzag of -1: null */
        return at + 1;
    }
    at = put_length(at, s.len);
    memcpy(at, s.data, s.len);
    return at + s.len;
}

static size_t length_size(size_t len)
{
    return uvarlong_size((uint64_t)len << 1);
}

static size_t bytes_size(struct slice s)
{
    return s.data == NULL ? 1 : length_size(s.len) + s.len;
}

/** A record header whose name is a literal without its length prefix. */
static uint8_t *put_named(uint8_t *at, const char *name, size_t name_len, struct slice value)
{
    at = put_length(at, name_len);
    memcpy(at, name, name_len);
    return put_bytes(at + name_len, value);
}

/** Whether the batch with so many bytes more has room, also when nothing in it can be made smaller:
 * a streamed frame then keeps each block as it is, behind the block's length. */
static err_t check_size(const struct builder *b, size_t more)
{
    size_t raw = builder_bytes(b) + more + RECORD_OVERHEAD_MAX;
    size_t blocks = raw / LZ4_FRAME_BLOCK_BYTES + 1;
    if (likely(BATCH_HEADER_BYTES + LZ4_FRAME_BEGIN_BYTES + raw + blocks * LZ4_FRAME_LENGTH_BYTES +
                   LZ4_FRAME_END_BYTES <=
               LIMIT_BATCH_BYTES))
        return OK;
    return err_fail(ERR_MESSAGE_TOO_LARGE,
                    "the events of one request take more than %zu bytes as a record batch",
                    (size_t)LIMIT_BATCH_BYTES);
}

err_t builder_add(struct builder *b, const struct event_record *rec)
{
    size_t value_len = 0;
    for (size_t i = 0; i < ARRAY_LEN(rec->value); i++)
        value_len += rec->value[i].len;
    if (b->count == 0)
        b->base_ts_ms = rec->ts_ms;
    uint64_t ts_delta = zigzag64(rec->ts_ms - b->base_ts_ms);
    uint64_t offset_delta = (uint64_t)b->count << 1;
    size_t body = 1 + uvarlong_size(ts_delta) + uvarlong_size(offset_delta) + bytes_size(rec->key) +
                  length_size(value_len) + value_len + 1;
    if (rec->type.data != NULL)
        body += 5 + bytes_size(rec->type);
    if (rec->source.data != NULL)
        body += 7 + bytes_size(rec->source);
    TRY(check_size(b, body));

    b->last_at = b->raw.len;
    uint8_t *start = (uint8_t *)buf_reserve(&b->raw, body + 10);
    uint8_t *at = put_length(start, body);
    *at++ = 0; /* attributes */
    at += store_uvarlong(at, ts_delta);
    at += store_uvarlong(at, offset_delta);
    at = put_bytes(at, rec->key);
    at = put_length(at, value_len);
    for (size_t i = 0; i < ARRAY_LEN(rec->value); i++) {
        if (rec->value[i].len > 0)
            memcpy(at, rec->value[i].data, rec->value[i].len);
        at += rec->value[i].len;
    }
    b->last_headers_at = b->raw.len + (size_t)(at - start);
    *at++ = (uint8_t)(((rec->type.data != NULL) + (rec->source.data != NULL)) << 1);
    if (rec->type.data != NULL)
        at = put_named(at, "type", 4, rec->type);
    if (rec->source.data != NULL)
        at = put_named(at, "source", 6, rec->source);
    b->raw.len += (size_t)(at - start);
    b->count++;
    b->plain = b->plain && rec->plain;
    b->max_ts_ms = MAX(b->max_ts_ms, rec->ts_ms);
    if (b->streaming && b->last_at >= LZ4_FRAME_BLOCK_BYTES)
        compress_full_blocks(b);
    return OK;
}

err_t builder_attach_key(struct builder *b, struct slice key, uint32_t count, uint64_t body_hash)
{
    ASSERT(b->count > 0 && b->last_headers_at < b->raw.len);
    uint8_t fixed[13];
    fixed[0] = KEY_VALUE_VERSION;
    store_u32(fixed + 1, count);
    store_u64(fixed + 5, body_hash);
    size_t value_len = sizeof(fixed) + key.len;
    size_t header_len = 1 + sizeof(KEY_HEADER_NAME) - 1 + length_size(value_len) + value_len;
    TRY(check_size(b, header_len));

    /* The record's length stands in front of it and may grow by a byte or two. */
    struct cursor c = cursor_of(b->raw.data + b->last_at, b->raw.len - b->last_at);
    size_t body = (size_t)cursor_varint(&c);
    size_t old_prefix = length_size(body);
    size_t new_prefix = length_size(body + header_len);
    uint8_t *start = (uint8_t *)buf_reserve(&b->raw, header_len + 10) - (b->raw.len - b->last_at);
    if (new_prefix != old_prefix) {
        memmove(start + new_prefix, start + old_prefix, body);
        b->raw.len += new_prefix - old_prefix;
        b->last_headers_at += new_prefix - old_prefix;
    }
    put_length(start, body + header_len);
    b->raw.data[b->last_headers_at] += 2; /* one header more, zigzag */
    uint8_t *at = (uint8_t *)b->raw.data + b->raw.len;
    at = put_length(at, sizeof(KEY_HEADER_NAME) - 1);
    memcpy(at, KEY_HEADER_NAME, sizeof(KEY_HEADER_NAME) - 1);
    at = put_length(at + sizeof(KEY_HEADER_NAME) - 1, value_len);
    memcpy(at, fixed, sizeof(fixed));
    memcpy(at + sizeof(fixed), key.data, key.len);
    b->raw.len += header_len;
    b->keyed = true;
    return OK;
}

/* Sealing ------------------------------------------------------------------------------------- */

void builder_seal(struct builder *b, uint8_t **ret_data, uint32_t *ret_len, uint32_t *ret_count)
{
    ASSERT(b->count > 0);
    bool compressed = compress_rest(b);
    if (!compressed) {
        buf_clear(&b->out);
        buf_reserve(&b->out, BATCH_HEADER_BYTES);
        b->out.len = BATCH_HEADER_BYTES;
        buf_append(&b->out, b->raw.data, b->raw.len);
    }
    size_t len = b->out.len;
    ASSERT(len <= LIMIT_BATCH_BYTES);
    uint16_t attributes =
        (uint16_t)((compressed ? BATCH_CODEC_LZ4 : BATCH_CODEC_NONE) |
                   (b->keyed ? BATCH_ATTR_KEYED : 0) | (b->plain ? BATCH_ATTR_PLAIN : 0));
    struct batch_header h = {
        .length = (int32_t)(len - BATCH_LENGTH_PREFIX),
        .magic = 2,
        .attributes = attributes,
        .last_offset_delta = (int32_t)b->count - 1,
        .base_timestamp = b->base_ts_ms,
        .max_timestamp = b->max_ts_ms,
        .producer_id = -1,
        .producer_epoch = -1,
        .base_sequence = -1,
        .record_count = (int32_t)b->count,
    };
    /* A copy of the exact size: the builder keeps its grown buffer for the next batch. */
    uint8_t *data = xmalloc(len);
    batch_header_write(&h, data);
    memcpy(data + BATCH_HEADER_BYTES, b->out.data + BATCH_HEADER_BYTES, len - BATCH_HEADER_BYTES);
    batch_write_crc(data, len);
    *ret_data = data;
    *ret_len = (uint32_t)len;
    *ret_count = b->count;
    builder_reset(b);
}
