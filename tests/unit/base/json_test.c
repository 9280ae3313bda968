#include "tests/test.h"

#include <stdio.h>

#include "base/json_engine.h"
#include "base/limits.h"

_Static_assert(LIMIT_JSON_DEPTH <= JSON_DEPTH_CEILING, "the scanner holds the depth of the doors");

static const char *const wanted[] = {"type", "ts", "a", "collection", "docId", "0123456789abcdef"};
enum { TYPE, TS, A, COLLECTION, DOC_ID, LONG_NAME };

static const struct json_names *test_names(void)
{
    static struct json_names names;
    if (names.count == 0)
        json_names_init(&names, wanted, ARRAY_LEN(wanted));
    return &names;
}

/* What an engine says about a text, with positions instead of pointers. */
struct outcome {
    enum json_stop stop;
    size_t stop_at;
    uint32_t found;
    struct {
        size_t at, len;
        enum json_kind kind;
        bool escaped;
        uint32_t count;
    } values[JSON_NAMES_MAX + 1]; /* the fields, then the value itself */
};

static void outcome_note(struct outcome *o, size_t index, const struct json_value *v,
                         const void *data)
{
    o->values[index].at = (size_t)(v->raw.data - (const char *)data);
    o->values[index].len = v->raw.len;
    o->values[index].kind = v->kind;
    o->values[index].escaped = v->escaped;
    o->values[index].count = v->count;
}

/* Scans a copy of exactly `len` bytes, so that ASan sees any read past it. */
static struct outcome run(json_engine_fn *engine, const char *data, size_t len, bool at_end)
{
    struct outcome o;
    memset(&o, 0, sizeof(o));
    uint8_t *copy = malloc(len);
    if (len != 0)
        memcpy(copy, data, len);
    struct json_scan scan;
    struct json_job job = {.data = copy,
                           .len = len,
                           .at_end = at_end,
                           .depth_max = LIMIT_JSON_DEPTH,
                           .names = test_names(),
                           .ret = &scan};
    o.stop = engine(&job);
    o.stop_at = job.stop_at;
    if (o.stop == JSON_DONE) {
        o.found = scan.found;
        outcome_note(&o, JSON_NAMES_MAX, &scan.value, copy);
        for (size_t i = 0; i < JSON_NAMES_MAX; i++)
            if (json_scan_found(&scan, i))
                outcome_note(&o, i, &scan.fields[i], copy);
    }
    free(copy);
    return o;
}

/* All engines must say the same; returns what they say. */
static struct outcome run_all(const char *data, size_t len, bool at_end)
{
    struct outcome portable = run(json_scan_portable, data, len, at_end);
    for (const struct json_engine *e = json_engines; e->name != NULL; e++) {
        if (!e->usable())
            continue;
        struct outcome o = run(e->scan, data, len, at_end);
        if (memcmp(&o, &portable, sizeof(o)) != 0)
            fail_msg("engine %s differs from portable on: %.*s", e->name, (int)len, data);
    }
    return portable;
}

static err_t scan_text(const char *text, struct json_scan *ret)
{
    struct json_input in = {.data = text, .len = strlen(text), .at_end = true};
    return json_scan_document(&in, test_names(), LIMIT_JSON_DEPTH, ret);
}

static const char *const good[] = {
    "0",
    "-0",
    "12",
    "-12.5e+10",
    "1E5",
    "0.1",
    "1234567890123456789012345678901234567890.12345678901",
    "true",
    "false",
    "null",
    "\"\"",
    "\"a\"",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "{\"a\":[]}",
    " \t\r\n{ \"a\" : [ 1 , 2 , { \"b\" : null } ] , \"c\" : \"d\" } \n",
    "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u12aF\"",
    "\"\\ud800\"",
    "\"\\udc00x\"",
    "\"\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"",
    "{\"type\":\"x\",\"a\":1,\"type\":\"y\",\"nested\":{\"type\":3,\"ts\":4}}",
    "{\"0123456789abcdef\":true,\"0123456789abcdefg\":1,\"collection\":{\"docId\":[1,2]},\"\":2}",
    "{\"a long field name that goes on and on over the end of the first block of 64\":\"\\u0041\"}",
    "\"0123456789012345678901234567890123456789012345678901234567890123456789\\\\\\\"end\"",
    "{\"text\":"
    "\"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xe9\x95\xb7\xe3\x81\x84\xe6\x96\x87"
    "\xe7\xab\xa0\xe3\x81\xaf\xe3\x81\x93\xe3\x81\x93\xe3\x81\xa7\xe7\xb5\x82\xe3\x82\x8f\xe3\x82"
    "\x8a\"}",
    ("["
     "\"a\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\\ta\""
     "]"),
    "{\n  \"ts\": 1,\n        \"a\"\t:\r\n {\n            \"x\" : [ ]\n  }\n\n,                 "
    "\"b\":\ttrue\n}",
    "{\"n\":[0,1,22,333,4444,55555,666666,7777777,88888888,999999999,-1.5,1e9,2E-3,0.25,-0e0]}",
};

/* Malformed texts and the byte that the error names. */
static const struct {
    const char *text;
    size_t byte;
} bad[] = {
    {"", 0},
    {"   ", 3},
    {"x", 0},
    {"tru", 3},
    {"trux", 3},
    {"nul", 3},
    {"True", 0},
    {"01", 1},
    {"-", 1},
    {"-x", 1},
    {"1.", 2},
    {"1.e1", 2},
    {"1e", 2},
    {"1e+", 3},
    {"+1", 0},
    {".5", 0},
    {"[01]", 2},
    {"[-012]", 3},
    {"NaN", 0},
    {"0x10", 1},
    {"1 2", 2},
    {"[", 1},
    {"[1", 2},
    {"[1,", 3},
    {"[1,]", 3},
    {"[,1]", 1},
    {"[1 2]", 3},
    {"[1}", 2},
    {"{", 1},
    {"{\"a\"", 4},
    {"{\"a\":", 5},
    {"{\"a\":1", 6},
    {"{\"a\":1,}", 7},
    {"{a:1}", 1},
    {"{\"a\" 1}", 5},
    {"{\"a\":1 \"b\":2}", 7},
    {"{\"a\":1]", 6},
    {"{1:2}", 1},
    {"{}}", 2},
    {"]", 0},
    {"\"", 1},
    {"\"abc", 4},
    {"\"\\", 2},
    {"\"\\x\"", 1},
    {"\"\\u12g4\"", 1},
    {"\"\\u12\"", 1},
    {"\"a\nb\"", 2},
    {"\"a\tb\"", 2},
    {"\"\x7f\x1f\"", 2},
    {"\"\x80\"", 1},
    {"\"\xc0\xaf\"", 1},
    {"\"\xc1\xbf\"", 1},
    {"\"ab\xc3(\"", 3},
    {"\"\xe0\x80\xaf\"", 1},
    {"\"\xed\xa0\x80\"", 1},
    {"\"\xf0\x80\x80\xaf\"", 1},
    {"\"\xf4\x90\x80\x80\"", 1},
    {"\"\xf5\x80\x80\x80\"", 1},
    {"\"\xff\"", 1},
    {"\"\xe6\x97", 3},
    {"\"\xe6\x97\"", 1},
    {"\xef\xbb\xbf{}", 0},
    {"{\"\xff\":1}", 2},
    {"[1,\f2]", 3},
    {"[1,\v2]", 3},
    {"\xc2\xa0[]", 0},
    {"// x\n1", 0},
    {"'a'", 0},
};

static void well_formed_texts_are_accepted_by_all_engines(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct json_scan scan;
        if (scan_text(good[i], &scan) != OK)
            fail_msg("%s: %s", good[i], err_last()->text);
        assert_int_equal(scan.len, strlen(good[i]));
        assert_int_equal(run_all(good[i], strlen(good[i]), true).stop, JSON_DONE);
    }
}

static void malformed_texts_are_refused_at_the_right_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct json_scan scan;
        if (scan_text(bad[i].text, &scan) != ERR_INVALID_JSON)
            fail_msg("accepted: %s", bad[i].text);
        char place[40];
        snprintf(place, sizeof(place), " at byte %zu: ", bad[i].byte);
        if (strstr(err_last()->text, place) == NULL)
            fail_msg("%s: %s, expected%s", bad[i].text, err_last()->text, place);
        (void)run_all(bad[i].text, strlen(bad[i].text), true);
    }
}

static void error_sentences_count_from_the_origin(void **state)
{
    (void)state;
    struct json_scan scan;
    struct json_input in = {.data = "[1,x]", .len = 5, .origin = 70000, .at_end = true};
    assert_int_equal(json_scan_value(&in, NULL, 10, &scan), ERR_INVALID_JSON);
    assert_string_equal(err_last()->text, "malformed JSON at byte 70003: expected a value");
}

static void wanted_fields_are_found_only_at_the_top(void **state)
{
    (void)state;
    struct json_scan s;
    assert_ok(scan_text(
        " {\"type\":\"a\\nb\",\"x\":{\"ts\":1,\"docId\":2}, \"a\" : -1.5e3 ,\"docId\":[\"ts\","
        "{\"ts\":0}],\"collection\":{\"type\":\"no\"},\"0123456789abcdef\":null}",
        &s));
    assert_int_equal(s.value.kind, JSON_OBJECT);
    assert_int_equal(s.found, 1 << TYPE | 1 << A | 1 << DOC_ID | 1 << COLLECTION | 1 << LONG_NAME);
    assert_true(slice_equal(s.fields[TYPE].raw, SLICE("\"a\\nb\"")));
    assert_true(s.fields[TYPE].escaped && s.fields[TYPE].count == 1);
    assert_true(slice_equal(s.fields[A].raw, SLICE("-1.5e3")));
    assert_int_equal(s.fields[A].kind, JSON_NUMBER);
    assert_true(slice_equal(s.fields[DOC_ID].raw, SLICE("[\"ts\",{\"ts\":0}]")));
    assert_int_equal(s.fields[DOC_ID].kind, JSON_ARRAY);
    assert_true(slice_equal(s.fields[COLLECTION].raw, SLICE("{\"type\":\"no\"}")));
    assert_int_equal(s.fields[COLLECTION].kind, JSON_OBJECT);
    assert_int_equal(s.fields[LONG_NAME].kind, JSON_NULL);
    assert_false(s.fields[COLLECTION].escaped);
}

static void only_strings_that_hold_escapes_are_marked(void **state)
{
    (void)state;
    struct json_scan s;
    assert_ok(scan_text("{\"\\u0078\":1,\"type\":\"plain\",\"a\":[\"\\t\"],\"ts\":\"\\/\"}", &s));
    assert_false(s.fields[TYPE].escaped);
    assert_false(s.fields[A].escaped);
    assert_true(s.fields[TS].escaped);
    assert_false(s.value.escaped);
}

static void fields_of_an_array_and_of_its_objects_are_not_top_level(void **state)
{
    (void)state;
    struct json_scan s;
    assert_ok(scan_text("[{\"type\":1},{\"ts\":2}]", &s));
    assert_int_equal(s.found, 0);
    assert_int_equal(s.value.kind, JSON_ARRAY);
}

static void the_last_of_equal_fields_wins_and_all_are_counted(void **state)
{
    (void)state;
    struct json_scan s;
    assert_ok(scan_text("{\"type\":\"\\u0061\",\"ts\":1,\"type\":2,\"typ\\u0065\":false}", &s));
    assert_int_equal(s.fields[TYPE].count, 3);
    assert_int_equal(s.fields[TYPE].kind, JSON_FALSE);
    assert_false(s.fields[TYPE].escaped);
    assert_int_equal(s.fields[TS].count, 1);
}

static void names_match_however_the_text_writes_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int field; /* -1: none */
    } cases[] = {
        {"{\"typ\\u0065\":1}", TYPE},
        {"{\"\\u0074\\u0079\\u0070\\u0065\":1}", TYPE},
        {"{\"\\u0061\":1}", A},
        {"{\"0123456789\\u0061bcdef\":1}", LONG_NAME},
        {"{\"0123456789\\u0061bcdefg\":1}", -1},
        {"{\"typ\\u0045\":1}", -1},
        {"{\"type\\u0000\":1}", -1},
        {"{\"\\ud800type\":1}", -1},
        {"{\"\\ud83d\\ude00\":1}", -1},
        {"{\"Type\":1}", -1},
        {"{\"0123456789abcdef0\":1}", -1},
        {"{\"0123456789abcdef01234567\":1}", -1},
        {"{\"typ\":1}", -1},
        {"{\"types\":1}", -1},
        {"{\"\":1}", -1},
        {"{\"\\u0074\":1}", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json_scan s;
        assert_ok(scan_text(cases[i].text, &s));
        assert_int_equal(s.found, cases[i].field < 0 ? 0 : 1 << cases[i].field);
    }
}

static void a_piece_of_a_text_is_incomplete_but_never_wrong(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        size_t len = strlen(good[i]);
        struct outcome whole = run_all(good[i], len, true);
        for (size_t cut = 0; cut <= len; cut++) {
            struct outcome o = run_all(good[i], cut, false);
            /* Only a number has to see what follows it. */
            bool complete =
                cut > whole.stop_at ||
                (cut == whole.stop_at && whole.values[JSON_NAMES_MAX].kind != JSON_NUMBER);
            if (complete)
                assert_memory_equal(&o, &whole, sizeof(o));
            else if (o.stop != JSON_CUT)
                fail_msg("%.*s: stop %d", (int)cut, good[i], (int)o.stop);
        }
    }
}

static void a_piece_of_a_malformed_text_shows_the_error_or_waits_for_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        size_t len = strlen(bad[i].text);
        struct outcome whole = run_all(bad[i].text, len, false);
        for (size_t cut = 0; cut <= len; cut++) {
            struct outcome o = run_all(bad[i].text, cut, false);
            if (o.stop != JSON_CUT)
                assert_memory_equal(&o, &whole, sizeof(o));
        }
    }
}

static void incomplete_values_are_a_code_without_a_sentence(void **state)
{
    (void)state;
    struct json_scan scan;
    (void)err_fail(ERR_IO, "before");
    struct json_input in = {.data = "{\"a\":12", .len = 7};
    assert_int_equal(json_scan_value(&in, NULL, 10, &scan), ERR_AGAIN);
    assert_string_equal(err_last()->text, "before");
    struct json_input number = {.data = "12", .len = 2};
    assert_int_equal(json_scan_value(&number, NULL, 10, &scan), ERR_AGAIN);
    number.at_end = true;
    assert_ok(json_scan_value(&number, NULL, 10, &scan));
    assert_int_equal(scan.len, 2);
}

static void one_value_is_measured_and_the_rest_left_alone(void **state)
{
    (void)state;
    struct json_scan scan;
    struct json_input in = {.data = " {\"a\":1},{\"broken\" x", .len = 20};
    assert_ok(json_scan_value(&in, test_names(), 10, &scan));
    assert_int_equal(scan.len, 8);
    assert_true(slice_equal(scan.value.raw, SLICE("{\"a\":1}")));
}

static void depth_is_limited_and_costs_no_stack(void **state)
{
    (void)state;
    char text[2 * 600];
    for (uint32_t depth = 1; depth <= 600; depth++) {
        for (uint32_t i = 0; i < depth; i++) {
            text[i] = '[';
            text[depth + i] = ']';
        }
        struct outcome o = run_all(text, (size_t)depth * 2, true);
        assert_int_equal(o.stop, depth <= LIMIT_JSON_DEPTH ? JSON_DONE : JSON_TOO_DEEP);
    }
    size_t len = 1000000;
    CLEANUP(xfree_ptr) char *deep = xmalloc(len);
    for (size_t i = 0; i < len; i++)
        deep[i] = "{\"a\":["[i % 6];
    struct json_scan scan;
    struct json_input in = {.data = deep, .len = len};
    assert_int_equal(json_scan_value(&in, NULL, LIMIT_JSON_DEPTH, &scan), ERR_INVALID_JSON);
    assert_string_equal(err_last()->text, "JSON nested deeper than 512 levels at byte 1536");
}

/* The kinds of open containers are kept over word borders of the stack. */
static void brackets_must_match_at_every_depth(void **state)
{
    (void)state;
    for (size_t wrong = 0; wrong <= 200; wrong++) {
        CLEANUP(buf_release) struct buf b = BUF_INIT;
        for (size_t i = 0; i < 200; i++)
            buf_append_str(&b, i % 3 == 0 ? "{\"k\":" : "[");
        buf_append_str(&b, "[]");
        for (size_t i = 200; i-- > 0;)
            buf_append_char(&b, (i % 3 == 0) != (i == wrong) ? '}' : ']');
        assert_int_equal(run_all(b.data, b.len, true).stop == JSON_DONE, wrong == 200);
    }
}

static uint64_t random_next(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005 + 1442695040888963407;
    return *seed >> 33;
}

static void engines_agree_on_damaged_texts(void **state)
{
    (void)state;
    static const char tokens[] =
        "{}[]:,\"\\/ntfu0123456789-+.eE \t\r\n\x01\x1f\x7f\x80\xbf\xc3\xe2\xed\xf0\xff";
    uint64_t seed = 42;
    for (int round = 0; round < 20000; round++) {
        CLEANUP(buf_release) struct buf b = BUF_INIT;
        buf_append_str(&b, "[");
        for (int parts = 1 + (int)(random_next(&seed) % 4); parts > 0; parts--) {
            buf_append_str(&b, good[random_next(&seed) % ARRAY_LEN(good)]);
            buf_append_char(&b, parts == 1 ? ']' : ',');
        }
        for (uint64_t hits = random_next(&seed) % 4; hits > 0; hits--)
            b.data[random_next(&seed) % b.len] = tokens[random_next(&seed) % (sizeof(tokens) - 1)];
        (void)run_all(b.data, b.len, random_next(&seed) % 2 == 0);
    }
}

static void every_byte_is_classified_alike_at_every_place(void **state)
{
    (void)state;
    char text[200];
    for (size_t place = 1; place < 140; place++) {
        for (int c = 0; c < 256; c++) {
            memset(text, 'x', sizeof(text));
            text[0] = '"';
            text[141] = '"';
            text[place] = (char)c;
            enum json_stop want = c < 0x20    ? JSON_BAD_CONTROL
                                  : c == '\\' ? JSON_BAD_ESCAPE
                                  : c >= 0x80 ? JSON_BAD_UTF8
                                              : JSON_DONE;
            struct outcome o = run_all(text, 142, true);
            assert_int_equal(o.stop, want);
            assert_int_equal(o.stop_at, want != JSON_DONE ? place : c == '"' ? place + 1 : 142);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed_texts_are_accepted_by_all_engines),
        cmocka_unit_test(malformed_texts_are_refused_at_the_right_byte),
        cmocka_unit_test(error_sentences_count_from_the_origin),
        cmocka_unit_test(wanted_fields_are_found_only_at_the_top),
        cmocka_unit_test(only_strings_that_hold_escapes_are_marked),
        cmocka_unit_test(fields_of_an_array_and_of_its_objects_are_not_top_level),
        cmocka_unit_test(the_last_of_equal_fields_wins_and_all_are_counted),
        cmocka_unit_test(names_match_however_the_text_writes_them),
        cmocka_unit_test(a_piece_of_a_text_is_incomplete_but_never_wrong),
        cmocka_unit_test(a_piece_of_a_malformed_text_shows_the_error_or_waits_for_it),
        cmocka_unit_test(incomplete_values_are_a_code_without_a_sentence),
        cmocka_unit_test(one_value_is_measured_and_the_rest_left_alone),
        cmocka_unit_test(depth_is_limited_and_costs_no_stack),
        cmocka_unit_test(brackets_must_match_at_every_depth),
        cmocka_unit_test(engines_agree_on_damaged_texts),
        cmocka_unit_test(every_byte_is_classified_alike_at_every_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
