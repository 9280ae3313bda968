/*
 * stats.h: the least and the greatest value of a page or a column chunk.
 *
 * Format: ColumnOrder and Statistics of parquet.thrift. Integers and doubles compare as numbers
 * (NaN is left out, zeros get the sign that includes the other), bytes unsigned and
 * lexicographically.
 *
 * Of a byte array only the first STATS_BYTES_MAX bytes are kept, and whether there was more: what
 * is written is cut to that length. A least value that is cut is still below; a greatest one is
 * raised in its last place, text (STRING, JSON) by code points so that it stays UTF-8.
 */
#ifndef PARQUET_STATS_H
#define PARQUET_STATS_H

#include "parquet.h"

#define STATS_BYTES_MAX 64

struct stats_prefix {
    uint8_t bytes[STATS_BYTES_MAX];
    uint8_t len;
    bool longer; /* the value goes on */
};

struct stats {
    bool any; /* a value that counts has been seen */
    union {
        struct {
            int64_t min, max;
        } i;
        struct {
            double min, max;
        } f;
    };
    struct stats_prefix min, max; /* byte arrays and FIXED_16 */
};

void pq_stats_add_int(struct stats *s, int64_t value);
void pq_stats_add_double(struct stats *s, double value);
void pq_stats_add_bytes(struct stats *s, const uint8_t *data, uint32_t len);
/** Takes in what another has seen, of the same column. */
void pq_stats_merge(struct stats *s, enum pq_type type, const struct stats *other);

struct stats_bound {
    uint8_t bytes[STATS_BYTES_MAX];
    uint8_t len;
    bool there; /* false: no value counted, or none of this length is above them all */
    bool exact;
};

/** The bounds as files hold them. */
void pq_stats_bounds(const struct stats *s, enum pq_type type, bool text,
                     struct stats_bound *ret_min, struct stats_bound *ret_max);
/** Below, at or above zero as the bounds of a column of this type compare. */
int pq_stats_bound_compare(enum pq_type type, const struct stats_bound *a,
                           const struct stats_bound *b);

#endif
