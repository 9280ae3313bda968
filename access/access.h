/*
 * access/access.h: who may do what, and how often.
 *
 * Keys come from the configuration: one admin token and namespace keys "ns_<namespace>_<rest>".
 * Looking one up compares with all of them in a time that does not depend on which matches or how
 * far. Limits are two counters (requests, events) per key or client address over a sliding minute.
 *
 * Threads: made by main; all else any thread.
 */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include "base/base.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"

struct access;

/** A namespace key as configured. */
struct access_key {
    const char *token;          /* "ns_acme_xxx" */
    const char *namespace_name; /* "acme" */
};

struct access_options {
    struct clock *clock;
    const char *admin_token;       /* NULL or "": none */
    const char *default_namespace; /* of the admin, of webhooks and of unauthenticated requests */
    const struct access_key *keys;
    size_t key_count;
    bool allow_unauthenticated;   /* counts only when there is neither admin token nor key */
    uint32_t requests_per_minute; /* 0: no limit */
    uint32_t events_per_minute;   /* 0: no limit */
};

/** Copies what it needs. ERR_INVALID_CONFIG for a key or namespace that could never be used. */
err_t access_new(const struct access_options *options, struct access **ret_access) MUST_USE;
void access_free(struct access *a);

/** Reads NAMESPACE_API_KEYS, a JSON object {"ns_acme_xxx":"acme",…}, and calls fn for each pair.
 *  ERR_INVALID_CONFIG for anything else; no text of a key is repeated. */
err_t access_keys_from_json(const char *text, void (*fn)(void *arg, struct access_key key),
                            void *arg) MUST_USE;

/** 1-64 bytes of [a-z0-9_-]. */
bool access_namespace_valid(struct slice name);
/** admin, system, internal, default, public, global: no key may have them. */
bool access_namespace_reserved(struct slice name);

/** What a key stands for. Borrowed for the life of the access object. */
struct tenant {
    struct slice namespace_name; /* NUL-terminated too */
    bool is_admin;
    unsigned index;     /* 0..access_tenant_count-1: place for a cache of one's own */
    const char *key_id; /* masked, for logs: first 4 + "****" + last 4 */
    uint64_t rate_key;  /* 0: limited by client address */
};

/** `authorization` is that header's value, data == NULL when absent. ERR_AUTH_REQUIRED,
 *  ERR_INVALID_AUTH_FORMAT, ERR_INVALID_NAMESPACE, ERR_INVALID_NAMESPACE_KEY, ERR_INVALID_API_KEY,
 *  and ERR_INTERNAL when nothing was configured; err_text is the sentence for the client. */
err_t access_check(struct access *a, struct slice authorization,
                   const struct tenant **ret_tenant) MUST_USE;
/** The tenant that webhooks write as: the default namespace, limited by client address. */
const struct tenant *access_webhook_tenant(const struct access *a);
unsigned access_tenant_count(const struct access *a);

/** A decision of the rate limiter, with what the headers X-RateLimit-* say. */
struct rate_verdict {
    bool limited; /* false: there are no limits, and nothing else is set */
    bool allowed;
    uint32_t limit_requests, limit_events; /* 0: this one is not limited */
    uint32_t remaining_requests, remaining_events;
    int64_t reset_ms;       /* UTC: start of the next minute */
    uint32_t retry_after_s; /* at least 1 */
};

/** Counts one request with `events` events, unless it goes over a limit. `client` is the peer's
 *  address as text, used where the tenant has no key. */
struct rate_verdict access_rate(struct access *a, const struct tenant *t, struct slice client,
                                uint32_t events);
/** What access_rate would show for a request that is refused and does not count. */
struct rate_verdict access_rate_show(struct access *a, const struct tenant *t, struct slice client);
/** Counts one webhook delivery, of one event; a client may send ten times as many of them as of
 *  other requests. */
struct rate_verdict access_rate_webhook(struct access *a, struct slice client);
/** Appends the body of a 429 answer. */
void rate_write_body(const struct rate_verdict *v, struct buf *out);

#endif
