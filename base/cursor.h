/*
 * base/cursor.h: bounds-checked reading and writing of binary formats. No other file does
 * arithmetic on raw wire offsets.
 *
 * Reading is sticky: the first read past the end sets `failed`, later reads give zeros, and the
 * parser checks once with cursor_ok. Integers are big-endian unless the name says le (Kafka's wire
 * and disk formats are big-endian). Varints are Kafka's: unsigned LEB128, `zigzag` for signed ones
 * (https://kafka.apache.org/protocol, "Protocol Primitive Types").
 */
#ifndef BASE_CURSOR_H
#define BASE_CURSOR_H

#include "base/base.h"
#include "base/buf.h"

struct cursor {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

static inline struct cursor cursor_of(const void *data, size_t len)
{
    const uint8_t *at = data;
    return (struct cursor){at, at == NULL ? at : at + len, false};
}
static inline bool cursor_ok(const struct cursor *c)
{
    return !c->failed;
}
static inline size_t cursor_left(const struct cursor *c)
{
    return (size_t)(c->end - c->at);
}

uint8_t cursor_u8(struct cursor *c);
uint16_t cursor_u16(struct cursor *c);
uint32_t cursor_u32(struct cursor *c);
uint64_t cursor_u64(struct cursor *c);
uint32_t cursor_u32le(struct cursor *c);
uint64_t cursor_u64le(struct cursor *c);
/** At most 5 / 10 bytes; a longer or overflowing one fails. */
uint32_t cursor_uvarint(struct cursor *c);
uint64_t cursor_uvarlong(struct cursor *c);
int32_t cursor_varint(struct cursor *c);
int64_t cursor_varlong(struct cursor *c);
/** `len` bytes in place (borrowed from the input), or NULL and failed. */
const uint8_t *cursor_bytes(struct cursor *c, size_t len);
/** A cursor over the next `len` bytes; fails both when there are fewer. */
struct cursor cursor_sub(struct cursor *c, size_t len);
static inline int16_t cursor_i16(struct cursor *c)
{
    return (int16_t)cursor_u16(c);
}
static inline int32_t cursor_i32(struct cursor *c)
{
    return (int32_t)cursor_u32(c);
}
static inline int64_t cursor_i64(struct cursor *c)
{
    return (int64_t)cursor_u64(c);
}

/* Writing appends to a buf. */
void put_u8(struct buf *b, uint8_t v);
void put_u16(struct buf *b, uint16_t v);
void put_u32(struct buf *b, uint32_t v);
void put_u64(struct buf *b, uint64_t v);
void put_u32le(struct buf *b, uint32_t v);
void put_u64le(struct buf *b, uint64_t v);
void put_uvarint(struct buf *b, uint32_t v);
void put_uvarlong(struct buf *b, uint64_t v);
void put_varint(struct buf *b, int32_t v);
void put_varlong(struct buf *b, int64_t v);

/* In place, for headers that are patched later. */
static inline void store_u16(void *at, uint16_t v)
{
    v = __builtin_bswap16(v);
    __builtin_memcpy(at, &v, sizeof(v));
}
static inline void store_u32(void *at, uint32_t v)
{
    v = __builtin_bswap32(v);
    __builtin_memcpy(at, &v, sizeof(v));
}
static inline void store_u64(void *at, uint64_t v)
{
    v = __builtin_bswap64(v);
    __builtin_memcpy(at, &v, sizeof(v));
}
static inline uint16_t load_u16(const void *at)
{
    uint16_t v;
    __builtin_memcpy(&v, at, sizeof(v));
    return __builtin_bswap16(v);
}
static inline uint32_t load_u32(const void *at)
{
    uint32_t v;
    __builtin_memcpy(&v, at, sizeof(v));
    return __builtin_bswap32(v);
}
static inline uint64_t load_u64(const void *at)
{
    uint64_t v;
    __builtin_memcpy(&v, at, sizeof(v));
    return __builtin_bswap64(v);
}
static inline uint64_t zigzag64(int64_t v)
{
    return ((uint64_t)v << 1) ^ (uint64_t)(v >> 63);
}
static inline int64_t unzigzag64(uint64_t v)
{
    return (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
}
/** Encodes `v` as an unsigned varint at `at` (10 bytes of room); returns its length. */
static inline size_t store_uvarlong(uint8_t *at, uint64_t v)
{
    size_t n = 0;
    while (v >= 0x80) {
        at[n++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    at[n++] = (uint8_t)v;
    return n;
}
static inline size_t uvarlong_size(uint64_t v)
{
    return v == 0 ? 1 : (size_t)(63 - __builtin_clzll(v)) / 7 + 1;
}

#endif
