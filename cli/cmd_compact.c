/*
 * cli/cmd_compact.c: spillway compact: merges deltas and writes the compacted state, through the
 * running server where there is one.
 */
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/recovery.h"
#include "cli/remote.h"
#include "snapshot/snapshot.h"

static const struct cli_option options[] = {
    RECOVERY_SOURCE_OPTIONS,
    REMOTE_OPTIONS,
    {"json", 'j', NULL, "Print the result as JSON"},
};

static void print_count(const struct cli_args *args, long long count)
{
    if (options_has(args, "json"))
        printf("{\"collections\":%lld}\n", count);
    else
        printf("%lld collections compacted\n", count);
}

static err_t compact_namespace(struct source *s, const char *namespace_name, long long *count)
{
    CLEANUP(name_list_free) struct name_list names = {0};
    TRY(source_collections(s, namespace_name, &names));
    for (size_t i = 0; i < names.count; i++) {
        err_t err = snapshot_compact(s, namespace_name, slice_of(names.names[i]));
        if (err != OK && err != ERR_NOT_FOUND) /* nothing of it is in the store yet */
            return err;
        *count += err == OK;
    }
    return OK;
}

static err_t compact_all(struct source *s, long long *count)
{
    CLEANUP(name_list_free) struct name_list names = {0};
    TRY(source_namespaces(s, &names));
    for (size_t i = 0; i < names.count; i++)
        TRY(compact_namespace(s, names.names[i], count));
    return OK;
}

static int report(const struct cli_args *args, const struct http_client_reply *reply)
{
    json_t *root = json_loadb(reply->body.data, reply->body.len, 0, NULL);
    const char *text = json_string_value(json_object_get(root, "error"));
    bool good = reply->status == 200 && json_is_object(root);
    if (good)
        print_count(args, (long long)json_integer_value(json_object_get(root, "collections")));
    else
        fprintf(stderr, "spillway compact: the server answered %d: %s\n", reply->status,
                text != NULL ? text : "no JSON object");
    json_decref(root);
    return good ? EXIT_OK : EXIT_FAILED;
}

static int compact_remote(const struct cli_args *args)
{
    CLEANUP(http_client_free_ptr) struct http_client *client = NULL;
    const char *token;
    struct http_client_reply reply;
    int rc = remote_open(args, &client, &token);
    if (rc != EXIT_OK)
        return rc;
    const struct http_client_request request = {.method = "POST",
                                                .path = "/admin/compact",
                                                .content_type = "application/json",
                                                .token = token,
                                                .body = SLICE("{}")};
    err_t err = http_client_send(client, &request, &reply);
    if (err != OK)
        return recovery_failed(args, err);
    rc = report(args, &reply);
    buf_release(&reply.body);
    return rc;
}

static int run(const struct cli_args *args)
{
    struct source *s;
    int lock = -1;
    long long count = 0;
    if (options_has(args, "server"))
        return compact_remote(args);
    int rc = recovery_open_writable(args, &s, &lock);
    if (rc == RECOVERY_SERVED)
        return compact_remote(args);
    if (rc != EXIT_OK)
        return rc;
    err_t err = compact_all(s, &count);
    source_close(s);
    if (lock >= 0)
        close(lock);
    if (err != OK)
        return recovery_failed(args, err);
    print_count(args, count);
    return EXIT_OK;
}

const struct cli_command command_compact = {
    .name = "compact",
    .usage = "compact [OPTIONS]",
    .summary = "Merge deltas and write the compacted state now",
    .about = "Every change stays; restores and histories read fewer files. Goes through the server "
             "where\n"
             "one runs on the data directory, or --server is given.\n" RECOVERY_SOURCE_ABOUT
                 REMOTE_ABOUT,
    .options = options,
    .option_count = ARRAY_LEN(options),
    .positional_max = 0,
    .example = "  spillway compact\n"
               "  spillway compact --data /var/lib/spillway\n",
    .run = run,
};
