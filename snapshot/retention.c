/*
 * snapshot/retention.c: what may go.
 *
 * R1. Every point inside the window can be restored: a snapshot made at or before the window's
 *     start, whose changes are all dated at or before it (it may then serve each time inside),
 *     stays: the *base*, the newest of those that the chain of deltas reaches. All deltas that hold
 *     a change that the base does not cover stay, too.
 *
 * R2. A delta that was written, or that holds a change dated, inside the window stays anyhow:
 *     history and undo need it.
 *
 * R3. Deltas leave from the front only: the chain has no gap.
 *
 * R4. Snapshots on demand stay until they are deleted. Of the daily and of the monthly ones the
 *     newest stay, as many as the settings say; the base stays.
 *
 * R5. Without a base no delta leaves, and the oldest snapshot that the chain reaches stays (the
 *     window may have been made longer, or the clock set back).
 */
#include "snapshot/retention.h"

#include <stdlib.h>

#define DAY_US INT64_C(86400000000)

void retention_plan_release(struct retention_plan *p)
{
    free(p->keep);
    *p = (struct retention_plan){0};
}

/** R1. */
static const struct snapshot *find_base(const struct snapshot_list *l, int64_t chain_from,
                                        int64_t window_us)
{
    const struct snapshot *base = NULL;
    for (size_t i = 0; i < l->count; i++) {
        const struct store_file *f = &l->items[i].file;
        if (f->made_us <= window_us && f->ts_max_us <= window_us && f->lsn_to >= chain_from &&
            (base == NULL || f->lsn_to >= base->file.lsn_to))
            base = &l->items[i];
    }
    return base;
}

/** R5. */
const struct snapshot *retention_oldest(const struct snapshot_list *l, int64_t chain_from)
{
    const struct snapshot *oldest = NULL;
    for (size_t i = 0; i < l->count; i++) {
        const struct store_file *f = &l->items[i].file;
        if (f->lsn_to >= chain_from && (oldest == NULL || f->lsn_to < oldest->file.lsn_to))
            oldest = &l->items[i];
    }
    return oldest;
}

/** R4: marks the newest `count` of a type. Newest by when they were made. */
static void keep_newest(const struct snapshot_list *l, enum snapshot_type type, unsigned count,
                        bool *keep)
{
    for (; count > 0; count--) {
        size_t newest = l->count;
        for (size_t i = 0; i < l->count; i++)
            if (!keep[i] && l->items[i].type == type &&
                (newest == l->count || l->items[i].file.made_us >= l->items[newest].file.made_us))
                newest = i;
        if (newest == l->count)
            return;
        keep[newest] = true;
    }
}

static void mark(const struct snapshot_list *l, const struct snapshot *s, bool *keep)
{
    if (s != NULL)
        keep[s - l->items] = true;
}

/** R1 to R3. */
static size_t removable_deltas(const struct collection_manifest *m, const struct snapshot *base,
                               int64_t window_us)
{
    size_t n = 0;
    while (base != NULL && n < m->delta_count) {
        const struct store_file *d = &m->deltas[n];
        bool changed_inside = d->rows > 0 && d->ts_max_us >= window_us;
        if (d->lsn_to > base->file.lsn_to || d->made_us >= window_us || changed_inside)
            break;
        n++;
    }
    return n;
}

void retention_choose(const struct retention *r, int64_t now_us,
                      const struct collection_manifest *m, const struct snapshot_list *l,
                      struct retention_plan *ret)
{
    int64_t window_us = now_us - (int64_t)r->window_days * DAY_US;
    struct retention_plan p = {.keep = xcalloc(MAX(l->count, 1), sizeof(*p.keep))};
    for (size_t i = 0; i < l->count; i++)
        p.keep[i] = l->items[i].type == SNAPSHOT_MANUAL;
    keep_newest(l, SNAPSHOT_DAILY, r->daily_keep, p.keep);
    keep_newest(l, SNAPSHOT_MONTHLY, r->monthly_keep, p.keep);
    p.base = find_base(l, m->lsn_from, window_us);
    p.delta_remove = removable_deltas(m, p.base, window_us);
    mark(l, p.base != NULL ? p.base : retention_oldest(l, m->lsn_from), p.keep);
    *ret = p;
}
