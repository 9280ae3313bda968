/* tests/cached.h: what of a file is in the page cache. */
#ifndef TESTS_CACHED_H
#define TESTS_CACHED_H

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/base.h"
#include "tests/test.h"

/** Bytes of the pages that hold `len` bytes from `position` and are in the page cache (mincore(2)).
 * Unlike a read with RWF_NOWAIT, looking brings nothing in. */
static inline uint64_t cached_bytes(int fd, uint64_t position, uint64_t len)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t start = position / page * page;
    size_t pages = (size_t)((position + len - start + page - 1) / page);
    uint64_t sum = 0;
    if (len == 0)
        return 0;
    void *at = mmap(NULL, pages * page, PROT_READ, MAP_SHARED, fd, (off_t)start);
    assert_true(at != MAP_FAILED);
    CLEANUP(xfree_ptr) char *in = xmalloc(pages);
    assert_int_equal(mincore(at, pages * page, (unsigned char *)in), 0);
    for (size_t i = 0; i < pages; i++)
        sum += (in[i] & 1) != 0 ? page : 0;
    munmap(at, pages * page);
    return sum;
}

#endif
