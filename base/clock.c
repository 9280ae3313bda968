#include "base/clock.h"

#include <errno.h>
#include <time.h>

static int64_t real_wall_us(struct clock *c UNUSED)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t real_mono_ns(struct clock *c UNUSED)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void clock_pause_ms(int64_t ms)
{
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

struct clock *clock_real(void)
{
    static struct clock real = {real_wall_us, real_mono_ns};
    return &real;
}

static int64_t manual_wall_us(struct clock *c)
{
    return CONTAINER_OF(c, struct clock_manual, base)->now_wall_us;
}

static int64_t manual_mono_ns(struct clock *c)
{
    return CONTAINER_OF(c, struct clock_manual, base)->now_mono_ns;
}

void clock_manual_init(struct clock_manual *m, int64_t wall_us)
{
    m->base = (struct clock){manual_wall_us, manual_mono_ns};
    m->now_wall_us = wall_us;
    m->now_mono_ns = 1;
}

void clock_manual_advance_us(struct clock_manual *m, int64_t us)
{
    m->now_wall_us += us;
    m->now_mono_ns += us * 1000;
}
