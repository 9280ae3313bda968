/*
 * snapshot/reload.c: each collection is rebuilt from snapshot, data and deltas as for a restore,
 * streamed into the state, all in one transaction. What the log has from there on, cdc/ applies
 * itself.
 *
 * Bookmarks below covered_until stay in the deltas, where targets and history find them. Which
 * changes were skipped is needed of what the log still has, too: there it is asked of the state.
 * last_lsn is that of the newest change in a delta; where none is left, the last that the files
 * cover.
 */
#include "snapshot/reload.h"

#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "cdc/delta.h"
#include "snapshot/source.h"

struct reloading {
    struct source *source; /* owned */
    struct state *state;
    const char *namespace_name;
    int64_t log_start, covered;
    struct state_collection *collections; /* owned; names borrowed from the manifest */
    size_t count;
};

static void cover(struct state_collection *c, const struct store_file *f)
{
    if (f->path == NULL)
        return;
    c->last_lsn = MAX(c->last_lsn, f->lsn_to - 1);
    if (f->ts_max_us >= f->ts_min_us)
        c->max_ts_us = MAX(c->max_ts_us, f->ts_max_us);
}

static err_t load_documents(struct reloading *r, struct slice name, const struct rebuild_plan *plan,
                            struct state_collection *c)
{
    struct rebuild *rebuild;
    struct state_doc doc;
    TRY(rebuild_open(r->source, r->namespace_name, name, plan, &rebuild));
    err_t err;
    while ((err = rebuild_next(rebuild, &doc)) == OK) {
        err = state_load_doc(r->state, name, &doc);
        if (err != OK)
            break;
    }
    if (err == ERR_END)
        c->hash = rebuild_hash(rebuild, &c->count);
    rebuild_close(rebuild);
    return err == ERR_END ? OK : err;
}

static err_t load_outcomes_of(struct reloading *r, const char *dir, const struct store_file *file,
                              int64_t *last_lsn)
{
    struct delta_reader *reader;
    struct change c;
    err_t err;
    TRY(delta_open(source_store(r->source), dir, file, NULL, &reader));
    while ((err = delta_next(reader, &c)) == OK) {
        err = source_check_stop(r->source);
        if (c.lsn < r->covered)
            *last_lsn = MAX(*last_lsn, c.lsn);
        if (err == OK && c.skipped && c.lsn >= r->log_start && c.lsn < r->covered)
            err = state_load_skipped(r->state, c.lsn);
        if (err != OK)
            break;
    }
    delta_close(reader);
    return err == ERR_END ? OK : err;
}

/** Of what the log still has; and the collection's last LSN, for which the newest change is enough.
 */
static err_t load_outcomes(struct reloading *r, struct slice name, struct state_collection *ret)
{
    CLEANUP(collection_manifest_free) struct collection_manifest m = {0};
    CLEANUP(xfree_ptr) char *dir = collection_dir(r->namespace_name, name);
    err_t err = collection_manifest_read(source_store(r->source), r->namespace_name, name, &m);
    int64_t last_lsn = -1;
    for (size_t i = m.delta_count; err == OK && i-- > 0;)
        if (m.deltas[i].rows > 0 && (m.deltas[i].lsn_to > r->log_start || last_lsn < 0))
            err = load_outcomes_of(r, dir, &m.deltas[i], &last_lsn);
    if (err == OK && last_lsn >= 0)
        ret->last_lsn = last_lsn;
    return err;
}

static err_t load_collection(struct reloading *r, char *collection)
{
    const struct target target = {.kind = TARGET_LSN, .value = r->covered - 1};
    struct slice name = slice_of(collection);
    struct rebuild_plan plan;
    struct state_collection c = {.name = collection, .name_len = name.len, .last_lsn = -1};
    TRY(rebuild_plan(r->source, r->namespace_name, name, &target, &plan));
    cover(&c, &plan.snapshot);
    for (size_t i = 0; i < plan.delta_count; i++)
        cover(&c, &plan.deltas[i]);
    err_t err = load_documents(r, name, &plan, &c);
    rebuild_plan_free(&plan);
    TRY(err);
    TRY(load_outcomes(r, name, &c));
    r->collections[r->count++] = c;
    return OK;
}

static err_t load_all(struct reloading *r, const struct namespace_manifest *m)
{
    TRY(state_load_begin(r->state));
    for (size_t i = 0; i < m->collection_count; i++)
        TRY(load_collection(r, m->collections[i]));
    return state_load_end(r->state, r->collections, r->count, r->covered);
}

static err_t reload_from(const struct reload *from, const struct namespace_manifest *m,
                         struct reloading *r)
{
    const struct source_options options = {
        .io = from->io, .clock = from->clock, .store = from->store, .stop = &from->stop};
    TRY(source_open(&options, &r->source));
    r->collections = xcalloc(m->collection_count + 1, sizeof(*r->collections));
    err_t err = load_all(r, m);
    free(r->collections);
    source_close(r->source);
    return err;
}

err_t reload_state(void *arg, const char *namespace_name, int64_t log_start, struct state *empty)
{
    const struct reload *from = arg;
    struct namespace_manifest m;
    TRY(namespace_manifest_read(from->store, namespace_name, &m));
    struct reloading r = {.state = empty,
                          .namespace_name = namespace_name,
                          .log_start = log_start,
                          .covered = m.covered_until};
    LOG_INFO("state_from_store", F("namespace", namespace_name), F("log_start", log_start),
             F("covered_until", m.covered_until));
    err_t err = m.covered_until > 0
                    ? reload_from(from, &m, &r)
                    : err_fail(ERR_NOT_FOUND, "the store covers nothing of %s", namespace_name);
    namespace_manifest_free(&m);
    return err;
}
