/* Reconstructions of a real log, state and store against a model that applies changes one by one:
 * random targets, deltas, snapshots, compaction, restarts, a lost state; from the server's side,
 * from a directory that is only read, and from the store alone. */
#include "tests/test.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/unit/snapshot/world.h"

#define STEPS 12

static void check_doc(const struct world *w, const int state[IDS], const struct state_doc *doc)
{
    unsigned id = number_of(doc->id);
    assert_in_range(id, 0, IDS - 1);
    assert_true(state[id] >= 0);
    const struct model_change *c = &w->changes[state[id]];
    assert_int_equal(doc->lsn, c->lsn);
    assert_int_equal(doc->ts_us, c->ts_us);
    assert_true(slice_equal(doc->doc, slice_of(c->doc)));
}

static void check_stream(const struct world *w, struct source *s, const struct rebuild_plan *plan,
                         const int state[IDS])
{
    struct rebuild *r;
    struct state_doc doc;
    size_t seen = 0, live = 0;
    err_t err;
    assert_ok(rebuild_open(s, NS, collection, plan, &r));
    while ((err = rebuild_next(r, &doc)) == OK) {
        check_doc(w, state, &doc);
        seen++;
    }
    assert_int_equal(err, ERR_END);
    rebuild_close(r);
    for (size_t i = 0; i < IDS; i++)
        live += state[i] >= 0;
    assert_int_equal(seen, live);
}

/* Targets ------------------------------------------------------------------------------------- */

static int64_t last_bookmark(const struct world *w)
{
    int64_t lsn = -1;
    for (size_t i = 0; i < w->count; i++)
        if (w->changes[i].marked)
            lsn = w->changes[i].lsn;
    return lsn;
}

/** A random target and what it comes down to. */
static struct target random_target(const struct world *w, int64_t end, int64_t *ret_lsn_to,
                                   int64_t *ret_ts_max)
{
    struct target t = {.exclusive = next_random(2) == 0};
    *ret_lsn_to = end;
    *ret_ts_max = INT64_MAX;
    switch (next_random(4)) {
    case 0:
        t.kind = TARGET_LSN;
        t.value = (int64_t)next_random((uint64_t)end);
        *ret_lsn_to = t.value + (t.exclusive ? 0 : 1);
        return t;
    case 1:
        t.kind = TARGET_AT; /* before, between, equal */
        t.value = w->changes[next_random(w->count)].ts_us - (int64_t)next_random(3) + 1;
        t.value = MIN(t.value, w->clock.now_wall_us);
        *ret_ts_max = t.exclusive ? t.value - 1 : t.value;
        return t;
    case 2:
        if (last_bookmark(w) >= 0 && last_bookmark(w) < end) {
            t.kind = TARGET_BOOKMARK;
            t.name = xstrdup("here");
            *ret_lsn_to = last_bookmark(w) + (t.exclusive ? 0 : 1);
            return t;
        }
        break;
    default:
        break;
    }
    t.kind = TARGET_LATEST;
    t.exclusive = false;
    return t;
}

static void check_target(const struct world *w, struct source *s, int64_t end)
{
    int64_t lsn_to, ts_max;
    int state[IDS];
    struct rebuild_plan plan;
    struct target t = random_target(w, end, &lsn_to, &ts_max);
    model(w, lsn_to, ts_max, state);
    err_t err = rebuild_plan(s, NS, collection, &t, &plan);
    if (err != OK)
        fail_msg("target %d %lld: %s", t.kind, (long long)t.value, err_text(err));
    check_stream(w, s, &plan, state);
    rebuild_plan_free(&plan);
    free(t.name);
}

static void check_refused(const struct world *w, struct source *s, int64_t end)
{
    const struct {
        struct target target;
        err_t err;
    } cases[] = {
        {{.kind = TARGET_LSN, .value = end}, ERR_VALIDATION},
        {{.kind = TARGET_LSN, .value = INT64_MAX}, ERR_VALIDATION},
        {{.kind = TARGET_AT, .value = w->clock.now_wall_us + 1}, ERR_VALIDATION},
        {{.kind = TARGET_LATEST, .exclusive = true}, ERR_USAGE},
    };
    struct rebuild_plan plan;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(rebuild_plan(s, NS, collection, &cases[i].target, &plan), cases[i].err);
    char none[] = "none";
    const struct target bookmark = {.kind = TARGET_BOOKMARK, .name = none};
    const struct target snapshot = {.kind = TARGET_SNAPSHOT, .name = none};
    const struct target latest = {.kind = TARGET_LATEST};
    assert_int_equal(rebuild_plan(s, NS, collection, &bookmark, &plan), ERR_NOT_FOUND);
    assert_int_equal(rebuild_plan(s, NS, collection, &snapshot, &plan), ERR_NOT_FOUND);
    assert_int_equal(rebuild_plan(s, NS, SLICE("other"), &latest, &plan), ERR_NOT_FOUND);
    assert_int_equal(rebuild_plan(s, "other", collection, &latest, &plan), ERR_NOT_FOUND);
    assert_int_equal(rebuild_plan(s, "../x", collection, &latest, &plan), ERR_NOT_FOUND);
}

/* Changes, undo ------------------------------------------------------------------------------- */

struct listing {
    const struct world *w;
    size_t at;
    int id; /* -1: all */
    int64_t to;
};

static bool on_change(void *arg, const struct change *c)
{
    struct listing *l = arg;
    while (l->at < l->w->count && l->id >= 0 && (int)l->w->changes[l->at].id != l->id)
        l->at++;
    assert_true(l->at < l->w->count);
    const struct model_change *m = &l->w->changes[l->at++];
    assert_int_equal(c->lsn, m->lsn);
    assert_int_equal(c->ts_us, m->ts_us);
    assert_int_equal(c->skipped, m->skipped);
    assert_int_equal(c->op == CHANGE_DELETE, m->is_delete);
    assert_int_equal(number_of(c->doc_id), m->id);
    if (!m->is_delete)
        assert_true(slice_equal(c->doc, slice_of(m->doc)));
    assert_int_equal(c->bookmark.data != NULL, m->marked);
    return true;
}

static void check_changes(const struct world *w, struct source *s, int64_t end)
{
    int64_t oldest;
    struct listing all = {.w = w, .id = -1};
    assert_ok(changes_each(s, NS, collection, NULL, (struct change_range){0, INT64_MAX}, on_change,
                           &all, &oldest));
    while (all.at < w->count && w->changes[all.at].lsn >= end)
        all.at++; /* a store alone ends there */
    assert_int_equal(all.at, w->count);
    struct listing one = {.w = w, .id = (int)next_random(IDS)};
    char text[16];
    snprintf(text, sizeof(text), "d%d", one.id);
    const struct slice id = slice_of(text);
    assert_ok(changes_each(s, NS, collection, &id, (struct change_range){0, INT64_MAX}, on_change,
                           &one, &oldest));
    for (; one.at < w->count && w->changes[one.at].lsn < end; one.at++)
        assert_int_not_equal(w->changes[one.at].id, one.id);
}

struct undo {
    const struct world *w;
    int state[IDS]; /* as the compensations leave it */
};

static err_t on_compensation(void *arg, const struct compensation *c)
{
    struct undo *u = arg;
    unsigned id = number_of(c->id);
    int now = u->w->current[id];
    assert_int_equal(c->expect, now >= 0 ? u->w->changes[now].lsn : 0);
    assert_int_equal(c->op == CHANGE_INSERT, now < 0);
    u->state[id] = -1;
    for (size_t i = 0; c->op != CHANGE_DELETE && i < u->w->count; i++)
        if (!u->w->changes[i].is_delete && slice_equal(c->doc, slice_of(u->w->changes[i].doc)))
            u->state[id] = (int)i;
    assert_int_equal(u->state[id] < 0, c->op == CHANGE_DELETE);
    return OK;
}

/** What was before `from`, where the last applied change lies in the range. */
static void model_undo(const struct world *w, int64_t from, int64_t to, int state[IDS])
{
    int before[IDS];
    int64_t last[IDS];
    model(w, from, INT64_MAX, before);
    for (size_t i = 0; i < IDS; i++)
        last[i] = -1;
    for (size_t i = 0; i < w->count; i++)
        if (!w->changes[i].skipped)
            last[w->changes[i].id] = w->changes[i].lsn;
    for (size_t i = 0; i < IDS; i++)
        state[i] = last[i] >= from && last[i] <= to ? before[i] : w->current[i];
}

static void check_undo(const struct world *w, struct source *s)
{
    int64_t from = (int64_t)next_random((uint64_t)w->next_lsn);
    int64_t to = from + (int64_t)next_random((uint64_t)(w->next_lsn - from));
    struct restore_filter f = {.undo_from = from, .undo_to = to};
    struct restore_counts counts;
    struct undo u = {.w = w};
    int want[IDS];
    memcpy(u.state, w->current, sizeof(u.state));
    model_undo(w, from, to, want);
    assert_ok(restore_diff(s, NS, collection, NULL, &f, on_compensation, &u, &counts));
    assert_memory_equal(u.state, want, sizeof(want));
    uint64_t all = counts.inserts + counts.updates + counts.deletes;
    if (all > 1) { /* the bound keeps every change from being made */
        f.max_changes = all - 1;
        assert_int_equal(restore_diff(s, NS, collection, NULL, &f, on_compensation, &u, &counts),
                         ERR_VALIDATION);
        f.max_changes = all;
        assert_ok(restore_diff(s, NS, collection, NULL, &f, NULL, NULL, &counts));
    }
}

/* Some documents ------------------------------------------------------------------------------ */

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/** d100 to d1NN, which never were, between those that may have been. */
static size_t pick_ids(char texts[2 * IDS][8], struct slice ids[2 * IDS])
{
    size_t count = 0;
    for (unsigned i = 0; i < IDS; i++) {
        if (next_random(3) == 0) {
            snprintf(texts[count], 8, "d%u", i);
            count++;
        }
        if (next_random(3) == 0) {
            snprintf(texts[count], 8, "d%u", 100 + i);
            count++;
        }
    }
    qsort(texts, count, sizeof(texts[0]), by_text);
    for (size_t i = 0; i < count; i++)
        ids[i] = slice_of(texts[i]);
    return count;
}

static void check_ids(const struct world *w, struct source *s, int64_t end)
{
    char texts[2 * IDS][8];
    struct slice ids[2 * IDS];
    const struct target t = {.kind = TARGET_LSN, .value = (int64_t)next_random((uint64_t)end)};
    const struct restore_filter f = {
        .ids = ids, .id_count = pick_ids(texts, ids), .undo_from = -1, .undo_to = -1};
    struct restore_counts counts;
    struct rebuild_plan plan;
    int then[IDS];
    uint64_t found = 0, different = 0, missing = 0;
    model(w, t.value + 1, INT64_MAX, then);
    assert_ok(rebuild_plan(s, NS, collection, &t, &plan));
    assert_ok(restore_diff(s, NS, collection, &plan, &f, NULL, NULL, &counts));
    for (size_t i = 0; i < f.id_count; i++) {
        unsigned n = number_of(ids[i]);
        if (n < IDS && (then[n] >= 0 || w->current[n] >= 0)) {
            found++;
            different += then[n] != w->current[n];
        } else if (missing++ < RESTORE_MISSING_SHOWN) {
            assert_true(slice_equal(counts.ids_missing[missing - 1], ids[i]));
        }
    }
    assert_int_equal(counts.ids_given, f.id_count);
    assert_int_equal(counts.ids_found, found);
    assert_int_equal(counts.inserts + counts.updates + counts.deletes, different);
    rebuild_plan_free(&plan);
}

/* All ----------------------------------------------------------------------------------------- */

/** Closes it. */
static void check_source(const struct world *w, struct source *s, int64_t end)
{
    for (unsigned i = 0; i < 12; i++)
        check_target(w, s, end);
    check_refused(w, s, end);
    check_changes(w, s, end);
    if (end == w->next_lsn) {
        check_undo(w, s);
        check_ids(w, s, end);
    }
    source_close(s);
}

static void check_all(struct world *w)
{
    check_source(w, open_live(w, NULL), w->next_lsn);
    check_source(w, open_directory(w), w->next_lsn);
    struct namespace_manifest m;
    if (namespace_manifest_read(w->store, NS, &m) != OK)
        return;
    namespace_manifest_free(&m);
    /* Alone the store knows what is covered: all, after a flush. */
    assert_ok(cdc_flush(w->cdc, NS, true, 20000));
    struct source *s = open_store(w);
    const struct target latest = {.kind = TARGET_LATEST};
    struct rebuild_plan plan;
    int state[IDS];
    assert_ok(rebuild_plan(s, NS, collection, &latest, &plan));
    model(w, INT64_MAX, INT64_MAX, state);
    check_stream(w, s, &plan, state);
    rebuild_plan_free(&plan);
    check_changes(w, s, INT64_MAX);
    source_close(s);
}

static void do_something(struct world *w)
{
    struct source *s;
    struct snapshot made;
    err_t err;
    switch (next_random(5)) {
    case 0:
        assert_ok(cdc_flush(w->cdc, NS, true, 20000));
        return;
    case 1:
        s = open_live(w, NULL);
        err = snapshot_create(s, NS, collection, SNAPSHOT_MANUAL, &made);
        assert_true(err == OK || err == ERR_EXISTS);
        if (err == OK)
            snapshot_free(&made);
        source_close(s);
        return;
    case 2:
        assert_ok(cdc_flush(w->cdc, NS, true, 20000));
        s = open_live(w, NULL);
        assert_ok(snapshot_compact(s, NS, collection));
        source_close(s);
        return;
    case 3:
        close_world(w, next_random(2) == 0);
        if (next_random(2) == 0)
            lose_state(w);
        open_world(w);
        return;
    default:
        return; /* what is there lies in the log */
    }
}

static void one_seed(uint64_t seed)
{
    static struct world w;
    start_world(&w, seed);
    append(&w, "{\"type\":\"other\",\"ts\":\"2026-02-02T00:00:00Z\"}");
    for (unsigned step = 0; step < STEPS; step++) {
        size_t changes = 1 + next_random(CHANGES_MAX / STEPS - 1);
        for (size_t i = 0; i < changes; i++) {
            append_change(&w);
            clock_manual_advance_us(&w.clock, (int64_t)next_random(3) * TICK_US);
        }
        do_something(&w);
        check_all(&w);
    }
    end_world(&w);
}

static void every_target_of_every_seed_equals_the_model(void **state)
{
    (void)state;
    const char *seeds = getenv("SPILLWAY_REBUILD_SEEDS");
    uint64_t count = seeds != NULL ? strtoull(seeds, NULL, 10) : 10;
    for (uint64_t seed = 1; seed <= count; seed++) {
        print_message("# seed %llu\n", (unsigned long long)seed);
        one_seed(seed);
    }
}

/* Files that are replaced or damaged ---------------------------------------------------------- */

/** Three deltas. */
static void fill(struct world *w)
{
    for (unsigned step = 0; step < 3; step++) {
        for (unsigned i = 0; i < 30; i++)
            append_change(w);
        assert_ok(cdc_flush(w->cdc, NS, true, 20000));
    }
}

static void a_plan_survives_compaction_of_its_files(void **state)
{
    (void)state;
    static struct world w;
    struct rebuild_plan plan;
    int want[IDS];
    const struct target lsn = {.kind = TARGET_LSN, .value = 50};
    start_world(&w, 77);
    fill(&w);
    struct source *s = open_live(&w, NULL);
    assert_ok(rebuild_plan(s, NS, collection, &lsn, &plan));
    assert_int_equal(plan.delta_count, 2);
    clock_manual_advance_us(&w.clock, INT64_C(86400000000));
    assert_ok(snapshot_compact(s, NS, collection));
    const struct retention none = {1, 1, 30};
    assert_ok(snapshot_cleanup(s, NS, collection, &none, false, NULL, NULL));
    model(&w, 51, INT64_MAX, want);
    check_stream(&w, s, &plan, want);
    rebuild_plan_free(&plan);
    source_close(s);
    end_world(&w);
}

static bool count_change(void *arg, const struct change *c)
{
    (void)c;
    ++*(unsigned *)arg;
    return true;
}

static void a_damaged_delta_is_named_and_never_an_answer(void **state)
{
    (void)state;
    static struct world w;
    struct rebuild_plan plan;
    struct rebuild *r;
    struct drill_result drill;
    const struct target latest = {.kind = TARGET_LATEST};
    unsigned seen = 0;
    int64_t oldest;
    start_world(&w, 78);
    fill(&w);
    struct source *s = open_live(&w, NULL);
    assert_ok(restore_drill(s, NS, collection, NULL, NULL, &drill));
    assert_true(drill.passed);
    assert_ok(rebuild_plan(s, NS, collection, &latest, &plan));
    damage(&w, "deltas/000002*", 40);
    assert_int_equal(rebuild_open(s, NS, collection, &plan, &r), ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), "000002"));
    assert_int_equal(changes_each(s, NS, collection, NULL, (struct change_range){0, INT64_MAX},
                                  count_change, &seen, &oldest),
                     ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), "000002"));
    assert_int_equal(seen, 30); /* the first delta's */
    assert_ok(restore_drill(s, NS, collection, NULL, NULL, &drill));
    assert_false(drill.passed);
    assert_non_null(strstr(drill.text, "000002"));
    rebuild_plan_free(&plan);
    source_close(s);
    end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_target_of_every_seed_equals_the_model),
        cmocka_unit_test(a_plan_survives_compaction_of_its_files),
        cmocka_unit_test(a_damaged_delta_is_named_and_never_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
