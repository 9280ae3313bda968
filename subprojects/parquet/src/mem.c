#include "mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (16u << 10)

struct mem_chunk {
    struct mem_chunk *next;
    size_t size, used;
    _Alignas(16) uint8_t data[];
};

static int take(struct mem *m, uint64_t size, struct pq_error *err)
{
    if (size > m->max - m->used)
        return pq_fail(err, PQ_LIMIT,
                       "%" PRIu64 " more bytes of memory are needed, %" PRIu64 " of %" PRIu64
                       " are in use: raise memory_max",
                       size, m->used, m->max);
    m->used += size;
    return PQ_OK;
}

int pq_mem_buf_reserve(struct mem_buf *b, uint64_t size, struct pq_error *err)
{
    if (size <= b->cap)
        return PQ_OK;
    PQ_TRY(take(b->mem, size - b->cap, err));
    uint8_t *data = realloc(b->data, size);
    if (data == NULL) {
        b->mem->used -= size - b->cap;
        return pq_fail(err, PQ_LIMIT, "the system has no %" PRIu64 " bytes of memory left", size);
    }
    b->data = data;
    b->cap = size;
    return PQ_OK;
}

void pq_mem_buf_release(struct mem_buf *b)
{
    if (b->data == NULL)
        return;
    b->mem->used -= b->cap;
    free(b->data);
    b->data = NULL;
    b->cap = 0;
}

void *pq_mem_arena_alloc(struct mem_arena *a, uint64_t count, size_t size, struct pq_error *err)
{
    uint64_t total;
    if (__builtin_mul_overflow(count, (uint64_t)size, &total) || total > UINT64_MAX / 2)
        total = UINT64_MAX / 2;
    total = (total + 15) & ~UINT64_C(15);
    struct mem_chunk *c = a->head;
    if (c == NULL || total > c->size - c->used) {
        uint64_t room = total > CHUNK_BYTES ? total : CHUNK_BYTES;
        if (take(a->mem, room + sizeof(*c), err) != PQ_OK)
            return NULL;
        c = calloc(1, sizeof(*c) + room);
        if (c == NULL) {
            a->mem->used -= room + sizeof(*c);
            pq_fail(err, PQ_LIMIT, "the system has no %" PRIu64 " bytes of memory left", room);
            return NULL;
        }
        c->next = a->head;
        c->size = room;
        a->head = c;
    }
    void *ptr = c->data + c->used;
    c->used += total;
    return ptr;
}

void pq_mem_arena_release(struct mem_arena *a)
{
    while (a->head != NULL) {
        struct mem_chunk *c = a->head;
        a->head = c->next;
        a->mem->used -= c->size + sizeof(*c);
        free(c);
    }
}
