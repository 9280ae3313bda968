/* A state from the store alone equals the one that followed the log. */
#include "base/limits.h"
#include "snapshot/reload.h"
#include "tests/append.h"
#include "tests/scratch.h"

#define WAIT_MS 20000
#define CHANGES 300

static void append_change(struct shard *sh, int n)
{
    CLEANUP(xfree_ptr)
    char *json = xasprintf("{\"type\":\"collection.%s\",\"ts\":\"2026-02-02T14:30:00Z\","
                           "\"collection\":\"c%d\",\"docId\":\"d%d\",\"doc\":{\"n\":%d}%s}",
                           n % 7 == 3 ? "delete" : "update", n % 3, n * 31 % 40, n,
                           n % 11 == 5 ? ",\"expect\":0" : "");
    append_json(sh, (const char *const[]){json}, 1, 1770000000000, false);
}

static bool same_as(void *arg, const struct state_collection *wanted)
{
    struct state_collection found;
    assert_ok(state_find_collection(arg, slice_of(wanted->name), &found));
    assert_int_equal(found.count, wanted->count);
    assert_memory_equal(&found.hash, &wanted->hash, sizeof(found.hash));
    assert_int_equal(found.max_ts_us, wanted->max_ts_us);
    assert_int_equal(found.last_lsn, wanted->last_lsn);
    free(found.name);
    return true;
}

static void a_state_from_the_store_is_the_same(void **state UNUSED)
{
    char dir[SCRATCH_BYTES];
    scratch_make(dir);
    struct worker_pool *workers = worker_pool_new(0);
    struct log *log;
    struct stream *stream;
    struct store *store;
    struct cdc *cdc;
    struct state *first;
    struct state *second;
    int64_t cursor;
    const struct log_options lo = {.io = io_posix(),
                                   .clock = clock_real(),
                                   .data_dir = dir,
                                   .segment_bytes = LIMIT_SEGMENT_MIN_BYTES,
                                   .workers = workers};
    CLEANUP(xfree_ptr) char *url = xasprintf("%s/store", dir);
    CLEANUP(xfree_ptr) char *other = xasprintf("%s/other/default.db", dir);
    CLEANUP(xfree_ptr) char *path = cdc_state_path(dir, "default");
    assert_ok(log_open(&lo, &log));
    assert_ok(log_create_stream(log, "events", 1, &stream));
    assert_ok(store_open(io_posix(), url, true, &store));
    const struct cdc_options co = {.io = io_posix(),
                                   .clock = clock_real(),
                                   .log = log,
                                   .store = store,
                                   .data_dir = dir,
                                   .delta_bytes = MIB(16)};
    struct reload reload = {.io = io_posix(), .clock = clock_real(), .store = store};
    assert_ok(cdc_start(&co, &cdc));
    assert_ok(state_open(io_posix(), other, &second));
    assert_int_equal(reload_state(&reload, "default", 1, second), ERR_NOT_FOUND);
    for (int i = 0; i < CHANGES; i++) {
        append_change(stream_shard(stream, 0), i);
        if (i % 100 == 99)
            assert_ok(cdc_flush(cdc, NULL, true, WAIT_MS));
    }
    cdc_stop(cdc);
    assert_ok(reload_state(&reload, "default", 1, second));
    assert_ok(state_cursor(second, &cursor));
    assert_int_equal(cursor, CHANGES);
    assert_ok(state_reader_open(io_posix(), path, &first));
    assert_ok(state_each_collection(first, same_as, second));
    unsigned outcomes = 0;
    for (int64_t lsn = 1; lsn < CHANGES; lsn++) { /* of what the log still has */
        bool wanted, found;
        assert_ok(state_was_skipped(first, lsn, &wanted));
        assert_ok(state_was_skipped(second, lsn, &found));
        assert_int_equal(found, wanted);
        outcomes += wanted;
    }
    assert_in_range(outcomes, 5, CHANGES);
    state_close(first);
    state_close(second);
    store_close(store);
    worker_pool_run(workers);
    log_close(log);
    worker_pool_free(workers);
    scratch_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_state_from_the_store_is_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
