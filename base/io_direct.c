/*
 * base/io_direct.c: writing past the page cache.
 *
 * O_DIRECT (open(2)) takes whole blocks from memory that is aligned to them. So bytes that are not
 * are gathered in one aligned buffer, written whenever it is full, with zeros behind the last ones.
 * The first block begins where the file's bytes end: no block that holds some is written directly,
 * and a failure leaves those where they are.
 *
 * A write behind the end of a file makes it longer, under a lock and with a change of its inode
 * each time; so room for several is allocated at once. The kernel keeps the page cache in step: it
 * writes out and forgets the pages of the blocks before and after (filemap.c,
 * kiocb_invalidate_pages), so readers see the new bytes.
 */
#include "base/io_direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"

#define BLOCK_BYTES IO_DIRECT_BLOCK_BYTES
#define BUFFER_BYTES MIB(1)
#define AHEAD_BYTES MIB(16)
#define FREE_BYTES MIB(1024) /* with less on the device nothing is allocated ahead */

/* One buffer is kept for the next write: its pages are in use, which new ones are not. */
static _Atomic(char *) spare;

static char *take_buffer(void)
{
    char *buffer = atomic_exchange(&spare, NULL);
    if (buffer == NULL)
        buffer = aligned_alloc(BLOCK_BYTES, BUFFER_BYTES);
    return buffer;
}

static void give_buffer(char *buffer)
{
    free(atomic_exchange(&spare, buffer));
}

static uint64_t block_up(uint64_t at)
{
    return (at + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

/** A descriptor of its own, because O_DIRECT would hold for `fd`'s readers too; -1 where there is
 * none, or where another file has that name by now. */
static int open_direct(const char *path, int fd)
{
    struct stat ours, theirs;
    int direct = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
    if (direct < 0)
        return -1;
    if (fstat(fd, &ours) == 0 && fstat(direct, &theirs) == 0 && ours.st_dev == theirs.st_dev &&
        ours.st_ino == theirs.st_ino)
        return direct;
    close(direct);
    return -1;
}

/** Makes the blocks of [offset, end) lie within the file; false and no change where they do not. */
static bool make_room(const char *path, int fd, uint64_t offset, uint64_t end)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    if ((uint64_t)st.st_size >= block_up(end))
        return true;
    uint64_t until = block_up(end) + AHEAD_BYTES - BLOCK_BYTES, free_bytes = 0;
    if (io_free_bytes(io_posix(), path, &free_bytes) != OK || free_bytes < FREE_BYTES)
        return false;
    if (fallocate(fd, 0, (off_t)offset, (off_t)(until - offset)) == 0)
        return true;
    /* It may have got some way: that room would be kept from others. */
    (void)!ftruncate(fd, st.st_size);
    return false;
}

static err_t write_blocks(int direct, const char *path, const char *data, size_t len, uint64_t at)
{
    ssize_t n;
    do
        n = pwrite(direct, data, len, (off_t)at);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)len)
        return OK;
    if (n >= 0 || errno == EINVAL || errno == EOPNOTSUPP || errno == ENOSPC || errno == EDQUOT)
        return ERR_AGAIN;
    return err_fail_errno(ERR_IO, "cannot write %s at byte %llu", path, (unsigned long long)at);
}

/** Fills `buffer` and writes it until all bytes behind the first `skip` are through. */
static err_t write_gathered(int direct, const char *path, const struct iovec *iov, int count,
                            size_t skip, char *buffer, uint64_t at)
{
    size_t fill = 0;
    for (; skip >= iov->iov_len; iov++, count--)
        skip -= iov->iov_len;
    while (count > 0) {
        size_t len = MIN(iov->iov_len - skip, BUFFER_BYTES - fill);
        if (len > 0)
            memcpy(buffer + fill, (const char *)iov->iov_base + skip, len);
        fill += len;
        skip += len;
        if (skip == iov->iov_len) {
            iov++;
            count--;
            skip = 0;
        }
        if (fill < BUFFER_BYTES && count > 0)
            continue;
        size_t whole = (size_t)block_up(fill);
        memset(buffer + fill, 0, whole - fill);
        TRY(write_blocks(direct, path, buffer, whole, at));
        at += whole;
        fill = 0;
    }
    return OK;
}

/** Whole blocks in aligned memory, as zeros are, go from where they lie; all else is gathered. */
static err_t write_through(int direct, const char *path, const struct iovec *iov, int count,
                           size_t skip, uint64_t at)
{
    if (count == 1) {
        const char *first = (const char *)iov->iov_base + skip;
        size_t len = iov->iov_len - skip;
        if ((uintptr_t)first % BLOCK_BYTES == 0 && len % BLOCK_BYTES == 0)
            return write_blocks(direct, path, first, len, at);
    }
    char *buffer = take_buffer();
    if (buffer == NULL)
        return ERR_AGAIN;
    err_t err = write_gathered(direct, path, iov, count, skip, buffer, at);
    give_buffer(buffer);
    return err;
}

err_t io_direct_write(const char *path, int fd, const struct iovec *iov, int count, size_t skip,
                      uint64_t offset)
{
    uint64_t end = offset - skip;
    for (int i = 0; i < count; i++)
        end += iov[i].iov_len;
    ASSERT(offset % BLOCK_BYTES == 0 && offset < end);
    int direct = open_direct(path, fd);
    err_t err = ERR_AGAIN;
    if (direct >= 0 && make_room(path, fd, offset, end))
        err = write_through(direct, path, iov, count, skip, offset);
    if (direct >= 0)
        close(direct);
    return err;
}
