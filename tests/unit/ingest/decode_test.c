/* Compressed bodies: several members, bad data, bombs, and that cutting them changes nothing. */
#include "tests/test.h"

#include <zlib.h>
#include <zstd.h>

#include "base/buf.h"
#include "ingest/decode.h"

static char window[DECODER_WINDOW_BYTES];

struct collector {
    struct decoder_sink sink;
    struct buf out;
    size_t len_max;
};

static err_t take(struct decoder_sink *sink, const char *data, size_t len)
{
    struct collector *c = CONTAINER_OF(sink, struct collector, sink);
    assert_in_range(len, 1, DECODER_WINDOW_BYTES);
    buf_append(&c->out, data, len);
    return c->out.len > c->len_max ? ERR_PAYLOAD_TOO_LARGE : OK;
}

static err_t decode(enum body_coding coding, struct slice in, size_t piece, struct collector *c)
{
    *c = (struct collector){.sink = {take}, .len_max = MIB(1)};
    struct decoder *d = decoder_new(coding);
    err_t err = OK;
    for (size_t at = 0; err == OK && at < in.len; at += piece)
        err = decoder_feed(d, in.data + at, MIN(piece, in.len - at), window, &c->sink);
    if (err == OK)
        err = decoder_end(d);
    decoder_free(d);
    return err;
}

static void pack_zlib(struct buf *out, struct slice text, int bits)
{
    z_stream z = {0};
    struct buf copy = BUF_INIT;
    buf_append_slice(&copy, text);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&z, text.len);
    z.next_in = (Bytef *)copy.data;
    z.avail_in = (uInt)text.len;
    z.next_out = (Bytef *)buf_reserve(out, room);
    z.avail_out = (uInt)room;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
    buf_release(&copy);
}

static void pack(struct buf *out, struct slice text, enum body_coding coding)
{
    if (coding != CODING_ZSTD) {
        pack_zlib(out, text, coding == CODING_GZIP ? MAX_WBITS + 16 : MAX_WBITS);
        return;
    }
    size_t room = ZSTD_compressBound(text.len);
    size_t n = ZSTD_compress(buf_reserve(out, room), room, text.data, text.len, 3);
    assert_false(ZSTD_isError(n));
    out->len += n;
}

static struct buf sample(size_t len)
{
    struct buf b = BUF_INIT;
    for (uint32_t x = 1; b.len < len; x = x * 1103515245 + 12345)
        buf_append_char(&b, (char)('a' + (x >> 16) % 20));
    return b;
}

static const enum body_coding codings[] = {CODING_GZIP, CODING_DEFLATE, CODING_ZSTD};

static void bodies_come_back_however_they_are_cut(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,     1, 1000, DECODER_WINDOW_BYTES, DECODER_WINDOW_BYTES + 1,
                                   300000};
    static const size_t pieces[] = {1, 13, 4096, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(codings) * ARRAY_LEN(sizes) * ARRAY_LEN(pieces); i++) {
        enum body_coding coding = codings[i % ARRAY_LEN(codings)];
        struct buf text = sample(sizes[i / ARRAY_LEN(codings) % ARRAY_LEN(sizes)]);
        size_t piece = pieces[i / ARRAY_LEN(codings) / ARRAY_LEN(sizes)];
        struct buf packed = BUF_INIT;
        struct collector c;
        pack(&packed, buf_slice(&text), coding);
        assert_ok(decode(coding, buf_slice(&packed), piece, &c));
        assert_true(slice_equal(buf_slice(&c.out), buf_slice(&text)));
        buf_release(&c.out);
        buf_release(&packed);
        buf_release(&text);
    }
}

static void members_behind_each_other_are_one_body(void **state)
{
    (void)state;
    static const enum body_coding several[] = {CODING_GZIP, CODING_ZSTD};
    for (size_t i = 0; i < ARRAY_LEN(several); i++) {
        struct buf packed = BUF_INIT;
        pack(&packed, SLICE("first,"), several[i]);
        pack(&packed, SLICE("second"), several[i]);
        for (size_t piece = 1; piece <= packed.len; piece++) {
            struct collector c;
            assert_ok(decode(several[i], buf_slice(&packed), piece, &c));
            assert_true(slice_equal(buf_slice(&c.out), SLICE("first,second")));
            buf_release(&c.out);
        }
        buf_release(&packed);
    }
}

static void data_that_is_cut_or_changed_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
        struct buf text = sample(500), packed = BUF_INIT;
        struct collector c;
        pack(&packed, buf_slice(&text), codings[i]);
        for (size_t len = 0; len < packed.len; len++) {
            assert_int_equal(decode(codings[i], (struct slice){packed.data, len}, 64, &c),
                             ERR_VALIDATION);
            buf_release(&c.out);
        }
        packed.data[0] ^= 1;
        assert_int_equal(decode(codings[i], buf_slice(&packed), 64, &c), ERR_VALIDATION);
        buf_release(&c.out);
        packed.data[0] ^= 1;
        buf_append_str(&packed, "trailing");
        assert_int_equal(decode(codings[i], buf_slice(&packed), 64, &c), ERR_VALIDATION);
        buf_release(&c.out);
        buf_release(&packed);
        buf_release(&text);
    }
}

static void a_bomb_stops_at_the_limit(void **state)
{
    (void)state;
    struct buf zeros = BUF_INIT;
    memset(buf_reserve(&zeros, MIB(64)), ' ', MIB(64));
    zeros.len = MIB(64);
    for (size_t i = 0; i < ARRAY_LEN(codings); i++) {
        struct buf packed = BUF_INIT;
        struct collector c;
        pack(&packed, buf_slice(&zeros), codings[i]);
        assert_int_equal(decode(codings[i], buf_slice(&packed), KIB(64), &c),
                         ERR_PAYLOAD_TOO_LARGE);
        assert_in_range(c.out.len, MIB(1), MIB(1) + DECODER_WINDOW_BYTES);
        buf_release(&c.out);
        buf_release(&packed);
    }
    buf_release(&zeros);
}

static void a_zstd_frame_may_not_ask_for_a_large_window(void **state)
{
    (void)state;
    /* Magic, a frame header without single segment, window descriptor of 128 MiB, an empty block.
     */
    static const char frame[] = "\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00";
    struct collector c;
    assert_int_equal(decode(CODING_ZSTD, (struct slice){frame, 9}, 9, &c), ERR_VALIDATION);
    buf_release(&c.out);
}

static void names_of_codings(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        err_t err;
        enum body_coding coding;
    } cases[] = {
        {"gzip", OK, CODING_GZIP},
        {"GZip", OK, CODING_GZIP},
        {"x-gzip", OK, CODING_GZIP},
        {"zstd", OK, CODING_ZSTD},
        {"deflate", OK, CODING_DEFLATE},
        {"identity", OK, CODING_IDENTITY},
        {"", OK, CODING_IDENTITY},
        {"br", ERR_UNSUPPORTED_MEDIA_TYPE, 0},
        {"gzip, gzip", ERR_UNSUPPORTED_MEDIA_TYPE, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum body_coding coding = CODING_IDENTITY;
        assert_int_equal(body_coding_parse(slice_of(cases[i].header), &coding), cases[i].err);
        if (cases[i].err == OK)
            assert_int_equal(coding, cases[i].coding);
    }
    enum body_coding coding = CODING_GZIP;
    assert_ok(body_coding_parse((struct slice){NULL, 0}, &coding));
    assert_int_equal(coding, CODING_IDENTITY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_come_back_however_they_are_cut),
        cmocka_unit_test(members_behind_each_other_are_one_body),
        cmocka_unit_test(data_that_is_cut_or_changed_is_refused),
        cmocka_unit_test(a_bomb_stops_at_the_limit),
        cmocka_unit_test(a_zstd_frame_may_not_ask_for_a_large_window),
        cmocka_unit_test(names_of_codings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
