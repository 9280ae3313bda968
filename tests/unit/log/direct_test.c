/* Large groups past the page cache: when, and what a restart finds. */
#include <limits.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/metrics.h"
#include "tests/unit/log/fixture.h"

#define RECORD_BYTES (MIB(1) + 12345)
#define SEGMENT_BYTES MIB(6)
#define GROUPS 9 /* more than one segment */
#define KILLS 12
#define READER_GONE_US 10000001

static void open_log(struct fixture *f)
{
    fixture_open(f, io_posix_dear(), SEGMENT_BYTES);
}

static int setup(void **state)
{
    *state = fixture_new(io_posix_dear(), SEGMENT_BYTES);
    return 0;
}

/** Group i has a byte of its own. */
static void make_batch(struct fixture *f, unsigned i)
{
    fixture_make_batch(f, RECORD_BYTES, 'a' + (int)i);
}

/** Appends a group; returns how much of it went past the page cache. */
static int64_t append(struct fixture *f)
{
    int64_t before = metric_get(M_direct_write_bytes_total);
    make_batch(f, f->appended);
    fixture_append(f);
    return metric_get(M_direct_write_bytes_total) - before;
}

static void assert_all_there(struct fixture *f)
{
    struct log_reader r;
    assert_int_equal(shard_high_watermark(f->shard), f->appended);
    assert_ok(log_reader_open(&r, f->shard, 0));
    for (unsigned i = 0; i < f->appended; i++) {
        const uint8_t *data;
        struct batch_header h;
        make_batch(f, i);
        assert_ok(log_reader_next(&r, &data, &h));
        assert_int_equal(h.base_offset, i);
        assert_memory_equal(data + BATCH_HEADER_BYTES, f->batch.data + BATCH_HEADER_BYTES,
                            RECORD_BYTES);
    }
    const uint8_t *none;
    struct batch_header h;
    assert_int_equal(log_reader_next(&r, &none, &h), ERR_END);
    log_reader_close(&r);
}

/** Whether this file system lets anything past the cache; the rest of a test holds anyway. */
static bool goes_direct(struct fixture *f)
{
    return append(f) > 0;
}

static void readers_bring_the_page_cache_back(void **state)
{
    struct fixture *f = *state;
    bool direct = goes_direct(f);
    assert_all_there(f); /* reads */
    assert_int_equal(append(f), 0);
    clock_manual_advance_us(&f->clock, READER_GONE_US);
    assert_int_equal(append(f) > 0, direct);
    assert_all_there(f);
}

static void nothing(struct shard_waiter *w)
{
    (void)w;
}

static void who_waits_reads(void **state)
{
    struct fixture *f = *state;
    bool direct = goes_direct(f);
    struct shard_waiter w = {.fn = nothing};
    assert_true(shard_wait(f->shard, shard_high_watermark(f->shard), &w));
    assert_int_equal(append(f), 0);
    assert_int_equal(append(f) > 0, direct); /* it was told and has not come back */
}

static void a_restart_finds_all_and_no_zeros(void **state)
{
    struct fixture *f = *state;
    while (f->appended < GROUPS)
        append(f);
    assert_true(shard_segment_count(f->shard) > 1);
    uint64_t bytes = shard_size_bytes(f->shard);
    worker_pool_run(f->workers);
    log_close(f->log);
    open_log(f);
    assert_int_equal(shard_size_bytes(f->shard), bytes);
    assert_all_there(f);
}

/* As after a kill -9: the zeros ahead are still there. */
static void a_crash_leaves_all_readable(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++)
            append(f);
        worker_pool_run(f->workers);
        log_abandon(f->log);
        open_log(f);
        assert_int_equal(shard_status(f->shard), SHARD_OPEN);
        assert_int_equal(shard_valid_cuts(f->shard), 0);
        assert_all_there(f);
        clock_manual_advance_us(&f->clock, READER_GONE_US);
    }
}

/** A process that appends until it is killed; writes a 'b' before each group, an 'a' behind it. */
static pid_t start_appender(struct fixture *f, int *ret_acknowledged)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        setenv("CMOCKA_TEST_ABORT", "1", 1); /* a failed check ends this process, no more */
        open_log(f);
        for (;;) {
            make_batch(f, f->appended);
            assert_int_equal(write(ends[1], "b", 1), 1);
            fixture_append(f);
            assert_int_equal(write(ends[1], "a", 1), 1);
            worker_pool_run(f->workers); /* seals */
        }
    }
    close(ends[1]);
    *ret_acknowledged = ends[0];
    return child;
}

/** Reads on until so many groups are acknowledged and the next has begun, or to the end; returns
 * how many are. */
static unsigned follow(int fd, unsigned at_most)
{
    unsigned n = 0;
    char mark = 'a';
    while ((n < at_most || mark == 'a') && read(fd, &mark, 1) == 1)
        n += mark == 'a';
    return n;
}

static void kill_9_loses_nothing_acknowledged(void **state)
{
    struct fixture *f = *state;
    for (unsigned round = 0; round < KILLS; round++) {
        int acknowledged, status;
        worker_pool_run(f->workers);
        log_close(f->log);
        pid_t child = start_appender(f, &acknowledged);
        unsigned seen = follow(acknowledged, 1 + round % GROUPS);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        seen += follow(acknowledged, UINT_MAX);
        close(acknowledged);
        open_log(f);
        assert_int_equal(shard_status(f->shard), SHARD_OPEN);
        assert_in_range(shard_high_watermark(f->shard), f->appended + seen,
                        f->appended + seen + 1); /* the last may be there without its byte */
        f->appended = (unsigned)shard_high_watermark(f->shard);
        assert_all_there(f);
        clock_manual_advance_us(&f->clock, READER_GONE_US);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(readers_bring_the_page_cache_back, setup, fixture_free),
        cmocka_unit_test_setup_teardown(who_waits_reads, setup, fixture_free),
        cmocka_unit_test_setup_teardown(a_restart_finds_all_and_no_zeros, setup, fixture_free),
        cmocka_unit_test_setup_teardown(a_crash_leaves_all_readable, setup, fixture_free),
        cmocka_unit_test_setup_teardown(kill_9_loses_nothing_acknowledged, setup, fixture_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
