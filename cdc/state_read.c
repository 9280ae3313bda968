/*
 * cdc/state_read.c: what the state says: collections, documents, bookmarks, dead letters.
 */
#include <stdlib.h>
#include <string.h>

#include "cdc/state_priv.h"

err_t state_was_skipped(struct state *s, int64_t lsn, bool *ret)
{
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_SKIPPED_GET, &stmt));
    sqlite3_bind_int64(stmt, 1, lsn);
    err_t err = state_step_row(s, stmt);
    if (err != OK && err != ERR_NOT_FOUND)
        return err;
    sqlite3_reset(stmt);
    *ret = err == OK;
    return OK;
}

err_t state_each_dead_letter(struct state *s,
                             bool (*fn)(void *arg, unsigned shard, int64_t lsn, const char *reason),
                             void *arg)
{
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_DEAD_LETTERS, &stmt));
    err_t err;
    while ((err = state_step_row(s, stmt)) == OK) {
        const char *reason = (const char *)sqlite3_column_text(stmt, 2);
        if (!fn(arg, (unsigned)sqlite3_column_int(stmt, 0), sqlite3_column_int64(stmt, 1),
                reason == NULL ? "" : reason))
            break;
    }
    sqlite3_reset(stmt);
    return err == ERR_NOT_FOUND ? OK : err;
}

/* Collections --------------------------------------------------------------------------------- */

err_t state_find_collection(struct state *s, struct slice name, struct state_collection *ret)
{
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_COLLECTION_FIND, &stmt));
    sqlite3_bind_text(stmt, 1, name.data, (int)name.len, SQLITE_TRANSIENT);
    err_t err = state_step_row(s, stmt);
    if (err == ERR_NOT_FOUND)
        return err_fail(ERR_NOT_FOUND, "there is no collection \"%.*s\"", (int)MIN(name.len, 256),
                        name.data);
    TRY(err);
    err = state_read_collection(s, stmt, ret);
    sqlite3_reset(stmt);
    return err;
}

err_t state_each_collection(struct state *s,
                            bool (*fn)(void *arg, const struct state_collection *c), void *arg)
{
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_COLLECTIONS, &stmt));
    err_t err;
    bool more = true;
    while (more && (err = state_step_row(s, stmt)) == OK) {
        struct state_collection c;
        err = state_read_collection(s, stmt, &c);
        if (err != OK)
            break;
        more = fn(arg, &c);
        free(c.name);
    }
    sqlite3_reset(stmt);
    return err == ERR_NOT_FOUND ? OK : err;
}

err_t state_bookmark(struct state *s, int64_t collection, struct slice bookmark, int64_t *ret_lsn)
{
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_BOOKMARK_GET, &stmt));
    sqlite3_bind_int64(stmt, 1, collection);
    sqlite3_bind_text(stmt, 2, bookmark.data, (int)bookmark.len, SQLITE_TRANSIENT);
    err_t err = state_step_row(s, stmt);
    if (err == ERR_NOT_FOUND)
        return err_fail(ERR_NOT_FOUND, "there is no bookmark \"%.*s\"", (int)MIN(bookmark.len, 256),
                        bookmark.data);
    TRY(err);
    *ret_lsn = sqlite3_column_int64(stmt, 0);
    sqlite3_reset(stmt);
    return OK;
}

/* Documents ----------------------------------------------------------------------------------- */

static struct slice column_bytes(sqlite3_stmt *stmt, int column)
{
    const char *data = sqlite3_column_blob(stmt, column);
    return (struct slice){data == NULL ? "" : data, (size_t)sqlite3_column_bytes(stmt, column)};
}

err_t state_get(struct state *s, int64_t collection, struct slice id, struct arena *arena,
                struct state_doc *ret)
{
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_DOC_GET, &stmt));
    sqlite3_bind_int64(stmt, 1, collection);
    sqlite3_bind_blob(stmt, 2, id.data, (int)id.len, SQLITE_TRANSIENT);
    err_t err = state_step_row(s, stmt);
    if (err == ERR_NOT_FOUND)
        return err_fail(ERR_NOT_FOUND, "there is no document \"%.*s\"", (int)MIN(id.len, 256),
                        id.data);
    TRY(err);
    struct slice doc = column_bytes(stmt, 0);
    *ret = (struct state_doc){
        .id = {arena_strndup(arena, id.data, id.len), id.len},
        .doc = {arena_strndup(arena, doc.data, doc.len), doc.len},
        .lsn = sqlite3_column_int64(stmt, 1),
        .ts_us = sqlite3_column_int64(stmt, 2),
    };
    sqlite3_reset(stmt);
    return OK;
}

struct state_scan {
    struct state *s;
    sqlite3_stmt *stmt; /* its own: scans may overlap; it holds its view until it is closed */
};

err_t state_scan_open(struct state *s, int64_t collection, struct state_scan **ret)
{
    static const char sql[] = "SELECT id, doc, lsn, ts FROM doc WHERE collection = ?1 ORDER BY id";
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
    if (rc != SQLITE_OK)
        return state_fail(s, rc);
    sqlite3_bind_int64(stmt, 1, collection);
    struct state_scan *scan = xcalloc(1, sizeof(*scan));
    *scan = (struct state_scan){.s = s, .stmt = stmt};
    *ret = scan;
    return OK;
}

err_t state_scan_next(struct state_scan *scan, struct state_doc *ret)
{
    if (scan->stmt == NULL)
        return ERR_END;
    int rc = sqlite3_step(scan->stmt);
    if (rc == SQLITE_ROW) {
        *ret = (struct state_doc){
            .id = column_bytes(scan->stmt, 0),
            .doc = column_bytes(scan->stmt, 1),
            .lsn = sqlite3_column_int64(scan->stmt, 2),
            .ts_us = sqlite3_column_int64(scan->stmt, 3),
        };
        return OK;
    }
    err_t err = rc == SQLITE_DONE ? ERR_END : state_fail(scan->s, rc);
    sqlite3_finalize(TAKE(scan->stmt));
    return err;
}

void state_scan_close(struct state_scan *scan)
{
    if (scan == NULL)
        return;
    sqlite3_finalize(scan->stmt);
    free(scan);
}
