#include "server/signals.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP); /* unless nohup(1) has it ignored */
    return set;
}

static void on_second_signal(int signal_number)
{
    (void)signal_number;
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
    struct sigaction again = {.sa_handler = on_second_signal};
    sigaction(SIGTERM, &again, NULL);
    sigaction(SIGINT, &again, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    return number;
}
