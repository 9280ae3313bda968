/*
 * base/json_avx2.c: the JSON engine on 32-byte vectors. Called only where the processor has AVX2
 * and BMI2.
 */
#include "base/json_engine.h"

#if defined(__x86_64__)
#include <immintrin.h>

#define JSON_TARGET __attribute__((target("avx2,bmi,bmi2")))

static inline JSON_TARGET uint64_t special32(const uint8_t *at)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)at);
    __m256i quote = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('"'));
    __m256i backslash = _mm256_cmpeq_epi8(v, _mm256_set1_epi8('\\'));
    /* Signed: bytes above 0x7f are negative. */
    __m256i below = _mm256_cmpgt_epi8(_mm256_set1_epi8(0x20), v);
    return (uint32_t)_mm256_movemask_epi8(
        _mm256_or_si256(_mm256_or_si256(quote, backslash), below));
}

static inline JSON_TARGET uint64_t special64(const uint8_t *at)
{
    return special32(at) | special32(at + 32) << 32;
}

#define JSON_ENGINE json_scan_avx2
#define JSON_SPECIAL(at) special64(at)
#include "base/json_template.h"
#endif
