/*
 * tests/sim/simdisk.h: a disk in memory that loses what a power cut may take.
 *
 * It implements base/io.h's `struct io` by that header's rules and no kinder ones: written bytes,
 * truncations and growth are safe after io_file_sync of the file; created, renamed and removed
 * entries are safe after io_sync_dir of their directory; nothing else makes anything safe. What is
 * not safe is kept apart, and simdisk_restart decides by a seed what of it survives. README.md
 * describes the model; the idea follows RocksDB's FaultInjectionTestFS, SQLite's crash VFS
 * (src/test6.c) and ALICE (Pillai et al., OSDI 2014).
 *
 * A power cut does not unwind the caller's stack: from the chosen call on every call fails without
 * any effect, so the product's own error paths run to the end and release their memory, and then
 * the disk is restarted.
 *
 * Thread: one; the product runs without threads of its own in these tests.
 */
#ifndef TESTS_SIM_SIMDISK_H
#define TESTS_SIM_SIMDISK_H

#include "base/base.h"
#include "base/clock.h"
#include "base/io.h"

struct simdisk;

/** An empty disk with the directory "/". All its decisions follow from `seed`. Owned. */
struct simdisk *simdisk_new(uint64_t seed);
void simdisk_free(struct simdisk *d);
/** A copy of everything on it, safe or not. No file may be open. Owned. */
struct simdisk *simdisk_clone(const struct simdisk *d);
/** The interface to give to the product. Borrowed; lives as long as the disk. */
struct io *simdisk_io(struct simdisk *d);
/** Where modification times come from; without one they are 0. Borrowed. */
void simdisk_set_clock(struct simdisk *d, struct clock *clock);

/* Crashes ------------------------------------------------------------------------------------- */

/** Turns the power off in the middle of the n-th changing call (write, truncate, sync, create,
 * rename, …) from now on; 0: never. */
void simdisk_crash_at(struct simdisk *d, uint64_t n);
void simdisk_power_off(struct simdisk *d);
bool simdisk_is_off(const struct simdisk *d);
/** Changing calls since the last restart. */
uint64_t simdisk_calls(const struct simdisk *d);
/** Files that are open now: 0 once the product has let go of everything. */
unsigned simdisk_open_files(const struct simdisk *d);

enum simdisk_crash {
    SIMDISK_KILL,      /* the process died: the page cache lives on, what was unsafe still is */
    SIMDISK_POWER_CUT, /* the machine died: the unsafe part is kept, dropped or torn by seed */
};
/** Ends the outage. No file may be open. */
void simdisk_restart(struct simdisk *d, enum simdisk_crash kind, uint64_t seed);

/* Faults -------------------------------------------------------------------------------------- */

enum simdisk_call {
    SIMDISK_READ = 1u << 0,
    SIMDISK_WRITE = 1u << 1,
    SIMDISK_TRUNCATE = 1u << 2,
    SIMDISK_SYNC = 1u << 3,
    SIMDISK_SYNC_DIR = 1u << 4,
    SIMDISK_OPEN = 1u << 5,  /* of an existing file */
    SIMDISK_ENTRY = 1u << 6, /* create, rename, unlink, mkdir, rmdir */
    SIMDISK_LIST = 1u << 7,  /* list, stat, size */
};
#define SIMDISK_ANY_CALL 0xffu

struct simdisk_fault {
    unsigned calls; /* which kinds of calls are counted and fail: bits of simdisk_call */
    uint64_t first; /* the first failing one, counted from 1; 0: no faults */
    uint64_t count; /* how many fail; UINT64_MAX: all from there on */
    err_t err;      /* ERR_IO or ERR_NO_SPACE */
};
/** Sets or (first == 0) ends the faults. A failing write leaves any part of itself behind; a
 * failing sync drops the dirty pages as Linux does: a later sync of them succeeds and saves
 * nothing. */
void simdisk_set_fault(struct simdisk *d, struct simdisk_fault fault);
/** Calls of the fault's kinds that were seen since it was set. */
uint64_t simdisk_fault_seen(const struct simdisk *d);
/** Bytes that files may take together; writes beyond fail with ERR_NO_SPACE. UINT64_MAX at first.
 */
void simdisk_set_budget(struct simdisk *d, uint64_t bytes);
uint64_t simdisk_used_bytes(const struct simdisk *d);

/* Sync sites, for the negative control: places that call io_file_sync or io_sync_dir. */

#define SIMDISK_SITE_FRAMES 6
struct simdisk_site {
    uint64_t id;                       /* of the innermost frames that identify it */
    void *frames[SIMDISK_SITE_FRAMES]; /* return addresses, innermost first */
    bool is_dir;                       /* io_sync_dir */
    uint64_t hits;
};
/** Collects the sites of all disks of the process while on. */
void simdisk_trace_sites(bool on);
size_t simdisk_site_count(void);
const struct simdisk_site *simdisk_site_at(size_t i);
/** Calls from these sites report success and do nothing, on all disks. Such a sync is missed only
 * until another one covers for it, so the power fails soon after in `crash_percent` of 100 cases.
 * Borrowed; needs tracing on. */
void simdisk_swallow_sites(const uint64_t *ids, size_t count, unsigned crash_percent);
/** Syncs that were swallowed since the last simdisk_swallow_sites. */
uint64_t simdisk_swallowed(void);

/* Random numbers for tests: small, seeded, the same everywhere (splitmix64, Steele et al. 2014). */

struct rng {
    uint64_t state;
};
static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}
/** 0 <= result < n; n > 0. */
static inline uint64_t rng_below(struct rng *r, uint64_t n)
{
    return rng_next(r) % n;
}
/** True in `percent` of 100 cases. */
static inline bool rng_chance(struct rng *r, unsigned percent)
{
    return rng_below(r, 100) < percent;
}

#endif
