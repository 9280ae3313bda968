/*
 * bench/options.h: a program's command line: options from a table, then one argument.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "base/base.h"

/** "--name VALUE" or "--name=VALUE" goes to the one target that is not NULL; a flag takes no value.
 */
struct bench_option {
    const char *name; /* without the dashes; NULL ends the table */
    const char **text;
    uint64_t *whole;
    double *real; /* not negative */
    bool *flag;
    void (*call)(void *arg, const char *value);
    void *arg;
};

/** Fills the targets and returns the one argument. "--help" prints `usage` and ends the program;
 * so does what is not understood, with status 2. */
const char *bench_options(int argc, char **argv, const struct bench_option *options,
                          const char *usage);
/** Prints `usage` and exits with status 2. */
_Noreturn void bench_usage(const char *usage);

#endif
