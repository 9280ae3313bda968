/* The small consumer against a peer that answers nonsense, or stops in the middle. */
#include "tests/test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cursor.h"
#include "kafka/client.h"
#include "kafka/wire/metadata.h"

/** Answers one connection's first request with these bytes and closes. */
struct peer {
    int listener;
    char address[32];
    const char *reply;
    size_t reply_len;
    pthread_t thread;
};

static void *peer_main(void *arg)
{
    struct peer *p = arg;
    int fd = accept(p->listener, NULL, NULL);
    char request[1024];
    if (fd >= 0 && recv(fd, request, sizeof(request), 0) > 0)
        (void)!send(fd, p->reply, p->reply_len, MSG_NOSIGNAL);
    close(fd);
    return NULL;
}

static void peer_start(struct peer *p, const char *reply, size_t len)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t a_len = sizeof(a);
    p->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(p->listener, 1), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&a, &a_len), 0);
    snprintf(p->address, sizeof(p->address), "127.0.0.1:%u", ntohs(a.sin_port));
    p->reply = reply;
    p->reply_len = len;
    assert_int_equal(pthread_create(&p->thread, NULL, peer_main, p), 0);
}

/** What kafka_client_partitions makes of that reply. */
static err_t partitions_from(const char *reply, size_t len, unsigned *ret_count)
{
    struct peer p;
    peer_start(&p, reply, len);
    struct kafka_client *c;
    assert_ok(kafka_client_connect(p.address, &c));
    err_t err = kafka_client_partitions(c, "t", ret_count);
    kafka_client_close(c);
    pthread_join(p.thread, NULL);
    close(p.listener);
    return err;
}

static struct buf good_reply(void)
{
    struct buf b = BUF_INIT;
    struct wire_writer w = {&b, true};
    struct metadata_broker broker = {
        .node_id = 1, .host = SLICE("h"), .port = 9092, .cluster_id = SLICE("c")};
    struct metadata_topic topic = {.name = SLICE("t"), .partition_count = 3};
    put_u32(&b, 0);
    wire_put_i32(&w, 1); /* the client's first correlation id */
    wire_put_no_tags(&w);
    metadata_reply_head_write(&w, 12, &broker, 1);
    metadata_reply_topic_write(&w, 12, 1, &topic);
    metadata_reply_tail_write(&w, 12);
    store_u32(b.data, (uint32_t)(b.len - 4));
    return b;
}

static void a_good_reply_is_read(void **state)
{
    (void)state;
    struct buf b = good_reply();
    unsigned count = 0;
    assert_ok(partitions_from(b.data, b.len, &count));
    assert_int_equal(count, 3);
    buf_release(&b);
}

static void a_reply_that_stops_is_an_error(void **state)
{
    (void)state;
    struct buf b = good_reply();
    unsigned count = 0;
    for (size_t len = 0; len < b.len; len += 7)
        assert_int_equal(partitions_from(b.data, len, &count), ERR_UNAVAILABLE);
    buf_release(&b);
}

static void a_reply_that_does_not_parse_is_an_error(void **state)
{
    (void)state;
    struct buf b = good_reply();
    unsigned count = 0;
    for (size_t cut = b.len - 4; cut > 4; cut -= 9) { /* whole by its size, too short by content */
        store_u32(b.data, (uint32_t)(cut - 4));
        assert_int_equal(partitions_from(b.data, b.len, &count), ERR_CORRUPT);
    }
    store_u32(b.data, (uint32_t)(b.len - 4));
    b.data[7] ^= 2; /* another correlation id */
    assert_int_equal(partitions_from(b.data, b.len, &count), ERR_CORRUPT);
    assert_int_equal(partitions_from("HTTP/1.1 400 Bad Request\r\n", 26, &count), ERR_CORRUPT);
    buf_release(&b);
}

static void bad_addresses_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "host", ":9092", "host:", "[]:1"};
    struct kafka_client *c;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_not_equal(kafka_client_connect(bad[i], &c), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_reply_is_read),
        cmocka_unit_test(a_reply_that_stops_is_an_error),
        cmocka_unit_test(a_reply_that_does_not_parse_is_an_error),
        cmocka_unit_test(bad_addresses_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
