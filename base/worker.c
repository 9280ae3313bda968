#include "base/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/lock.h"

#define WORKER_NICE 5
#define WORKER_THREADS_MAX 8

struct worker_pool {
    struct lock lock;
    struct lock_cond wake;
    struct worker_job *head GUARDED_BY(lock);
    struct worker_job **tail GUARDED_BY(lock);
    unsigned threads_max;
    unsigned started GUARDED_BY(lock);
    unsigned idle GUARDED_BY(lock);
    bool stopping GUARDED_BY(lock);
    pthread_t threads[WORKER_THREADS_MAX];
};

struct worker_pool *worker_pool_new(unsigned threads)
{
    ASSERT(threads <= WORKER_THREADS_MAX);
    struct worker_pool *p = xcalloc(1, sizeof(*p));
    lock_init(&p->lock, LOCK_RANK_LEAF);
    lock_cond_init(&p->wake);
    p->tail = &p->head;
    p->threads_max = threads;
    return p;
}

static struct worker_job *take_job(struct worker_pool *p) LOCK_REQUIRES(p->lock)
{
    struct worker_job *job = p->head;
    if (job == NULL)
        return NULL;
    p->head = job->next;
    if (p->head == NULL)
        p->tail = &p->head;
    return job;
}

static void *worker_main(void *arg)
{
    struct worker_pool *p = arg;
    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), WORKER_NICE);
    pthread_setname_np(pthread_self(), "worker");
    lock_acquire(&p->lock);
    for (;;) {
        struct worker_job *job = take_job(p);
        if (job != NULL) {
            lock_release(&p->lock);
            job->run(job);
            lock_acquire(&p->lock);
            continue;
        }
        if (p->stopping)
            break;
        p->idle++;
        lock_cond_wait(&p->wake, &p->lock);
        p->idle--;
    }
    lock_release(&p->lock);
    return NULL;
}

void worker_submit(struct worker_pool *p, struct worker_job *job)
{
    lock_acquire(&p->lock);
    job->next = NULL;
    *p->tail = job;
    p->tail = &job->next;
    if (p->idle == 0 && p->started < p->threads_max) {
        int rc = pthread_create(&p->threads[p->started], NULL, worker_main, p);
        if (rc == 0)
            p->started++;
        ASSERT(p->started > 0);
    }
    lock_cond_signal(&p->wake);
    lock_release(&p->lock);
}

unsigned worker_pool_run(struct worker_pool *p)
{
    ASSERT(p->threads_max == 0);
    unsigned count = 0;
    for (;;) {
        lock_acquire(&p->lock);
        struct worker_job *job = take_job(p);
        lock_release(&p->lock);
        if (job == NULL)
            return count;
        job->run(job);
        count++;
    }
}

void worker_pool_free(struct worker_pool *p)
{
    if (p == NULL)
        return;
    if (p->threads_max == 0)
        worker_pool_run(p);
    lock_acquire(&p->lock);
    p->stopping = true;
    lock_cond_broadcast(&p->wake);
    unsigned started = p->started;
    lock_release(&p->lock);
    for (unsigned i = 0; i < started; i++)
        pthread_join(p->threads[i], NULL);
    lock_cond_destroy(&p->wake);
    lock_destroy(&p->lock);
    free(p);
}
