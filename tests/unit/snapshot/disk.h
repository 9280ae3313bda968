/* tests/unit/snapshot/disk.h: a collection's state and store on the simulated disk, and the model
 * of what its documents must be as of each LSN. */
#ifndef TESTS_SNAPSHOT_DISK_H
#define TESTS_SNAPSHOT_DISK_H

#include "tests/test.h"

#include <stdio.h>

#include "cdc/state.h"
#include "snapshot/restore.h"
#include "snapshot/snapshot.h"
#include "tests/sim/simdisk.h"

#define NS "shop"
#define COLLECTION SLICE("orders")
#define STORE "/data/store"
#define DIR_PATH STORE "/shop/orders"
#define DAY INT64_C(86400000000)
#define CHANGES 6 /* of one delta */

struct world {
    struct simdisk *disk;
    struct io *io;
    struct clock_manual clock;
    struct store *store;
    struct state *state;
    struct source *live;  /* with the data directory */
    struct source *files; /* the store alone */
};

void new_world(struct world *w, uint64_t seed); /* at 2026-02-02T14:30:05Z, without changes */
/** The same files, of a world that is closed, on a disk of their own. */
void copy_world(struct world *w, const struct world *base);
void free_world(struct world *w);
void open_world(struct world *w); /* what is on its disk */
void close_world(struct world *w);
/** What the cdc job does: CHANGES more changes into the state and a delta. */
void step(struct world *w);
/** The hash that applying changes one by one gives, from nothing. */
struct state_hash model_at(int64_t lsn_to);
/** As of each of these LSNs, from the store's files alone. */
void assert_restorable(struct world *w, int64_t from, int64_t to);
void assert_verified(struct world *w);
/** The names in a directory of the store, each with a blank behind it; malloc'd. */
char *listing(struct world *w, const char *dir);

/** What a verification says, and the path of the last bad file; tell's arg. */
struct told {
    unsigned bad, good;
    char path[200];
};
void tell(void *arg, const char *path, err_t err, const char *text);

#endif
