/* base/io_direct.h: writing past the page cache. Private to io_posix.c and its test. */
#ifndef BASE_IO_DIRECT_H
#define BASE_IO_DIRECT_H

#include <sys/uio.h>

#include "base/err.h"

/** Writes all buffers, more than a block (4 KiB), at byte `offset` of the file that `fd` has open
 * under `path`, straight from memory to the device (O_DIRECT). `offset` is the end of what the file
 * holds: it is made longer where need be, and up to 16 MiB behind the bytes become zeros, also
 * after an error. Not durable before fdatasync(fd).
 *
 * ERR_AGAIN: this file system, this device or the room left does not allow it; the caller writes
 * the same bytes through the page cache. ERR_IO: the device failed. After either, any part may have
 * been written. Thread: any; nothing else writes to the file meanwhile, readers may go on. */
err_t io_direct_write(const char *path, int fd, const struct iovec *iov, int count,
                      uint64_t offset) MUST_USE;

#endif
