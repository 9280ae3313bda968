/*
 * server/schedule.h: what is done for collections by the clock: daily and monthly snapshots,
 * cleanup, compaction, drills.
 *
 * One thread, so one job at a time. A moment that passed while the server was down is made up for
 * at the start, for collections that changed since. Owner of start and stop: main.
 */
#ifndef SERVER_SCHEDULE_H
#define SERVER_SCHEDULE_H

#include "cdc/cdc.h"
#include "server/config.h"
#include "snapshot/restore.h"
#include "snapshot/snapshot.h"

struct schedule;

struct schedule_options {
    const struct config *config; /* borrowed until the stop, as all below */
    struct io *io;
    struct clock *clock;
    struct store *store;
    struct log *log;
    struct cdc *cdc;
};

err_t schedule_start(const struct schedule_options *options, struct schedule **ret) MUST_USE;
/** Breaks off the job that runs and waits for it. After cdc_end_waits, before cdc_stop. NULL-safe.
 */
void schedule_stop(struct schedule *s);

/** A collection's last drill, whoever made it. */
struct schedule_drill {
    char *namespace_name, *collection; /* owned */
    struct drill_result result;
};
struct schedule_drills {
    struct schedule_drill *items; /* owned */
    size_t count;
};
/** Those that were known at the schedule's last round (at least each hour): a copy. Any thread;
 * does not block. */
void schedule_drills_copy(struct schedule *s, struct schedule_drills *ret);
void schedule_drills_release(struct schedule_drills *d);

/** What cleanup keeps, by the settings. */
struct retention schedule_retention(const struct config *c);

/** "HH:MM" as minutes, "off" as -1; false for anything else. */
bool schedule_parse_time(const char *text, int *ret_minutes);
/** The latest moment at `minutes` past midnight UTC that is not after `now_us`. */
int64_t schedule_last_daily(int64_t now_us, int minutes);
/** The same on the given day (1 to 28) of a month. */
int64_t schedule_last_monthly(int64_t now_us, int minutes, int day);

#endif
