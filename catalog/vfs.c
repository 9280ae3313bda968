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

#include <assert.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

#define SECTOR_BYTES 4096
#define PATH_BYTES_MAX 4096
#define JULIAN_EPOCH_MS                                                                            \
    INT64_C(210866760000000) /* 1970-01-01 in milliseconds since noon, 4714 BC */

struct vfs {
    sqlite3_vfs base;
    struct io *io;
    char name[48];
    bool sync_failed;
    err_t last_error;
    char last_text[200];
};

struct vfs_file {
    sqlite3_file base;
    struct vfs *vfs;
    struct io_file *file; /* owned */
    bool entry_unsynced;  /* created here; its directory was not synced yet */
};

static struct vfs_file *file_of(sqlite3_file *f)
{
    return (struct vfs_file *)(void *)f;
}

static struct vfs *vfs_of(sqlite3_vfs *v)
{
    return CONTAINER_OF(v, struct vfs, base);
}

/** Keeps the sentence for catalog.c and gives SQLite's code. */
static int failed(struct vfs *v, err_t err, int sqlite_code)
{
    v->last_error = err;
    snprintf(v->last_text, sizeof(v->last_text), "%s", err_text(err));
    return err == ERR_NO_SPACE ? SQLITE_FULL : sqlite_code;
}

static err_t sync_parent(struct vfs *v, const char *path)
{
    const char *slash = strrchr(path, '/');
    CLEANUP(xfree_ptr)
    char *dir = slash == NULL ? xstrdup(".") : xstrndup(path, MAX(1, (size_t)(slash - path)));
    return io_sync_dir(v->io, dir);
}

/* -- files ----------------------------------------------------------------------------------------
 */

static int file_close(sqlite3_file *f)
{
    io_file_close(file_of(f)->file);
    file_of(f)->file = NULL;
    return SQLITE_OK;
}

static int file_read(sqlite3_file *f, void *data, int len, sqlite3_int64 offset)
{
    struct vfs_file *file = file_of(f);
    size_t got;
    err_t err = io_file_pread(file->file, data, (size_t)len, (uint64_t)offset, &got);
    if (err != OK)
        return failed(file->vfs, err, SQLITE_IOERR_READ);
    if (got == (size_t)len)
        return SQLITE_OK;
    memset((char *)data + got, 0, (size_t)len - got);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *f, const void *data, int len, sqlite3_int64 offset)
{
    struct vfs_file *file = file_of(f);
    if (file->vfs->sync_failed)
        return SQLITE_IOERR_WRITE;
    err_t err = io_file_pwrite(file->file, data, (size_t)len, (uint64_t)offset);
    return err == OK ? SQLITE_OK : failed(file->vfs, err, SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    struct vfs_file *file = file_of(f);
    if (file->vfs->sync_failed)
        return SQLITE_IOERR_TRUNCATE;
    err_t err = io_file_truncate(file->file, (uint64_t)size);
    return err == OK ? SQLITE_OK : failed(file->vfs, err, SQLITE_IOERR_TRUNCATE);
}

static int file_sync(sqlite3_file *f, int flags UNUSED)
{
    struct vfs_file *file = file_of(f);
    if (file->vfs->sync_failed)
        return SQLITE_IOERR_FSYNC;
    err_t err = io_file_sync(file->file);
    if (err == OK && file->entry_unsynced)
        err = sync_parent(file->vfs, file->file->path);
    if (err == OK) {
        file->entry_unsynced = false;
        return SQLITE_OK;
    }
    file->vfs->sync_failed = true;
    return failed(file->vfs, err, SQLITE_IOERR_FSYNC);
}

static int file_size(sqlite3_file *f, sqlite3_int64 *ret_size)
{
    struct vfs_file *file = file_of(f);
    uint64_t size;
    err_t err = io_file_size(file->file, &size);
    if (err != OK)
        return failed(file->vfs, err, SQLITE_IOERR_FSTAT);
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

static int file_control(sqlite3_file *f UNUSED, int op UNUSED, void *arg UNUSED)
{
    return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *f UNUSED)
{
    return SECTOR_BYTES;
}

static int file_characteristics(sqlite3_file *f UNUSED)
{
    return 0; /* nothing is promised: a torn sector may take its neighbours' bytes along */
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 1,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_lock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
};

/* -- the VFS
 * ---------------------------------------------------------------------------------------- */

static int vfs_open(sqlite3_vfs *base, const char *path, sqlite3_file *f, int flags, int *ret_flags)
{
    struct vfs *v = vfs_of(base);
    struct vfs_file *file = file_of(f);
    *file = (struct vfs_file){.vfs = v};
    if (path == NULL)
        return SQLITE_CANTOPEN; /* a temporary file: they live in memory */
    bool write = (flags & SQLITE_OPEN_READWRITE) != 0;
    bool create = (flags & SQLITE_OPEN_CREATE) != 0;
    bool existed = io_exists(v->io, path);
    err_t err =
        io_open(v->io, path, (write ? IO_WRITE : IO_READ) | (create ? IO_CREATE : 0), &file->file);
    if (err != OK)
        return failed(v, err, SQLITE_CANTOPEN);
    file->entry_unsynced = !existed;
    file->base.pMethods = &file_methods;
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
        err = sync_parent(v, path);
    return err == OK ? SQLITE_OK : failed(v, err, SQLITE_IOERR_DELETE);
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags UNUSED, int *ret_there)
{
    struct io_stat st;
    err_t err = io_stat(vfs_of(base)->io, path, &st);
    if (err != OK && err != ERR_NOT_FOUND)
        return failed(vfs_of(base), err, SQLITE_IOERR_ACCESS);
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

static int vfs_sleep(sqlite3_vfs *base UNUSED, int us UNUSED)
{
    return 0; /* called between tries for a lock, which always succeed here */
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

err_t vfs_new(struct io *io, struct vfs **ret_vfs)
{
    int rc = sqlite3_initialize();
    if (rc != SQLITE_OK)
        return err_fail(ERR_INTERNAL, "SQLite does not start: %s", sqlite3_errstr(rc));
    struct vfs *v = xcalloc(1, sizeof(*v));
    v->io = io;
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
