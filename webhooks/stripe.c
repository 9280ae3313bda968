/*
 * Stripe (https://docs.stripe.com/webhooks, "Verify webhook signatures manually"):
 * Stripe-Signature: t=<seconds>,v1=<hex>[,v1=<hex>][,v0=<hex>], each v1 being
 * HMAC-SHA256(secret, "<t>.<body>"). The secret is the whole text "whsec_…", not base64. v0 is a
 * test scheme and never counts. Items are split at their first '='.
 */
#include <string.h>

#include "webhooks/providers.h"
#include "webhooks/verify.h"

#define STRIPE_TOLERANCE_S 300
#define STRIPE_TIME_DIGITS_MAX 15

struct stripe_header {
    struct slice time; /* as sent: these bytes are signed */
    bool has_v1;
    struct digest_list v1;
};

static struct slice trim(struct slice s)
{
    while (s.len > 0 && (s.data[0] == ' ' || s.data[0] == '\t'))
        s = (struct slice){s.data + 1, s.len - 1};
    while (s.len > 0 && (s.data[s.len - 1] == ' ' || s.data[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static void read_item(struct stripe_header *h, struct slice item)
{
    const char *equals = memchr(item.data, '=', item.len);
    if (equals == NULL)
        return;
    struct slice name = {item.data, (size_t)(equals - item.data)};
    struct slice value = {equals + 1, item.len - name.len - 1};
    if (slice_equal(name, SLICE("t")) && h->time.data == NULL)
        h->time = value;
    if (slice_equal(name, SLICE("v1"))) {
        h->has_v1 = true;
        /* One that is not 64 hex digits matches nothing; another may. */
        (void)digest_list_add_hex(&h->v1, value);
    }
}

static void read_header(struct slice text, struct stripe_header *h)
{
    while (text.len > 0) {
        const char *comma = memchr(text.data, ',', text.len);
        size_t len = comma == NULL ? text.len : (size_t)(comma - text.data);
        struct slice item = trim((struct slice){text.data, len});
        if (item.len > 0)
            read_item(h, item);
        size_t skip = MIN(len + 1, text.len);
        text = (struct slice){text.data + skip, text.len - skip};
    }
}

static bool read_time(struct slice text, int64_t *ret_s)
{
    return text.len <= STRIPE_TIME_DIGITS_MAX && slice_to_number(text, ret_s);
}

static err_t stripe_verify(const struct webhook_delivery *d)
{
    struct slice value;
    TRY(webhook_one_header(d, "Stripe-Signature", &value));
    struct stripe_header h = {0};
    read_header(value, &h);
    int64_t time_s;
    if (h.time.data == NULL)
        return err_fail(ERR_TIMESTAMP_EXPIRED, "Invalid header format: missing timestamp");
    if (!read_time(h.time, &time_s))
        return err_fail(ERR_TIMESTAMP_EXPIRED, "Invalid header format: invalid timestamp");
    if (!h.has_v1)
        return err_fail(ERR_INVALID_SIGNATURE, "Invalid header format: no v1 signatures");
    const struct slice parts[] = {h.time, SLICE("."), d->body};
    if (!webhook_hmac_any(d, parts, ARRAY_LEN(parts), &h.v1))
        return err_fail(ERR_INVALID_SIGNATURE, "Invalid signature");
    /* Only a signed time says anything. */
    int64_t age_s = d->now_s - time_s;
    if (age_s > STRIPE_TOLERANCE_S || age_s < -STRIPE_TOLERANCE_S)
        return err_fail(ERR_TIMESTAMP_EXPIRED, "timestamp outside tolerance window");
    return OK;
}

static void stripe_event_type(const struct webhook_delivery *d, struct webhook_text *ret_text)
{
    webhook_body_text(d, "type", ret_text);
}

static void stripe_delivery_id(const struct webhook_delivery *d, struct webhook_text *ret_text)
{
    webhook_body_text(d, "id", ret_text);
}

const struct webhook_provider webhook_stripe = {
    .name = "stripe",
    .verify = stripe_verify,
    .event_type = stripe_event_type,
    .delivery_id = stripe_delivery_id,
};
