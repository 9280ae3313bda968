/*
 * cdc/cdc_space.c: one namespace: opening its state, or making it anew, and one step of work.
 *
 * A step: what is new on shard 0, at most one transaction's worth, is read and applied; the other
 * shards are looked through; deltas are written when enough is pending, when it is old enough, or
 * when asked.
 *
 *   C1  every change below `cursor` is in the state (in memory; the file may lie behind where the
 *       records between were no changes), and none above.
 *   C2  every change in [covered, cursor) that the store lacks is pending, while `deltas` is set.
 *   C3  a record acknowledged before caught_us is applied.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "base/metrics.h"
#include "cdc/cdc_priv.h"

#define RETRY_NS INT64_C(1000000000)
#define RETRY_DOUBLINGS 6
#define CATCHING_UP 100000   /* records in one step */
#define CURSOR_LAG_MAX 65536 /* records without changes, before the cursor is saved on its own */

static int64_t seconds_ns(unsigned seconds)
{
    return (int64_t)seconds * 1000000000;
}

/* Life ---------------------------------------------------------------------------------------- */

struct space *space_new(struct cdc *c, struct stream *s, const char *name)
{
    struct space *sp = xcalloc(1, sizeof(*sp));
    sp->cdc = c;
    sp->name = xstrdup(name);
    sp->path = cdc_state_path(c->data_dir, name);
    sp->stream = s;
    sp->dirty = true;
    sp->due_ns = INT64_MAX;
    sp->delta_due_ns = INT64_MAX;
    sp->round.job.space = sp->checkpoint.space = sp;
    sp->behind_since_us = clock_wall_us(c->options.clock);
    size_t len = MIN(strlen(name), sizeof(sp->lag.namespace_name) - 1);
    memcpy(sp->lag.namespace_name, name, len);
    return sp;
}

/** Lets go of the file; one that is damaged is not opened again. */
static void close_file(struct space *sp)
{
    sp->damaged = sp->damaged || state_is_damaged(sp->state);
    state_close(TAKE(sp->state));
}

void space_close(struct space *sp)
{
    if (sp->state != NULL)
        state_forget_notes(sp->state); /* of records above the cursor */
    if (sp->state != NULL && !state_is_damaged(sp->state) && sp->cursor > sp->saved_cursor &&
        state_apply(sp->state, NULL, 0, sp->cursor) != OK)
        LOG_WARN("state_cursor_unsaved", F("state", sp->path),
                 F("next", "records without changes are read again"));
    space_jobs_abandon(sp); /* before the file, which a checkpoint has open, may be replaced */
    close_file(sp);
    change_runs_free(&sp->pending);
    sp->deltas = false;
    sp->delta_due_ns = INT64_MAX;
    sp->delta_tries = 0;
}

void space_free(struct space *sp)
{
    for (unsigned i = 0; i < sp->watch_count; i++) {
        shard_unwait(sp->watches[i]->shard, &sp->watches[i]->waiter);
        free(sp->watches[i]);
    }
    space_close(sp);
    free(sp->watches);
    free(sp->shard_cursors);
    free(sp->name);
    free(sp->path);
    free(sp);
}

/* Opening ------------------------------------------------------------------------------------- */

/** Throws the state away and opens an empty one. */
static err_t start_over(struct space *sp, const char *why)
{
    LOG_WARN("state_rebuilt", F("state", sp->path), F("reason", why),
             F("next", "making it again from the log"));
    state_close(TAKE(sp->state));
    TRY(state_remove(sp->cdc->options.io, sp->path));
    return state_open(sp->cdc->options.io, sp->path, &sp->state);
}

static err_t open_file(struct space *sp)
{
    err_t err = state_open(sp->cdc->options.io, sp->path, &sp->state);
    if (err == ERR_CORRUPT || (err == OK && sp->damaged))
        err = start_over(sp, err != OK ? err_text(err) : "it is damaged");
    TRY(err);
    sp->damaged = false;
    return state_cursor(sp->state, &sp->cursor);
}

/** The log begins behind the cursor: the state comes from the store. */
static err_t load_from_store(struct space *sp, int64_t log_start)
{
    const struct cdc_options *o = &sp->cdc->options;
    if (sp->cursor > 0)
        TRY(start_over(sp, "the log begins behind it"));
    if (o->rebuild == NULL)
        return err_fail(ERR_CORRUPT,
                        "namespace %s has no state below LSN %lld, where its log begins", sp->name,
                        (long long)log_start);
    TRY(o->rebuild(o->rebuild_arg, sp->name, log_start, sp->state));
    TRY(state_cursor(sp->state, &sp->cursor));
    if (sp->cursor < log_start)
        return err_fail(ERR_CORRUPT,
                        "the store has namespace %s up to LSN %lld, and its log begins at %lld",
                        sp->name, (long long)sp->cursor, (long long)log_start);
    return OK;
}

/** Brings the cursor into the log. */
static err_t settle_cursor(struct space *sp)
{
    struct shard *sh = stream_shard(sp->stream, 0);
    if (sp->cursor > shard_high_watermark(sh)) {
        TRY(start_over(sp, "it is ahead of the log"));
        sp->cursor = 0;
    }
    int64_t log_start = shard_log_start(sh);
    return sp->cursor < log_start ? load_from_store(sp, log_start) : OK;
}

static bool found_one(void *arg, const struct state_collection *c UNUSED)
{
    *(bool *)arg = true;
    return false;
}

void space_watch(struct space *sp, void (*fn)(struct shard_waiter *w))
{
    unsigned count = stream_shard_count(sp->stream);
    if (count <= sp->watch_count)
        return;
    sp->watches = xrealloc(sp->watches, count * sizeof(struct shard_watch *));
    sp->shard_cursors = xrealloc(sp->shard_cursors, count * sizeof(*sp->shard_cursors));
    for (; sp->watch_count < count; sp->watch_count++) {
        struct shard_watch *w = xcalloc(1, sizeof(*w));
        *w = (struct shard_watch){
            .waiter = {.fn = fn}, .space = sp, .shard = stream_shard(sp->stream, sp->watch_count)};
        sp->watches[sp->watch_count] = w;
        sp->shard_cursors[sp->watch_count] = -1;
    }
}

static err_t read_shard_cursors(struct space *sp)
{
    for (unsigned k = 1; k < sp->watch_count; k++)
        if (sp->shard_cursors[k] < 0)
            TRY(state_shard_cursor(sp->state, k, &sp->shard_cursors[k]));
    return OK;
}

static void unblock(struct space *sp)
{
    *sp->blocked = '\0';
    sp->blocked_err = OK;
}

/** What the store lacks is read again. Where that cannot be, the state goes on without deltas. */
static err_t open_deltas(struct space *sp)
{
    unblock(sp);
    if (sp->cdc->options.store == NULL)
        return OK;
    err_t err = pending_restore(sp);
    if (err == ERR_AGAIN) {
        TRY(start_over(sp, "more changes await a delta than memory should hold"));
        sp->cursor = 0;
        TRY(settle_cursor(sp));
        err = sp->cursor <= sp->covered
                  ? OK
                  : err_fail(ERR_CORRUPT, "the store ends at LSN %lld, too far behind the state",
                             (long long)sp->covered);
    }
    if (err == ERR_CORRUPT && !state_is_damaged(sp->state)) {
        snprintf(sp->blocked, sizeof(sp->blocked), "%s", err_text(err));
        sp->blocked_err = ERR_IO;
        LOG_ERROR("deltas_stopped", F("namespace", sp->name), F("err", sp->blocked),
                  F("next", "the state goes on without them"));
        change_runs_free(&sp->pending);
        return OK;
    }
    sp->deltas = err == OK;
    return err;
}

static err_t open_all(struct space *sp)
{
    TRY(open_file(sp));
    TRY(settle_cursor(sp));
    sp->covered = 0;
    sp->caught_us = 0; /* what was applied may not be any more */
    TRY(open_deltas(sp));
    sp->saved_cursor = sp->cursor;
    for (unsigned k = 1; k < sp->watch_count; k++)
        sp->shard_cursors[k] = -1;
    sp->has_collections = false;
    TRY(state_dead_letter_count(sp->state, &sp->dead_letters, &sp->misplaced));
    return state_each_collection(sp->state, found_one, &sp->has_collections);
}

/* A step -------------------------------------------------------------------------------------- */

static void count_applied(const struct change_run *run)
{
    int64_t skipped = 0;
    for (size_t i = 0; i < run->count; i++)
        skipped += run->changes[i].skipped;
    metric_add(M_cdc_changes_total, (int64_t)run->count);
    metric_add(M_cdc_changes_skipped_total, skipped);
    metric_inc(M_cdc_transactions_total);
}

/** Applies a run, where there is something to write, and takes it over. */
static err_t apply_run(struct space *sp, struct change_run *run, int64_t next, bool notes)
{
    err_t err = OK;
    bool write = run->count > 0 || notes || next - sp->saved_cursor > CURSOR_LAG_MAX;
    if (write)
        err = state_apply(sp->state, run->changes, run->count, next);
    if (err != OK) {
        change_run_free(run);
        return err;
    }
    if (write) {
        count_applied(run);
        sp->saved_cursor = next;
    }
    sp->cursor = next;
    sp->has_collections = sp->has_collections || run->count > 0;
    pending_add(sp, run);
    return OK;
}

/** Reads and applies one transaction's worth up to `to`. */
static err_t apply_new(struct space *sp, int64_t to, bool *ret_more)
{
    struct change_run *run;
    int64_t next;
    bool moved = false;
    TRY(read_shard_cursors(sp));
    TRY(space_read_misplaced(sp, &moved, ret_more));
    TRY(space_read(sp, sp->cursor, to, false, &run, &next));
    /* Dead letters are noted while reading: they alone are reason enough for a transaction. */
    bool noted = moved || state_has_notes(sp->state);
    TRY(apply_run(sp, run, next, noted));
    if (noted)
        TRY(state_dead_letter_count(sp->state, &sp->dead_letters, &sp->misplaced));
    *ret_more = *ret_more || next < to;
    return OK;
}

/** When an age is set and there is something to cover, a delta or a new covered_until is due. */
static void set_delta_timer(struct space *sp, int64_t now_ns)
{
    unsigned seconds = sp->cdc->options.delta_seconds;
    if (sp->deltas && seconds > 0 && sp->has_collections && sp->delta_due_ns == INT64_MAX)
        sp->delta_due_ns = now_ns + seconds_ns(seconds);
}

int64_t space_retry_ns(unsigned tries)
{
    return RETRY_NS << MIN(tries, RETRY_DOUBLINGS);
}

/** What is pending stays so, and the state goes on. */
static void put_off_deltas(struct space *sp, err_t err, int64_t now_ns)
{
    int64_t wait_ns = space_retry_ns(sp->delta_tries++);
    snprintf(sp->blocked, sizeof(sp->blocked), "%s", err_text(err));
    sp->blocked_err = err == ERR_NO_SPACE ? ERR_NO_SPACE : ERR_IO;
    sp->delta_due_ns = now_ns + wait_ns;
    metric_inc(M_cdc_failures_total);
    LOG_ERROR("deltas_put_off", F("namespace", sp->name), F("err", sp->blocked),
              F("retry_seconds", wait_ns / 1000000000),
              F("next", "the state goes on; trying again"));
}

/** How the round went that has ended, where one has. False where deltas up to `asked_lsn` are still
 * to be tried. */
static bool take_round(struct space *sp, int64_t asked_lsn, int64_t now_ns)
{
    err_t err;
    if (!round_take(sp, &err))
        return false;
    sp->delta_due_ns = INT64_MAX;
    if (err != OK) {
        sp->delta_failed = sp->round.asked;
        put_off_deltas(sp, err, now_ns);
        return sp->round.asked;
    }
    unblock(sp);
    sp->delta_tries = 0;
    return sp->round.asked && sp->covered >= asked_lsn;
}

/** Begins a round where one is due or asked for. An error only where the state is damaged. */
static err_t start_round(struct space *sp, bool asked)
{
    int64_t now_ns = clock_mono_ns(sp->cdc->options.clock);
    if (!sp->deltas || !space_job_is_idle(&sp->round.job))
        return OK;
    set_delta_timer(sp, now_ns);
    bool due = now_ns >= sp->delta_due_ns ||
               (sp->delta_tries == 0 && sp->pending.bytes >= sp->cdc->options.delta_bytes);
    if (!asked && !due)
        return OK;
    sp->delta_due_ns = INT64_MAX;
    err_t err = round_start(sp, asked);
    if (err == OK || state_is_damaged(sp->state))
        return err;
    sp->delta_failed = asked;
    put_off_deltas(sp, err, now_ns);
    return OK;
}

static err_t open_where_closed(struct space *sp)
{
    if (sp->state != NULL)
        return OK;
    err_t err = open_all(sp);
    if (err != OK) {
        close_file(sp); /* half open: nothing of it is used */
        change_runs_free(&sp->pending);
    }
    return err;
}

err_t space_step(struct space *sp, int64_t asked_lsn, bool *ret_more)
{
    struct clock *clock = sp->cdc->options.clock;
    struct shard *sh = stream_shard(sp->stream, 0);
    *ret_more = false;
    TRY(open_where_closed(sp));
    sp->delta_failed = false;
    bool served = take_round(sp, asked_lsn, clock_mono_ns(clock));
    bool asked = asked_lsn >= 0 && !served;
    sp->full = pending_is_full(sp);
    if (sp->full) {
        TRY(checkpoint_tend(sp, false));
        return start_round(sp, asked);
    }
    /* The time first: what is acknowledged later lies at or above `to`. */
    sp->sampled_us = clock_wall_us(clock);
    int64_t to = shard_high_watermark(sh);
    bool catching_up = to - sp->cursor >= CATCHING_UP;
    TRY(apply_new(sp, to, ret_more));
    TRY(checkpoint_tend(sp, catching_up));
    if (sp->cursor >= to)
        sp->caught_us = sp->sampled_us;
    return start_round(sp, asked && sp->cursor >= to);
}
