/*
 * cli/options.c: one loop over argv, with the command's table.
 */
#include "cli/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/suggest.h"

static const struct cli_option help_option = {"help", 'h', NULL, "Show this help"};

int options_mistake(const struct cli_command *command, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "spillway %s: ", command->name);
    vfprintf(stderr, fmt, args);
    fprintf(stderr, "\nTry: spillway %s --help\n", command->name);
    va_end(args);
    return EXIT_USAGE;
}

static void print_option(const struct cli_option *o)
{
    char left[64];
    char letter[8] = "    ";
    if (o->letter != 0)
        snprintf(letter, sizeof(letter), "-%c, ", o->letter);
    snprintf(left, sizeof(left), "%s--%s%s%s", letter, o->name, o->argument != NULL ? " " : "",
             o->argument != NULL ? o->argument : "");
    printf("  %-26s %s\n", left, o->help);
}

void options_help(const struct cli_command *command)
{
    printf("Usage: spillway %s\n\n%s.\n", command->usage, command->summary);
    if (*command->about != '\0')
        printf("\n%s", command->about);
    printf("\nOptions:\n");
    for (size_t i = 0; i < command->option_count; i++)
        print_option(&command->options[i]);
    print_option(&help_option);
    printf("\nExample:\n%s", command->example);
}

static const struct cli_option *find_long(const struct cli_command *command, const char *name,
                                          size_t len)
{
    for (size_t i = 0; i <= command->option_count; i++) {
        const struct cli_option *o =
            i == command->option_count ? &help_option : &command->options[i];
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    }
    return NULL;
}

static const struct cli_option *find_letter(const struct cli_command *command, char letter)
{
    for (size_t i = 0; i < command->option_count; i++)
        if (command->options[i].letter == letter)
            return &command->options[i];
    return letter == help_option.letter ? &help_option : NULL;
}

static int unknown_option(const struct cli_command *command, const char *text)
{
    for (size_t i = 0; i < command->option_count; i++)
        if (strncmp(text, "--", 2) == 0 && suggest_is_near(text + 2, command->options[i].name))
            return options_mistake(command, "unknown option %s (did you mean --%s?)", text,
                                   command->options[i].name);
    return options_mistake(command, "unknown option %s", text);
}

static void add_given(struct cli_args *args, const struct cli_option *option, const char *value)
{
    args->given = xrealloc(args->given, (args->given_count + 1) * sizeof(*args->given));
    args->given[args->given_count++] = (struct cli_given){option, value};
}

/** Takes the letters at *text in turn that need no value, but for the last option: that one is
 * returned, with what follows it (as in -n5). NULL: an unknown letter. */
static const struct cli_option *take_letters(const struct cli_command *command, const char *text,
                                             struct cli_args *args, const char **ret_attached)
{
    const struct cli_option *option = find_letter(command, *text);
    for (; text[1] != '\0' && option != NULL; option = find_letter(command, *++text)) {
        *ret_attached = text + 1;
        if (option->argument != NULL || option == &help_option)
            return option;
        add_given(args, option, "");
    }
    *ret_attached = NULL;
    return option;
}

/** Takes argv[*at], an option (or letters in one: -lj), and its value. */
static int parse_option(const struct cli_command *command, int argc, char **argv, int *at,
                        struct cli_args *args)
{
    const char *text = argv[*at];
    const struct cli_option *option;
    const char *attached = NULL;
    if (text[1] == '-') {
        const char *equals = strchr(text, '=');
        size_t len = equals != NULL ? (size_t)(equals - text) - 2 : strlen(text) - 2;
        option = find_long(command, text + 2, len);
        attached = equals != NULL ? equals + 1 : NULL;
    } else {
        option = take_letters(command, text + 1, args, &attached);
    }
    if (option == NULL)
        return unknown_option(command, text);
    if (option->argument == NULL && attached != NULL)
        return options_mistake(command, "--%s takes no value", option->name);
    if (option->argument != NULL && attached == NULL) {
        if (*at + 1 >= argc)
            return options_mistake(command, "--%s needs a value (%s)", option->name,
                                   option->argument);
        attached = argv[++*at];
    }
    if (option == &help_option) {
        options_help(command);
        return EXIT_OK;
    }
    add_given(args, option, attached == NULL ? "" : attached);
    return OPTIONS_GO_ON;
}

static int parse(const struct cli_command *command, int argc, char **argv, struct cli_args *args)
{
    bool options_end = false;
    for (int at = 0; at < argc; at++) {
        const char *text = argv[at];
        if (!options_end && strcmp(text, "--") == 0) {
            options_end = true;
        } else if (!options_end && text[0] == '-' && text[1] != '\0') {
            int status = parse_option(command, argc, argv, &at, args);
            if (status != OPTIONS_GO_ON)
                return status;
        } else {
            if (args->positional_count == command->positional_max)
                return options_mistake(command, "unexpected argument \"%s\"", text);
            args->positional[args->positional_count++] = text;
        }
    }
    return OPTIONS_GO_ON;
}

int options_parse(const struct cli_command *command, int argc, char **argv,
                  struct cli_args *ret_args)
{
    *ret_args = (struct cli_args){.command = command};
    ret_args->positional = xcalloc(command->positional_max + 1, sizeof(*ret_args->positional));
    int status = parse(command, argc, argv, ret_args);
    if (status != OPTIONS_GO_ON)
        options_release(ret_args);
    return status;
}

void options_release(struct cli_args *args)
{
    free(args->given);
    free(args->positional);
    *args = (struct cli_args){0};
}

const char *options_value(const struct cli_args *args, const char *name)
{
    for (size_t i = args->given_count; i > 0; i--)
        if (strcmp(args->given[i - 1].option->name, name) == 0)
            return args->given[i - 1].value;
    return NULL;
}

bool options_has(const struct cli_args *args, const char *name)
{
    return options_value(args, name) != NULL;
}

bool options_number(const struct cli_args *args, const char *name, int64_t min, int64_t max,
                    int64_t *value)
{
    const char *text = options_value(args, name);
    if (text == NULL)
        return true;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0 || number < min || number > max) {
        options_mistake(args->command, "--%s: \"%s\" is not a number from %lld to %lld", name, text,
                        (long long)min, (long long)max);
        return false;
    }
    *value = number;
    return true;
}
