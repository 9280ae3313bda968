/*
 * server/lockfile.h: one server per data directory: data/lock, held by an open-file-description
 * lock (fcntl(2), F_OFD_SETLK), which ends with the process however it ends. The file says who
 * holds it; what it says means nothing without the lock.
 */
#ifndef SERVER_LOCKFILE_H
#define SERVER_LOCKFILE_H

#include "base/base.h"
#include "base/err.h"

/** Creates the directory when absent (its parent must exist), locks it and writes the process id.
 * ERR_LOCKED with a sentence that names the holder; ERR_IO when it cannot be created or written.
 * *ret_fd is owned: close it to let go. Main thread. */
err_t lockfile_take(const char *data_dir, int *ret_fd) MUST_USE;
/** Writes the process id and `text` (one line) for whoever finds the directory taken. */
void lockfile_describe(int fd, const char *text);
/** Where the server that holds the directory takes HTTP requests, "host:port", malloc'd. NULL:
 * nobody holds it, or the holder takes none (http.listen is off, or it is no server). */
char *lockfile_http_address(const char *data_dir);

#endif
