/* Retention: examples of each rule, and random collections where every point inside the window that
 * could be restored before can be restored afterwards. */
#include "tests/test.h"

#include <stdio.h>

#include "snapshot/retention.h"
#include "tests/sim/simdisk.h"

#define DAY INT64_C(86400000000)
#define NOW (100 * DAY)
#define DELTAS_MAX 40
#define SNAPSHOTS_MAX 40

static const struct retention defaults = {30, 12, 30};

struct collection {
    struct store_file deltas[DELTAS_MAX];
    struct snapshot snapshots[SNAPSHOTS_MAX];
    struct collection_manifest m;
    struct snapshot_list l;
};

static void init(struct collection *c, int64_t lsn_from)
{
    *c = (struct collection){.m = {.lsn_from = lsn_from}};
    c->m.deltas = c->deltas;
    c->l.items = c->snapshots;
}

static int64_t chain_end(const struct collection *c)
{
    return c->m.delta_count > 0 ? c->deltas[c->m.delta_count - 1].lsn_to : c->m.lsn_from;
}

static void add_delta(struct collection *c, int64_t lsns, int64_t ts_min, int64_t ts_max,
                      int64_t made)
{
    int64_t from = chain_end(c);
    c->deltas[c->m.delta_count++] = (struct store_file){.rows = 1,
                                                        .lsn_from = from,
                                                        .lsn_to = from + lsns,
                                                        .ts_min_us = ts_min,
                                                        .ts_max_us = ts_max,
                                                        .made_us = made};
}

static void add_snapshot(struct collection *c, enum snapshot_type type, int64_t lsn_to,
                         int64_t ts_max, int64_t made)
{
    c->snapshots[c->l.count++] = (struct snapshot){
        .type = type, .file = {.lsn_to = lsn_to, .ts_max_us = ts_max, .made_us = made}};
}

static struct retention_plan choose(const struct collection *c, const struct retention *r)
{
    struct retention_plan p;
    retention_choose(r, NOW, &c->m, &c->l, &p);
    return p;
}

/** 100 days with a delta and a daily snapshot each; of day d: LSNs [10d, 10d + 10). */
static void hundred_days(struct collection *c, size_t from)
{
    init(c, (int64_t)from * 10);
    for (int64_t d = (int64_t)from; d < 100; d++) {
        add_delta(c, 10, d * DAY, d * DAY + DAY / 2, d * DAY + DAY / 2);
        add_snapshot(c, SNAPSHOT_DAILY, d * 10 + 10, d * DAY + DAY / 2, d * DAY + DAY - 1);
    }
}

static void days_before_the_window_leave_but_for_a_base(void **state UNUSED)
{
    struct collection c;
    hundred_days(&c, 60);
    struct retention_plan p = choose(&c, &defaults);
    /* The window begins with day 70; the snapshot of day 69 stands in for days 60 to 69. */
    assert_int_equal(p.delta_remove, 10);
    assert_ptr_equal(p.base, &c.snapshots[9]);
    for (size_t i = 0; i < c.l.count; i++)
        assert_int_equal(p.keep[i], i >= 9); /* thirty daily ones, and the base */
    retention_plan_release(&p);
}

static void without_a_base_nothing_leaves(void **state UNUSED)
{
    struct collection c;
    hundred_days(&c, 60);
    c.l.count = 0;
    struct retention_plan p = choose(&c, &defaults);
    assert_int_equal(p.delta_remove, 0);
    assert_null(p.base);
    retention_plan_release(&p);
}

static void a_snapshot_with_a_change_dated_inside_is_no_base(void **state UNUSED)
{
    struct collection c;
    hundred_days(&c, 60);
    c.snapshots[9].file.ts_max_us = 70 * DAY + 1; /* an hour ahead, say */
    struct retention_plan p = choose(&c, &defaults);
    assert_ptr_equal(p.base, &c.snapshots[8]);
    assert_int_equal(p.delta_remove, 9);
    retention_plan_release(&p);
}

static void a_snapshot_that_the_chain_does_not_reach_is_no_base(void **state UNUSED)
{
    struct collection c;
    hundred_days(&c, 60);
    c.m.lsn_from = 650;
    c.m.delta_count = 35;
    memmove(c.deltas, c.deltas + 5, 35 * sizeof(*c.deltas));
    for (size_t i = 5; i < 10; i++)
        c.snapshots[i].type = SNAPSHOT_MONTHLY, c.snapshots[i].file.made_us = 80 * DAY;
    struct retention_plan p = choose(&c, &defaults);
    /* Those of days 60 to 63 end before LSN 650; day 64's ends there. */
    assert_ptr_equal(p.base, &c.snapshots[4]);
    assert_int_equal(p.delta_remove, 0);
    retention_plan_release(&p);
}

static void deltas_with_changes_of_the_window_stay(void **state UNUSED)
{
    struct collection c;
    hundred_days(&c, 60);
    c.deltas[4].ts_max_us = 75 * DAY;
    struct retention_plan p = choose(&c, &defaults);
    assert_int_equal(p.delta_remove, 4);
    retention_plan_release(&p);
    hundred_days(&c, 60);
    c.deltas[2].made_us = 70 * DAY;
    p = choose(&c, &defaults);
    assert_int_equal(p.delta_remove, 2);
    retention_plan_release(&p);
}

static void demanded_ones_and_the_newest_monthly_ones_stay(void **state UNUSED)
{
    struct collection c;
    init(&c, 0);
    add_snapshot(&c, SNAPSHOT_MANUAL, 1, DAY, DAY);
    for (int64_t month = 0; month < 3; month++)
        add_snapshot(&c, SNAPSHOT_MONTHLY, 10 + month, month * 10 * DAY, month * 10 * DAY);
    add_snapshot(&c, SNAPSHOT_DAILY, 20, 95 * DAY, 95 * DAY);
    const struct retention r = {0, 2, 30};
    struct retention_plan p = choose(&c, &r);
    const bool want[] = {true, false, true, true, false};
    for (size_t i = 0; i < c.l.count; i++)
        assert_int_equal(p.keep[i], want[i]);
    retention_plan_release(&p);
}

static void a_longer_window_keeps_the_oldest_reached(void **state UNUSED)
{
    struct collection c;
    hundred_days(&c, 60);
    c.m.lsn_from = 700;
    c.m.delta_count = 30;
    memmove(c.deltas, c.deltas + 10, 30 * sizeof(*c.deltas));
    const struct retention r = {1, 0, 365};
    struct retention_plan p = choose(&c, &r);
    assert_int_equal(p.delta_remove, 0);
    for (size_t i = 0; i < c.l.count; i++)
        assert_int_equal(p.keep[i], i == 9 || i == c.l.count - 1);
    retention_plan_release(&p);
}

/* Random collections -------------------------------------------------------------------------- */

/** Whether changes with lsn < lsn_to and ts <= ts_max can be put together (snapshot/plan.c, P1,
 * P2): restated here. `keep` NULL: from all snapshots. */
static bool restorable(const struct collection *c, const bool *keep, int64_t chain_from,
                       int64_t lsn_to, int64_t ts_max)
{
    if (chain_from == 0)
        return true;
    for (size_t i = 0; i < c->l.count; i++) {
        const struct store_file *f = &c->snapshots[i].file;
        if ((keep == NULL || keep[i]) && f->lsn_to <= lsn_to && f->ts_max_us <= ts_max &&
            (f->lsn_to >= chain_from || f->lsn_to == lsn_to))
            return true;
    }
    return false;
}

/** A history of appends in rising time; ts is late by up to 20 days or ahead by up to an hour. */
static void random_collection(struct rng *rng, struct collection *c)
{
    int64_t now = 0, ts_max = INT64_MIN;
    init(c, rng_chance(rng, 30) ? 50 : 0);
    if (c->m.lsn_from > 0) {
        ts_max = DAY / 2;
        add_snapshot(c, SNAPSHOT_DAILY, 50 + (int64_t)rng_below(rng, 5), ts_max, DAY / 2);
    }
    while (c->m.delta_count < DELTAS_MAX - 1 && c->l.count < SNAPSHOTS_MAX - 1) {
        now += (int64_t)rng_below(rng, 6 * (uint64_t)DAY);
        if (now >= NOW)
            return;
        int64_t ts = rng_chance(rng, 20) ? now + (int64_t)rng_below(rng, DAY / 24)
                                         : now - (int64_t)rng_below(rng, 20 * (uint64_t)DAY);
        ts_max = MAX(ts_max, ts);
        add_delta(c, 1 + (int64_t)rng_below(rng, 9), ts, ts, now + (int64_t)rng_below(rng, DAY));
        if (rng_chance(rng, 60))
            add_snapshot(c, (enum snapshot_type)rng_below(rng, 3),
                         chain_end(c) - (int64_t)rng_below(rng, 2), ts_max, now + DAY / 100);
    }
}

static void every_point_of_the_window_stays(void **state UNUSED)
{
    unsigned removed = 0, checked = 0;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        struct rng rng = {seed};
        struct collection c;
        random_collection(&rng, &c);
        const struct retention r = {(unsigned)rng_below(&rng, 4), (unsigned)rng_below(&rng, 3),
                                    (unsigned)rng_below(&rng, 60)};
        struct retention_plan p = choose(&c, &r);
        int64_t from = p.delta_remove > 0 ? c.deltas[p.delta_remove - 1].lsn_to : c.m.lsn_from;
        int64_t window = NOW - (int64_t)r.window_days * DAY;
        for (int64_t t = window; t <= NOW; t += DAY / 3) {
            if (!restorable(&c, NULL, c.m.lsn_from, chain_end(&c), t))
                continue;
            checked++;
            if (!restorable(&c, p.keep, from, chain_end(&c), t))
                fail_msg("seed %llu: a time in the window is lost", (unsigned long long)seed);
        }
        for (size_t i = 0; i < c.m.delta_count; i++) {
            if (c.deltas[i].made_us >= window && i < p.delta_remove)
                fail_msg("seed %llu: a delta of the window is lost", (unsigned long long)seed);
        }
        removed += p.delta_remove > 0;
        retention_plan_release(&p);
    }
    assert_in_range(removed, 500, 4000);
    assert_in_range(checked, 50000, UINT32_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_before_the_window_leave_but_for_a_base),
        cmocka_unit_test(without_a_base_nothing_leaves),
        cmocka_unit_test(a_snapshot_with_a_change_dated_inside_is_no_base),
        cmocka_unit_test(a_snapshot_that_the_chain_does_not_reach_is_no_base),
        cmocka_unit_test(deltas_with_changes_of_the_window_stay),
        cmocka_unit_test(demanded_ones_and_the_newest_monthly_ones_stay),
        cmocka_unit_test(a_longer_window_keeps_the_oldest_reached),
        cmocka_unit_test(every_point_of_the_window_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
