/* hybrid.c: the two integer codings that others build on: RLE / bit-packing hybrid and
 * DELTA_BINARY_PACKED. */
#include <string.h>

#include "decode.h"

/* The specification says a multiple of 128; writers use 128 to 2048. */
#define DELTA_BLOCK_MAX (1u << 20)

static uint64_t load_le64(const uint8_t *at, const uint8_t *end)
{
    uint64_t value = 0;
    if (end - at >= 8)
        memcpy(&value, at, 8);
    else if (at < end)
        memcpy(&value, at, (size_t)(end - at));
    return value;
}

/* `width` bits (at most 57) from bit position `bit` of the bytes at `base`. */
static inline uint64_t load_bits(const uint8_t *base, const uint8_t *end, uint64_t bit,
                                 unsigned width)
{
    uint64_t word = load_le64(base + bit / 8, end) >> (bit % 8);
    return word & ((UINT64_C(1) << width) - 1);
}

static bool read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && *at < end; shift += 7) {
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0) {
            *ret = value;
            return shift < 63 || byte <= 1;
        }
    }
    return false;
}

static uint64_t unzigzag(uint64_t value)
{
    return (value >> 1) ^ (0 - (value & 1));
}

/* RLE / bit-packing hybrid -------------------------------------------------------------------- */

void pq_hybrid_init(struct hybrid *h, const uint8_t *data, size_t len, unsigned width)
{
    *h = (struct hybrid){.at = data, .end = data + len, .width = width};
}

/* The header of the next run. A packed run's bytes may be cut at the end of the page: some writers
 * leave out the padding of the last group. */
static bool next_run(struct hybrid *h)
{
    uint64_t head;
    if (!read_varint(&h->at, h->end, &head) || head > UINT32_MAX)
        return false;
    size_t left = (size_t)(h->end - h->at);
    if (head & 1) {
        uint64_t bytes = (head >> 1) * h->width;
        h->packed_left = (head >> 1) * 8;
        if (bytes > left) {
            bytes = left;
            h->packed_left = bytes * 8 / h->width;
        }
        h->packed = h->at;
        h->packed_bit = 0;
        h->at += bytes;
        return true;
    }
    size_t bytes = (h->width + 7) / 8;
    if (bytes > left)
        return false;
    h->repeat_value = (uint32_t)load_le64(h->at, h->at + bytes);
    h->repeat_left = head >> 1;
    h->at += bytes;
    return h->width == 32 || h->repeat_value >> h->width == 0;
}

static void unpack(struct hybrid *h, uint32_t *out, size_t count)
{
    const uint8_t *end = h->at; /* where the packed run ends */
    uint64_t bit = h->packed_bit;
    for (size_t i = 0; i < count; i++, bit += h->width)
        out[i] = (uint32_t)load_bits(h->packed, end, bit, h->width);
    h->packed_bit = bit;
    h->packed_left -= count;
}

bool pq_hybrid_read(struct hybrid *h, uint32_t *out, size_t count)
{
    while (count > 0) {
        size_t n;
        if (h->repeat_left > 0) {
            n = count < h->repeat_left ? count : (size_t)h->repeat_left;
            for (size_t i = 0; i < n; i++)
                out[i] = h->repeat_value;
            h->repeat_left -= n;
        } else if (h->packed_left > 0) {
            n = count < h->packed_left ? count : (size_t)h->packed_left;
            unpack(h, out, n);
        } else if (next_run(h)) {
            continue;
        } else {
            return false;
        }
        out += n;
        count -= n;
    }
    return true;
}

bool pq_hybrid_count_ones(struct hybrid h, uint64_t count, uint64_t *ret)
{
    uint64_t ones = 0;
    while (count > 0) {
        uint64_t n;
        if (h.repeat_left > 0) {
            n = count < h.repeat_left ? count : h.repeat_left;
            ones += n * h.repeat_value;
            h.repeat_left -= n;
        } else if (h.packed_left > 0) {
            n = count < h.packed_left ? count : h.packed_left;
            n = n < 56 ? n : 56;
            uint64_t bits = load_bits(h.packed, h.at, h.packed_bit, (unsigned)n);
            ones += (uint64_t)__builtin_popcountll(bits);
            h.packed_bit += n;
            h.packed_left -= n;
        } else if (next_run(&h)) {
            continue;
        } else {
            return false;
        }
        count -= n;
    }
    *ret = ones;
    return true;
}

/* DELTA_BINARY_PACKED ------------------------------------------------------------------------- */

bool pq_delta_init(struct delta *d, const uint8_t *data, size_t len)
{
    *d = (struct delta){.at = data, .end = data + len};
    uint64_t block, miniblocks, first;
    if (!read_varint(&d->at, d->end, &block) || !read_varint(&d->at, d->end, &miniblocks) ||
        !read_varint(&d->at, d->end, &d->values_left) || !read_varint(&d->at, d->end, &first))
        return false;
    if (block == 0 || block > DELTA_BLOCK_MAX || block % 128 != 0 || miniblocks == 0 ||
        block % miniblocks != 0 || (block / miniblocks) % 32 != 0 || d->values_left > INT32_MAX)
        return false;
    d->miniblocks = (uint32_t)miniblocks;
    d->per_miniblock = (uint32_t)(block / miniblocks);
    d->miniblock = d->miniblocks;
    d->last = unzigzag(first);
    return true;
}

static bool next_block(struct delta *d)
{
    uint64_t min;
    if (!read_varint(&d->at, d->end, &min) || (size_t)(d->end - d->at) < d->miniblocks)
        return false;
    d->min_delta = unzigzag(min);
    d->widths = d->at;
    d->at += d->miniblocks;
    d->miniblock = 0;
    return true;
}

/* Begins the miniblock that d->miniblock names. The last one that holds values may be cut behind
 * them; those after it have no bytes at all. */
static bool begin_miniblock(struct delta *d, uint64_t deltas_left)
{
    uint64_t used = deltas_left < d->per_miniblock ? deltas_left : d->per_miniblock;
    unsigned width = d->widths[d->miniblock];
    if (width > 64 || (used * width + 7) / 8 > (size_t)(d->end - d->at))
        return false;
    d->in_miniblock = d->per_miniblock;
    d->bit = 0;
    return true;
}

static void end_miniblock(struct delta *d)
{
    size_t bytes = (size_t)d->per_miniblock * d->widths[d->miniblock] / 8;
    size_t left = (size_t)(d->end - d->at);
    d->at += bytes < left ? bytes : left;
    d->miniblock++;
}

static uint64_t load_delta(const struct delta *d, unsigned width)
{
    if (width <= 57)
        return load_bits(d->at, d->end, d->bit, width);
    uint64_t low = load_bits(d->at, d->end, d->bit, 32);
    uint64_t high = load_bits(d->at, d->end, d->bit + 32, width - 32);
    return low | high << 32;
}

/* Makes d->last the value after it. The arithmetic wraps, as the specification says. */
static bool step(struct delta *d)
{
    if (d->in_miniblock == 0) {
        if (d->miniblock == d->miniblocks && !next_block(d))
            return false;
        if (!begin_miniblock(d, d->values_left))
            return false;
    }
    unsigned width = d->widths[d->miniblock];
    d->last += d->min_delta + load_delta(d, width);
    d->bit += width;
    if (--d->in_miniblock == 0)
        end_miniblock(d);
    return true;
}

bool pq_delta_read(struct delta *d, int64_t *out, size_t count)
{
    if (count > d->values_left)
        return false;
    for (size_t i = 0; i < count; i++) {
        out[i] = (int64_t)d->last;
        if (--d->values_left > 0 && !step(d))
            return false;
    }
    if (d->values_left == 0 && d->in_miniblock > 0) {
        d->in_miniblock = 0;
        end_miniblock(d);
    }
    return true;
}

const uint8_t *pq_delta_end(const uint8_t *data, size_t len)
{
    struct delta d;
    if (!pq_delta_init(&d, data, len))
        return NULL;
    uint64_t deltas = d.values_left > 0 ? d.values_left - 1 : 0;
    while (deltas > 0) {
        if (d.miniblock == d.miniblocks && !next_block(&d))
            return NULL;
        if (!begin_miniblock(&d, deltas))
            return NULL;
        end_miniblock(&d);
        deltas -= deltas < d.per_miniblock ? deltas : d.per_miniblock;
    }
    return d.at;
}
