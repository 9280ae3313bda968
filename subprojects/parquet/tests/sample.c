/*
 * sample.c: writes a file whose every value follows from its row number, for tests that read it
 * with other libraries (tests/e2e/test_parquet_write.py knows the same rules).
 *
 * Usage: parquet_sample OUT [rows N] [codec NAME] [encoding NAME] [page-bytes N] [group-rows N]
 *                           [v2 1] [order down] [doc-bytes N]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parquet.h"

enum { ID, N32, N64, MILLIS, MICROS, F64, FLAG, KIND, DOC, RAW, UUID, NOTHING, LONG, COLUMNS };

static struct pq_column columns[COLUMNS] = {
    [ID] =
        {.name = "id", .type = PQ_BYTE_ARRAY, .logical = PQ_STRING, .bloom = true, .field_id = 1},
    [N32] = {.name = "n32", .type = PQ_INT32, .optional = true, .bloom = true, .field_id = 2},
    [N64] = {.name = "n64", .type = PQ_INT64, .bloom = true, .field_id = 3},
    [MILLIS] = {.name = "millis", .type = PQ_INT64, .logical = PQ_TIMESTAMP_MILLIS},
    [MICROS] = {.name = "micros", .type = PQ_INT64, .logical = PQ_TIMESTAMP_MICROS},
    [F64] = {.name = "f64", .type = PQ_DOUBLE, .optional = true},
    [FLAG] = {.name = "flag", .type = PQ_BOOLEAN, .optional = true},
    [KIND] = {.name = "kind",
              .type = PQ_BYTE_ARRAY,
              .logical = PQ_STRING,
              .optional = true,
              .bloom = true},
    [DOC] = {.name = "doc", .type = PQ_BYTE_ARRAY, .logical = PQ_JSON, .optional = true},
    [RAW] = {.name = "raw", .type = PQ_BYTE_ARRAY, .optional = true},
    [UUID] = {.name = "uuid", .type = PQ_FIXED_16, .logical = PQ_UUID, .optional = true},
    [NOTHING] = {.name = "nothing",
                 .type = PQ_BYTE_ARRAY,
                 .logical = PQ_STRING,
                 .optional = true,
                 .bloom = true},
    [LONG] = {.name = "long", .type = PQ_BYTE_ARRAY, .logical = PQ_STRING},
};

struct row {
    char id[32], kind[32], *doc, *text;
    uint8_t raw[128], uuid[16];
    size_t doc_bytes;
};

static struct pq_value bytes_of(const void *data, size_t len)
{
    return (struct pq_value){.bytes = {data, (uint32_t)len}};
}

static struct pq_value null_or(bool null, struct pq_value value)
{
    return null ? (struct pq_value){.null = true} : value;
}

static struct pq_value doc_of(struct row *row, uint64_t i)
{
    size_t room = row->doc_bytes + 512, len = 0;
    len += (size_t)snprintf(row->doc, room, "{\"n\":%" PRIu64 ",\"s\":\"", i);
    for (uint64_t k = 0; k < i % 50; k++) {
        memcpy(row->doc + len, "\xe6\x97\xa5", 3);
        len += 3;
    }
    for (size_t k = 0; k < row->doc_bytes; k++)
        row->doc[len++] = 'x';
    memcpy(row->doc + len, "\"}", 2);
    return bytes_of(row->doc, len + 2);
}

/** 40 times U+00E9 and then the number: longer than what statistics keep, cut inside a letter. */
static struct pq_value long_of(struct row *row, uint64_t i)
{
    for (int k = 0; k < 40; k++)
        memcpy(row->text + 2 * k, "\xc3\xa9", 2);
    row->text[0] = (char)('a' + i % 20); /* and so not at an even place */
    memmove(row->text + 1, row->text + 2, 78);
    int len = snprintf(row->text + 79, 32, "%" PRIu64, i);
    return bytes_of(row->text, 79 + (size_t)len);
}

static void fill(struct row *row, uint64_t i, struct pq_value v[COLUMNS])
{
    for (uint64_t k = 0; k < i % 97; k++)
        row->raw[k] = (uint8_t)(i * 31 + k);
    for (int k = 0; k < 8; k++) {
        row->uuid[k] = (uint8_t)(i >> 8 * k);
        row->uuid[8 + k] = (uint8_t)~row->uuid[k];
    }
    v[ID] = bytes_of(row->id, (size_t)snprintf(row->id, sizeof(row->id), "id-%08" PRIu64, i));
    v[N32] = null_or(i % 7 == 0, (struct pq_value){.i32 = (int32_t)((uint32_t)i * 2654435761U)});
    v[N64] = (struct pq_value){.i64 = (int64_t)i * 1000 - 5};
    v[MILLIS] = (struct pq_value){.i64 = 1700000000000 + (int64_t)i};
    v[MICROS] = (struct pq_value){.i64 = 1700000000000000 + (int64_t)i * 37};
    v[F64] = null_or(i % 5 == 0, (struct pq_value){.f64 = (double)i * 0.5 - 100});
    v[FLAG] = null_or(i % 3 == 0, (struct pq_value){.boolean = i % 2 != 0});
    int kind = snprintf(row->kind, sizeof(row->kind), "kind-\xc3\xa9-%d", (int)(i % 10));
    v[KIND] = null_or(i % 4 == 0, bytes_of(row->kind, (size_t)kind));
    v[DOC] = null_or(i % 11 == 0, doc_of(row, i));
    v[RAW] = null_or(i % 13 == 0, bytes_of(row->raw, i % 97));
    v[UUID] = null_or(i % 6 == 0, bytes_of(row->uuid, 16));
    v[NOTHING] = (struct pq_value){.null = true};
    v[LONG] = long_of(row, i);
}

static int write_file(void *arg, const void *data, size_t len)
{
    return fwrite(data, 1, len, arg) == len ? 0 : -1;
}

static int index_of(const char *name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    fprintf(stderr, "parquet_sample: what is %s?\n", name);
    exit(2);
}

/** Asks for an encoding wherever the library has it for the column's type. */
static void set_encoding(enum pq_encoding encoding)
{
    for (int c = 0; c < COLUMNS; c++) {
        bool integer = columns[c].type == PQ_INT32 || columns[c].type == PQ_INT64;
        if ((encoding == PQ_DELTA_BINARY && !integer) ||
            (encoding == PQ_DELTA_LENGTH && columns[c].type != PQ_BYTE_ARRAY) ||
            (encoding == PQ_DELTA_LENGTH && columns[c].logical == PQ_JSON) || /* see parquet.h */
            (encoding == PQ_DICTIONARY && columns[c].type == PQ_BOOLEAN))
            continue;
        columns[c].encoding = encoding;
    }
}

struct plan {
    uint64_t rows;
    bool down;
    size_t doc_bytes;
};

static void read_options(int argc, char **argv, struct pq_write_options *o, struct plan *plan)
{
    static const char *const codecs[] = {"none", "snappy", "gzip", "zstd", "lz4_raw"};
    static const char *const encodings[] = {"auto", "plain", "dictionary", "delta_binary",
                                            "delta_length"};
    static const char *const names[] = {"rows",       "codec", "encoding", "page-bytes",
                                        "group-rows", "v2",    "order",    "doc-bytes"};
    for (int i = 2; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        uint64_t number = strtoull(value, NULL, 10);
        switch (index_of(argv[i], names, 8)) {
        case 0:
            plan->rows = number;
            break;
        case 1:
            o->codec = (enum pq_codec)index_of(value, codecs, 5);
            break;
        case 2:
            set_encoding((enum pq_encoding)index_of(value, encodings, 5));
            break;
        case 3:
            o->page_bytes = (uint32_t)number;
            break;
        case 4:
            o->row_group_rows = (uint32_t)number;
            break;
        case 5:
            o->page_v2 = number != 0;
            break;
        case 6:
            plan->down = strcmp(value, "down") == 0;
            break;
        default:
            plan->doc_bytes = number;
            break;
        }
    }
}

static int write_rows(struct pq_writer *w, const struct plan *plan, struct pq_error *err)
{
    struct row row = {.doc_bytes = plan->doc_bytes};
    struct pq_value values[COLUMNS];
    row.doc = malloc(plan->doc_bytes + 512);
    row.text = malloc(256);
    int rc = row.doc == NULL || row.text == NULL ? PQ_LIMIT : PQ_OK;
    for (uint64_t i = 0; i < plan->rows && rc == PQ_OK; i++) {
        fill(&row, plan->down ? plan->rows - 1 - i : i, values);
        rc = pq_writer_row(w, values, err);
    }
    free(row.doc);
    free(row.text);
    return rc;
}

int main(int argc, char **argv)
{
    static const uint16_t sorting[] = {ID, N64};
    struct pq_write_options options = {.codec = PQ_ZSTD};
    struct plan plan = {.rows = 1000};
    if (argc < 2) {
        fprintf(stderr, "usage: parquet_sample OUT [NAME VALUE]...\n");
        return 2;
    }
    read_options(argc, argv, &options, &plan);
    FILE *file = fopen(argv[1], "wb");
    if (file == NULL) {
        perror(argv[1]);
        return 1;
    }
    options.write = write_file;
    options.arg = file;
    options.sorting = plan.down ? NULL : sorting;
    options.sorting_count = plan.down ? 0 : 2;
    struct pq_error err = {{0}};
    struct pq_writer *w = NULL;
    struct pq_written written = {0};
    int rc = pq_writer_new(columns, COLUMNS, &options, &w, &err);
    if (rc == PQ_OK)
        rc = pq_writer_metadata(w, "purpose", "a test \xc3\xa9", &err);
    if (rc == PQ_OK)
        rc = write_rows(w, &plan, &err);
    if (rc == PQ_OK)
        rc = pq_writer_finish(w, &written, &err);
    pq_writer_free(w);
    if (fclose(file) != 0 || rc != PQ_OK) {
        fprintf(stderr, "parquet_sample: %s\n", err.text);
        return 1;
    }
    printf("{\"bytes\":%" PRIu64 ",\"data_end\":%" PRIu64 ",\"rows\":%" PRIu64 "}\n", written.bytes,
           written.data_end, written.rows);
    return 0;
}
