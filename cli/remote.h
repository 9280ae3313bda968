/*
 * cli/remote.h: how a command finds the running server: the options --server and --token.
 */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include "cli/http_client.h"
#include "cli/options.h"

#define REMOTE_OPTIONS                                                                             \
    {"server", 0, "URL", "Where the server is (http://127.0.0.1:8080)"},                           \
    {                                                                                              \
        "token", 't', "TOKEN", "Bearer token"                                                      \
    }
#define REMOTE_ABOUT                                                                               \
    "Without --server the variable SPILLWAY_SERVER counts, without --token SPILLWAY_TOKEN, then\n" \
    "AUTH_TOKEN.\n"

/** Reads the two options. EXIT_OK, or the exit status after a message. *ret_client is owned;
 * *ret_token is borrowed and may be NULL. */
int remote_open(const struct cli_args *args, struct http_client **ret_client,
                const char **ret_token);

#endif
