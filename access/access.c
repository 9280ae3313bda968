/*
 * Keys and tenants.
 *
 * A bearer token is looked up by comparing it with every key: the tags (a 128-bit hash under a
 * secret random seed) without branches and without an early exit, then the one candidate's bytes in
 * constant time. So neither the place of a key in the list nor the number of right bytes shows in
 * the answer's time; only lengths may.
 *
 * A namespace key reads "ns_<namespace>_<rest>". The reference parses it greedily (the namespace
 * takes every lower-case part that it can); here a configured key counts for the namespace that it
 * was configured with as long as its text begins with it, and the greedy reading only decides which
 * error an unknown key gets.
 */
#include "access/access.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "access/rate.h"
#include "base/hash.h"
#include "base/timefmt.h"

#define NAMESPACE_MAX 64
#define WEBHOOK_REQUESTS_FACTOR 10

struct credential {
    struct hash128 tag;
    char *token; /* owned */
    size_t len;
    struct tenant tenant;
};

struct access {
    struct clock *clock;
    struct rate_table *rates; /* NULL: no limits */
    struct rate_limits limits;
    uint64_t seed;
    bool allow_unauthenticated;
    struct tenant open_tenant; /* unauthenticated requests, webhooks */
    size_t count;
    struct credential credentials[]; /* the admin's first, where there is one */
};

static bool is_namespace_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_token_char(char c)
{
    return is_namespace_char(c) || (c >= 'A' && c <= 'Z');
}

bool access_namespace_valid(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (!is_namespace_char(name.data[i]))
            return false;
    }
    return name.len >= 1 && name.len <= NAMESPACE_MAX;
}

bool access_namespace_reserved(struct slice name)
{
    static const char *const reserved[] = {"admin",   "system", "internal",
                                           "default", "public", "global"};
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (slice_equal(name, slice_of(reserved[i])))
            return true;
    }
    return false;
}

static bool starts_with(struct slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

/** The namespace that "ns_<namespace>_<rest>" names when read greedily; false for any other form.
 */
static bool parse_namespace_key(struct slice token, struct slice *ret_name)
{
    if (!starts_with(token, "ns_"))
        return false;
    size_t split = 0;
    bool lower = true;
    for (size_t i = 3; i < token.len; i++) {
        if (!is_token_char(token.data[i]))
            return false;
        if (token.data[i] == '_' && lower && i > 3 && i + 1 < token.len)
            split = i;
        lower = lower && is_namespace_char(token.data[i]);
    }
    if (split == 0)
        return false;
    *ret_name = (struct slice){token.data + 3, split - 3};
    return true;
}

static char *mask(const char *token)
{
    size_t len = strlen(token);
    if (len <= 8)
        return xstrdup("****");
    return xasprintf("%.4s****%s", token, token + len - 4);
}

static struct hash128 tag_of(const struct access *a, struct slice token)
{
    return hash128_seeded(token.data, token.len, a->seed);
}

static void add_credential(struct access *a, const char *token, const char *name, bool is_admin)
{
    struct credential *c = &a->credentials[a->count];
    c->token = xstrdup(token);
    c->len = strlen(token);
    c->tag = tag_of(a, slice_of(token));
    c->tenant = (struct tenant){.namespace_name = slice_of(xstrdup(name)),
                                .is_admin = is_admin,
                                .index = (unsigned)a->count,
                                .key_id = mask(token),
                                .rate_key = c->tag.low | 1};
    a->count++;
}

/** Names a key by its place in the list: its text is a secret. */
static err_t check_key(struct access_key key, size_t place)
{
    struct slice name = slice_of(key.namespace_name);
    struct slice token = slice_of(key.token);
    struct slice greedy;
    if (!access_namespace_valid(name))
        return err_fail(ERR_INVALID_CONFIG,
                        "namespace key %zu: namespace \"%.*s\" must be 1-64 of [a-z0-9_-]", place,
                        (int)MIN(name.len, 80), name.data);
    if (access_namespace_reserved(name))
        return err_fail(ERR_INVALID_CONFIG, "namespace key %zu: namespace \"%s\" is reserved",
                        place, key.namespace_name);
    bool names_it = token.len > name.len + 4 && starts_with(token, "ns_") &&
                    memcmp(token.data + 3, name.data, name.len) == 0 &&
                    token.data[3 + name.len] == '_';
    if (!names_it || !parse_namespace_key(token, &greedy))
        return err_fail(ERR_INVALID_CONFIG,
                        "namespace key %zu: a key for \"%s\" must read ns_%s_<letters, digits, _ "
                        "or ->",
                        place, key.namespace_name, key.namespace_name);
    return OK;
}

static err_t check_options(const struct access_options *o)
{
    struct slice name = slice_of(o->default_namespace);
    if (!access_namespace_valid(name))
        return err_fail(ERR_INVALID_CONFIG, "default namespace \"%.*s\" must be 1-64 of [a-z0-9_-]",
                        (int)MIN(name.len, 80), name.data);
    for (size_t i = 0; i < o->key_count; i++)
        TRY(check_key(o->keys[i], i + 1));
    return OK;
}

err_t access_new(const struct access_options *o, struct access **ret_access)
{
    TRY(check_options(o));
    size_t room = o->key_count + 1;
    struct access *a = xcalloc(1, sizeof(*a) + room * sizeof(a->credentials[0]));
    a->clock = o->clock;
    a->limits = (struct rate_limits){o->requests_per_minute, o->events_per_minute};
    if (o->requests_per_minute != 0 || o->events_per_minute != 0)
        a->rates = rate_table_new();
    /* Not OpenSSL's generator: making it costs a start 3 ms and 2 MB. */
    ssize_t got = getrandom(&a->seed, sizeof(a->seed), 0);
    ASSERT(got == (ssize_t)sizeof(a->seed));
    if (o->admin_token != NULL && o->admin_token[0] != '\0')
        add_credential(a, o->admin_token, o->default_namespace, true);
    for (size_t i = 0; i < o->key_count; i++)
        add_credential(a, o->keys[i].token, o->keys[i].namespace_name, false);
    a->allow_unauthenticated = o->allow_unauthenticated;
    a->open_tenant = (struct tenant){.namespace_name = slice_of(xstrdup(o->default_namespace)),
                                     .index = (unsigned)a->count,
                                     .key_id = xstrdup("unauthenticated")};
    *ret_access = a;
    return OK;
}

static void free_text(const char *text)
{
    union {
        const char *in;
        char *out;
    } u = {.in = text};
    free(u.out);
}

static void free_tenant(struct tenant *t)
{
    free_text(t->namespace_name.data);
    free_text(t->key_id);
}

void access_free(struct access *a)
{
    if (a == NULL)
        return;
    for (size_t i = 0; i < a->count; i++) {
        OPENSSL_cleanse(a->credentials[i].token, a->credentials[i].len);
        free(a->credentials[i].token);
        free_tenant(&a->credentials[i].tenant);
    }
    free_tenant(&a->open_tenant);
    rate_table_free(a->rates);
    free(a);
}

/** The credential with this token, or NULL. */
static const struct credential *find_credential(const struct access *a, struct slice token)
{
    struct hash128 tag = tag_of(a, token);
    size_t place = 0; /* one past the match, 0 for none */
    for (size_t i = 0; i < a->count; i++) {
        const struct hash128 *t = &a->credentials[i].tag;
        uint64_t differs = (t->low ^ tag.low) | (t->high ^ tag.high);
        size_t match = (size_t)((differs | (0 - differs)) >> 63) ^ 1;
        place |= (0 - match) & (i + 1);
    }
    if (place == 0 || place > a->count)
        return NULL;
    const struct credential *c = &a->credentials[place - 1];
    bool same = c->len == token.len && CRYPTO_memcmp(c->token, token.data, c->len) == 0;
    return same ? c : NULL;
}

static err_t refuse(struct slice token)
{
    struct slice name;
    if (!parse_namespace_key(token, &name))
        return err_fail(ERR_INVALID_API_KEY, "Invalid API key");
    if (name.len > NAMESPACE_MAX)
        return err_fail(ERR_INVALID_NAMESPACE, "Invalid namespace: must be 1-64 of [a-z0-9_-]");
    if (access_namespace_reserved(name))
        return err_fail(ERR_INVALID_NAMESPACE, "Namespace \"%.*s\" is reserved", (int)name.len,
                        name.data);
    return err_fail(ERR_INVALID_NAMESPACE_KEY, "Invalid API key for namespace");
}

err_t access_check(struct access *a, struct slice authorization, const struct tenant **ret_tenant)
{
    if (a->count == 0) {
        if (!a->allow_unauthenticated)
            return err_fail(ERR_INTERNAL, "Server misconfiguration: authentication not configured");
        *ret_tenant = &a->open_tenant;
        return OK;
    }
    if (authorization.data == NULL || authorization.len == 0)
        return err_fail(ERR_AUTH_REQUIRED, "Authorization required");
    if (!starts_with(authorization, "Bearer "))
        return err_fail(ERR_INVALID_AUTH_FORMAT,
                        "Invalid authorization format. Use: Bearer <token>");
    struct slice token = {authorization.data + 7, authorization.len - 7};
    const struct credential *c = find_credential(a, token);
    if (c == NULL)
        return refuse(token);
    *ret_tenant = &c->tenant;
    return OK;
}

const struct tenant *access_webhook_tenant(const struct access *a)
{
    return &a->open_tenant;
}

unsigned access_tenant_count(const struct access *a)
{
    return (unsigned)a->count + 1;
}

static uint32_t remaining(uint32_t limit, uint32_t used)
{
    return used >= limit ? 0 : limit - used;
}

static struct rate_limits limits_for(const struct access *a, bool webhook)
{
    struct rate_limits l = a->limits;
    if (webhook)
        l.requests = l.requests > UINT32_MAX / WEBHOOK_REQUESTS_FACTOR
                         ? UINT32_MAX
                         : l.requests * WEBHOOK_REQUESTS_FACTOR;
    return l;
}

static struct rate_verdict take(struct access *a, uint64_t key, struct rate_limits limits,
                                uint32_t events, bool count)
{
    int64_t now_ms = clock_wall_ms(a->clock);
    struct rate_counts c = rate_take(a->rates, key, now_ms, limits, events, count);
    uint32_t more = c.allowed && count ? 1 : 0;
    struct rate_verdict v = {.limited = true,
                             .allowed = c.allowed,
                             .limit_requests = limits.requests,
                             .limit_events = limits.events,
                             .reset_ms = (now_ms / 60000 + 1) * 60000};
    v.remaining_requests = remaining(remaining(limits.requests, c.requests), more);
    v.remaining_events = remaining(remaining(limits.events, c.events), more * events);
    v.retry_after_s = (uint32_t)((v.reset_ms - now_ms + 999) / 1000);
    return v;
}

static uint64_t rate_key(const struct access *a, const struct tenant *t, struct slice client)
{
    if (t->rate_key != 0)
        return t->rate_key;
    return hash128_seeded(client.data, client.len, a->seed).high & ~UINT64_C(1);
}

struct rate_verdict access_rate(struct access *a, const struct tenant *t, struct slice client,
                                uint32_t events)
{
    if (a->rates == NULL)
        return (struct rate_verdict){.allowed = true};
    return take(a, rate_key(a, t, client), limits_for(a, false), events, true);
}

struct rate_verdict access_rate_show(struct access *a, const struct tenant *t, struct slice client)
{
    if (a->rates == NULL)
        return (struct rate_verdict){.allowed = true};
    return take(a, rate_key(a, t, client), limits_for(a, false), 0, false);
}

struct rate_verdict access_rate_webhook(struct access *a, struct slice client)
{
    if (a->rates == NULL)
        return (struct rate_verdict){.allowed = true};
    /* Counted apart from the same client's other requests. */
    uint64_t key = hash128_seeded(client.data, client.len, ~a->seed).high & ~UINT64_C(1);
    return take(a, key, limits_for(a, true), 1, true);
}

void rate_write_body(const struct rate_verdict *v, struct buf *out)
{
    char reset[TIMEFMT_MAX];
    timefmt_rfc3339(v->reset_ms * 1000, reset);
    buf_printf(
        out,
        "{\"error\":\"Too Many Requests\",\"code\":\"RATE_LIMITED\",\"message\":\"Rate limit "
        "exceeded. Please slow down your request rate.\",\"limits\":{\"requestsPerMinute\":"
        "%u,\"eventsPerMinute\":%u},\"current\":{\"requestsRemaining\":%u,"
        "\"eventsRemaining\":%u},\"resetAt\":\"%s\",\"retryAfterSeconds\":%u}",
        v->limit_requests, v->limit_events, v->remaining_requests, v->remaining_events, reset,
        v->retry_after_s);
}
