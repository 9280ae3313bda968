/* Keys, namespaces and rate limits. */
#include "tests/test.h"

#include <stdio.h>

#include "access/access.h"

static struct clock_manual manual;

static struct access *make(struct access_options o)
{
    struct access *a = NULL;
    o.clock = &manual.base;
    if (o.default_namespace == NULL)
        o.default_namespace = "default";
    assert_ok(access_new(&o, &a));
    return a;
}

static const struct access_key two_keys[] = {{"ns_acme_Secret-1", "acme"},
                                             {"ns_my_team_x1", "my_team"}};

static struct access *make_full(void)
{
    return make((struct access_options){
        .admin_token = "root-token", .keys = two_keys, .key_count = ARRAY_LEN(two_keys)});
}

struct check_case {
    const char *authorization;
    err_t err;
    const char *text; /* the error's sentence, or the namespace */
};

static void tokens_give_their_tenant_or_their_error(void **state)
{
    (void)state;
    static const struct check_case cases[] = {
        {"Bearer root-token", OK, "default"},
        {"Bearer ns_acme_Secret-1", OK, "acme"},
        {"Bearer ns_my_team_x1", OK, "my_team"},
        {NULL, ERR_AUTH_REQUIRED, "Authorization required"},
        {"", ERR_AUTH_REQUIRED, "Authorization required"},
        {"Basic cm9vdA==", ERR_INVALID_AUTH_FORMAT,
         "Invalid authorization format. Use: Bearer <token>"},
        {"bearer root-token", ERR_INVALID_AUTH_FORMAT,
         "Invalid authorization format. Use: Bearer <token>"},
        {"Bearer ", ERR_INVALID_API_KEY, "Invalid API key"},
        {"Bearer root-toke", ERR_INVALID_API_KEY, "Invalid API key"},
        {"Bearer root-tokenx", ERR_INVALID_API_KEY, "Invalid API key"},
        {"Bearer root-tokem", ERR_INVALID_API_KEY, "Invalid API key"},
        {"Bearer ns_acme_Secret-2", ERR_INVALID_NAMESPACE_KEY, "Invalid API key for namespace"},
        {"Bearer ns_other_x", ERR_INVALID_NAMESPACE_KEY, "Invalid API key for namespace"},
        {"Bearer ns_admin_x", ERR_INVALID_NAMESPACE, "Namespace \"admin\" is reserved"},
        {"Bearer ns_default_Ab_c", ERR_INVALID_NAMESPACE, "Namespace \"default\" is reserved"},
        {"Bearer ns_admin_team_x", ERR_INVALID_NAMESPACE_KEY, "Invalid API key for namespace"},
        {"Bearer ns_a!_x", ERR_INVALID_API_KEY, "Invalid API key"},
        {"Bearer ns__x", ERR_INVALID_API_KEY, "Invalid API key"},
        {"Bearer ns_acme_", ERR_INVALID_API_KEY, "Invalid API key"},
        {"Bearer ns_Acme_x", ERR_INVALID_API_KEY, "Invalid API key"},
        {"Bearer ns_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx_x",
         ERR_INVALID_NAMESPACE, "Invalid namespace: must be 1-64 of [a-z0-9_-]"},
    };
    struct access *a = make_full();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct tenant *t = NULL;
        const char *auth = cases[i].authorization;
        struct slice header = auth == NULL ? (struct slice){NULL, 0} : slice_of(auth);
        assert_int_equal(access_check(a, header, &t), cases[i].err);
        if (cases[i].err == OK)
            assert_string_equal(t->namespace_name.data, cases[i].text);
        else
            assert_string_equal(err_text(cases[i].err), cases[i].text);
    }
    access_free(a);
}

static void tenants_say_what_they_are_and_mask_their_key(void **state)
{
    (void)state;
    struct access *a = make_full();
    const struct tenant *admin, *acme;
    assert_ok(access_check(a, slice_of("Bearer root-token"), &admin));
    assert_ok(access_check(a, slice_of("Bearer ns_acme_Secret-1"), &acme));
    assert_true(admin->is_admin);
    assert_false(acme->is_admin);
    assert_string_equal(admin->key_id, "root****oken");
    assert_string_equal(acme->key_id, "ns_a****et-1");
    assert_int_not_equal(admin->index, acme->index);
    assert_true(acme->index < access_tenant_count(a));
    assert_true(access_webhook_tenant(a)->index < access_tenant_count(a));
    access_free(a);
}

static void nothing_configured_refuses_unless_allowed(void **state)
{
    (void)state;
    const struct tenant *t = NULL;
    struct access *a = make((struct access_options){0});
    assert_int_equal(access_check(a, (struct slice){NULL, 0}, &t), ERR_INTERNAL);
    access_free(a);
    a = make((struct access_options){.allow_unauthenticated = true, .default_namespace = "main"});
    assert_ok(access_check(a, slice_of("Bearer whatever"), &t));
    assert_string_equal(t->namespace_name.data, "main");
    assert_false(t->is_admin);
    access_free(a);
    /* With a token configured the permission does not count. */
    a = make((struct access_options){.allow_unauthenticated = true, .admin_token = "root-token"});
    assert_int_equal(access_check(a, (struct slice){NULL, 0}, &t), ERR_AUTH_REQUIRED);
    access_free(a);
}

static void keys_that_could_never_be_used_are_refused(void **state)
{
    (void)state;
    static const struct access_key bad[] = {
        {"ns_acme_x", "beta"},   {"acme", "acme"},      {"ns_acme_", "acme"}, {"ns_acme", "acme"},
        {"ns_admin_x", "admin"}, {"ns_Acme_x", "Acme"}, {"ns__x", ""},        {"ns_a_x y", "a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct access *a = NULL;
        struct access_options o = {
            .clock = &manual.base, .default_namespace = "default", .keys = &bad[i], .key_count = 1};
        assert_int_equal(access_new(&o, &a), ERR_INVALID_CONFIG);
        assert_null(a);
    }
}

static void a_key_counts_for_the_namespace_it_was_configured_with(void **state)
{
    (void)state;
    static const struct access_key key = {"ns_acme_secret_key", "acme"};
    const struct tenant *t = NULL;
    struct access *a = make((struct access_options){.keys = &key, .key_count = 1});
    assert_ok(access_check(a, slice_of("Bearer ns_acme_secret_key"), &t));
    assert_string_equal(t->namespace_name.data, "acme");
    access_free(a);
}

static void collect(void *arg, struct access_key key)
{
    buf_printf(arg, "%s=%s;", key.token, key.namespace_name);
}

static void keys_are_read_from_json(void **state)
{
    (void)state;
    struct buf seen = BUF_INIT;
    assert_ok(access_keys_from_json("{\"ns_a_1\":\"a\",\"ns_b_2\":\"b\"}", collect, &seen));
    buf_append_char(&seen, '\0');
    assert_non_null(strstr(seen.data, "ns_a_1=a;"));
    assert_non_null(strstr(seen.data, "ns_b_2=b;"));
    static const char *const bad[] = {"", "{", "[]", "{\"a\":1}", "{\"a\":\"x\",\"a\":\"y\"}"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(access_keys_from_json(bad[i], collect, &seen), ERR_INVALID_CONFIG);
    buf_release(&seen);
}

static void no_limits_say_nothing(void **state)
{
    (void)state;
    struct access *a = make_full();
    struct rate_verdict v =
        access_rate(a, access_webhook_tenant(a), slice_of("127.0.0.1"), UINT32_MAX);
    assert_true(v.allowed);
    assert_false(v.limited);
    access_free(a);
}

static struct rate_verdict rate_from(struct access *a, const char *client, uint32_t events)
{
    return access_rate(a, access_webhook_tenant(a), slice_of(client), events);
}

static void the_window_slides_over_two_minutes(void **state)
{
    (void)state;
    clock_manual_init(&manual, INT64_C(1770042600) * 1000000); /* a full minute */
    struct access *a = make((struct access_options){
        .allow_unauthenticated = true, .requests_per_minute = 4, .events_per_minute = 100});
    for (uint32_t i = 0; i < 4; i++) {
        struct rate_verdict v = rate_from(a, "10.0.0.1", 10);
        assert_true(v.allowed);
        assert_int_equal(v.remaining_requests, 3 - i);
        assert_int_equal(v.remaining_events, 90 - 10 * i);
    }
    clock_manual_advance_us(&manual, 44 * 1000000);
    struct rate_verdict v = rate_from(a, "10.0.0.1", 10);
    assert_false(v.allowed);
    assert_int_equal(v.remaining_requests, 0);
    assert_int_equal(v.remaining_events, 60);
    assert_int_equal(v.retry_after_s, 16);
    assert_int_equal(v.reset_ms, INT64_C(1770042660) * 1000);
    assert_true(rate_from(a, "10.0.0.2", 10).allowed);
    /* Half a minute later in the next one, half of the 4 still count. */
    clock_manual_advance_us(&manual, 46 * 1000000);
    assert_true(rate_from(a, "10.0.0.1", 1).allowed);
    assert_true(rate_from(a, "10.0.0.1", 1).allowed);
    assert_false(rate_from(a, "10.0.0.1", 1).allowed);
    clock_manual_advance_us(&manual, INT64_C(120) * 1000000);
    assert_int_equal(rate_from(a, "10.0.0.1", 1).remaining_requests, 3);
    access_free(a);
}

static void showing_does_not_count(void **state)
{
    (void)state;
    clock_manual_init(&manual, INT64_C(1770042600) * 1000000);
    struct access *a = make((struct access_options){
        .allow_unauthenticated = true, .requests_per_minute = 2, .events_per_minute = 10});
    assert_true(rate_from(a, "c", 4).allowed);
    for (int i = 0; i < 5; i++) {
        struct rate_verdict v = access_rate_show(a, access_webhook_tenant(a), slice_of("c"));
        assert_true(v.limited);
        assert_int_equal(v.remaining_requests, 1);
        assert_int_equal(v.remaining_events, 6);
    }
    access_free(a);
}

static void events_are_counted_too(void **state)
{
    (void)state;
    clock_manual_init(&manual, INT64_C(1770042600) * 1000000);
    struct access *a =
        make((struct access_options){.allow_unauthenticated = true, .events_per_minute = 100});
    assert_false(rate_from(a, "c", 101).allowed);
    assert_true(rate_from(a, "c", 60).allowed);
    struct rate_verdict v = rate_from(a, "c", 41);
    assert_false(v.allowed);
    assert_int_equal(v.remaining_events, 40);
    assert_true(rate_from(a, "c", 40).allowed);
    assert_true(rate_from(a, "c", 0).allowed);
    access_free(a);
}

static void keys_are_limited_wherever_they_come_from(void **state)
{
    (void)state;
    clock_manual_init(&manual, INT64_C(1770042600) * 1000000);
    struct access *a =
        make((struct access_options){.admin_token = "root-token", .requests_per_minute = 1});
    const struct tenant *t;
    assert_ok(access_check(a, slice_of("Bearer root-token"), &t));
    assert_true(access_rate(a, t, slice_of("10.0.0.1"), 1).allowed);
    assert_false(access_rate(a, t, slice_of("10.0.0.2"), 1).allowed);
    for (int i = 0; i < 10; i++)
        assert_true(access_rate_webhook(a, slice_of("10.0.0.1")).allowed);
    assert_false(access_rate_webhook(a, slice_of("10.0.0.1")).allowed);
    access_free(a);
}

static void a_million_clients_do_not_grow_the_table_or_break_it(void **state)
{
    (void)state;
    clock_manual_init(&manual, INT64_C(1770042600) * 1000000);
    struct access *a =
        make((struct access_options){.allow_unauthenticated = true, .requests_per_minute = 3});
    char client[32];
    for (int i = 0; i < 1000000; i++) {
        snprintf(client, sizeof(client), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        assert_true(rate_from(a, client, 1).allowed);
    }
    assert_true(rate_from(a, "last", 1).allowed);
    assert_true(rate_from(a, "last", 1).allowed);
    assert_true(rate_from(a, "last", 1).allowed);
    assert_false(rate_from(a, "last", 1).allowed);
    access_free(a);
}

static void the_refusal_has_the_documented_body(void **state)
{
    (void)state;
    struct rate_verdict v = {.limited = true,
                             .limit_requests = 20,
                             .limit_events = 1500,
                             .remaining_events = 1480,
                             .reset_ms = INT64_C(1795219380000),
                             .retry_after_s = 16};
    struct buf body = BUF_INIT;
    rate_write_body(&v, &body);
    const char *want =
        "{\"error\":\"Too Many Requests\",\"code\":\"RATE_LIMITED\",\"message\":\"Rate limit "
        "exceeded. Please slow down your request rate.\",\"limits\":{\"requestsPerMinute\":20,"
        "\"eventsPerMinute\":1500},\"current\":{\"requestsRemaining\":0,\"eventsRemaining\":1480},"
        "\"resetAt\":\"2026-11-21T00:03:00.000Z\",\"retryAfterSeconds\":16}";
    assert_int_equal(body.len, strlen(want));
    assert_memory_equal(body.data, want, body.len);
    buf_release(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_give_their_tenant_or_their_error),
        cmocka_unit_test(tenants_say_what_they_are_and_mask_their_key),
        cmocka_unit_test(nothing_configured_refuses_unless_allowed),
        cmocka_unit_test(keys_that_could_never_be_used_are_refused),
        cmocka_unit_test(a_key_counts_for_the_namespace_it_was_configured_with),
        cmocka_unit_test(keys_are_read_from_json),
        cmocka_unit_test(no_limits_say_nothing),
        cmocka_unit_test(the_window_slides_over_two_minutes),
        cmocka_unit_test(showing_does_not_count),
        cmocka_unit_test(events_are_counted_too),
        cmocka_unit_test(keys_are_limited_wherever_they_come_from),
        cmocka_unit_test(a_million_clients_do_not_grow_the_table_or_break_it),
        cmocka_unit_test(the_refusal_has_the_documented_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
