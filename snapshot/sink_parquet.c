/*
 * snapshot/sink_parquet.c: a Parquet file with the columns id (STRING), doc (JSON), lsn (INT64) and
 * ts (TIMESTAMP, microseconds, UTC), sorted by id.
 */
#include <stdlib.h>

#include "snapshot/sink.h"
#include <parquet.h>

#define WRITE_BYTES MIB(1)

struct parquet {
    struct io_file *file;
    uint64_t position;
    struct buf out;
    struct pq_writer *writer;
    err_t write_error; /* of the file, while the library only knows that it failed */
};

static const struct pq_column columns[] = {
    {.name = "id", .type = PQ_BYTE_ARRAY, .logical = PQ_STRING, .bloom = true, .field_id = 1},
    {.name = "doc", .type = PQ_BYTE_ARRAY, .logical = PQ_JSON, .field_id = 2},
    {.name = "lsn", .type = PQ_INT64, .field_id = 3},
    {.name = "ts", .type = PQ_INT64, .logical = PQ_TIMESTAMP_MICROS, .field_id = 4},
};
static const uint16_t sorted_by[] = {0};

static err_t flush(struct parquet *p)
{
    if (p->out.len == 0)
        return OK;
    TRY(io_file_pwrite(p->file, p->out.data, p->out.len, p->position));
    p->position += p->out.len;
    buf_clear(&p->out);
    return OK;
}

static int on_bytes(void *arg, const void *data, size_t len)
{
    struct parquet *p = arg;
    buf_append(&p->out, data, len);
    if (p->out.len >= WRITE_BYTES)
        p->write_error = flush(p);
    return p->write_error == OK ? 0 : -1;
}

static err_t failed(const struct parquet *p, int status, const struct pq_error *e)
{
    if (status == 0)
        return OK;
    if (status == PQ_IO && p->write_error != OK)
        return p->write_error; /* its sentence was recorded by io */
    return err_fail(ERR_VALIDATION, "the Parquet file cannot be written: %s", e->text);
}

static err_t parquet_add(void *arg, const struct state_doc *doc)
{
    struct parquet *p = arg;
    struct pq_error e;
    if (doc->id.len > UINT32_MAX || doc->doc.len > UINT32_MAX)
        return err_fail(ERR_VALIDATION, "a document is larger than 4 GiB");
    const struct pq_value row[] = {
        {.bytes = {(const uint8_t *)doc->id.data, (uint32_t)doc->id.len}},
        {.bytes = {(const uint8_t *)doc->doc.data, (uint32_t)doc->doc.len}},
        {.i64 = doc->lsn},
        {.i64 = doc->ts_us},
    };
    return failed(p, pq_writer_row(p->writer, row, &e), &e);
}

static err_t parquet_finish(void *arg)
{
    struct parquet *p = arg;
    struct pq_error e;
    TRY(failed(p, pq_writer_finish(p->writer, NULL, &e), &e));
    TRY(flush(p));
    return io_file_sync(p->file);
}

static void parquet_close(void *arg)
{
    struct parquet *p = arg;
    pq_writer_free(p->writer);
    io_file_close(p->file);
    buf_release(&p->out);
    free(p);
}

static const struct sink_ops parquet_ops = {parquet_add, parquet_finish, parquet_close};

err_t sink_parquet_open(struct io *io, const char *path, struct sink *ret)
{
    struct parquet *p = xcalloc(1, sizeof(*p));
    const struct pq_write_options options = {.codec = PQ_ZSTD,
                                             .level = 1,
                                             .sorting = sorted_by,
                                             .sorting_count = ARRAY_LEN(sorted_by),
                                             .created_by = "spillway version " SPILLWAY_VERSION,
                                             .write = on_bytes,
                                             .arg = p};
    struct pq_error e;
    err_t err = io_open(io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &p->file);
    if (err == OK)
        err = failed(p, pq_writer_new(columns, ARRAY_LEN(columns), &options, &p->writer, &e), &e);
    if (err != OK) {
        parquet_close(p);
        return err;
    }
    *ret = (struct sink){&parquet_ops, p};
    return OK;
}
