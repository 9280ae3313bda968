/*
 * tests/sim/world.h: the real log/ and writer/ on a simulated disk, with a memory of what was
 * promised.
 *
 * A world lives through many starts and crashes of the product. It keeps, outside of the disk, what
 * an outside observer knows: each batch that was acknowledged, where it stands, each whose fate is
 * open, each that must never appear. world_check (oracle.c) compares that with what recovery found.
 *
 * A failed check does not abort: world_fail notes it and everything returns early, so that the
 * negative control can look for failures.
 */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include "log/log.h"
#include "tests/sim/simdisk.h"
#include "writer/builder.h"
#include "writer/writer.h"

#define WORLD_STREAMS 5
#define WORLD_SHARDS 3
#define WORLD_KEYS 24   /* per stream */
#define PLAN_REQUESTS 3 /* per batch */
#define WORLD_SEGMENT_BYTES KIB(64)

enum plan_state {
    PLAN_QUEUED, /* submitted, not answered: after a crash it is there whole or not at all */
    PLAN_ACKED,  /* answered with OK, or seen by readers: there for ever */
    PLAN_DEAD,   /* failed, or lost in a crash: never seen again */
};

struct plan_request {
    uint32_t first; /* record index in the batch */
    uint32_t count;
    int key; /* -1: none */
};

/** A record batch, and everything needed to know it again. */
struct plan {
    struct world *world;
    struct write_batch batch;
    uint64_t serial;
    unsigned stream;
    unsigned shard;
    enum plan_state state;
    uint32_t count;
    unsigned request_count;
    struct plan_request requests[PLAN_REQUESTS];
    uint32_t value_max;
    int64_t ts_ms; /* record i has ts_ms + i, unless stamped */
    int64_t base_offset;
    int64_t append_ms; /* -1: not stamped */
};

struct plan_list {
    struct plan **plans;
    size_t count;
    size_t cap;
};

struct shard_model {
    struct plan_list acked; /* by offset */
    struct plan_list open;  /* in the order of submission */
    int64_t next_offset;
};

enum stream_state {
    STREAM_NONE,
    STREAM_OPEN, /* creation was tried: it may be there after a restart */
    STREAM_THERE,
};

struct key_model {
    const struct plan *done; /* the acknowledged batch with it, or NULL */
    unsigned request;
    bool in_flight;
    unsigned waiting; /* waiters not called yet */
};

struct stream_model {
    const char *name;
    enum stream_state state;
    unsigned tried; /* bit k: creation with k shards was tried since it is open */
    unsigned shard_count;
    struct shard_model shards[WORLD_SHARDS];
    struct key_model keys[WORLD_KEYS];
};

/** A file that must never change again once a start has shown it. */
struct kept_file {
    char *path;
    uint64_t hash;
    bool seen; /* by the check that is running */
};

struct world {
    struct rng rng;
    uint64_t salt;
    uint64_t swallowed; /* syncs that were, when last looked at */
    struct rng loss;    /* decides crashes' kinds and losses, apart from what is done */
    struct clock_manual clock;
    struct simdisk *disk;
    struct worker_pool *workers;
    struct writer *writer;
    struct log *log;
    struct builder *builder;
    struct stream_model streams[WORLD_STREAMS];
    struct plan_list plans; /* owns them */
    struct kept_file *kept;
    size_t kept_count, kept_cap;
    uint64_t acked;   /* batches, for the summary */
    uint64_t adopted; /* unanswered ones that survived */
    bool hasty;       /* many starts and new streams, few appends */
    bool faulty;      /* faults are injected: calls may fail, shards may close */
    bool failed;
    char failure[512];
};

/* world.c */
/** `salt` varies what crashes take, and what is done after the first swallowed sync. */
void world_init(struct world *w, uint64_t seed, uint64_t salt);
void world_release(struct world *w);
/** Notes the first failed check. Not while the power is off: then nothing can be read. */
void world_fail(struct world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Starts the product. An error is returned, not noted. */
err_t world_open(struct world *w) MUST_USE;
/** A clean stop. */
void world_close(struct world *w);
/** The product's end without a stop: cuts the power if it is still on. */
void world_abandon(struct world *w);
/** Prints every file with its size to standard error. */
void world_dump(struct world *w);
void plan_list_push(struct plan_list *l, struct plan *p);
/** The full request key of number `key`, for the stream's namespace. */
struct slice world_key(const struct world *w, unsigned stream, int key, char out[64]);
uint64_t world_key_hash(int key);
/** Length and bytes of record `index` of a batch. The value is a head, then bytes of a fixed pool.
 */
struct plan_value {
    char head[48];
    size_t head_len;
    const char *tail;
    size_t tail_len;
};
void plan_value(const struct plan *p, uint32_t index, struct plan_value *ret_value);

/* workload.c */
/** One random step: appends, commits, worker jobs, reads, time, new streams, clean restarts. */
void world_step(struct world *w);
/** Submits one random batch to a random shard. */
void world_submit(struct world *w);
/** Creates the stream if it is not there. */
void world_create_stream(struct world *w, unsigned stream);
void world_commit(struct world *w);
/** Every shard takes a batch now. */
void world_expect_writable(struct world *w);

/* oracle.c */
/** After a start: everything acknowledged is there once, in order, dense, and nothing else but
 * whole batches that were on their way, which count as acknowledged from now on. */
void world_check(struct world *w);
/** The format file and the cuts of recoveries are as they were. */
void world_check_kept(struct world *w);
/** `spillway log verify` finds no damage, also between a crash and the next start. */
void world_check_verify(struct world *w);
/** Reads at a random place, by offset or by time. */
void world_check_read(struct world *w);

#endif
