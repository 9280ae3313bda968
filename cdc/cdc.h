/*
 * cdc/cdc.h: keeps the state of every namespace up to date with its log, and the store with its
 * deltas.
 *
 * One thread of its own takes the namespaces in turn: it reads shard 0 of the namespace's stream
 * from the cursor, parses changes, applies them (cdc/state.h), keeps them until they are written as
 * one delta per collection (cdc/delta.h) when a size or an age is reached or on demand: a worker
 * does that meanwhile, as it does the state's checkpoints. The thread wakes on appends; an idle
 * namespace costs nothing but, where it has collections and settings ask for an age, one timer, by
 * which covered_until advances.
 *
 * Threads: cdc_start and cdc_stop: main. All else: any thread but reactors where it says "blocks".
 */
#ifndef CDC_CDC_H
#define CDC_CDC_H

#include "base/clock.h"
#include "cdc/state.h"
#include "log/log.h"
#include "store/store.h"

struct cdc;

struct cdc_options {
    struct io *io;
    struct clock *clock;
    struct log *log;
    struct store *store; /* NULL: no deltas */
    const char *data_dir;
    unsigned delta_seconds; /* cdc.delta_seconds; 0: only by size and on demand */
    uint64_t delta_bytes;   /* cdc.delta_bytes */
    /** Where a state is lost and the log begins at log_start > 0: fills `empty` (state_load_*) from
     * the store, as of log_start or a later LSN. NULL: such a namespace stands still and says so.
     * On cdc's thread. */
    err_t (*rebuild)(void *arg, const char *namespace_name, int64_t log_start, struct state *empty);
    void *rebuild_arg;
};

err_t cdc_start(const struct cdc_options *options, struct cdc **ret_cdc) MUST_USE;
/** Applies nothing more; deltas that are due are left to the next start, the one that is being
 * written is waited for. No stream is created and no cdc_flush waits any more. NULL-safe. */
void cdc_stop(struct cdc *c);

/** Waits until every change acknowledged before the call is in the state (and, with `deltas`, in
 * delta files of the store), of one namespace or (NULL) all. Blocks. ERR_NOT_FOUND,
 * ERR_REQUEST_TIMEOUT, ERR_IO with what is in the way, ERR_UNAVAILABLE: deltas without a store, or
 * the waits are over. */
err_t cdc_flush(struct cdc *c, const char *namespace_name, bool deltas, int timeout_ms) MUST_USE;
/** From now on cdc_flush does not wait: ERR_UNAVAILABLE for what is not done yet, also to those who
 * wait already. Before cdc_stop. NULL-safe. */
void cdc_end_waits(struct cdc *c);

#define CDC_NAMESPACE_MAX 250 /* bytes, with a NUL */
struct cdc_lag {
    char namespace_name[CDC_NAMESPACE_MAX];
    int64_t applied_lsn; /* cursor */
    int64_t log_lsn;     /* high watermark */
    int64_t delta_lsn;   /* covered_until */
    int64_t
        behind_us; /* at most this is the age of the oldest record that is not applied; 0: none */
    uint64_t dead_letters; /* ever found; of these, changes on another shard than 0: */
    uint64_t misplaced;
    char problem[160]; /* why it stands still, or "" */
};
/** Up to `cap` namespaces; returns how many there are. Does not block. */
size_t cdc_lags(struct cdc *c, struct cdc_lag *out, size_t cap);

/** "<data>/state/<ns>.db", malloc'd. The stream of a namespace: "events" or "<ns>.events". */
char *cdc_state_path(const char *data_dir, const char *namespace_name);
char *cdc_stream_name(const char *namespace_name);
/** The namespace of a stream's name, malloc'd, or NULL where it is none. */
char *cdc_namespace_of(const char *stream);

#endif
