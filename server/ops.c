/*
 * server/ops.c: what the routes for operators say. Everything is read at the moment of the request;
 * nothing runs between requests.
 */
#include "server/ops.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/metrics.h"
#include "base/timefmt.h"

#define SERVICE "spillway"
#define REASON_BYTES 256

static const char *const status_names[] = {
    [SHARD_OPEN] = "open", [SHARD_FULL] = "full", [SHARD_READ_ONLY] = "read-only"};

/** Calls fn for every shard of every stream. */
struct shard_walk {
    void (*fn)(void *arg, struct stream *s, struct shard *sh);
    void *arg;
};

static void walk_stream(void *arg, struct stream *s)
{
    struct shard_walk *walk = arg;
    unsigned count = stream_shard_count(s);
    for (unsigned k = 0; k < count; k++)
        walk->fn(walk->arg, s, stream_shard(s, k));
}

static void each_shard(const struct ops *ops, void (*fn)(void *, struct stream *, struct shard *),
                       void *arg)
{
    struct shard_walk walk = {fn, arg};
    log_each_stream(ops->log, walk_stream, &walk);
}

/* /health -------------------------------------------------------------------------------------- */

struct health {
    struct buf shards; /* JSON objects, comma-separated */
    bool refusing;     /* some shard takes no appends */
};

static void add_unwell(void *arg, struct stream *s, struct shard *sh)
{
    struct health *h = arg;
    enum shard_status status = shard_status(sh);
    unsigned cut = shard_valid_cuts(sh);
    if (status == SHARD_OPEN && cut == 0)
        return;
    h->refusing = h->refusing || status != SHARD_OPEN;
    char reason[REASON_BYTES];
    shard_status_text(sh, reason, sizeof(reason));
    if (h->shards.len > 0)
        buf_append_char(&h->shards, ',');
    buf_append_str(&h->shards, "{\"stream\":");
    buf_append_json(&h->shards, stream_name(s), strlen(stream_name(s)));
    buf_printf(&h->shards, ",\"shard\":%u,\"status\":\"%s\",\"reason\":", shard_index(sh),
               status == SHARD_OPEN ? "cut" : status_names[status]);
    if (status == SHARD_OPEN)
        buf_append_str(
            &h->shards,
            "\"a start cut a torn group that holds whole, never acknowledged batches; look at the "
            "shard's .valid.cut file, then move it away\"");
    else
        buf_append_json(&h->shards, reason, strlen(reason));
    buf_printf(&h->shards, ",\"validCuts\":%u}", cut);
}

static double thread_cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

int ops_health(const struct ops *ops, struct buf *out)
{
    double cpu_start = thread_cpu_ms();
    struct health h = {BUF_INIT, false};
    each_shard(ops, add_unwell, &h);
    char now[TIMEFMT_MAX];
    timefmt_rfc3339(clock_wall_ms(clock_real()) * 1000, now);

    CLEANUP(buf_release) struct buf fields = BUF_INIT;
    bool well = h.shards.len == 0;
    buf_printf(&fields, "\"status\":\"%s\",\"service\":\"%s\",\"ts\":\"%s\",\"env\":",
               well ? "ok" : "degraded", SERVICE, now);
    buf_append_json(&fields, ops->config->env, strlen(ops->config->env));
    buf_printf(&fields, ",\"cpuTimeMs\":%.3f,\"version\":\"%s\"", thread_cpu_ms() - cpu_start,
               SPILLWAY_VERSION);
    if (!well) {
        buf_append_str(&fields, ",\"shards\":[");
        buf_append_slice(&fields, buf_slice(&h.shards));
        buf_append_char(&fields, ']');
    }
    buf_release(&h.shards);

    buf_append_char(out, '{');
    buf_append_slice(out, buf_slice(&fields));
    buf_printf(out, ",\"success\":%s,\"data\":{", h.refusing ? "false" : "true");
    buf_append_slice(out, buf_slice(&fields));
    buf_append_str(out, "}}");
    return h.refusing ? 503 : 200;
}

/* /metrics ------------------------------------------------------------------------------------- */

static void gauge_head(struct buf *out, const char *name, const char *help)
{
    buf_printf(out, "# HELP spillway_%s %s\n# TYPE spillway_%s gauge\n", name, help, name);
}

struct gauge {
    const struct ops *ops;
    struct buf *out;
    const char *name;
    int64_t (*value)(const struct ops *ops, struct shard *sh);
};

static void add_gauge(void *arg, struct stream *s, struct shard *sh)
{
    const struct gauge *g = arg;
    /* Stream names need no escaping: [A-Za-z0-9._-]. */
    buf_printf(g->out, "spillway_%s{stream=\"%s\",shard=\"%u\"} %lld\n", g->name, stream_name(s),
               shard_index(sh), (long long)g->value(g->ops, sh));
}

static int64_t gauge_log_start(const struct ops *ops UNUSED, struct shard *sh)
{
    return shard_log_start(sh);
}

static int64_t gauge_high_watermark(const struct ops *ops UNUSED, struct shard *sh)
{
    return shard_high_watermark(sh);
}

static int64_t gauge_size(const struct ops *ops UNUSED, struct shard *sh)
{
    return (int64_t)shard_size_bytes(sh);
}

static int64_t gauge_segments(const struct ops *ops UNUSED, struct shard *sh)
{
    return shard_segment_count(sh);
}

static int64_t gauge_pending(const struct ops *ops, struct shard *sh)
{
    unsigned batches;
    size_t bytes;
    writer_pending(ops->writer, sh, &batches, &bytes);
    return batches;
}

static int64_t gauge_pending_bytes(const struct ops *ops, struct shard *sh)
{
    unsigned batches;
    size_t bytes;
    writer_pending(ops->writer, sh, &batches, &bytes);
    return (int64_t)bytes;
}

static int64_t gauge_writable(const struct ops *ops UNUSED, struct shard *sh)
{
    return shard_status(sh) == SHARD_OPEN;
}

/** Copies the namespaces' lags, malloc'd, and their count. */
static struct cdc_lag *copy_lags(const struct ops *ops, size_t *ret_count)
{
    size_t cap = ops->cdc == NULL ? 0 : cdc_lags(ops->cdc, NULL, 0);
    struct cdc_lag *lags = xcalloc(cap + 1, sizeof(*lags));
    size_t count = cap == 0 ? 0 : cdc_lags(ops->cdc, lags, cap);
    *ret_count = MIN(count, cap); /* what was created in between is there the next time */
    return lags;
}

static double lag_applied(const struct cdc_lag *l)
{
    return (double)l->applied_lsn;
}

static double lag_records(const struct cdc_lag *l)
{
    return (double)(l->log_lsn - l->applied_lsn);
}

static double lag_seconds(const struct cdc_lag *l)
{
    return (double)l->behind_us / 1e6;
}

static double lag_delta(const struct cdc_lag *l)
{
    return (double)l->delta_lsn;
}

static double lag_dead_letters(const struct cdc_lag *l)
{
    return (double)l->dead_letters;
}

static double lag_misplaced(const struct cdc_lag *l)
{
    return (double)l->misplaced;
}

static double lag_stopped(const struct cdc_lag *l)
{
    return *l->problem != '\0';
}

static void write_lags(const struct ops *ops, struct buf *out)
{
    static const struct {
        const char *name;
        const char *help;
        double (*value)(const struct cdc_lag *l);
    } gauges[] = {
        {"cdc_applied_lsn", "Next LSN to apply to the state of collections", lag_applied},
        {"cdc_lag_records", "Records of the log not yet applied", lag_records},
        {"cdc_lag_seconds", "At most the age of the oldest of them", lag_seconds},
        {"cdc_covered_lsn", "Every change below this LSN is in the store", lag_delta},
        {"cdc_dead_letters", "Changes that could not be applied", lag_dead_letters},
        {"cdc_misplaced", "Of these, changes on another shard than 0", lag_misplaced},
        {"cdc_problem", "1 while something stands still; /admin/status says what", lag_stopped},
    };
    size_t count;
    CLEANUP(xfree_ptr) struct cdc_lag *lags = copy_lags(ops, &count);
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++) {
        gauge_head(out, gauges[i].name, gauges[i].help);
        for (size_t k = 0; k < count; k++)
            buf_printf(out, "spillway_%s{namespace=\"%s\"} %.17g\n", gauges[i].name,
                       lags[k].namespace_name, gauges[i].value(&lags[k]));
    }
}

static struct schedule_drills copy_drills(const struct ops *ops)
{
    struct schedule_drills d = {0};
    if (ops->schedule != NULL)
        schedule_drills_copy(ops->schedule, &d);
    return d;
}

/** A label's value: any bytes, escaped as the text format asks. */
static void append_label(struct buf *out, const char *text)
{
    for (const char *c = text; *c != '\0'; c++) {
        if (*c == '\\' || *c == '"')
            buf_append_char(out, '\\');
        if (*c == '\n')
            buf_append_str(out, "\\n");
        else
            buf_append_char(out, *c);
    }
}

static double drill_passed(const struct drill_result *r)
{
    return r->passed;
}

static double drill_age(const struct drill_result *r)
{
    return (double)MAX(clock_wall_us(clock_real()) - r->at_us, 0) / 1e6;
}

static double drill_duration(const struct drill_result *r)
{
    return (double)r->took_us / 1e6;
}

static void write_drills(const struct ops *ops, struct buf *out)
{
    static const struct {
        const char *name;
        const char *help;
        double (*value)(const struct drill_result *r);
    } gauges[] = {
        {"drill_passed", "1 where the collection's last drill passed, else 0", drill_passed},
        {"drill_age_seconds", "Time since that drill", drill_age},
        {"drill_duration_seconds", "How long it took", drill_duration},
    };
    CLEANUP(schedule_drills_release) struct schedule_drills d = copy_drills(ops);
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++) {
        gauge_head(out, gauges[i].name, gauges[i].help);
        for (size_t k = 0; k < d.count; k++) {
            buf_printf(out, "spillway_%s{namespace=\"%s\",collection=\"", gauges[i].name,
                       d.items[k].namespace_name);
            append_label(out, d.items[k].collection);
            buf_printf(out, "\"} %.17g\n", gauges[i].value(&d.items[k].result));
        }
    }
}

void ops_metrics(const struct ops *ops, struct buf *out)
{
    static const struct {
        const char *name;
        const char *help;
        int64_t (*value)(const struct ops *ops, struct shard *sh);
    } gauges[] = {
        {"shard_log_start_offset", "First offset that can be read", gauge_log_start},
        {"shard_high_watermark", "First offset that is not durable yet", gauge_high_watermark},
        {"shard_size_bytes", "Bytes of record batches kept", gauge_size},
        {"shard_segments", "Segments kept", gauge_segments},
        {"shard_pending_batches", "Sealed batches waiting for a commit", gauge_pending},
        {"shard_pending_bytes", "Their bytes", gauge_pending_bytes},
        {"shard_writable", "1 while the shard takes appends", gauge_writable},
    };
    metrics_write(out);
    for (size_t i = 0; i < ARRAY_LEN(gauges); i++) {
        gauge_head(out, gauges[i].name, gauges[i].help);
        struct gauge g = {ops, out, gauges[i].name, gauges[i].value};
        each_shard(ops, add_gauge, &g);
    }
    write_lags(ops, out);
    write_drills(ops, out);
    gauge_head(out, "start_time_seconds", "When the server started, seconds since 1970");
    buf_printf(out, "spillway_start_time_seconds %.3f\n", (double)ops->started_us / 1e6);
}

/* /admin/status -------------------------------------------------------------------------------- */

struct status_list {
    const struct ops *ops;
    struct buf *out;
    bool first;
};

static void add_status(void *arg, struct stream *s, struct shard *sh)
{
    struct status_list *list = arg;
    struct buf *out = list->out;
    unsigned batches;
    size_t bytes;
    char reason[REASON_BYTES];
    writer_pending(list->ops->writer, sh, &batches, &bytes);
    shard_status_text(sh, reason, sizeof(reason));
    buf_printf(out, "%s{\"stream\":\"%s\",\"shard\":%u,\"status\":\"%s\",\"reason\":",
               list->first ? "" : ",", stream_name(s), shard_index(sh),
               status_names[shard_status(sh)]);
    buf_append_json(out, reason, strlen(reason));
    buf_printf(out,
               ",\"logStart\":%lld,\"highWatermark\":%lld,\"sizeBytes\":%llu,\"segments\":%u,"
               "\"pendingBatches\":%u,\"pendingBytes\":%zu,\"validCuts\":%u}",
               (long long)shard_log_start(sh), (long long)shard_high_watermark(sh),
               (unsigned long long)shard_size_bytes(sh), shard_segment_count(sh), batches, bytes,
               shard_valid_cuts(sh));
    list->first = false;
}

static void add_listener(struct buf *out, const char *name, const struct listener *l)
{
    if (l == NULL)
        buf_printf(out, "\"%s\":null,", name);
    else
        buf_printf(out, "\"%s\":{\"address\":\"%s\",\"connections\":%u},", name,
                   listener_address(l), listener_connections(l));
}

static void add_states(const struct ops *ops, struct buf *out)
{
    size_t count;
    CLEANUP(xfree_ptr) struct cdc_lag *lags = copy_lags(ops, &count);
    for (size_t i = 0; i < count; i++) {
        const struct cdc_lag *l = &lags[i];
        buf_printf(
            out,
            "%s{\"namespace\":\"%s\",\"appliedLsn\":%lld,\"logLsn\":%lld,\"coveredLsn\":%lld,"
            "\"lagSeconds\":%.6f,\"deadLetters\":%llu,\"misplaced\":%llu,\"problem\":",
            i == 0 ? "" : ",", l->namespace_name, (long long)l->applied_lsn, (long long)l->log_lsn,
            (long long)l->delta_lsn, (double)l->behind_us / 1e6,
            (unsigned long long)l->dead_letters, (unsigned long long)l->misplaced);
        buf_append_json(out, l->problem, strlen(l->problem));
        buf_append_char(out, '}');
    }
}

/** What GET /collections says of them, too, with its place and age. */
static void add_drills(const struct ops *ops, struct buf *out)
{
    CLEANUP(schedule_drills_release) struct schedule_drills d = copy_drills(ops);
    for (size_t i = 0; i < d.count; i++) {
        const struct schedule_drill *drill = &d.items[i];
        buf_printf(out, "%s{\"namespace\":\"%s\",\"collection\":", i == 0 ? "" : ",",
                   drill->namespace_name);
        buf_append_json(out, drill->collection, strlen(drill->collection));
        buf_printf(out, ",\"ageSeconds\":%.3f,\"drill\":", drill_age(&drill->result));
        drill_to_json(&drill->result, out);
        buf_append_char(out, '}');
    }
}

void ops_status(const struct ops *ops, struct buf *out)
{
    char started[TIMEFMT_MAX];
    timefmt_rfc3339(ops->started_us, started);
    buf_printf(out,
               "{\"version\":\"%s\",\"pid\":%ld,\"clusterId\":\"%s\",\"started\":\"%s\","
               "\"uptimeSeconds\":%lld,\"dataDir\":",
               SPILLWAY_VERSION, (long)getpid(), ops->cluster_id, started,
               (long long)((clock_wall_us(clock_real()) - ops->started_us) / 1000000));
    buf_append_json(out, ops->config->data_dir, strlen(ops->config->data_dir));
    buf_append_char(out, ',');
    add_listener(out, "http", ops->http);
    add_listener(out, "kafka", ops->kafka);
    buf_append_str(out, "\"shards\":[");
    struct status_list list = {ops, out, true};
    each_shard(ops, add_status, &list);
    buf_append_str(out, "],\"states\":[");
    add_states(ops, out);
    buf_append_str(out, "],\"drills\":[");
    add_drills(ops, out);
    buf_append_str(out, "]}");
}

/* HTTP ----------------------------------------------------------------------------------------- */

static void health_end(struct http_exchange *x)
{
    CLEANUP(buf_release) struct buf body = BUF_INIT;
    int status = ops_health(http_exchange_route_arg(x), &body);
    http_add_header(x, "Access-Control-Allow-Origin", "*");
    http_add_header(x, "Cache-Control", "no-store");
    http_respond(x, status, "application/json", body.data, body.len);
}

static void metrics_end(struct http_exchange *x)
{
    CLEANUP(buf_release) struct buf body = BUF_INIT;
    ops_metrics(http_exchange_route_arg(x), &body);
    http_respond(x, 200, "text/plain; version=0.0.4; charset=utf-8", body.data, body.len);
}

bool ops_open_to_all(const struct config *c)
{
    return c->auth_allow_unauthenticated && *c->auth_token == '\0' && c->key_count == 0;
}

static void status_end(struct http_exchange *x)
{
    const struct ops *ops = http_exchange_route_arg(x);
    if (!ops_open_to_all(ops->config)) {
        const struct tenant *tenant;
        struct slice token = http_request_header(http_exchange_request(x), "Authorization", NULL);
        err_t err = access_check(ops->access, token, &tenant);
        if (err == OK && !tenant->is_admin)
            err = err_fail(ERR_FORBIDDEN, "Admin access required");
        if (err != OK) {
            http_respond_error(x, err, err_text(err), NULL);
            return;
        }
    }
    CLEANUP(buf_release) struct buf body = BUF_INIT;
    ops_status(ops, &body);
    http_respond(x, 200, "application/json", body.data, body.len);
}

void ops_routes(struct ops *ops, struct http_route routes[OPS_ROUTE_COUNT])
{
    static const struct http_handler health = {.on_end = health_end};
    static const struct http_handler metrics = {.on_end = metrics_end};
    static const struct http_handler status = {.on_end = status_end};
    static const char any[] = "GET, POST, PUT, PATCH, DELETE";
    routes[0] = (struct http_route){any, "/health", HTTP_MATCH_EXACT, &health, ops, HTTP_CORS_ANY};
    routes[1] = (struct http_route){any, "/", HTTP_MATCH_EXACT, &health, ops, HTTP_CORS_ANY};
    routes[2] =
        (struct http_route){"GET", "/metrics", HTTP_MATCH_EXACT, &metrics, ops, HTTP_CORS_NONE};
    routes[3] =
        (struct http_route){"GET", "/admin/status", HTTP_MATCH_EXACT, &status, ops, HTTP_CORS_NONE};
}
