/*
 * cli/cmd_changes.c: spillway changes: how many changes of which kind and source each minute had,
 * or the changes themselves: finds the moment to go back to.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/timefmt.h"
#include "cli/commands.h"
#include "cli/recovery.h"
#include "snapshot/lines.h"

#define MINUTE_US INT64_C(60000000)

static const struct cli_option options[] = {
    {"list", 'l', NULL, "Print the changes in place of counts"},
    {"from", 0, "LSN", "From this LSN on (the oldest that is kept)"},
    {"since", 0, "TIME", "Only changes with ts >= TIME, with a zone"},
    {"until", 0, "TIME", "Only changes with ts <= TIME"},
    RECOVERY_SOURCE_OPTIONS,
    {"json", 'j', NULL, "Print JSON, one object a line"},
};

/** A minute's changes of one source. */
struct bucket {
    int64_t minute;
    struct buf source; /* empty where the changes have none */
    uint64_t inserts, updates, deletes, skipped, restores;
    int64_t first_lsn, last_lsn;
};

struct counter {
    bool list, json;
    int64_t since, until;
    struct bucket *buckets; /* in no order */
    size_t count;
    size_t *slots; /* a hash table: 1 + index in `buckets`; 0: free */
    size_t slot_count;
    struct buf line;
};

/** Where the bucket of a minute and a source is noted, or (0) is to be. */
static size_t *slot_of(const struct counter *k, int64_t minute, struct slice source)
{
    size_t at = (size_t)(hash64(source.data, source.len) + (uint64_t)minute);
    for (;; at++) {
        size_t *slot = &k->slots[at & (k->slot_count - 1)];
        if (*slot == 0)
            return slot;
        const struct bucket *b = &k->buckets[*slot - 1];
        if (b->minute == minute && slice_equal(buf_slice(&b->source), source))
            return slot;
    }
}

/** Room for one more, with at least half of the slots free. */
static void make_room(struct counter *k)
{
    if (2 * (k->count + 1) <= k->slot_count)
        return;
    k->slot_count = MAX(256, 2 * k->slot_count);
    free(k->slots);
    k->slots = xcalloc(k->slot_count, sizeof(*k->slots));
    k->buckets = xrealloc(k->buckets, k->slot_count / 2 * sizeof(*k->buckets));
    for (size_t i = 0; i < k->count; i++)
        *slot_of(k, k->buckets[i].minute, buf_slice(&k->buckets[i].source)) = i + 1;
}

static struct bucket *bucket_of(struct counter *k, const struct change *c)
{
    int64_t minute = c->ts_us / MINUTE_US - (c->ts_us % MINUTE_US < 0);
    struct slice source = c->source.data != NULL ? c->source : SLICE("");
    make_room(k);
    size_t *slot = slot_of(k, minute, source);
    if (*slot == 0) {
        struct bucket b = {.minute = minute, .first_lsn = c->lsn};
        buf_reserve(&b.source, source.len + 1); /* empty, but never NULL */
        buf_append_slice(&b.source, source);
        k->buckets[k->count++] = b;
        *slot = k->count;
    }
    return &k->buckets[*slot - 1];
}

static void count(struct counter *k, const struct change *c)
{
    struct bucket *b = bucket_of(k, c);
    b->last_lsn = c->lsn;
    if (c->skipped)
        b->skipped++;
    else if (c->op == CHANGE_INSERT)
        b->inserts++;
    else if (c->op == CHANGE_UPDATE)
        b->updates++;
    else
        b->deletes++;
    if (c->restore.data != NULL)
        b->restores++;
}

static bool on_change(void *arg, const struct change *c)
{
    struct counter *k = arg;
    if (c->ts_us < k->since || c->ts_us > k->until)
        return true;
    if (!k->list) {
        count(k, c);
        return true;
    }
    buf_clear(&k->line);
    if (k->json)
        line_change(&k->line, c);
    else
        line_change_text(&k->line, c);
    return fwrite(k->line.data, 1, k->line.len, stdout) == k->line.len;
}

static int by_minute(const void *a, const void *b)
{
    const struct bucket *x = a, *y = b;
    if (x->minute != y->minute)
        return x->minute < y->minute ? -1 : 1;
    return slice_compare(buf_slice(&x->source), buf_slice(&y->source));
}

static void print_bucket(struct counter *k, const struct bucket *b)
{
    char minute[TIMEFMT_MAX];
    timefmt_rfc3339(b->minute * MINUTE_US, minute);
    buf_clear(&k->line);
    if (k->json) {
        buf_printf(&k->line, "{\"minute\":\"%s\",\"source\":", minute);
        buf_append_json(&k->line, b->source.data, b->source.len);
        buf_printf(&k->line,
                   ",\"inserts\":%" PRIu64 ",\"updates\":%" PRIu64 ",\"deletes\":%" PRIu64
                   ",\"skipped\":%" PRIu64 ",\"restores\":%" PRIu64 ",\"firstLsn\":%" PRId64
                   ",\"lastLsn\":%" PRId64 "}\n",
                   b->inserts, b->updates, b->deletes, b->skipped, b->restores, b->first_lsn,
                   b->last_lsn);
    } else {
        buf_printf(&k->line,
                   "%.16sZ  %9" PRIu64 " %9" PRIu64 " %9" PRIu64 " %9" PRIu64 "  %12" PRId64
                   " %12" PRId64 "  ",
                   minute, b->inserts, b->updates, b->deletes, b->skipped, b->first_lsn,
                   b->last_lsn);
        if (b->source.len > 0)
            buf_append_json(&k->line, b->source.data, b->source.len);
        buf_append_char(&k->line, '\n');
    }
    fwrite(k->line.data, 1, k->line.len, stdout);
}

static void print_buckets(struct counter *k)
{
    if (k->list)
        return;
    if (!k->json)
        printf("%-17s  %9s %9s %9s %9s  %12s %12s  %s\n", "MINUTE", "INSERTS", "UPDATES", "DELETES",
               "SKIPPED", "FIRST LSN", "LAST LSN", "SOURCE");
    if (k->count > 0)
        qsort(k->buckets, k->count, sizeof(*k->buckets), by_minute);
    for (size_t i = 0; i < k->count; i++)
        print_bucket(k, &k->buckets[i]);
}

static err_t walk(struct source *s, const struct place *place, bool from_given, int64_t from,
                  struct counter *k)
{
    int64_t oldest = from;
    err_t err = changes_each(s, place->namespace_name, place->collection, NULL,
                             (struct change_range){from, INT64_MAX}, on_change, k, &oldest);
    if (err == ERR_OFFSET_OUT_OF_RANGE && !from_given) {
        fprintf(stderr, "spillway changes: changes below LSN %" PRId64 " are no longer kept\n",
                oldest);
        err = changes_each(s, place->namespace_name, place->collection, NULL,
                           (struct change_range){oldest, INT64_MAX}, on_change, k, &oldest);
    }
    return err;
}

static int run(const struct cli_args *args)
{
    CLEANUP(place_release) struct place place = {0};
    struct counter k = {.list = options_has(args, "list"),
                        .json = options_has(args, "json"),
                        .since = INT64_MIN,
                        .until = INT64_MAX};
    int64_t from = 0;
    CLEANUP(recovery_close) struct recovery r = RECOVERY_INIT;
    int rc = place_parse(args, 0, &place);
    if (rc != EXIT_OK)
        return rc;
    if (!recovery_time(args, "since", &k.since) || !recovery_time(args, "until", &k.until) ||
        !options_number(args, "from", 0, INT64_MAX, &from))
        return EXIT_USAGE;
    if (k.since > k.until)
        return options_mistake(args->command, "--since lies after --until");
    rc = recovery_open(args, &r);
    if (rc != EXIT_OK)
        return rc;
    err_t err = walk(r.source, &place, options_has(args, "from"), from, &k);
    if (err == OK)
        print_buckets(&k);
    for (size_t i = 0; i < k.count; i++)
        buf_release(&k.buckets[i].source);
    free(k.buckets);
    free(k.slots);
    buf_release(&k.line);
    return err == OK ? EXIT_OK : recovery_failed(args, err);
}

const struct cli_command command_changes = {
    .name = "changes",
    .usage = "changes [OPTIONS] NS/COLLECTION",
    .summary = "Count a collection's changes per minute, or list them",
    .about = "Finds the moment to go back to: counts by kind and source for each minute of the\n"
             "changes' own times, with the LSNs in which they lie.\n" RECOVERY_SOURCE_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 1,
    .example = "  spillway changes default/orders --since 2026-02-02T14:00:00Z\n"
               "  spillway changes default/orders --list --from 4700\n",
    .run = run,
};
