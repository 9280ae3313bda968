/* The HTTP server over real sockets: what broken, hostile and slow clients do. */
#include "server.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "tests/test.h"

/* Sends bytes, expects one JSON error that holds `text`, then the end of the connection. */
static void expect_refusal(const void *data, size_t len, int status, const char *text)
{
    int fd = client_open(&server);
    int got = 0;
    client_send_bytes(fd, data, len);
    char *reply = client_reply(fd, &got);
    assert_non_null(reply);
    if (got != status || strstr(reply_body(reply), text) == NULL)
        fail_msg("wanted %d with '%s', got: %s", status, text, reply);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    assert_non_null(strstr(reply, "\r\nX-Correlation-ID: "));
    assert_memory_equal(reply_body(reply), "{\"error\":\"", 10);
    free(reply);
    assert_null(client_reply(fd, NULL));
    close(fd);
}

struct bad {
    const char *request;
    int status;
    const char *text;
};

static void expect_all(const struct bad *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_refusal(cases[i].request, strlen(cases[i].request), cases[i].status, cases[i].text);
}

/* The same, in two writes, cut at every place. */
static void expect_split(const struct bad *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(cases[i].request);
        for (size_t at = 1; at < len; at++) {
            int fd = client_open(&server);
            (void)!send(fd, cases[i].request, at, MSG_NOSIGNAL);
            (void)!send(fd, cases[i].request + at, len - at, MSG_NOSIGNAL);
            client_expect(fd, cases[i].status, NULL);
            close(fd);
        }
    }
}

static void garbage_is_refused_with_a_reason(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"HELLO\r\n\r\n", 400, "Bad request: "},
        {"\x16\x03\x01\x02\x01\x01\xfc\x03\x03", 400, "Bad request: "},
        {"get / HTTP/1.1\r\nHost: t\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/9.9\r\nHost: t\r\n\r\n", 400, "Bad request: "},
        {"GET /ok FTP/1.1\r\nHost: t\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1 \r\nHost: t\r\n\r\n", 400, "Bad request: "},
        {"GET /o\tk HTTP/1.1\r\nHost: t\r\n\r\n", 400, "Bad request: "},
        {"GET ok HTTP/1.1\r\nHost: t\r\n\r\n", 400, "Bad request: "},
        {"GET * HTTP/1.1\r\nHost: t\r\n\r\n", 400, "the request target must start with '/'"},
        {"GET /ok#part HTTP/1.1\r\nHost: t\r\n\r\n", 400, "must not hold '#'"},
        {"GET http://host HTTP/1.1\r\nHost: t\r\n\r\n", 400, "no path"},
        {"CONNECT host:80 HTTP/1.1\r\nHost: t\r\n\r\n", 405, "METHOD_NOT_ALLOWED"},
        {"GET /ok HTTP/2.0\r\nHost: t\r\n\r\n", 505, "HTTP_VERSION_NOT_SUPPORTED"},
        {"GET /ok HTTP/0.9\r\nHost: t\r\n\r\n", 505, "HTTP_VERSION_NOT_SUPPORTED"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "only HTTP/1.0 and HTTP/1.1"},
    };
    expect_all(cases, ARRAY_LEN(cases));
}

static void header_lines_must_be_well_formed(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {"GET /ok HTTP/1.1\r\n\r\n", 400, "Host header is missing"},
        {"GET /ok HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400,
         "Host header is given more than once"},
        {"GET /ok HTTP/1.1\r\nHost: t\r\nX-A: b\r\n c\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1\r\nHost: t\r\nX-A: b\r\n\tc\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1\r\nHost: t\r\nX-A:\r\n b\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1\r\nHost: t\r\nX A: b\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1\r\nHost : t\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1\r\nHost: t\r\n: b\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1\r\nHost: t\r\nX-A: b\rc\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1\r\nHost: t\r\nX-A: b\nX-B: c\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1\r\nHost: t\r\nX-A: b\x01\r\n\r\n", 400, "Bad request: "},
        {"GET /ok HTTP/1.1\r\nHost: t\r\nX-A\r\n\r\n", 400, "Bad request: "},
    };
    static const char nul[] = "GET /ok HTTP/1.1\r\nHost: t\r\nX-A: b\0c\r\n\r\n";
    expect_all(cases, ARRAY_LEN(cases));
    expect_split(cases, ARRAY_LEN(cases));
    expect_refusal(nul, sizeof(nul) - 1, 400, "Bad request: ");
}

#define POST "POST /echo HTTP/1.1\r\nHost: t\r\n"

static void framing_that_two_servers_could_read_differently_is_refused(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
         "Transfer-Encoding"},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400,
         "Transfer-Encoding"},
        {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400, "Content-Length"},
        {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400, "Content-Length"},
        {POST "Content-Length: 5, 5\r\n\r\nhello", 400, "Content-Length"},
        {POST "Content-Length: -1\r\n\r\n", 400, "Content-Length"},
        {POST "Content-Length: +5\r\n\r\nhello", 400, "Content-Length"},
        {POST "Content-Length: 0x5\r\n\r\nhello", 400, "Content-Length"},
        {POST "Content-Length: \r\n\r\n", 400, "Content-Length"},
        {POST "Content-Length: 99999999999999999999999\r\n\r\n", 400, "Content-Length"},
        {POST "Transfer-Encoding: gzip\r\n\r\n", 400, "Transfer-Encoding"},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400, "Transfer-Encoding"},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
         "Transfer-Encoding"},
        {POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, "Transfer-Encoding"},
        {"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "HTTP/1.0"},
    };
    expect_all(cases, ARRAY_LEN(cases));
}

static void a_chunk_that_is_none_aborts_the_request(void **state)
{
    (void)state;
    static const struct bad cases[] = {
        {POST "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400, "Bad request: "},
        {POST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400, "Bad request: "},
        {POST "Transfer-Encoding: chunked\r\n\r\n-1\r\n", 400, "Bad request: "},
        {POST "Transfer-Encoding: chunked\r\n\r\n11111111111111111\r\n", 400, "Bad request: "},
        {POST "Transfer-Encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n", 400, "Bad request: "},
    };
    unsigned aborts = server.aborts;
    expect_all(cases, ARRAY_LEN(cases));
    server_wait_aborts(&server, aborts + ARRAY_LEN(cases));
}

/* Too much ------------------------------------------------------------------------------------ */

static void a_head_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    buf_append_str(&b, "GET /ok HTTP/1.1\r\nHost: t\r\nX-Long: ");
    for (int i = 0; i < 20000; i++)
        buf_append_char(&b, 'x');
    expect_refusal(b.data, b.len, 431, "HEADERS_TOO_LARGE");
    buf_release(&b);
}

static void padding_counts_towards_the_head(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    buf_append_str(&b, "GET /ok HTTP/1.1\r\nHost: t\r\nX-Blank: ");
    for (int i = 0; i < 200000; i++)
        buf_append_char(&b, ' ');
    expect_refusal(b.data, b.len, 431, "HEADERS_TOO_LARGE");
    buf_release(&b);
}

static void more_headers_than_allowed_are_refused(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    buf_append_str(&b, "GET /ok HTTP/1.1\r\nHost: t\r\n");
    for (int i = 1; i < LIMIT_HTTP_HEADERS; i++)
        buf_printf(&b, "X-%d: y\r\n", i);
    int fd = client_open(&server);
    client_send_bytes(fd, b.data, b.len);
    client_send(fd, "\r\n");
    client_expect(fd, 200, NULL); /* exactly as many as allowed */
    close(fd);
    buf_append_str(&b, "X-Last: y\r\n\r\n");
    expect_refusal(b.data, b.len, 431, "too many header fields");
    buf_release(&b);
}

static void a_target_over_the_limit_is_refused(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    buf_append_str(&b, "GET /ok/");
    for (size_t i = 8; i < LIMIT_HTTP_URI + 5; i++)
        buf_append_char(&b, 'x');
    buf_append_str(&b, " HTTP/1.1\r\nHost: t\r\n\r\n");
    expect_refusal(b.data, b.len, 414, "URI_TOO_LONG");
    buf_release(&b);
}

static void trailers_and_chunk_extensions_are_bounded(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    buf_append_str(&b, POST "Transfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 5000; i++)
        buf_printf(&b, "X-%d: y\r\n", i);
    expect_refusal(b.data, b.len, 431, "HEADERS_TOO_LARGE");
    buf_clear(&b);
    buf_append_str(&b, POST "Transfer-Encoding: chunked\r\n\r\n5;a=");
    for (int i = 0; i < 400000; i++)
        buf_append_char(&b, 'x');
    expect_refusal(b.data, b.len, 400, "around the chunks");
    buf_release(&b);
}

static void tiny_chunks_are_not_mistaken_for_padding(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    struct buf b = BUF_INIT;
    buf_append_str(&b, POST "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < COUNT; i++)
        buf_append_str(&b, "1;a=b\r\nx\r\n");
    buf_append_str(&b, "0\r\n\r\n");
    int fd = client_open(&server);
    client_send_bytes(fd, b.data, b.len);
    int status = 0;
    char *reply = client_reply(fd, &status);
    assert_int_equal(status, 200);
    assert_int_equal(strlen(reply_body(reply)), COUNT);
    free(reply);
    buf_release(&b);
    close(fd);
}

/* Errors in their place ----------------------------------------------------------------------- */

static void an_error_waits_for_the_replies_before_it(void **state)
{
    (void)state;
    int fd = client_open(&server);
    unsigned held = server.held_count;
    client_send(fd, "GET /hold?id=4 HTTP/1.1\r\nHost: t\r\n\r\nNONSENSE\r\n\r\n");
    server_wait_held(&server, held + 1);
    server_release(&server, 4);
    client_expect(fd, 200, "held 4");
    client_expect(fd, 400, NULL);
    assert_null(client_reply(fd, NULL));
    close(fd);
}

static void an_error_after_an_early_reply_only_closes(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd,
                "POST /refuse HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n");
    client_expect(fd, 401, NULL);
    assert_null(client_reply(fd, NULL));
    close(fd);
}

static void the_server_serves_others_after_all_this(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, POST "Content-Length: 2\r\n\r\nhi");
    client_expect(fd, 200, "hi");
    close(fd);
}

/* Slow clients -------------------------------------------------------------------------------- */

static void headers_that_take_too_long_are_answered_408(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, &(struct test_server_options){.header_ms = 100});
    int fd = client_open(&own);
    client_send(fd, "GET /ok HTTP/1.1\r\nHo");
    client_expect(fd, 408, NULL);
    assert_null(client_reply(fd, NULL));
    close(fd);
    fd = client_open(&own); /* nothing at all: closed without a word */
    assert_null(client_reply(fd, NULL));
    close(fd);
    fd = client_open(&own); /* the second request has its own time */
    client_send(fd, "GET /ok HTTP/1.1\r\nHost: t\r\n\r\nGET /o");
    client_expect(fd, 200, NULL);
    client_expect(fd, 408, NULL);
    assert_null(client_reply(fd, NULL));
    close(fd);
    server_stop(&own);
}

static void a_body_that_stops_coming_is_answered_408(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, &(struct test_server_options){.body_idle_ms = 100});
    int fd = client_open(&own);
    client_send(fd, POST "Content-Length: 10\r\n\r\nabc");
    client_expect(fd, 408, NULL);
    assert_null(client_reply(fd, NULL));
    server_wait_aborts(&own, 1);
    close(fd);
    fd = client_open(&own); /* the same while the body is only dropped */
    client_send(fd, "POST /refuse HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nabc");
    client_expect(fd, 401, NULL);
    assert_null(client_reply(fd, NULL));
    close(fd);
    server_stop(&own);
}

static void idle_connections_are_closed(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, &(struct test_server_options){.keepalive_ms = 100});
    int fd = client_open(&own);
    client_send(fd, "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, NULL);
    assert_null(client_reply(fd, NULL));
    close(fd);
    server_stop(&own);
}

static void a_pending_reply_keeps_the_connection_open(void **state)
{
    (void)state;
    struct test_server own;
    server_start(
        &own, &(struct test_server_options){.keepalive_ms = 1, .header_ms = 1, .body_idle_ms = 1});
    int slow = client_open(&own);
    int other = client_open(&own);
    client_send(slow, "GET /hold?id=0 HTTP/1.1\r\nHost: t\r\n\r\n");
    server_wait_held(&own, 1);
    assert_null(client_reply(other, NULL)); /* so its time is over */
    server_release(&own, 0);
    client_expect(slow, 200, "held 0");
    close(slow);
    close(other);
    server_stop(&own);
}

static void a_reply_on_its_way_is_not_idleness(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, &(struct test_server_options){.keepalive_ms = 100});
    int slow = client_open(&own);
    client_send(slow, "GET /big HTTP/1.1\r\nHost: t\r\n\r\n");
    server_wait_held(&own, 1);
    for (int i = 0; i < 2; i++) { /* twice the idle time goes by */
        int other = client_open(&own);
        client_send(other, "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
        client_expect(other, 200, NULL);
        assert_null(client_reply(other, NULL));
        close(other);
    }
    char *reply = client_reply(slow, NULL);
    assert_int_equal(strlen(reply_body(reply)), MIB(32));
    free(reply);
    assert_null(client_reply(slow, NULL)); /* now it is idle */
    close(slow);
    server_stop(&own);
}

static void a_client_that_never_reads_is_closed(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, &(struct test_server_options){.write_stall_ms = 100});
    int fd = client_open(&own);
    client_send(fd, "GET /big HTTP/1.1\r\nHost: t\r\n\r\n");
    server_wait_held(&own, 1);
    server_wait_connections(&own, 0);
    size_t len = 0;
    char *rest = client_rest(fd, &len);
    assert_true(len < MIB(32));
    free(rest);
    close(fd);
    server_stop(&own);
}

/* Its replies pile up to the output limit; then its requests are not read until it reads. */
static void a_client_that_reads_late_gets_everything(void **state)
{
    (void)state;
    int fd = client_open(&server);
    for (int i = 0; i < 3; i++)
        client_send(fd, "GET /big HTTP/1.1\r\nHost: t\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        char *reply = client_reply(fd, NULL);
        assert_int_equal(strlen(reply_body(reply)), MIB(32));
        free(reply);
    }
    close(fd);
}

static void large_replies_do_not_pile_up(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, NULL);
    int fd = client_open(&own);
    for (int i = 0; i < 6; i++)
        client_send(fd, "GET /big HTTP/1.1\r\nHost: t\r\n\r\n");
    client_send(fd, "GET /hold?id=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    for (unsigned i = 1; i <= 6; i++) {
        char *reply = client_reply(fd, NULL);
        assert_int_equal(strlen(reply_body(reply)), MIB(32));
        free(reply);
        /* One reply may be on its way while the next is made. */
        assert_true(own.held_count <= i + 2);
    }
    server_wait_held(&own, 7);
    server_release(&own, 1);
    client_expect(fd, 200, "held 1");
    close(fd);
    server_stop(&own);
}

static void connections_over_the_limit_are_told_so(void **state)
{
    (void)state;
    struct test_server own;
    server_start(&own, &(struct test_server_options){.max_connections = 3, .reactors = 2});
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = client_open(&own);
        client_send(fds[i], "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
        client_expect(fds[i], 200, NULL);
    }
    int fd = client_open(&own);
    client_expect(fd, 503, "{\"error\":\"Too many connections\",\"code\":\"SERVICE_UNAVAILABLE\"}");
    assert_null(client_reply(fd, NULL));
    close(fd);
    close(fds[0]);
    server_wait_connections(&own, 2);
    fd = client_open(&own);
    client_send(fd, "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, NULL);
    close(fd);
    close(fds[1]);
    close(fds[2]);
    server_stop(&own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_is_refused_with_a_reason),
        cmocka_unit_test(header_lines_must_be_well_formed),
        cmocka_unit_test(framing_that_two_servers_could_read_differently_is_refused),
        cmocka_unit_test(a_chunk_that_is_none_aborts_the_request),
        cmocka_unit_test(a_head_over_the_limit_is_refused),
        cmocka_unit_test(padding_counts_towards_the_head),
        cmocka_unit_test(more_headers_than_allowed_are_refused),
        cmocka_unit_test(a_target_over_the_limit_is_refused),
        cmocka_unit_test(trailers_and_chunk_extensions_are_bounded),
        cmocka_unit_test(tiny_chunks_are_not_mistaken_for_padding),
        cmocka_unit_test(an_error_waits_for_the_replies_before_it),
        cmocka_unit_test(an_error_after_an_early_reply_only_closes),
        cmocka_unit_test(headers_that_take_too_long_are_answered_408),
        cmocka_unit_test(a_body_that_stops_coming_is_answered_408),
        cmocka_unit_test(idle_connections_are_closed),
        cmocka_unit_test(a_pending_reply_keeps_the_connection_open),
        cmocka_unit_test(a_reply_on_its_way_is_not_idleness),
        cmocka_unit_test(a_client_that_never_reads_is_closed),
        cmocka_unit_test(a_client_that_reads_late_gets_everything),
        cmocka_unit_test(large_replies_do_not_pile_up),
        cmocka_unit_test(connections_over_the_limit_are_told_so),
        cmocka_unit_test(the_server_serves_others_after_all_this),
    };
    return cmocka_run_group_tests_name("bad_http", tests, server_set_up, server_tear_down);
}
