#include "cli/recovery_ask.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "cli/recovery.h"
#include "cli/remote.h"

#define IDS_BYTES_MAX MIB(256)

void recovery_ask_release(struct recovery_ask *ask)
{
    restore_ask_release(&ask->asked);
    free(ask->body);
    ask->body = NULL;
}

/* Reading ------------------------------------------------------------------------------------- */

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

/** One id a line. */
static int add_ids(const struct cli_args *args, json_t *body)
{
    const char *path = options_value(args, "ids");
    CLEANUP(xfree_ptr) char *text = NULL;
    size_t len;
    if (path == NULL)
        return EXIT_OK;
    err_t err = io_read_file(io_posix(), path, IDS_BYTES_MAX, &text, &len);
    if (err != OK)
        return recovery_failed(args, err);
    if (memchr(text, '\0', len) != NULL)
        return options_mistake(args->command, "--ids: %s holds a NUL byte", path);
    json_t *ids = json_array();
    (void)json_object_set_new(body, "ids", ids);
    char *rest = text, *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        size_t n = strlen(line);
        if (n > 0 && line[n - 1] == '\r')
            n--;
        if (n > 0 && json_array_append_new(ids, json_stringn(line, n)) != 0)
            return options_mistake(args->command, "--ids: %s holds a line that is not UTF-8", path);
    }
    if (json_array_size(ids) == 0)
        return options_mistake(args->command, "--ids: %s names no document", path);
    return EXIT_OK;
}

/** The options as the fields that they are in the body of POST /restore. */
static int add_fields(const struct cli_args *args, json_t *body)
{
    static const struct {
        const char *option, *field;
        enum { TEXT, NUMBER, SWITCH } type;
    } names[] = {
        {"at", "at", TEXT},
        {"lsn", "lsn", NUMBER},
        {"bookmark", "bookmark", TEXT},
        {"snapshot", "snapshot", TEXT},
        {"latest", "latest", SWITCH},
        {"exclusive", "exclusive", SWITCH},
        {"only", "only", TEXT},
        {"undo", "undo", TEXT},
        {"max-changes", "maxChanges", NUMBER},
        {"dry-run", "dryRun", SWITCH},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *text = options_value(args, names[i].option);
        int64_t number = 0;
        if (text == NULL)
            continue;
        if (names[i].type == NUMBER &&
            !options_number(args, names[i].option, 0, INT64_MAX, &number))
            return EXIT_USAGE;
        json_t *value = names[i].type == TEXT     ? json_string(text)
                        : names[i].type == NUMBER ? json_integer(number)
                                                  : json_true();
        if (json_object_set_new(body, names[i].field, value) != 0)
            return options_mistake(args->command, "--%s: that is not UTF-8", names[i].option);
    }
    return add_ids(args, body);
}

static int read_body(const struct cli_args *args, struct recovery_ask *ask)
{
    json_t *body = json_object();
    int rc = add_fields(args, body);
    bool bare_drill = options_has(args, "drill") && json_object_size(body) == 0;
    if (rc == EXIT_OK && !bare_drill)
        ask->body = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    if (rc != EXIT_OK || bare_drill)
        return rc;
    err_t err = restore_ask_read(slice_of(ask->body), &ask->asked);
    return err == OK ? EXIT_OK : options_mistake(args->command, "%s", err_text(err));
}

/** Options that do not go together, beside what the body says. */
static int check(const struct cli_args *args)
{
    static const char *const not_to_a_file[] = {"ids", "only", "undo", "max-changes", "server"};
    static const char *const not_a_drill[] = {"in-place", "dry-run", "to",          "ids",
                                              "only",     "undo",    "max-changes", "server"};
    bool in_place = options_has(args, "in-place"), dry = options_has(args, "dry-run");
    for (size_t i = 0; i < ARRAY_LEN(not_a_drill); i++)
        if (options_has(args, "drill") && options_has(args, not_a_drill[i]))
            return options_mistake(args->command, "--drill does not go with --%s", not_a_drill[i]);
    if (options_has(args, "to") && *options_value(args, "to") == '\0')
        return options_mistake(args->command, "--to needs the name of a file");
    if ((in_place || options_has(args, "server")) && options_has(args, "store"))
        return options_mistake(args->command,
                               "--%s does not go with --store: the server has its own",
                               in_place ? "in-place" : "server");
    if (in_place && options_has(args, "to"))
        return options_mistake(args->command, "--in-place does not go with --to");
    for (size_t i = 0; i < ARRAY_LEN(not_to_a_file); i++)
        if (options_has(args, not_to_a_file[i]) && !in_place && !dry)
            return options_mistake(args->command, "--%s goes with --in-place or --dry-run",
                                   not_to_a_file[i]);
    return EXIT_OK;
}

int recovery_ask_read(const struct cli_args *args, struct recovery_ask *ret)
{
    *ret = (struct recovery_ask){.asked = {.filter = {.undo_from = -1, .undo_to = -1}}};
    int rc = check(args);
    if (rc == EXIT_OK)
        rc = read_format(args, ret);
    return rc == EXIT_OK ? read_body(args, ret) : rc;
}

/* Ids that are not there ---------------------------------------------------------------------- */

void recovery_ask_missing(const struct cli_args *args, const struct restore_counts *n)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    uint64_t missing = n->ids_given - n->ids_found;
    if (missing == 0)
        return;
    buf_printf(&out,
               "spillway %s: %" PRIu64 " of %" PRIu64 " ids found; not found:", args->command->name,
               n->ids_found, n->ids_given);
    for (size_t i = 0; i < MIN(missing, ARRAY_LEN(n->ids_missing)); i++) {
        buf_append_char(&out, ' ');
        buf_append_json(&out, n->ids_missing[i].data, n->ids_missing[i].len);
    }
    buf_append_str(&out, missing > ARRAY_LEN(n->ids_missing) ? " and more\n" : "\n");
    fwrite(out.data, 1, out.len, stderr);
}

/* The server's answer ------------------------------------------------------------------------- */

static void print_range(json_t *range, const char *before)
{
    if (json_array_size(range) == 2)
        printf("%sLSN %lld to %lld\n", before,
               (long long)json_integer_value(json_array_get(range, 0)),
               (long long)json_integer_value(json_array_get(range, 1)));
}

/** A server that does not count them says nothing, either. */
static void print_missing(const struct cli_args *args, const struct recovery_ask *ask,
                          json_t *reply)
{
    size_t i;
    json_t *id;
    struct restore_counts n = {.ids_given = ask->asked.filter.id_count,
                               .ids_found = (uint64_t)answer_number(reply, "idsFound")};
    json_t *missing = json_object_get(reply, "idsMissing");
    if (n.ids_found > n.ids_given ||
        json_array_size(missing) != MIN(n.ids_given - n.ids_found, ARRAY_LEN(n.ids_missing)))
        return;
    json_array_foreach(missing, i, id) n.ids_missing[i] =
        (struct slice){json_string_value(id), json_string_length(id)};
    recovery_ask_missing(args, &n);
}

void recovery_ask_print(const struct cli_args *args, const struct recovery_ask *ask, json_t *reply)
{
    print_missing(args, ask, reply);
    if (options_has(args, "json")) {
        json_dumpf(reply, stdout, JSON_COMPACT);
        printf("\n");
        return;
    }
    size_t i;
    json_t *item;
    const char *snapshot = json_string_value(json_object_get(reply, "snapshot"));
    bool dry = json_is_true(json_object_get(reply, "dryRun"));
    if (dry && !options_has(args, "undo"))
        printf("snapshot  %s\n", snapshot != NULL ? snapshot : "none: from the empty collection");
    json_array_foreach(json_object_get(reply, "deltas"), i, item)
        printf("delta     %s\n", json_string_value(item));
    print_range(json_object_get(reply, "logRange"), "log       ");
    printf("in place  %lld inserts, %lld updates, %lld deletes%s\n",
           answer_number(reply, "inserts"), answer_number(reply, "updates"),
           answer_number(reply, "deletes"), dry ? " against the current state" : "");
    print_range(json_object_get(reply, "lsnRange"), "written   ");
    if (answer_number(reply, "skippedCount") > 0)
        printf("skipped   %lld: someone else wrote those documents meanwhile\n",
               answer_number(reply, "skippedCount"));
    json_array_foreach(json_object_get(reply, "skipped"), i, item)
    {
        CLEANUP(buf_release) struct buf line = BUF_INIT;
        const json_t *id = json_object_get(item, "docId");
        recovery_append_shown(&line, (struct slice){json_string_value(id), json_string_length(id)});
        printf("          %.*s\n", (int)line.len, line.data);
    }
}
