/*
 * cdc/state_load.c: a state from documents instead of changes, where the log begins too late.
 */
#include "cdc/state_priv.h"

err_t state_load_begin(struct state *s)
{
    ASSERT(!s->reader);
    TRY(cache_load(s));
    TRY(state_run(s, "BEGIN IMMEDIATE"));
    int64_t cursor;
    err_t err = state_cursor(s, &cursor);
    if (err == OK && (cursor != 0 || s->collection_count != 0))
        err = err_fail(ERR_INTERNAL, "the state %s is not empty", s->path);
    if (err != OK)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

static err_t abandon(struct state *s, err_t err)
{
    (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    cache_drop(s);
    return err;
}

static err_t load_doc(struct state *s, struct slice collection, const struct state_doc *doc)
{
    size_t place;
    sqlite3_stmt *stmt;
    TRY(cache_place(s, collection, &place));
    TRY(state_sql(s, SQL_DOC_PUT, &stmt));
    sqlite3_bind_int64(stmt, 1, s->collections[place].row.id);
    sqlite3_bind_blob(stmt, 2, doc->id.data, (int)doc->id.len, SQLITE_STATIC);
    sqlite3_bind_text(stmt, 3, doc->doc.data, (int)doc->doc.len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, doc->lsn);
    sqlite3_bind_int64(stmt, 5, doc->ts_us);
    return state_step_done(s, stmt);
}

err_t state_load_doc(struct state *s, struct slice collection, const struct state_doc *doc)
{
    err_t err = load_doc(s, collection, doc);
    return err == OK ? OK : abandon(s, err);
}

err_t state_load_skipped(struct state *s, int64_t lsn)
{
    err_t err = state_note_skipped(s, lsn);
    return err == OK ? OK : abandon(s, err);
}

static err_t finish(struct state *s, const struct state_collection *collections, size_t count,
                    int64_t cursor)
{
    for (size_t i = 0; i < count; i++) {
        const struct state_collection *c = &collections[i];
        size_t place;
        TRY(cache_place(s, (struct slice){c->name, c->name_len}, &place));
        struct cached_collection *own = &s->collections[place];
        own->row.count = c->count;
        own->row.hash = c->hash;
        own->row.last_lsn = c->last_lsn;
        own->row.max_ts_us = c->max_ts_us;
        own->changed = true;
    }
    TRY(cache_save(s));
    TRY(state_meta_set(s, META_CURSOR, cursor));
    return state_run(s, "COMMIT");
}

err_t state_load_end(struct state *s, const struct state_collection *collections, size_t count,
                     int64_t cursor)
{
    err_t err = finish(s, collections, count, cursor);
    return err == OK ? OK : abandon(s, err);
}
