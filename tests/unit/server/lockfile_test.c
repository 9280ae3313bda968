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

static void the_address_is_that_of_who_holds_it(void **state UNUSED)
{
    static const struct {
        const char *text, *address; /* NULL: none */
    } cases[] = {
        {"http 127.0.0.1:8080, kafka off", "127.0.0.1:8080"},
        {"http [::1]:80, kafka 127.0.0.1:9092", "[::1]:80"},
        {"http off, kafka 127.0.0.1:9092", NULL},
        {"", NULL},
    };
    char dir[SCRATCH_BYTES];
    scratch_make(dir);
    assert_null(lockfile_http_address(dir));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int fd;
        assert_ok(lockfile_take(dir, &fd));
        lockfile_describe(fd, cases[i].text);
        CLEANUP(xfree_ptr) char *address = lockfile_http_address(dir);
        if (cases[i].address == NULL)
            assert_null(address);
        else
            assert_string_equal(address, cases[i].address);
        close(fd);
        assert_null(lockfile_http_address(dir)); /* what it says means nothing without the lock */
    }
    scratch_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_holder_is_named_and_not_the_one_before),
        cmocka_unit_test(the_address_is_that_of_who_holds_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
