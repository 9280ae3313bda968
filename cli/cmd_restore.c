/*
 * cli/cmd_restore.c: spillway restore: a collection, or all of a namespace, as of any moment: to
 * standard output, a file, or back in place through a running server; what it would read and
 * change; a drill.
 */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/progress.h"
#include "cli/recovery.h"
#include "cli/recovery_ask.h"
#include "cli/remote.h"
#include "server/lockfile.h"
#include "snapshot/lines.h"

static const struct cli_option options[] = {
    {"at", 0, "TIME", "As of this time, with a zone: changes with ts <= TIME"},
    {"lsn", 0, "N", "As of this LSN, that change included"},
    {"bookmark", 0, "B", "As of the last change that carries this bookmark"},
    {"snapshot", 0, "NAME", "This snapshot"},
    {"latest", 0, NULL, "The current state"},
    {"exclusive", 'x', NULL, "Without changes at TIME, or the change at N or B"},
    {"format", 'f', "FORMAT", "ndjson, parquet or sqlite (ndjson)"},
    {"to", 'o', "FILE", "Write here, never over an existing file; for NS alone a directory"},
    {"in-place", 0, NULL, "Put it back through the running server"},
    {"dry-run", 'n', NULL, "Only say what would be read and changed"},
    {"ids", 0, "FILE", "In place: only the documents whose ids stand in FILE, one a line"},
    {"only", 0, "KIND", "In place: only go back on deletes, updates or inserts"},
    {"undo", 0, "N..N", "In place: undo these LSNs, but not what was written later"},
    {"max-changes", 0, "N", "In place: refuse to make more changes than this"},
    {"drill", 0, NULL, "Restore from the store's files alone and compare with the recorded hash"},
    RECOVERY_SOURCE_OPTIONS,
    REMOTE_OPTIONS,
    {"json", 'j', NULL, "Print the result as JSON"},
};

/* To a file ----------------------------------------------------------------------------------- */

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
    struct progress *p = arg;
    p->total_bytes = total;
    progress_update(p, done, 0);
}

static err_t write_one(struct source *s, const struct place *place, const struct recovery_ask *ask,
                       const char *path, struct restore_result *ret)
{
    struct rebuild_plan plan;
    struct progress bar;
    TRY(rebuild_plan(s, place->namespace_name, place->collection, &ask->asked.target, &plan));
    progress_start(&bar, "restore", 0);
    const struct rebuild_progress progress = {on_progress, &bar};
    const struct restore_output output = {ask->format, path, STDOUT_FILENO};
    err_t err = restore_to_file(s, place->namespace_name, place->collection, &plan, &output,
                                &progress, ret);
    progress_end(&bar);
    rebuild_plan_free(&plan);
    return err;
}

static void append_result(struct buf *out, const struct cli_args *args, const char *path,
                          const struct restore_result *r)
{
    char hash[33];
    state_hash_format(r->hash, hash);
    if (options_has(args, "json")) {
        buf_printf(out, "{\"rows\":%" PRIu64 ",\"hash\":\"%s\",\"path\":", r->rows, hash);
        if (path != NULL)
            buf_append_json(out, path, strlen(path));
        else
            buf_append_str(out, "null");
        buf_append_str(out, "}\n");
    } else if (path != NULL) {
        buf_printf(out, "%s: %" PRIu64 " documents, state hash %s\n", path, r->rows, hash);
    }
}

static int restore_file(const struct cli_args *args, const struct place *place,
                        const struct recovery_ask *ask)
{
    CLEANUP(recovery_close) struct recovery r = RECOVERY_INIT;
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    struct restore_result result;
    const char *path = options_value(args, "to");
    int rc = recovery_open(args, &r);
    if (rc != EXIT_OK)
        return rc;
    if (path != NULL)
        recovery_leave_nothing();
    err_t err = write_one(r.source, place, ask, path, &result);
    if (err != OK)
        return recovery_failed(args, err);
    append_result(&out, args, path, &result);
    fwrite(out.data, 1, out.len, path == NULL ? stderr : stdout);
    return EXIT_OK;
}

/* All collections of a namespace -------------------------------------------------------------- */

static const char *const extensions[] = {
    [RESTORE_NDJSON] = "ndjson", [RESTORE_PARQUET] = "parquet", [RESTORE_SQLITE] = "sqlite"};

/** Where the files are written, and what is said of them once they are where they belong. */
struct directory {
    char *temp, *to; /* owned */
    struct buf said;
};

static void directory_release(struct directory *d)
{
    free(d->temp);
    free(d->to);
    buf_release(&d->said);
}

static err_t write_all(const struct cli_args *args, struct source *s,
                       const struct recovery_ask *ask, struct directory *d)
{
    CLEANUP(name_list_free) struct name_list names = {0};
    const char *namespace_name = args->positional[0];
    TRY(source_collections(s, namespace_name, &names));
    TRY(io_mkdir(io_posix(), d->temp));
    for (size_t i = 0; i < names.count; i++) {
        CLEANUP(xfree_ptr) char *owned = xstrdup(namespace_name);
        const struct place place = {owned, slice_of(names.names[i])};
        CLEANUP(xfree_ptr) char *file = store_component(place.collection);
        const char *extension = extensions[ask->format];
        CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s.%s", d->temp, file, extension);
        CLEANUP(xfree_ptr) char *last = xasprintf("%s/%s.%s", d->to, file, extension);
        struct restore_result result;
        TRY(write_one(s, &place, ask, path, &result));
        append_result(&d->said, args, last, &result);
    }
    return OK;
}

static err_t drop_file(void *arg, const char *name)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", (const char *)arg, name);
    return io_unlink(io_posix(), path);
}

/** Takes a half-written directory away; what fails is left, under its temporary name. */
static void drop_dir(char *dir)
{
    if (io_list(io_posix(), dir, drop_file, dir) != OK || io_rmdir(io_posix(), dir) != OK)
        fprintf(stderr, "spillway restore: %s is left behind\n", dir);
}

static err_t publish_dir(const struct directory *d)
{
    TRY(io_sync_dir(io_posix(), d->temp));
    TRY(io_rename(io_posix(), d->temp, d->to));
    return io_sync_parent(io_posix(), d->to);
}

static int restore_namespace(const struct cli_args *args, const struct recovery_ask *ask)
{
    CLEANUP(recovery_close) struct recovery r = RECOVERY_INIT;
    CLEANUP(directory_release) struct directory d = {.to = xstrdup(options_value(args, "to"))};
    for (size_t len = strlen(d.to); len > 1 && d.to[len - 1] == '/'; len--)
        d.to[len - 1] = '\0';
    if (io_exists(io_posix(), d.to))
        return recovery_failed(
            args, err_fail(ERR_EXISTS, "%s exists already; restores never overwrite", d.to));
    int rc = recovery_open(args, &r);
    if (rc != EXIT_OK)
        return rc;
    d.temp = xasprintf("%s.partial-%ld", d.to, (long)getpid());
    recovery_leave_nothing();
    err_t err = write_all(args, r.source, ask, &d);
    if (err == OK)
        err = publish_dir(&d);
    if (err == OK)
        fwrite(d.said.data, 1, d.said.len, stdout);
    else
        rc = recovery_failed(args, err);
    if (err != OK && io_exists(io_posix(), d.temp))
        drop_dir(d.temp);
    return rc;
}

/* Dry run and drill --------------------------------------------------------------------------- */

static err_t plan_and_count(struct source *s, const struct place *place,
                            const struct recovery_ask *ask, struct rebuild_plan *plan,
                            struct restore_counts *counts)
{
    if (!ask->asked.has_undo)
        TRY(rebuild_plan(s, place->namespace_name, place->collection, &ask->asked.target, plan));
    return restore_diff(s, place->namespace_name, place->collection, plan, &ask->asked.filter, NULL,
                        NULL, counts);
}

static void print_dry_run(const struct cli_args *args, const struct recovery_ask *ask,
                          const struct rebuild_plan *plan, const struct restore_counts *n)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    if (options_has(args, "json")) {
        json_dry_run(&out, plan, n);
        buf_append_char(&out, '\n');
    } else {
        if (!ask->asked.has_undo)
            recovery_plan_text(&out, plan);
        buf_printf(&out,
                   "in place  %" PRIu64 " inserts, %" PRIu64 " updates, %" PRIu64
                   " deletes against the current state\n",
                   n->inserts, n->updates, n->deletes);
    }
    fwrite(out.data, 1, out.len, stdout);
}

static int dry_run(const struct cli_args *args, const struct place *place,
                   const struct recovery_ask *ask)
{
    CLEANUP(recovery_close) struct recovery r = RECOVERY_INIT;
    CLEANUP(rebuild_plan_free) struct rebuild_plan plan = {0};
    struct restore_counts counts;
    int rc = recovery_open(args, &r);
    if (rc != EXIT_OK)
        return rc;
    err_t err = plan_and_count(r.source, place, ask, &plan, &counts);
    if (err != OK)
        return recovery_failed(args, err);
    recovery_ask_missing(args, &counts);
    print_dry_run(args, ask, &plan, &counts);
    return EXIT_OK;
}

static void print_drill(const struct cli_args *args, const struct drill_result *r)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    if (options_has(args, "json")) {
        drill_to_json(r, &out);
        buf_append_char(&out, '\n');
    } else if (r->passed) {
        buf_printf(&out, "drill passed at LSN %" PRId64 " in %.3f s: %s and %" PRIu64 " delta%s\n",
                   r->lsn, (double)r->took_us / 1e6,
                   *r->base != '\0' ? r->base : "the empty collection", r->deltas,
                   r->deltas == 1 ? "" : "s");
    } else {
        buf_append_str(&out, "drill FAILED");
        if (r->lsn >= 0) /* else it came to no LSN */
            buf_printf(&out, " at LSN %" PRId64, r->lsn);
        buf_printf(&out, " in %.3f s: %s\n", (double)r->took_us / 1e6, r->text);
    }
    fwrite(out.data, 1, out.len, stdout);
}

static int drill(const struct cli_args *args, const struct place *place,
                 const struct recovery_ask *ask)
{
    CLEANUP(recovery_close) struct recovery opened = RECOVERY_INIT;
    struct drill_result r;
    int rc = recovery_open(args, &opened);
    if (rc != EXIT_OK)
        return rc;
    const struct target *target = ask->asked.has_target ? &ask->asked.target : NULL;
    struct progress bar;
    progress_start(&bar, "drill", 0);
    const struct rebuild_progress progress = {on_progress, &bar};
    err_t err = restore_drill(opened.source, place->namespace_name, place->collection, target,
                              &progress, &r);
    progress_end(&bar);
    if (err == OK) {
        print_drill(args, &r);
        rc = r.passed ? EXIT_OK : EXIT_FAILED;
        err = drill_save(opened.source, place->namespace_name, place->collection, &r);
        if (err != OK)
            fprintf(stderr, "spillway restore: the outcome is not kept: %s\n", err_text(err));
    } else {
        rc = recovery_failed(args, err);
    }
    return rc;
}

/* In place ------------------------------------------------------------------------------------ */

static int in_place(const struct cli_args *args, const struct place *place,
                    const struct recovery_ask *ask)
{
    CLEANUP(xfree_ptr) char *path = place_url(place, "restore", NULL);
    CLEANUP(xfree_ptr) char *address = NULL;
    const char *data = options_value(args, "data");
    json_t *reply;
    if (data != NULL && !options_has(args, "server")) {
        address = lockfile_http_address(data);
        if (address == NULL)
            return recovery_failed(args, err_fail(ERR_UNAVAILABLE,
                                                  "no server runs on %s; a restore in place goes "
                                                  "through one",
                                                  data));
    }
    int rc = remote_ask(args, address, "POST", path, slice_of(ask->body), &reply);
    if (rc != EXIT_OK)
        return rc;
    recovery_ask_print(args, ask, reply);
    json_decref(reply);
    return EXIT_OK;
}

/* All ----------------------------------------------------------------------------------------- */

static int restore_collection(const struct cli_args *args, const struct recovery_ask *ask)
{
    CLEANUP(place_release) struct place place = {0};
    int rc = place_parse(args, 0, &place);
    if (rc != EXIT_OK)
        return rc;
    if (options_has(args, "drill"))
        return drill(args, &place, ask);
    if (options_has(args, "in-place") || options_has(args, "server"))
        return in_place(args, &place, ask);
    if (options_has(args, "dry-run"))
        return dry_run(args, &place, ask);
    return restore_file(args, &place, ask);
}

static int run(const struct cli_args *args)
{
    CLEANUP(recovery_ask_release) struct recovery_ask ask;
    int rc = recovery_ask_read(args, &ask);
    if (rc != EXIT_OK)
        return rc;
    const char *to = options_value(args, "to");
    if (args->positional_count == 1 && strchr(args->positional[0], '/') == NULL && to != NULL &&
        ask.asked.has_target && ask.asked.target.name == NULL && !ask.asked.dry_run)
        return restore_namespace(args, &ask);
    return restore_collection(args, &ask);
}

const struct cli_command command_restore = {
    .name = "restore",
    .usage = "restore [OPTIONS] NS/COLLECTION\n"
             "       spillway restore (--lsn N | --at TIME | --latest) --to DIR NS",
    .summary = "Bring a collection back as of any moment",
    .about =
        "One target is needed: --at, --lsn, --bookmark, --snapshot or --latest (or --undo, "
        "--drill).\n"
        "Writes NDJSON to standard output, or a file (--to), or puts the state back in place as\n"
        "new changes through the running server (--in-place). The last form writes every\n"
        "collection of a namespace into a new directory.\n" RECOVERY_SOURCE_ABOUT REMOTE_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 1,
    .example =
        "  spillway restore default/orders --at 2026-02-02T14:30:00Z --dry-run\n"
        "  spillway restore default/orders --at 2026-02-02T14:30:00Z --only deletes --in-place\n"
        "  spillway restore default/orders --lsn 4711 --format parquet --to orders.parquet\n",
    .run = run,
};
