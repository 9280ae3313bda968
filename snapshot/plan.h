/*
 * snapshot/plan.h: the choice of sources as a pure function of what there is. Private to snapshot/.
 */
#ifndef SNAPSHOT_PLAN_H
#define SNAPSHOT_PLAN_H

#include "snapshot/snapshot.h"
#include "snapshot/source.h"

/** What a target comes down to: changes with lsn < lsn_to and ts <= ts_max_us count. */
struct plan_goal {
    int64_t lsn_to, ts_max_us;
    const struct store_file *snapshot; /* this one and nothing else; borrowed, or NULL */
    int64_t base_below;                /* only a base that ends below this LSN may serve; 0: any */
    const char *text;                  /* the target as the user wrote it, for messages */
};

/** A target and what there is to reach it with. */
struct plan_question {
    struct source *source;
    const char *namespace_name;
    struct slice collection;
    const struct target *target; /* NULL: the latest state */
    bool without_snapshots;      /* do as if there were none */
    /* filled by plan_resolve */
    struct extent extent;
    struct snapshot_list snapshots;
    char text[128];
};
/** Reads the manifests and resolves the target; *ret borrows from the question. Errors as
 * rebuild_plan. Release the question in any case. */
err_t plan_resolve(struct plan_question *q, struct plan_goal *ret) MUST_USE;
void plan_question_release(struct plan_question *q);

/** Fills *ret from the extent and the snapshots. ERR_VALIDATION with the available range where
 * nothing kept reaches back that far. */
err_t plan_choose(const struct extent *e, const struct snapshot_list *snapshots,
                  const struct plan_goal *goal, struct rebuild_plan *ret) MUST_USE;

/** The greatest ts that the plan's files cover. */
int64_t plan_ts_max(const struct rebuild_plan *plan);

/** The plan for the same end, from what is there now: beside a running server compaction and
 * cleanup replace files. ERR_END where it would read the same files. */
err_t plan_again(struct source *s, const char *namespace_name, struct slice collection,
                 const struct rebuild_plan *old, struct rebuild_plan *ret) MUST_USE;

/** ERR_NOT_FOUND where neither the store nor the state nor the log has a collection of this name.
 * Snapshots need no look: extent_read fails where they are there and the manifest is not. */
err_t plan_check_collection(struct source *s, const char *namespace_name, struct slice collection,
                            const struct extent *e) MUST_USE;

#endif
