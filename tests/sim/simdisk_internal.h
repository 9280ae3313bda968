/*
 * tests/sim/simdisk_internal.h: what the parts of the simulated disk share.
 *
 * Every node (file or directory) has two states: `now`, what calls see, and `safe`, what any power
 * cut leaves. What lies between them is kept in order: a file's `writes`, and for entries the
 * disk's one journal `moves`. Nodes are named by their index, so that a disk can be copied.
 */
#ifndef TESTS_SIM_SIMDISK_INTERNAL_H
#define TESTS_SIM_SIMDISK_INTERNAL_H

#include "tests/sim/simdisk.h"

struct sim_bytes {
    uint8_t *data;
    size_t len;
    size_t cap;
};

/** A write or a change of size that is not safe yet. */
struct sim_write {
    uint64_t offset; /* of a truncation: the new size */
    size_t len;
    uint8_t *data; /* NULL: a truncation */
};

struct sim_entry {
    char *name;
    unsigned node;
};

struct sim_dir {
    struct sim_entry *entries;
    size_t count;
    size_t cap;
};

struct sim_node {
    bool used;
    bool is_dir;
    bool unlinked; /* no visible entry names it: its space counts while it is open */
    unsigned handles;
    int64_t mtime_us;
    struct sim_bytes now;
    struct sim_bytes safe;
    struct sim_write *writes;
    size_t write_count;
    size_t write_cap;
    struct sim_dir now_dir;
    struct sim_dir safe_dir;
};

/** A change of one directory's entries that is not safe yet: `from` disappears, `to` names `node`;
 * either may be NULL. A rename inside one directory has both and is atomic. */
struct sim_move {
    unsigned dir;
    char *from;
    char *to;
    unsigned node;
};

struct simdisk {
    struct io base;
    struct rng rng;
    struct clock *clock;
    struct sim_node *nodes; /* [0] is "/" */
    size_t node_count;
    size_t node_cap;
    struct sim_move *moves;
    size_t move_count;
    size_t move_cap;
    bool off;
    uint64_t calls;
    uint64_t crash_at;
    uint64_t budget;
    uint64_t used;
    unsigned open_files;
    struct simdisk_fault fault;
    uint64_t fault_seen;
};

void sim_bytes_resize(struct sim_bytes *b, size_t len);
void sim_bytes_write(struct sim_bytes *b, uint64_t offset, const void *data, size_t len);
void sim_write_apply(struct sim_bytes *b, const struct sim_write *w);
void sim_node_drop_writes(struct sim_node *n);
struct sim_entry *sim_dir_find(struct sim_dir *dir, const char *name);
void sim_dir_set(struct sim_dir *dir, const char *name, unsigned node);
void sim_dir_remove(struct sim_dir *dir, const char *name);
void sim_dir_clear(struct sim_dir *dir);
void sim_move_apply(struct simdisk *d, const struct sim_move *m);
void sim_move_free(struct sim_move *m);

/** The calls of struct io (simdisk.c), and a node for a new file or directory. */
extern const struct io_ops sim_ops;
unsigned sim_node_new(struct simdisk *d, bool is_dir);

/** Moves what survives of the node's unsafe writes into its safe state (simdisk_crash.c). */
void sim_file_lose(struct sim_node *n, struct rng *rng);

/** How often the power is to fail soon after a swallowed sync (simdisk_sites.c). */
unsigned sim_site_crash_percent(void);
/** Whether this sync is to be swallowed. `frame`: __builtin_frame_address(0). */
bool sim_site_swallows(void *const *frame, bool is_dir);

#endif
