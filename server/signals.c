#include "server/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

/* timeout(1) and some shells signal the process and then its whole group: that is one wish. */
#define SAME_SIGNAL_MS 500

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP); /* unless nohup(1) has it ignored */
    return set;
}

/** When the first signal came; written before the handler is installed. */
static struct timespec first_at;

/** Async-signal-safe calls only (signal-safety(7)). */
static void on_second_signal(int signal_number)
{
    (void)signal_number;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = (now.tv_sec - first_at.tv_sec) * 1000 + (now.tv_nsec - first_at.tv_nsec) / 1000000;
    if (ms < SAME_SIGNAL_MS)
        return;
    static const char text[] = "spillway: second signal, stopping at once\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    _exit(1);
}

void signals_prepare(void)
{
    sigset_t set = stop_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int signals_wait(void)
{
    sigset_t set = stop_signals();
    int number;
    do {
        number = sigwaitinfo(&set, NULL);
    } while (number < 0);
    clock_gettime(CLOCK_MONOTONIC, &first_at);
    struct sigaction again = {.sa_handler = on_second_signal, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &again, NULL);
    sigaction(SIGINT, &again, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return number;
}
