#include "cli/remote.h"

#include <stdlib.h>

#define DEFAULT_SERVER "http://127.0.0.1:8080"

/** A variable's value; NULL when unset or empty. */
static const char *env_value(const char *name)
{
    const char *value = getenv(name);
    return value != NULL && *value != '\0' ? value : NULL;
}

int remote_open(const struct cli_args *args, struct http_client **ret_client,
                const char **ret_token)
{
    const char *url = options_value(args, "server");
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
