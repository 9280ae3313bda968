/* tests/unit/snapshot/world.h: a log, a state and a store that change at random, and the model of
 * what they must hold. */
#ifndef TESTS_SNAPSHOT_WORLD_H
#define TESTS_SNAPSHOT_WORLD_H

#include "snapshot/restore.h"
#include "snapshot/snapshot.h"
#include "tests/scratch.h"

#define IDS 30
#define CHANGES_MAX 400
#define NS "default"
#define T0 INT64_C(1770000000000000)
#define TICK_US 1500

struct model_change {
    int64_t lsn, ts_us, expect;
    unsigned id;
    bool is_delete, skipped, marked; /* marked: carries the bookmark */
    char doc[48];
};

struct world {
    char dir[SCRATCH_BYTES];
    struct clock_manual clock;
    struct worker_pool *workers;
    struct log *log;
    struct shard *shard;
    struct store *store;
    struct cdc *cdc;
    struct model_change changes[CHANGES_MAX];
    size_t count;
    int64_t next_lsn; /* other events lie between the changes */
    int current[IDS]; /* index of the change that each document stands at, -1: absent */
};

static const struct slice collection = {"or/ders", 7};

uint64_t next_random(uint64_t bound);
void open_world(struct world *w);
void close_world(struct world *w, bool abandon);
void lose_state(struct world *w);
/** A source as the server opens it (`stop` may be NULL), as a command does that reads the data
 * directory, and with nothing but the store. */
struct source *open_live(struct world *w, const atomic_bool *stop);
struct source *open_directory(struct world *w);
struct source *open_store(struct world *w);
/** Byte `at` of the only file whose path ends like the pattern is another one from now on. */
void damage(const struct world *w, const char *pattern, unsigned at);
void append(struct world *w, const char *json);
/** Appends a random change and does the same in the model. */
void append_change(struct world *w);
/** Index of the change that each document stands at, -1: absent. */
void model(const struct world *w, int64_t lsn_to, int64_t ts_max, int state[IDS]);
unsigned number_of(struct slice id);
void start_world(struct world *w, uint64_t seed);
void end_world(struct world *w);

#endif
