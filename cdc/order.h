/*
 * cdc/order.h: the order of ids, by their bytes, made quick: ids of one collection tend to begin
 * alike, so what all of them share is passed over, and the eight bytes behind it are compared as a
 * number. The order itself is slice_compare's.
 */
#ifndef CDC_ORDER_H
#define CDC_ORDER_H

#include <endian.h>
#include <string.h>

#include "base/base.h"

/** How many of the first `most` bytes both have in common. */
static inline size_t id_common(struct slice a, struct slice b, size_t most)
{
    size_t len = MIN(MIN(a.len, b.len), most);
    if (len > 0 && memcmp(a.data, b.data, len) == 0)
        return len;
    size_t i = 0;
    while (i < len && a.data[i] == b.data[i])
        i++;
    return i;
}

/** Eight bytes from `skip` on, the first highest, zeros behind the end. Where two differ, the ids
 * differ likewise; where they are equal, nothing is known. */
static inline uint64_t id_prefix(struct slice id, size_t skip)
{
    uint64_t value = 0;
    if (id.len > skip)
        memcpy(&value, id.data + skip, MIN(id.len - skip, sizeof(value)));
    return be64toh(value);
}

#endif
