/*
 * base/arena.h: memory that is freed as a whole (a request, a connection). Owner: one thread.
 * Built with SPILLWAY_ARENA_EXACT (the sanitizer set-ups) each piece is a malloc of its own, so
 * that ASan sees an overrun inside the arena.
 */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include "base/base.h"

struct arena_chunk;
struct arena {
    struct arena_chunk *head; /* owned */
    size_t used_bytes;
};

#define ARENA_INIT ((struct arena){0})

/** `size` bytes, aligned to 16, valid until arena_release or arena_reset. */
void *arena_alloc(struct arena *a, size_t size) MUST_USE;
void *arena_zalloc(struct arena *a, size_t size) MUST_USE;
/** A NUL-terminated copy. */
char *arena_strndup(struct arena *a, const char *text, size_t len) MUST_USE;
/** Frees all but one chunk, which the next allocations use again. */
void arena_reset(struct arena *a);
void arena_release(struct arena *a);

#endif
