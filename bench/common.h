/*
 * bench/common.h: what every benchmark program needs: time, CPU of a process, sockets, numbers.
 *
 * The programs are single-purpose: a failure they cannot measure around ends them with a sentence
 * on standard error and exit status 1 (bad usage: 2).
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#include <netinet/in.h>

#include "base/base.h"

#define NS_PER_S UINT64_C(1000000000)

/** Prints "NAME: sentence" and exits with status 1. */
_Noreturn void bench_die(const char *fmt, ...) PRINTF_LIKE(1, 2);
/** The same with errno's text appended. */
_Noreturn void bench_die_errno(const char *fmt, ...) PRINTF_LIKE(1, 2);

/** Monotonic nanoseconds. Any thread. */
uint64_t bench_now_ns(void);
/** Sleeps until bench_now_ns() is `when_ns`; not at all where that has passed. */
void bench_sleep_until(uint64_t when_ns);

/** A decimal number of an option; `what` names it in the message that ends the program. */
uint64_t bench_parse_u64(const char *text, const char *what);
double bench_parse_double(const char *text, const char *what);

/** User plus system seconds that process `pid` has used so far, all its threads; 0 for pid 0. The
 *  kernel counts them in ticks of 10 ms. */
double bench_process_cpu_s(uint64_t pid);
/** Highest resident size of `pid` in MB (VmHWM); 0 for pid 0. */
double bench_process_peak_rss_mb(uint64_t pid);
/** CPU seconds of the calling thread, of the whole calling process. */
double bench_thread_cpu_s(void);
double bench_self_cpu_s(void);

/** "address:port", numeric IPv4; ends the program when it is none. */
struct sockaddr_in bench_address(const char *text);
/** A connected TCP socket (TCP_NODELAY) to "address:port". Owned by the caller. */
int bench_connect(const char *address);

/** SplitMix64: a fast, seedable generator; all benchmark input comes from it. */
static inline uint64_t bench_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif
