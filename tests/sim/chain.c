#include "tests/sim/chain.h"

#include <stdio.h>
#include <string.h>

#include "base/logger.h"

#define SHORT_LIFE_STEPS 25

static void finish(struct world *w, struct chain_result *result)
{
    if (w->failed && logger_enabled(LOG_LEVEL_DEBUG))
        world_dump(w);
    result->acked += w->acked;
    result->adopted += w->adopted;
    result->failed = w->failed;
    memcpy(result->failure, w->failure, sizeof(result->failure));
    world_release(w);
}

/** A start that must succeed, and its check. */
static void open_and_check(struct world *w)
{
    err_t err = world_open(w);
    if (err != OK)
        world_fail(w, "log_open: %s", err_text(err));
    else
        world_check(w);
}

static void live(struct world *w, unsigned steps)
{
    for (unsigned i = 0; i < steps && !w->failed && w->log != NULL && !simdisk_is_off(w->disk); i++)
        world_step(w);
}

static void end_life(struct world *w, struct chain_result *result, enum simdisk_crash kind,
                     uint64_t loss_seed)
{
    if (w->log != NULL)
        world_abandon(w);
    simdisk_power_off(w->disk);
    simdisk_restart(w->disk, kind, loss_seed);
    result->crashes++;
}

static enum simdisk_crash random_kind(struct world *w)
{
    return rng_chance(&w->loss, w->hasty ? 50 : 25) ? SIMDISK_KILL : SIMDISK_POWER_CUT;
}

/** A start in which the power may fail; false when it did. */
static bool open_or_crash(struct world *w)
{
    if (rng_chance(&w->loss, 10))
        world_check_verify(w);
    if (rng_chance(&w->rng, w->hasty ? 60 : 25))
        simdisk_crash_at(w->disk, 1 + rng_below(&w->rng, w->hasty ? 12 : 20));
    err_t err = world_open(w);
    bool off = simdisk_is_off(w->disk);
    simdisk_crash_at(w->disk, 0);
    if (err == OK && !off)
        world_check(w);
    else if (!off)
        world_fail(w, "log_open: %s", err_text(err));
    return !off;
}

/** Calls fail from somewhere on, for a while or for good. */
static void live_with_faults(struct world *w)
{
    static const unsigned kinds[] = {
        SIMDISK_ANY_CALL,
        SIMDISK_WRITE,
        SIMDISK_SYNC,
        SIMDISK_WRITE | SIMDISK_SYNC,
        SIMDISK_ENTRY,
        SIMDISK_ANY_CALL & ~SIMDISK_READ,
        SIMDISK_SYNC | SIMDISK_TRUNCATE,
        SIMDISK_SYNC_DIR,
    };
    struct simdisk_fault fault = {
        .calls = kinds[rng_below(&w->rng, ARRAY_LEN(kinds))],
        .first = 1 + rng_below(&w->rng, 30),
        .count = rng_chance(&w->rng, 30) ? UINT64_MAX : 1 + rng_below(&w->rng, 4),
        .err = rng_chance(&w->rng, 70) ? ERR_IO : ERR_NO_SPACE,
    };
    w->faulty = true;
    simdisk_set_fault(w->disk, fault);
    live(w, 5 + (unsigned)rng_below(&w->rng, 20));
    simdisk_set_fault(w->disk, (struct simdisk_fault){0});
    live(w, (unsigned)rng_below(&w->rng, 10));
    w->faulty = false;
}

/** The disk fills up; as soon as there is room again everything goes on by itself. */
static void live_with_full_disk(struct world *w)
{
    w->faulty = true;
    simdisk_set_budget(w->disk, simdisk_used_bytes(w->disk) + rng_below(&w->rng, KIB(200)));
    live(w, 5 + (unsigned)rng_below(&w->rng, 30));
    simdisk_set_budget(w->disk, UINT64_MAX);
    if (!w->failed && w->log != NULL && !simdisk_is_off(w->disk)) {
        world_commit(w);
        clock_manual_advance_us(&w->clock, 1100000);
        world_expect_writable(w);
    }
    w->faulty = false;
}

static void live_somehow(struct world *w)
{
    unsigned roll = (unsigned)rng_below(&w->rng, 100);
    unsigned soon = rng_chance(&w->rng, 30) ? 15 : 120;
    simdisk_crash_at(w->disk, 1 + rng_below(&w->rng, w->hasty ? 30 : soon));
    if (roll < (w->hasty ? 30 : 15))
        live_with_faults(w);
    else if (roll < 25)
        live_with_full_disk(w);
    else
        live(w, 5 + (unsigned)rng_below(&w->rng, w->hasty ? 10 : 50));
}

void chain_random(uint64_t seed, uint64_t salt, struct chain_result *result)
{
    struct world w;
    world_init(&w, seed, salt);
    unsigned lives = 2 + (unsigned)rng_below(&w.rng, 8);
    w.hasty = rng_chance(&w.rng, 40);
    for (unsigned i = 0; i < lives && !w.failed; i++) {
        if (open_or_crash(&w) && !rng_chance(&w.rng, 15))
            live_somehow(&w);
        end_life(&w, result, random_kind(&w), rng_next(&w.loss));
    }
    if (!w.failed)
        open_and_check(&w);
    if (w.log != NULL)
        end_life(&w, result, SIMDISK_POWER_CUT, rng_next(&w.loss));
    finish(&w, result);
}

void chain_crash_at(uint64_t seed, uint64_t call, uint64_t loss_seed, struct chain_result *result)
{
    struct world w;
    struct rng loss = {loss_seed};
    world_init(&w, seed, 0);
    simdisk_crash_at(w.disk, call);
    if (world_open(&w) == OK)
        live(&w, SHORT_LIFE_STEPS);
    result->calls = simdisk_calls(w.disk);
    enum simdisk_crash kind = rng_chance(&loss, 25) ? SIMDISK_KILL : SIMDISK_POWER_CUT;
    end_life(&w, result, kind, rng_next(&loss));
    if (!w.failed)
        open_and_check(&w);
    end_life(&w, result, SIMDISK_POWER_CUT, rng_next(&loss));
    if (!w.failed)
        open_and_check(&w);
    if (!w.failed)
        live(&w, 5);
    if (w.log != NULL)
        end_life(&w, result, SIMDISK_POWER_CUT, rng_next(&loss));
    finish(&w, result);
}

void chain_fault(uint64_t seed, struct simdisk_fault fault, struct chain_result *result)
{
    struct world w;
    world_init(&w, seed, 0);
    w.faulty = true;
    simdisk_set_fault(w.disk, fault);
    if (world_open(&w) == OK)
        live(&w, SHORT_LIFE_STEPS);
    result->calls = simdisk_fault_seen(w.disk);
    simdisk_set_fault(w.disk, (struct simdisk_fault){0});
    /* Whatever is closed stays closed; the rest must go on. */
    if (w.log != NULL)
        live(&w, 5);
    if (w.log != NULL && rng_chance(&w.rng, 30))
        world_close(&w);
    end_life(&w, result, random_kind(&w), rng_next(&w.loss));
    w.faulty = false;
    if (!w.failed)
        open_and_check(&w);
    if (!w.failed)
        live(&w, 5);
    end_life(&w, result, SIMDISK_POWER_CUT, rng_next(&w.loss));
    if (!w.failed)
        open_and_check(&w);
    if (w.log != NULL)
        end_life(&w, result, SIMDISK_POWER_CUT, 0);
    finish(&w, result);
}
