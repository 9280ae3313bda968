/* The compressor of batches: every frame decodes by the LZ4 library to what went in, whatever that
 * is; stays within its room; is small for events. The portable half gives the same bytes. */
#include <stdio.h>

#include "base/limits.h"
#include "log/batch.h"
#include "tests/test.h"
#include "writer/lz4_frame.h"

/* The same file without SSE2. */
#define LZ4_FRAME_PORTABLE
#define lz4_frame_begin portable_begin
#define lz4_frame_block portable_block
#define lz4_frame_end portable_end
void portable_begin(uint8_t *out);
size_t portable_block(const uint8_t *src, size_t len, uint8_t *out);
void portable_end(uint8_t *out);
#include "writer/lz4_frame.c"
#undef lz4_frame_begin
#undef lz4_frame_block
#undef lz4_frame_end

#define CANARY 0xa5

static uint64_t next_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/** Compresses into exactly its room, from a copy of exactly its size, twice. */
static size_t compress_checked(const char *text, size_t len, struct buf *frame)
{
    size_t room = LZ4_FRAME_BLOCK_ROOM(len);
    CLEANUP(xfree_ptr) uint8_t *src = xmalloc(len);
    CLEANUP(xfree_ptr) uint8_t *out = xmalloc(room + 1);
    CLEANUP(xfree_ptr) uint8_t *portable = xmalloc(room);
    memcpy(src, text, len);
    out[room] = CANARY;
    size_t n = lz4_frame_block(src, len, out);
    assert_int_equal(out[room], CANARY);
    assert_true(n <= len + 4);
    assert_int_equal(portable_block(src, len, portable), n);
    assert_memory_equal(out, portable, n);
    buf_append(frame, out, n);
    return n;
}

/** A frame of `text` in blocks of `step`; the bytes it takes. */
static size_t assert_round_trip(const char *text, size_t len, size_t step)
{
    CLEANUP(buf_release) struct buf frame = BUF_INIT;
    CLEANUP(buf_release) struct buf back = BUF_INIT;
    lz4_frame_begin((uint8_t *)buf_reserve(&frame, LZ4_FRAME_BEGIN_BYTES));
    frame.len = LZ4_FRAME_BEGIN_BYTES;
    for (size_t at = 0; at < len; at += step)
        compress_checked(text + at, MIN(step, len - at), &frame);
    lz4_frame_end((uint8_t *)buf_reserve(&frame, LZ4_FRAME_END_BYTES));
    frame.len += LZ4_FRAME_END_BYTES;
    assert_ok(batch_decompress(BATCH_CODEC_LZ4, frame.data, frame.len, len, &back));
    assert_int_equal(back.len, len);
    assert_memory_equal(back.data, text, len);
    return frame.len;
}

/** `len` bytes of events that share some of their fields. */
static void write_events(struct buf *b, size_t len, uint64_t *seed)
{
    static const char *const types[] = {"page.view", "order.created", "tx"};
    buf_clear(b);
    while (b->len < len) {
        uint64_t r = next_random(seed);
        buf_printf(b,
                   "{\"type\":\"%s\",\"ts\":\"2026-02-02T14:30:%02u.%03uZ\",\"user\":\"usr_%06u\"",
                   types[r % 3], (unsigned)(r >> 8) % 60, (unsigned)(r >> 16) % 1000,
                   (unsigned)(r >> 32) % 1000000);
        r = next_random(seed);
        if (r % 4 == 0)
            buf_printf(b, ",\"note\":\"%0*u\"", (int)(r >> 8) % 400 + 1, (unsigned)(r >> 32));
        if (r % 5 == 0)
            buf_printf(b, ",\"quotes\":\"\\\"\\\"%c\"", (int)(r >> 16) % 64 + ' ');
        buf_append_str(b, "}\n");
    }
    b->len = len;
}

static void write_random(char *out, size_t len, uint64_t *seed, unsigned alphabet)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (char)(alphabet == 256 ? next_random(seed) >> 20
                                        : '"' + (next_random(seed) >> 20) % alphabet);
}

/* ------------------------------------------------------------------------------------------- */

static void test_every_short_length(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf events = BUF_INIT;
    static char text[700];
    uint64_t seed = 7;
    for (size_t len = 1; len < sizeof(text); len++) {
        memset(text, 'a', len);
        assert_round_trip(text, len, len);
        memset(text, '"', len);
        assert_round_trip(text, len, len);
        write_random(text, len, &seed, 256);
        assert_round_trip(text, len, len);
        write_random(text, len, &seed, 2);
        assert_round_trip(text, len, len);
        write_events(&events, len, &seed);
        assert_round_trip(events.data, len, len);
    }
}

static void test_full_blocks(void **state)
{
    (void)state;
    static char text[3 * LZ4_FRAME_BLOCK_BYTES];
    static const unsigned alphabets[] = {1, 2, 3, 10, 60, 256};
    uint64_t seed = 11;
    for (size_t i = 0; i < ARRAY_LEN(alphabets); i++) {
        write_random(text, sizeof(text), &seed, alphabets[i]);
        for (size_t cut = 0; cut < 80; cut += 7)
            assert_round_trip(text, sizeof(text) - cut, LZ4_FRAME_BLOCK_BYTES);
    }
}

/** Texts made of pieces of themselves: matches of all lengths and distances, also into themselves.
 */
static void test_copies_of_itself(void **state)
{
    (void)state;
    static char text[LZ4_FRAME_BLOCK_BYTES];
    uint64_t seed = 13;
    for (unsigned round = 0; round < 300; round++) {
        size_t len = 1 + next_random(&seed) % sizeof(text), at = 0;
        while (at < len) {
            uint64_t r = next_random(&seed);
            size_t n = MIN(len - at, 1 + (r >> 8) % (r % 8 == 0 ? 3000 : 40));
            if (at == 0 || r % 3 == 0) {
                write_random(text + at, n, &seed, r % 2 == 0 ? 256 : 5);
            } else {
                size_t from = (r >> 32) % at;
                for (size_t i = 0; i < n; i++)
                    text[at + i] = text[from + i];
            }
            at += n;
        }
        assert_round_trip(text, len, sizeof(text));
    }
}

/** Events take less than 40 % of their bytes, also in small batches, and nothing but their bytes
 * where they are random. */
static void test_sizes(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf b = BUF_INIT;
    uint64_t seed = 17;
    write_events(&b, LZ4_FRAME_BLOCK_BYTES, &seed);
    assert_true(assert_round_trip(b.data, b.len, b.len) < b.len * 2 / 5);
    write_events(&b, 2000, &seed);
    assert_true(assert_round_trip(b.data, b.len, b.len) < b.len * 3 / 5);
    memset(b.data, '"', b.len);
    assert_true(assert_round_trip(b.data, b.len, b.len) < 60);
    write_random(b.data, b.len, &seed, 256);
    size_t frame = LZ4_FRAME_BEGIN_BYTES + 4 + LZ4_FRAME_END_BYTES;
    assert_int_equal(assert_round_trip(b.data, b.len, b.len), b.len + frame);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_short_length),
        cmocka_unit_test(test_full_blocks),
        cmocka_unit_test(test_copies_of_itself),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
