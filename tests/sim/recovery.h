/*
 * tests/sim/recovery.h: state, deltas, snapshots and restores on a simulated disk, with a model of
 * their own of what they must hold.
 *
 * The real log/, cdc/ (its steps, without its thread), snapshot/ and query/inplace.c run on one
 * thread. What the log says is read by recovery_model.c with other means than the product's, once,
 * while it is there; everything else is compared with that (recovery_check.c).
 *
 * A failed check is noted, never aborts, as in world.h; so are calls that fail without a reason.
 */
#ifndef TESTS_SIM_RECOVERY_H
#define TESTS_SIM_RECOVERY_H

#include "cdc/cdc_priv.h"
#include "snapshot/reload.h"
#include "snapshot/restore.h"
#include "snapshot/snapshot.h"
#include "tests/sim/chain.h"
#include "tests/sim/simdisk.h"

#define REC_NAMESPACE "default"
#define REC_DATA "/data"
#define REC_OUT "/out"
#define REC_STORE "/elsewhere/store"
#define REC_COLLECTIONS 2
#define REC_IDS 1200    /* at most; most worlds have few */
#define REC_KEPT_MAX 32 /* snapshots */
#define REC_DAY_US INT64_C(86400000000)

/* The model ----------------------------------------------------------------------------------- */

enum rec_kind { REC_OTHER, REC_MALFORMED, REC_CHANGE };

/** An event of shard 0, as the log has it. */
struct rec_event {
    enum rec_kind kind;
    char op; /* 'i', 'u', 'd' */
    bool skipped, of_restore;
    unsigned collection, id;
    int64_t ts_us, expect;
    char *doc; /* owned; NULL: none */
};

/** One collection's documents: the LSN that each stands at, -1: absent. */
struct rec_docs {
    int64_t at[REC_IDS];
};

struct rec_model {
    struct rec_event *events; /* by LSN */
    int64_t end, cap;
    struct rec_docs now[REC_COLLECTIONS];
};

/** The documents after the changes below `lsn_to`. */
void rec_model_docs(const struct rec_model *m, unsigned collection, int64_t lsn_to,
                    struct rec_docs *ret);
/** Whether one of the changes below `lsn_to`, skipped or not, is of the collection. */
bool rec_model_changed(const struct rec_model *m, unsigned collection, int64_t lsn_to);
/** The text of a document, NULL: absent. */
const char *rec_model_text(const struct rec_model *m, int64_t lsn);
struct state_hash rec_model_hash(const struct rec_model *m, const struct rec_docs *docs,
                                 uint64_t *ret_count);
struct slice rec_collection(unsigned i);
/** Takes what the log has beyond the model. */
err_t rec_model_learn(struct rec_model *m, struct shard *sh) MUST_USE;
void rec_model_release(struct rec_model *m);

/* The world ----------------------------------------------------------------------------------- */

/** A restore in place that may have ended half-way. */
struct rec_inplace {
    bool open;
    unsigned collection;
    int64_t target, from; /* as of LSN `target`; compensations lie at or above `from` */
};

/** A file that was restored into: absent or whole, and there once it was said so. */
struct rec_output {
    bool open, done;
    unsigned collection, tries;
    enum restore_format format;
    int64_t target;
};

struct recovery {
    struct rng rng;  /* what is done */
    struct rng loss; /* crashes and what they take */
    unsigned ids;    /* documents of a collection */
    struct simdisk *disk;
    struct io *io;
    struct clock_manual clock;
    struct worker_pool *workers, *rounds; /* the log's; the engine's, for deltas */
    struct log *log;
    struct shard *shard, *other; /* shard 0, and one where no change belongs */
    struct store *store;
    struct reload reload;
    struct cdc cdc; /* without its thread */
    struct space *space;
    struct source *live, *files; /* with the data directory; the store alone */

    struct rec_model model;
    uint64_t serial;
    int64_t acked, other_acked; /* what the log must have of the two shards */
    int64_t covered;            /* what the store must have */
    int64_t letters_from;       /* dead letters below left with a state that was lost */
    bool state_hurt;            /* its file was damaged on purpose */
    char kept[REC_COLLECTIONS][REC_KEPT_MAX][40]; /* names of snapshots that must be there */
    unsigned kept_count[REC_COLLECTIONS];
    struct rec_inplace inplace;
    struct rec_output output; /* the last one */
    unsigned outputs;         /* how many there were */
    uint64_t salt, swallowed; /* for the negative control, see world.h */

    bool faulty;
    bool failed;
    char failure[512];
};

/* recovery_world.c */
void rec_init(struct recovery *w, uint64_t seed, uint64_t salt);
/** A copy of a stopped world. */
void rec_clone(struct recovery *w, const struct recovery *from);
void rec_release(struct recovery *w);
void rec_fail(struct recovery *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Notes an error that has no reason. */
void rec_expect(struct recovery *w, err_t err, const char *what);
/** Starts the product, up to the point where the engine would look at the state. */
err_t rec_open(struct recovery *w) MUST_USE;
/** A clean stop, or the end of a product whose power is off. NULL-safe. */
void rec_close(struct recovery *w);
/** Is it worth while to go on? */
bool rec_alive(const struct recovery *w);
/** What retention will do to the log: segments that the store covers go. Stopped, power on. */
void rec_cut_log(struct recovery *w);
/** Removes or damages the state's file. Stopped, power on. */
void rec_hurt_state(struct recovery *w);

/* recovery_work.c */
/** Appends `count` random events, some of them no changes. */
void rec_append(struct recovery *w, unsigned count);
/** Appends one change of each document of the first collection, in one batch. */
void rec_append_each(struct recovery *w, const char *op);
/** One step of the engine. True: it has more to do at once. */
bool rec_step(struct recovery *w, bool deltas);
/** Steps until everything is applied, and in the store if wanted. */
void rec_catch_up(struct recovery *w, bool deltas);
void rec_snapshot(struct recovery *w, unsigned collection, enum snapshot_type type);
void rec_compact(struct recovery *w, unsigned collection);
void rec_cleanup(struct recovery *w, unsigned collection);
/** Back to a random LSN, in place; `target` >= 0: to that one. */
void rec_restore_in_place(struct recovery *w, unsigned collection, int64_t target);
void rec_restore_to_file(struct recovery *w, unsigned collection);
/** What an interrupted restore in place, and the last one to a file, have left. */
void rec_check_half_way(struct recovery *w);
void rec_check_output(struct recovery *w);
/** One random thing of the above, or a clean restart, or time. */
void rec_anything(struct recovery *w);

/* recovery_check.c */
/** Everything that must hold after a start, before the engine has done anything. */
void rec_check(struct recovery *w);
/** The store: manifests, files, every change once, restores from it alone. */
void rec_check_store(struct recovery *w);
/** The state's file, seen by another connection. */
void rec_check_state(struct recovery *w);
/** The least LSN that the store alone can restore; -1: none. */
int64_t rec_oldest(struct recovery *w, unsigned collection);

/* recovery_chain.c: see chain.h */
void rec_chain_random(uint64_t seed, uint64_t salt, struct chain_result *result);
void rec_chain_crash_at(uint64_t seed, uint64_t call, uint64_t loss_seed,
                        struct chain_result *result);
/** A restore in place of more than one batch, and a crash in it. */
void rec_chain_inplace(uint64_t seed, uint64_t call, uint64_t loss_seed,
                       struct chain_result *result);

#endif
