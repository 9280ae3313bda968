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

/* Two streams --------------------------------------------------------------------------------- */

/** A stream and its document at hand. */
struct side {
    struct rebuild *stream;
    struct state_doc doc;
    bool ended;
};

static err_t side_next(struct side *s)
{
    err_t err = rebuild_next(s->stream, &s->doc);
    s->ended = err == ERR_END;
    return s->ended ? OK : err;
}

/** What is called on the way. */
struct walker {
    void (*on_id)(void *arg, struct slice id); /* each id of either side, before fn; NULL: nobody */
    restore_compare_fn fn;
    void *arg;
};

/** One step: the document with the least id on either side. */
static err_t walk_one(struct side *from, struct side *to, const struct walker *w)
{
    int order = from->ended ? 1 : to->ended ? -1 : slice_compare(from->doc.id, to->doc.id);
    if (w->on_id != NULL)
        w->on_id(w->arg, order <= 0 ? from->doc.id : to->doc.id);
    if (order < 0) {
        TRY(w->fn(w->arg, &from->doc, NULL));
        return side_next(from);
    }
    if (order > 0) {
        TRY(w->fn(w->arg, NULL, &to->doc));
        return side_next(to);
    }
    if (from->doc.lsn != to->doc.lsn && !slice_equal(from->doc.doc, to->doc.doc))
        TRY(w->fn(w->arg, &from->doc, &to->doc));
    TRY(side_next(from));
    return side_next(to);
}

static err_t walk(struct side *from, struct side *to, const struct walker *w)
{
    TRY(side_next(from));
    TRY(side_next(to));
    while (!from->ended || !to->ended)
        TRY(walk_one(from, to, w));
    return OK;
}

static err_t walk_plans(struct source *s, const char *namespace_name, struct slice collection,
                        const struct rebuild_plan *const plans[2], const struct walker *w)
{
    struct side a = {0}, b = {0};
    err_t err = rebuild_open(s, namespace_name, collection, plans[0], &a.stream);
    if (err == OK)
        err = rebuild_open(s, namespace_name, collection, plans[1], &b.stream);
    if (err == OK)
        err = walk(&a, &b, w);
    rebuild_close(a.stream);
    rebuild_close(b.stream);
    return err;
}

err_t restore_compare(struct source *s, const char *namespace_name, struct slice collection,
                      const struct rebuild_plan *from, const struct rebuild_plan *to,
                      restore_compare_fn fn, void *arg)
{
    const struct rebuild_plan *const plans[] = {from, to};
    return walk_plans(s, namespace_name, collection, plans, &(struct walker){.fn = fn, .arg = arg});
}

/* What is to be made of a difference ---------------------------------------------------------- */

struct differ {
    struct source *source;
    const char *namespace_name;
    struct slice collection;
    const struct restore_filter *filter;
    struct id_map undo; /* last applied LSN of each document that the range touched */
    size_t ids_at;      /* the filter's ids before it are found or missing */
    bool named;         /* whether the id at hand is one of them */
    err_t (*fn)(void *arg, const struct compensation *c);
    void *arg;
    struct restore_counts counts;
};

static bool is_undo(const struct restore_filter *f)
{
    return f->undo_from >= 0;
}

static void note_missing(struct differ *d)
{
    uint64_t missing = d->ids_at - d->counts.ids_found;
    if (missing < ARRAY_LEN(d->counts.ids_missing))
        d->counts.ids_missing[missing] = d->filter->ids[d->ids_at];
    d->ids_at++;
}

/** Ids come in rising order. */
static void look_for(void *arg, struct slice id)
{
    struct differ *d = arg;
    const struct restore_filter *f = d->filter;
    int order = 1;
    while (d->ids_at < f->id_count && (order = slice_compare(f->ids[d->ids_at], id)) < 0)
        note_missing(d);
    d->named = d->ids_at < f->id_count && order == 0;
    if (d->named) {
        d->counts.ids_found++;
        d->ids_at++;
    }
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
    if ((d->filter->ids != NULL && !d->named) || !id_is_undone(d, c->id) ||
        !op_is_wanted(d->filter, c->op))
        return OK;
    struct restore_counts *n = &d->counts;
    uint64_t max = d->filter->max_changes;
    if (max > 0 && n->inserts + n->updates + n->deletes == max)
        return err_fail(ERR_VALIDATION,
                        "more than %llu changes would be made, which is the bound given; nothing "
                        "was changed: raise the bound, or narrow the restore",
                        (unsigned long long)max);
    uint64_t *count = c->op == CHANGE_INSERT   ? &n->inserts
                      : c->op == CHANGE_UPDATE ? &n->updates
                                               : &n->deletes;
    ++*count;
    return d->fn != NULL ? d->fn(d->arg, c) : OK;
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
    TRY(changes_each(d->source, d->namespace_name, d->collection, NULL,
                     (struct change_range){f->undo_from, INT64_MAX}, note_change, d, &oldest));
    const struct target before = {.kind = TARGET_LSN, .value = f->undo_from, .exclusive = true};
    return rebuild_plan(d->source, d->namespace_name, d->collection, &before, ret);
}

/* All ----------------------------------------------------------------------------------------- */

/** What makes the wanted document of the current one. */
static err_t compensate(void *arg, const struct state_doc *current, const struct state_doc *wanted)
{
    struct compensation c = {.op = CHANGE_UPDATE};
    if (current == NULL)
        c.op = CHANGE_INSERT;
    else
        c.expect = current->lsn;
    if (wanted == NULL) {
        ASSERT(current != NULL);
        c.op = CHANGE_DELETE;
        c.id = current->id;
    } else {
        c.id = wanted->id;
        c.doc = wanted->doc;
    }
    return emit(arg, &c);
}

/** The end of the current state is fixed before the changes are looked through: who writes after
 * that is not noticed, and keeps what they wrote by `expect`. */
static err_t run(struct differ *d, const struct rebuild_plan *plan)
{
    const struct target latest = {.kind = TARGET_LATEST};
    CLEANUP(rebuild_plan_free) struct rebuild_plan current = {0};
    CLEANUP(rebuild_plan_free) struct rebuild_plan before = {0};
    TRY(rebuild_plan(d->source, d->namespace_name, d->collection, &latest, &current));
    if (is_undo(d->filter))
        TRY(plan_undo(d, &before));
    const struct rebuild_plan *const plans[] = {&current, is_undo(d->filter) ? &before : plan};
    const struct walker walker = {d->filter->ids != NULL ? look_for : NULL, compensate, d};
    TRY(walk_plans(d->source, d->namespace_name, d->collection, plans, &walker));
    if (d->filter->ids == NULL)
        return OK;
    d->counts.ids_given = d->filter->id_count;
    while (d->ids_at < d->filter->id_count)
        note_missing(d);
    return OK;
}

err_t restore_diff(struct source *s, const char *namespace_name, struct slice collection,
                   const struct rebuild_plan *plan, const struct restore_filter *filter,
                   err_t (*fn)(void *arg, const struct compensation *c), void *arg,
                   struct restore_counts *ret)
{
    static const struct restore_filter everything = {.undo_from = -1, .undo_to = -1};
    const struct differ fresh = {.source = s,
                                 .namespace_name = namespace_name,
                                 .collection = collection,
                                 .filter = filter != NULL ? filter : &everything};
    struct differ d = fresh;
    /* Nothing may be changed when the bound does not hold: it is counted before. */
    if (d.filter->max_changes > 0 && fn != NULL) {
        err_t err = run(&d, plan);
        id_map_release(&d.undo);
        TRY(err);
        d = fresh;
    }
    d.fn = fn;
    d.arg = arg;
    err_t err = run(&d, plan);
    id_map_release(&d.undo);
    if (err == OK)
        *ret = d.counts;
    return err;
}
