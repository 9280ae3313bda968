/*
 * cli/cmd_snapshot.c: spillway snapshot create | list | verify | cleanup. What writes to the store
 * goes through the running server where there is one; list, verify and a dry run only read.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "cli/commands.h"
#include "cli/recovery.h"
#include "cli/remote.h"
#include "snapshot/lines.h"

static const struct cli_option options[] = {
    {"daily-keep", 0, "N", "cleanup: daily snapshots to keep (30)"},
    {"monthly-keep", 0, "N", "cleanup: monthly snapshots to keep (12)"},
    {"window-days", 0, "N", "cleanup: days in which every moment stays available (30)"},
    {"dry-run", 'n', NULL, "cleanup: only say what would be removed"},
    RECOVERY_SOURCE_OPTIONS,
    REMOTE_OPTIONS,
    {"json", 'j', NULL, "Print JSON, one object a line"},
};

#define KEEP_MAX 100000

/* Printing ------------------------------------------------------------------------------------ */

static void print_snapshot(const struct cli_args *args, const struct snapshot *s)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    char made[TIMEFMT_MAX];
    timefmt_rfc3339(s->file.made_us, made);
    if (options_has(args, "json"))
        json_snapshot(&out, s);
    else
        buf_printf(&out, "%-32s %-8s %14" PRId64 "  %-27s %12" PRIu64 " %14" PRIu64, s->name,
                   snapshot_type_name(s->type), s->file.lsn_to - 1, made, s->file.rows,
                   s->file.size);
    printf("%.*s\n", (int)out.len, out.data);
}

static void print_head(const struct cli_args *args)
{
    if (!options_has(args, "json"))
        printf("%-32s %-8s %14s  %-27s %12s %14s\n", "NAME", "TYPE", "LSN", "MADE", "DOCUMENTS",
               "BYTES");
}

/* list, verify -------------------------------------------------------------------------------- */

static err_t need_store(struct source *s)
{
    return source_store(s) != NULL ? OK : err_fail(ERR_NOT_FOUND, "there is no store yet");
}

static err_t list(const struct cli_args *args, struct source *s, const struct place *place)
{
    struct snapshot_list l;
    TRY(need_store(s));
    TRY(snapshot_list_read(source_store(s), place->namespace_name, place->collection, &l));
    print_head(args);
    for (size_t i = 0; i < l.count; i++)
        print_snapshot(args, &l.items[i]);
    snapshot_list_free(&l);
    return OK;
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

static err_t verify(const struct cli_args *args, struct source *s, const struct place *place)
{
    const char *name = args->positional_count > 2 ? args->positional[2] : NULL;
    struct cli_args shown = *args;
    TRY(need_store(s));
    return snapshot_verify(source_store(s), place->namespace_name, place->collection, name,
                           on_verified, &shown);
}

/* cleanup ------------------------------------------------------------------------------------- */

static void on_removed(void *arg, const char *path, uint64_t size)
{
    const struct cli_args *args = arg;
    if (!options_has(args, "json")) {
        printf("%s  %" PRIu64 " bytes\n", path, size);
        return;
    }
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    buf_append_str(&out, "{\"path\":");
    buf_append_json(&out, path, strlen(path));
    printf("%.*s,\"size\":%" PRIu64 "}\n", (int)out.len, out.data, size);
}

static bool read_retention(const struct cli_args *args, struct retention *r)
{
    int64_t daily = 30, monthly = 12, days = 30;
    if (!options_number(args, "daily-keep", 0, KEEP_MAX, &daily) ||
        !options_number(args, "monthly-keep", 0, KEEP_MAX, &monthly) ||
        !options_number(args, "window-days", 0, KEEP_MAX, &days))
        return false;
    *r = (struct retention){(unsigned)daily, (unsigned)monthly, (unsigned)days};
    return true;
}

static err_t cleanup(const struct cli_args *args, struct source *s, const struct place *place)
{
    struct retention r;
    struct cli_args shown = *args;
    if (!read_retention(args, &r))
        return ERR_USAGE;
    TRY(need_store(s));
    return snapshot_cleanup(s, place->namespace_name, place->collection, &r,
                            options_has(args, "dry-run"), on_removed, &shown);
}

/* create -------------------------------------------------------------------------------------- */

static err_t create(const struct cli_args *args, struct source *s, const struct place *place)
{
    struct snapshot made;
    TRY(snapshot_create(s, place->namespace_name, place->collection, SNAPSHOT_MANUAL, &made));
    print_head(args);
    print_snapshot(args, &made);
    snapshot_free(&made);
    return OK;
}

static int report_created(const struct cli_args *args, const struct http_client_reply *reply)
{
    json_t *root = json_loadb(reply->body.data, reply->body.len, 0, NULL);
    bool good = reply->status >= 200 && reply->status < 300 && json_is_object(root);
    const char *text = json_string_value(json_object_get(root, good ? "name" : "error"));
    if (!good)
        fprintf(stderr, "spillway snapshot: the server answered %d: %s\n", reply->status,
                text != NULL ? text : "no JSON object");
    else if (options_has(args, "json"))
        printf("%.*s\n", (int)reply->body.len, reply->body.data);
    else
        printf("%s\n", text != NULL ? text : "made");
    json_decref(root);
    return good ? EXIT_OK : EXIT_FAILED;
}

static int create_remote(const struct cli_args *args, const struct place *place)
{
    CLEANUP(http_client_free_ptr) struct http_client *client = NULL;
    CLEANUP(xfree_ptr) char *path = place_url(place, "snapshots");
    const char *token;
    struct http_client_reply reply;
    int rc = remote_open(args, &client, &token);
    if (rc != EXIT_OK)
        return rc;
    const struct http_client_request request = {.method = "POST",
                                                .path = path,
                                                .content_type = "application/json",
                                                .token = token,
                                                .body = SLICE("{}")};
    err_t err = http_client_send(client, &request, &reply);
    if (err != OK)
        return recovery_failed(args, err);
    rc = report_created(args, &reply);
    buf_release(&reply.body);
    return rc;
}

/* All ----------------------------------------------------------------------------------------- */

struct action {
    const char *name;
    err_t (*run)(const struct cli_args *args, struct source *s, const struct place *place);
    bool writes;
    /** Where a server runs; NULL: it cannot be done then. */
    int (*remote)(const struct cli_args *args, const struct place *place);
};

static const struct action actions[] = {
    {"create", create, true, create_remote},
    {"list", list, false, NULL},
    {"verify", verify, false, NULL},
    {"cleanup", cleanup, true, NULL},
};

static int served(const struct cli_args *args, const struct action *a, const struct place *place)
{
    if (a->remote != NULL)
        return a->remote(args, place);
    return recovery_failed(
        args, err_fail(ERR_LOCKED,
                       "a server runs on this data directory and cleans up by itself each day; "
                       "--dry-run shows what it would remove, or stop it first"));
}

static int run_action(const struct cli_args *args, const struct action *a,
                      const struct place *place)
{
    struct source *s;
    int lock = -1;
    bool writes = a->writes && !options_has(args, "dry-run");
    if (a->remote != NULL && options_has(args, "server"))
        return a->remote(args, place);
    int rc = writes ? recovery_open_writable(args, &s, &lock) : recovery_open(args, &s);
    if (rc == RECOVERY_SERVED)
        return served(args, a, place);
    if (rc != EXIT_OK)
        return rc;
    err_t err = a->run(args, s, place);
    source_close(s);
    if (lock >= 0)
        close(lock);
    return err == OK ? EXIT_OK : recovery_failed(args, err);
}

static int run(const struct cli_args *args)
{
    CLEANUP(place_release) struct place place = {0};
    const char *what = args->positional_count > 0 ? args->positional[0] : "";
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(actions[i].name, what) != 0)
            continue;
        int rc = place_parse(args, 1, &place);
        return rc == EXIT_OK ? run_action(args, &actions[i], &place) : rc;
    }
    return options_mistake(args->command,
                           "create, list, verify or cleanup was expected, not \"%s\"", what);
}

const struct cli_command command_snapshot = {
    .name = "snapshot",
    .usage = "snapshot create [OPTIONS] NS/COLLECTION\n"
             "       spillway snapshot list [OPTIONS] NS/COLLECTION\n"
             "       spillway snapshot verify [OPTIONS] NS/COLLECTION [NAME]\n"
             "       spillway snapshot cleanup [OPTIONS] NS/COLLECTION",
    .summary = "Make, list, verify or clean up snapshots",
    .about =
        "create goes through the server where one runs on the data directory, or --server is\n"
        "given. verify reads and hashes every file again, deltas too, and exits 1 where one is\n"
        "damaged. cleanup removes what no moment inside the window needs.\n" RECOVERY_SOURCE_ABOUT
            REMOTE_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 3,
    .example = "  spillway snapshot create default/orders\n"
               "  spillway snapshot verify default/orders --store /backup/store\n",
    .run = run,
};
