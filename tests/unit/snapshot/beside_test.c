/* Reconstructions beside what goes on, and what is lost meanwhile. */
#include "tests/test.h"

#include <stdio.h>

#include "tests/unit/snapshot/world.h"

#define WRITE_D0(doc)                                                                              \
    "{\"type\":\"collection.update\",\"ts\":\"2026-02-02T00:00:00Z\",\"collection\":"              \
    "\"or/ders\",\"docId\":\"d0\",\"doc\":" doc "}"

/** The disk, where the n-th look at the namespace's manifest lets somebody else write first. */
struct busy_disk {
    struct io io;
    struct io_ops ops;
    struct world *w;
    unsigned looks, when;
};

static err_t busy_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file)
{
    struct busy_disk *d = CONTAINER_OF(io, struct busy_disk, io);
    if (strstr(path, "/store/default/manifest.json") != NULL && ++d->looks == d->when)
        append(d->w, WRITE_D0("{\"by\":\"another\"}"));
    return io_open(io_posix(), path, flags, ret_file);
}

static err_t expect_the_undone(void *arg, const struct compensation *c)
{
    ++*(unsigned *)arg;
    assert_int_equal(c->expect, 1);
    return OK;
}

static void an_undo_never_takes_back_what_is_written_meanwhile(void **state)
{
    (void)state;
    static struct world w;
    const struct restore_filter undo = {.undo_from = 1, .undo_to = 1};
    unsigned looks = 1;
    for (unsigned when = 0; when <= looks; when++) {
        struct busy_disk disk = {.ops = *io_posix()->ops, .w = &w, .when = when};
        disk.ops.open = busy_open;
        disk.io.ops = &disk.ops;
        start_world(&w, 79);
        append(&w, WRITE_D0("{\"v\":0}"));
        append(&w, WRITE_D0("{\"v\":1}"));
        assert_ok(cdc_flush(w.cdc, NS, true, 20000));
        CLEANUP(xfree_ptr) char *url = xasprintf("file:%s/store", w.dir);
        const struct source_options o = {.io = &disk.io,
                                         .clock = &w.clock.base,
                                         .data_dir = w.dir,
                                         .store_url = url,
                                         .log = w.log,
                                         .cdc = w.cdc};
        struct source *s;
        struct restore_counts counts;
        unsigned made = 0;
        assert_ok(source_open(&o, &s));
        assert_ok(restore_diff(s, NS, collection, NULL, &undo, expect_the_undone, &made, &counts));
        if (when == 0)
            assert_int_equal(made, 1);
        looks = MAX(looks, disk.looks);
        source_close(s);
        end_world(&w);
    }
    assert_in_range(looks, 3, 100);
}

static void marked(struct world *w)
{
    append(w, WRITE_D0("{},\"bookmark\":\"here\""));
    assert_ok(cdc_flush(w->cdc, NS, true, 20000));
}

/** A power cut may take the state's last transactions, but not the deltas made of them. */
static void a_bookmark_is_the_last_one_though_the_state_is_behind(void **state)
{
    (void)state;
    static struct world w;
    char command[2 * SCRATCH_BYTES + 100], here[] = "here";
    struct rebuild_plan plan;
    const struct target bookmark = {.kind = TARGET_BOOKMARK, .name = here};
    start_world(&w, 80);
    CLEANUP(xfree_ptr) char *path = cdc_state_path(w.dir, NS);
    marked(&w);
    close_world(&w, false);
    snprintf(command, sizeof(command), "cp %s %s/kept", path, w.dir);
    assert_int_equal(system(command), 0);
    open_world(&w);
    marked(&w);
    close_world(&w, false);
    lose_state(&w);
    snprintf(command, sizeof(command), "cp %s/kept %s", w.dir, path);
    assert_int_equal(system(command), 0);
    struct source *s = open_directory(&w);
    assert_ok(rebuild_plan(s, NS, collection, &bookmark, &plan));
    assert_int_equal(plan.lsn_to, 2);
    rebuild_plan_free(&plan);
    source_close(s);
    open_world(&w);
    end_world(&w);
}

static void a_damaged_log_without_a_store_is_an_error(void **state)
{
    (void)state;
    static struct world w;
    char command[2 * SCRATCH_BYTES + 200];
    struct rebuild *r;
    struct rebuild_plan plan;
    const struct target latest = {.kind = TARGET_LATEST};
    start_world(&w, 81);
    for (unsigned i = 0; i < 30; i++)
        append_change(&w);
    assert_ok(cdc_flush(w.cdc, NS, false, 20000));
    close_world(&w, false);
    snprintf(command, sizeof(command), "rm -r %s/store", w.dir);
    assert_int_equal(system(command), 0);
    struct source *s = open_directory(&w);
    assert_ok(rebuild_plan(s, NS, collection, &latest, &plan));
    damage(&w, "events/0/*.log", 200);
    assert_int_equal(rebuild_open(s, NS, collection, &plan, &r), ERR_CORRUPT);
    rebuild_plan_free(&plan);
    source_close(s);
    worker_pool_free(w.workers);
    scratch_remove(w.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_undo_never_takes_back_what_is_written_meanwhile),
        cmocka_unit_test(a_bookmark_is_the_last_one_though_the_state_is_behind),
        cmocka_unit_test(a_damaged_log_without_a_store_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
