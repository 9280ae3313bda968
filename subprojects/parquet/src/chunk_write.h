/*
 * chunk_write.h: what is kept of a column chunk's pages: statistics, page index, bloom filter.
 *
 * Format: PageIndex.md and BloomFilter.md of apache/parquet-format. Part of column_write.h's
 * object.
 */
#ifndef PARQUET_CHUNK_WRITE_H
#define PARQUET_CHUNK_WRITE_H

#include "column_write.h"
#include "page_write.h"

void pq_chunk_begin(struct column_writer *c);
/** Takes in the open page, which has just been appended to c->pages. */
void pq_chunk_add_page(struct column_writer *c, const struct data_page *page,
                       const struct page_sizes *sizes);
/** Writes the open page, if it has rows (column_write.c). */
int pq_column_writer_flush(struct column_writer *c, struct page_sink *sink, struct pq_error *err);

#endif
