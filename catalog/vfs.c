/*
 * catalog/vfs.c: the methods that SQLite calls, each a call of base/io.h.
 *
 * What differs from SQLite's own unix VFS:
 *   - the first sync of a file that this VFS created also syncs its directory (the unix VFS does so
 *     too, for journals), and every delete syncs the directory, asked for or not;
 *   - after a sync failed nothing more is written or synced through this VFS: the kernel may have
 *     dropped the pages, so a later success would prove nothing. The catalog stays readable.
 */
#include "catalog/vfs.h"

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "catalog/vfs_priv.h"

#define SECTOR_BYTES 4096
#define PATH_BYTES_MAX 4096
#define JULIAN_EPOCH_MS                                                                            \
    INT64_C(210866760000000) /* 1970-01-01 in milliseconds since noon, 4714 BC */

static struct vfs *vfs_of(sqlite3_vfs *v)
{
    return CONTAINER_OF(v, struct vfs, base);
}

int vfs_failed(struct vfs *v, err_t err, int sqlite_code)
{
    v->last_error = err;
    snprintf(v->last_text, sizeof(v->last_text), "%s", err_text(err));
    return err == ERR_NO_SPACE ? SQLITE_FULL : sqlite_code;
}

/* Files --------------------------------------------------------------------------------------- */

static int file_close(sqlite3_file *f)
{
    (void)share_unmap(f, 0);
    io_file_close(vfs_file_of(f)->file);
    vfs_file_of(f)->file = NULL;
    free(TAKE(vfs_file_of(f)->gathered)); /* what is in there was not committed */
    return SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *data, int len, sqlite3_int64 offset)
{
    struct vfs_file *file = vfs_file_of(f);
    size_t got;
    if (wal_flush(file) != SQLITE_OK)
        return SQLITE_IOERR_READ;
    err_t err = io_file_pread(file->file, data, (size_t)len, (uint64_t)offset, &got);
    if (err != OK)
        return vfs_failed(file->vfs, err, SQLITE_IOERR_READ);
    if (got == (size_t)len)
        return SQLITE_OK;
    memset((char *)data + got, 0, (size_t)len - got);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *f, const void *data, int len, sqlite3_int64 offset)
{
    struct vfs_file *file = vfs_file_of(f);
    if (file->vfs->sync_failed)
        return SQLITE_IOERR_WRITE;
    if (file->gathers)
        return wal_write(file, data, (size_t)len, offset);
    err_t err = io_file_pwrite(file->file, data, (size_t)len, (uint64_t)offset);
    return err == OK ? SQLITE_OK : vfs_failed(file->vfs, err, SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct vfs_file *file = vfs_file_of(f);
    if (file->vfs->sync_failed)
        return SQLITE_IOERR_TRUNCATE;
    if (wal_flush(file) != SQLITE_OK)
        return SQLITE_IOERR_TRUNCATE;
    err_t err = io_file_truncate(file->file, (uint64_t)size);
    return err == OK ? SQLITE_OK : vfs_failed(file->vfs, err, SQLITE_IOERR_TRUNCATE);
}

static int file_sync(sqlite3_file *f, int flags UNUSED)
{
    struct vfs_file *file = vfs_file_of(f);
    if (file->vfs->sync_failed)
        return SQLITE_IOERR_FSYNC;
    if (wal_flush(file) != SQLITE_OK)
        return SQLITE_IOERR_FSYNC;
    err_t err = io_file_sync(file->file);
    if (err == OK && file->entry_unsynced)
        err = io_sync_parent(file->vfs->io, file->file->path);
    if (err == OK) {
        file->entry_unsynced = false;
        return SQLITE_OK;
    }
    file->vfs->sync_failed = true;
    (void)vfs_failed(file->vfs, err, SQLITE_IOERR_FSYNC);
    return SQLITE_IOERR_FSYNC; /* also for lack of space: this connection is at its end */
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret_size)
{
    struct vfs_file *file = vfs_file_of(f);
    uint64_t size;
    if (wal_flush(file) != SQLITE_OK)
        return SQLITE_IOERR_FSTAT;
    err_t err = io_file_size(file->file, &size);
    if (err != OK)
        return vfs_failed(file->vfs, err, SQLITE_IOERR_FSTAT);
    *ret_size = (sqlite3_int64)size;
    return SQLITE_OK;
}

static int file_lock(sqlite3_file *f UNUSED, int level UNUSED)
{
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *f UNUSED, int *ret_reserved)
{
    *ret_reserved = 0;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *f, int op, void *arg)
{
    if (op != SQLITE_FCNTL_HAS_MOVED || !vfs_file_of(f)->vfs->shared)
        return SQLITE_NOTFOUND;
    *(int *)arg = share_has_moved(vfs_file_of(f));
    return SQLITE_OK;
}

static int file_sector_size(sqlite3_file *f UNUSED)
{
    return SECTOR_BYTES;
}

static int file_characteristics(sqlite3_file *f UNUSED)
{
    return 0; /* nothing is promised: a torn sector may take its neighbours' bytes along */
}

#define COMMON_METHODS                                                                             \
    .xClose = file_close, .xRead = file_read, .xWrite = file_write, .xTruncate = file_truncate,    \
    .xSync = file_sync, .xFileSize = file_size, .xFileControl = file_control,                      \
    .xSectorSize = file_sector_size, .xDeviceCharacteristics = file_characteristics

static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    COMMON_METHODS,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_check_reserved,
};

static const sqlite3_io_methods shared_methods = {
    .iVersion = 2,
    COMMON_METHODS,
    .xLock = share_lock,
    .xUnlock = share_unlock,
    .xCheckReservedLock = share_check_reserved,
    .xShmMap = share_map,
    .xShmLock = share_shm_lock,
    .xShmBarrier = share_barrier,
    .xShmUnmap = share_unmap,
};

/* The VFS ------------------------------------------------------------------------------------- */

static int vfs_open(sqlite3_vfs *base, const char *path, sqlite3_file *f, int flags, int *ret_flags)
{
    struct vfs *v = vfs_of(base);
    struct vfs_file *file = vfs_file_of(f);
    *file = (struct vfs_file){.vfs = v};
    if (path == NULL)
        return SQLITE_CANTOPEN; /* a temporary file: they live in memory */
    bool write = (flags & SQLITE_OPEN_READWRITE) != 0;
    bool create = (flags & SQLITE_OPEN_CREATE) != 0;
    bool existed = io_exists(v->io, path);
    err_t err =
        io_open(v->io, path, (write ? IO_WRITE : IO_READ) | (create ? IO_CREATE : 0), &file->file);
    if (err != OK)
        return vfs_failed(v, err, SQLITE_CANTOPEN);
    file->entry_unsynced = !existed;
    file->gathers = v->shared && (flags & SQLITE_OPEN_WAL) != 0;
    file->base.pMethods = v->shared ? &shared_methods : &file_methods;
    if (ret_flags != NULL)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync_dir UNUSED)
{
    struct vfs *v = vfs_of(base);
    err_t err = io_unlink(v->io, path);
    if (err == ERR_NOT_FOUND)
        return SQLITE_IOERR_DELETE_NOENT;
    if (err == OK)
        err = io_sync_parent(v->io, path);
    return err == OK ? SQLITE_OK : vfs_failed(v, err, SQLITE_IOERR_DELETE);
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags UNUSED, int *ret_there)
{
    struct io_stat st;
    err_t err = io_stat(vfs_of(base)->io, path, &st);
    if (err != OK && err != ERR_NOT_FOUND)
        return vfs_failed(vfs_of(base), err, SQLITE_IOERR_ACCESS);
    /* An empty journal is none: a crash may leave one behind. */
    *ret_there = err == OK && !(flags == SQLITE_ACCESS_EXISTS && st.size_bytes == 0);
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *base UNUSED, const char *path, int size, char *out)
{
    if (strlen(path) >= (size_t)size)
        return SQLITE_CANTOPEN;
    memcpy(out, path, strlen(path) + 1);
    return SQLITE_OK;
}

static int vfs_randomness(sqlite3_vfs *base UNUSED, int len, char *out)
{
    ssize_t got = getrandom(out, (size_t)len, 0);
    return got < 0 ? 0 : (int)got;
}

/** Called between tries for a lock, which only shared files have. */
static int vfs_sleep(sqlite3_vfs *base, int us)
{
    if (vfs_of(base)->shared)
        (void)poll(NULL, 0, (us + 999) / 1000);
    return us;
}

static int vfs_time(sqlite3_vfs *base UNUSED, sqlite3_int64 *ret_ms)
{
    *ret_ms = JULIAN_EPOCH_MS + clock_wall_ms(clock_real());
    return SQLITE_OK;
}

static int vfs_time_days(sqlite3_vfs *base, double *ret_days)
{
    sqlite3_int64 ms;
    vfs_time(base, &ms);
    *ret_days = (double)ms / 86400000.0;
    return SQLITE_OK;
}

static int vfs_error(sqlite3_vfs *base UNUSED, int size UNUSED, char *out UNUSED)
{
    return 0;
}

static err_t make(struct io *io, bool shared, struct vfs **ret_vfs)
{
    int rc = sqlite3_initialize();
    if (rc != SQLITE_OK)
        return err_fail(ERR_INTERNAL, "SQLite does not start: %s", sqlite3_errstr(rc));
    struct vfs *v = xcalloc(1, sizeof(*v));
    v->io = io;
    v->shared = shared;
    snprintf(v->name, sizeof(v->name), "spillway-%p", (void *)v);
    v->base = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = (int)sizeof(struct vfs_file),
        .mxPathname = PATH_BYTES_MAX,
        .zName = v->name,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time_days,
        .xGetLastError = vfs_error,
        .xCurrentTimeInt64 = vfs_time,
    };
    rc = sqlite3_vfs_register(&v->base, 0);
    if (rc != SQLITE_OK) {
        free(v);
        return err_fail(ERR_INTERNAL, "SQLite refuses its files: %s", sqlite3_errstr(rc));
    }
    *ret_vfs = v;
    return OK;
}

err_t vfs_new(struct io *io, struct vfs **ret_vfs)
{
    return make(io, false, ret_vfs);
}

err_t vfs_new_shared(struct io *io, struct vfs **ret_vfs)
{
    return make(io, true, ret_vfs);
}

static err_t settle_file(struct io *io, const char *path)
{
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    err_t err = io_open(io, path, IO_WRITE, &file);
    if (err == ERR_NOT_FOUND)
        return OK;
    TRY(err);
    TRY(io_file_sync(file));
    io_file_drop_cache(file, UINT64_MAX);
    return OK;
}

err_t vfs_settle(struct io *io, const char *path, const char *journal_suffix)
{
    CLEANUP(xfree_ptr) char *journal = xasprintf("%s%s", path, journal_suffix);
    TRY(settle_file(io, journal));
    TRY(settle_file(io, path));
    return io_sync_parent(io, path);
}

const char *vfs_name(const struct vfs *v)
{
    return v->name;
}

void vfs_free(struct vfs *v)
{
    if (v == NULL)
        return;
    sqlite3_vfs_unregister(&v->base);
    free(v);
}

err_t vfs_last_error(const struct vfs *v, const char **ret_text)
{
    *ret_text = v->last_text;
    return v->last_error;
}
