/* The moments of the schedule. */
#include "tests/test.h"

#include "base/timefmt.h"
#include "server/schedule.h"

static int64_t us(const char *text)
{
    int64_t t;
    assert_true(timefmt_parse(text, strlen(text), &t));
    return t;
}

static void times_of_day(void **state UNUSED)
{
    int minutes = 7;
    assert_true(schedule_parse_time("00:10", &minutes) && minutes == 10);
    assert_true(schedule_parse_time("23:59", &minutes) && minutes == 1439);
    assert_true(schedule_parse_time("off", &minutes) && minutes == -1);
    static const char *const bad[] = {"", "24:00", "0:10", "00:60", "00-10", "0a:10", "00:100"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(schedule_parse_time(bad[i], &minutes));
}

static void the_last_moment_is_never_in_the_future(void **state UNUSED)
{
    assert_true(schedule_last_daily(us("2026-03-01T00:10:00Z"), 10) == us("2026-03-01T00:10:00Z"));
    assert_true(schedule_last_daily(us("2026-03-01T00:09:59Z"), 10) == us("2026-02-28T00:10:00Z"));
    assert_true(schedule_last_monthly(us("2026-03-01T00:10:00Z"), 10, 1) ==
                us("2026-03-01T00:10:00Z"));
    assert_true(schedule_last_monthly(us("2026-01-01T00:09:00Z"), 10, 1) ==
                us("2025-12-01T00:10:00Z"));
    assert_true(schedule_last_monthly(us("2024-03-27T12:00:00Z"), 10, 28) ==
                us("2024-02-28T00:10:00Z"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_of_day),
        cmocka_unit_test(the_last_moment_is_never_in_the_future),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
