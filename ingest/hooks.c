/*
 * POST /webhooks/<provider>, /webhooks?provider=<provider>, and /<provider> on a host webhooks.*.
 *
 * The stored event is
 *
 *     {"type":"webhook.<provider>.<kind>","ts":<now>,"source":<provider>,"deliveryId":…,"payload":BODY}
 *
 * with BODY the provider's bytes exactly as received. A delivery id seen before is answered as a
 * success and stored once; it is looked at only after the signature was found right.
 *
 * Order of checks: provider, secret, type, size, rate limit, signature, JSON.
 * Owner: the exchange's reactor.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/metrics.h"
#include "base/timefmt.h"
#include "ingest/door.h"
#include "ingest/reply.h"
#include "writer/keys.h"

struct hook_request {
    struct append_op op;
    struct charge charge;
    const struct webhook_provider *provider;
    struct buf body; /* owned; unused where the body comes in one piece */
    bool done;
    /* of the stored event */
    int64_t now_us;
    size_t name_len;
    char name[WEBHOOK_EVENT_NAME_MAX];
    struct webhook_text kind;
    struct webhook_text delivery_id;
    char ts[TIMEFMT_MAX];
};

/* Errors -------------------------------------------------------------------------------------- */

static void put_string(struct buf *b, const char *name, const char *text)
{
    buf_printf(b, ",\"%s\":", name);
    buf_append_json(b, text, strlen(text));
}

/** {"success":false,"error":…,"errorCode":CODE,"code":CODE,…}; `extra` is more members or "". */
static void refuse(struct http_exchange *x, err_t err, const char *text, const char *extra)
{
    CLEANUP(buf_release) struct buf body = BUF_INIT;
    buf_append_str(&body, "{\"success\":false");
    put_string(&body, "error", text);
    put_string(&body, "errorCode", err_wire_code(err));
    put_string(&body, "code", err_wire_code(err));
    buf_append_str(&body, extra);
    buf_append_char(&body, '}');
    if (err == ERR_BUFFER_FULL)
        metric_inc(M_buffer_full_total);
    http_add_retry(x, err);
    http_respond(x, err_http_status(err), "application/json", body.data, body.len);
}

static void refuse_provider(struct http_exchange *x, struct slice name)
{
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    CLEANUP(buf_release) struct buf extra = BUF_INIT;
    buf_printf(&text, "Unsupported provider: \"%.*s\"", (int)MIN(name.len, 100), name.data);
    buf_append_str(&extra, ",\"supported\":[");
    for (size_t i = 0; webhook_providers[i] != NULL; i++)
        buf_printf(&extra, "%s\"%s\"", i == 0 ? "" : ",", webhook_providers[i]->name);
    buf_append(&extra, "]", 2);
    refuse(x, ERR_UNSUPPORTED_PROVIDER, text.data, extra.data);
}

static void refuse_size(struct http_exchange *x, size_t limit, int64_t length)
{
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    CLEANUP(buf_release) struct buf details = BUF_INIT;
    reply_too_large(&text, &details, limit, length);
    /* The reference gives the members of `details` at top level here. */
    CLEANUP(buf_release) struct buf extra = BUF_INIT;
    buf_append_char(&extra, ',');
    buf_append(&extra, details.data + 1, strlen(details.data) - 2);
    buf_append(&extra, "", 1);
    refuse(x, ERR_PAYLOAD_TOO_LARGE, text.data, extra.data);
}

static void refuse_with_details(struct http_exchange *x, err_t err, const char *text,
                                const char *details)
{
    CLEANUP(buf_release) struct buf extra = BUF_INIT;
    put_string(&extra, "details", details);
    buf_append(&extra, "", 1);
    refuse(x, err, text, extra.data);
}

static void request_clear(struct hook_request *r)
{
    buf_release(&r->body);
    charge_release(&r->charge);
}

/* Success ------------------------------------------------------------------------------------- */

static void put_json_bytes(struct buf *b, const char *name, const char *data, size_t len)
{
    buf_printf(b, ",\"%s\":", name);
    buf_append_json(b, data, len);
}

static void put_event(struct buf *b, const struct hook_request *r, const struct append_outcome *o)
{
    buf_append_str(b, "\"event\":{\"type\":");
    buf_append_json(b, r->name, r->name_len);
    if (!o->deduplicated)
        put_string(b, "ts", r->ts);
    put_string(b, "source", r->provider->name);
    buf_printf(b, ",\"webhook\":{\"provider\":\"%s\"", r->provider->name);
    if (r->kind.len > 0)
        put_json_bytes(b, "eventType", r->kind.data, r->kind.len);
    else
        put_string(b, "eventType", "unknown");
    if (r->delivery_id.len > 0)
        put_json_bytes(b, "deliveryId", r->delivery_id.data, r->delivery_id.len);
    buf_append_str(b, ",\"verified\":true}}");
}

static void on_outcome(struct append_op *op, const struct append_outcome *o)
{
    struct hook_request *r = CONTAINER_OF(op, struct hook_request, op);
    if (o->err != OK) {
        refuse(op->x, o->err, o->text, "");
        return;
    }
    metric_inc(M_webhooks_received_total);
    if (o->deduplicated)
        metric_inc(M_deduplicated_requests_total);
    CLEANUP(buf_release) struct buf body = BUF_INIT;
    struct slice ns = op->tenant->namespace_name;
    char stream[LIMIT_STREAM_NAME + 1];
    ingest_stream_name(op->tenant, stream);
    buf_append_str(&body, "{\"ok\":true,\"success\":true,\"accepted\":true,\"verified\":true,");
    put_event(&body, r, o);
    put_json_bytes(&body, "namespace", ns.data, ns.len);
    put_string(&body, "stream", stream);
    buf_printf(&body, ",\"shard\":%u,\"lsn\":%lld", o->shard, (long long)o->lsn);
    if (o->deduplicated)
        buf_append_str(&body, ",\"deduplicated\":true");
    buf_append_char(&body, '}');
    http_respond(op->x, 200, "application/json", body.data, body.len);
}

/* A verified delivery ------------------------------------------------------------------------- */

/** The bytes of the event before the provider's body. */
static struct slice event_head(struct hook_request *r)
{
    CLEANUP(buf_release) struct buf head = BUF_INIT;
    buf_append_str(&head, "{\"type\":");
    buf_append_json(&head, r->name, r->name_len);
    put_string(&head, "ts", r->ts);
    put_string(&head, "source", r->provider->name);
    if (r->delivery_id.len > 0)
        put_json_bytes(&head, "deliveryId", r->delivery_id.data, r->delivery_id.len);
    buf_append_str(&head, ",\"payload\":");
    struct arena *a = http_exchange_arena(r->op.x);
    return (struct slice){arena_strndup(a, head.data, head.len), head.len};
}

static void set_key(struct hook_request *r)
{
    if (r->delivery_id.len == 0)
        return;
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    buf_append_str(&text, r->provider->name);
    buf_append_char(&text, ':');
    buf_append(&text, r->delivery_id.data, r->delivery_id.len);
    r->op.key = append_op_key(&r->op, KEY_KIND_WEBHOOK, buf_slice(&text));
}

static void append_event(struct hook_request *r, struct slice body)
{
    timefmt_rfc3339(r->now_us / 1000 * 1000, r->ts);
    r->name_len = webhook_event_name(r->provider, &r->kind, r->name);
    set_key(r);
    struct event_record rec = {.ts_ms = r->now_us / 1000,
                               .value = {event_head(r), body, SLICE("}")},
                               .type = {r->name, r->name_len},
                               .source = slice_of(r->provider->name),
                               .plain = true};
    bool own = r->op.stream == NULL || body.len > LIMIT_OWN_BATCH_BODY;
    struct builder *b = NULL;
    err_t err = OK;
    if (own)
        b = appender_take_builder(r->op.ir->appender);
    else
        err = appender_open(r->op.ir->appender, ingest_shard(r->op.stream), &b);
    struct builder_mark mark = {0};
    if (err == OK) {
        mark = builder_mark(b);
        err = builder_add(b, &rec);
        if (err != OK && own)
            appender_give_builder(r->op.ir->appender, b);
    }
    request_clear(r);
    if (err != OK)
        refuse(r->op.x, err, err_text(err), "");
    else if (own)
        append_op_own(&r->op, b);
    else
        append_op_shared(&r->op, b, mark);
}

static struct slice find_header(const void *arg, const char *name, size_t *ret_count)
{
    return http_request_header(arg, name, ret_count);
}

static err_t check_json(struct slice body, const char **ret_text)
{
    struct json_input in = {body.data, body.len, 0, true};
    struct json_scan scan;
    *ret_text = "Invalid JSON body";
    TRY(json_scan_document(&in, NULL, LIMIT_JSON_DEPTH - 1, &scan));
    *ret_text = "Webhook payload must be a JSON object";
    if (scan.value.kind != JSON_OBJECT)
        return err_fail(ERR_INVALID_JSON, "the body is no JSON object");
    return OK;
}

static void finish_body(struct hook_request *r, struct slice body)
{
    struct http_exchange *x = r->op.x;
    r->done = true;
    r->now_us = clock_wall_us(r->op.in->options.clock);
    if (r->op.ir->hmac == NULL)
        r->op.ir->hmac = webhook_hmac_new();
    const struct webhook_delivery d = {.header = find_header,
                                       .arg = http_exchange_request(x),
                                       .body = body,
                                       .now_s = r->now_us / 1000000,
                                       .secret = ingest_secret_of(r->op.in, r->provider),
                                       .hmac = r->op.ir->hmac};
    const char *text = "Signature verification failed";
    err_t err = r->provider->verify(&d);
    if (err != OK)
        metric_inc(M_webhooks_rejected_total);
    else
        err = check_json(body, &text);
    if (err != OK) {
        request_clear(r);
        refuse_with_details(x, err, text, err_text(err));
        return;
    }
    r->provider->event_type(&d, &r->kind);
    r->provider->delivery_id(&d, &r->delivery_id);
    append_event(r, body);
}

/* The body as it comes ------------------------------------------------------------------------ */

static void on_body(struct http_exchange *x, const char *data, size_t len)
{
    struct hook_request *r = http_exchange_user(x);
    if (http_exchange_request(x)->content_length == (int64_t)len) {
        finish_body(r, (struct slice){data, len});
        return;
    }
    size_t limit = r->op.in->options.body_bytes;
    if (r->body.len + len > limit) {
        request_clear(r);
        refuse_size(x, limit, -1);
        return;
    }
    err_t err = charge_add(&r->charge, len);
    if (err != OK) {
        request_clear(r);
        refuse(x, err, err_text(err), "");
        return;
    }
    buf_append(&r->body, data, len);
}

static void on_end(struct http_exchange *x)
{
    struct hook_request *r = http_exchange_user(x);
    if (r->done)
        return;
    struct buf body = r->body;
    r->body = BUF_INIT;
    finish_body(r, buf_slice(&body));
    buf_release(&body);
}

static void on_abort(struct http_exchange *x)
{
    struct hook_request *r = http_exchange_user(x);
    if (r != NULL) {
        request_clear(r);
        if (!append_op_abort(&r->op))
            return;
    }
    http_exchange_release(x);
}

/* The head ------------------------------------------------------------------------------------ */

static bool is_json_type(struct slice header)
{
    const char *semicolon = header.data == NULL ? NULL : memchr(header.data, ';', header.len);
    if (semicolon != NULL)
        header.len = (size_t)(semicolon - header.data);
    while (header.len > 0 && header.data != NULL && header.data[header.len - 1] == ' ')
        header.len--;
    return header.len == 0 || slice_equal_nocase(header, SLICE("application/json"));
}

/** What can be said before the body: false when it was answered. */
static bool check_head(struct ingest *in, struct http_exchange *x,
                       const struct webhook_provider *provider)
{
    const struct http_request *req = http_exchange_request(x);
    struct slice coding = http_request_header(req, "Content-Encoding", NULL);
    if (ingest_secret_of(in, provider).len == 0)
        refuse(x, ERR_SECRET_NOT_CONFIGURED, "Webhook not configured for this provider", "");
    else if (!is_json_type(http_request_header(req, "Content-Type", NULL)))
        refuse(x, ERR_UNSUPPORTED_MEDIA_TYPE,
               "Content-Type must be application/json: choose it in the provider's settings", "");
    else if (coding.len > 0 && !slice_equal_nocase(coding, SLICE("identity")))
        refuse(x, ERR_UNSUPPORTED_MEDIA_TYPE, "Content-Encoding is not supported for webhooks", "");
    else if (req->content_length > (int64_t)in->options.body_bytes)
        refuse_size(x, in->options.body_bytes, req->content_length);
    else
        return true;
    return false;
}

static void begin(struct http_exchange *x, struct slice name)
{
    struct ingest *in = http_exchange_route_arg(x);
    const struct webhook_provider *provider = webhook_provider_find(name);
    if (provider == NULL) {
        refuse_provider(x, name);
        return;
    }
    if (!check_head(in, x, provider))
        return;
    struct rate_verdict v = access_rate_webhook(in->options.access, http_exchange_client(x));
    rate_add_headers(x, &v);
    if (!v.allowed) {
        rate_refuse(x, &v);
        return;
    }
    struct hook_request *r = arena_zalloc(http_exchange_arena(x), sizeof(*r));
    struct ingest_reactor *ir = ingest_reactor_of(in, x);
    const struct tenant *tenant = access_webhook_tenant(in->options.access);
    r->op = (struct append_op){.x = x,
                               .in = in,
                               .ir = ir,
                               .tenant = tenant,
                               .on_outcome = on_outcome,
                               .stream = ingest_stream(in, ir, tenant)};
    r->charge.in = in;
    r->provider = provider;
    http_exchange_set_user(x, r);
}

static void on_request(struct http_exchange *x)
{
    static const struct slice prefix = SLICE("/webhooks/");
    const struct http_request *req = http_exchange_request(x);
    if (req->path.len > prefix.len) {
        begin(x, (struct slice){req->path.data + prefix.len, req->path.len - prefix.len});
        return;
    }
    struct slice name = http_request_query(req, http_exchange_arena(x), "provider");
    if (name.data == NULL || name.len == 0) {
        http_add_header(x, "Access-Control-Allow-Origin", "*");
        http_respond_error(x, ERR_VALIDATION, "provider query param required", NULL);
        return;
    }
    begin(x, name);
}

static void on_host_request(struct http_exchange *x)
{
    static const char host[] = "webhooks.";
    const struct http_request *req = http_exchange_request(x);
    if (req->host.len < sizeof(host) - 1 ||
        strncasecmp(req->host.data, host, sizeof(host) - 1) != 0) {
        http_respond_error(x, ERR_NOT_FOUND, NULL, NULL);
        return;
    }
    begin(x, (struct slice){req->path.data + 1, req->path.len - 1});
}

const struct http_handler webhooks_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_end = on_end,
    .on_abort = on_abort,
};

const struct http_handler webhooks_host_handler = {
    .on_request = on_host_request,
    .on_body = on_body,
    .on_end = on_end,
    .on_abort = on_abort,
};
