/* Drills: which recorded state they reach and by which files, what they do not overlook, and that
 * their outcome is kept. */
#include "tests/test.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/unit/snapshot/world.h"

#define FLUSH_MS 20000
#define SEEDS 2
#define STEPS 6

static void change(struct world *w, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        append_change(w);
        clock_manual_advance_us(&w->clock, TICK_US);
    }
    assert_ok(cdc_flush(w->cdc, NS, true, FLUSH_MS));
}

static void make_snapshot(struct source *s)
{
    struct snapshot made;
    assert_ok(snapshot_create(s, NS, collection, SNAPSHOT_MANUAL, &made));
    snapshot_free(&made);
}

static struct drill_result drilled(struct source *s, const struct target *t)
{
    struct drill_result r;
    err_t err = restore_drill(s, NS, collection, t, NULL, &r);
    if (err != OK)
        fail_msg("%s", err_text(err));
    return r;
}

static void assert_fails_by(struct source *s, const char *file)
{
    struct drill_result r = drilled(s, NULL);
    if (r.passed || strstr(r.text, file) == NULL)
        fail_msg("passed %d, \"%s\" lacks \"%s\"", r.passed, r.text, file);
}

/** Deltas 1 and 2, a snapshot, delta 3, and compacted data that ends where delta 3 does. The clock
 * passes midnight in between, so compaction merges nothing. */
static void fill(struct world *w, struct source *s)
{
    change(w, 30);
    clock_manual_advance_us(&w->clock, INT64_C(86400000000));
    change(w, 30);
    make_snapshot(s);
    clock_manual_advance_us(&w->clock, INT64_C(86400000000));
    change(w, 30);
    assert_ok(snapshot_compact(s, NS, collection));
}

static void the_chain_is_read_although_a_file_ends_there(void **state UNUSED)
{
    static struct world w;
    start_world(&w, 1);
    struct source *s = open_live(&w, NULL);
    fill(&w, s);
    struct drill_result r = drilled(s, NULL);
    assert_true(r.passed);
    assert_int_equal(r.lsn, 89);
    assert_int_equal(r.deltas, 1);
    assert_non_null(strstr(r.base, "snapshots/"));
    append_change(&w); /* in the log alone: files do not know it */
    assert_ok(cdc_flush(w.cdc, NS, false, FLUSH_MS));
    assert_int_equal(drilled(s, NULL).lsn, 89);
    source_close(s);
    end_world(&w);
}

static void no_damage_hides_behind_another_file(void **state UNUSED)
{
    static const char *const files[] = {"data.parquet", "deltas/000003*", "snapshots/2*"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        static struct world w;
        start_world(&w, 2);
        struct source *s = open_live(&w, NULL);
        fill(&w, s);
        assert_true(drilled(s, NULL).passed);
        damage(&w, files[i], 40);
        CLEANUP(xfree_ptr) char *name = xstrndup(files[i], strcspn(files[i], "*"));
        assert_fails_by(s, name);
        source_close(s);
        end_world(&w);
    }
}

static void a_recorded_hash_that_differs_is_found(void **state UNUSED)
{
    static struct world w;
    struct collection_manifest m;
    start_world(&w, 3);
    struct source *s = open_live(&w, NULL);
    fill(&w, s);
    assert_ok(collection_manifest_read(w.store, NS, collection, &m));
    m.data.state_hash.low ^= 1; /* deltas agree with each other: only data.parquet does not */
    assert_ok(collection_manifest_write(w.store, &m));
    assert_fails_by(s, "data.parquet");
    collection_manifest_free(&m);
    source_close(s);
    end_world(&w);
}

static void a_target_means_the_newest_record_before_it(void **state UNUSED)
{
    static struct world w;
    struct drill_result r;
    start_world(&w, 4);
    struct source *s = open_live(&w, NULL);
    fill(&w, s);
    const struct {
        struct target target;
        int64_t lsn;
    } cases[] = {
        {{.kind = TARGET_LATEST}, 89},
        {{.kind = TARGET_LSN, .value = 89}, 89},
        {{.kind = TARGET_LSN, .value = 89, .exclusive = true}, 59},
        {{.kind = TARGET_LSN, .value = 59}, 59},
        {{.kind = TARGET_LSN, .value = 58}, 29},
        {{.kind = TARGET_AT, .value = w.clock.now_wall_us}, 89},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        r = drilled(s, &cases[i].target);
        assert_true(r.passed);
        assert_int_equal(r.lsn, cases[i].lsn);
        assert_in_range(r.deltas, 1, 2);
    }
    const struct {
        struct target target;
        err_t err;
    } refused[] = {
        {{.kind = TARGET_LSN, .value = 28}, ERR_VALIDATION},
        {{.kind = TARGET_LSN, .value = 90}, ERR_VALIDATION},
        {{.kind = TARGET_AT, .value = T0 - 1000000}, ERR_VALIDATION},
        {{.kind = TARGET_AT, .value = INT64_MAX}, ERR_VALIDATION},
        {{.kind = TARGET_LATEST, .exclusive = true}, ERR_USAGE},
        {{.kind = TARGET_SNAPSHOT, .name = (char[]){"none"}}, ERR_NOT_FOUND},
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_int_equal(restore_drill(s, NS, collection, &refused[i].target, NULL, &r),
                         refused[i].err);
    assert_int_equal(restore_drill(s, NS, SLICE("none"), NULL, NULL, &r), ERR_NOT_FOUND);
    source_close(s);
    end_world(&w);
}

static void a_named_snapshot_is_the_one_that_is_drilled(void **state UNUSED)
{
    static struct world w;
    struct snapshot_list list;
    start_world(&w, 5);
    struct source *s = open_live(&w, NULL);
    fill(&w, s);
    assert_ok(snapshot_list_read(w.store, NS, collection, &list));
    assert_int_equal(list.count, 1);
    const struct target t = {.kind = TARGET_SNAPSHOT, .name = list.items[0].name};
    struct drill_result r = drilled(s, &t);
    assert_true(r.passed);
    assert_int_equal(r.lsn, 59);
    assert_int_equal(r.deltas, 2); /* from the empty collection */
    assert_string_equal(r.base, "");
    damage(&w, "snapshots/2*", 40);
    r = drilled(s, &t);
    assert_false(r.passed);
    assert_non_null(strstr(r.text, "snapshots/"));
    snapshot_list_free(&list);
    source_close(s);
    end_world(&w);
}

static void every_record_of_a_random_history_passes(void **state UNUSED)
{
    for (uint64_t seed = 10; seed < 10 + SEEDS; seed++) {
        static struct world w;
        start_world(&w, seed);
        struct source *s = open_live(&w, NULL);
        for (unsigned step = 0; step < STEPS; step++) {
            change(&w, 1 + (unsigned)next_random(40));
            if (next_random(3) == 0)
                make_snapshot(s);
            if (next_random(3) == 0)
                assert_ok(snapshot_compact(s, NS, collection));
            clock_manual_advance_us(&w.clock, (int64_t)next_random(2) * INT64_C(43200000000));
            for (int i = 0; i < 5; i++) {
                struct drill_result r;
                const struct target t = {.kind = TARGET_LSN,
                                         .value = (int64_t)next_random((uint64_t)w.next_lsn)};
                err_t err = restore_drill(s, NS, collection, &t, NULL, &r);
                if (err != ERR_VALIDATION && (err != OK || !r.passed || r.lsn > t.value))
                    fail_msg("seed %llu LSN %lld: %s %s", (unsigned long long)seed,
                             (long long)t.value, err_text(err), r.text);
            }
            struct drill_result r = drilled(s, NULL);
            assert_true(r.passed && r.deltas > 0 && r.lsn == w.next_lsn - 1);
        }
        source_close(s);
        end_world(&w);
    }
}

static void outcomes_are_kept_beside_a_reader_too(void **state UNUSED)
{
    static struct world w;
    struct drill_result kept;
    start_world(&w, 6);
    struct source *s = open_live(&w, NULL);
    fill(&w, s);
    assert_int_equal(drill_last(w.store, NS, collection, &kept), ERR_NOT_FOUND);
    struct drill_result r = drilled(s, NULL);
    assert_ok(drill_save(s, NS, collection, &r));
    assert_ok(drill_last(w.store, NS, collection, &kept));
    assert_true(kept.passed && kept.lsn == r.lsn && kept.at_us == r.at_us);
    assert_true(kept.took_us == r.took_us && kept.deltas == r.deltas);
    assert_string_equal(kept.base, r.base);
    damage(&w, "deltas/000003*", 40);
    struct source *alone = open_store(&w);
    r = drilled(alone, NULL);
    assert_false(r.passed);
    assert_ok(drill_save(alone, NS, collection, &r));
    assert_ok(drill_last(w.store, NS, collection, &kept));
    assert_false(kept.passed);
    assert_string_equal(kept.text, r.text);
    damage(&w, "drill.json", 40);
    assert_int_equal(drill_last(w.store, NS, collection, &kept), ERR_CORRUPT);
    source_close(alone);
    source_close(s);
    end_world(&w);
}

static void a_stop_ends_what_takes_long(void **state UNUSED)
{
    static struct world w;
    atomic_bool stop = false;
    struct drill_result r;
    struct snapshot made;
    const struct retention none = {0};
    start_world(&w, 7);
    struct source *s = open_live(&w, &stop);
    fill(&w, s);
    change(&w, 10);
    clock_manual_advance_us(&w.clock, INT64_C(86400000000));
    atomic_store(&stop, true);
    assert_int_equal(restore_drill(s, NS, collection, NULL, NULL, &r), ERR_UNAVAILABLE);
    assert_int_equal(snapshot_create(s, NS, collection, SNAPSHOT_DAILY, &made), ERR_UNAVAILABLE);
    assert_int_equal(snapshot_compact(s, NS, collection), ERR_UNAVAILABLE);
    assert_int_equal(snapshot_cleanup(s, NS, collection, &none, false, NULL, NULL),
                     ERR_UNAVAILABLE);
    atomic_store(&stop, false);
    assert_true(drilled(s, NULL).passed);
    source_close(s);
    end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_chain_is_read_although_a_file_ends_there),
        cmocka_unit_test(no_damage_hides_behind_another_file),
        cmocka_unit_test(a_recorded_hash_that_differs_is_found),
        cmocka_unit_test(a_target_means_the_newest_record_before_it),
        cmocka_unit_test(a_named_snapshot_is_the_one_that_is_drilled),
        cmocka_unit_test(every_record_of_a_random_history_passes),
        cmocka_unit_test(outcomes_are_kept_beside_a_reader_too),
        cmocka_unit_test(a_stop_ends_what_takes_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
