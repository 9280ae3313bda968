/*
 * cli/cmd_collections.c: spillway collections: what there is to go back to.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"
#include "cli/commands.h"
#include "cli/recovery.h"
#include "snapshot/lines.h"

static const struct cli_option options[] = {
    RECOVERY_SOURCE_OPTIONS,
    {"json", 'j', NULL, "Print JSON, one collection a line"},
};

struct row {
    const char *namespace_name, *name;
    int64_t count; /* -1: not known without reading it all */
    int64_t last_lsn, last_ts;
    size_t snapshots;
    char newest[64]; /* snapshot */
    char *problem;   /* owned, or NULL: the list of snapshots is damaged */
    bool has_drill;
    struct drill_result drill;
};

static err_t fill_from_state(struct source *s, struct row *r)
{
    struct state *state;
    struct state_collection c;
    err_t err = source_state(s, r->namespace_name, &state);
    if (err != OK)
        return err == ERR_NOT_FOUND || err == ERR_CORRUPT ? OK : err;
    err = state_find_collection(state, slice_of(r->name), &c);
    if (err == OK) {
        r->count = (int64_t)c.count;
        r->last_lsn = c.last_lsn;
        r->last_ts = c.max_ts_us;
        free(c.name);
    }
    state_close(state);
    return err == ERR_NOT_FOUND ? OK : err;
}

/** What the files say, where no state does. */
static err_t fill_from_manifest(struct source *s, struct row *r)
{
    struct collection_manifest m;
    err_t err = collection_manifest_read(source_store(s), r->namespace_name, slice_of(r->name), &m);
    if (err != OK)
        return err == ERR_NOT_FOUND ? OK : err;
    if (r->count < 0 && m.delta_count > 0) {
        const struct store_file *last = &m.deltas[m.delta_count - 1];
        r->count = (int64_t)last->state_count;
        r->last_lsn = last->lsn_to - 1;
        for (size_t i = 0; i < m.delta_count; i++)
            if (m.deltas[i].rows > 0)
                r->last_ts = MAX(r->last_ts, m.deltas[i].ts_max_us);
    }
    collection_manifest_free(&m);
    return OK;
}

static err_t fill_from_store(struct source *s, struct row *r)
{
    struct snapshot_list list;
    if (source_store(s) == NULL)
        return OK;
    TRY(fill_from_manifest(s, r));
    err_t err = snapshot_list_read(source_store(s), r->namespace_name, slice_of(r->name), &list);
    if (err == ERR_CORRUPT) {
        r->problem = xstrdup(err_text(err));
    } else {
        TRY(err);
        r->snapshots = list.count;
        if (list.count > 0)
            snprintf(r->newest, sizeof(r->newest), "%s", list.items[list.count - 1].name);
        snapshot_list_free(&list);
    }
    err = drill_last(source_store(s), r->namespace_name, slice_of(r->name), &r->drill);
    r->has_drill = err == OK;
    return err == ERR_NOT_FOUND || err == ERR_CORRUPT ? OK : err; /* the next drill mends it */
}

static void append_time(struct buf *out, bool known, int64_t us)
{
    char text[TIMEFMT_MAX];
    timefmt_rfc3339(us, text);
    if (known)
        buf_printf(out, "\"%s\"", text);
    else
        buf_append_str(out, "null");
}

static void print_json(const struct row *r)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    buf_append_str(&out, "{\"namespace\":");
    buf_append_json(&out, r->namespace_name, strlen(r->namespace_name));
    buf_append_str(&out, ",\"collection\":");
    buf_append_json(&out, r->name, strlen(r->name));
    buf_append_str(&out, ",\"count\":");
    if (r->count >= 0)
        buf_printf(&out, "%" PRId64, r->count);
    else
        buf_append_str(&out, "null");
    buf_printf(&out, ",\"lastLsn\":%" PRId64 ",\"lastTs\":", r->last_lsn);
    append_time(&out, r->last_ts != INT64_MIN, r->last_ts);
    json_snapshot_count(&out, r->snapshots, r->problem);
    buf_append_str(&out, ",\"newestSnapshot\":");
    if (r->snapshots > 0)
        buf_append_json(&out, r->newest, strlen(r->newest));
    else
        buf_append_str(&out, "null");
    buf_append_str(&out, ",\"lastDrill\":");
    if (r->has_drill)
        drill_to_json(&r->drill, &out);
    else
        buf_append_str(&out, "null");
    printf("%.*s}\n", (int)out.len, out.data);
}

static void print_text(const struct row *r)
{
    char count[24] = "?", last[TIMEFMT_MAX] = "-", drill[TIMEFMT_MAX] = "never";
    char snapshots[24] = "?";
    CLEANUP(buf_release) struct buf name = BUF_INIT;
    buf_printf(&name, "%s/", r->namespace_name);
    recovery_append_shown(&name, slice_of(r->name));
    if (r->count >= 0)
        snprintf(count, sizeof(count), "%" PRId64, r->count);
    if (r->last_ts != INT64_MIN)
        timefmt_rfc3339(r->last_ts, last);
    if (r->has_drill)
        timefmt_rfc3339(r->drill.at_us, drill);
    if (r->problem == NULL)
        snprintf(snapshots, sizeof(snapshots), "%zu", r->snapshots);
    printf("%-32.*s %12s  %-27s %9s  %s%s\n", (int)name.len, name.data, count, last, snapshots,
           drill,
           !r->has_drill     ? ""
           : r->drill.passed ? " passed"
                             : " FAILED");
    if (r->has_drill && !r->drill.passed)
        printf("    %s\n", r->drill.text);
    if (r->problem != NULL)
        printf("    %s\n", r->problem);
}

struct listing {
    const struct cli_args *args;
    struct source *source;
    bool damaged;
};

static err_t list_one(void *arg, const char *namespace_name, struct slice collection)
{
    struct listing *l = arg;
    struct row r = {.namespace_name = namespace_name,
                    .name = collection.data,
                    .count = -1,
                    .last_lsn = -1,
                    .last_ts = INT64_MIN};
    TRY(fill_from_state(l->source, &r));
    err_t err = fill_from_store(l->source, &r);
    if (err == OK)
        (options_has(l->args, "json") ? print_json : print_text)(&r);
    l->damaged |= r.problem != NULL;
    free(r.problem);
    return err;
}

static int run(const struct cli_args *args)
{
    CLEANUP(recovery_close) struct recovery r = RECOVERY_INIT;
    int rc = recovery_open(args, &r);
    if (rc != EXIT_OK)
        return rc;
    if (!options_has(args, "json"))
        printf("%-32s %12s  %-27s %9s  %s\n", "COLLECTION", "DOCUMENTS", "LAST CHANGE", "SNAPSHOTS",
               "LAST DRILL");
    struct listing l = {args, r.source, false};
    err_t err = source_each_collection(
        r.source, args->positional_count > 0 ? args->positional[0] : NULL, list_one, &l);
    if (err != OK)
        return recovery_failed(args, err);
    return l.damaged ? EXIT_FAILED : EXIT_OK;
}

const struct cli_command command_collections = {
    .name = "collections",
    .usage = "collections [OPTIONS] [NS]",
    .summary = "List collections: documents, last change, snapshots, last drill",
    .about = RECOVERY_SOURCE_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 1,
    .example = "  spillway collections --data /var/lib/spillway\n",
    .run = run,
};
