/*
 * snapshot/plan.c: from a target to the files and LSNs to read.
 *
 * P1  A base (snapshot, compacted data) serves a goal when everything that it covers counts: its
 *     lsn_to <= the goal's, its greatest ts <= the goal's.
 * P2  The changes from the base's lsn_to up to the goal's must all be there: lsn_to >= chain_from,
 * or the base ends exactly at the goal. The empty collection is a base where the chain begins at 0.
 * P3  Of several bases the one that ends last is taken.
 * P4  A delta is read unless all of it lies in the base, behind the goal, or is later than the
 * goal's time; the log's part begins where the store's files end.
 */
#include "snapshot/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"
#include "snapshot/log_part.h"

void rebuild_plan_free(struct rebuild_plan *p)
{
    store_file_release(&p->snapshot);
    for (size_t i = 0; i < p->delta_count; i++)
        store_file_release(&p->deltas[i]);
    free(p->deltas);
    *p = (struct rebuild_plan){0};
}

/* Choosing ------------------------------------------------------------------------------------ */

static bool base_serves(const struct extent *e, const struct plan_goal *goal,
                        const struct store_file *base)
{
    return base->lsn_to <= goal->lsn_to && base->ts_max_us <= goal->ts_max_us &&
           (goal->base_below == 0 || base->lsn_to < goal->base_below) &&
           (base->lsn_to >= e->chain_from || base->lsn_to == goal->lsn_to);
}

static const struct store_file *best_base(const struct extent *e,
                                          const struct snapshot_list *snapshots,
                                          const struct plan_goal *goal)
{
    const struct store_file *best = NULL;
    if (e->has_manifest && e->manifest.has_data && base_serves(e, goal, &e->manifest.data))
        best = &e->manifest.data;
    for (size_t i = 0; i < snapshots->count; i++) {
        const struct store_file *f = &snapshots->items[i].file;
        if (base_serves(e, goal, f) && (best == NULL || f->lsn_to > best->lsn_to))
            best = f;
    }
    return best;
}

/** The earliest moment from which on every target can be served; false where there is none. */
static bool earliest(const struct extent *e, const struct snapshot_list *snapshots,
                     int64_t *ret_lsn, int64_t *ret_ts)
{
    bool found = false;
    for (size_t i = 0; i <= snapshots->count; i++) {
        const struct store_file *f = i < snapshots->count ? &snapshots->items[i].file
                                     : e->has_manifest && e->manifest.has_data ? &e->manifest.data
                                                                               : NULL;
        if (f == NULL || f->lsn_to < e->chain_from)
            continue;
        if (!found || f->lsn_to < *ret_lsn)
            *ret_lsn = f->lsn_to;
        if (!found || f->ts_max_us < *ret_ts)
            *ret_ts = f->ts_max_us;
        found = true;
    }
    return found;
}

static err_t before_retention(const struct extent *e, const struct snapshot_list *snapshots,
                              const struct plan_goal *goal)
{
    char from[TIMEFMT_MAX], names[256] = "";
    int64_t lsn = 0, ts = 0;
    size_t len = 0;
    for (size_t i = 0; i < snapshots->count && len + 64 < sizeof(names); i++)
        len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%.48s", i > 0 ? ", " : "",
                                snapshots->items[i].name);
    if (!earliest(e, snapshots, &lsn, &ts))
        return err_fail(ERR_VALIDATION,
                        "%s lies before what is kept, and nothing kept reaches back to there; "
                        "snapshots: %s",
                        goal->text, len > 0 ? names : "none");
    timefmt_rfc3339(ts, from);
    return err_fail(ERR_VALIDATION,
                    "%s lies before what is kept. Available: times from %s on, LSNs from %lld to "
                    "%lld%s%s",
                    goal->text, from, (long long)lsn - 1, (long long)e->end - 1,
                    len > 0 ? ", snapshots " : "", names);
}

static void choose_deltas(const struct extent *e, const struct plan_goal *goal, int64_t from,
                          struct rebuild_plan *plan)
{
    plan->deltas = xcalloc(e->manifest.delta_count + 1, sizeof(*plan->deltas));
    for (size_t i = 0; i < e->manifest.delta_count; i++) {
        const struct store_file *d = &e->manifest.deltas[i];
        if (d->lsn_to > from && d->lsn_from < goal->lsn_to && d->rows > 0 &&
            d->ts_min_us <= goal->ts_max_us)
            plan->deltas[plan->delta_count++] = store_file_copy(d);
    }
}

/** The log must begin where the files end. */
static err_t choose_log(const struct extent *e, const struct plan_goal *goal, int64_t from,
                        struct rebuild_plan *plan)
{
    plan->log_from = plan->log_to = MAX(e->store_end, from);
    if (goal->lsn_to <= plan->log_from)
        return OK;
    if (!e->has_log || e->log_start > plan->log_from)
        return changes_missing(plan->log_from, e->has_log ? e->log_start : goal->lsn_to);
    plan->log_to = goal->lsn_to;
    return OK;
}

err_t plan_choose(const struct extent *e, const struct snapshot_list *snapshots,
                  const struct plan_goal *goal, struct rebuild_plan *ret)
{
    CLEANUP(rebuild_plan_free)
    struct rebuild_plan plan = {
        .lsn_to = goal->lsn_to, .ts_max_us = goal->ts_max_us, .base_below = goal->base_below};
    const struct store_file *base =
        goal->snapshot != NULL ? goal->snapshot : best_base(e, snapshots, goal);
    bool from_empty = base == NULL && goal->lsn_to > 0;
    bool nothing_kept = e->store_end == 0 && e->has_log && e->log_start > 0;
    if (from_empty && (e->chain_from > 0 || nothing_kept))
        return before_retention(e, snapshots, goal);
    int64_t from = base != NULL ? base->lsn_to : 0;
    if (base != NULL)
        plan.snapshot = store_file_copy(base);
    plan.log_from = plan.log_to = goal->lsn_to;
    if (from < goal->lsn_to) {
        if (e->has_manifest)
            choose_deltas(e, goal, from, &plan);
        TRY(choose_log(e, goal, from, &plan));
    }
    *ret = plan;
    plan = (struct rebuild_plan){0};
    return OK;
}

/* Resolving ----------------------------------------------------------------------------------- */

void plan_question_release(struct plan_question *q)
{
    extent_release(&q->extent);
    snapshot_list_free(&q->snapshots);
}

static struct log_part log_tail(const char *namespace_name, struct slice collection,
                                const struct extent *e, int64_t from)
{
    int64_t base = MAX(e->store_end, e->log_start);
    return (struct log_part){.namespace_name = namespace_name,
                             .collection = collection,
                             .base = base,
                             .from = MAX(base, from),
                             .to = e->end};
}

static err_t stop_at_first(void *arg, const struct change *c)
{
    (void)c;
    *(bool *)arg = true;
    return ERR_END;
}

/** What the state knows of the collection. *ret_cursor: changes below are in it, 0 without a state.
 * `bookmark` may be NULL; *ret_lsn is then not written, nor where the state has no such bookmark.
 */
static err_t look_in_state(struct source *s, const char *namespace_name, struct slice collection,
                           const char *bookmark, bool *ret_found, int64_t *ret_cursor,
                           int64_t *ret_lsn)
{
    struct state *state;
    struct state_collection found;
    *ret_found = false;
    *ret_cursor = 0;
    err_t err = source_state(s, namespace_name, &state);
    if (err == ERR_NOT_FOUND || err == ERR_CORRUPT)
        return OK;
    TRY(err);
    err = state_cursor(state, ret_cursor);
    if (err == OK)
        err = state_find_collection(state, collection, &found);
    if (err == OK) {
        *ret_found = true;
        free(found.name);
        if (bookmark != NULL)
            err = state_bookmark(state, found.id, slice_of(bookmark), ret_lsn);
    }
    state_close(state);
    return err == ERR_NOT_FOUND ? OK : err;
}

err_t plan_check_collection(struct source *s, const char *namespace_name, struct slice collection,
                            const struct extent *e)
{
    int64_t cursor = 0;
    bool found = e->has_manifest;
    if (!found)
        TRY(look_in_state(s, namespace_name, collection, NULL, &found, &cursor, NULL));
    if (!found && e->has_log) {
        struct log_part tail = log_tail(namespace_name, collection, e, cursor);
        TRY(log_part_each_raw(s, &tail, stop_at_first, &found));
    }
    return found ? OK : no_collection(namespace_name, collection);
}

err_t source_check_collection(struct source *s, const char *namespace_name, struct slice collection)
{
    CLEANUP(extent_release) struct extent e = {0};
    TRY(extent_read(s, namespace_name, collection, &e));
    return plan_check_collection(s, namespace_name, collection, &e);
}

struct bookmark_search {
    struct slice name;
    int64_t lsn; /* -1: none yet */
};

static err_t match_bookmark(void *arg, const struct change *c)
{
    struct bookmark_search *b = arg;
    if (c->bookmark.data != NULL && slice_equal(c->bookmark, b->name))
        b->lsn = MAX(b->lsn, c->lsn);
    return OK;
}

/** Newest delta first: the first that has it has the greatest LSN. */
static err_t search_deltas(struct plan_question *q, struct bookmark_search *b)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(q->namespace_name, q->collection);
    const struct collection_manifest *m = &q->extent.manifest;
    for (size_t i = m->delta_count; i > 0 && b->lsn < 0; i--) {
        struct delta_reader *reader;
        struct change c;
        err_t err;
        TRY(delta_open(source_store(q->source), dir, &m->deltas[i - 1], NULL, &reader));
        while ((err = delta_next(reader, &c)) == OK)
            TRY(match_bookmark(b, &c));
        delta_close(reader);
        if (err != ERR_END)
            return err;
    }
    return OK;
}

static err_t find_bookmark(struct plan_question *q, int64_t *ret_lsn)
{
    struct bookmark_search b = {.name = slice_of(q->target->name), .lsn = -1};
    int64_t cursor = 0, in_state = -1;
    bool found;
    TRY(look_in_state(q->source, q->namespace_name, q->collection, q->target->name, &found, &cursor,
                      &in_state));
    if (q->extent.has_log) {
        struct log_part tail = log_tail(q->namespace_name, q->collection, &q->extent, cursor);
        TRY(log_part_each_raw(q->source, &tail, match_bookmark, &b));
    }
    /* A state that is being made again, or has lost its end, lies behind the deltas. */
    bool behind = in_state < 0 || cursor < q->extent.store_end;
    if (b.lsn < 0 && behind && q->extent.has_manifest)
        TRY(search_deltas(q, &b));
    b.lsn = MAX(b.lsn, in_state);
    if (b.lsn < 0)
        return err_fail(ERR_NOT_FOUND,
                        "no change of %s/%.*s that is kept carries the bookmark \"%.100s\"",
                        q->namespace_name, (int)MIN(q->collection.len, 200), q->collection.data,
                        q->target->name);
    *ret_lsn = b.lsn;
    return OK;
}

static err_t goal_at_lsn(struct plan_question *q, int64_t lsn, struct plan_goal *goal)
{
    int64_t last = q->extent.end - (q->target->exclusive ? 0 : 1);
    if (lsn < 0 || lsn > last)
        return err_fail(ERR_VALIDATION, "LSN %lld is beyond the end: the last one %s is %lld",
                        (long long)lsn,
                        source_data_dir(q->source) != NULL ? "in the log" : "that the store covers",
                        (long long)q->extent.end - 1);
    goal->lsn_to = q->target->exclusive ? lsn : lsn + 1;
    return OK;
}

static err_t goal_at_time(struct plan_question *q, struct plan_goal *goal)
{
    int64_t t = q->target->value;
    char now[TIMEFMT_MAX];
    int64_t now_us = clock_wall_us(source_clock(q->source));
    if (t > now_us) {
        timefmt_rfc3339(now_us, now);
        return err_fail(ERR_VALIDATION, "%s lies in the future: it is %s", q->text, now);
    }
    if (source_data_dir(q->source) == NULL && q->extent.covered_until_us == 0)
        return err_fail(ERR_VALIDATION,
                        "the store has no manifest of the namespace \"%s\", which says up to when "
                        "it covers everything: restore the latest state or an LSN, or bring back "
                        "%s/manifest.json",
                        q->namespace_name, q->namespace_name);
    if (source_data_dir(q->source) == NULL && t > q->extent.covered_until_us) {
        timefmt_rfc3339(q->extent.covered_until_us, now);
        return err_fail(ERR_VALIDATION,
                        "%s lies after %s, up to where the store covers the namespace \"%s\"; the "
                        "data directory knows more",
                        q->text, now, q->namespace_name);
    }
    goal->ts_max_us = q->target->exclusive && t > INT64_MIN ? t - 1 : t;
    return OK;
}

static err_t goal_at_snapshot(struct plan_question *q, struct plan_goal *goal)
{
    struct slice name = slice_of(q->target->name);
    const struct snapshot *s = snapshot_find(&q->snapshots, name);
    if (s == NULL)
        return no_snapshot(q->namespace_name, q->collection, name);
    goal->snapshot = &s->file;
    goal->lsn_to = s->file.lsn_to;
    return OK;
}

static err_t resolve(struct plan_question *q, struct plan_goal *goal)
{
    static const struct target latest = {.kind = TARGET_LATEST};
    const struct target *t = q->target != NULL ? q->target : &latest;
    int64_t lsn = 0;
    *goal = (struct plan_goal){.lsn_to = q->extent.end, .ts_max_us = INT64_MAX, .text = q->text};
    switch (t->kind) {
    case TARGET_LATEST:
        snprintf(q->text, sizeof(q->text), "the latest state");
        return OK;
    case TARGET_AT:
        timefmt_rfc3339(t->value, q->text);
        return goal_at_time(q, goal);
    case TARGET_LSN:
        snprintf(q->text, sizeof(q->text), "LSN %lld", (long long)t->value);
        return goal_at_lsn(q, t->value, goal);
    case TARGET_BOOKMARK:
        snprintf(q->text, sizeof(q->text), "the bookmark \"%.100s\"", t->name);
        TRY(find_bookmark(q, &lsn));
        return goal_at_lsn(q, lsn, goal);
    case TARGET_SNAPSHOT:
        snprintf(q->text, sizeof(q->text), "the snapshot \"%.100s\"", t->name);
        return goal_at_snapshot(q, goal);
    }
    return err_fail(ERR_USAGE, "an unknown kind of target");
}

err_t plan_resolve(struct plan_question *q, struct plan_goal *ret)
{
    const struct target *t = q->target;
    if (t != NULL && t->exclusive && (t->kind == TARGET_LATEST || t->kind == TARGET_SNAPSHOT))
        return err_fail(ERR_USAGE, "exclusive goes with a time, an LSN or a bookmark");
    TRY(extent_read(q->source, q->namespace_name, q->collection, &q->extent));
    if (source_store(q->source) != NULL && !q->without_snapshots)
        TRY(snapshot_list_read(source_store(q->source), q->namespace_name, q->collection,
                               &q->snapshots));
    TRY(plan_check_collection(q->source, q->namespace_name, q->collection, &q->extent));
    return resolve(q, ret);
}

static err_t make_plan(struct plan_question *q, struct rebuild_plan *ret)
{
    struct plan_goal goal;
    TRY(plan_resolve(q, &goal));
    return plan_choose(&q->extent, &q->snapshots, &goal, ret);
}

/** A moment that the deltas reach does not need the list of snapshots, which may be what is
 * damaged. */
err_t rebuild_plan(struct source *s, const char *namespace_name, struct slice collection,
                   const struct target *t, struct rebuild_plan *ret)
{
    CLEANUP(plan_question_release)
    struct plan_question all = {
        .source = s, .namespace_name = namespace_name, .collection = collection, .target = t};
    CLEANUP(plan_question_release) struct plan_question fewer = all;
    fewer.without_snapshots = true;
    err_t err = make_plan(&all, ret);
    if (err != ERR_CORRUPT)
        return err;
    CLEANUP(xfree_ptr) char *text = xstrdup(err_text(err));
    return make_plan(&fewer, ret) == OK ? OK : err_fail(err, "%s", text);
}

int64_t plan_ts_max(const struct rebuild_plan *plan)
{
    int64_t ts = plan->snapshot.path != NULL ? plan->snapshot.ts_max_us : INT64_MIN;
    for (size_t i = 0; i < plan->delta_count; i++)
        ts = MAX(ts, plan->deltas[i].ts_max_us);
    return ts;
}

/* Again --------------------------------------------------------------------------------------- */

static bool same_file(const struct store_file *a, const struct store_file *b)
{
    if (a->path == NULL || b->path == NULL)
        return a->path == b->path;
    return strcmp(a->path, b->path) == 0 && strcmp(a->hash, b->hash) == 0;
}

static bool same_files(const struct rebuild_plan *a, const struct rebuild_plan *b)
{
    if (!same_file(&a->snapshot, &b->snapshot) || a->delta_count != b->delta_count)
        return false;
    for (size_t i = 0; i < a->delta_count; i++)
        if (!same_file(&a->deltas[i], &b->deltas[i]))
            return false;
    return true;
}

err_t plan_again(struct source *s, const char *namespace_name, struct slice collection,
                 const struct rebuild_plan *old, struct rebuild_plan *ret)
{
    CLEANUP(plan_question_release) struct plan_question now = {0};
    const struct plan_goal goal = {.lsn_to = old->lsn_to,
                                   .ts_max_us = old->ts_max_us,
                                   .base_below = old->base_below,
                                   .text = "the moment asked for"};
    struct rebuild_plan plan;
    if (source_store(s) == NULL)
        return ERR_END; /* the log alone: nobody replaces its files */
    TRY(extent_read(s, namespace_name, collection, &now.extent));
    TRY(snapshot_list_read(source_store(s), namespace_name, collection, &now.snapshots));
    TRY(plan_choose(&now.extent, &now.snapshots, &goal, &plan));
    if (same_files(old, &plan)) {
        rebuild_plan_free(&plan);
        return ERR_END;
    }
    *ret = plan;
    return OK;
}
