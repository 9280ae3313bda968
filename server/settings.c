/*
 * server/settings.c: the table of settings. A row here, a field in struct config and a use of that
 * field are all that a new setting needs; docs/config.md is made from this table.
 */
#include <assert.h>

#include "base/limits.h"
#include "base/logger.h"
#include "server/config.h"

/* clang-format off */
#define AT(name) offsetof(struct config, name)
#define TEXT(k, f, ...) {.key = (k), .type = SETTING_STRING, .field = AT(f), __VA_ARGS__}
#define LIST(k, f, ...) {.key = (k), .type = SETTING_LIST, .field = AT(f), __VA_ARGS__}
#define INT(k, f, ...) {.key = (k), .type = SETTING_INT, .field = AT(f), __VA_ARGS__}
#define BYTES(k, f, ...) {.key = (k), .type = SETTING_BYTES, .field = AT(f), __VA_ARGS__}
#define BOOL(k, f, ...) {.key = (k), .type = SETTING_BOOL, .field = AT(f), __VA_ARGS__}
#define ENUM(k, f, ...) {.key = (k), .type = SETTING_ENUM, .field = AT(f), __VA_ARGS__}

const struct setting config_settings[] = {
    TEXT("data.dir", data_dir, .env = "SPILLWAY_DATA", .default_text = "./data",
         .help = "Directory where everything lives; created when absent, its parent must exist"),
    TEXT("http.listen", http_listen, .env = "SPILLWAY_HTTP", .default_text = "127.0.0.1:8080",
         .help = "Address and port of the HTTP listener; `off` disables it, port 0 takes a free one"),
    TEXT("kafka.listen", kafka_listen, .env = "SPILLWAY_KAFKA", .default_text = "127.0.0.1:9092",
         .help = "Address and port of the Kafka listener; `off` disables it, port 0 takes a free one"),
    TEXT("kafka.advertise", kafka_advertise, .default_text = "",
         .help = "host:port that Kafka clients are told to connect to; empty: the listen address"),
    BOOL("kafka.auto_create_topics", kafka_auto_create_topics, .default_text = "true",
         .help = "Create a topic when a client asks for one that does not exist"),
    INT("kafka.default_partitions", kafka_default_partitions, .default_text = "1",
        .min = 1, .max = LIMIT_SHARDS, .help = "Partitions of an automatically created topic"),
    BOOL("kafka.allow_unauthenticated", kafka_allow_unauthenticated, .default_text = "false",
         .help = "Allow a Kafka listener beyond loopback although its clients are not authenticated"),
    TEXT("auth.token", auth_token, .env = "AUTH_TOKEN", .default_text = "", .secret = true,
         .help = "The admin's bearer token"),
    TEXT("auth.default_namespace", auth_default_namespace, .env = "DEFAULT_NAMESPACE",
         .default_text = "default", .help = "Namespace of the admin's token and of webhooks"),
    BOOL("auth.allow_unauthenticated", auth_allow_unauthenticated,
         .env = "ALLOW_UNAUTHENTICATED_INGEST", .default_text = "false",
         .help = "Take events without a token while neither auth.token nor keys are set (development)"),
    LIST("http.allowed_origins", http_allowed_origins, .env = "ALLOWED_ORIGINS", .default_text = "",
         .help = "Origins that browsers may send authenticated requests from (CORS); `*.suffix` allowed"),
    LIST("http.trusted_proxies", http_trusted_proxies, .default_text = "loopback",
         .help = "Proxies whose X-Forwarded-For counts: addresses and networks; `loopback`: 127.0.0.0/8, ::1"),
    INT("limits.requests_per_minute", limits_requests_per_minute,
        .env = "RATE_LIMIT_REQUESTS_PER_MINUTE", .default_text = "1000", .min = 0, .max = 1000000000,
        .help = "Requests a minute per API key, else per client address; 0: no limit"),
    INT("limits.events_per_minute", limits_events_per_minute,
        .env = "RATE_LIMIT_EVENTS_PER_MINUTE", .default_text = "100000", .min = 0,
        .max = 1000000000, .help = "Events a minute, likewise; 0: no limit"),
    BYTES("limits.body_bytes", limits_body_bytes, .env = "MAX_INGEST_BODY_SIZE",
          .default_text = "1 MiB", .min = 1, .max = (int64_t)LIMIT_BODY_BYTES_MAX,
          .help = "Largest request body, before and after decompression"),
    INT("limits.batch_events", limits_batch_events, .default_text = "1000", .min = 1, .max = 100000,
        .help = "Events in one {\"events\":[…]} or array; NDJSON is bounded by its bytes alone"),
    BYTES("limits.event_bytes", limits_event_bytes, .default_text = "10240", .min = 64,
          .max = (int64_t)LIMIT_BODY_BYTES_MAX, .help = "Largest single event"),
    TEXT("webhooks.github", webhooks_github, .env = "GITHUB_WEBHOOK_SECRET", .default_text = "",
         .secret = true,
         .help = "GitHub's webhook secret; several, separated by blanks, during rotation"),
    TEXT("webhooks.stripe", webhooks_stripe, .env = "STRIPE_WEBHOOK_SECRET", .default_text = "",
         .secret = true, .help = "Stripe's webhook secret; several, separated by blanks, during rotation"),
    TEXT("env", env, .env = "ENVIRONMENT", .default_text = "production",
         .help = "Name of the environment, shown by /health"),
    ENUM("log.level", log_level, .env = "LOG_LEVEL", .default_text = "info",
         .choices = {"debug", "info", "warn", "error"}, .help = "Least level that is logged"),
    ENUM("log.format", log_format, .default_text = "text", .choices = {"text", "json"},
         .help = "Lines on standard error: `text` is logfmt"),
    ENUM("storage.sync", storage_sync, .default_text = "always", .choices = {"always"},
         .help = "When an append is synced: always before it is acknowledged"),
    BYTES("storage.segment_bytes", storage_segment_bytes, .default_text = "256 MiB",
          .min = (int64_t)LIMIT_SEGMENT_MIN_BYTES, .max = INT64_C(1) << 30,
          .help = "Size at which a segment is sealed; a shard's first segments are smaller"),
    ENUM("storage.compression", storage_compression, .default_text = "lz4",
         .choices = {"lz4", "none"}, .help = "Compression of batches that the server builds"),
    TEXT("store.url", store_url, .default_text = "",
         .help = "Directory of deltas and snapshots; empty: `store` in the data directory"),
    INT("cdc.delta_seconds", cdc_delta_seconds, .default_text = "300", .min = 0, .max = 86400,
        .help = "Age at which changes of collections are written to the store; 0: by size and on demand alone"),
    BYTES("cdc.delta_bytes", cdc_delta_bytes, .default_text = "16 MiB", .min = INT64_C(1) << 16,
          .max = INT64_C(1) << 28, .help = "Memory that they take at which they are written earlier"),
    TEXT("snapshot.daily", snapshot_daily, .default_text = "00:10",
         .help = "Time of day (UTC, HH:MM) of the daily snapshots and of cleanup; `off`: none by the clock"),
    INT("snapshot.monthly", snapshot_monthly, .default_text = "1", .min = 0, .max = 28,
        .help = "Day of the month of the monthly snapshots, at that time; 0: none"),
    INT("snapshot.daily_keep", snapshot_daily_keep, .default_text = "30", .min = 0, .max = 100000,
        .help = "Daily snapshots that cleanup keeps of a collection, besides what pitr.window_days needs"),
    INT("snapshot.monthly_keep", snapshot_monthly_keep, .default_text = "12", .min = 0,
        .max = 100000, .help = "Monthly ones, likewise"),
    INT("pitr.window_days", pitr_window_days, .default_text = "30", .min = 0, .max = 36500,
        .help = "Days back to which every moment and every change can be restored"),
    INT("compact.every_minutes", compact_every_minutes, .default_text = "60", .min = 0,
        .max = 525600, .help = "Time between compactions of the store's files; 0: on demand alone"),
    INT("drill.every_hours", drill_every_hours, .default_text = "24", .min = 0, .max = 8760,
        .help = "Age of a collection's last drill at which the next one is made; 0: on demand alone"),
    INT("writer.max_pending", writer_max_pending, .default_text = "100", .min = 1, .max = 10000,
        .help = "Sealed batches waiting on a shard above which it is under pressure"),
    BYTES("writer.max_pending_bytes", writer_max_pending_bytes, .default_text = "16 MiB",
          .min = (int64_t)LIMIT_BATCH_BYTES, .max = INT64_C(1) << 30,
          .help = "The same in bytes"),
    INT("writer.key_hours", writer_key_hours, .default_text = "24", .min = 1, .max = 720,
        .help = "Hours for which request keys and delivery ids are remembered"),
    INT("writer.max_keys", writer_max_keys, .default_text = "1000000", .min = 1000, .max = 100000000,
        .help = "Request keys remembered per stream; beyond it the oldest leave early"),
    INT("http.max_connections", http_max_connections, .default_text = "10000", .min = 1,
        .max = 1000000, .help = "Open connections per listener; more are closed at once"),
    BYTES("http.header_bytes", http_header_bytes, .default_text = "64 KiB", .min = 1024,
          .max = INT64_C(1) << 20, .help = "Request line and headers of one request; above: 431"),
    INT("http.header_seconds", http_header_seconds, .default_text = "10", .min = 1, .max = 3600,
        .help = "Time for the headers of one request; above: 408"),
    INT("http.body_idle_seconds", http_body_idle_seconds, .default_text = "30", .min = 1,
        .max = 3600, .help = "Time between two pieces of a body; above: 408"),
    INT("http.keepalive_seconds", http_keepalive_seconds, .default_text = "75", .min = 1,
        .max = 86400, .help = "Idle time between two requests of a connection; above: closed"),
};
/* clang-format on */
const size_t config_setting_count = ARRAY_LEN(config_settings);

/* The order of the choices is the order of these values. */
static_assert(LOG_LEVEL_DEBUG == 0 && LOG_LEVEL_INFO == 1 && LOG_LEVEL_WARN == 2 &&
                  LOG_LEVEL_ERROR == 3,
              "log.level's choices follow enum log_level");
static_assert(LOG_FORMAT_TEXT == 0 && LOG_FORMAT_JSON == 1, "log.format's follow enum log_format");
static_assert(CONFIG_COMPRESSION_LZ4 == 0 && CONFIG_COMPRESSION_NONE == 1,
              "storage.compression's follow enum config_compression");
