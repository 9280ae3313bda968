/* write_test.c: the writer's parts against the formats' own examples, and what it refuses. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
/* clang-format on */
#include "bloom.h"
#include "compress.h"
#include "encode.h"
#include "stats.h"
#include "thrift_write.h"

#define BYTES(...) ((const uint8_t[]){__VA_ARGS__}), sizeof((const uint8_t[]){__VA_ARGS__})

static void assert_bytes(const struct pq_buf *b, const uint8_t *wanted, size_t len)
{
    assert_false(b->failed);
    assert_int_equal(b->len, len);
    assert_memory_equal(b->data, wanted, len);
}

/* Encodings.md: the numbers 0 to 7 in three bits each are 88 c6 fa. */
static void hybrid_packs_as_in_the_specification(void **state)
{
    (void)state;
    uint32_t values[8];
    struct pq_buf out = {0};
    for (uint32_t i = 0; i < 8; i++)
        values[i] = i;
    pq_encode_hybrid(&out, values, 8, 3);
    assert_bytes(&out, BYTES(1 << 1 | 1, 0x88, 0xc6, 0xfa));
    pq_buf_release(&out);
}

static void hybrid_repeats_and_literals_borrow_from_a_run(void **state)
{
    (void)state;
    uint32_t values[103];
    struct pq_buf out = {0};
    for (size_t i = 0; i < 100; i++)
        values[i] = 300;
    pq_encode_hybrid(&out, values, 100, 9);
    assert_bytes(&out, BYTES(0xc8, 0x01, 0x2c, 0x01));
    /* 1 0 1, then 100 times 0: five of those fill the group. */
    out.len = 0;
    for (size_t i = 0; i < 103; i++)
        values[i] = i == 0 || i == 2;
    pq_encode_hybrid(&out, values, 103, 1);
    assert_bytes(&out, BYTES(3, 0x05, 0xbe, 0x01, 0x00));
    pq_buf_release(&out);
}

/* Encodings.md, example 2: 7 5 3 1 2 3 4 5, here in blocks of 128. */
static void delta_packs_as_in_the_specification(void **state)
{
    (void)state;
    static const int32_t values[] = {7, 5, 3, 1, 2, 3, 4, 5};
    struct pq_buf out = {0};
    pq_encode_delta(&out, (const uint8_t *)values, 8, 4);
    /* 128, 4 miniblocks, 8 values, first 7; least delta -2; widths 2 0 0 0; 0 0 0 3 3 3 3. */
    assert_bytes(&out, BYTES(0x80, 0x01, 4, 8, 14, 3, 2, 0, 0, 0, 0xc0, 0x3f, 0, 0, 0, 0, 0, 0));
    pq_buf_release(&out);
}

static void delta_of_extremes_keeps_its_width(void **state)
{
    (void)state;
    static const int64_t values[] = {INT64_MIN, INT64_MAX, INT64_MIN};
    struct pq_buf out = {0};
    pq_encode_delta(&out, (const uint8_t *)values, 3, 8);
    /* Differences modulo 2^64: -1 and 1; 2 above the least takes two bits. */
    size_t start = out.len - 4 - 8;
    assert_int_equal(out.data[start - 1], 1); /* zigzag(-1) */
    assert_int_equal(out.data[start], 2);
    assert_int_equal(out.data[start + 4], 2 << 2);
    pq_buf_release(&out);
}

static void thrift_fields_are_short_or_long(void **state)
{
    (void)state;
    struct pq_buf out = {0};
    struct thrift_put t = {.out = &out};
    pq_thrift_put_i32(&t, 1, -1);
    pq_thrift_put_bool(&t, 2, true);
    pq_thrift_put_i64(&t, 20, 300);
    pq_thrift_put_struct(&t, 21);
    pq_thrift_put_text(&t, 1, "ab");
    pq_thrift_put_end(&t);
    pq_thrift_put_list(&t, 22, THRIFT_I32, 15);
    assert_bytes(&out,
                 BYTES(0x15, 1, 0x11, 6, 40, 0xd8, 4, 0x1c, 0x18, 2, 'a', 'b', 0, 0x19, 0xf5, 15));
    pq_buf_release(&out);
}

static void bounds_of(const char *text, bool is_text, struct stats_bound *max)
{
    struct stats s = {0};
    struct stats_bound min;
    pq_stats_add_bytes(&s, (const uint8_t *)text, (uint32_t)strlen(text));
    pq_stats_bounds(&s, PQ_BYTE_ARRAY, is_text, &min, max);
    assert_true(min.there);
    assert_true(memcmp(min.bytes, text, min.len) == 0);
}

/* A greatest value of more than 64 bytes is raised in its last place that can be. */
static void greatest_values_are_raised(void **state)
{
    (void)state;
    static const struct {
        const char *prefix, *unit; /* prefix, then 70 units */
        bool text;
        const char *wanted_end; /* NULL: none is above */
        size_t wanted_len;
    } cases[] = {
        {"", "a", true, "ab", 64},
        {"", "\x7f", true, "\x7f\xc2\x80", 64},          /* U+0080 is longer: one letter less */
        {"a", "\xc3\xbf", true, "\xc3\xbf\xc4\x80", 63}, /* 1 + 31 letters: U+0100 */
        {"", "\xed\x9f\xbf", true, "\xee\x80\x80", 63},  /* over the surrogates */
        {"b", "\xf4\x8f\xbf\xbf", true, "c", 1},         /* U+10FFFF is the last */
        {"", "\xf4\x8f\xbf\xbf", true, NULL, 0},
        {"x", "\xff", false, "y", 1},
        {"", "\xff", false, NULL, 0},
        {"", "\xff", true, NULL, 0}, /* no UTF-8 */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[512];
        size_t len = strlen(cases[i].prefix), unit = strlen(cases[i].unit);
        memcpy(text, cases[i].prefix, len);
        for (int k = 0; k < 70; k++, len += unit)
            memcpy(text + len, cases[i].unit, unit);
        text[len] = '\0';
        struct stats_bound max;
        bounds_of(text, cases[i].text, &max);
        if (cases[i].wanted_end == NULL) {
            assert_false(max.there);
            continue;
        }
        size_t end = strlen(cases[i].wanted_end);
        assert_true(max.there);
        assert_false(max.exact);
        assert_int_equal(max.len, cases[i].wanted_len);
        assert_memory_equal(max.bytes + max.len - end, cases[i].wanted_end, end);
    }
}

static void equal_beginnings_are_told_apart_by_length(void **state)
{
    (void)state;
    uint8_t data[70];
    struct stats s = {0};
    struct stats_bound min, max;
    memset(data, 'k', sizeof(data));
    pq_stats_add_bytes(&s, data, 65);
    pq_stats_add_bytes(&s, data, 64);
    pq_stats_add_bytes(&s, data, 70);
    pq_stats_bounds(&s, PQ_BYTE_ARRAY, false, &min, &max);
    assert_true(min.exact && min.len == 64);
    assert_false(max.exact);
    assert_int_equal(max.bytes[63], 'l');
}

static void doubles_leave_out_nan_and_widen_zero(void **state)
{
    (void)state;
    struct stats s = {0};
    struct stats_bound min, max;
    pq_stats_add_double(&s, __builtin_nan(""));
    assert_false(s.any);
    pq_stats_add_double(&s, 0.0);
    pq_stats_bounds(&s, PQ_DOUBLE, false, &min, &max);
    assert_int_equal(min.bytes[7], 0x80);
    assert_int_equal(max.bytes[7], 0);
}

static void codecs_round_trip_and_refuse_other_sizes(void **state)
{
    (void)state;
    uint8_t data[5000], back[5001];
    struct pq_error err;
    struct pq_codecs codecs = {0};
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * i >> 3);
    for (enum pq_codec codec = PQ_NONE; codec <= PQ_LZ4_RAW; codec++)
        for (size_t len = 0; len <= sizeof(data); len += 1250) {
            struct pq_buf out = {0};
            int level = codec == PQ_GZIP ? 6 : 1;
            assert_int_equal(pq_compress(&codecs, codec, level, data, len, &out, &err), 0);
            assert_int_equal(pq_decompress(&codecs, codec, out.data, out.len, back, len, &err), 0);
            assert_memory_equal(back, data, len);
            assert_int_equal(pq_decompress(&codecs, codec, out.data, out.len, back, len + 1, &err),
                             PQ_CORRUPT);
            if (len > 0)
                assert_int_equal(
                    pq_decompress(&codecs, codec, out.data, out.len, back, len - 1, &err),
                    PQ_CORRUPT);
            pq_buf_release(&out);
        }
    pq_codecs_release(&codecs);
}

static void bloom_filters_hold_what_went_in(void **state)
{
    (void)state;
    uint32_t bytes = pq_bloom_bytes(1000, 1u << 20);
    uint8_t *bits = calloc(1, bytes);
    unsigned wrong = 0;
    assert_int_equal(bytes, 2048);
    for (int64_t i = 0; i < 1000; i++)
        pq_bloom_insert(bits, bytes, pq_bloom_hash(PQ_INT64, &(struct pq_value){.i64 = i}));
    for (int64_t i = 0; i < 1000; i++)
        assert_true(
            pq_bloom_check(bits, bytes, pq_bloom_hash(PQ_INT64, &(struct pq_value){.i64 = i})));
    for (int64_t i = 1000; i < 11000; i++)
        wrong += pq_bloom_check(bits, bytes, pq_bloom_hash(PQ_INT64, &(struct pq_value){.i64 = i}));
    assert_true(wrong < 150);
    free(bits);
}

/* The writer's own rules ---------------------------------------------------------------------- */

struct sink {
    size_t bytes;
    int calls_left;
};

static int count_bytes(void *arg, const void *data, size_t len)
{
    struct sink *s = arg;
    (void)data;
    s->bytes += len;
    return s->calls_left-- > 0 ? 0 : -1;
}

static void bad_schemas_and_options_are_refused(void **state)
{
    (void)state;
    static const struct pq_column good = {.name = "a", .type = PQ_INT64};
    static const uint16_t second = 1;
    static const struct {
        struct pq_column column;
        struct pq_write_options options;
        const char *says;
    } cases[] = {
        {{.name = ""}, {.codec = PQ_NONE}, "has no name"},
        {{.name = "a", .type = PQ_INT64, .logical = PQ_JSON}, {.codec = PQ_NONE}, "logical type"},
        {{.name = "a", .type = PQ_BYTE_ARRAY, .encoding = PQ_DELTA_BINARY},
         {.codec = PQ_NONE},
         "encoding"},
        {{.name = "a", .type = PQ_BOOLEAN, .encoding = PQ_DICTIONARY},
         {.codec = PQ_NONE},
         "encoding"},
        {{.name = "a", .type = PQ_INT64}, {.codec = PQ_ZSTD, .level = 23}, "level 23"},
        {{.name = "a", .type = PQ_INT64},
         {.sorting = &second, .sorting_count = 1},
         "column 1 of 1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct pq_write_options options = cases[i].options;
        struct pq_writer *w = NULL;
        struct pq_error err;
        options.write = count_bytes;
        assert_int_equal(pq_writer_new(&cases[i].column, 1, &options, &w, &err), PQ_USAGE);
        assert_non_null(strstr(err.text, cases[i].says));
        assert_null(w);
    }
    const struct pq_column twice[] = {good, good};
    struct pq_write_options options = {.write = count_bytes};
    struct pq_writer *w = NULL;
    assert_int_equal(pq_writer_new(twice, 2, &options, &w, NULL), PQ_USAGE);
    assert_int_equal(pq_writer_new(twice, 0, &options, &w, NULL), PQ_USAGE);
}

static void a_refused_row_leaves_the_file_as_it_was(void **state)
{
    (void)state;
    static const struct pq_column columns[] = {{.name = "a", .type = PQ_INT64},
                                               {.name = "b", .type = PQ_FIXED_16}};
    struct sink sink = {.calls_left = 1000};
    struct pq_write_options options = {.write = count_bytes, .arg = &sink};
    struct pq_writer *w = NULL;
    struct pq_error err;
    struct pq_written written;
    uint8_t sixteen[16] = {0};
    assert_int_equal(pq_writer_new(columns, 2, &options, &w, &err), 0);
    struct pq_value row[] = {{.i64 = 1}, {.bytes = {sixteen, 16}}};
    assert_int_equal(pq_writer_row(w, row, &err), 0);
    row[1].bytes.len = 15;
    assert_int_equal(pq_writer_row(w, row, &err), PQ_USAGE);
    assert_non_null(strstr(err.text, "15 bytes in column b"));
    row[1] = (struct pq_value){.null = true};
    assert_int_equal(pq_writer_row(w, row, &err), PQ_USAGE);
    assert_int_equal(pq_writer_finish(w, &written, &err), 0);
    assert_int_equal(written.rows, 1);
    assert_int_equal(written.bytes, sink.bytes);
    assert_int_equal(pq_writer_row(w, row, &err), PQ_USAGE);
    assert_int_equal(pq_writer_finish(w, &written, &err), PQ_USAGE);
    pq_writer_free(w);
}

/** Writes a small file; the status of the first call that fails. */
static int write_file(struct sink *sink)
{
    static const struct pq_column columns[] = {
        {.name = "a", .type = PQ_INT64, .bloom = true},
        {.name = "b", .type = PQ_BYTE_ARRAY, .logical = PQ_STRING, .optional = true}};
    struct pq_write_options options = {
        .write = count_bytes, .arg = sink, .codec = PQ_ZSTD, .row_group_rows = 100};
    struct pq_writer *w = NULL;
    int rc = pq_writer_new(columns, 2, &options, &w, NULL);
    for (int64_t i = 0; i < 350 && rc == 0; i++) {
        struct pq_value row[] = {{.i64 = i},
                                 {.bytes = {(const uint8_t *)"value", (uint32_t)(i % 6)}}};
        rc = pq_writer_row(w, row, NULL);
    }
    int end = w != NULL ? pq_writer_finish(w, NULL, NULL) : rc;
    /* A failure stays: what was written is no file. */
    assert_int_equal(end, rc == 0 ? end : rc);
    pq_writer_free(w);
    return end;
}

static void a_failed_write_fails_the_file_wherever_it_strikes(void **state)
{
    (void)state;
    int failures = 0;
    for (int calls = 0;; calls++) {
        struct sink sink = {.calls_left = calls};
        int rc = write_file(&sink);
        if (rc == PQ_OK)
            break;
        assert_int_equal(rc, PQ_IO);
        assert_true(++failures < 100);
    }
    assert_true(failures >= 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hybrid_packs_as_in_the_specification),
        cmocka_unit_test(hybrid_repeats_and_literals_borrow_from_a_run),
        cmocka_unit_test(delta_packs_as_in_the_specification),
        cmocka_unit_test(delta_of_extremes_keeps_its_width),
        cmocka_unit_test(thrift_fields_are_short_or_long),
        cmocka_unit_test(greatest_values_are_raised),
        cmocka_unit_test(equal_beginnings_are_told_apart_by_length),
        cmocka_unit_test(doubles_leave_out_nan_and_widen_zero),
        cmocka_unit_test(codecs_round_trip_and_refuse_other_sizes),
        cmocka_unit_test(bloom_filters_hold_what_went_in),
        cmocka_unit_test(bad_schemas_and_options_are_refused),
        cmocka_unit_test(a_refused_row_leaves_the_file_as_it_was),
        cmocka_unit_test(a_failed_write_fails_the_file_wherever_it_strikes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
