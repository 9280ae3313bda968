/*
 * server/schedule.c: a thread that sleeps until the next moment, then goes through all collections.
 *
 * A snapshot is due when the last moment of its kind lies after the newest snapshot of that type,
 * and the collection changed since that one. Cleanup follows the daily moment; compaction has a
 * period of its own; a drill is due by the age of the collection's last one, as drill.json in the
 * store tells it, so that those count that somebody else made.
 */
#include "server/schedule.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "base/timefmt.h"

#define MINUTE_US INT64_C(60000000)
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (24 * HOUR_US)
/* So that a clock that was set, a new collection and somebody else's drill are noticed. */
#define SLEEP_MS_MAX 3600000
#define SCHEDULE_NICE 5 /* behind the requests */

struct schedule {
    struct schedule_options options;
    struct source *source;
    int daily_minutes;           /* -1: no snapshots by the clock */
    int64_t daily_done_us;       /* the daily moment whose work is done; 0: none yet */
    int64_t compact_ns;          /* when the next compaction is due; monotonic */
    unsigned failures;           /* ever */
    struct schedule_drills seen; /* in this round */
    pthread_t thread;
    atomic_bool stopping; /* set under the lock */
    struct lock lock;     /* leaf */
    struct lock_cond wake;
    struct schedule_drills drills GUARDED_BY(lock); /* of the last round */
};

/* Moments ------------------------------------------------------------------------------------- */

bool schedule_parse_time(const char *text, int *ret_minutes)
{
    if (strcmp(text, "off") == 0) {
        *ret_minutes = -1;
        return true;
    }
    if (strlen(text) != 5 || text[2] != ':')
        return false;
    int digits[] = {text[0] - '0', text[1] - '0', text[3] - '0', text[4] - '0'};
    for (size_t i = 0; i < ARRAY_LEN(digits); i++)
        if (digits[i] < 0 || digits[i] > 9)
            return false;
    int hours = digits[0] * 10 + digits[1], minutes = digits[2] * 10 + digits[3];
    if (hours > 23 || minutes > 59)
        return false;
    *ret_minutes = hours * 60 + minutes;
    return true;
}

static int64_t midnight_of(int64_t us)
{
    int64_t rest = us % DAY_US;
    return us - (rest < 0 ? rest + DAY_US : rest);
}

int64_t schedule_last_daily(int64_t now_us, int minutes)
{
    int64_t moment = midnight_of(now_us) + minutes * MINUTE_US;
    return moment <= now_us ? moment : moment - DAY_US;
}

static int64_t month_begin(int64_t us)
{
    char text[TIMEFMT_MAX];
    int64_t begin;
    timefmt_rfc3339(midnight_of(us), text);
    text[8] = '0';
    text[9] = '1';
    bool parsed = timefmt_parse(text, strlen(text), &begin);
    ASSERT(parsed);
    return begin;
}

int64_t schedule_last_monthly(int64_t now_us, int minutes, int day)
{
    int64_t offset = (day - 1) * DAY_US + minutes * MINUTE_US;
    int64_t begin = month_begin(now_us);
    return begin + offset <= now_us ? begin + offset : month_begin(begin - DAY_US) + offset;
}

/* Collections --------------------------------------------------------------------------------- */

struct member {
    char *name;
    int64_t last_lsn;
};
struct members {
    struct member *items;
    size_t count;
};

static bool add_member(void *arg, const struct state_collection *c)
{
    struct members *m = arg;
    m->items = xrealloc(m->items, (m->count + 1) * sizeof(*m->items));
    m->items[m->count++] = (struct member){xstrndup(c->name, c->name_len), c->last_lsn};
    return true;
}

static void members_release(struct members *m)
{
    for (size_t i = 0; i < m->count; i++)
        free(m->items[i].name);
    free(m->items);
    *m = (struct members){0};
}

static err_t read_members(struct schedule *s, const char *namespace_name, struct members *m)
{
    struct state *state;
    err_t err = source_state(s->source, namespace_name, &state);
    if (err == ERR_NOT_FOUND)
        return OK;
    TRY(err);
    err = state_each_collection(state, add_member, m);
    state_close(state);
    return err;
}

static void report(struct schedule *s, const char *what, const char *namespace_name,
                   const struct member *c, err_t err)
{
    if (atomic_load(&s->stopping)) /* it was broken off */
        return;
    s->failures++;
    metric_inc(M_snapshot_failures_total);
    LOG_WARN("schedule_failed", F("job", what), F("namespace", namespace_name),
             F("collection", c->name), F("err", err_text(err)),
             F("next", "tried again within the hour"));
}

/* Jobs ---------------------------------------------------------------------------------------- */

static err_t is_due(struct schedule *s, const char *namespace_name, const struct member *c,
                    enum snapshot_type type, int64_t moment, bool *ret)
{
    struct snapshot_list l;
    TRY(snapshot_list_read(s->options.store, namespace_name, slice_of(c->name), &l));
    const struct store_file *newest = NULL;
    for (size_t i = 0; i < l.count; i++)
        if (l.items[i].type == type &&
            (newest == NULL || l.items[i].file.made_us > newest->made_us))
            newest = &l.items[i].file;
    *ret = newest == NULL || (newest->made_us < moment && c->last_lsn >= newest->lsn_to);
    snapshot_list_free(&l);
    return OK;
}

static void snapshot_if_due(struct schedule *s, const char *namespace_name, const struct member *c,
                            enum snapshot_type type, int64_t moment)
{
    bool due = false;
    struct snapshot made;
    err_t err = is_due(s, namespace_name, c, type, moment, &due);
    if (err == OK && due)
        err = snapshot_create(s->source, namespace_name, slice_of(c->name), type, &made);
    if (err == OK && due) {
        metric_inc(M_snapshots_total);
        snapshot_free(&made);
    } else if (err != OK) {
        report(s, snapshot_type_name(type), namespace_name, c, err);
    }
}

struct retention schedule_retention(const struct config *c)
{
    return (struct retention){(unsigned)c->snapshot_daily_keep, (unsigned)c->snapshot_monthly_keep,
                              (unsigned)c->pitr_window_days};
}

static void count_removed(void *arg, const char *path, uint64_t size)
{
    (void)arg;
    (void)path;
    (void)size;
    metric_inc(M_snapshot_files_removed_total);
}

/* Drills -------------------------------------------------------------------------------------- */

void schedule_drills_release(struct schedule_drills *d)
{
    for (size_t i = 0; i < d->count; i++) {
        free(d->items[i].namespace_name);
        free(d->items[i].collection);
    }
    free(d->items);
    *d = (struct schedule_drills){0};
}

static void add_drill(struct schedule_drills *d, const char *namespace_name, const char *collection,
                      const struct drill_result *result)
{
    d->items = xrealloc(d->items, (d->count + 1) * sizeof(*d->items));
    d->items[d->count++] =
        (struct schedule_drill){xstrdup(namespace_name), xstrdup(collection), *result};
}

void schedule_drills_copy(struct schedule *s, struct schedule_drills *ret)
{
    *ret = (struct schedule_drills){0};
    lock_acquire(&s->lock);
    for (size_t i = 0; i < s->drills.count; i++)
        add_drill(ret, s->drills.items[i].namespace_name, s->drills.items[i].collection,
                  &s->drills.items[i].result);
    lock_release(&s->lock);
}

/** What this round has seen takes the place of what the last one had. */
static void publish_drills(struct schedule *s)
{
    lock_acquire(&s->lock);
    struct schedule_drills old = s->drills;
    s->drills = s->seen;
    lock_release(&s->lock);
    s->seen = (struct schedule_drills){0};
    schedule_drills_release(&old);
}

static err_t drill(struct schedule *s, const char *namespace_name, const struct member *c,
                   struct drill_result *ret)
{
    struct slice name = slice_of(c->name);
    TRY(restore_drill(s->source, namespace_name, name, NULL, NULL, ret));
    metric_inc(M_drills_total);
    metric_add(M_drills_failed_total, !ret->passed);
    if (!ret->passed)
        LOG_ERROR("drill_failed", F("namespace", namespace_name), F("collection", c->name),
                  F("lsn", ret->lsn), F("err", ret->text),
                  F("next", "see docs/recovery.md, After an accident"));
    err_t err = drill_save(s->source, namespace_name, name, ret);
    if (err != OK) /* it counts, until the next round finds no trace of it */
        report(s, "drill", namespace_name, c, err);
    return OK;
}

static void drill_if_due(struct schedule *s, const char *namespace_name, const struct member *c)
{
    struct drill_result r;
    int64_t now = clock_wall_us(s->options.clock);
    int64_t every_us = s->options.config->drill_every_hours * HOUR_US;
    err_t err = drill_last(s->options.store, namespace_name, slice_of(c->name), &r);
    bool fresh = err == OK && r.at_us <= now && r.at_us > now - every_us;
    if (every_us > 0 && !fresh)
        err = drill(s, namespace_name, c, &r);
    if (err == OK)
        add_drill(&s->seen, namespace_name, c->name, &r);
    else if (err != ERR_NOT_FOUND) /* nothing of it is in the store yet */
        report(s, "drill", namespace_name, c, err);
}

/* Rounds -------------------------------------------------------------------------------------- */

/** What one round does besides drills. */
struct round {
    int64_t daily_us;   /* the moment of snapshots and cleanup; 0: not this time */
    int64_t monthly_us; /* 0: no monthly snapshots */
    bool compact;
};

static int64_t next_compaction(const struct schedule *s)
{
    return clock_mono_ns(s->options.clock) +
           s->options.config->compact_every_minutes * MINUTE_US * 1000;
}

static void compact(struct schedule *s, const char *namespace_name, const struct member *c)
{
    bool written = false;
    err_t err = snapshot_compact_if_it_pays(s->source, namespace_name, slice_of(c->name), &written);
    metric_add(M_compactions_total, err == OK && written);
    if (err != OK)
        report(s, "compact", namespace_name, c, err);
}

static void clean_up(struct schedule *s, const char *namespace_name, const struct member *c)
{
    const struct retention keep = schedule_retention(s->options.config);
    err_t err = snapshot_cleanup(s->source, namespace_name, slice_of(c->name), &keep, false,
                                 count_removed, NULL);
    if (err != OK)
        report(s, "cleanup", namespace_name, c, err);
}

static void serve(struct schedule *s, const struct round *r, const char *namespace_name,
                  const struct member *c)
{
    if (r->daily_us != 0)
        snapshot_if_due(s, namespace_name, c, SNAPSHOT_DAILY, r->daily_us);
    if (r->monthly_us != 0)
        snapshot_if_due(s, namespace_name, c, SNAPSHOT_MONTHLY, r->monthly_us);
    drill_if_due(s, namespace_name, c); /* before anything is taken away */
    if (r->compact)
        compact(s, namespace_name, c);
    if (r->daily_us != 0)
        clean_up(s, namespace_name, c);
}

static void serve_namespace(struct schedule *s, const struct round *r, const char *namespace_name)
{
    CLEANUP(members_release) struct members m = {0};
    const struct member all = {.name = (char[]){"*"}};
    err_t err = read_members(s, namespace_name, &m);
    if (err != OK)
        report(s, "list", namespace_name, &all, err);
    for (size_t i = 0; i < m.count && !atomic_load(&s->stopping); i++)
        serve(s, r, namespace_name, &m.items[i]);
}

static void serve_all(struct schedule *s, const struct round *r)
{
    size_t count = cdc_lags(s->options.cdc, NULL, 0);
    CLEANUP(xfree_ptr) struct cdc_lag *lags = xcalloc(MAX(count, 1), sizeof(*lags));
    count = MIN(count, cdc_lags(s->options.cdc, lags, count));
    for (size_t i = 0; i < count && !atomic_load(&s->stopping); i++)
        serve_namespace(s, r, lags[i].namespace_name);
}

/** What is due now. */
static struct round due_round(const struct schedule *s)
{
    const struct config *c = s->options.config;
    int64_t now = clock_wall_us(s->options.clock);
    struct round r = {.compact = c->compact_every_minutes > 0 &&
                                 clock_mono_ns(s->options.clock) >= s->compact_ns};
    if (s->daily_minutes < 0)
        return r;
    int64_t daily_us = schedule_last_daily(now, s->daily_minutes);
    if (daily_us == s->daily_done_us)
        return r;
    r.daily_us = daily_us;
    if (c->snapshot_monthly > 0)
        r.monthly_us = schedule_last_monthly(now, s->daily_minutes, (int)c->snapshot_monthly);
    return r;
}

static void run_round(struct schedule *s)
{
    const struct round r = due_round(s);
    unsigned failures = s->failures;
    serve_all(s, &r);
    if (atomic_load(&s->stopping))
        return;
    publish_drills(s);
    if (r.daily_us != 0 && s->failures == failures)
        s->daily_done_us = r.daily_us; /* else the next round tries again what is still due */
    if (r.compact)
        s->compact_ns = next_compaction(s);
}

/** Until the next round. */
static unsigned wait_ms(const struct schedule *s)
{
    int64_t wait = SLEEP_MS_MAX;
    if (s->daily_minutes >= 0) {
        int64_t now = clock_wall_us(s->options.clock);
        int64_t next = schedule_last_daily(now, s->daily_minutes) + DAY_US;
        wait = MIN(wait, (next - now) / 1000);
    }
    if (s->options.config->compact_every_minutes > 0)
        wait = MIN(wait, (s->compact_ns - clock_mono_ns(s->options.clock)) / 1000000);
    return (unsigned)MAX(wait, 0) + 1;
}

static void *schedule_main(void *arg)
{
    struct schedule *s = arg;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), SCHEDULE_NICE);
    pthread_setname_np(pthread_self(), "schedule");
    while (!atomic_load(&s->stopping)) {
        run_round(s);
        lock_acquire(&s->lock);
        if (!atomic_load(&s->stopping))
            (void)lock_cond_wait_ms(&s->wake, &s->lock, wait_ms(s));
        lock_release(&s->lock);
    }
    return NULL;
}

/* Start and stop ------------------------------------------------------------------------------ */

static void schedule_free(struct schedule *s)
{
    source_close(s->source);
    schedule_drills_release(&s->seen);
    schedule_drills_release(&s->drills);
    lock_cond_destroy(&s->wake);
    lock_destroy(&s->lock);
    free(s);
}

err_t schedule_start(const struct schedule_options *o, struct schedule **ret)
{
    const struct config *c = o->config;
    int minutes;
    bool parsed = schedule_parse_time(c->snapshot_daily, &minutes);
    ASSERT(parsed); /* config_load has seen it */
    struct schedule *s = xcalloc(1, sizeof(*s));
    const struct source_options source = {.io = o->io,
                                          .clock = o->clock,
                                          .data_dir = c->data_dir,
                                          .store = o->store,
                                          .log = o->log,
                                          .cdc = o->cdc,
                                          .stop = &s->stopping};
    s->options = *o;
    s->daily_minutes = minutes;
    s->compact_ns = next_compaction(s);
    lock_init(&s->lock, LOCK_RANK_LEAF);
    lock_cond_init(&s->wake);
    err_t err = source_open(&source, &s->source);
    if (err == OK && pthread_create(&s->thread, NULL, schedule_main, s) != 0)
        err = err_fail(ERR_INTERNAL, "cannot start the thread of the schedule");
    if (err == OK)
        *ret = s;
    else
        schedule_free(s);
    return err;
}

void schedule_stop(struct schedule *s)
{
    if (s == NULL)
        return;
    lock_acquire(&s->lock);
    atomic_store(&s->stopping, true);
    lock_cond_signal(&s->wake);
    lock_release(&s->lock);
    pthread_join(s->thread, NULL);
    schedule_free(s);
}
