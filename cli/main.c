/*
 * cli/main.c: spillway COMMAND. Results go to standard output, everything else to standard error;
 * exit status 0: done, 1: failed, 2: bad usage.
 */
#include <stdio.h>
#include <string.h>

#include "base/suggest.h"
#include "cli/commands.h"

static const struct cli_command *const commands[] = {
    &command_serve,       &command_ingest,  &command_tail,    &command_snapshot,
    &command_restore,     &command_history, &command_changes, &command_diff,
    &command_collections, &command_compact, &command_log,     &command_status,
};

static int print_help(void)
{
    printf("Usage: spillway COMMAND [OPTIONS]\n\n"
           "Spillway takes events over HTTP, webhooks and Kafka, keeps them durably in a log, and\n"
           "serves them to Kafka consumers.\n\nCommands:\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    printf("  %-12s %s\n", "help", "Show this help, or a command's: spillway help COMMAND");
    printf("\nspillway --version prints the version.\n\nExample:\n"
           "  spillway serve --dev --data /tmp/spillway-data\n");
    return EXIT_OK;
}

static const struct cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    fprintf(stderr, "spillway: unknown command \"%s\"", name);
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (suggest_is_near(name, commands[i]->name)) {
            fprintf(stderr, " (did you mean %s?)", commands[i]->name);
            break;
        }
    }
    fprintf(stderr, "\nTry: spillway help\n");
    return EXIT_USAGE;
}

static int run_command(const struct cli_command *command, int argc, char **argv)
{
    struct cli_args args;
    int status = options_parse(command, argc, argv, &args);
    if (status != OPTIONS_GO_ON)
        return status;
    status = command->run(&args);
    options_release(&args);
    return status;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "Usage: spillway COMMAND [OPTIONS]\nTry: spillway help\n");
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("spillway %s\n", SPILLWAY_VERSION);
        return EXIT_OK;
    }
    bool help = strcmp(name, "help") == 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || (help && argc == 2))
        return print_help();
    const struct cli_command *command = find_command(help ? argv[2] : name);
    if (command == NULL)
        return unknown_command(help ? argv[2] : name);
    if (help) {
        options_help(command);
        return EXIT_OK;
    }
    return run_command(command, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    int status = dispatch(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "spillway: cannot write to standard output\n");
        return status == EXIT_OK ? EXIT_FAILED : status;
    }
    return status;
}
