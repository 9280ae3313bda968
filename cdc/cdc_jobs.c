/*
 * cdc/cdc_jobs.c: what workers do for a space beside its thread: rounds of deltas (cdc_round.c),
 * and here checkpoints of its state, which took half a second of the thread's time.
 *
 *     NONE --begin--> RUNNING --the worker is done--> LANDED --taken by cdc's thread--> NONE
 */
#include <stdio.h>

#include "cdc/cdc_priv.h"

/** On the worker. */
static void job_main(struct worker_job *work)
{
    struct space_job *job = CONTAINER_OF(work, struct space_job, work);
    struct cdc *c = job->space->cdc;
    job->err = job->run(job->space);
    if (job->err != OK)
        snprintf(job->text, sizeof(job->text), "%s", err_text(job->err));
    lock_acquire(&c->lock);
    job->state = JOB_LANDED;
    lock_cond_signal(&c->wake);
    lock_cond_broadcast(&c->progress);
    lock_release(&c->lock);
}

void space_job_begin(struct space_job *job, err_t (*run)(struct space *sp))
{
    struct cdc *c = job->space->cdc;
    job->run = run;
    job->work.run = job_main;
    lock_acquire(&c->lock);
    ASSERT(job->state == JOB_NONE);
    job->state = JOB_RUNNING;
    lock_release(&c->lock);
    worker_submit(c->workers, &job->work);
}

bool space_job_is_idle(struct space_job *job)
{
    struct cdc *c = job->space->cdc;
    lock_acquire(&c->lock);
    bool idle = job->state == JOB_NONE;
    lock_release(&c->lock);
    return idle;
}

bool space_job_take(struct space_job *job, err_t *ret_err)
{
    struct cdc *c = job->space->cdc;
    lock_acquire(&c->lock);
    bool landed = job->state == JOB_LANDED;
    if (landed)
        job->state = JOB_NONE;
    lock_release(&c->lock);
    if (landed)
        *ret_err = job->err == OK ? OK : err_fail(job->err, "%s", job->text);
    return landed;
}

void space_jobs_abandon(struct space *sp)
{
    struct cdc *c = sp->cdc;
    lock_acquire(&c->lock);
    while (sp->round.job.state == JOB_RUNNING || sp->checkpoint.state == JOB_RUNNING)
        lock_cond_wait(&c->progress, &c->lock);
    sp->round.job.state = sp->checkpoint.state = JOB_NONE;
    lock_release(&c->lock);
    round_forget(sp);
}

/** On the worker. A stop closes the file, which copies it, too. */
static err_t checkpoint_run(struct space *sp)
{
    bool stopping = atomic_load(&sp->cdc->stopping);
    return stopping ? OK : state_checkpoint(sp->cdc->options.io, sp->path);
}

err_t checkpoint_tend(struct space *sp, bool catching_up)
{
    err_t err;
    if (space_job_take(&sp->checkpoint, &err)) {
        sp->damaged = sp->damaged || err == ERR_CORRUPT;
        TRY(err);
        return state_checkpoint_rest(sp->state);
    }
    if (!state_checkpoint_due(sp->state) || !space_job_is_idle(&sp->checkpoint))
        return OK;
    if (catching_up)
        return state_checkpoint_rest(sp->state);
    space_job_begin(&sp->checkpoint, checkpoint_run);
    return OK;
}
