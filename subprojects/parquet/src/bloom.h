/*
 * bloom.h: split block bloom filters (BloomFilter.md of apache/parquet-format).
 *
 * A filter is a row of blocks of 256 bits, eight words of 32. The upper half of a value's hash
 * chooses the block, the lower half sets one bit in each word.
 */
#ifndef PARQUET_BLOOM_H
#define PARQUET_BLOOM_H

#include "parquet.h"

#define PQ_BLOOM_BLOCK_BYTES 32

/** XXH64, seed 0, of the value's PLAIN form, without the length of a BYTE_ARRAY. Not for null. */
uint64_t pq_bloom_hash(enum pq_type type, const struct pq_value *value);
/** Bytes for so many distinct values at one false positive in a hundred: a power of two, as older
 * readers ask for, of at most bytes_max (a power of two, 32 or more). */
uint32_t pq_bloom_bytes(uint64_t distinct, uint32_t bytes_max);
/** `bits` holds `bytes` bytes, a multiple of PQ_BLOOM_BLOCK_BYTES above 0, in the file's order. */
void pq_bloom_insert(uint8_t *bits, uint32_t bytes, uint64_t hash);
bool pq_bloom_check(const uint8_t *bits, uint32_t bytes, uint64_t hash);

#endif
