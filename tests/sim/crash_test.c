/*
 * tests/sim/crash_test.c: the crash suite. Usage:
 *
 *   sim_crash                    everything below, SPILLWAY_SIM_CRASHES (10,000) random crashes
 *   sim_crash --random           only random histories: --runs CRASHES --seed FIRST --jobs N
 *   sim_crash --exhaustive       only every call of short lives as the crash point
 *   sim_crash --faults           only every call of short lives failing
 *   sim_crash --catalog          only the settings store (SQLite): a fifth as many crashes
 *   sim_crash --recovery         only state, deltas, snapshots, restores: a fifth as many crashes,
 *                                and every call of short lives as the crash point
 *   sim_crash --negative         only the control: each sync site, swallowed, must be caught
 *   sim_crash --seed S --runs 1  one history again (the seed is printed by a failure); --verbose
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/logger.h"
#include "tests/sim/catalog_chain.h"
#include "tests/sim/chain.h"
#include "tests/sim/negative.h"
#include "tests/sim/recovery.h"

#define DEFAULT_CRASHES 10000
#define JOBS_MAX 16
#define SWEEP_WORKLOADS 4
#define SWEEP_LOSSES 6
#define SWEEP_CALLS_MAX 5000
#define LOG_LEVEL_SILENT ((enum log_level)(LOG_LEVEL_ERROR + 1))

struct options {
    uint64_t seed;
    uint64_t runs;
    unsigned jobs;
    bool random, exhaustive, faults, catalog, recovery, negative;
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(const char *what, const struct chain_result *r, double began)
{
    double took = seconds() - began;
    printf(
        "%s: %s, %llu crashes in %.1f s (%.0f/s), %llu batches acknowledged, %llu more survived\n",
        what, r->failed ? "FAILED" : "ok", (unsigned long long)r->crashes, took,
        (double)r->crashes / took, (unsigned long long)r->acked, (unsigned long long)r->adopted);
    if (r->failed)
        printf("  %s\n", r->failure);
    (void)fflush(stdout);
}

/* Random histories, in `jobs` processes ------------------------------------------------------- */

/** What runs: random histories of one kind, until `runs` crashes. */
struct histories {
    const char *what, *flag;
    void (*run)(uint64_t seed, uint64_t salt, struct chain_result *r);
    uint64_t seed, runs;
    unsigned jobs;
};

static void random_share(const struct histories *h, unsigned job, struct chain_result *r)
{
    uint64_t share = h->runs / h->jobs + (job < h->runs % h->jobs);
    for (uint64_t seed = h->seed + job; r->crashes < share && !r->failed; seed += h->jobs) {
        h->run(seed, 0, r);
        if (r->failed)
            printf("history %llu failed (again: sim_crash %s --seed %llu --runs 1): %s\n",
                   (unsigned long long)seed, h->flag, (unsigned long long)seed, r->failure);
    }
    (void)fflush(stdout);
}

static void random_fork(const struct histories *h, unsigned job, int fds[2])
{
    if (pipe(fds) != 0) {
        perror("pipe");
        exit(1);
    }
    (void)fflush(stdout);
    pid_t pid = fork();
    if (pid != 0)
        return;
    struct chain_result r = {0};
    random_share(h, job, &r);
    ssize_t n = write(fds[1], &r, sizeof(r));
    _exit(n == (ssize_t)sizeof(r) ? 0 : 1);
}

static bool run_histories(const struct histories *h)
{
    double began = seconds();
    struct chain_result sum = {0};
    int fds[JOBS_MAX][2];
    for (unsigned i = 0; i < h->jobs && h->jobs > 1; i++)
        random_fork(h, i, fds[i]);
    if (h->jobs == 1)
        random_share(h, 0, &sum);
    for (unsigned i = 0; i < h->jobs && h->jobs > 1; i++) {
        struct chain_result r = {0};
        close(fds[i][1]);
        if (read(fds[i][0], &r, sizeof(r)) != (ssize_t)sizeof(r)) {
            r.failed = true;
            (void)snprintf(r.failure, sizeof(r.failure), "a process died");
        }
        close(fds[i][0]);
        sum.crashes += r.crashes;
        sum.acked += r.acked;
        sum.adopted += r.adopted;
        if (r.failed) {
            sum.failed = true;
            memcpy(sum.failure, r.failure, sizeof(sum.failure));
        }
    }
    while (wait(NULL) > 0)
        ;
    report(h->what, &sum, began);
    return !sum.failed;
}

static bool run_random(const struct options *o)
{
    const struct histories h = {"random crashes", "--random", chain_random,
                                o->seed,          o->runs,    o->jobs};
    return run_histories(&h);
}

/* Sweeps -------------------------------------------------------------------------------------- */

typedef void (*crash_at_fn)(uint64_t seed, uint64_t call, uint64_t loss_seed,
                            struct chain_result *r);

/** Every call of one life as the crash point. */
static void sweep(crash_at_fn run, uint64_t seed, uint64_t losses, struct chain_result *r)
{
    for (uint64_t call = 1; call < SWEEP_CALLS_MAX && !r->failed; call++) {
        for (uint64_t loss = 0; loss < losses && !r->failed; loss++) {
            run(seed, call, loss, r);
            if (r->failed)
                printf("workload %llu, call %llu, loss %llu\n", (unsigned long long)seed,
                       (unsigned long long)call, (unsigned long long)loss);
        }
        if (r->calls < call)
            break;
    }
}

static bool run_exhaustive(const struct options *o)
{
    double began = seconds();
    struct chain_result r = {0};
    for (uint64_t seed = o->seed; seed < o->seed + SWEEP_WORKLOADS; seed++)
        sweep(chain_crash_at, seed, SWEEP_LOSSES, &r);
    report("every crash point of short lives", &r, began);
    return !r.failed;
}

static void sweep_faults(uint64_t seed, err_t err, uint64_t count, struct chain_result *r)
{
    for (uint64_t call = 1; call < SWEEP_CALLS_MAX && !r->failed; call++) {
        struct simdisk_fault fault = {SIMDISK_ANY_CALL, call, count, err};
        chain_fault(seed, fault, r);
        if (r->failed)
            printf("workload %llu, call %llu failing with %s, %s\n", (unsigned long long)seed,
                   (unsigned long long)call, err == ERR_IO ? "EIO" : "ENOSPC",
                   count == 1 ? "once" : "for good");
        if (r->calls < call)
            break;
    }
}

static bool run_faults(const struct options *o)
{
    double began = seconds();
    struct chain_result r = {0};
    for (uint64_t seed = o->seed; seed < o->seed + SWEEP_WORKLOADS; seed++) {
        sweep_faults(seed, ERR_IO, 1, &r);
        sweep_faults(seed, ERR_IO, UINT64_MAX, &r);
        sweep_faults(seed, ERR_NO_SPACE, 1, &r);
        sweep_faults(seed, ERR_NO_SPACE, UINT64_MAX, &r);
    }
    report("every call of short lives failing", &r, began);
    return !r.failed;
}

static bool run_catalog(const struct options *o)
{
    const struct histories h = {"settings store", "--catalog",     catalog_chain_random,
                                o->seed,          o->runs / 5 + 1, o->jobs};
    return run_histories(&h);
}

static bool run_recovery(const struct options *o)
{
    const struct histories h = {"state and store", "--recovery",    rec_chain_random,
                                o->seed,           o->runs / 5 + 1, o->jobs};
    bool ok = run_histories(&h);
    double began = seconds();
    struct chain_result r = {0};
    if (o->runs == 1)
        return ok;
    uint64_t losses = o->runs > DEFAULT_CRASHES ? SWEEP_LOSSES : 1;
    sweep(rec_chain_crash_at, o->seed, losses, &r);
    sweep(rec_chain_inplace, o->seed, losses, &r);
    report("every crash point of recovery's short lives", &r, began);
    return ok && !r.failed;
}

/* Command line -------------------------------------------------------------------------------- */

static uint64_t number(const char *text, const char *what)
{
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0') {
        (void)fprintf(stderr, "sim_crash: %s needs a number, not '%s'\n", what, text);
        exit(2);
    }
    return n;
}

static struct options parse(int argc, char **argv)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},
        {"runs", required_argument, NULL, 'r'},
        {"jobs", required_argument, NULL, 'j'},
        {"random", no_argument, NULL, 'a'},
        {"exhaustive", no_argument, NULL, 'e'},
        {"faults", no_argument, NULL, 'f'},
        {"negative", no_argument, NULL, 'n'},
        {"catalog", no_argument, NULL, 'c'},
        {"recovery", no_argument, NULL, 'y'},
        {"verbose", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    const char *env = getenv("SPILLWAY_SIM_CRASHES");
    struct options o = {.seed = 1, .runs = DEFAULT_CRASHES, .jobs = 2};
    if (env != NULL)
        o.runs = number(env, "SPILLWAY_SIM_CRASHES");
    enum log_level level = LOG_LEVEL_SILENT;
    bool runs_given = false;
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 's':
            o.seed = number(optarg, "--seed");
            break;
        case 'r':
            o.runs = number(optarg, "--runs");
            runs_given = true;
            break;
        case 'j':
            o.jobs = (unsigned)number(optarg, "--jobs");
            break;
        case 'a':
            o.random = true;
            break;
        case 'e':
            o.exhaustive = true;
            break;
        case 'f':
            o.faults = true;
            break;
        case 'c':
            o.catalog = true;
            break;
        case 'y':
            o.recovery = true;
            break;
        case 'n':
            o.negative = true;
            break;
        case 'v':
            level = LOG_LEVEL_DEBUG;
            break;
        default:
            exit(2);
        }
    }
    o.jobs = (unsigned)MIN(MAX(MIN(o.jobs, o.runs), 1), JOBS_MAX);
    o.random = o.random || (runs_given && !o.catalog && !o.recovery);
    if (!o.random && !o.exhaustive && !o.faults && !o.catalog && !o.recovery && !o.negative)
        o.random = o.exhaustive = o.faults = o.catalog = o.recovery = o.negative = true;
    logger_configure(level, LOG_FORMAT_TEXT);
    return o;
}

int main(int argc, char **argv)
{
    struct options o = parse(argc, argv);
    bool ok = true;
    if (o.exhaustive)
        ok = run_exhaustive(&o) && ok;
    if (o.faults)
        ok = run_faults(&o) && ok;
    if (o.random)
        ok = run_random(&o) && ok;
    if (o.catalog)
        ok = run_catalog(&o) && ok;
    if (o.recovery)
        ok = run_recovery(&o) && ok;
    if (o.negative)
        ok = negative_run(o.seed, o.jobs) && ok;
    return ok ? 0 : 1;
}
