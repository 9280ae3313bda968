/*
 * write.c: pq_writer of parquet.h: rows into columns, columns into row groups, then the footer.
 *
 * A failure in the middle of a row or of the output leaves no file that could be continued, so it
 * stays: every later call gives the same status. What the caller did wrong (PQ_USAGE) is found
 * before anything changes and does not.
 */
#include "write.h"

#include <stdlib.h>

#include "footer_write.h"
#include "thrift_write.h"

#define ROW_GROUP_ROWS (1u << 20)
#define ROW_GROUP_BYTES (64u << 20)
#define PAGE_BYTES (64u << 10)
#define COLUMNS_MAX 10000u
#define CREATED_BY "spillway-parquet version " PARQUET_VERSION

/* Checks -------------------------------------------------------------------------------------- */

static bool logical_fits(enum pq_type type, enum pq_logical logical)
{
    switch (logical) {
    case PQ_LOGICAL_NONE:
        return true;
    case PQ_STRING:
    case PQ_JSON:
        return type == PQ_BYTE_ARRAY;
    case PQ_TIMESTAMP_MILLIS:
    case PQ_TIMESTAMP_MICROS:
        return type == PQ_INT64;
    case PQ_UUID:
        return type == PQ_FIXED_16;
    }
    return false;
}

static bool encoding_fits(enum pq_type type, enum pq_encoding encoding)
{
    switch (encoding) {
    case PQ_AUTO:
    case PQ_PLAIN:
        return true;
    case PQ_DICTIONARY:
        return type != PQ_BOOLEAN;
    case PQ_DELTA_BINARY:
        return type == PQ_INT32 || type == PQ_INT64;
    case PQ_DELTA_LENGTH:
        return type == PQ_BYTE_ARRAY;
    }
    return false;
}

static int check_columns(const struct pq_column *columns, size_t count, struct pq_error *err)
{
    if (count == 0 || count > COLUMNS_MAX)
        return pq_fail(err, PQ_USAGE, "%zu columns: there must be 1 to %u", count, COLUMNS_MAX);
    for (size_t i = 0; i < count; i++) {
        const struct pq_column *c = &columns[i];
        if (c->name == NULL || c->name[0] == '\0')
            return pq_fail(err, PQ_USAGE, "column %zu has no name", i);
        for (size_t k = 0; k < i; k++)
            if (strcmp(columns[k].name, c->name) == 0)
                return pq_fail(err, PQ_USAGE, "two columns are named %s", c->name);
        if ((unsigned)c->type > PQ_FIXED_16)
            return pq_fail(err, PQ_USAGE, "column %s has no known type", c->name);
        if (!logical_fits(c->type, c->logical))
            return pq_fail(err, PQ_USAGE, "column %s: its logical type is not one of its type",
                           c->name);
        if (!encoding_fits(c->type, c->encoding))
            return pq_fail(err, PQ_USAGE, "column %s: its encoding is not one for its type",
                           c->name);
    }
    return PQ_OK;
}

static int check_options(const struct pq_write_options *o, size_t column_count,
                         struct pq_error *err)
{
    if (o->write == NULL)
        return pq_fail(err, PQ_USAGE, "no function to write with");
    if ((unsigned)o->codec > PQ_LZ4_RAW)
        return pq_fail(err, PQ_USAGE, "unknown codec %d", (int)o->codec);
    if ((o->codec == PQ_ZSTD && (o->level < 0 || o->level > 22)) ||
        (o->codec == PQ_GZIP && (o->level < 0 || o->level > 9)))
        return pq_fail(err, PQ_USAGE, "level %d: %s has 1 to %d", o->level, pq_codec_name(o->codec),
                       o->codec == PQ_ZSTD ? 22 : 9);
    if (o->page_bytes > VALUE_BYTES_MAX)
        return pq_fail(err, PQ_USAGE, "pages of %u bytes: at most %u", o->page_bytes,
                       VALUE_BYTES_MAX);
    for (size_t i = 0; i < o->sorting_count; i++)
        if (o->sorting[i] >= column_count)
            return pq_fail(err, PQ_USAGE, "sorted by column %u of %zu", o->sorting[i],
                           column_count);
    return PQ_OK;
}

static int check_row(const struct pq_writer *w, const struct pq_value *values, struct pq_error *err)
{
    for (size_t i = 0; i < w->column_count; i++) {
        const struct column_writer *c = &w->columns[i];
        const struct pq_value *v = &values[i];
        if (v->null) {
            if (!c->optional)
                return pq_fail(err, PQ_USAGE, "null in the required column %s", c->name);
        } else if (c->type == PQ_BYTE_ARRAY && v->bytes.len > VALUE_BYTES_MAX) {
            return pq_fail(err, PQ_USAGE, "a value of %u bytes in column %s: at most %u",
                           v->bytes.len, c->name, VALUE_BYTES_MAX);
        } else if (c->type == PQ_FIXED_16 && v->bytes.len != 16) {
            return pq_fail(err, PQ_USAGE, "a value of %u bytes in column %s, which has 16",
                           v->bytes.len, c->name);
        }
    }
    return PQ_OK;
}

/* Making and freeing -------------------------------------------------------------------------- */

static void group_release(struct row_group *group, size_t column_count)
{
    for (size_t i = 0; group->chunks != NULL && i < column_count; i++)
        pq_chunk_release(&group->chunks[i].chunk);
    free(group->chunks);
}

void pq_writer_free(struct pq_writer *w)
{
    if (w == NULL)
        return;
    for (size_t i = 0; w->columns != NULL && i < w->column_count; i++)
        pq_column_writer_release(&w->columns[i]);
    free(w->columns);
    for (size_t i = 0; i < w->group_count; i++)
        group_release(&w->groups[i], w->column_count);
    free(w->groups);
    pq_page_sink_release(&w->sink);
    pq_buf_release(&w->metadata);
    free((void *)(uintptr_t)w->options.sorting);
    free((void *)(uintptr_t)w->options.created_by);
    free(w);
}

static bool copy_columns(struct pq_writer *w, const struct pq_column *columns, size_t count)
{
    w->columns = calloc(count, sizeof(w->columns[0]));
    if (w->columns == NULL)
        return false;
    w->column_count = count;
    for (size_t i = 0; i < count; i++) {
        struct column_writer *c = &w->columns[i];
        c->type = columns[i].type;
        c->logical = columns[i].logical;
        c->encoding = columns[i].encoding;
        c->optional = columns[i].optional;
        c->bloom = columns[i].bloom;
        c->field_id = columns[i].field_id;
        c->name = strdup(columns[i].name);
        if (c->name == NULL)
            return false;
        pq_column_writer_begin(c);
    }
    return true;
}

static bool copy_options(struct pq_writer *w, const struct pq_write_options *o)
{
    w->options = *o;
    w->options.sorting = NULL;
    w->options.created_by = strdup(o->created_by != NULL ? o->created_by : CREATED_BY);
    if (o->sorting_count != 0) {
        uint16_t *sorting = calloc(o->sorting_count, sizeof(sorting[0]));
        w->options.sorting = sorting;
        if (sorting == NULL)
            return false;
        memcpy(sorting, o->sorting, o->sorting_count * sizeof(sorting[0]));
    }
    if (o->row_group_rows == 0)
        w->options.row_group_rows = ROW_GROUP_ROWS;
    if (o->row_group_bytes == 0)
        w->options.row_group_bytes = ROW_GROUP_BYTES;
    w->sink.codec = o->codec;
    w->sink.level = o->level != 0 ? o->level : o->codec == PQ_GZIP ? 6 : 1;
    w->sink.page_bytes = o->page_bytes != 0 ? o->page_bytes : PAGE_BYTES;
    w->sink.page_v2 = o->page_v2;
    return w->options.created_by != NULL;
}

int pq_writer_put(struct pq_writer *w, const void *data, size_t len, struct pq_error *err)
{
    if (len != 0 && w->options.write(w->options.arg, data, len) != 0)
        return pq_fail(err, PQ_IO, "the file cannot be written at offset %llu",
                       (unsigned long long)w->bytes);
    w->bytes += len;
    return PQ_OK;
}

int pq_writer_new(const struct pq_column *columns, size_t column_count,
                  const struct pq_write_options *options, struct pq_writer **ret,
                  struct pq_error *err)
{
    PQ_TRY(check_columns(columns, column_count, err));
    PQ_TRY(check_options(options, column_count, err));
    struct pq_writer *w = calloc(1, sizeof(*w));
    if (w == NULL)
        return pq_fail(err, PQ_LIMIT, "out of memory for a writer");
    int rc = PQ_OK;
    if (!copy_columns(w, columns, column_count) || !copy_options(w, options))
        rc = pq_fail(err, PQ_LIMIT, "out of memory for %zu columns", column_count);
    if (rc == PQ_OK)
        rc = pq_writer_put(w, PQ_MAGIC, PQ_MAGIC_LEN, err);
    if (rc != PQ_OK) {
        pq_writer_free(w);
        return rc;
    }
    *ret = w;
    return PQ_OK;
}

/* Row groups ---------------------------------------------------------------------------------- */

static int new_group(struct pq_writer *w, struct row_group **ret, struct pq_error *err)
{
    if (w->group_count == w->group_cap) {
        size_t cap = w->group_cap == 0 ? 8 : w->group_cap * 2;
        struct row_group *groups = realloc(w->groups, cap * sizeof(groups[0]));
        if (groups == NULL)
            return pq_fail(err, PQ_LIMIT, "out of memory for row group %zu", w->group_count);
        w->groups = groups;
        w->group_cap = cap;
    }
    struct row_group *group = &w->groups[w->group_count];
    *group = (struct row_group){.rows = w->group_rows, .offset = w->bytes};
    group->chunks = calloc(w->column_count, sizeof(group->chunks[0]));
    if (group->chunks == NULL)
        return pq_fail(err, PQ_LIMIT, "out of memory for row group %zu", w->group_count);
    w->group_count++;
    *ret = group;
    return PQ_OK;
}

/** Writes the open row group, if it has rows, and begins the next. */
static int end_group(struct pq_writer *w, struct pq_error *err)
{
    if (w->group_rows == 0)
        return PQ_OK;
    struct row_group *group = NULL;
    PQ_TRY(new_group(w, &group, err));
    for (size_t i = 0; i < w->column_count; i++) {
        struct column_writer *c = &w->columns[i];
        PQ_TRY(pq_column_writer_end(c, &w->sink, w->bytes, err));
        PQ_TRY(pq_writer_put(w, w->sink.dictionary.data, w->sink.dictionary.len, err));
        PQ_TRY(pq_writer_put(w, c->pages.data, c->pages.len, err));
        group->chunks[i].chunk = c->chunk;
        pq_column_writer_begin(c);
    }
    w->group_rows = w->group_bytes = 0;
    return PQ_OK;
}

/** Notes a failure that the file cannot recover from. */
static int settle(struct pq_writer *w, int rc)
{
    if (rc != PQ_OK)
        w->failed = rc;
    return rc;
}

static int check_open(const struct pq_writer *w, struct pq_error *err)
{
    if (w->failed != PQ_OK)
        return pq_fail(err, w->failed, "an earlier write to this file failed");
    if (w->finished)
        return pq_fail(err, PQ_USAGE, "the file is finished");
    return PQ_OK;
}

int pq_writer_row(struct pq_writer *w, const struct pq_value *values, struct pq_error *err)
{
    PQ_TRY(check_open(w, err));
    PQ_TRY(check_row(w, values, err));
    for (size_t i = 0; i < w->column_count; i++) {
        int rc =
            pq_column_writer_append(&w->columns[i], &w->sink, &values[i], &w->group_bytes, err);
        if (rc != PQ_OK)
            return settle(w, rc);
    }
    w->rows++;
    w->group_rows++;
    if (w->group_rows >= w->options.row_group_rows || w->group_bytes >= w->options.row_group_bytes)
        return settle(w, end_group(w, err));
    return PQ_OK;
}

int pq_writer_metadata(struct pq_writer *w, const char *key, const char *value,
                       struct pq_error *err)
{
    PQ_TRY(check_open(w, err));
    struct thrift_put t = {.out = &w->metadata};
    pq_thrift_put_begin(&t);
    pq_thrift_put_text(&t, 1, key);
    pq_thrift_put_text(&t, 2, value);
    pq_thrift_put_end(&t);
    w->metadata_count++;
    return settle(w, pq_buf_check(&w->metadata, err));
}

static int write_end(struct pq_writer *w, struct pq_written *ret, struct pq_error *err)
{
    PQ_TRY(end_group(w, err));
    ret->data_end = w->bytes;
    ret->rows = w->rows;
    PQ_TRY(pq_footer_bloom(w, err));
    PQ_TRY(pq_footer_page_index(w, err));
    PQ_TRY(pq_footer_metadata(w, err));
    ret->bytes = w->bytes;
    return PQ_OK;
}

int pq_writer_finish(struct pq_writer *w, struct pq_written *ret, struct pq_error *err)
{
    struct pq_written written = {0};
    PQ_TRY(check_open(w, err));
    PQ_TRY(settle(w, write_end(w, &written, err)));
    w->finished = true;
    if (ret != NULL)
        *ret = written;
    return PQ_OK;
}
