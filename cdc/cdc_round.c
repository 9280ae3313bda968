/*
 * cdc/cdc_round.c: a round of deltas: what was pending goes to the store on a worker, while the
 * state goes on.
 *
 * All collections of a namespace are covered up to the same LSN, the cursor as the round began, at
 * once: one delta for each that changed, none for the others, then the namespace's manifest with
 * the new covered_until. A crash between leaves some collections ahead of covered_until; their
 * manifests say how far they are, and what lies below is left out of their next delta. So no change
 * is skipped or written twice. A round that failed is pending again, as if it had not begun.
 */
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "cdc/cdc_priv.h"
#include "cdc/delta.h"

/* One collection ------------------------------------------------------------------------------ */

/** The manifest as it stands, or that of a collection without any. */
static err_t read_manifest(const struct space *sp, struct slice collection,
                           struct collection_manifest *m)
{
    err_t err = collection_manifest_read(sp->cdc->options.store, sp->name, collection, m);
    if (err != ERR_NOT_FOUND)
        return err;
    *m = (struct collection_manifest){.namespace_name = xstrdup(sp->name),
                                      .collection = xstrndup(collection.data, collection.len),
                                      .next_delta_number = 1};
    return OK;
}

static int64_t chain_end(const struct collection_manifest *m)
{
    return m->delta_count > 0 ? m->deltas[m->delta_count - 1].lsn_to : m->lsn_from;
}

static int by_name(const void *left, const void *right)
{
    const struct state_collection *a = left, *b = right;
    return strcmp(a->name, b->name);
}

static err_t add_delta(const struct space *sp, struct collection_manifest *m,
                       const struct change *const *changes, size_t count)
{
    const struct cdc_options *o = &sp->cdc->options;
    const struct delta_round *r = &sp->round;
    const struct state_collection key = {.name = m->collection};
    const struct state_collection *c =
        bsearch(&key, r->collections, r->collection_count, sizeof(key), by_name);
    ASSERT(c != NULL); /* its changes are applied */
    struct store_file file = {0};
    CLEANUP(xfree_ptr) char *dir = collection_dir(sp->name, slice_of(m->collection));
    TRY(delta_write(o->store, dir, m->next_delta_number, clock_wall_us(o->clock), changes, count,
                    &file));
    file.lsn_from = chain_end(m);
    file.lsn_to = r->lsn_to;
    file.state_hash = c->hash;
    file.state_count = c->count;
    file.made_us = clock_wall_us(o->clock);
    m->deltas = xrealloc(m->deltas, (m->delta_count + 1) * sizeof(*m->deltas));
    m->deltas[m->delta_count++] = file;
    m->next_delta_number++;
    TRY(collection_manifest_write(o->store, m));
    metric_inc(M_cdc_deltas_total);
    return OK;
}

static err_t write_locked(const struct space *sp, const struct change *const *changes, size_t count)
{
    struct collection_manifest m = {0};
    TRY(read_manifest(sp, changes[0]->collection, &m));
    size_t from = 0;
    while (from < count && changes[from]->lsn < chain_end(&m))
        from++;
    err_t err = from == count ? OK : add_delta(sp, &m, changes + from, count - from);
    collection_manifest_free(&m);
    return err;
}

/** Changes of one collection, in LSN order. */
static err_t write_collection(const struct space *sp, const struct change *const *changes,
                              size_t count)
{
    manifest_lock(sp->cdc->options.store, sp->name);
    err_t err = write_locked(sp, changes, count);
    manifest_unlock(sp->cdc->options.store, sp->name);
    return err;
}

/* The namespace ------------------------------------------------------------------------------- */

static int by_collection(const void *left, const void *right)
{
    const struct change *a = *(const struct change *const *)left;
    const struct change *b = *(const struct change *const *)right;
    int order = slice_compare(a->collection, b->collection);
    return order != 0 ? order : (a->lsn > b->lsn) - (a->lsn < b->lsn);
}

/** Changes of one run share the bytes of the name. */
static bool same_collection(const struct change *a, const struct change *b)
{
    return a->collection.data == b->collection.data || slice_equal(a->collection, b->collection);
}

/** All changes of the round, those of one collection together, each in LSN order. */
static const struct change **collect_changes(const struct delta_round *r)
{
    size_t count = 0;
    bool one = true;
    const struct change **all = xcalloc(r->runs.count + 1, sizeof(struct change *));
    for (const struct change_run *run = r->runs.first; run != NULL; run = run->next) {
        for (size_t i = 0; i < run->count; i++) {
            all[count] = &run->changes[i];
            one = one && same_collection(all[count], all[count > 0 ? count - 1 : 0]);
            count++;
        }
    }
    ASSERT(count == r->runs.count);
    if (!one)
        qsort(all, count, sizeof(struct change *), by_collection);
    return all;
}

static err_t write_collections(const struct space *sp)
{
    CLEANUP(xfree_ptr) const struct change **all = collect_changes(&sp->round);
    size_t count = sp->round.runs.count;
    for (size_t from = 0, to; from < count; from = to) {
        to = from + 1;
        while (to < count && same_collection(all[to - 1], all[to]))
            to++;
        if (atomic_load(&sp->cdc->stopping))
            return err_fail(ERR_UNAVAILABLE, "the server is stopping");
        TRY(write_collection(sp, all + from, to - from));
    }
    return OK;
}

static int by_text(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/** Adds the state's collections to the manifest's: sorted, each once. */
static void join_names(const struct delta_round *r, struct namespace_manifest *m)
{
    size_t total = m->collection_count + r->collection_count;
    m->collections = xrealloc(m->collections, MAX(total, 1) * sizeof(char *));
    for (size_t i = 0; i < r->collection_count; i++)
        m->collections[m->collection_count + i] = xstrdup(r->collections[i].name);
    qsort(m->collections, total, sizeof(char *), by_text);
    size_t kept = 0;
    for (size_t i = 0; i < total; i++) {
        if (kept > 0 && strcmp(m->collections[kept - 1], m->collections[i]) == 0)
            free(m->collections[i]);
        else
            m->collections[kept++] = m->collections[i];
    }
    m->collection_count = kept;
}

static err_t write_namespace_locked(const struct space *sp)
{
    const struct cdc_options *o = &sp->cdc->options;
    const struct delta_round *r = &sp->round;
    struct namespace_manifest m = {0};
    err_t err = namespace_manifest_read(o->store, sp->name, &m);
    if (err == ERR_NOT_FOUND)
        m = (struct namespace_manifest){.namespace_name = xstrdup(sp->name)};
    else
        TRY(err);
    join_names(r, &m);
    m.covered_until = MAX(m.covered_until, r->lsn_to);
    m.covered_until_us = MAX(m.covered_until_us, r->caught_us);
    m.made_us = clock_wall_us(o->clock);
    err = namespace_manifest_write(o->store, &m);
    namespace_manifest_free(&m);
    return err;
}

/** On the worker. */
static err_t round_run(struct space *sp)
{
    TRY(write_collections(sp));
    if (sp->round.collection_count == 0)
        return OK; /* a namespace without collections is nothing to the store */
    manifest_lock(sp->cdc->options.store, sp->name);
    err_t err = write_namespace_locked(sp);
    manifest_unlock(sp->cdc->options.store, sp->name);
    return err;
}

/* The round, on cdc's thread ------------------------------------------------------------------ */

static bool add_collection(void *arg, const struct state_collection *c)
{
    struct delta_round *r = arg;
    r->collections = xrealloc(r->collections, (r->collection_count + 1) * sizeof(*r->collections));
    r->collections[r->collection_count] = *c;
    r->collections[r->collection_count++].name = xstrndup(c->name, c->name_len);
    return true;
}

static void free_collections(struct delta_round *r)
{
    for (size_t i = 0; i < r->collection_count; i++)
        free(r->collections[i].name);
    free(TAKE(r->collections));
    r->collection_count = 0;
}

err_t round_start(struct space *sp, bool asked)
{
    struct delta_round *r = &sp->round;
    err_t err = state_each_collection(sp->state, add_collection, r);
    if (err != OK) {
        free_collections(r);
        return err;
    }
    r->asked = asked;
    r->lsn_to = sp->cursor;
    r->caught_us = sp->caught_us;
    change_runs_move(&r->runs, &sp->pending);
    space_job_begin(&r->job, round_run);
    return OK;
}

bool round_take(struct space *sp, err_t *ret_err)
{
    struct delta_round *r = &sp->round;
    if (!space_job_take(&r->job, ret_err))
        return false;
    free_collections(r);
    if (*ret_err == OK) {
        sp->covered = MAX(sp->covered, r->lsn_to);
        change_runs_free(&r->runs);
    } else {
        change_runs_move(&r->runs, &sp->pending); /* what came since is younger */
        change_runs_move(&sp->pending, &r->runs);
    }
    return true;
}

void round_forget(struct space *sp)
{
    free_collections(&sp->round);
    change_runs_free(&sp->round.runs);
}
