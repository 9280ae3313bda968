#include "base/hash.h"

#include <stdio.h>
#include <xxhash.h>

uint64_t hash64(const void *data, size_t len)
{
    return XXH3_64bits(data, len);
}

struct hash128 hash128(const void *data, size_t len)
{
    XXH128_hash_t h = XXH3_128bits(data, len);
    return (struct hash128){h.low64, h.high64};
}

struct hash128 hash128_seeded(const void *data, size_t len, uint64_t seed)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(data, len, seed);
    return (struct hash128){h.low64, h.high64};
}

void hash128_format(struct hash128 h, char out[HASH128_TEXT])
{
    (void)snprintf(out, HASH128_TEXT, "%016llx%016llx", (unsigned long long)h.high,
                   (unsigned long long)h.low);
}

/* XXH3_state_t is over-aligned; the library's own pair allocates it rightly. */
static XXH3_state_t *state_of(struct hash_stream *h)
{
    return (XXH3_state_t *)(void *)h;
}

struct hash_stream *hash_stream_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    ASSERT(state != NULL);
    XXH3_64bits_reset(state);
    return (struct hash_stream *)(void *)state;
}

void hash_stream_free(struct hash_stream *h)
{
    if (h != NULL)
        XXH3_freeState(state_of(h));
}

void hash_stream_add(struct hash_stream *h, const void *data, size_t len)
{
    XXH3_64bits_update(state_of(h), data, len);
}

uint64_t hash_stream_value(const struct hash_stream *h)
{
    return XXH3_64bits_digest((const XXH3_state_t *)(const void *)h);
}

static XXH3_state_t *state128_of(struct hash128_stream *h)
{
    return (XXH3_state_t *)(void *)h;
}

struct hash128_stream *hash128_stream_new(void)
{
    XXH3_state_t *state = XXH3_createState();
    ASSERT(state != NULL);
    XXH3_128bits_reset(state);
    return (struct hash128_stream *)(void *)state;
}

void hash128_stream_free(struct hash128_stream *h)
{
    if (h != NULL)
        XXH3_freeState(state128_of(h));
}

void hash128_stream_add(struct hash128_stream *h, const void *data, size_t len)
{
    XXH3_128bits_update(state128_of(h), data, len);
}

struct hash128 hash128_stream_value(const struct hash128_stream *h)
{
    XXH128_hash_t v = XXH3_128bits_digest((const XXH3_state_t *)(const void *)h);
    return (struct hash128){v.low64, v.high64};
}
