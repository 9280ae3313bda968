/*
 * cli/options.h: a subcommand's options as one table, from which it is parsed and its --help made.
 *
 * Long options (--name VALUE, --name=VALUE), letters (-n 5, -n5) and "--" are understood; options
 * and positional arguments may be mixed. Every command has --help (-h).
 */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stddef.h>

#include "base/base.h"

struct cli_option {
    const char *name;     /* without dashes */
    char letter;          /* 0: none */
    const char *argument; /* name of its value, e.g. "FILE"; NULL: a switch */
    const char *help;
};

struct cli_args;

struct cli_command {
    const char *name;
    const char *usage;   /* behind "spillway ", e.g. "ingest [OPTIONS] [FILE]" */
    const char *summary; /* one line */
    const char *about;   /* more for --help, "" or lines ending in \n */
    const struct cli_option *options;
    size_t option_count;
    size_t positional_max;
    const char *example; /* lines, indented by two blanks */
    int (*run)(const struct cli_args *args);
};

struct cli_given {
    const struct cli_option *option;
    const char *value; /* "" for a switch */
};

/** What was given, in order. Borrows from argv. */
struct cli_args {
    const struct cli_command *command;
    struct cli_given *given;
    size_t given_count;
    const char **positional;
    size_t positional_count;
};

#define EXIT_OK 0
#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define OPTIONS_GO_ON (-1)

/** Parses argv[0..argc) (behind the command's name). OPTIONS_GO_ON, or the exit status after --help
 *  (printed on standard output) or a mistake (on standard error). Release with options_release. */
int options_parse(const struct cli_command *command, int argc, char **argv,
                  struct cli_args *ret_args);
void options_release(struct cli_args *args);
/** The last value given for an option, or NULL. */
const char *options_value(const struct cli_args *args, const char *name);
bool options_has(const struct cli_args *args, const char *name);
/** A whole number within [min, max]; prints the mistake and returns false otherwise. An option that
 * was not given leaves *value as it is. */
bool options_number(const struct cli_args *args, const char *name, int64_t min, int64_t max,
                    int64_t *value);

/** The command's --help. */
void options_help(const struct cli_command *command);
/** "spillway NAME: sentence" and a pointer to --help on standard error; returns EXIT_USAGE. */
int options_mistake(const struct cli_command *command, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
