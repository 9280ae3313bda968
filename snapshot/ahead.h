/*
 * snapshot/ahead.h: a stream of documents that is made on a thread of its own, a few blocks ahead
 * of whoever takes them, so that reading and merging run beside hashing and writing. Private to
 * snapshot/.
 *
 * Owner: the thread that takes; `next` runs on the other one until ahead_stop.
 */
#ifndef SNAPSHOT_AHEAD_H
#define SNAPSHOT_AHEAD_H

#include "cdc/state.h"

struct ahead;
typedef err_t (*ahead_next_fn)(void *arg, struct state_doc *ret);

/** NULL where no thread can be had: then the stream is to be used directly. */
struct ahead *ahead_start(ahead_next_fn next, void *arg);
/** As `next`; borrowed until the next call. After ERR_END or an error always the same. */
err_t ahead_next(struct ahead *a, struct state_doc *ret) MUST_USE;
/** After it returns `next` is not running and will not be called. NULL-safe. */
void ahead_stop(struct ahead *a);

#endif
