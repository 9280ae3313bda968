/*
 * cdc/delta.c: the changes of one collection over a range of LSNs, as a Parquet file.
 *
 *     op         STRING   insert, update, delete
 *     pk         STRING   the document's id; bloom filter
 *     ts         TIMESTAMP(micros, UTC), the event's own
 *     data, prev JSON     the bytes as sent; data is null for a delete
 *     bookmark   STRING
 *     lsn        INT64
 *     source     STRING
 *     restore    JSON
 *     skipped    BOOLEAN  its `expect` did not hold: it changed nothing
 *
 * Rows are sorted by (pk, lsn), both ascending, and (pk, lsn) is unique; each lsn lies in the range
 * that the manifest says. A reader checks all of that, so that a file that was not written by this
 * code is refused.
 */
#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"
#include "cdc/order.h"
#include "cdc/pq_file.h"

enum { OP, PK, TS, DATA, PREV, BOOKMARK, LSN, SOURCE, RESTORE, SKIPPED, COLUMNS };

static const struct pq_column columns[COLUMNS] = {
    [OP] = {"op", PQ_BYTE_ARRAY, PQ_STRING, false, PQ_AUTO, false, 1},
    [PK] = {"pk", PQ_BYTE_ARRAY, PQ_STRING, false, PQ_AUTO, true, 2},
    [TS] = {"ts", PQ_INT64, PQ_TIMESTAMP_MICROS, false, PQ_DELTA_BINARY, false, 3},
    [DATA] = {"data", PQ_BYTE_ARRAY, PQ_JSON, true, PQ_AUTO, false, 4},
    [PREV] = {"prev", PQ_BYTE_ARRAY, PQ_JSON, true, PQ_AUTO, false, 5},
    [BOOKMARK] = {"bookmark", PQ_BYTE_ARRAY, PQ_STRING, true, PQ_AUTO, false, 6},
    [LSN] = {"lsn", PQ_INT64, PQ_LOGICAL_NONE, false, PQ_DELTA_BINARY, false, 7},
    [SOURCE] = {"source", PQ_BYTE_ARRAY, PQ_STRING, true, PQ_AUTO, false, 8},
    [RESTORE] = {"restore", PQ_BYTE_ARRAY, PQ_JSON, true, PQ_AUTO, false, 9},
    [SKIPPED] = {"skipped", PQ_BOOLEAN, PQ_LOGICAL_NONE, false, PQ_AUTO, false, 10},
};
static const uint16_t sorting[] = {PK, LSN};
static const struct pq_schema schema = {columns, COLUMNS, sorting, ARRAY_LEN(sorting)};

static const struct {
    enum change_op op;
    struct slice name;
} ops[] = {
    {CHANGE_INSERT, {"insert", 6}},
    {CHANGE_UPDATE, {"update", 6}},
    {CHANGE_DELETE, {"delete", 6}},
};

/* Writing ------------------------------------------------------------------------------------- */

struct delta_writer {
    struct pq_out out;
    char *relative;     /* to the collection's directory */
    struct buf last_pk; /* of the last row */
    int64_t last_lsn;
    bool any;
};

static void writer_free(struct delta_writer *w)
{
    buf_release(&w->last_pk);
    free(w->relative);
    free(w);
}

/** "deltas/000001_2026-02-02T14-30.parquet" */
static char *delta_path(uint64_t number, int64_t now_us)
{
    char time[TIMEFMT_MAX];
    timefmt_rfc3339(now_us, time);
    time[13] = '-';
    time[16] = '\0'; /* to the minute */
    return xasprintf("deltas/%06llu_%s.parquet", (unsigned long long)number, time);
}

err_t delta_writer_open(struct store *s, const char *dir, uint64_t number, int64_t now_us,
                        struct delta_writer **ret)
{
    struct delta_writer *w = xcalloc(1, sizeof(*w));
    w->relative = delta_path(number, now_us);
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", dir, w->relative);
    err_t err = pq_out_open(&w->out, s, path, &schema);
    if (err == OK)
        *ret = w;
    else
        writer_free(w);
    return err;
}

static struct slice op_name(enum change_op op)
{
    size_t i = 0;
    while (ops[i].op != op) {
        i++;
        ASSERT(i < ARRAY_LEN(ops));
    }
    return ops[i].name;
}

static err_t write_row(struct delta_writer *w, const struct change *c)
{
    const struct pq_value row[COLUMNS] = {
        [OP] = pq_text(op_name(c->op)),  [PK] = pq_text(c->doc_id),
        [TS] = pq_number(c->ts_us),      [DATA] = pq_text(c->doc),
        [PREV] = pq_text(c->prev),       [BOOKMARK] = pq_text(c->bookmark),
        [LSN] = pq_number(c->lsn),       [SOURCE] = pq_text(c->source),
        [RESTORE] = pq_text(c->restore), [SKIPPED] = {.boolean = c->skipped},
    };
    return pq_out_row(&w->out, row, c->ts_us);
}

err_t delta_writer_add(struct delta_writer *w, const struct change *c)
{
    int order = w->any ? slice_compare(buf_slice(&w->last_pk), c->doc_id) : -1;
    if (order > 0 || (order == 0 && w->last_lsn >= c->lsn))
        return err_fail(ERR_CORRUPT, "%s: the change at LSN %lld is out of order", w->out.path,
                        (long long)c->lsn);
    TRY(write_row(w, c));
    if (order != 0) {
        buf_clear(&w->last_pk);
        buf_append_slice(&w->last_pk, c->doc_id);
    }
    w->last_lsn = c->lsn;
    w->any = true;
    return OK;
}

err_t delta_writer_close(struct delta_writer *w, struct store_file *ret)
{
    err_t err = pq_out_commit(&w->out, ret);
    if (err == OK) {
        free(ret->path);
        ret->path = TAKE(w->relative);
    }
    writer_free(w);
    return err;
}

void delta_writer_discard(struct delta_writer *w)
{
    if (w == NULL)
        return;
    pq_out_discard(&w->out);
    writer_free(w);
}

/** A change to be sorted: most comparisons need its number alone. */
struct sort_key {
    uint64_t prefix; /* id_prefix */
    const struct change *change;
};

static int by_pk_and_lsn(const void *left, const void *right)
{
    const struct sort_key *a = left, *b = right;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    int order = slice_compare(a->change->doc_id, b->change->doc_id);
    return order != 0 ? order
                      : (a->change->lsn > b->change->lsn) - (a->change->lsn < b->change->lsn);
}

static struct sort_key *sort(const struct change *const *changes, size_t count)
{
    struct sort_key *keys = xcalloc(count, sizeof(*keys));
    struct slice first = changes[0]->doc_id;
    size_t common = first.len;
    for (size_t i = 1; i < count; i++)
        common = id_common(first, changes[i]->doc_id, common);
    for (size_t i = 0; i < count; i++)
        keys[i] = (struct sort_key){id_prefix(changes[i]->doc_id, common), changes[i]};
    qsort(keys, count, sizeof(*keys), by_pk_and_lsn);
    return keys;
}

err_t delta_write(struct store *s, const char *dir, uint64_t number, int64_t now_us,
                  const struct change *const *changes, size_t count, struct store_file *ret)
{
    struct delta_writer *w;
    ASSERT(count > 0);
    TRY(delta_writer_open(s, dir, number, now_us, &w));
    CLEANUP(xfree_ptr) struct sort_key *keys = sort(changes, count);
    for (size_t i = 0; i < count; i++) {
        err_t err = delta_writer_add(w, keys[i].change);
        if (err != OK) {
            delta_writer_discard(w);
            return err;
        }
    }
    return delta_writer_close(w, ret);
}

/* Reading ------------------------------------------------------------------------------------- */

struct delta_reader {
    struct pq_in in;
    bool one; /* only the document `pk` */
    struct buf pk;
    struct buf last_pk;
    int64_t last_lsn;
};

static void reader_free(struct delta_reader *r)
{
    buf_release(&r->pk);
    buf_release(&r->last_pk);
    free(r);
}

err_t delta_open(struct store *s, const char *dir, const struct store_file *file,
                 const struct slice *pk, struct delta_reader **ret)
{
    struct delta_reader *r = xcalloc(1, sizeof(*r));
    if (pk != NULL) {
        r->one = true;
        buf_append_slice(&r->pk, *pk);
    }
    const struct pq_in_options options = {
        .store = s,
        .dir = dir,
        .file = file,
        .schema = &schema,
        .key = pk,
        .key_column = PK,
    };
    err_t err = pq_in_open(&r->in, &options);
    if (err == OK)
        *ret = r;
    else
        reader_free(r);
    return err;
}

static bool parse_op(struct slice name, enum change_op *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (slice_equal(name, ops[i].name)) {
            *ret = ops[i].op;
            return true;
        }
    }
    return false;
}

static err_t parse_row(struct delta_reader *r, const struct pq_value *row, struct change *c)
{
    const struct store_file *f = &r->in.file;
    *c = (struct change){
        .lsn = row[LSN].i64,
        .ts_us = row[TS].i64,
        .doc_id = pq_slice(&row[PK]),
        .doc = pq_slice(&row[DATA]),
        .prev = pq_slice(&row[PREV]),
        .bookmark = pq_slice(&row[BOOKMARK]),
        .source = pq_slice(&row[SOURCE]),
        .restore = pq_slice(&row[RESTORE]),
        .expect = -1,
        .skipped = row[SKIPPED].boolean,
    };
    if (!parse_op(pq_slice(&row[OP]), &c->op))
        return pq_in_corrupt(&r->in, "the change at LSN %lld has an unknown op", (long long)c->lsn);
    if ((c->op == CHANGE_DELETE) != (c->doc.data == NULL))
        return pq_in_corrupt(&r->in, "the change at LSN %lld %s a document", (long long)c->lsn,
                             c->op == CHANGE_DELETE ? "deletes and has" : "lacks");
    if (c->lsn < f->lsn_from || c->lsn >= f->lsn_to || c->ts_us < f->ts_min_us ||
        c->ts_us > f->ts_max_us)
        return pq_in_corrupt(&r->in,
                             "the change at LSN %lld lies outside of what its manifest says",
                             (long long)c->lsn);
    return OK;
}

/** (pk, lsn) rises strictly. */
static err_t check_order(struct delta_reader *r, const struct change *c)
{
    if (r->in.rows_read > 1) {
        int order = slice_compare(buf_slice(&r->last_pk), c->doc_id);
        if (order > 0 || (order == 0 && r->last_lsn >= c->lsn))
            return pq_in_corrupt(&r->in, "the change at LSN %lld is out of order",
                                 (long long)c->lsn);
        if (order == 0) {
            r->last_lsn = c->lsn;
            return OK;
        }
    }
    buf_clear(&r->last_pk);
    buf_append_slice(&r->last_pk, c->doc_id);
    r->last_lsn = c->lsn;
    return OK;
}

err_t delta_next(struct delta_reader *r, struct change *ret)
{
    for (;;) {
        struct pq_value row[COLUMNS];
        struct change c;
        TRY(pq_in_next(&r->in, row));
        TRY(parse_row(r, row, &c));
        TRY(check_order(r, &c));
        int order = r->one ? slice_compare(c.doc_id, buf_slice(&r->pk)) : 0;
        if (order == 0) {
            *ret = c;
            return OK;
        }
        if (order > 0)
            return ERR_END; /* sorted: nothing of the document follows */
    }
}

void delta_close(struct delta_reader *r)
{
    if (r == NULL)
        return;
    pq_in_close(&r->in);
    reader_free(r);
}
