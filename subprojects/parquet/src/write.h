/* write.h: the writer's object, shared by write.c and footer_write.c. */
#ifndef PARQUET_WRITE_H
#define PARQUET_WRITE_H

#include "column_write.h"

struct placed_chunk {
    struct chunk chunk;
    /* Where the file has it; length 0: nowhere. */
    uint64_t column_index, offset_index, bloom;
    uint32_t column_index_len, offset_index_len, bloom_len;
};

struct row_group {
    uint64_t rows, offset;       /* offset: of its first page in the file */
    struct placed_chunk *chunks; /* owned, one for each column */
};

struct pq_writer {
    struct column_writer *columns; /* owned */
    size_t column_count;
    struct page_sink sink;
    struct pq_write_options options; /* `sorting` and `created_by` are owned copies */
    uint64_t bytes;                  /* written so far */
    uint64_t rows, group_rows, group_bytes;
    struct row_group *groups; /* owned */
    size_t group_count, group_cap;
    struct pq_buf metadata; /* KeyValue structs as in the footer */
    size_t metadata_count;
    int failed; /* a status: nothing can be written any more */
    bool finished;
};

/** The file's next bytes. */
int pq_writer_put(struct pq_writer *w, const void *data, size_t len, struct pq_error *err);

#endif
