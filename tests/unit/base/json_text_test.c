#include "tests/test.h"

#include "base/json_engine.h"
#include "base/limits.h"
#include "base/utf8.h"

static void scan_ok(const char *text, struct json_scan *ret)
{
    struct json_input in = {.data = text, .len = strlen(text)};
    assert_ok(json_scan_document(&in, NULL, LIMIT_JSON_DEPTH, ret));
}

static void strings_are_decoded(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        const char *text;
        size_t len;
    } cases[] = {
        {"\"\"", "", 0},
        {"\"plain\"", "plain", 5},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t", 8},
        {"\"a\\u0000b\"", "a\0b", 3},
        {"\"\\u007f\\u0080\\u07FF\\u0800\\uffff\"", "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf",
         11},
        {"\"\\ud83d\\uDE00!\"", "\xf0\x9f\x98\x80!", 5},
        {"\"\\ud800\\udc00\\udbff\\udfff\"", "\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", 8},
        {"\"\xc3\xa9\\n\xc3\xa9\"", "\xc3\xa9\n\xc3\xa9", 5},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char out[64];
        size_t len;
        struct slice raw = slice_of(cases[i].raw);
        assert_ok(json_string_decode(raw, out, raw.len, &len));
        assert_int_equal(len, cases[i].len);
        assert_memory_equal(out, cases[i].text, len);
        assert_ok(json_string_decode(raw, out, len, &len));
        if (len > 0)
            assert_int_equal(json_string_decode(raw, out, len - 1, &len), ERR_VALIDATION);
    }
}

static void half_surrogate_pairs_are_valid_but_do_not_decode(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "\"\\ud800\"",        "\"\\udc00\"",        "\"\\udc00\\ud800\"", "\"\\ud800x\"",
        "\"\\ud800\\n1234\"", "\"\\ud800\\ud800\"", "\"\\ud800\\u0041\"", "\"abc\\udfff\"",
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json_scan scan;
        char out[64];
        size_t len;
        scan_ok(cases[i], &scan);
        assert_int_equal(json_string_decode(scan.value.raw, out, sizeof(out), &len),
                         ERR_INVALID_JSON);
    }
}

static void texts_become_one_line(void **state)
{
    (void)state;
    CLEANUP(buf_release) struct buf b = BUF_INIT;
    static const char text[] = "{\r\n\"a\":\n[1,\r2],\"b\":\"\\n\"}\n";
    buf_append_str(&b, "x");
    json_append_single_line(&b, text, sizeof(text) - 1);
    assert_true(slice_equal(buf_slice(&b), SLICE("x{  \"a\": [1, 2],\"b\":\"\\n\"} ")));
}

static void white_space_is_skipped_to_the_next_other_byte(void **state)
{
    (void)state;
    char text[64] = {0};
    for (size_t len = 0; len < sizeof(text); len++) {
        for (size_t i = 0; i < len; i++)
            text[i] = "  \n      \t          \r"[i % 21];
        assert_int_equal(json_skip_ws(text, len, 0), len);
        for (size_t stop = 0; stop < len; stop++) {
            char kept = text[stop];
            text[stop] = stop % 2 == 0 ? '\f' : '{';
            assert_int_equal(json_skip_ws(text, len, 0), stop);
            assert_int_equal(json_skip_ws(text, len, stop), stop);
            text[stop] = kept;
        }
    }
}

static void as_many_names_as_allowed_are_told_apart(void **state)
{
    (void)state;
    char texts[JSON_NAMES_MAX][JSON_NAME_LEN_MAX + 1];
    const char *list[JSON_NAMES_MAX];
    CLEANUP(buf_release) struct buf b = BUF_INIT;
    for (size_t i = 0; i < JSON_NAMES_MAX; i++) { /* "x", "xx", ... */
        memset(texts[i], 'x', i + 1);
        texts[i][i + 1] = '\0';
        list[i] = texts[i];
        buf_printf(&b, "%s\"%s\":%zu", i == 0 ? "{\"xxxxxxxxxxxxxxxxx\":99," : ",", texts[i], i);
    }
    buf_append_char(&b, '}');
    struct json_names names;
    json_names_init(&names, list, JSON_NAMES_MAX);
    struct json_input in = {.data = b.data, .len = b.len};
    struct json_scan scan;
    assert_ok(json_scan_document(&in, &names, 1, &scan));
    assert_int_equal(scan.found, (1 << JSON_NAMES_MAX) - 1);
    for (size_t i = 0; i < JSON_NAMES_MAX; i++) {
        assert_int_equal(strtoul(scan.fields[i].raw.data, NULL, 10), i);
        assert_int_equal(scan.fields[i].count, 1);
    }
}

/* Length of the character that RFC 3629 section 4 sees at `p`, by decoding; 0 for none. */
static size_t reference_sequence(const uint8_t p[4])
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = p[0] < 0x80             ? 1
               : (p[0] & 0xE0) == 0xC0 ? 2
               : (p[0] & 0xF0) == 0xE0 ? 3
               : (p[0] & 0xF8) == 0xF0 ? 4
                                       : 0;
    uint32_t c = n == 1 ? p[0] : p[0] & (0xFFu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3F);
    }
    bool good = n != 0 && c >= least[n] && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
    return good ? n : 0;
}

/* All first two bytes, with third and fourth bytes at the borders of what they may be. */
static void utf8_is_strict(void **state)
{
    (void)state;
    static const uint8_t ends[] = {0x00, 0x7F, 0x80, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    for (unsigned first = 0; first < 0x10000; first++) {
        for (size_t i = 0; i < 64; i++) {
            uint8_t p[4] = {(uint8_t)(first >> 8), (uint8_t)first, ends[i / 8], ends[i % 8]};
            size_t n = reference_sequence(p);
            for (size_t len = 0; len <= 4; len++)
                if (utf8_sequence(p, len) != (n <= len ? n : 0))
                    fail_msg("%02x %02x %02x %02x, length %zu", p[0], p[1], p[2], p[3], len);
        }
    }
}

/* The same text twice: as most senders write it, and with a space between any two tokens. */
struct pair {
    struct buf dense, spaced;
    uint64_t seed;
};

static unsigned pick(struct pair *p, unsigned count)
{
    p->seed = p->seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return (unsigned)(p->seed >> 33) % count;
}

static void put_token(struct pair *p, const char *text)
{
    buf_append_str(&p->dense, text);
    buf_append_str(&p->spaced, " ");
    buf_append_str(&p->spaced, text);
}

static void put_value(struct pair *p, unsigned depth)
{
    static const char *const scalars[] = {
        "\"\"",   "\"text\"", "\"t\\n\"",  "\",\\\"\"", "\"\xc3\xa9\"", "0",
        "-1.5e3", "12345678", "123456789", "true",      "null",         "\"2026-02-02T14:30:00Z\"",
    };
    static const char *const names[] = {
        "\"type\"",    "\"ts\"", "\"a\"",          "\"aa\"",         "\"typo\"",
        "\"\\u0061\"", "\"\"",   "\"collection\"", "\"collectiom\"",
    };
    unsigned kind = depth == 4 ? 9 : pick(p, 10);
    if (depth != 0 && kind >= 2) {
        put_token(p, scalars[pick(p, ARRAY_LEN(scalars))]);
        return;
    }
    bool object = depth == 0 || kind == 0;
    put_token(p, object ? "{" : "[");
    for (unsigned i = 0, count = pick(p, 7); i < count; i++) {
        if (i > 0)
            put_token(p, ",");
        if (object) {
            put_token(p, names[pick(p, ARRAY_LEN(names))]);
            put_token(p, ":");
        }
        put_value(p, depth + 1);
    }
    put_token(p, object ? "}" : "]");
}

/** `spaced` without the spaces, of which no token of these tests has any. */
static void assert_same_but_for_spaces(struct slice dense, struct slice spaced)
{
    CLEANUP(buf_release) struct buf b = BUF_INIT;
    for (size_t i = 0; i < spaced.len; i++) {
        if (spaced.data[i] != ' ')
            buf_append_char(&b, spaced.data[i]);
    }
    assert_int_equal(b.len, dense.len);
    assert_memory_equal(b.data, dense.data, dense.len);
}

static void scan_both(struct pair *p, json_engine_fn *engine, const struct json_names *names)
{
    struct json_scan dense, spaced;
    const struct json_input in = {p->dense.data, p->dense.len, 0, true};
    const struct json_input in_spaced = {p->spaced.data, p->spaced.len, 0, true};
    assert_ok(json_scan_with(engine, &in, names, 8, &dense));
    assert_ok(json_scan_with(engine, &in_spaced, names, 8, &spaced));
    assert_int_equal(dense.len, p->dense.len);
    assert_int_equal(spaced.len, p->spaced.len);
    assert_int_equal(dense.found, spaced.found);
    for (size_t i = 0; i < names->count; i++) {
        if (!json_scan_found(&dense, i))
            continue;
        const struct json_value *a = &dense.fields[i], *b = &spaced.fields[i];
        assert_int_equal(a->kind, b->kind);
        assert_int_equal(a->count, b->count);
        assert_int_equal(a->escaped, b->escaped);
        assert_same_but_for_spaces(a->raw, b->raw);
    }
}

static void spaces_between_tokens_change_nothing(void **state)
{
    (void)state;
    static const char *const wanted[] = {"type", "ts", "a", "collection"};
    struct json_names names;
    json_names_init(&names, wanted, ARRAY_LEN(wanted));
    struct pair p = {.dense = BUF_INIT, .spaced = BUF_INIT, .seed = 5};
    for (unsigned round = 0; round < 20000; round++) {
        buf_clear(&p.dense);
        buf_clear(&p.spaced);
        put_value(&p, 0);
        for (const struct json_engine *e = json_engines; e->name != NULL; e++) {
            if (e->usable())
                scan_both(&p, e->scan, &names);
        }
    }
    buf_release(&p.dense);
    buf_release(&p.spaced);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_decoded),
        cmocka_unit_test(half_surrogate_pairs_are_valid_but_do_not_decode),
        cmocka_unit_test(texts_become_one_line),
        cmocka_unit_test(white_space_is_skipped_to_the_next_other_byte),
        cmocka_unit_test(as_many_names_as_allowed_are_told_apart),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(spaces_between_tokens_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
