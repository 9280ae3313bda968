/*
 * cdc/docs_file.c: the documents of a collection as of one LSN, as a Parquet file: snapshots and
 * the compacted data.
 *
 *     id   STRING  bloom filter
 *     doc  JSON    the bytes as sent
 *     lsn  INT64   of the change that made this version
 *     ts   TIMESTAMP(micros, UTC) of that change
 *
 * Rows are sorted by id, which is unique. The state hash and the count that the manifest records
 * are those of the rows: a reader of all rows checks them at the end.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/pq_file.h"
#include "cdc/state.h"

enum { ID, DOC, LSN, TS, COLUMNS };

static const struct pq_column columns[COLUMNS] = {
    [ID] = {"id", PQ_BYTE_ARRAY, PQ_STRING, false, PQ_AUTO, true, 1},
    [DOC] = {"doc", PQ_BYTE_ARRAY, PQ_JSON, false, PQ_AUTO, false, 2},
    [LSN] = {"lsn", PQ_INT64, PQ_LOGICAL_NONE, false, PQ_DELTA_BINARY, false, 3},
    [TS] = {"ts", PQ_INT64, PQ_TIMESTAMP_MICROS, false, PQ_DELTA_BINARY, false, 4},
};
static const uint16_t sorting[] = {ID};
static const struct pq_schema schema = {columns, COLUMNS, sorting, ARRAY_LEN(sorting)};

/* Writing ------------------------------------------------------------------------------------- */

struct docs_writer {
    struct pq_out out;
    char *path; /* as given */
    struct buf last_id;
    uint64_t count;
    struct state_hash hash;
};

static void writer_free(struct docs_writer *w)
{
    buf_release(&w->last_id);
    free(w->path);
    free(w);
}

err_t docs_writer_open(struct store *s, const char *path, struct docs_writer **ret)
{
    struct docs_writer *w = xcalloc(1, sizeof(*w));
    w->path = xstrdup(path);
    err_t err = pq_out_open(&w->out, s, path, &schema);
    if (err == OK)
        *ret = w;
    else
        writer_free(w);
    return err;
}

err_t docs_writer_add(struct docs_writer *w, const struct state_doc *doc)
{
    if (w->count > 0 && slice_compare(buf_slice(&w->last_id), doc->id) >= 0)
        return err_fail(ERR_CORRUPT, "%s: the documents to be written are not in the order of ids",
                        w->path);
    const struct pq_value row[COLUMNS] = {
        [ID] = pq_text(doc->id),
        [DOC] = pq_text(doc->doc),
        [LSN] = pq_number(doc->lsn),
        [TS] = pq_number(doc->ts_us),
    };
    TRY(pq_out_row(&w->out, row, doc->ts_us));
    buf_clear(&w->last_id);
    buf_append_slice(&w->last_id, doc->id);
    state_hash_add(&w->hash, state_hash_of(doc->id, doc->doc));
    w->count++;
    return OK;
}

err_t docs_writer_close(struct docs_writer *w, struct store_file *ret)
{
    err_t err = pq_out_commit(&w->out, ret);
    if (err == OK) {
        free(ret->path);
        ret->path = TAKE(w->path);
        ret->state_hash = w->hash;
        ret->state_count = w->count;
    }
    writer_free(w);
    return err;
}

void docs_writer_discard(struct docs_writer *w)
{
    if (w == NULL)
        return;
    pq_out_discard(&w->out);
    writer_free(w);
}

/* Reading ------------------------------------------------------------------------------------- */

struct docs_reader {
    struct pq_in in;
    bool one; /* only the document `id` */
    struct buf id;
    struct buf last_id;
    struct state_hash hash;
};

static void reader_free(struct docs_reader *r)
{
    buf_release(&r->id);
    buf_release(&r->last_id);
    free(r);
}

err_t docs_open(struct store *s, const char *dir, const struct store_file *file,
                const struct slice *id, struct docs_reader **ret)
{
    struct docs_reader *r = xcalloc(1, sizeof(*r));
    if (id != NULL) {
        r->one = true;
        buf_append_slice(&r->id, *id);
    }
    const struct pq_in_options options = {
        .store = s,
        .dir = dir,
        .file = file,
        .schema = &schema,
        .key = id,
        .key_column = ID,
    };
    err_t err = pq_in_open(&r->in, &options);
    if (err == OK)
        *ret = r;
    else
        reader_free(r);
    return err;
}

static err_t next_doc(struct docs_reader *r, struct state_doc *ret)
{
    struct pq_value row[COLUMNS];
    TRY(pq_in_next(&r->in, row));
    struct state_doc doc = {pq_slice(&row[ID]), pq_slice(&row[DOC]), row[LSN].i64, row[TS].i64};
    if (r->in.rows_read > 1 && slice_compare(buf_slice(&r->last_id), doc.id) >= 0)
        return pq_in_corrupt(&r->in, "its documents are not in the order of ids");
    if (doc.lsn < 0 || doc.lsn >= r->in.file.lsn_to)
        return pq_in_corrupt(&r->in, "a document has LSN %lld, beyond what its manifest says",
                             (long long)doc.lsn);
    buf_clear(&r->last_id);
    buf_append_slice(&r->last_id, doc.id);
    *ret = doc;
    return OK;
}

/** At the end of all rows they are the documents that the manifest's writer meant. */
static err_t check_state(const struct docs_reader *r)
{
    const struct store_file *f = &r->in.file;
    if (r->in.rows_read == f->state_count && memcmp(&r->hash, &f->state_hash, sizeof(r->hash)) == 0)
        return ERR_END;
    return pq_in_corrupt(&r->in, "its documents do not have the state hash that its manifest says");
}

err_t docs_next(struct docs_reader *r, struct state_doc *ret)
{
    for (;;) {
        struct state_doc doc;
        err_t err = next_doc(r, &doc);
        if (err == ERR_END && !r->one)
            return check_state(r);
        TRY(err);
        int order = r->one ? slice_compare(doc.id, buf_slice(&r->id)) : 0;
        if (!r->one)
            state_hash_add(&r->hash, state_hash_of(doc.id, doc.doc));
        if (order == 0) {
            *ret = doc;
            return OK;
        }
        if (order > 0)
            return ERR_END; /* sorted: it is not there */
    }
}

void docs_close(struct docs_reader *r)
{
    if (r == NULL)
        return;
    pq_in_close(&r->in);
    reader_free(r);
}
