/*
 * server/config.c: reads the settings of server/settings.c from their sources.
 *
 * The file is INI, read by inih through a reader of our own that counts lines, refuses those that
 * inih would cut (it has a fixed buffer) and takes leading blanks away, so that an indented line is
 * never the continuation of the one above.
 *
 * Every value remembers where it came from; a later source overrides an earlier one, and the same
 * key twice in one file is an error.
 */
#include "server/config.h"

#include <errno.h>
#include <ini.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/limits.h"
#include "base/suggest.h"
#include "net/http.h"
#include "server/schedule.h"

#define CONFIG_FILE_MAX MIB(1)
#define CONFIG_FILE_NAME "spillway.conf"
#define KEYS_PREFIX "keys."
#define KEYS_ENV "NAMESPACE_API_KEYS"

/* Values --------------------------------------------------------------------------------------- */

static char **text_field(struct config *c, const struct setting *row)
{
    return (char **)(void *)((char *)c + row->field);
}

static int64_t *int_field(struct config *c, const struct setting *row)
{
    return (int64_t *)(void *)((char *)c + row->field);
}

static bool *bool_field(struct config *c, const struct setting *row)
{
    return (bool *)(void *)((char *)c + row->field);
}

/** A number with nothing but blanks around; false when it is none or does not fit. */
static bool parse_int(const char *text, int64_t *ret_value, const char **ret_rest)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (end == text || errno != 0)
        return false;
    while (*end == ' ')
        end++;
    *ret_value = value;
    *ret_rest = end;
    return true;
}

static bool parse_bytes(const char *text, int64_t *ret_value)
{
    static const struct {
        const char *name;
        int64_t factor;
    } units[] = {{"", 1},        {"B", 1},         {"K", 1 << 10}, {"KiB", 1 << 10},
                 {"M", 1 << 20}, {"MiB", 1 << 20}, {"G", 1 << 30}, {"GiB", 1 << 30}};
    const char *unit;
    int64_t number;
    if (!parse_int(text, &number, &unit))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (strcasecmp(unit, units[i].name) == 0)
            return !__builtin_mul_overflow(number, units[i].factor, ret_value);
    return false;
}

static bool parse_bool(const char *text, bool *ret_value)
{
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (strcasecmp(text, words[i]) == 0) {
            *ret_value = i % 2 == 1;
            return true;
        }
    }
    return false;
}

static err_t set_number(struct config *c, const struct setting *row, const char *text,
                        const char *where)
{
    int64_t value;
    const char *rest = "";
    bool bytes = row->type == SETTING_BYTES;
    bool good = bytes ? parse_bytes(text, &value) : parse_int(text, &value, &rest);
    if (!good || *rest != '\0' || value < row->min || value > row->max)
        return err_fail(ERR_INVALID_CONFIG, "%s: %s: \"%s\" is not a number of %s%lld to %lld%s",
                        where, row->key, text, bytes ? "bytes from " : "from ", (long long)row->min,
                        (long long)row->max, bytes ? " (KiB, MiB and GiB are understood)" : "");
    *int_field(c, row) = value;
    return OK;
}

static err_t set_enum(struct config *c, const struct setting *row, const char *text,
                      const char *where)
{
    CLEANUP(buf_release) struct buf allowed = BUF_INIT;
    for (int i = 0; i < SETTING_CHOICES_MAX && row->choices[i] != NULL; i++) {
        if (strcasecmp(text, row->choices[i]) == 0) {
            *int_field(c, row) = i;
            return OK;
        }
        buf_printf(&allowed, "%s%s", i == 0 ? "" : ", ", row->choices[i]);
    }
    return err_fail(ERR_INVALID_CONFIG, "%s: %s: \"%s\" is not one of: %.*s", where, row->key, text,
                    (int)allowed.len, allowed.data);
}

static err_t set_value(struct config *c, const struct setting *row, const char *text,
                       const char *where)
{
    switch (row->type) {
    case SETTING_STRING:
    case SETTING_LIST: {
        char **field = text_field(c, row);
        free(*field);
        *field = xstrdup(text);
        return OK;
    }
    case SETTING_INT:
    case SETTING_BYTES:
        return set_number(c, row, text, where);
    case SETTING_BOOL:
        if (parse_bool(text, bool_field(c, row)))
            return OK;
        return err_fail(ERR_INVALID_CONFIG, "%s: %s: \"%s\" is not one of: true, false", where,
                        row->key, text);
    case SETTING_ENUM:
        return set_enum(c, row, text, where);
    }
    return err_fail(ERR_INTERNAL, "%s has no type", row->key);
}

/** Sets a row and notes where the value came from. */
static err_t set_row(struct config *c, const struct setting *row, const char *text,
                     enum config_source source, const char *where)
{
    TRY(set_value(c, row, text, where));
    struct config_origin *origin = &c->origins[row - config_settings];
    free(origin->where);
    *origin = (struct config_origin){source, xstrdup(where)};
    return OK;
}

static const struct setting *find_row(const char *key)
{
    for (size_t i = 0; i < config_setting_count; i++)
        if (strcmp(config_settings[i].key, key) == 0)
            return &config_settings[i];
    return NULL;
}

static err_t unknown_key(const char *key, const char *where)
{
    const struct setting *nearest = NULL;
    unsigned best = UINT32_MAX;
    for (size_t i = 0; i < config_setting_count; i++) {
        unsigned distance = suggest_distance(key, config_settings[i].key);
        if (distance < best && suggest_is_near(key, config_settings[i].key)) {
            best = distance;
            nearest = &config_settings[i];
        }
    }
    return err_fail(ERR_INVALID_CONFIG,
                    "%s: unknown setting \"%s\"%s%s%s; `spillway serve --print-config` lists all",
                    where, key, nearest != NULL ? " (did you mean \"" : "",
                    nearest != NULL ? nearest->key : "", nearest != NULL ? "\"?)" : "");
}

/* Namespace keys ------------------------------------------------------------------------------- */

static void drop_keys(struct config *c)
{
    for (size_t i = 0; i < c->key_count; i++) {
        free(c->keys[i].token);
        free(c->keys[i].namespace_name);
    }
    free(c->keys);
    c->keys = NULL;
    c->key_count = 0;
}

/** Never shows the token: it is a secret. */
static err_t add_key(struct config *c, const char *token, const char *namespace_name,
                     const char *where)
{
    if (*token == '\0' || strncmp(token, "ns_", 3) != 0)
        return err_fail(ERR_INVALID_CONFIG,
                        "%s: a namespace key has the form ns_<namespace>_<secret>", where);
    if (*namespace_name == '\0')
        return err_fail(ERR_INVALID_CONFIG, "%s: a namespace key has no namespace", where);
    for (size_t i = 0; i < c->key_count; i++)
        if (strcmp(c->keys[i].token, token) == 0)
            return err_fail(ERR_INVALID_CONFIG, "%s: a namespace key is set twice", where);
    c->keys = xrealloc(c->keys, (c->key_count + 1) * sizeof(*c->keys));
    c->keys[c->key_count++] = (struct config_key){xstrdup(token), xstrdup(namespace_name)};
    free(c->keys_origin);
    c->keys_origin = xstrdup(where);
    return OK;
}

/** What access_keys_from_json hands over. */
struct key_sink {
    struct config *config;
    err_t err;
};

static void on_json_key(void *arg, struct access_key key)
{
    struct key_sink *sink = arg;
    if (sink->err == OK)
        sink->err = add_key(sink->config, key.token, key.namespace_name, KEYS_ENV);
}

/** The variable's keys replace those of the file. */
static err_t read_keys_json(struct config *c, const char *text)
{
    struct key_sink sink = {c, OK};
    drop_keys(c);
    err_t err = access_keys_from_json(text, on_json_key, &sink);
    if (err != OK)
        return err_fail(ERR_INVALID_CONFIG, "%s: %s", KEYS_ENV, err_text(err));
    return sink.err;
}

/* The file ------------------------------------------------------------------------------------- */

struct file_reader {
    struct config *config;
    const char *path;
    const char *at;
    const char *end;
    unsigned line;
    err_t err;
    bool in_data_dir; /* the file that the data directory brought along */
};

static err_t file_fail(struct file_reader *f, const char *what)
{
    f->err = err_fail(ERR_INVALID_CONFIG, "%s:%u: %s", f->path, f->line, what);
    return f->err;
}

/** inih asks for the next line. NULL ends the parse. */
static char *read_line(char *out, int size, void *arg)
{
    struct file_reader *f = arg;
    if (f->err != OK || f->at == f->end)
        return NULL;
    f->line++;
    const char *newline = memchr(f->at, '\n', (size_t)(f->end - f->at));
    const char *line_end = newline == NULL ? f->end : newline;
    const char *text = f->at;
    while (text < line_end && (*text == ' ' || *text == '\t'))
        text++;
    size_t len = (size_t)(line_end - text);
    f->at = newline == NULL ? f->end : newline + 1;
    if ((size_t)(line_end - text) + 2 > (size_t)size) {
        (void)file_fail(f, "the line is too long (at most 198 bytes)");
        return NULL;
    }
    if (memchr(text, '\0', len) != NULL) {
        (void)file_fail(f, "the line holds a NUL byte");
        return NULL;
    }
    memcpy(out, text, len);
    memcpy(out + len, "\n", 2);
    return out;
}

static err_t file_setting(struct file_reader *f, const char *key, const char *value,
                          const char *where)
{
    struct config *c = f->config;
    if (strncmp(key, KEYS_PREFIX, strlen(KEYS_PREFIX)) == 0)
        return add_key(c, key + strlen(KEYS_PREFIX), value, where);
    const struct setting *row = find_row(key);
    if (row == NULL)
        return unknown_key(key, where);
    const struct config_origin *origin = &c->origins[row - config_settings];
    if (origin->source == CONFIG_FILE)
        return err_fail(ERR_INVALID_CONFIG, "%s: %s is set twice (first at %s)", where, key,
                        origin->where);
    if (f->in_data_dir && strcmp(key, "data.dir") == 0)
        return err_fail(ERR_INVALID_CONFIG,
                        "%s: data.dir cannot be set by the file in the data directory itself",
                        where);
    return set_row(c, row, value, CONFIG_FILE, where);
}

static int on_setting(void *arg, const char *section, const char *name, const char *value)
{
    struct file_reader *f = arg;
    if (f->err != OK)
        return 0;
    CLEANUP(xfree_ptr)
    char *key = *section == '\0' ? xstrdup(name) : xasprintf("%s.%s", section, name);
    CLEANUP(xfree_ptr) char *where = xasprintf("%s:%u", f->path, f->line);
    f->err = file_setting(f, key, value, where);
    return f->err == OK;
}

static err_t read_file(struct config *c, const char *path, bool in_data_dir)
{
    CLEANUP(xfree_ptr) char *data = NULL;
    size_t len;
    if (in_data_dir && !io_exists(io_posix(), path))
        return OK;
    err_t err = io_read_file(io_posix(), path, CONFIG_FILE_MAX, &data, &len);
    if (err != OK)
        return err_fail(ERR_INVALID_CONFIG, "the configuration file cannot be read: %s",
                        err_text(err));
    struct file_reader f = {c, path, data, data + len, 0, OK, in_data_dir};
    int bad_line = ini_parse_stream(read_line, &f, on_setting, &f);
    /* inih goes on after a line that it does not understand; the first bad line is the one to name.
     */
    if (bad_line != 0 && (f.err == OK || (unsigned)bad_line < f.line))
        f.err = err_fail(ERR_INVALID_CONFIG, "%s:%d: expected [section] or name = value", path,
                         bad_line);
    return f.err;
}

/* Environment and flags ------------------------------------------------------------------------ */

/** The value of a variable; NULL when unset or empty. */
static const char *find_env(const char *const *environ_list, const char *name)
{
    size_t len = strlen(name);
    for (; environ_list != NULL && *environ_list != NULL; environ_list++) {
        const char *entry = *environ_list;
        if (strncmp(entry, name, len) == 0 && entry[len] == '=')
            return entry[len + 1] == '\0' ? NULL : entry + len + 1;
    }
    return NULL;
}

static err_t read_environment(struct config *c, const char *const *environ_list)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *row = &config_settings[i];
        const char *value = row->env == NULL ? NULL : find_env(environ_list, row->env);
        if (value != NULL)
            TRY(set_row(c, row, value, CONFIG_ENV, row->env));
    }
    const char *keys = find_env(environ_list, KEYS_ENV);
    if (keys != NULL)
        TRY(read_keys_json(c, keys));
    c->queue_fanout_ignored = find_env(environ_list, "USE_QUEUE_FANOUT") != NULL;
    return OK;
}

static err_t read_flags(struct config *c, const struct config_flag *flags, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct config_flag *flag = &flags[i];
        if (strncmp(flag->key, KEYS_PREFIX, strlen(KEYS_PREFIX)) == 0) {
            TRY(add_key(c, flag->key + strlen(KEYS_PREFIX), flag->value, flag->flag));
            continue;
        }
        const struct setting *row = find_row(flag->key);
        if (row == NULL)
            return unknown_key(flag->key, flag->flag);
        TRY(set_row(c, row, flag->value, CONFIG_FLAG, flag->flag));
    }
    return OK;
}

/** Where the data directory is, before the file in it can be read. */
static const char *early_data_dir(const struct config *c, const struct config_sources *s)
{
    for (size_t i = s->flag_count; i > 0; i--)
        if (strcmp(s->flags[i - 1].key, "data.dir") == 0)
            return s->flags[i - 1].value;
    const char *from_env = find_env(s->env, "SPILLWAY_DATA");
    return from_env != NULL ? from_env : c->data_dir;
}

static err_t read_sources(struct config *c, const struct config_sources *s)
{
    for (size_t i = 0; i < config_setting_count; i++)
        TRY(set_row(c, &config_settings[i], config_settings[i].default_text, CONFIG_DEFAULT,
                    "default"));
    CLEANUP(xfree_ptr) char *beside = xasprintf("%s/%s", early_data_dir(c, s), CONFIG_FILE_NAME);
    TRY(read_file(c, s->file != NULL ? s->file : beside, s->file == NULL));
    TRY(read_environment(c, s->env));
    if (s->dev) {
        static const struct config_flag dev[] = {
            {"auth.allow_unauthenticated", "true", "--dev"},
            {"limits.requests_per_minute", "0", "--dev"},
            {"limits.events_per_minute", "0", "--dev"},
        };
        TRY(read_flags(c, dev, ARRAY_LEN(dev)));
        c->dev = true;
    }
    return read_flags(c, s->flags, s->flag_count);
}

/* Checks that look at several settings --------------------------------------------------------- */

bool config_listener_off(const char *address)
{
    ASSERT(address != NULL);
    return strcasecmp(address, "off") == 0;
}

bool config_address_is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strncmp(address, "localhost:", 10) == 0 ||
           strncmp(address, "[::1]:", 6) == 0;
}

static const char *where_of(const struct config *c, const char *key)
{
    return c->origins[find_row(key) - config_settings].where;
}

static err_t check_address(const struct config *c, const char *key, const char *address)
{
    const char *colon = strrchr(address, ':');
    const char *rest = NULL;
    int64_t port;
    bool good = colon != NULL && colon != address && parse_int(colon + 1, &port, &rest) &&
                *rest == '\0' && colon[1] >= '0' && colon[1] <= '9' && port >= 0 && port <= 65535;
    if (good && *address != '[' && memchr(address, ':', (size_t)(colon - address)) != NULL)
        good = false;
    if (!good)
        return err_fail(ERR_INVALID_CONFIG, "%s: %s: \"%s\" is not host:port, [ipv6]:port or off",
                        where_of(c, key), key, address);
    if (c->dev && !config_address_is_loopback(address))
        return err_fail(ERR_INVALID_CONFIG, "%s: %s: --dev listens on loopback only, not on \"%s\"",
                        where_of(c, key), key, address);
    return OK;
}

err_t config_access(const struct config *c, struct access **ret_access)
{
    CLEANUP(xfree_ptr) struct access_key *keys = xcalloc(c->key_count + 1, sizeof(*keys));
    for (size_t i = 0; i < c->key_count; i++)
        keys[i] = (struct access_key){c->keys[i].token, c->keys[i].namespace_name};
    const struct access_options options = {
        .clock = clock_real(),
        .admin_token = c->auth_token,
        .default_namespace = c->auth_default_namespace,
        .keys = keys,
        .key_count = c->key_count,
        .allow_unauthenticated = c->auth_allow_unauthenticated,
        .requests_per_minute = (uint32_t)c->limits_requests_per_minute,
        .events_per_minute = (uint32_t)c->limits_events_per_minute,
    };
    return access_new(&options, ret_access);
}

/** Keys that could never be used are found where they are used. */
static err_t check_access(const struct config *c)
{
    struct access *made;
    err_t err = config_access(c, &made);
    if (err == OK)
        access_free(made);
    else if (c->keys_origin != NULL)
        return err_fail(ERR_INVALID_CONFIG, "%s: keys: %s", c->keys_origin, err_text(err));
    return err;
}

static err_t check(const struct config *c)
{
    bool http_off = config_listener_off(c->http_listen);
    bool kafka_off = config_listener_off(c->kafka_listen);
    if (http_off && kafka_off)
        return err_fail(ERR_INVALID_CONFIG, "http.listen and kafka.listen are both off");
    if (!http_off)
        TRY(check_address(c, "http.listen", c->http_listen));
    if (!kafka_off)
        TRY(check_address(c, "kafka.listen", c->kafka_listen));
    if (!kafka_off && !c->kafka_allow_unauthenticated &&
        !config_address_is_loopback(c->kafka_listen))
        return err_fail(ERR_INVALID_CONFIG,
                        "%s: kafka.listen: \"%s\" is beyond loopback and Kafka clients are not "
                        "authenticated; set kafka.allow_unauthenticated = true to allow it",
                        where_of(c, "kafka.listen"), c->kafka_listen);
    if (*c->kafka_advertise != '\0')
        TRY(check_address(c, "kafka.advertise", c->kafka_advertise));
    if (!access_namespace_valid(slice_of(c->auth_default_namespace)))
        return err_fail(ERR_INVALID_CONFIG,
                        "%s: auth.default_namespace: \"%s\" is not 1 to 64 of a-z, 0-9, _ and -",
                        where_of(c, "auth.default_namespace"), c->auth_default_namespace);
    if (!http_proxies_valid(c->http_trusted_proxies))
        return err_fail(ERR_INVALID_CONFIG,
                        "%s: http.trusted_proxies: \"%s\" is no list of addresses and networks "
                        "(10.0.0.1, fd00::/8, loopback)",
                        where_of(c, "http.trusted_proxies"), c->http_trusted_proxies);
    if (*c->data_dir == '\0')
        return err_fail(ERR_INVALID_CONFIG, "%s: data.dir is empty", where_of(c, "data.dir"));
    int minutes;
    if (!schedule_parse_time(c->snapshot_daily, &minutes))
        return err_fail(ERR_INVALID_CONFIG,
                        "%s: snapshot.daily: \"%.40s\" is no time of day in UTC (HH:MM, 00:00 to "
                        "23:59) and not off",
                        where_of(c, "snapshot.daily"), c->snapshot_daily);
    return check_access(c);
}

err_t config_load(const struct config_sources *sources, struct config *ret_config)
{
    struct config c = {0};
    c.origins = xcalloc(config_setting_count, sizeof(*c.origins));
    err_t err = read_sources(&c, sources);
    if (err == OK && !sources->only_look)
        err = check(&c);
    if (err != OK) {
        config_release(&c);
        return err;
    }
    *ret_config = c;
    return OK;
}

void config_release(struct config *c)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *row = &config_settings[i];
        if (row->type == SETTING_STRING || row->type == SETTING_LIST)
            free(*text_field(c, row));
        if (c->origins != NULL)
            free(c->origins[i].where);
    }
    free(c->origins);
    free(c->keys_origin);
    drop_keys(c);
    *c = (struct config){0};
}
