/*
 * cdc/pq_file.h: a Parquet file of the store, written and read: what deltas and files of documents
 * share. Private to cdc/.
 */
#ifndef CDC_PQ_FILE_H
#define CDC_PQ_FILE_H

#include "cdc/delta.h"
#include <parquet.h>

/* Writing: the columns' order is the row's. */

struct pq_out {
    struct store *store;
    struct store_writer *object;
    struct pq_writer *pq;
    struct pq_error error;
    err_t object_err; /* of the store, when it failed inside a callback */
    char *path;       /* in the store */
    int64_t ts_min_us, ts_max_us;
};

struct pq_schema {
    const struct pq_column *columns;
    size_t count;
    const uint16_t *sorting;
    uint16_t sorting_count;
};

/** Fills `out`, which must not move; release with pq_out_discard or pq_out_commit. */
err_t pq_out_open(struct pq_out *out, struct store *s, const char *path,
                  const struct pq_schema *schema) MUST_USE;
err_t pq_out_row(struct pq_out *out, const struct pq_value *values, int64_t ts_us) MUST_USE;
/** Finishes and commits; fills size, hashes, tail, rows, ts range. Releases `out` in any case. */
err_t pq_out_commit(struct pq_out *out, struct store_file *ret) MUST_USE;
void pq_out_discard(struct pq_out *out);

/* Reading */

struct pq_in {
    struct store_object *object;
    struct pq_reader *pq;
    struct pq_error error;
    err_t object_err;
    char *path;             /* in the store, for messages */
    struct store_file file; /* a copy of the caller's */
    uint64_t rows_read;
    bool pruned;
};

/** Opens "<dir>/<file->path>", checks its size, its hash (with `key`: the tail's alone), that it
 * has the schema's columns and the manifest's number of rows, and, with `key`, restricts it to
 * pages that may hold the key in column `key_column`. `in` must not move. */
struct pq_in_options {
    struct store *store;
    const char *dir;
    const struct store_file *file;
    const struct pq_schema *schema;
    const struct slice *key; /* NULL: all rows */
    uint16_t key_column;
};
err_t pq_in_open(struct pq_in *in, const struct pq_in_options *o) MUST_USE;
/** ERR_END; ERR_CORRUPT, also when there are more or fewer rows than the manifest says. */
err_t pq_in_next(struct pq_in *in, struct pq_value *values) MUST_USE;
/** ERR_CORRUPT with the file's name in front. */
err_t pq_in_corrupt(const struct pq_in *in, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_USE;
void pq_in_close(struct pq_in *in);

static inline struct slice pq_slice(const struct pq_value *v)
{
    return v->null ? (struct slice){0} : (struct slice){(const char *)v->bytes.data, v->bytes.len};
}
static inline struct pq_value pq_text(struct slice s)
{
    return (struct pq_value){
        .null = s.data == NULL,
        .bytes = {(const uint8_t *)s.data, (uint32_t)s.len},
    };
}
static inline struct pq_value pq_number(int64_t n)
{
    return (struct pq_value){.i64 = n};
}

#endif
