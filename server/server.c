/*
 * server/server.c: what is started in which order, and stopped in the reverse one.
 *
 *     lock, log (recovers), writer, state, schedule, catalog, reactors, doors, listeners  -> ready
 *     doors drain, listeners stop, connections end  -> waits for the state end, queries, writer,
 *     schedule, state, workers, reactors, log
 *
 * Nothing here runs between requests: main sleeps until a signal comes; the schedule's
 * thread wakes at its moments, at least once an hour.
 */
#include "server/server.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/logger.h"
#include "base/worker.h"
#include "catalog/catalog.h"
#include "cdc/cdc.h"
#include "ingest/ingest.h"
#include "kafka/kafka.h"
#include "log/log.h"
#include "net/http.h"
#include "net/reactor.h"
#include "query/query.h"
#include "server/lockfile.h"
#include "server/ops.h"
#include "server/schedule.h"
#include "server/signals.h"
#include "snapshot/reload.h"
#include "writer/writer.h"

#define REACTORS_MAX 8
#define COMMIT_THREADS 4
#define COMMIT_HERE_NS 400000 /* a reactor waits itself for syncs that take less */
#define WORKER_THREADS 2
#define PRESSURE_MS 50
#define DRAIN_MS 10000
#define DRAIN_STEP_MS 10
#define OPEN_FILES_OWN 4096 /* besides connections */
#define OUTPUT_BYTES_MAX MIB(8)
#define HOST_NAME_BYTES 256
#define DEFAULT_STREAM "events"
#define ROUTES_MAX 32

struct server {
    const struct config *config;
    int lock_fd;
    struct worker_pool *workers;
    struct writer *writer;
    bool writer_running;
    struct log *log;
    struct store *store;
    struct cdc *cdc;
    struct reload reload;
    struct schedule *schedule;
    struct catalog *catalog;
    struct access *access;
    struct reactor_group *reactors;
    struct http_route routes[ROUTES_MAX];
    size_t route_count;
    struct ingest *ingest;
    struct query *query;
    struct http_server *http;
    struct kafka_door *kafka;
    struct listener *http_listener;
    struct listener *kafka_listener;
    struct ops ops;
};

/* Storage -------------------------------------------------------------------------------------- */

static err_t open_log(struct server *s)
{
    const struct config *c = s->config;
    const struct writer_options writer = {
        .clock = clock_real(),
        .commit_threads = COMMIT_THREADS,
        .commit_here_ns = COMMIT_HERE_NS,
        .max_pending = (unsigned)c->writer_max_pending,
        .max_pending_bytes = (size_t)c->writer_max_pending_bytes,
        .pressure_ms = PRESSURE_MS,
        .key_hours = (unsigned)c->writer_key_hours,
        .max_keys = (unsigned)c->writer_max_keys,
    };
    s->workers = worker_pool_new(WORKER_THREADS);
    s->writer = writer_new(&writer);
    const struct log_options log = {
        .io = io_posix(),
        .clock = clock_real(),
        .data_dir = c->data_dir,
        .segment_bytes = (uint64_t)c->storage_segment_bytes,
        .workers = s->workers,
        .state = writer_state_ops(s->writer),
    };
    TRY(log_open(&log, &s->log));
    writer_start(s->writer);
    s->writer_running = true;
    if (log_find_stream(s->log, DEFAULT_STREAM, strlen(DEFAULT_STREAM)) != NULL)
        return OK;
    struct stream *created;
    return log_create_stream(s->log, DEFAULT_STREAM, 1, &created);
}

/** The store of deltas and snapshots, and the keeper of the collections' state. */
static err_t open_state(struct server *s)
{
    const struct config *c = s->config;
    CLEANUP(xfree_ptr)
    char *url = *c->store_url != '\0' ? xstrdup(c->store_url) : xasprintf("%s/store", c->data_dir);
    TRY(store_open(io_posix(), url, true, &s->store));
    s->reload = (struct reload){.io = io_posix(), .clock = clock_real(), .store = s->store};
    const struct cdc_options options = {
        .io = io_posix(),
        .clock = clock_real(),
        .log = s->log,
        .store = s->store,
        .data_dir = c->data_dir,
        .delta_seconds = (unsigned)c->cdc_delta_seconds,
        .delta_bytes = (uint64_t)c->cdc_delta_bytes,
        .rebuild = reload_state,
        .rebuild_arg = &s->reload,
    };
    TRY(cdc_start(&options, &s->cdc));
    const struct schedule_options schedule = {
        .config = c,
        .io = io_posix(),
        .clock = clock_real(),
        .store = s->store,
        .log = s->log,
        .cdc = s->cdc,
    };
    return schedule_start(&schedule, &s->schedule);
}

static err_t open_storage(struct server *s)
{
    TRY(lockfile_take(s->config->data_dir, &s->lock_fd));
    TRY(open_log(s));
    TRY(open_state(s));
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/catalog.db", s->config->data_dir);
    TRY(catalog_open(io_posix(), path, &s->catalog));
    return config_access(s->config, &s->access);
}

/* Doors ---------------------------------------------------------------------------------------- */

static err_t listen_on(struct server *s, const char *address, const struct conn_ops *ops, void *arg,
                       struct slice refusal, struct listener **ret_listener)
{
    const struct listener_options options = {
        .address = address,
        .ops = ops,
        .arg = arg,
        .max_connections = (unsigned)s->config->http_max_connections,
        .refusal = refusal,
        .output_max_bytes = OUTPUT_BYTES_MAX,
    };
    return listener_open(s->reactors, &options, ret_listener);
}

/** Of the batches that the server builds. */
static enum batch_codec codec(const struct config *c)
{
    return c->storage_compression == CONFIG_COMPRESSION_LZ4 ? BATCH_CODEC_LZ4 : BATCH_CODEC_NONE;
}

static void open_ingest(struct server *s)
{
    const struct config *c = s->config;
    const struct ingest_secret secrets[] = {
        {"github", c->webhooks_github},
        {"stripe", c->webhooks_stripe},
    };
    s->ingest = ingest_new(&(struct ingest_options){
        .log = s->log,
        .writer = s->writer,
        .access = s->access,
        .reactors = s->reactors,
        .workers = s->workers,
        .clock = clock_real(),
        .codec = codec(c),
        .body_bytes = (size_t)c->limits_body_bytes,
        .batch_events = (uint32_t)c->limits_batch_events,
        .event_bytes = (size_t)c->limits_event_bytes,
        .secrets = secrets,
        .secret_count = ARRAY_LEN(secrets),
    });
}

static void open_query(struct server *s)
{
    const struct config *c = s->config;
    s->query = query_new(&(struct query_options){
        .io = io_posix(),
        .clock = clock_real(),
        .log = s->log,
        .writer = s->writer,
        .access = s->access,
        .cdc = s->cdc,
        .store = s->store,
        .data_dir = c->data_dir,
        .codec = codec(c),
        .retention = schedule_retention(c),
        .open_to_all = ops_open_to_all(c),
    });
}

/** All routes in one table: those of the doors, then those for operators. */
static void collect_routes(struct server *s)
{
    size_t count;
    const struct http_route *routes = ingest_routes(s->ingest, &count);
    ASSERT(count + QUERY_ROUTE_COUNT + OPS_ROUTE_COUNT <= ROUTES_MAX);
    memcpy(s->routes, routes, count * sizeof(*routes));
    memcpy(s->routes + count, query_routes(s->query), QUERY_ROUTE_COUNT * sizeof(*routes));
    count += QUERY_ROUTE_COUNT;
    ops_routes(&s->ops, s->routes + count);
    s->route_count = count + OPS_ROUTE_COUNT;
}

static err_t open_http(struct server *s)
{
    const struct config *c = s->config;
    open_ingest(s);
    open_query(s);
    collect_routes(s);
    const struct http_options options = {
        .routes = s->routes,
        .route_count = s->route_count,
        .header_bytes_max = (size_t)c->http_header_bytes,
        .header_ms = (unsigned)c->http_header_seconds * 1000,
        .body_idle_ms = (unsigned)c->http_body_idle_seconds * 1000,
        .keepalive_ms = (unsigned)c->http_keepalive_seconds * 1000,
        .allowed_origins = c->http_allowed_origins,
        .trusted_proxies = c->http_trusted_proxies,
    };
    s->http = http_server_new(&options);
    TRY(listen_on(s, c->http_listen, &http_conn_ops, s->http, http_refusal(), &s->http_listener));
    s->ops.http = s->http_listener;
    return OK;
}

/** What clients are told: as set, else the listener's address; a wildcard address says nothing to
 * them, so the host's name stands in for it. */
static err_t advertise(struct server *s)
{
    const char *address = listener_address(s->kafka_listener);
    if (*s->config->kafka_advertise != '\0')
        return OK;
    if (strncmp(address, "0.0.0.0:", 8) != 0 && strncmp(address, "[::]:", 5) != 0)
        return kafka_door_set_advertise(s->kafka, address);
    char host[HOST_NAME_BYTES] = "";
    (void)gethostname(host, sizeof(host) - 1);
    CLEANUP(xfree_ptr) char *named = xasprintf("%s%s", host, strrchr(address, ':'));
    LOG_WARN("kafka_advertise_guessed", F("advertise", named),
             F("next", "set kafka.advertise where clients know another name"));
    return kafka_door_set_advertise(s->kafka, named);
}

static err_t open_kafka(struct server *s)
{
    const struct config *c = s->config;
    const struct kafka_options options = {
        .log = s->log,
        .writer = s->writer,
        .workers = s->workers,
        .clock = clock_real(),
        .cluster_id = catalog_cluster_id(s->catalog),
        .advertise = *c->kafka_advertise != '\0' ? c->kafka_advertise : NULL,
        .auto_create_topics = c->kafka_auto_create_topics,
        .default_partitions = (unsigned)c->kafka_default_partitions,
    };
    TRY(kafka_door_new(&options, &s->kafka));
    TRY(listen_on(s, c->kafka_listen, &kafka_conn_ops, s->kafka, (struct slice){0},
                  &s->kafka_listener));
    s->ops.kafka = s->kafka_listener;
    return advertise(s);
}

/** One core is left to the commit threads, the kernel's part of the network and the neighbours:
 * with as many reactors as cores, groups get smaller and threads wait for each other (64
 * connections with single events, two cores: two reactors answer 74,000 requests/s, one 89,000). */
static unsigned reactor_count(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores <= 2 ? 1 : (unsigned)MIN(cores - 1, REACTORS_MAX);
}

static err_t open_doors(struct server *s)
{
    const struct config *c = s->config;
    TRY(reactor_group_start(reactor_count(), &s->reactors));
    s->ops = (struct ops){
        .config = c,
        .access = s->access,
        .log = s->log,
        .writer = s->writer,
        .cdc = s->cdc,
        .schedule = s->schedule,
        .cluster_id = catalog_cluster_id(s->catalog),
        .started_us = clock_wall_us(clock_real()),
    };
    if (!config_listener_off(c->kafka_listen))
        TRY(open_kafka(s));
    if (!config_listener_off(c->http_listen))
        TRY(open_http(s));
    return OK;
}

static void say_ready(struct server *s)
{
    const char *http = s->http_listener != NULL ? listener_address(s->http_listener) : "off";
    const char *kafka = s->kafka_listener != NULL ? listener_address(s->kafka_listener) : "off";
    CLEANUP(xfree_ptr) char *where = xasprintf("http %s, kafka %s", http, kafka);
    lockfile_describe(s->lock_fd, where);
    printf("ready http=%s kafka=%s data=%s\n", http, kafka, s->config->data_dir);
    fflush(stdout);
}

/* The end -------------------------------------------------------------------------------------- */

static unsigned open_connections(const struct server *s)
{
    unsigned count = 0;
    if (s->http_listener != NULL)
        count += listener_connections(s->http_listener);
    if (s->kafka_listener != NULL)
        count += listener_connections(s->kafka_listener);
    return count;
}

/** Requests in flight are answered; then what is left is closed. */
static void close_doors(struct server *s)
{
    struct listener *const listeners[] = {s->http_listener, s->kafka_listener};
    for (size_t i = 0; i < ARRAY_LEN(listeners); i++)
        if (listeners[i] != NULL)
            listener_stop(listeners[i]);
    if (s->http != NULL) {
        http_server_drain(s->http);
        query_drain(s->query);
    }
    if (s->kafka != NULL)
        kafka_door_drain(s->kafka);
    for (int ms = 0; ms < DRAIN_MS && open_connections(s) > 0; ms += DRAIN_STEP_MS)
        clock_pause_ms(DRAIN_STEP_MS);
    if (open_connections(s) > 0)
        LOG_WARN("drain_cut", F("connections", (int64_t)open_connections(s)),
                 F("next", "closing them"));
    for (size_t i = 0; i < ARRAY_LEN(listeners); i++)
        if (listeners[i] != NULL)
            listener_close_all(listeners[i]);
}

static void stop(struct server *s)
{
    close_doors(s);
    cdc_end_waits(s->cdc);
    query_stop(s->query);
    if (s->writer_running)
        writer_stop(s->writer);
    schedule_stop(s->schedule);
    atomic_store(&s->reload.stop, true);
    cdc_stop(s->cdc);
    store_close(s->store);
    worker_pool_free(s->workers);
    reactor_group_stop(s->reactors);
    if (s->http_listener != NULL)
        listener_free(s->http_listener);
    if (s->kafka_listener != NULL)
        listener_free(s->kafka_listener);
    if (s->http != NULL)
        http_server_free(s->http);
    kafka_door_free(s->kafka);
    ingest_free(s->ingest);
    query_free(s->query);
    if (s->log != NULL)
        log_close(s->log);
    if (s->writer != NULL)
        writer_free(s->writer);
    if (s->access != NULL)
        access_free(s->access);
    catalog_close(s->catalog);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
}

/* The whole ------------------------------------------------------------------------------------ */

/** Room for the connections of both listeners and for segments. */
static void raise_open_files(const struct config *c)
{
    rlim_t wanted = (rlim_t)c->http_max_connections * 2 + OPEN_FILES_OWN;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = limit.rlim_max == RLIM_INFINITY ? wanted : MIN(limit.rlim_max, wanted);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur < wanted)
        LOG_INFO("open_files_limited", F("limit", (int64_t)limit.rlim_cur),
                 F("wanted", (int64_t)wanted),
                 F("next", "connections beyond it are refused; raise it with ulimit -n"));
}

static void warn_about(const struct config *c)
{
    if (c->queue_fanout_ignored)
        LOG_INFO("setting_ignored", F("name", "USE_QUEUE_FANOUT"),
                 F("reason", "fan-out always reads the log"));
    if (*c->auth_token == '\0' && c->key_count == 0 && !c->auth_allow_unauthenticated)
        LOG_WARN("authentication_not_configured",
                 F("next", "/ingest answers 500 until auth.token or keys are set"));
}

static err_t start(struct server *s)
{
    TRY(open_storage(s));
    return open_doors(s);
}

err_t server_run(const struct config *config)
{
    signals_prepare();
    logger_configure((enum log_level)config->log_level, (enum log_format)config->log_format);
    raise_open_files(config);
    warn_about(config);
    struct server s = {.config = config, .lock_fd = -1};
    err_t err = start(&s);
    char text[sizeof(((struct err_detail *)NULL)->text)];
    snprintf(text, sizeof(text), "%s", err_text(err));
    if (err == OK) {
        say_ready(&s);
        int number = signals_wait();
        LOG_INFO("stopping", F("signal", sigabbrev_np(number)));
    }
    stop(&s);
    return err == OK ? OK : err_fail(err, "%s", text);
}
