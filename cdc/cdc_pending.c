/*
 * cdc/cdc_pending.c: changes that are applied and not in the store: kept, written as deltas, and
 * after a restart read from the log again.
 *
 * All collections of a namespace are covered up to the same LSN, the cursor, at once: one delta for
 * each that changed, none for the others, then the namespace's manifest with the new covered_until.
 * A crash between leaves some collections ahead of covered_until; their manifests say how far they
 * are, and what lies below is left out of their next delta. So no change is skipped or written
 * twice.
 */
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "base/metrics.h"
#include "cdc/cdc_priv.h"
#include "cdc/delta.h"

size_t pending_bytes_max(const struct space *sp)
{
    return (size_t)sp->cdc->options.delta_bytes * 4 + CDC_APPLY_BYTES;
}

void pending_clear(struct space *sp)
{
    struct change_run *run;
    while ((run = sp->pending) != NULL) {
        sp->pending = run->next;
        change_run_free(run);
    }
    sp->pending_end = &sp->pending;
    sp->pending_count = sp->pending_bytes = 0;
}

void pending_add(struct space *sp, struct change_run *run)
{
    bool wanted = sp->deltas && run->count > 0 && run->changes[run->count - 1].lsn >= sp->covered;
    if (!wanted) {
        change_run_free(run);
        return;
    }
    *sp->pending_end = run;
    sp->pending_end = &run->next;
    sp->pending_count += run->count;
    sp->pending_bytes += run->arena.used_bytes + run->count * sizeof(*run->changes);
}

/* After a restart ----------------------------------------------------------------------------- */

/** Only a change that expects something can have been skipped. */
static err_t recall_skipped(struct space *sp, struct change_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        struct change *c = &run->changes[i];
        if (c->expect >= 0)
            TRY(state_was_skipped(sp->state, c->lsn, &c->skipped));
    }
    return OK;
}

static err_t read_again(struct space *sp, int64_t from)
{
    while (from < sp->cursor) {
        struct change_run *run;
        TRY(space_read(sp, from, sp->cursor, true, &run, &from));
        err_t err = recall_skipped(sp, run);
        pending_add(sp, run);
        TRY(err);
        if (atomic_load(&sp->cdc->stopping))
            return err_fail(ERR_UNAVAILABLE, "the server is stopping");
        if (sp->pending_bytes > pending_bytes_max(sp))
            return ERR_AGAIN;
    }
    return OK;
}

err_t pending_restore(struct space *sp)
{
    struct namespace_manifest m = {0};
    err_t err = namespace_manifest_read(sp->cdc->options.store, sp->name, &m);
    if (err != OK && err != ERR_NOT_FOUND)
        return err;
    sp->covered = err == OK ? m.covered_until : 0;
    if (err == OK)
        namespace_manifest_free(&m);
    struct shard *sh = stream_shard(sp->stream, 0);
    int64_t log_start = shard_log_start(sh);
    int64_t log_end = shard_high_watermark(sh);
    if (sp->covered > log_end) {
        long long covered = sp->covered;
        sp->covered = 0; /* of this log it has nothing */
        return err_fail(ERR_CORRUPT,
                        "the store %s covers LSN %lld and the log ends at %lld: it is the store of "
                        "another log; set store.url to one of its own",
                        store_url(sp->cdc->options.store), covered, (long long)log_end);
    }
    if (sp->covered < log_start)
        return err_fail(ERR_CORRUPT,
                        "the changes of LSN %lld to %lld are neither in the store nor in the log",
                        (long long)sp->covered, (long long)log_start - 1);
    sp->deltas = true;
    err = read_again(sp, sp->covered);
    sp->deltas = err == OK;
    if (err != OK)
        pending_clear(sp);
    if (err == ERR_AGAIN)
        sp->deltas = true; /* the state is made anew, and deltas are written on the way */
    return err;
}

/* One collection ------------------------------------------------------------------------------ */

/** The manifest as it stands, or that of a collection without any. */
static err_t read_manifest(struct space *sp, struct slice collection, struct collection_manifest *m)
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

static err_t add_delta(struct space *sp, struct collection_manifest *m,
                       const struct change *const *changes, size_t count)
{
    struct state_collection c;
    struct store_file file = {0};
    struct slice name = slice_of(m->collection);
    CLEANUP(xfree_ptr) char *dir = collection_dir(sp->name, name);
    TRY(state_find_collection(sp->state, name, &c));
    free(c.name);
    TRY(delta_write(sp->cdc->options.store, dir, m->next_delta_number,
                    clock_wall_us(sp->cdc->options.clock), changes, count, &file));
    file.lsn_from = chain_end(m);
    file.lsn_to = sp->cursor;
    file.state_hash = c.hash;
    file.state_count = c.count;
    file.made_us = clock_wall_us(sp->cdc->options.clock);
    m->deltas = xrealloc(m->deltas, (m->delta_count + 1) * sizeof(*m->deltas));
    m->deltas[m->delta_count++] = file;
    m->next_delta_number++;
    TRY(collection_manifest_write(sp->cdc->options.store, m));
    metric_inc(M_cdc_deltas_total);
    return OK;
}

static err_t write_locked(struct space *sp, const struct change *const *changes, size_t count)
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
static err_t write_collection(struct space *sp, const struct change *const *changes, size_t count)
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

/** All pending changes, those of one collection together, each in LSN order. */
static const struct change **collect_changes(const struct space *sp)
{
    size_t count = 0;
    bool one = true;
    const struct change **all = xcalloc(sp->pending_count + 1, sizeof(struct change *));
    for (const struct change_run *run = sp->pending; run != NULL; run = run->next) {
        for (size_t i = 0; i < run->count; i++) {
            all[count] = &run->changes[i];
            one = one && same_collection(all[count], all[count > 0 ? count - 1 : 0]);
            count++;
        }
    }
    ASSERT(count == sp->pending_count);
    if (!one)
        qsort(all, count, sizeof(struct change *), by_collection);
    return all;
}

static err_t write_collections(struct space *sp)
{
    CLEANUP(xfree_ptr) const struct change **all = collect_changes(sp);
    size_t count = sp->pending_count;
    for (size_t from = 0, to; from < count; from = to) {
        to = from + 1;
        while (to < count && same_collection(all[to - 1], all[to]))
            to++;
        TRY(write_collection(sp, all + from, to - from));
    }
    return OK;
}

struct name_list {
    char **names;
    size_t count;
};

static bool add_name(void *arg, const struct state_collection *c)
{
    struct name_list *list = arg;
    list->names = xrealloc(list->names, (list->count + 1) * sizeof(char *));
    list->names[list->count++] = xstrndup(c->name, c->name_len);
    return true;
}

static int by_name(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/** The names of both, sorted, each once. */
static void join_names(struct namespace_manifest *m, struct name_list *list)
{
    size_t total = m->collection_count + list->count;
    m->collections = xrealloc(m->collections, MAX(total, 1) * sizeof(char *));
    if (list->count > 0)
        memcpy(m->collections + m->collection_count, list->names, list->count * sizeof(char *));
    free(TAKE(list->names));
    list->count = 0;
    qsort(m->collections, total, sizeof(char *), by_name);
    size_t kept = 0;
    for (size_t i = 0; i < total; i++) {
        if (kept > 0 && strcmp(m->collections[kept - 1], m->collections[i]) == 0)
            free(m->collections[i]);
        else
            m->collections[kept++] = m->collections[i];
    }
    m->collection_count = kept;
}

static err_t update_locked(struct space *sp, struct name_list *list)
{
    struct store *store = sp->cdc->options.store;
    struct namespace_manifest m = {0};
    err_t err = namespace_manifest_read(store, sp->name, &m);
    if (err == ERR_NOT_FOUND)
        m = (struct namespace_manifest){.namespace_name = xstrdup(sp->name)};
    else
        TRY(err);
    join_names(&m, list);
    m.covered_until = MAX(m.covered_until, sp->cursor);
    m.covered_until_us = MAX(m.covered_until_us, sp->caught_us);
    m.made_us = clock_wall_us(sp->cdc->options.clock);
    err = namespace_manifest_write(store, &m);
    namespace_manifest_free(&m);
    return err;
}

static err_t write_namespace(struct space *sp)
{
    struct name_list list = {0};
    err_t err = state_each_collection(sp->state, add_name, &list);
    if (err == OK) {
        manifest_lock(sp->cdc->options.store, sp->name);
        err = update_locked(sp, &list);
        manifest_unlock(sp->cdc->options.store, sp->name);
    }
    for (size_t i = 0; i < list.count; i++)
        free(list.names[i]);
    free(list.names);
    return err;
}

err_t pending_write(struct space *sp)
{
    TRY(write_collections(sp));
    /* A namespace without collections is nothing to the store. */
    if (sp->has_collections)
        TRY(write_namespace(sp));
    pending_clear(sp);
    sp->covered = MAX(sp->covered, sp->cursor);
    return OK;
}
