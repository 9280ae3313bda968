/*
 * catalog/vfs_priv.h: what vfs.c and vfs_share.c share. Private to catalog/.
 */
#ifndef CATALOG_VFS_PRIV_H
#define CATALOG_VFS_PRIV_H

#include <sqlite3.h>

#include "catalog/vfs.h"

struct vfs_share;

struct vfs {
    sqlite3_vfs base;
    struct io *io;
    char name[48];
    bool shared; /* made by vfs_new_shared */
    bool sync_failed;
    err_t last_error;
    char last_text[200];
};

struct vfs_file {
    sqlite3_file base;
    struct vfs *vfs;
    struct io_file *file;    /* owned */
    bool entry_unsynced;     /* created here; its directory was not synced yet */
    int lock_level;          /* SQLITE_LOCK_*; only of shared files */
    struct vfs_share *share; /* owned; the wal-index, NULL until it is mapped */
    bool gathers;            /* a -wal of a shared database: see vfs_wal.c */
    bool commit_begun;       /* the next write is the page of a frame that commits */
    char *gathered;          /* owned; NULL until the first write */
    size_t gathered_len;
    int64_t gathered_at; /* offset in the file of what gathers next, or has */
};

static inline struct vfs_file *vfs_file_of(sqlite3_file *f)
{
    return (struct vfs_file *)(void *)f;
}

/** Keeps the sentence for the connection's owner and gives SQLite's code. */
int vfs_failed(struct vfs *v, err_t err, int sqlite_code);

/* vfs_wal.c: writes of a -wal file. */
#define WAL_GATHER_BYTES KIB(256) /* above any page and its header */
int wal_write(struct vfs_file *file, const void *data, size_t len, int64_t offset);
/** What has gathered goes to the file; before it is read, measured, cut or synced. */
int wal_flush(struct vfs_file *file);

/* vfs_share.c: locks and shared memory of files that several connections use. */
int share_lock(sqlite3_file *f, int level);
int share_unlock(sqlite3_file *f, int level);
int share_check_reserved(sqlite3_file *f, int *ret_reserved);
int share_map(sqlite3_file *f, int region, int size, int extend, void volatile **ret_memory);
int share_shm_lock(sqlite3_file *f, int first, int count, int flags);
void share_barrier(sqlite3_file *f);
int share_unmap(sqlite3_file *f, int delete_file);
/** Whether the file's name now belongs to another file, or to none. */
bool share_has_moved(struct vfs_file *file);

#endif
