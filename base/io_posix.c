/*
 * base/io_posix.c: struct io on the machine's file system. Interrupted calls are repeated, short
 * writes continued; descriptors are close-on-exec.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/io_direct.h"
#include "base/metrics.h"
#include "base/page_cost.h"

#define PAGE_BYTES 4096u
#define WRITE_PIECE_BYTES KIB(512) /* 0.1 to 1.3 ms of copying, 0.3 ms of a device */
#define WRITE_PIECE_IOVS 1024      /* IOV_MAX */
#define LARGE_WRITE_BYTES (2 * WRITE_PIECE_BYTES)

struct posix_file {
    struct io_file base;
    int fd;
    uint64_t end; /* of a file open for writing: behind it writes need new pages */
    struct io *io;
    bool not_direct; /* a write past the page cache was refused */
};

static struct posix_file *posix_file_of(struct io_file *file)
{
    return CONTAINER_OF(file, struct posix_file, base);
}

static const struct io_ops posix_ops;

static struct io posix = {&posix_ops};
static struct io posix_dear = {&posix_ops};
static struct io posix_cheap = {&posix_ops};

static err_t posix_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file)
{
    int mode = O_CLOEXEC | ((flags & IO_WRITE) ? O_RDWR : O_RDONLY);
    if (flags & IO_CREATE)
        mode |= O_CREAT;
    if (flags & IO_EXCL)
        mode |= O_EXCL;
    if (flags & IO_TRUNCATE)
        mode |= O_TRUNC;
    int fd = open(path, mode, 0644);
    if (fd < 0) {
        if (errno == ENOENT && !(flags & IO_CREATE))
            return err_fail(ERR_NOT_FOUND, "%s does not exist", path);
        if (errno == EEXIST)
            return err_fail(ERR_EXISTS, "%s already exists", path);
        return err_fail_errno(ERR_IO, "cannot open %s", path);
    }
    struct stat st = {0};
    if ((flags & IO_WRITE) && fstat(fd, &st) != 0) {
        err_t err = err_fail_errno(ERR_IO, "cannot stat %s", path);
        close(fd);
        return err;
    }
    struct posix_file *file = xmalloc(sizeof(*file));
    *file = (struct posix_file){
        .base = {&posix_ops, xstrdup(path)}, .fd = fd, .end = (uint64_t)st.st_size, .io = io};
    *ret_file = &file->base;
    return OK;
}

static void posix_close(struct io_file *base)
{
    struct posix_file *file = posix_file_of(base);
    close(file->fd);
    free(file->base.path);
    free(file);
}

static err_t posix_pread(struct io_file *base, void *data, size_t len, uint64_t offset,
                         size_t *ret_len)
{
    int fd = posix_file_of(base)->fd;
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread(fd, (char *)data + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_fail_errno(ERR_IO, "cannot read %s at byte %llu", base->path,
                                  (unsigned long long)(offset + done));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *ret_len = done;
    return OK;
}

/** At most `max` bytes from byte `skip` of the first buffer on, as a list of its own; returns its
 * length. */
static int take_piece(struct iovec *piece, const struct iovec *iov, int count, size_t skip,
                      size_t max)
{
    int n = 0;
    for (int i = 0; i < count && n < WRITE_PIECE_IOVS && max > 0; i++) {
        size_t len = MIN(iov[i].iov_len - skip, max);
        piece[n++] = (struct iovec){(char *)iov[i].iov_base + skip, len};
        max -= len;
        skip = 0;
    }
    return n;
}

/* Writes the first `left` bytes of the buffers. A large write goes in pieces, and the device is
 * told to begin with each while the next is copied: a sync that follows then waits for the last one
 * only. Only whole pages, so that none is written twice. An error of such an early write is
 * reported by the sync. */
static err_t write_cached(struct posix_file *file, const struct iovec *iov, int count,
                          uint64_t offset, size_t left)
{
    int fd = file->fd;
    struct iovec piece[WRITE_PIECE_IOVS];
    size_t skip = 0, max = left < LARGE_WRITE_BYTES ? left : WRITE_PIECE_BYTES;
    uint64_t begun = offset - offset % PAGE_BYTES;
    while (left > 0) {
        ssize_t n = pwritev(fd, piece, take_piece(piece, iov, count, skip, max), (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_fail_errno(ERR_IO, "cannot write %s at byte %llu", file->base.path,
                                  (unsigned long long)offset);
        offset += (uint64_t)n;
        left -= (size_t)n;
        for (skip += (size_t)n; count > 0 && skip >= iov->iov_len; iov++, count--)
            skip -= iov->iov_len;
        uint64_t whole = offset - offset % PAGE_BYTES;
        if (left == 0 || whole - begun < WRITE_PIECE_BYTES)
            continue;
        sync_file_range(fd, (off_t)begun, (off_t)(whole - begun), SYNC_FILE_RANGE_WRITE);
        begun = whole;
    }
    return OK;
}

static int64_t now_ns(void)
{
    return clock_mono_ns(clock_real());
}

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/** Through the page cache; timed where it needs new pages and their cost is not known. */
static err_t write_ordinary(struct posix_file *file, const struct iovec *iov, int count,
                            uint64_t offset, size_t len)
{
    if (offset < file->end || len < PAGE_COST_WRITE_MIN || page_cost_is_dear(now_ns()))
        return write_cached(file, iov, count, offset, len);
    uint64_t before = thread_cpu_ns();
    TRY(write_cached(file, iov, count, offset, len));
    page_cost_note(len, thread_cpu_ns() - before, now_ns());
    return OK;
}

/** A large write that nobody waits to read: past the page cache, but for the end of the block that
 * the file ends in. */
static err_t write_unread(struct posix_file *file, const struct iovec *iov, int count,
                          uint64_t offset, size_t len)
{
    size_t head = (size_t)(-offset % IO_DIRECT_BLOCK_BYTES);
    TRY(write_cached(file, iov, count, offset, head));
    err_t err = io_direct_write(file->base.path, file->fd, iov, count, head, offset + head);
    if (err == OK)
        metric_add(M_direct_write_bytes_total, (int64_t)len);
    if (err != ERR_AGAIN)
        return err;
    file->not_direct = true;
    return write_cached(file, iov, count, offset, len);
}

static bool posix_cache_is_dear(struct io *io)
{
    return io == &posix ? page_cost_is_dear(now_ns()) : io == &posix_dear;
}

static bool goes_direct(const struct posix_file *file)
{
    return !file->not_direct && posix_cache_is_dear(file->io);
}

static err_t posix_pwritev(struct io_file *base, const struct iovec *iov, int count,
                           uint64_t offset, bool unread)
{
    struct posix_file *file = posix_file_of(base);
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += iov[i].iov_len;
    bool direct = unread && len >= LARGE_WRITE_BYTES && goes_direct(file);
    TRY((direct ? write_unread : write_ordinary)(file, iov, count, offset, len));
    file->end = MAX(file->end, offset + len);
    return OK;
}

static err_t posix_zero(struct io_file *base, uint64_t offset, size_t len)
{
    /* Never written, so that all of it is the kernel's one page of zeros. */
    static _Alignas(IO_DIRECT_BLOCK_BYTES) char zeros[IO_ZERO_MAX];
    struct posix_file *file = posix_file_of(base);
    struct iovec iov = {zeros, len};
    err_t err = ERR_AGAIN;
    if (len == IO_ZERO_MAX && offset % IO_DIRECT_BLOCK_BYTES == 0 && goes_direct(file))
        err = io_direct_write(base->path, file->fd, &iov, 1, 0, offset);
    if (err == ERR_AGAIN)
        err = write_ordinary(file, &iov, 1, offset, len);
    file->end = MAX(file->end, offset + len);
    return err;
}

static err_t posix_truncate(struct io_file *base, uint64_t size)
{
    struct posix_file *file = posix_file_of(base);
    if (ftruncate(file->fd, (off_t)size) != 0)
        return err_fail_errno(ERR_IO, "cannot set the size of %s", base->path);
    file->end = size;
    return OK;
}

static err_t posix_sync(struct io_file *base)
{
    if (fdatasync(posix_file_of(base)->fd) != 0)
        return err_fail_errno(ERR_IO, "cannot sync %s", base->path);
    return OK;
}

static err_t posix_size(struct io_file *base, uint64_t *ret_size)
{
    struct stat st;
    if (fstat(posix_file_of(base)->fd, &st) != 0)
        return err_fail_errno(ERR_IO, "cannot stat %s", base->path);
    *ret_size = (uint64_t)st.st_size;
    return OK;
}

static void posix_drop_cache(struct io_file *base, uint64_t end)
{
    off_t len = end > (uint64_t)INT64_MAX ? 0 : (off_t)end; /* 0: all of it */
    if (end > 0)
        (void)posix_fadvise(posix_file_of(base)->fd, 0, len, POSIX_FADV_DONTNEED);
}

static int posix_fd(struct io_file *base)
{
    return posix_file_of(base)->fd;
}

static err_t posix_rename(struct io *io UNUSED, const char *from, const char *to)
{
    if (rename(from, to) != 0)
        return err_fail_errno(ERR_IO, "cannot rename %s to %s", from, to);
    return OK;
}

static err_t posix_unlink(struct io *io UNUSED, const char *path)
{
    if (unlink(path) == 0)
        return OK;
    if (errno == ENOENT)
        return err_fail(ERR_NOT_FOUND, "%s does not exist", path);
    return err_fail_errno(ERR_IO, "cannot remove %s", path);
}

static err_t posix_mkdir(struct io *io UNUSED, const char *path)
{
    if (mkdir(path, 0755) == 0)
        return OK;
    if (errno == EEXIST)
        return err_fail(ERR_EXISTS, "%s already exists", path);
    return err_fail_errno(ERR_IO, "cannot create the directory %s", path);
}

static err_t posix_rmdir(struct io *io UNUSED, const char *path)
{
    if (rmdir(path) != 0)
        return err_fail_errno(ERR_IO, "cannot remove the directory %s", path);
    return OK;
}

static err_t posix_sync_dir(struct io *io UNUSED, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return err_fail(ERR_NOT_FOUND, "%s does not exist", path);
    if (fd < 0)
        return err_fail_errno(ERR_IO, "cannot open the directory %s", path);
    err_t err = OK;
    if (fsync(fd) != 0)
        err = err_fail_errno(ERR_IO, "cannot sync the directory %s", path);
    close(fd);
    return err;
}

static err_t posix_list(struct io *io UNUSED, const char *path, io_list_fn fn, void *arg)
{
    DIR *dir = opendir(path);
    if (dir == NULL && errno == ENOENT)
        return err_fail(ERR_NOT_FOUND, "%s does not exist", path);
    if (dir == NULL)
        return err_fail_errno(ERR_IO, "cannot list %s", path);
    err_t err = OK;
    struct dirent *entry;
    errno = 0;
    while (err == OK && (entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            err = fn(arg, entry->d_name);
        errno = 0;
    }
    if (err == OK && errno != 0)
        err = err_fail_errno(ERR_IO, "cannot list %s", path);
    closedir(dir);
    return err;
}

static err_t posix_stat(struct io *io UNUSED, const char *path, struct io_stat *ret_stat)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno == ENOENT || errno == ENOTDIR)
            return err_fail(ERR_NOT_FOUND, "%s does not exist", path);
        return err_fail_errno(ERR_IO, "cannot stat %s", path);
    }
    ret_stat->size_bytes = (uint64_t)st.st_size;
    ret_stat->mtime_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    ret_stat->is_dir = S_ISDIR(st.st_mode);
    return OK;
}

static err_t posix_free_bytes(struct io *io UNUSED, const char *path, uint64_t *ret_bytes)
{
    struct statvfs st;
    if (statvfs(path, &st) != 0)
        return err_fail_errno(ERR_IO, "cannot stat the file system of %s", path);
    *ret_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    return OK;
}

static const struct io_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .pread = posix_pread,
    .pwritev = posix_pwritev,
    .zero = posix_zero,
    .truncate = posix_truncate,
    .sync = posix_sync,
    .size = posix_size,
    .drop_cache = posix_drop_cache,
    .fd = posix_fd,
    .rename = posix_rename,
    .unlink = posix_unlink,
    .mkdir = posix_mkdir,
    .rmdir = posix_rmdir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .stat = posix_stat,
    .free_bytes = posix_free_bytes,
    .cache_is_dear = posix_cache_is_dear,
};

struct io *io_posix(void)
{
    return &posix;
}

struct io *io_posix_dear(void)
{
    return &posix_dear;
}

struct io *io_posix_cheap(void)
{
    return &posix_cheap;
}
