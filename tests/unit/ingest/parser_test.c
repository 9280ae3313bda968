/* Bodies of POST /ingest: what they become, what is refused, and that cutting them changes nothing.
 */
#include "tests/test.h"

#include <stdio.h>

#include "ingest/parser.h"
#include "log/batch.h"

#define NOW_MS INT64_C(1770042600000) /* 2026-02-02T14:30:00Z */
#define TS "\"ts\":\"2026-02-02T14:30:00.123Z\""
#define EVENT "{\"type\":\"a.b\"," TS "}"

static struct event_rules rules;
static struct event_scratch scratch;

struct outcome {
    err_t err;
    char text[256];
    uint32_t count;
    struct buf records; /* one line each */
    struct buf batch_id;
    uint32_t fault_count;
    struct event_fault faults[FAULTS_SHOWN];
};

static void outcome_release(struct outcome *o)
{
    buf_release(&o->records);
    buf_release(&o->batch_id);
}

static void put_bytes(struct buf *out, const char *name, struct slice s)
{
    if (s.data != NULL)
        buf_printf(out, " %s=%.*s", name, (int)s.len, s.data);
}

static void dump(struct builder *b, struct buf *out)
{
    uint8_t *data;
    uint32_t len, count;
    struct batch_header header;
    struct record_reader reader;
    struct record rec;
    if (builder_count(b) == 0)
        return;
    builder_seal(b, &data, &len, &count);
    assert_ok(batch_check(data, len, &header));
    assert_ok(record_reader_open(&reader, data, len, MIB(16)));
    while (record_reader_next(&reader, &rec) == OK) {
        buf_printf(out, "%lld", (long long)rec.timestamp_ms);
        put_bytes(out, "key", rec.key);
        put_bytes(out, "type", record_header_find(&rec, "type"));
        put_bytes(out, "source", record_header_find(&rec, "source"));
        put_bytes(out, "value", rec.value);
        buf_append_char(out, '\n');
    }
    record_reader_close(&reader);
    free(data);
}

/** Parses `body` in pieces of `piece` bytes, the first of `first`; 0: all at once. */
static struct outcome parse(enum body_format format, struct slice body, size_t first, size_t piece)
{
    struct outcome o = {0};
    struct event_parser p;
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    const struct event_parser_options options = {.rules = &rules,
                                                 .scratch = &scratch,
                                                 .builder = b,
                                                 .format = format,
                                                 .now_ms = NOW_MS,
                                                 .events_max = 1000};
    event_parser_init(&p, &options);
    for (size_t at = 0, take = first; o.err == OK && take > 0 && at < body.len; take = piece) {
        /* Each piece is memory of its own, so that a reader past its end is caught. */
        size_t n = MIN(take, body.len - at);
        char *copy = xmalloc(n);
        memcpy(copy, body.data + at, n);
        o.err = event_parser_feed(&p, copy, n);
        free(copy);
        at += n;
    }
    if (o.err == OK)
        o.err = event_parser_end(&p, first == 0 ? body.data : NULL, first == 0 ? body.len : 0);
    if (o.err != OK)
        snprintf(o.text, sizeof(o.text), "%s", err_text(o.err));
    else
        dump(b, &o.records);
    o.count = p.count;
    o.fault_count = p.fault_count;
    memcpy(o.faults, p.faults, sizeof(o.faults));
    o.batch_id = p.batch_id;
    p.batch_id = BUF_INIT;
    event_parser_release(&p);
    builder_free(b);
    return o;
}

static struct outcome parse_whole(enum body_format format, const char *body)
{
    return parse(format, slice_of(body), 0, 0);
}

static void assert_records(const struct outcome *o, const char *want)
{
    assert_int_equal(o->records.len, strlen(want));
    if (o->records.len > 0)
        assert_memory_equal(o->records.data, want, o->records.len);
}

static void assert_same(const struct outcome *a, const struct outcome *b)
{
    assert_int_equal(a->err, b->err);
    assert_string_equal(a->text, b->text);
    assert_int_equal(a->records.len, b->records.len);
    if (a->records.len > 0)
        assert_memory_equal(a->records.data, b->records.data, a->records.len);
    assert_int_equal(a->batch_id.len, b->batch_id.len);
    assert_int_equal(a->fault_count, b->fault_count);
    if (a->err == OK)
        assert_int_equal(a->count, b->count);
}

struct body_case {
    const char *body;
    const char *records; /* NULL: refused with … */
    err_t err;
    const char *text; /* part of the sentence */
    enum body_format format;
};

#define LINE "1770042600123 type=a.b value=" EVENT "\n"

static const struct body_case body_cases[] = {
    {"{\"events\":[]}", "", OK, NULL, BODY_JSON},
    {"[]", "", OK, NULL, BODY_JSON},
    {" \n[ \t] \r\n", "", OK, NULL, BODY_JSON},
    {"{\"events\":[" EVENT "]}", LINE, OK, NULL, BODY_JSON},
    {"[" EVENT "," EVENT "]", LINE LINE, OK, NULL, BODY_JSON},
    {" { \"batchId\" : \"x\" , \"other\" : [ { } ] , \"events\" : [ " EVENT " , " EVENT
     " ] , \"more\":1.5e3 } ",
     LINE LINE, OK, NULL, BODY_JSON},
    {"{\"\\u0065vents\":[" EVENT "]}", LINE, OK, NULL, BODY_JSON},
    {EVENT, LINE, OK, NULL, BODY_LINES},
    {EVENT "\n" EVENT "\n", LINE LINE, OK, NULL, BODY_LINES},
    {"\n\r\n" EVENT " \r\n\n" EVENT "\t", LINE LINE, OK, NULL, BODY_LINES},
    {"", "", OK, NULL, BODY_LINES},
    /* bytes are kept as they came */
    {"[ {\"ts\" : \"2026-02-02T14:30:00.123Z\",\n\t\"type\":\"x\",\"n\":1.0e+2} ]",
     "1770042600123 type=x value={\"ts\" : \"2026-02-02T14:30:00.123Z\",\n\t\"type\":\"x\",\"n\":"
     "1.0e+2}\n",
     OK, NULL, BODY_JSON},
    {"[{\"type\":\"\\u0061\",\"source\":\"s\\n\"," TS "}]",
     "1770042600123 type=a source=s\n value={\"type\":\"\\u0061\",\"source\":\"s\\n\"," TS "}\n",
     OK, NULL, BODY_JSON},
    {"[{\"type\":\"x\",\"source\":5," TS "}]",
     "1770042600123 type=x value={\"type\":\"x\",\"source\":5," TS "}\n", OK, NULL, BODY_JSON},
    {"[{\"type\":\"collection.insert\",\"docId\":\"d\\u00e9\",\"collection\":\"c\",\"doc\":{}," TS
     "}]",
     "1770042600123 key=d\xc3\xa9 type=collection.insert value={\"type\":\"collection.insert\","
     "\"docId\":\"d\\u00e9\",\"collection\":\"c\",\"doc\":{}," TS "}\n",
     OK, NULL, BODY_JSON},
    {"[{\"type\":\"collections.other\",\"docId\":5," TS "}]",
     "1770042600123 type=collections.other value={\"type\":\"collections.other\",\"docId\":5," TS
     "}\n",
     OK, NULL, BODY_JSON},
    /* not JSON */
    {"", NULL, ERR_INVALID_JSON, "at byte 0", BODY_JSON},
    {"  ", NULL, ERR_INVALID_JSON, "at byte 2", BODY_JSON},
    {"{bad", NULL, ERR_INVALID_JSON, "at byte 1", BODY_JSON},
    {"{\"events\"", NULL, ERR_INVALID_JSON, "at byte 9", BODY_JSON},
    {"{\"events\":[", NULL, ERR_INVALID_JSON, "at byte 11", BODY_JSON},
    {"{\"events\":[" EVENT, NULL, ERR_INVALID_JSON, "expected ',' or ']'", BODY_JSON},
    {"{\"events\":[" EVENT ",]}", NULL, ERR_INVALID_JSON, "at byte", BODY_JSON},
    {"{\"events\":[]} x", NULL, ERR_INVALID_JSON, "at byte 14", BODY_JSON},
    {"{\"events\":[],}", NULL, ERR_INVALID_JSON, "at byte 13", BODY_JSON},
    {"[" EVENT " " EVENT "]", NULL, ERR_INVALID_JSON, "expected ',' or ']'", BODY_JSON},
    {"[" EVENT "]]", NULL, ERR_INVALID_JSON, "expected nothing", BODY_JSON},
    {EVENT EVENT, NULL, ERR_INVALID_JSON, "expected the end of the line", BODY_LINES},
    {EVENT "\n{\"type\":", NULL, ERR_INVALID_JSON, "at byte", BODY_LINES},
    {"[{\"type\":\"x\",\"u\":\"\xff\"," TS "}]", NULL, ERR_INVALID_JSON, "at byte 18", BODY_JSON},
    /* not a batch */
    {"null", NULL, ERR_INVALID_BATCH, "must have events array with max 1000", BODY_JSON},
    {"5", NULL, ERR_INVALID_BATCH, "must have events array", BODY_JSON},
    {"{}", NULL, ERR_INVALID_BATCH, "must have events array", BODY_JSON},
    {EVENT, NULL, ERR_INVALID_BATCH, "must have events array", BODY_JSON},
    {"{\"events\":{}}", NULL, ERR_INVALID_BATCH, "must have events array", BODY_JSON},
    {"{\"events\":[],\"events\":[]}", NULL, ERR_INVALID_BATCH, "twice", BODY_JSON},
    {"{\"batchId\":5,\"events\":[]}", NULL, ERR_INVALID_BATCH, "batchId must be", BODY_JSON},
    {"{\"batchId\":\"\\ud800\",\"events\":[]}", NULL, ERR_INVALID_BATCH, "batchId must be",
     BODY_JSON},
    {"{\"batchId\":\"a\",\"batchId\":\"a\",\"events\":[]}", NULL, ERR_INVALID_BATCH, "twice",
     BODY_JSON},
};

static void bodies_become_records_or_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(body_cases); i++) {
        const struct body_case *c = &body_cases[i];
        struct outcome o = parse_whole(c->format, c->body);
        if (o.err != c->err)
            fail_msg("case %zu gave %d (%s)", i, (int)o.err, o.text);
        if (c->records != NULL)
            assert_records(&o, c->records);
        else if (strstr(o.text, c->text) == NULL)
            fail_msg("case %zu: \"%s\" lacks \"%s\"", i, o.text, c->text);
        outcome_release(&o);
    }
}

static void cutting_a_body_anywhere_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(body_cases); i++) {
        const struct body_case *c = &body_cases[i];
        struct slice body = slice_of(c->body);
        struct outcome whole = parse(c->format, body, 0, 0);
        for (size_t first = 1; first <= body.len; first++) {
            static const size_t pieces[] = {1, 7, 1000};
            for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
                struct outcome cut = parse(c->format, body, first, pieces[k]);
                assert_same(&whole, &cut);
                outcome_release(&cut);
            }
        }
        outcome_release(&whole);
    }
}

#define CHANGE(op) "\"type\":\"collection." op "\",\"docId\":\"d\",\"collection\":\"c\""

struct event_case {
    const char *event;
    err_t err;
    const char *field;
};

static const struct event_case event_cases[] = {
    {"5", ERR_INVALID_EVENT, ""},
    {"null", ERR_INVALID_EVENT, ""},
    {"[]", ERR_INVALID_EVENT, ""},
    {"{" TS "}", ERR_INVALID_EVENT, "type"},
    {"{\"type\":\"\"," TS "}", ERR_INVALID_EVENT, "type"},
    {"{\"type\":\"a b\"," TS "}", ERR_INVALID_EVENT, "type"},
    {"{\"type\":\"\xc3\xa9\"," TS "}", ERR_INVALID_EVENT, "type"},
    {"{\"type\":5," TS "}", ERR_INVALID_EVENT, "type"},
    {"{\"type\":\"a\\u0000\"," TS "}", ERR_INVALID_EVENT, "type"},
    {"{\"type\":\"x\"}", ERR_INVALID_EVENT, "ts"},
    {"{\"type\":\"x\",\"ts\":1770042600123}", ERR_INVALID_EVENT, "ts"},
    {"{\"type\":\"x\",\"ts\":\"2026-02-02T14:30:00\"}", ERR_INVALID_EVENT, "ts"},
    {"{\"type\":\"x\",\"ts\":\"2026-02-30T14:30:00Z\"}", ERR_INVALID_EVENT, "ts"},
    {"{\"type\":\"x\",\"ts\":\"2026-02-02T14:30:00.12xZ\"}", ERR_INVALID_EVENT, "ts"},
    {"{\"type\":\"x\",\"ts\":\"2026-02-02\"}", ERR_INVALID_EVENT, "ts"},
    {"{\"type\":\"x\",\"ts\":\"1969-12-31T23:59:59.999Z\"}", ERR_INVALID_EVENT, "ts"},
    {"{\"type\":\"x\",\"ts\":\"1970-01-01T00:00:00Z\"}", OK, NULL},
    {"{\"type\":\"x\",\"ts\":\"2026-02-02T15:30:00.000Z\"}", OK, NULL},
    {"{\"type\":\"x\",\"ts\":\"2026-02-02T15:30:00.001Z\"}", ERR_INVALID_EVENT, "ts"},
    {"{\"type\":\"x\",\"ts\":\"2026-02-02T16:29:59+01:00\"}", OK, NULL},
    {"{\"type\":\"collection.insert\",\"collection\":\"c\"," TS "}", ERR_INVALID_EVENT, "docId"},
    {"{\"type\":\"collection.update\",\"docId\":\"\",\"collection\":\"c\"," TS "}",
     ERR_INVALID_EVENT, "docId"},
    {"{\"type\":\"collection.delete\",\"docId\":7,\"collection\":\"c\"," TS "}", ERR_INVALID_EVENT,
     "docId"},
    {"{\"type\":\"collection.delete\",\"docId\":\"\\udfff\",\"collection\":\"c\"," TS "}",
     ERR_INVALID_EVENT, "docId"},
    {"{\"type\":\"collection.delete\",\"docId\":\"d\"," TS "}", ERR_INVALID_EVENT, "collection"},
    {"{" CHANGE("insert") ",\"doc\":{},\"restore\":1," TS "}", ERR_INVALID_EVENT, "restore"},
    {"{" CHANGE("delete") ",\"restore\":null," TS "}", ERR_INVALID_EVENT, "restore"},
    {"{" CHANGE("upsert") ",\"doc\":{}," TS "}", ERR_INVALID_EVENT, "type"},
    {"{" CHANGE("") ",\"doc\":{}," TS "}", ERR_INVALID_EVENT, "type"},
    {"{" CHANGE("insert") "," TS "}", ERR_INVALID_EVENT, "doc"},
    {"{" CHANGE("update") ",\"doc\":null," TS "}", ERR_INVALID_EVENT, "doc"},
    {"{" CHANGE("update") ",\"doc\":\"{}\"," TS "}", ERR_INVALID_EVENT, "doc"},
    {"{" CHANGE("update") ",\"doc\":[]," TS "}", ERR_INVALID_EVENT, "doc"},
    {"{" CHANGE("delete") "," TS "}", OK, NULL},
    {"{" CHANGE("delete") ",\"doc\":5," TS "}", OK, NULL},
    {"{" CHANGE("update") ",\"doc\":{},\"expect\":0," TS "}", OK, NULL},
    {"{" CHANGE("update") ",\"doc\":{},\"expect\":9223372036854775807," TS "}", OK, NULL},
    {"{" CHANGE("update") ",\"doc\":{},\"expect\":9223372036854775808," TS "}", ERR_INVALID_EVENT,
     "expect"},
    {"{" CHANGE("update") ",\"doc\":{},\"expect\":-1," TS "}", ERR_INVALID_EVENT, "expect"},
    {"{" CHANGE("update") ",\"doc\":{},\"expect\":1.5," TS "}", ERR_INVALID_EVENT, "expect"},
    {"{" CHANGE("update") ",\"doc\":{},\"expect\":\"1\"," TS "}", ERR_INVALID_EVENT, "expect"},
    {"{" CHANGE("update") ",\"doc\":{},\"bookmark\":\"b\",\"prev\":{}," TS "}", OK, NULL},
    {"{" CHANGE("update") ",\"doc\":{},\"bookmark\":null," TS "}", OK, NULL},
    {"{" CHANGE("update") ",\"doc\":{},\"bookmark\":\"\"," TS "}", ERR_INVALID_EVENT, "bookmark"},
    {"{" CHANGE("update") ",\"doc\":{},\"bookmark\":7," TS "}", ERR_INVALID_EVENT, "bookmark"},
    {"{\"type\":\"collection.delete\",\"docId\":\"d\",\"collection\":\"a\\u0000\"," TS "}",
     ERR_INVALID_EVENT, "collection"},
};

static void bad_events_are_named_by_index_and_field(void **state)
{
    (void)state;
    char body[512];
    for (size_t i = 0; i < ARRAY_LEN(event_cases); i++) {
        const struct event_case *c = &event_cases[i];
        snprintf(body, sizeof(body), "[" EVENT ",%s," EVENT "]", c->event);
        struct outcome o = parse_whole(BODY_JSON, body);
        if (o.err != c->err)
            fail_msg("event %zu gave %d (%s)", i, (int)o.err, o.text);
        if (c->err != OK) {
            assert_int_equal(o.fault_count, 1);
            assert_int_equal(o.faults[0].index, 1);
            assert_string_equal(o.faults[0].field, c->field);
        }
        outcome_release(&o);
    }
}

static bool type_is_taken(const char *type, size_t len)
{
    char body[512];
    snprintf(body, sizeof(body), "[{\"type\":\"%.*s\"," TS "}]", (int)len, type);
    struct outcome o = parse_whole(BODY_JSON, body);
    err_t err = o.err;
    outcome_release(&o);
    assert_true(err == OK || err == ERR_INVALID_EVENT || err == ERR_INVALID_JSON);
    return err == OK;
}

static void a_type_has_letters_digits_dots_underscores_and_hyphens_anywhere(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 127, 128};
    char type[130];
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        for (size_t at = 0; at < lengths[i]; at += at < 20 ? 1 : 13) {
            for (int c = 1; c < 256; c++) {
                memset(type, 'a' + (int)at % 26, sizeof(type));
                type[at] = (char)c;
                bool fits = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                            (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
                if (type_is_taken(type, lengths[i]) != fits)
                    fail_msg("byte %d at %zu of a type of %zu", c, at, lengths[i]);
            }
        }
    }
    memset(type, 'z', sizeof(type));
    assert_false(type_is_taken(type, 129));
}

static struct buf event_of_size(size_t bytes)
{
    struct buf b = BUF_INIT;
    buf_append_str(&b, "{\"type\":\"x\"," TS ",\"pad\":\"");
    while (b.len < bytes - 2)
        buf_append_char(&b, 'p');
    buf_append_str(&b, "\"}");
    assert_int_equal(b.len, bytes);
    return b;
}

static void an_event_may_have_exactly_its_limit(void **state)
{
    (void)state;
    for (size_t size = 10240; size <= 10241; size++) {
        struct buf body = event_of_size(size);
        for (size_t piece = 0; piece <= 4096; piece = piece == 0 ? 1 : piece * 4) {
            struct outcome o = parse(BODY_LINES, buf_slice(&body), piece, piece);
            assert_int_equal(o.err, size == 10240 ? OK : ERR_EVENT_TOO_LARGE);
            outcome_release(&o);
        }
        buf_release(&body);
    }
}

static void a_batch_has_a_thousand_events_but_lines_have_no_such_limit(void **state)
{
    (void)state;
    for (size_t count = 1000; count <= 1001; count++) {
        struct buf array = BUF_INIT, lines = BUF_INIT;
        for (size_t i = 0; i < count; i++) {
            buf_append_str(&array, i == 0 ? "[" EVENT : "," EVENT);
            buf_append_str(&lines, EVENT "\n");
        }
        buf_append_str(&array, "]");
        struct outcome a = parse(BODY_JSON, buf_slice(&array), 0, 0);
        struct outcome l = parse(BODY_LINES, buf_slice(&lines), 700, 700);
        assert_int_equal(a.err, count == 1000 ? OK : ERR_INVALID_BATCH);
        assert_int_equal(l.err, OK);
        assert_int_equal(l.count, count);
        outcome_release(&a);
        outcome_release(&l);
        buf_release(&array);
        buf_release(&lines);
    }
}

static void batch_id_is_decoded_wherever_it_stands(void **state)
{
    (void)state;
    static const struct {
        const char *body, *id;
    } cases[] = {
        {"{\"batchId\":\"b\\u00e9\",\"events\":[" EVENT "]}", "b\xc3\xa9"},
        {"{\"events\":[" EVENT "],\"batchId\":\"../x\"}", "../x"},
        {"{\"events\":[" EVENT "],\"batchId\":\"\"}", ""},
        {"{\"events\":[" EVENT "],\"batchId\":null}", ""},
        {"{\"events\":[" EVENT "]}", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct outcome o = parse_whole(BODY_JSON, cases[i].body);
        assert_ok(o.err);
        assert_int_equal(o.batch_id.len, strlen(cases[i].id));
        assert_memory_equal(o.batch_id.data == NULL ? "" : o.batch_id.data, cases[i].id,
                            o.batch_id.len);
        outcome_release(&o);
    }
}

static struct buf nested(size_t depth, bool closed)
{
    struct buf body = BUF_INIT;
    buf_append_str(&body, "[{\"type\":\"x\"," TS ",\"d\":");
    for (size_t i = 0; i < depth; i++)
        buf_append_char(&body, '[');
    for (size_t i = 0; closed && i < depth; i++)
        buf_append_char(&body, ']');
    buf_append_str(&body, "}]");
    return body;
}

static void depth_is_limited_to_512(void **state)
{
    (void)state;
    static const struct {
        size_t depth;
        bool closed;
        err_t err;
    } cases[] = {
        {510, true, OK}, {511, true, ERR_INVALID_JSON}, {1000000, false, ERR_INVALID_JSON}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct buf body = nested(cases[i].depth, cases[i].closed);
        struct outcome o = parse(BODY_JSON, buf_slice(&body), 0, 0);
        assert_int_equal(o.err, cases[i].err);
        outcome_release(&o);
        buf_release(&body);
    }
}

static void only_the_first_ten_bad_events_are_named(void **state)
{
    (void)state;
    struct outcome o = parse_whole(BODY_JSON, "[1,2,3,4,5,6,7,8,9,10,11,12]");
    assert_int_equal(o.err, ERR_INVALID_EVENT);
    assert_int_equal(o.fault_count, 12);
    assert_int_equal(o.faults[9].index, 9);
    outcome_release(&o);
}

static int set_up(void **state)
{
    (void)state;
    event_rules_init(&rules, 10240);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    buf_release(&scratch.bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies_become_records_or_are_refused),
        cmocka_unit_test(cutting_a_body_anywhere_changes_nothing),
        cmocka_unit_test(bad_events_are_named_by_index_and_field),
        cmocka_unit_test(a_type_has_letters_digits_dots_underscores_and_hyphens_anywhere),
        cmocka_unit_test(an_event_may_have_exactly_its_limit),
        cmocka_unit_test(a_batch_has_a_thousand_events_but_lines_have_no_such_limit),
        cmocka_unit_test(batch_id_is_decoded_wherever_it_stands),
        cmocka_unit_test(depth_is_limited_to_512),
        cmocka_unit_test(only_the_first_ten_bad_events_are_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
