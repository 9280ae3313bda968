/* The HTTP server over real sockets: pipelining, clients that go away, draining and stopping. */
#include "server.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "tests/test.h"

/* Pipelining ---------------------------------------------------------------------------------- */

static void pipelined_replies_keep_the_order_of_their_requests(void **state)
{
    (void)state;
    int fd = client_open(&server);
    unsigned held = server.held_count;
    for (unsigned id = 0; id < 8; id++)
        client_printf(fd, "GET /hold?id=%u HTTP/1.1\r\nHost: t\r\n\r\n", id);
    client_send(fd, "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
    server_wait_held(&server, held + 8);
    static const unsigned order[] = {3, 7, 1, 0, 6, 5, 4, 2};
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        server_release(&server, order[i]);
    for (unsigned id = 0; id < 8; id++) {
        char body[16];
        snprintf(body, sizeof(body), "held %u", id);
        client_expect(fd, 200, body);
    }
    client_expect(fd, 200, "{\"ok\":true}");
    close(fd);
}

static void more_requests_than_may_wait_are_read_when_replies_leave(void **state)
{
    (void)state;
    enum { COUNT = 3 * LIMIT_HTTP_PIPELINE };
    int fd = client_open(&server);
    unsigned held = server.held_count;
    for (unsigned id = 0; id < COUNT; id++)
        client_printf(fd, "GET /hold?id=%u HTTP/1.1\r\nHost: t\r\n\r\n", id);
    server_wait_held(&server, held + LIMIT_HTTP_PIPELINE);
    for (unsigned id = 0; id < COUNT; id++) {
        char body[16];
        server_wait_held(&server, held + id + 1);
        assert_true(server.held_count <= held + id + LIMIT_HTTP_PIPELINE);
        server_release(&server, id);
        snprintf(body, sizeof(body), "held %u", id);
        client_expect(fd, 200, body);
    }
    close(fd);
}

static void thousands_of_pipelined_requests_in_one_write(void **state)
{
    (void)state;
    static const char request[] = "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc";
    struct buf all = BUF_INIT;
    for (int i = 0; i < 2000; i++)
        buf_append(&all, request, sizeof(request) - 1);
    int fd = client_open(&server);
    client_send_bytes(fd, all.data, all.len);
    for (int i = 0; i < 2000; i++)
        client_expect(fd, 200, "abc");
    buf_release(&all);
    close(fd);
}

/* Going away ---------------------------------------------------------------------------------- */

static void a_client_that_resets_aborts_what_is_pending(void **state)
{
    (void)state;
    unsigned aborts = server.aborts;
    unsigned held = server.held_count;
    int fd = client_open(&server);
    client_send(fd, "GET /hold?id=1 HTTP/1.1\r\nHost: t\r\n\r\n"
                    "GET /hold?id=2 HTTP/1.1\r\nHost: t\r\n\r\n");
    server_wait_held(&server, held + 2);
    client_reset(fd);
    server_wait_aborts(&server, aborts + 2);
}

static void a_request_broken_off_in_its_body_is_aborted(void **state)
{
    (void)state;
    unsigned aborts = server.aborts;
    int fd = client_open(&server);
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
    close(fd);
    server_wait_aborts(&server, aborts + 1);
}

static void a_half_closed_client_gets_the_replies_to_what_it_sent(void **state)
{
    (void)state;
    unsigned held = server.held_count;
    int fd = client_open(&server);
    client_send(fd,
                "GET /hold?id=9 HTTP/1.1\r\nHost: t\r\n\r\nGET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
    shutdown(fd, SHUT_WR);
    server_wait_held(&server, held + 1);
    server_release(&server, 9);
    client_expect(fd, 200, "held 9");
    client_expect(fd, 200, "{\"ok\":true}");
    assert_null(client_reply(fd, NULL));
    close(fd);
}

static void the_end_of_input_aborts_routes_that_wait_long(void **state)
{
    (void)state;
    unsigned aborts = server.aborts;
    unsigned held = server.held_count;
    int fd = client_open(&server);
    client_send(fd, "GET /hang?id=3 HTTP/1.1\r\nHost: t\r\n\r\n");
    server_wait_held(&server, held + 1);
    close(fd);
    server_wait_aborts(&server, aborts + 1);
}

static void a_request_split_at_every_byte_gives_the_same_reply(void **state)
{
    (void)state;
    static const char request[] =
        "POST /echo?x=1 HTTP/1.1\r\nHost: t\r\nX-Empty:\r\nX-A:  b \r\n"
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    int fd = client_open(&server);
    for (size_t at = 1; at < sizeof(request) - 1; at++) {
        client_send_bytes(fd, request, at);
        client_send_bytes(fd, request + at, sizeof(request) - 1 - at);
        client_expect(fd, 200, "abcde");
    }
    for (size_t at = 0; at < sizeof(request) - 1; at++)
        client_send_bytes(fd, request + at, 1);
    client_expect(fd, 200, "abcde");
    close(fd);
}

static void draining_closes_idle_connections_and_marks_replies(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, NULL);
    int idle = client_open(&own);
    client_send(idle, "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(idle, 200, NULL);
    int busy = client_open(&own);
    client_send(busy, "GET /hold?id=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    server_wait_held(&own, 1);
    listener_stop(own.listener);
    http_server_drain(own.http);
    assert_null(client_reply(idle, NULL));
    server_release(&own, 1);
    char *reply = client_reply(busy, NULL);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    free(reply);
    assert_null(client_reply(busy, NULL));
    close(idle);
    close(busy);
    server_stop(&own);
}

enum { CROWD = 8, CROWD_REPLIES = 200 };

struct member {
    pthread_t thread;
    const struct test_server *server;
    unsigned seed;
    unsigned replies;
    _Atomic unsigned *total;
};

/* Posts bodies of many sizes, some pipelined, until the server ends the connection. */
static void *be_member(void *arg)
{
    struct member *m = arg;
    int fd = client_open(m->server);
    static const char body[KIB(128)];
    while (true) {
        m->seed = m->seed * 1103515245u + 12345;
        size_t len =
            (m->seed >> 16) % 8 == 0 ? (m->seed >> 8) % sizeof(body) : (m->seed >> 8) % 300;
        char head[128];
        int head_len =
            snprintf(head, sizeof(head),
                     "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", len);
        if (send(fd, head, (size_t)head_len, MSG_NOSIGNAL | MSG_MORE) < 0 ||
            (len > 0 && send(fd, body, len, MSG_NOSIGNAL) < 0))
            break;
        int status = 0;
        char *reply = client_reply(fd, &status);
        if (reply == NULL)
            break;
        assert_int_equal(status, 200);
        free(reply);
        m->replies++;
        (*m->total)++;
    }
    close(fd);
    return NULL;
}

static void a_crowd_is_served_until_the_server_drains(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, &(struct test_server_options){.reactors = 2});
    struct member members[CROWD];
    _Atomic unsigned total = 0;
    for (unsigned i = 0; i < CROWD; i++) {
        members[i] = (struct member){.server = &own, .seed = i + 1, .total = &total};
        pthread_create(&members[i].thread, NULL, be_member, &members[i]);
    }
    while (total < CROWD * CROWD_REPLIES)
        sched_yield();
    listener_stop(own.listener);
    http_server_drain(own.http);
    for (unsigned i = 0; i < CROWD; i++) {
        pthread_join(members[i].thread, NULL);
        assert_true(members[i].replies > 0);
    }
    server_wait_connections(&own, 0);
    assert_int_equal(own.aborts, 0);
    server_stop(&own);
}

static void stopping_aborts_what_is_pending(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, &(struct test_server_options){.reactors = 2});
    int fds[8];
    for (unsigned i = 0; i < 8; i++) {
        fds[i] = client_open(&own);
        client_printf(fds[i], "GET /hold?id=%u HTTP/1.1\r\nHost: t\r\n\r\n", i);
    }
    server_wait_held(&own, 8);
    assert_int_equal(listener_connections(own.listener), 8);
    server_stop(&own);
    assert_int_equal(own.aborts, 8);
    for (unsigned i = 0; i < 8; i++) {
        assert_null(client_reply(fds[i], NULL));
        close(fds[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pipelined_replies_keep_the_order_of_their_requests),
        cmocka_unit_test(more_requests_than_may_wait_are_read_when_replies_leave),
        cmocka_unit_test(thousands_of_pipelined_requests_in_one_write),
        cmocka_unit_test(a_client_that_resets_aborts_what_is_pending),
        cmocka_unit_test(a_request_broken_off_in_its_body_is_aborted),
        cmocka_unit_test(a_half_closed_client_gets_the_replies_to_what_it_sent),
        cmocka_unit_test(the_end_of_input_aborts_routes_that_wait_long),
        cmocka_unit_test(a_request_split_at_every_byte_gives_the_same_reply),
        cmocka_unit_test(draining_closes_idle_connections_and_marks_replies),
        cmocka_unit_test(a_crowd_is_served_until_the_server_drains),
        cmocka_unit_test(stopping_aborts_what_is_pending),
    };
    return cmocka_run_group_tests_name("http_life", tests, server_set_up, server_tear_down);
}
