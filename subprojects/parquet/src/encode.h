/*
 * encode.h: values of a page into bytes.
 *
 * Format: Encodings.md of apache/parquet-format. Each function appends; what failed shows in the
 * buffer (buf.h). Integers lie in memory as in the file: the library is for little-endian machines.
 */
#ifndef PARQUET_ENCODE_H
#define PARQUET_ENCODE_H

#include "buf.h"

/** Bits that hold `max`; 0 for 0. */
unsigned pq_encode_bit_width(uint64_t max);

/** RLE and bit-packing hybrid of `count` values below 2^width; width 1 to 32. */
void pq_encode_hybrid(struct pq_buf *out, const uint32_t *values, size_t count, unsigned width);

/** PLAIN booleans: eight to a byte, from one byte each. */
void pq_encode_booleans(struct pq_buf *out, const uint8_t *values, size_t count);

/** PLAIN byte arrays: each with its length before it, from the lengths and the bytes in a row. */
void pq_encode_plain_bytes(struct pq_buf *out, const uint32_t *lengths, size_t count,
                           const uint8_t *bytes);

/** DELTA_BINARY_PACKED of integers of `width` bytes: 4 or 8. */
void pq_encode_delta(struct pq_buf *out, const uint8_t *values, size_t count, unsigned width);

#endif
