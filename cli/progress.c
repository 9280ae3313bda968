#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define DRAW_EVERY_NS 100000000
#define BAR_WIDTH 30
#define NS_PER_S 1000000000.0

void progress_start(struct progress *p, const char *name, uint64_t total_bytes)
{
    *p = (struct progress){.name = name,
                           .total_bytes = total_bytes,
                           .started_ns = clock_mono_ns(clock_real()),
                           .on = isatty(STDERR_FILENO) == 1};
}

void progress_format(const struct progress *p, uint64_t bytes, uint64_t events, int64_t elapsed_ns,
                     char *out, size_t size)
{
    double seconds = (double)MAX(elapsed_ns, 1) / NS_PER_S;
    double megabytes = (double)bytes / 1e6;
    char rate[40];
    if (events > 0)
        snprintf(rate, sizeof(rate), "%.0f events/s", (double)events / seconds);
    else
        snprintf(rate, sizeof(rate), "%.1f MB/s", megabytes / seconds);
    if (p->total_bytes == 0) {
        snprintf(out, size, "%s  %.1f MB  %llu events  %s", p->name, megabytes,
                 (unsigned long long)events, rate);
        return;
    }
    double done = MIN(1.0, (double)bytes / (double)p->total_bytes);
    unsigned eta = done > 0 ? (unsigned)(seconds / done - seconds) : 0;
    char bar[BAR_WIDTH + 1];
    memset(bar, ' ', BAR_WIDTH);
    memset(bar, '#', (size_t)(done * BAR_WIDTH));
    bar[BAR_WIDTH] = '\0';
    snprintf(out, size, "%s %3.0f%% [%s] %.1f MB  %s  ETA %u:%02u", p->name, done * 100, bar,
             megabytes, rate, eta / 60, eta % 60);
}

void progress_update(struct progress *p, uint64_t bytes, uint64_t events)
{
    int64_t now = clock_mono_ns(clock_real());
    if (!p->on || now - p->drawn_ns < DRAW_EVERY_NS)
        return;
    char line[256];
    progress_format(p, bytes, events, now - p->started_ns, line, sizeof(line));
    fprintf(stderr, "\r%s\033[K", line);
    p->drawn_ns = now;
}

void progress_end(struct progress *p)
{
    if (p->on && p->drawn_ns != 0)
        fprintf(stderr, "\r\033[K");
}
