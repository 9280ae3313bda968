/* A connection: framing, order, limits, and what happens when it goes away. */
#include "fixture.h"

#include "base/metrics.h"
#include "kafka/wire/fetch.h"
#include "kafka/wire/metadata.h"

static void send_api_versions(struct fixture *f, int16_t version)
{
    struct wire_writer w = fixture_request(f, KAFKA_API_VERSIONS, version, version >= 3);
    if (version >= 3) {
        wire_put_string(&w, SLICE("lib"));
        wire_put_string(&w, SLICE("1.0"));
        wire_put_no_tags(&w);
    }
    fixture_send(f);
}

static void send_fetch(struct fixture *f, const char *topic, int64_t offset, int32_t max_wait_ms)
{
    struct wire_writer w = fixture_request(f, KAFKA_FETCH, 12, true);
    struct fetch_partition p = {.current_leader_epoch = -1, .offset = offset, .max_bytes = 1 << 20};
    struct fetch_topic t = {slice_of(topic), 1, &p};
    struct fetch_request q = {.max_wait_ms = max_wait_ms,
                              .min_bytes = 1,
                              .max_bytes = 1 << 20,
                              .session_epoch = -1,
                              .topic_count = 1,
                              .topics = &t};
    fetch_request_write(&w, 12, &q);
    fixture_send(f);
}

static void send_create(struct fixture *f, const char *topic)
{
    struct metadata_topic_name name = {slice_of(topic)};
    struct metadata_request q = {.allow_auto_create = true, .topic_count = 1, .topics = &name};
    struct wire_writer w = fixture_request(f, KAFKA_METADATA, 4, false);
    metadata_request_write(&w, 4, &q);
    fixture_send(f);
}

static void a_request_may_arrive_in_any_pieces(void **state)
{
    struct fixture *f = *state;
    for (size_t piece = 1; piece < 40; piece++) {
        (void)fixture_request(f, KAFKA_API_VERSIONS, 0, false);
        fixture_seal(f);
        for (size_t at = 0; at < f->request.len; at += piece) {
            assert_false(fixture_has_reply(f));
            fake_conn_receive(f->conn, f->request.data + at, MIN(piece, f->request.len - at));
        }
        struct wire_reader r = fixture_reply(f, f->correlation_id, false);
        assert_int_equal(wire_get_i16(&r), 0);
        assert_int_equal(fake_conn_deadline_ms(f->conn), 0);
    }
}

static void many_requests_in_one_piece_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    struct buf all = BUF_INIT;
    for (int i = 0; i < 50; i++) {
        (void)fixture_request(f, KAFKA_API_VERSIONS, 0, false);
        fixture_seal(f);
        buf_append(&all, f->request.data, f->request.len);
    }
    fake_conn_receive(f->conn, all.data, all.len);
    for (int i = 1; i <= 50; i++)
        (void)fixture_reply(f, i, false);
    buf_release(&all);
}

static void an_unknown_api_versions_version_gets_version_0_and_error_35(void **state)
{
    struct fixture *f = *state;
    send_api_versions(f, 77);
    struct wire_reader r = fixture_reply(f, 1, false);
    assert_int_equal(wire_get_i16(&r), KAFKA_UNSUPPORTED_VERSION);
    uint32_t rows = wire_get_array(&r, 6);
    assert_true(rows >= 5);
    for (uint32_t i = 0; i < rows * 3; i++)
        (void)wire_get_i16(&r);
    assert_ok(wire_reader_end(&r, "reply"));
    send_api_versions(f, 3);
    r = fixture_reply(f, 2, false);
    r.flexible = true;
    assert_int_equal(wire_get_i16(&r), 0);
    assert_int_equal(wire_get_array(&r, 7), rows);
}

static void what_is_no_request_ends_the_connection(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *bytes;
        size_t len;
    } cases[] = {
        {"\x7f\xff\xff\xff", 4}, /* 2 GiB: refused by its size alone */
        {"\xff\xff\xff\xff", 4}, /* negative */
        {"\x00\x00\x00\x07", 4}, /* too short for a header */
        {"\x00\x00\x00\x0a\x03\xe7\x00\x00\x00\x00\x00\x01", 12},         /* unknown key */
        {"\x00\x00\x00\x0a\x00\x03\x00\x63\x00\x00\x00\x01\xff\xff", 14}, /* Metadata 99 */
        {"\x00\x00\x00\x0a\x00\x03\x00\x01\x00\x00\x00\x01\x00\x09", 14}, /* client id cut */
        {"\x00\x00\x00\x0a\x00\x03\x00\x01\x00\x00\x00\x01\xff\xff", 14}, /* no body */
        {"\x05\x00\x00\x00\x00\x03\x00\x01\x00\x00\x00\x01", 12},         /* Metadata of 80 MiB */
        {"GET / HTTP/1.1\r\n\r\n", 18},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t bad = metric_get(M_kafka_bad_requests_total);
        struct conn *c = fake_conn_open(f->reactor, &kafka_conn_ops, f->door);
        fake_conn_receive(c, cases[i].bytes, cases[i].len);
        assert_true(fake_conn_ended(c));
        assert_int_equal(fake_conn_out(c)->len, 0);
        assert_int_equal(metric_get(M_kafka_bad_requests_total), bad + 1);
        fake_conn_gone(c);
    }
}

static void replies_before_a_bad_request_still_leave(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    send_fetch(f, "t", 0, 60000);
    send_api_versions(f, 0);
    fake_conn_receive(f->conn, "\xff\xff\xff\xff", 4);
    assert_false(fake_conn_ended(f->conn));
    fixture_append(f, "t", 0, 1, 10);
    fixture_settle(f);
    (void)fixture_reply(f, 1, true);
    (void)fixture_reply(f, 2, false);
    assert_true(fake_conn_ended(f->conn));
}

static void a_parked_fetch_keeps_its_place(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    send_fetch(f, "t", 0, 60000);
    send_api_versions(f, 0);
    send_api_versions(f, 1);
    fixture_settle(f);
    assert_int_equal(fake_conn_out(f->conn)->len, 0);
    fixture_append(f, "t", 0, 3, 10);
    fixture_settle(f);
    (void)fixture_reply(f, 1, true);
    (void)fixture_reply(f, 2, false);
    (void)fixture_reply(f, 3, false);
}

static void input_behind_a_parked_fetch_is_bounded(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    send_fetch(f, "t", 0, 60000);
    unsigned sent = 0;
    while (!fake_conn_paused(f->conn)) {
        send_api_versions(f, 0);
        assert_true(++sent < 10000);
    }
    assert_true(atomic_load(&f->door->buffered_bytes) <= KIB(256));
    fixture_append(f, "t", 0, 1, 10);
    fixture_settle(f);
    assert_false(fake_conn_paused(f->conn));
    for (unsigned i = 0; i <= sent; i++)
        (void)fixture_reply(f, (int32_t)i + 1, i == 0);
    assert_int_equal(atomic_load(&f->door->buffered_bytes), 0);
}

static void a_client_that_does_not_read_is_not_served_on(void **state)
{
    struct fixture *f = *state;
    fake_conn_set_backlog(f->conn, MIB(2));
    send_api_versions(f, 0);
    assert_false(fixture_has_reply(f));
    fake_conn_set_backlog(f->conn, 0);
    (void)fixture_reply(f, 1, false);
}

static void a_partial_request_must_make_progress(void **state)
{
    struct fixture *f = *state;
    fake_conn_receive(f->conn, "\x00\x00\x10\x00\x00", 5);
    assert_true(fake_conn_deadline_ms(f->conn) > 0);
    fake_conn_deadline_passes(f->conn);
    assert_true(fake_conn_ended(f->conn));
}

static void partial_requests_share_one_bound_of_memory(void **state)
{
    struct fixture *f = *state;
    atomic_fetch_add(&f->door->buffered_bytes, LIMIT_KAFKA_BUFFERED_BYTES - 3);
    fake_conn_receive(f->conn, "\x00\x00\x10\x00\x00", 5);
    assert_true(fake_conn_ended(f->conn));
    atomic_fetch_sub(&f->door->buffered_bytes, LIMIT_KAFKA_BUFFERED_BYTES - 3);
}

static void a_large_claim_takes_no_memory(void **state)
{
    struct fixture *f = *state;
    /* A Produce request of 99 MiB, of which 12 bytes came. */
    fake_conn_receive(f->conn, "\x06\x30\x00\x00\x00\x00\x00\x03\x00\x00\x00\x01", 12);
    assert_false(fake_conn_ended(f->conn));
    assert_true(atomic_load(&f->door->buffered_bytes) < KIB(1));
}

static void a_connection_may_go_while_requests_are_in_work(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    send_fetch(f, "t", 0, 60000); /* parked */
    fake_conn_gone(f->conn);
    f->conn = fake_conn_open(f->reactor, &kafka_conn_ops, f->door);
    send_fetch(f, "t", 0, 60000);
    fixture_append(f, "t", 0, 1, 10); /* its message is posted, but has not run */
    fake_conn_gone(f->conn);
    fixture_settle(f);
    f->conn = fake_conn_open(f->reactor, &kafka_conn_ops, f->door);
    send_create(f, "made"); /* its job has not run */
    fake_conn_gone(f->conn);
    f->conn = NULL;
    fixture_settle(f);
    assert_non_null(log_find_stream(f->log, "made", 4));
    assert_int_equal(atomic_load(&f->door->session_count), 0);
}

static void draining_answers_parked_fetches_and_closes(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    struct conn *idle = fake_conn_open(f->reactor, &kafka_conn_ops, f->door);
    send_fetch(f, "t", 0, 60000);
    kafka_door_drain(f->door);
    kafka_door_drain(f->door);
    fixture_settle(f);
    (void)fixture_reply(f, 1, true);
    assert_true(fake_conn_ended(f->conn));
    assert_true(fake_conn_ended(idle));
    fake_conn_gone(idle);
    assert_null(fake_conn_open(f->reactor, &kafka_conn_ops, f->door));
}

static void draining_finishes_what_was_asked(void **state)
{
    struct fixture *f = *state;
    send_create(f, "made");
    kafka_door_drain(f->door);
    fake_reactor_run(f->reactor);
    assert_false(fake_conn_ended(f->conn));
    fixture_settle(f);
    (void)fixture_reply(f, 1, false);
    assert_true(fake_conn_ended(f->conn));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_request_may_arrive_in_any_pieces),
        TEST(many_requests_in_one_piece_are_answered_in_order),
        TEST(an_unknown_api_versions_version_gets_version_0_and_error_35),
        TEST(what_is_no_request_ends_the_connection),
        TEST(replies_before_a_bad_request_still_leave),
        TEST(a_parked_fetch_keeps_its_place),
        TEST(input_behind_a_parked_fetch_is_bounded),
        TEST(a_client_that_does_not_read_is_not_served_on),
        TEST(a_partial_request_must_make_progress),
        TEST(partial_requests_share_one_bound_of_memory),
        TEST(a_large_claim_takes_no_memory),
        TEST(a_connection_may_go_while_requests_are_in_work),
        TEST(draining_answers_parked_fetches_and_closes),
        TEST(draining_finishes_what_was_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
