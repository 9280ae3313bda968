/*
 * catalog/vfs.h: SQLite's files through base/io.h (https://www.sqlite.org/vfs.html), so that the
 * catalog keeps the same rules as the log, and the simulated disk can crash under it.
 *
 * vfs_new: for one connection at a time in one process: locks do nothing (the server holds
 * data/lock), there is no shared memory. vfs_new_shared: for databases in WAL mode with readers
 * beside the writer, in any process; see vfs_share.c. Neither has a memory map, and temporary files
 * are refused (temp_store = MEMORY).
 */
#ifndef CATALOG_VFS_H
#define CATALOG_VFS_H

#include "base/base.h"
#include "base/err.h"
#include "base/io.h"

struct vfs;

/** Registers a VFS over `io` (borrowed) with SQLite. *ret_vfs is owned: free it when no connection
 * uses it any more. Any thread. */
err_t vfs_new(struct io *io, struct vfs **ret_vfs) MUST_USE;
/** The same with locks and a wal-index. One of these serves one connection. */
err_t vfs_new_shared(struct io *io, struct vfs **ret_vfs) MUST_USE;
/** Before a database is opened: what a run that was killed left in the page cache is made durable
 * before anyone acts on it: else a power cut could still bring back a journal that was cut, and
 * undo what was read meanwhile, or lose the name of one that is in use. After a failed sync it
 * shows what the disk holds. `journal_suffix`: "-journal" or "-wal". */
err_t vfs_settle(struct io *io, const char *path, const char *journal_suffix) MUST_USE;
/** Its name for sqlite3_open_v2. Borrowed. */
const char *vfs_name(const struct vfs *v);
/** NULL-safe. */
void vfs_free(struct vfs *v);
/** The last error that io gave, with its sentence as err_text knew it; OK when there was none.
 * Owner of the connection. */
err_t vfs_last_error(const struct vfs *v, const char **ret_text);

#endif
