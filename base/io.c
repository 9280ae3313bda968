#include "base/io.h"

#include <stdlib.h>
#include <string.h>

err_t io_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file)
{
    return io->ops->open(io, path, flags, ret_file);
}

void io_file_close(struct io_file *file)
{
    if (file != NULL)
        file->ops->close(file);
}

void io_file_close_ptr(struct io_file **file)
{
    io_file_close(TAKE(*file));
}

err_t io_file_pread(struct io_file *file, void *data, size_t len, uint64_t offset, size_t *ret_len)
{
    return file->ops->pread(file, data, len, offset, ret_len);
}

err_t io_file_pread_all(struct io_file *file, void *data, size_t len, uint64_t offset)
{
    size_t got;
    TRY(io_file_pread(file, data, len, offset, &got));
    if (got != len)
        return err_fail(ERR_CORRUPT, "%s ends at byte %llu, %zu more were expected", file->path,
                        (unsigned long long)(offset + got), len - got);
    return OK;
}

err_t io_file_pwritev(struct io_file *file, const struct iovec *iov, int count, uint64_t offset)
{
    return file->ops->pwritev(file, iov, count, offset, false);
}

err_t io_file_pwritev_unread(struct io_file *file, const struct iovec *iov, int count,
                             uint64_t offset)
{
    return file->ops->pwritev(file, iov, count, offset, true);
}

err_t io_file_pwrite(struct io_file *file, const void *data, size_t len, uint64_t offset)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    return file->ops->pwritev(file, &iov, 1, offset, false);
}

err_t io_file_zero(struct io_file *file, uint64_t offset, size_t len)
{
    ASSERT(len <= IO_ZERO_MAX);
    return file->ops->zero(file, offset, len);
}

err_t io_file_truncate(struct io_file *file, uint64_t size)
{
    return file->ops->truncate(file, size);
}

err_t io_file_sync(struct io_file *file)
{
    return file->ops->sync(file);
}

bool io_cache_is_dear(struct io *io)
{
    return io->ops->cache_is_dear(io);
}

void io_file_drop_cache(struct io_file *file, uint64_t end)
{
    file->ops->drop_cache(file, end);
}

err_t io_file_size(struct io_file *file, uint64_t *ret_size)
{
    return file->ops->size(file, ret_size);
}

int io_file_fd(struct io_file *file)
{
    return file->ops->fd(file);
}

err_t io_rename(struct io *io, const char *from, const char *to)
{
    return io->ops->rename(io, from, to);
}

err_t io_unlink(struct io *io, const char *path)
{
    return io->ops->unlink(io, path);
}

err_t io_mkdir(struct io *io, const char *path)
{
    return io->ops->mkdir(io, path);
}

err_t io_rmdir(struct io *io, const char *path)
{
    return io->ops->rmdir(io, path);
}

err_t io_sync_dir(struct io *io, const char *path)
{
    return io->ops->sync_dir(io, path);
}

err_t io_list(struct io *io, const char *path, io_list_fn fn, void *arg)
{
    return io->ops->list(io, path, fn, arg);
}

err_t io_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
    return io->ops->stat(io, path, ret_stat);
}

err_t io_free_bytes(struct io *io, const char *path, uint64_t *ret_bytes)
{
    return io->ops->free_bytes(io, path, ret_bytes);
}

err_t io_find(struct io *io, const char *path, bool *ret_found)
{
    struct io_stat ignored;
    err_t err = io_stat(io, path, &ignored);
    if (err != OK && err != ERR_NOT_FOUND)
        return err;
    *ret_found = err == OK;
    return OK;
}

bool io_exists(struct io *io, const char *path)
{
    struct io_stat ignored;
    return io_stat(io, path, &ignored) == OK;
}

static char *parent_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return xstrdup(".");
    return slash == path ? xstrdup("/") : xstrndup(path, (size_t)(slash - path));
}

err_t io_sync_parent(struct io *io, const char *path)
{
    CLEANUP(xfree_ptr) char *dir = parent_of(path);
    return io_sync_dir(io, dir);
}

static err_t write_synced(struct io *io, const char *path, const void *data, size_t len)
{
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    TRY(io_open(io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &file));
    if (len > 0)
        TRY(io_file_pwrite(file, data, len, 0));
    return io_file_sync(file);
}

err_t io_replace(struct io *io, const char *path, const void *data, size_t len)
{
    CLEANUP(xfree_ptr) char *temp = xasprintf("%s.tmp", path);
    TRY(write_synced(io, temp, data, len));
    TRY(io_rename(io, temp, path));
    return io_sync_parent(io, path);
}

err_t io_read_file(struct io *io, const char *path, size_t max, char **ret_data, size_t *ret_len)
{
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    uint64_t size;
    TRY(io_open(io, path, IO_READ, &file));
    TRY(io_file_size(file, &size));
    if (size > max)
        return err_fail(ERR_CORRUPT, "%s is %llu bytes long; at most %zu were expected", path,
                        (unsigned long long)size, max);
    CLEANUP(xfree_ptr) char *data = xmalloc((size_t)size + 1);
    TRY(io_file_pread_all(file, data, (size_t)size, 0));
    data[size] = '\0';
    *ret_data = TAKE(data);
    *ret_len = (size_t)size;
    return OK;
}

err_t io_mkdir_durable(struct io *io, const char *path)
{
    CLEANUP(xfree_ptr) char *dir = parent_of(path);
    err_t err = io_mkdir(io, path);
    if (err != OK && err != ERR_EXISTS)
        return err;
    return io_sync_dir(io, dir);
}
