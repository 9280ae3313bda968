/* The catalog on a disk whose calls fail. Crashes are the business of tests/sim. */
#include "tests/test.h"

#include "catalog/catalog.h"
#include "tests/sim/simdisk.h"

#define PATH "/data/catalog.db"

static struct simdisk *fresh_disk(void)
{
    struct simdisk *d = simdisk_new(1);
    assert_ok(io_mkdir_durable(simdisk_io(d), "/data"));
    struct catalog *c;
    assert_ok(catalog_open(simdisk_io(d), PATH, &c));
    assert_ok(catalog_set(c, "a", "old"));
    catalog_close(c);
    return d;
}

static void assert_value(struct catalog *c, const char *want, const char *or_want)
{
    CLEANUP(xfree_ptr) char *value = NULL;
    assert_ok(catalog_get(c, "a", &value));
    if (strcmp(value, want) != 0)
        assert_string_equal(value, or_want);
}

static void after_a_failed_sync_nothing_is_written_until_reopened(void **state UNUSED)
{
    struct simdisk *d = fresh_disk();
    struct catalog *c;
    assert_ok(catalog_open(simdisk_io(d), PATH, &c));
    simdisk_set_fault(d, (struct simdisk_fault){SIMDISK_SYNC, 1, 1, ERR_IO});
    assert_int_equal(catalog_set(c, "a", "lost"), ERR_IO);
    assert_non_null(strstr(err_text(ERR_IO), PATH));
    /* The disk works again, but the pages of that sync may be gone. */
    uint64_t calls = simdisk_calls(d);
    assert_int_equal(catalog_set(c, "a", "refused"), ERR_IO);
    assert_true(simdisk_calls(d) == calls);
    catalog_close(c);
    assert_ok(catalog_open(simdisk_io(d), PATH, &c));
    assert_value(c, "old", "old");
    assert_ok(catalog_set(c, "a", "new"));
    assert_value(c, "new", "new");
    catalog_close(c);
    assert_int_equal(simdisk_open_files(d), 0);
    simdisk_free(d);
}

static void whichever_call_fails_a_change_is_whole_or_absent(void **state UNUSED)
{
    static const err_t errors[] = {ERR_IO, ERR_NO_SPACE};
    for (size_t e = 0; e < ARRAY_LEN(errors); e++) {
        err_t err = ERR_IO;
        for (uint64_t n = 1; err != OK; n++) {
            assert_true(n < 1000);
            struct simdisk *d = fresh_disk();
            struct catalog *c = NULL;
            simdisk_set_fault(d, (struct simdisk_fault){SIMDISK_ANY_CALL, n, 1, errors[e]});
            err = catalog_open(simdisk_io(d), PATH, &c);
            if (err == OK)
                err = catalog_set(c, "a", "new");
            bool reached = simdisk_fault_seen(d) >= n;
            catalog_close(c);
            simdisk_set_fault(d, (struct simdisk_fault){0});
            assert_ok(catalog_open(simdisk_io(d), PATH, &c));
            assert_value(c, "new", err == OK ? "new" : "old");
            catalog_close(c);
            assert_int_equal(simdisk_open_files(d), 0);
            simdisk_free(d);
            /* A failing call that does not matter must not end the sweep. */
            if (reached)
                err = ERR_IO;
        }
    }
}

static void a_full_disk_is_called_so(void **state UNUSED)
{
    struct simdisk *d = fresh_disk();
    struct catalog *c;
    assert_ok(catalog_open(simdisk_io(d), PATH, &c));
    simdisk_set_budget(d, simdisk_used_bytes(d));
    assert_int_equal(catalog_set(c, "a", "x"), ERR_NO_SPACE);
    assert_value(c, "old", "old");
    simdisk_set_budget(d, UINT64_MAX);
    assert_ok(catalog_set(c, "a", "new"));
    catalog_close(c);
    simdisk_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(after_a_failed_sync_nothing_is_written_until_reopened),
        cmocka_unit_test(whichever_call_fails_a_change_is_whole_or_absent),
        cmocka_unit_test(a_full_disk_is_called_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
