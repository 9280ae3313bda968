/*
 * snapshot/cleanup.c: removes what retention lets go, or one snapshot: first from the manifests,
 * then the files (J2), so that a crash leaves orphans, which the next run removes.
 */
#include <stdlib.h>

#include "cdc/state.h"
#include "snapshot/jobs.h"
#include "snapshot/retention.h"

struct cleanup {
    const struct job *job;
    const struct retention *retention;
    const struct removal *removal;
    struct collection_manifest manifest;
    struct snapshot_list snapshots;
    struct retention_plan plan;
};

static void cleanup_release(struct cleanup *c)
{
    retention_plan_release(&c->plan);
    collection_manifest_free(&c->manifest);
    snapshot_list_free(&c->snapshots);
}

static err_t read_manifest(const struct job *j, struct collection_manifest *ret)
{
    err_t err = collection_manifest_read(j->store, j->namespace_name, j->collection, ret);
    return err == ERR_NOT_FOUND ? OK : err; /* no deltas yet */
}

/** The base must be readable before what it stands in for may go. */
static err_t check_base(const struct cleanup *c)
{
    struct docs_reader *r;
    struct state_doc doc;
    err_t err;
    TRY(docs_open(c->job->store, c->job->dir, &c->plan.base->file, NULL, &r));
    while ((err = docs_next(r, &doc)) == OK && (err = source_check_stop(c->job->source)) == OK)
        ;
    docs_close(r);
    return err == ERR_END ? OK : err;
}

/** The manifest without its first deltas. The cdc job may have added some meanwhile. */
static err_t forget_deltas(const struct cleanup *c)
{
    const struct job *j = c->job;
    size_t n = c->plan.delta_remove;
    struct collection_manifest m;
    TRY(collection_manifest_read(j->store, j->namespace_name, j->collection, &m));
    ASSERT(m.delta_count >= n && m.lsn_from == c->manifest.lsn_from);
    m.lsn_from = m.deltas[n - 1].lsn_to;
    for (size_t i = 0; i < n; i++)
        store_file_release(&m.deltas[i]);
    for (size_t i = n; i < m.delta_count; i++)
        m.deltas[i - n] = m.deltas[i];
    m.delta_count -= n;
    err_t err = collection_manifest_write(j->store, &m);
    collection_manifest_free(&m);
    return err;
}

static err_t remove_deltas(const struct cleanup *c)
{
    const struct job *j = c->job;
    if (c->plan.delta_remove == 0)
        return OK;
    TRY(check_base(c));
    if (!c->removal->dry_run) {
        manifest_lock(j->store, j->namespace_name);
        err_t err = forget_deltas(c);
        manifest_unlock(j->store, j->namespace_name);
        TRY(err);
    }
    for (size_t i = 0; i < c->plan.delta_remove; i++)
        TRY(removal_do(j, c->removal, c->manifest.deltas[i].path, c->manifest.deltas[i].size));
    return OK;
}

static err_t remove_snapshots(const struct cleanup *c)
{
    const struct snapshot_list *l = &c->snapshots;
    CLEANUP(xfree_ptr) struct snapshot *kept = xcalloc(MAX(l->count, 1), sizeof(*kept));
    struct snapshot_list rest = {kept, 0};
    for (size_t i = 0; i < l->count; i++)
        if (c->plan.keep[i])
            kept[rest.count++] = l->items[i]; /* borrowed */
    if (rest.count == l->count)
        return OK;
    if (!c->removal->dry_run)
        TRY(snapshot_list_write(c->job, &rest));
    for (size_t i = 0; i < l->count; i++)
        if (!c->plan.keep[i])
            TRY(removal_do(c->job, c->removal, l->items[i].file.path, l->items[i].file.size));
    return OK;
}

static err_t clean(struct cleanup *c)
{
    const struct job *j = c->job;
    TRY(orphans_remove(j, c->removal));
    TRY(read_manifest(j, &c->manifest));
    TRY(snapshot_list_read(j->store, j->namespace_name, j->collection, &c->snapshots));
    retention_choose(c->retention, j->now_us, &c->manifest, &c->snapshots, &c->plan);
    TRY(remove_deltas(c));
    return remove_snapshots(c);
}

/* One snapshot -------------------------------------------------------------------------------- */

/** Where the chain of deltas does not begin at the first change, the oldest snapshot that it goes
 * on from stands in for what is gone. */
static bool is_needed(const struct cleanup *c, size_t at)
{
    const struct snapshot_list *l = &c->snapshots;
    if (c->manifest.lsn_from == 0 || retention_oldest(l, c->manifest.lsn_from) != &l->items[at])
        return false;
    for (size_t i = 0; i < l->count; i++)
        if (i != at && l->items[i].file.lsn_to == l->items[at].file.lsn_to)
            return false;
    return true;
}

static err_t delete_named(struct cleanup *c, struct slice name)
{
    const struct job *j = c->job;
    const struct snapshot_list *l = &c->snapshots;
    TRY(read_manifest(j, &c->manifest));
    TRY(snapshot_list_read(j->store, j->namespace_name, j->collection, &c->snapshots));
    const struct snapshot *named = snapshot_find(l, name);
    if (named == NULL)
        return no_snapshot(j->namespace_name, j->collection, name);
    size_t at = (size_t)(named - l->items);
    if (is_needed(c, at))
        return err_fail(
            ERR_EXISTS,
            "the snapshot \"%s\" is needed: the moments after it can be reached from no "
            "other; a cleanup lets go of it when the window has passed",
            l->items[at].name);
    c->plan.keep = xcalloc(l->count, sizeof(*c->plan.keep));
    for (size_t i = 0; i < l->count; i++)
        c->plan.keep[i] = i != at;
    return remove_snapshots(c);
}

err_t snapshot_delete(struct source *src, const char *namespace_name, struct slice collection,
                      struct slice name)
{
    static const struct removal removal = {0};
    CLEANUP(job_end) struct job j;
    TRY(job_begin(src, namespace_name, collection, &j));
    CLEANUP(cleanup_release) struct cleanup c = {.job = &j, .removal = &removal};
    return delete_named(&c, name);
}

/* All ----------------------------------------------------------------------------------------- */

err_t snapshot_cleanup(struct source *src, const char *namespace_name, struct slice collection,
                       const struct retention *r, bool dry_run,
                       void (*fn)(void *arg, const char *path, uint64_t size), void *arg)
{
    CLEANUP(job_end) struct job j;
    TRY(job_begin(src, namespace_name, collection, &j));
    TRY(source_check_collection(src, namespace_name, collection));
    const struct removal removal = {dry_run, fn, arg};
    CLEANUP(cleanup_release)
    struct cleanup c = {.job = &j, .retention = r, .removal = &removal};
    return clean(&c);
}
