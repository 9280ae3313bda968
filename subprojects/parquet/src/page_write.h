/*
 * page_write.h: a page with its header, compressed, appended to a buffer.
 *
 * Format: PageHeader of parquet.thrift. Each page carries a CRC.
 */
#ifndef PARQUET_PAGE_WRITE_H
#define PARQUET_PAGE_WRITE_H

#include "column_write.h"

struct page_sizes {
    uint64_t raw, file; /* with the header */
};

/** The dictionary page of `count` values. */
int pq_page_write_dictionary(struct page_sink *sink, struct pq_bytes plain, uint32_t count,
                             struct pq_buf *out, struct page_sizes *ret, struct pq_error *err);

struct data_page {
    uint32_t rows, values;  /* values: those that are not null */
    const uint8_t *present; /* a byte for each row; NULL: the column is required */
    enum format_encoding encoding;
};
/** Begins a page in sink->raw: its definition levels, behind which its values are appended. */
int pq_page_begin_data(struct page_sink *sink, const struct data_page *page, struct pq_error *err);
/** Writes the data page whose levels and values sink->raw holds. */
int pq_page_write_data(struct page_sink *sink, const struct data_page *page, struct pq_buf *out,
                       struct page_sizes *ret, struct pq_error *err);

#endif
