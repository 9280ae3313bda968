/* What a restore is asked for. */
#include "snapshot/ask.h"

#include <string.h>

#include "tests/test.h"

static err_t read_body(const char *text, struct restore_ask *ret)
{
    return restore_ask_read(slice_of(text), ret);
}

static void a_target_and_its_filter_are_read(void **state)
{
    (void)state;
    struct restore_ask ask;
    assert_ok(
        read_body("{\"at\":\"2026-02-02T14:30:00.5+01:00\",\"exclusive\":true,\"dryRun\":true,"
                  "\"ids\":[\"b\",\"a\\u0000\",\"a\",\"b\",\"\\u00e9/"
                  "..\"],\"only\":\"deletes\",\"maxChanges\":7}",
                  &ask));
    assert_int_equal(ask.target.kind, TARGET_AT);
    assert_int_equal(ask.target.value, 1770039000500000);
    assert_true(ask.target.exclusive && ask.dry_run && !ask.has_undo);
    const struct slice ids[] = {SLICE("a"), SLICE("a\0"), SLICE("b"), SLICE("\xc3\xa9/..")};
    assert_int_equal(ask.filter.id_count, ARRAY_LEN(ids));
    for (size_t i = 0; i < ARRAY_LEN(ids); i++)
        assert_true(slice_equal(ask.filter.ids[i], ids[i]));
    assert_true(ask.filter.only_deletes && !ask.filter.only_updates && !ask.filter.only_inserts);
    assert_int_equal(ask.filter.max_changes, 7);
    assert_int_equal(ask.filter.undo_from, -1);
    restore_ask_release(&ask);
}

static void every_kind_of_target_is_described_as_it_was_given(void **state)
{
    (void)state;
    static const struct {
        const char *body, *text;
    } cases[] = {
        {"{\"at\":\"2026-02-02T15:30:00+01:00\"}", "{\"at\":\"2026-02-02T14:30:00.000Z\"}"},
        {"{\"lsn\":12,\"exclusive\":true}", "{\"lsn\":12,\"exclusive\":true}"},
        {"{\"bookmark\":\"b\\\"1\"}", "{\"bookmark\":\"b\\\"1\"}"},
        {"{\"snapshot\":\"2026-02-02\",\"dryRun\":false}", "{\"snapshot\":\"2026-02-02\"}"},
        {"{\"latest\":true}", "{\"latest\":true}"},
        {"{\"undo\":\"3..17\"}", "{\"undo\":\"3..17\"}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct restore_ask ask;
        struct buf out = BUF_INIT;
        assert_ok(read_body(cases[i].body, &ask));
        assert_false(ask.dry_run);
        restore_ask_describe(&ask, &out);
        buf_append_char(&out, '\0');
        assert_string_equal(out.data, cases[i].text);
        buf_release(&out);
        restore_ask_release(&ask);
    }
}

static void bad_bodies_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        err_t err;
        const char *text; /* somewhere in the sentence */
    } cases[] = {
        {"", ERR_INVALID_JSON, "JSON"},
        {"{\"at\":", ERR_INVALID_JSON, "JSON"},
        {"{\"lsn\":1,\"lsn\":2}", ERR_INVALID_JSON, "duplicate"},
        {"[1]", ERR_VALIDATION, "object"},
        {"{}", ERR_VALIDATION, "target"},
        {"{\"dryRun\":true}", ERR_VALIDATION, "target"},
        {"{\"at\":\"2026-02-02T14:30:00\"}", ERR_VALIDATION, "zone"},
        {"{\"at\":\"yesterday\"}", ERR_VALIDATION, "zone"},
        {"{\"at\":1770000000}", ERR_VALIDATION, "\"at\""},
        {"{\"lsn\":-1}", ERR_VALIDATION, "\"lsn\""},
        {"{\"lsn\":\"7\"}", ERR_VALIDATION, "\"lsn\""},
        {"{\"lsn\":1.5}", ERR_VALIDATION, "\"lsn\""},
        {"{\"bookmark\":\"\"}", ERR_VALIDATION, "\"bookmark\""},
        {"{\"bookmark\":\"a\\u0000b\"}", ERR_VALIDATION, "NUL"},
        {"{\"undo\":\"1..2\\u0000\"}", ERR_VALIDATION, "undo"},
        {"{\"snapshot\":7}", ERR_VALIDATION, "\"snapshot\""},
        {"{\"latest\":false}", ERR_VALIDATION, "\"latest\""},
        {"{\"latest\":true,\"exclusive\":true}", ERR_VALIDATION, "exclusive"},
        {"{\"snapshot\":\"a\",\"exclusive\":true}", ERR_VALIDATION, "exclusive"},
        {"{\"lsn\":1,\"at\":\"2026-02-02T14:30:00Z\"}", ERR_VALIDATION, "one of"},
        {"{\"lsn\":1,\"undo\":\"1..2\"}", ERR_VALIDATION, "undo"},
        {"{\"undo\":\"2..1\"}", ERR_VALIDATION, "undo"},
        {"{\"undo\":\"1.2\"}", ERR_VALIDATION, "undo"},
        {"{\"undo\":\"1..2..3\"}", ERR_VALIDATION, "undo"},
        {"{\"undo\":\"..3\"}", ERR_VALIDATION, "undo"},
        {"{\"undo\":\"99999999999999999999..1\"}", ERR_VALIDATION, "undo"},
        {"{\"undo\":\"1..2\",\"exclusive\":true}", ERR_VALIDATION, "exclusive"},
        {"{\"lsn\":1,\"dry_run\":true}", ERR_VALIDATION, "dry_run"},
        {"{\"lsn\":1,\"dryRun\":1}", ERR_VALIDATION, "\"dryRun\""},
        {"{\"lsn\":1,\"ids\":[]}", ERR_VALIDATION, "\"ids\""},
        {"{\"lsn\":1,\"ids\":\"a\"}", ERR_VALIDATION, "\"ids\""},
        {"{\"lsn\":1,\"ids\":[\"a\",1]}", ERR_VALIDATION, "\"ids\""},
        {"{\"lsn\":1,\"ids\":[\"\"]}", ERR_VALIDATION, "\"ids\""},
        {"{\"lsn\":1,\"only\":\"delete\"}", ERR_VALIDATION, "\"only\""},
        {"{\"lsn\":1,\"only\":null}", ERR_VALIDATION, "\"only\""},
        {"{\"lsn\":1,\"maxChanges\":0}", ERR_VALIDATION, "\"maxChanges\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct restore_ask ask;
        err_t err = read_body(cases[i].body, &ask);
        if (err != cases[i].err || strstr(err_text(err), cases[i].text) == NULL)
            fail_msg("%s: %s", cases[i].body, err_text(err));
    }
}

static void times_need_a_zone(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t us; /* -1: refused */
    } cases[] = {
        {"2026-02-02T14:30:00Z", 1770042600000000},
        {"2026-02-02T14:30:00+01:00", 1770039000000000},
        {"2026-02-02T14:30:00 01:00", 1770039000000000}, /* a '+' that was not percent-encoded */
        {"2026-02-02T14:30:00", -1},
        {"2026-02-02 14:30:00", -1},
        {"2026-02-02", -1},
        {"", -1},
        {"2026-02-02T14:30:00.000000000000000000000000000000000000000000000000000Z", -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct target t = {0};
        err_t err = target_read("at", slice_of(cases[i].text), &t);
        assert_int_equal(err, cases[i].us < 0 ? ERR_VALIDATION : OK);
        if (err == OK)
            assert_int_equal(t.value, cases[i].us);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_and_its_filter_are_read),
        cmocka_unit_test(every_kind_of_target_is_described_as_it_was_given),
        cmocka_unit_test(bad_bodies_are_named),
        cmocka_unit_test(times_need_a_zone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
