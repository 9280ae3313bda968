/* Snapshots and the list of them, on the simulated disk: their names, a list that is lost, a crash
 * of the first one. */
#include "tests/unit/snapshot/disk.h"

/* Names --------------------------------------------------------------------------------------- */

static void snapshots_are_named_by_utc_and_hold_the_state(void **state UNUSED)
{
    struct world w;
    struct snapshot s;
    new_world(&w, 1);
    assert_int_equal(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_DAILY, &s), ERR_NOT_FOUND);
    step(&w);
    static const struct {
        enum snapshot_type type;
        const char *name;
    } rows[] = {{SNAPSHOT_DAILY, "2026-02-02"},
                {SNAPSHOT_MONTHLY, "2026-02"},
                {SNAPSHOT_MANUAL, "2026-02-02T14-30-05Z-5"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_ok(snapshot_create(w.live, NS, COLLECTION, rows[i].type, &s));
        assert_string_equal(s.name, rows[i].name);
        assert_int_equal(s.file.lsn_to, CHANGES);
        struct state_hash want = model_at(CHANGES);
        assert_memory_equal(&s.file.state_hash, &want, sizeof(want));
        snapshot_free(&s);
    }
    assert_ok(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_MANUAL, &s));
    assert_string_equal(s.name, rows[2].name); /* of the same second and LSN: the same */
    snapshot_free(&s);
    assert_int_equal(snapshot_create(w.files, NS, COLLECTION, SNAPSHOT_MANUAL, &s), ERR_NOT_FOUND);
    assert_int_equal(snapshot_create(w.live, NS, SLICE("other"), SNAPSHOT_DAILY, &s),
                     ERR_NOT_FOUND);
    step(&w);
    clock_manual_advance_us(&w.clock, DAY);
    assert_ok(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_DAILY, &s));
    snapshot_free(&s);
    struct snapshot_list l;
    assert_ok(snapshot_list_read(w.store, NS, COLLECTION, &l));
    assert_int_equal(l.count, 4);
    assert_string_equal(l.items[0].name, "2026-02");
    assert_string_equal(l.items[3].name, "2026-02-03");
    assert_int_equal(l.items[3].file.lsn_to, 2 * CHANGES);
    snapshot_list_free(&l);
    assert_verified(&w);
    assert_int_equal(snapshot_verify(w.store, NS, COLLECTION, "nope", NULL, NULL), ERR_NOT_FOUND);
    free_world(&w);
}

static void create_named(struct world *w, enum snapshot_type type, const char *name)
{
    struct snapshot s;
    assert_ok(snapshot_create(w->live, NS, COLLECTION, type, &s));
    assert_int_equal(s.type, type);
    assert_string_equal(s.name, name);
    snapshot_free(&s);
}

/** A start makes up for a missed one at night, and the day's own moment comes in the evening. */
static void a_second_one_of_a_day_is_made_under_a_longer_name(void **state UNUSED)
{
    static const struct retention one_of_each = {1, 1, 0};
    struct world w;
    struct snapshot s;
    struct snapshot_list l;
    new_world(&w, 1);
    step(&w);
    create_named(&w, SNAPSHOT_DAILY, "2026-02-02");
    create_named(&w, SNAPSHOT_MONTHLY, "2026-02");
    clock_manual_advance_us(&w.clock, DAY / 4);
    step(&w);
    create_named(&w, SNAPSHOT_DAILY, "2026-02-02T20-30-05Z-11");
    create_named(&w, SNAPSHOT_DAILY, "2026-02-02T20-30-05Z-11"); /* the same */
    assert_int_equal(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_MANUAL, &s), ERR_EXISTS);
    clock_manual_advance_us(&w.clock, DAY);
    create_named(&w, SNAPSHOT_MONTHLY, "2026-02-03T20-30-05Z-11");
    assert_ok(snapshot_list_read(w.store, NS, COLLECTION, &l));
    assert_int_equal(l.count, 4);
    snapshot_list_free(&l);
    assert_verified(&w);
    assert_ok(snapshot_cleanup(w.files, NS, COLLECTION, &one_of_each, false, NULL, NULL));
    CLEANUP(xfree_ptr) char *left = listing(&w, "shop/orders/snapshots");
    assert_string_equal(left, "2026-02-02T20-30-05Z-11.parquet 2026-02-03T20-30-05Z-11.parquet "
                              "manifest.json ");
    assert_verified(&w);
    free_world(&w);
}

/* A lost list --------------------------------------------------------------------------------- */

static void assert_loss_is_said(struct world *w)
{
    static const struct retention nothing = {0};
    const struct target t = {.kind = TARGET_SNAPSHOT, .name = (char[]){"2026-02-02"}};
    struct told told = {0};
    struct drill_result drill;
    struct rebuild_plan plan;
    struct snapshot_list l;
    struct snapshot s;
    assert_int_equal(snapshot_list_read(w->store, NS, COLLECTION, &l), ERR_CORRUPT);
    assert_int_equal(snapshot_verify(w->store, NS, COLLECTION, NULL, tell, &told), ERR_CORRUPT);
    assert_int_equal(told.bad, 1);
    assert_string_equal(told.path, "shop/orders/snapshots/manifest.json");
    assert_int_equal(snapshot_create(w->live, NS, COLLECTION, SNAPSHOT_DAILY, &s), ERR_CORRUPT);
    assert_int_equal(snapshot_compact(w->files, NS, COLLECTION), ERR_CORRUPT);
    for (int dry = 0; dry < 2; dry++)
        assert_int_equal(snapshot_cleanup(w->files, NS, COLLECTION, &nothing, dry, NULL, NULL),
                         ERR_CORRUPT);
    assert_int_equal(rebuild_plan(w->files, NS, COLLECTION, &t, &plan), ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), "snapshots/manifest.json"));
    assert_ok(restore_drill(w->files, NS, COLLECTION, NULL, NULL, &drill));
    assert_false(drill.passed);
    assert_non_null(strstr(drill.text, "snapshots/manifest.json"));
}

static void snapshots_without_their_list_are_kept_and_missed(void **state UNUSED)
{
    static const char list[] = "shop/orders/snapshots/manifest.json";
    struct world w;
    struct buf bytes = BUF_INIT;
    new_world(&w, 1);
    step(&w);
    create_named(&w, SNAPSHOT_DAILY, "2026-02-02");
    step(&w);
    assert_ok(store_get(w.store, list, MIB(1), &bytes));
    assert_ok(store_remove(w.store, list));
    assert_loss_is_said(&w);
    CLEANUP(xfree_ptr) char *left = listing(&w, "shop/orders/snapshots");
    assert_string_equal(left, "2026-02-02.parquet ");
    assert_restorable(&w, 1, 2 * CHANGES); /* the deltas reach each moment */
    assert_ok(store_put(w.store, list, bytes.data, bytes.len, false));
    assert_verified(&w);
    assert_ok(store_remove(w.store, list));
    assert_ok(store_remove(w.store, "shop/orders/snapshots/2026-02-02.parquet"));
    assert_verified(&w); /* there are no snapshots */
    assert_ok(snapshot_compact(w.files, NS, COLLECTION));
    buf_release(&bytes);
    free_world(&w);
}

/** What a crash of the very first snapshot leaves is no loss. */
static void a_crash_of_the_first_snapshot_leaves_no_loss(void **state UNUSED)
{
    static const struct retention nothing = {0};
    struct world base;
    new_world(&base, 7);
    step(&base);
    close_world(&base);
    bool reached = true;
    for (uint64_t call = 1; reached; call++) {
        struct snapshot s;
        assert_true(call < 1000);
        struct world w;
        copy_world(&w, &base);
        simdisk_crash_at(w.disk, call);
        if (snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_DAILY, &s) == OK)
            snapshot_free(&s);
        reached = simdisk_is_off(w.disk);
        simdisk_power_off(w.disk);
        close_world(&w);
        simdisk_restart(w.disk, SIMDISK_POWER_CUT, call * 31);
        open_world(&w);
        assert_verified(&w);
        assert_ok(snapshot_cleanup(w.files, NS, COLLECTION, &nothing, false, NULL, NULL));
        assert_ok(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_MANUAL, &s));
        snapshot_free(&s);
        assert_verified(&w);
        free_world(&w);
    }
    simdisk_free(base.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_are_named_by_utc_and_hold_the_state),
        cmocka_unit_test(a_second_one_of_a_day_is_made_under_a_longer_name),
        cmocka_unit_test(snapshots_without_their_list_are_kept_and_missed),
        cmocka_unit_test(a_crash_of_the_first_snapshot_leaves_no_loss),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
