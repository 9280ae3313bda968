/*
 * tests/pqdump.c: prints a Parquet file as one JSON object per row.
 *
 *   pqdump FILE [--columns A,B] [--range COLUMN LOW HIGH] [--count] [--schema] [--no-crc]
 *
 * STRING and JSON values are JSON strings, other bytes hexadecimal strings. LOW and HIGH are text
 * or numbers, "-" is open. --count prints only "rows R pages P"; --schema a line per column. An
 * error goes to standard error as `STATUS: sentence`, exit status 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parquet.h"

#define COLUMNS_MAX 65536

struct dump {
    struct pq_reader *reader;
    uint16_t columns[COLUMNS_MAX];
    size_t count;
};

static int read_at(void *arg, uint64_t offset, void *out, size_t len)
{
    for (uint8_t *at = out; len > 0;) {
        ssize_t n = pread(*(const int *)arg, at, len, (off_t)offset);
        if (n <= 0)
            return -1;
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static _Noreturn void die(int status, const char *text)
{
    static const char *const names[] = {"OK", "END",   "CORRUPT", "UNSUPPORTED",
                                        "IO", "LIMIT", "USAGE"};
    fflush(stdout);
    fprintf(stderr, "%s: %s\n", names[-status], text);
    exit(1);
}

static void print_string(struct pq_bytes b)
{
    putchar('"');
    for (uint32_t i = 0; i < b.len; i++) {
        if (b.data[i] == '"' || b.data[i] == '\\')
            printf("\\%c", b.data[i]);
        else if (b.data[i] < 0x20)
            printf("\\u%04x", b.data[i]);
        else
            putchar(b.data[i]);
    }
    putchar('"');
}

static void print_hex(struct pq_bytes b)
{
    putchar('"');
    for (uint32_t i = 0; i < b.len; i++)
        printf("%02x", b.data[i]);
    putchar('"');
}

static void print_value(const struct pq_column *c, const struct pq_value *v)
{
    if (v->null) {
        printf("null");
        return;
    }
    switch (c->type) {
    case PQ_BOOLEAN:
        printf("%s", v->boolean ? "true" : "false");
        break;
    case PQ_INT32:
        printf("%" PRId32, v->i32);
        break;
    case PQ_INT64:
        printf("%" PRId64, v->i64);
        break;
    case PQ_DOUBLE:
        printf(isfinite(v->f64) ? "%.17g" : "\"%g\"", v->f64);
        break;
    case PQ_BYTE_ARRAY:
    case PQ_FIXED_16:
        if (c->logical == PQ_STRING || c->logical == PQ_JSON)
            print_string(v->bytes);
        else
            print_hex(v->bytes);
        break;
    }
}

static void print_row(const struct dump *d, const struct pq_value *values)
{
    for (size_t i = 0; i < d->count; i++) {
        const struct pq_column *c = pq_reader_column(d->reader, d->columns[i]);
        putchar(i == 0 ? '{' : ',');
        print_string((struct pq_bytes){(const uint8_t *)c->name, (uint32_t)strlen(c->name)});
        putchar(':');
        print_value(c, &values[i]);
    }
    printf("%s}\n", d->count == 0 ? "{" : "");
}

static void print_schema(const struct dump *d)
{
    static const char *const types[] = {"BOOLEAN", "INT32",      "INT64",
                                        "DOUBLE",  "BYTE_ARRAY", "FIXED_16"};
    static const char *const logicals[] = {
        "NONE", "STRING", "JSON", "TIMESTAMP_MILLIS", "TIMESTAMP_MICROS", "UUID"};
    for (size_t i = 0; i < d->count; i++) {
        const struct pq_column *c = pq_reader_column(d->reader, d->columns[i]);
        printf("%s %s %s %s %d\n", c->name, types[c->type], logicals[c->logical],
               c->optional ? "optional" : "required", c->field_id);
    }
}

static uint16_t find(const struct dump *d, const char *name)
{
    int column = pq_reader_find_column(d->reader, name);
    if (column < 0)
        die(PQ_USAGE, "no such column");
    return (uint16_t)column;
}

static void choose_columns(struct dump *d, char *names)
{
    struct pq_error err;
    d->count = 0;
    for (char *save, *name = strtok_r(names, ",", &save); name != NULL && d->count < COLUMNS_MAX;
         name = strtok_r(NULL, ",", &save))
        d->columns[d->count++] = find(d, name);
    int status = pq_reader_project(d->reader, d->columns, d->count, &err);
    if (status != PQ_OK)
        die(status, err.text);
}

/* NULL for "-". */
static const struct pq_value *parse_bound(const struct pq_column *c, const char *text,
                                          struct pq_value *v)
{
    if (strcmp(text, "-") == 0)
        return NULL;
    *v = (struct pq_value){0};
    if (c->type == PQ_INT32)
        v->i32 = (int32_t)strtol(text, NULL, 10);
    else if (c->type == PQ_INT64)
        v->i64 = strtoll(text, NULL, 10);
    else if (c->type == PQ_DOUBLE)
        v->f64 = strtod(text, NULL);
    else
        v->bytes = (struct pq_bytes){(const uint8_t *)text, (uint32_t)strlen(text)};
    return v;
}

static void choose_range(struct dump *d, char **args)
{
    struct pq_error err;
    struct pq_value low, high;
    uint16_t column = find(d, args[0]);
    const struct pq_column *c = pq_reader_column(d->reader, column);
    int status = pq_reader_prune(d->reader, column, parse_bound(c, args[1], &low),
                                 parse_bound(c, args[2], &high), &err);
    if (status != PQ_OK)
        die(status, err.text);
}

static void print_rows(const struct dump *d, bool count_only)
{
    struct pq_error err;
    struct pq_value *values = calloc(d->count + 1, sizeof(*values));
    uint64_t rows = 0;
    int status;
    if (values == NULL)
        die(PQ_LIMIT, "out of memory");
    while ((status = pq_reader_next(d->reader, values, &err)) == PQ_OK) {
        rows++;
        if (!count_only)
            print_row(d, values);
    }
    free(values);
    if (status != PQ_END)
        die(status, err.text);
    if (count_only)
        printf("rows %" PRIu64 " pages %" PRIu64 "\n", rows, pq_reader_pages_read(d->reader));
}

static bool has_flag(char **args, const char *flag)
{
    for (; *args != NULL; args++)
        if (strcmp(*args, flag) == 0)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static struct dump d;
    struct pq_error err;
    struct stat st;
    if (argc < 2)
        die(PQ_USAGE, "pqdump FILE [--columns A,B] [--range COLUMN LOW HIGH] [--count] [--schema]");
    int fd = open(argv[1], O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0)
        die(PQ_IO, strerror(errno));
    struct pq_read_options options = {.read = read_at,
                                      .arg = &fd,
                                      .size = (uint64_t)st.st_size,
                                      .skip_page_checksums = has_flag(argv, "--no-crc")};
    int status = pq_reader_open(&options, &d.reader, &err);
    if (status != PQ_OK)
        die(status, err.text);
    for (; d.count < pq_reader_column_count(d.reader); d.count++)
        d.columns[d.count] = (uint16_t)d.count;
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--columns") == 0 && i + 1 < argc)
            choose_columns(&d, argv[++i]);
        else if (strcmp(argv[i], "--range") == 0 && i + 3 < argc) {
            choose_range(&d, argv + i + 1);
            i += 3;
        }
    }
    if (has_flag(argv, "--schema"))
        print_schema(&d);
    else
        print_rows(&d, has_flag(argv, "--count"));
    pq_reader_free(d.reader);
    close(fd);
    return 0;
}
