/*
 * column_write.h: one column of the row group that is being written.
 *
 * Values gather in a page, raw or as numbers of the dictionary. A page that is full is encoded,
 * compressed and appended to `pages`; the chunk's end leaves in `chunk` what the footer and the
 * page index say about it. So a column holds one open page, the compressed pages of its row group,
 * and a dictionary of at most DICTIONARY_BYTES_MAX.
 *
 * Which encoding: PQ_AUTO begins with a dictionary and leaves it when it does not pay (many
 * distinct values among the first, or later, or too many bytes); then integers take
 * DELTA_BINARY_PACKED for each page that it makes clearly smaller than PLAIN, and byte arrays
 * DELTA_LENGTH_BYTE_ARRAY.
 */
#ifndef PARQUET_COLUMN_WRITE_H
#define PARQUET_COLUMN_WRITE_H

#include "buf.h"
#include "compress.h"
#include "dict.h"
#include "stats.h"

#define PAGE_ROWS_MAX 20000u
#define DICTIONARY_BYTES_MAX (1u << 20)
#define VALUE_BYTES_MAX (1u << 30)
#define BLOOM_BYTES_MAX (8u << 20)

/* What the columns of a writer share. */
struct page_sink {
    enum pq_codec codec;
    int level;
    uint32_t page_bytes;
    bool page_v2;
    struct pq_codecs codecs;
    struct pq_buf raw, packed; /* the page that is being written, before and after compression */
    size_t levels_bytes;       /* how much of `raw` are its definition levels */
    struct pq_buf words;       /* those levels as uint32_t */
    struct pq_buf
        dictionary; /* the dictionary page of the column that ended last, as in the file */
};

void pq_page_sink_release(struct page_sink *sink);

struct page_place {
    uint64_t offset; /* from the chunk's first data page */
    uint64_t first_row;
    uint32_t bytes; /* with its header */
};

/* What stays of a chunk until the footer is written. */
struct chunk {
    uint64_t rows, nulls;
    uint64_t raw_bytes, file_bytes; /* pages with headers, before and after compression */
    uint64_t dictionary_offset;     /* in the file; 0: none */
    uint64_t data_offset;           /* of the first data page in the file */
    uint32_t pages[16];             /* data pages by their encoding's number */
    struct stats_bound min, max;
    struct pq_buf column_index, offset_index; /* as in the file; empty: none */
    struct pq_buf bloom;                      /* the bits; empty: none */
};

void pq_chunk_release(struct chunk *c);

struct column_writer {
    char *name; /* owned */
    enum pq_type type;
    enum pq_logical logical;
    enum pq_encoding encoding;
    bool optional, bloom;
    int32_t field_id;

    bool dictionary; /* the open page holds numbers of `dict` */
    struct dict dict;
    /* The open page. */
    uint32_t page_rows, page_values; /* rows; those that are not null */
    struct pq_buf present;           /* optional: a byte for each row */
    struct pq_buf data;              /* raw values: as in memory, byte arrays in a row */
    struct pq_buf words;             /* uint32_t: lengths of byte arrays, or numbers of `dict` */
    struct stats page_stats;
    /* The chunk. */
    struct pq_buf pages;  /* data pages as in the file */
    struct pq_buf hashes; /* uint64_t, for the bloom filter */
    struct stats stats;
    struct chunk chunk;
    /* Elements of the lists of its page index, and of struct page_place. */
    struct pq_buf index_empty, index_min, index_max, index_nulls, places;
    uint32_t page_count;
    bool index_valid, ascending, descending;
    bool bounded; /* a page with values has been written: last_min, last_max are its bounds */
    struct stats_bound last_min, last_max;
};

void pq_column_writer_release(struct column_writer *c);
/** Begins a row group. */
void pq_column_writer_begin(struct column_writer *c);
/** One value, checked by the caller; adds its uncompressed bytes to *bytes. */
int pq_column_writer_append(struct column_writer *c, struct page_sink *sink,
                            const struct pq_value *value, uint64_t *bytes, struct pq_error *err);
/** Ends the chunk, which will begin at `offset` of the file: its bytes are those of
 * sink->dictionary, then those of c->pages; what the footer says about it is in c->chunk, which the
 * caller takes. */
int pq_column_writer_end(struct column_writer *c, struct page_sink *sink, uint64_t offset,
                         struct pq_error *err);

#endif
