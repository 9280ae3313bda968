#include "tests/test.h"

#include "base/pattern.h"
#include "base/suggest.h"

static void patterns_match_segment_by_segment(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *name;
        bool matches;
    } cases[] = {
        {"page", "page", true},
        {"page", "pages", false},
        {"page", "page.view", false},
        {"*", "page", true},
        {"*", "page.view", false},
        {"**", "page", true},
        {"**", "a.b.c.d.e.f.g.h.i.j.k.l.m", true},
        {"webhook.**", "webhook", true},
        {"webhook.**", "webhook.github.push", true},
        {"webhook.**", "webhooks.github", false},
        {"webhook.*", "webhook.github", true},
        {"webhook.*", "webhook", false},
        {"webhook.*", "webhook.github.push", false},
        {"webhook.*.push", "webhook.github.push", true},
        {"webhook.**.push", "webhook.push", true},
        {"webhook.**.push", "webhook.a.b.push", true},
        {"webhook.**.push", "webhook.a.b.pull", false},
        {"**.push", "push", true},
        {"**.push", "a.b.push", true},
        {"**.a.**", "x.a", true},
        {"**.a.**", "x.b", false},
        {"do.*Counter", "do.MyCounter", true},
        {"do.*Counter", "do.CounterX", false},
        {"do.a*b*c", "do.aXXbYbZc", true},
        {"do.a*b*c", "do.aXXbYbZ", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_ok(pattern_check(cases[i].pattern));
        if (pattern_matches(cases[i].pattern, slice_of(cases[i].name)) != cases[i].matches)
            fail_msg("%s against %s", cases[i].pattern, cases[i].name);
    }
    assert_false(pattern_matches("**", (struct slice){0}));
}

static void bad_patterns_are_refused(void **state)
{
    (void)state;
    char long_one[PATTERN_BYTES_MAX + 2];
    memset(long_one, 'a', sizeof(long_one) - 1);
    long_one[sizeof(long_one) - 1] = '\0';
    const char *const bad[] = {"",        ".a",          "a.",
                               "a..b",    "***",         "a b",
                               "a.b\xc3", "*.*.*.*.*.*", "a.b.c.d.e.f.g.h.i.j.k",
                               long_one};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(pattern_check(bad[i]), ERR_VALIDATION);
    assert_ok(pattern_check("*.*.*.*.*"));
    assert_ok(pattern_check("a.b.c.d.e.f.g.h.i.j"));
}

static void near_words_are_suggested(void **state)
{
    (void)state;
    assert_int_equal(suggest_distance("kitten", "sitting"), 3);
    assert_int_equal(suggest_distance("", "abc"), 3);
    assert_int_equal(suggest_distance("same", "same"), 0);
    assert_true(suggest_is_near("serv", "serve"));
    assert_true(suggest_is_near("http.lisen", "http.listen"));
    assert_false(suggest_is_near("xyz", "serve"));
    assert_false(suggest_is_near("a word so long that the table of distances has no row for it all",
                                 "serve"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patterns_match_segment_by_segment),
        cmocka_unit_test(bad_patterns_are_refused),
        cmocka_unit_test(near_words_are_suggested),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
