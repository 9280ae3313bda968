/* tests/unit/store/fixture.h: an empty store in a directory of the test's own. */
#ifndef TESTS_UNIT_STORE_FIXTURE_H
#define TESTS_UNIT_STORE_FIXTURE_H

#include "store/store.h"
#include "tests/scratch.h"

struct fixture {
    char dir[SCRATCH_BYTES];
    char *root; /* the store's own directory, which its first opening made, with its parent */
    struct store *store;
};

static int set_up(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    scratch_make(f->dir);
    f->root = xasprintf("%s/deep/store", f->dir);
    CLEANUP(xfree_ptr) char *url = xasprintf("file:%s", f->root);
    assert_ok(store_open(io_posix(), url, true, &f->store));
    assert_string_equal(store_url(f->store), url);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    scratch_remove(f->dir);
    free(f->root);
    free(f);
    return 0;
}

#endif
