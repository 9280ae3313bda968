/* When new pages are dear, by made-up samples. */
#include "base/page_cost.h"
#include "tests/test.h"

#define SECOND_NS INT64_C(1000000000)

static int64_t now_ns = 1;

/** 4 MiB written within `took_ns`, at so many CPU nanoseconds for 100 bytes. */
static bool dear_after(uint64_t ns_per_100_bytes, int64_t took_ns)
{
    int64_t end = now_ns + took_ns;
    for (int i = 1; i <= 64; i++) {
        int64_t at = i == 64 ? end : now_ns + i;
        page_cost_note(KIB(64), KIB(64) * ns_per_100_bytes / 100, at);
    }
    now_ns = end;
    return page_cost_is_dear(now_ns);
}

static void cheap_pages_are_not_dear(void **state)
{
    (void)state;
    assert_false(page_cost_is_dear(now_ns));
    assert_false(dear_after(30, SECOND_NS / 100));
    assert_false(dear_after(99, SECOND_NS / 100));
}

static void dear_pages_stay_dear_for_a_minute(void **state)
{
    (void)state;
    assert_true(dear_after(250, SECOND_NS / 20));
    assert_true(page_cost_is_dear(now_ns + 59 * SECOND_NS));
    assert_false(page_cost_is_dear(now_ns + 60 * SECOND_NS));
    now_ns += 60 * SECOND_NS;
    assert_false(dear_after(30, SECOND_NS / 100));
}

/* 4 MiB at 2.5 ns a byte are 10 ms: in a second a hundredth of a processor. */
static void what_is_seldom_does_not_matter(void **state)
{
    (void)state;
    assert_false(dear_after(250, 2 * SECOND_NS));
    assert_true(dear_after(250, SECOND_NS / 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cheap_pages_are_not_dear),
        cmocka_unit_test(dear_pages_stay_dear_for_a_minute),
        cmocka_unit_test(what_is_seldom_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
