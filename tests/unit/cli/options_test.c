#include "tests/test.h"

#include "cli/options.h"
#include "cli/progress.h"

static int run_nothing(const struct cli_args *args)
{
    (void)args;
    return EXIT_OK;
}

static const struct cli_option options[] = {
    {"name", 'n', "TEXT", "a value"},
    {"set", 's', "K=V", "may be repeated"},
    {"quiet", 'q', NULL, "a switch"},
};
static const struct cli_command command = {
    .name = "try",
    .usage = "try",
    .summary = "Try",
    .about = "",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 2,
    .example = "",
    .run = run_nothing,
};

static int parse(const char *const *argv, struct cli_args *args)
{
    int argc = 0;
    while (argv[argc] != NULL)
        argc++;
    return options_parse(&command, argc, (char **)(uintptr_t)argv, args);
}

static void options_and_arguments_may_be_mixed(void **state)
{
    (void)state;
    static const char *const argv[] = {"one",   "-n",     "a",  "--name=b", "-s",   "k=v",
                                       "--set", "k2=v=w", "-q", "--",       "-two", NULL};
    struct cli_args args;
    assert_int_equal(parse(argv, &args), OPTIONS_GO_ON);
    assert_string_equal(options_value(&args, "name"), "b");
    assert_string_equal(options_value(&args, "set"), "k2=v=w");
    assert_true(options_has(&args, "quiet"));
    assert_int_equal(args.given_count, 5);
    assert_string_equal(args.given[2].value, "k=v");
    assert_int_equal(args.positional_count, 2);
    assert_string_equal(args.positional[0], "one");
    assert_string_equal(args.positional[1], "-two");
    options_release(&args);
}

static void letters_take_attached_values_and_a_dash_is_an_argument(void **state)
{
    (void)state;
    static const char *const argv[] = {"-nx", "-", NULL};
    struct cli_args args;
    assert_int_equal(parse(argv, &args), OPTIONS_GO_ON);
    assert_string_equal(options_value(&args, "name"), "x");
    assert_false(options_has(&args, "quiet"));
    assert_string_equal(args.positional[0], "-");
    options_release(&args);
}

static void mistakes_are_bad_usage(void **state)
{
    (void)state;
    static const char *const bad[][4] = {{"--nope", NULL},     {"-x", NULL},  {"--name", NULL},
                                         {"-n", NULL},         {"-q5", NULL}, {"--quiet=1", NULL},
                                         {"a", "b", "c", NULL}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct cli_args args;
        assert_int_equal(parse(bad[i], &args), EXIT_USAGE);
    }
}

static void numbers_are_whole_and_bounded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {{"5", true},   {"1", true},   {"10", true},
                 {"0", false},  {"11", false}, {"x", false},
                 {"5x", false}, {"", false},   {"99999999999999999999", false}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *const argv[] = {"-n", cases[i].text, NULL};
        struct cli_args args;
        int64_t value = -1;
        assert_int_equal(parse(argv, &args), OPTIONS_GO_ON);
        assert_int_equal(options_number(&args, "name", 1, 10, &value), cases[i].good);
        assert_int_equal(value, cases[i].good ? strtol(cases[i].text, NULL, 10) : -1);
        assert_true(options_number(&args, "set", 1, 10, &value));
        options_release(&args);
    }
}

static void a_bar_shows_share_rate_and_time_left(void **state)
{
    (void)state;
    char line[256];
    struct progress p = {.name = "file", .total_bytes = 10000000};
    progress_format(&p, 2500000, 30000, INT64_C(30000000000), line, sizeof(line));
    assert_string_equal(line, "file  25% [#######                       ] 2.5 MB  1000 events/s  "
                              "ETA 1:30");
    p.total_bytes = 0;
    progress_format(&p, 2500000, 30000, INT64_C(30000000000), line, sizeof(line));
    assert_string_equal(line, "file  2.5 MB  30000 events  1000 events/s");
    progress_format(&p, 3000000, 0, INT64_C(2000000000), line, sizeof(line));
    assert_string_equal(line, "file  3.0 MB  0 events  1.5 MB/s");
    p.total_bytes = 10;
    progress_format(&p, 20, 0, 0, line, sizeof(line));
    assert_non_null(strstr(line, "100%"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_arguments_may_be_mixed),
        cmocka_unit_test(letters_take_attached_values_and_a_dash_is_an_argument),
        cmocka_unit_test(mistakes_are_bad_usage),
        cmocka_unit_test(numbers_are_whole_and_bounded),
        cmocka_unit_test(a_bar_shows_share_rate_and_time_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
