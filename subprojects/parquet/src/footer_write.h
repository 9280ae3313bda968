/*
 * footer_write.h: what follows the pages: bloom filters, page index, FileMetaData.
 *
 * Format: parquet.thrift. The places of the filters and of the indexes are noted while they are
 * written, and the footer, which comes last, says them.
 */
#ifndef PARQUET_FOOTER_WRITE_H
#define PARQUET_FOOTER_WRITE_H

#include "write.h"

/** Each writes its part, in this order; filters and indexes are freed as soon as they are written.
 */
int pq_footer_bloom(struct pq_writer *w, struct pq_error *err);
int pq_footer_page_index(struct pq_writer *w, struct pq_error *err);
int pq_footer_metadata(struct pq_writer *w, struct pq_error *err);

#endif
