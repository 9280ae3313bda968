/*
 * server/config.h: the settings: one table (server/settings.c), read from defaults, a file, the
 * environment and flags, in rising order of precedence.
 *
 * A struct config is filled by config_load, then only read: any thread.
 */
#ifndef SERVER_CONFIG_H
#define SERVER_CONFIG_H

#include "access/access.h"
#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

/** A namespace key: `token` writes and reads only `namespace_name`. */
struct config_key {
    char *token;
    char *namespace_name;
};

enum config_compression { CONFIG_COMPRESSION_LZ4, CONFIG_COMPRESSION_NONE };

/** Every setting's value. Texts are owned by the struct and never NULL; "" means not set. */
struct config {
    char *data_dir;
    char *http_listen;
    char *kafka_listen;
    char *kafka_advertise;
    bool kafka_auto_create_topics;
    int64_t kafka_default_partitions;
    bool kafka_allow_unauthenticated;
    char *auth_token;
    char *auth_default_namespace;
    bool auth_allow_unauthenticated;
    char *http_allowed_origins;
    char *http_trusted_proxies;
    int64_t limits_requests_per_minute;
    int64_t limits_events_per_minute;
    int64_t limits_body_bytes;
    int64_t limits_batch_events;
    int64_t limits_event_bytes;
    char *webhooks_github;
    char *webhooks_stripe;
    char *env;
    int64_t log_level;  /* enum log_level */
    int64_t log_format; /* enum log_format */
    int64_t storage_sync;
    int64_t storage_segment_bytes;
    int64_t storage_compression; /* enum config_compression */
    char *store_url;             /* "": <data>/store */
    int64_t cdc_delta_seconds;
    int64_t cdc_delta_bytes;
    char *snapshot_daily; /* server/schedule.h reads it */
    int64_t snapshot_monthly;
    int64_t snapshot_daily_keep;
    int64_t snapshot_monthly_keep;
    int64_t pitr_window_days;
    int64_t compact_every_minutes;
    int64_t drill_every_hours;
    int64_t writer_max_pending;
    int64_t writer_max_pending_bytes;
    int64_t writer_key_hours;
    int64_t writer_max_keys;
    int64_t http_max_connections;
    int64_t http_header_bytes;
    int64_t http_header_seconds;
    int64_t http_body_idle_seconds;
    int64_t http_keepalive_seconds;

    struct config_key *keys; /* owned */
    size_t key_count;
    bool dev;                      /* serve --dev */
    bool queue_fanout_ignored;     /* USE_QUEUE_FANOUT is set; it has no effect */
    struct config_origin *origins; /* owned; one per row of the table */
    char *keys_origin;             /* where the keys came from, or NULL */
};

enum setting_type {
    SETTING_STRING,
    SETTING_LIST, /* text, comma-separated */
    SETTING_INT,
    SETTING_BYTES, /* a number with an optional KiB, MiB, GiB (K, M, G mean the same) */
    SETTING_BOOL,  /* true, false, 1, 0, yes, no, on, off */
    SETTING_ENUM,
};

#define SETTING_CHOICES_MAX 4

/** One row of the table. */
struct setting {
    const char *key; /* "section.name", or "name" without a section */
    const char *env; /* name of its environment variable, or NULL */
    enum setting_type type;
    size_t field; /* offset in struct config */
    const char *default_text;
    int64_t min; /* SETTING_INT and SETTING_BYTES */
    int64_t max;
    const char
        *choices[SETTING_CHOICES_MAX]; /* SETTING_ENUM: allowed values; the index is the value */
    bool secret;                       /* masked where it is shown */
    const char *help;
};

extern const struct setting config_settings[];
extern const size_t config_setting_count;

enum config_source { CONFIG_DEFAULT, CONFIG_FILE, CONFIG_ENV, CONFIG_FLAG };

struct config_origin {
    enum config_source source;
    char *where; /* "file:line", "NAME", "--flag"; NULL for defaults */
};

/** A setting given on the command line. */
struct config_flag {
    const char *key; /* of the table, or "keys.<token>" */
    const char *value;
    const char *flag; /* how it was written, for messages: "--http" */
};

struct config_sources {
    const char *file;       /* --config; NULL: spillway.conf in the data directory, if there */
    const char *const *env; /* "NAME=value" texts, NULL-terminated; NULL: none */
    const struct config_flag *flags;
    size_t flag_count;
    bool dev; /* --dev */
    /* For commands, which only look at settings: whether a server could start with these listeners
     * and keys is not checked, as some of them may be its flags. */
    bool only_look;
};

/** Reads all sources. ERR_INVALID_CONFIG with a sentence that names the place (file:line, NAME or
 * flag) and what is allowed. *ret_config is filled on success only; release with config_release. */
err_t config_load(const struct config_sources *sources, struct config *ret_config) MUST_USE;
void config_release(struct config *c);

/** The keys and rate limits of these settings. *ret_access is owned. */
err_t config_access(const struct config *c, struct access **ret_access) MUST_USE;

/** Every setting with its value and where it came from; secrets masked. Appends text. */
void config_print(const struct config *c, struct buf *out);
/** The same as one JSON object: {"http.listen":{"value":"…","from":"default"},…}. */
void config_print_json(const struct config *c, struct buf *out);
/** The table as docs/config.md. */
void config_print_markdown(struct buf *out);

/** Whether "host:port" names a loopback address (127.0.0.0/8, [::1], localhost). */
bool config_address_is_loopback(const char *address);
/** "off" */
bool config_listener_off(const char *address);

#endif
