/*
 * A sliding window by two fixed ones: per key, the counts of this wall-clock minute and of the one
 * before. The use of the last 60 seconds is estimated as
 *
 *     current + floor((1 - elapsed fraction of the minute) * previous)
 *
 * Refused requests are not counted.
 *
 * Memory is bounded: a key has its place in one of a fixed number of sets (by its hash, which is
 * seeded, so nobody can aim), each of a few entries; a new key takes the place of the entry that
 * was idle longest and, among those, was used least. Sets are guarded by one of a few locks, held
 * for some tens of instructions.
 */
#include "access/rate.h"

#include <stdlib.h>

#include "base/lock.h"

#define RATE_SETS 8192
#define RATE_WAYS 8
#define RATE_LOCKS 64
#define MINUTE_MS 60000

struct rate_entry {
    uint64_t key; /* 0: free */
    int64_t minute;
    uint32_t requests, events;               /* in `minute` */
    uint32_t before_requests, before_events; /* in the minute before it */
};

struct rate_table {
    struct lock locks[RATE_LOCKS];
    struct rate_entry *sets[RATE_SETS]; /* made on first use; guarded by locks[set % RATE_LOCKS] */
};

struct rate_table *rate_table_new(void)
{
    struct rate_table *t = xcalloc(1, sizeof(*t));
    for (size_t i = 0; i < RATE_LOCKS; i++)
        lock_init(&t->locks[i], LOCK_RANK_LEAF);
    return t;
}

void rate_table_free(struct rate_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < RATE_LOCKS; i++)
        lock_destroy(&t->locks[i]);
    for (size_t i = 0; i < RATE_SETS; i++)
        free(t->sets[i]);
    free(t);
}

static bool is_better_victim(const struct rate_entry *a, const struct rate_entry *b)
{
    if (b->key == 0)
        return false;
    if (a->key == 0)
        return true;
    if (a->minute != b->minute)
        return a->minute < b->minute;
    return a->requests < b->requests;
}

static struct rate_entry *find_entry(struct rate_entry *set, uint64_t key)
{
    struct rate_entry *victim = &set[0];
    for (size_t i = 0; i < RATE_WAYS; i++) {
        if (set[i].key == key)
            return &set[i];
        if (is_better_victim(&set[i], victim))
            victim = &set[i];
    }
    *victim = (struct rate_entry){.key = key};
    return victim;
}

static void turn_minute(struct rate_entry *e, int64_t minute)
{
    if (e->minute == minute)
        return;
    bool adjacent = e->minute + 1 == minute;
    e->before_requests = adjacent ? e->requests : 0;
    e->before_events = adjacent ? e->events : 0;
    e->requests = 0;
    e->events = 0;
    e->minute = minute;
}

static uint32_t estimate(uint32_t current, uint32_t before, int64_t left_ms)
{
    uint64_t sum = current + (uint64_t)before * (uint64_t)left_ms / MINUTE_MS;
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

static bool fits(uint32_t used, uint32_t more, uint32_t limit)
{
    return limit == 0 || (uint64_t)used + more <= limit;
}

static uint32_t add_capped(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

struct rate_counts rate_take(struct rate_table *t, uint64_t key, int64_t now_ms,
                             struct rate_limits limits, uint32_t events, bool count)
{
    if (key == 0)
        key = 1;
    size_t set = key % RATE_SETS;
    int64_t left_ms = MINUTE_MS - now_ms % MINUTE_MS;
    struct lock *l = &t->locks[set % RATE_LOCKS];
    lock_acquire(l);
    if (t->sets[set] == NULL)
        t->sets[set] = xcalloc(RATE_WAYS, sizeof(struct rate_entry));
    struct rate_entry *e = find_entry(t->sets[set], key);
    turn_minute(e, now_ms / MINUTE_MS);
    struct rate_counts counts = {.requests = estimate(e->requests, e->before_requests, left_ms),
                                 .events = estimate(e->events, e->before_events, left_ms)};
    counts.allowed =
        fits(counts.requests, 1, limits.requests) && fits(counts.events, events, limits.events);
    if (counts.allowed && count) {
        e->requests = add_capped(e->requests, 1);
        e->events = add_capped(e->events, events);
    }
    lock_release(l);
    return counts;
}
