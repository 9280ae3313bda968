/* What a shard leaves in the page cache where that is dear. */
#include <fcntl.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/metrics.h"
#include "tests/cached.h"
#include "tests/unit/log/fixture.h"

#define RECORD_BYTES 100000 /* too small to go past the cache */
#define SEGMENT_BYTES MIB(4)
#define WINDOW_BYTES (SEGMENT_BYTES / 4)
#define STEP_BYTES (WINDOW_BYTES / 8)
#define GROUPS 100 /* several segments */
#define READER_GONE_US 10000001
#define TMPFS_MAGIC 0x01021994

static int setup(void **state)
{
    *state = fixture_new(io_posix_dear(), SEGMENT_BYTES);
    return 0;
}

/** Appends groups; returns how many bytes were dropped meanwhile. */
static uint64_t append(struct fixture *f, unsigned count)
{
    int64_t before = metric_get(M_page_cache_dropped_bytes_total);
    for (unsigned i = 0; i < count; i++) {
        fixture_make_batch(f, RECORD_BYTES, 'a' + (int)f->appended % 26);
        fixture_append(f);
        shard_upkeep(f->shard);
        worker_pool_run(f->workers);
    }
    return (uint64_t)(metric_get(M_page_cache_dropped_bytes_total) - before);
}

static void read_at(struct fixture *f, int64_t offset)
{
    struct log_reader r;
    const uint8_t *data;
    struct batch_header h;
    assert_ok(log_reader_open(&r, f->shard, offset));
    assert_ok(log_reader_next(&r, &data, &h));
    assert_int_equal(h.base_offset, offset);
    assert_int_equal(data[BATCH_HEADER_BYTES], 'a' + (int)offset % 26);
    log_reader_close(&r);
}

/** Bytes of a log file that are in the page cache. */
static uint64_t resident(const char *path)
{
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    uint64_t sum = cached_bytes(fd, 0, (uint64_t)lseek(fd, 0, SEEK_END));
    close(fd);
    return sum;
}

static void a_window_stays(void **state)
{
    struct fixture *f = *state;
    struct statfs fs;
    assert_int_equal(append(f, WINDOW_BYTES / RECORD_BYTES / 2), 0);
    uint64_t dropped = append(f, GROUPS);
    assert_true(shard_segment_count(f->shard) > 3);
    uint64_t size = shard_size_bytes(f->shard);
    uint64_t kept = size - dropped;
    assert_in_range(kept, WINDOW_BYTES, WINDOW_BYTES + STEP_BYTES + 2 * RECORD_BYTES);

    CLEANUP(xfree_ptr) char *first = xasprintf("%s/log/events/0/%020d.log", f->dir, 0);
    assert_int_equal(statfs(f->dir, &fs), 0);
    if (fs.f_type != TMPFS_MAGIC) /* which is the cache */
        assert_int_equal(resident(first), 0);
    for (unsigned i = 0; i < f->appended; i++)
        read_at(f, i);
}

static void who_reads_behind_it_stops_that(void **state)
{
    struct fixture *f = *state;
    append(f, GROUPS);
    read_at(f, f->appended - 1);
    assert_true(append(f, GROUPS) > 0);
    read_at(f, 1);
    assert_int_equal(append(f, GROUPS), 0);
    read_at(f, f->appended - 1);
    assert_int_equal(append(f, GROUPS), 0);
    clock_manual_advance_us(&f->clock, READER_GONE_US);
    assert_true(append(f, GROUPS) >
                (uint64_t)GROUPS * RECORD_BYTES * 3 / 2); /* what it left as well */
}

/* He was behind the window when he came, and is still, but past what had been dropped by then. */
static void a_reader_who_goes_on_behind_it_stops_that(void **state)
{
    struct fixture *f = *state;
    append(f, GROUPS);
    read_at(f, 1);
    append(f, GROUPS);
    for (int i = 0; i < 3; i++) {
        clock_manual_advance_us(&f->clock, READER_GONE_US * 3 / 4);
        read_at(f, f->appended - GROUPS / 2);
        assert_int_equal(append(f, GROUPS / 10), 0);
    }
}

static void a_slice_that_is_still_sent_keeps_its_segment(void **state)
{
    struct fixture *f = *state;
    struct log_slice slice;
    append(f, 5);
    assert_ok(shard_slice(f->shard, 0, 2 * RECORD_BYTES, &slice));
    struct log_slice again = log_slice_ref(&slice);
    assert_int_equal(append(f, GROUPS), 0);
    log_slice_release(&slice);
    assert_int_equal(append(f, 5), 0);
    log_slice_release(&again);
    assert_true(append(f, 5) > (uint64_t)GROUPS * RECORD_BYTES / 2);
}

static void old_segments_are_left_alone(void **state)
{
    struct fixture *f = *state;
    append(f, GROUPS);
    worker_pool_run(f->workers);
    log_close(f->log);
    fixture_open(f, io_posix_dear(), SEGMENT_BYTES);
    for (unsigned i = 0; i < f->appended; i++)
        read_at(f, i); /* into the cache */
    clock_manual_advance_us(&f->clock, READER_GONE_US);
    uint64_t dropped = append(f, GROUPS);
    assert_in_range(dropped, 1,
                    (uint64_t)(GROUPS + 1) * (RECORD_BYTES + BATCH_HEADER_BYTES) + SEGMENT_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_window_stays, setup, fixture_free),
        cmocka_unit_test_setup_teardown(who_reads_behind_it_stops_that, setup, fixture_free),
        cmocka_unit_test_setup_teardown(a_reader_who_goes_on_behind_it_stops_that, setup,
                                        fixture_free),
        cmocka_unit_test_setup_teardown(a_slice_that_is_still_sent_keeps_its_segment, setup,
                                        fixture_free),
        cmocka_unit_test_setup_teardown(old_segments_are_left_alone, setup, fixture_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
