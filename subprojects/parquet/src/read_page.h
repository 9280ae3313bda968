/*
 * read_page.h: the pages of one column chunk, one at a time.
 *
 * Format: parquet.thrift of apache/parquet-format (PageHeader), Compression.md.
 *
 * A pager walks the chunk's bytes from page to page through one window. It checks a page's CRC
 * where there is one, decompresses it, and cuts it into levels and values. All that it gives lies
 * in its own buffers until the next page is loaded.
 */
#ifndef PARQUET_SRC_READ_PAGE_H
#define PARQUET_SRC_READ_PAGE_H

#include "compress.h"
#include "read_index.h"

struct page_header {
    int32_t kind; /* enum format_page */
    int32_t compressed, uncompressed;
    uint32_t crc;
    bool has_crc, has_body; /* body: the struct that belongs to the kind */
    int32_t values, encoding;
    int32_t level_encoding;          /* v1 */
    int32_t nulls, rows;             /* v2 */
    int32_t levels_len, repeats_len; /* v2 */
    bool is_compressed;              /* v2 */
};

struct pager {
    const struct source *source;
    struct pq_codecs *codecs; /* borrowed, shared by the reader's columns */
    enum pq_codec codec;
    struct meta_range chunk;
    bool required;
    bool skip_crc;
    size_t read_ahead;     /* bytes that a refill asks for at least */
    struct mem_buf window; /* the file's bytes from window_start on */
    uint64_t window_start;
    size_t window_len;
    struct mem_buf plain; /* the current page, decompressed */
    uint64_t at;          /* in the file: the next header, or behind one the page */
};

/** A data page, ready for decoding. */
struct page {
    struct pq_bytes levels; /* hybrid of width 1; len 0 where the column is required */
    struct pq_bytes values;
};

/** The header at p->at, which then is behind it. */
int pq_pager_header(struct pager *p, struct page_header *ret, struct pq_error *err);
/** Leaves the page's bytes out. */
void pq_pager_skip(struct pager *p, const struct page_header *h);
/** Loads a data page's bytes. */
int pq_pager_data(struct pager *p, const struct page_header *h, struct page *ret,
                  struct pq_error *err);
/** Loads a dictionary page's bytes into `out`, where they stay. */
int pq_pager_dictionary(struct pager *p, const struct page_header *h, struct mem_buf *out,
                        struct pq_bytes *ret, struct pq_error *err);
void pq_pager_release(struct pager *p);

#endif
