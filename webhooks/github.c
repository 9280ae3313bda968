/*
 * GitHub (https://docs.github.com/en/webhooks, "Validating webhook deliveries"):
 * X-Hub-Signature-256: sha256=<hex of HMAC-SHA256(secret, body)>. There is no timestamp: replays
 * are stopped by the delivery id.
 */
#include "webhooks/providers.h"
#include "webhooks/verify.h"

static err_t github_verify(const struct webhook_delivery *d)
{
    static const struct slice prefix = SLICE("sha256=");
    struct slice value;
    TRY(webhook_one_header(d, "X-Hub-Signature-256", &value));
    struct slice head = {value.data, MIN(value.len, prefix.len)};
    if (!slice_equal(head, prefix))
        return err_fail(ERR_INVALID_SIGNATURE, "Invalid signature format");
    struct digest_list list = {0};
    struct slice hex = {value.data + prefix.len, value.len - prefix.len};
    if (!digest_list_add_hex(&list, hex) || !webhook_hmac_any(d, &d->body, 1, &list))
        return err_fail(ERR_INVALID_SIGNATURE, "Invalid signature");
    return OK;
}

static void github_event_type(const struct webhook_delivery *d, struct webhook_text *ret_text)
{
    webhook_header_text(d, "X-GitHub-Event", ret_text);
}

static void github_delivery_id(const struct webhook_delivery *d, struct webhook_text *ret_text)
{
    webhook_header_text(d, "X-GitHub-Delivery", ret_text);
}

const struct webhook_provider webhook_github = {
    .name = "github",
    .verify = github_verify,
    .event_type = github_event_type,
    .delivery_id = github_delivery_id,
};
