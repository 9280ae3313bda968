/*
 * cli/cmd_diff.c: spillway diff: which documents are not the same at two targets.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/recovery.h"
#include "snapshot/lines.h"

static const struct cli_option options[] = {
    {"count", 'c', NULL, "Only count"},
    RECOVERY_SOURCE_OPTIONS,
    {"json", 'j', NULL, "Print JSON, one document a line"},
};

struct diff {
    bool json, count_only;
    uint64_t inserts, updates, deletes;
    struct buf line;
};

static void add_doc(struct buf *out, const char *name, const struct state_doc *doc)
{
    if (doc == NULL)
        return;
    buf_printf(out, ",\"%s\":", name);
    json_append_single_line(out, doc->doc.data, doc->doc.len);
}

static err_t on_difference(void *arg, const struct state_doc *from, const struct state_doc *to)
{
    struct diff *d = arg;
    enum change_op op = from == NULL ? CHANGE_INSERT : to == NULL ? CHANGE_DELETE : CHANGE_UPDATE;
    struct slice id = from != NULL ? from->id : to->id;
    ++*(op == CHANGE_INSERT ? &d->inserts : op == CHANGE_UPDATE ? &d->updates : &d->deletes);
    if (d->count_only)
        return OK;
    buf_clear(&d->line);
    if (d->json) {
        buf_printf(&d->line, "{\"change\":\"%s\",\"id\":", change_op_name(op));
        buf_append_json(&d->line, id.data, id.len);
        add_doc(&d->line, "from", from);
        add_doc(&d->line, "to", to);
        buf_append_str(&d->line, "}\n");
    } else {
        buf_append_str(&d->line, op == CHANGE_INSERT ? "+ " : op == CHANGE_DELETE ? "- " : "~ ");
        buf_append_json(&d->line, id.data, id.len);
        buf_append_char(&d->line, '\n');
    }
    if (fwrite(d->line.data, 1, d->line.len, stdout) != d->line.len)
        return err_fail_errno(ERR_IO, "cannot write to standard output");
    return OK;
}

static err_t compare(struct source *s, const struct place *place, const struct target *from,
                     const struct target *to, struct diff *d)
{
    CLEANUP(rebuild_plan_free) struct rebuild_plan a = {0};
    CLEANUP(rebuild_plan_free) struct rebuild_plan b = {0};
    TRY(rebuild_plan(s, place->namespace_name, place->collection, from, &a));
    TRY(rebuild_plan(s, place->namespace_name, place->collection, to, &b));
    return restore_compare(s, place->namespace_name, place->collection, &a, &b, on_difference, d);
}

static void print_counts(const struct diff *d)
{
    if (d->json && d->count_only)
        printf("{\"inserts\":%" PRIu64 ",\"updates\":%" PRIu64 ",\"deletes\":%" PRIu64 "}\n",
               d->inserts, d->updates, d->deletes);
    else if (d->count_only)
        printf("%" PRIu64 " inserted, %" PRIu64 " updated, %" PRIu64 " deleted\n", d->inserts,
               d->updates, d->deletes);
}

static int run_compare(const struct cli_args *args, const struct place *place,
                       const struct target *from, const struct target *to)
{
    struct diff d = {.json = options_has(args, "json"), .count_only = options_has(args, "count")};
    CLEANUP(recovery_close) struct recovery r = RECOVERY_INIT;
    int rc = recovery_open(args, &r);
    if (rc != EXIT_OK)
        return rc;
    err_t err = compare(r.source, place, from, to, &d);
    if (err == OK)
        print_counts(&d);
    buf_release(&d.line);
    return err == OK ? EXIT_OK : recovery_failed(args, err);
}

static int run(const struct cli_args *args)
{
    CLEANUP(place_release) struct place place = {0};
    struct target targets[2] = {{.kind = TARGET_LATEST}, {.kind = TARGET_LATEST}};
    int rc = place_parse(args, 0, &place);
    if (rc == EXIT_OK && args->positional_count < 2)
        rc = options_mistake(args->command, "FROM is missing");
    for (size_t i = 1; i < args->positional_count && rc == EXIT_OK; i++)
        if (!recovery_target(args, args->positional[i], &targets[i - 1]))
            rc = EXIT_USAGE;
    if (rc == EXIT_OK)
        rc = run_compare(args, &place, &targets[0], &targets[1]);
    free(targets[0].name);
    free(targets[1].name);
    return rc;
}

const struct cli_command command_diff = {
    .name = "diff",
    .usage = "diff [OPTIONS] NS/COLLECTION FROM [TO]",
    .summary = "Compare a collection at two moments",
    .about =
        "FROM and TO are a time with a zone, lsn:N, bookmark:B, snapshot:NAME or latest (which\n"
        "TO is without being given). Prints + for documents that only TO has, - for those that\n"
        "only FROM has, ~ for those that differ.\n" RECOVERY_SOURCE_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 3,
    .example = "  spillway diff default/orders 2026-02-02T14:30:00Z\n"
               "  spillway diff default/orders snapshot:2026-02-02 lsn:4711 --json\n",
    .run = run,
};
