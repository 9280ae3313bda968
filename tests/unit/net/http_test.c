/* The HTTP server over real sockets: what ordinary clients do. */
#include "server.h"

#include <unistd.h>

#include "tests/test.h"

static struct test_server server;

static int set_up(void **state)
{
    (void)state;
    server_start(&server, NULL);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_stop(&server);
    return 0;
}

static void expect_reply(int fd, int status, const char *body)
{
    int got = 0;
    char *reply = client_reply(fd, &got);
    assert_non_null(reply);
    assert_int_equal(got, status);
    if (body != NULL)
        assert_string_equal(reply_body(reply), body);
    free(reply);
}

static void a_connection_serves_request_after_request(void **state)
{
    (void)state;
    int fd = client_open(&server);
    for (int i = 0; i < 100; i++) {
        client_send(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
        expect_reply(fd, 200, "hello");
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_serves_request_after_request),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
