/*
 * writer/lz4_frame.c: an LZ4 compressor for events.
 *
 * Format: lz4_Frame_format.md and lz4_Block_format.md of LZ4. A block is a list of sequences:
 * literals, then a match, that is a distance back and how many bytes (at least 4) are the same
 * there. Which matches are taken only decides about the size.
 *
 * The library's fast compressor searches every match by a hash of its first bytes, at a distance
 * that nothing foretells; on events it spends more than a third of its time on branches that were
 * predicted wrongly. But events repeat the names of their fields in the same order. Where a value
 * differs from the one that is being copied, the next match begins at the next quote of both texts.
 * This guess holds for four matches of five; the search by hash is for the rest. Against the
 * library at acceleration 4: 0.6 of the time, 1 to 3 % more bytes (bench/results.md).
 */
#include "writer/lz4_frame.h"

#include <string.h>
#if defined(__SSE2__) && !defined(LZ4_FRAME_PORTABLE) /* the test compares both */
#define QUOTES_SSE2
#include <emmintrin.h>
#endif

#define HASH_BITS 13
#define MATCH_MIN 4
#define GUESS_MIN 5     /* four bytes would save one, and hide what a search finds */
#define VALUE_MIN 8     /* a shorter rest of a value is not looked up … */
#define VALUE_MAX 24    /* … and a longer one is searched */
#define QUOTE_WINDOW 57 /* bits that an unaligned load of 64 has in any case */
#define SEARCH_STEP 4   /* bytes between look-ups, and one more for each 64 in vain */
#define TAIL_BYTES 24   /* no match begins in them; the format wants 12, the loads below 24 */
#define TAIL_LITERALS 8 /* no match reaches into them; the format wants 5 */
#define NIBBLE_MAX 15   /* half a token: a length from here on goes on behind it */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first byte is the lowest");

#define INLINE static inline __attribute__((always_inline))

/* What is known of the block behind the place where the encoder is. */
struct block {
    const uint8_t *src;
    size_t limit;                                    /* no match begins here or behind */
    const uint8_t *match_end;                        /* no match reaches behind */
    uint64_t quotes[LZ4_FRAME_BLOCK_BYTES / 64 + 2]; /* bit i: byte i is a quote */
    uint16_t recent[1 << HASH_BITS]; /* by the hash of five bytes: where they were last */
};

struct match {
    size_t start; /* in the block */
    size_t from;  /* the same bytes before */
    size_t len;
};

INLINE uint32_t load32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof(v));
    return v;
}

INLINE uint64_t load64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof(v));
    return v;
}

INLINE size_t hash_five(const uint8_t *at)
{
    return (size_t)(((load64(at) << 24) * UINT64_C(889523592379)) >> (64 - HASH_BITS));
}

/* Quotes -------------------------------------------------------------------------------------- */

#ifdef QUOTES_SSE2
INLINE uint64_t quotes_of(const uint8_t *at)
{
    const __m128i quote = _mm_set1_epi8('"');
    uint64_t bits = 0;
    for (unsigned i = 0; i < 4; i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(at + 16 * i));
        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, quote)) << (16 * i);
    }
    return bits;
}
#else
INLINE uint64_t quotes_of(const uint8_t *at)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    uint64_t bits = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t v = load64(at + 8 * i) ^ ones * '"';
        uint64_t others = (((v & ones * 0x7f) + ones * 0x7f) | v) & ones * 0x80;
        /* The product moves the lowest bit of byte k to bit 56 + k. */
        bits |= ((others >> 7 ^ ones) * UINT64_C(0x0102040810204080)) >> 56 << (8 * i);
    }
    return bits;
}
#endif

static void find_quotes(struct block *b, size_t len)
{
    size_t words = len / 64;
    for (size_t i = 0; i < words; i++)
        b->quotes[i] = quotes_of(b->src + 64 * i);
    b->quotes[words] = b->quotes[words + 1] = 0; /* in the last bytes nothing is guessed */
}

/* The first quote at or behind `at`, or at + QUOTE_WINDOW. */
INLINE size_t next_quote(const struct block *b, size_t at)
{
    uint64_t bits = load64((const uint8_t *)b->quotes + at / 8) >> (at % 8);
    return at + (likely(bits != 0) ? (size_t)__builtin_ctzll(bits) : QUOTE_WINDOW);
}

/* Matches ------------------------------------------------------------------------------------- */

INLINE size_t match_length(const struct block *b, size_t start, size_t from)
{
    const uint8_t *begin = b->src + start, *at = begin, *before = b->src + from;
    while (at < b->match_end) {
        uint64_t differ = load64(at) ^ load64(before);
        if (differ != 0) {
            at += (size_t)__builtin_ctzll(differ) / 8;
            break;
        }
        at += 8;
        before += 8;
    }
    return (size_t)(MIN(at, b->match_end) - begin);
}

/* Only places before the next one to be looked up: a match with itself would have no distance. */
INLINE void remember(struct block *b, size_t at)
{
    b->recent[hash_five(b->src + at)] = (uint16_t)at;
}

/* Where the bytes at `at` may have been before, to be compared; `at` takes its place. */
INLINE size_t exchange_recent(struct block *b, size_t at)
{
    uint16_t *slot = &b->recent[hash_five(b->src + at)];
    size_t before = *slot;
    *slot = (uint16_t)at;
    return before;
}

/* The match behind the one that ended at `at` and, before, at `from`: what is left of a value, seen
 * elsewhere, or the text from the next quote on. */
INLINE bool guess(struct block *b, size_t at, size_t from, struct match *ret)
{
    size_t quote = next_quote(b, at);
    size_t quote_before = next_quote(b, from);
    size_t before = exchange_recent(b, at);
    if (quote - at >= VALUE_MIN && load32(b->src + before) == load32(b->src + at)) {
        *ret = (struct match){at, before, match_length(b, at, before)};
        return true;
    }
    if (quote_before >= quote || quote - at > VALUE_MAX || quote >= b->limit)
        return false;
    *ret = (struct match){quote, quote_before, match_length(b, quote, quote_before)};
    return likely(ret->len >= GUESS_MIN);
}

/* The next match that the hashes of every few bytes behind `at` tell of. */
INLINE bool search(struct block *b, size_t at, struct match *ret)
{
    size_t tried = 64 * SEARCH_STEP;
    for (at++; at < b->limit; at += tried++ / 64) {
        size_t before = exchange_recent(b, at);
        if (load32(b->src + before) == load32(b->src + at)) {
            *ret = (struct match){at, before, match_length(b, at, before)};
            return true;
        }
    }
    return false;
}

/* The bytes just before that are the same too, up to eight and not before `anchor`. */
INLINE size_t match_before(const struct block *b, const struct match *m, size_t anchor)
{
    if (unlikely(m->from < 8))
        return 0;
    uint64_t differ = load64(b->src + m->start - 8) ^ load64(b->src + m->from - 8);
    size_t same = differ == 0 ? 8 : (size_t)__builtin_clzll(differ) / 8;
    return MIN(same, m->start - anchor);
}

/* Writing ------------------------------------------------------------------------------------- */

/* The rest of a length of which a token holds 15. */
INLINE uint8_t *put_length(uint8_t *out, size_t rest)
{
    for (; rest >= 255; rest -= 255)
        *out++ = 255;
    *out++ = (uint8_t)rest;
    return out;
}

/* A token and its literals; may write 16 bytes more than it returns, and reads as far behind
 * `literals`. */
INLINE uint8_t *put_literals(uint8_t *out, const uint8_t *literals, size_t len, size_t match_nibble)
{
    if (likely(len < NIBBLE_MAX)) {
        *out++ = (uint8_t)(len << 4 | match_nibble);
        memcpy(out, literals, 16);
        return out + len;
    }
    *out++ = (uint8_t)(NIBBLE_MAX << 4 | match_nibble);
    out = put_length(out, len - NIBBLE_MAX);
    for (size_t i = 0; i < len; i += 16)
        memcpy(out + i, literals + i, 16);
    return out + len;
}

INLINE uint8_t *put_sequence(uint8_t *out, const struct block *b, size_t anchor,
                             const struct match *m)
{
    size_t more = match_before(b, m, anchor);
    size_t distance = m->start - m->from;
    size_t length = m->len + more - MATCH_MIN;
    out = put_literals(out, b->src + anchor, m->start - more - anchor, MIN(length, NIBBLE_MAX));
    out[0] = (uint8_t)distance;
    out[1] = (uint8_t)(distance >> 8);
    out += 2;
    if (unlikely(length >= NIBBLE_MAX + 255))
        return put_length(out, length - NIBBLE_MAX);
    *out = (uint8_t)(length - NIBBLE_MAX); /* counts only if it is not short: no branch */
    return out + (length >= NIBBLE_MAX);
}

static uint8_t *put_last_literals(uint8_t *out, const uint8_t *literals, size_t len)
{
    *out++ = (uint8_t)(MIN(len, NIBBLE_MAX) << 4);
    if (len >= NIBBLE_MAX)
        out = put_length(out, len - NIBBLE_MAX);
    memcpy(out, literals, len);
    return out + len;
}

static uint8_t *compress(const uint8_t *src, size_t len, uint8_t *out)
{
    struct block b;
    struct match m;
    size_t anchor = 0;
    if (len <= TAIL_BYTES)
        return put_last_literals(out, src, len);
    b.src = src;
    b.limit = len - TAIL_BYTES;
    b.match_end = src + len - TAIL_LITERALS;
    memset(b.recent, 0, sizeof(b.recent));
    find_quotes(&b, len);
    for (size_t at = 1, from = 0; at < b.limit;) {
        if (!guess(&b, at, from, &m) && !search(&b, at, &m))
            break;
        remember(&b, m.start + 2);
        at = m.start + m.len;
        from = m.from + m.len;
        out = put_sequence(out, &b, anchor, &m);
        anchor = at;
    }
    return put_last_literals(out, src + anchor, len - anchor);
}

/* Frames -------------------------------------------------------------------------------------- */

void lz4_frame_begin(uint8_t *out)
{
    /* Magic; version 1, blocks independent; blocks of 64 KiB; the second byte of the XXH32 of the
     * two before. */
    static const uint8_t begin[LZ4_FRAME_BEGIN_BYTES] = {0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82};
    memcpy(out, begin, sizeof(begin));
}

size_t lz4_frame_block(const uint8_t *src, size_t len, uint8_t *out)
{
    ASSERT(len > 0 && len <= LZ4_FRAME_BLOCK_BYTES);
    size_t packed = (size_t)(compress(src, len, out + 4) - (out + 4));
    uint32_t head = (uint32_t)packed;
    if (packed >= len) {
        memcpy(out + 4, src, len);
        packed = len;
        head = (uint32_t)len | UINT32_C(0x80000000); /* "uncompressed" */
    }
    memcpy(out, &head, sizeof(head));
    return packed + 4;
}

void lz4_frame_end(uint8_t *out)
{
    memset(out, 0, LZ4_FRAME_END_BYTES);
}
