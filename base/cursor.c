#include "base/cursor.h"

#include <string.h>

const uint8_t *cursor_bytes(struct cursor *c, size_t len)
{
    if (unlikely(c->failed || cursor_left(c) < len)) {
        c->failed = true;
        c->at = c->end;
        return NULL;
    }
    const uint8_t *at = c->at;
    c->at += len;
    return at;
}

uint8_t cursor_u8(struct cursor *c)
{
    const uint8_t *at = cursor_bytes(c, 1);
    return at == NULL ? 0 : *at;
}

uint16_t cursor_u16(struct cursor *c)
{
    const uint8_t *at = cursor_bytes(c, 2);
    return at == NULL ? 0 : load_u16(at);
}

uint32_t cursor_u32(struct cursor *c)
{
    const uint8_t *at = cursor_bytes(c, 4);
    return at == NULL ? 0 : load_u32(at);
}

uint64_t cursor_u64(struct cursor *c)
{
    const uint8_t *at = cursor_bytes(c, 8);
    return at == NULL ? 0 : load_u64(at);
}

uint32_t cursor_u32le(struct cursor *c)
{
    return __builtin_bswap32(cursor_u32(c));
}

uint64_t cursor_u64le(struct cursor *c)
{
    return __builtin_bswap64(cursor_u64(c));
}

static uint64_t read_varint(struct cursor *c, unsigned max_bytes, uint64_t max)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < max_bytes; i++) {
        uint8_t byte = cursor_u8(c);
        uint64_t part = byte & 0x7F;
        if (c->failed || (i == 9 && part > 1))
            break;
        v |= part << (7 * i);
        if ((byte & 0x80) == 0) {
            if (v > max)
                break;
            return v;
        }
    }
    c->failed = true;
    c->at = c->end;
    return 0;
}

uint32_t cursor_uvarint(struct cursor *c)
{
    return (uint32_t)read_varint(c, 5, UINT32_MAX);
}

uint64_t cursor_uvarlong(struct cursor *c)
{
    return read_varint(c, 10, UINT64_MAX);
}

int32_t cursor_varint(struct cursor *c)
{
    return (int32_t)unzigzag64(read_varint(c, 5, UINT32_MAX));
}

int64_t cursor_varlong(struct cursor *c)
{
    return unzigzag64(read_varint(c, 10, UINT64_MAX));
}

struct cursor cursor_sub(struct cursor *c, size_t len)
{
    const uint8_t *at = cursor_bytes(c, len);
    if (at == NULL)
        return (struct cursor){c->end, c->end, true};
    return (struct cursor){at, at + len, false};
}

void put_u8(struct buf *b, uint8_t v)
{
    buf_append_char(b, (char)v);
}

void put_u16(struct buf *b, uint16_t v)
{
    store_u16(buf_reserve(b, 2), v);
    b->len += 2;
}

void put_u32(struct buf *b, uint32_t v)
{
    store_u32(buf_reserve(b, 4), v);
    b->len += 4;
}

void put_u64(struct buf *b, uint64_t v)
{
    store_u64(buf_reserve(b, 8), v);
    b->len += 8;
}

void put_u32le(struct buf *b, uint32_t v)
{
    put_u32(b, __builtin_bswap32(v));
}

void put_u64le(struct buf *b, uint64_t v)
{
    put_u64(b, __builtin_bswap64(v));
}

void put_uvarlong(struct buf *b, uint64_t v)
{
    b->len += store_uvarlong((uint8_t *)buf_reserve(b, 10), v);
}

void put_uvarint(struct buf *b, uint32_t v)
{
    put_uvarlong(b, v);
}

void put_varint(struct buf *b, int32_t v)
{
    put_uvarlong(b, (uint32_t)zigzag64(v));
}

void put_varlong(struct buf *b, int64_t v)
{
    put_uvarlong(b, zigzag64(v));
}
