/*
 * cdc/cdc_priv.h: the keeper of states, and one namespace in it. Private to cdc/.
 */
#ifndef CDC_CDC_PRIV_H
#define CDC_CDC_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/lock.h"
#include "base/worker.h"
#include "cdc/cdc.h"

#define CDC_APPLY_CHANGES 300000 /* in one transaction, */
#define CDC_APPLY_BYTES MIB(64)  /* of what they hold */
#define CDC_PROBLEM_BYTES 160

/** Changes that came in one transaction, and the memory that they live in. */
struct change_run {
    struct change_run *next;
    struct arena arena;
    struct change *changes; /* owned */
    size_t count, cap;
};

/** Runs, by LSN. Plain data; all zero is empty. */
struct change_runs {
    struct change_run *first, *last; /* owned */
    size_t count, bytes;             /* changes, and what all of it takes */
};

/** Work for a space that a worker does beside cdc's thread (cdc_jobs.c). */
enum job_state { JOB_NONE, JOB_RUNNING, JOB_LANDED };
struct space_job {
    struct worker_job work;
    struct space *space;
    err_t (*run)(struct space *sp);
    enum job_state state; /* under cdc->lock */
    /* How it ended; the worker's while it is RUNNING. */
    err_t err;
    char text[CDC_PROBLEM_BYTES];
};

/** A round of deltas: what goes to the store. While the job is RUNNING all else is the worker's. */
struct delta_round {
    struct space_job job;
    struct change_runs runs;
    struct state_collection *collections; /* owned; the state's, as of lsn_to, by name */
    size_t collection_count;
    int64_t lsn_to, caught_us; /* the space's cursor and caught_us, as it began */
    bool asked;                /* somebody waits for it */
};

/** Waits for appends to one shard. */
struct shard_watch {
    struct shard_waiter waiter;
    struct space *space;
    struct shard *shard;
};

/** A namespace. */
struct space {
    struct cdc *cdc;
    char *name; /* owned */
    char *path; /* of its state; owned */
    struct stream *stream;

    /* Under cdc->lock. */
    bool dirty; /* something to do at once */
    bool hurry; /* somebody waits: no pause between transactions */
    bool asked; /* for deltas, up to asked_lsn */
    int64_t asked_lsn;
    int64_t not_before_ns;   /* monotonic: while dirty */
    int64_t due_ns;          /* monotonic: when a delta or a try is due; INT64_MAX: nothing is */
    int64_t behind_since_us; /* wall clock: no record that is not applied is older */
    uint64_t failures;       /* grows with each */
    struct cdc_lag lag;      /* as of the last step */
    err_t problem_err;       /* what lag.problem is: ERR_NO_SPACE or ERR_IO */
    bool halted;             /* `full`, and the store does not take it; as of the last step */

    /* The thread's own. */
    struct state *state; /* NULL: not open */
    int64_t cursor;      /* applied, in memory: the file's may lie behind where no changes were */
    int64_t saved_cursor;
    int64_t covered;    /* what the store has: namespace_manifest.covered_until */
    int64_t sampled_us; /* wall clock, just before the high watermark was read for the last step */
    int64_t caught_us;  /* wall clock; every record acknowledged before it is applied */
    uint64_t dead_letters, misplaced;
    bool damaged;                    /* the last file was: the next opening starts over */
    bool deltas;                     /* there is a store, and its manifest was read */
    char blocked[CDC_PROBLEM_BYTES]; /* why there are no deltas although there is a store, or "" */
    err_t blocked_err;
    unsigned delta_tries; /* to write them that failed in a row */
    bool delta_failed;    /* in this step, those that somebody had asked for */
    bool full; /* as much is pending as is held: nothing is read until deltas are written */
    bool has_collections;
    struct change_runs pending; /* applied, neither in the store nor on the way to it */
    struct delta_round round;
    struct space_job checkpoint;
    int64_t delta_due_ns; /* monotonic; INT64_MAX: no age is set, or nothing is there to cover */
    unsigned tries;       /* failed in a row */
    struct shard_watch **watches; /* owned; per shard */
    int64_t *shard_cursors;       /* owned; of the shards other than 0 */
    unsigned watch_count;
};

struct cdc {
    struct cdc_options options;
    char *data_dir; /* owned */
    pthread_t thread;
    struct worker_pool *workers; /* owned; for deltas and checkpoints */
    bool running;
    atomic_bool stopping;
    bool waits_over;           /* under lock: nobody waits for progress any more */
    struct lock lock;          /* LOCK_RANK_LEAF */
    struct lock_cond wake;     /* the thread's */
    struct lock_cond progress; /* of those who flush */
    struct space **spaces;     /* owned; grows only */
    size_t space_count, space_cap;
    size_t turn; /* which namespace is looked at next */
};

/* cdc_space.c. On cdc's thread. */

struct space *space_new(struct cdc *c, struct stream *s, const char *name);
void space_free(struct space *sp);
/** How long to wait after that many failures. */
int64_t space_retry_ns(unsigned tries);
/** Does one transaction's work, and what is due. Deltas are asked for up to `asked_lsn`; -1: they
 * are not. *ret_more: there is more to do at once. */
err_t space_step(struct space *sp, int64_t asked_lsn, bool *ret_more) MUST_USE;
/** Watches each shard that is new; `fn` is told of appends. */
void space_watch(struct space *sp, void (*fn)(struct shard_waiter *w));
/** After an error: lets go of the state, to open it anew. */
void space_close(struct space *sp);

/* cdc_read.c */

/** Reads changes of shard 0 from `from` up to `to` into a run: at most one transaction's. Dead
 * letters go to the state unless `again` (they are there already). *ret_next is where it stopped.
 */
err_t space_read(struct space *sp, int64_t from, int64_t to, bool again,
                 struct change_run **ret_run, int64_t *ret_next) MUST_USE;
/** Looks through the other shards for changes, which are misplaced. *ret_moved: the next
 * state_apply has something to note. */
err_t space_read_misplaced(struct space *sp, bool *ret_moved, bool *ret_more) MUST_USE;
void change_run_free(struct change_run *run);

/* cdc_pending.c */

/** Takes the run over: kept for the next delta, or freed. */
void pending_add(struct space *sp, struct change_run *run);
/** Reads what the store has; then, from the log, what lies between that and the cursor.
 * ERR_AGAIN: that is too much to be held: the state must be made anew, with deltas on the way. */
err_t pending_restore(struct space *sp) MUST_USE;
/** As much is held, of what the store lacks, as is: the namespace stands still until the store
 * takes it. */
bool pending_is_full(const struct space *sp);
void change_runs_free(struct change_runs *runs);
/** Appends those of `from`, which is empty then. */
void change_runs_move(struct change_runs *to, struct change_runs *from);

/* cdc_jobs.c. On cdc's thread. */

/** Hands a job that is NONE to a worker, which calls `run`. */
void space_job_begin(struct space_job *job, err_t (*run)(struct space *sp));
/** Neither running nor ended and not taken. */
bool space_job_is_idle(struct space_job *job);
/** True when it has ended since the last call: *ret_err says how. */
bool space_job_take(struct space_job *job, err_t *ret_err);
/** Waits for the end of what runs, and forgets it. */
void space_jobs_abandon(struct space *sp);
/** Has the state's WAL copied into its file, where that is due, and takes the end of it. While it
 * is catching up the thread does so itself: beside large transactions pages are copied twice, and
 * nobody reads what is new before the end. */
err_t checkpoint_tend(struct space *sp, bool catching_up) MUST_USE;

/* cdc_round.c. On cdc's thread. */

/** Begins a round with all that is pending, up to the cursor; none may be under way. Fails only
 * where the state cannot be read. `asked`: somebody waits. */
err_t round_start(struct space *sp, bool asked) MUST_USE;
/** True when a round has ended since the last call: *ret_err says how. What it could not write is
 * pending again. */
bool round_take(struct space *sp, err_t *ret_err);
/** Frees what one has left. None runs. */
void round_forget(struct space *sp);

#endif
