/*
 * snapshot/rebuild.c: a plan's files and log as inputs of one merge.
 *
 * Where the plan ends exactly where a file recorded the state's hash, and no time narrows it, the
 * stream is compared with that hash at its end: ERR_CORRUPT in place of ERR_END.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "snapshot/ahead.h"
#include "snapshot/change_rows.h"
#include "snapshot/log_part.h"
#include "snapshot/merge.h"
#include "snapshot/plan.h"

/** From so many rows on a thread of its own pays. */
#define AHEAD_ROWS 50000
/** How often files may be replaced between a plan and its opening. */
#define OPEN_TRIES 5
#define PROGRESS_ROWS 4096 /* between two calls */

struct rebuild {
    const struct source *source; /* borrowed */
    struct merge *merge;
    struct ahead *ahead; /* runs the merge; NULL: it runs here */
    uint64_t rows_to_read;
    struct change_rows log_rows;
    int64_t log_ts_max_us;
    _Atomic uint64_t done; /* written by the thread that runs the merge */
    uint64_t total;
    const struct rebuild_progress *progress; /* borrowed, or NULL */

    uint64_t rows;
    struct state_hash have;

    bool check;
    char *check_path; /* owned */
    struct state_hash want;
};

/** An input that reads a file. */
struct file_input {
    struct rebuild *rebuild;
    struct docs_reader *docs;
    struct delta_reader *delta;
    uint64_t row_bytes; /* on average, for progress */
};

static void note_row(struct file_input *f)
{
    uint64_t done = atomic_load_explicit(&f->rebuild->done, memory_order_relaxed);
    atomic_store_explicit(&f->rebuild->done, done + f->row_bytes, memory_order_relaxed);
}

static err_t next_doc(void *arg, struct change *ret)
{
    struct file_input *f = arg;
    struct state_doc doc;
    TRY(docs_next(f->docs, &doc));
    note_row(f);
    *ret = (struct change){.op = CHANGE_INSERT,
                           .lsn = doc.lsn,
                           .ts_us = doc.ts_us,
                           .doc_id = doc.id,
                           .doc = doc.doc,
                           .expect = -1};
    return OK;
}

static err_t next_delta(void *arg, struct change *ret)
{
    struct file_input *f = arg;
    note_row(f);
    return delta_next(f->delta, ret);
}

static void close_file(void *arg)
{
    struct file_input *f = arg;
    docs_close(f->docs);
    delta_close(f->delta);
    free(f);
}

static err_t next_row(void *arg, struct change *ret)
{
    return change_rows_next(arg, ret);
}

static void close_rows(void *arg)
{
    change_rows_release(arg);
}

static err_t add_file(struct rebuild *r, struct store *store, const char *dir,
                      const struct store_file *file, bool base)
{
    struct file_input *f = xcalloc(1, sizeof(*f));
    struct merge_input input = {base ? next_doc : next_delta, close_file, f, base};
    f->rebuild = r;
    f->row_bytes = file->rows > 0 ? file->size / file->rows : 0;
    r->total += f->row_bytes * file->rows;
    r->rows_to_read += file->rows;
    err_t err = base ? docs_open(store, dir, file, NULL, &f->docs)
                     : delta_open(store, dir, file, NULL, &f->delta);
    if (err != OK) {
        free(f);
        return err;
    }
    return merge_add(r->merge, &input);
}

static err_t keep_change(void *arg, const struct change *c)
{
    struct rebuild *r = arg;
    if (!c->skipped && c->ts_us <= r->log_ts_max_us)
        change_rows_add(&r->log_rows, c);
    return OK;
}

static err_t add_log(struct rebuild *r, struct source *s, const struct log_part *part)
{
    TRY(log_part_each(s, part, keep_change, r));
    change_rows_sort(&r->log_rows);
    r->total += r->log_rows.bytes;
    r->done += r->log_rows.bytes;
    const struct merge_input input = {next_row, close_rows, &r->log_rows, false};
    return merge_add(r->merge, &input);
}

/** The recorded hash at the plan's end, where there is one. */
static void choose_check(struct rebuild *r, const struct rebuild_plan *p)
{
    const struct store_file *last = p->delta_count > 0         ? &p->deltas[p->delta_count - 1]
                                    : p->snapshot.path != NULL ? &p->snapshot
                                                               : NULL;
    if (last == NULL || last->lsn_to != p->lsn_to || p->log_from < p->log_to ||
        p->ts_max_us != INT64_MAX)
        return;
    r->check = true;
    r->check_path = xstrdup(last->path);
    r->want = last->state_hash;
}

static err_t open_inputs(struct rebuild *r, struct source *s, const char *namespace_name,
                         struct slice collection, const struct rebuild_plan *p)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(namespace_name, collection);
    if (p->snapshot.path != NULL)
        TRY(add_file(r, source_store(s), dir, &p->snapshot, true));
    for (size_t i = 0; i < p->delta_count; i++)
        TRY(add_file(r, source_store(s), dir, &p->deltas[i], false));
    if (p->log_from < p->log_to) {
        /* Versions before the log's part are in the files, or nothing is before it. */
        const struct log_part part = {namespace_name, collection, p->log_from, p->log_from,
                                      p->log_to};
        TRY(add_log(r, s, &part));
    }
    return OK;
}

static err_t run_merge(void *arg, struct state_doc *ret)
{
    return merge_next(arg, ret);
}

static err_t open_once(struct source *s, const char *namespace_name, struct slice collection,
                       const struct rebuild_plan *p, struct rebuild **ret)
{
    struct rebuild *r = xcalloc(1, sizeof(*r));
    const struct merge_filter filter = {.lsn_from =
                                            p->snapshot.path != NULL ? p->snapshot.lsn_to : 0,
                                        .lsn_to = p->lsn_to,
                                        .ts_max_us = p->ts_max_us};
    r->source = s;
    r->merge = merge_new(&filter);
    r->log_ts_max_us = p->ts_max_us;
    choose_check(r, p);
    err_t err = open_inputs(r, s, namespace_name, collection, p);
    if (err != OK) {
        rebuild_close(r);
        return err;
    }
    if (r->rows_to_read >= AHEAD_ROWS)
        r->ahead = ahead_start(run_merge, r->merge);
    *ret = r;
    return OK;
}

err_t rebuild_open(struct source *s, const char *namespace_name, struct slice collection,
                   const struct rebuild_plan *p, struct rebuild **ret)
{
    CLEANUP(rebuild_plan_free) struct rebuild_plan again = {0};
    err_t err = open_once(s, namespace_name, collection, p, ret);
    for (unsigned i = 0; err == ERR_CORRUPT && i < OPEN_TRIES; i++) {
        /* Damage, or a file that was replaced since the plan was made: only the first keeps its
         * words. */
        CLEANUP(xfree_ptr) char *text = xstrdup(err_text(err));
        struct rebuild_plan next;
        if (plan_again(s, namespace_name, collection, again.lsn_to > 0 ? &again : p, &next) != OK)
            return err_fail(ERR_CORRUPT, "%s", text);
        rebuild_plan_free(&again);
        again = next;
        err = open_once(s, namespace_name, collection, &again, ret);
    }
    return err;
}

static err_t check_end(const struct rebuild *r)
{
    if (r->check && !state_hash_equal(r->want, r->have)) {
        char want[33], have[33];
        state_hash_format(r->want, want);
        state_hash_format(r->have, have);
        return err_fail(
            ERR_CORRUPT,
            "the documents do not have the state hash that was recorded with %s: %s was "
            "recorded, %s is what the files give",
            r->check_path, want, have);
    }
    return ERR_END;
}

static err_t next_merged(struct rebuild *r, struct state_doc *ret)
{
    return r->ahead != NULL ? ahead_next(r->ahead, ret) : merge_next(r->merge, ret);
}

static void show_progress(const struct rebuild *r)
{
    uint64_t done = atomic_load_explicit(&r->done, memory_order_relaxed);
    r->progress->fn(r->progress->arg, MIN(done, r->total), r->total);
}

err_t rebuild_next(struct rebuild *r, struct state_doc *ret)
{
    TRY(source_check_stop(r->source));
    err_t err = next_merged(r, ret);
    if (err == ERR_END)
        return check_end(r);
    TRY(err);
    state_hash_add(&r->have, state_hash_of(ret->id, ret->doc));
    if (++r->rows % PROGRESS_ROWS == 0 && r->progress != NULL)
        show_progress(r);
    return OK;
}

struct state_hash rebuild_hash(const struct rebuild *r, uint64_t *ret_rows)
{
    *ret_rows = r->rows;
    return r->have;
}

void rebuild_watch(struct rebuild *r, const struct rebuild_progress *progress)
{
    r->progress = progress;
}

void rebuild_close(struct rebuild *r)
{
    if (r == NULL)
        return;
    ahead_stop(r->ahead);
    merge_free(r->merge);
    change_rows_release(&r->log_rows);
    free(r->check_path);
    free(r);
}
