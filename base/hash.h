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

#endif
