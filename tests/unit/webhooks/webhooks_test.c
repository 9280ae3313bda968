/* Webhook signatures: the vectors that providers publish, and what must be refused. */
#include "tests/test.h"

#include <stdio.h>

#include "webhooks/webhook.h"

#define HEADERS_MAX 4

struct fake_header {
    const char *name;
    const char *value;
};

struct fake {
    struct fake_header headers[HEADERS_MAX];
};

static struct slice fake_header(const void *arg, const char *name, size_t *ret_count)
{
    const struct fake *f = arg;
    struct slice found = {NULL, 0};
    size_t count = 0;
    for (size_t i = 0; i < HEADERS_MAX && f->headers[i].name != NULL; i++) {
        if (!slice_equal_nocase(slice_of(f->headers[i].name), slice_of(name)))
            continue;
        if (count++ == 0)
            found = slice_of(f->headers[i].value);
    }
    if (ret_count != NULL)
        *ret_count = count;
    return found;
}

static struct webhook_hmac *hmac;

static struct webhook_delivery delivery(const struct fake *f, const char *secret, const char *body)
{
    return (struct webhook_delivery){.header = fake_header,
                                     .arg = f,
                                     .body = slice_of(body),
                                     .now_s = 1614265330,
                                     .secret = slice_of(secret),
                                     .hmac = hmac};
}

static const struct webhook_provider *provider(const char *name)
{
    const struct webhook_provider *p = webhook_provider_find(slice_of(name));
    assert_non_null(p);
    return p;
}

static err_t verify_github(const char *secret, const char *body, const char *signature)
{
    struct fake f = {{{"x-hub-signature-256", signature}}};
    struct webhook_delivery d = delivery(&f, secret, body);
    return provider("github")->verify(&d);
}

static err_t verify_stripe(const char *secret, int64_t now_s, const char *header)
{
    struct fake f = {{{"stripe-signature", header}}};
    struct webhook_delivery d =
        delivery(&f, secret, "{\"id\":\"evt_test_webhook\",\"object\":\"event\"}");
    d.now_s = now_s;
    return provider("stripe")->verify(&d);
}

#define GITHUB_SECRET "It's a Secret to Everybody"
#define GITHUB_HEX "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
#define STRIPE_HEX "3c5817089d739023dd6190f70a3757e04f7a2fd8b5dab12c2e000f51970dccff"
#define STRIPE_GOOD "t=1614265330,v1=" STRIPE_HEX
#define STRIPE_NOW 1614265330

static void github_published_vectors_pass(void **state)
{
    (void)state;
    assert_ok(verify_github(GITHUB_SECRET, "Hello, World!", "sha256=" GITHUB_HEX));
    assert_ok(
        verify_github("mysecret", "{\"foo\":\"bar\"}",
                      "sha256=4864d2759938a15468b5df9ade20bf161da9b4f737ea61794142f3484236bda3"));
    assert_ok(
        verify_github("secret", "data",
                      "sha256=1b2c16b75bd2a870c114153ccda5bcfca63314bc722fa160d690de133ccbb9db"));
    /* RFC 4231 case 2, the primitive itself */
    assert_ok(
        verify_github("Jefe", "what do ya want for nothing?",
                      "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"));
}

static void github_hex_may_be_upper_case(void **state)
{
    (void)state;
    assert_ok(
        verify_github(GITHUB_SECRET, "Hello, World!",
                      "sha256=757107EA0EB2509FC211221CCE984B8A37570B6D7586C22C46F4379C8B043E17"));
}

static void every_flipped_bit_is_refused(void **state)
{
    (void)state;
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 64; i++) {
        for (unsigned bit = 0; bit < 4; bit++) {
            char header[] = "sha256=" GITHUB_HEX;
            const char *digit = strchr(digits, header[7 + i]);
            header[7 + i] = digits[(size_t)(digit - digits) ^ 1u << bit];
            assert_int_equal(verify_github(GITHUB_SECRET, "Hello, World!", header),
                             ERR_INVALID_SIGNATURE);
        }
    }
    assert_int_equal(verify_github(GITHUB_SECRET, "Hello, World?", "sha256=" GITHUB_HEX),
                     ERR_INVALID_SIGNATURE);
}

struct refusal {
    const char *header;
    err_t code;
    const char *text;
};

static void github_bad_headers_are_refused_with_their_reason(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"md5=00", ERR_INVALID_SIGNATURE, "Invalid signature format"},
        {GITHUB_HEX, ERR_INVALID_SIGNATURE, "Invalid signature format"},
        {"sha256", ERR_INVALID_SIGNATURE, "Invalid signature format"},
        {"sha256=", ERR_INVALID_SIGNATURE, "Invalid signature"},
        {"sha256=zz", ERR_INVALID_SIGNATURE, "Invalid signature"},
        {"sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1",
         ERR_INVALID_SIGNATURE, "Invalid signature"},
        {"sha256=" GITHUB_HEX "00", ERR_INVALID_SIGNATURE, "Invalid signature"},
        {"", ERR_MISSING_HEADERS, "Missing required header: X-Hub-Signature-256"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(verify_github(GITHUB_SECRET, "Hello, World!", cases[i].header),
                         cases[i].code);
        assert_string_equal(err_text(cases[i].code), cases[i].text);
    }
}

static void a_signature_header_given_twice_is_refused(void **state)
{
    (void)state;
    struct fake f = {{{"X-Hub-Signature-256", "sha256=" GITHUB_HEX},
                      {"x-hub-signature-256", "sha256=" GITHUB_HEX}}};
    struct webhook_delivery d = delivery(&f, GITHUB_SECRET, "Hello, World!");
    assert_int_equal(provider("github")->verify(&d), ERR_INVALID_SIGNATURE);
}

static void any_of_several_secrets_counts(void **state)
{
    (void)state;
    const char *sig = "sha256=1b2c16b75bd2a870c114153ccda5bcfca63314bc722fa160d690de133ccbb9db";
    assert_ok(verify_github("new secret", "data", sig));
    assert_ok(verify_github("secret old", "data", sig));
    assert_ok(verify_github("a  secret  b", "data", sig));
    /* The whole value is a secret too: it may hold spaces. */
    assert_ok(verify_github(GITHUB_SECRET, "Hello, World!", "sha256=" GITHUB_HEX));
    assert_int_equal(verify_github("new old", "data", sig), ERR_INVALID_SIGNATURE);
}

static void stripe_signature_with_its_time_passes(void **state)
{
    (void)state;
    const char *zeros = "0000000000000000000000000000000000000000000000000000000000000000";
    char header[512];
    assert_ok(verify_stripe("whsec_test_secret", STRIPE_NOW, STRIPE_GOOD));
    assert_ok(verify_stripe("whsec_old whsec_test_secret", STRIPE_NOW, STRIPE_GOOD));
    snprintf(header, sizeof(header), "t=1614265330,v1=%s,v1=%s,v0=%s", zeros, STRIPE_HEX, zeros);
    assert_ok(verify_stripe("whsec_test_secret", STRIPE_NOW, header));
    snprintf(header, sizeof(header), "v1=short, v1=%s, t=1614265330", STRIPE_HEX);
    assert_ok(verify_stripe("whsec_test_secret", STRIPE_NOW, header));
}

static void stripe_time_is_taken_300_seconds_either_way(void **state)
{
    (void)state;
    assert_ok(verify_stripe("whsec_test_secret", STRIPE_NOW + 300, STRIPE_GOOD));
    assert_ok(verify_stripe("whsec_test_secret", STRIPE_NOW - 300, STRIPE_GOOD));
    assert_int_equal(verify_stripe("whsec_test_secret", STRIPE_NOW + 301, STRIPE_GOOD),
                     ERR_TIMESTAMP_EXPIRED);
    assert_string_equal(err_text(ERR_TIMESTAMP_EXPIRED), "timestamp outside tolerance window");
    assert_int_equal(verify_stripe("whsec_test_secret", STRIPE_NOW - 301, STRIPE_GOOD),
                     ERR_TIMESTAMP_EXPIRED);
    /* A wrong signature is said first: its time means nothing. */
    assert_int_equal(verify_stripe("whsec_other", STRIPE_NOW + 301, STRIPE_GOOD),
                     ERR_INVALID_SIGNATURE);
}

static void stripe_bad_headers_are_refused_with_their_reason(void **state)
{
    (void)state;
    static const struct refusal cases[] = {
        {"v1=" STRIPE_HEX, ERR_TIMESTAMP_EXPIRED, "Invalid header format: missing timestamp"},
        {"t=abc,v1=" STRIPE_HEX, ERR_TIMESTAMP_EXPIRED, "Invalid header format: invalid timestamp"},
        {"t=,v1=" STRIPE_HEX, ERR_TIMESTAMP_EXPIRED, "Invalid header format: invalid timestamp"},
        {"t=99999999999999999999,v1=" STRIPE_HEX, ERR_TIMESTAMP_EXPIRED,
         "Invalid header format: invalid timestamp"},
        {"t=1614265330", ERR_INVALID_SIGNATURE, "Invalid header format: no v1 signatures"},
        {"t=1614265330,v0=" STRIPE_HEX, ERR_INVALID_SIGNATURE,
         "Invalid header format: no v1 signatures"},
        {"t=1614265330,v1=", ERR_INVALID_SIGNATURE, "Invalid signature"},
        {"t=1614265331,v1=" STRIPE_HEX, ERR_INVALID_SIGNATURE, "Invalid signature"},
        {"t=1614265330,v1=3c58=" STRIPE_HEX, ERR_INVALID_SIGNATURE, "Invalid signature"},
        {",,,", ERR_TIMESTAMP_EXPIRED, "Invalid header format: missing timestamp"},
        {"", ERR_MISSING_HEADERS, "Missing required header: Stripe-Signature"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_int_equal(verify_stripe("whsec_test_secret", STRIPE_NOW, cases[i].header),
                         cases[i].code);
        assert_string_equal(err_text(cases[i].code), cases[i].text);
    }
}

static void stripe_secret_is_text_not_base64(void **state)
{
    (void)state;
    assert_int_equal(verify_stripe("test_secret", STRIPE_NOW, STRIPE_GOOD), ERR_INVALID_SIGNATURE);
}

static void assert_text(const struct webhook_text *t, const char *want)
{
    assert_int_equal(t->len, strlen(want));
    assert_memory_equal(t->data, want, t->len);
}

static void github_names_come_from_headers(void **state)
{
    (void)state;
    struct fake f = {{{"x-github-event", "push"}, {"x-github-delivery", "72d3162e-cc78"}}};
    struct webhook_delivery d = delivery(&f, "s", "{}");
    struct webhook_text t;
    provider("github")->event_type(&d, &t);
    assert_text(&t, "push");
    provider("github")->delivery_id(&d, &t);
    assert_text(&t, "72d3162e-cc78");
    struct fake none = {0};
    d.arg = &none;
    provider("github")->delivery_id(&d, &t);
    assert_int_equal(t.len, 0);
}

static void stripe_names_come_from_the_body(void **state)
{
    (void)state;
    struct fake f = {0};
    struct webhook_delivery d =
        delivery(&f, "s", "{\"id\":\"evt_\\u0031\",\"data\":{\"id\":\"no\"},\"type\":\"a.b\"}");
    struct webhook_text t;
    provider("stripe")->event_type(&d, &t);
    assert_text(&t, "a.b");
    provider("stripe")->delivery_id(&d, &t);
    assert_text(&t, "evt_1");
    d.body = slice_of("{\"id\":5}");
    provider("stripe")->delivery_id(&d, &t);
    assert_int_equal(t.len, 0);
}

static void event_names_hold_legal_bytes_only(void **state)
{
    (void)state;
    char out[WEBHOOK_EVENT_NAME_MAX];
    struct webhook_text kind = {0};
    size_t len = webhook_event_name(provider("github"), &kind, out);
    assert_int_equal(len, 22);
    assert_memory_equal(out, "webhook.github.unknown", len);
    kind.len = 6;
    memcpy(kind.data, "a\"b\n\xc3\xa9", 6);
    len = webhook_event_name(provider("stripe"), &kind, out);
    assert_int_equal(len, 21);
    assert_memory_equal(out, "webhook.stripe.a_b___", len);
    kind.len = sizeof(kind.data);
    memset(kind.data, 'x', sizeof(kind.data));
    assert_int_equal(webhook_event_name(provider("stripe"), &kind, out), WEBHOOK_EVENT_NAME_MAX);
}

static void unknown_providers_are_not_found(void **state)
{
    (void)state;
    static const char *const names[] = {"", "GitHub", "githu", "githubs", "slack"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_null(webhook_provider_find(slice_of(names[i])));
}

static int set_up(void **state)
{
    (void)state;
    hmac = webhook_hmac_new();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    webhook_hmac_free(hmac);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(github_published_vectors_pass),
        cmocka_unit_test(github_hex_may_be_upper_case),
        cmocka_unit_test(every_flipped_bit_is_refused),
        cmocka_unit_test(github_bad_headers_are_refused_with_their_reason),
        cmocka_unit_test(a_signature_header_given_twice_is_refused),
        cmocka_unit_test(any_of_several_secrets_counts),
        cmocka_unit_test(stripe_signature_with_its_time_passes),
        cmocka_unit_test(stripe_time_is_taken_300_seconds_either_way),
        cmocka_unit_test(stripe_bad_headers_are_refused_with_their_reason),
        cmocka_unit_test(stripe_secret_is_text_not_base64),
        cmocka_unit_test(github_names_come_from_headers),
        cmocka_unit_test(stripe_names_come_from_the_body),
        cmocka_unit_test(event_names_hold_legal_bytes_only),
        cmocka_unit_test(unknown_providers_are_not_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
