/*
 * base/json_engine.h: private to base/json*.c, their tests and benchmark. An engine is one build of
 * base/json_template.h on one way to classify 64 bytes at once. All engines give identical results.
 */
#ifndef BASE_JSON_ENGINE_H
#define BASE_JSON_ENGINE_H

#include "base/json.h"

/** Why a scan stopped. */
enum json_stop {
    JSON_DONE,
    JSON_CUT, /* the input ended inside the value */
    JSON_WANT_VALUE,
    JSON_WANT_NAME,
    JSON_WANT_COLON,
    JSON_WANT_COMMA_OR_BRACE,
    JSON_WANT_COMMA_OR_BRACKET,
    JSON_BAD_NUMBER,
    JSON_BAD_CONTROL,
    JSON_BAD_ESCAPE,
    JSON_BAD_UTF8,
    JSON_TOO_DEEP,
};

struct json_job {
    const uint8_t *data;
    size_t len;
    bool at_end;
    uint32_t depth_max;
    const struct json_names *names; /* or NULL */
    struct json_scan *ret;
    size_t stop_at; /* out: end of the value, or where the problem is */
};

typedef enum json_stop json_engine_fn(struct json_job *job);

struct json_engine {
    const char *name;
    json_engine_fn *scan;
    bool (*usable)(void); /* on this processor */
};

/** Fastest first; the last one is "portable" and always usable. Ends with a NULL name. */
extern const struct json_engine json_engines[];

json_engine_fn json_scan_portable;
#if defined(__x86_64__)
json_engine_fn json_scan_sse2;
json_engine_fn json_scan_avx2;
#endif

/** json_scan_value by an engine of the caller's choice. */
err_t json_scan_with(json_engine_fn *scan, const struct json_input *in,
                     const struct json_names *names, uint32_t depth_max,
                     struct json_scan *ret) MUST_USE;

/* The rare parts, shared by all engines. */

/** The character that a backslash and this letter stand for; 0 where they are no escape, and for u.
 */
extern const uint8_t json_escape_chars[256];
/** Steps over what interrupts the plain bytes of a string at `at`: an escape, a run of non-ASCII
 *  characters. Returns the index after it, or stops with *ret_stop set and the index of the
 * problem. */
size_t json_string_step(const uint8_t *data, size_t len, size_t at, enum json_stop *ret_stop);
/** json_skip_ws, for when there is white space. */
size_t json_ws_end(const uint8_t *data, size_t len, size_t at);
/** The index of the name whose text, with escapes, is the `len` bytes at `key`, or -1. */
int json_names_find_escaped(const struct json_names *names, const uint8_t *key, size_t len);
/** The first `len` (0 to 8) bytes of `text` as json_load64 has them, zeros after. */
uint64_t json_load_part(const uint8_t *text, size_t len);

static inline uint64_t json_name_hash(uint64_t multiplier, uint64_t low, uint64_t high)
{
    return (low * multiplier + high * (multiplier ^ 0x5851F42D4C957F2C)) >> 58;
}

/** Eight bytes, the first one lowest. */
static inline uint64_t json_load64(const uint8_t *at)
{
    uint64_t v;
    __builtin_memcpy(&v, at, sizeof(v));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    v = __builtin_bswap64(v);
#endif
    return v;
}

/** The index of the name whose text is the `len` bytes at `key` (no quotes, no escapes), or -1. The
 * bytes up to `end` may be read. */
static inline __attribute__((always_inline)) int
json_names_find(const struct json_names *names, const uint8_t *key, size_t len, const uint8_t *end)
{
    static const uint64_t all = ~(uint64_t)0;
    if (len > JSON_NAME_LEN_MAX || len == 0 || (names->lengths[*key % 32] >> len & 1) == 0)
        return -1;
    uint64_t low, high;
    if (likely(end - key >= JSON_NAME_LEN_MAX)) {
        low = json_load64(key) & (len >= 8 ? all : ~(all << (len * 8)));
        high = len <= 8 ? 0 : json_load64(key + 8) & all >> (128 - len * 8);
    } else {
        low = json_load_part(key, MIN(len, 8));
        high = len <= 8 ? 0 : json_load_part(key + 8, len - 8);
    }
    int found = names->slot[json_name_hash(names->multiplier, low, high)] - 1;
    if (found < 0 || names->names[found].low != low || names->names[found].high != high)
        return -1;
    return found;
}

#endif
