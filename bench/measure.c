/*
 * bench/measure.c: runs a program and says what it took.
 *
 * Usage: measure PROGRAM ARGUMENTS…
 *
 * Prints one JSON line: seconds from the fork to the end, CPU seconds, peak resident size in MB.
 * The program's standard output goes to /dev/null. A program of its own, because the kernel's peak
 * also counts what a process had before its exec, and that of a script language would hide the
 * rest.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common.h"

static void run_program(char **argv)
{
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0)
        bench_die_errno("/dev/null");
    execv(argv[0], argv);
    bench_die_errno("%s", argv[0]);
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

int main(int argc, char **argv)
{
    struct rusage usage;
    int status = 0;

    if (argc < 2) {
        fputs("Usage: measure PROGRAM ARGUMENTS…\n", stderr);
        return 2;
    }
    uint64_t begin = bench_now_ns();
    pid_t child = fork();
    if (child == 0)
        run_program(argv + 1);
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        bench_die_errno("%s", argv[1]);
    double took = (double)(bench_now_ns() - begin) / 1e9;
    if (status != 0)
        bench_die("%s ended with wait status %d", argv[1], status);
    printf("{\"seconds\":%.4f,\"cpu_s\":%.4f,\"peak_rss_mb\":%.1f}\n", took,
           seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime),
           (double)usage.ru_maxrss * 1024 / 1e6);
    return 0;
}
