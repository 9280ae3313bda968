/* RFC 3339 times: the quick way through usual forms agrees with the general one. */
#include "tests/test.h"

#include <stdio.h>

#include "base/timefmt.h"

/** "…Z" goes the quick way where its form is usual; "…+00:00" never does. */
static void assert_both_ways_agree(const char *time)
{
    char zulu[64], offset[64];
    int64_t a = -1, b = -1;
    snprintf(zulu, sizeof(zulu), "%sZ", time);
    snprintf(offset, sizeof(offset), "%s+00:00", time);
    bool quick = timefmt_parse(zulu, strlen(zulu), &a);
    bool general = timefmt_parse(offset, strlen(offset), &b);
    if (quick != general || a != b)
        fail_msg("\"%s\": %d %lld, but %d %lld with an offset", zulu, quick, (long long)a, general,
                 (long long)b);
}

static void every_changed_byte_reads_the_same_both_ways(void **state)
{
    (void)state;
    static const char *const usual[] = {"2026-02-28T23:59:59", "2024-02-29T14:30:00.123",
                                        "1999-12-31T00:00:00.123456", "2026-11-21T09:05:07.12345",
                                        "2026-11-21T09:05:07.1234567"};
    for (size_t i = 0; i < ARRAY_LEN(usual); i++) {
        assert_both_ways_agree(usual[i]);
        for (size_t at = 0; usual[i][at] != '\0'; at++) {
            for (int c = 1; c < 256; c++) {
                char changed[64];
                snprintf(changed, sizeof(changed), "%s", usual[i]);
                changed[at] = (char)c;
                assert_both_ways_agree(changed);
            }
        }
    }
}

static void two_changed_bytes_of_a_fraction_read_the_same_both_ways(void **state)
{
    (void)state;
    for (int first = 32; first < 127; first++) {
        for (int second = 32; second < 127; second++) {
            char changed[64] = "2026-02-02T14:30:00.123456";
            changed[20] = (char)first;
            changed[21] = (char)second;
            assert_both_ways_agree(changed);
            changed[21] = '2';
            changed[22] = (char)second;
            assert_both_ways_agree(changed);
        }
    }
}

static void every_day_of_four_centuries_is_one_day_after_the_last(void **state)
{
    (void)state;
    int64_t before = 0;
    char text[TIMEFMT_MAX];
    assert_true(timefmt_parse("1999-12-31T00:00:00.000Z", 24, &before));
    for (int days = 0; days < 146097; days++) {
        int64_t us = 0;
        timefmt_rfc3339(before + INT64_C(86400000000), text);
        assert_true(timefmt_parse(text, strlen(text), &us));
        assert_int_equal(us, before + INT64_C(86400000000));
        before = us;
    }
    assert_string_equal(text, "2399-12-31T00:00:00.000Z");
}

static void the_first_and_the_last_year_are_where_they_belong(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } known[] = {
        {"0000-01-01T00:00:00Z", INT64_C(-62167219200)},
        {"0000-02-29T00:00:00Z", INT64_C(-62162121600)},
        {"0001-01-01T00:00:00Z", INT64_C(-62135596800)},
        {"1900-03-01T00:00:00Z", INT64_C(-2203891200)},
        {"9999-12-31T23:59:59Z", INT64_C(253402300799)},
    };
    int64_t us;
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        assert_true(timefmt_parse(known[i].text, strlen(known[i].text), &us));
        assert_int_equal(us, known[i].seconds * 1000000);
    }
    assert_false(timefmt_parse("1900-02-29T00:00:00Z", 20, &us));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_changed_byte_reads_the_same_both_ways),
        cmocka_unit_test(two_changed_bytes_of_a_fraction_read_the_same_both_ways),
        cmocka_unit_test(every_day_of_four_centuries_is_one_day_after_the_last),
        cmocka_unit_test(the_first_and_the_last_year_are_where_they_belong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
