/*
 * cli/cmd_status.c: spillway status: what /health and /admin/status of a running server say.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/recovery.h"
#include "cli/remote.h"

static const struct cli_option options[] = {
    REMOTE_OPTIONS,
    {"json", 'j', NULL, "Print both replies as one JSON object"},
};

/** GET `path` as JSON. NULL after a message. */
static json_t *get_json(struct http_client *client, const char *token, const char *path,
                        int *ret_status)
{
    const struct http_client_request request = {.method = "GET", .path = path, .token = token};
    struct http_client_reply reply;
    err_t err = http_client_send(client, &request, &reply);
    if (err != OK) {
        fprintf(stderr, "spillway status: %s\n", err_text(err));
        return NULL;
    }
    json_t *root = json_loadb(reply.body.data, reply.body.len, 0, NULL);
    buf_release(&reply.body);
    *ret_status = reply.status;
    if (!json_is_object(root)) {
        fprintf(stderr, "spillway status: %s answered %d to %s without a JSON object\n",
                http_client_address(client), reply.status, path);
        json_decref(root);
        return NULL;
    }
    return root;
}

static void print_listener(json_t *status, const char *name)
{
    json_t *l = json_object_get(status, name);
    if (json_is_object(l))
        printf("%-8s %s, %lld connections\n", name, answer_text(l, "address"),
               answer_number(l, "connections"));
    else
        printf("%-8s off\n", name);
}

static void print_shards(json_t *status)
{
    size_t i;
    json_t *shard;
    printf("\n%-32s %5s  %-9s %12s %14s %14s %8s\n", "STREAM", "SHARD", "STATUS", "FIRST", "NEXT",
           "BYTES", "PENDING");
    json_array_foreach(json_object_get(status, "shards"), i, shard)
    {
        printf("%-32s %5lld  %-9s %12lld %14lld %14lld %8lld\n", answer_text(shard, "stream"),
               answer_number(shard, "shard"), answer_text(shard, "status"),
               answer_number(shard, "logStart"), answer_number(shard, "highWatermark"),
               answer_number(shard, "sizeBytes"), answer_number(shard, "pendingBatches"));
        const char *reason = answer_text(shard, "reason");
        if (*reason != '\0' && *reason != '-')
            printf("    %s\n", reason);
        if (answer_number(shard, "validCuts") > 0)
            printf("    a start cut a torn group that holds whole batches; look at the shard's "
                   ".valid.cut file, then move it away\n");
    }
}

static void print_states(json_t *status)
{
    size_t i;
    json_t *state;
    printf("\n%-32s %12s %12s %12s %9s %13s %10s\n", "NAMESPACE", "APPLIED", "LOG", "IN STORE",
           "LAG s", "DEAD LETTERS", "MISPLACED");
    json_array_foreach(json_object_get(status, "states"), i, state)
    {
        printf("%-32s %12lld %12lld %12lld %9.3f %13lld %10lld\n", answer_text(state, "namespace"),
               answer_number(state, "appliedLsn"), answer_number(state, "logLsn"),
               answer_number(state, "coveredLsn"),
               json_number_value(json_object_get(state, "lagSeconds")),
               answer_number(state, "deadLetters"), answer_number(state, "misplaced"));
        const char *problem = answer_text(state, "problem");
        if (*problem != '\0' && *problem != '-')
            printf("    %s\n", problem);
    }
}

static void print_drills(json_t *status)
{
    size_t i;
    json_t *item, *items = json_object_get(status, "drills");
    if (json_array_size(items) == 0)
        return;
    printf("\n%-40s %-10s %12s %10s\n", "COLLECTION", "LAST DRILL", "HOURS AGO", "SECONDS");
    json_array_foreach(items, i, item)
    {
        json_t *drill = json_object_get(item, "drill");
        CLEANUP(buf_release) struct buf name = BUF_INIT;
        buf_printf(&name, "%s/", answer_text(item, "namespace"));
        recovery_append_shown(&name, slice_of(answer_text(item, "collection")));
        bool passed = json_is_true(json_object_get(drill, "passed"));
        printf("%-40.*s %-10s %12.1f %10.3f\n", (int)name.len, name.data,
               passed ? "passed" : "FAILED",
               json_number_value(json_object_get(item, "ageSeconds")) / 3600,
               (double)answer_number(drill, "tookUs") / 1e6);
        if (!passed)
            printf("    %s\n", answer_text(drill, "text"));
    }
}

static void print_status(json_t *health, json_t *status)
{
    printf("status   %s (%s, env %s)\n", answer_text(health, "status"),
           answer_text(health, "version"), answer_text(health, "env"));
    printf("data     %s\n", answer_text(status, "dataDir"));
    printf("uptime   %lld s, pid %lld\n", answer_number(status, "uptimeSeconds"),
           answer_number(status, "pid"));
    print_listener(status, "http");
    print_listener(status, "kafka");
    print_shards(status);
    print_states(status);
    print_drills(status);
}

static int report(const struct cli_args *args, json_t *health, int health_status, json_t *status,
                  int status_status)
{
    if (status_status != 200) {
        fprintf(stderr, "spillway status: the server answered %d: %s\n", status_status,
                answer_text(status, "error"));
        return EXIT_FAILED;
    }
    if (options_has(args, "json")) {
        json_t *both = json_pack("{sOsO}", "health", health, "status", status);
        json_dumpf(both, stdout, JSON_COMPACT);
        printf("\n");
        json_decref(both);
    } else {
        print_status(health, status);
    }
    return health_status == 200 ? EXIT_OK : EXIT_FAILED;
}

static int run(const struct cli_args *args)
{
    CLEANUP(http_client_free_ptr) struct http_client *client = NULL;
    const char *token;
    int rc = remote_open(args, NULL, &client, &token);
    if (rc != EXIT_OK)
        return rc;
    int health_status = 0;
    int status_status = 0;
    json_t *health = get_json(client, NULL, "/health", &health_status);
    json_t *status =
        health == NULL ? NULL : get_json(client, token, "/admin/status", &status_status);
    rc = EXIT_FAILED;
    if (status != NULL)
        rc = report(args, health, health_status, status, status_status);
    json_decref(health);
    json_decref(status);
    return rc;
}

const struct cli_command command_status = {
    .name = "status",
    .usage = "status [OPTIONS]",
    .summary = "Show a running server's health, listeners, shards, state and last drills",
    .about = "Exits 1 when the server cannot be reached or a shard takes no events. Needs the\n"
             "admin's token where one is set.\n" REMOTE_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .example = "  spillway status --server http://127.0.0.1:8080 --json\n",
    .run = run,
};
