/*
 * base/hash.h: XXH3 (https://github.com/Cyan4973/xxHash) for in-memory tables and fingerprints. Not
 * for secrets.
 */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include "base/base.h"

struct hash128 {
    uint64_t low;
    uint64_t high;
};

uint64_t hash64(const void *data, size_t len);
struct hash128 hash128(const void *data, size_t len);
/** With a seed that nobody else knows, for tables that strangers could aim at. */
struct hash128 hash128_seeded(const void *data, size_t len, uint64_t seed);

/** 32 lower-case hex digits, high half first, and a NUL. */
#define HASH128_TEXT 33
void hash128_format(struct hash128 h, char out[HASH128_TEXT]);

/** hash64 of bytes that arrive in pieces: the same value, however they are cut. */
struct hash_stream;
struct hash_stream *hash_stream_new(void);
void hash_stream_free(struct hash_stream *h);
void hash_stream_add(struct hash_stream *h, const void *data, size_t len);
uint64_t hash_stream_value(const struct hash_stream *h);

/** The same for hash128. */
struct hash128_stream;
struct hash128_stream *hash128_stream_new(void);
void hash128_stream_free(struct hash128_stream *h);
void hash128_stream_add(struct hash128_stream *h, const void *data, size_t len);
struct hash128 hash128_stream_value(const struct hash128_stream *h);

#endif
