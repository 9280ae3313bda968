/* The write path on a real directory: build, commit, read back, restart, dedupe, look up by time.
 */
#include <stdio.h>

#include "base/limits.h"
#include "log/log.h"
#include "tests/scratch.h"
#include "writer/builder.h"
#include "writer/key_index.h"
#include "writer/keys.h"
#include "writer/writer.h"

struct fixture {
    char dir[SCRATCH_BYTES];
    struct clock_manual clock;
    struct worker_pool *workers;
    struct writer *writer;
    struct log *log;
    struct stream *stream;
    struct shard *shard;
    uint64_t segment_bytes;
    int64_t commit_here_ns;
    bool may_wait;
};

static void fixture_open(struct fixture *f)
{
    struct writer_options wo = {.clock = &f->clock.base,
                                .commit_here_ns = f->commit_here_ns,
                                .max_pending = 100,
                                .max_pending_bytes = MIB(16),
                                .pressure_ms = 50,
                                .key_hours = 24,
                                .max_keys = 1000};
    f->writer = writer_new(&wo);
    struct log_options lo = {.io = io_posix(),
                             .clock = &f->clock.base,
                             .data_dir = f->dir,
                             .segment_bytes = f->segment_bytes,
                             .workers = f->workers,
                             .state = writer_state_ops(f->writer)};
    assert_ok(log_open(&lo, &f->log));
    writer_start(f->writer);
    f->stream = log_find_stream(f->log, "events", 6);
    if (f->stream == NULL)
        assert_ok(log_create_stream(f->log, "events", 1, &f->stream));
    f->shard = stream_shard(f->stream, 0);
}

static void fixture_close(struct fixture *f, bool abandon)
{
    writer_stop(f->writer);
    worker_pool_run(f->workers);
    (abandon ? log_abandon : log_close)(f->log);
    writer_free(f->writer);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    scratch_make(f->dir);
    clock_manual_init(&f->clock, INT64_C(1770000000000000));
    f->workers = worker_pool_new(0);
    f->segment_bytes = LIMIT_SEGMENT_MIN_BYTES;
    fixture_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    fixture_close(f, false);
    worker_pool_free(f->workers);
    scratch_remove(f->dir);
    free(f);
    return 0;
}

struct sent {
    struct write_batch batch;
    unsigned done;
};

static void sent_done(struct write_batch *b)
{
    CONTAINER_OF(b, struct sent, batch)->done++;
}

/** Writes `count` events numbered from `first` as one batch. */
static void send_events(struct fixture *f, struct sent *s, unsigned first, unsigned count,
                        struct key_slot *slot, struct slice key)
{
    struct builder *b = builder_new(BATCH_CODEC_LZ4);
    builder_stream(b);
    for (unsigned i = first; i < first + count; i++) {
        char value[200];
        int n = snprintf(value, sizeof(value), "{\"type\":\"t.e\",\"n\":%u,\"pad\":\"%0100u\"}", i,
                         i * 7919u);
        struct event_record rec = {.ts_ms = 1770000000000 + i,
                                   .value = {{value, 8}, {value + 8, (size_t)n - 8}},
                                   .type = SLICE("t.e")};
        assert_ok(builder_add(b, &rec));
    }
    if (key.data != NULL)
        assert_ok(builder_attach_key(b, key, count, 42));
    *s = (struct sent){0};
    s->batch.shard = f->shard;
    s->batch.on_done = sent_done;
    s->batch.may_wait = f->may_wait;
    s->batch.keys = slot;
    if (slot != NULL)
        slot->last_delta = count - 1; /* what the appender does */
    builder_seal(b, &s->batch.data, &s->batch.len, &s->batch.record_count);
    builder_free(b);
    assert_ok(writer_submit(f->writer, &s->batch));
}

static void commit(struct fixture *f, struct sent *s)
{
    writer_commit_pending(f->writer);
    assert_int_equal(s->done, 1);
    assert_ok(s->batch.err);
}

/** Reads everything back and checks that event n stands at offset n. */
static int64_t check_all(struct fixture *f)
{
    struct log_reader r;
    const uint8_t *batch;
    struct batch_header h;
    int64_t n = 0;
    assert_ok(log_reader_open(&r, f->shard, 0));
    err_t err;
    while ((err = log_reader_next(&r, &batch, &h)) == OK) {
        struct record_reader rr;
        struct record rec;
        assert_ok(record_reader_open(&rr, batch, batch_total_bytes(&h), MIB(16)));
        while ((err = record_reader_next(&rr, &rec)) == OK) {
            char wanted[200];
            int len =
                snprintf(wanted, sizeof(wanted), "{\"type\":\"t.e\",\"n\":%u,\"pad\":\"%0100u\"}",
                         (unsigned)n, (unsigned)n * 7919u);
            assert_int_equal(rec.offset, n);
            assert_int_equal(rec.timestamp_ms, 1770000000000 + n);
            assert_int_equal(rec.value.len, len);
            assert_memory_equal(rec.value.data, wanted, (size_t)len);
            assert_true(slice_equal(record_header_find(&rec, "type"), SLICE("t.e")));
            n++;
        }
        assert_int_equal(err, ERR_END);
        record_reader_close(&rr);
    }
    assert_int_equal(err, ERR_END);
    log_reader_close(&r);
    assert_int_equal(n, shard_high_watermark(f->shard));
    return n;
}

static void events_come_back_after_restart_and_rolls(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;
    for (unsigned round = 0; round < 60; round++) {
        struct sent s;
        unsigned count = round % 7 == 0 ? 1500 : round % 5 + 1;
        send_events(f, &s, n, count, NULL, (struct slice){NULL, 0});
        commit(f, &s);
        n += count;
        if (round % 10 == 9) {
            worker_pool_run(f->workers);
            assert_int_equal(check_all(f), n);
            fixture_close(f, round % 20 == 9);
            fixture_open(f);
            assert_int_equal(check_all(f), n);
        }
    }
    assert_true(shard_segment_count(f->shard) > 3);
    assert_int_equal(shard_status(f->shard), SHARD_OPEN);
}

static err_t count_entry(void *arg, const char *name UNUSED)
{
    ++*(unsigned *)arg;
    return OK;
}

static unsigned open_files(void)
{
    unsigned count = 0;
    assert_ok(io_list(io_posix(), "/proc/self/fd", count_entry, &count));
    return count;
}

static void sizes_are_told_without_opening_files(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < 10; round++) {
        struct sent s;
        send_events(f, &s, round * 1500, 1500, NULL, (struct slice){NULL, 0});
        commit(f, &s);
    }
    worker_pool_run(f->workers);
    uint64_t bytes = shard_size_bytes(f->shard);
    assert_true(shard_segment_count(f->shard) > 3 && bytes > 3 * KIB(32));
    fixture_close(f, false);
    fixture_open(f);
    unsigned before = open_files();
    assert_int_equal(shard_size_bytes(f->shard), bytes);
    assert_int_equal(open_files(), before);
    assert_int_equal(check_all(f), 15000);
    assert_int_equal(shard_size_bytes(f->shard), bytes);
}

static void slices_hold_whole_batches_within_bounds(void **state)
{
    struct fixture *f = *state;
    unsigned n = 0;
    for (unsigned round = 0; round < 40; round++) {
        struct sent s;
        send_events(f, &s, n, 100, NULL, (struct slice){NULL, 0});
        commit(f, &s);
        n += 100;
    }
    worker_pool_run(f->workers);
    for (int64_t offset = 0; offset < n; offset += 37) {
        static const size_t sizes[] = {1, 5000, 20000, MIB(1)};
        for (size_t k = 0; k < ARRAY_LEN(sizes); k++) {
            struct log_slice slice;
            assert_ok(shard_slice(f->shard, offset, sizes[k], &slice));
            CLEANUP(xfree_ptr) uint8_t *data = xmalloc(slice.len);
            assert_ok(log_slice_read(&slice, 0, data, slice.len));
            size_t at = 0, batches = 0;
            struct batch_header h;
            while (at < slice.len) {
                assert_ok(batch_check(data + at, slice.len - at, &h));
                if (at == 0)
                    assert_true(h.base_offset <= offset && batch_next_offset(&h) > offset);
                at += batch_total_bytes(&h);
                batches++;
            }
            assert_int_equal(at, slice.len);
            assert_true(slice.len <= sizes[k] || batches == 1);
            log_slice_release(&slice);
        }
    }
    struct log_slice slice;
    assert_ok(shard_slice(f->shard, n, 100, &slice));
    assert_int_equal(slice.len, 0);
    assert_int_equal(shard_slice(f->shard, n + 1, 100, &slice), ERR_OFFSET_OUT_OF_RANGE);
    assert_int_equal(shard_slice(f->shard, -1, 100, &slice), ERR_OFFSET_OUT_OF_RANGE);
}

static void times_are_found_by_record(void **state)
{
    struct fixture *f = *state;
    struct sent s;
    int64_t offset, ts;
    assert_ok(shard_offset_for_time(f->shard, 0, &offset, &ts));
    assert_int_equal(offset, -1);
    assert_ok(shard_max_timestamp(f->shard, &offset, &ts));
    assert_int_equal(offset, -1);
    unsigned n = 0;
    for (unsigned round = 0; round < 30; round++) {
        send_events(f, &s, n, 150, NULL, (struct slice){NULL, 0});
        commit(f, &s);
        n += 150;
        if (round == 15)
            worker_pool_run(f->workers);
    }
    for (unsigned want = 0; want < n; want += 61) {
        assert_ok(shard_offset_for_time(f->shard, 1770000000000 + want, &offset, &ts));
        assert_int_equal(offset, want);
        assert_int_equal(ts, 1770000000000 + want);
    }
    assert_ok(shard_offset_for_time(f->shard, 1770000000000 + n, &offset, &ts));
    assert_int_equal(offset, -1);
    assert_ok(shard_max_timestamp(f->shard, &offset, &ts));
    assert_int_equal(offset, n - 1);
}

struct waiting {
    struct key_waiter waiter;
    unsigned called;
    bool failed;
    struct key_figures figures;
};

static void waiter_gets_figures(struct key_waiter *w, const struct key_figures *figures)
{
    struct waiting *waiting = CONTAINER_OF(w, struct waiting, waiter);
    waiting->called++;
    waiting->failed = figures == NULL;
    if (figures != NULL)
        waiting->figures = *figures;
}

static void keys_dedupe_now_after_restart_and_after_a_crash(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_release) struct buf key = BUF_INIT;
    request_key_write(&key, KEY_KIND_BATCH, SLICE("default"), SLICE("order-1"));
    struct key_slot *slot = NULL;
    struct key_figures figures;
    struct waiting waiting = {.waiter.fn = waiter_gets_figures};
    struct sent s;
    send_events(f, &s, 0, 5, NULL, (struct slice){NULL, 0});
    commit(f, &s);
    assert_int_equal(
        key_begin(f->writer, f->stream, buf_slice(&key), 42, 3, &waiting.waiter, &slot, &figures),
        KEY_NEW);
    send_events(f, &s, 5, 3, slot, buf_slice(&key));
    struct key_slot *second = NULL;
    assert_int_equal(
        key_begin(f->writer, f->stream, buf_slice(&key), 42, 3, &waiting.waiter, &second, &figures),
        KEY_IN_FLIGHT);
    commit(f, &s);
    assert_int_equal(waiting.called, 1);
    assert_false(waiting.failed);
    assert_int_equal(waiting.figures.lsn, 7);
    for (unsigned restart = 0; restart < 3; restart++) {
        assert_int_equal(key_begin(f->writer, f->stream, buf_slice(&key), 43, 3, &waiting.waiter,
                                   &second, &figures),
                         KEY_DONE);
        assert_int_equal(figures.lsn, 7);
        assert_int_equal(figures.count, 3);
        assert_int_equal(figures.body_hash, 42);
        fixture_close(f, restart % 2 == 0);
        fixture_open(f);
    }
    assert_int_equal(check_all(f), 8);
    clock_manual_advance_us(&f->clock, INT64_C(25) * 3600 * 1000000);
    assert_int_equal(
        key_begin(f->writer, f->stream, buf_slice(&key), 43, 3, &waiting.waiter, &slot, &figures),
        KEY_NEW); /* forgotten */
    key_abandon(slot);
}

static void a_full_queue_refuses_and_keeps_nothing(void **state)
{
    struct fixture *f = *state;
    static struct sent sent[200];
    unsigned taken = 0;
    for (; taken < 101; taken++)
        send_events(f, &sent[taken], taken, 1, NULL, (struct slice){NULL, 0});
    clock_manual_advance_us(&f->clock, 60000);
    assert_int_equal(writer_admit(f->writer, f->shard), ERR_BUFFER_FULL);
    struct sent refused = {.batch = {.shard = f->shard, .on_done = sent_done}};
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    assert_ok(builder_add(b, &(struct event_record){.value = {SLICE("{}")}}));
    builder_seal(b, &refused.batch.data, &refused.batch.len, &refused.batch.record_count);
    builder_free(b);
    assert_int_equal(writer_submit(f->writer, &refused.batch), ERR_BUFFER_FULL);
    assert_int_equal(refused.done, 0);
    free(refused.batch.data);
    writer_commit_pending(f->writer);
    assert_int_equal(check_all(f), taken);
    assert_ok(writer_admit(f->writer, f->shard));
}

/* A lone small batch is durable when writer_submit returns; one that finds others waiting queues.
 */
static void a_submitter_that_may_wait_commits_itself(void **state)
{
    struct fixture *f = *state;
    fixture_close(f, false);
    f->commit_here_ns = INT64_C(1000000000);
    fixture_open(f);
    static struct sent sent[3];
    const struct slice no_key = {NULL, 0};
    f->may_wait = true;
    send_events(f, &sent[0], 0, 5, NULL, no_key);
    assert_int_equal(sent[0].done, 1);
    assert_int_equal(sent[0].batch.base_offset, 0);
    assert_int_equal(check_all(f), 5);
    f->may_wait = false;
    send_events(f, &sent[1], 5, 1, NULL, no_key);
    f->may_wait = true;
    send_events(f, &sent[2], 6, 1, NULL, no_key);
    assert_int_equal(sent[1].done + sent[2].done, 0);
    assert_int_equal(writer_commit_pending(f->writer), 1);
    assert_int_equal(sent[1].done + sent[2].done, 2);
    assert_int_equal(check_all(f), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_come_back_after_restart_and_rolls, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes_are_told_without_opening_files, setup, teardown),
        cmocka_unit_test_setup_teardown(slices_hold_whole_batches_within_bounds, setup, teardown),
        cmocka_unit_test_setup_teardown(times_are_found_by_record, setup, teardown),
        cmocka_unit_test_setup_teardown(keys_dedupe_now_after_restart_and_after_a_crash, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses_and_keeps_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_submitter_that_may_wait_commits_itself, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
