/*
 * snapshot/jobs.c: beginning and ending a job; orphans.
 */
#include "snapshot/jobs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

err_t job_begin(struct source *src, const char *namespace_name, struct slice collection,
                struct job *ret)
{
    *ret = (struct job){0};
    if (source_store(src) == NULL)
        return err_fail(ERR_NOT_FOUND, "there is no store yet: no delta was ever written");
    *ret = (struct job){
        .source = src,
        .store = source_store(src),
        .namespace_name = namespace_name,
        .collection = collection,
        .dir = collection_dir(namespace_name, collection),
    };
    store_job_lock(ret->store, namespace_name);
    ret->now_us = clock_wall_us(source_clock(src));
    return OK;
}

void job_end(struct job *j)
{
    if (j->dir == NULL)
        return;
    store_job_unlock(j->store, j->namespace_name);
    free(TAKE(j->dir));
}

/* Removing ------------------------------------------------------------------------------------ */

err_t removal_do(const struct job *j, const struct removal *r, const char *path, uint64_t size)
{
    CLEANUP(xfree_ptr) char *full = xasprintf("%s/%s", j->dir, path);
    if (r->fn != NULL)
        r->fn(r->arg, full, size);
    return r->dry_run ? OK : store_remove(j->store, full);
}

struct names {
    char **items;
    size_t count;
};

static void names_add(void *arg, const char *name, bool is_dir)
{
    struct names *n = arg;
    if (is_dir)
        return;
    n->items = xrealloc(n->items, (n->count + 1) * sizeof(*n->items));
    n->items[n->count++] = xstrdup(name);
}

static void names_release(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
    *n = (struct names){0};
}

bool is_parquet(const char *name)
{
    size_t len = strlen(name);
    return len > 8 && strcmp(name + len - 8, ".parquet") == 0;
}

static err_t remove_file(const struct job *j, const struct removal *r, const char *path)
{
    CLEANUP(xfree_ptr) char *full = xasprintf("%s/%s", j->dir, path);
    struct store_object *o;
    err_t err = store_object_open(j->store, full, &o);
    if (err == ERR_NOT_FOUND)
        return OK;
    TRY(err);
    uint64_t size = store_object_size(o);
    store_object_close(o);
    return removal_do(j, r, path, size);
}

/** The number in front of a delta's name; false where there is none. */
static bool delta_number(const char *name, uint64_t *ret)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(name, &end, 10);
    if (errno != 0 || end == name || *end != '_' || name[0] < '0' || name[0] > '9')
        return false;
    *ret = n;
    return true;
}

static bool names_delta(const struct collection_manifest *m, const char *path)
{
    for (size_t i = 0; i < m->delta_count; i++)
        if (strcmp(m->deltas[i].path, path) == 0)
            return true;
    return false;
}

static err_t remove_orphan_deltas(const struct job *j, const struct removal *r,
                                  const struct collection_manifest *m)
{
    CLEANUP(names_release) struct names names = {0};
    CLEANUP(xfree_ptr) char *dir = xasprintf("%s/deltas", j->dir);
    TRY(store_list(j->store, dir, names_add, &names));
    for (size_t i = 0; i < names.count; i++) {
        CLEANUP(xfree_ptr) char *path = xasprintf("deltas/%s", names.items[i]);
        uint64_t number;
        if (is_parquet(path) && delta_number(names.items[i], &number) &&
            number < m->next_delta_number && !names_delta(m, path))
            TRY(remove_file(j, r, path));
    }
    return m->has_data ? OK : remove_file(j, r, DATA_PATH);
}

static bool names_snapshot(const struct snapshot_list *l, const char *path)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i].file.path, path) == 0)
            return true;
    return false;
}

static err_t remove_orphan_snapshots(const struct job *j, const struct removal *r)
{
    CLEANUP(snapshot_list_free) struct snapshot_list list = {0};
    CLEANUP(names_release) struct names names = {0};
    CLEANUP(xfree_ptr) char *dir = xasprintf("%s/snapshots", j->dir);
    TRY(snapshot_list_read(j->store, j->namespace_name, j->collection, &list));
    TRY(store_list(j->store, dir, names_add, &names));
    for (size_t i = 0; i < names.count; i++) {
        CLEANUP(xfree_ptr) char *path = xasprintf("snapshots/%s", names.items[i]);
        if (is_parquet(path) && !names_snapshot(&list, path))
            TRY(remove_file(j, r, path));
    }
    return OK;
}

err_t orphans_remove(const struct job *j, const struct removal *r)
{
    CLEANUP(collection_manifest_free) struct collection_manifest m = {0};
    TRY(remove_orphan_snapshots(j, r));
    err_t err = collection_manifest_read(j->store, j->namespace_name, j->collection, &m);
    if (err == ERR_NOT_FOUND)
        return OK; /* its first delta may be in the making */
    TRY(err);
    return remove_orphan_deltas(j, r, &m);
}
