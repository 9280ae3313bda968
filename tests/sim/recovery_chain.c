/*
 * tests/sim/recovery_chain.c: histories of state and store.
 */
#include <stdio.h>
#include <string.h>

#include "base/logger.h"
#include "tests/sim/recovery.h"

#define MANY 1100 /* documents: more than a restore appends in one batch */

static void finish(struct recovery *w, struct chain_result *result)
{
    if (w->log != NULL)
        rec_close(w);
    result->acked += (uint64_t)w->acked;
    result->failed = w->failed;
    memcpy(result->failure, w->failure, sizeof(result->failure));
    rec_release(w);
}

/** The engine follows, and all is as it should be. */
static void settle(struct recovery *w)
{
    if (rec_alive(w))
        rec_catch_up(w, rng_chance(&w->loss, 50));
    w->state_hurt = w->state_hurt && !rec_alive(w);
    if (rec_alive(w))
        rec_check_state(w);
    if (rec_alive(w))
        rec_check_store(w);
}

static void open_and_check(struct recovery *w)
{
    err_t err = rec_open(w);
    if (simdisk_is_off(w->disk))
        return;
    rec_expect(w, err, "a start");
    if (rec_alive(w))
        rec_check(w);
}

static void end_life(struct recovery *w, struct chain_result *result)
{
    simdisk_power_off(w->disk);
    rec_close(w);
    enum simdisk_crash kind = rng_chance(&w->loss, 40) ? SIMDISK_KILL : SIMDISK_POWER_CUT;
    LOG_DEBUG("life_ends", F("killed", kind == SIMDISK_KILL), F("acked", w->acked),
              F("covered", w->covered));
    simdisk_restart(w->disk, kind, rng_next(&w->loss));
    result->crashes++;
}

/* Random lives -------------------------------------------------------------------------------- */

static void live(struct recovery *w, unsigned steps)
{
    for (unsigned i = 0; i < steps && rec_alive(w); i++)
        rec_anything(w);
}

/** Calls fail for a while, or the disk is full; then all goes on without a restart. */
static void live_with_faults(struct recovery *w)
{
    static const unsigned kinds[] = {SIMDISK_ANY_CALL, SIMDISK_WRITE,
                                     SIMDISK_SYNC,     SIMDISK_SYNC_DIR,
                                     SIMDISK_ENTRY,    SIMDISK_ANY_CALL & ~SIMDISK_READ};
    w->faulty = true;
    LOG_DEBUG("faults_begin", F("acked", w->acked));
    if (rng_chance(&w->rng, 40)) {
        simdisk_set_budget(w->disk, simdisk_used_bytes(w->disk) + rng_below(&w->rng, KIB(60)));
    } else {
        struct simdisk_fault fault = {
            .calls = kinds[rng_below(&w->rng, ARRAY_LEN(kinds))],
            .first = 1 + rng_below(&w->rng, 60),
            .count = rng_chance(&w->rng, 30) ? UINT64_MAX : 1 + rng_below(&w->rng, 4),
            .err = rng_chance(&w->rng, 60) ? ERR_IO : ERR_NO_SPACE,
        };
        simdisk_set_fault(w->disk, fault);
    }
    live(w, 5 + (unsigned)rng_below(&w->rng, 15));
    simdisk_set_fault(w->disk, (struct simdisk_fault){0});
    simdisk_set_budget(w->disk, UINT64_MAX);
    clock_manual_advance_us(&w->clock, 1100000);
    while (rec_alive(w) &&
           (w->space->round.job.state != JOB_NONE || w->space->checkpoint.state != JOB_NONE))
        (void)rec_step(w, false); /* what met them ends with them */
    LOG_DEBUG("faults_end", F("acked", w->acked));
    w->faulty = false;
    if (rec_alive(w)) /* what was appended while the log could not be read */
        rec_expect(w, rec_model_learn(&w->model, w->shard), "reading the log");
    settle(w);
}

/** A stop, and what befalls a stopped server's files. */
static void stop_and_hurt(struct recovery *w)
{
    rec_catch_up(w, rng_chance(&w->rng, 70));
    rec_close(w);
    if (w->failed || simdisk_is_off(w->disk))
        return;
    if (rng_chance(&w->rng, 60))
        rec_cut_log(w);
    if (rng_chance(&w->rng, 60))
        rec_hurt_state(w);
    if (!w->failed)
        open_and_check(w);
}

static void live_somehow(struct recovery *w)
{
    unsigned roll = (unsigned)rng_below(&w->rng, 100);
    if (w->inplace.open)
        rec_restore_in_place(w, 0, -1);
    if (rng_chance(&w->rng, 80))
        simdisk_crash_at(w->disk, 1 + rng_below(&w->rng, rng_chance(&w->rng, 30) ? 20 : 200));
    if (roll < 20 && rec_alive(w))
        live_with_faults(w);
    else if (roll < 35 && rec_alive(w))
        stop_and_hurt(w);
    live(w, 5 + (unsigned)rng_below(&w->rng, 30));
    if (rng_chance(&w->rng, 20))
        settle(w);
}

/** A start, maybe with a crash in it and in the engine's first steps. */
static void start_somehow(struct recovery *w)
{
    if (rng_chance(&w->rng, 30))
        simdisk_crash_at(w->disk, 1 + rng_below(&w->rng, 40));
    open_and_check(w);
    if (rec_alive(w) && rng_chance(&w->rng, 60))
        settle(w);
    simdisk_crash_at(w->disk, 0);
}

void rec_chain_random(uint64_t seed, uint64_t salt, struct chain_result *result)
{
    struct recovery w;
    rec_init(&w, seed, salt);
    for (uint64_t lives = 2 + rng_below(&w.rng, 7); lives > 0 && !w.failed; lives--) {
        start_somehow(&w);
        if (rec_alive(&w))
            live_somehow(&w);
        if (!w.failed)
            end_life(&w, result);
    }
    if (!w.failed)
        open_and_check(&w);
    settle(&w);
    finish(&w, result);
}

/* Every call of short lives ------------------------------------------------------------------- */

/** Some history, and something to remove. */
static void begin(struct recovery *w)
{
    rec_expect(w, rec_open(w), "a start");
    for (unsigned day = 0; day < 4 && rec_alive(w); day++) {
        rec_append(w, 6);
        rec_catch_up(w, true);
        rec_append(w, 4);
        rec_catch_up(w, true);
        rec_snapshot(w, day % REC_COLLECTIONS, SNAPSHOT_DAILY);
        if (day == 1)
            rec_compact(w, 0);
        clock_manual_advance_us(&w->clock, 2 * REC_DAY_US);
    }
}

/** More than one batch of a restore has documents, and all were deleted. */
static void begin_many(struct recovery *w)
{
    w->ids = MANY;
    rec_expect(w, rec_open(w), "a start");
    rec_append_each(w, "insert");
    rec_catch_up(w, true);
    rec_append_each(w, "delete");
}

/** The world in which each life of a sweep begins: made once. */
static void begin_again(struct recovery *w, uint64_t seed, void (*make)(struct recovery *w))
{
    static struct recovery made;
    static void (*made_by)(struct recovery * w);
    static uint64_t made_of;
    if (made_by != make || made_of != seed) {
        if (made_by != NULL)
            rec_release(&made);
        rec_init(&made, seed, 0);
        make(&made);
        rec_close(&made);
        made_by = make;
        made_of = seed;
    }
    rec_clone(w, &made);
}

/** Each kind of durable write. */
static void short_life(struct recovery *w)
{
    static void (*const jobs[])(struct recovery * w, unsigned collection) = {
        rec_compact, rec_cleanup, rec_restore_to_file};
    rec_append(w, 5);
    if (rec_alive(w))
        rec_catch_up(w, true);
    for (unsigned i = 0; i < REC_COLLECTIONS && rec_alive(w); i++)
        rec_snapshot(w, i, SNAPSHOT_MANUAL);
    for (unsigned i = 0; i < ARRAY_LEN(jobs) * REC_COLLECTIONS && rec_alive(w); i++)
        jobs[i / REC_COLLECTIONS](w, i % REC_COLLECTIONS);
    if (rec_alive(w))
        rec_restore_in_place(w, 0, -1);
    if (rec_alive(w))
        rec_catch_up(w, true);
    if (rec_alive(w)) /* an end without crash has its last syncs */
        rec_close(w);
}

/** The power fails in call number `call` of `life`, and again soon after the next start: what a
 * killed process had not synced may go then. At last everything is as it should be, and goes on. */
static void crash_in(struct recovery *w, void (*life)(struct recovery *w), uint64_t call,
                     struct chain_result *result)
{
    rec_expect(w, rec_open(w), "a start");
    uint64_t before = simdisk_calls(w->disk);
    simdisk_crash_at(w->disk, call);
    if (rec_alive(w))
        life(w);
    result->calls = simdisk_calls(w->disk) - before;
    for (unsigned again = 0; again < 2 && !w->failed; again++) {
        end_life(w, result);
        if (again == 0 && rng_chance(&w->loss, 50))
            simdisk_crash_at(w->disk, 1 + rng_below(&w->loss, 80));
        open_and_check(w);
        settle(w);
    }
    if (w->inplace.open && rec_alive(w))
        rec_restore_in_place(w, 0, -1);
    if (rec_alive(w))
        rec_append(w, 4);
    if (rec_alive(w))
        rec_catch_up(w, true);
    settle(w);
    finish(w, result);
}

void rec_chain_crash_at(uint64_t seed, uint64_t call, uint64_t loss_seed,
                        struct chain_result *result)
{
    struct recovery w;
    begin_again(&w, seed, begin);
    w.loss.state = loss_seed * 7919 + call;
    crash_in(&w, short_life, call, result);
}

static void restore_many(struct recovery *w)
{
    rec_restore_in_place(w, 0, MANY - 1);
}

void rec_chain_inplace(uint64_t seed, uint64_t call, uint64_t loss_seed,
                       struct chain_result *result)
{
    struct recovery w;
    begin_again(&w, seed, begin_many);
    w.loss.state = loss_seed * 7919 + call;
    crash_in(&w, restore_many, call, result);
}
