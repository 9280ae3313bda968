/*
 * cdc/pq_file.c: Parquet files as objects of a store.
 *
 * Written with zstd at level 1, CRCs of pages, statistics, a page index, and the order that the
 * schema declares. Before a row is read, the whole file's size and hash are compared with the
 * manifest's; for reads of a few pages it is the hash of what lies behind the pages (indexes,
 * filters, footer), and each page read has its own CRC.
 */
#include "cdc/pq_file.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZSTD_LEVEL 1
#define READ_MEMORY_MAX MIB(256)

static err_t err_of_status(int status)
{
    switch (status) {
    case PQ_IO:
        return ERR_IO;
    case PQ_LIMIT:
        return ERR_NO_MEMORY;
    case PQ_USAGE:
        return ERR_INTERNAL;
    default:
        return ERR_CORRUPT;
    }
}

/* Writing ------------------------------------------------------------------------------------- */

static int write_piece(void *arg, const void *data, size_t len)
{
    struct pq_out *out = arg;
    out->object_err = store_write(out->object, data, len);
    return out->object_err == OK ? 0 : -1;
}

static err_t out_failed(const struct pq_out *out, int status)
{
    if (out->object_err != OK)
        return out->object_err;
    return err_fail(err_of_status(status), "%s cannot be written: %s", out->path, out->error.text);
}

void pq_out_discard(struct pq_out *out)
{
    pq_writer_free(TAKE(out->pq));
    store_discard(TAKE(out->object));
    free(TAKE(out->path));
}

err_t pq_out_open(struct pq_out *out, struct store *s, const char *path,
                  const struct pq_schema *schema)
{
    *out = (struct pq_out){.store = s, .ts_min_us = INT64_MAX, .ts_max_us = INT64_MIN};
    TRY(store_create(s, path, &out->object));
    out->path = xstrdup(path);
    const struct pq_write_options options = {
        .codec = PQ_ZSTD,
        .level = ZSTD_LEVEL,
        .sorting = schema->sorting,
        .sorting_count = schema->sorting_count,
        .created_by = "spillway version " SPILLWAY_VERSION,
        .write = write_piece,
        .arg = out,
    };
    int status = pq_writer_new(schema->columns, schema->count, &options, &out->pq, &out->error);
    if (status == PQ_OK)
        return OK;
    err_t err = out_failed(out, status);
    pq_out_discard(out);
    return err;
}

err_t pq_out_row(struct pq_out *out, const struct pq_value *values, int64_t ts_us)
{
    int status = pq_writer_row(out->pq, values, &out->error);
    if (status != PQ_OK)
        return out_failed(out, status);
    out->ts_min_us = MIN(out->ts_min_us, ts_us);
    out->ts_max_us = MAX(out->ts_max_us, ts_us);
    return OK;
}

/** The hash of what lies behind the pages is known only when all is written: read again. */
static err_t hash_tail(struct store *s, const char *path, struct store_file *f)
{
    struct store_object *o;
    TRY(store_object_open(s, path, &o));
    err_t err = store_object_hash(o, f->tail, f->size - f->tail, f->tail_hash);
    store_object_close(o);
    return err;
}

static err_t finish(struct pq_out *out, struct store_file *f)
{
    struct pq_written written;
    int status = pq_writer_finish(out->pq, &written, &out->error);
    if (status != PQ_OK)
        return out_failed(out, status);
    f->size = store_writer_size(out->object);
    f->tail = written.data_end;
    f->rows = written.rows;
    f->ts_min_us = out->ts_min_us;
    f->ts_max_us = out->ts_max_us;
    store_writer_hash(out->object, f->hash);
    ASSERT(written.bytes == f->size && f->tail <= f->size);
    TRY(store_commit(TAKE(out->object), true));
    return hash_tail(out->store, out->path, f);
}

err_t pq_out_commit(struct pq_out *out, struct store_file *ret)
{
    struct store_file f = {0};
    err_t err = finish(out, &f);
    if (err == OK) {
        f.path = TAKE(out->path);
        *ret = f;
    }
    pq_out_discard(out);
    return err;
}

/* Reading ------------------------------------------------------------------------------------- */

static int read_piece(void *arg, uint64_t offset, void *data, size_t len)
{
    struct pq_in *in = arg;
    in->object_err = store_object_read(in->object, offset, data, len);
    return in->object_err == OK ? 0 : -1;
}

err_t pq_in_corrupt(const struct pq_in *in, const char *fmt, ...)
{
    char why[256];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    return err_fail(ERR_CORRUPT, "%s is damaged: %s", in->path, why);
}

static err_t in_failed(const struct pq_in *in, int status)
{
    if (in->object_err != OK)
        return in->object_err;
    return err_fail(err_of_status(status), "%s cannot be read: %s", in->path, in->error.text);
}

void pq_in_close(struct pq_in *in)
{
    pq_reader_free(TAKE(in->pq));
    store_object_close(TAKE(in->object));
    store_file_release(&in->file);
    free(TAKE(in->path));
}

/** The bytes are those that the manifest's writer saw: all of them, or those behind the pages. */
static err_t check_bytes(struct pq_in *in, bool all)
{
    const struct store_file *f = &in->file;
    uint64_t size = store_object_size(in->object);
    if (size != f->size)
        return pq_in_corrupt(in, "it is %llu bytes long, its manifest says %llu",
                             (unsigned long long)size, (unsigned long long)f->size);
    char got[33];
    TRY(store_object_hash(in->object, all ? 0 : f->tail, all ? size : size - f->tail, got));
    if (strcmp(got, all ? f->hash : f->tail_hash) != 0)
        return pq_in_corrupt(in, "its bytes%s do not have the hash that its manifest says",
                             all ? "" : " behind the pages");
    return OK;
}

static err_t check_schema(struct pq_in *in, const struct pq_schema *schema)
{
    if (pq_reader_row_count(in->pq) != in->file.rows)
        return pq_in_corrupt(in, "it has %llu rows, its manifest says %llu",
                             (unsigned long long)pq_reader_row_count(in->pq),
                             (unsigned long long)in->file.rows);
    bool same = pq_reader_column_count(in->pq) == schema->count;
    for (size_t i = 0; same && i < schema->count; i++) {
        const struct pq_column *got = pq_reader_column(in->pq, i);
        const struct pq_column *want = &schema->columns[i];
        same = strcmp(got->name, want->name) == 0 && got->type == want->type &&
               (want->optional || !got->optional);
    }
    return same ? OK : pq_in_corrupt(in, "it does not have the columns of such a file");
}

static err_t open_reader(struct pq_in *in, const struct pq_in_options *o)
{
    err_t err = store_object_open(o->store, in->path, &in->object);
    if (err == ERR_NOT_FOUND)
        return err_fail(ERR_CORRUPT, "%s is missing, but its manifest names it", in->path);
    TRY(err);
    TRY(check_bytes(in, o->key == NULL));
    const struct pq_read_options options = {
        .read = read_piece,
        .arg = in,
        .size = in->file.size,
        .memory_max = READ_MEMORY_MAX,
    };
    int status = pq_reader_open(&options, &in->pq, &in->error);
    if (status != PQ_OK)
        return in_failed(in, status);
    TRY(check_schema(in, o->schema));
    if (o->key == NULL)
        return OK;
    in->pruned = true;
    struct pq_value key = pq_text(*o->key);
    status = pq_reader_prune(in->pq, o->key_column, &key, &key, &in->error);
    return status == PQ_OK ? OK : in_failed(in, status);
}

err_t pq_in_open(struct pq_in *in, const struct pq_in_options *o)
{
    *in = (struct pq_in){.path = xasprintf("%s/%s", o->dir, o->file->path)};
    in->file = store_file_copy(o->file);
    err_t err = open_reader(in, o);
    if (err != OK)
        pq_in_close(in);
    return err;
}

err_t pq_in_next(struct pq_in *in, struct pq_value *values)
{
    int status = pq_reader_next(in->pq, values, &in->error);
    if (status == PQ_OK) {
        if (++in->rows_read > in->file.rows)
            return pq_in_corrupt(in, "it has more rows than its manifest says");
        return OK;
    }
    if (status != PQ_END)
        return in_failed(in, status);
    if (!in->pruned && in->rows_read != in->file.rows)
        return pq_in_corrupt(in, "it ends after %llu of %llu rows",
                             (unsigned long long)in->rows_read, (unsigned long long)in->file.rows);
    return ERR_END;
}
