/* Fetch: limits, errors, the long poll; ListOffsets and Metadata answers. */
#include "fixture.h"

#include <fcntl.h>
#include <unistd.h>

#include "kafka/warm.h"
#include "kafka/wire/fetch.h"
#include "kafka/wire/list_offsets.h"
#include "kafka/wire/metadata.h"
#include "tests/cached.h"

#define PARTITIONS_MAX 4

struct asked {
    const char *topic;
    int32_t index;
    int64_t offset;
    int32_t max_bytes;
    int32_t leader_epoch;
};

struct fetch_options {
    int32_t max_wait_ms;
    int32_t min_bytes;
    int32_t max_bytes;
    int32_t session_id;
    int32_t session_epoch;
};

static const struct fetch_options at_once = {0, 1, 1 << 20, 0, -1};
static const struct fetch_options parked = {60000, 1, 1 << 20, 0, -1};

static void send_fetch(struct fixture *f, int16_t version, struct fetch_options o,
                       const struct asked *asked, size_t count)
{
    struct fetch_partition p[PARTITIONS_MAX];
    struct fetch_topic t[PARTITIONS_MAX];
    for (size_t i = 0; i < count; i++) {
        p[i] = (struct fetch_partition){.index = asked[i].index,
                                        .current_leader_epoch = asked[i].leader_epoch,
                                        .offset = asked[i].offset,
                                        .max_bytes = asked[i].max_bytes};
        t[i] = (struct fetch_topic){slice_of(asked[i].topic), 1, &p[i]};
    }
    struct fetch_request q = {.max_wait_ms = o.max_wait_ms,
                              .min_bytes = o.min_bytes,
                              .max_bytes = o.max_bytes,
                              .session_id = o.session_id,
                              .session_epoch = o.session_epoch,
                              .topic_count = (uint32_t)count,
                              .topics = t};
    struct wire_writer w = fixture_request(f, KAFKA_FETCH, version, version >= FETCH_FLEXIBLE);
    fetch_request_write(&w, version, &q);
    fixture_send(f);
}

static struct arena arena;

static struct fetch_reply fetched(struct fixture *f, int16_t version)
{
    struct wire_reader r = fixture_reply(f, f->correlation_id, version >= FETCH_FLEXIBLE);
    struct fetch_reply reply;
    fetch_reply_read(&r, version, &arena, &reply);
    assert_ok(wire_reader_end(&r, "reply"));
    return reply;
}

static const struct fetch_partition *answer(const struct fetch_reply *reply, unsigned i)
{
    assert_true(i < reply->topic_count);
    assert_int_equal(reply->topics[i].partition_count, 1);
    return &reply->topics[i].partitions[0];
}

static int arena_teardown(void **state)
{
    arena_release(&arena);
    return fixture_teardown(state);
}

static void every_version_returns_the_batches(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    fixture_append(f, "t", 0, 3, 100);
    fixture_append(f, "t", 0, 2, 100);
    for (int16_t version = 4; version <= 12; version++) {
        send_fetch(f, version, at_once, &(struct asked){"t", 0, 0, 1 << 20, 0}, 1);
        struct fetch_reply reply = fetched(f, version);
        const struct fetch_partition *p = answer(&reply, 0);
        assert_int_equal(p->error, 0);
        assert_int_equal(p->high_watermark, 5);
        struct batch_header h;
        assert_ok(batch_check(p->records.data, p->records.len, &h));
        assert_int_equal(h.base_offset, 0);
        size_t first = batch_total_bytes(&h);
        assert_ok(batch_check(p->records.data + first, p->records.len - first, &h));
        assert_int_equal(h.base_offset, 3);
        assert_int_equal(p->records.len, first + batch_total_bytes(&h));
    }
}

static void the_batch_that_holds_the_offset_comes_whole(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    fixture_append(f, "t", 0, 3, 100);
    fixture_append(f, "t", 0, 3, 100);
    send_fetch(f, 12, at_once, &(struct asked){"t", 0, 4, 1, -1}, 1);
    struct fetch_reply reply = fetched(f, 12);
    struct batch_header h;
    assert_ok(batch_check(answer(&reply, 0)->records.data, answer(&reply, 0)->records.len, &h));
    assert_int_equal(h.base_offset, 3);
}

static void limits_hold_except_for_the_first_batch(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "a", 1);
    fixture_topic(f, "b", 1);
    fixture_topic(f, "c", 1);
    fixture_append(f, "b", 0, 1, 1000);
    fixture_append(f, "c", 0, 1, 1000);
    const struct asked three[] = {
        {"a", 0, 0, 1 << 20, -1}, {"b", 0, 0, 10, -1}, {"c", 0, 0, 1 << 20, -1}};
    struct fetch_options o = at_once;
    o.max_bytes = 10;
    send_fetch(f, 12, o, three, 3);
    struct fetch_reply reply = fetched(f, 12);
    assert_int_equal(reply.topic_count, 3);
    assert_int_equal(answer(&reply, 0)->records.len, 0);
    assert_true(answer(&reply, 1)->records.len > 1000);
    assert_int_equal(answer(&reply, 2)->records.len, 0);
    assert_int_equal(answer(&reply, 2)->high_watermark, 1);
    o.max_bytes = 1500; /* room is left, but not for a whole batch */
    send_fetch(f, 12, o, three, 3);
    reply = fetched(f, 12);
    assert_int_equal(answer(&reply, 2)->records.len, 0);
    o.max_bytes = 3000;
    send_fetch(f, 12, o, three, 3);
    reply = fetched(f, 12);
    assert_true(answer(&reply, 2)->records.len > 1000);
}

static void errors_are_told_per_partition(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    fixture_append(f, "t", 0, 2, 10);
    static const struct {
        struct asked asked;
        int16_t error;
    } cases[] = {
        {{"t", 0, 3, 100, -1}, 1},        {{"t", 0, -1, 100, -1}, 1}, {{"t", 1, 0, 100, -1}, 3},
        {{"no", 0, 0, 100, -1}, 3},       {{"t", -5, 0, 100, -1}, 3}, {{"t", 0, 0, 100, 3}, 75},
        {{"t", 0, 0, 100, INT32_MIN}, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        send_fetch(f, 12, parked, &cases[i].asked, 1);
        struct fetch_reply reply = fetched(f, 12);
        assert_int_equal(answer(&reply, 0)->error, cases[i].error);
    }
}

static void an_out_of_range_partition_beside_an_empty_one_answers_at_once(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "a", 1);
    fixture_topic(f, "b", 1);
    const struct asked both[] = {{"a", 0, 0, 100, -1}, {"b", 0, 77, 100, -1}};
    send_fetch(f, 11, parked, both, 2);
    struct fetch_reply reply = fetched(f, 11);
    assert_int_equal(answer(&reply, 0)->error, 0);
    assert_int_equal(answer(&reply, 1)->error, 1);
}

static void a_parked_fetch_wakes_for_any_of_its_partitions(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "a", 1);
    fixture_topic(f, "b", 1);
    const struct asked both[] = {{"a", 0, 0, 1000, -1}, {"b", 0, 0, 1000, -1}};
    send_fetch(f, 12, parked, both, 2);
    fixture_settle(f);
    assert_false(fixture_has_reply(f));
    fixture_append(f, "b", 0, 1, 10);
    assert_int_equal(fake_reactor_run(f->reactor), 1);
    struct fetch_reply reply = fetched(f, 12);
    assert_int_equal(answer(&reply, 0)->records.len, 0);
    assert_true(answer(&reply, 1)->records.len > 0);
    fixture_append(f, "a", 0, 1, 10); /* nobody waits any more */
    assert_int_equal(fake_reactor_run(f->reactor), 0);
}

static void a_parked_fetch_waits_for_min_bytes(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    struct fetch_options o = parked;
    o.min_bytes = 400;
    send_fetch(f, 12, o, &(struct asked){"t", 0, 0, 1 << 20, -1}, 1);
    for (int i = 0; i < 3; i++) {
        fixture_append(f, "t", 0, 1, 50);
        fixture_settle(f);
        assert_false(fixture_has_reply(f));
    }
    fixture_append(f, "t", 0, 1, 50);
    fixture_settle(f);
    struct fetch_reply reply = fetched(f, 12);
    assert_true(answer(&reply, 0)->records.len >= 400);
}

static void a_parked_fetch_ends_with_its_time(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    struct fetch_options o = parked;
    o.max_wait_ms = 5;
    o.min_bytes = 1000;
    send_fetch(f, 12, o, &(struct asked){"t", 0, 0, 1 << 20, -1}, 1);
    fixture_append(f, "t", 0, 1, 50);
    fixture_settle(f); /* looked at again, and parked again */
    while (!fixture_has_reply(f))
        fake_reactor_wait_timer(f->reactor);
    struct fetch_reply reply = fetched(f, 12);
    assert_true(answer(&reply, 0)->records.len > 0); /* less than asked, better than nothing */
}

static void a_timer_and_an_append_at_once_answer_once(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    struct fetch_options o = parked;
    o.max_wait_ms = 1;
    send_fetch(f, 12, o, &(struct asked){"t", 0, 0, 1 << 20, -1}, 1);
    fixture_append(f, "t", 0, 1, 50); /* posted, not yet run */
    fake_reactor_wait_timer(f->reactor);
    assert_false(fixture_has_reply(f));
    assert_int_equal(fake_reactor_run(f->reactor), 1);
    struct fetch_reply reply = fetched(f, 12);
    assert_true(answer(&reply, 0)->records.len > 0);
    assert_int_equal(fake_conn_out(f->conn)->len, 0);
}

/** Puts the first batches of a partition out of the page cache, where the file system does that. */
static bool evict(struct fixture *f, const char *topic)
{
    struct log_slice slice;
    struct stream *s = log_find_stream(f->log, topic, strlen(topic));
    assert_ok(shard_slice(stream_shard(s, 0), 0, 1 << 20, &slice));
    assert_true(slice_is_cached(&slice));
    fdatasync(slice.fd);
    posix_fadvise(slice.fd, 0, 0, POSIX_FADV_DONTNEED);
    bool evicted = cached_bytes(slice.fd, slice.position, 1) == 0;
    log_slice_release(&slice);
    return evicted;
}

static void cold_data_is_read_in_by_a_worker(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    fixture_append(f, "t", 0, 10, 5000);
    fixture_settle(f); /* jobs of the log */
    bool evicted = false, by_worker = false;
    for (int tries = 0; tries < 20 && !by_worker; tries++) {
        /* The look itself starts to read, and where the thread is kept from its processor the page
         * may be there when it looks. */
        evicted |= evict(f, "t");
        send_fetch(f, 12, at_once, &(struct asked){"t", 0, 0, 1 << 20, -1}, 1);
        by_worker = !fixture_has_reply(f);
        assert_int_equal(worker_pool_run(f->workers), by_worker ? 1 : 0);
        fixture_settle(f);
        struct fetch_reply reply = fetched(f, 12);
        assert_true(answer(&reply, 0)->records.len > 50000);
    }
    assert_int_equal(by_worker, evicted);
    evict(f, "t");
    send_fetch(f, 12, at_once, &(struct asked){"t", 0, 0, 1 << 20, -1}, 1);
    fake_conn_gone(f->conn); /* while the worker reads */
    f->conn = NULL;
    fixture_settle(f);
}

static void no_sessions_are_kept(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    struct fetch_options o = at_once;
    o.session_id = 5;
    o.session_epoch = 3;
    send_fetch(f, 12, o, &(struct asked){"t", 0, 0, 100, -1}, 1);
    struct fetch_reply reply = fetched(f, 12);
    assert_int_equal(reply.error, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    assert_int_equal(reply.topic_count, 0);
    o.session_id = 0;
    o.session_epoch = 0;
    send_fetch(f, 12, o, &(struct asked){"t", 0, 0, 100, -1}, 1);
    reply = fetched(f, 12);
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.topic_count, 1);
}

static void versions_below_4_are_refused_in_their_frame(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    fixture_append(f, "t", 0, 1, 50);
    for (int16_t version = 0; version <= 3; version++) {
        send_fetch(f, version, at_once, &(struct asked){"t", 0, 0, 100, -1}, 1);
        struct fetch_reply reply = fetched(f, version);
        assert_int_equal(answer(&reply, 0)->error, KAFKA_UNSUPPORTED_VERSION);
        assert_int_equal(answer(&reply, 0)->records.len, 0);
    }
}

/* ListOffsets ---------------------------------------------------------------------------- */

static struct list_offsets_partition listed(struct fixture *f, int16_t version, const char *topic,
                                            int64_t timestamp)
{
    struct list_offsets_partition p = {
        .current_leader_epoch = -1, .timestamp = timestamp, .max_offsets = 1};
    struct list_offsets_topic t = {slice_of(topic), 1, &p};
    struct list_offsets_request q = {1, &t};
    struct wire_writer w =
        fixture_request(f, KAFKA_LIST_OFFSETS, version, version >= LIST_OFFSETS_FLEXIBLE);
    list_offsets_request_write(&w, version, &q);
    fixture_send(f);
    fixture_settle(f);
    struct wire_reader r = fixture_reply(f, f->correlation_id, w.flexible);
    struct list_offsets_request reply;
    list_offsets_reply_read(&r, version, &arena, &reply);
    assert_ok(wire_reader_end(&r, "reply"));
    return reply.topics[0].partitions[0];
}

static void offsets_are_listed_by_end_and_by_time(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    int64_t start_ms = clock_wall_ms(&f->clock.base);
    for (int i = 0; i < 3; i++) {
        fixture_append(f, "t", 0, 2, 10);
        clock_manual_advance_us(&f->clock, 1000000);
    }
    static const struct {
        int16_t version;
        int64_t timestamp; /* >= 0: behind the start */
        int16_t error;
        int64_t offset;
    } cases[] = {
        {1, -1, 0, 6},   {7, -1, 0, 6},    {1, -2, 0, 0}, {7, 0, 0, 0},    {4, 1, 0, 2},
        {7, 2000, 0, 4}, {7, 2001, 0, -1}, {7, -3, 0, 4}, {6, -3, 35, -1}, {7, -7, 35, -1},
        {0, -1, 0, 6},   {0, -2, 0, 0},    {0, 1, 0, 2},  {0, 2001, 0, 6},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t ts = cases[i].timestamp < 0 ? cases[i].timestamp : start_ms + cases[i].timestamp;
        struct list_offsets_partition p = listed(f, cases[i].version, "t", ts);
        assert_int_equal(p.error, cases[i].error);
        assert_int_equal(p.found_offset, cases[i].offset);
    }
    assert_int_equal(listed(f, 7, "t", start_ms + 1).found_timestamp, start_ms + 1000);
    assert_int_equal(listed(f, 7, "t", -1).found_timestamp, -1);
    assert_int_equal(listed(f, 7, "no", -1).error, 3);
    fixture_topic(f, "empty", 1);
    assert_int_equal(listed(f, 7, "empty", -3).found_offset, -1);
    assert_int_equal(listed(f, 7, "empty", start_ms).found_offset, -1);
}

/* Metadata ------------------------------------------------------------------------------- */

static struct metadata_topic described(struct fixture *f, const char *topic, bool create)
{
    struct metadata_topic_name name = {slice_of(topic)};
    struct metadata_request q = {.allow_auto_create = create, .topic_count = 1, .topics = &name};
    struct wire_writer w = fixture_request(f, KAFKA_METADATA, 12, true);
    metadata_request_write(&w, 12, &q);
    fixture_send(f);
    fixture_settle(f);
    struct wire_reader r = fixture_reply(f, f->correlation_id, true);
    struct metadata_topic t;
    metadata_reply_read(&r, 12, &t);
    assert_ok(wire_reader_end(&r, "reply"));
    return t;
}

static void metadata_creates_topics_where_it_may(void **state)
{
    struct fixture *f = *state;
    static const char long_name[] =
        "0123456789012345678901234567890123456789012345678901234567890123"
        "0123456789012345678901234567890123456789012345678901234567890123"
        "0123456789012345678901234567890123456789012345678901234567890123"
        "0123456789012345678901234567890123456789012345678901234567";
    static const struct {
        const char *name;
        bool create;
        int16_t error;
        unsigned partitions;
    } cases[] = {
        {"new", false, 3, 0},         {"new", true, 0, 2},
        {"new", false, 0, 2},         {"acme.events", true, 17, 0},
        {"acme.events", false, 3, 0}, {"__consumer_offsets", true, 17, 0},
        {"bad/name", true, 17, 0},    {"", true, 17, 0},
        {"..", true, 17, 0},          {long_name, true, 17, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct metadata_topic t = described(f, cases[i].name, cases[i].create);
        assert_int_equal(t.error, cases[i].error);
        assert_int_equal(t.partition_count, cases[i].partitions);
        assert_true(slice_equal(t.name, slice_of(cases[i].name)));
    }
    f->door->auto_create_topics = false;
    assert_int_equal(described(f, "other", true).error, 3);
}

static void topics_named_twice_are_told_once(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "a", 1);
    fixture_topic(f, "b", 1);
    struct metadata_topic_name names[] = {{SLICE("b")}, {SLICE("a")}, {SLICE("b")}, {SLICE("a")}};
    struct metadata_request q = {.topic_count = 4, .topics = names};
    struct wire_writer w = fixture_request(f, KAFKA_METADATA, 4, false);
    metadata_request_write(&w, 4, &q);
    fixture_send(f);
    struct wire_reader r = fixture_reply(f, 1, false);
    (void)cursor_bytes(&r.at, 4 + 4 + 4 + 2 + 4 + 4 + 2 + 2 + 7 + 4); /* up to the topics */
    assert_int_equal(wire_get_array(&r, 4), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, arena_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_version_returns_the_batches),
        TEST(the_batch_that_holds_the_offset_comes_whole),
        TEST(limits_hold_except_for_the_first_batch),
        TEST(errors_are_told_per_partition),
        TEST(an_out_of_range_partition_beside_an_empty_one_answers_at_once),
        TEST(a_parked_fetch_wakes_for_any_of_its_partitions),
        TEST(a_parked_fetch_waits_for_min_bytes),
        TEST(a_parked_fetch_ends_with_its_time),
        TEST(a_timer_and_an_append_at_once_answer_once),
        TEST(cold_data_is_read_in_by_a_worker),
        TEST(no_sessions_are_kept),
        TEST(versions_below_4_are_refused_in_their_frame),
        TEST(offsets_are_listed_by_end_and_by_time),
        TEST(metadata_creates_topics_where_it_may),
        TEST(topics_named_twice_are_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
