/* base/io_direct.h: writing past the page cache. Private to io_posix.c. */
#ifndef BASE_IO_DIRECT_H
#define BASE_IO_DIRECT_H

#include <sys/uio.h>

#include "base/err.h"

#define IO_DIRECT_BLOCK_BYTES 4096u /* at least the logical block of today's devices */

/** Writes the buffers without their first `skip` bytes at byte `offset` of the file that `fd` has
 * open under `path`, straight from memory to the device (O_DIRECT). `offset` is a multiple of
 * IO_DIRECT_BLOCK_BYTES, not before the end of what the file holds, and there are bytes to write.
 * The file is made longer where need be, and up to 16 MiB behind the bytes become zeros, also after
 * an error. Not durable before fdatasync(fd).
 *
 * ERR_AGAIN: this file system, this device or the room left does not allow it; the caller writes
 * the same bytes through the page cache. ERR_IO: the device failed. After either, any part may have
 * been written. Thread: any; nothing else writes to the file meanwhile, readers may go on. */
err_t io_direct_write(const char *path, int fd, const struct iovec *iov, int count, size_t skip,
                      uint64_t offset) MUST_USE;

#endif
