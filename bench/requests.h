/*
 * bench/requests.h: HTTP requests built before the clock starts: a ring of distinct POST bodies
 * with their headers, contiguous in memory, so that sending one is a single system call and no
 * work.
 */
#ifndef BENCH_REQUESTS_H
#define BENCH_REQUESTS_H

#include "base/base.h"

enum body_form { BODY_EVENTS, BODY_ARRAY, BODY_NDJSON };

struct request_spec {
    const char *address; /* Host header */
    const char *path;
    const char *token; /* bearer token, or NULL */
    enum body_form form;
    size_t events; /* in each request */
    size_t memory; /* bound on the ring's bytes */
    uint64_t seed;
};

/** Immutable once built: any thread may read it. */
struct request_ring {
    char *bytes;
    size_t *offsets; /* count + 1 of them */
    size_t count;
    size_t body_bytes; /* of all bodies together */
};

/** Fills the ring until `spec->memory` is used; at least two requests. Owned by the caller. */
struct request_ring requests_build(const struct request_spec *spec);
void requests_release(struct request_ring *ring);

#endif
