/*
 * The wire codec against bytes written by hand from the protocol documentation
 * (https://kafka.apache.org/protocol), and every truncation of valid requests.
 */
#include "tests/test.h"

#include <ctype.h>
#include <stdio.h>

#include "base/limits.h"
#include "kafka/wire/api_versions.h"
#include "kafka/wire/fetch.h"
#include "kafka/wire/find_coordinator.h"
#include "kafka/wire/header.h"
#include "kafka/wire/list_offsets.h"
#include "kafka/wire/metadata.h"
#include "kafka/wire/produce.h"

/** Hex digits, with "text" in quotes as it is; blanks are ignored. */
static struct buf bytes_of(const char *hex)
{
    struct buf b = BUF_INIT;
    for (const char *at = hex; *at != '\0';) {
        if (*at == '"') {
            for (at++; *at != '"'; at++)
                buf_append_char(&b, *at);
            at++;
        } else if (isspace((unsigned char)*at)) {
            at++;
        } else {
            unsigned v;
            assert_int_equal(sscanf(at, "%2x", &v), 1);
            put_u8(&b, (uint8_t)v);
            at += 2;
        }
    }
    return b;
}

static void assert_bytes(struct buf *got, const char *hex)
{
    struct buf want = bytes_of(hex);
    if (got->len != want.len || memcmp(got->data, want.data, want.len) != 0) {
        for (size_t i = 0; i < got->len; i++)
            print_error("%02x", (unsigned char)got->data[i]);
        print_error("\n");
    }
    assert_int_equal(got->len, want.len);
    assert_memory_equal(got->data, want.data, want.len);
    buf_release(&want);
    buf_clear(got);
}

static void assert_slice(struct slice got, const char *want)
{
    if (want == NULL) {
        assert_null(got.data);
        return;
    }
    assert_non_null(got.data);
    assert_true(slice_equal(got, slice_of(want)));
}

/* Primitives ----------------------------------------------------------------------------- */

static void strings_have_two_forms(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    struct wire_writer classic = {&out, false};
    wire_put_string(&classic, SLICE("ab"));
    wire_put_nullable_string(&classic, (struct slice){NULL, 0});
    wire_put_string(&classic, SLICE(""));
    assert_bytes(&out, "0002 \"ab\" ffff 0000");
    struct wire_writer flexible = {&out, true};
    wire_put_string(&flexible, SLICE("ab"));
    wire_put_nullable_string(&flexible, (struct slice){NULL, 0});
    wire_put_string(&flexible, SLICE(""));
    wire_put_classic_string(&flexible, SLICE("c"));
    assert_bytes(&out, "03 \"ab\" 00 01 0001 \"c\"");
    buf_release(&out);

    struct buf in = bytes_of("03 \"ab\" 00 01 0001 \"c\"");
    struct wire_reader r = wire_reader_of(in.data, in.len, true);
    assert_slice(wire_get_string(&r), "ab");
    assert_slice(wire_get_nullable_string(&r), NULL);
    assert_slice(wire_get_string(&r), "");
    assert_slice(wire_get_classic_string(&r), "c");
    assert_ok(wire_reader_end(&r, "test"));
    buf_release(&in);
}

static void null_and_negative_lengths_are_refused_where_they_must_not_be(void **state)
{
    (void)state;
    static const struct {
        const char *hex;
        bool flexible;
    } cases[] = {{"ffff", false}, {"fffe", false},     {"8000", false},      {"0003 \"ab\"", false},
                 {"00", true},    {"04 \"ab\"", true}, {"ffffffff0f", true}, {"8080808010", true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf in = bytes_of(cases[i].hex);
        struct wire_reader r = wire_reader_of(in.data, in.len, cases[i].flexible);
        (void)wire_get_string(&r);
        assert_int_equal(wire_reader_end(&r, "test"), ERR_INVALID_REQUEST);
        buf_release(&in);
    }
}

static void a_count_is_believed_only_if_its_items_can_follow(void **state)
{
    (void)state;
    struct buf in = bytes_of("7fffffff 000000");
    struct wire_reader r = wire_reader_of(in.data, in.len, false);
    assert_int_equal(wire_get_array(&r, 1), 0);
    assert_false(wire_ok(&r));
    buf_release(&in);

    in = bytes_of("00000002 00000001 00000002");
    r = wire_reader_of(in.data, in.len, false);
    assert_int_equal(wire_get_array(&r, 4), 2);
    assert_true(wire_ok(&r));
    r = wire_reader_of(in.data, in.len, false);
    assert_int_equal(wire_get_array(&r, 5), 0);
    assert_false(wire_ok(&r));
    r = wire_reader_of(in.data, in.len, false);
    r.items_left = 1;
    assert_int_equal(wire_get_array(&r, 1), 0);
    assert_false(wire_ok(&r));
    buf_release(&in);

    in = bytes_of("ffffffff 00 ffffffff0f");
    r = wire_reader_of(in.data, 4, false);
    assert_int_equal(wire_get_nullable_array(&r, 4), -1);
    assert_true(wire_ok(&r));
    r = wire_reader_of(in.data + 4, 1, true);
    assert_int_equal(wire_get_nullable_array(&r, 4), -1);
    r = wire_reader_of(in.data + 5, 5, true);
    assert_int_equal(wire_get_nullable_array(&r, 4), 0);
    assert_false(wire_ok(&r));
    buf_release(&in);
}

static void unknown_tags_are_skipped(void **state)
{
    (void)state;
    struct buf in = bytes_of("02 00 03 \"abc\" 8001 00 2a");
    struct wire_reader r = wire_reader_of(in.data, in.len, true);
    wire_skip_tags(&r);
    assert_int_equal(wire_get_i8(&r), 42);
    assert_ok(wire_reader_end(&r, "test"));
    for (size_t len = 0; len + 1 < in.len; len++) {
        r = wire_reader_of(in.data, len, true);
        wire_skip_tags(&r);
        assert_false(wire_ok(&r));
    }
    buf_release(&in);
}

/* Headers -------------------------------------------------------------------------------- */

static void request_headers_keep_a_classic_client_id(void **state)
{
    (void)state;
    struct request_header h = {
        .key = 3, .version = 9, .correlation_id = 7, .client_id = SLICE("me")};
    struct buf out = BUF_INIT;
    request_header_write(&(struct wire_writer){&out, false}, &h);
    assert_bytes(&out, "0003 0009 00000007 0002 \"me\"");
    request_header_write(&(struct wire_writer){&out, true}, &h);
    struct request_header back;
    struct wire_reader r = wire_reader_of(out.data, out.len, true);
    request_header_read(&r, &back);
    assert_ok(wire_reader_end(&r, "header"));
    assert_int_equal(back.correlation_id, 7);
    assert_slice(back.client_id, "me");
    assert_bytes(&out, "0003 0009 00000007 0002 \"me\" 00");
    reply_header_write(&(struct wire_writer){&out, true}, 7);
    assert_bytes(&out, "00000007 00");
    buf_release(&out);
}

/* Replies, byte by byte ------------------------------------------------------------------ */

static void api_versions_replies(void **state)
{
    (void)state;
    static const struct api_version_range ranges[] = {{0, 0, 9}, {18, 0, 4}};
    struct buf out = BUF_INIT;
    struct wire_writer classic = {&out, false};
    struct wire_writer flexible = {&out, true};
    api_versions_reply_write(&classic, 0, 35, ranges, 2);
    assert_bytes(&out, "0023 00000002 0000 0000 0009 0012 0000 0004");
    api_versions_reply_write(&classic, 2, 0, ranges, 1);
    assert_bytes(&out, "0000 00000001 0000 0000 0009 00000000");
    api_versions_reply_write(&flexible, 3, 0, ranges, 2);
    assert_bytes(&out, "0000 03 0000 0000 0009 00 0012 0000 0004 00 00000000 00");
    buf_release(&out);
}

static const struct metadata_broker broker = {
    .node_id = 1, .host = {"h", 1}, .port = 9092, .cluster_id = {"c", 1}};

static void metadata_reply(struct buf *out, int version)
{
    struct wire_writer w = {out, version >= METADATA_FLEXIBLE};
    struct metadata_topic topic = {.name = SLICE("t"), .partition_count = 1};
    metadata_reply_head_write(&w, version, &broker, 1);
    metadata_reply_topic_write(&w, version, 1, &topic);
    metadata_reply_tail_write(&w, version);
}

static void metadata_replies(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    metadata_reply(&out, 0);
    assert_bytes(&out, "00000001 00000001 0001 \"h\" 00002384"
                       "00000001 0000 0001 \"t\""
                       "00000001 0000 00000000 00000001 00000001 00000001 00000001 00000001");
    metadata_reply(&out, 5);
    assert_bytes(&out,
                 "00000000 00000001 00000001 0001 \"h\" 00002384 ffff 0001 \"c\" 00000001"
                 "00000001 0000 0001 \"t\" 00"
                 "00000001 0000 00000000 00000001 00000001 00000001 00000001 00000001 00000000");
    metadata_reply(&out, 8);
    assert_bytes(&out, "00000000 00000001 00000001 0001 \"h\" 00002384 ffff 0001 \"c\" 00000001"
                       "00000001 0000 0001 \"t\" 00"
                       "00000001 0000 00000000 00000001 00000000"
                       "00000001 00000001 00000001 00000001 00000000 80000000 80000000");
    metadata_reply(&out, 12);
    struct metadata_topic back;
    struct wire_reader r = wire_reader_of(out.data, out.len, true);
    metadata_reply_read(&r, 12, &back);
    assert_ok(wire_reader_end(&r, "reply"));
    assert_slice(back.name, "t");
    assert_int_equal(back.partition_count, 1);
    assert_bytes(&out, "00000000 02 00000001 02 \"h\" 00002384 00 00 02 \"c\" 00000001"
                       "02 0000 02 \"t\" 00000000000000000000000000000000 00"
                       "02 0000 00000000 00000001 00000000 02 00000001 02 00000001 01 00"
                       "80000000 00 00");
    buf_release(&out);
}

static void list_offsets_replies(void **state)
{
    (void)state;
    struct list_offsets_partition p = {.index = 3, .found_offset = 5, .found_timestamp = 6};
    struct list_offsets_topic t = {SLICE("t"), 1, &p};
    struct list_offsets_request q = {1, &t};
    struct buf out = BUF_INIT;
    p.max_offsets = 1;
    list_offsets_reply_write(&(struct wire_writer){&out, false}, 0, &q);
    assert_bytes(&out, "00000001 0001 \"t\" 00000001 00000003 0000 00000001 0000000000000005");
    p.max_offsets = 0;
    list_offsets_reply_write(&(struct wire_writer){&out, false}, 0, &q);
    assert_bytes(&out, "00000001 0001 \"t\" 00000001 00000003 0000 00000000");
    list_offsets_reply_write(&(struct wire_writer){&out, false}, 1, &q);
    assert_bytes(&out,
                 "00000001 0001 \"t\" 00000001 00000003 0000 0000000000000006 0000000000000005");
    list_offsets_reply_write(&(struct wire_writer){&out, true}, 7, &q);
    struct arena arena = ARENA_INIT;
    struct list_offsets_request back;
    struct wire_reader r = wire_reader_of(out.data, out.len, true);
    list_offsets_reply_read(&r, 7, &arena, &back);
    assert_ok(wire_reader_end(&r, "reply"));
    assert_int_equal(back.topics[0].partitions[0].found_offset, 5);
    assert_bytes(&out, "00000000 02 02 \"t\" 02 00000003 0000 0000000000000006 0000000000000005"
                       "00000000 00 00 00");
    arena_release(&arena);
    buf_release(&out);
}

static void fetch_reply_of(struct buf *out, int version, const char *records)
{
    struct wire_writer w = {out, version >= FETCH_FLEXIBLE};
    struct fetch_partition p = {.index = 2, .high_watermark = 9, .log_start = 4};
    struct fetch_topic t = {SLICE("t"), 1, &p};
    fetch_reply_head_write(&w, version, 0, 1);
    fetch_topic_head_write(&w, &t);
    fetch_partition_head_write(&w, version, &p, (uint32_t)strlen(records));
    buf_append_str(out, records);
    wire_put_no_tags(&w);
    wire_put_no_tags(&w);
    wire_put_no_tags(&w);
}

static void fetch_replies(void **state)
{
    (void)state;
    struct buf out = BUF_INIT;
    fetch_reply_of(&out, 0, "");
    assert_bytes(&out, "00000001 0001 \"t\" 00000001 00000002 0000 0000000000000009 00000000");
    fetch_reply_of(&out, 4, "xyz");
    assert_bytes(&out, "00000000 00000001 0001 \"t\" 00000001 00000002 0000 0000000000000009"
                       "0000000000000009 ffffffff 00000003 \"xyz\"");
    fetch_reply_of(&out, 11, "");
    assert_bytes(&out, "00000000 0000 00000000 00000001 0001 \"t\" 00000001"
                       "00000002 0000 0000000000000009 0000000000000009 0000000000000004 ffffffff"
                       "ffffffff 00000000");
    fetch_reply_of(&out, 12, "xyz");
    struct arena arena = ARENA_INIT;
    struct fetch_reply back;
    struct wire_reader r = wire_reader_of(out.data, out.len, true);
    fetch_reply_read(&r, 12, &arena, &back);
    assert_ok(wire_reader_end(&r, "reply"));
    assert_slice(back.topics[0].partitions[0].records, "xyz");
    assert_int_equal(back.topics[0].partitions[0].log_start, 4);
    assert_bytes(&out, "00000000 0000 00000000 02 02 \"t\" 02"
                       "00000002 0000 0000000000000009 0000000000000009 0000000000000004 00"
                       "ffffffff 04 \"xyz\" 00 00 00");
    arena_release(&arena);
    buf_release(&out);
}

static void produce_replies(void **state)
{
    (void)state;
    struct produce_partition p = {
        .index = 2, .base_offset = 9, .append_time_ms = -1, .log_start = 4};
    struct produce_topic t = {SLICE("t"), 1, &p};
    struct produce_request q = {.topic_count = 1, .topics = &t};
    struct buf out = BUF_INIT;
    produce_reply_write(&(struct wire_writer){&out, false}, 3, &q);
    assert_bytes(&out, "00000001 0001 \"t\" 00000001 00000002 0000 0000000000000009"
                       "ffffffffffffffff 00000000");
    p.error = 2;
    p.error_text = "no";
    produce_reply_write(&(struct wire_writer){&out, false}, 8, &q);
    assert_bytes(&out, "00000001 0001 \"t\" 00000001 00000002 0002 0000000000000009"
                       "ffffffffffffffff 0000000000000004 00000000 0002 \"no\" 00000000");
    p.error_text = NULL;
    produce_reply_write(&(struct wire_writer){&out, true}, 9, &q);
    assert_bytes(&out, "02 02 \"t\" 02 00000002 0002 0000000000000009"
                       "ffffffffffffffff 0000000000000004 01 00 00 00 00000000 00");
    buf_release(&out);
}

static void find_coordinator_replies(void **state)
{
    (void)state;
    struct slice key = SLICE("g");
    struct find_coordinator_request q = {.key_count = 1, .keys = &key};
    struct find_coordinator_answer a = {.error = 15, .node_id = -1, .host = SLICE(""), .port = -1};
    struct buf out = BUF_INIT;
    find_coordinator_reply_write(&(struct wire_writer){&out, false}, 0, &q, &a);
    assert_bytes(&out, "000f ffffffff 0000 ffffffff");
    find_coordinator_reply_write(&(struct wire_writer){&out, false}, 2, &q, &a);
    assert_bytes(&out, "00000000 000f ffff ffffffff 0000 ffffffff");
    find_coordinator_reply_write(&(struct wire_writer){&out, true}, 3, &q, &a);
    assert_bytes(&out, "00000000 000f 00 ffffffff 01 ffffffff 00");
    find_coordinator_reply_write(&(struct wire_writer){&out, true}, 4, &q, &a);
    assert_bytes(&out, "00000000 02 02 \"g\" ffffffff 01 ffffffff 000f 00 00 00");
    buf_release(&out);
}

/* Requests: values, and every truncation ------------------------------------------------- */

enum {
    READ_API_VERSIONS,
    READ_METADATA,
    READ_LIST_OFFSETS,
    READ_FETCH,
    READ_PRODUCE,
    READ_COORDINATOR
};

static const struct {
    int message;
    int version;
    bool flexible;
    const char *hex;
} requests[] = {
    {READ_API_VERSIONS, 3, true, "04 \"abc\" 04 \"1.0\" 00"},
    {READ_METADATA, 0, false, "00000001 0001 \"t\""},
    {READ_METADATA, 4, false, "00000002 0001 \"t\" 0001 \"u\" 01"},
    {READ_METADATA, 8, false, "ffffffff 01 00 00"},
    {READ_METADATA, 9, true, "02 02 \"t\" 00 01 00 00 00"},
    {READ_METADATA, 12, true, "02 00000000000000000000000000000001 00 00 01 00 00"},
    {READ_LIST_OFFSETS, 0, false,
     "ffffffff 00000001 0001 \"t\" 00000001 00000002 ffffffffffffffff 00000001"},
    {READ_LIST_OFFSETS, 2, false,
     "ffffffff 00 00000001 0001 \"t\" 00000001 00000002 fffffffffffffffe"},
    {READ_LIST_OFFSETS, 7, true,
     "ffffffff 00 02 02 \"t\" 02 00000002 00000000 fffffffffffffffd 00 00 00"},
    {READ_FETCH, 4, false,
     "ffffffff 000001f4 00000001 00100000 00 00000001 0001 \"t\" 00000001"
     "00000002 0000000000000005 00010000"},
    {READ_FETCH, 11, false,
     "ffffffff 000001f4 00000001 00100000 00 00000000 ffffffff 00000001 0001 \"t\" 00000001"
     "00000002 00000000 0000000000000005 ffffffffffffffff 00010000"
     "00000001 0001 \"f\" 00000001 00000007 0002 \"ra\""},
    {READ_FETCH, 12, true,
     "ffffffff 000001f4 00000001 00100000 00 00000000 ffffffff 02 02 \"t\" 02"
     "00000002 00000000 0000000000000005 ffffffff ffffffffffffffff 00010000 00 00 01 01 00"},
    {READ_PRODUCE, 3, false,
     "ffff ffff 00001388 00000001 0001 \"t\" 00000001 00000002 00000003 \"xyz\""},
    {READ_PRODUCE, 9, true, "00 0001 00001388 02 02 \"t\" 02 00000002 04 \"xyz\" 00 00 00"},
    {READ_COORDINATOR, 0, false, "0001 \"g\""},
    {READ_COORDINATOR, 3, true, "02 \"g\" 00 00"},
    {READ_COORDINATOR, 4, true, "00 03 02 \"g\" 02 \"h\" 00"},
};

static err_t read_request(int message, int version, struct wire_reader *r, struct arena *arena)
{
    struct api_versions_request api_versions;
    struct metadata_request metadata;
    struct list_offsets_request list_offsets;
    struct fetch_request fetch;
    struct produce_request produce;
    struct find_coordinator_request coordinator;
    switch (message) {
    case READ_API_VERSIONS:
        api_versions_request_read(r, version, &api_versions);
        break;
    case READ_METADATA:
        metadata_request_read(r, version, arena, &metadata);
        break;
    case READ_LIST_OFFSETS:
        list_offsets_request_read(r, version, arena, &list_offsets);
        break;
    case READ_FETCH:
        fetch_request_read(r, version, arena, &fetch);
        break;
    case READ_PRODUCE:
        produce_request_read(r, version, arena, &produce);
        break;
    default:
        find_coordinator_request_read(r, version, arena, &coordinator);
    }
    return wire_reader_end(r, "request");
}

static void cut_requests_are_refused_and_trailing_bytes_ignored(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct buf in = bytes_of(requests[i].hex);
        put_u8(&in, 0); /* one too many is ignored */
        for (size_t len = 0; len <= in.len; len++) {
            char *exact = malloc(len + 1); /* so that ASan sees a read behind the end */
            memcpy(exact, in.data, len);
            struct arena arena = ARENA_INIT;
            struct wire_reader r = wire_reader_of(exact, len, requests[i].flexible);
            err_t err = read_request(requests[i].message, requests[i].version, &r, &arena);
            if ((err == OK) != (len >= in.len - 1))
                print_error("request %zu at %zu of %zu bytes\n", i, len, in.len - 1);
            assert_int_equal(err, len >= in.len - 1 ? OK : ERR_INVALID_REQUEST);
            arena_release(&arena);
            free(exact);
        }
        buf_release(&in);
    }
}

static void counts_of_any_size_are_refused_without_memory(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(requests); i++) {
        struct buf in = bytes_of(requests[i].hex);
        for (size_t at = 0; at + 4 <= in.len; at++) {
            char saved[4];
            memcpy(saved, in.data + at, 4);
            memset(in.data + at, 0x7f, 4);
            struct arena arena = ARENA_INIT;
            struct wire_reader r = wire_reader_of(in.data, in.len, requests[i].flexible);
            (void)!read_request(requests[i].message, requests[i].version, &r, &arena);
            assert_true(arena.used_bytes < KIB(16));
            arena_release(&arena);
            memcpy(in.data + at, saved, 4);
        }
        buf_release(&in);
    }
}

static void metadata_topics_mean_all_or_none_by_version(void **state)
{
    (void)state;
    static const struct {
        int version;
        const char *hex;
        bool all;
    } cases[] = {{0, "00000000", true}, {1, "00000000", false}, {1, "ffffffff", true}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf in = bytes_of(cases[i].hex);
        struct arena arena = ARENA_INIT;
        struct wire_reader r = wire_reader_of(in.data, in.len, false);
        struct metadata_request q;
        metadata_request_read(&r, cases[i].version, &arena, &q);
        assert_ok(wire_reader_end(&r, "request"));
        assert_int_equal(q.all_topics, cases[i].all);
        assert_int_equal(q.topic_count, 0);
        assert_true(q.allow_auto_create);
        arena_release(&arena);
        buf_release(&in);
    }
}

static void written_requests_read_back(void **state)
{
    (void)state;
    struct arena arena = ARENA_INIT;
    struct buf out = BUF_INIT;
    for (int version = 0; version <= 12; version++) {
        struct fetch_partition p = {
            .index = 2, .current_leader_epoch = -1, .offset = 5, .max_bytes = 77};
        struct fetch_topic t = {SLICE("t"), 1, &p};
        struct fetch_request q = {.max_wait_ms = 1,
                                  .min_bytes = 2,
                                  .max_bytes = 3,
                                  .session_epoch = -1,
                                  .topic_count = 1,
                                  .topics = &t};
        struct wire_writer w = {&out, version >= FETCH_FLEXIBLE};
        fetch_request_write(&w, version, &q);
        struct fetch_request back;
        struct wire_reader r = wire_reader_of(out.data, out.len, w.flexible);
        fetch_request_read(&r, version, &arena, &back);
        assert_ok(wire_reader_end(&r, "fetch"));
        assert_int_equal(back.max_wait_ms, 1);
        assert_int_equal(back.max_bytes, version >= 3 ? 3 : INT32_MAX);
        assert_int_equal(back.topics[0].partitions[0].offset, 5);
        assert_int_equal(back.topics[0].partitions[0].max_bytes, 77);
        buf_clear(&out);
    }
    for (int version = 0; version <= 7; version++) {
        struct list_offsets_partition p = {
            .index = 2, .current_leader_epoch = -1, .timestamp = 12345, .max_offsets = 1};
        struct list_offsets_topic t = {SLICE("t"), 1, &p};
        struct list_offsets_request q = {1, &t};
        struct wire_writer w = {&out, version >= LIST_OFFSETS_FLEXIBLE};
        list_offsets_request_write(&w, version, &q);
        struct list_offsets_request back;
        struct wire_reader r = wire_reader_of(out.data, out.len, w.flexible);
        list_offsets_request_read(&r, version, &arena, &back);
        assert_ok(wire_reader_end(&r, "list offsets"));
        assert_int_equal(back.topics[0].partitions[0].timestamp, 12345);
        buf_clear(&out);
    }
    arena_release(&arena);
    buf_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_have_two_forms),
        cmocka_unit_test(null_and_negative_lengths_are_refused_where_they_must_not_be),
        cmocka_unit_test(a_count_is_believed_only_if_its_items_can_follow),
        cmocka_unit_test(unknown_tags_are_skipped),
        cmocka_unit_test(request_headers_keep_a_classic_client_id),
        cmocka_unit_test(api_versions_replies),
        cmocka_unit_test(metadata_replies),
        cmocka_unit_test(list_offsets_replies),
        cmocka_unit_test(fetch_replies),
        cmocka_unit_test(produce_replies),
        cmocka_unit_test(find_coordinator_replies),
        cmocka_unit_test(cut_requests_are_refused_and_trailing_bytes_ignored),
        cmocka_unit_test(counts_of_any_size_are_refused_without_memory),
        cmocka_unit_test(metadata_topics_mean_all_or_none_by_version),
        cmocka_unit_test(written_requests_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
