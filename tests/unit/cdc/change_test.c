#include "tests/test.h"

#include "cdc/change.h"
#include "writer/builder.h"

#define TS "\"ts\":\"2026-02-02T14:30:00.123456Z\""
#define TS_US INT64_C(1770042600123456)
#define C "\"collection\":\"c\""
#define D "\"docId\":\"d\""

static enum change_verdict parse(const char *json, int64_t append_us, struct change *c,
                                 const char **reason, struct arena *arena)
{
    struct record rec = {.offset = 7, .value = slice_of(json)};
    *reason = NULL;
    return change_parse(&rec, append_us, arena, c, reason);
}

static void assert_slice(struct slice s, const char *text)
{
    assert_int_equal(s.len, strlen(text));
    assert_memory_equal(s.data, text, s.len);
}

static void a_change_is_read_with_all_its_fields(void **state UNUSED)
{
    struct arena arena = ARENA_INIT;
    struct change c;
    const char *reason;
    assert_int_equal(
        parse(
            "{\"type\":\"collection.update\"," TS
            ",\"collection\":\"caf\\u00e9\",\"docId\":\"a\\nb\","
            "\"doc\":{ \"x\" : [1] },\"prev\":{\"x\":0},\"bookmark\":\"release\",\"source\":\"me\","
            "\"expect\":41,\"restore\":{\"of\":3}}",
            -1, &c, &reason, &arena),
        CHANGE_IS);
    assert_int_equal(c.op, CHANGE_UPDATE);
    assert_int_equal(c.lsn, 7);
    assert_int_equal(c.ts_us, TS_US);
    assert_slice(c.collection, "caf\xc3\xa9");
    assert_slice(c.doc_id, "a\nb");
    assert_slice(c.doc, "{ \"x\" : [1] }");
    assert_slice(c.prev, "{\"x\":0}");
    assert_slice(c.bookmark, "release");
    assert_slice(c.source, "me");
    assert_slice(c.restore, "{\"of\":3}");
    assert_int_equal(c.expect, 41);
    assert_false(c.skipped);
    arena_release(&arena);
}

static void optional_fields_may_be_missing_or_null(void **state UNUSED)
{
    struct arena arena = ARENA_INIT;
    struct change c;
    const char *reason;
    assert_int_equal(parse("{\"type\":\"collection.delete\"," TS "," C "," D
                           ",\"doc\":5,\"prev\":null,"
                           "\"bookmark\":null}",
                           -1, &c, &reason, &arena),
                     CHANGE_IS);
    assert_int_equal(c.op, CHANGE_DELETE);
    assert_null(c.doc.data);
    assert_null(c.prev.data);
    assert_null(c.bookmark.data);
    assert_null(c.source.data);
    assert_null(c.restore.data);
    assert_int_equal(c.expect, -1);
    arena_release(&arena);
}

static void other_events_are_no_changes(void **state UNUSED)
{
    static const char *const others[] = {
        "",
        "{}",
        "[]",
        "not json",
        "{\"type\":5}",
        "{\"type\":\"collection\"}",
        "{\"type\":\"collections.insert\"," TS "}",
        "{\"type\":\"order.paid\"," TS "," C "," D ",\"doc\":{}}",
        "{\"type\":\"x\",\"doc\":{\"type\":\"collection.insert\"}}",
    };
    struct arena arena = ARENA_INIT;
    struct change c;
    const char *reason;
    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        assert_int_equal(parse(others[i], -1, &c, &reason, &arena), CHANGE_IS_NOT);
    struct record null_value = {.offset = 1};
    assert_int_equal(change_parse(&null_value, -1, &arena, &c, &reason), CHANGE_IS_NOT);
    arena_release(&arena);
}

static void malformed_changes_have_a_reason(void **state UNUSED)
{
    static const struct {
        const char *json;
        const char *word;
    } cases[] = {
        {"{\"type\":\"collection.upsert\"," TS "," C "," D ",\"doc\":{}}", "operation"},
        {"{\"type\":\"collection.\"," TS "," C "," D ",\"doc\":{}}", "operation"},
        {"{\"type\":\"collection.insert\"," TS "," D ",\"doc\":{}}", "collection"},
        {"{\"type\":\"collection.insert\"," TS ",\"collection\":\"\"," D ",\"doc\":{}}",
         "collection"},
        {"{\"type\":\"collection.insert\"," TS ",\"collection\":\"a\\u0000b\"," D ",\"doc\":{}}",
         "NUL"},
        {"{\"type\":\"collection.insert\"," TS "," C ",\"doc\":{}}", "docId"},
        {"{\"type\":\"collection.insert\"," TS "," C ",\"docId\":7,\"doc\":{}}", "docId"},
        {"{\"type\":\"collection.insert\"," TS "," C ",\"docId\":\"\\udc00\",\"doc\":{}}", "docId"},
        {"{\"type\":\"collection.insert\"," TS "," C "," D "}", "doc must"},
        {"{\"type\":\"collection.update\"," TS "," C "," D ",\"doc\":null}", "doc must"},
        {"{\"type\":\"collection.update\"," TS "," C "," D ",\"doc\":[{}]}", "doc must"},
        {"{\"type\":\"collection.insert\"," C "," D ",\"doc\":{}}", "ts"},
        {"{\"type\":\"collection.insert\",\"ts\":\"2026-02-02T14:30:00\"," C "," D ",\"doc\":{}}",
         "zone"},
        {"{\"type\":\"collection.insert\",\"ts\":\"1969-02-02T14:30:00Z\"," C "," D ",\"doc\":{}}",
         "1970"},
        {"{\"type\":\"collection.insert\"," TS "," C "," D ",\"doc\":{},\"expect\":-1}", "expect"},
        {"{\"type\":\"collection.insert\"," TS "," C "," D ",\"doc\":{},\"expect\":1.0}", "expect"},
        {"{\"type\":\"collection.insert\"," TS "," C "," D ",\"doc\":{},\"expect\":1e3}", "expect"},
        {"{\"type\":\"collection.insert\"," TS "," C "," D ",\"doc\":{},\"expect\":null}",
         "expect"},
        {"{\"type\":\"collection.insert\"," TS "," C "," D
         ",\"doc\":{},\"expect\":9223372036854775808}",
         "expect"},
        {"{\"type\":\"collection.insert\"," TS "," C "," D ",\"doc\":{},\"bookmark\":7}",
         "bookmark"},
    };
    struct arena arena = ARENA_INIT;
    struct change c;
    const char *reason;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(parse(cases[i].json, -1, &c, &reason, &arena), CHANGE_MALFORMED);
        assert_non_null(strstr(reason, cases[i].word));
    }
    arena_release(&arena);
}

static void a_change_from_the_future_is_malformed(void **state UNUSED)
{
    struct arena arena = ARENA_INIT;
    struct change c;
    const char *reason;
    const char *json = "{\"type\":\"collection.delete\"," TS "," C "," D "}";
    int64_t hour = INT64_C(3600000000);
    assert_int_equal(parse(json, TS_US - hour, &c, &reason, &arena), CHANGE_IS);
    assert_int_equal(parse(json, TS_US - hour - 1, &c, &reason, &arena), CHANGE_MALFORMED);
    assert_non_null(strstr(reason, "hour"));
    assert_int_equal(parse(json, -1, &c, &reason, &arena), CHANGE_IS);
    arena_release(&arena);
}

static void the_state_hash_is_a_sum_that_can_be_taken_back(void **state UNUSED)
{
    struct state_hash a = state_hash_of(SLICE("a"), SLICE("{}"));
    struct state_hash b = state_hash_of(SLICE("b"), SLICE("{\"x\":1}"));
    struct state_hash sum = {0};
    struct state_hash other = {0};
    state_hash_add(&sum, a);
    state_hash_add(&sum, b);
    state_hash_add(&other, b);
    state_hash_add(&other, a);
    assert_memory_equal(&sum, &other, sizeof(sum));
    state_hash_sub(&sum, a);
    assert_memory_equal(&sum, &b, sizeof(sum));
    state_hash_sub(&sum, b);
    assert_true(sum.low == 0 && sum.high == 0);
    /* Carry and borrow cross the halves. */
    struct state_hash low = {UINT64_MAX, 0};
    state_hash_add(&low, (struct state_hash){1, 0});
    assert_true(low.low == 0 && low.high == 1);
    state_hash_sub(&low, (struct state_hash){1, 0});
    assert_true(low.low == UINT64_MAX && low.high == 0);
    /* The length keeps the parts apart. */
    struct state_hash c = state_hash_of(SLICE("ab"), SLICE("c"));
    struct state_hash d = state_hash_of(SLICE("a"), SLICE("bc"));
    assert_memory_not_equal(&c, &d, sizeof(c));
}

static void large_documents_hash_like_small_ones(void **state UNUSED)
{
    char *doc = xmalloc(5000);
    memset(doc, 'x', 5000);
    struct state_hash before = state_hash_of(SLICE("id"), (struct slice){doc, 5000});
    struct state_hash again = state_hash_of(SLICE("id"), (struct slice){doc, 5000});
    assert_memory_equal(&before, &again, sizeof(before));
    doc[4999] = 'y';
    again = state_hash_of(SLICE("id"), (struct slice){doc, 5000});
    assert_memory_not_equal(&before, &again, sizeof(before));
    free(doc);
}

static void hashes_are_written_and_read_as_hex(void **state UNUSED)
{
    char text[33];
    struct state_hash back;
    struct state_hash h = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)};
    state_hash_format(h, text);
    assert_string_equal(text, "fedcba98765432100123456789abcdef");
    assert_true(state_hash_parse(text, &back));
    assert_memory_equal(&back, &h, sizeof(h));
    assert_false(state_hash_parse("fedcba98765432100123456789abcde", &back));
    assert_false(state_hash_parse("fedcba98765432100123456789abcdeg", &back));
    assert_false(state_hash_parse(NULL, &back));
}

static void an_expectation_of_0_means_absent_but_in_a_restore_of_what_is_there(void **state UNUSED)
{
    static const struct {
        enum change_op op;
        bool restore, there, holds;
        int64_t expect, lsn;
    } cases[] = {
        {CHANGE_UPDATE, false, true, true, -1, 7}, {CHANGE_UPDATE, false, true, true, 7, 7},
        {CHANGE_UPDATE, false, true, false, 7, 8}, {CHANGE_UPDATE, false, false, false, 7, 0},
        {CHANGE_INSERT, false, false, true, 0, 0}, {CHANGE_INSERT, false, true, false, 0, 0},
        {CHANGE_UPDATE, false, true, false, 0, 0}, {CHANGE_INSERT, true, true, false, 0, 0},
        {CHANGE_INSERT, true, false, true, 0, 0},  {CHANGE_UPDATE, true, true, true, 0, 0},
        {CHANGE_DELETE, true, true, true, 0, 0},   {CHANGE_DELETE, true, true, false, 0, 9},
        {CHANGE_UPDATE, true, false, false, 0, 0}, {CHANGE_DELETE, true, true, true, 9, 9},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct change c = {.op = cases[i].op, .expect = cases[i].expect};
        if (cases[i].restore)
            c.restore = slice_of("{}");
        assert_int_equal(change_expect_holds(&c, cases[i].there, cases[i].lsn), cases[i].holds);
    }
}

/* Batches ------------------------------------------------------------------------------------- */

#define OTHER "{\"type\":\"other\"," TS "}"
#define DELETE "{\"type\":\"collection.delete\"," TS "," C "," D "}"
#define BAD "{\"type\":\"collection.delete\"," TS "," C "}"

static void add(struct builder *b, const char *json, bool plain)
{
    assert_ok(builder_add(b, &(struct event_record){.value = {slice_of(json)}, .plain = plain}));
}

/** "lsn" or "lsn!" (malformed) of each that the reader gives, from `from` on. */
static void assert_read(const uint8_t *batch, int64_t from, const char *expected)
{
    CLEANUP(arena_release) struct arena arena = ARENA_INIT;
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    struct batch_header h;
    struct change_reader r;
    struct change c;
    const char *malformed;
    assert_ok(batch_header_parse(batch, BATCH_HEADER_BYTES, &h));
    change_reader_open(&r, batch, &h, from);
    while (change_reader_next(&r, &arena, &c, &malformed))
        buf_printf(&text, "%lld%s ", (long long)c.lsn, malformed != NULL ? "!" : "");
    assert_false(change_reader_next(&r, &arena, &c, &malformed));
    change_reader_close(&r);
    buf_append_char(&text, '\0');
    assert_string_equal(text.data, expected);
}

static void the_changes_of_a_batch_are_read(void **state UNUSED)
{
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    uint8_t *data;
    uint32_t len, count;
    static const char *const events[] = {OTHER, DELETE, OTHER, BAD, DELETE};
    for (size_t i = 0; i < ARRAY_LEN(events); i++)
        add(b, events[i], i % 2 == 0 && i < 4);
    builder_seal(b, &data, &len, &count);
    assert_read(data, 0, "1 3! 4 ");
    assert_read(data, 2, "3! 4 ");
    assert_read(data, 5, "");
    /* Somebody's records that do not parse, under a CRC that is right. */
    memset(data + len - 20, 0xFF, 20);
    batch_write_crc(data, len);
    assert_read(data, 0, "1 3! 0! ");
    free(data);
    builder_free(b);
}

static void a_batch_is_plain_only_when_each_event_is_known_to_be(void **state UNUSED)
{
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    uint8_t *data;
    uint32_t len, count;
    add(b, OTHER, true);
    struct builder_mark mark = builder_mark(b);
    add(b, DELETE, false);
    builder_truncate(b, mark); /* a request that was refused */
    builder_seal(b, &data, &len, &count);
    struct batch_header h;
    assert_ok(batch_header_parse(data, len, &h));
    assert_int_equal(h.attributes, BATCH_ATTR_PLAIN);
    assert_read(data, 0, "");
    free(data);
    add(b, OTHER, false);
    add(b, OTHER, true);
    builder_seal(b, &data, &len, &count);
    assert_ok(batch_header_parse(data, len, &h));
    assert_int_equal(h.attributes, 0);
    free(data);
    builder_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_read_with_all_its_fields),
        cmocka_unit_test(optional_fields_may_be_missing_or_null),
        cmocka_unit_test(other_events_are_no_changes),
        cmocka_unit_test(malformed_changes_have_a_reason),
        cmocka_unit_test(a_change_from_the_future_is_malformed),
        cmocka_unit_test(the_state_hash_is_a_sum_that_can_be_taken_back),
        cmocka_unit_test(large_documents_hash_like_small_ones),
        cmocka_unit_test(an_expectation_of_0_means_absent_but_in_a_restore_of_what_is_there),
        cmocka_unit_test(hashes_are_written_and_read_as_hex),
        cmocka_unit_test(the_changes_of_a_batch_are_read),
        cmocka_unit_test(a_batch_is_plain_only_when_each_event_is_known_to_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
