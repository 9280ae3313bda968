/* Who holds a data directory. */
#include <unistd.h>

#include "server/lockfile.h"
#include "tests/scratch.h"

static void the_holder_is_named_and_not_the_one_before(void **state UNUSED)
{
    char dir[SCRATCH_BYTES], own[32];
    int fd, other;
    scratch_make(dir);
    assert_ok(lockfile_take(dir, &fd));
    lockfile_describe(fd, "http 127.0.0.1:8080, kafka off");
    assert_int_equal(lockfile_take(dir, &other), ERR_LOCKED);
    assert_non_null(strstr(err_text(ERR_LOCKED), "http 127.0.0.1:8080"));
    close(fd);
    assert_ok(lockfile_take(dir, &fd)); /* a command, which has no address */
    assert_int_equal(lockfile_take(dir, &other), ERR_LOCKED);
    snprintf(own, sizeof(own), "(pid %ld)", (long)getpid());
    assert_non_null(strstr(err_text(ERR_LOCKED), own));
    close(fd);
    scratch_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_holder_is_named_and_not_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
