/*
 * snapshot/compact.c: merges runs of neighbouring deltas, and writes data.parquet.
 *
 * C1. A merge keeps every change, and the run's range of LSNs: restores and history read the same
 *     from it. Its state hash is that of the run's last delta.
 *
 * C2. A run lies within one UTC day (of when its deltas were made), so that retention can let go of
 *     days, and within COMPACT_BYTES. It grows from newer to older while the next older delta is
 *     not much larger than what it has: each change is rewritten a few times, not every time.
 *
 * C3. The merged file's number is taken in the manifest before it is written, so that nobody else
 *     uses it, and an interrupted merge is an orphan (J3).
 *
 * C4. data.parquet has one name. So the manifest forgets it before it is replaced, and names it
 *     again afterwards: a crash in between leaves a collection without compacted data, which is
 *     complete without it. What is written has the state hash that the last delta recorded, or is
 *     refused.
 *
 * C5. By the clock data.parquet is written anew only when the deltas behind it are not much smaller
 *     than it is (the rule of C2): a byte of changes costs a few bytes of writing, however large
 *     the collection. On demand it is always brought to the last delta.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cdc/state.h"
#include "snapshot/jobs.h"
#include "snapshot/merge.h"
#include "snapshot/plan.h"

#define DAY_US INT64_C(86400000000)
#define COMPACT_BYTES MIB(256)
/* How much larger than the new bytes an older file may be that is written again with them. */
#define COMPACT_RATIO 4
#define COMPACT_SMALL MIB(1) /* below, always */
#define COMPACT_FILES 32     /* of one merge */

/* The run ------------------------------------------------------------------------------------- */

struct run {
    size_t first, count;
};

/** Whether writing `older` bytes once more pays for `newer` ones. */
static bool pays(uint64_t older, uint64_t newer)
{
    return older <= COMPACT_RATIO * newer + COMPACT_SMALL;
}

static int64_t day_of(const struct store_file *f)
{
    int64_t day = f->made_us / DAY_US;
    return f->made_us % DAY_US < 0 ? day - 1 : day;
}

/** C2: the longest run that ends with delta `last`. */
static struct run run_ending_at(const struct collection_manifest *m, size_t last)
{
    struct run run = {last, 1};
    uint64_t bytes = m->deltas[last].size;
    while (run.first > 0 && run.count < COMPACT_FILES) {
        const struct store_file *older = &m->deltas[run.first - 1];
        if (day_of(older) != day_of(&m->deltas[last]) || bytes + older->size > COMPACT_BYTES ||
            !pays(older->size, bytes))
            break;
        bytes += older->size;
        run.first--;
        run.count++;
    }
    return run;
}

static bool choose_run(const struct collection_manifest *m, struct run *ret)
{
    for (size_t last = m->delta_count; last-- > 0;) {
        *ret = run_ending_at(m, last);
        if (ret->count > 1)
            return true;
    }
    return false;
}

/* Merging ------------------------------------------------------------------------------------- */

/** The deltas of a run with their rows at hand. */
struct inputs {
    size_t count;
    struct delta_reader *readers[COMPACT_FILES];
    struct change rows[COMPACT_FILES];
    bool ended[COMPACT_FILES];
};

static void inputs_close(struct inputs *in)
{
    for (size_t i = 0; i < in->count; i++)
        delta_close(in->readers[i]);
    in->count = 0;
}

static err_t advance(struct inputs *in, size_t i)
{
    err_t err = delta_next(in->readers[i], &in->rows[i]);
    in->ended[i] = err == ERR_END;
    return err == ERR_END ? OK : err;
}

static bool row_before(const struct change *a, const struct change *b)
{
    int order = slice_compare(a->doc_id, b->doc_id);
    return order != 0 ? order < 0 : a->lsn < b->lsn;
}

static err_t merge_rows(const struct job *j, struct inputs *in, struct delta_writer *w)
{
    for (;;) {
        size_t least = in->count;
        for (size_t i = 0; i < in->count; i++)
            if (!in->ended[i] && (least == in->count || row_before(&in->rows[i], &in->rows[least])))
                least = i;
        if (least == in->count)
            return OK;
        TRY(source_check_stop(j->source));
        TRY(delta_writer_add(w, &in->rows[least]));
        TRY(advance(in, least));
    }
}

static err_t open_inputs(const struct job *j, const struct store_file *files, size_t count,
                         struct inputs *in)
{
    for (size_t i = 0; i < count; i++) {
        TRY(delta_open(j->store, j->dir, &files[i], NULL, &in->readers[i]));
        in->count++;
        TRY(advance(in, i));
    }
    return OK;
}

static err_t write_merged(const struct job *j, const struct store_file *files, size_t count,
                          uint64_t number, struct store_file *ret)
{
    CLEANUP(inputs_close) struct inputs in = {0};
    const struct store_file *last = &files[count - 1];
    struct delta_writer *w;
    struct store_file f;
    uint64_t rows = 0;
    TRY(open_inputs(j, files, count, &in));
    TRY(delta_writer_open(j->store, j->dir, number, last->made_us, &w));
    err_t err = merge_rows(j, &in, w);
    if (err != OK) {
        delta_writer_discard(w);
        return err;
    }
    TRY(delta_writer_close(w, &f));
    for (size_t i = 0; i < count; i++)
        rows += files[i].rows;
    ASSERT(f.rows == rows); /* C1: each reader has counted its rows */
    f.lsn_from = files[0].lsn_from;
    f.lsn_to = last->lsn_to;
    f.state_hash = last->state_hash;
    f.state_count = last->state_count;
    f.made_us = last->made_us;
    *ret = f;
    return OK;
}

/* Manifests ----------------------------------------------------------------------------------- */

/** C3. */
static err_t reserve(const struct job *j, struct collection_manifest *m, struct run *ret_run,
                     bool *ret_found)
{
    err_t err = collection_manifest_read(j->store, j->namespace_name, j->collection, m);
    *ret_found = false;
    if (err == ERR_NOT_FOUND)
        return OK; /* no deltas yet */
    TRY(err);
    if (!choose_run(m, ret_run))
        return OK;
    *ret_found = true;
    m->next_delta_number++;
    return collection_manifest_write(j->store, m);
}

/** Puts `merged` (taken over) in the place of the run. Only jobs take deltas away, and this one has
 * the turn: those of the run are where they were. */
static err_t replace_run(const struct job *j, const struct run *run, struct store_file *merged)
{
    CLEANUP(collection_manifest_free) struct collection_manifest m = {0};
    err_t err = collection_manifest_read(j->store, j->namespace_name, j->collection, &m);
    if (err != OK) {
        store_file_release(merged);
        return err;
    }
    size_t end = run->first + run->count;
    ASSERT(end <= m.delta_count && m.deltas[run->first].lsn_from == merged->lsn_from &&
           m.deltas[end - 1].lsn_to == merged->lsn_to);
    for (size_t i = run->first; i < end; i++)
        store_file_release(&m.deltas[i]);
    m.deltas[run->first] = *merged;
    for (size_t i = end; i < m.delta_count; i++)
        m.deltas[i - run->count + 1] = m.deltas[i];
    m.delta_count -= run->count - 1;
    return collection_manifest_write(j->store, &m);
}

/** Merges one run. *ret_merged false: there is none. */
static err_t merge_once(const struct job *j, bool *ret_merged)
{
    CLEANUP(collection_manifest_free) struct collection_manifest m = {0};
    struct run run = {0};
    struct store_file merged;
    manifest_lock(j->store, j->namespace_name);
    err_t err = reserve(j, &m, &run, ret_merged);
    manifest_unlock(j->store, j->namespace_name);
    if (err != OK || !*ret_merged)
        return err;
    TRY(write_merged(j, m.deltas + run.first, run.count, m.next_delta_number - 1, &merged));
    manifest_lock(j->store, j->namespace_name);
    err = replace_run(j, &run, &merged);
    manifest_unlock(j->store, j->namespace_name);
    return err;
}

/* The data file ------------------------------------------------------------------------------- */

/** Sets (file: copied) or forgets (NULL) the data file in the manifest. */
static err_t set_data(const struct job *j, const struct store_file *file)
{
    CLEANUP(collection_manifest_free) struct collection_manifest m = {0};
    err_t err = collection_manifest_read(j->store, j->namespace_name, j->collection, &m);
    if (err == OK && (file != NULL || m.has_data)) {
        store_file_release(&m.data);
        m.has_data = file != NULL;
        if (file != NULL)
            m.data = store_file_copy(file);
        err = collection_manifest_write(j->store, &m);
    }
    return err;
}

static err_t set_data_locked(const struct job *j, const struct store_file *file)
{
    manifest_lock(j->store, j->namespace_name);
    err_t err = set_data(j, file);
    manifest_unlock(j->store, j->namespace_name);
    return err;
}

static err_t copy_docs(struct rebuild *r, const struct store_file *last, struct docs_writer *w)
{
    struct state_doc doc;
    err_t err;
    while ((err = rebuild_next(r, &doc)) == OK)
        TRY(docs_writer_add(w, &doc));
    if (err != ERR_END)
        return err;
    uint64_t rows;
    struct state_hash hash = rebuild_hash(r, &rows);
    if (rows != last->state_count || !state_hash_equal(hash, last->state_hash))
        return err_fail(
            ERR_CORRUPT,
            "%s: the state after it, put together from the store's files, does not have "
            "the hash that was recorded with it",
            last->path);
    return OK;
}

static err_t write_docs(const struct job *j, const struct rebuild_plan *plan,
                        const struct store_file *last, struct docs_writer *w)
{
    struct rebuild *r;
    TRY(rebuild_open(j->source, j->namespace_name, j->collection, plan, &r));
    err_t err = copy_docs(r, last, w);
    rebuild_close(r);
    return err;
}

/** C4. */
static err_t write_data(const struct job *j, const struct rebuild_plan *plan,
                        const struct store_file *last)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/" DATA_PATH, j->dir);
    struct docs_writer *w;
    struct store_file f;
    TRY(docs_writer_open(j->store, path, &w));
    err_t err = write_docs(j, plan, last, w);
    if (err == OK)
        err = set_data_locked(j, NULL);
    if (err != OK) {
        docs_writer_discard(w);
        return err;
    }
    TRY(docs_writer_close(w, &f));
    free(f.path);
    f.path = xstrdup(DATA_PATH);
    f.lsn_to = last->lsn_to;
    f.ts_max_us = MAX(f.ts_max_us, plan_ts_max(plan));
    f.made_us = j->now_us;
    err = set_data_locked(j, &f);
    store_file_release(&f);
    return err;
}

/** C5. */
static bool data_pays(const struct collection_manifest *m)
{
    uint64_t behind = 0;
    for (size_t i = 0; i < m->delta_count; i++)
        if (m->deltas[i].lsn_to > m->data.lsn_to)
            behind += m->deltas[i].size;
    return pays(m->data.size, behind);
}

static err_t compact_data(const struct job *j, bool always, bool *ret_written)
{
    CLEANUP(collection_manifest_free) struct collection_manifest m = {0};
    CLEANUP(rebuild_plan_free) struct rebuild_plan plan = {0};
    err_t err = collection_manifest_read(j->store, j->namespace_name, j->collection, &m);
    if (err == ERR_NOT_FOUND)
        return OK;
    TRY(err);
    const struct store_file *last = m.delta_count > 0 ? &m.deltas[m.delta_count - 1] : NULL;
    if (last == NULL || last->lsn_to == 0 || (m.has_data && m.data.lsn_to >= last->lsn_to))
        return OK;
    if (m.has_data && !always && !data_pays(&m))
        return OK;
    *ret_written = true;
    const struct target target = {.kind = TARGET_LSN, .value = last->lsn_to - 1};
    TRY(rebuild_plan(j->source, j->namespace_name, j->collection, &target, &plan));
    return write_data(j, &plan, last);
}

static err_t compact(struct source *src, const char *namespace_name, struct slice collection,
                     bool always, bool *ret_written)
{
    CLEANUP(job_end) struct job j;
    TRY(job_begin(src, namespace_name, collection, &j));
    const struct removal removal = {0};
    TRY(orphans_remove(&j, &removal));
    bool written = false;
    for (bool merged = true; merged; written |= merged)
        TRY(merge_once(&j, &merged));
    TRY(compact_data(&j, always, &written));
    *ret_written = written;
    return OK;
}

err_t snapshot_compact(struct source *src, const char *namespace_name, struct slice collection)
{
    bool written;
    return compact(src, namespace_name, collection, true, &written);
}

err_t snapshot_compact_if_it_pays(struct source *src, const char *namespace_name,
                                  struct slice collection, bool *ret_written)
{
    return compact(src, namespace_name, collection, false, ret_written);
}
