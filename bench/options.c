/* bench/options.c: see options.h. */
#include "bench/options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/common.h"

#define OPTIONS_MAX 16
#define HELP OPTIONS_MAX /* getopt's number of --help; an option's is its place in the table */

_Noreturn void bench_usage(const char *usage)
{
    fputs(usage, stderr);
    exit(2);
}

static void set_option(const struct bench_option *o, const char *value)
{
    CLEANUP(xfree_ptr) char *what = xasprintf("--%s", o->name);

    if (o->text != NULL)
        *o->text = value;
    else if (o->whole != NULL)
        *o->whole = bench_parse_u64(value, what);
    else if (o->real != NULL)
        *o->real = bench_parse_double(value, what);
    else if (o->flag != NULL)
        *o->flag = true;
    else
        o->call(o->arg, value);
}

const char *bench_options(int argc, char **argv, const struct bench_option *options,
                          const char *usage)
{
    struct option longs[OPTIONS_MAX + 2] = {0};
    int count = 0, number;

    for (; options[count].name != NULL; count++) {
        ASSERT(count < OPTIONS_MAX);
        bool takes_value = options[count].flag == NULL;
        longs[count] = (struct option){options[count].name, takes_value, NULL, count};
    }
    longs[count] = (struct option){"help", 0, NULL, HELP};
    while ((number = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        if (number == HELP) {
            fputs(usage, stdout);
            exit(0);
        }
        if (number < 0 || number >= count) /* '?': getopt has said what is wrong */
            bench_usage(usage);
        set_option(&options[number], optarg);
    }
    if (optind != argc - 1)
        bench_usage(usage);
    return argv[optind];
}
