/*
 * tests/sim/recovery_work.c: what the product is asked to do between crashes.
 *
 * The linker puts two doors of the product under this file's hands (--wrap, meson.build), so that a
 * restore in place runs on this one thread: writer_submit, which the restore waits for, appends at
 * once, and cdc_flush takes the engine's steps itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"
#include "cdc/state_priv.h"
#include "query/kinds.h"
#include "tests/sim/recovery.h"
#include "writer/builder.h"

#define MEDDLE_PERCENT 25   /* somebody else writes between two batches of a restore */
#define NOISE_BYTES KIB(18) /* so that segments end */

/** The world that restores in place at the moment. */
static struct recovery *restoring;

/* Appending ----------------------------------------------------------------------------------- */

static int64_t random_expect(struct recovery *w, unsigned collection, unsigned id)
{
    int64_t at = w->model.now[collection].at[id];
    switch (rng_below(&w->rng, 8)) {
    case 0:
        return 0;
    case 1:
        return MAX(at, 0);
    case 2:
        return (int64_t)rng_below(&w->rng, (uint64_t)w->model.end + 1);
    default:
        return -1;
    }
}

static void make_change(struct recovery *w, struct buf *out)
{
    static const char *const ops[] = {"insert", "update", "update", "delete"};
    char ts[TIMEFMT_MAX];
    const char *op = ops[rng_below(&w->rng, ARRAY_LEN(ops))];
    unsigned collection = (unsigned)rng_below(&w->rng, REC_COLLECTIONS);
    unsigned id = (unsigned)rng_below(&w->rng, w->ids);
    int64_t expect = random_expect(w, collection, id);
    /* Some are late. */
    int64_t late = rng_chance(&w->rng, 20) ? (int64_t)rng_below(&w->rng, (uint64_t)REC_DAY_US) : 0;
    timefmt_rfc3339(w->clock.now_wall_us - late, ts);
    buf_printf(out, "{\"type\":\"collection.%s\",\"ts\":\"%s\",\"collection\":\"%s\"", op, ts,
               rec_collection(collection).data);
    if (!rng_chance(&w->rng, 8)) /* else it is a dead letter */
        buf_printf(out, ",\"docId\":\"d%u\"", id);
    if (expect >= 0)
        buf_printf(out, ",\"expect\":%lld", (long long)expect);
    if (op[0] != 'd')
        buf_printf(out, ",\"doc\":{\"n\": %llu,\"pad\":\"%0*d\"}", (unsigned long long)++w->serial,
                   (int)rng_below(&w->rng, rng_chance(&w->rng, 5) ? 3000 : 60), 0);
    buf_append_char(out, '}');
}

static void make_event(struct recovery *w, struct buf *out)
{
    buf_clear(out);
    if (rng_chance(&w->rng, 85))
        make_change(w, out);
    else
        buf_printf(out, "{\"type\":\"noise\",\"pad\":\"%0*d\"}",
                   rng_chance(&w->rng, 50) ? (int)NOISE_BYTES : 1, 0);
}

static void note_append(struct recovery *w, struct shard *sh, int64_t end)
{
    shard_upkeep(sh);
    if (simdisk_is_off(w->disk))
        return; /* nobody heard of it */
    if (sh == w->other) {
        w->other_acked = end;
        return;
    }
    w->acked = end;
    rec_expect(w, rec_model_learn(&w->model, w->shard), "reading the log");
    if (!w->failed && !w->faulty && w->model.end != end)
        rec_fail(w, "%lld events are in the log, not %lld", (long long)w->model.end,
                 (long long)end);
}

/** Appends what the builder has. */
static err_t append_built(struct recovery *w, struct shard *sh, struct builder *b)
{
    struct append_batch batch = {0};
    uint32_t count;
    builder_seal(b, &batch.data, &batch.len, &count);
    err_t err = shard_append(sh, &batch, 1);
    free(batch.data);
    if (err == OK)
        note_append(w, sh, batch.base_offset + count);
    return err;
}

static err_t append_random(struct recovery *w, unsigned count)
{
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    struct shard *sh = rng_chance(&w->rng, 8) ? w->other : w->shard;
    for (unsigned i = 0; i < count; i++) {
        if (sh == w->other) {
            buf_clear(&text);
            make_change(w, &text);
        } else {
            make_event(w, &text);
        }
        const struct event_record rec = {.ts_ms = w->clock.now_wall_us / 1000,
                                         .value = {buf_slice(&text)}};
        err_t err = builder_add(b, &rec);
        ASSERT(err == OK);
    }
    err_t err = append_built(w, sh, b);
    builder_free(b);
    return err;
}

void rec_append(struct recovery *w, unsigned count)
{
    /* A shard that a fault has closed stays so until the restart. */
    if (shard_status(w->shard) == SHARD_OPEN && shard_status(w->other) == SHARD_OPEN)
        rec_expect(w, append_random(w, count), "appending");
}

void rec_append_each(struct recovery *w, const char *op)
{
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    char ts[TIMEFMT_MAX];
    struct builder *b = builder_new(BATCH_CODEC_LZ4);
    timefmt_rfc3339(w->clock.now_wall_us, ts);
    for (unsigned id = 0; id < w->ids; id++) {
        buf_clear(&text);
        buf_printf(
            &text,
            "{\"type\":\"collection.%s\",\"ts\":\"%s\",\"collection\":\"%s\",\"docId\":\"d%u\"", op,
            ts, rec_collection(0).data, id);
        if (strcmp(op, "delete") != 0)
            buf_printf(&text, ",\"doc\":{\"n\":%llu}", (unsigned long long)++w->serial);
        buf_append_char(&text, '}');
        const struct event_record rec = {.ts_ms = w->clock.now_wall_us / 1000,
                                         .value = {buf_slice(&text)}};
        err_t err = builder_add(b, &rec);
        ASSERT(err == OK);
    }
    rec_expect(w, append_built(w, w->shard, b), "appending");
    builder_free(b);
}

/* The engine ---------------------------------------------------------------------------------- */

bool rec_step(struct recovery *w, bool deltas)
{
    struct space *sp = w->space;
    bool more = false;
    int64_t before = sp->deltas ? sp->covered : -1;
    bool manifest = before < 0 || sp->round.collection_count > 0;
    if (sp->state != NULL && rng_chance(&w->rng, 20))
        sp->state->wal_pages = sp->state->wal_pages_due; /* a checkpoint comes */
    err_t err = space_step(sp, deltas ? shard_high_watermark(w->shard) : -1, &more);
    if (deltas || rng_chance(&w->rng, 60)) /* else the round goes on while others write */
        worker_pool_run(w->rounds);
    if (simdisk_is_off(w->disk))
        return false;
    if (err != OK) {
        rec_expect(w, err, "a step of the engine");
        worker_pool_run(w->rounds);
        space_close(sp); /* as its thread does */
        return false;
    }
    if (sp->delta_failed && !w->faulty)
        rec_fail(w, "no deltas: %s", sp->blocked);
    if (sp->cursor > shard_high_watermark(w->shard))
        rec_fail(w, "the cursor %lld is ahead of the log", (long long)sp->cursor);
    /* Where there are no collections it moves without a manifest. */
    if (sp->deltas && manifest && sp->has_collections && sp->covered > before)
        w->covered = MAX(w->covered, sp->covered);
    else if (!sp->deltas && !w->faulty)
        rec_fail(w, "there are no deltas any more: %s", sp->blocked);
    return more || (deltas && sp->round.job.state != JOB_NONE);
}

void rec_catch_up(struct recovery *w, bool deltas)
{
    int64_t end = shard_high_watermark(w->shard);
    bool asked = deltas;
    while (rec_step(w, asked))
        asked = asked && w->space->covered < end;
    if (!rec_alive(w) || w->faulty)
        return;
    if (w->space->cursor != end)
        rec_fail(w, "the state is at LSN %lld of %lld", (long long)w->space->cursor,
                 (long long)end);
    if (deltas && w->covered != end && w->space->has_collections)
        rec_fail(w, "the store is at LSN %lld of %lld", (long long)w->covered, (long long)end);
}

err_t __real_cdc_flush(struct cdc *c, const char *namespace_name, bool deltas, int timeout_ms);
err_t __wrap_cdc_flush(struct cdc *c, const char *namespace_name, bool deltas, int timeout_ms);
err_t __wrap_cdc_flush(struct cdc *c, const char *namespace_name UNUSED, bool deltas,
                       int timeout_ms UNUSED)
{
    struct recovery *w = CONTAINER_OF(c, struct recovery, cdc);
    rec_catch_up(w, deltas);
    bool there = rec_alive(w) && w->space->cursor == shard_high_watermark(w->shard) &&
                 (!deltas || !w->space->has_collections || w->space->covered == w->space->cursor);
    return there ? OK : err_fail(ERR_IO, "the engine stands still");
}

/* Jobs ---------------------------------------------------------------------------------------- */

static bool has_changes(const struct recovery *w, unsigned collection)
{
    return rec_model_changed(&w->model, collection, w->model.end);
}

static void keep_name(struct recovery *w, unsigned collection, const char *name)
{
    ASSERT(w->kept_count[collection] < REC_KEPT_MAX);
    snprintf(w->kept[collection][w->kept_count[collection]++], sizeof(w->kept[0][0]), "%s", name);
}

void rec_snapshot(struct recovery *w, unsigned collection, enum snapshot_type type)
{
    struct snapshot s;
    if (w->kept_count[collection] == REC_KEPT_MAX)
        return;
    err_t err = snapshot_create(w->live, REC_NAMESPACE, rec_collection(collection), type, &s);
    if (err == OK && !simdisk_is_off(w->disk))
        keep_name(w, collection, s.name);
    if (err == OK)
        snapshot_free(&s);
    if (err != ERR_EXISTS && !(err == ERR_NOT_FOUND && !has_changes(w, collection)))
        rec_expect(w, err, "a snapshot");
}

void rec_compact(struct recovery *w, unsigned collection)
{
    rec_expect(w, snapshot_compact(w->live, REC_NAMESPACE, rec_collection(collection)),
               "a compaction");
}

void rec_cleanup(struct recovery *w, unsigned collection)
{
    const struct retention retention = {2, 1, 1 + (unsigned)rng_below(&w->rng, 4)};
    struct snapshot_list list;
    rec_check_output(w); /* its target may be gone afterwards */
    if (!rec_alive(w))
        return;
    w->kept_count[collection] = 0; /* until it has said what stays */
    err_t err = snapshot_cleanup(w->live, REC_NAMESPACE, rec_collection(collection), &retention,
                                 false, NULL, NULL);
    if (err == ERR_NOT_FOUND && !has_changes(w, collection))
        return;
    rec_expect(w, err, "a cleanup");
    if (err != OK || simdisk_is_off(w->disk) || w->faulty)
        return;
    err = snapshot_list_read(w->store, REC_NAMESPACE, rec_collection(collection), &list);
    rec_expect(w, err, "the list of snapshots");
    if (err != OK)
        return;
    for (size_t i = 0; i < MIN(list.count, REC_KEPT_MAX); i++)
        keep_name(w, collection, list.items[i].name);
    snapshot_list_free(&list);
}

/* Restoring ----------------------------------------------------------------------------------- */

err_t __real_writer_submit(struct writer *writer, struct write_batch *b);
err_t __wrap_writer_submit(struct writer *writer, struct write_batch *b);
err_t __wrap_writer_submit(struct writer *writer, struct write_batch *b)
{
    struct recovery *w = restoring;
    if (w == NULL)
        return __real_writer_submit(writer, b);
    if (rng_chance(&w->rng, MEDDLE_PERCENT))
        rec_append(w, 1 + (unsigned)rng_below(&w->rng, 3));
    struct append_batch batch = {.data = b->data, .len = b->len};
    b->err = shard_append(b->shard, &batch, 1);
    b->base_offset = batch.base_offset;
    if (b->err == OK)
        note_append(w, b->shard, batch.base_offset + b->record_count);
    else
        snprintf(b->err_text, sizeof(b->err_text), "%s", err_text(b->err));
    free(b->data);
    b->on_done(b);
    return OK;
}

/** The door, as a worker of query/ passes it. */
static err_t ask_restore(struct recovery *w, unsigned collection, int64_t target)
{
    struct query q = {.options = {.io = w->io,
                                  .clock = &w->clock.base,
                                  .log = w->log,
                                  .cdc = &w->cdc,
                                  .store = w->store,
                                  .data_dir = REC_DATA,
                                  .codec = BATCH_CODEC_LZ4}};
    struct query_op op = {
        .q = &q, .namespace_name = REC_NAMESPACE, .collection = rec_collection(collection)};
    lock_init(&q.lock, LOCK_RANK_LEAF);
    lock_cond_init(&q.changed);
    buf_printf(&op.body, "{\"lsn\":%lld}", (long long)target);
    restoring = w;
    err_t err = restore_kind.work(&op);
    restoring = NULL;
    buf_release(&op.body);
    buf_release(&op.out);
    lock_cond_destroy(&q.changed);
    lock_destroy(&q.lock);
    return err;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/** Each document is what it was, or (`done`: surely) what was wanted, but for those that others
 * have changed since the restore began. */
static void check_restored(struct recovery *w, bool done)
{
    const struct rec_inplace *r = &w->inplace;
    struct rec_docs old, wanted;
    bool touched[REC_IDS] = {false};
    rec_model_docs(&w->model, r->collection, r->from, &old);
    rec_model_docs(&w->model, r->collection, r->target + 1, &wanted);
    for (int64_t lsn = r->from; lsn < w->model.end; lsn++) {
        const struct rec_event *e = &w->model.events[lsn];
        if (e->kind == REC_CHANGE && e->collection == r->collection && !e->of_restore)
            touched[e->id] = true;
    }
    for (unsigned id = 0; id < w->ids; id++) {
        const char *have = rec_model_text(&w->model, w->model.now[r->collection].at[id]);
        bool is_wanted = same_text(have, rec_model_text(&w->model, wanted.at[id]));
        bool is_old = same_text(have, rec_model_text(&w->model, old.at[id]));
        if (!touched[id] && !is_wanted && (done || !is_old))
            rec_fail(w, "a restore to LSN %lld left document %u neither old nor new",
                     (long long)r->target, id);
    }
}

void rec_check_half_way(struct recovery *w)
{
    if (w->inplace.open)
        check_restored(w, false);
}

void rec_restore_in_place(struct recovery *w, unsigned collection, int64_t target)
{
    if (!has_changes(w, collection))
        return;
    if (w->inplace.open) { /* the rest of one that a crash has ended */
        rec_check_half_way(w);
        collection = w->inplace.collection;
    } else {
        rec_catch_up(w, true);
        int64_t oldest = rec_alive(w) ? rec_oldest(w, collection) : -1;
        if (oldest < 0 || oldest >= w->model.end)
            return;
        if (target < 0)
            target = oldest + (int64_t)rng_below(&w->rng, (uint64_t)(w->model.end - oldest));
        w->inplace = (struct rec_inplace){true, collection, target, w->model.end};
    }
    err_t err = ask_restore(w, collection, w->inplace.target);
    if (shard_status(w->shard) == SHARD_OPEN)
        rec_expect(w, err, "a restore in place");
    if (err != OK || !rec_alive(w))
        return;
    check_restored(w, true);
    w->inplace.open = false;
}

static void compare_files(struct recovery *w, const char *a, const char *b)
{
    CLEANUP(xfree_ptr) char *left = NULL;
    CLEANUP(xfree_ptr) char *right = NULL;
    size_t left_len = 0;
    size_t right_len = 0;
    rec_expect(w, io_read_file(w->io, a, MIB(16), &left, &left_len), "a restored file");
    rec_expect(w, io_read_file(w->io, b, MIB(16), &right, &right_len), "a restored file");
    if (rec_alive(w) && (left_len != right_len || memcmp(left, right, left_len) != 0))
        rec_fail(w, "%s is not what the same restore gives again", a);
}

static err_t write_output(struct recovery *w, const char *path)
{
    const struct rec_output *o = &w->output;
    const struct restore_output output = {o->format, path, -1};
    const struct target target = {.kind = TARGET_LSN, .value = o->target};
    struct slice name = rec_collection(o->collection);
    struct rebuild_plan plan;
    struct restore_result result;
    TRY(rebuild_plan(w->files, REC_NAMESPACE, name, &target, &plan));
    err_t err = restore_to_file(w->files, REC_NAMESPACE, name, &plan, &output, NULL, &result);
    rebuild_plan_free(&plan);
    return err;
}

void rec_check_output(struct recovery *w)
{
    struct rec_output *o = &w->output;
    if (!o->open)
        return;
    CLEANUP(xfree_ptr) char *path = xasprintf(REC_OUT "/%u", w->outputs);
    CLEANUP(xfree_ptr) char *again = xasprintf(REC_OUT "/%u-%u", w->outputs, ++o->tries);
    bool found = false;
    rec_expect(w, io_find(w->io, path, &found), "finding a restored file");
    if (o->done && !found)
        rec_fail(w, "%s was restored and is gone", path);
    if (found && rec_alive(w)) {
        rec_expect(w, write_output(w, again), "a restore to a file");
        if (rec_alive(w))
            compare_files(w, path, again);
    }
    if (rec_alive(w))
        o->open = false;
}

void rec_restore_to_file(struct recovery *w, unsigned collection)
{
    rec_catch_up(w, true);
    if (!rec_alive(w) || w->faulty || !has_changes(w, collection))
        return;
    CLEANUP(xfree_ptr) char *path = xasprintf(REC_OUT "/%u", ++w->outputs);
    w->output = (struct rec_output){.open = true,
                                    .collection = collection,
                                    .format = (enum restore_format)rng_below(&w->rng, 3),
                                    .target = w->covered - 1};
    err_t err = write_output(w, path);
    rec_expect(w, err, "a restore to a file");
    w->output.done = err == OK && !simdisk_is_off(w->disk);
}

/* Anything ------------------------------------------------------------------------------------ */

static void restart(struct recovery *w)
{
    rec_close(w);
    err_t err = rec_open(w);
    if (!simdisk_is_off(w->disk))
        rec_expect(w, err, "a start");
}

void rec_anything(struct recovery *w)
{
    if (w->swallowed != simdisk_swallowed()) {
        w->swallowed = simdisk_swallowed();
        w->rng.state += w->salt;
    }
    unsigned collection = (unsigned)rng_below(&w->rng, REC_COLLECTIONS);
    unsigned roll = (unsigned)rng_below(&w->rng, 100);
    if (roll < 35)
        rec_append(w, 1 + (unsigned)rng_below(&w->rng, 8));
    else if (roll < 55)
        (void)rec_step(w, rng_chance(&w->rng, 50));
    else if (roll < 63)
        rec_snapshot(w, collection, (enum snapshot_type)rng_below(&w->rng, 3));
    else if (roll < 70)
        rec_compact(w, collection);
    else if (roll < 74 && !w->inplace.open)
        rec_cleanup(w, collection);
    else if (roll < 80)
        rec_restore_in_place(w, collection, -1);
    else if (roll < 84)
        rec_restore_to_file(w, collection);
    else if (roll < 94)
        clock_manual_advance_us(&w->clock, (int64_t)rng_below(&w->rng, (uint64_t)REC_DAY_US));
    else if (roll < 97 && !w->faulty)
        restart(w);
    else
        worker_pool_run(w->workers);
}
