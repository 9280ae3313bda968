/* The reader's parts on bytes made by hand: what the specification gives as examples, and what a
 * hostile file would hold. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include "decode.h"
#include "read_meta.h"
#include "thrift_read.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* A copy of exactly that many bytes, so that ASan sees a read beyond. */
static uint8_t *exact(const void *data, size_t len)
{
    uint8_t *copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

/* Thrift -------------------------------------------------------------------------------------- */

static void thrift_reads_fields_by_delta_and_by_number(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {
        0x15, 0x54,                /* 1: i32 42 */
        0x21,                      /* 3: bool true */
        0x18, 3,    'a', 'b', 'c', /* 4: binary */
        0x06, 0xc8, 1,   1,        /* 100, in full: i64 -1 */
        0,
    };
    uint8_t *data = exact(bytes, sizeof(bytes));
    struct thrift t;
    struct thrift_field f = {0};
    pq_thrift_init(&t, data, sizeof(bytes));
    assert_true(pq_thrift_next(&t, &f) && f.id == 1);
    assert_int_equal(pq_thrift_i32(&t, &f), 42);
    assert_true(pq_thrift_next(&t, &f) && f.id == 3 && pq_thrift_bool(&t, &f));
    assert_true(pq_thrift_next(&t, &f) && f.id == 4);
    struct pq_bytes b = pq_thrift_binary(&t, &f);
    assert_true(b.len == 3 && memcmp(b.data, "abc", 3) == 0);
    assert_true(pq_thrift_next(&t, &f) && f.id == 100);
    assert_int_equal(pq_thrift_i64(&t, &f), -1);
    assert_false(pq_thrift_next(&t, &f));
    assert_false(t.failed);
    free(data);
}

static void thrift_fails_on_every_cut_and_says_that_more_might_help(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x15, 0x54, 0x18, 3,   'a', 'b', 'c',
                                    0x19, 0x28, 1,    'x', 1,   'y', 0};
    for (size_t len = 0; len <= sizeof(bytes); len++) {
        uint8_t *data = exact(bytes, len);
        struct thrift t;
        struct thrift_field f = {0};
        pq_thrift_init(&t, data, len);
        while (pq_thrift_next(&t, &f))
            pq_thrift_skip(&t, &f);
        assert_int_equal(t.failed, len < sizeof(bytes));
        assert_int_equal(t.short_input, len < sizeof(bytes));
        free(data);
    }
}

static void thrift_refuses_what_would_cost_too_much(void **state)
{
    (void)state;
    uint8_t nested[200];
    memset(nested, 0x1c, sizeof(nested)); /* a struct in a struct in a struct … */
    static const uint8_t long_list[] = {0x19, 0xfc, 0xff, 0xff, 0xff, 0x7f, 0};
    static const uint8_t long_binary[] = {0x18, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0};
    static const uint8_t long_varint[] = {0x16, 0xff, 0xff, 0xff, 0xff, 0xff,
                                          0xff, 0xff, 0xff, 0xff, 0x7f, 0};
    static const uint8_t long_map[] = {0x1b, 0xff, 0xff, 0xff, 0x7f, 0xcc, 0};
    static const uint8_t no_type[] = {0x1e, 0, 0};
    static const uint8_t stop_inside[] = {0x10, 0};
    const struct pq_bytes cases[] = {
        {nested, sizeof(nested)},           {long_list, sizeof(long_list)},
        {long_binary, sizeof(long_binary)}, {long_varint, sizeof(long_varint)},
        {long_map, sizeof(long_map)},       {no_type, sizeof(no_type)},
        {stop_inside, sizeof(stop_inside)},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t *data = exact(cases[i].data, cases[i].len);
        struct thrift t;
        struct thrift_field f = {0};
        pq_thrift_init(&t, data, cases[i].len);
        while (pq_thrift_next(&t, &f))
            pq_thrift_skip(&t, &f);
        assert_true(t.failed);
        free(data);
    }
}

/* Hybrid -------------------------------------------------------------------------------------- */

static void hybrid_reads_the_example_of_the_specification(void **state)
{
    (void)state;
    /* 0 to 7 bit-packed, then 300 times 5. */
    static const uint8_t bytes[] = {0x03, 0x88, 0xc6, 0xfa, 0xd8, 0x04, 5};
    uint8_t *data = exact(bytes, sizeof(bytes));
    struct hybrid h;
    uint32_t out[308];
    pq_hybrid_init(&h, data, sizeof(bytes), 3);
    assert_true(pq_hybrid_read(&h, out, 3) && pq_hybrid_read(&h, out + 3, 305));
    for (uint32_t i = 0; i < 308; i++)
        assert_int_equal(out[i], i < 8 ? i : 5);
    assert_false(pq_hybrid_read(&h, out, 1));
    free(data);
}

static void hybrid_reads_every_width_and_the_cut_last_group(void **state)
{
    (void)state;
    for (unsigned width = 0; width <= 32; width++) {
        uint8_t bytes[1 + 64 * 4] = {64 / 8 << 1 | 1};
        for (uint64_t bit = 0; bit < 64 * (uint64_t)width; bit++)
            if ((bit / width + bit % width) % 3 == 0)
                bytes[1 + bit / 8] |= (uint8_t)(1u << bit % 8);
        size_t cut = (60 * width + 7) / 8; /* of 64 values 60 are there */
        uint8_t *data = exact(bytes, 1 + cut);
        struct hybrid h;
        uint32_t out[64];
        pq_hybrid_init(&h, data, 1 + cut, width);
        assert_true(pq_hybrid_read(&h, out, 60));
        for (uint64_t i = 0; i < 60; i++)
            for (unsigned bit = 0; bit < width; bit++)
                assert_int_equal(out[i] >> bit & 1, (i + bit) % 3 == 0);
        if (width > 2)
            assert_false(pq_hybrid_read(&h, out, 4));
        free(data);
    }
}

static void hybrid_refuses_runs_that_are_not_there(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[8];
        size_t len;
        unsigned width;
    } cases[] = {
        {{0}, 0, 1},                                  /* nothing */
        {{0x02}, 1, 1},                               /* a run without its value */
        {{0x02, 0x04}, 2, 2},                         /* a value wider than the width */
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, 6, 1}, /* a count beyond 32 bits */
        {{0x80, 0x80}, 2, 1},                         /* half a count */
        {{0, 1, 0, 1, 0, 1}, 6, 1},                   /* runs of no values */
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        uint8_t *data = exact(cases[i].bytes, cases[i].len);
        struct hybrid h;
        uint32_t out;
        uint64_t ones;
        pq_hybrid_init(&h, data, cases[i].len, cases[i].width);
        if (cases[i].width == 1)
            assert_false(pq_hybrid_count_ones(h, 1, &ones));
        assert_false(pq_hybrid_read(&h, &out, 1));
        free(data);
    }
}

static void hybrid_counts_ones_of_two_billion_levels_at_once(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0xfe, 0xff, 0xff, 0xff, 0x0f, 1, 0x03, 0xa5};
    struct hybrid h;
    uint64_t ones = 0;
    pq_hybrid_init(&h, bytes, sizeof(bytes), 1);
    assert_true(pq_hybrid_count_ones(h, INT32_MAX, &ones));
    assert_int_equal(ones, INT32_MAX);
    assert_true(pq_hybrid_count_ones(h, (uint64_t)INT32_MAX + 8, &ones));
    assert_int_equal(ones, (uint64_t)INT32_MAX + 4);
    assert_false(pq_hybrid_count_ones(h, (uint64_t)INT32_MAX + 9, &ones));
}

/* Deltas -------------------------------------------------------------------------------------- */

/* 7, 5, 3, 1, 2, 3, 4, 5: the second example of Encodings.md. */
static const uint8_t delta_example[] = {0x80, 0x01, 0x04, 0x08, 0x0e, 0x03, 0x02, 0, 0,
                                        0,    0xc0, 0x3f, 0,    0,    0,    0,    0, 0};

static void delta_reads_the_example_of_the_specification(void **state)
{
    (void)state;
    static const int64_t wanted[] = {7, 5, 3, 1, 2, 3, 4, 5};
    int64_t out[8];
    for (size_t len = 0; len <= sizeof(delta_example); len++) {
        uint8_t *data = exact(delta_example, len);
        struct delta d;
        bool ok = pq_delta_init(&d, data, len) && pq_delta_read(&d, out, 3) &&
                  pq_delta_read(&d, out + 3, 5);
        assert_int_equal(ok, len >= 12); /* the bytes behind the last value may be missing */
        if (ok)
            assert_memory_equal(out, wanted, sizeof(wanted));
        if (ok)
            assert_false(pq_delta_read(&d, out, 1));
        assert_int_equal(pq_delta_end(data, len) != NULL, len >= 12);
        free(data);
    }
    assert_ptr_equal(pq_delta_end(delta_example, sizeof(delta_example)),
                     delta_example + sizeof(delta_example));
}

static void delta_refuses_headers_that_cannot_be(void **state)
{
    (void)state;
    static const uint8_t cases[][6] = {
        {0, 4, 8, 0},             /* no block */
        {0x80, 0x01, 0, 8, 0},    /* no miniblocks */
        {0x80, 0x01, 8, 8, 0},    /* of 16 values each */
        {0x80, 0x01, 3, 8, 0},    /* that do not fill the block */
        {0xff, 0xff, 0xff, 0x7f}, /* a block of 268 million */
        {0x80, 0x01, 4, 0x80, 0x80, 0x80},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct delta d;
        assert_false(pq_delta_init(&d, cases[i], sizeof(cases[i])));
        assert_null(pq_delta_end(cases[i], sizeof(cases[i])));
    }
    uint8_t wide[sizeof(delta_example)];
    memcpy(wide, delta_example, sizeof(wide));
    wide[6] = 65; /* bits per value */
    assert_null(pq_delta_end(wide, sizeof(wide)));
}

/* Values -------------------------------------------------------------------------------------- */

struct page_case {
    enum pq_type type;
    int32_t encoding;
    uint32_t count;
    size_t len;
    uint8_t bytes[24];
    int status;
};

static int decode_case(const struct page_case *c, struct pq_value *out)
{
    struct mem mem = {.max = 1 << 20};
    struct mem_buf last = {.mem = &mem};
    static struct pq_value entries[2];
    static const struct dictionary dictionary = {entries, 2};
    uint8_t *data = exact(c->bytes, c->len);
    struct decoder d = {.type = c->type, .last = &last, .dictionary = &dictionary};
    struct pq_error err;
    int status =
        pq_decoder_init(&d, (struct pq_bytes){data, (uint32_t)c->len}, c->count, c->encoding, &err);
    for (size_t i = 0; status == PQ_OK && i < c->count; i++)
        status = pq_decoder_read(&d, &out[i], 1, &err);
    if (status == PQ_OK && !pq_decoder_is_spent(&d))
        status = PQ_CORRUPT;
    pq_mem_buf_release(&last);
    assert_int_equal(mem.used, 0);
    free(data);
    return status;
}

static void pages_that_lie_are_refused(void **state)
{
    (void)state;
    static const struct page_case cases[] = {
        {PQ_INT64, FORMAT_PLAIN, 1, 8, {1}, PQ_OK},
        {PQ_INT64, FORMAT_PLAIN, 2, 15, {1}, PQ_CORRUPT},
        {PQ_INT64, FORMAT_PLAIN, 1, 9, {1}, PQ_CORRUPT},
        {PQ_INT32, FORMAT_PLAIN, 2, 7, {1}, PQ_CORRUPT},
        {PQ_FIXED_16, FORMAT_PLAIN, 1, 15, {1}, PQ_CORRUPT},
        {PQ_BOOLEAN, FORMAT_PLAIN, 9, 2, {0xff, 1}, PQ_OK},
        {PQ_BOOLEAN, FORMAT_PLAIN, 9, 1, {0xff}, PQ_CORRUPT},
        {PQ_BOOLEAN, FORMAT_RLE, 1, 3, {1, 0, 0}, PQ_CORRUPT},
        {PQ_BOOLEAN, FORMAT_RLE, 1, 6, {3, 0, 0, 0, 2, 1}, PQ_CORRUPT},
        {PQ_BOOLEAN, FORMAT_RLE, 1, 6, {2, 0, 0, 0, 2, 1}, PQ_OK},
        {PQ_BYTE_ARRAY, FORMAT_PLAIN, 1, 6, {2, 0, 0, 0, 'a', 'b'}, PQ_OK},
        {PQ_BYTE_ARRAY, FORMAT_PLAIN, 1, 6, {3, 0, 0, 0, 'a', 'b'}, PQ_CORRUPT},
        {PQ_BYTE_ARRAY, FORMAT_PLAIN, 1, 6, {0xff, 0xff, 0xff, 0xff, 'a', 'b'}, PQ_CORRUPT},
        {PQ_BYTE_ARRAY, FORMAT_PLAIN, 1, 3, {0, 0, 0}, PQ_CORRUPT},
        {PQ_INT64, FORMAT_RLE_DICTIONARY, 4, 3, {1, 8, 1}, PQ_OK},
        {PQ_INT64, FORMAT_PLAIN_DICTIONARY, 4, 3, {2, 8, 2}, PQ_CORRUPT},
        {PQ_INT64, FORMAT_RLE_DICTIONARY, 4, 3, {33, 8, 1}, PQ_CORRUPT},
        {PQ_INT64, FORMAT_RLE_DICTIONARY, 4, 0, {0}, PQ_CORRUPT},
        {PQ_INT64, FORMAT_RLE_DICTIONARY, 5, 3, {1, 8, 1}, PQ_CORRUPT},
        {PQ_INT64, FORMAT_DELTA_BINARY_PACKED, 1, 5, {0x80, 1, 4, 2, 0}, PQ_CORRUPT},
        {PQ_INT64, FORMAT_DELTA_BINARY_PACKED, 1, 5, {0x80, 1, 4, 1, 0}, PQ_OK},
        {PQ_BYTE_ARRAY, FORMAT_DELTA_LENGTH_BYTE_ARRAY, 1, 7, {0x80, 1, 4, 1, 4, 'a', 'b'}, PQ_OK},
        {PQ_BYTE_ARRAY, FORMAT_DELTA_LENGTH_BYTE_ARRAY, 1, 6, {0x80, 1, 4, 1, 4, 'a'}, PQ_CORRUPT},
        {PQ_BYTE_ARRAY, FORMAT_DELTA_LENGTH_BYTE_ARRAY, 1, 6, {0x80, 1, 4, 1, 3, 'a'}, PQ_CORRUPT},
        {PQ_BYTE_ARRAY,
         FORMAT_DELTA_BYTE_ARRAY,
         1,
         11,
         {0x80, 1, 4, 1, 2, 0x80, 1, 4, 1, 2, 'a'},
         PQ_CORRUPT}, /* a prefix of nothing */
        {PQ_BYTE_ARRAY,
         FORMAT_DELTA_BYTE_ARRAY,
         1,
         11,
         {0x80, 1, 4, 1, 0, 0x80, 1, 4, 1, 2, 'a'},
         PQ_OK},
        {PQ_FIXED_16,
         FORMAT_DELTA_BYTE_ARRAY,
         1,
         11,
         {0x80, 1, 4, 1, 0, 0x80, 1, 4, 1, 2, 'a'},
         PQ_CORRUPT},
        {PQ_DOUBLE, FORMAT_BYTE_STREAM_SPLIT, 2, 16, {0}, PQ_OK},
        {PQ_DOUBLE, FORMAT_BYTE_STREAM_SPLIT, 2, 15, {0}, PQ_CORRUPT},
        {PQ_INT64, FORMAT_DELTA_LENGTH_BYTE_ARRAY, 1, 8, {0}, PQ_UNSUPPORTED},
        {PQ_DOUBLE, FORMAT_DELTA_BINARY_PACKED, 1, 8, {0}, PQ_UNSUPPORTED},
        {PQ_INT32, FORMAT_RLE, 1, 8, {0}, PQ_UNSUPPORTED},
        {PQ_INT32, FORMAT_BIT_PACKED, 1, 8, {0}, PQ_UNSUPPORTED},
        {PQ_INT32, 1, 1, 8, {0}, PQ_UNSUPPORTED},
        {PQ_INT32, -1, 1, 8, {0}, PQ_UNSUPPORTED},
        {PQ_INT32, 1000, 1, 8, {0}, PQ_UNSUPPORTED},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct pq_value out[16];
        int status = decode_case(&cases[i], out);
        if (status != cases[i].status)
            fail_msg("page %zu gives %d, not %d", i, status, cases[i].status);
    }
}

/* Files --------------------------------------------------------------------------------------- */

struct memory {
    const uint8_t *data;
    size_t len;
    bool broken;
};

static int read_memory(void *arg, uint64_t offset, void *out, size_t len)
{
    const struct memory *m = arg;
    assert_true(offset <= m->len && len <= m->len - offset);
    memcpy(out, m->data + offset, len);
    return m->broken ? -1 : 0;
}

static int open_within(struct memory *m, uint64_t memory_max, struct pq_error *err)
{
    struct pq_reader *r = NULL;
    const struct pq_read_options options = {
        .read = read_memory, .arg = m, .size = m->len, .memory_max = memory_max};
    int status = pq_reader_open(&options, &r, err);
    pq_reader_free(r);
    return status;
}

static int open_memory(struct memory *m, struct pq_error *err)
{
    return open_within(m, 0, err);
}

static void what_is_no_parquet_file_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        int status;
        const char *sentence;
    } cases[] = {
        {"", 0, PQ_CORRUPT, "too few"},
        {"PAR1PAR1", 8, PQ_CORRUPT, "too few"},
        {"PAR1\0\0\0\0PAR2", 12, PQ_CORRUPT, "no Parquet file"},
        {"PAR2\0\0\0\0PAR1", 12, PQ_CORRUPT, "no Parquet file"},
        {"PAR1\0\0\0\0PARE", 12, PQ_UNSUPPORTED, "encrypted"},
        {"PAR1\1\0\0\0PAR1", 12, PQ_CORRUPT, "does not fit"},
        {"PAR1\xff\xff\xff\xffPAR1", 12, PQ_CORRUPT, "does not fit"},
        {"PAR1\0\0\0\0PAR1", 12, PQ_CORRUPT, "broken"},
        {"PAR1\0\1\0\0\0PAR1", 13, PQ_CORRUPT, "no schema"},
        /* an empty schema, five rows in one row group: rows that cost nothing, without an end */
        {"PAR1\x29\x1c\0\x16\x0a\x19\x1c\x19\x0c\x26\x0a\0\0\x0d\0\0\0PAR1", 25, PQ_CORRUPT,
         "without a column"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct memory m = {(const uint8_t *)cases[i].bytes, cases[i].len, false};
        struct pq_error err = {{0}};
        assert_int_equal(open_memory(&m, &err), cases[i].status);
        if (strstr(err.text, cases[i].sentence) == NULL)
            fail_msg("case %zu says: %s", i, err.text);
    }
    struct memory m = {(const uint8_t *)"PAR1\0\0\0\0PAR1", 12, true};
    struct pq_error err = {{0}};
    assert_int_equal(open_memory(&m, &err), PQ_IO);
    assert_int_equal(open_memory(&m, NULL), PQ_IO);
}

/* A schema of 2,000 columns in 16 KB: what a reader keeps of each counts as well. */
static void columns_count_as_memory(void **state)
{
    (void)state;
    enum { COLUMNS = 2000 };
    static const uint8_t head[] = {'P', 'A', 'R', '1', 0x29, 0xfc, 0xd1, 0x0f, 0x55, 0xa0, 0x1f, 0};
    static const uint8_t column[] = {0x15, 0x02, 0x25, 0x00, 0x18, 1, 'x', 0};
    static const uint8_t tail[] = {0x16, 0, 0x19, 0x0c, 0};
    uint8_t file[sizeof(head) + COLUMNS * sizeof(column) + sizeof(tail) + 8], *at = file;
    memcpy(at, head, sizeof(head));
    at += sizeof(head);
    for (size_t i = 0; i < COLUMNS; i++, at += sizeof(column))
        memcpy(at, column, sizeof(column));
    memcpy(at, tail, sizeof(tail));
    at += sizeof(tail);
    uint32_t len = (uint32_t)(at - file - 4);
    memcpy(at, &len, 4);
    memcpy(at + 4, "PAR1", 4);
    struct memory m = {file, sizeof(file), false};
    struct pq_error err = {{0}};
    assert_int_equal(open_within(&m, 4 << 20, &err), PQ_OK);
    assert_int_equal(open_within(&m, 512 << 10, &err), PQ_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thrift_reads_fields_by_delta_and_by_number),
        cmocka_unit_test(thrift_fails_on_every_cut_and_says_that_more_might_help),
        cmocka_unit_test(thrift_refuses_what_would_cost_too_much),
        cmocka_unit_test(hybrid_reads_the_example_of_the_specification),
        cmocka_unit_test(hybrid_reads_every_width_and_the_cut_last_group),
        cmocka_unit_test(hybrid_refuses_runs_that_are_not_there),
        cmocka_unit_test(hybrid_counts_ones_of_two_billion_levels_at_once),
        cmocka_unit_test(delta_reads_the_example_of_the_specification),
        cmocka_unit_test(delta_refuses_headers_that_cannot_be),
        cmocka_unit_test(pages_that_lie_are_refused),
        cmocka_unit_test(what_is_no_parquet_file_is_named),
        cmocka_unit_test(columns_count_as_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
