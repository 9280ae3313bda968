/* Manifests: what was written is read; any changed byte, any gap and any hostile field is an error
 * that names the manifest. */
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/hash.h"
#include "cdc/delta.h"
#include "tests/unit/store/fixture.h"

#define NS "shop"
#define COLLECTION "or/ders \xc3\xa9"
#define PATH "shop/or%2Fders%20%C3%A9/manifest.json"

static struct store_file file_of(const char *path, int64_t from, int64_t to)
{
    return (struct store_file){
        .path = xstrdup(path),
        .size = 1000,
        .hash = "0123456789abcdef0123456789abcdef",
        .tail = 900,
        .tail_hash = "ffffffffffffffffffffffffffffffff",
        .rows = 7,
        .lsn_from = from,
        .lsn_to = to,
        .ts_min_us = INT64_MAX,
        .ts_max_us = INT64_MIN,
        .state_hash = {1, UINT64_MAX},
        .state_count = 3,
        .made_us = 1770000000000000,
    };
}

static struct collection_manifest sample(void)
{
    struct collection_manifest m = {
        .namespace_name = xstrdup(NS),
        .collection = xstrdup(COLLECTION),
        .lsn_from = 5,
        .delta_count = 2,
        .has_data = true,
        .next_delta_number = 9,
    };
    m.deltas = xcalloc(2, sizeof(*m.deltas));
    m.deltas[0] = file_of("deltas/000001_2026-02-02T14-30.parquet", 5, 9);
    m.deltas[1] = file_of("deltas/000008_2026-02-02T14-35.parquet", 9, 20);
    m.data = file_of("data.parquet", 0, 9);
    return m;
}

static void assert_same_file(const struct store_file *a, const struct store_file *b)
{
    assert_string_equal(a->path, b->path);
    assert_string_equal(a->hash, b->hash);
    assert_string_equal(a->tail_hash, b->tail_hash);
    assert_true(a->size == b->size && a->tail == b->tail && a->rows == b->rows);
    assert_true(a->lsn_from == b->lsn_from && a->lsn_to == b->lsn_to);
    assert_true(a->ts_min_us == b->ts_min_us && a->ts_max_us == b->ts_max_us);
    assert_true(a->state_hash.low == b->state_hash.low && a->state_hash.high == b->state_hash.high);
    assert_true(a->state_count == b->state_count && a->made_us == b->made_us);
}

static void a_collections_manifest_is_read_as_written(void **state)
{
    struct fixture *f = *state;
    struct collection_manifest m = sample(), got;
    assert_int_equal(collection_manifest_read(f->store, NS, slice_of(COLLECTION), &got),
                     ERR_NOT_FOUND);
    assert_ok(collection_manifest_write(f->store, &m));
    assert_ok(collection_manifest_read(f->store, NS, slice_of(COLLECTION), &got));
    assert_string_equal(got.namespace_name, NS);
    assert_string_equal(got.collection, COLLECTION);
    assert_int_equal(got.lsn_from, 5);
    assert_int_equal(got.next_delta_number, 9);
    assert_int_equal(got.delta_count, 2);
    assert_true(got.has_data);
    assert_same_file(&got.deltas[0], &m.deltas[0]);
    assert_same_file(&got.deltas[1], &m.deltas[1]);
    assert_same_file(&got.data, &m.data);
    collection_manifest_free(&got);
    collection_manifest_free(&m);
}

static void a_namespaces_manifest_is_read_as_written(void **state)
{
    struct fixture *f = *state;
    char *names[] = {(char[]){"a"}, (char[]){COLLECTION}};
    struct namespace_manifest m = {(char[]){NS}, 77, 1770000000000001, names, 2, 5}, got;
    assert_int_equal(namespace_manifest_read(f->store, NS, &got), ERR_NOT_FOUND);
    assert_ok(namespace_manifest_write(f->store, &m));
    assert_ok(namespace_manifest_read(f->store, NS, &got));
    assert_int_equal(got.covered_until, 77);
    assert_true(got.covered_until_us == 1770000000000001 && got.made_us == 5);
    assert_int_equal(got.collection_count, 2);
    assert_string_equal(got.collections[1], COLLECTION);
    namespace_manifest_free(&got);
    names[0][0] = (char)0xff;
    assert_int_equal(namespace_manifest_write(f->store, &m), ERR_VALIDATION);
}

static void assert_corrupt(struct fixture *f, const char *what)
{
    struct collection_manifest got;
    assert_int_equal(collection_manifest_read(f->store, NS, slice_of(COLLECTION), &got),
                     ERR_CORRUPT);
    if (strstr(err_text(ERR_CORRUPT), PATH) == NULL || strstr(err_text(ERR_CORRUPT), what) == NULL)
        fail_msg("\"%s\" does not name %s and \"%s\"", err_text(ERR_CORRUPT), PATH, what);
}

static void any_changed_byte_and_any_cut_is_seen(void **state)
{
    struct fixture *f = *state;
    struct collection_manifest m = sample();
    assert_ok(collection_manifest_write(f->store, &m));
    collection_manifest_free(&m);
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    assert_ok(store_get(f->store, PATH, MIB(1), &text));
    for (size_t i = 0; i < text.len; i++) {
        for (int bit = 0; bit < 8; bit += 3) {
            text.data[i] ^= (char)(1 << bit);
            assert_ok(store_put(f->store, PATH, text.data, text.len, true));
            assert_corrupt(f, "");
            text.data[i] ^= (char)(1 << bit);
        }
        assert_ok(store_put(f->store, PATH, text.data, i, true));
        assert_corrupt(f, "");
    }
    buf_append_char(&text, ' ');
    assert_ok(store_put(f->store, PATH, text.data, text.len, true));
    assert_corrupt(f, "");
}

static void a_gap_is_never_written(void **state)
{
    struct fixture *f = *state;
    struct collection_manifest m = sample();
    m.deltas[1].lsn_from = 10;
    assert_int_equal(collection_manifest_write(f->store, &m), ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), "000008"));
    m.deltas[1].lsn_from = 9;
    m.lsn_from = 4;
    assert_int_equal(collection_manifest_write(f->store, &m), ERR_CORRUPT);
    collection_manifest_free(&m);
}

/** The sample with one thing changed: `key` of the manifest, of the first delta ("deltas.x") or of
 * data
 * ("data.x") becomes `value` (JSON, NULL: removed); with a good hash. */
static void write_with(struct fixture *f, const char *key, const char *value)
{
    struct collection_manifest m = sample();
    assert_ok(collection_manifest_write(f->store, &m));
    collection_manifest_free(&m);
    json_t *json;
    assert_ok(manifest_load(f->store, PATH, &json));
    json_object_del(json, "hash");
    json_t *place = json;
    const char *dot = strchr(key, '.');
    if (dot != NULL)
        place = *key == 'd' && key[1] == 'e' ? json_array_get(json_object_get(json, "deltas"), 0)
                                             : json_object_get(json, "data");
    const char *last = dot != NULL ? dot + 1 : key;
    assert_non_null(json_object_get(place, last));
    if (value == NULL)
        assert_ok(json_object_del(place, last));
    else
        assert_ok(json_object_set_new(place, last, json_loads(value, JSON_DECODE_ANY, NULL)));
    assert_ok(manifest_save(f->store, PATH, json));
}

static void hostile_fields_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *key, *value, *what;
    } rows[] = {
        {"format", "2", "newer"},
        {"format", "\"1\"", "format"},
        {"kind", "\"namespace\"", "another kind"},
        {"namespace", "\"other\"", "another namespace"},
        {"collection", "\"other\"", "another collection"},
        {"collection", NULL, "collection"},
        {"lsn_from", "-1", "lsn_from"},
        {"lsn_from", "6", "gap"},
        {"next_delta_number", "1.5", "next_delta_number"},
        {"deltas", "{}", "deltas"},
        {"deltas", "[3]", "entry"},
        {"data", "[]", "entry"},
        {"deltas.path", "\"../../etc/passwd\"", "path"},
        {"deltas.path", "\"/etc/passwd\"", "path"},
        {"deltas.path", "\"deltas//x\"", "path"},
        {"deltas.path", "\"deltas/\"", "path"},
        {"deltas.path", "\"deltas/.x\"", "path"},
        {"deltas.path", "\"\"", "path"},
        {"deltas.path", "\"a b\"", "path"},
        {"deltas.path", NULL, "path"},
        {"deltas.size", "-5", "size"},
        {"deltas.size", "10", "contradicts"},
        {"deltas.size", "1e300", "size"},
        {"deltas.tail", "1001", "contradicts"},
        {"deltas.hash", "\"0123\"", "hash"},
        {"deltas.hash", "\"0123456789ABCDEF0123456789ABCDEF\"", "hash"},
        {"deltas.tail_hash", "7", "tail_hash"},
        {"deltas.rows", "-1", "rows"},
        {"deltas.lsn_to", "4", "lsn_to"},
        {"deltas.lsn_to", "8", "gap"},
        {"deltas.lsn_to", "10", "gap"},
        {"deltas.state_hash", "\"\"", "state_hash"},
        {"deltas.state_count", "true", "state_count"},
        {"deltas.ts_max_us", "null", "ts_max_us"},
        {"data.lsn_to", "-9", "lsn_to"},
        {"data.made_us", "{}", "made_us"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        write_with(f, rows[i].key, rows[i].value);
        assert_corrupt(f, rows[i].what);
    }
}

static void text_that_is_no_object_is_refused_with_a_good_hash(void **state)
{
    struct fixture *f = *state;
    static const char *const bodies[] = {"[1", "{\"a\":1,\"a\":2", "{\"a\":", "{\"a\":\"\\u0000\"",
                                         "{\"a\":\"\xff\""};
    for (size_t i = 0; i < ARRAY_LEN(bodies); i++) {
        struct hash128 h = hash128(bodies[i], strlen(bodies[i]));
        CLEANUP(xfree_ptr)
        char *text = xasprintf("%s,\n  \"hash\": \"%016llx%016llx\"\n}\n", bodies[i],
                               (unsigned long long)h.high, (unsigned long long)h.low);
        assert_ok(store_put(f->store, PATH, text, strlen(text), true));
        assert_corrupt(f, "JSON");
    }
}

/* Turns --------------------------------------------------------------------------------------- */

struct contest {
    struct store *store;
    int inside;
    int entries;
};

static void *contend(void *arg)
{
    struct contest *c = arg;
    for (int i = 0; i < 2000; i++) {
        manifest_lock(c->store, NS);
        c->entries += ++c->inside; /* 1 as long as nobody else is inside */
        c->inside--;
        manifest_unlock(c->store, NS);
    }
    return NULL;
}

static void one_holder_at_a_time(void **state)
{
    struct fixture *f = *state;
    struct contest c = {.store = f->store};
    pthread_t threads[4];
    store_job_lock(f->store, NS); /* another kind of turn, and another namespace: not in the way */
    manifest_lock(f->store, "other");
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_ok(pthread_create(&threads[i], NULL, contend, &c));
    for (size_t i = 0; i < ARRAY_LEN(threads); i++)
        assert_ok(pthread_join(threads[i], NULL));
    manifest_unlock(f->store, "other");
    store_job_unlock(f->store, NS);
    assert_int_equal(c.entries, 4 * 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_collections_manifest_is_read_as_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_namespaces_manifest_is_read_as_written, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(any_changed_byte_and_any_cut_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_gap_is_never_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hostile_fields_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(text_that_is_no_object_is_refused_with_a_good_hash, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_holder_at_a_time, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
