/*
 * base/io.h: the disk, behind one small interface.
 *
 * Everything that must survive a crash goes through a `struct io`: the real file system (io_posix),
 * or the simulated disk of tests/sim, which keeps unsynced writes and directory entries apart and
 * loses them at a crash. SQLite's files go through it too (catalog/vfs.c).
 *
 * What a crash may take, and therefore what callers must do (the same rules as ext4 and XFS):
 *   - written bytes, a truncation or growth are safe after io_file_sync of that file;
 *   - a created, renamed or removed entry is safe after io_sync_dir of its directory (both
 *     directories, for a rename across two);
 *   - a new directory's own entry needs io_sync_dir of its parent.
 * A failed io_file_sync must never be retried on the same pages (the kernel may have dropped them).
 *
 * Thread: any; one io_file is used by one thread at a time, except that io_file_pread may run on
 * several at once and beside a writer. Errors: ERR_IO with a sentence that names the path;
 * ERR_NO_SPACE for ENOSPC/EDQUOT; ERR_NOT_FOUND and ERR_EXISTS where said.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include <sys/uio.h>

#include "base/base.h"
#include "base/err.h"

struct io;
struct io_file;

enum io_open_flags {
    IO_READ = 0,           /* existing file, read only */
    IO_WRITE = 1u << 0,    /* existing file, read and write */
    IO_CREATE = 1u << 1,   /* with IO_WRITE: create it when absent */
    IO_EXCL = 1u << 2,     /* with IO_CREATE: ERR_EXISTS when present */
    IO_TRUNCATE = 1u << 3, /* with IO_WRITE: start empty */
};

#define IO_ZERO_MAX MIB(1) /* for io_file_zero */

struct io_stat {
    uint64_t size_bytes;
    int64_t mtime_us;
    bool is_dir;
};

/** Called per entry, "." and ".." left out, in no order. A non-OK result ends the listing and is
 * returned. */
typedef err_t (*io_list_fn)(void *arg, const char *name);

/** An implementation embeds these first in its own objects. */
struct io {
    const struct io_ops *ops;
};
struct io_file {
    const struct io_ops *ops;
    char *path; /* owned; for messages */
};

struct io_ops {
    err_t (*open)(struct io *io, const char *path, unsigned flags, struct io_file **ret_file);
    void (*close)(struct io_file *file);
    err_t (*pread)(struct io_file *file, void *data, size_t len, uint64_t offset, size_t *ret_len);
    err_t (*pwritev)(struct io_file *file, const struct iovec *iov, int count, uint64_t offset,
                     bool unread);
    err_t (*zero)(struct io_file *file, uint64_t offset, size_t len);
    err_t (*truncate)(struct io_file *file, uint64_t size);
    err_t (*sync)(struct io_file *file);
    err_t (*size)(struct io_file *file, uint64_t *ret_size);
    void (*drop_cache)(struct io_file *file, uint64_t end);
    int (*fd)(struct io_file *file);
    err_t (*rename)(struct io *io, const char *from, const char *to);
    err_t (*unlink)(struct io *io, const char *path);
    err_t (*mkdir)(struct io *io, const char *path);
    err_t (*rmdir)(struct io *io, const char *path);
    err_t (*sync_dir)(struct io *io, const char *path);
    err_t (*list)(struct io *io, const char *path, io_list_fn fn, void *arg);
    err_t (*stat)(struct io *io, const char *path, struct io_stat *ret_stat);
    err_t (*free_bytes)(struct io *io, const char *path, uint64_t *ret_bytes);
    bool (*cache_is_dear)(struct io *io);
};

/** The machine's file system. */
struct io *io_posix(void);
/** The same, where new pages of the page cache are taken as dear, or as cheap: for tests. */
struct io *io_posix_dear(void);
struct io *io_posix_cheap(void);

/** Opens `path`; ERR_NOT_FOUND when it is absent and IO_CREATE is not given. *ret_file is owned. */
err_t io_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file) MUST_USE;
/** NULL-safe. Never syncs. */
void io_file_close(struct io_file *file);
void io_file_close_ptr(struct io_file **file); /* for CLEANUP */
/** Reads up to `len` bytes; *ret_len is smaller only at the end of the file. */
err_t io_file_pread(struct io_file *file, void *data, size_t len, uint64_t offset,
                    size_t *ret_len) MUST_USE;
/** Reads exactly `len` bytes; ERR_CORRUPT when the file ends before. */
err_t io_file_pread_all(struct io_file *file, void *data, size_t len, uint64_t offset) MUST_USE;
/** Writes everything; short writes are continued. After an error any part may have been written. Of
 * a large write the first parts may already be on their way to the device. */
err_t io_file_pwritev(struct io_file *file, const struct iovec *iov, int count,
                      uint64_t offset) MUST_USE;
/** The same for bytes that nobody is likely to read soon, at the end of what the file holds. A
 * large write goes past the page cache where new pages are dear (base/page_cost.h); up to 16 MiB
 * behind the bytes may then become zeros, also after an error. */
err_t io_file_pwritev_unread(struct io_file *file, const struct iovec *iov, int count,
                             uint64_t offset) MUST_USE;
err_t io_file_pwrite(struct io_file *file, const void *data, size_t len, uint64_t offset) MUST_USE;
/** Writes zeros at the end of what the file holds, not only room for them: later writes there
 * change no metadata, so their syncs are quick. At most IO_ZERO_MAX; so many at once go past the
 * page cache where new pages are dear, and up to 16 MiB behind them may become zeros too, also
 * after an error. */
err_t io_file_zero(struct io_file *file, uint64_t offset, size_t len) MUST_USE;
err_t io_file_truncate(struct io_file *file, uint64_t size) MUST_USE;
/** fdatasync: contents and size are on stable storage afterwards. */
err_t io_file_sync(struct io_file *file) MUST_USE;
/** Forgets the cached pages of the first `end` bytes (UINT64_MAX: of all), so that reads show what
 * the disk holds: after a failed sync, also one of an earlier process, the cache may hold clean
 * pages that were never written. Best effort; for use after io_file_sync, since dirty pages stay.
 * Any thread, also beside a writer. */
void io_file_drop_cache(struct io_file *file, uint64_t end);
/** Whether new pages of the page cache are dear on this machine (base/page_cost.h): those that
 * nobody is likely to read are better dropped, so that the next ones reuse them. Any thread. */
bool io_cache_is_dear(struct io *io);
err_t io_file_size(struct io_file *file, uint64_t *ret_size) MUST_USE;
/** The file descriptor for sendfile, or -1 where there is none (the simulated disk). Borrowed. */
int io_file_fd(struct io_file *file);

/** Replaces `to` when it exists. */
err_t io_rename(struct io *io, const char *from, const char *to) MUST_USE;
/** ERR_NOT_FOUND when absent. */
err_t io_unlink(struct io *io, const char *path) MUST_USE;
/** ERR_EXISTS when present. */
err_t io_mkdir(struct io *io, const char *path) MUST_USE;
err_t io_rmdir(struct io *io, const char *path) MUST_USE;
/** ERR_NOT_FOUND when absent. */
err_t io_sync_dir(struct io *io, const char *path) MUST_USE;
/** Syncs the directory that `path` lies in. */
err_t io_sync_parent(struct io *io, const char *path) MUST_USE;
err_t io_list(struct io *io, const char *path, io_list_fn fn, void *arg) MUST_USE;
/** ERR_NOT_FOUND when absent. */
err_t io_stat(struct io *io, const char *path, struct io_stat *ret_stat) MUST_USE;
err_t io_free_bytes(struct io *io, const char *path, uint64_t *ret_bytes) MUST_USE;
/** Whether `path` is there. A failing look is an error and no answer. */
err_t io_find(struct io *io, const char *path, bool *ret_found) MUST_USE;
/** The same where an unreadable one counts as absent: for tests and messages. */
bool io_exists(struct io *io, const char *path);

/** Makes `path` hold exactly these bytes, durably and atomically: temporary name (path + ".tmp"),
 * sync, rename, sync of the directory. A crash leaves the old file or the new one. */
err_t io_replace(struct io *io, const char *path, const void *data, size_t len) MUST_USE;
/** The whole file into malloc'd memory, NUL added behind; ERR_CORRUPT when larger than `max`. */
err_t io_read_file(struct io *io, const char *path, size_t max, char **ret_data,
                   size_t *ret_len) MUST_USE;
/** Creates a directory and syncs its parent; an existing one is fine (its parent is synced too). */
err_t io_mkdir_durable(struct io *io, const char *path) MUST_USE;

#endif
