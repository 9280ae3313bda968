/*
 * Set-up of the doors, and what they share: the memory budget, streams by tenant, secrets.
 */
#include "ingest/ingest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "ingest/door.h"

static size_t provider_count(void)
{
    size_t count = 0;
    while (webhook_providers[count] != NULL)
        count++;
    return count;
}

static const char *configured_secret(const struct ingest_options *o, const char *provider)
{
    for (size_t i = 0; i < o->secret_count; i++) {
        if (strcmp(o->secrets[i].provider, provider) == 0 && o->secrets[i].secret != NULL)
            return o->secrets[i].secret;
    }
    return "";
}

static void make_routes(struct ingest *in, size_t providers)
{
    in->routes = xcalloc(3 + providers, sizeof(in->routes[0]));
    const struct http_route fixed[] = {
        {"POST", "/ingest", HTTP_MATCH_EXACT, &events_handler, in, HTTP_CORS_ANY},
        {"POST", "/e", HTTP_MATCH_EXACT, &events_handler, in, HTTP_CORS_ANY},
        {"POST", "/webhooks", HTTP_MATCH_PREFIX, &webhooks_handler, in, HTTP_CORS_NONE},
    };
    memcpy(in->routes, fixed, sizeof(fixed));
    in->route_count = ARRAY_LEN(fixed);
    for (size_t i = 0; i < providers; i++) {
        char *path = xasprintf("/%s", webhook_providers[i]->name);
        in->routes[in->route_count++] = (struct http_route){
            .methods = "POST", .path = path, .handler = &webhooks_host_handler, .arg = in};
    }
}

static void free_routes(struct ingest *in, size_t providers)
{
    for (size_t i = 0; i < providers; i++) {
        const char *path = in->routes[in->route_count - providers + i].path;
        union {
            const char *in;
            char *out;
        } u = {.in = path};
        free(u.out);
    }
    free(in->routes);
}

struct ingest *ingest_new(const struct ingest_options *o)
{
    ASSERT(o->body_bytes > 0 && o->body_bytes <= LIMIT_BODY_BYTES_MAX);
    struct ingest *in = xcalloc(1, sizeof(*in));
    in->options = *o;
    event_rules_init(&in->rules, o->event_bytes);
    size_t providers = provider_count();
    in->secrets = xcalloc(providers + 1, sizeof(in->secrets[0]));
    for (size_t i = 0; i < providers; i++)
        in->secrets[i] = xstrdup(configured_secret(o, webhook_providers[i]->name));
    in->options.secrets = NULL;
    make_routes(in, providers);
    in->reactor_count = reactor_group_count(o->reactors);
    in->reactors = xcalloc(in->reactor_count, sizeof(in->reactors[0]));
    for (unsigned i = 0; i < in->reactor_count; i++) {
        struct ingest_reactor *ir = &in->reactors[i];
        ir->reactor = reactor_group_get(o->reactors, i);
        ir->streams = xcalloc(access_tenant_count(o->access), sizeof(ir->streams[0]));
    }
    return in;
}

void ingest_free(struct ingest *in)
{
    if (in == NULL)
        return;
    ASSERT(atomic_load(&in->building_bytes) == 0);
    for (unsigned i = 0; i < in->reactor_count; i++) {
        struct ingest_reactor *ir = &in->reactors[i];
        appender_free(ir->appender);
        webhook_hmac_free(ir->hmac);
        buf_release(&ir->scratch.bytes);
        free(ir->window);
        free(ir->streams);
    }
    free(in->reactors);
    size_t providers = provider_count();
    for (size_t i = 0; i < providers; i++)
        free(in->secrets[i]);
    free(in->secrets);
    free_routes(in, providers);
    free(in);
}

const struct http_route *ingest_routes(const struct ingest *in, size_t *ret_count)
{
    *ret_count = in->route_count;
    return in->routes;
}

struct ingest_reactor *ingest_reactor_of(struct ingest *in, const struct http_exchange *x)
{
    struct ingest_reactor *ir = &in->reactors[reactor_index(http_exchange_reactor(x))];
    /* With the first request: it hooks into the reactor, which only the reactor's thread may do. */
    if (unlikely(ir->appender == NULL))
        ir->appender = appender_new(in->options.writer, ir->reactor, in->options.codec);
    return ir;
}

struct slice ingest_secret_of(const struct ingest *in, const struct webhook_provider *p)
{
    for (size_t i = 0; webhook_providers[i] != NULL; i++) {
        if (webhook_providers[i] == p)
            return slice_of(in->secrets[i]);
    }
    return SLICE("");
}

size_t ingest_stream_name(const struct tenant *t, char out[LIMIT_STREAM_NAME + 1])
{
    struct slice ns = t->namespace_name;
    int len = slice_equal(ns, SLICE("default"))
                  ? snprintf(out, LIMIT_STREAM_NAME + 1, "events")
                  : snprintf(out, LIMIT_STREAM_NAME + 1, "%.*s.events", (int)ns.len, ns.data);
    return (size_t)len;
}

struct stream *ingest_stream(struct ingest *in, struct ingest_reactor *ir, const struct tenant *t)
{
    struct stream *s = ir->streams[t->index];
    if (likely(s != NULL))
        return s;
    char name[LIMIT_STREAM_NAME + 1];
    size_t len = ingest_stream_name(t, name);
    s = log_find_stream(in->options.log, name, len);
    ir->streams[t->index] = s;
    return s;
}

struct shard *ingest_shard(struct stream *s)
{
    return stream_shard(s, 0);
}

err_t charge_add(struct charge *c, size_t bytes)
{
    size_t before = atomic_fetch_add_explicit(&c->in->building_bytes, bytes, memory_order_relaxed);
    c->bytes += bytes;
    if (likely(before + bytes <= LIMIT_BUILDING_BYTES))
        return OK;
    return err_fail(ERR_BUFFER_FULL, "too many unfinished request bodies are in memory");
}

void charge_release(struct charge *c)
{
    if (c->bytes != 0)
        atomic_fetch_sub_explicit(&c->in->building_bytes, c->bytes, memory_order_relaxed);
    c->bytes = 0;
}
