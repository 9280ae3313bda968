/*
 * base/clock.h: time behind a seam, so that tests can hold and move it.
 */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include "base/base.h"

struct clock {
    int64_t (*wall_us)(struct clock *c); /* UTC, microseconds since 1970 */
    int64_t (*mono_ns)(struct clock *c); /* monotonic, nanoseconds since an arbitrary start */
};

/** The machine's clock. Any thread. */
struct clock *clock_real(void);

/** Sleeps the calling thread for `ms` of real time, signals or not. */
void clock_pause_ms(int64_t ms);

/** A clock that only moves when told. Embedded. One thread moves it, any reads it. */
struct clock_manual {
    struct clock base;
    _Atomic int64_t now_wall_us;
    _Atomic int64_t now_mono_ns;
};
void clock_manual_init(struct clock_manual *m, int64_t wall_us);
void clock_manual_advance_us(struct clock_manual *m, int64_t us);

static inline int64_t clock_wall_us(struct clock *c)
{
    return c->wall_us(c);
}
static inline int64_t clock_wall_ms(struct clock *c)
{
    return c->wall_us(c) / 1000;
}
static inline int64_t clock_mono_ns(struct clock *c)
{
    return c->mono_ns(c);
}

#endif
