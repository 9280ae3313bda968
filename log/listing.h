/*
 * log/listing.h: what a shard's directory holds, by kind. Private to log/.
 */
#ifndef LOG_LISTING_H
#define LOG_LISTING_H

#include "base/buf.h"
#include "base/io.h"

/** How the name of a cut ends that holds whole batches: health speaks of it until the file is moved
 * away. */
#define LISTING_VALID_CUT "valid.cut"

struct listing {
    int64_t *logs, *indexes, *states; /* offsets in the names, rising; owned */
    size_t log_count, index_count, state_count;
    size_t cut_count;       /* .cut files */
    size_t valid_cut_count; /* of these, with whole batches */
    struct buf rubbish;     /* names that a crash left, each with its NUL */
};

err_t listing_read(struct io *io, const char *dir, struct listing *l) MUST_USE;
void listing_release(struct listing *l);
void listing_push(int64_t **list, size_t *count, int64_t base);
bool listing_has(const int64_t *list, size_t count, int64_t base);
/** Removes half-written and prepared files. */
err_t listing_remove_rubbish(struct io *io, const char *dir, struct listing *l) MUST_USE;

#endif
