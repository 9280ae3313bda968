/*
 * base/worker.h: a small pool of niced threads for work that may block: segment preparation, index
 * and checkpoint files, look-ups that read old data.
 *
 * A manual pool (tests, tools) has no threads: jobs wait until worker_pool_run is called.
 */
#ifndef BASE_WORKER_H
#define BASE_WORKER_H

#include "base/base.h"

struct worker_pool;

/** Embedded in the submitter's object, which stays alive until `run` was called. */
struct worker_job {
    struct worker_job *next;
    void (*run)(struct worker_job *job);
};

/** Threads start with the first job. 0 threads: a manual pool. */
struct worker_pool *worker_pool_new(unsigned threads);
/** Runs what is queued, then joins the threads. NULL-safe. */
void worker_pool_free(struct worker_pool *p);
/** Any thread. The same job must not be queued twice at once. */
void worker_submit(struct worker_pool *p, struct worker_job *job);
/** Manual pool: runs queued jobs, those that they submit included; returns how many ran. */
unsigned worker_pool_run(struct worker_pool *p);

#endif
