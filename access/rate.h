/*
 * access/rate.h: the sliding-window counters behind access_rate. Private to access/.
 */
#ifndef ACCESS_RATE_H
#define ACCESS_RATE_H

#include "base/base.h"

struct rate_table;

struct rate_limits {
    uint32_t requests; /* per minute; 0: none */
    uint32_t events;
};
struct rate_counts {
    uint32_t requests; /* estimated use within the last minute, this request not included */
    uint32_t events;
    bool allowed;
};

struct rate_table *rate_table_new(void);
void rate_table_free(struct rate_table *t);
/** One request of `events` events under `key`: whether it stays within `limits`, and where it does
 * and `count` is set, it is counted. Any thread. */
struct rate_counts rate_take(struct rate_table *t, uint64_t key, int64_t now_ms,
                             struct rate_limits limits, uint32_t events, bool count);

#endif
