/*
 * base/lock.h: mutexes that know their holder and their rank. A thread takes locks in rising rank
 * only, which rules out deadlock; a wrong order or a release by another thread aborts at once. No
 * lock is held over I/O, except where a lock's own comment says so.
 */
#ifndef BASE_LOCK_H
#define BASE_LOCK_H

#include <pthread.h>

#include "base/base.h"

/* Documentation only: before clang 19, C cannot name another field of the same struct in an
 * attribute. Functions that need the lock held say so with LOCK_REQUIRES, which clang checks. */
#define GUARDED_BY(l)

#if defined(__clang__)
#define LOCK_CAPABILITY __attribute__((capability("mutex")))
#define LOCK_ACQUIRES(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define LOCK_RELEASES(...) __attribute__((release_capability(__VA_ARGS__)))
#define LOCK_REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define LOCK_UNCHECKED __attribute__((no_thread_safety_analysis))
#else
#define LOCK_CAPABILITY
#define LOCK_ACQUIRES(...)
#define LOCK_RELEASES(...)
#define LOCK_REQUIRES(...)
#define LOCK_UNCHECKED
#endif

/** Lower ranks are taken first. */
enum lock_rank {
    LOCK_RANK_DOOR = 10,     /* a door's list of connections */
    LOCK_RANK_CATALOG = 20,  /* settings in SQLite (held over its I/O) */
    LOCK_RANK_CREATE = 25,   /* one stream is created at a time (held over its I/O) */
    LOCK_RANK_LOG = 30,      /* the list of streams */
    LOCK_RANK_STREAM = 40,   /* a stream's list of shards */
    LOCK_RANK_QUEUE = 50,    /* a shard's queue of sealed batches */
    LOCK_RANK_KEYS = 60,     /* a stream's request keys */
    LOCK_RANK_SEGMENTS = 70, /* a shard's list of segments */
    LOCK_RANK_INDEX = 80,    /* one segment's index in memory */
    LOCK_RANK_WAITERS = 90,  /* who waits for a shard's high watermark */
    LOCK_RANK_LEAF = 110,    /* takes nothing else inside */
};

struct LOCK_CAPABILITY lock {
    pthread_mutex_t mutex;
    enum lock_rank rank;
    _Atomic(pthread_t) holder;
};

void lock_init(struct lock *l, enum lock_rank rank);
void lock_destroy(struct lock *l);
void lock_acquire(struct lock *l) LOCK_ACQUIRES(l);
void lock_release(struct lock *l) LOCK_RELEASES(l);

/** A condition variable for one lock, on the monotonic clock. */
struct lock_cond {
    pthread_cond_t cond;
};
void lock_cond_init(struct lock_cond *c);
void lock_cond_destroy(struct lock_cond *c);
void lock_cond_wait(struct lock_cond *c, struct lock *l) LOCK_REQUIRES(l);
/** False when `ms` milliseconds passed without a signal. */
bool lock_cond_wait_ms(struct lock_cond *c, struct lock *l, unsigned ms) LOCK_REQUIRES(l);
void lock_cond_signal(struct lock_cond *c);
void lock_cond_broadcast(struct lock_cond *c);

#endif
