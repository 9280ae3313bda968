/*
 * snapshot/retention.h: which files a collection keeps: a pure function of its manifests, the
 * settings and the time. Private to snapshot/.
 */
#ifndef SNAPSHOT_RETENTION_H
#define SNAPSHOT_RETENTION_H

#include "snapshot/snapshot.h"

struct retention_plan {
    bool *keep;                  /* owned; of each snapshot of the list */
    size_t delta_remove;         /* how many deltas leave, from the front of the chain */
    const struct snapshot *base; /* what stands in for them; borrowed from the list; NULL: none */
};
void retention_choose(const struct retention *r, int64_t now_us,
                      const struct collection_manifest *m, const struct snapshot_list *l,
                      struct retention_plan *ret);
void retention_plan_release(struct retention_plan *p);

/** The oldest snapshot that the chain of deltas goes on from: moments before it are not kept. NULL:
 * none. */
const struct snapshot *retention_oldest(const struct snapshot_list *l, int64_t chain_from);

#endif
