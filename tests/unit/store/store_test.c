/* The store on the machine's own file system: names, visibility, reads. */
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "tests/unit/store/fixture.h"

static void any_name_becomes_one_safe_component(void **state UNUSED)
{
    static const struct {
        const char *name, *want;
    } rows[] = {
        {"orders", "orders"},
        {"a.b-c_D9", "a.b-c_D9"},
        {".", "%2E"},
        {"..", "%2E%2E"},
        {".hidden", "%2Ehidden"},
        {"end.", "end%2E"},
        {"a/../b", "a%2F..%2Fb"},
        {"manifest.json", "manifest%2Ejson"},
        {".json", "%2Ejson"},
        {"a b", "a%20b"},
        {"50%", "50%25"},
        {"~x", "%7Ex"},
        {"é", "%C3%A9"},
        {"\n", "%0A"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        CLEANUP(xfree_ptr) char *got = store_component(slice_of(rows[i].name));
        assert_string_equal(got, rows[i].want);
    }
    CLEANUP(xfree_ptr) char *nul = store_component((struct slice){"a\0b", 3});
    assert_string_equal(nul, "a%00b");
}

static void long_names_are_cut_and_stay_different(void **state UNUSED)
{
    char name[256];
    memset(name, 'x', sizeof(name));
    CLEANUP(xfree_ptr) char *exact = store_component((struct slice){name, 120});
    assert_int_equal(strlen(exact), 120);
    assert_null(strchr(exact, '~'));
    CLEANUP(xfree_ptr) char *one = store_component((struct slice){name, 256});
    name[255] = 'y';
    CLEANUP(xfree_ptr) char *two = store_component((struct slice){name, 256});
    assert_int_equal(strlen(one), 153);
    assert_memory_equal(one, two, 121);
    assert_string_not_equal(one, two);
}

static void unsafe_paths_are_refused(void **state)
{
    struct fixture *f = *state;
    char long_part[300];
    memset(long_part, 'p', sizeof(long_part) - 1);
    long_part[sizeof(long_part) - 1] = '\0';
    const char *const bad[] = {"",   "/etc/passwd", "../x", "a/../x", "a//b",
                               "a/", ".tmp-1-1",    "a/.b", "a\nb",   long_part};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(buf_release) struct buf out = BUF_INIT;
        struct store_object *o;
        assert_int_equal(store_put(f->store, bad[i], "x", 1, true), ERR_USAGE);
        assert_int_equal(store_get(f->store, bad[i], 10, &out), ERR_USAGE);
        assert_int_equal(store_object_open(f->store, bad[i], &o), ERR_USAGE);
        assert_int_equal(store_remove(f->store, bad[i]), ERR_USAGE);
    }
}

static void other_schemes_and_missing_directories_are_refused(void **state)
{
    struct fixture *f = *state;
    struct store *s;
    assert_int_equal(store_open(io_posix(), "s3://bucket/x", true, &s), ERR_USAGE);
    assert_int_equal(store_open(io_posix(), "file://host/x", true, &s), ERR_USAGE);
    assert_int_equal(store_open(io_posix(), "", true, &s), ERR_USAGE);
    CLEANUP(xfree_ptr) char *absent = xasprintf("%s/absent", f->dir);
    assert_int_equal(store_open(io_posix(), absent, false, &s), ERR_NOT_FOUND);
    assert_non_null(strstr(err_text(ERR_NOT_FOUND), absent));
    CLEANUP(xfree_ptr) char *slashes = xasprintf("file://%s/deep/store///", f->dir);
    assert_ok(store_open(io_posix(), slashes, false, &s));
    struct store_writer *w;
    assert_int_equal(store_create(s, "a", &w), ERR_USAGE);
    assert_int_equal(store_remove(s, "a"), ERR_USAGE);
    store_close(s);
}

static void an_object_is_seen_once_committed(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    struct store_writer *w;
    assert_ok(store_create(f->store, "ns/c/x", &w));
    assert_ok(store_write(w, "hello ", 6));
    assert_ok(store_write(w, "world", 5));
    assert_int_equal(store_writer_size(w), 11);
    assert_int_equal(store_get(f->store, "ns/c/x", 100, &out), ERR_NOT_FOUND);
    assert_ok(store_commit(w, false));
    assert_ok(store_get(f->store, "ns/c/x", 100, &out));
    assert_int_equal(out.len, 11);
    assert_memory_equal(out.data, "hello world", 11);
    assert_int_equal(store_put(f->store, "ns/c/x", "new", 3, false), ERR_EXISTS);
    assert_ok(store_put(f->store, "ns/c/x", "new", 3, true));
    buf_clear(&out);
    assert_int_equal(store_get(f->store, "ns/c/x", 2, &out), ERR_CORRUPT);
    assert_ok(store_get(f->store, "ns/c/x", 3, &out));
    assert_memory_equal(out.data, "new", 3);
    assert_ok(store_remove(f->store, "ns/c/x"));
    assert_ok(store_remove(f->store, "ns/c/x"));
    assert_ok(store_remove(f->store, "no/such/directory"));
    assert_int_equal(store_get(f->store, "ns/c/x", 3, &out), ERR_NOT_FOUND);
}

static void append_entry(void *arg, const char *name, bool is_dir)
{
    buf_printf(arg, "%s%s ", name, is_dir ? "/" : "");
}

static void lists_are_sorted_and_hide_what_is_not_committed(void **state)
{
    struct fixture *f = *state;
    struct store_writer *w, *thrown;
    assert_ok(store_create(f->store, "ns/zz", &w));
    assert_ok(store_create(f->store, "ns/never", &thrown));
    assert_ok(store_write(thrown, "x", 1));
    store_discard(thrown);
    assert_ok(store_put(f->store, "ns/b", "", 0, false));
    assert_ok(store_put(f->store, "ns/a/x", "1", 1, false));
    CLEANUP(buf_release) struct buf seen = BUF_INIT;
    assert_ok(store_list(f->store, "ns", append_entry, &seen));
    assert_ok(store_list(f->store, "none", append_entry, &seen));
    assert_ok(store_commit(w, false));
    assert_ok(store_list(f->store, "ns", append_entry, &seen));
    assert_ok(store_list(f->store, "", append_entry, &seen));
    buf_append_char(&seen, '\0');
    assert_string_equal(seen.data, "a/ b a/ b zz ns/ ");
}

static void pieces_of_any_size_have_the_hash_of_the_whole(void **state)
{
    struct fixture *f = *state;
    size_t len = KIB(900) + 7;
    CLEANUP(xfree_ptr) char *data = xmalloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (char)(i * 131 >> 3);
    static const size_t pieces[] = {1000, KIB(256), 1, KIB(300), 0, 77};
    struct store_writer *w;
    assert_ok(store_create(f->store, "x", &w));
    for (size_t at = 0, i = 0; at < len; i++) {
        size_t n = MIN(pieces[i % ARRAY_LEN(pieces)], len - at);
        assert_ok(store_write(w, data + at, n));
        at += n;
    }
    char written[33], whole[33], want[33];
    store_writer_hash(w, written);
    assert_ok(store_commit(w, false));
    struct store_object *o;
    assert_ok(store_object_open(f->store, "x", &o));
    assert_int_equal(store_object_size(o), len);
    assert_ok(store_object_hash(o, 0, len, whole));
    assert_string_equal(written, whole);
    struct hash128 h = hash128(data + 5, len - 10);
    snprintf(want, sizeof(want), "%016llx%016llx", (unsigned long long)h.high,
             (unsigned long long)h.low);
    assert_ok(store_object_hash(o, 5, len - 10, whole));
    assert_string_equal(whole, want);
    char part[10];
    assert_ok(store_object_read(o, len - 10, part, 10));
    assert_memory_equal(part, data + len - 10, 10);
    assert_int_equal(store_object_read(o, len - 9, part, 10), ERR_CORRUPT);
    assert_int_equal(store_object_read(o, UINT64_MAX, part, 10), ERR_CORRUPT);
    store_object_close(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_name_becomes_one_safe_component),
        cmocka_unit_test(long_names_are_cut_and_stay_different),
        cmocka_unit_test_setup_teardown(unsafe_paths_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_schemes_and_missing_directories_are_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_object_is_seen_once_committed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_are_sorted_and_hide_what_is_not_committed, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(pieces_of_any_size_have_the_hash_of_the_whole, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
