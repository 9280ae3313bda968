/*
 * parquet.h: flat Apache Parquet files, written and read in C.
 *
 * Format: https://github.com/apache/parquet-format (parquet.thrift, Encodings.md, Compression.md,
 * PageIndex.md, BloomFilter.md, LogicalTypes.md). Columns are required or optional, never nested or
 * repeated: a file with such columns is refused with a sentence that says so.
 *
 * Every function that can fail returns 0 or a pq_status below zero, and then the error object that
 * the caller gave holds a sentence. Input files are never trusted: each offset, length and count is
 * checked before it is used, and memory is bounded by pq_read_options.
 *
 * Threads: objects are not shared; different objects may be used by different threads at once.
 */
#ifndef PARQUET_PARQUET_H
#define PARQUET_PARQUET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum pq_status {
    PQ_OK = 0,
    PQ_END = -1,         /* no more rows */
    PQ_CORRUPT = -2,     /* the file contradicts itself or fails a checksum */
    PQ_UNSUPPORTED = -3, /* well-formed, but outside what this library reads */
    PQ_IO = -4,          /* a callback failed */
    PQ_LIMIT = -5,       /* more memory would be needed than the options allow */
    PQ_USAGE = -6,       /* the caller broke a rule that is checked */
};

struct pq_error {
    char text[256];
};

enum pq_type { PQ_BOOLEAN, PQ_INT32, PQ_INT64, PQ_DOUBLE, PQ_BYTE_ARRAY, PQ_FIXED_16 };

enum pq_logical {
    PQ_LOGICAL_NONE,
    PQ_STRING,           /* BYTE_ARRAY, UTF-8 */
    PQ_JSON,             /* BYTE_ARRAY */
    PQ_TIMESTAMP_MILLIS, /* INT64, adjusted to UTC */
    PQ_TIMESTAMP_MICROS, /* INT64, adjusted to UTC */
    PQ_UUID,             /* FIXED_16 */
};

enum pq_codec { PQ_NONE, PQ_SNAPPY, PQ_GZIP, PQ_ZSTD, PQ_LZ4_RAW };

enum pq_encoding {
    PQ_AUTO, /* dictionary while it pays, then delta where that is smaller */
    PQ_PLAIN,
    PQ_DICTIONARY,   /* RLE_DICTIONARY, PLAIN once the dictionary is too large */
    PQ_DELTA_BINARY, /* DELTA_BINARY_PACKED: INT32, INT64 */
    PQ_DELTA_LENGTH, /* DELTA_LENGTH_BYTE_ARRAY: BYTE_ARRAY; DuckDB 1.4 refuses it for JSON */
};

struct pq_column {
    const char *name; /* borrowed until the writer is made; owned by the reader in its schema */
    enum pq_type type;
    enum pq_logical logical;
    bool optional;
    enum pq_encoding encoding; /* writer only */
    bool bloom;                /* writer only: a split block bloom filter per row group */
    int32_t field_id;          /* 0: none */
};

struct pq_bytes {
    const uint8_t *data;
    uint32_t len;
};

/** A value of any column. Which member holds is the column's type; FIXED_16 uses `bytes`. */
struct pq_value {
    bool null;
    union {
        bool boolean;
        int32_t i32;
        int64_t i64;
        double f64;
        struct pq_bytes bytes; /* writer: borrowed for the call; reader: until the next row */
    };
};

/* Writing ------------------------------------------------------------------------------------- */

struct pq_writer;

struct pq_write_options {
    enum pq_codec codec;
    int level;                /* zstd and gzip; 0: 1 for zstd, 6 for gzip */
    uint32_t row_group_rows;  /* 0: 1,048,576 */
    uint64_t row_group_bytes; /* uncompressed, bounds the writer's memory; 0: 64 MiB */
    uint32_t page_bytes;      /* uncompressed; 0: 64 KiB for pruning to pay, at most 20,000 rows */
    bool page_v2;             /* DATA_PAGE_V2 */
    /* The file's order: columns by index, ascending, nulls first; declared as sorting_columns. */
    const uint16_t *sorting;
    uint16_t sorting_count;
    const char *created_by; /* NULL: this library's name and version */
    /** Called with the file's bytes in order. Non-zero: the writer fails with PQ_IO. */
    int (*write)(void *arg, const void *data, size_t len);
    void *arg;
};

/** Checks the schema and writes the magic. Columns are copied. *ret is owned. */
int pq_writer_new(const struct pq_column *columns, size_t column_count,
                  const struct pq_write_options *options, struct pq_writer **ret,
                  struct pq_error *err);
/** One row: column_count values in schema order, copied. */
int pq_writer_row(struct pq_writer *w, const struct pq_value *values, struct pq_error *err);
/** Metadata of the file, copied; any time before pq_writer_finish; a repeated key adds another. */
int pq_writer_metadata(struct pq_writer *w, const char *key, const char *value,
                       struct pq_error *err);
struct pq_written {
    uint64_t bytes;    /* of the file */
    uint64_t data_end; /* where the pages end: bloom filters, page index and footer follow */
    uint64_t rows;
};
/** Writes what is left, the bloom filters, the page index and the footer. The writer can then only
 * be freed. `ret` may be NULL. */
int pq_writer_finish(struct pq_writer *w, struct pq_written *ret, struct pq_error *err);
/** NULL-safe; without pq_writer_finish what was written is no Parquet file. */
void pq_writer_free(struct pq_writer *w);

/* Reading ------------------------------------------------------------------------------------- */

struct pq_reader;

struct pq_read_options {
    /** Fills exactly len bytes from offset. Non-zero: PQ_IO. */
    int (*read)(void *arg, uint64_t offset, void *out, size_t len);
    void *arg;
    uint64_t size;            /* of the file */
    uint64_t memory_max;      /* for footer, dictionaries and pages at a time; 0: 256 MiB */
    bool skip_page_checksums; /* they are checked where present otherwise */
};

/** Reads and checks the footer. *ret is owned. */
int pq_reader_open(const struct pq_read_options *options, struct pq_reader **ret,
                   struct pq_error *err);
void pq_reader_free(struct pq_reader *r); /* NULL-safe */

size_t pq_reader_column_count(const struct pq_reader *r);
/** Borrowed until free. `encoding` and `bloom` are not set. */
const struct pq_column *pq_reader_column(const struct pq_reader *r, size_t i);
/** Index of the column with this name, or -1. */
int pq_reader_find_column(const struct pq_reader *r, const char *name);
uint64_t pq_reader_row_count(const struct pq_reader *r);
size_t pq_reader_row_group_count(const struct pq_reader *r);
uint64_t pq_reader_row_group_rows(const struct pq_reader *r, size_t group);
/** The value of a key of the file's metadata, borrowed, or NULL. */
const char *pq_reader_metadata(const struct pq_reader *r, const char *key);

/** Chooses the columns that pq_reader_next fills, by index, in the order given; default: all.
 * Before the first pq_reader_next or after pq_reader_rewind. */
int pq_reader_project(struct pq_reader *r, const uint16_t *columns, size_t count,
                      struct pq_error *err);
/**
 * Restricts the rows to those whose `column` may lie in [low, high] (either NULL: open), by row
 * group statistics, the page index, and, where low and high are equal, the bloom filter. A filter
 * of groups and pages: rows outside may still come, rows inside always do; null is never inside.
 * Ranges of several columns must all hold; a second range of one column takes the place of its
 * first (both NULL: none). Before the first pq_reader_next or after pq_reader_rewind. Bytes compare
 * unsigned, lexicographically, and are copied.
 */
int pq_reader_prune(struct pq_reader *r, uint16_t column, const struct pq_value *low,
                    const struct pq_value *high, struct pq_error *err);
/** The next row's projected values; borrowed until the next call. PQ_END after the last. */
int pq_reader_next(struct pq_reader *r, struct pq_value *values, struct pq_error *err);
/** Goes back to the first row (of what pruning left), also after an error. */
int pq_reader_rewind(struct pq_reader *r, struct pq_error *err);
/** Data pages decoded so far: shows what pruning saved. */
uint64_t pq_reader_pages_read(const struct pq_reader *r);

#endif
