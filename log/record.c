/*
 * log/record.c: the records inside a batch (Kafka documentation, "Record"): decompress, then walk.
 */
#include <string.h>

#include "base/limits.h"
#include "log/batch.h"

err_t record_reader_open(struct record_reader *r, const void *batch, size_t len, size_t max_bytes)
{
    struct batch_header h;
    TRY(batch_header_parse(batch, len, &h));
    if (batch_total_bytes(&h) > len)
        return err_fail(ERR_CORRUPT_MESSAGE, "record batch is cut");
    const uint8_t *payload = (const uint8_t *)batch + BATCH_HEADER_BYTES;
    size_t payload_len = batch_total_bytes(&h) - BATCH_HEADER_BYTES;
    enum batch_codec codec = (enum batch_codec)(h.attributes & BATCH_ATTR_CODEC);
    *r = (struct record_reader){.header = h};
    if (codec == BATCH_CODEC_NONE) {
        r->at = cursor_of(payload, payload_len);
        return OK;
    }
    err_t err = batch_decompress(codec, payload, payload_len, max_bytes, &r->plain);
    if (err != OK) {
        buf_release(&r->plain);
        return err;
    }
    r->at = cursor_of(r->plain.data, r->plain.len);
    return OK;
}

/** A varint length and that many bytes; -1 gives a null slice where allowed. */
static struct slice read_bytes(struct cursor *c, bool nullable)
{
    int32_t len = cursor_varint(c);
    if (len == -1 && nullable)
        return (struct slice){NULL, 0};
    if (len < 0) {
        c->failed = true;
        return (struct slice){NULL, 0};
    }
    const uint8_t *at = cursor_bytes(c, (size_t)len);
    return (struct slice){(const char *)at, at == NULL ? 0 : (size_t)len};
}

static void read_headers(struct cursor *c, struct record *rec)
{
    int32_t count = cursor_varint(c);
    if (count < 0)
        c->failed = true;
    rec->header_count = 0;
    for (int32_t i = 0; i < count && cursor_ok(c); i++) {
        struct record_header header = {.key = read_bytes(c, false), .value = read_bytes(c, true)};
        if (rec->header_count < RECORD_HEADERS_SHOWN)
            rec->headers[rec->header_count] = header;
        rec->header_count++;
    }
}

err_t record_reader_next(struct record_reader *r, struct record *ret_record)
{
    const struct batch_header *h = &r->header;
    if (r->index == h->record_count) {
        if (cursor_left(&r->at) != 0)
            return err_fail(ERR_CORRUPT_MESSAGE, "%zu bytes follow the last record of a batch",
                            cursor_left(&r->at));
        return ERR_END;
    }
    int32_t len = cursor_varint(&r->at);
    struct cursor c = cursor_sub(&r->at, len < 0 ? SIZE_MAX : (size_t)len);
    struct record rec;
    (void)cursor_u8(&c); /* attributes, unused */
    rec.timestamp_ms = (int64_t)((uint64_t)h->base_timestamp + (uint64_t)cursor_varlong(&c));
    int32_t offset_delta = cursor_varint(&c);
    rec.key = read_bytes(&c, true);
    rec.value = read_bytes(&c, true);
    read_headers(&c, &rec);
    if (!cursor_ok(&c) || cursor_left(&c) != 0 || offset_delta != r->index)
        return err_fail(ERR_CORRUPT_MESSAGE, "record %d of a batch does not parse", r->index);
    if (h->attributes & BATCH_ATTR_APPEND_TIME)
        rec.timestamp_ms = h->max_timestamp;
    rec.offset = (int64_t)((uint64_t)h->base_offset + (uint64_t)offset_delta);
    r->index++;
    *ret_record = rec;
    return OK;
}

void record_reader_close(struct record_reader *r)
{
    buf_release(&r->plain);
}

struct slice record_header_find(const struct record *rec, const char *name)
{
    struct slice wanted = slice_of(name);
    size_t count = MIN((size_t)rec->header_count, (size_t)RECORD_HEADERS_SHOWN);
    for (size_t i = 0; i < count; i++) {
        if (slice_equal(rec->headers[i].key, wanted))
            return rec->headers[i].value;
    }
    return (struct slice){NULL, 0};
}
