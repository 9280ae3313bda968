/* Verification, compaction and cleanup on the simulated disk, with a crash or a failing call at
 * every place: old files or new files, all whole, and the collection's state can be made from them.
 */
#include "tests/unit/snapshot/disk.h"

/* Verification --------------------------------------------------------------------------------- */

/** Damages one byte of a file, behind the store's back. */
static void damage(struct world *w, const char *path)
{
    struct io_file *f;
    uint64_t size;
    char byte;
    size_t got;
    assert_ok(io_open(w->io, path, IO_WRITE, &f));
    assert_ok(io_file_size(f, &size));
    assert_ok(io_file_pread(f, &byte, 1, size / 2, &got));
    byte ^= 0x10;
    assert_ok(io_file_pwrite(f, &byte, 1, size / 2));
    io_file_close(f);
}

static void verification_names_the_damaged_file(void **state UNUSED)
{
    static const char *const paths[] = {"shop/orders/manifest.json", "shop/orders/data.parquet",
                                        "shop/orders/deltas/000001_2026-02-02T14-30.parquet",
                                        "shop/orders/snapshots/manifest.json",
                                        "shop/orders/snapshots/2026-02-02.parquet"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct world w;
        struct snapshot s;
        struct told told = {0};
        new_world(&w, 1);
        step(&w);
        assert_ok(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_DAILY, &s));
        snapshot_free(&s);
        assert_ok(snapshot_compact(w.files, NS, COLLECTION));
        assert_verified(&w);
        CLEANUP(xfree_ptr) char *full = xasprintf(STORE "/%s", paths[i]);
        damage(&w, full);
        assert_int_equal(snapshot_verify(w.store, NS, COLLECTION, NULL, tell, &told), ERR_CORRUPT);
        assert_int_equal(told.bad, 1);
        assert_string_equal(told.path, paths[i]);
        free_world(&w);
    }
}

/* Compaction ---------------------------------------------------------------------------------- */

static void compaction_keeps_every_change(void **state UNUSED)
{
    struct world w;
    new_world(&w, 1);
    assert_ok(snapshot_compact(w.files, NS, COLLECTION)); /* nothing is there yet */
    for (int day = 0; day < 2; day++) {
        for (int i = 0; i < 40; i++)
            step(&w);
        clock_manual_advance_us(&w.clock, DAY);
    }
    assert_ok(snapshot_compact(w.files, NS, COLLECTION));
    struct collection_manifest m;
    assert_ok(collection_manifest_read(w.store, NS, COLLECTION, &m));
    assert_int_equal(m.delta_count, 2); /* one of each day */
    assert_int_equal(m.deltas[0].rows, 40 * CHANGES);
    assert_int_equal(m.deltas[1].rows, 40 * CHANGES);
    assert_int_equal(m.deltas[1].lsn_to, 80 * CHANGES);
    assert_true(m.has_data);
    assert_int_equal(m.data.lsn_to, 80 * CHANGES);
    struct state_hash want = model_at(80 * CHANGES);
    assert_memory_equal(&m.data.state_hash, &want, sizeof(want));
    CLEANUP(xfree_ptr) char *stay = listing(&w, "shop/orders/deltas");
    assert_ok(snapshot_compact(w.files, NS, COLLECTION)); /* removes what the first replaced */
    CLEANUP(xfree_ptr) char *left = listing(&w, "shop/orders/deltas");
    assert_true(strlen(stay) > strlen(left));
    CLEANUP(xfree_ptr)
    char *two = xasprintf("%s %s ", m.deltas[1].path + 7, m.deltas[0].path + 7);
    CLEANUP(xfree_ptr)
    char *other = xasprintf("%s %s ", m.deltas[0].path + 7, m.deltas[1].path + 7);
    assert_true(strcmp(left, two) == 0 || strcmp(left, other) == 0);
    collection_manifest_free(&m);
    assert_verified(&w);
    for (int64_t lsn = 1; lsn <= 80 * CHANGES; lsn += 37)
        assert_restorable(&w, lsn, lsn);
    free_world(&w);
}

/** What the manifest says of data.parquet. */
static struct store_file data_file(struct world *w, uint64_t new_size)
{
    struct collection_manifest m;
    assert_ok(collection_manifest_read(w->store, NS, COLLECTION, &m));
    struct store_file f = m.data;
    f.path = NULL;
    if (new_size > 0) {
        m.data.size = new_size;
        assert_ok(collection_manifest_write(w->store, &m));
    }
    collection_manifest_free(&m);
    return f;
}

static void data_is_written_by_the_clock_where_it_pays(void **state UNUSED)
{
    struct world w;
    bool written;
    new_world(&w, 1);
    step(&w);
    assert_ok(snapshot_compact_if_it_pays(w.files, NS, COLLECTION, &written));
    assert_true(written); /* there was none */
    assert_ok(snapshot_compact_if_it_pays(w.files, NS, COLLECTION, &written));
    assert_false(written);                  /* nothing is new */
    clock_manual_advance_us(&w.clock, DAY); /* so that no deltas are merged */
    step(&w);
    uint64_t size = data_file(&w, MIB(64)).size; /* as if it were large */
    assert_ok(snapshot_compact_if_it_pays(w.files, NS, COLLECTION, &written));
    assert_false(written);
    assert_int_equal(data_file(&w, size).lsn_to, CHANGES);
    assert_ok(snapshot_compact_if_it_pays(w.files, NS, COLLECTION, &written));
    assert_true(written); /* it is small */
    assert_int_equal(data_file(&w, 0).lsn_to, 2 * CHANGES);
    free_world(&w);
}

static void a_state_that_does_not_follow_is_not_compacted(void **state UNUSED)
{
    struct world w;
    struct collection_manifest m;
    new_world(&w, 1);
    step(&w);
    assert_ok(collection_manifest_read(w.store, NS, COLLECTION, &m));
    m.deltas[0].state_hash.low++;
    assert_ok(collection_manifest_write(w.store, &m));
    assert_int_equal(snapshot_compact(w.files, NS, COLLECTION), ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), m.deltas[0].path));
    collection_manifest_free(&m);
    assert_ok(collection_manifest_read(w.store, NS, COLLECTION, &m));
    assert_false(m.has_data);
    collection_manifest_free(&m);
    free_world(&w);
}

/* Cleanup ------------------------------------------------------------------------------------- */

static const struct retention keep_ten_days = {3, 1, 10};

static void count_removed(void *arg, const char *path, uint64_t size)
{
    assert_non_null(strstr(path, ".parquet"));
    assert_true(size > 0);
    ++*(unsigned *)arg;
}

/** A delta and a daily snapshot on each of 20 days. */
static void twenty_days(struct world *w)
{
    for (int day = 0; day < 20; day++) {
        struct snapshot s;
        step(w);
        assert_ok(snapshot_create(w->live, NS, COLLECTION, SNAPSHOT_DAILY, &s));
        snapshot_free(&s);
        clock_manual_advance_us(&w->clock, DAY);
    }
}

static void cleanup_says_first_and_then_does(void **state UNUSED)
{
    struct world w;
    unsigned dry = 0, wet = 0, again = 0;
    new_world(&w, 1);
    twenty_days(&w);
    CLEANUP(xfree_ptr) char *before = listing(&w, "shop/orders/deltas");
    assert_ok(snapshot_cleanup(w.files, NS, COLLECTION, &keep_ten_days, true, count_removed, &dry));
    CLEANUP(xfree_ptr) char *after_dry = listing(&w, "shop/orders/deltas");
    assert_string_equal(before, after_dry);
    assert_restorable(&w, 1, 20 * CHANGES);
    assert_ok(
        snapshot_cleanup(w.files, NS, COLLECTION, &keep_ten_days, false, count_removed, &wet));
    /* Now is day 20; the window begins with day 10, and the snapshot of that moment is day 10's
     * own: deltas of days 0 to 9 leave, with the snapshots but the base and the newest three. */
    assert_int_equal(dry, wet);
    assert_in_range(wet, 20, 30);
    assert_ok(
        snapshot_cleanup(w.files, NS, COLLECTION, &keep_ten_days, false, count_removed, &again));
    assert_int_equal(again, 0);
    assert_verified(&w);
    struct collection_manifest m;
    assert_ok(collection_manifest_read(w.store, NS, COLLECTION, &m));
    assert_true(m.lsn_from > 0 && m.lsn_from <= 11 * CHANGES);
    assert_restorable(&w, 11 * CHANGES, 20 * CHANGES);
    collection_manifest_free(&m);
    free_world(&w);
}

static void a_damaged_base_keeps_the_deltas(void **state UNUSED)
{
    struct world w;
    new_world(&w, 1);
    twenty_days(&w);
    damage(&w, DIR_PATH "/snapshots/2026-02-12.parquet");
    CLEANUP(xfree_ptr) char *before = listing(&w, "shop/orders/deltas");
    assert_int_equal(snapshot_cleanup(w.files, NS, COLLECTION, &keep_ten_days, false, NULL, NULL),
                     ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), "2026-02-12"));
    CLEANUP(xfree_ptr) char *after = listing(&w, "shop/orders/deltas");
    assert_string_equal(before, after);
    free_world(&w);
}

/* Crashes and faults -------------------------------------------------------------------------- */

static err_t all_jobs(struct world *w)
{
    struct snapshot s;
    err_t err = snapshot_create(w->live, NS, COLLECTION, SNAPSHOT_MANUAL, &s);
    if (err == OK)
        snapshot_free(&s);
    if (err == OK || err == ERR_EXISTS)
        err = snapshot_compact(w->files, NS, COLLECTION);
    if (err == OK)
        err = snapshot_cleanup(w->files, NS, COLLECTION, &keep_ten_days, false, NULL, NULL);
    return err;
}

/** Days enough for something to leave, two deltas on the last so that something merges, and
 * compacted data that is to be replaced. */
static void busy_world(struct world *w, uint64_t seed)
{
    new_world(w, seed);
    for (int day = 0; day < 4; day++) {
        struct snapshot s;
        step(w);
        step(w);
        assert_ok(snapshot_create(w->live, NS, COLLECTION, SNAPSHOT_DAILY, &s));
        snapshot_free(&s);
        if (day == 1)
            assert_ok(snapshot_compact(w->files, NS, COLLECTION));
        clock_manual_advance_us(&w->clock, 5 * DAY);
    }
}

static void assert_no_orphans(struct world *w)
{
    struct collection_manifest m;
    assert_ok(collection_manifest_read(w->store, NS, COLLECTION, &m));
    size_t words = 0;
    CLEANUP(xfree_ptr) char *left = listing(w, "shop/orders/deltas");
    for (size_t i = 0; i < m.delta_count; i++)
        assert_non_null(strstr(left, m.deltas[i].path + strlen("deltas/")));
    for (const char *c = left; *c != '\0'; c++)
        words += *c == ' ';
    assert_int_equal(words, m.delta_count);
    collection_manifest_free(&m);
}

static void check_after(struct world *w)
{
    assert_verified(w);
    assert_restorable(w, 6 * CHANGES, 8 * CHANGES);
    assert_ok(all_jobs(w));
    assert_ok(all_jobs(w)); /* the second removes what the first one's merge replaced */
    assert_verified(w);
    assert_no_orphans(w);
    assert_restorable(w, 6 * CHANGES, 8 * CHANGES);
}

static void a_crash_at_any_call_leaves_whole_files(void **state UNUSED)
{
    struct world base;
    busy_world(&base, 3);
    close_world(&base);
    bool reached = true;
    for (uint64_t call = 1; reached; call++) {
        assert_true(call < 1000);
        struct world w;
        copy_world(&w, &base);
        simdisk_crash_at(w.disk, call);
        err_t err = all_jobs(&w);
        reached = simdisk_is_off(w.disk);
        assert_true(reached || err == OK);
        simdisk_power_off(w.disk);
        close_world(&w);
        assert_int_equal(simdisk_open_files(w.disk), 0);
        simdisk_restart(w.disk, SIMDISK_POWER_CUT, call * 31);
        open_world(&w);
        check_after(&w);
        free_world(&w);
    }
    simdisk_free(base.disk);
}

static void a_failing_call_leaves_whole_files(void **state UNUSED)
{
    struct world base;
    busy_world(&base, 5);
    close_world(&base);
    bool reached = true;
    for (uint64_t call = 1; reached; call++) {
        assert_true(call < 3000);
        struct world w;
        copy_world(&w, &base);
        simdisk_set_fault(w.disk, (struct simdisk_fault){SIMDISK_WRITE | SIMDISK_SYNC |
                                                             SIMDISK_SYNC_DIR | SIMDISK_ENTRY,
                                                         call, 1, ERR_NO_SPACE});
        err_t err = all_jobs(&w);
        reached = simdisk_fault_seen(w.disk) >= call;
        assert_true(err == (reached ? ERR_NO_SPACE : OK));
        simdisk_set_fault(w.disk, (struct simdisk_fault){0});
        check_after(&w);
        free_world(&w);
    }
    simdisk_free(base.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verification_names_the_damaged_file),
        cmocka_unit_test(compaction_keeps_every_change),
        cmocka_unit_test(data_is_written_by_the_clock_where_it_pays),
        cmocka_unit_test(a_state_that_does_not_follow_is_not_compacted),
        cmocka_unit_test(cleanup_says_first_and_then_does),
        cmocka_unit_test(a_damaged_base_keeps_the_deltas),
        cmocka_unit_test(a_crash_at_any_call_leaves_whole_files),
        cmocka_unit_test(a_failing_call_leaves_whole_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
