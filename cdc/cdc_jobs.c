/*
 * cdc/cdc_jobs.c: what workers do for a space beside its thread: rounds of deltas (cdc_round.c),
 * and here checkpoints of its state, which took half a second of the thread's time.
 *
 *     NONE --begin--> RUNNING --the worker is done--> LANDED --taken by cdc's thread--> NONE
 */
#include <stdio.h>

#include "cdc/cdc_priv.h"

enum job_state space_job_look(struct space *sp, const enum job_state *state)
{
    lock_acquire(&sp->cdc->lock);
    enum job_state now = *state;
    lock_release(&sp->cdc->lock);
    return now;
}

void space_job_set(struct space *sp, enum job_state *state, enum job_state to)
{
    lock_acquire(&sp->cdc->lock);
    *state = to;
    lock_release(&sp->cdc->lock);
}

void space_job_begin(struct space *sp, enum job_state *state, struct worker_job *job)
{
    space_job_set(sp, state, JOB_RUNNING);
    worker_submit(sp->cdc->workers, job);
}

void space_job_land(struct space *sp, enum job_state *state)
{
    struct cdc *c = sp->cdc;
    lock_acquire(&c->lock);
    *state = JOB_LANDED;
    lock_cond_signal(&c->wake);
    lock_cond_broadcast(&c->progress);
    lock_release(&c->lock);
}

/** On the worker. */
static void checkpoint_run(struct worker_job *job)
{
    struct space *sp = CONTAINER_OF(job, struct space, checkpoint);
    bool stopping = atomic_load(&sp->cdc->stopping); /* to close the file copies it, too */
    sp->checkpoint_err = stopping ? OK : state_checkpoint(sp->cdc->options.io, sp->path);
    if (sp->checkpoint_err != OK)
        snprintf(sp->checkpoint_text, sizeof(sp->checkpoint_text), "%s",
                 err_text(sp->checkpoint_err));
    space_job_land(sp, &sp->checkpoint_state);
}

err_t checkpoint_tend(struct space *sp, bool catching_up)
{
    enum job_state now = space_job_look(sp, &sp->checkpoint_state);
    if (now == JOB_LANDED) {
        space_job_set(sp, &sp->checkpoint_state, JOB_NONE);
        sp->damaged = sp->damaged || sp->checkpoint_err == ERR_CORRUPT;
        if (sp->checkpoint_err != OK)
            return err_fail(sp->checkpoint_err, "%s", sp->checkpoint_text);
        return state_checkpoint_rest(sp->state);
    }
    if (now == JOB_RUNNING || !state_checkpoint_due(sp->state))
        return OK;
    if (catching_up)
        return state_checkpoint_rest(sp->state);
    sp->checkpoint.run = checkpoint_run;
    space_job_begin(sp, &sp->checkpoint_state, &sp->checkpoint);
    return OK;
}

void space_jobs_abandon(struct space *sp)
{
    struct cdc *c = sp->cdc;
    lock_acquire(&c->lock);
    while (sp->round_state == JOB_RUNNING || sp->checkpoint_state == JOB_RUNNING)
        lock_cond_wait(&c->progress, &c->lock);
    sp->round_state = sp->checkpoint_state = JOB_NONE;
    lock_release(&c->lock);
    round_forget(sp);
}
