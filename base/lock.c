#include "base/lock.h"

#include <errno.h>
#include <stdatomic.h>
#include <time.h>

/* Ranks that this thread holds, innermost last. */
#define HELD_MAX 8
static _Thread_local struct {
    enum lock_rank ranks[HELD_MAX];
    int count;
} held;

static void held_push(enum lock_rank rank)
{
    ASSERT(held.count == 0 || held.ranks[held.count - 1] < rank);
    ASSERT(held.count < HELD_MAX);
    held.ranks[held.count++] = rank;
}

static void held_remove(enum lock_rank rank)
{
    int i = held.count - 1;
    while (i >= 0 && held.ranks[i] != rank)
        i--;
    ASSERT(i >= 0);
    for (; i + 1 < held.count; i++)
        held.ranks[i] = held.ranks[i + 1];
    held.count--;
}

void lock_init(struct lock *l, enum lock_rank rank)
{
    int rc = pthread_mutex_init(&l->mutex, NULL);
    ASSERT(rc == 0);
    l->rank = rank;
    atomic_init(&l->holder, (pthread_t)0);
}

void lock_destroy(struct lock *l)
{
    int rc = pthread_mutex_destroy(&l->mutex);
    ASSERT(rc == 0);
}

void lock_acquire(struct lock *l) LOCK_UNCHECKED
{
    held_push(l->rank);
    int rc = pthread_mutex_lock(&l->mutex);
    ASSERT(rc == 0);
    atomic_store_explicit(&l->holder, pthread_self(), memory_order_relaxed);
}

void lock_release(struct lock *l) LOCK_UNCHECKED
{
    ASSERT(atomic_load_explicit(&l->holder, memory_order_relaxed) == pthread_self());
    atomic_store_explicit(&l->holder, (pthread_t)0, memory_order_relaxed);
    held_remove(l->rank);
    int rc = pthread_mutex_unlock(&l->mutex);
    ASSERT(rc == 0);
}

void lock_cond_init(struct lock_cond *c)
{
    pthread_condattr_t attr;
    int rc = pthread_condattr_init(&attr);
    ASSERT(rc == 0);
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    ASSERT(rc == 0);
    rc = pthread_cond_init(&c->cond, &attr);
    ASSERT(rc == 0);
    pthread_condattr_destroy(&attr);
}

void lock_cond_destroy(struct lock_cond *c)
{
    pthread_cond_destroy(&c->cond);
}

void lock_cond_wait(struct lock_cond *c, struct lock *l) LOCK_UNCHECKED
{
    atomic_store_explicit(&l->holder, (pthread_t)0, memory_order_relaxed);
    int rc = pthread_cond_wait(&c->cond, &l->mutex);
    ASSERT(rc == 0);
    atomic_store_explicit(&l->holder, pthread_self(), memory_order_relaxed);
}

bool lock_cond_wait_ms(struct lock_cond *c, struct lock *l, unsigned ms) LOCK_UNCHECKED
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += (long)(ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    atomic_store_explicit(&l->holder, (pthread_t)0, memory_order_relaxed);
    int rc = pthread_cond_timedwait(&c->cond, &l->mutex, &until);
    ASSERT(rc == 0 || rc == ETIMEDOUT);
    atomic_store_explicit(&l->holder, pthread_self(), memory_order_relaxed);
    return rc == 0;
}

void lock_cond_signal(struct lock_cond *c)
{
    pthread_cond_signal(&c->cond);
}

void lock_cond_broadcast(struct lock_cond *c)
{
    pthread_cond_broadcast(&c->cond);
}
