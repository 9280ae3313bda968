/*
 * catalog/vfs_wal.c: frames of a write-ahead log on their way to the file, many in one write.
 *
 * SQLite writes each frame in two pieces, 24 bytes and a page, neither of them aligned, and a large
 * transaction has tens of thousands of frames (https://www.sqlite.org/walformat.html, section 1.2).
 * Here they gather until WAL_GATHER_BYTES are full. Nobody reads a frame before its transaction is
 * committed, but the writer itself, which has them written first; and the frame that commits names
 * the size of the database in its header: with its page all that has gathered is written, so what
 * SQLite says in the wal-index afterwards is true of the file.
 *
 * Only what is appended gathers. A page that is written twice within a transaction takes the place
 * of its first frame, and the checksums of all frames from there on are written anew behind the
 * commit, headers alone (SQLite's walRewriteChecksums): these go to the file at once.
 */
#include <stdlib.h>
#include <string.h>

#include "catalog/vfs_priv.h"

#define FRAME_HEADER_BYTES 24
#define COMMIT_SIZE_AT 4

int wal_flush(struct vfs_file *file)
{
    size_t len = file->gathered_len;
    file->gathered_len = 0; /* also after an error: the transaction is given up */
    if (len == 0)
        return SQLITE_OK;
    err_t err = io_file_pwrite(file->file, file->gathered, len, (uint64_t)file->gathered_at);
    file->gathered_at += (int64_t)len;
    return err == OK ? SQLITE_OK : vfs_failed(file->vfs, err, SQLITE_IOERR_WRITE);
}

static bool commits(const void *data, size_t len)
{
    static const char zeros[4];
    return len == FRAME_HEADER_BYTES &&
           memcmp((const char *)data + COMMIT_SIZE_AT, zeros, sizeof(zeros)) != 0;
}

static int rewrite(struct vfs_file *file, const void *data, size_t len, int64_t offset)
{
    int rc = wal_flush(file);
    if (rc != SQLITE_OK)
        return rc;
    err_t err = io_file_pwrite(file->file, data, len, (uint64_t)offset);
    return err == OK ? SQLITE_OK : vfs_failed(file->vfs, err, SQLITE_IOERR_WRITE);
}

int wal_write(struct vfs_file *file, const void *data, size_t len, int64_t offset)
{
    int64_t end = file->gathered_at + (int64_t)file->gathered_len;
    bool page_of_commit = file->commit_begun;
    file->commit_begun = commits(data, len);
    if (offset > 0 && offset < end) /* at 0 the log begins anew */
        return rewrite(file, data, len, offset);
    bool follows = offset == end && len <= WAL_GATHER_BYTES - file->gathered_len;
    int rc = follows ? SQLITE_OK : wal_flush(file);
    if (rc != SQLITE_OK)
        return rc;
    if (file->gathered == NULL)
        file->gathered = xmalloc(WAL_GATHER_BYTES);
    if (!follows)
        file->gathered_at = offset;
    ASSERT(len <= WAL_GATHER_BYTES - file->gathered_len);
    memcpy(file->gathered + file->gathered_len, data, len);
    file->gathered_len += len;
    return page_of_commit ? wal_flush(file) : SQLITE_OK;
}
