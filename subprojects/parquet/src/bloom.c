/* bloom.c: see bloom.h. */
#include "bloom.h"

#include <xxhash.h>

#include "buf.h"

#define WORDS 8
/* -8 / ln(1 - 0.01^(1/8)), the bits per distinct value for one false positive in a hundred. */
#define BITS_PER_VALUE 9.682

/* The constants of the specification. */
static const uint32_t salt[WORDS] = {0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d,
                                     0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31};

uint64_t pq_bloom_hash(enum pq_type type, const struct pq_value *value)
{
    uint8_t plain[8];
    switch (type) {
    case PQ_BOOLEAN:
        plain[0] = value->boolean;
        return XXH64(plain, 1, 0);
    case PQ_INT32:
        pq_put_le32(plain, (uint32_t)value->i32);
        return XXH64(plain, 4, 0);
    case PQ_INT64:
        pq_put_le64(plain, (uint64_t)value->i64);
        return XXH64(plain, 8, 0);
    case PQ_DOUBLE: {
        uint64_t bits;
        memcpy(&bits, &value->f64, sizeof(bits));
        pq_put_le64(plain, bits);
        return XXH64(plain, 8, 0);
    }
    case PQ_BYTE_ARRAY:
    case PQ_FIXED_16:
        break;
    }
    return XXH64(value->bytes.data, value->bytes.len, 0);
}

uint32_t pq_bloom_bytes(uint64_t distinct, uint32_t bytes_max)
{
    double wanted = (double)distinct * BITS_PER_VALUE / 8;
    uint32_t bytes = PQ_BLOOM_BLOCK_BYTES;
    while (bytes < bytes_max && bytes < wanted)
        bytes *= 2;
    return bytes;
}

static uint64_t block_offset(uint32_t bytes, uint64_t hash)
{
    return ((hash >> 32) * (bytes / PQ_BLOOM_BLOCK_BYTES) >> 32) * PQ_BLOOM_BLOCK_BYTES;
}

void pq_bloom_insert(uint8_t *bits, uint32_t bytes, uint64_t hash)
{
    uint8_t *block = bits + block_offset(bytes, hash);
    for (int i = 0; i < WORDS; i++) {
        uint32_t bit = (uint32_t)hash * salt[i] >> 27;
        block[4 * i + bit / 8] |= (uint8_t)(1U << bit % 8);
    }
}

bool pq_bloom_check(const uint8_t *bits, uint32_t bytes, uint64_t hash)
{
    const uint8_t *block = bits + block_offset(bytes, hash);
    for (int i = 0; i < WORDS; i++) {
        uint32_t bit = (uint32_t)hash * salt[i] >> 27;
        if ((block[4 * i + bit / 8] & 1U << bit % 8) == 0)
            return false;
    }
    return true;
}
