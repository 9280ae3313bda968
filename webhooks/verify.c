/*
 * HMAC-SHA256 (RFC 2104, FIPS 180-4) by OpenSSL, over the bytes as received.
 *
 * Secrets rotate: a setting may hold several, separated by spaces. A secret may also contain a
 * space itself, so the whole value is tried first. Digests are decoded strictly and compared in
 * constant time; every secret is tried with every signature offered.
 */
#include "webhooks/verify.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"

struct webhook_hmac {
    EVP_MAC *mac;
    EVP_MAC_CTX *ctx;
};

struct webhook_hmac *webhook_hmac_new(void)
{
    struct webhook_hmac *h = xcalloc(1, sizeof(*h));
    h->mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    ASSERT(h->mac != NULL);
    h->ctx = EVP_MAC_CTX_new(h->mac);
    ASSERT(h->ctx != NULL);
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
                           OSSL_PARAM_construct_end()};
    ASSERT(EVP_MAC_CTX_set_params(h->ctx, params) == 1);
    return h;
}

void webhook_hmac_free(struct webhook_hmac *h)
{
    if (h == NULL)
        return;
    EVP_MAC_CTX_free(h->ctx);
    EVP_MAC_free(h->mac);
    free(h);
}

static void hmac_sha256(struct webhook_hmac *h, struct slice key, const struct slice *parts,
                        size_t part_count, uint8_t out[DIGEST_BYTES])
{
    size_t len = 0;
    bool good = EVP_MAC_init(h->ctx, (const unsigned char *)key.data, key.len, NULL) == 1;
    for (size_t i = 0; i < part_count; i++) {
        const unsigned char *data = (const unsigned char *)parts[i].data;
        good = good && (parts[i].len == 0 || EVP_MAC_update(h->ctx, data, parts[i].len) == 1);
    }
    good = good && EVP_MAC_final(h->ctx, out, &len, DIGEST_BYTES) == 1;
    ASSERT(good && len == DIGEST_BYTES);
}

static bool list_has(const struct digest_list *list, const uint8_t digest[DIGEST_BYTES])
{
    bool match = false;
    for (size_t i = 0; i < list->count; i++)
        match |= CRYPTO_memcmp(list->digests[i], digest, DIGEST_BYTES) == 0;
    return match;
}

/** The next part of `rest` between spaces; false when there is none. */
static bool next_part(struct slice *rest, struct slice *ret_part)
{
    while (rest->len > 0 && rest->data[0] == ' ')
        *rest = (struct slice){rest->data + 1, rest->len - 1};
    if (rest->len == 0)
        return false;
    const char *space = memchr(rest->data, ' ', rest->len);
    size_t len = space == NULL ? rest->len : (size_t)(space - rest->data);
    *ret_part = (struct slice){rest->data, len};
    *rest = (struct slice){rest->data + len, rest->len - len};
    return true;
}

bool webhook_hmac_any(const struct webhook_delivery *d, const struct slice *parts,
                      size_t part_count, const struct digest_list *list)
{
    ASSERT(d->secret.len > 0);
    uint8_t digest[DIGEST_BYTES];
    hmac_sha256(d->hmac, d->secret, parts, part_count, digest);
    bool match = list_has(list, digest);
    if (memchr(d->secret.data, ' ', d->secret.len) == NULL)
        return match;
    struct slice rest = d->secret, secret;
    while (next_part(&rest, &secret)) {
        hmac_sha256(d->hmac, secret, parts, part_count, digest);
        match |= list_has(list, digest);
    }
    return match;
}

bool digest_list_add_hex(struct digest_list *list, struct slice hex)
{
    uint8_t digest[DIGEST_BYTES];
    if (hex.len != 2 * sizeof(digest))
        return false;
    for (size_t i = 0; i < sizeof(digest); i++) {
        int high = hex_digit(hex.data[2 * i]);
        int low = hex_digit(hex.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    if (list->count < DIGESTS_MAX)
        memcpy(list->digests[list->count++], digest, sizeof(digest));
    return true;
}

err_t webhook_one_header(const struct webhook_delivery *d, const char *name,
                         struct slice *ret_value)
{
    size_t count = 0;
    struct slice value = d->header(d->arg, name, &count);
    if (value.data == NULL || value.len == 0)
        return err_fail(ERR_MISSING_HEADERS, "Missing required header: %s", name);
    if (count > 1)
        return err_fail(ERR_INVALID_SIGNATURE, "Duplicate header: %s", name);
    *ret_value = value;
    return OK;
}

void webhook_header_text(const struct webhook_delivery *d, const char *name,
                         struct webhook_text *ret_text)
{
    struct slice value = d->header(d->arg, name, NULL);
    ret_text->len = 0;
    if (value.data == NULL || value.len > sizeof(ret_text->data))
        return;
    memcpy(ret_text->data, value.data, value.len);
    ret_text->len = value.len;
}

void webhook_body_text(const struct webhook_delivery *d, const char *field,
                       struct webhook_text *ret_text)
{
    struct json_names names;
    struct json_scan scan;
    struct json_input in = {d->body.data, d->body.len, 0, true};
    ret_text->len = 0;
    json_names_init(&names, &field, 1);
    if (json_scan_document(&in, &names, LIMIT_JSON_DEPTH, &scan) != OK ||
        !json_scan_found(&scan, 0) || scan.fields[0].kind != JSON_STRING)
        return;
    size_t len;
    if (json_string_decode(scan.fields[0].raw, ret_text->data, sizeof(ret_text->data), &len) == OK)
        ret_text->len = len;
}
