#include "tests/test.h"

#include <stdio.h>
#include <unistd.h>

#include "base/io.h"
#include "base/logger.h"
#include "server/config.h"

/* A data directory of its own per test; state: its path. */
static int make_dir(void **state)
{
    char *dir = xstrdup("/tmp/spillway-config-XXXXXX");
    *state = dir;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int drop_dir(void **state)
{
    CLEANUP(xfree_ptr) char *dir = *state;
    CLEANUP(xfree_ptr) char *file = xasprintf("%s/spillway.conf", dir);
    unlink(file);
    return rmdir(dir);
}

static void write_conf(const char *dir, const char *text)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/spillway.conf", dir);
    assert_ok(io_replace(io_posix(), path, text, strlen(text)));
}

static err_t load(const char *dir, const char *const *env, const char *key, const char *value,
                  struct config *ret)
{
    struct config_flag flags[] = {{"data.dir", dir, "--data"}, {key, value, "--set"}};
    struct config_sources sources = {.env = env, .flags = flags, .flag_count = key == NULL ? 1 : 2};
    return config_load(&sources, ret);
}

static void assert_says(const char *what)
{
    if (strstr(err_text(ERR_INVALID_CONFIG), what) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", err_text(ERR_INVALID_CONFIG), what);
}

static void later_sources_override_earlier_ones(void **state)
{
    static const char *const env[] = {"LOG_LEVEL=warn", "AUTH_TOKEN=from-env",
                                      "ENVIRONMENT=", NULL};
    write_conf(*state, "env = staging\n[log]\n  level = debug\n  format = json\n"
                       "[auth]\ntoken = from-file\n[limits]\nbody_bytes = 2 MiB\n");
    struct config c;
    assert_ok(load(*state, env, "auth.token", "from-flag", &c));
    assert_string_equal(c.auth_token, "from-flag");
    assert_int_equal(c.log_level, LOG_LEVEL_WARN);
    assert_int_equal(c.log_format, LOG_FORMAT_JSON);
    assert_string_equal(c.env, "staging");
    assert_int_equal(c.limits_body_bytes, 2 << 20);
    assert_int_equal(c.limits_batch_events, 1000);
    assert_string_equal(c.http_listen, "127.0.0.1:8080");
    config_release(&c);
}

static void bad_files_are_refused_by_line(void **state)
{
    static const struct {
        const char *text;
        const char *says[3];
    } cases[] = {
        {"[http]\nlisen = 1\n", {"spillway.conf:2:", "\"http.lisen\"", "http.listen"}},
        {"\n\nlog.level = loud\n", {"spillway.conf:3:", "\"loud\"", "debug, info, warn, error"}},
        {"limits.batch_events = many\n", {"spillway.conf:1:", "1 to 100000"}},
        {"limits.batch_events = 100001\n", {"spillway.conf:1:", "1 to 100000"}},
        {"limits.batch_events = 10x\n", {"spillway.conf:1:"}},
        {"storage.segment_bytes = 1 KiB\n", {"spillway.conf:1:", "65536"}},
        {"storage.segment_bytes = 99999999999 GiB\n", {"spillway.conf:1:"}},
        {"storage.sync = interval\n", {"spillway.conf:1:", "always"}},
        {"kafka.auto_create_topics = maybe\n", {"spillway.conf:1:", "true, false"}},
        {"env = a\nenv = b\n", {"spillway.conf:2:", "twice", "spillway.conf:1"}},
        {"this is no setting\n", {"spillway.conf:1:", "name = value"}},
        {"[http\nlisten = x\n", {"spillway.conf:1:"}},
        {"[keys]\nacme = acme\n", {"spillway.conf:2:", "ns_<namespace>_<secret>"}},
        {"[keys]\nns_Acme_x = Acme\n", {"spillway.conf:2: keys:"}},
        {"[keys]\nns_a_x = b\n", {"spillway.conf:2: keys:"}},
        {"data.dir = /elsewhere\n", {"spillway.conf:1:", "data directory itself"}},
        {"http.listen = 8080\n", {"spillway.conf:1", "host:port"}},
        {"http.listen = ::1:8080\n", {"[ipv6]:port"}},
        {"http.listen = 127.0.0.1:70000\n", {"host:port"}},
        {"http.listen = off\nkafka.listen = off\n", {"both off"}},
        {"snapshot.daily = 24:00\n", {"spillway.conf:1: snapshot.daily", "\"24:00\"", "HH:MM"}},
        {"http.trusted_proxies = here\n", {"spillway.conf:1", "\"here\"", "loopback"}},
        {"kafka.listen = 0.0.0.0:9092\n", {"beyond loopback", "kafka.allow_unauthenticated"}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        write_conf(*state, cases[i].text);
        struct config c;
        assert_int_equal(load(*state, NULL, NULL, NULL, &c), ERR_INVALID_CONFIG);
        for (size_t k = 0; k < ARRAY_LEN(cases[i].says) && cases[i].says[k] != NULL; k++)
            assert_says(cases[i].says[k]);
    }
}

static void long_lines_are_refused_and_the_longest_is_read_whole(void **state)
{
    char text[300] = "env = ";
    size_t head = strlen(text);
    memset(text + head, 'x', sizeof(text) - head);
    text[198] = '\0';
    write_conf(*state, text);
    struct config c;
    assert_ok(load(*state, NULL, NULL, NULL, &c));
    assert_int_equal(strlen(c.env), 198 - head);
    config_release(&c);
    text[198] = 'x';
    text[199] = '\0';
    write_conf(*state, text);
    assert_int_equal(load(*state, NULL, NULL, NULL, &c), ERR_INVALID_CONFIG);
    assert_says("spillway.conf:1: the line is too long");
}

static void bad_flags_and_variables_name_themselves(void **state)
{
    static const char *const bad_env[] = {"RATE_LIMIT_REQUESTS_PER_MINUTE=-1", NULL};
    static const char *const bad_keys[] = {"NAMESPACE_API_KEYS=[1]", NULL};
    struct config c;
    assert_int_equal(load(*state, bad_env, NULL, NULL, &c), ERR_INVALID_CONFIG);
    assert_says("RATE_LIMIT_REQUESTS_PER_MINUTE: ");
    assert_int_equal(load(*state, bad_keys, NULL, NULL, &c), ERR_INVALID_CONFIG);
    assert_says("NAMESPACE_API_KEYS: ");
    assert_int_equal(load(*state, NULL, "lake.url", "x", &c), ERR_INVALID_CONFIG);
    assert_says("--set: unknown setting");
}

static void keys_come_from_the_file_or_instead_from_the_environment(void **state)
{
    static const char *const env[] = {
        "NAMESPACE_API_KEYS={\"ns_acme_1\":\"acme\",\"ns_b_2\":\"b\"}", NULL};
    write_conf(*state, "[keys]\nns_old_s3cret = old\n");
    struct config c;
    assert_ok(load(*state, NULL, NULL, NULL, &c));
    assert_int_equal(c.key_count, 1);
    assert_string_equal(c.keys[0].namespace_name, "old");
    config_release(&c);
    assert_ok(load(*state, env, NULL, NULL, &c));
    assert_int_equal(c.key_count, 2);
    assert_string_equal(c.keys[0].token, "ns_acme_1");
    assert_string_equal(c.keys[1].namespace_name, "b");
    config_release(&c);
}

static void dev_opens_the_door_on_loopback_only(void **state)
{
    struct config_flag flags[] = {{"data.dir", *state, "--data"},
                                  {"http.listen", "0.0.0.0:8080", "--http"}};
    struct config_sources sources = {.flags = flags, .flag_count = 1, .dev = true};
    struct config c;
    assert_ok(config_load(&sources, &c));
    assert_true(c.auth_allow_unauthenticated);
    assert_int_equal(c.limits_requests_per_minute, 0);
    assert_int_equal(c.limits_events_per_minute, 0);
    config_release(&c);
    sources.flag_count = 2;
    assert_int_equal(config_load(&sources, &c), ERR_INVALID_CONFIG);
    assert_says("--http: http.listen: --dev");
}

static void printed_settings_say_where_from_and_mask_secrets(void **state)
{
    static const char *const env[] = {"AUTH_TOKEN=topsecret", "GITHUB_WEBHOOK_SECRET=hush one",
                                      "NAMESPACE_API_KEYS={\"ns_acme_private\":\"acme\"}", NULL};
    write_conf(*state, "log.level = warn\n");
    struct config c;
    assert_ok(load(*state, env, "http.listen", "127.0.0.1:0", &c));
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    config_print(&c, &out);
    buf_append_char(&out, '\0');
    config_release(&c);
    static const char *const hidden[] = {"topsecret", "hush", "private"};
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
        assert_null(strstr(out.data, hidden[i]));
    static const char *const shown[] = {"; env AUTH_TOKEN\n", "spillway.conf:1\n", "; flag --set\n",
                                        "; default\n", "acme"};
    for (size_t i = 0; i < ARRAY_LEN(shown); i++)
        assert_non_null(strstr(out.data, shown[i]));
    for (size_t i = 0; i < config_setting_count; i++)
        assert_non_null(strstr(out.data, config_settings[i].key));
}

static void printed_defaults_read_back_as_the_same(void **state)
{
    struct config c;
    assert_ok(load(*state, NULL, NULL, NULL, &c));
    CLEANUP(buf_release) struct buf first = BUF_INIT;
    CLEANUP(buf_release) struct buf second = BUF_INIT;
    config_print(&c, &first);
    config_release(&c);
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/spillway.conf", (char *)*state);
    assert_ok(io_replace(io_posix(), path, first.data, first.len));
    assert_ok(config_load(&(struct config_sources){.file = path}, &c));
    config_print(&c, &second);
    config_release(&c);
    buf_append_char(&first, '\0');
    buf_append_char(&second, '\0');
    const char *a = first.data;
    const char *b = second.data;
    while (*a != '\0') {
        assert_memory_equal(a, b, strcspn(a, ";"));
        a = strchr(a, '\n') + 1;
        b = strchr(b, '\n') + 1;
    }
}

static void loopback_addresses_are_known(void **state)
{
    (void)state;
    assert_true(config_address_is_loopback("127.1.2.3:1"));
    assert_true(config_address_is_loopback("[::1]:1"));
    assert_true(config_address_is_loopback("localhost:1"));
    assert_false(config_address_is_loopback("0.0.0.0:1"));
    assert_false(config_address_is_loopback("[::]:1"));
    assert_false(config_address_is_loopback("localhost.example.com:1"));
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)
int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(later_sources_override_earlier_ones),
        IN_DIR(bad_files_are_refused_by_line),
        IN_DIR(long_lines_are_refused_and_the_longest_is_read_whole),
        IN_DIR(bad_flags_and_variables_name_themselves),
        IN_DIR(keys_come_from_the_file_or_instead_from_the_environment),
        IN_DIR(dev_opens_the_door_on_loopback_only),
        IN_DIR(printed_settings_say_where_from_and_mask_secrets),
        IN_DIR(printed_defaults_read_back_as_the_same),
        cmocka_unit_test(loopback_addresses_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
