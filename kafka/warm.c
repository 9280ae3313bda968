/*
 * kafka/warm.c: see kafka/warm.h. preadv2 with RWF_NOWAIT (Linux 4.14) reads a byte only if that
 * needs no waiting; mincore would need a mapping, cachestat a kernel of 2023.
 */
#include "kafka/warm.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROBE_BYTES KIB(256) /* twice the kernel's usual read-ahead */
#define READ_BYTES KIB(256)

static bool byte_is_cached(int fd, uint64_t position)
{
    char byte;
    struct iovec iov = {&byte, 1};
    return preadv2(fd, &iov, 1, (off_t)position, RWF_NOWAIT) >= 0 || errno != EAGAIN;
}

bool slice_is_cached(const struct log_slice *s)
{
    if (s->fd < 0 || s->len == 0)
        return true;
    for (size_t at = 0; at < s->len; at += PROBE_BYTES)
        if (!byte_is_cached(s->fd, s->position + at))
            return false;
    return byte_is_cached(s->fd, s->position + s->len - 1);
}

void slice_read_in(const struct log_slice *s)
{
    char *scratch = xmalloc(READ_BYTES);
    for (size_t at = 0; at < s->len;) {
        ssize_t n = pread(s->fd, scratch, MIN(s->len - at, READ_BYTES), (off_t)(s->position + at));
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    free(scratch);
}
