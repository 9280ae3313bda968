/*
 * mem.h: the reader's memory, counted against one bound.
 *
 * Sizes come from the file, so each request may be refused: PQ_LIMIT. A mem_arena keeps what lives
 * as long as the reader; a mem_buf is one growable run of bytes.
 */
#ifndef PARQUET_SRC_MEM_H
#define PARQUET_SRC_MEM_H

#include "common.h"

struct mem {
    uint64_t used, max;
};

struct mem_buf {
    struct mem *mem; /* borrowed */
    uint8_t *data;
    size_t cap;
};

/** Room for `size` bytes; what was there stays. */
int pq_mem_buf_reserve(struct mem_buf *b, uint64_t size, struct pq_error *err);
void pq_mem_buf_release(struct mem_buf *b);

struct mem_chunk;
struct mem_arena {
    struct mem *mem; /* borrowed */
    struct mem_chunk *head;
};

/** count * size zeroed bytes, aligned to 16; NULL with PQ_LIMIT's sentence in err. */
void *pq_mem_arena_alloc(struct mem_arena *a, uint64_t count, size_t size, struct pq_error *err);
void pq_mem_arena_release(struct mem_arena *a);

#endif
