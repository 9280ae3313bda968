/* Replies in pieces, and routes with parts. */
#include "server.h"

#include <stdio.h>
#include <unistd.h>

#include "tests/test.h"

#define PIECE 100000

/* Undoes the chunked coding of the text behind a reply's head; the bytes used of `raw`, or 0 where
 * its last chunk is missing. */
static size_t unchunk(const char *raw, size_t len, size_t *ret_body)
{
    size_t at = 0;
    *ret_body = 0;
    for (;;) {
        char *end;
        if (at >= len)
            return 0;
        size_t size = strtoul(raw + at, &end, 16);
        assert_memory_equal(end, "\r\n", 2);
        at = (size_t)(end - raw) + 2;
        if (size == 0) {
            assert_memory_equal(raw + at, "\r\n", 2);
            return at + 2;
        }
        if (len - at < size + 2)
            return 0;
        for (size_t i = 0; i < size; i++)
            assert_int_equal(raw[at + i], raw[at]);
        *ret_body += size;
        at += size + 2;
    }
}

static void pieces_come_in_chunks_and_the_connection_goes_on(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /stream?n=50 HTTP/1.1\r\nHost: t\r\n\r\n"
                    "GET /stream?n=0 HTTP/1.1\r\nHost: t\r\n\r\n"
                    "GET /ok HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    size_t len;
    size_t body;
    char *all = client_rest(fd, &len);
    char *first = strstr(all, "\r\n\r\n") + 4;
    *(first - 1) = '\0';
    assert_non_null(strstr(all, "Transfer-Encoding: chunked\r\n"));
    assert_null(strstr(all, "Content-Length"));
    size_t used = unchunk(first, len - (size_t)(first - all), &body);
    assert_int_equal(body, 50 * PIECE);
    const char *second = strstr(first + used, "\r\n\r\n") + 4;
    assert_memory_equal(first + used, "HTTP/1.1 200 OK\r\n", 17);
    used = unchunk(second, len - (size_t)(second - all), &body);
    assert_int_equal(used, 5); /* nothing but the last chunk */
    assert_non_null(strstr(second + used, "{\"ok\":true}"));
    free(all);
    close(fd);
}

static void an_older_client_gets_pieces_until_the_connection_ends(void **state)
{
    (void)state;
    int fd = client_open(&server);
    size_t len;
    client_send(fd, "GET /stream?n=3 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
                    "GET /ok HTTP/1.0\r\n\r\n");
    char *all = client_rest(fd, &len);
    assert_null(strstr(all, "chunked"));
    assert_non_null(strstr(all, "Connection: close\r\n"));
    assert_int_equal(len - (size_t)(reply_body(all) - all), 3 * PIECE);
    free(all);
    close(fd);
}

static void a_head_request_gets_no_pieces(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd,
                "HEAD /stream?n=50 HTTP/1.1\r\nHost: t\r\n\r\nGET /ok HTTP/1.1\r\nHost: t\r\n\r\n");
    int status = 0;
    char *head = client_head_reply(fd, &status);
    assert_int_equal(status, 200);
    free(head);
    client_expect(fd, 200, "{\"ok\":true}");
    close(fd);
}

static void a_reply_that_breaks_off_has_no_last_chunk(void **state)
{
    (void)state;
    int fd = client_open(&server);
    size_t len;
    size_t body;
    client_send(fd, "GET /stream?n=2&cut=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    char *all = client_rest(fd, &len);
    const char *at = reply_body(all);
    assert_int_equal(unchunk(at, len - (size_t)(at - all), &body), 0);
    free(all);
    close(fd);
}

static void pieces_wait_for_earlier_replies(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /hold?id=1 HTTP/1.1\r\nHost: t\r\n\r\n"
                    "GET /stream?n=2 HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    server_wait_held(&server, 1);
    server_release(&server, 1);
    client_expect(fd, 200, "held 1");
    size_t len;
    size_t body;
    char *all = client_rest(fd, &len);
    const char *at = reply_body(all);
    unchunk(at, len - (size_t)(at - all), &body);
    assert_int_equal(body, 2 * PIECE);
    free(all);
    close(fd);
}

static void a_client_that_goes_away_in_the_middle_aborts(void **state)
{
    (void)state;
    int fd = client_open(&server);
    char some[1000];
    client_send(fd, "GET /stream?n=1000000 HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_true(read(fd, some, sizeof(some)) > 0);
    client_reset(fd);
    server_wait_aborts(&server, 1);
    server_wait_connections(&server, 0);
}

static void parts_are_matched_one_by_one_and_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int status;
        const char *body;
    } cases[] = {
        {"/parts/a/x/b", 200, "a|b"},     {"/parts/a%2Fb/x/%2e%2E", 200, "a/b|.."},
        {"/parts/../x/..", 200, "..|.."}, {"/parts/a+b/x/%c3%a9?q=/x/", 200, "a+b|\xc3\xa9"},
        {"/parts/%25/x/@", 200, "%|@"},   {"/parts/%2/x/b", 400, NULL},
        {"/parts/a/x/%zz", 400, NULL},    {"/parts/a/x/%", 400, NULL},
        {"/parts//x/b", 404, NULL},       {"/parts/a/x/", 404, NULL},
        {"/parts/a/x", 404, NULL},        {"/parts/a/x/b/", 404, NULL},
        {"/parts/a/x/b/c", 404, NULL},    {"/parts/a/y/b", 404, NULL},
        {"/parts/a/xx/b", 404, NULL},     {"/parts", 404, NULL},
        {"/partsa/x/b", 404, NULL},
    };
    int fd = client_open(&server);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        client_printf(fd, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", cases[i].path);
        client_expect(fd, cases[i].status, cases[i].body);
    }
    client_send(fd, "POST /parts/a/x/b HTTP/1.1\r\nHost: t\r\nContent-Length: 0\r\n\r\n");
    client_expect(fd, 405, NULL);
    close(fd);
}

static void a_decoded_part_may_hold_a_nul(void **state)
{
    (void)state;
    int fd = client_open(&server);
    client_send(fd, "GET /parts/%00/x/b HTTP/1.1\r\nHost: t\r\n\r\n");
    int status = 0;
    char *reply = client_reply(fd, &status);
    assert_int_equal(status, 200);
    assert_memory_equal(reply_body(reply), "\0|b", 3);
    free(reply);
    close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, server_set_up, server_tear_down)
    const struct CMUnitTest tests[] = {
        T(pieces_come_in_chunks_and_the_connection_goes_on),
        T(an_older_client_gets_pieces_until_the_connection_ends),
        T(a_head_request_gets_no_pieces),
        T(a_reply_that_breaks_off_has_no_last_chunk),
        T(pieces_wait_for_earlier_replies),
        T(a_client_that_goes_away_in_the_middle_aborts),
        T(parts_are_matched_one_by_one_and_decoded),
        T(a_decoded_part_may_hold_a_nul),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
