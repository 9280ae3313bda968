/*
 * tests/fuzz/parquet_fuzz.c: any bytes as a Parquet file. Every row that comes is touched to its
 * last byte, memory keeps its bound, a second reading after a rewind gives the same rows, and one
 * that is pruned by any column and projected gives no more rows than the whole. Input: one byte of
 * options (0x80: check the pages' checksums, else the fuzzer gets past them; 0x40, 0x20: no lower,
 * no upper bound), the file. Covers:
 * subprojects/parquet/src/thrift_read.c subprojects/parquet/src/read_meta.c
 * subprojects/parquet/src/read_schema.c subprojects/parquet/src/read_page.c
 * subprojects/parquet/src/read_column.c subprojects/parquet/src/read_index.c
 * subprojects/parquet/src/read.c subprojects/parquet/src/decode.c subprojects/parquet/src/hybrid.c
 */
#include <string.h>

#include "base/base.h"
#include "base/hash.h"
#include "parquet.h"

/* A page of a few bytes may truly stand for two billion rows. */
#define ROWS_MAX 20000
#define COLUMNS_MAX 64
#define PRUNED_MAX 16 /* columns */
#define BOUND_MAX 64  /* bytes */
#define MEMORY_MAX MIB(4)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *data;
    size_t size;
};

static int read_at(void *arg, uint64_t offset, void *out, size_t len)
{
    const struct input *in = arg;
    ASSERT(offset <= in->size && len <= in->size - offset);
    memcpy(out, in->data + offset, len);
    return 0;
}

struct outcome {
    int status;
    uint64_t rows, hash;
};

static uint64_t hash_value(const struct pq_column *c, const struct pq_value *v)
{
    if (v->null) {
        ASSERT(c->optional);
        return 1;
    }
    switch (c->type) {
    case PQ_BOOLEAN:
        return v->boolean;
    case PQ_INT32:
        return hash64(&v->i32, sizeof(v->i32));
    case PQ_INT64:
    case PQ_DOUBLE:
        return hash64(&v->i64, sizeof(v->i64));
    case PQ_FIXED_16:
        ASSERT(v->bytes.len == 16);
        return hash64(v->bytes.data, v->bytes.len);
    case PQ_BYTE_ARRAY:
        return v->bytes.len == 0 ? 2 : hash64(v->bytes.data, v->bytes.len);
    }
    return 0;
}

static struct outcome read_rows(struct pq_reader *r, const uint16_t *columns, size_t count)
{
    struct pq_value values[COLUMNS_MAX];
    struct pq_error err = {{0}};
    struct outcome o = {0};
    while (o.rows < ROWS_MAX && (o.status = pq_reader_next(r, values, &err)) == PQ_OK) {
        for (size_t i = 0; i < count; i++)
            o.hash = o.hash * 31 + hash_value(pq_reader_column(r, columns[i]), &values[i]);
        o.rows++;
    }
    ASSERT(o.status >= PQ_USAGE && o.status <= PQ_OK && o.status != PQ_IO);
    ASSERT(o.status == PQ_OK || o.status == PQ_END || err.text[0] != '\0');
    return o;
}

/* Only for want of memory may columns that are there not be chosen. */
static bool project(struct pq_reader *r, const uint16_t *columns, size_t count)
{
    struct pq_error err;
    int status = pq_reader_project(r, columns, count, &err);
    ASSERT(status == PQ_OK || status == PQ_LIMIT);
    return status == PQ_OK;
}

/* The first row's value in that column; longer bytes are cut into `copy`. */
static bool first_value(struct pq_reader *r, uint16_t column, uint8_t copy[BOUND_MAX],
                        struct pq_value *ret)
{
    struct pq_error err;
    ASSERT(pq_reader_rewind(r, &err) == PQ_OK);
    bool got = project(r, &column, 1) && pq_reader_next(r, ret, &err) == PQ_OK && !ret->null;
    enum pq_type type = pq_reader_column(r, column)->type;
    if (got && (type == PQ_BYTE_ARRAY || type == PQ_FIXED_16)) {
        ret->bytes.len = MIN(ret->bytes.len, (uint32_t)BOUND_MAX);
        if (ret->bytes.len > 0)
            memcpy(copy, ret->bytes.data, ret->bytes.len);
        ret->bytes.data = copy;
    }
    ASSERT(pq_reader_rewind(r, &err) == PQ_OK);
    return got;
}

/* A range from what the file itself holds. */
static void read_pruned(struct pq_reader *r, uint16_t column, uint8_t options)
{
    uint8_t copy[BOUND_MAX];
    struct pq_value first;
    struct pq_error err;
    if (!first_value(r, column, copy, &first))
        return;
    int status = pq_reader_prune(r, column, (options & 0x40) != 0 ? NULL : &first,
                                 (options & 0x20) != 0 ? NULL : &first, &err);
    ASSERT(status == PQ_OK || status == PQ_USAGE || status == PQ_LIMIT);
    struct outcome o = read_rows(r, &column, 1);
    ASSERT(o.rows <= pq_reader_row_count(r));
    ASSERT(pq_reader_rewind(r, &err) == PQ_OK);
    ASSERT(pq_reader_prune(r, column, NULL, NULL, &err) != PQ_USAGE);
}

static void read_all(struct pq_reader *r, uint8_t options)
{
    struct pq_error err;
    uint16_t columns[COLUMNS_MAX];
    size_t count = MIN(pq_reader_column_count(r), (size_t)COLUMNS_MAX);
    for (size_t i = 0; i < count; i++)
        columns[i] = (uint16_t)i;
    if (!project(r, columns, count))
        return;
    struct outcome once = read_rows(r, columns, count);
    ASSERT(once.rows <= pq_reader_row_count(r));
    ASSERT(pq_reader_rewind(r, &err) == PQ_OK);
    struct outcome twice = read_rows(r, columns, count);
    /* Buffers grown by the first reading stay, so the bound may be met elsewhere. */
    if (once.status != PQ_LIMIT && twice.status != PQ_LIMIT)
        ASSERT(once.status == twice.status && once.rows == twice.rows && once.hash == twice.hash);
    for (uint16_t i = 0; i < MIN(count, (size_t)PRUNED_MAX); i++)
        read_pruned(r, i, options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    struct input in = {data + 1, size - 1};
    struct pq_read_options options = {.read = read_at,
                                      .arg = &in,
                                      .size = in.size,
                                      .memory_max = MEMORY_MAX,
                                      .skip_page_checksums = (data[0] & 0x80) == 0};
    struct pq_reader *r;
    struct pq_error err = {{0}};
    int status = pq_reader_open(&options, &r, &err);
    if (status != PQ_OK) {
        ASSERT(err.text[0] != '\0');
        return 0;
    }
    read_all(r, data[0]);
    pq_reader_free(r);
    return 0;
}
