/*
 * snapshot/diff.c: what turns the current state into the wanted one: two streams in the order of
 * ids, walked together. The current state is read from the same sources as any other, up to the
 * log's end.
 *
 * Undo (filter.undo_from, undo_to): wanted is what was before undo_from, for those documents only
 * whose last applied change lies in the range: who wrote later keeps what they wrote.
 */
#include <string.h>

#include "snapshot/id_map.h"
#include "snapshot/merge.h"
#include "snapshot/restore.h"

/** A stream and its document at hand. */
struct side {
    struct rebuild_plan plan;
    struct rebuild *stream;
    struct state_doc doc;
    bool ended;
};

struct differ {
    struct source *source;
    const char *namespace_name;
    struct slice collection;
    const struct restore_filter *filter;
    struct side wanted, current;
    struct id_map undo; /* last applied LSN of each document that the range touched */
    size_t ids_at;
    err_t (*fn)(void *arg, const struct compensation *c);
    void *arg;
    uint64_t max_changes;
    struct restore_counts counts;
};

static void side_close(struct side *s)
{
    rebuild_close(s->stream);
    rebuild_plan_free(&s->plan);
}

static void differ_release(struct differ *d)
{
    side_close(&d->wanted);
    side_close(&d->current);
    id_map_release(&d->undo);
}

static err_t side_next(struct side *s)
{
    err_t err = rebuild_next(s->stream, &s->doc);
    s->ended = err == ERR_END;
    return s->ended ? OK : err;
}

static err_t side_open(struct differ *d, struct side *s, const struct rebuild_plan *plan)
{
    TRY(rebuild_open(d->source, d->namespace_name, d->collection, plan, &s->stream));
    return side_next(s);
}

static bool is_undo(const struct restore_filter *f)
{
    return f->undo_from >= 0;
}

/** Whether the id was named; ids come in rising order. */
static bool id_is_named(struct differ *d, struct slice id)
{
    const struct restore_filter *f = d->filter;
    if (f->ids == NULL)
        return true;
    while (d->ids_at < f->id_count) {
        int order = id_compare(slice_of(f->ids[d->ids_at]), id);
        if (order >= 0)
            return order == 0;
        d->ids_at++;
    }
    return false;
}

static bool id_is_undone(const struct differ *d, struct slice id)
{
    if (!is_undo(d->filter))
        return true;
    const struct id_entry *e = id_map_find(&d->undo, id);
    return e != NULL && e->lsn <= d->filter->undo_to;
}

/** `only_deletes` goes back on deletes, so what it lets through are insertions, and the reverse. */
static bool op_is_wanted(const struct restore_filter *f, enum change_op op)
{
    if (!f->only_deletes && !f->only_updates && !f->only_inserts)
        return true;
    return (op == CHANGE_INSERT && f->only_deletes) || (op == CHANGE_UPDATE && f->only_updates) ||
           (op == CHANGE_DELETE && f->only_inserts);
}

static err_t emit(struct differ *d, const struct compensation *c)
{
    if (!id_is_named(d, c->id) || !id_is_undone(d, c->id) || !op_is_wanted(d->filter, c->op))
        return OK;
    struct restore_counts *n = &d->counts;
    if (d->max_changes > 0 && n->inserts + n->updates + n->deletes == d->max_changes)
        return err_fail(ERR_VALIDATION,
                        "more than %llu changes would be made, which is the bound given; nothing "
                        "was changed: raise the bound, or narrow the restore",
                        (unsigned long long)d->max_changes);
    uint64_t *count = c->op == CHANGE_INSERT   ? &n->inserts
                      : c->op == CHANGE_UPDATE ? &n->updates
                                               : &n->deletes;
    ++*count;
    return d->fn != NULL ? d->fn(d->arg, c) : OK;
}

static err_t compare_pair(struct differ *d)
{
    const struct state_doc *want = &d->wanted.doc, *have = &d->current.doc;
    if (want->lsn == have->lsn || slice_equal(want->doc, have->doc))
        return OK;
    const struct compensation c = {
        .op = CHANGE_UPDATE, .id = want->id, .doc = want->doc, .expect = have->lsn};
    return emit(d, &c);
}

/** One step: the document with the least id on either side. */
static err_t walk_one(struct differ *d)
{
    int order = d->wanted.ended    ? 1
                : d->current.ended ? -1
                                   : id_compare(d->wanted.doc.id, d->current.doc.id);
    if (order < 0) {
        const struct compensation c = {
            .op = CHANGE_INSERT, .id = d->wanted.doc.id, .doc = d->wanted.doc.doc, .expect = 0};
        TRY(emit(d, &c));
        return side_next(&d->wanted);
    }
    if (order > 0) {
        const struct compensation c = {
            .op = CHANGE_DELETE, .id = d->current.doc.id, .expect = d->current.doc.lsn};
        TRY(emit(d, &c));
        return side_next(&d->current);
    }
    TRY(compare_pair(d));
    TRY(side_next(&d->wanted));
    return side_next(&d->current);
}

/* Undo ---------------------------------------------------------------------------------------- */

/** From undo_from on: a document gets in when the range touches it; later changes raise its LSN. */
static bool note_change(void *arg, const struct change *c)
{
    struct differ *d = arg;
    if (c->skipped)
        return true;
    if (c->lsn <= d->filter->undo_to) {
        id_map_put(&d->undo, c->doc_id)->lsn = c->lsn;
        return true;
    }
    struct id_entry *e = id_map_find(&d->undo, c->doc_id);
    if (e != NULL)
        e->lsn = c->lsn;
    return true;
}

static err_t plan_undo(struct differ *d, struct rebuild_plan *ret)
{
    const struct restore_filter *f = d->filter;
    int64_t oldest;
    if (f->undo_to < f->undo_from)
        return err_fail(ERR_VALIDATION, "undo %lld..%lld: the first LSN is greater than the last",
                        (long long)f->undo_from, (long long)f->undo_to);
    const struct target last = {.kind = TARGET_LSN, .value = f->undo_to};
    struct rebuild_plan to_last;
    TRY(rebuild_plan(d->source, d->namespace_name, d->collection, &last, &to_last));
    rebuild_plan_free(&to_last);
    TRY(changes_each(d->source, d->namespace_name, d->collection, NULL, f->undo_from, INT64_MAX,
                     note_change, d, &oldest));
    const struct target before = {.kind = TARGET_LSN, .value = f->undo_from, .exclusive = true};
    return rebuild_plan(d->source, d->namespace_name, d->collection, &before, ret);
}

/* All ----------------------------------------------------------------------------------------- */

static err_t walk(struct differ *d, const struct rebuild_plan *plan)
{
    const struct target latest = {.kind = TARGET_LATEST};
    if (is_undo(d->filter)) {
        TRY(plan_undo(d, &d->wanted.plan));
        plan = &d->wanted.plan;
    }
    TRY(rebuild_plan(d->source, d->namespace_name, d->collection, &latest, &d->current.plan));
    TRY(side_open(d, &d->wanted, plan));
    TRY(side_open(d, &d->current, &d->current.plan));
    while (!d->wanted.ended || !d->current.ended)
        TRY(walk_one(d));
    return OK;
}

static err_t run(const struct differ *template, const struct rebuild_plan *plan,
                 struct restore_counts *ret)
{
    CLEANUP(differ_release) struct differ d = *template;
    TRY(walk(&d, plan));
    *ret = d.counts;
    return OK;
}

err_t restore_diff(struct source *s, const char *namespace_name, struct slice collection,
                   const struct rebuild_plan *plan, const struct restore_filter *filter,
                   err_t (*fn)(void *arg, const struct compensation *c), void *arg,
                   struct restore_counts *ret)
{
    static const struct restore_filter everything = {.undo_from = -1, .undo_to = -1};
    struct differ d = {.source = s,
                       .namespace_name = namespace_name,
                       .collection = collection,
                       .filter = filter != NULL ? filter : &everything};
    struct restore_counts counts;
    d.max_changes = d.filter->max_changes;
    /* Nothing may be changed when the bound does not hold: it is counted before. */
    if (d.max_changes > 0 && fn != NULL)
        TRY(run(&d, plan, &counts));
    d.fn = fn;
    d.arg = arg;
    return run(&d, plan, ret);
}
