/*
 * tests/fuzz/webhooks_fuzz.c: signature headers, secrets and bodies of providers. Nothing that a
 * fuzzer can guess is genuine; names found in a delivery lie within their bounds and hold legal
 * bytes. Input: three lines (header, event header, secret), then the body. Covers:
 * webhooks/verify.c webhooks/github.c webhooks/stripe.c webhooks/providers.c
 */
#include <string.h>

#include "webhooks/webhook.h"

struct input {
    struct slice signature, event, secret, body;
};

static struct slice take_line(const char **at, size_t *left)
{
    const char *end = *left == 0 ? NULL : memchr(*at, '\n', *left);
    size_t len = end == NULL ? *left : (size_t)(end - *at);
    struct slice line = {*at, len};
    size_t skip = MIN(len + 1, *left);
    *at += skip;
    *left -= skip;
    return line;
}

static struct slice fuzz_header(const void *arg, const char *name, size_t *ret_count)
{
    const struct input *in = arg;
    bool is_signature = strstr(name, "ignature") != NULL;
    if (ret_count != NULL)
        *ret_count = 1;
    return is_signature ? in->signature : in->event;
}

static void check_names(const struct webhook_provider *p, const struct webhook_delivery *d)
{
    struct webhook_text text;
    char name[WEBHOOK_EVENT_NAME_MAX];
    p->delivery_id(d, &text);
    ASSERT(text.len <= WEBHOOK_TEXT_MAX);
    p->event_type(d, &text);
    ASSERT(text.len <= WEBHOOK_TEXT_MAX);
    size_t len = webhook_event_name(p, &text, name);
    ASSERT(len > strlen("webhook.") && len <= sizeof(name));
    for (size_t i = 0; i < len; i++)
        ASSERT(strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-",
                      name[i]) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct webhook_hmac *hmac;
    if (hmac == NULL)
        hmac = webhook_hmac_new();
    const char *at = (const char *)data;
    struct input in;
    in.signature = take_line(&at, &size);
    in.event = take_line(&at, &size);
    in.secret = take_line(&at, &size);
    in.body = (struct slice){at, size};
    if (in.secret.len == 0)
        return 0;
    const struct webhook_delivery d = {.header = fuzz_header,
                                       .arg = &in,
                                       .body = in.body,
                                       .now_s = 1614265330,
                                       .secret = in.secret,
                                       .hmac = hmac};
    for (size_t i = 0; webhook_providers[i] != NULL; i++) {
        err_t err = webhook_providers[i]->verify(&d);
        ASSERT(err == ERR_MISSING_HEADERS || err == ERR_INVALID_SIGNATURE ||
               err == ERR_TIMESTAMP_EXPIRED);
        check_names(webhook_providers[i], &d);
    }
    return 0;
}
