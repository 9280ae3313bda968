/* When a shard's next segment is prepared as zeros, and when the shard moves there. */

#include "log/batch.h"
#include "log/log.h"
#include "tests/scratch.h"

#define RECORD_BYTES KIB(256)
#define STEPS_TO_BUSY 4 /* so many appends make the 1 MiB that counts */

struct fixture {
    char dir[SCRATCH_BYTES];
    struct clock_manual clock;
    struct worker_pool *workers;
    struct log *log;
    struct shard *shard;
    uint8_t *batch;
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    scratch_make(f->dir);
    clock_manual_init(&f->clock, INT64_C(1770000000000000));
    f->workers = worker_pool_new(0);
    struct log_options options = {.io = io_posix(),
                                  .clock = &f->clock.base,
                                  .data_dir = f->dir,
                                  .segment_bytes = MIB(4),
                                  .workers = f->workers};
    struct stream *stream;
    assert_ok(log_open(&options, &f->log));
    assert_ok(log_create_stream(f->log, "events", 1, &stream));
    f->shard = stream_shard(stream, 0);
    f->batch = xcalloc(1, BATCH_HEADER_BYTES + RECORD_BYTES);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    worker_pool_run(f->workers);
    log_close(f->log);
    worker_pool_free(f->workers);
    scratch_remove(f->dir);
    free(f->batch);
    free(f);
    return 0;
}

/** Appends one batch of 256 KiB, which takes `us` of the clock's time. */
static void append(struct fixture *f, int64_t us)
{
    size_t len = BATCH_HEADER_BYTES + RECORD_BYTES;
    struct batch_header h = {.length = (int32_t)(len - BATCH_LENGTH_PREFIX),
                             .magic = 2,
                             .producer_id = -1,
                             .producer_epoch = -1,
                             .base_sequence = -1,
                             .record_count = 1};
    batch_header_write(&h, f->batch);
    batch_write_crc(f->batch, len);
    struct append_batch a = {f->batch, (uint32_t)len, false, -1};
    clock_manual_advance_us(&f->clock, us);
    assert_ok(shard_append(f->shard, &a, 1));
    shard_upkeep(f->shard);
}

static void a_busy_shard_leaves_its_plain_segment_for_a_prepared_one(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < STEPS_TO_BUSY; i++)
        append(f, 1000);
    assert_int_equal(shard_segment_count(f->shard), 1);
    unsigned stretches = 0;
    while (shard_segment_count(f->shard) == 1) {
        unsigned ran = worker_pool_run(f->workers); /* zeroes a stretch of the next segment */
        assert_in_range(ran, 0, 1);
        stretches += ran;
        append(f, 1000);
    }
    assert_int_equal(stretches, 4); /* of 1 MiB, as the appends went on … */
    /* … and ahead of them: the 12 appends that were left were not awaited. */
    assert_in_range(shard_high_watermark(f->shard), STEPS_TO_BUSY + 4, STEPS_TO_BUSY + 6);
}

static void a_prepared_segment_is_used_up_before_the_next(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < STEPS_TO_BUSY; i++)
        append(f, 1000);
    for (int i = 0; i < 12; i++) { /* 3 of 4 MiB; the next one is ready since the half */
        worker_pool_run(f->workers);
        append(f, 1000);
    }
    assert_int_equal(shard_segment_count(f->shard), 2);
}

static void a_quiet_shard_prepares_nothing(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 2 * STEPS_TO_BUSY; i++)
        append(f, 500000);
    assert_int_equal(worker_pool_run(f->workers), 0);
    assert_int_equal(shard_segment_count(f->shard), 1);
}

static void a_quiet_shard_that_becomes_busy_prepares(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < STEPS_TO_BUSY; i++)
        append(f, 500000);
    for (int i = 0; i < STEPS_TO_BUSY; i++)
        append(f, 1000);
    assert_int_equal(worker_pool_run(f->workers), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_busy_shard_leaves_its_plain_segment_for_a_prepared_one,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_prepared_segment_is_used_up_before_the_next, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_quiet_shard_prepares_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_quiet_shard_that_becomes_busy_prepares, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
