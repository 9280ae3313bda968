/*
 * buf.h: growing runs of bytes for the writer, and little-endian and variable-length integers.
 *
 * Memory that is gone is an error here, not the end of the program: an append to a pq_buf that
 * cannot grow marks it `failed` and does nothing more, so that a sequence of appends is checked
 * once, at its end, with pq_buf_check.
 */
#ifndef PARQUET_BUF_H
#define PARQUET_BUF_H

#include <string.h>

#include "common.h"

struct pq_buf {
    uint8_t *data; /* owned; NULL while cap == 0 */
    size_t len, cap;
    bool failed;
};

/** Makes room for `extra` more bytes; false (and `failed`) when memory is gone. */
bool pq_buf_grow(struct pq_buf *b, size_t extra);
void pq_buf_release(struct pq_buf *b);
/** 0, or PQ_LIMIT when an append has failed. */
int pq_buf_check(const struct pq_buf *b, struct pq_error *err);

static inline bool pq_buf_reserve(struct pq_buf *b, size_t extra)
{
    return (b->cap - b->len >= extra && b->cap != 0) || pq_buf_grow(b, extra);
}

static inline void pq_buf_append(struct pq_buf *b, const void *data, size_t len)
{
    if (len != 0 && pq_buf_reserve(b, len)) {
        memcpy(b->data + b->len, data, len);
        b->len += len;
    }
}

static inline void pq_buf_byte(struct pq_buf *b, uint8_t byte)
{
    if (pq_buf_reserve(b, 1))
        b->data[b->len++] = byte;
}

/* Integers of the format are little-endian. */
static inline void pq_put_le32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> 8 * i);
}

static inline void pq_put_le64(uint8_t *out, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(v >> 8 * i);
}

static inline uint32_t pq_get_le32(const uint8_t *in)
{
    uint32_t v = 0;
    for (int i = 0; i < 4; i++)
        v |= (uint32_t)in[i] << 8 * i;
    return v;
}

static inline uint64_t pq_get_le64(const uint8_t *in)
{
    return pq_get_le32(in) | (uint64_t)pq_get_le32(in + 4) << 32;
}

static inline void pq_buf_le32(struct pq_buf *b, uint32_t v)
{
    if (pq_buf_reserve(b, 4)) {
        pq_put_le32(b->data + b->len, v);
        b->len += 4;
    }
}

static inline void pq_buf_le64(struct pq_buf *b, uint64_t v)
{
    if (pq_buf_reserve(b, 8)) {
        pq_put_le64(b->data + b->len, v);
        b->len += 8;
    }
}

/** Unsigned LEB128. */
static inline void pq_buf_varint(struct pq_buf *b, uint64_t v)
{
    if (!pq_buf_reserve(b, 10))
        return;
    for (; v >= 0x80; v >>= 7)
        b->data[b->len++] = (uint8_t)(v | 0x80);
    b->data[b->len++] = (uint8_t)v;
}

static inline void pq_buf_zigzag(struct pq_buf *b, int64_t v)
{
    pq_buf_varint(b, (uint64_t)v << 1 ^ (uint64_t)(v >> 63));
}

#endif
