/*
 * base/json_sse2.c: the JSON engine on 16-byte vectors, which every x86-64 processor has.
 */
#include "base/json_engine.h"

#if defined(__x86_64__)
#include <emmintrin.h>

static inline uint64_t special16(const uint8_t *at)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    /* Signed: bytes above 0x7f are negative. */
    __m128i below = _mm_cmpgt_epi8(_mm_set1_epi8(0x20), v);
    return (uint32_t)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), below));
}

static inline uint64_t special64(const uint8_t *at)
{
    return special16(at) | special16(at + 16) << 16 | special16(at + 32) << 32 |
           special16(at + 48) << 48;
}

#define JSON_TARGET
#define JSON_ENGINE json_scan_sse2
#define JSON_SPECIAL(at) special64(at)
#include "base/json_template.h"
#endif
