/*
 * net/output.h: what a connection still has to send: a list of byte runs and file slices (private
 * to net/).
 *
 * Small writes are joined in 4-KiB chunks from the reactor's pool, so that a reply costs no malloc
 * and leaves with one send. Owner: the connection's reactor.
 */
#ifndef NET_OUTPUT_H
#define NET_OUTPUT_H

#include "base/base.h"

enum out_kind { OUT_CHUNK, OUT_OWNED, OUT_FILE };

struct out_run {
    struct out_run *next;
    enum out_kind kind;
    int fd;               /* OUT_FILE: the descriptor, borrowed until release */
    const char *at;       /* the others: what is left to send */
    uint64_t file_offset; /* OUT_FILE */
    size_t len;           /* left to send */
    void (*release)(void *arg);
    void *arg; /* OUT_OWNED: the malloc'd start */
};

#define OUT_CHUNK_BYTES (KIB(4) - sizeof(struct out_run))

struct out_chunk {
    struct out_run run;
    char bytes[OUT_CHUNK_BYTES];
};

/** Chunks at rest, for the connections of one reactor. */
struct out_pool {
    struct out_run *free;
    unsigned count;
};

struct output {
    struct out_run *head;
    struct out_run *tail;
    size_t bytes;
};

enum out_result {
    OUT_DONE,    /* all sent */
    OUT_BLOCKED, /* the socket is full: wait until it is writable */
    OUT_YIELD,   /* enough for this turn; the socket would take more */
    OUT_FAILED,  /* the connection is broken, or a file is shorter than its slice */
};

void output_copy(struct output *o, struct out_pool *pool, const void *data, size_t len);
void output_owned(struct output *o, char *data, size_t len);
void output_file(struct output *o, int fd, uint64_t offset, size_t len, void (*release)(void *arg),
                 void *arg);
/** Sends what `socket` takes. */
enum out_result output_flush(struct output *o, struct out_pool *pool, int socket);
/** Drops what is left; runs the releases. */
void output_clear(struct output *o, struct out_pool *pool);
void out_pool_release(struct out_pool *pool);

#endif
