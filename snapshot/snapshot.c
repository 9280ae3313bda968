/*
 * snapshot/snapshot.c: making a snapshot. One read transaction of the state sees the documents and
 * the cursor as of one LSN, while writes go on. The file first, then the manifest that names it
 * (J2); an empty manifest before the first file (J4).
 */
#include "snapshot/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"
#include "snapshot/jobs.h"

#define FLUSH_MS 60000

/** By UTC: "2026-02-02", "2026-02", or, on demand and where the day or the month has one already,
 * "2026-02-02T14-30-05Z-1234". */
static char *name_of(const struct snapshot_list *l, enum snapshot_type type, int64_t now_us,
                     int64_t lsn_to)
{
    static const size_t lengths[] = {
        [SNAPSHOT_DAILY] = sizeof("2026-02-02") - 1, [SNAPSHOT_MONTHLY] = sizeof("2026-02") - 1};
    char time[TIMEFMT_MAX];
    timefmt_rfc3339(now_us, time);
    const struct slice day = {time, lengths[type]};
    if (type != SNAPSHOT_MANUAL && snapshot_find(l, day) == NULL)
        return xstrndup(day.data, day.len);
    time[13] = time[16] = '-';
    return xasprintf("%.19sZ-%lld", time, (long long)lsn_to - 1);
}

static struct snapshot copy_of(const struct snapshot *s)
{
    return (struct snapshot){xstrdup(s->name), s->type, store_file_copy(&s->file)};
}

/** The collection as the state's transaction sees it. */
struct view {
    struct state *state;
    struct state_collection collection;
    int64_t lsn_to;
    int64_t made_us; /* nothing that came later is in it */
};

static void view_close(struct view *v)
{
    free(v->collection.name);
    state_close(v->state);
    *v = (struct view){0};
}

static err_t view_open(const struct job *j, struct view *v)
{
    err_t err = source_state(j->source, j->namespace_name, &v->state);
    if (err == ERR_NOT_FOUND)
        return err_fail(ERR_NOT_FOUND,
                        "a snapshot is made from the current state, and there is none of the "
                        "namespace \"%s\": give the data directory of a server that had changes",
                        j->namespace_name);
    TRY(err);
    TRY(state_cursor(v->state, &v->lsn_to));
    v->made_us = clock_wall_us(source_clock(j->source));
    err = state_find_collection(v->state, j->collection, &v->collection);
    if (err == ERR_NOT_FOUND)
        return no_collection(j->namespace_name, j->collection);
    return err;
}

static err_t copy_docs(const struct job *j, const struct view *v, struct docs_writer *w)
{
    struct state_scan *scan;
    struct state_doc doc;
    TRY(state_scan_open(v->state, v->collection.id, &scan));
    err_t err;
    while ((err = state_scan_next(scan, &doc)) == OK) {
        err = source_check_stop(j->source);
        if (err == OK)
            err = docs_writer_add(w, &doc);
        if (err != OK)
            break;
    }
    state_scan_close(scan);
    return err == ERR_END ? OK : err;
}

static err_t write_file(const struct job *j, const struct view *v, const char *relative,
                        struct store_file *ret)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", j->dir, relative);
    struct docs_writer *w;
    struct store_file f;
    TRY(docs_writer_open(j->store, path, &w));
    err_t err = copy_docs(j, v, w);
    if (err != OK) {
        docs_writer_discard(w);
        return err;
    }
    TRY(docs_writer_close(w, &f));
    free(f.path);
    f.path = xstrdup(relative);
    f.lsn_from = 0;
    f.lsn_to = v->lsn_to;
    f.ts_max_us = v->collection.max_ts_us;
    f.made_us = v->made_us;
    *ret = f;
    return OK;
}

/** The documents are those whose hash the state keeps, or the state is damaged. */
static err_t check_hash(const struct job *j, const struct view *v, const struct store_file *f)
{
    if (f->state_count == v->collection.count &&
        state_hash_equal(f->state_hash, v->collection.hash))
        return OK;
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", j->dir, f->path);
    if (store_remove(j->store, path) != OK) { /* an orphan then, removed by the next cleanup */
    }
    return err_fail(
        ERR_CORRUPT,
        "the state of %s/%.*s does not have the hash that it keeps: stop the server and "
        "remove the namespace's file in state/, it is rebuilt from the log",
        j->namespace_name, (int)MIN(j->collection.len, 200), j->collection.data);
}

static err_t create(const struct job *j, enum snapshot_type type, struct snapshot *ret)
{
    CLEANUP(view_close) struct view v = {0};
    CLEANUP(snapshot_list_free) struct snapshot_list list = {0};
    CLEANUP(snapshot_free) struct snapshot s = {.type = type};
    TRY(view_open(j, &v));
    TRY(snapshot_list_read(j->store, j->namespace_name, j->collection, &list));
    s.name = name_of(&list, type, j->now_us, v.lsn_to);
    const struct snapshot *there = snapshot_find(&list, slice_of(s.name));
    if (there != NULL && there->type == type) { /* of the same LSN: it holds the same */
        *ret = copy_of(there);
        return OK;
    }
    if (there != NULL) /* but is not kept as long */
        return err_fail(ERR_EXISTS, "%s/%.*s has the snapshot \"%s\" already", j->namespace_name,
                        (int)MIN(j->collection.len, 200), j->collection.data, s.name);
    CLEANUP(xfree_ptr) char *relative = snapshot_path(s.name);
    if (list.count == 0)
        TRY(snapshot_list_write(j, &list)); /* J4 */
    TRY(write_file(j, &v, relative, &s.file));
    TRY(check_hash(j, &v, &s.file));
    list.items = xrealloc(list.items, (list.count + 1) * sizeof(*list.items));
    list.items[list.count++] = copy_of(&s);
    TRY(snapshot_list_write(j, &list));
    *ret = copy_of(&s);
    return OK;
}

err_t snapshot_create(struct source *src, const char *namespace_name, struct slice collection,
                      enum snapshot_type type, struct snapshot *ret)
{
    if (source_cdc(src) != NULL)
        TRY(cdc_flush(source_cdc(src), namespace_name, true, FLUSH_MS));
    CLEANUP(job_end) struct job j;
    TRY(job_begin(src, namespace_name, collection, &j));
    return create(&j, type, ret);
}
