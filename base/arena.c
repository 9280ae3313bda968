#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

#define ARENA_CHUNK_BYTES 4096

struct arena_chunk {
    struct arena_chunk *next;
    size_t cap;
    size_t used;
    size_t pad; /* keeps `bytes` at 16-byte alignment */
    char bytes[];
};

static struct arena_chunk *chunk_new(size_t cap)
{
    struct arena_chunk *chunk = xmalloc(sizeof(*chunk) + cap);
    chunk->next = NULL;
    chunk->cap = cap;
    chunk->used = 0;
    return chunk;
}

void *arena_alloc(struct arena *a, size_t size)
{
    size_t rounded = (size + 15) & ~(size_t)15;
    ASSERT(rounded >= size);
    a->used_bytes += rounded;
    struct arena_chunk *chunk = a->head;
#ifdef SPILLWAY_ARENA_EXACT
    chunk = chunk_new(size);
    chunk->next = a->head;
    a->head = chunk;
    chunk->used = size;
    return chunk->bytes;
#else
    if (chunk == NULL || chunk->cap - chunk->used < rounded) {
        chunk = chunk_new(rounded > ARENA_CHUNK_BYTES ? rounded : ARENA_CHUNK_BYTES);
        chunk->next = a->head;
        a->head = chunk;
    }
    void *at = chunk->bytes + chunk->used;
    chunk->used += rounded;
    return at;
#endif
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *at = arena_alloc(a, size);
    memset(at, 0, size);
    return at;
}

char *arena_strndup(struct arena *a, const char *text, size_t len)
{
    char *copy = arena_alloc(a, len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

void arena_reset(struct arena *a)
{
#ifdef SPILLWAY_ARENA_EXACT
    arena_release(a);
#else
    struct arena_chunk *keep = NULL;
    struct arena_chunk *chunk = a->head;
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        if (next == NULL && chunk->cap == ARENA_CHUNK_BYTES)
            keep = chunk;
        else
            free(chunk);
        chunk = next;
    }
    if (keep != NULL)
        keep->used = 0;
    a->head = keep;
    a->used_bytes = 0;
#endif
}

void arena_release(struct arena *a)
{
    struct arena_chunk *chunk = a->head;
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
    *a = ARENA_INIT;
}
