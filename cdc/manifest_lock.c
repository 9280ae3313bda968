/*
 * cdc/manifest_lock.c: turns. A namespace of a store has two: one for short changes of its
 * manifests, one for long jobs. What is held is a list of names behind one lock, so nothing is made
 * per namespace and no mutex is held over I/O.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/lock.h"
#include "cdc/delta.h"

struct turn {
    struct turn *next;
    char *name; /* kind, store and namespace */
};

static struct lock turns_lock;
static struct lock_cond turns_change;
static struct turn *turns GUARDED_BY(turns_lock);
static pthread_once_t turns_once = PTHREAD_ONCE_INIT;

static void turns_init(void)
{
    lock_init(&turns_lock, LOCK_RANK_LEAF);
    lock_cond_init(&turns_change);
}

static struct turn **find(const char *name) LOCK_REQUIRES(turns_lock)
{
    struct turn **at = &turns;
    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static char *turn_name(const char *kind, const struct store *s, const char *namespace_name)
{
    return xasprintf("%s %s %s", kind, namespace_name, store_url(s));
}

static void take(char *name)
{
    struct turn *mine = xmalloc(sizeof(*mine));
    mine->name = name;
    pthread_once(&turns_once, turns_init);
    lock_acquire(&turns_lock);
    while (*find(name) != NULL)
        lock_cond_wait(&turns_change, &turns_lock);
    mine->next = turns;
    turns = mine;
    lock_release(&turns_lock);
}

static void give(const char *name)
{
    lock_acquire(&turns_lock);
    struct turn **at = find(name);
    struct turn *mine = *at;
    ASSERT(mine != NULL);
    *at = mine->next;
    lock_cond_broadcast(&turns_change);
    lock_release(&turns_lock);
    free(mine->name);
    free(mine);
}

void manifest_lock(const struct store *s, const char *namespace_name)
{
    take(turn_name("manifest", s, namespace_name));
}

void manifest_unlock(const struct store *s, const char *namespace_name)
{
    CLEANUP(xfree_ptr) char *name = turn_name("manifest", s, namespace_name);
    give(name);
}

void store_job_lock(const struct store *s, const char *namespace_name)
{
    take(turn_name("job", s, namespace_name));
}

void store_job_unlock(const struct store *s, const char *namespace_name)
{
    CLEANUP(xfree_ptr) char *name = turn_name("job", s, namespace_name);
    give(name);
}
