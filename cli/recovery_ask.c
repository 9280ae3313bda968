#include "cli/recovery_ask.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/timefmt.h"
#include "cli/recovery.h"

#define IDS_BYTES_MAX MIB(256)

void recovery_ask_release(struct recovery_ask *ask)
{
    free(ask->filter.ids);
    free(ask->ids_text);
    free(ask->target.name);
    ask->target.name = NULL;
    ask->filter.ids = NULL;
    ask->ids_text = NULL;
}

/* Reading ------------------------------------------------------------------------------------- */

static int read_target(const struct cli_args *args, struct recovery_ask *ask)
{
    static const struct {
        const char *option;
        enum target_kind kind;
    } kinds[] = {{"at", TARGET_AT},
                 {"lsn", TARGET_LSN},
                 {"bookmark", TARGET_BOOKMARK},
                 {"snapshot", TARGET_SNAPSHOT},
                 {"latest", TARGET_LATEST}};
    unsigned given = 0;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (options_has(args, kinds[i].option)) {
            ask->target.kind = kinds[i].kind;
            given++;
        }
    }
    if (given > 1)
        return options_mistake(args->command,
                               "give one of --at, --lsn, --bookmark, --snapshot and --latest");
    ask->has_target = given == 1;
    ask->target.exclusive = options_has(args, "exclusive");
    if (!recovery_time(args, "at", &ask->target.value) ||
        !options_number(args, "lsn", 0, INT64_MAX, &ask->target.value))
        return EXIT_USAGE;
    if (ask->target.exclusive && (!ask->has_target || ask->target.kind == TARGET_LATEST ||
                                  ask->target.kind == TARGET_SNAPSHOT))
        return options_mistake(args->command, "--exclusive goes with --at, --lsn or --bookmark");
    return EXIT_OK;
}

/** The target's name, behind read_target. */
static int read_name(const struct cli_args *args, struct recovery_ask *ask)
{
    const char *option = ask->target.kind == TARGET_BOOKMARK   ? "bookmark"
                         : ask->target.kind == TARGET_SNAPSHOT ? "snapshot"
                                                               : NULL;
    if (option == NULL || !ask->has_target)
        return EXIT_OK;
    const char *name = options_value(args, option);
    if (*name == '\0')
        return options_mistake(args->command, "--%s: a name is missing", option);
    ask->target.name = xstrdup(name);
    return EXIT_OK;
}

static int read_format(const struct cli_args *args, struct recovery_ask *ask)
{
    static const char *const names[] = {
        [RESTORE_NDJSON] = "ndjson", [RESTORE_PARQUET] = "parquet", [RESTORE_SQLITE] = "sqlite"};
    const char *text = options_value(args, "format");
    if (text == NULL)
        return EXIT_OK;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], text) == 0) {
            ask->format = (enum restore_format)i;
            if (ask->format != RESTORE_NDJSON && !options_has(args, "to"))
                return options_mistake(args->command, "--format %s needs --to FILE", text);
            return EXIT_OK;
        }
    }
    return options_mistake(args->command, "--format: \"%s\" is not ndjson, parquet or sqlite",
                           text);
}

static int read_only_kind(const struct cli_args *args, struct restore_filter *f)
{
    const char *text = options_value(args, "only");
    if (text == NULL)
        return EXIT_OK;
    f->only_deletes = strcmp(text, "deletes") == 0;
    f->only_updates = strcmp(text, "updates") == 0;
    f->only_inserts = strcmp(text, "inserts") == 0;
    if (!f->only_deletes && !f->only_updates && !f->only_inserts)
        return options_mistake(args->command, "--only: \"%s\" is not deletes, updates or inserts",
                               text);
    return EXIT_OK;
}

static int read_undo(const struct cli_args *args, struct recovery_ask *ask)
{
    const char *text = options_value(args, "undo");
    char *end;
    if (text == NULL)
        return EXIT_OK;
    errno = 0;
    long long from = strtoll(text, &end, 10);
    bool good = end != text && strncmp(end, "..", 2) == 0;
    const char *second = good ? end + 2 : text;
    long long to = strtoll(second, &end, 10);
    if (!good || end == second || *end != '\0' || errno != 0 || from < 0 || to < from)
        return options_mistake(args->command,
                               "--undo: \"%s\" is not FIRST..LAST, two LSNs, both included", text);
    ask->has_undo = true;
    ask->filter.undo_from = from;
    ask->filter.undo_to = to;
    return EXIT_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/** One id a line. */
static int read_ids(const struct cli_args *args, struct recovery_ask *ask)
{
    const char *path = options_value(args, "ids");
    size_t len, cap = 0;
    if (path == NULL)
        return EXIT_OK;
    err_t err = io_read_file(io_posix(), path, IDS_BYTES_MAX, &ask->ids_text, &len);
    if (err != OK)
        return recovery_failed(args, err);
    if (memchr(ask->ids_text, '\0', len) != NULL)
        return options_mistake(args->command, "--ids: %s holds a NUL byte", path);
    char *rest = ask->ids_text, *line;
    struct restore_filter *f = &ask->filter;
    f->ids = xcalloc(1, sizeof(char *)); /* an empty file: no document */
    while ((line = strsep(&rest, "\n")) != NULL) {
        size_t n = strlen(line);
        if (n > 0 && line[n - 1] == '\r')
            line[--n] = '\0';
        if (n == 0)
            continue;
        if (f->id_count == cap) {
            cap = MAX(256, cap * 2);
            f->ids = xrealloc(f->ids, cap * sizeof(char *));
        }
        f->ids[f->id_count++] = line;
    }
    qsort(f->ids, f->id_count, sizeof(char *), by_bytes);
    return EXIT_OK;
}

static int check(const struct cli_args *args, const struct recovery_ask *ask)
{
    static const char *const selective[] = {"ids", "only", "undo", "max-changes"};
    bool in_place = options_has(args, "in-place"), dry = options_has(args, "dry-run");
    bool drill = options_has(args, "drill");
    if (drill && (in_place || dry || ask->has_undo || options_has(args, "to")))
        return options_mistake(args->command, "--drill goes with a target or alone");
    if (!drill && ask->has_target == ask->has_undo)
        return options_mistake(args->command,
                               ask->has_target
                                   ? "a target does not go with --undo"
                                   : "say when: --at, --lsn, --bookmark, --snapshot or --latest");
    if (in_place && options_has(args, "to"))
        return options_mistake(args->command, "--in-place does not go with --to");
    for (size_t i = 0; i < ARRAY_LEN(selective); i++)
        if (options_has(args, selective[i]) && !in_place && !dry)
            return options_mistake(args->command, "--%s goes with --in-place or --dry-run",
                                   selective[i]);
    return EXIT_OK;
}

typedef int (*read_fn)(const struct cli_args *args, struct recovery_ask *ask);

int recovery_ask_read(const struct cli_args *args, struct recovery_ask *ret)
{
    static const read_fn readers[] = {read_target, read_name, read_format, read_undo, read_ids};
    int64_t max = 0;
    *ret = (struct recovery_ask){.filter = {.undo_from = -1, .undo_to = -1}};
    for (size_t i = 0; i < ARRAY_LEN(readers); i++) {
        int rc = readers[i](args, ret);
        if (rc != EXIT_OK)
            return rc;
    }
    int rc = read_only_kind(args, &ret->filter);
    if (rc != EXIT_OK)
        return rc;
    if (!options_number(args, "max-changes", 1, INT64_MAX, &max))
        return EXIT_USAGE;
    ret->filter.max_changes = (uint64_t)max;
    ret->whole_namespace = ret->has_target && ret->target.name == NULL && options_has(args, "to") &&
                           !options_has(args, "in-place") && !options_has(args, "dry-run");
    return check(args, ret);
}

/* Over HTTP ----------------------------------------------------------------------------------- */

static void append_target(const struct target *t, struct buf *out)
{
    char time[TIMEFMT_MAX];
    switch (t->kind) {
    case TARGET_LATEST:
        buf_append_str(out, "\"latest\":true");
        break;
    case TARGET_AT:
        timefmt_rfc3339(t->value, time);
        buf_printf(out, "\"at\":\"%s\"", time);
        break;
    case TARGET_LSN:
        buf_printf(out, "\"lsn\":%lld", (long long)t->value);
        break;
    case TARGET_BOOKMARK:
    case TARGET_SNAPSHOT:
        buf_append_str(out, t->kind == TARGET_BOOKMARK ? "\"bookmark\":" : "\"snapshot\":");
        buf_append_json(out, t->name, strlen(t->name));
        break;
    }
    if (t->exclusive)
        buf_append_str(out, ",\"exclusive\":true");
}

void recovery_ask_body(const struct recovery_ask *ask, bool dry_run, struct buf *out)
{
    const struct restore_filter *f = &ask->filter;
    buf_append_char(out, '{');
    if (ask->has_undo)
        buf_printf(out, "\"undo\":\"%lld..%lld\"", (long long)f->undo_from, (long long)f->undo_to);
    else
        append_target(&ask->target, out);
    if (f->only_deletes || f->only_updates || f->only_inserts)
        buf_printf(out, ",\"only\":\"%s\"",
                   f->only_deletes   ? "deletes"
                   : f->only_updates ? "updates"
                                     : "inserts");
    if (f->max_changes > 0)
        buf_printf(out, ",\"maxChanges\":%llu", (unsigned long long)f->max_changes);
    if (f->ids != NULL) {
        buf_append_str(out, ",\"ids\":[");
        for (size_t i = 0; i < f->id_count; i++) {
            buf_append_str(out, i > 0 ? "," : "");
            buf_append_json(out, f->ids[i], strlen(f->ids[i]));
        }
        buf_append_char(out, ']');
    }
    if (dry_run)
        buf_append_str(out, ",\"dryRun\":true");
    buf_append_char(out, '}');
}

static long long number_of(json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

static void print_range(json_t *range, const char *before)
{
    if (json_array_size(range) == 2)
        printf("%sLSN %lld to %lld\n", before,
               (long long)json_integer_value(json_array_get(range, 0)),
               (long long)json_integer_value(json_array_get(range, 1)));
}

void recovery_ask_print(const struct cli_args *args, json_t *reply)
{
    if (options_has(args, "json")) {
        json_dumpf(reply, stdout, JSON_COMPACT);
        printf("\n");
        return;
    }
    size_t i;
    json_t *item;
    const char *snapshot = json_string_value(json_object_get(reply, "snapshot"));
    if (snapshot != NULL)
        printf("snapshot  %s\n", snapshot);
    json_array_foreach(json_object_get(reply, "deltas"), i, item)
        printf("delta     %s\n", json_string_value(item));
    print_range(json_object_get(reply, "logRange"), "log       ");
    printf("in place  %lld inserts, %lld updates, %lld deletes%s\n", number_of(reply, "inserts"),
           number_of(reply, "updates"), number_of(reply, "deletes"),
           json_is_true(json_object_get(reply, "dryRun")) ? " would be made" : "");
    print_range(json_object_get(reply, "lsnRange"), "written   ");
    if (number_of(reply, "skippedCount") > 0)
        printf("skipped   %lld: someone else wrote those documents meanwhile\n",
               number_of(reply, "skippedCount"));
    json_array_foreach(json_object_get(reply, "skipped"), i, item)
    {
        const char *id = json_string_value(json_object_get(item, "docId"));
        printf("          %s\n", id != NULL ? id : "?");
    }
}
