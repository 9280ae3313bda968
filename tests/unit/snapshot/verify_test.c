/* Verification beside jobs that replace and remove files. */
#include "tests/test.h"

#include <stdio.h>

#include "tests/unit/snapshot/world.h"

#define FLUSH_MS 20000
#define DAY_US INT64_C(86400000000)
#define TOLD_MAX 64

static void change(struct world *w)
{
    for (unsigned i = 0; i < 20; i++)
        append_change(w);
    assert_ok(cdc_flush(w->cdc, NS, true, FLUSH_MS));
}

/** What was told, and what is done behind the verification's back at the first file. */
struct told {
    struct world *world;
    struct source *source;
    bool replaced;
    char *paths[TOLD_MAX];
    size_t count;
};

/** The deltas become one, data.parquet another one, the snapshot and all that was merged go. */
static void replace_everything(struct told *t)
{
    const struct retention nothing = {0};
    struct snapshot made;
    change(t->world);
    assert_ok(snapshot_create(t->source, NS, collection, SNAPSHOT_MANUAL, &made));
    snapshot_free(&made);
    assert_ok(snapshot_compact(t->source, NS, collection));
    assert_ok(snapshot_cleanup(t->source, NS, collection, &nothing, false, NULL, NULL));
}

static void on_file(void *arg, const char *path, err_t err, const char *text)
{
    struct told *t = arg;
    if (err != OK)
        fail_msg("%s: %s", path, text);
    for (size_t i = 0; i < t->count; i++)
        assert_string_not_equal(t->paths[i], path);
    assert_true(t->count < TOLD_MAX);
    t->paths[t->count++] = xstrdup(path);
    if (!t->replaced && strstr(path, "/deltas/") != NULL) {
        t->replaced = true;
        replace_everything(t);
    }
}

static bool was_told(const struct told *t, const char *path)
{
    for (size_t i = 0; i < t->count; i++)
        if (strstr(t->paths[i], path) != NULL)
            return true;
    return false;
}

static void replaced_files_are_not_damaged_ones(void **state UNUSED)
{
    static struct world w;
    struct collection_manifest m;
    start_world(&w, 1);
    struct told t = {.world = &w, .source = open_live(&w, NULL)};
    change(&w);
    assert_ok(snapshot_compact(t.source, NS, collection));
    change(&w);
    change(&w);
    assert_ok(snapshot_verify(w.store, NS, collection, NULL, on_file, &t));
    assert_true(t.replaced);
    assert_ok(collection_manifest_read(w.store, NS, collection, &m));
    assert_int_equal(m.delta_count, 1);
    assert_true(was_told(&t, m.deltas[0].path) && was_told(&t, m.data.path));
    collection_manifest_free(&m);
    for (size_t i = 0; i < t.count; i++)
        free(t.paths[i]);
    source_close(t.source);
    end_world(&w);
}

static void remove_snapshots(void *arg, const char *path, err_t err, const char *text)
{
    struct told *t = arg;
    const struct retention nothing = {0};
    if (err != OK)
        fail_msg("%s: %s", path, text);
    if (!t->replaced)
        assert_ok(snapshot_cleanup(t->source, NS, collection, &nothing, false, NULL, NULL));
    t->replaced = true;
    t->count += strstr(path, "/snapshots/") != NULL;
}

static void removed_snapshots_are_not_missing_ones(void **state UNUSED)
{
    static struct world w;
    struct snapshot made;
    start_world(&w, 2);
    struct told t = {.world = &w, .source = open_live(&w, NULL)};
    for (int day = 0; day < 3; day++) {
        change(&w);
        assert_ok(snapshot_create(t.source, NS, collection, SNAPSHOT_DAILY, &made));
        snapshot_free(&made);
        clock_manual_advance_us(&w.clock, DAY_US);
    }
    assert_ok(snapshot_verify(w.store, NS, collection, NULL, remove_snapshots, &t));
    assert_true(t.replaced);
    assert_int_equal(t.count, 2); /* the first, before it went, and the one that stays */
    source_close(t.source);
    end_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaced_files_are_not_damaged_ones),
        cmocka_unit_test(removed_snapshots_are_not_missing_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
