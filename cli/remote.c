#include "cli/remote.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_SERVER "http://127.0.0.1:8080"

/** A variable's value; NULL when unset or empty. */
static const char *env_value(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

int remote_open(const struct cli_args *args, const char *address, struct http_client **ret_client,
                const char **ret_token)
{
    const char *url = options_value(args, "server");
    if (url == NULL)
        url = address;
    if (url == NULL)
        url = env_value("SPILLWAY_SERVER");
    const char *token = options_value(args, "token");
    if (token == NULL)
        token = env_value("SPILLWAY_TOKEN");
    if (token == NULL)
        token = env_value("AUTH_TOKEN");
    err_t err = http_client_new(url != NULL ? url : DEFAULT_SERVER, ret_client);
    if (err != OK)
        return options_mistake(args->command, "--server: %s", err_text(err));
    *ret_token = token;
    return EXIT_OK;
}

/** The answer's object, or NULL after a message. */
static json_t *read_reply(const struct cli_args *args, const struct http_client_reply *reply)
{
    /* A skipped document's id may hold a NUL. */
    json_t *root = json_loadb(reply->body.data, reply->body.len, JSON_ALLOW_NUL, NULL);
    if (reply->status >= 200 && reply->status < 300 && json_is_object(root))
        return root;
    const char *text = json_string_value(json_object_get(root, "error"));
    fprintf(stderr, "spillway %s: the server answered %d: %s\n", args->command->name, reply->status,
            text != NULL ? text : "no JSON object");
    json_decref(root);
    return NULL;
}

int remote_ask(const struct cli_args *args, const char *address, const char *method,
               const char *path, struct slice body, json_t **ret_reply)
{
    CLEANUP(http_client_free_ptr) struct http_client *client = NULL;
    struct http_client_reply reply;
    struct http_client_request request = {.method = method, .path = path, .patient = true};
    int rc = remote_open(args, address, &client, &request.token);
    if (rc != EXIT_OK)
        return rc;
    if (body.len > 0) {
        request.content_type = "application/json";
        request.body = body;
    }
    err_t err = http_client_send(client, &request, &reply);
    if (err != OK) {
        fprintf(stderr, "spillway %s: %s\n", args->command->name, err_text(err));
        return EXIT_FAILED;
    }
    *ret_reply = read_reply(args, &reply);
    buf_release(&reply.body);
    return *ret_reply != NULL ? EXIT_OK : EXIT_FAILED;
}

long long answer_number(json_t *object, const char *name)
{
    return (long long)json_integer_value(json_object_get(object, name));
}

const char *answer_text(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text != NULL ? text : "-";
}
