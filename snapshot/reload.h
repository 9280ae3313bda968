/*
 * snapshot/reload.h: a namespace's state from the store alone: what cdc/ asks for when a state is
 * lost and the log begins too late to make it again (cdc_options.rebuild).
 */
#ifndef SNAPSHOT_RELOAD_H
#define SNAPSHOT_RELOAD_H

#include <stdatomic.h>

#include "cdc/cdc.h"

/** What it reads from; outlives the cdc. */
struct reload {
    struct io *io;
    struct clock *clock;
    struct store *store;
    atomic_bool stop; /* set by another thread: a reload that runs ends with ERR_UNAVAILABLE */
};

/** Fills `empty` with every collection as of covered_until. `arg` is a struct reload.
 * ERR_NOT_FOUND: the store has nothing of this namespace; ERR_CORRUPT names the file;
 * ERR_UNAVAILABLE: stopped. Blocks; cdc's thread. */
err_t reload_state(void *arg, const char *namespace_name, int64_t log_start,
                   struct state *empty) MUST_USE;

#endif
