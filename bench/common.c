/* bench/common.c: see common.h. */
#include "bench/common.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

_Noreturn void bench_die(const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

_Noreturn void bench_die_errno(const char *fmt, ...)
{
    const char *reason = strerror(errno);
    va_list args;

    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fprintf(stderr, ": %s\n", reason);
    exit(1);
}

uint64_t bench_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

void bench_sleep_until(uint64_t when_ns)
{
    struct timespec when = {(time_t)(when_ns / NS_PER_S), (long)(when_ns % NS_PER_S)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &when, NULL) == EINTR)
        ;
}

uint64_t bench_parse_u64(const char *text, const char *what)
{
    char *end = NULL;

    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || text[0] == '-')
        bench_die("%s must be a whole number, not \"%s\"", what, text);
    return value;
}

double bench_parse_double(const char *text, const char *what)
{
    char *end = NULL;

    errno = 0;
    double value = strtod(text, &end);
    if (errno != 0 || end == text || *end != '\0' || value < 0)
        bench_die("%s must be a number, not \"%s\"", what, text);
    return value;
}

double bench_process_cpu_s(uint64_t pid)
{
    char path[64];
    char line[1024];
    unsigned long user = 0;
    unsigned long system = 0;

    if (pid == 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL || fgets(line, sizeof(line), file) == NULL)
        bench_die_errno("%s", path);
    fclose(file);
    /* Field 2 is the name in parentheses and may hold spaces; utime and stime are fields 14 and 15.
     */
    const char *rest = strrchr(line, ')');
    if (rest == NULL || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                               &user, &system) != 2)
        bench_die("%s has an unknown form", path);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

double bench_process_peak_rss_mb(uint64_t pid)
{
    char path[64];
    char line[256];
    double kib = 0;

    if (pid == 0)
        return 0;
    snprintf(path, sizeof(path), "/proc/%llu/status", (unsigned long long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        bench_die_errno("%s", path);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, "VmHWM:", 6) == 0)
            kib = strtod(line + 6, NULL);
    }
    fclose(file);
    return kib * 1024 / 1e6;
}

static double clock_s(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

double bench_thread_cpu_s(void)
{
    return clock_s(CLOCK_THREAD_CPUTIME_ID);
}

double bench_self_cpu_s(void)
{
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

struct sockaddr_in bench_address(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    const char *colon = strrchr(text, ':');

    if (colon == NULL || (size_t)(colon - text) >= sizeof(host))
        bench_die("an address is HOST:PORT, not \"%s\"", text);
    snprintf(host, sizeof(host), "%.*s", (int)(colon - text), text);
    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        bench_die("\"%s\" is not a numeric IPv4 address", host);
    address.sin_port = htons((uint16_t)bench_parse_u64(colon + 1, "the port"));
    return address;
}

int bench_connect(const char *address)
{
    struct sockaddr_in peer = bench_address(address);
    int one = 1;

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&peer, sizeof(peer)) != 0)
        bench_die_errno("cannot connect to %s", address);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}
