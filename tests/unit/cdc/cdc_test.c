/* From the log to state and deltas, on real files. */
#include <pthread.h>

#include "base/limits.h"
#include "cdc/cdc_priv.h"
#include "cdc/delta.h"
#include "tests/append.h"
#include "tests/scratch.h"

#define WAIT_MS 20000

struct fixture {
    char dir[SCRATCH_BYTES];
    struct worker_pool *workers;
    struct log *log;
    struct stream *stream;
    struct store *store;
    struct cdc *cdc;
    struct cdc_options options;
};

static void start(struct fixture *f)
{
    struct log_options lo = {.io = io_posix(),
                             .clock = clock_real(),
                             .data_dir = f->dir,
                             .segment_bytes = LIMIT_SEGMENT_MIN_BYTES,
                             .workers = f->workers};
    assert_ok(log_open(&lo, &f->log));
    f->stream = log_find_stream(f->log, "events", 6);
    if (f->stream == NULL)
        assert_ok(log_create_stream(f->log, "events", 2, &f->stream));
    char *url = xasprintf("%s/store", f->dir);
    assert_ok(store_open(io_posix(), url, true, &f->store));
    free(url);
    f->options = (struct cdc_options){.io = io_posix(),
                                      .clock = clock_real(),
                                      .log = f->log,
                                      .store = f->store,
                                      .data_dir = f->dir,
                                      .delta_bytes = MIB(16)};
    assert_ok(cdc_start(&f->options, &f->cdc));
}

static void stop(struct fixture *f)
{
    cdc_stop(TAKE(f->cdc));
    store_close(TAKE(f->store));
    worker_pool_run(f->workers);
    log_close(TAKE(f->log));
}

/** The engine again, with what f->options says now. */
static void restart_cdc(struct fixture *f)
{
    cdc_stop(f->cdc);
    assert_ok(cdc_start(&f->options, &f->cdc));
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    scratch_make(f->dir);
    f->workers = worker_pool_new(0);
    start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    stop(f);
    worker_pool_free(f->workers);
    scratch_remove(f->dir);
    free(f);
    return 0;
}

static void append_to(struct stream *stream, unsigned shard, const char *const *events,
                      size_t count, bool stamp)
{
    append_json(stream_shard(stream, shard), events, count, 1770000000000, stamp);
}

static char *event(const char *op, const char *collection, const char *id, const char *more)
{
    return xasprintf(
        "{\"type\":\"collection.%s\",\"ts\":\"2026-02-02T14:30:00Z\",\"collection\":\"%s\","
        "\"docId\":\"%s\"%s}",
        op, collection, id, more);
}

static void change(struct fixture *f, const char *op, const char *collection, const char *id,
                   const char *more)
{
    char *json = event(op, collection, id, more);
    append_to(f->stream, 0, (const char *const[]){json}, 1, false);
    free(json);
}

/** The state of the default namespace. */
static struct state *read_state(struct fixture *f)
{
    CLEANUP(xfree_ptr) char *path = cdc_state_path(f->dir, "default");
    struct state *s;
    assert_ok(state_reader_open(io_posix(), path, &s));
    return s;
}

/** "id=doc@lsn " in order, of the default namespace. */
static void assert_state(struct fixture *f, const char *collection, const char *expected)
{
    struct state_collection c;
    struct state_scan *scan;
    struct state_doc doc;
    struct buf text = BUF_INIT;
    err_t err;
    assert_ok(cdc_flush(f->cdc, "default", false, WAIT_MS));
    struct state *s = read_state(f);
    assert_ok(state_find_collection(s, slice_of(collection), &c));
    assert_ok(state_scan_open(s, c.id, &scan));
    while ((err = state_scan_next(scan, &doc)) == OK) {
        buf_append_slice(&text, doc.id);
        buf_append_char(&text, '=');
        buf_append_slice(&text, doc.doc);
        buf_printf(&text, "@%lld ", (long long)doc.lsn);
    }
    assert_int_equal(err, ERR_END);
    buf_append_char(&text, '\0');
    assert_string_equal(text.data, expected);
    state_scan_close(scan);
    state_close(s);
    free(c.name);
    buf_release(&text);
}

static struct cdc_lag lag_of(struct fixture *f, const char *name)
{
    struct cdc_lag lags[8];
    size_t count = cdc_lags(f->cdc, lags, ARRAY_LEN(lags));
    for (size_t i = 0; i < count; i++)
        if (strcmp(lags[i].namespace_name, name) == 0)
            return lags[i];
    fail_msg("no namespace %s", name);
    return lags[0];
}

/** Until the one namespace's deltas reach `lsn`. */
static void wait_for_delta(struct fixture *f, int64_t lsn)
{
    struct cdc *c = f->cdc;
    bool told = true;
    lock_acquire(&c->lock);
    assert_int_equal(c->space_count, 1);
    while (told && c->spaces[0]->lag.delta_lsn < lsn)
        told = lock_cond_wait_ms(&c->progress, &c->lock, WAIT_MS);
    int64_t reached = c->spaces[0]->lag.delta_lsn;
    lock_release(&c->lock);
    assert_int_equal(reached, lsn);
}

/** "op id@lsn " of one delta of "users" in its order, "!" for skipped. */
static void assert_delta(struct fixture *f, const struct store_file *file, const char *expected)
{
    struct delta_reader *r;
    struct change c;
    struct buf text = BUF_INIT;
    err_t err;
    char *dir = collection_dir("default", SLICE("users"));
    assert_ok(delta_open(f->store, dir, file, NULL, &r));
    while ((err = delta_next(r, &c)) == OK) {
        buf_printf(&text, "%s%c ", c.skipped ? "!" : "", (char)c.op);
        buf_append_slice(&text, c.doc_id);
        buf_printf(&text, "@%lld ", (long long)c.lsn);
    }
    assert_int_equal(err, ERR_END);
    buf_append_char(&text, '\0');
    assert_string_equal(text.data, expected);
    delta_close(r);
    buf_release(&text);
    free(dir);
}

/** Writes deltas; then "users" has `count`, of which the last is [from, to) and reads as
 * `expected`. The hash recorded with it is that of the state as it stands. */
static void assert_last_delta(struct fixture *f, size_t count, int64_t from, int64_t to,
                              const char *expected)
{
    struct collection_manifest m;
    struct state_collection c;
    assert_ok(cdc_flush(f->cdc, "default", true, WAIT_MS));
    assert_ok(collection_manifest_read(f->store, "default", SLICE("users"), &m));
    assert_int_equal(m.delta_count, count);
    const struct store_file *file = &m.deltas[count - 1];
    assert_int_equal(file->lsn_from, from);
    assert_int_equal(file->lsn_to, to);
    assert_delta(f, file, expected);
    struct state *s = read_state(f);
    assert_ok(state_find_collection(s, SLICE("users"), &c));
    assert_memory_equal(&c.hash, &file->state_hash, sizeof(c.hash));
    assert_int_equal(c.count, file->state_count);
    state_close(s);
    free(c.name);
    collection_manifest_free(&m);
}

static size_t count_deltas(struct fixture *f, const char *collection)
{
    struct collection_manifest m;
    assert_ok(collection_manifest_read(f->store, "default", slice_of(collection), &m));
    size_t count = m.delta_count;
    collection_manifest_free(&m);
    return count;
}

/** What the store says of the default namespace: up to where it is covered, and when. */
static err_t read_covered(struct fixture *f, int64_t *ret_lsn, int64_t *ret_us)
{
    struct namespace_manifest n;
    TRY(namespace_manifest_read(f->store, "default", &n));
    *ret_lsn = n.covered_until;
    *ret_us = n.covered_until_us;
    namespace_manifest_free(&n);
    return OK;
}

static void assert_covered(struct fixture *f, int64_t lsn)
{
    int64_t covered, us;
    assert_ok(read_covered(f, &covered, &us));
    assert_int_equal(covered, lsn);
}

static void changes_reach_the_state_and_other_events_pass(void **state)
{
    struct fixture *f = *state;
    change(f, "insert", "users", "a", ",\"doc\":{ \"n\": 1 }");
    append_to(f->stream, 0, (const char *const[]){"{\"type\":\"order.paid\"}", "[]", "x"}, 3,
              false);
    change(f, "update", "users", "b\\u00e9", ",\"doc\":{\"n\":2}");
    change(f, "delete", "users", "nobody", "");
    assert_state(f, "users", "a={ \"n\": 1 }@0 b\xc3\xa9={\"n\":2}@4 ");
    change(f, "delete", "users", "a", "");
    assert_state(f, "users", "b\xc3\xa9={\"n\":2}@4 ");
    struct cdc_lag lag = lag_of(f, "default");
    assert_int_equal(lag.applied_lsn, 7);
    assert_int_equal(lag.log_lsn, 7);
    assert_int_equal(lag.behind_us, 0);
    assert_int_equal(lag.dead_letters, 0);
    assert_string_equal(lag.problem, "");
}

/** A marked batch that would not stand being read: its CRC is wrong. */
static void append_marked(struct fixture *f, unsigned shard)
{
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    struct append_batch batch = {0};
    uint32_t records;
    assert_ok(builder_add(b, &(struct event_record){.ts_ms = 1770000000000,
                                                    .value = {SLICE("{\"type\":\"order.paid\"}")},
                                                    .type = SLICE("order.paid"),
                                                    .plain = true}));
    builder_seal(b, &batch.data, &batch.len, &records);
    builder_free(b);
    batch.data[batch.len - 1] ^= 1;
    assert_ok(shard_append(stream_shard(f->stream, shard), &batch, 1));
    free(batch.data);
}

static void where_only_marked_batches_follow_they_are_not_read(void **state)
{
    struct fixture *f = *state;
    append_marked(f, 0);
    append_marked(f, 1);
    append_marked(f, 0);
    assert_ok(cdc_flush(f->cdc, "default", false, WAIT_MS));
    assert_int_equal(lag_of(f, "default").applied_lsn, 2);
    change(f, "insert", "users", "a", ",\"doc\":{}");
    assert_state(f, "users", "a={}@2 ");
    append_marked(f, 0);
    assert_ok(cdc_flush(f->cdc, "default", false, WAIT_MS));
    assert_int_equal(lag_of(f, "default").applied_lsn, 4);
    assert_string_equal(lag_of(f, "default").problem, "");
}

static bool join_letters(void *arg, unsigned shard, int64_t lsn, const char *reason)
{
    buf_printf(arg, "%u/%lld %.10s;", shard, (long long)lsn, reason);
    return true;
}

static void malformed_and_misplaced_changes_are_listed(void **state)
{
    struct fixture *f = *state;
    change(f, "insert", "users", "a", ",\"doc\":5");
    change(f, "upsert", "users", "a", ",\"doc\":{}");
    char *future = xstrdup("{\"type\":\"collection.delete\",\"ts\":\"2999-01-01T00:00:00Z\","
                           "\"collection\":\"users\",\"docId\":\"a\"}");
    append_to(f->stream, 0, (const char *const[]){future}, 1, true);
    free(future);
    char *json = event("insert", "users", "a", ",\"doc\":{}");
    append_to(f->stream, 1, (const char *const[]){"{\"type\":\"order.paid\"}", json}, 2, false);
    free(json);
    change(f, "insert", "users", "good", ",\"doc\":{}");
    assert_state(f, "users", "good={}@3 ");
    struct cdc_lag lag;
    for (int i = 0; i < WAIT_MS && (lag = lag_of(f, "default")).misplaced == 0; i++)
        assert_ok(cdc_flush(f->cdc, NULL, false, WAIT_MS));
    assert_int_equal(lag.dead_letters, 4);
    assert_int_equal(lag.misplaced, 1);
    struct buf text = BUF_INIT;
    struct state *s = read_state(f);
    assert_ok(state_each_dead_letter(s, join_letters, &text));
    buf_append_char(&text, '\0');
    assert_non_null(strstr(text.data, "0/0 doc must b;"));
    assert_non_null(strstr(text.data, "0/1 type names;"));
    assert_non_null(strstr(text.data, "0/2 ts lies mo;"));
    assert_non_null(strstr(text.data, "1/1 a change m;"));
    state_close(s);
    buf_release(&text);
    /* A restart finds each but once. */
    stop(f);
    start(f);
    assert_state(f, "users", "good={}@3 ");
    assert_int_equal(lag_of(f, "default").dead_letters, 4);
}

static void deltas_form_a_chain_per_collection(void **state)
{
    struct fixture *f = *state;
    struct namespace_manifest n;
    int64_t before_us = clock_wall_us(clock_real());
    change(f, "insert", "users", "b", ",\"doc\":{}");
    change(f, "insert", "a/../b", "x", ",\"doc\":{}");
    change(f, "update", "users", "a", ",\"doc\":{},\"expect\":0");
    change(f, "update", "users", "a", ",\"doc\":{\"lost\":1},\"expect\":0");
    assert_last_delta(f, 1, 0, 4, "u a@2 !u a@3 i b@0 ");
    /* The other collection stays as it is, and is covered all the same. */
    change(f, "delete", "users", "b", "");
    assert_last_delta(f, 2, 4, 5, "d b@4 ");
    assert_int_equal(count_deltas(f, "a/../b"), 1);
    assert_ok(namespace_manifest_read(f->store, "default", &n));
    assert_int_equal(n.covered_until, 5);
    assert_true(n.covered_until_us >= before_us);
    assert_int_equal(n.collection_count, 2);
    namespace_manifest_free(&n);
    /* Events without changes cover LSNs without files. */
    append_to(f->stream, 0, (const char *const[]){"{\"type\":\"order.paid\"}"}, 1, false);
    assert_ok(cdc_flush(f->cdc, "default", true, WAIT_MS));
    assert_covered(f, 6);
    assert_int_equal(count_deltas(f, "users"), 2);
}

static void what_was_not_in_a_delta_is_read_again_after_a_restart(void **state)
{
    struct fixture *f = *state;
    change(f, "insert", "users", "a", ",\"doc\":{}");
    assert_ok(cdc_flush(f->cdc, NULL, true, WAIT_MS));
    change(f, "update", "users", "a", ",\"doc\":{\"v\":2},\"expect\":5");
    change(f, "update", "users", "b", ",\"doc\":{\"v\":3}");
    assert_ok(cdc_flush(f->cdc, NULL, false, WAIT_MS));
    stop(f);
    start(f);
    change(f, "delete", "users", "b", "");
    assert_last_delta(f, 2, 1, 4, "!u a@1 u b@2 d b@3 ");
}

static void a_lost_or_damaged_state_is_made_again(void **state)
{
    struct fixture *f = *state;
    char *path = cdc_state_path(f->dir, "default");
    change(f, "insert", "users", "a", ",\"doc\":{\"v\":1}");
    change(f, "insert", "users", "b", ",\"doc\":{\"v\":2},\"expect\":0");
    assert_ok(cdc_flush(f->cdc, NULL, true, WAIT_MS));
    change(f, "update", "users", "b", ",\"doc\":{\"v\":3},\"expect\":9");
    assert_state(f, "users", "a={\"v\":1}@0 b={\"v\":2}@1 ");
    stop(f);
    assert_ok(state_remove(io_posix(), path));
    start(f);
    assert_state(f, "users", "a={\"v\":1}@0 b={\"v\":2}@1 ");
    stop(f);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    for (int i = 0; i < 100000; i++)
        fputc('x', file);
    assert_int_equal(fclose(file), 0);
    start(f);
    assert_state(f, "users", "a={\"v\":1}@0 b={\"v\":2}@1 ");
    /* The chain goes on where it was. */
    assert_last_delta(f, 2, 2, 3, "!u b@2 ");
    free(path);
}

/** Wherever it is damaged, also where little is read. */
static void a_state_with_a_damaged_page_is_made_again(void **state)
{
    struct fixture *f = *state;
    char *path = cdc_state_path(f->dir, "default");
    char garbage[4096];
    long pages = 2;
    memset(garbage, 'x', sizeof(garbage));
    change(f, "insert", "users", "a", ",\"doc\":{\"v\":1},\"bookmark\":\"m\"");
    for (long page = 1; page < pages; page++) { /* but the first, which has the schema */
        assert_ok(cdc_flush(f->cdc, NULL, true, WAIT_MS));
        change(f, "update", "users", "a", ",\"doc\":{\"v\":2},\"expect\":99,\"bookmark\":\"m\"");
        assert_state(f, "users", "a={\"v\":1}@0 ");
        stop(f);
        FILE *file = fopen(path, "r+");
        assert_non_null(file);
        assert_int_equal(fseek(file, 0, SEEK_END), 0);
        pages = ftell(file) / (long)sizeof(garbage);
        assert_int_equal(fseek(file, page * (long)sizeof(garbage), SEEK_SET), 0);
        assert_int_equal(fwrite(garbage, sizeof(garbage), 1, file), 1);
        assert_int_equal(fclose(file), 0);
        start(f);
        change(f, "update", "users", "a", ",\"doc\":{\"v\":3},\"expect\":99,\"bookmark\":\"m\"");
        err_t err = OK;
        for (int i = 0; i < 5 && (i == 0 || err != OK); i++) /* it is tried again after a second */
            err = cdc_flush(f->cdc, NULL, true, WAIT_MS);
        if (err != OK)
            fail_msg("page %ld of %ld: %s", page + 1, pages, err_text(err));
        assert_state(f, "users", "a={\"v\":1}@0 ");
    }
    free(path);
}

static void a_small_delta_size_makes_deltas_by_itself(void **state)
{
    struct fixture *f = *state;
    f->options.delta_bytes = 1;
    restart_cdc(f);
    change(f, "insert", "users", "a", ",\"doc\":{}");
    wait_for_delta(f, 1); /* nobody asks for it */
    assert_covered(f, 1);
}

static void an_idle_collection_is_covered_by_age(void **state)
{
    struct fixture *f = *state;
    f->options.delta_seconds = 1;
    restart_cdc(f);
    change(f, "insert", "users", "a", ",\"doc\":{}");
    int64_t first_us = 0;
    int64_t until_us = clock_wall_us(clock_real()) + WAIT_MS * INT64_C(1000);
    /* Written by age, then again although nothing happens. */
    for (int64_t lsn, last_us = 0; last_us == 0 || last_us == first_us;) {
        assert_true(clock_wall_us(clock_real()) < until_us);
        if (read_covered(f, &lsn, &last_us) != OK)
            continue;
        assert_int_equal(lsn, 1);
        first_us = first_us == 0 ? last_us : first_us;
    }
}

static void a_stream_created_later_is_a_namespace_too(void **state)
{
    struct fixture *f = *state;
    struct stream *s;
    struct stream *other;
    assert_int_equal(cdc_flush(f->cdc, "acme", false, WAIT_MS), ERR_NOT_FOUND);
    assert_ok(log_create_stream(f->log, "acme.events", 1, &s));
    assert_ok(log_create_stream(f->log, "payments", 1, &other));
    char *json = event("insert", "users", "a", ",\"doc\":{}");
    append_to(s, 0, (const char *const[]){json}, 1, false);
    append_to(other, 0, (const char *const[]){json}, 1, false);
    free(json);
    assert_ok(cdc_flush(f->cdc, "acme", true, WAIT_MS));
    assert_int_equal(lag_of(f, "acme").applied_lsn, 1);
    assert_int_equal(cdc_lags(f->cdc, NULL, 0), 2);
}

static void the_store_of_another_log_gets_no_deltas(void **state)
{
    struct fixture *f = *state;
    cdc_stop(f->cdc);
    const struct namespace_manifest n = {.namespace_name = (char[]){"default"},
                                         .covered_until = 500};
    assert_ok(namespace_manifest_write(f->store, &n));
    assert_ok(cdc_start(&f->options, &f->cdc));
    change(f, "insert", "users", "a", ",\"doc\":{}");
    assert_state(f, "users", "a={}@0 ");
    assert_non_null(strstr(lag_of(f, "default").problem, "another log"));
    assert_int_equal(cdc_flush(f->cdc, NULL, true, WAIT_MS), ERR_IO);
}

struct waiter {
    struct cdc *cdc;
    err_t err;
};

static void *wait_for_deltas(void *arg)
{
    struct waiter *w = arg;
    w->err = cdc_flush(w->cdc, NULL, true, WAIT_MS);
    return NULL;
}

static void waits_end_at_once_when_they_are_over(void **state)
{
    struct fixture *f = *state;
    struct waiter w = {.cdc = f->cdc};
    pthread_t thread;
    manifest_lock(f->store, "default"); /* so that no delta can be written */
    change(f, "insert", "users", "a", ",\"doc\":{}");
    assert_int_equal(pthread_create(&thread, NULL, wait_for_deltas, &w), 0);
    cdc_end_waits(f->cdc);
    pthread_join(thread, NULL);
    assert_int_equal(w.err, ERR_UNAVAILABLE);
    assert_int_equal(cdc_flush(f->cdc, NULL, true, WAIT_MS), ERR_UNAVAILABLE);
    manifest_unlock(f->store, "default");
}

static void names_of_namespaces_and_streams(void **state UNUSED)
{
    static const char *const pairs[][2] = {
        {"events", "default"}, {"acme.events", "acme"},  {"a.b.events", "a.b"}, {"payments", NULL},
        {".events", NULL},     {"default.events", NULL}, {"eventsx", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
        char *name = cdc_namespace_of(pairs[i][0]);
        if (pairs[i][1] == NULL) {
            assert_null(name);
            continue;
        }
        assert_string_equal(name, pairs[i][1]);
        char *stream = cdc_stream_name(name);
        assert_string_equal(stream, pairs[i][0]);
        free(stream);
        free(name);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(changes_reach_the_state_and_other_events_pass),
        TEST(where_only_marked_batches_follow_they_are_not_read),
        TEST(malformed_and_misplaced_changes_are_listed),
        TEST(deltas_form_a_chain_per_collection),
        TEST(what_was_not_in_a_delta_is_read_again_after_a_restart),
        TEST(a_lost_or_damaged_state_is_made_again),
        TEST(a_state_with_a_damaged_page_is_made_again),
        TEST(a_small_delta_size_makes_deltas_by_itself),
        TEST(an_idle_collection_is_covered_by_age),
        TEST(a_stream_created_later_is_a_namespace_too),
        TEST(the_store_of_another_log_gets_no_deltas),
        TEST(waits_end_at_once_when_they_are_over),
        cmocka_unit_test(names_of_namespaces_and_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
