/*
 * bench/parquet_bench.c: how fast subprojects/parquet writes and reads events on one thread.
 *
 * Usage: parquet_bench write FILE [rows] [seed]     events of about 200 bytes of JSON, zstd level 1
 *        parquet_bench read FILE                    every column of every row
 *
 * Prints one JSON line: CPU seconds of the thread without making the input, and MB (10^6 bytes) of
 * values per such second. A value counts as many bytes as it has, eight for an integer. Writing
 * goes to a file whose pages are then dropped, so that the disk does not count.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"
#include "base/buf.h"
#include "bench/common.h"
#include "bench/events.h"
#include "parquet.h"

enum { LSN, ID, TYPE, TS, DATA, COLUMNS };

static const struct pq_column columns[COLUMNS] = {
    [LSN] = {.name = "lsn", .type = PQ_INT64},
    [ID] = {.name = "id", .type = PQ_BYTE_ARRAY, .logical = PQ_STRING},
    [TYPE] = {.name = "type", .type = PQ_BYTE_ARRAY, .logical = PQ_STRING},
    [TS] = {.name = "ts", .type = PQ_INT64, .logical = PQ_TIMESTAMP_MICROS},
    [DATA] = {.name = "data", .type = PQ_BYTE_ARRAY, .logical = PQ_JSON, .optional = true},
};

#define ID_BYTES 24
#define TIME_US INT64_C(1767225600000000) /* 2026-01-01: the same rows whenever it runs */

struct event {
    size_t at; /* of the id, which the JSON follows */
    uint32_t len, type_at, type_len;
    int64_t ts;
};

struct input {
    struct buf text;
    struct event *events;
    size_t count;
};

static void make_input(struct input *in, size_t count, uint64_t seed)
{
    struct event_source source;
    char json[EVENT_MAX];
    events_init(&source, seed, 0);
    source.time_us = TIME_US;
    in->events = xcalloc(count, sizeof(in->events[0]));
    in->count = count;
    for (size_t i = 0; i < count; i++) {
        struct event *e = &in->events[i];
        size_t len = events_next(&source, json);
        const char *type = memmem(json, len, "\"type\":\"", 8);
        const char *end =
            type != NULL ? memchr(type + 8, '"', (size_t)(json + len - type - 8)) : NULL;
        if (end == NULL)
            bench_die("an event without a type");
        e->at = in->text.len;
        e->len = (uint32_t)len;
        e->type_at = (uint32_t)(type + 8 - json);
        e->type_len = (uint32_t)(end - type - 8);
        e->ts = source.time_us;
        uint64_t id = (i + 1) * 0x9E3779B97F4A7C15;
        buf_printf(&in->text, "evt_%04x%016" PRIx64, (unsigned)seed & 0xffff, id);
        buf_append(&in->text, json, len);
    }
}

static struct pq_value bytes_of(const char *data, size_t len)
{
    return (struct pq_value){.bytes = {(const uint8_t *)data, (uint32_t)len}};
}

static int write_fd(void *arg, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(*(int *)arg, at, len);
        if (n <= 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static void write_rows(struct pq_writer *w, const struct input *in, struct pq_error *err)
{
    for (size_t i = 0; i < in->count; i++) {
        const struct event *e = &in->events[i];
        const char *id = in->text.data + e->at, *json = id + ID_BYTES;
        struct pq_value row[COLUMNS] = {[LSN] = {.i64 = (int64_t)i},
                                        [ID] = bytes_of(id, ID_BYTES),
                                        [TYPE] = bytes_of(json + e->type_at, e->type_len),
                                        [TS] = {.i64 = e->ts},
                                        [DATA] = bytes_of(json, e->len)};
        if (pq_writer_row(w, row, err) != PQ_OK)
            bench_die("%s", err->text);
    }
}

static void bench_write(const char *path, size_t rows, uint64_t seed)
{
    struct input in = {.text = BUF_INIT};
    make_input(&in, rows, seed);
    uint64_t bytes = 0, json_bytes = 0;
    for (size_t i = 0; i < rows; i++) {
        bytes += 8 + ID_BYTES + in.events[i].type_len + 8 + in.events[i].len;
        json_bytes += in.events[i].len;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        bench_die_errno("%s", path);
    struct pq_write_options options = {.codec = PQ_ZSTD, .level = 1, .write = write_fd, .arg = &fd};
    struct pq_error err = {{0}};
    struct pq_writer *w = NULL;
    struct pq_written written;
    double start = bench_thread_cpu_s();
    if (pq_writer_new(columns, COLUMNS, &options, &w, &err) != PQ_OK)
        bench_die("%s", err.text);
    write_rows(w, &in, &err);
    if (pq_writer_finish(w, &written, &err) != PQ_OK)
        bench_die("%s", err.text);
    pq_writer_free(w);
    double cpu = bench_thread_cpu_s() - start;
    close(fd);
    printf("{\"bench\":\"parquet\",\"mode\":\"write\",\"library\":\"spillway\",\"rows\":%zu,"
           "\"input_bytes\":%" PRIu64 ",\"json_bytes\":%" PRIu64 ",\"file_bytes\":%" PRIu64
           ",\"cpu_s\":%.4f,\"mb_per_s\":%.1f}\n",
           rows, bytes, json_bytes, written.bytes, cpu, (double)bytes / cpu / 1e6);
    buf_release(&in.text);
    free(in.events);
}

static int read_fd(void *arg, uint64_t offset, void *out, size_t len)
{
    char *at = out;
    while (len > 0) {
        ssize_t n = pread(*(int *)arg, at, len, (off_t)offset);
        if (n <= 0)
            return -1;
        at += n;
        offset += (uint64_t)n;
        len -= (size_t)n;
    }
    return 0;
}

static void bench_read(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
    if (size < 0)
        bench_die_errno("%s", path);
    struct pq_read_options options = {.read = read_fd, .arg = &fd, .size = (uint64_t)size};
    struct pq_error err = {{0}};
    struct pq_reader *r = NULL;
    double start = bench_thread_cpu_s();
    if (pq_reader_open(&options, &r, &err) != PQ_OK)
        bench_die("%s", err.text);
    size_t count = pq_reader_column_count(r);
    if (count != COLUMNS)
        bench_die("%s is not a file of this program", path);
    struct pq_value row[COLUMNS];
    uint64_t rows = 0, bytes = 0, sum = 0;
    int rc = PQ_OK;
    while ((rc = pq_reader_next(r, row, &err)) == PQ_OK) {
        bytes += 16 + row[ID].bytes.len + row[TYPE].bytes.len + row[DATA].bytes.len;
        sum += (uint64_t)row[LSN].i64 + row[DATA].bytes.data[row[DATA].bytes.len - 1];
        rows++;
    }
    if (rc != PQ_END)
        bench_die("%s", err.text);
    pq_reader_free(r);
    double cpu = bench_thread_cpu_s() - start;
    close(fd);
    printf("{\"bench\":\"parquet\",\"mode\":\"read\",\"library\":\"spillway\",\"rows\":%" PRIu64
           ",\"input_bytes\":%" PRIu64 ",\"cpu_s\":%.4f,\"mb_per_s\":%.1f,\"sum\":%" PRIu64 "}\n",
           rows, bytes, cpu, (double)bytes / cpu / 1e6, sum);
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "write") == 0) {
        size_t rows = argc > 3 ? bench_parse_u64(argv[3], "rows") : 1000000;
        bench_write(argv[2], rows, argc > 4 ? bench_parse_u64(argv[4], "seed") : 1);
    } else if (argc == 3 && strcmp(argv[1], "read") == 0) {
        bench_read(argv[2]);
    } else {
        fprintf(stderr, "usage: parquet_bench write FILE [rows] [seed] | read FILE\n");
        return 2;
    }
    return 0;
}
