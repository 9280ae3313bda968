/*
 * base/metrics.h: counters and gauges, declared once in metrics.def. Any thread; relaxed atomics.
 */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <stdatomic.h>

#include "base/base.h"
#include "base/buf.h"

enum metric {
#define METRIC(name, type, help) M_##name,
#include "base/metrics.def"
#undef METRIC
    METRIC_COUNT
};

extern _Atomic int64_t metric_values[METRIC_COUNT];

static inline void metric_add(enum metric m, int64_t n)
{
    atomic_fetch_add_explicit(&metric_values[m], n, memory_order_relaxed);
}
static inline void metric_inc(enum metric m)
{
    metric_add(m, 1);
}
static inline int64_t metric_get(enum metric m)
{
    return atomic_load_explicit(&metric_values[m], memory_order_relaxed);
}

/** Appends all metrics in the Prometheus text format 0.0.4. */
void metrics_write(struct buf *out);

#endif
