/* Writes past the page cache, mixed with others, read back while they go on. */
#include <pthread.h>
#include <stdatomic.h>

#include "base/io.h"
#include "base/metrics.h"
#include "tests/scratch.h"

#define FILE_BYTES MIB(48)
#define LARGE_BYTES MIB(1)
#define AHEAD_BYTES MIB(16) /* zeros that io.h allows behind the bytes */

struct fixture {
    char dir[SCRATCH_BYTES];
    char *path;
    struct io_file *file;
    uint8_t *data;           /* what the file is to hold */
    _Atomic uint64_t synced; /* so much of it does */
    _Atomic bool done;
    uint64_t zeroed;        /* the first bytes that were written as zeros */
    uint64_t looks, faults; /* the reader's */
};

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    scratch_make(f->dir);
    f->path = xasprintf("%s/file", f->dir);
    f->data = xmalloc(FILE_BYTES);
    for (size_t i = 0; i < FILE_BYTES; i++)
        f->data[i] = (uint8_t)(i * 2654435761u >> 13) | 1; /* no zeros */
    assert_ok(io_open(io_posix_dear(), f->path, IO_WRITE | IO_CREATE, &f->file));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    io_file_close(f->file);
    scratch_remove(f->dir);
    free(f->path);
    free(f->data);
    free(f);
    return 0;
}

/** Appends `len` bytes in buffers of uneven lengths. */
static void append(struct fixture *f, size_t len, bool unread)
{
    static struct iovec iov[4096];
    uint64_t at = atomic_load(&f->synced);
    int count = 0;
    for (size_t done = 0; done < len; count++) {
        size_t piece = MIN(len - done, (size_t)(count % 5 == 0 ? 0 : 4099 + 131 * count));
        iov[count] = (struct iovec){f->data + at + done, piece};
        done += piece;
    }
    assert_ok(unread ? io_file_pwritev_unread(f->file, iov, count, at)
                     : io_file_pwritev(f->file, iov, count, at));
    assert_ok(io_file_sync(f->file));
    atomic_store(&f->synced, at + len);
}

static void assert_holds(struct fixture *f)
{
    uint64_t size, end = atomic_load(&f->synced);
    assert_ok(io_file_size(f->file, &size));
    assert_in_range(size, MAX(end, f->zeroed), MAX(end, f->zeroed) + AHEAD_BYTES);
    CLEANUP(xfree_ptr) uint8_t *back = xmalloc((size_t)size);
    assert_ok(io_file_pread_all(f->file, back, (size_t)size, 0));
    assert_memory_equal(back, f->data, (size_t)end);
    for (uint64_t i = end; i < size; i++)
        assert_int_equal(back[i], 0);
}

/** Reads what is synced, again and again, most of it at the end. */
static void *read_along(void *arg)
{
    struct fixture *f = arg;
    CLEANUP(xfree_ptr) uint8_t *back = xmalloc(KIB(64));
    while (!atomic_load(&f->done)) {
        uint64_t end = atomic_load(&f->synced);
        uint64_t at = end > KIB(64) ? end - KIB(64) : 0;
        size_t len = (size_t)(end - at);
        f->faults +=
            io_file_pread_all(f->file, back, len, at) != OK || memcmp(back, f->data + at, len) != 0;
        f->looks++;
    }
    return NULL;
}

static void mixed_writes_are_whole_for_readers_and_in_the_end(void **state)
{
    struct fixture *f = *state;
    static const size_t lengths[] = {LARGE_BYTES + 1,
                                     7,
                                     LARGE_BYTES * 3 + 4095,
                                     4096,
                                     100003,
                                     LARGE_BYTES,
                                     1,
                                     MIB(2),
                                     LARGE_BYTES + 4096 * 3,
                                     4095,
                                     MIB(4)};
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, read_along, f), 0);
    for (size_t i = 0; i < 2 * ARRAY_LEN(lengths); i++)
        append(f, lengths[i % ARRAY_LEN(lengths)], i % 6 != 4);
    atomic_store(&f->done, true);
    pthread_join(reader, NULL);
    assert_int_equal(f->faults, 0);
    assert_true(f->looks > 0);
    assert_holds(f);
}

/* The zeros ahead may be cut off in between, as after a failed append. */
static void a_file_that_was_cut_goes_on(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 4; i++) {
        append(f, MIB(2) + 77, true);
        assert_ok(io_file_truncate(f->file, atomic_load(&f->synced)));
        assert_holds(f);
    }
}

/* Another file under the name is not written to. */
static void the_open_file_is_written_not_its_name(void **state)
{
    struct fixture *f = *state;
    append(f, MIB(2) + 5, true);
    CLEANUP(xfree_ptr) char *moved = xasprintf("%s/moved", f->dir);
    assert_ok(io_rename(io_posix(), f->path, moved));
    assert_ok(io_replace(io_posix(), f->path, "other", 5));
    append(f, MIB(2), true);
    assert_holds(f);
    CLEANUP(xfree_ptr) char *other = NULL;
    size_t len;
    assert_ok(io_read_file(io_posix(), f->path, 100, &other, &len));
    assert_string_equal(other, "other");
}

/* Only large ones that nobody reads go past the cache; where the file system allows it at all. */
static void small_and_read_writes_use_the_page_cache(void **state)
{
    struct fixture *f = *state;
    int64_t before = metric_get(M_direct_write_bytes_total);
    append(f, LARGE_BYTES - 1, true);
    append(f, MIB(3), false);
    assert_int_equal(metric_get(M_direct_write_bytes_total), before);
    append(f, MIB(3), true);
    int64_t direct = metric_get(M_direct_write_bytes_total) - before;
    assert_true(direct == 0 || direct == MIB(3));
    assert_holds(f);
}

/* As a log does in a prepared segment: each write ends where it may, or with its page. */
static void writes_among_zeros_are_whole(void **state)
{
    struct fixture *f = *state;
    static const size_t lengths[] = {1, 4095, 4096, 100003, 7, 12288, 65537, 3};
    for (uint64_t at = 0; at < MIB(4); at += IO_ZERO_MAX)
        assert_ok(io_file_zero(f->file, at, IO_ZERO_MAX));
    assert_ok(io_file_zero(f->file, MIB(4), 5000));
    assert_ok(io_file_zero(f->file, MIB(4) + 5000, 100));
    assert_ok(io_file_sync(f->file));
    f->zeroed = MIB(4) + 5100;
    assert_holds(f); /* nothing but zeros */
    for (size_t i = 0; atomic_load(&f->synced) < MIB(3); i++) {
        append(f, lengths[i % ARRAY_LEN(lengths)], false);
        if (i % 3 == 0)
            append(f, (size_t)(-atomic_load(&f->synced) % 4096), false);
        if (i % 5 == 0)
            io_file_drop_cache(f->file, atomic_load(&f->synced));
    }
    assert_holds(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mixed_writes_are_whole_for_readers_and_in_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_file_that_was_cut_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(the_open_file_is_written_not_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(small_and_read_writes_use_the_page_cache, setup, teardown),
        cmocka_unit_test_setup_teardown(writes_among_zeros_are_whole, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
