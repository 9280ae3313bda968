/*
 * cli/progress.h: a progress bar on standard error, where that is a terminal; else nothing.
 *
 *     import.ndjson  43% [#############                 ]  12.1 MB  182345 events/s  ETA 0:09
 *
 * Owner: one thread.
 */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include "base/base.h"

struct progress {
    const char *name;     /* borrowed */
    uint64_t total_bytes; /* 0: unknown */
    int64_t started_ns;
    int64_t drawn_ns;
    bool on;
};

void progress_start(struct progress *p, const char *name, uint64_t total_bytes);
/** Draws at most ten times a second. Without events the rate is in bytes. */
void progress_update(struct progress *p, uint64_t bytes, uint64_t events);
/** Takes the bar away. */
void progress_end(struct progress *p);
/** Writes a bar into `out`: the text of one line without its end. For tests too. */
void progress_format(const struct progress *p, uint64_t bytes, uint64_t events, int64_t elapsed_ns,
                     char *out, size_t size);

#endif
