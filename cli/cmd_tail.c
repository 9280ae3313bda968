/*
 * cli/cmd_tail.c: spillway tail: follows a stream through the Kafka door of a running server.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/pattern.h"
#include "base/timefmt.h"
#include "cli/commands.h"
#include "cli/event_output.h"
#include "kafka/client.h"

#define DEFAULT_KAFKA "127.0.0.1:9092"
#define WAIT_MS 30000
#define RETRY_FIRST_MS 250 /* twice as long after each failure … */
#define RETRY_MAX_MS 5000  /* … up to this */

static const struct cli_option options[] = {
    {"kafka", 0, "ADDR", "The server's Kafka listener (127.0.0.1:9092)"},
    {"stream", 0, "NAME", "Stream to follow (events)"},
    {"namespace", 0, "NAME", "The stream of this namespace, in place of --stream"},
    {"shard", 0, "N", "Only this shard"},
    {"from", 'f', "WHERE", "start, end, an offset, or a time like 2026-02-02T14:30:00Z (end)"},
    {"max", 'n', "N", "Stop after N events"},
    {"exit", 'e', NULL, "Stop at the end of what is there, do not wait for more"},
    {"json", 'j', NULL, "With position, time, type and key: {\"position\":\"events/0/123\",…}"},
};

struct tail {
    const char *address;
    struct kafka_client *client; /* owned */
    int64_t pause_ms;            /* before the next try to connect again */
    char *stream;                /* owned */
    const char *pattern;
    struct kafka_position *positions; /* owned */
    size_t count;
    int64_t left; /* events still to print; -1: no bound */
    bool json;
    bool exit_at_end;
    struct buf line;
};

/* Where to begin ------------------------------------------------------------------------------ */

struct beginning {
    bool is_offset;
    int64_t offset; /* or: */
    int64_t ts_ms;  /* a time, KAFKA_OFFSET_LATEST or KAFKA_OFFSET_EARLIEST */
};

static bool parse_from(const char *text, struct beginning *b)
{
    *b = (struct beginning){.ts_ms = KAFKA_OFFSET_LATEST};
    if (text == NULL || strcmp(text, "end") == 0)
        return true;
    if (strcmp(text, "start") == 0) {
        b->ts_ms = KAFKA_OFFSET_EARLIEST;
        return true;
    }
    int64_t us;
    if (timefmt_parse(text, strlen(text), &us)) {
        /* Records are stamped in milliseconds: the first one at or after this time. */
        b->ts_ms = us <= 0 ? 0 : (us + 999) / 1000;
        return true;
    }
    char *end;
    errno = 0;
    b->offset = strtoll(text, &end, 10);
    b->is_offset = true;
    return end != text && *end == '\0' && errno == 0 && b->offset >= 0;
}

static err_t find_positions(struct tail *t, const struct beginning *b, int64_t only_shard)
{
    unsigned shards;
    TRY(kafka_client_partitions(t->client, t->stream, &shards));
    if (only_shard >= (int64_t)shards)
        return err_fail(ERR_NOT_FOUND, "%s has %u shards; there is no shard %lld", t->stream,
                        shards, (long long)only_shard);
    if (b->is_offset && only_shard < 0 && shards > 1)
        return err_fail(ERR_USAGE, "%s has %u shards; an offset needs --shard", t->stream, shards);
    t->positions = xcalloc(shards, sizeof(*t->positions));
    for (unsigned k = 0; k < shards; k++) {
        if (only_shard >= 0 && k != only_shard)
            continue;
        struct kafka_position *p = &t->positions[t->count++];
        *p = (struct kafka_position){k, b->offset, -1};
        if (!b->is_offset)
            TRY(kafka_client_list_offset(t->client, t->stream, k, b->ts_ms, &p->next_offset));
    }
    return OK;
}

/* Following ----------------------------------------------------------------------------------- */

static err_t on_record(void *arg, uint32_t partition, const struct record *rec)
{
    struct tail *t = arg;
    if (t->pattern != NULL && !pattern_matches(t->pattern, event_output_type(rec)))
        return OK;
    buf_clear(&t->line);
    if (t->json)
        event_output_json(&t->line, t->stream, partition, rec);
    else
        event_output_value(&t->line, rec);
    fwrite(t->line.data, 1, t->line.len, stdout);
    if (t->left > 0 && --t->left == 0)
        return ERR_END;
    return ferror(stdout) ? ERR_END : OK;
}

static bool at_end(const struct tail *t)
{
    for (size_t i = 0; i < t->count; i++)
        if (t->positions[i].high_watermark < 0 ||
            t->positions[i].next_offset < t->positions[i].high_watermark)
            return false;
    return true;
}

/** After a broken connection: the server is being restarted, perhaps. The positions stay where the
 * printed records end. */
static err_t connect_again(struct tail *t)
{
    err_t err;
    fprintf(stderr, "spillway tail: %s; trying again\n", err_text(ERR_UNAVAILABLE));
    kafka_client_close(TAKE(t->client));
    do {
        clock_pause_ms(t->pause_ms);
        t->pause_ms = MIN(2 * t->pause_ms, RETRY_MAX_MS);
        err = kafka_client_connect(t->address, &t->client);
    } while (err == ERR_UNAVAILABLE);
    return err;
}

static err_t follow(struct tail *t)
{
    t->pause_ms = RETRY_FIRST_MS;
    for (;;) {
        err_t err = kafka_client_fetch(t->client, t->stream, t->positions, t->count,
                                       t->exit_at_end ? 0 : WAIT_MS, on_record, t);
        fflush(stdout);
        if (err == ERR_UNAVAILABLE && !t->exit_at_end) {
            TRY(connect_again(t));
            continue;
        }
        if (err != OK)
            return err;
        t->pause_ms = RETRY_FIRST_MS;
        if (t->exit_at_end && at_end(t))
            return OK;
    }
}

static void release(struct tail *t)
{
    kafka_client_close(t->client);
    free(t->stream);
    free(t->positions);
    buf_release(&t->line);
}

static err_t run_tail(const struct cli_args *args, struct tail *t, const struct beginning *b,
                      int64_t only_shard)
{
    t->address = options_value(args, "kafka");
    if (t->address == NULL)
        t->address = getenv("SPILLWAY_KAFKA");
    if (t->address == NULL || *t->address == '\0')
        t->address = DEFAULT_KAFKA;
    TRY(kafka_client_connect(t->address, &t->client));
    TRY(find_positions(t, b, only_shard));
    return follow(t);
}

static char *stream_of(const struct cli_args *args)
{
    const char *namespace_name = options_value(args, "namespace");
    const char *stream = options_value(args, "stream");
    if (namespace_name != NULL && strcmp(namespace_name, "default") != 0)
        return xasprintf("%s.events", namespace_name);
    return xstrdup(stream != NULL && namespace_name == NULL ? stream : "events");
}

static int run(const struct cli_args *args)
{
    struct beginning b;
    int64_t only_shard = -1;
    struct tail t = {.left = -1,
                     .json = options_has(args, "json"),
                     .exit_at_end = options_has(args, "exit"),
                     .pattern = args->positional_count > 0 ? args->positional[0] : NULL};
    if (!options_number(args, "max", 1, INT64_MAX, &t.left) ||
        !options_number(args, "shard", 0, INT32_MAX, &only_shard))
        return EXIT_USAGE;
    if (options_has(args, "namespace") && options_has(args, "stream"))
        return options_mistake(args->command, "--stream and --namespace exclude each other");
    if (!parse_from(options_value(args, "from"), &b))
        return options_mistake(args->command,
                               "--from: \"%s\" is not start, end, an offset, or a time with a "
                               "zone (2026-02-02T14:30:00Z)",
                               options_value(args, "from"));
    if (t.pattern != NULL && pattern_check(t.pattern) != OK)
        return options_mistake(args->command, "%s", err_text(ERR_VALIDATION));
    t.stream = stream_of(args);
    err_t err = run_tail(args, &t, &b, only_shard);
    release(&t);
    if (err == OK || err == ERR_END)
        return EXIT_OK;
    if (err == ERR_USAGE)
        return options_mistake(args->command, "%s", err_text(err));
    fprintf(stderr, "spillway tail: %s\n", err_text(err));
    return EXIT_FAILED;
}

const struct cli_command command_tail = {
    .name = "tail",
    .usage = "tail [OPTIONS] [PATTERN]",
    .summary = "Follow events live",
    .about =
        "Prints one event a line. PATTERN is a glob on the event's type: * stands for one\n"
        "segment between dots, ** for any number of them (webhook.github.*, webhook.**).\n"
        "Without --kafka the variable SPILLWAY_KAFKA counts. A broken connection is made again,\n"
        "and goes on behind the last event printed (not with --exit).\n",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 1,
    .example = "  spillway tail --from start -n 10 'webhook.**'\n"
               "  spillway tail --json --from 2026-02-02T14:30:00Z\n",
    .run = run,
};
