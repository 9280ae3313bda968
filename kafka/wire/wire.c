/*
 * kafka/wire/wire.c: see kafka/wire/wire.h.
 */
#include "kafka/wire/wire.h"

#include "base/limits.h"

struct wire_reader wire_reader_of(const void *data, size_t len, bool flexible)
{
    return (struct wire_reader){cursor_of(data, len), flexible, LIMIT_KAFKA_REQUEST_ITEMS};
}

err_t wire_request_end(struct wire_reader *r, const char *what)
{
    if (!wire_ok(r))
        return err_fail(ERR_INVALID_REQUEST, "%s is cut short or malformed", what);
    return OK;
}

err_t wire_reader_end(struct wire_reader *r, const char *what)
{
    TRY(wire_request_end(r, what));
    return OK;
}

void wire_fail(struct wire_reader *r)
{
    r->at.failed = true;
    r->at.at = r->at.end;
}

bool wire_get_bool(struct wire_reader *r)
{
    return cursor_u8(&r->at) != 0;
}

int8_t wire_get_i8(struct wire_reader *r)
{
    return (int8_t)cursor_u8(&r->at);
}

int16_t wire_get_i16(struct wire_reader *r)
{
    return cursor_i16(&r->at);
}

int32_t wire_get_i32(struct wire_reader *r)
{
    return cursor_i32(&r->at);
}

int64_t wire_get_i64(struct wire_reader *r)
{
    return cursor_i64(&r->at);
}

/** `length` bytes; -1 is null, anything below fails. */
static struct slice take(struct wire_reader *r, int64_t length)
{
    if (length < -1)
        wire_fail(r);
    if (!wire_ok(r) || length < 0)
        return (struct slice){NULL, 0};
    const uint8_t *data = cursor_bytes(&r->at, (size_t)length);
    return (struct slice){(const char *)data, data == NULL ? 0 : (size_t)length};
}

struct slice wire_get_classic_string(struct wire_reader *r)
{
    return take(r, cursor_i16(&r->at));
}

struct slice wire_get_nullable_string(struct wire_reader *r)
{
    if (!r->flexible)
        return wire_get_classic_string(r);
    int64_t length = (int64_t)cursor_uvarint(&r->at) - 1;
    if (length > INT16_MAX)
        wire_fail(r);
    return take(r, length);
}

struct slice wire_get_string(struct wire_reader *r)
{
    struct slice s = wire_get_nullable_string(r);
    if (s.data == NULL)
        wire_fail(r);
    return s;
}

struct slice wire_get_records(struct wire_reader *r)
{
    return take(r, r->flexible ? (int64_t)cursor_uvarint(&r->at) - 1 : cursor_i32(&r->at));
}

int64_t wire_get_nullable_array(struct wire_reader *r, size_t item_bytes)
{
    ASSERT(item_bytes > 0);
    int64_t count = r->flexible ? (int64_t)cursor_uvarint(&r->at) - 1 : cursor_i32(&r->at);
    if (!wire_ok(r))
        return 0;
    if (count == -1)
        return -1;
    if (count < 0 || (uint64_t)count > cursor_left(&r->at) / item_bytes ||
        (uint64_t)count > r->items_left) {
        wire_fail(r);
        return 0;
    }
    r->items_left -= (uint32_t)count;
    return count;
}

uint32_t wire_get_array(struct wire_reader *r, size_t item_bytes)
{
    int64_t count = wire_get_nullable_array(r, item_bytes);
    if (count < 0) {
        wire_fail(r);
        return 0;
    }
    return (uint32_t)count;
}

bool wire_get_uuid_is_zero(struct wire_reader *r)
{
    uint64_t high = cursor_u64(&r->at);
    uint64_t low = cursor_u64(&r->at);
    return high == 0 && low == 0;
}

void wire_skip_tags(struct wire_reader *r)
{
    if (!r->flexible)
        return;
    uint32_t count = cursor_uvarint(&r->at);
    /* A tagged field is at least its tag and its size; the loop also ends with the input. */
    for (uint32_t i = 0; i < count && wire_ok(r); i++) {
        (void)cursor_uvarint(&r->at);
        (void)cursor_bytes(&r->at, cursor_uvarint(&r->at));
    }
}

void wire_put_bool(struct wire_writer *w, bool v)
{
    put_u8(w->out, v ? 1 : 0);
}

void wire_put_i8(struct wire_writer *w, int8_t v)
{
    put_u8(w->out, (uint8_t)v);
}

void wire_put_i16(struct wire_writer *w, int16_t v)
{
    put_u16(w->out, (uint16_t)v);
}

void wire_put_i32(struct wire_writer *w, int32_t v)
{
    put_u32(w->out, (uint32_t)v);
}

void wire_put_i64(struct wire_writer *w, int64_t v)
{
    put_u64(w->out, (uint64_t)v);
}

void wire_put_classic_string(struct wire_writer *w, struct slice s)
{
    ASSERT(s.len <= INT16_MAX);
    put_u16(w->out, s.data == NULL ? UINT16_MAX : (uint16_t)s.len);
    if (s.data != NULL)
        buf_append_slice(w->out, s);
}

void wire_put_nullable_string(struct wire_writer *w, struct slice s)
{
    if (!w->flexible) {
        wire_put_classic_string(w, s);
        return;
    }
    ASSERT(s.len <= INT16_MAX);
    put_uvarint(w->out, s.data == NULL ? 0 : (uint32_t)s.len + 1);
    if (s.data != NULL)
        buf_append_slice(w->out, s);
}

void wire_put_string(struct wire_writer *w, struct slice s)
{
    wire_put_nullable_string(w, s.data == NULL ? SLICE("") : s);
}

void wire_put_array(struct wire_writer *w, uint32_t count)
{
    ASSERT(count < INT32_MAX);
    if (w->flexible)
        put_uvarint(w->out, count + 1);
    else
        put_u32(w->out, count);
}

void wire_put_null_array(struct wire_writer *w)
{
    if (w->flexible)
        put_uvarint(w->out, 0);
    else
        put_u32(w->out, UINT32_MAX);
}

void wire_put_records_length(struct wire_writer *w, uint32_t len)
{
    wire_put_array(w, len); /* the two encodings agree */
}

void wire_put_zero_uuid(struct wire_writer *w)
{
    put_u64(w->out, 0);
    put_u64(w->out, 0);
}

void wire_put_no_tags(struct wire_writer *w)
{
    if (w->flexible)
        put_u8(w->out, 0);
}
