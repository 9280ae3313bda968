/*
 * cli/cmd_history.c: spillway history: every version of one document that is kept.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "cli/commands.h"
#include "cli/recovery.h"
#include "snapshot/lines.h"

static const struct cli_option options[] = {
    RECOVERY_SOURCE_OPTIONS,
    {"json", 'j', NULL, "Print JSON, one change a line"},
};

struct history {
    bool json;
    uint64_t count;
    struct buf line;
};

static bool print_version(void *arg, const struct change *c)
{
    struct history *h = arg;
    buf_clear(&h->line);
    if (h->json)
        line_change(&h->line, c);
    else
        line_change_text(&h->line, c);
    h->count++;
    return fwrite(h->line.data, 1, h->line.len, stdout) == h->line.len;
}

static err_t list(struct source *s, const struct place *place, struct slice id, struct history *h)
{
    int64_t oldest = 0;
    err_t err = changes_each(s, place->namespace_name, place->collection, &id,
                             (struct change_range){0, INT64_MAX}, print_version, h, &oldest);
    if (err == ERR_OFFSET_OUT_OF_RANGE) {
        fprintf(stderr, "spillway history: changes below LSN %" PRId64 " are no longer kept\n",
                oldest);
        err = changes_each(s, place->namespace_name, place->collection, &id,
                           (struct change_range){oldest, INT64_MAX}, print_version, h, &oldest);
    }
    TRY(err);
    if (h->count == 0)
        return err_fail(ERR_NOT_FOUND, "no change of the document \"%.*s\" is kept",
                        (int)MIN(id.len, 200), id.data);
    return OK;
}

static int run(const struct cli_args *args)
{
    CLEANUP(place_release) struct place place = {0};
    struct history h = {.json = options_has(args, "json")};
    CLEANUP(recovery_close) struct recovery r = RECOVERY_INIT;
    int rc = place_parse(args, 0, &place);
    if (rc != EXIT_OK)
        return rc;
    if (args->positional_count < 2)
        return options_mistake(args->command, "DOCID is missing");
    rc = recovery_open(args, &r);
    if (rc != EXIT_OK)
        return rc;
    err_t err = list(r.source, &place, slice_of(args->positional[1]), &h);
    buf_release(&h.line);
    return err == OK ? EXIT_OK : recovery_failed(args, err);
}

const struct cli_command command_history = {
    .name = "history",
    .usage = "history [OPTIONS] NS/COLLECTION DOCID",
    .summary = "Show every version of one document",
    .about = "One line per change, oldest first: LSN, time, what it did, the "
             "document.\n" RECOVERY_SOURCE_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 2,
    .example = "  spillway history default/orders order-4711\n",
    .run = run,
};
