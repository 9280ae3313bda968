/*
 * server/config_print.c: the settings as text: what `serve --print-config` shows and
 * docs/config.md.
 */
#include <string.h>

#include "server/config.h"

static const void *field_of(const struct config *c, const struct setting *row)
{
    return (const char *)c + row->field;
}

static void print_bytes(int64_t n, struct buf *out)
{
    if (n >= 1 << 30 && n % (1 << 30) == 0)
        buf_printf(out, "%lld GiB", (long long)(n >> 30));
    else if (n >= 1 << 20 && n % (1 << 20) == 0)
        buf_printf(out, "%lld MiB", (long long)(n >> 20));
    else if (n >= 1 << 10 && n % (1 << 10) == 0)
        buf_printf(out, "%lld KiB", (long long)(n >> 10));
    else
        buf_printf(out, "%lld", (long long)n);
}

static void print_value(const struct config *c, const struct setting *row, struct buf *out)
{
    const void *field = field_of(c, row);
    switch (row->type) {
    case SETTING_STRING:
    case SETTING_LIST: {
        const char *text = *(char *const *)field;
        buf_append_str(out, row->secret && *text != '\0' ? "****" : text);
        break;
    }
    case SETTING_INT:
        buf_printf(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case SETTING_BYTES:
        print_bytes(*(const int64_t *)field, out);
        break;
    case SETTING_BOOL:
        buf_append_str(out, *(const bool *)field ? "true" : "false");
        break;
    case SETTING_ENUM:
        buf_append_str(out, row->choices[*(const int64_t *)field]);
        break;
    }
}

static const char *source_prefix(enum config_source source)
{
    switch (source) {
    case CONFIG_ENV:
        return "env ";
    case CONFIG_FLAG:
        return "flag ";
    case CONFIG_DEFAULT:
    case CONFIG_FILE:
        break;
    }
    return "";
}

void config_print(const struct config *c, struct buf *out)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *row = &config_settings[i];
        const struct config_origin *origin = &c->origins[i];
        CLEANUP(buf_release) struct buf value = BUF_INIT;
        print_value(c, row, &value);
        buf_append_char(&value, '\0');
        buf_printf(out, "%-28s = %-22s ; %s%s\n", row->key, value.data,
                   source_prefix(origin->source), origin->where);
    }
    for (size_t i = 0; i < c->key_count; i++)
        buf_printf(out, "%-28s = %-22s ; %s\n", "keys.****", c->keys[i].namespace_name,
                   c->keys_origin);
}

static void print_json_value(const struct config *c, const struct setting *row, struct buf *out)
{
    const void *field = field_of(c, row);
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    switch (row->type) {
    case SETTING_INT:
    case SETTING_BYTES:
        buf_printf(out, "%lld", (long long)*(const int64_t *)field);
        break;
    case SETTING_BOOL:
        print_value(c, row, out);
        break;
    case SETTING_STRING:
    case SETTING_LIST:
    case SETTING_ENUM:
        print_value(c, row, &text);
        buf_append_json(out, text.data, text.len);
        break;
    }
}

void config_print_json(const struct config *c, struct buf *out)
{
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *row = &config_settings[i];
        const struct config_origin *origin = &c->origins[i];
        CLEANUP(xfree_ptr)
        char *from = xasprintf("%s%s", source_prefix(origin->source), origin->where);
        buf_printf(out, "%s\"%s\":{\"value\":", i == 0 ? "{" : ",\n ", row->key);
        print_json_value(c, row, out);
        buf_append_str(out, ",\"from\":");
        buf_append_json(out, from, strlen(from));
        buf_append_char(out, '}');
    }
    buf_append_str(out, ",\n \"keys\":{\"value\":[");
    for (size_t i = 0; i < c->key_count; i++) {
        buf_append_str(out, i == 0 ? "" : ",");
        buf_append_json(out, c->keys[i].namespace_name, strlen(c->keys[i].namespace_name));
    }
    const char *from = c->keys_origin != NULL ? c->keys_origin : "default";
    buf_append_str(out, "],\"from\":");
    buf_append_json(out, from, strlen(from));
    buf_append_str(out, "}}\n");
}

static void print_allowed(const struct setting *row, struct buf *out)
{
    switch (row->type) {
    case SETTING_STRING:
        buf_append_str(out, "text");
        break;
    case SETTING_LIST:
        buf_append_str(out, "list, comma-separated");
        break;
    case SETTING_INT:
        buf_printf(out, "%lld to %lld", (long long)row->min, (long long)row->max);
        break;
    case SETTING_BYTES:
        print_bytes(row->min, out);
        buf_append_str(out, " to ");
        print_bytes(row->max, out);
        break;
    case SETTING_BOOL:
        buf_append_str(out, "true, false");
        break;
    case SETTING_ENUM:
        for (int i = 0; i < SETTING_CHOICES_MAX && row->choices[i] != NULL; i++)
            buf_printf(out, "%s%s", i == 0 ? "" : ", ", row->choices[i]);
        break;
    }
}

static const char markdown_head[] =
    "# Settings\n"
    "\n"
    "Flags override the environment, which overrides the file, which overrides the defaults "
    "below.\n"
    "`--set key=value` sets any key. The file is `--config FILE`, else `spillway.conf` in the "
    "data\n"
    "directory; it is an INI file: `[http]` and `listen = 0.0.0.0:8080`, or `http.listen = …` "
    "without\n"
    "a section; lines have at most 198 bytes, and ` ;` starts a comment. An unknown key or a bad\n"
    "value is an error that names the line and what is allowed (exit status 2). An empty variable\n"
    "counts as not set. `spillway serve --print-config` shows every setting, its value and where "
    "it\n"
    "came from, secrets masked.\n"
    "\n"
    "Namespace keys stand in the section `[keys]`, `ns_acme_secret = acme`, or in the variable\n"
    "`NAMESPACE_API_KEYS` as a JSON object `{\"ns_acme_secret\":\"acme\"}`, which replaces them.\n"
    "`serve --dev` sets `auth.allow_unauthenticated`, takes the rate limits away and refuses any\n"
    "address but loopback. `USE_QUEUE_FANOUT` is accepted and ignored.\n"
    "\n"
    "| key | environment | default | allowed | meaning |\n"
    "| --- | --- | --- | --- | --- |\n";

void config_print_markdown(struct buf *out)
{
    buf_append_str(out, markdown_head);
    for (size_t i = 0; i < config_setting_count; i++) {
        const struct setting *row = &config_settings[i];
        buf_printf(out, "| `%s` | ", row->key);
        if (row->env != NULL)
            buf_printf(out, "`%s`", row->env);
        buf_append_str(out, " | ");
        if (*row->default_text != '\0')
            buf_printf(out, "`%s`", row->default_text);
        buf_append_str(out, " | ");
        print_allowed(row, out);
        buf_printf(out, " | %s%s |\n", row->help, row->secret ? " (secret)" : "");
    }
}
