/*
 * webhooks/webhook.h: webhook providers as pure functions: is this delivery genuine, what kind of
 * event is it, what is its delivery id. Nothing here does I/O, keeps state or knows of HTTP.
 *
 * A provider is one file with one `const struct webhook_provider`; webhooks/providers.c lists them.
 * Signatures are checked over the bytes as received, before anything parses them.
 */
#ifndef WEBHOOKS_WEBHOOK_H
#define WEBHOOKS_WEBHOOK_H

#include "base/base.h"
#include "base/err.h"

/** An HMAC-SHA256 context that is reused, so that a verification allocates nothing. One thread. */
struct webhook_hmac;
struct webhook_hmac *webhook_hmac_new(void);
void webhook_hmac_free(struct webhook_hmac *h);

/** What came in. All borrowed for the call. */
struct webhook_delivery {
    /** The first header of that name (any case), data == NULL when absent; *ret_count (may be NULL)
     * says how many there are. */
    struct slice (*header)(const void *arg, const char *name, size_t *ret_count);
    const void *arg;
    struct slice body;   /* exactly as received */
    int64_t now_s;       /* UTC seconds since 1970 */
    struct slice secret; /* as configured: tried whole, then its parts between spaces */
    struct webhook_hmac *hmac;
};

#define WEBHOOK_TEXT_MAX 1024 /* longest event name or delivery id that is taken */

/** A short text found in a delivery. */
struct webhook_text {
    size_t len; /* 0: there is none */
    char data[WEBHOOK_TEXT_MAX];
};

struct webhook_provider {
    const char *name; /* in URLs, event types and settings */
    /** OK, or ERR_MISSING_HEADERS, ERR_TIMESTAMP_EXPIRED, ERR_INVALID_SIGNATURE; err_text is the
     * reason. The time that this takes does not depend on how much of a signature is right. */
    err_t (*verify)(const struct webhook_delivery *d);
    /** After verify, and only where the body is a JSON object: the provider's name for the kind of
     * event. */
    void (*event_type)(const struct webhook_delivery *d, struct webhook_text *ret_text);
    /** The id that stays the same when the provider sends a delivery again. */
    void (*delivery_id)(const struct webhook_delivery *d, struct webhook_text *ret_text);
};

/** NULL-terminated, in the order in which they are listed to users. */
extern const struct webhook_provider *const webhook_providers[];
/** NULL when unknown. Case matters. Any thread. */
const struct webhook_provider *webhook_provider_find(struct slice name);

/** Longest result of webhook_event_name, and of any event type. */
#define WEBHOOK_EVENT_NAME_MAX 128
/**
 * Writes the type of the stored event, "webhook.<provider>.<kind>", and returns its length. An
 * absent kind is "unknown"; bytes that no event type may hold become '_'; the result is cut at
 * WEBHOOK_EVENT_NAME_MAX.
 */
size_t webhook_event_name(const struct webhook_provider *p, const struct webhook_text *kind,
                          char out[WEBHOOK_EVENT_NAME_MAX]);

#endif
