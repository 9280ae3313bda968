/* Produce: what is taken, what is refused and how, and when it is answered. */
#include "fixture.h"

#include "base/crc32c.h"
#include "kafka/produce_check.h"
#include "kafka/wire/produce.h"

static void produce_body(struct wire_writer *w, int16_t version, int16_t acks, const char *topic,
                         int32_t partition, const uint8_t *batch, uint32_t len)
{
    if (version >= 3)
        wire_put_nullable_string(w, (struct slice){NULL, 0});
    wire_put_i16(w, acks);
    wire_put_i32(w, 30000);
    wire_put_array(w, 1);
    wire_put_string(w, slice_of(topic));
    wire_put_array(w, 1);
    wire_put_i32(w, partition);
    wire_put_records_length(w, len);
    buf_append(w->out, batch, len);
    wire_put_no_tags(w);
    wire_put_no_tags(w);
    wire_put_no_tags(w);
}

static void send_produce(struct fixture *f, int16_t version, int16_t acks, const char *topic,
                         int32_t partition, const uint8_t *batch, uint32_t len)
{
    struct wire_writer w = fixture_request(f, KAFKA_PRODUCE, version, version >= PRODUCE_FLEXIBLE);
    produce_body(&w, version, acks, topic, partition, batch, len);
    fixture_send(f);
}

struct produced {
    int16_t error;
    int64_t base_offset;
    int64_t append_time_ms;
};

static struct produced produced_read(struct fixture *f, int32_t correlation_id, int16_t version)
{
    struct wire_reader r = fixture_reply(f, correlation_id, version >= PRODUCE_FLEXIBLE);
    struct produced p = {.append_time_ms = -2};
    assert_int_equal(wire_get_array(&r, 2), 1);
    (void)wire_get_string(&r);
    assert_int_equal(wire_get_array(&r, 5), 1);
    (void)wire_get_i32(&r);
    p.error = wire_get_i16(&r);
    p.base_offset = wire_get_i64(&r);
    if (version >= 2)
        p.append_time_ms = wire_get_i64(&r);
    assert_true(wire_ok(&r));
    return p;
}

static void a_batch_is_stored_as_sent_and_answered_when_durable(void **state)
{
    struct fixture *f = *state;
    struct shard *sh = stream_shard(fixture_topic(f, "t", 1), 0);
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 5, 100, &len);
    static const int16_t versions[] = {3, 5, 7, 8, 9};
    for (int i = 0; i < (int)ARRAY_LEN(versions); i++) {
        send_produce(f, versions[i], i % 2 == 0 ? -1 : 1, "t", 0, batch, len);
        fake_reactor_run(f->reactor);
        assert_false(fixture_has_reply(f));
        fixture_settle(f);
        struct produced p = produced_read(f, i + 1, versions[i]);
        assert_int_equal(p.error, 0);
        assert_int_equal(p.base_offset, i * 5);
        assert_int_equal(p.append_time_ms, -1);
    }
    assert_int_equal(shard_high_watermark(sh), 25);
    struct log_slice slice;
    assert_ok(shard_slice(sh, 0, 1, &slice));
    uint8_t *stored = xmalloc(slice.len);
    assert_ok(log_slice_read(&slice, 0, stored, slice.len));
    assert_int_equal(slice.len, len);
    assert_memory_equal(stored, batch, len);
    log_slice_release(&slice);
    free(stored);
    free(batch);
}

static void a_namespace_stream_stamps_the_append_time(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "acme.events", 1);
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 1, 10, &len);
    clock_manual_advance_us(&f->clock, 5000000);
    send_produce(f, 9, -1, "acme.events", 0, batch, len);
    fixture_settle(f);
    struct produced p = produced_read(f, 1, 9);
    assert_int_equal(p.error, 0);
    assert_int_equal(p.append_time_ms, clock_wall_ms(&f->clock.base));
    free(batch);
}

static void set_crc(uint8_t *batch, uint32_t len)
{
    store_u32(batch + 17, crc32c(0, batch + 21, len - 21));
}

enum { AT_BASE = 0, AT_LENGTH = 8, AT_MAGIC = 16, AT_CRC = 17, AT_ATTR = 21, AT_DELTA = 23 };
enum { AT_PRODUCER = 43, AT_COUNT = 57 };

static void each_fault_of_a_batch_has_its_code(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *name;
        size_t at;
        size_t width;
        uint64_t value;
        bool keep_crc;
        int16_t version;
        int16_t error;
    } cases[] = {
        {"good", AT_BASE, 0, 0, false, 3, 0},
        {"crc", AT_CRC, 4, 0, true, 3, 2},
        {"last byte", 90, 1, 0x55, true, 3, 2},
        {"base offset", AT_BASE, 8, 1, false, 3, 87},
        {"length too small", AT_LENGTH, 4, 48, true, 3, 2},
        {"length negative", AT_LENGTH, 4, UINT32_MAX, true, 3, 2},
        {"length beyond the end", AT_LENGTH, 4, 100000, true, 3, 2},
        {"length over the limit", AT_LENGTH, 4, MIB(8), true, 3, 10},
        {"bytes left over", AT_LENGTH, 4, 60, true, 3, 87},
        {"magic 1", AT_MAGIC, 1, 1, true, 3, 87},
        {"magic 3", AT_MAGIC, 1, 3, true, 3, 87},
        {"codec 5", AT_ATTR, 2, 5, false, 3, 76},
        {"zstd before 7", AT_ATTR, 2, 4, false, 6, 76},
        {"zstd from 7 on", AT_ATTR, 2, 4, false, 7, 0},
        {"transactional", AT_ATTR, 2, 0x10, false, 3, 42},
        {"control", AT_ATTR, 2, 0x20, false, 3, 87},
        {"append time", AT_ATTR, 2, 0x08, false, 3, 32},
        {"delete horizon", AT_ATTR, 2, 0x40, false, 3, 87},
        {"our key mark", AT_ATTR, 2, BATCH_ATTR_KEYED, false, 3, 87},
        {"delta below count", AT_DELTA, 4, 1, false, 3, 87},
        {"delta above count", AT_DELTA, 4, 3, false, 3, 87},
        {"delta wraps", AT_DELTA, 4, UINT32_MAX, false, 3, 87},
        {"count 0", AT_COUNT, 4, 0, false, 3, 87},
        {"count negative", AT_COUNT, 4, UINT32_MAX, false, 3, 87},
        {"producer id", AT_PRODUCER, 8, 7, false, 3, 42},
    };
    uint32_t len;
    uint8_t *good = fixture_batch(f, 3, 20, &len);
    uint8_t *bad = xmalloc(len);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        memcpy(bad, good, len);
        for (size_t k = 0; k < cases[i].width; k++)
            bad[cases[i].at + k] = (uint8_t)(cases[i].value >> (8 * (cases[i].width - 1 - k)));
        if (!cases[i].keep_crc)
            set_crc(bad, len);
        struct batch_header h;
        const char *text = NULL;
        int16_t error =
            produce_check((struct slice){(char *)bad, len}, cases[i].version, &h, &text);
        if (error != cases[i].error)
            print_error("%s\n", cases[i].name);
        assert_int_equal(error, cases[i].error);
        assert_int_equal(text == NULL, error == 0);
    }
    free(bad);
    free(good);
}

static void every_truncation_of_a_batch_is_refused(void **state)
{
    struct fixture *f = *state;
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 3, 20, &len);
    for (uint32_t cut = 0; cut < len; cut++) {
        char *exact = xmalloc(cut + 1);
        memcpy(exact, batch, cut);
        struct batch_header h;
        const char *text;
        int16_t error = produce_check((struct slice){exact, cut}, 9, &h, &text);
        assert_int_equal(error, cut == 0 ? 87 : 2);
        free(exact);
    }
    free(batch);
}

static void a_count_that_cannot_fit_is_refused(void **state)
{
    struct fixture *f = *state;
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 3, 0, &len);
    store_u32(batch + AT_COUNT, 1000);
    store_u32(batch + AT_DELTA, 999);
    set_crc(batch, len);
    struct batch_header h;
    const char *text;
    assert_int_equal(produce_check((struct slice){(char *)batch, len}, 9, &h, &text), 87);
    free(batch);
}

static void a_refused_batch_stores_nothing(void **state)
{
    struct fixture *f = *state;
    struct shard *sh = stream_shard(fixture_topic(f, "t", 1), 0);
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 2, 20, &len);
    batch[len - 1] ^= 1;
    send_produce(f, 9, -1, "t", 0, batch, len);
    struct produced p = produced_read(f, 1, 9);
    assert_int_equal(p.error, 2);
    assert_int_equal(p.base_offset, -1);
    fixture_settle(f);
    assert_int_equal(shard_high_watermark(sh), 0);
    free(batch);
}

static void what_cannot_be_taken_is_named(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    fixture_topic(f, "__internal", 1);
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 1, 20, &len);
    static const struct {
        int16_t version;
        int16_t acks;
        const char *topic;
        int32_t partition;
        int16_t error;
    } cases[] = {
        {9, -1, "nowhere", 0, 3}, {9, -1, "t", 1, 3},           {9, -1, "t", -1, 3},
        {9, 2, "t", 0, 21},       {9, -2, "t", 0, 21},          {2, -1, "t", 0, 35},
        {0, -1, "t", 0, 35},      {9, -1, "__internal", 0, 17},
    };
    for (int i = 0; i < (int)ARRAY_LEN(cases); i++) {
        send_produce(f, cases[i].version, cases[i].acks, cases[i].topic, cases[i].partition, batch,
                     len);
        struct produced p = produced_read(f, i + 1, cases[i].version);
        assert_int_equal(p.error, cases[i].error);
    }
    free(batch);
}

static void acks_0_has_no_reply_and_an_error_closes(void **state)
{
    struct fixture *f = *state;
    struct shard *sh = stream_shard(fixture_topic(f, "t", 1), 0);
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 2, 20, &len);
    send_produce(f, 9, 0, "t", 0, batch, len);
    fixture_settle(f);
    assert_int_equal(fake_conn_out(f->conn)->len, 0);
    assert_int_equal(shard_high_watermark(sh), 2);
    assert_false(fake_conn_ended(f->conn));
    send_produce(f, 9, 0, "nowhere", 0, batch, len);
    assert_int_equal(fake_conn_out(f->conn)->len, 0);
    assert_true(fake_conn_ended(f->conn));
    free(batch);
}

static void pipelined_batches_keep_their_order(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 2, 20, &len);
    for (int i = 0; i < 4; i++)
        send_produce(f, 9, -1, "t", 0, batch, len);
    assert_false(fixture_has_reply(f));
    fixture_settle(f);
    for (int i = 0; i < 4; i++)
        assert_int_equal(produced_read(f, i + 1, 9).base_offset, i * 2);
    free(batch);
}

/** Four batches fill the fixture's queue; under pressure means that the oldest waited 50 ms. */
static void fill_queue(struct fixture *f, const uint8_t *batch, uint32_t len)
{
    for (int i = 0; i < 8; i++)
        send_produce(f, 9, -1, "t", 0, batch, len);
    clock_manual_advance_us(&f->clock, 60000);
}

static void a_full_writer_makes_producers_wait(void **state)
{
    struct fixture *f = *state;
    struct shard *sh = stream_shard(fixture_topic(f, "t", 1), 0);
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 2, 20, &len);
    fill_queue(f, batch, len);
    assert_int_equal(writer_admit(f->writer, sh), ERR_BUFFER_FULL);
    send_produce(f, 9, -1, "t", 0, batch, len);
    send_produce(f, 9, -1, "t", 0, batch, len);
    fake_reactor_run(f->reactor);
    assert_false(fixture_has_reply(f));
    assert_true(atomic_load(&f->door->buffered_bytes) > 0);
    fixture_settle(f);
    while (!fixture_has_reply(f) || shard_high_watermark(sh) < 20) {
        fake_reactor_wait_timer(f->reactor); /* tries again */
        fixture_settle(f);
    }
    for (int i = 0; i < 10; i++) {
        struct produced p = produced_read(f, i + 1, 9);
        assert_int_equal(p.error, 0);
        assert_int_equal(p.base_offset, i * 2);
    }
    assert_int_equal(atomic_load(&f->door->buffered_bytes), 0);
    free(batch);
}

static void a_writer_that_stays_full_is_said_to_be(void **state)
{
    struct fixture *f = *state;
    fixture_topic(f, "t", 1);
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 2, 20, &len);
    fill_queue(f, batch, len);
    send_produce(f, 9, -1, "t", 0, batch, len);
    clock_manual_advance_us(&f->clock, 2000000);
    /* A turn of the loop may end just before its timer is due. */
    while (atomic_load(&f->door->buffered_bytes) > 0)
        fake_reactor_wait_timer(f->reactor);
    fixture_settle(f);
    for (int i = 0; i < 8; i++)
        assert_int_equal(produced_read(f, i + 1, 9).error, 0);
    assert_int_equal(produced_read(f, 9, 9).error,
                     19); /* NOT_ENOUGH_REPLICAS: not persisted, retry */
    free(batch);
}

static void a_connection_may_go_before_the_sync(void **state)
{
    struct fixture *f = *state;
    struct shard *sh = stream_shard(fixture_topic(f, "t", 1), 0);
    uint32_t len;
    uint8_t *batch = fixture_batch(f, 2, 20, &len);
    send_produce(f, 9, -1, "t", 0, batch, len);
    fake_conn_gone(f->conn);
    f->conn = NULL;
    fixture_settle(f);
    assert_int_equal(shard_high_watermark(sh), 2);
    free(batch);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_batch_is_stored_as_sent_and_answered_when_durable),
        TEST(a_namespace_stream_stamps_the_append_time),
        TEST(each_fault_of_a_batch_has_its_code),
        TEST(every_truncation_of_a_batch_is_refused),
        TEST(a_count_that_cannot_fit_is_refused),
        TEST(a_refused_batch_stores_nothing),
        TEST(what_cannot_be_taken_is_named),
        TEST(acks_0_has_no_reply_and_an_error_closes),
        TEST(pipelined_batches_keep_their_order),
        TEST(a_full_writer_makes_producers_wait),
        TEST(a_writer_that_stays_full_is_said_to_be),
        TEST(a_connection_may_go_before_the_sync),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
