/*
 * webhooks/verify.h: what providers share: HMAC-SHA256 with several secrets, hex digests, fields of
 * the body. Private to webhooks/.
 */
#ifndef WEBHOOKS_VERIFY_H
#define WEBHOOKS_VERIFY_H

#include "webhooks/webhook.h"

#define DIGEST_BYTES 32
#define DIGESTS_MAX 16 /* signatures taken from one header */

/** Signatures that a sender offers, any of which may match. */
struct digest_list {
    size_t count;
    uint8_t digests[DIGESTS_MAX][DIGEST_BYTES];
};

/** Adds one written as 64 hexadecimal digits of either case; false for any other text. Those above
 *  DIGESTS_MAX are left out. */
bool digest_list_add_hex(struct digest_list *list, struct slice hex);

/** The one header of that name. ERR_MISSING_HEADERS when absent, ERR_INVALID_SIGNATURE when given
 *  more than once. */
err_t webhook_one_header(const struct webhook_delivery *d, const char *name,
                         struct slice *ret_value) MUST_USE;

/** Whether any of the digests is HMAC-SHA256(secret, parts...) for any of the secrets in
 * d->secret. */
bool webhook_hmac_any(const struct webhook_delivery *d, const struct slice *parts,
                      size_t part_count, const struct digest_list *list);

/** The header's text, when it is there and not too long. */
void webhook_header_text(const struct webhook_delivery *d, const char *name,
                         struct webhook_text *ret_text);
/** The string in this top-level field of the body. */
void webhook_body_text(const struct webhook_delivery *d, const char *field,
                       struct webhook_text *ret_text);

#endif
