/*
 * cli/remote.h: how a command finds the running server: the options --server and --token.
 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "cli/http_client.h"
#include "cli/options.h"

struct json_t; /* of jansson */

#define REMOTE_OPTIONS                                                                             \
    {"server", 0, "URL", "Where the server is (http://127.0.0.1:8080)"},                           \
    {                                                                                              \
        "token", 't', "TOKEN", "Bearer token"                                                      \
    }
#define REMOTE_ABOUT                                                                               \
    "Without --server the variable SPILLWAY_SERVER counts, without --token SPILLWAY_TOKEN, then\n" \
    "AUTH_TOKEN.\n"

/** Reads the two options. `address` (may be NULL) counts where --server is not given, before the
 * variable. EXIT_OK, or the exit status after a message. *ret_client is owned; *ret_token is
 * borrowed and may be NULL. */
int remote_open(const struct cli_args *args, const char *address, struct http_client **ret_client,
                const char **ret_token);

/** One request, "POST" with a body of JSON or another method without (len 0), and its answer, for
 * which the server has all the time it needs. EXIT_OK with the answer's object in *ret_reply
 * (json_decref), or the exit status after a message that says what the server said. */
int remote_ask(const struct cli_args *args, const char *address, const char *method,
               const char *path, struct slice body, struct json_t **ret_reply);

/** A field of an answer; 0 and "-" where it has none. */
long long answer_number(struct json_t *object, const char *name);
const char *answer_text(struct json_t *object, const char *name);

#endif
