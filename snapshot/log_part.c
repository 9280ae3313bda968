#include "snapshot/log_part.h"

#include <stdlib.h>

#include "base/limits.h"
#include "snapshot/id_map.h"

#define ABSENT (-1) /* instead of a version's LSN */

/* Reading ------------------------------------------------------------------------------------- */

struct part_reader {
    const struct log_part *part;
    struct arena arena;
    log_part_fn fn;
    void *arg;
};

static err_t offer_batch(struct part_reader *r, const uint8_t *batch, const struct batch_header *h)
{
    struct change_reader changes;
    struct change c;
    const char *malformed;
    struct slice wanted = r->part->collection;
    err_t err = OK;
    change_reader_open(&changes, batch, h, r->part->from);
    while (err == OK && change_reader_next(&changes, &r->arena, &c, &malformed)) {
        if (c.lsn >= r->part->to)
            err = ERR_END;
        else if (malformed == NULL && (wanted.data == NULL || slice_equal(c.collection, wanted)))
            err = r->fn(r->arg, &c);
        arena_reset(&r->arena);
    }
    change_reader_close(&changes);
    return err;
}

static err_t offer_batches(struct part_reader *r, struct batch_reader *batches)
{
    const uint8_t *batch;
    struct batch_header h;
    for (;;) {
        err_t err = batch_reader_next(batches, &batch, &h);
        if (err != OK)
            return err;
        if (h.base_offset >= r->part->to)
            return ERR_END;
        TRY(offer_batch(r, batch, &h));
    }
}

err_t log_part_each_raw(struct source *s, const struct log_part *part, log_part_fn fn, void *arg)
{
    if (part->from >= part->to)
        return OK;
    struct part_reader r = {.part = part, .fn = fn, .arg = arg};
    struct batch_reader batches;
    err_t err = batch_reader_open(s, part->namespace_name, part->from, &batches);
    if (err == OK) {
        err = offer_batches(&r, &batches);
        batch_reader_close(&batches);
    }
    arena_release(&r.arena);
    return err == ERR_END ? OK : err;
}

/* Deciding ------------------------------------------------------------------------------------ */

struct decider {
    struct source *source;
    const struct log_part *part;
    struct state *state;    /* NULL: none, or it has not come as far as it must */
    int64_t cursor;         /* the state's; INT64_MIN without one */
    int64_t collection;     /* its number there; -1: the state has none of this name */
    struct id_map versions; /* LSN of the document's version after what was decided here */
    struct id_map before; /* without a state: versions as of part->base, of ids that are expected */
    bool before_loaded;
    struct arena arena;
    log_part_fn fn;
    void *arg;
};

static void decider_release(struct decider *d)
{
    state_close(d->state);
    id_map_release(&d->versions);
    id_map_release(&d->before);
    arena_release(&d->arena);
}

static err_t open_state(struct decider *d)
{
    err_t err = source_state(d->source, d->part->namespace_name, &d->state);
    d->cursor = INT64_MIN;
    if (err == ERR_NOT_FOUND || err == ERR_CORRUPT)
        return OK; /* decided without it */
    TRY(err);
    TRY(state_cursor(d->state, &d->cursor));
    if (d->cursor < d->part->from) {
        state_close(TAKE(d->state));
        d->cursor = INT64_MIN;
        return OK;
    }
    struct state_collection found;
    d->collection = -1;
    err = state_find_collection(d->state, d->part->collection, &found);
    if (err == ERR_NOT_FOUND)
        return OK;
    TRY(err);
    d->collection = found.id;
    free(found.name);
    return OK;
}

static err_t note_expected(void *arg, const struct change *c)
{
    struct decider *d = arg;
    if (c->expect >= 0)
        id_map_put(&d->before, c->doc_id)->lsn = ABSENT;
    return OK;
}

/** One pass over the log's part for the ids, one over the files for their versions. */
static err_t load_before(struct decider *d)
{
    struct log_part all = *d->part;
    all.from = all.base;
    d->before_loaded = true;
    TRY(log_part_each_raw(d->source, &all, note_expected, d));
    if (d->part->base == 0)
        return OK;
    struct target at_base = {.kind = TARGET_LSN, .value = d->part->base, .exclusive = true};
    struct rebuild_plan plan;
    struct rebuild *r = NULL;
    struct state_doc doc;
    err_t err =
        rebuild_plan(d->source, d->part->namespace_name, d->part->collection, &at_base, &plan);
    if (err != OK)
        return err == ERR_NOT_FOUND ? OK : err; /* nothing before */
    err = rebuild_open(d->source, d->part->namespace_name, d->part->collection, &plan, &r);
    while (err == OK && (err = rebuild_next(r, &doc)) == OK) {
        struct id_entry *e = id_map_find(&d->before, doc.id);
        if (e != NULL)
            e->lsn = doc.lsn;
    }
    rebuild_close(r);
    rebuild_plan_free(&plan);
    return err == ERR_END ? OK : err;
}

/** The document's version, or ABSENT, before everything that was decided here. */
static err_t version_before(struct decider *d, struct slice id, int64_t *ret_lsn)
{
    *ret_lsn = ABSENT;
    if (d->state != NULL) {
        struct state_doc doc;
        if (d->collection < 0)
            return OK;
        arena_reset(&d->arena);
        err_t err = state_get(d->state, d->collection, id, &d->arena, &doc);
        if (err == OK)
            *ret_lsn = doc.lsn;
        return err == ERR_NOT_FOUND ? OK : err;
    }
    if (!d->before_loaded)
        TRY(load_before(d));
    const struct id_entry *e = id_map_find(&d->before, id);
    if (e != NULL)
        *ret_lsn = e->lsn;
    return OK;
}

static err_t decide(struct decider *d, struct change *c)
{
    if (c->lsn < d->cursor)
        return c->expect >= 0 ? state_was_skipped(d->state, c->lsn, &c->skipped) : OK;
    if (c->expect >= 0) {
        const struct id_entry *e = id_map_find(&d->versions, c->doc_id);
        int64_t version;
        if (e != NULL)
            version = e->lsn;
        else
            TRY(version_before(d, c->doc_id, &version));
        c->skipped = !change_expect_holds(c, version != ABSENT, version);
    }
    if (!c->skipped)
        id_map_put(&d->versions, c->doc_id)->lsn = c->op == CHANGE_DELETE ? ABSENT : c->lsn;
    return OK;
}

static err_t decide_and_pass(void *arg, const struct change *raw)
{
    struct decider *d = arg;
    struct change c = *raw;
    c.skipped = false;
    TRY(decide(d, &c));
    return c.lsn < d->part->from ? OK : d->fn(d->arg, &c);
}

err_t log_part_each(struct source *s, const struct log_part *part, log_part_fn fn, void *arg)
{
    if (part->from >= part->to)
        return OK;
    CLEANUP(decider_release)
    struct decider d = {.source = s, .part = part, .fn = fn, .arg = arg};
    TRY(open_state(&d));
    struct log_part read = *part;
    if (d.state == NULL)
        read.from = part->base;
    return log_part_each_raw(s, &read, decide_and_pass, &d);
}
