/*
 * cli/cmd_serve.c: spillway serve.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "server/config.h"
#include "server/server.h"

static const struct cli_option options[] = {
    {"data", 'd', "DIR", "Data directory (data.dir)"},
    {"http", 0, "ADDR", "HTTP listener, host:port or off (http.listen)"},
    {"kafka", 0, "ADDR", "Kafka listener, host:port or off (kafka.listen)"},
    {"config", 'c', "FILE", "Settings file; else spillway.conf in the data directory"},
    {"set", 's', "KEY=VALUE", "Set any setting of docs/config.md; may be repeated"},
    {"dev", 0, NULL, "Development: no tokens, no rate limits, loopback only"},
    {"print-config", 0, NULL, "Print every setting, its value and where it came from; then stop"},
    {"json", 'j', NULL, "With --print-config: as JSON"},
    {"markdown", 0, NULL, "With --print-config: the table of settings as docs/config.md"},
};

/** The flags that are settings. `set` texts are cut at '=' in place of copies in `keys`. */
struct flag_list {
    struct config_flag *flags;
    char **keys; /* owned copies of --set keys */
    size_t count;
};

static void flag_list_release(struct flag_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->keys[i]);
    free(list->keys);
    free(list->flags);
}

static bool add_flag(const struct cli_given *given, const struct cli_command *command,
                     struct flag_list *list)
{
    static const struct {
        const char *option;
        const char *key;
        const char *flag;
    } names[] = {{"data", "data.dir", "--data"},
                 {"http", "http.listen", "--http"},
                 {"kafka", "kafka.listen", "--kafka"}};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (strcmp(given->option->name, names[i].option) == 0)
            list->flags[list->count++] =
                (struct config_flag){names[i].key, given->value, names[i].flag};
    if (strcmp(given->option->name, "set") != 0)
        return true;
    const char *equals = strchr(given->value, '=');
    if (equals == NULL) {
        options_mistake(command, "--set: \"%s\" is not KEY=VALUE", given->value);
        return false;
    }
    list->keys[list->count] = xstrndup(given->value, (size_t)(equals - given->value));
    list->flags[list->count] = (struct config_flag){list->keys[list->count], equals + 1, "--set"};
    list->count++;
    return true;
}

static int print_config(const struct config *c, const struct cli_args *args)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    if (options_has(args, "markdown"))
        config_print_markdown(&out);
    else if (options_has(args, "json"))
        config_print_json(c, &out);
    else
        config_print(c, &out);
    fwrite(out.data, 1, out.len, stdout);
    return EXIT_OK;
}

static int serve(const struct config *c)
{
    err_t err = server_run(c);
    if (err == OK)
        return EXIT_OK;
    fprintf(stderr, "spillway serve: %s\n", err_text(err));
    return err == ERR_INVALID_CONFIG ? EXIT_USAGE : EXIT_FAILED;
}

static int serve_with(const struct cli_args *args, const struct flag_list *list)
{
    const struct config_sources sources = {
        .file = options_value(args, "config"),
        .env = (const char *const *)(void *)environ,
        .flags = list->flags,
        .flag_count = list->count,
        .dev = options_has(args, "dev"),
    };
    struct config c;
    err_t err = config_load(&sources, &c);
    if (err != OK) {
        fprintf(stderr, "spillway serve: %s\n", err_text(err));
        return EXIT_USAGE;
    }
    int status = options_has(args, "print-config") ? print_config(&c, args) : serve(&c);
    config_release(&c);
    return status;
}

static int run(const struct cli_args *args)
{
    CLEANUP(flag_list_release)
    struct flag_list list = {xcalloc(args->given_count + 1, sizeof(*list.flags)),
                             xcalloc(args->given_count + 1, sizeof(*list.keys)), 0};
    for (size_t i = 0; i < args->given_count; i++)
        if (!add_flag(&args->given[i], args->command, &list))
            return EXIT_USAGE;
    return serve_with(args, &list);
}

const struct cli_command command_serve = {
    .name = "serve",
    .usage = "serve [OPTIONS]",
    .summary = "Run the server",
    .about =
        "Prints `ready http=ADDR kafka=ADDR data=DIR` when it accepts traffic. SIGTERM drains:\n"
        "no new connections, requests in flight finish, what is acknowledged is on disk.\n"
        "Flags override the environment, which overrides the file, which overrides defaults.\n",
    .options = options,
    .option_count = ARRAY_LEN(options),
    .example = "  spillway serve --dev --data /tmp/spillway-data --http 127.0.0.1:8080\n",
    .run = run,
};
