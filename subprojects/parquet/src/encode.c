/* encode.c: see encode.h. */
#include "encode.h"

#include <assert.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "integers are copied as they lie");

#define BLOCK 128u /* values of a delta block, in four miniblocks */
#define MINIBLOCKS 4u
#define MINIBLOCK (BLOCK / MINIBLOCKS)
#define REPEAT_MIN 8u /* equal values that make a run; literals come in groups of as many */

unsigned pq_encode_bit_width(uint64_t max)
{
    return max == 0 ? 0 : 64 - (unsigned)__builtin_clzll(max);
}

/* Packs values behind each other from the lowest bit on, 32 bits to a store. */
struct packer {
    uint8_t *at;
    uint64_t pending;
    unsigned bits; /* pending ones, below 32 between calls */
};

static inline void pack32(struct packer *p, uint32_t value, unsigned width)
{
    p->pending |= (uint64_t)value << p->bits;
    p->bits += width;
    if (p->bits >= 32) {
        pq_put_le32(p->at, (uint32_t)p->pending);
        p->at += 4;
        p->pending >>= 32;
        p->bits -= 32;
    }
}

static inline void pack64(struct packer *p, uint64_t value, unsigned width)
{
    if (width > 32) {
        pack32(p, (uint32_t)value, 32);
        value >>= 32;
        width -= 32;
    }
    pack32(p, (uint32_t)value, width);
}

static void pack_end(struct packer *p)
{
    for (unsigned left = p->bits; left > 0; left = left > 8 ? left - 8 : 0) {
        *p->at++ = (uint8_t)p->pending;
        p->pending >>= 8;
    }
}

/** Bit-packed groups of eight, the last one filled up with zeros. */
static void hybrid_literals(struct pq_buf *out, const uint32_t *values, size_t count,
                            unsigned width)
{
    if (count == 0)
        return;
    size_t groups = (count + 7) / 8;
    pq_buf_varint(out, (uint64_t)groups << 1 | 1);
    if (!pq_buf_reserve(out, groups * width + 4))
        return;
    struct packer p = {.at = out->data + out->len};
    for (size_t i = 0; i < count; i++)
        pack32(&p, values[i], width);
    for (size_t i = count; i < groups * 8; i++)
        pack32(&p, 0, width);
    pack_end(&p);
    out->len += groups * width;
}

static void hybrid_repeat(struct pq_buf *out, uint32_t value, size_t count, unsigned width)
{
    pq_buf_varint(out, (uint64_t)count << 1);
    for (unsigned bits = 0; bits < width; bits += 8)
        pq_buf_byte(out, (uint8_t)(value >> bits));
}

void pq_encode_hybrid(struct pq_buf *out, const uint32_t *values, size_t count, unsigned width)
{
    size_t literals = 0; /* where those begin that are not written yet */
    for (size_t i = 0; i < count;) {
        size_t end = i + 1;
        while (end < count && values[end] == values[i])
            end++;
        /* Literals before a run must be whole groups: they borrow from it. */
        size_t borrowed = (8 - (i - literals) % 8) % 8;
        if (end - i >= REPEAT_MIN + borrowed) {
            i += borrowed;
            hybrid_literals(out, values + literals, i - literals, width);
            hybrid_repeat(out, values[i], end - i, width);
            literals = end;
        }
        i = end;
    }
    hybrid_literals(out, values + literals, count - literals, width);
}

void pq_encode_booleans(struct pq_buf *out, const uint8_t *values, size_t count)
{
    for (size_t i = 0; i < count; i += 8) {
        unsigned byte = 0;
        for (size_t bit = 0; bit < 8 && i + bit < count; bit++)
            byte |= (unsigned)(values[i + bit] != 0) << bit;
        pq_buf_byte(out, (uint8_t)byte);
    }
}

void pq_encode_plain_bytes(struct pq_buf *out, const uint32_t *lengths, size_t count,
                           const uint8_t *bytes)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += lengths[i];
    if (!pq_buf_reserve(out, total + 4 * count))
        return;
    uint8_t *at = out->data + out->len;
    for (size_t i = 0; i < count; i++) {
        pq_put_le32(at, lengths[i]);
        at += 4;
        if (lengths[i] != 0) {
            memcpy(at, bytes, lengths[i]);
            at += lengths[i];
            bytes += lengths[i];
        }
    }
    out->len += total + 4 * count;
}

/** One block: its least delta, the width of each miniblock, the miniblocks that hold values. */
static void delta_block(struct pq_buf *out, uint64_t *deltas, size_t count, int64_t least)
{
    pq_buf_zigzag(out, least);
    if (!pq_buf_reserve(out, MINIBLOCKS + BLOCK * sizeof(uint64_t) + 4))
        return;
    uint8_t *widths = out->data + out->len, *at = widths + MINIBLOCKS;
    memset(widths, 0, MINIBLOCKS);
    for (size_t m = 0; m * MINIBLOCK < count; m++) {
        uint64_t *values = deltas + m * MINIBLOCK, all = 0;
        for (size_t i = 0; i < MINIBLOCK; i++)
            all |= values[i];
        unsigned width = pq_encode_bit_width(all);
        struct packer p = {.at = at};
        for (size_t i = 0; i < MINIBLOCK; i++)
            pack64(&p, values[i], width);
        pack_end(&p);
        widths[m] = (uint8_t)width;
        at += MINIBLOCK * width / 8;
    }
    out->len = (size_t)(at - out->data);
}

static void delta_header(struct pq_buf *out, size_t count, int64_t first)
{
    pq_buf_varint(out, BLOCK);
    pq_buf_varint(out, MINIBLOCKS);
    pq_buf_varint(out, count);
    pq_buf_zigzag(out, first);
}

static uint64_t integer_at(const uint8_t *values, size_t i, unsigned width)
{
    return width == 4 ? pq_get_le32(values + 4 * i) : pq_get_le64(values + 8 * i);
}

/* A difference as the signed number of `width` bytes that it is modulo 2^(8 * width), as the format
 * demands of those that overflow. */
static int64_t wrap(uint64_t difference, unsigned width)
{
    return width == 4 ? (int32_t)(uint32_t)difference : (int64_t)difference;
}

void pq_encode_delta(struct pq_buf *out, const uint8_t *values, size_t count, unsigned width)
{
    uint64_t last = count > 0 ? integer_at(values, 0, width) : 0;
    delta_header(out, count, wrap(last, width));
    for (size_t i = 1; i < count; i += BLOCK) {
        uint64_t deltas[BLOCK] = {0};
        size_t n = count - i < BLOCK ? count - i : BLOCK;
        int64_t least = INT64_MAX;
        for (size_t k = 0; k < n; k++) {
            uint64_t value = integer_at(values, i + k, width);
            int64_t delta = wrap(value - last, width);
            least = delta < least ? delta : least;
            deltas[k] = (uint64_t)delta;
            last = value;
        }
        for (size_t k = 0; k < n; k++)
            deltas[k] -= (uint64_t)least;
        delta_block(out, deltas, n, least);
    }
}
