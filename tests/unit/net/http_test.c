/* The HTTP server over real sockets: what ordinary clients do. */
#include "server.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "tests/test.h"

static void a_connection_serves_request_after_request(void **state)
{
    (void)state;
    int fd = client_open(&server);
    for (int i = 0; i < 100; i++) {
        client_send(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello");
        client_expect(fd, 200, "hello");
    }
    close(fd);
}

static void replies_carry_length_date_and_correlation_id(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
    char *reply = client_reply(fd, NULL);
    assert_non_null(strstr(reply, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(reply, "\r\nContent-Length: 11\r\n"));
    assert_non_null(strstr(reply, "\r\nDate: "));
    assert_non_null(strstr(reply, " GMT\r\n"));
    assert_null(strstr(reply, "Connection:"));
    const char *id = strstr(reply, "\r\nX-Correlation-ID: ") + 20;
    size_t len = strcspn(id, "\r");
    assert_int_equal(id[len - 9], '-');
    assert_int_equal(strspn(id, "0123456789abcdefghijklmnopqrstuvwxyz"), len - 9);
    assert_true(strspn(id + len - 8, "0123456789abcdef") >= 8);
    free(reply);
    close(fd);
}

static void the_correlation_id_of_the_client_is_used(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *id;
    } cases[] = {
        {"X-Correlation-ID: abc-DEF_0123", "abc-DEF_0123"},
        {"x-correlation-id: ab cd/ef\"gh", "abcdefgh"},
        {"X-Request-ID: request-1", "request-1"},
        {"X-Request-ID: request-1\r\nX-Correlation-ID: correlation-1", "correlation-1"},
        {"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
         "4bf92f3577b34da6"},
    };
    int fd = client_open(&server);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char wanted[128];
        client_printf(fd, "GET /ok HTTP/1.1\r\nHost: t\r\n%s\r\n\r\n", cases[i].header);
        char *reply = client_reply(fd, NULL);
        snprintf(wanted, sizeof(wanted), "\r\nX-Correlation-ID: %s\r\n", cases[i].id);
        assert_non_null(strstr(reply, wanted));
        free(reply);
    }
    close(fd);
}

static void a_correlation_id_too_short_is_replaced(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /ok HTTP/1.1\r\nHost: t\r\nX-Correlation-ID: short\r\n\r\n");
    char *reply = client_reply(fd, NULL);
    assert_null(strstr(reply, "X-Correlation-ID: short"));
    free(reply);
    close(fd);
}

static void head_is_answered_without_a_body(void **state)
{
    (void)state;
    int fd = client_open(&server);
    int status = 0;
    client_send(fd, "HEAD /ok HTTP/1.1\r\nHost: t\r\n\r\nGET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
    char *reply = client_head_reply(fd, &status);
    assert_int_equal(status, 200);
    assert_non_null(strstr(reply, "\r\nContent-Length: 11\r\n"));
    free(reply);
    client_expect(fd, 200, "{\"ok\":true}");
    close(fd);
}

static void unknown_paths_and_methods_are_told_apart(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /nothing HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 404, "Not found");
    client_send(fd, "GET /okay HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 404, "Not found");
    client_send(fd, "GET /ok/below HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, NULL);
    client_send(fd, "PUT /ok HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nxyz");
    int status = 0;
    char *reply = client_reply(fd, &status);
    assert_int_equal(status, 405);
    assert_non_null(strstr(reply, "\r\nAllow: DELETE, GET, POST\r\n"));
    assert_string_equal(reply_body(reply), "{\"error\":\"Method not allowed\"}");
    free(reply);
    close(fd);
}

static void absolute_targets_name_the_same_resource(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET http://example.com/ok?a=b HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, "{\"ok\":true}");
    client_send(fd, "GET /nothing?x=/ok HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 404, NULL);
    close(fd);
}

static void query_parameters_are_decoded(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /query?a=1&name=x%20y%2B+z%zz&b= HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, "x y+ z%zz");
    client_send(fd, "GET /query?b&n%61me=1&name=2 HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, "1");
    client_send(fd, "GET /query? HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, "(none)");
    client_send(fd, "GET /query?name HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, "");
    close(fd);
}

static void a_proxy_on_this_machine_names_the_client(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /client HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, "127.0.0.1");
    client_send(fd,
                "GET /client HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 9.8.7.6 , 1.1.1.1\r\n\r\n");
    client_expect(fd, 200, "1.1.1.1");
    /* What stands before the first address that is no proxy is the client's own word. */
    client_send(fd, "GET /client HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: 6.6.6.6\r\n"
                    "X-Forwarded-For: 9.8.7.6, [::1]:80,127.0.0.2\r\n\r\n");
    client_expect(fd, 200, "9.8.7.6");
    client_send(fd, "GET /client HTTP/1.1\r\nHost: t\r\nX-Forwarded-For: ,\r\n\r\n");
    client_expect(fd, 200, "127.0.0.1");
    close(fd);
}

static void lists_of_proxies_are_addresses_and_networks(void **state)
{
    (void)state;
    static const char *const good[] = {"", "loopback", "10.0.0.1", "10.0.0.0/8, fd00::/8 ::1/128",
                                       "loopback,192.168.0.0/0"};
    static const char *const bad[] = {"localhost", "10.0.0", "10.0.0.0/33", "::1/129",
                                      "::1/",      "::1/-1", "10.0.0.1/8x", "10.0.0.1;10.0.0.2"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(http_proxies_valid(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(http_proxies_valid(bad[i]));
}

static void http_1_0_connections_close_unless_kept_alive(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    char *reply = client_reply(fd, NULL);
    assert_non_null(strstr(reply, "\r\nConnection: keep-alive\r\n"));
    free(reply);
    client_send(fd, "GET /ok HTTP/1.0\r\n\r\nGET /ok HTTP/1.0\r\n\r\n");
    reply = client_reply(fd, NULL);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    free(reply);
    assert_null(client_reply(fd, NULL));
    close(fd);
}

static void connection_close_is_honoured(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /ok HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    char *reply = client_reply(fd, NULL);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    free(reply);
    assert_null(client_reply(fd, NULL));
    close(fd);
}

static void an_upgrade_is_not_taken(void **state)
{
    (void)state;
    int fd = client_open(&server);
    for (int i = 0; i < 2; i++) {
        client_send(fd,
                    "GET /ok HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "\r\n");
        client_expect(fd, 200, "{\"ok\":true}");
    }
    close(fd);
}

/* Other origins ------------------------------------------------------------------------------- */

static char *ask_as(int fd, const char *method, const char *path, const char *origin)
{
    int status = 0;
    client_printf(fd, "%s %s HTTP/1.1\r\nHost: t\r\nOrigin: %s\r\n\r\n", method, path, origin);
    char *reply = client_reply(fd, &status);
    assert_int_equal(status, 200);
    return reply;
}

static void pages_of_allowed_origins_may_read_replies(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *origin;
        const char *allowed; /* NULL: none */
    } cases[] = {
        {"/ok", "https://app.example.com", NULL},
        {"/public", "https://any.where", "*"},
        {"/private", "https://app.example.com", "https://app.example.com"},
        {"/private/x", "https://a.b.trusted.org:8443", "https://a.b.trusted.org:8443"},
        {"/private", "https://trusted.org", NULL},
        {"/private", "https://nottrusted.org", NULL},
        {"/private", "https://app.example.com.evil.org", NULL},
        {"/private", "https://evil.org/.trusted.org:1", NULL},
        {"/private", "null", NULL},
    };
    int fd = client_open(&server);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char *reply = ask_as(fd, "GET", cases[i].path, cases[i].origin);
        char wanted[128];
        snprintf(wanted, sizeof(wanted), "\r\nAccess-Control-Allow-Origin: %s\r\n",
                 cases[i].allowed == NULL ? "" : cases[i].allowed);
        assert_int_equal(strstr(reply, wanted) != NULL, cases[i].allowed != NULL);
        if (cases[i].allowed == NULL)
            assert_null(strstr(reply, "Allow-Origin"));
        free(reply);
    }
    close(fd);
}

static void preflight_requests_are_answered_on_any_path(void **state)
{
    (void)state;
    int fd = client_open(&server);
    char *reply = ask_as(fd, "OPTIONS", "/public", "https://any.where");
    assert_non_null(strstr(reply, "\r\nAccess-Control-Allow-Origin: *\r\n"));
    assert_non_null(strstr(reply, "\r\nAccess-Control-Allow-Methods: GET, HEAD, POST, PUT, DELETE, "
                                  "OPTIONS\r\n"));
    assert_non_null(strstr(reply, "\r\nAccess-Control-Allow-Headers: Content-Type"));
    assert_non_null(strstr(reply, "\r\nAccess-Control-Max-Age: 86400\r\n"));
    assert_non_null(strstr(reply, "\r\nContent-Length: 0\r\n"));
    free(reply);
    reply = ask_as(fd, "OPTIONS", "/private", "https://evil.org");
    assert_null(strstr(reply, "Allow-Origin"));
    assert_non_null(strstr(reply, "\r\nVary: Origin\r\n"));
    free(reply);
    free(ask_as(fd, "OPTIONS", "*", "https://any.where"));
    free(ask_as(fd, "OPTIONS", "/nothing", "https://any.where"));
    close(fd);
}

/* Bodies -------------------------------------------------------------------------------------- */

static void chunked_bodies_and_trailers_are_read(void **state)
{
    (void)state;
    int fd = client_open(&server);
    for (int i = 0; i < 2; i++) {
        client_send(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nX-Trailer: 1\r\n\r\n");
        client_expect(fd, 200, "hello world");
    }
    close(fd);
}

static void a_body_of_megabytes_arrives_whole(void **state)
{
    (void)state;
    size_t len = MIB(3) + 17;
    char *body = xmalloc(len + 1);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)('a' + i % 23);
    body[len] = '\0';
    int fd = client_open(&server);
    client_printf(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", len);
    client_send_bytes(fd, body, len);
    client_expect(fd, 200, body);
    free(body);
    close(fd);
}

static void one_hundred_continue_is_sent_when_asked_for(void **state)
{
    (void)state;
    int fd = client_open(&server);
    int status = 0;
    client_send(fd, "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                    "Content-Length: 5\r\n\r\n");
    char *reply = client_reply(fd, &status);
    assert_int_equal(status, 100);
    free(reply);
    client_send(fd, "hello");
    client_expect(fd, 200, "hello");
    close(fd);
}

static void one_hundred_continue_waits_for_its_turn(void **state)
{
    (void)state;
    int fd = client_open(&server);
    unsigned held = server.held_count;
    client_send(fd, "GET /hold?id=7 HTTP/1.1\r\nHost: t\r\n\r\n"
                    "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                    "Content-Length: 2\r\n\r\n");
    server_wait_held(&server, held + 1);
    server_release(&server, 7);
    client_expect(fd, 200, "held 7");
    client_expect(fd, 100, NULL);
    client_send(fd, "ok");
    client_expect(fd, 200, "ok");
    close(fd);
}

static void a_refusal_replaces_one_hundred_continue(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "POST /refuse HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\n"
                    "Content-Length: 5\r\n\r\n");
    client_expect(fd, 401, NULL);
    assert_null(client_reply(fd, NULL));
    close(fd);
}

static void other_expectations_fail(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd,
                "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: the-best\r\nContent-Length: 0\r\n\r\n");
    client_expect(fd, 417, NULL);
    close(fd);
}

static void a_refused_body_is_dropped_and_the_connection_lives(void **state)
{
    (void)state;
    size_t len = KIB(512);
    char *body = xmalloc(len);
    memset(body, 'x', len);
    int fd = client_open(&server);
    for (int i = 0; i < 3; i++) {
        client_printf(fd, "POST /refuse HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", len);
        client_send_bytes(fd, body, len);
        client_expect(fd, 401, "{\"error\":\"Authorization required\",\"code\":\"AUTH_REQUIRED\"}");
    }
    client_send(fd, "GET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
    client_expect(fd, 200, NULL);
    free(body);
    close(fd);
}

static void a_refused_body_too_long_to_drop_ends_the_connection(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_printf(fd, "POST /refuse HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n",
                  LIMIT_HTTP_DROP_BYTES + 1);
    int status = 0;
    char *reply = client_reply(fd, &status);
    assert_int_equal(status, 401);
    assert_non_null(strstr(reply, "\r\nConnection: close\r\n"));
    free(reply);
    assert_null(client_reply(fd, NULL));
    close(fd);
}

/* The client writes all of it before it reads: the reply must survive what arrives unread. */
static void a_refusal_reaches_a_client_that_is_still_sending(void **state)
{
    (void)state;
    char *piece = xmalloc(KIB(64));
    memset(piece, 'x', KIB(64));
    int fd = client_open(&server);
    client_printf(fd, "POST /refuse HTTP/1.1\r\nHost: t\r\nContent-Length: %zu\r\n\r\n", MIB(4));
    for (size_t sent = 0; sent < MIB(4); sent += KIB(64))
        client_send_bytes(fd, piece, KIB(64));
    client_expect(fd, 401, NULL);
    free(piece);
    close(fd);
}

static void chunks_without_end_after_a_refusal_end_the_connection(void **state)
{
    (void)state;
    char *chunk = xmalloc(KIB(16) + 64);
    int head = snprintf(chunk, 64, "4000\r\n");
    memset(chunk + head, 'x', KIB(16));
    memcpy(chunk + head + KIB(16), "\r\n", 2);
    int fd = client_open(&server);
    client_send(fd, "POST /refuse HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    size_t sent = 0;
    while (send(fd, chunk, (size_t)head + KIB(16) + 2, MSG_NOSIGNAL) > 0)
        sent += KIB(16);
    assert_in_range(sent, LIMIT_HTTP_DROP_BYTES, MIB(64));
    free(chunk);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_serves_request_after_request),
        cmocka_unit_test(replies_carry_length_date_and_correlation_id),
        cmocka_unit_test(the_correlation_id_of_the_client_is_used),
        cmocka_unit_test(a_correlation_id_too_short_is_replaced),
        cmocka_unit_test(head_is_answered_without_a_body),
        cmocka_unit_test(unknown_paths_and_methods_are_told_apart),
        cmocka_unit_test(absolute_targets_name_the_same_resource),
        cmocka_unit_test(query_parameters_are_decoded),
        cmocka_unit_test(a_proxy_on_this_machine_names_the_client),
        cmocka_unit_test(lists_of_proxies_are_addresses_and_networks),
        cmocka_unit_test(http_1_0_connections_close_unless_kept_alive),
        cmocka_unit_test(connection_close_is_honoured),
        cmocka_unit_test(an_upgrade_is_not_taken),
        cmocka_unit_test(pages_of_allowed_origins_may_read_replies),
        cmocka_unit_test(preflight_requests_are_answered_on_any_path),
        cmocka_unit_test(chunked_bodies_and_trailers_are_read),
        cmocka_unit_test(a_body_of_megabytes_arrives_whole),
        cmocka_unit_test(one_hundred_continue_is_sent_when_asked_for),
        cmocka_unit_test(one_hundred_continue_waits_for_its_turn),
        cmocka_unit_test(a_refusal_replaces_one_hundred_continue),
        cmocka_unit_test(other_expectations_fail),
        cmocka_unit_test(a_refused_body_is_dropped_and_the_connection_lives),
        cmocka_unit_test(a_refused_body_too_long_to_drop_ends_the_connection),
        cmocka_unit_test(a_refusal_reaches_a_client_that_is_still_sending),
        cmocka_unit_test(chunks_without_end_after_a_refusal_end_the_connection),
    };
    return cmocka_run_group_tests_name("http", tests, server_set_up, server_tear_down);
}
