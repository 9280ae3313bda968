/*
 * cli/cmd_log.c: spillway log verify | dump: looks at a data directory, live or stopped, without
 * changing it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/timefmt.h"
#include "cli/commands.h"
#include "cli/event_output.h"
#include "cli/progress.h"
#include "log/verify.h"

#define DEFAULT_DATA "./data"
#define PLAIN_BYTES_MAX MIB(256)

static const struct cli_option options[] = {
    {"data", 'd', "DIR", "Data directory (./data)"},
    {"max", 'n', "N", "dump: stop after N records"},
    {"batches", 'b', NULL, "dump: print batch headers in place of records"},
    {"json", 'j', NULL, "Print JSON, one object a line"},
};

static const char *data_dir_of(const struct cli_args *args)
{
    const char *dir = options_value(args, "data");
    if (dir == NULL)
        dir = getenv("SPILLWAY_DATA");
    return dir != NULL && *dir != '\0' ? dir : DEFAULT_DATA;
}

/* Verify -------------------------------------------------------------------------------------- */

struct verify {
    bool json;
    struct progress progress;
    struct buf out; /* printed when the bar is gone */
};

static void on_damage(void *arg, const char *path, uint64_t position, const char *text)
{
    struct verify *v = arg;
    if (!v->json) {
        buf_printf(&v->out, "%s:%" PRIu64 ": %s\n", path, position, text);
        return;
    }
    buf_append_str(&v->out, "{\"damage\":");
    buf_append_json(&v->out, path, strlen(path));
    buf_printf(&v->out, ",\"position\":%" PRIu64 ",\"text\":", position);
    buf_append_json(&v->out, text, strlen(text));
    buf_append_str(&v->out, "}\n");
}

static void print_shard(struct buf *out, const struct log_verify_shard *s)
{
    buf_printf(out,
               "%s/%u: %s, offsets %" PRId64 " to %" PRId64 ", %zu segments, %" PRIu64
               " batches, %" PRIu64 " bytes",
               s->stream, s->shard, s->damage == 0 ? "good" : "DAMAGED", s->first_offset,
               s->next_offset, s->segments, s->batches, s->bytes);
    if (s->tail_bytes > 0)
        buf_printf(out, "; %" PRIu64 " bytes behind the last batch, being written or torn",
                   s->tail_bytes);
    if (s->cut_files > 0)
        buf_printf(out, "; %zu torn tails kept as .cut", s->cut_files);
    if (s->index_faults > 0)
        buf_printf(out, "; %zu index files do not fit and will be rebuilt", s->index_faults);
    buf_append_char(out, '\n');
}

static void on_shard(void *arg, const struct log_verify_shard *s)
{
    struct verify *v = arg;
    if (!v->json) {
        print_shard(&v->out, s);
        return;
    }
    buf_printf(&v->out,
               "{\"stream\":\"%s\",\"shard\":%u,\"segments\":%zu,\"batches\":%" PRIu64
               ",\"bytes\":%" PRIu64 ",\"firstOffset\":%" PRId64 ",\"nextOffset\":%" PRId64
               ",\"tailBytes\":%" PRIu64 ",\"cutFiles\":%zu,\"indexFaults\":%zu,\"damage\":%u}\n",
               s->stream, s->shard, s->segments, s->batches, s->bytes, s->first_offset,
               s->next_offset, s->tail_bytes, s->cut_files, s->index_faults, s->damage);
}

static void on_progress(void *arg, uint64_t done, uint64_t all)
{
    struct verify *v = arg;
    v->progress.total_bytes = all;
    progress_update(&v->progress, done, 0);
}

static int verify(const struct cli_args *args)
{
    struct verify v = {.json = options_has(args, "json")};
    progress_start(&v.progress, "verify", 0);
    const struct log_verify_ops ops = {on_damage, on_shard, on_progress, &v};
    const char *only = args->positional_count > 1 ? args->positional[1] : NULL;
    unsigned damage = 0;
    err_t err = log_verify(io_posix(), data_dir_of(args), only, &ops, &damage);
    progress_end(&v.progress);
    fwrite(v.out.data, 1, v.out.len, stdout);
    buf_release(&v.out);
    if (err != OK) {
        fprintf(stderr, "spillway log: %s\n", err_text(err));
        return EXIT_FAILED;
    }
    if (damage > 0)
        fprintf(stderr, "spillway log: damage in %u places\n", damage);
    return damage > 0 ? EXIT_FAILED : EXIT_OK;
}

/* Dump ---------------------------------------------------------------------------------------- */

struct dump {
    const char *stream;
    unsigned shard;
    int64_t from;
    int64_t left; /* -1: no bound */
    bool json;
    bool batches;
    struct buf line;
};

static const char *const codec_names[8] = {"none", "gzip", "snappy", "lz4", "zstd"};

static const char *codec_name(const struct batch_header *h)
{
    const char *name = codec_names[h->attributes & BATCH_ATTR_CODEC];
    return name != NULL ? name : "unknown";
}

static void print_batch(struct dump *d, const char *path, uint64_t position,
                        const struct batch_header *h)
{
    char ts[TIMEFMT_MAX];
    timefmt_rfc3339(h->max_timestamp * 1000, ts);
    bool append_time = (h->attributes & BATCH_ATTR_APPEND_TIME) != 0;
    bool keyed = (h->attributes & BATCH_ATTR_KEYED) != 0;
    bool plain = (h->attributes & BATCH_ATTR_PLAIN) != 0;
    printf(d->json ? "{\"file\":\"%s\",\"position\":%" PRIu64 ",\"baseOffset\":%" PRId64
                     ",\"records\":%d,\"bytes\":%zu,\"codec\":\"%s\",\"maxTimestamp\":\"%s\","
                     "\"appendTime\":%s,\"keyed\":%s,\"plain\":%s,\"producerId\":%" PRId64 "}\n"
                   : "%s:%" PRIu64 " offset %" PRId64 ", %d records, %zu bytes, %s, max time %s, "
                     "append time %s, keyed %s, plain %s, producer %" PRId64 "\n",
           path, position, h->base_offset, h->record_count, batch_total_bytes(h), codec_name(h), ts,
           append_time ? "true" : "false", keyed ? "true" : "false", plain ? "true" : "false",
           h->producer_id);
}

static void print_record(struct dump *d, const struct record *rec)
{
    buf_clear(&d->line);
    if (d->json) {
        event_output_json(&d->line, d->stream, d->shard, rec);
    } else {
        char ts[TIMEFMT_MAX];
        timefmt_rfc3339(rec->timestamp_ms * 1000, ts);
        buf_printf(&d->line, "%s/%u/%" PRId64 " %s ", d->stream, d->shard, rec->offset, ts);
        event_output_value(&d->line, rec);
    }
    fwrite(d->line.data, 1, d->line.len, stdout);
}

/** Counts one printed thing; ERR_END when that was the last wanted. */
static err_t count_down(struct dump *d)
{
    return d->left > 0 && --d->left == 0 ? ERR_END : OK;
}

static err_t dump_records(struct dump *d, const uint8_t *batch, const struct batch_header *h)
{
    struct record_reader reader;
    TRY(record_reader_open(&reader, batch, batch_total_bytes(h), PLAIN_BYTES_MAX));
    err_t err = OK;
    while (err == OK) {
        struct record rec;
        err_t read = record_reader_next(&reader, &rec);
        if (read != OK) {
            err = read == ERR_END ? OK : read;
            break;
        }
        if (rec.offset < d->from)
            continue;
        print_record(d, &rec);
        err = count_down(d);
    }
    record_reader_close(&reader);
    return err;
}

static err_t dump_batches(struct dump *d, struct log_scan *scan, const char *path)
{
    for (;;) {
        const uint8_t *batch;
        struct batch_header h;
        uint64_t position = scan->position;
        err_t err = log_scan_next(scan, &batch, &h);
        if (err == ERR_END)
            return OK;
        TRY(err);
        if (batch_next_offset(&h) <= d->from)
            continue;
        if (d->batches) {
            print_batch(d, path, position, &h);
            TRY(count_down(d));
        } else {
            TRY(dump_records(d, batch, &h));
        }
    }
}

static err_t dump_file(struct dump *d, const char *path)
{
    struct log_scan scan;
    TRY(log_scan_open(&scan, io_posix(), path));
    err_t err = dump_batches(d, &scan, path);
    log_scan_close(&scan);
    return err;
}

/** The shard's files from the one on that holds the offset asked for. */
struct file_list {
    int64_t from;
    char **paths; /* owned */
    size_t count;
};

static void file_list_release(struct file_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->paths[i]);
    free(list->paths);
    list->paths = NULL;
    list->count = 0;
}

static err_t on_file(void *arg, const char *path, int64_t base_offset)
{
    struct file_list *list = arg;
    if (base_offset <= list->from)
        file_list_release(list);
    list->paths = xrealloc(list->paths, (list->count + 1) * sizeof(*list->paths));
    list->paths[list->count++] = xstrdup(path);
    return OK;
}

static err_t dump_shard(struct dump *d, const char *data_dir)
{
    CLEANUP(file_list_release) struct file_list list = {.from = d->from};
    TRY(log_each_segment_file(io_posix(), data_dir, d->stream, d->shard, on_file, &list));
    for (size_t i = 0; i < list.count; i++)
        TRY(dump_file(d, list.paths[i]));
    return OK;
}

/** "events", "events/0" or "events/0/123"; cuts `text` up. */
static bool parse_target(char *text, struct dump *d)
{
    char *end;
    d->stream = strsep(&text, "/");
    const char *shard = strsep(&text, "/");
    if (*d->stream == '\0')
        return false;
    if (shard == NULL)
        return true;
    unsigned long k = strtoul(shard, &end, 10);
    d->shard = (unsigned)k;
    if (end == shard || *end != '\0' || k >= LIMIT_SHARDS)
        return false;
    if (text == NULL)
        return true;
    d->from = strtoll(text, &end, 10);
    return end != text && *end == '\0' && d->from >= 0;
}

static int dump(const struct cli_args *args)
{
    struct dump d = {
        .left = -1, .json = options_has(args, "json"), .batches = options_has(args, "batches")};
    if (!options_number(args, "max", 1, INT64_MAX, &d.left))
        return EXIT_USAGE;
    CLEANUP(xfree_ptr)
    char *target = xstrdup(args->positional_count > 1 ? args->positional[1] : "events");
    if (!parse_target(target, &d))
        return options_mistake(args->command,
                               "\"%s\" is not STREAM, STREAM/SHARD or "
                               "STREAM/SHARD/OFFSET",
                               args->positional[1]);
    err_t err = dump_shard(&d, data_dir_of(args));
    buf_release(&d.line);
    if (err == OK || err == ERR_END)
        return EXIT_OK;
    fflush(stdout);
    fprintf(stderr, "spillway log: %s\n", err_text(err));
    return EXIT_FAILED;
}

static int run(const struct cli_args *args)
{
    const char *what = args->positional_count > 0 ? args->positional[0] : "";
    if (strcmp(what, "verify") == 0)
        return verify(args);
    if (strcmp(what, "dump") == 0)
        return dump(args);
    return options_mistake(args->command, "verify or dump was expected, not \"%s\"", what);
}

const struct cli_command command_log = {
    .name = "log",
    .usage =
        "log verify [OPTIONS] [STREAM]\n       spillway log dump [OPTIONS] STREAM[/SHARD[/OFFSET]]",
    .summary = "Check segments, or print what they hold",
    .about = "Both read the data directory of a running or a stopped server and change nothing.\n"
             "verify checks every batch and index; it exits 1 where stored data is damaged and\n"
             "names file and position. dump prints the records of a shard (0).\n"
             "Without --data the variable SPILLWAY_DATA counts.\n",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 2,
    .example = "  spillway log verify --data /var/lib/spillway\n"
               "  spillway log dump --data /var/lib/spillway -n 10 events/0/4711\n",
    .run = run,
};
