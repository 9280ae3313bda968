/*
 * cli/cmd_ingest.c: spillway ingest: events from a file or standard input, in batches over one
 * keep-alive connection.
 *
 * Each batch carries an Idempotency-Key, "<run>-<number>"; a batch whose reply was lost is sent
 * again with the same key, so nothing is stored twice. With --key the run's name is the user's:
 * running the same import again then stores only what was not stored before.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/commands.h"
#include "cli/event_input.h"
#include "cli/http_client.h"
#include "cli/progress.h"
#include "cli/remote.h"

#define BATCH_EVENTS_DEFAULT 1000
#define BATCH_BYTES_MAX MIB(1)
#define RETRIES_DEFAULT 10
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 5000
#define KEY_BYTES_MAX 200

static const struct cli_option options[] = {
    REMOTE_OPTIONS,
    {"batch", 'b', "N", "Events in one request, at most (1000)"},
    {"key", 'k', "NAME", "Name of this import; the same import run again stores nothing twice"},
    {"retries", 0, "N", "Tries again after a lost connection or a busy server (10)"},
    {"json", 'j', NULL, "Print the result as JSON"},
};

struct import {
    struct http_client *client;
    const char *token;
    const char *run; /* first part of the keys */
    struct event_input input;
    struct progress progress;
    int64_t batch_events;
    int64_t retries;
    int64_t started_ns;

    struct buf body; /* the batch being filled */
    uint64_t *lines; /* the input line of each of its events */
    size_t count;
    bool pending;      /* an event that did not fit is in `next` */
    struct slice next; /* borrowed from input */
    uint64_t next_line;

    uint64_t events;
    uint64_t batches;
    uint64_t deduplicated; /* events that were stored before */
    char position[320];    /* of the last event: stream/shard/offset */
};

/* One batch ----------------------------------------------------------------------------------- */

static void add_event(struct import *im, struct slice event, uint64_t line)
{
    if (im->input.is_array)
        buf_append_char(&im->body, im->count == 0 ? '[' : ',');
    buf_append_slice(&im->body, event);
    if (!im->input.is_array)
        buf_append_char(&im->body, '\n');
    im->lines[im->count++] = line;
}

/** Fills the body with the next events. ERR_END when there are none. */
static err_t fill_batch(struct import *im)
{
    buf_clear(&im->body);
    im->count = 0;
    err_t err = OK;
    while (im->count < (size_t)im->batch_events) {
        if (!im->pending) {
            err = event_input_next(&im->input, &im->next, &im->next_line);
            if (err != OK)
                break;
        }
        im->pending = im->count > 0 && im->body.len + im->next.len + 2 > BATCH_BYTES_MAX;
        if (im->pending)
            break;
        add_event(im, im->next, im->next_line);
    }
    if (err != OK && err != ERR_END)
        return err;
    if (im->count == 0)
        return ERR_END;
    if (im->input.is_array)
        buf_append_char(&im->body, ']');
    return OK;
}

/** The first event that the server's reply points at, or -1. */
static int64_t bad_index(json_t *reply)
{
    json_t *details = json_object_get(reply, "details");
    json_t *index = json_object_get(details, "index");
    if (!json_is_integer(index))
        index = json_array_get(json_object_get(details, "indices"), 0);
    return json_is_integer(index) ? json_integer_value(index) : -1;
}

/** The event that holds the byte of the body that the sentence names ("… at byte 50 …"), or -1. */
static int64_t event_at_byte(const struct import *im, const char *text)
{
    const char *at = text == NULL ? NULL : strstr(text, " at byte ");
    if (at == NULL || im->input.is_array)
        return -1;
    size_t byte = strtoull(at + strlen(" at byte "), NULL, 10);
    int64_t index = 0;
    for (size_t i = 0; i < MIN(byte, im->body.len); i++)
        index += im->body.data[i] == '\n';
    return MIN(index, (int64_t)im->count - 1);
}

/** Says what the server refused, with the line of the input. */
static void explain(const struct import *im, const struct http_client_reply *reply)
{
    json_t *root = json_loadb(reply->body.data, reply->body.len, 0, NULL);
    json_t *error = json_object_get(root, "error");
    if (json_is_object(error))
        error = json_object_get(error, "message");
    const char *text = json_string_value(error);
    int64_t index = bad_index(root);
    if (index < 0)
        index = event_at_byte(im, text);
    uint64_t first = im->lines[0];
    fprintf(stderr, "spillway ingest: %s:", im->input.name);
    if (index >= 0 && (size_t)index < im->count)
        fprintf(stderr, "%llu", (unsigned long long)im->lines[index]);
    else
        fprintf(stderr, "%llu-%llu", (unsigned long long)first,
                (unsigned long long)im->lines[im->count - 1]);
    fprintf(stderr, ": the server answered %d: %s\n", reply->status,
            text != NULL ? text : "no explanation");
    json_decref(root);
}

static void note_success(struct import *im, const struct http_client_reply *reply)
{
    json_t *root = json_loadb(reply->body.data, reply->body.len, 0, NULL);
    const char *stream = json_string_value(json_object_get(root, "stream"));
    if (json_is_true(json_object_get(root, "deduplicated")))
        im->deduplicated += im->count;
    if (stream != NULL)
        snprintf(im->position, sizeof(im->position), "%s/%lld/%lld", stream,
                 (long long)json_integer_value(json_object_get(root, "shard")),
                 (long long)json_integer_value(json_object_get(root, "lsn")));
    json_decref(root);
    im->events += im->count;
    im->batches++;
}

static bool may_retry(int status)
{
    return status == 408 || status == 429 || status == 502 || status == 503 || status == 504;
}

static void wait_before_retry(const struct http_client_reply *reply, int64_t attempt)
{
    int64_t ms = RETRY_FIRST_MS << MIN(attempt, 6);
    ms = MIN(ms, RETRY_MAX_MS);
    if (reply != NULL && reply->retry_after_s > 0)
        ms = MAX(ms, (int64_t)MIN(reply->retry_after_s, 60u) * 1000);
    clock_pause_ms(ms);
}

/** Sends the batch until it is in. False when it cannot be: said on standard error. */
static bool send_batch(struct import *im)
{
    char key[KEY_BYTES_MAX + 32];
    snprintf(key, sizeof(key), "%s-%llu", im->run, (unsigned long long)im->batches);
    const struct http_client_request request = {
        .method = "POST",
        .path = "/ingest",
        .content_type = im->input.is_array ? "application/json" : "application/x-ndjson",
        .token = im->token,
        .idempotency_key = key,
        .body = buf_slice(&im->body),
    };
    for (int64_t attempt = 0;; attempt++) {
        struct http_client_reply reply;
        err_t err = http_client_send(im->client, &request, &reply);
        bool last = attempt == im->retries;
        bool again = (err != OK || may_retry(reply.status)) && !last;
        bool good = err == OK && reply.status == 200;
        if (good)
            note_success(im, &reply);
        else if (again)
            wait_before_retry(err == OK ? &reply : NULL, attempt);
        else if (err == OK)
            explain(im, &reply);
        else
            fprintf(stderr, "spillway ingest: %s\n", err_text(err));
        if (err == OK)
            buf_release(&reply.body);
        if (!again)
            return good;
    }
}

/* The whole import ---------------------------------------------------------------------------- */

static void print_result(const struct import *im, bool json)
{
    double seconds = (double)(clock_mono_ns(clock_real()) - im->started_ns) / 1e9;
    if (json) {
        printf("{\"events\":%llu,\"bytes\":%llu,\"requests\":%llu,\"deduplicated\":%llu,"
               "\"seconds\":%.3f,\"key\":\"%s\",\"position\":",
               (unsigned long long)im->events, (unsigned long long)im->input.bytes_done,
               (unsigned long long)im->batches, (unsigned long long)im->deduplicated, seconds,
               im->run);
        printf(*im->position == '\0' ? "null}\n" : "\"%s\"}\n", im->position);
        return;
    }
    printf("%llu events ingested in %.1f s (%.0f events/s)", (unsigned long long)im->events,
           seconds, (double)im->events / MAX(seconds, 1e-9));
    if (im->deduplicated > 0)
        printf(", %llu of them already stored", (unsigned long long)im->deduplicated);
    if (*im->position != '\0')
        printf(", the last at %s", im->position);
    printf("\n");
}

static int import_all(struct import *im, bool json)
{
    for (;;) {
        err_t err = fill_batch(im);
        if (err == ERR_END)
            break;
        bool good = err == OK && send_batch(im);
        if (!good) {
            progress_end(&im->progress);
            if (err != OK)
                fprintf(stderr, "spillway ingest: %s\n", err_text(err));
            fprintf(stderr, "spillway ingest: stopped; %llu events before that are stored\n",
                    (unsigned long long)im->events);
            return EXIT_FAILED;
        }
        progress_update(&im->progress, im->input.bytes_done, im->events);
    }
    progress_end(&im->progress);
    print_result(im, json);
    return EXIT_OK;
}

static void random_run(char out[32])
{
    uint8_t bytes[8] = {0};
    ssize_t got = getrandom(bytes, sizeof(bytes), 0);
    ASSERT(got == (ssize_t)sizeof(bytes));
    snprintf(out, 32, "cli-%02x%02x%02x%02x%02x%02x%02x%02x", bytes[0], bytes[1], bytes[2],
             bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]);
}

static bool key_valid(const char *key)
{
    size_t len = strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");
    return len >= 1 && len <= KEY_BYTES_MAX && key[len] == '\0';
}

static int import_from(const struct cli_args *args, struct import *im, int fd, const char *name)
{
    struct stat st;
    uint64_t total = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
    char run[32];
    random_run(run);
    im->run = options_has(args, "key") ? options_value(args, "key") : run;
    im->lines = xcalloc((size_t)im->batch_events, sizeof(*im->lines));
    im->started_ns = clock_mono_ns(clock_real());
    event_input_init(&im->input, fd, name);
    progress_start(&im->progress, name, total);
    int status = import_all(im, options_has(args, "json"));
    event_input_release(&im->input);
    buf_release(&im->body);
    free(im->lines);
    return status;
}

static int run(const struct cli_args *args)
{
    struct import im = {.batch_events = BATCH_EVENTS_DEFAULT, .retries = RETRIES_DEFAULT};
    if (!options_number(args, "batch", 1, 100000, &im.batch_events) ||
        !options_number(args, "retries", 0, 1000, &im.retries))
        return EXIT_USAGE;
    if (options_has(args, "key") && !key_valid(options_value(args, "key")))
        return options_mistake(args->command, "--key: 1 to %d of A-Z a-z 0-9 . _ : - are allowed",
                               KEY_BYTES_MAX);
    CLEANUP(http_client_free_ptr) struct http_client *client = NULL;
    int status = remote_open(args, NULL, &client, &im.token);
    if (status != EXIT_OK)
        return status;
    im.client = client;
    const char *path = args->positional_count > 0 ? args->positional[0] : "-";
    if (strcmp(path, "-") == 0)
        return import_from(args, &im, STDIN_FILENO, "standard input");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fprintf(stderr, "spillway ingest: cannot open %s: %s\n", path, strerrordesc_np(errno));
        return EXIT_FAILED;
    }
    status = import_from(args, &im, fd, path);
    close(fd);
    return status;
}

const struct cli_command command_ingest = {
    .name = "ingest",
    .usage = "ingest [OPTIONS] [FILE]",
    .summary = "Send events from a file or standard input",
    .about = "FILE is NDJSON (one event a line) or one JSON array; - or nothing: standard input.\n"
             "A request whose reply was lost is sent again with the same key: nothing is stored\n"
             "twice.\n" REMOTE_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 1,
    .example = "  echo '{\"type\":\"page\",\"ts\":\"2026-02-02T14:30:00Z\"}' | spillway ingest\n"
               "  spillway ingest --key import-1 --token \"$TOKEN\" events.ndjson\n",
    .run = run,
};
