/*
 * snapshot/changes.c: the changes of a collection, or of one document, in LSN order: from the
 * deltas, which follow each other in LSN order but are sorted by document inside, then from the
 * log. Memory: one delta's changes of what was asked for.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot/change_rows.h"
#include "snapshot/log_part.h"
#include "snapshot/plan.h"

struct lister {
    struct source *source;
    const char *namespace_name;
    struct slice collection;
    const struct slice *doc_id; /* NULL: all */
    int64_t from, to;
    bool (*fn)(void *arg, const struct change *c);
    void *arg;
    bool stopped;
    char reading[33]; /* hash of the delta at hand */
};

static bool is_wanted(const struct lister *l, const struct change *c)
{
    return c->lsn >= l->from && c->lsn < l->to &&
           (l->doc_id == NULL || slice_equal(c->doc_id, *l->doc_id));
}

static err_t collect(struct lister *l, const char *dir, const struct store_file *file,
                     struct change_rows *rows)
{
    struct delta_reader *reader;
    struct change c;
    err_t err;
    TRY(delta_open(source_store(l->source), dir, file, l->doc_id, &reader));
    while ((err = delta_next(reader, &c)) == OK)
        if (is_wanted(l, &c))
            change_rows_add(rows, &c);
    delta_close(reader);
    return err == ERR_END ? OK : err;
}

static err_t list_delta(struct lister *l, const char *dir, const struct store_file *file)
{
    CLEANUP(change_rows_release) struct change_rows rows = {.whole = true};
    struct change c;
    TRY(collect(l, dir, file, &rows));
    change_rows_sort_by_lsn(&rows);
    while (!l->stopped && change_rows_next(&rows, &c) == OK) {
        c.collection = l->collection;
        l->stopped = !l->fn(l->arg, &c);
    }
    return OK;
}

static err_t list_deltas(struct lister *l, const struct collection_manifest *m)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(l->namespace_name, l->collection);
    for (size_t i = 0; i < m->delta_count && !l->stopped; i++) {
        const struct store_file *d = &m->deltas[i];
        if (d->rows > 0 && d->lsn_to > l->from && d->lsn_from < l->to) {
            snprintf(l->reading, sizeof(l->reading), "%s", d->hash);
            TRY(list_delta(l, dir, d));
        }
        l->from = MAX(l->from, d->lsn_to); /* all below is listed */
    }
    return OK;
}

/** Whether the delta that could not be read is still the one that counts: then it is damaged, else
 * compaction has replaced it meanwhile. */
static bool is_still_named(const struct lister *l, const struct extent *e)
{
    for (size_t i = 0; e->has_manifest && i < e->manifest.delta_count; i++)
        if (strcmp(e->manifest.deltas[i].hash, l->reading) == 0)
            return true;
    return !e->has_manifest;
}

static err_t list_change(void *arg, const struct change *c)
{
    struct lister *l = arg;
    if (is_wanted(l, c))
        l->stopped = !l->fn(l->arg, c);
    return l->stopped ? ERR_END : OK;
}

static err_t list_log(struct lister *l, const struct extent *e)
{
    const struct log_part part = {l->namespace_name, l->collection, e->store_end,
                                  MAX(e->store_end, l->from), MIN(e->end, l->to)};
    if (l->stopped || !e->has_log || part.from >= part.to)
        return OK;
    if (e->log_start > part.base)
        return changes_missing(part.base, e->log_start);
    return log_part_each(l->source, &part, list_change, l);
}

static err_t list_extent(struct lister *l, const struct extent *e, int64_t *ret_oldest)
{
    int64_t oldest = e->store_end == 0 && e->has_log ? e->log_start : e->chain_from;
    TRY(plan_check_collection(l->source, l->namespace_name, l->collection, e));
    if (l->from > e->end)
        return err_fail(ERR_VALIDATION, "LSN %lld is beyond the end: the next change is LSN %lld",
                        (long long)l->from, (long long)e->end);
    if (l->from < oldest) {
        *ret_oldest = oldest;
        return err_fail(ERR_OFFSET_OUT_OF_RANGE,
                        "the changes below LSN %lld are gone; the oldest that is kept is %lld",
                        (long long)oldest, (long long)oldest);
    }
    if (e->has_manifest)
        TRY(list_deltas(l, &e->manifest));
    return list_log(l, e);
}

err_t changes_each(struct source *s, const char *namespace_name, struct slice collection,
                   const struct slice *doc_id, struct change_range range,
                   bool (*fn)(void *arg, const struct change *c), void *arg, int64_t *ret_oldest)
{
    struct lister l = {.source = s,
                       .namespace_name = namespace_name,
                       .collection = collection,
                       .doc_id = doc_id,
                       .from = range.from,
                       .to = range.to,
                       .fn = fn,
                       .arg = arg};
    CLEANUP(xfree_ptr) char *text = NULL;
    for (;;) {
        CLEANUP(extent_release) struct extent e = {0};
        TRY(extent_read(s, namespace_name, collection, &e));
        if (text != NULL && is_still_named(&l, &e))
            return err_fail(ERR_CORRUPT, "%s", text);
        err_t err = list_extent(&l, &e, ret_oldest);
        if (err != ERR_CORRUPT || l.reading[0] == '\0')
            return err;
        free(text);
        text = xstrdup(err_text(err));
    }
}
