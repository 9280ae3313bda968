/* tests/scratch.h: a directory of a test's own. */
#ifndef TESTS_SCRATCH_H
#define TESTS_SCRATCH_H

#include <stdio.h>

#include "base/base.h"
#include "tests/test.h"

#define SCRATCH_PATTERN "/tmp/spillway-XXXXXX"
#define SCRATCH_BYTES sizeof(SCRATCH_PATTERN)

/** Makes an empty directory; its path goes to `dir`. */
static inline void scratch_make(char dir[SCRATCH_BYTES])
{
    memcpy(dir, SCRATCH_PATTERN, SCRATCH_BYTES);
    assert_non_null(mkdtemp(dir));
}

/** Removes it with all that is in it. */
static inline void scratch_remove(const char *dir)
{
    CLEANUP(xfree_ptr) char *command = xasprintf("rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

#endif
