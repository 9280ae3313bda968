/*
 * read_column.h: one projected column in one row group: rows in order, a batch at a time.
 *
 * The rows that pruning left out are passed over: whole pages by the offset index or by their
 * headers, the rest by decoding. Values of a batch are borrowed until the next one.
 */
#ifndef PARQUET_SRC_READ_COLUMN_H
#define PARQUET_SRC_READ_COLUMN_H

#include "decode.h"
#include "read_page.h"

#define COLUMN_BATCH 1024

struct column_reader {
    const struct pq_column *info;
    uint16_t index; /* in the schema */
    struct pager pager;
    uint64_t group_rows;
    struct page_list pages; /* of the offset index; count 0: not known */
    bool jumped;            /* pages were left out by the index */
    uint64_t page_end;      /* the row of the group behind the current page */
    uint64_t page_left;     /* rows of the current page that are not decoded */
    uint64_t pages_read;
    struct hybrid levels;
    struct decoder decoder;
    struct dictionary dictionary;
    bool has_dictionary;
    struct mem_buf dictionary_page, dictionary_values, last, values;
    struct pq_value *batch; /* in `values` */
    uint32_t at, have;      /* the next row in the batch, and how many it has */
};

void pq_column_init(struct column_reader *c, struct mem *mem, const struct source *source,
                    struct pq_codecs *codecs);
void pq_column_release(struct column_reader *c);
/** Before the first row of a group. With `jumps` most pages will be passed over: little is read
 * ahead. */
int pq_column_begin(struct column_reader *c, struct source *s, const struct meta_group *group,
                    bool jumps, struct pq_error *err);
/** Makes `row` of the group the next one. Rows only go forward. */
int pq_column_advance(struct column_reader *c, uint64_t row, struct pq_error *err);
/** The next batch, at least one row; only where at == have and rows are left. */
int pq_column_fill(struct column_reader *c, struct pq_error *err);

#endif
