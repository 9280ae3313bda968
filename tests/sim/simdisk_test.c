/*
 * tests/sim/simdisk_test.c: the simulated disk itself keeps what must be kept, and really loses the
 * rest.
 */
#include "tests/sim/simdisk.h"

#include <stdio.h>

#include "tests/test.h"

#define SEEDS 400

static struct io_file *create(struct io *io, const char *path)
{
    struct io_file *f;
    assert_ok(io_open(io, path, IO_WRITE | IO_CREATE, &f));
    return f;
}

static void put(struct io *io, const char *path, const char *text, bool sync)
{
    struct io_file *f = create(io, path);
    assert_ok(io_file_pwrite(f, text, strlen(text), 0));
    if (sync)
        assert_ok(io_file_sync(f));
    io_file_close(f);
}

/** The contents, or "-" when the file is absent. */
static const char *get(struct io *io, const char *path)
{
    static char out[8192];
    char *data;
    size_t len;
    if (io_read_file(io, path, sizeof(out) - 1, &data, &len) != OK)
        return "-";
    memcpy(out, data, len + 1);
    free(data);
    return out;
}

static void cut(struct simdisk *d, uint64_t seed)
{
    simdisk_power_off(d);
    simdisk_restart(d, SIMDISK_POWER_CUT, seed);
}

static void what_is_synced_survives_every_cut(void **state UNUSED)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *d = simdisk_new(seed);
        struct io *io = simdisk_io(d);
        assert_ok(io_mkdir(io, "/a"));
        assert_ok(io_sync_dir(io, "/"));
        put(io, "/a/f", "kept", true);
        assert_ok(io_sync_dir(io, "/a"));
        cut(d, seed);
        assert_string_equal(get(io, "/a/f"), "kept");
        simdisk_free(d);
    }
}

static void an_entry_needs_its_directory_synced(void **state UNUSED)
{
    unsigned lost = 0;
    unsigned parent_lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *d = simdisk_new(seed);
        struct io *io = simdisk_io(d);
        assert_ok(io_mkdir(io, "/a"));
        put(io, "/f", "data", true);
        put(io, "/a/g", "data", true);
        assert_ok(io_sync_dir(io, "/a"));
        cut(d, seed);
        lost += strcmp(get(io, "/f"), "-") == 0;
        parent_lost += !io_exists(io, "/a");
        if (io_exists(io, "/a"))
            assert_string_equal(get(io, "/a/g"), "data");
        simdisk_free(d);
    }
    assert_in_range(lost, SEEDS / 5, SEEDS - 1);
    assert_in_range(parent_lost, SEEDS / 5, SEEDS - 1);
}

static void unsynced_bytes_are_kept_lost_or_torn(void **state UNUSED)
{
    unsigned old_whole = 0;
    unsigned new_whole = 0;
    unsigned mixed = 0;
    static char before[5000];
    static char after[5000];
    memset(before, 'o', sizeof(before) - 1);
    memset(after, 'n', sizeof(after) - 1);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *d = simdisk_new(seed);
        struct io *io = simdisk_io(d);
        put(io, "/f", before, true);
        assert_ok(io_sync_dir(io, "/"));
        put(io, "/f", after, false);
        cut(d, seed);
        const char *got = get(io, "/f");
        struct io_stat st;
        assert_ok(io_stat(io, "/f", &st));
        assert_int_equal(st.size_bytes, sizeof(before) - 1);
        bool is_old = strcmp(got, before) == 0;
        bool is_new = strcmp(got, after) == 0;
        old_whole += is_old;
        new_whole += is_new;
        mixed += !is_old && !is_new;
        simdisk_free(d);
    }
    assert_true(old_whole > SEEDS / 10 && new_whole > SEEDS / 10 && mixed > SEEDS / 10);
}

static void a_file_can_grow_without_its_data(void **state UNUSED)
{
    unsigned zeros = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *d = simdisk_new(seed);
        struct io *io = simdisk_io(d);
        put(io, "/f", "safe", true);
        assert_ok(io_sync_dir(io, "/"));
        struct io_file *f = create(io, "/f");
        assert_ok(io_file_pwrite(f, "more", 4, 4));
        io_file_close(f);
        cut(d, seed);
        char *data;
        size_t len;
        assert_ok(io_read_file(io, "/f", 100, &data, &len));
        assert_memory_equal(data, "safe", 4);
        zeros += len == 8 && data[4] == 0 && data[7] == 0;
        free(data);
        simdisk_free(d);
    }
    assert_in_range(zeros, 1, SEEDS - 1);
}

static void a_rename_is_old_or_new_and_never_both(void **state UNUSED)
{
    unsigned old_kept = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *d = simdisk_new(seed);
        struct io *io = simdisk_io(d);
        put(io, "/f", "old", true);
        put(io, "/t", "new", true);
        assert_ok(io_sync_dir(io, "/"));
        assert_ok(io_rename(io, "/t", "/f"));
        cut(d, seed);
        bool is_old = strcmp(get(io, "/f"), "old") == 0;
        assert_string_equal(get(io, "/f"), is_old ? "old" : "new");
        assert_string_equal(get(io, "/t"), is_old ? "new" : "-");
        old_kept += is_old;
        simdisk_free(d);
    }
    assert_in_range(old_kept, SEEDS / 5, SEEDS - 1);
}

static void a_kill_loses_nothing_but_makes_nothing_safe(void **state UNUSED)
{
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *d = simdisk_new(seed);
        struct io *io = simdisk_io(d);
        put(io, "/f", "cached", false);
        simdisk_power_off(d);
        simdisk_restart(d, SIMDISK_KILL, seed);
        assert_string_equal(get(io, "/f"), "cached");
        cut(d, seed);
        lost += strcmp(get(io, "/f"), "cached") != 0;
        simdisk_free(d);
    }
    assert_in_range(lost, SEEDS / 5, SEEDS - 1);
}

static void io_replace_survives_a_crash_in_every_call(void **state UNUSED)
{
    for (uint64_t call = 1; call <= 6; call++) {
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            struct simdisk *d = simdisk_new(seed);
            struct io *io = simdisk_io(d);
            assert_ok(io_replace(io, "/f", "old", 3));
            simdisk_crash_at(d, call);
            bool done = io_replace(io, "/f", "new", 3) == OK;
            assert_int_equal(done, call == 6);
            cut(d, seed);
            if (done || strcmp(get(io, "/f"), "old") != 0)
                assert_string_equal(get(io, "/f"), "new");
            simdisk_free(d);
        }
    }
}

static void after_the_power_failed_every_call_fails(void **state UNUSED)
{
    struct simdisk *d = simdisk_new(1);
    struct io *io = simdisk_io(d);
    struct io_file *f = create(io, "/f");
    simdisk_crash_at(d, 2);
    assert_ok(io_file_pwrite(f, "a", 1, 0));
    assert_int_equal(io_file_sync(f), ERR_IO);
    assert_true(simdisk_is_off(d));
    char byte;
    size_t got;
    assert_int_equal(io_file_pread(f, &byte, 1, 0, &got), ERR_IO);
    assert_int_equal(io_mkdir(io, "/a"), ERR_IO);
    assert_int_equal(simdisk_open_files(d), 1);
    io_file_close(f);
    assert_int_equal(simdisk_open_files(d), 0);
    simdisk_free(d);
}

static void a_failed_sync_loses_its_pages_for_good(void **state UNUSED)
{
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *d = simdisk_new(seed);
        struct io *io = simdisk_io(d);
        struct io_file *f = create(io, "/f");
        assert_ok(io_sync_dir(io, "/"));
        assert_ok(io_file_pwrite(f, "data", 4, 0));
        simdisk_set_fault(d, (struct simdisk_fault){SIMDISK_SYNC, 1, 1, ERR_IO});
        assert_int_equal(io_file_sync(f), ERR_IO);
        assert_ok(io_file_sync(f));
        io_file_close(f);
        cut(d, seed);
        lost += strcmp(get(io, "/f"), "data") != 0;
        simdisk_free(d);
    }
    assert_in_range(lost, SEEDS / 5, SEEDS - 1);
}

static void the_budget_runs_out_and_comes_back(void **state UNUSED)
{
    struct simdisk *d = simdisk_new(3);
    struct io *io = simdisk_io(d);
    simdisk_set_budget(d, 10);
    put(io, "/f", "12345678", true);
    struct io_file *f = create(io, "/g");
    assert_int_equal(io_file_pwrite(f, "12345", 5, 0), ERR_NO_SPACE);
    uint64_t size;
    assert_ok(io_file_size(f, &size));
    assert_int_equal(size, 2);
    assert_ok(io_unlink(io, "/f"));
    assert_ok(io_file_pwrite(f, "12345", 5, 0));
    assert_int_equal(simdisk_used_bytes(d), 5);
    assert_ok(io_file_pwrite(f, "54321", 5, 0));
    io_file_close(f);
    simdisk_free(d);
}

static void the_same_seed_gives_the_same_disk(void **state UNUSED)
{
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct simdisk *d = simdisk_new(seed);
        struct io *io = simdisk_io(d);
        char name[16];
        for (int i = 0; i < 8; i++) {
            (void)snprintf(name, sizeof(name), "/f%d", i % 5);
            put(io, name, "some text of several bytes", i % 3 == 0);
        }
        simdisk_power_off(d);
        struct simdisk *twin = simdisk_clone(d);
        simdisk_restart(d, SIMDISK_POWER_CUT, seed);
        simdisk_restart(twin, SIMDISK_POWER_CUT, seed);
        for (int i = 0; i < 5; i++) {
            (void)snprintf(name, sizeof(name), "/f%d", i);
            char *one = xstrdup(get(io, name));
            assert_string_equal(get(simdisk_io(twin), name), one);
            free(one);
        }
        simdisk_free(d);
        simdisk_free(twin);
    }
}

static NOINLINE void replace(struct io *io)
{
    assert_ok(io_replace(io, "/f", "one", 3));
}

static NOINLINE void sync_root(struct io *io)
{
    assert_ok(io_sync_dir(io, "/"));
}

static NOINLINE void write_all(struct io *io)
{
    for (int i = 0; i < 3; i++) {
        replace(io);
        sync_root(io);
    }
}

/** How many of SEEDS power cuts lost the file. */
static NOINLINE unsigned count_losses(void)
{
    unsigned lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct simdisk *d = simdisk_new(seed);
        write_all(simdisk_io(d));
        cut(d, seed);
        lost += strcmp(get(simdisk_io(d), "/f"), "one") != 0;
        simdisk_free(d);
    }
    return lost;
}

static void sites_are_told_apart_and_swallowed(void **state UNUSED)
{
    simdisk_trace_sites(true);
    unsigned files = 0;
    for (int swallowed = -1; swallowed < 3; swallowed++) {
        if (swallowed >= 0)
            simdisk_swallow_sites(&simdisk_site_at((size_t)swallowed)->id, 1, 0);
        unsigned lost = count_losses();
        assert_int_equal(simdisk_site_count(), 3);
        const struct simdisk_site *s = simdisk_site_at((size_t)MAX(swallowed, 0));
        assert_int_equal(simdisk_swallowed(), swallowed < 0 ? 0 : 3 * SEEDS);
        /* One directory sync covers for the other; nothing covers for the file's. */
        files += swallowed >= 0 && !s->is_dir;
        if (swallowed >= 0 && !s->is_dir)
            assert_in_range(lost, SEEDS / 5, SEEDS);
        else
            assert_int_equal(lost, 0);
    }
    assert_int_equal(files, 1);
    simdisk_swallow_sites(NULL, 0, 0);
    simdisk_trace_sites(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_synced_survives_every_cut),
        cmocka_unit_test(an_entry_needs_its_directory_synced),
        cmocka_unit_test(unsynced_bytes_are_kept_lost_or_torn),
        cmocka_unit_test(a_file_can_grow_without_its_data),
        cmocka_unit_test(a_rename_is_old_or_new_and_never_both),
        cmocka_unit_test(a_kill_loses_nothing_but_makes_nothing_safe),
        cmocka_unit_test(io_replace_survives_a_crash_in_every_call),
        cmocka_unit_test(after_the_power_failed_every_call_fails),
        cmocka_unit_test(a_failed_sync_loses_its_pages_for_good),
        cmocka_unit_test(the_budget_runs_out_and_comes_back),
        cmocka_unit_test(the_same_seed_gives_the_same_disk),
        cmocka_unit_test(sites_are_told_apart_and_swallowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
