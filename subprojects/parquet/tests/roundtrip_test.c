/*
 * What the writer writes, the reader reads: random schemas, values and options by seed; pruning
 * that loses no row; every byte of a file flipped; every length of a file; small memory.
 * PARQUET_SEEDS sets the number of seeds, PARQUET_SEED the first.
 */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
/* clang-format on */

#include <inttypes.h>
#include <stdio.h>

#include "parquet.h"

#define COLUMNS_MAX 8
#define TEXT_MAX 300

/* A file in memory. */
struct file {
    uint8_t *data;
    size_t len, cap;
};

static int file_write(void *arg, const void *data, size_t len)
{
    struct file *f = arg;
    if (f->len + len > f->cap) {
        f->cap = (f->len + len) * 2;
        f->data = realloc(f->data, f->cap);
        assert_non_null(f->data);
    }
    if (len > 0)
        memcpy(f->data + f->len, data, len);
    f->len += len;
    return 0;
}

static int file_read(void *arg, uint64_t offset, void *out, size_t len)
{
    const struct file *f = arg;
    assert_true(offset <= f->len && len <= f->len - offset);
    memcpy(out, f->data + offset, len);
    return 0;
}

/* The model: every value follows from the seed, its column and its row ------------------------- */

static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

struct model {
    uint64_t seed;
    struct pq_column columns[COLUMNS_MAX];
    char names[COLUMNS_MAX][16];
    unsigned kinds[COLUMNS_MAX]; /* 0: few values, 1: ascending, 2: anything, 3: long runs */
    unsigned nulls[COLUMNS_MAX]; /* in eighths */
    size_t count;
    uint64_t rows;
    struct pq_write_options options;
};

static uint64_t number_of(const struct model *m, size_t column, uint64_t row)
{
    uint64_t any = mix(m->seed ^ mix(column * 1000003 + row));
    switch (m->kinds[column]) {
    case 0:
        return any % 7;
    case 1:
        return 1000 + row * 3 + any % 3;
    case 2:
        return any;
    default:
        return row / 500;
    }
}

/* The value, its bytes in `text` (TEXT_MAX). */
static struct pq_value value_of(const struct model *m, size_t column, uint64_t row, char *text)
{
    const struct pq_column *c = &m->columns[column];
    uint64_t n = number_of(m, column, row), other = mix(n);
    if (c->optional && mix(m->seed + row * 31 + column) % 8 < m->nulls[column])
        return (struct pq_value){.null = true};
    switch (c->type) {
    case PQ_BOOLEAN:
        return (struct pq_value){.boolean = n & 1};
    case PQ_INT32:
        return (struct pq_value){.i32 = (int32_t)n};
    case PQ_INT64:
        return (struct pq_value){.i64 = (int64_t)n};
    case PQ_DOUBLE:
        return (struct pq_value){.f64 = (double)(int64_t)n / 8};
    case PQ_FIXED_16:
        for (size_t i = 0; i < 16; i++)
            text[i] = (char)(i < 8 ? n >> (56 - 8 * i) : other >> (8 * i - 64));
        return (struct pq_value){.bytes = {(const uint8_t *)text, 16}};
    case PQ_BYTE_ARRAY:
        break;
    }
    int len = snprintf(text, TEXT_MAX, "%020" PRIu64, n);
    if (other % 5 == 0)
        len = 0;
    for (size_t pad = other % 97 == 0 ? 200 : other % 20; pad > 0 && len > 0; pad--)
        text[len++] = (char)('a' + (other >> pad % 50) % 26);
    return (struct pq_value){.bytes = {(const uint8_t *)text, (uint32_t)len}};
}

static enum pq_encoding encoding_of(enum pq_type type, uint64_t any)
{
    if (type == PQ_BOOLEAN || type == PQ_DOUBLE || type == PQ_FIXED_16 || any % 4 == 0)
        return type != PQ_BOOLEAN && any % 3 == 0 ? PQ_DICTIONARY : any % 2 ? PQ_PLAIN : PQ_AUTO;
    if (type == PQ_BYTE_ARRAY)
        return any % 3 == 0 ? PQ_DICTIONARY : PQ_DELTA_LENGTH;
    return any % 3 == 0 ? PQ_DICTIONARY : PQ_DELTA_BINARY;
}

static void model_init(struct model *m, uint64_t seed)
{
    *m = (struct model){.seed = seed};
    uint64_t any = mix(seed);
    m->count = 1 + any % COLUMNS_MAX;
    m->rows = any % 11 == 0 ? any >> 8 & 3 : (any >> 8) % 3000;
    for (size_t i = 0; i < m->count; i++) {
        any = mix(any + i);
        struct pq_column *c = &m->columns[i];
        snprintf(m->names[i], sizeof(m->names[i]), "column%zu", i);
        *c = (struct pq_column){.name = m->names[i],
                                .type = (enum pq_type)(any % 6),
                                .optional = any >> 8 & 1,
                                .bloom = any % 6 != PQ_BOOLEAN && (any >> 9 & 1),
                                .field_id = (int32_t)(any >> 10 & 7)};
        c->encoding = encoding_of(c->type, any >> 16);
        if (c->type == PQ_BYTE_ARRAY)
            c->logical = (any >> 40 & 1) ? PQ_STRING : PQ_JSON;
        if (c->type == PQ_INT64)
            c->logical = (any >> 40 & 1) ? PQ_TIMESTAMP_MICROS : PQ_LOGICAL_NONE;
        if (c->type == PQ_FIXED_16)
            c->logical = (any >> 40 & 1) ? PQ_UUID : PQ_LOGICAL_NONE;
        m->kinds[i] = any >> 32 & 3;
        m->nulls[i] = (unsigned)((any >> 34) % 9);
    }
    m->options = (struct pq_write_options){.codec = (enum pq_codec)(mix(any) % 5),
                                           .row_group_rows = (uint32_t)(1 + mix(any + 1) % 1500),
                                           .page_bytes = (uint32_t)(1 + mix(any + 2) % 4000),
                                           .page_v2 = mix(any + 3) & 1};
}

static void model_write(const struct model *m, struct file *f)
{
    struct pq_write_options options = m->options;
    struct pq_writer *w = NULL;
    struct pq_error err = {{0}};
    struct pq_written written;
    options.write = file_write;
    options.arg = f;
    if (pq_writer_new(m->columns, m->count, &options, &w, &err) != PQ_OK)
        fail_msg("seed %" PRIu64 ": %s", m->seed, err.text);
    for (uint64_t row = 0; row < m->rows; row++) {
        struct pq_value values[COLUMNS_MAX];
        char text[COLUMNS_MAX][TEXT_MAX];
        for (size_t i = 0; i < m->count; i++)
            values[i] = value_of(m, i, row, text[i]);
        if (pq_writer_row(w, values, &err) != PQ_OK)
            fail_msg("seed %" PRIu64 ", row %" PRIu64 ": %s", m->seed, row, err.text);
    }
    assert_int_equal(pq_writer_metadata(w, "seed", "of the test", &err), PQ_OK);
    assert_int_equal(pq_writer_finish(w, &written, &err), PQ_OK);
    assert_true(written.bytes == f->len && written.rows == m->rows);
    pq_writer_free(w);
}

static bool value_equals(enum pq_type type, const struct pq_value *a, const struct pq_value *b)
{
    if (a->null || b->null)
        return a->null == b->null;
    switch (type) {
    case PQ_BOOLEAN:
        return a->boolean == b->boolean;
    case PQ_INT32:
        return a->i32 == b->i32;
    case PQ_INT64:
    case PQ_DOUBLE:
        return a->i64 == b->i64;
    case PQ_BYTE_ARRAY:
    case PQ_FIXED_16:
        break;
    }
    return a->bytes.len == b->bytes.len &&
           (a->bytes.len == 0 || memcmp(a->bytes.data, b->bytes.data, a->bytes.len) == 0);
}

static bool row_equals(const struct model *m, uint64_t row, const struct pq_value *values)
{
    for (size_t i = 0; i < m->count; i++) {
        char text[TEXT_MAX];
        struct pq_value wanted = value_of(m, i, row, text);
        if (!value_equals(m->columns[i].type, &values[i], &wanted))
            return false;
    }
    return true;
}

static int open_file(struct file *f, uint64_t memory_max, bool skip_crc, struct pq_reader **ret,
                     struct pq_error *err)
{
    return pq_reader_open(&(struct pq_read_options){.read = file_read,
                                                    .arg = f,
                                                    .size = f->len,
                                                    .memory_max = memory_max,
                                                    .skip_page_checksums = skip_crc},
                          ret, err);
}

static uint64_t seeds(uint64_t by_default)
{
    const char *text = getenv("PARQUET_SEEDS");
    return text != NULL ? strtoull(text, NULL, 10) : by_default;
}

static uint64_t first_seed(void)
{
    const char *text = getenv("PARQUET_SEED");
    return text != NULL ? strtoull(text, NULL, 10) : 1;
}

/* Tests --------------------------------------------------------------------------------------- */

static void check_schema(const struct model *m, const struct pq_reader *r)
{
    assert_int_equal(pq_reader_column_count(r), m->count);
    assert_int_equal(pq_reader_row_count(r), m->rows);
    assert_string_equal(pq_reader_metadata(r, "seed"), "of the test");
    assert_null(pq_reader_metadata(r, "other"));
    for (size_t i = 0; i < m->count; i++) {
        const struct pq_column *c = pq_reader_column(r, i);
        assert_string_equal(c->name, m->names[i]);
        assert_true(c->type == m->columns[i].type && c->logical == m->columns[i].logical);
        assert_true(c->optional == m->columns[i].optional);
        assert_int_equal(c->field_id, m->columns[i].field_id);
        assert_int_equal(pq_reader_find_column(r, m->names[i]), i);
    }
    uint64_t rows = 0;
    for (size_t i = 0; i < pq_reader_row_group_count(r); i++)
        rows += pq_reader_row_group_rows(r, i);
    assert_int_equal(rows, m->rows);
}

static void check_rows(const struct model *m, struct pq_reader *r)
{
    struct pq_value values[COLUMNS_MAX];
    struct pq_error err = {{0}};
    for (uint64_t row = 0; row < m->rows; row++) {
        if (pq_reader_next(r, values, &err) != PQ_OK)
            fail_msg("seed %" PRIu64 ", row %" PRIu64 ": %s", m->seed, row, err.text);
        if (!row_equals(m, row, values))
            fail_msg("seed %" PRIu64 ", row %" PRIu64 " differs", m->seed, row);
    }
    assert_int_equal(pq_reader_next(r, values, &err), PQ_END);
    assert_int_equal(pq_reader_next(r, values, &err), PQ_END);
}

static void what_is_written_is_read_and_read_again(void **state)
{
    (void)state;
    for (uint64_t seed = first_seed(); seed < first_seed() + seeds(150); seed++) {
        struct model m;
        struct file f = {0};
        struct pq_reader *r = NULL;
        struct pq_error err = {{0}};
        model_init(&m, seed);
        model_write(&m, &f);
        if (open_file(&f, 0, false, &r, &err) != PQ_OK)
            fail_msg("seed %" PRIu64 ": %s", seed, err.text);
        check_schema(&m, r);
        check_rows(&m, r);
        assert_int_equal(pq_reader_rewind(r, &err), PQ_OK);
        check_rows(&m, r);
        pq_reader_free(r);
        free(f.data);
    }
}

static int compare_values(enum pq_type type, const struct pq_value *a, const struct pq_value *b)
{
    switch (type) {
    case PQ_BOOLEAN:
        return a->boolean - b->boolean;
    case PQ_INT32:
        return (a->i32 > b->i32) - (a->i32 < b->i32);
    case PQ_INT64:
        return (a->i64 > b->i64) - (a->i64 < b->i64);
    case PQ_DOUBLE:
        return (a->f64 > b->f64) - (a->f64 < b->f64);
    case PQ_BYTE_ARRAY:
    case PQ_FIXED_16:
        break;
    }
    uint32_t len = a->bytes.len < b->bytes.len ? a->bytes.len : b->bytes.len;
    int order = len > 0 ? memcmp(a->bytes.data, b->bytes.data, len) : 0;
    return order != 0 ? order : (a->bytes.len > b->bytes.len) - (a->bytes.len < b->bytes.len);
}

/* Reads with a range on one column, projected to that and another; every row inside must come, in
 * order. Returns how many came. */
static uint64_t check_pruned(const struct model *m, struct file *f, uint16_t column,
                             const struct pq_value *low, const struct pq_value *high)
{
    struct pq_reader *r = NULL;
    struct pq_error err = {{0}};
    struct pq_value values[2];
    uint16_t columns[2] = {(uint16_t)((column + 1) % m->count), column};
    uint64_t came = 0, row = 0;
    enum pq_type type = m->columns[column].type;
    assert_int_equal(open_file(f, 0, false, &r, &err), PQ_OK);
    assert_int_equal(pq_reader_prune(r, column, low, high, &err), PQ_OK);
    assert_int_equal(pq_reader_project(r, columns, 2, &err), PQ_OK);
    int status = pq_reader_next(r, values, &err);
    for (; row < m->rows; row++) {
        char text[2][TEXT_MAX];
        struct pq_value v = value_of(m, column, row, text[0]);
        struct pq_value other = value_of(m, columns[0], row, text[1]);
        bool same = status == PQ_OK && value_equals(type, &values[1], &v) &&
                    value_equals(m->columns[columns[0]].type, &values[0], &other);
        bool inside = !v.null && (low == NULL || compare_values(type, &v, low) >= 0) &&
                      (high == NULL || compare_values(type, &v, high) <= 0);
        if (inside && !same)
            fail_msg("seed %" PRIu64 ": row %" PRIu64 " was lost (%d %s)", m->seed, row, status,
                     err.text);
        came += same;
        if (same)
            status = pq_reader_next(r, values, &err);
    }
    assert_int_equal(status, PQ_END);
    pq_reader_free(r);
    return came;
}

static void pruning_loses_no_row(void **state)
{
    (void)state;
    uint64_t came = 0, all = 0;
    for (uint64_t seed = first_seed(); seed < first_seed() + seeds(150); seed++) {
        struct model m;
        struct file f = {0};
        model_init(&m, seed);
        if (m.rows == 0)
            continue;
        model_write(&m, &f);
        uint16_t column = (uint16_t)(mix(seed) % m.count);
        char text[2][TEXT_MAX];
        struct pq_value a = value_of(&m, column, mix(seed + 1) % m.rows, text[0]);
        struct pq_value b = value_of(&m, column, mix(seed + 2) % m.rows, text[1]);
        if (!a.null) {
            came += check_pruned(&m, &f, column, &a, &a);
            came += check_pruned(&m, &f, column, &a, NULL);
            all += 2 * m.rows;
        }
        if (!b.null) {
            came += check_pruned(&m, &f, column, NULL, &b);
            all += m.rows;
        }
        if (!a.null && !b.null)
            check_pruned(&m, &f, column, &a, &b);
        free(f.data);
    }
    assert_true(came < all * 9 / 10); /* and it does leave out some */
}

/* A small file with every type. */
static void small_model(struct model *m)
{
    static const enum pq_encoding encodings[] = {PQ_AUTO,      PQ_DELTA_BINARY, PQ_DICTIONARY,
                                                 PQ_PLAIN,     PQ_DELTA_LENGTH, PQ_PLAIN,
                                                 PQ_DICTIONARY};
    static const enum pq_type types[] = {PQ_BOOLEAN,    PQ_INT32,    PQ_INT64,     PQ_DOUBLE,
                                         PQ_BYTE_ARRAY, PQ_FIXED_16, PQ_BYTE_ARRAY};
    *m = (struct model){.seed = 99, .count = 7, .rows = 24};
    for (size_t i = 0; i < m->count; i++) {
        snprintf(m->names[i], sizeof(m->names[i]), "c%zu", i);
        m->columns[i] = (struct pq_column){.name = m->names[i],
                                           .type = types[i],
                                           .encoding = encodings[i],
                                           .optional = i % 2 == 0,
                                           .bloom = i == 2};
        m->nulls[i] = 2;
    }
    m->options =
        (struct pq_write_options){.codec = PQ_ZSTD, .row_group_rows = 16, .page_bytes = 64};
}

/* Whether the file reads as the model says; an error is no, a wrong row fails the test unless
 * `any_rows`. */
static bool reads_well(const struct model *m, struct file *f, size_t at, bool skip_crc,
                       bool any_rows)
{
    struct pq_reader *r = NULL;
    struct pq_error err = {{0}};
    struct pq_value values[COLUMNS_MAX];
    int status = open_file(f, 16 << 20, skip_crc, &r, &err);
    if (status != PQ_OK) {
        assert_true(err.text[0] != '\0');
        return false;
    }
    bool same = pq_reader_column_count(r) == m->count;
    uint64_t row = 0;
    for (; same && row <= m->rows && (status = pq_reader_next(r, values, &err)) == PQ_OK; row++)
        same = row_equals(m, row, values);
    pq_reader_free(r);
    if (same && status == PQ_END)
        same = row == m->rows;
    if (!same && !any_rows)
        fail_msg("with byte %zu changed, row %" PRIu64 " is silently wrong", at, row);
    return same && status == PQ_END;
}

/* Checksums cover the pages; the rest is caught because footer, indexes and page headers say the
 * same things twice, or changes no row (a name, bounds). Without checksums it must only not crash.
 */
static void each_flipped_byte_is_an_error_or_harmless(void **state)
{
    (void)state;
    for (int v2 = 0; v2 < 2; v2++) {
        struct model m;
        struct file f = {0};
        small_model(&m);
        m.options.page_v2 = v2;
        model_write(&m, &f);
        assert_true(reads_well(&m, &f, 0, false, false));
        size_t detected = 0;
        for (size_t at = 0; at < f.len; at++) {
            const uint8_t flips[] = {(uint8_t)(1u << at % 8), (uint8_t)(1u << (at + 5) % 8), 0xff};
            for (size_t i = 0; i < sizeof(flips); i++) {
                f.data[at] ^= flips[i];
                detected += !reads_well(&m, &f, at, false, false);
                reads_well(&m, &f, at, true, true);
                f.data[at] ^= flips[i];
            }
        }
        assert_true(detected > f.len * 3 / 4);
        free(f.data);
    }
}

static void each_cut_is_an_error(void **state)
{
    (void)state;
    struct model m;
    struct file f = {0};
    small_model(&m);
    model_write(&m, &f);
    size_t whole = f.len;
    for (f.len = 0; f.len < whole; f.len++)
        assert_false(reads_well(&m, &f, f.len, false, false));
    free(f.data);
}

static void little_memory_is_an_error_and_never_exceeded(void **state)
{
    (void)state;
    struct model m;
    struct file f = {0};
    struct pq_value values[COLUMNS_MAX];
    bool refused = false, read = false;
    model_init(&m, 5);
    m.rows = 3000;
    model_write(&m, &f);
    for (uint64_t memory = 64; memory < 64 << 20; memory *= 2) {
        struct pq_reader *r = NULL;
        struct pq_error err = {{0}};
        int status = open_file(&f, memory, false, &r, &err);
        while (status == PQ_OK)
            status = pq_reader_next(r, values, &err);
        assert_true(status == PQ_END || (status == PQ_LIMIT && strstr(err.text, "memory_max")));
        refused |= status == PQ_LIMIT;
        assert_true(!read || status == PQ_END); /* more memory never hurts */
        read |= status == PQ_END;
        pq_reader_free(r);
    }
    assert_true(refused && read);
    free(f.data);
}

static void misuse_is_named(void **state)
{
    (void)state;
    struct model m;
    struct file f = {0};
    struct pq_reader *r = NULL;
    struct pq_error err = {{0}};
    struct pq_value values[COLUMNS_MAX], null = {.null = true};
    uint16_t column = 99;
    small_model(&m);
    model_write(&m, &f);
    assert_int_equal(open_file(&f, 0, false, &r, &err), PQ_OK);
    assert_int_equal(pq_reader_project(r, &column, 1, &err), PQ_USAGE);
    assert_int_equal(pq_reader_prune(r, 99, NULL, NULL, &err), PQ_USAGE);
    assert_int_equal(pq_reader_prune(r, 1, &null, NULL, &err), PQ_USAGE);
    assert_int_equal(pq_reader_find_column(r, "absent"), -1);
    assert_null(pq_reader_column(r, 99));
    assert_int_equal(pq_reader_next(r, values, &err), PQ_OK);
    column = 0;
    assert_int_equal(pq_reader_project(r, &column, 1, &err), PQ_USAGE);
    assert_int_equal(pq_reader_prune(r, 1, NULL, NULL, &err), PQ_USAGE);
    assert_int_equal(pq_reader_rewind(r, &err), PQ_OK);
    assert_int_equal(pq_reader_project(r, &column, 0, &err), PQ_OK);
    for (uint64_t row = 0; row < m.rows; row++)
        assert_int_equal(pq_reader_next(r, NULL, &err), PQ_OK);
    assert_int_equal(pq_reader_next(r, NULL, &err), PQ_END);
    pq_reader_free(r);
    free(f.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_and_read_again),
        cmocka_unit_test(pruning_loses_no_row),
        cmocka_unit_test(each_flipped_byte_is_an_error_or_harmless),
        cmocka_unit_test(each_cut_is_an_error),
        cmocka_unit_test(little_memory_is_an_error_and_never_exceeded),
        cmocka_unit_test(misuse_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
