/*
 * bench/hist.h: a latency histogram in the manner of HdrHistogram: 128 linear buckets per power of
 * two, so a percentile is right to within 0.8 % from nanoseconds to hours, and recording costs a
 * few instructions and no allocation. A plain value; owned by the thread that records into it.
 */
#ifndef BENCH_HIST_H
#define BENCH_HIST_H

#include "base/base.h"

#define HIST_SUB_BITS 7
#define HIST_SUB_COUNT (1u << HIST_SUB_BITS)
#define HIST_BUCKETS (HIST_SUB_COUNT * 40u)

struct hist {
    uint64_t count;
    uint64_t max;
    uint64_t buckets[HIST_BUCKETS];
};

/** Adds one value. Values past the last bucket are counted in it. */
void hist_record(struct hist *h, uint64_t value);
/** Adds all of `from` to `into`. */
void hist_merge(struct hist *into, const struct hist *from);
/** The value that `percent` (0-100) of all recorded values do not exceed; 0 when empty. */
uint64_t hist_percentile(const struct hist *h, double percent);

#endif
