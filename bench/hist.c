/* bench/hist.c: see hist.h. */
#include "bench/hist.h"

static size_t bucket_of(uint64_t value)
{
    if (value < HIST_SUB_COUNT)
        return (size_t)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - (HIST_SUB_BITS - 1);
    /* value >> shift lies in [SUB_COUNT/2, SUB_COUNT): each power of two takes half a row. */
    size_t half = HIST_SUB_COUNT / 2;
    size_t index = HIST_SUB_COUNT + (shift - 1) * half + ((size_t)(value >> shift) - half);
    return MIN(index, (size_t)HIST_BUCKETS - 1);
}

/** The greatest value that bucket `index` takes. */
static uint64_t bucket_top(size_t index)
{
    size_t half = HIST_SUB_COUNT / 2;

    if (index < HIST_SUB_COUNT)
        return index;
    size_t shift = (index - HIST_SUB_COUNT) / half + 1;
    size_t step = (index - HIST_SUB_COUNT) % half + half;
    return ((uint64_t)(step + 1) << shift) - 1;
}

void hist_record(struct hist *h, uint64_t value)
{
    h->count++;
    h->max = MAX(h->max, value);
    h->buckets[bucket_of(value)]++;
}

void hist_merge(struct hist *into, const struct hist *from)
{
    into->count += from->count;
    into->max = MAX(into->max, from->max);
    for (size_t i = 0; i < HIST_BUCKETS; i++)
        into->buckets[i] += from->buckets[i];
}

uint64_t hist_percentile(const struct hist *h, double percent)
{
    uint64_t rank = (uint64_t)((double)h->count * percent / 100.0 + 0.5);
    uint64_t seen = 0;

    rank = MAX(rank, 1);
    for (size_t i = 0; i < HIST_BUCKETS && h->count > 0; i++) {
        seen += h->buckets[i];
        if (seen >= rank)
            return MIN(bucket_top(i), h->max);
    }
    return h->max;
}
