/* When a shard's next segment is prepared as zeros, and when the shard moves there. */

#include "base/metrics.h"
#include "tests/unit/log/fixture.h"

#define RECORD_BYTES KIB(256)
#define STEPS_TO_BUSY 4 /* so many appends make the 1 MiB that counts */

static int setup(void **state)
{
    *state = fixture_new(io_posix_cheap(), MIB(4));
    return 0;
}

/** Zeros go past the page cache, where the file system allows it. */
static int setup_dear(void **state)
{
    *state = fixture_new(io_posix_dear(), MIB(4));
    return 0;
}

/** Appends one batch of 256 KiB, which takes `us` of the clock's time. */
static void append(struct fixture *f, int64_t us)
{
    fixture_make_batch(f, RECORD_BYTES, 0);
    clock_manual_advance_us(&f->clock, us);
    fixture_append(f);
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

/* Groups end anywhere in a page; what stands behind them must still be zeros. */
static void a_crash_in_a_prepared_segment_cuts_nothing(void **state)
{
    struct fixture *f = *state;
    while (shard_segment_count(f->shard) < 3) {
        append(f, 1000);
        worker_pool_run(f->workers);
    }
    for (int i = 0; i < 5; i++) {
        fixture_make_batch(f, 1000 + 777 * (size_t)i, 1);
        fixture_append(f);
    }
    int64_t end = shard_high_watermark(f->shard);
    int64_t cut = metric_get(M_recovery_cut_bytes_total);
    worker_pool_run(f->workers);
    log_abandon(f->log);
    fixture_open(f, io_posix_dear(), MIB(4));
    assert_int_equal(metric_get(M_recovery_cut_bytes_total), cut);
    assert_int_equal(shard_high_watermark(f->shard), end);

    struct log_reader r;
    const uint8_t *data;
    struct batch_header h;
    assert_ok(log_reader_open(&r, f->shard, 0));
    for (int64_t i = 0; i < end; i++)
        assert_ok(log_reader_next(&r, &data, &h)); /* its CRC is right */
    log_reader_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_busy_shard_leaves_its_plain_segment_for_a_prepared_one,
                                        setup, fixture_free),
        cmocka_unit_test_setup_teardown(a_prepared_segment_is_used_up_before_the_next, setup,
                                        fixture_free),
        cmocka_unit_test_setup_teardown(a_quiet_shard_prepares_nothing, setup, fixture_free),
        cmocka_unit_test_setup_teardown(a_quiet_shard_that_becomes_busy_prepares, setup,
                                        fixture_free),
        cmocka_unit_test_setup_teardown(a_crash_in_a_prepared_segment_cuts_nothing, setup_dear,
                                        fixture_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
