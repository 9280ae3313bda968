/*
 * read_index.h: what a file says about its pages' places and bounds, and what may be left out.
 *
 * Format: PageIndex.md and BloomFilter.md of apache/parquet-format. Pruning only ever drops rows
 * that cannot lie in the range; where bounds are missing, of another order or NaN, rows stay. An
 * index or filter that contradicts the file is an error, not ignored: it could hide rows.
 */
#ifndef PARQUET_SRC_READ_INDEX_H
#define PARQUET_SRC_READ_INDEX_H

#include "read_meta.h"

/** A range of a column's values. Owned copies. */
struct prune {
    uint16_t column;
    bool has_low, has_high;
    struct pq_value low, high; /* bytes lie in `bytes` */
    struct mem_buf bytes;
};

struct page_at {
    uint64_t offset, first_row;
    uint32_t size; /* with its header */
};

struct page_list {
    struct mem_buf buf; /* of struct page_at */
    uint32_t count;
};

/** Rows [first, end) of a row group. */
struct span {
    uint64_t first, end;
};
struct span_list {
    struct mem_buf buf; /* of struct span, ascending, not touching each other's rows */
    uint32_t count;
};

/** A checked part of the file in memory. */
struct source {
    const struct pq_read_options *options;
    struct mem_buf buf;
};
int pq_source_read(const struct source *s, uint64_t offset, void *out, size_t len,
                   struct pq_error *err);

/** Reads a chunk's offset index into `pages`; count 0 where it has none. */
int pq_index_pages(struct source *s, const struct meta_chunk *chunk, uint64_t group_rows,
                   struct page_list *pages, struct pq_error *err);
/** The page that holds `row`. */
uint32_t pq_index_find(const struct page_list *pages, uint64_t row);

/** Whether no row of the group can match, by statistics and bloom filter. */
int pq_prune_group(struct source *s, const struct meta *m, const struct prune *p,
                   const struct meta_chunk *chunk, bool *ret_out, struct pq_error *err);
/** Takes rows out of `spans` whose page cannot match. `pages` and `scratch` are overwritten. */
int pq_prune_pages(struct source *s, const struct meta *m, const struct prune *p,
                   const struct meta_group *group, struct page_list *pages, struct span_list *spans,
                   struct span_list *scratch, struct pq_error *err);

#endif
