#include "snapshot/ask.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"

#define LSN_MAX (INT64_MAX / 2) /* so that one more is a number, too */

/* Values -------------------------------------------------------------------------------------- */

/** Digits and nothing else, at most `max`. */
static bool read_digits(struct slice text, int64_t max, int64_t *ret)
{
    return slice_to_number(text, ret) && *ret <= max;
}

err_t ask_number(const char *name, struct slice text, int64_t max, int64_t *ret)
{
    int64_t n;
    if (!read_digits(text, max, &n))
        return err_fail(ERR_VALIDATION,
                        "\"%s\" must be a whole number from 0 to %lld, not \"%.*s\"", name,
                        (long long)max, (int)MIN(text.len, 64), text.data);
    *ret = n;
    return OK;
}

/** Whether the text ends like a zone whose '+' was taken for a blank: " 02:00". */
static bool blank_before_zone(struct slice text)
{
    return text.len > 16 && text.data[text.len - 6] == ' ' && text.data[text.len - 3] == ':';
}

static err_t read_time(struct slice text, int64_t *ret_us)
{
    char copy[64];
    if (text.len < sizeof(copy)) {
        memcpy(copy, text.data, text.len);
        if (blank_before_zone(text))
            copy[text.len - 6] = '+';
        if (timefmt_parse(copy, text.len, ret_us))
            return OK;
    }
    return err_fail(ERR_VALIDATION,
                    "\"%.*s\" is no RFC 3339 time with a zone: write 2026-02-02T14:30:00Z or "
                    "2026-02-02T15:30:00+01:00",
                    (int)MIN(text.len, 64), text.data);
}

err_t target_read(const char *name, struct slice text, struct target *ret)
{
    static const struct {
        const char *name;
        enum target_kind kind;
    } names[] = {{"at", TARGET_AT},
                 {"lsn", TARGET_LSN},
                 {"bookmark", TARGET_BOOKMARK},
                 {"snapshot", TARGET_SNAPSHOT}};
    size_t i = 0;
    while (i < ARRAY_LEN(names) && strcmp(names[i].name, name) != 0)
        i++;
    ASSERT(i < ARRAY_LEN(names));
    ret->kind = names[i].kind;
    if (ret->kind == TARGET_AT)
        return read_time(text, &ret->value);
    if (ret->kind == TARGET_LSN)
        return ask_number(name, text, LSN_MAX, &ret->value);
    if (text.len == 0 || memchr(text.data, '\0', text.len) != NULL)
        return err_fail(ERR_VALIDATION, "\"%s\" must be a name: not empty, and without NUL", name);
    ret->name = xstrndup(text.data, text.len);
    return OK;
}

/* Fields ------------------------------------------------------------------------------------ */

static err_t bad_field(const char *name, const char *what)
{
    return err_fail(ERR_VALIDATION, "\"%s\" must be %s", name, what);
}

static struct slice string_of(const json_t *v)
{
    return (struct slice){json_string_value(v), json_string_length(v)};
}

static err_t one_target(struct restore_ask *ask)
{
    if (ask->has_target)
        return err_fail(ERR_VALIDATION, "give one of at, lsn, bookmark, snapshot and latest");
    ask->has_target = true;
    return OK;
}

static err_t read_text_target(struct restore_ask *ask, const char *name, const json_t *v)
{
    TRY(one_target(ask));
    if (!json_is_string(v))
        return bad_field(name, "a string");
    return target_read(name, string_of(v), &ask->target);
}

static err_t read_at(struct restore_ask *ask, const json_t *v)
{
    return read_text_target(ask, "at", v);
}

static err_t read_bookmark(struct restore_ask *ask, const json_t *v)
{
    return read_text_target(ask, "bookmark", v);
}

static err_t read_snapshot(struct restore_ask *ask, const json_t *v)
{
    return read_text_target(ask, "snapshot", v);
}

static err_t read_lsn(struct restore_ask *ask, const json_t *v)
{
    TRY(one_target(ask));
    if (!json_is_integer(v) || json_integer_value(v) < 0)
        return bad_field("lsn", "a whole number of at least 0");
    ask->target.kind = TARGET_LSN;
    ask->target.value = json_integer_value(v);
    return OK;
}

static err_t read_latest(struct restore_ask *ask, const json_t *v)
{
    TRY(one_target(ask));
    ask->target.kind = TARGET_LATEST;
    return json_is_true(v) ? OK : bad_field("latest", "true");
}

static err_t read_exclusive(struct restore_ask *ask, const json_t *v)
{
    ask->target.exclusive = json_is_true(v);
    return json_is_boolean(v) ? OK : bad_field("exclusive", "true or false");
}

static err_t read_dry_run(struct restore_ask *ask, const json_t *v)
{
    ask->dry_run = json_is_true(v);
    return json_is_boolean(v) ? OK : bad_field("dryRun", "true or false");
}

static int compare_ids(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

static err_t read_ids(struct restore_ask *ask, const json_t *v)
{
    size_t count = json_array_size(v);
    if (!json_is_array(v) || count == 0)
        return bad_field("ids", "an array of document ids, at least one");
    struct restore_filter *f = &ask->filter;
    f->ids = xcalloc(count, sizeof(*f->ids));
    for (size_t i = 0; i < count; i++) {
        const json_t *id = json_array_get(v, i);
        if (!json_is_string(id) || json_string_length(id) == 0)
            return bad_field("ids", "an array of document ids: strings that are not empty");
        struct slice text = string_of(id);
        f->ids[f->id_count++] =
            (struct slice){arena_strndup(&ask->ids, text.data, text.len), text.len};
    }
    qsort(f->ids, f->id_count, sizeof(*f->ids), compare_ids);
    size_t kept = 1;
    for (size_t i = 1; i < f->id_count; i++)
        if (!slice_equal(f->ids[i], f->ids[kept - 1]))
            f->ids[kept++] = f->ids[i];
    f->id_count = kept;
    return OK;
}

static err_t read_only(struct restore_ask *ask, const json_t *v)
{
    struct slice kind = string_of(v);
    if (json_is_string(v) && slice_equal(kind, SLICE("deletes")))
        ask->filter.only_deletes = true;
    else if (json_is_string(v) && slice_equal(kind, SLICE("updates")))
        ask->filter.only_updates = true;
    else if (json_is_string(v) && slice_equal(kind, SLICE("inserts")))
        ask->filter.only_inserts = true;
    else
        return bad_field("only", "\"deletes\", \"updates\" or \"inserts\"");
    return OK;
}

static err_t read_undo(struct restore_ask *ask, const json_t *v)
{
    struct restore_filter *f = &ask->filter;
    struct slice text = json_is_string(v) ? string_of(v) : SLICE("");
    const char *dots = strstr(text.data, ".."); /* jansson ends strings with a NUL */
    ask->has_undo = true;
    bool good = dots != NULL;
    if (good) {
        size_t len = (size_t)(dots - text.data);
        struct slice last = {dots + 2, text.len - len - 2};
        good = read_digits((struct slice){text.data, len}, LSN_MAX, &f->undo_from) &&
               read_digits(last, LSN_MAX, &f->undo_to);
    }
    if (!good || f->undo_from > f->undo_to)
        return bad_field("undo", "\"FIRST..LAST\", two LSNs, the lesser first, both included");
    return OK;
}

static err_t read_max_changes(struct restore_ask *ask, const json_t *v)
{
    if (!json_is_integer(v) || json_integer_value(v) < 1)
        return bad_field("maxChanges", "a whole number of at least 1");
    ask->filter.max_changes = (uint64_t)json_integer_value(v);
    return OK;
}

static const struct {
    const char *name;
    err_t (*read)(struct restore_ask *ask, const json_t *v);
} fields[] = {
    {"at", read_at},
    {"lsn", read_lsn},
    {"bookmark", read_bookmark},
    {"snapshot", read_snapshot},
    {"latest", read_latest},
    {"exclusive", read_exclusive},
    {"dryRun", read_dry_run},
    {"ids", read_ids},
    {"only", read_only},
    {"undo", read_undo},
    {"maxChanges", read_max_changes},
};

static err_t read_field(struct restore_ask *ask, const char *name, const json_t *v)
{
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        if (strcmp(fields[i].name, name) == 0)
            return fields[i].read(ask, v);
    return err_fail(ERR_VALIDATION,
                    "\"%.64s\" is no field of a restore: at, lsn, bookmark, snapshot, latest, "
                    "exclusive, dryRun, ids, only, undo, maxChanges",
                    name);
}

static err_t check_together(const struct restore_ask *ask)
{
    enum target_kind kind = ask->target.kind;
    if (ask->has_target == ask->has_undo)
        return err_fail(ERR_VALIDATION, ask->has_undo
                                            ? "\"undo\" needs no target: leave at, lsn, bookmark, "
                                              "snapshot and latest out"
                                            : "give a target: at, lsn, bookmark, snapshot, latest, "
                                              "or undo");
    if (ask->target.exclusive &&
        (ask->has_undo || kind == TARGET_SNAPSHOT || kind == TARGET_LATEST))
        return err_fail(ERR_VALIDATION, "\"exclusive\" goes with at, lsn or bookmark");
    return OK;
}

err_t restore_ask_read(struct slice body, struct restore_ask *ret)
{
    json_error_t error;
    struct restore_ask ask = {.filter = {.undo_from = -1, .undo_to = -1}};
    json_t *root =
        json_loadb(body.data != NULL ? body.data : "", body.len,
                   JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error); /* ids may hold a NUL */
    if (root == NULL)
        return err_fail(ERR_INVALID_JSON, "Invalid JSON at byte %d: %s", error.position,
                        error.text);
    err_t err = OK;
    if (!json_is_object(root))
        err = err_fail(ERR_VALIDATION,
                       "the body must be an object like {\"at\":TIME,\"dryRun\":true}");
    const char *name;
    json_t *value;
    json_object_foreach(root, name, value)
    {
        if (err == OK)
            err = read_field(&ask, name, value);
    }
    if (err == OK)
        err = check_together(&ask);
    json_decref(root);
    if (err != OK)
        restore_ask_release(&ask);
    else
        *ret = ask;
    return err;
}

void restore_ask_release(struct restore_ask *ask)
{
    free(ask->filter.ids);
    arena_release(&ask->ids);
    free(ask->target.name);
    *ask = (struct restore_ask){0};
}

static void describe_target(const struct target *t, struct buf *out)
{
    char time[TIMEFMT_MAX];
    switch (t->kind) {
    case TARGET_LATEST:
        buf_append_str(out, "{\"latest\":true");
        break;
    case TARGET_AT:
        timefmt_rfc3339(t->value, time);
        buf_printf(out, "{\"at\":\"%s\"", time);
        break;
    case TARGET_LSN:
        buf_printf(out, "{\"lsn\":%lld", (long long)t->value);
        break;
    case TARGET_BOOKMARK:
    case TARGET_SNAPSHOT:
        buf_append_str(out, t->kind == TARGET_BOOKMARK ? "{\"bookmark\":" : "{\"snapshot\":");
        buf_append_json(out, t->name, strlen(t->name));
        break;
    }
    buf_append_str(out, t->exclusive ? ",\"exclusive\":true}" : "}");
}

void restore_ask_describe(const struct restore_ask *ask, struct buf *out)
{
    if (ask->has_undo)
        buf_printf(out, "{\"undo\":\"%lld..%lld\"}", (long long)ask->filter.undo_from,
                   (long long)ask->filter.undo_to);
    else
        describe_target(&ask->target, out);
}
