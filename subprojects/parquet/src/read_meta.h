/*
 * read_meta.h: the footer of a file, as far as reading needs it.
 *
 * Format: parquet.thrift of apache/parquet-format (FileMetaData). pq_meta_parse checks what can be
 * checked without looking at pages: the schema is flat and of types that this library has, every
 * row group has one chunk per column with as many values as the group has rows, and every chunk,
 * index and filter lies inside the file before the footer.
 */
#ifndef PARQUET_SRC_READ_META_H
#define PARQUET_SRC_READ_META_H

#include "mem.h"
#include "thrift_read.h"

struct meta_range {
    uint64_t start, len; /* in the file; len 0: absent */
};

/** Bounds of some values, in PLAIN form; data NULL: not known. */
struct meta_bounds {
    struct pq_bytes min, max;
    int64_t null_count; /* -1: not known */
};

struct meta_chunk {
    struct meta_range pages; /* the dictionary's too */
    struct meta_range offset_index, column_index;
    uint64_t bloom_offset; /* 0: absent */
    int64_t num_values;
    int32_t type, codec; /* as in the file */
    struct meta_bounds bounds;
};

struct meta_group {
    uint64_t rows;
    struct meta_chunk *chunks; /* one per column */
};

struct meta_pair {
    const char *key, *value;
};

struct meta {
    struct pq_column *columns;
    /* Whether bounds of that column are in the order by which pq_reader_prune compares. */
    bool *ordered;
    size_t column_count;
    struct meta_group *groups;
    size_t group_count;
    struct meta_pair *pairs;
    size_t pair_count;
    uint64_t rows;
};

/** `footer` outlives the result, which borrows from it. `data_end` is the footer's position. */
int pq_meta_parse(struct meta *m, struct pq_bytes footer, uint64_t data_end,
                  struct mem_arena *arena, struct pq_error *err);
/** The `count` schema elements before the cursor into m->columns. */
int pq_schema_parse(struct meta *m, struct thrift *t, uint32_t count, struct mem_arena *arena,
                    struct pq_error *err);
/** A NUL-terminated copy. PQ_CORRUPT where a NUL is inside. */
int pq_meta_string(struct mem_arena *arena, struct pq_bytes text, const char **ret,
                   struct pq_error *err);
#endif
