/* Batches, streamed or compressed at the seal: the same records come back, whatever their sizes. */
#include <stdio.h>

#include "base/limits.h"
#include "log/batch.h"
#include "tests/test.h"
#include "writer/builder.h"

struct sizes {
    unsigned count;
    size_t least, most;
};

static const struct sizes cases[] = {
    {1, 2, 2},         {1, 500, 500},         {3, 100, 200},       {2000, 60, 300},
    {300, 1, 10240},   {5, 65000, 66000},     {3, 150000, 150000}, {700, 9000, 10240},
    {2, 65536, 65536}, {2, 1000000, 2000000},
};

/** Event `i` of a case, of the same bytes each time. */
static struct slice event_text(const struct sizes *c, unsigned i, struct buf *b)
{
    size_t len = c->least + (size_t)i * 7919 % (c->most - c->least + 1);
    buf_clear(b);
    while (b->len < len)
        buf_printf(b, "{\"n\":%u,\"at\":%zu,\"pad\":\"%08zx\"}", i, b->len, b->len * 2654435761u);
    return (struct slice){b->data, len};
}

static uint32_t build(const struct sizes *c, bool streamed, bool keyed, uint8_t **ret_data)
{
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    struct builder *b = builder_new(BATCH_CODEC_LZ4);
    if (streamed)
        builder_stream(b);
    for (unsigned i = 0; i < c->count; i++) {
        const struct event_record rec = {
            .ts_ms = 1770000000000 + i, .value = {event_text(c, i, &text)}, .type = SLICE("t.e")};
        assert_ok(builder_add(b, &rec));
        assert_int_equal(builder_count(b), i + 1);
    }
    if (keyed)
        assert_ok(builder_attach_key(b, SLICE("key"), c->count, 42));
    uint32_t len, count;
    builder_seal(b, ret_data, &len, &count);
    assert_int_equal(count, c->count);
    assert_int_equal(builder_bytes(b), 0);
    builder_free(b);
    return len;
}

static void assert_records(const struct sizes *c, bool keyed, const uint8_t *data, uint32_t len)
{
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    struct record_reader reader;
    struct record rec;
    struct batch_header head;
    assert_ok(batch_check(data, len, &head));
    assert_int_equal(batch_total_bytes(&head), len);
    assert_ok(record_reader_open(&reader, data, len, LIMIT_BATCH_BYTES));
    for (unsigned i = 0; i < c->count; i++) {
        assert_ok(record_reader_next(&reader, &rec));
        struct slice wanted = event_text(c, i, &text);
        assert_int_equal(rec.value.len, wanted.len);
        assert_memory_equal(rec.value.data, wanted.data, wanted.len);
        assert_int_equal(rec.timestamp_ms, 1770000000000 + i);
        bool last = i + 1 == c->count;
        assert_int_equal(record_header_find(&rec, "spillway-key").data != NULL, keyed && last);
    }
    assert_int_equal(record_reader_next(&reader, &rec), ERR_END);
    record_reader_close(&reader);
}

static void the_same_records_come_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        for (unsigned how = 0; how < 4; how++) {
            bool streamed = how % 2 == 1, keyed = how / 2 == 1;
            uint8_t *data;
            uint32_t len = build(&cases[i], streamed, keyed, &data);
            assert_records(&cases[i], keyed, data, len);
            free(data);
        }
    }
}

/** A streamed batch holds at most a block and its last record uncompressed, and is no larger for
 * it. */
static void streaming_costs_no_bytes(void **state)
{
    (void)state;
    const struct sizes c = {5000, 150, 250};
    uint8_t *data;
    uint32_t whole = build(&c, false, false, &data);
    free(data);
    uint32_t streamed = build(&c, true, false, &data);
    free(data);
    assert_int_equal(streamed, whole);
    assert_true(whole < c.count * 100);
}

static void a_batch_ends_at_its_limit_and_goes_on(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    const struct sizes c = {9, 1000000, 1000000};
    struct builder *b = builder_new(BATCH_CODEC_LZ4);
    builder_stream(b);
    for (unsigned i = 0; i < 8; i++)
        assert_ok(builder_add(b, &(struct event_record){.value = {event_text(&c, i, &text)}}));
    size_t bytes = builder_bytes(b);
    assert_int_equal(builder_add(b, &(struct event_record){.value = {event_text(&c, 8, &text)}}),
                     ERR_MESSAGE_TOO_LARGE);
    assert_int_equal(builder_bytes(b), bytes);
    assert_int_equal(builder_count(b), 8);
    builder_reset(b);
    assert_int_equal(builder_bytes(b), 0);
    assert_ok(builder_add(b, &(struct event_record){.value = {SLICE("{}")}}));
    builder_free(b);
}

/** Records that nothing makes smaller: whatever is taken can be sealed, with or without a key. */
static void a_full_batch_of_noise_is_sealed(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf noise = BUF_INIT;
    uint64_t seed = 3;
    for (size_t i = 0; i < LIMIT_BATCH_BYTES / sizeof(seed); i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        buf_append(&noise, &seed, sizeof(seed));
    }
    unsigned taken = 0, refused = 0;
    for (size_t less = 0; less < 1200; less += 50) {
        const struct event_record rec = {.value = {{noise.data, noise.len - less}}};
        struct builder *b = builder_new(BATCH_CODEC_LZ4);
        builder_stream(b);
        assert_ok(builder_add(b, &(struct event_record){.value = {SLICE("{}")}}));
        err_t err = builder_add(b, &rec);
        if (err == OK && less % 100 == 0)
            err = builder_attach_key(b, SLICE("a key of some bytes"), 2, 42);
        if (err == OK) {
            uint8_t *data;
            uint32_t len, count;
            builder_seal(b, &data, &len, &count);
            assert_true(len <= LIMIT_BATCH_BYTES);
            assert_ok(batch_check(data, len, &(struct batch_header){0}));
            free(data);
            taken++;
        } else {
            assert_int_equal(err, ERR_MESSAGE_TOO_LARGE);
            refused++;
        }
        builder_free(b);
    }
    assert_true(taken > 5 && refused > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_records_come_back),
        cmocka_unit_test(streaming_costs_no_bytes),
        cmocka_unit_test(a_batch_ends_at_its_limit_and_goes_on),
        cmocka_unit_test(a_full_batch_of_noise_is_sealed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
