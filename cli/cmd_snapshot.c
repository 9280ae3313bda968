/*
 * cli/cmd_snapshot.c: spillway snapshot create | list | verify | cleanup | delete. What writes to
 * the store goes through the running server where there is one; list, verify and a dry run only
 * read.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/timefmt.h"
#include "cli/commands.h"
#include "cli/recovery.h"
#include "cli/remote.h"
#include "snapshot/lines.h"

static const struct cli_option options[] = {
    {"daily-keep", 0, "N", "cleanup: daily snapshots to keep (the setting, 30)"},
    {"monthly-keep", 0, "N", "cleanup: monthly snapshots to keep (the setting, 12)"},
    {"window-days", 0, "N",
     "cleanup: days in which every moment stays available (the setting, 30)"},
    {"dry-run", 'n', NULL, "cleanup: only say what would be removed"},
    RECOVERY_SOURCE_OPTIONS,
    RECOVERY_SERVER_OPTIONS,
    {"json", 'j', NULL, "Print JSON, one object a line"},
};

#define KEEP_MAX 100000

/* Printing ------------------------------------------------------------------------------------ */

static void print_row(const char *name, const char *type, int64_t lsn, const char *made,
                      int64_t rows, int64_t size)
{
    printf("%-32s %-8s %14" PRId64 "  %-27s %12" PRId64 " %14" PRId64 "\n", name, type, lsn, made,
           rows, size);
}

static void print_snapshot(const struct cli_args *args, const struct snapshot *s)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    char made[TIMEFMT_MAX];
    timefmt_rfc3339(s->file.made_us, made);
    json_snapshot(&out, s);
    if (options_has(args, "json"))
        printf("%.*s\n", (int)out.len, out.data);
    else
        print_row(s->name, snapshot_type_name(s->type), s->file.lsn_to - 1, made,
                  (int64_t)s->file.rows, (int64_t)s->file.size);
}

/** A snapshot as the server describes it. */
static void print_answered(const struct cli_args *args, json_t *s)
{
    if (options_has(args, "json")) {
        json_dumpf(s, stdout, JSON_COMPACT);
        printf("\n");
    } else {
        print_row(answer_text(s, "name"), answer_text(s, "type"), answer_number(s, "lsn"),
                  answer_text(s, "ts"), answer_number(s, "rowCount"), answer_number(s, "size"));
    }
}

static void print_head(const struct cli_args *args)
{
    if (!options_has(args, "json"))
        printf("%-32s %-8s %14s  %-27s %12s %14s\n", "NAME", "TYPE", "LSN", "MADE", "DOCUMENTS",
               "BYTES");
}

/* list, verify -------------------------------------------------------------------------------- */

static err_t need_store(const struct recovery *r)
{
    return source_store(r->source) != NULL ? OK : err_fail(ERR_NOT_FOUND, "there is no store yet");
}

static err_t list(const struct cli_args *args, struct recovery *r, void *arg)
{
    const struct place *place = arg;
    struct snapshot_list l;
    TRY(need_store(r));
    TRY(snapshot_list_read(source_store(r->source), place->namespace_name, place->collection, &l));
    if (l.count == 0)
        TRY(source_check_collection(r->source, place->namespace_name, place->collection));
    print_head(args);
    for (size_t i = 0; i < l.count; i++)
        print_snapshot(args, &l.items[i]);
    snapshot_list_free(&l);
    return OK;
}

static void print_list(const struct cli_args *args, json_t *reply)
{
    size_t i;
    json_t *s;
    print_head(args);
    json_array_foreach(json_object_get(reply, "snapshots"), i, s) print_answered(args, s);
}

static void on_verified(void *arg, const char *path, err_t err, const char *text)
{
    const struct cli_args *args = arg;
    if (!options_has(args, "json")) {
        printf("%s: %s\n", path, err == OK ? "good" : text);
        return;
    }
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    buf_append_str(&out, "{\"path\":");
    buf_append_json(&out, path, strlen(path));
    buf_printf(&out, ",\"good\":%s", err == OK ? "true" : "false");
    if (err != OK) {
        buf_append_str(&out, ",\"text\":");
        buf_append_json(&out, text, strlen(text));
    }
    printf("%.*s}\n", (int)out.len, out.data);
}

static err_t verify(const struct cli_args *args, struct recovery *r, void *arg)
{
    const struct place *place = arg;
    const char *name = args->positional_count > 2 ? args->positional[2] : NULL;
    struct cli_args shown = *args;
    TRY(need_store(r));
    return snapshot_verify(source_store(r->source), place->namespace_name, place->collection, name,
                           on_verified, &shown);
}

/* cleanup ------------------------------------------------------------------------------------- */

static void print_removed(const struct cli_args *args, const char *path, uint64_t size)
{
    if (!options_has(args, "json")) {
        printf("%s  %" PRIu64 " bytes\n", path, size);
        return;
    }
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    buf_append_str(&out, "{\"path\":");
    buf_append_json(&out, path, strlen(path));
    printf("%.*s,\"size\":%" PRIu64 "}\n", (int)out.len, out.data, size);
}

static void on_removed(void *arg, const char *path, uint64_t size)
{
    print_removed(arg, path, size);
}

/** The settings of the data directory, unless an option says otherwise. */
static bool read_retention(const struct cli_args *args, const struct recovery *r,
                           struct retention *ret)
{
    int64_t daily = 30, monthly = 12, days = 30;
    if (r->data_dir != NULL) {
        daily = r->config.snapshot_daily_keep;
        monthly = r->config.snapshot_monthly_keep;
        days = r->config.pitr_window_days;
    }
    if (!options_number(args, "daily-keep", 0, KEEP_MAX, &daily) ||
        !options_number(args, "monthly-keep", 0, KEEP_MAX, &monthly) ||
        !options_number(args, "window-days", 0, KEEP_MAX, &days))
        return false;
    *ret = (struct retention){(unsigned)daily, (unsigned)monthly, (unsigned)days};
    return true;
}

static err_t cleanup(const struct cli_args *args, struct recovery *r, void *arg)
{
    const struct place *place = arg;
    struct retention keep;
    struct cli_args shown = *args;
    if (!read_retention(args, r, &keep))
        return err_fail(ERR_USAGE, "what is to be kept is not known");
    TRY(need_store(r));
    return snapshot_cleanup(r->source, place->namespace_name, place->collection, &keep,
                            options_has(args, "dry-run"), on_removed, &shown);
}

static void print_cleaned(const struct cli_args *args, json_t *reply)
{
    size_t i;
    json_t *file;
    json_array_foreach(json_object_get(reply, "removed"), i, file)
        print_removed(args, answer_text(file, "path"), (uint64_t)answer_number(file, "size"));
}

/** For the server, which knows the settings: only what was given. */
static bool cleanup_body(const struct cli_args *args, struct buf *out)
{
    static const struct {
        const char *option, *field;
    } names[] = {{"daily-keep", "dailyKeep"},
                 {"monthly-keep", "monthlyKeep"},
                 {"window-days", "windowDays"}};
    buf_printf(out, "{\"dryRun\":%s", options_has(args, "dry-run") ? "true" : "false");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int64_t value = -1;
        if (!options_number(args, names[i].option, 0, KEEP_MAX, &value))
            return false;
        if (value >= 0)
            buf_printf(out, ",\"%s\":%" PRId64, names[i].field, value);
    }
    buf_append_char(out, '}');
    return true;
}

/* create, delete ------------------------------------------------------------------------------ */

static err_t create(const struct cli_args *args, struct recovery *r, void *arg)
{
    const struct place *place = arg;
    struct snapshot made;
    TRY(snapshot_create(r->source, place->namespace_name, place->collection, SNAPSHOT_MANUAL,
                        &made));
    print_head(args);
    print_snapshot(args, &made);
    snapshot_free(&made);
    return OK;
}

static void print_created(const struct cli_args *args, json_t *reply)
{
    print_head(args);
    print_answered(args, reply);
}

static void print_deleted(const struct cli_args *args, json_t *reply)
{
    (void)reply;
    if (options_has(args, "json"))
        printf("{\"ok\":true}\n");
    else
        printf("%s deleted\n", args->positional[2]);
}

static err_t delete_one(const struct cli_args *args, struct recovery *r, void *arg)
{
    const struct place *place = arg;
    TRY(need_store(r));
    TRY(snapshot_delete(r->source, place->namespace_name, place->collection,
                        slice_of(args->positional[2])));
    print_deleted(args, NULL);
    return OK;
}

/* All ----------------------------------------------------------------------------------------- */

struct action {
    const char *name;
    err_t (*here)(const struct cli_args *args, struct recovery *r, void *arg);
    bool writes;
    size_t positionals; /* at least, at most */
    size_t positionals_max;
    const char *method; /* of the request; NULL: never through the server */
    const char *last;   /* behind NS/COLLECTION in its path; NULL: the snapshot's name, if any */
    void (*print)(const struct cli_args *args, json_t *reply);
};

static const struct action actions[] = {
    {"create", create, true, 2, 2, "POST", NULL, print_created},
    {"list", list, false, 2, 2, "GET", NULL, print_list},
    {"verify", verify, false, 2, 3, NULL, NULL, NULL},
    {"cleanup", cleanup, true, 2, 2, "POST", "cleanup", print_cleaned},
    {"delete", delete_one, true, 3, 3, "DELETE", NULL, print_deleted},
};

/** Beside a running server, too: nothing is written. */
static int only_read(const struct cli_args *args, const struct action *a, struct place *place)
{
    CLEANUP(recovery_close) struct recovery r = RECOVERY_INIT;
    int rc = recovery_open(args, &r);
    if (rc != EXIT_OK)
        return rc;
    err_t err = a->here(args, &r, place);
    return err == OK ? EXIT_OK : recovery_failed(args, err);
}

static int run_action(const struct cli_args *args, const struct action *a, struct place *place)
{
    CLEANUP(buf_release) struct buf body = BUF_INIT;
    bool remote = options_has(args, "server");
    if (remote && a->method == NULL)
        return options_mistake(args->command,
                               "%s reads the files: give --data or --store, not --server", a->name);
    if (!remote && (!a->writes || options_has(args, "dry-run")))
        return only_read(args, a, place);
    const char *last =
        a->last != NULL || args->positional_count < 3 ? a->last : args->positional[2];
    CLEANUP(xfree_ptr) char *path = place_url(place, "snapshots", last);
    if (a->here == cleanup && !cleanup_body(args, &body))
        return EXIT_USAGE;
    const struct recovery_work work = {.method = a->method,
                                       .path = path,
                                       .body = buf_slice(&body),
                                       .print = a->print,
                                       .here = a->here};
    return recovery_do(args, &work, place);
}

static int run(const struct cli_args *args)
{
    CLEANUP(place_release) struct place place = {0};
    const char *what = args->positional_count > 0 ? args->positional[0] : "";
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        const struct action *a = &actions[i];
        if (strcmp(a->name, what) != 0)
            continue;
        int rc = place_parse(args, 1, &place);
        if (rc != EXIT_OK)
            return rc;
        if (args->positional_count < a->positionals)
            return options_mistake(args->command, "%s: the snapshot's NAME is missing", a->name);
        if (args->positional_count > a->positionals_max)
            return options_mistake(args->command, "unexpected argument \"%s\"",
                                   args->positional[a->positionals_max]);
        return run_action(args, a, &place);
    }
    return options_mistake(
        args->command, "create, list, verify, cleanup or delete was expected, not \"%s\"", what);
}

const struct cli_command command_snapshot = {
    .name = "snapshot",
    .usage = "snapshot create [OPTIONS] NS/COLLECTION\n"
             "       spillway snapshot list [OPTIONS] NS/COLLECTION\n"
             "       spillway snapshot verify [OPTIONS] NS/COLLECTION [NAME]\n"
             "       spillway snapshot cleanup [OPTIONS] NS/COLLECTION\n"
             "       spillway snapshot delete [OPTIONS] NS/COLLECTION NAME",
    .summary = "Make, list, verify, clean up or delete snapshots",
    .about =
        "create, cleanup and delete go through the server where one runs on the data directory,\n"
        "or --server is given. verify reads and hashes every file again, deltas too, and exits 1\n"
        "where one is damaged. cleanup removes what no moment inside the window needs; snapshots\n"
        "on demand stay until delete.\n" RECOVERY_SOURCE_ABOUT RECOVERY_SERVER_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 3,
    .example = "  spillway snapshot create default/orders\n"
               "  spillway snapshot verify default/orders --store /backup/store\n",
    .run = run,
};
