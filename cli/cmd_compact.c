/*
 * cli/cmd_compact.c: spillway compact: merges deltas and writes the compacted state.
 */
#include <jansson.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/recovery.h"
#include "cli/remote.h"
#include "snapshot/snapshot.h"

static const struct cli_option options[] = {
    RECOVERY_SOURCE_OPTIONS,
    RECOVERY_SERVER_OPTIONS,
    {"json", 'j', NULL, "Print the result as JSON"},
};

static void print_count(const struct cli_args *args, long long count)
{
    if (options_has(args, "json"))
        printf("{\"collections\":%lld}\n", count);
    else
        printf("%lld collections compacted\n", count);
}

static void print_reply(const struct cli_args *args, json_t *reply)
{
    print_count(args, answer_number(reply, "collections"));
}

struct compaction {
    struct source *source;
    long long count;
};

static err_t compact_one(void *arg, const char *namespace_name, struct slice collection)
{
    struct compaction *c = arg;
    err_t err = snapshot_compact(c->source, namespace_name, collection);
    c->count += err == OK;
    return err == ERR_NOT_FOUND ? OK : err; /* nothing of it is in the store yet */
}

static err_t compact(const struct cli_args *args, struct recovery *r, void *arg)
{
    struct compaction c = {.source = r->source};
    (void)arg;
    TRY(source_each_collection(r->source, NULL, compact_one, &c));
    print_count(args, c.count);
    return OK;
}

static int run(const struct cli_args *args)
{
    static char path[] = "/admin/compact";
    static const struct recovery_work work = {"POST", path, SLICE("{}"), print_reply, compact};
    return recovery_do(args, &work, NULL);
}

const struct cli_command command_compact = {
    .name = "compact",
    .usage = "compact [OPTIONS]",
    .summary = "Merge deltas and write the compacted state now",
    .about = "Every change stays; restores and histories read fewer files. Goes through the server "
             "where\n"
             "one runs on the data directory, or --server is given.\n" RECOVERY_SOURCE_ABOUT
                 RECOVERY_SERVER_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 0,
    .example = "  spillway compact\n"
               "  spillway compact --data /var/lib/spillway\n",
    .run = run,
};
