/* The store on the simulated disk: a crash or a failing call at every place, with what it may take
 * decided by several seeds. An object is the old one or the new one; what was answered OK stays. */
#include "tests/test.h"

#include <stdio.h>

#include "store/store.h"
#include "tests/sim/simdisk.h"

#define URL "/data/store"
#define SEEDS 12
#define OLD "old old old"
#define NEW_BYTES 5000

struct outcome {
    bool replaced, created, removed; /* answered OK */
};

static char new_bytes[NEW_BYTES];

static err_t prepare(struct io *io)
{
    struct store *s;
    TRY(store_open(io, URL, true, &s));
    err_t err = store_put(s, "ns/c/replaced", OLD, sizeof(OLD), false);
    if (err == OK)
        err = store_put(s, "ns/c/removed", OLD, sizeof(OLD), false);
    store_close(s);
    return err;
}

static err_t change(struct io *io, struct outcome *did)
{
    struct store *s;
    *did = (struct outcome){0};
    TRY(store_open(io, URL, true, &s));
    err_t err = store_put(s, "ns/c/replaced", new_bytes, NEW_BYTES, true);
    did->replaced = err == OK;
    if (err == OK)
        err = store_put(s, "ns/other/created", new_bytes, NEW_BYTES, false);
    did->created = err == OK;
    if (err == OK)
        err = store_remove(s, "ns/c/removed");
    did->removed = err == OK;
    store_close(s);
    return err;
}

/** 'o': the old bytes, 'n': the new ones, '-': absent; anything else fails. */
static char kind_of(struct store *s, const char *path)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    err_t err = store_get(s, path, KIB(64), &out);
    if (err == ERR_NOT_FOUND)
        return '-';
    assert_ok(err);
    if (out.len == sizeof(OLD)) {
        assert_memory_equal(out.data, OLD, sizeof(OLD));
        return 'o';
    }
    assert_int_equal(out.len, NEW_BYTES);
    assert_memory_equal(out.data, new_bytes, NEW_BYTES);
    return 'n';
}

static err_t no_leftover(void *arg UNUSED, const char *name)
{
    assert_null(strstr(name, ".tmp-"));
    return OK;
}

static void check(struct io *io, struct outcome did)
{
    struct store *s;
    assert_ok(store_open(io, URL, true, &s));
    char replaced = kind_of(s, "ns/c/replaced");
    assert_true(replaced == 'n' || (replaced == 'o' && !did.replaced));
    char created = kind_of(s, "ns/other/created");
    assert_true(created == 'n' || (created == '-' && !did.created));
    char removed = kind_of(s, "ns/c/removed");
    assert_true(removed == '-' || (removed == 'o' && !did.removed));
    store_close(s);
    assert_ok(io_list(io, URL "/ns/c", no_leftover, NULL));
    if (io_exists(io, URL "/ns/other"))
        assert_ok(io_list(io, URL "/ns/other", no_leftover, NULL));
}

static struct simdisk *fresh_disk(uint64_t seed)
{
    struct simdisk *d = simdisk_new(seed);
    assert_ok(prepare(simdisk_io(d)));
    simdisk_power_off(d);
    simdisk_restart(d, SIMDISK_POWER_CUT, seed);
    struct outcome none = {0};
    check(simdisk_io(d), none);
    return d;
}

static void a_crash_at_any_call_leaves_old_or_new(void **state UNUSED)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        bool reached = true;
        for (uint64_t call = 1; reached; call++) {
            assert_true(call < 200);
            struct simdisk *d = fresh_disk(seed);
            simdisk_crash_at(d, call);
            struct outcome did;
            err_t err = change(simdisk_io(d), &did);
            reached = simdisk_is_off(d);
            assert_true(reached || err == OK);
            simdisk_power_off(d);
            assert_int_equal(simdisk_open_files(d), 0);
            simdisk_restart(d, SIMDISK_POWER_CUT, seed * 1000 + call);
            check(simdisk_io(d), did);
            /* And a second cut, at once: what was read was safe. */
            simdisk_power_off(d);
            simdisk_restart(d, SIMDISK_POWER_CUT, seed * 3000 + call);
            check(simdisk_io(d), did);
            simdisk_free(d);
        }
    }
}

static void a_failing_call_is_told_and_leaves_old_or_new(void **state UNUSED)
{
    static const err_t errors[] = {ERR_IO, ERR_NO_SPACE};
    for (size_t e = 0; e < ARRAY_LEN(errors); e++) {
        bool reached = true;
        for (uint64_t call = 1; reached; call++) {
            assert_true(call < 500);
            struct simdisk *d = fresh_disk(call);
            simdisk_set_fault(d, (struct simdisk_fault){SIMDISK_ANY_CALL, call, 1, errors[e]});
            struct outcome did;
            err_t err = change(simdisk_io(d), &did);
            reached = simdisk_fault_seen(d) >= call;
            assert_true(err == (reached ? errors[e] : OK));
            simdisk_set_fault(d, (struct simdisk_fault){0});
            assert_int_equal(simdisk_open_files(d), 0);
            check(simdisk_io(d), did);
            simdisk_power_off(d);
            simdisk_restart(d, SIMDISK_POWER_CUT, call);
            check(simdisk_io(d), did);
            simdisk_free(d);
        }
    }
}

/** A killed process leaves names that were never synced: whoever has read one builds on it. */
static void what_was_read_for_writing_stays(void **state UNUSED)
{
    static const char *const paths[] = {"ns/c/replaced", "ns/other/created"};
    bool reached = true;
    for (uint64_t call = 1; reached; call++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct simdisk *d = fresh_disk(seed);
            struct outcome did;
            struct store *s;
            char seen[ARRAY_LEN(paths)];
            simdisk_crash_at(d, call);
            reached = change(simdisk_io(d), &did) != OK;
            simdisk_power_off(d);
            simdisk_restart(d, SIMDISK_KILL, seed);
            assert_ok(store_open(simdisk_io(d), URL, true, &s));
            for (size_t i = 0; i < ARRAY_LEN(paths); i++)
                seen[i] = kind_of(s, paths[i]);
            store_close(s);
            simdisk_power_off(d);
            simdisk_restart(d, SIMDISK_POWER_CUT, seed * 31 + call);
            assert_ok(store_open(simdisk_io(d), URL, false, &s));
            for (size_t i = 0; i < ARRAY_LEN(paths); i++)
                if (seen[i] != '-')
                    assert_int_equal(kind_of(s, paths[i]), seen[i]);
            store_close(s);
            simdisk_free(d);
        }
        assert_true(call < 500);
    }
}

static void files_of_a_handle_in_use_are_left_alone(void **state UNUSED)
{
    struct simdisk *d = fresh_disk(1);
    struct store *one, *two;
    struct store_writer *w;
    assert_ok(store_open(simdisk_io(d), URL, true, &one));
    assert_ok(store_create(one, "ns/c/slow", &w));
    assert_ok(store_write(w, "x", 1));
    assert_ok(store_open(simdisk_io(d), URL, true, &two));
    assert_ok(store_commit(w, false));
    store_close(two);
    store_close(one);
    simdisk_free(d);
}

int main(void)
{
    memset(new_bytes, 'n', sizeof(new_bytes));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_at_any_call_leaves_old_or_new),
        cmocka_unit_test(a_failing_call_is_told_and_leaves_old_or_new),
        cmocka_unit_test(what_was_read_for_writing_stays),
        cmocka_unit_test(files_of_a_handle_in_use_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
