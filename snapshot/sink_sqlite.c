/*
 * snapshot/sink_sqlite.c: an SQLite file with the table documents(id TEXT PRIMARY KEY, doc TEXT,
 * lsn INTEGER, ts TEXT) WITHOUT ROWID, written in key order, so that pages fill from left to right.
 * Without a journal: until the file is finished and renamed nobody knows its name.
 */
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "base/timefmt.h"
#include "catalog/vfs.h"
#include "snapshot/sink.h"

struct sqlite_sink {
    struct io *io;
    char *path; /* owned */
    struct vfs *vfs;
    sqlite3 *db;
    sqlite3_stmt *insert;
};

static const char setup[] =
    "PRAGMA journal_mode = OFF;"
    "PRAGMA synchronous = OFF;"
    "PRAGMA locking_mode = EXCLUSIVE;"
    "PRAGMA temp_store = MEMORY;"
    "PRAGMA page_size = 8192;"
    "CREATE TABLE documents(id TEXT PRIMARY KEY NOT NULL, doc TEXT NOT NULL,"
    " lsn INTEGER NOT NULL, ts TEXT NOT NULL) WITHOUT ROWID;"
    "BEGIN;";
static const char insert_sql[] = "INSERT INTO documents(id, doc, lsn, ts) VALUES(?1, ?2, ?3, ?4)";

static err_t failed(const struct sqlite_sink *s, int rc)
{
    const char *text;
    if (rc == SQLITE_OK || rc == SQLITE_DONE || rc == SQLITE_ROW)
        return OK;
    err_t err = vfs_last_error(s->vfs, &text);
    if (err != OK)
        return err_fail(err, "%s", text);
    return err_fail(rc == SQLITE_FULL ? ERR_NO_SPACE : ERR_IO, "%s: %s", s->path,
                    s->db != NULL ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc));
}

static err_t sqlite_add(void *arg, const struct state_doc *doc)
{
    struct sqlite_sink *s = arg;
    char ts[TIMEFMT_MAX];
    timefmt_rfc3339(doc->ts_us, ts);
    sqlite3_bind_text64(s->insert, 1, doc->id.data, doc->id.len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_text64(s->insert, 2, doc->doc.data, doc->doc.len, SQLITE_STATIC, SQLITE_UTF8);
    sqlite3_bind_int64(s->insert, 3, doc->lsn);
    sqlite3_bind_text(s->insert, 4, ts, -1, SQLITE_STATIC);
    TRY(failed(s, sqlite3_step(s->insert)));
    sqlite3_reset(s->insert);
    return OK;
}

static err_t sync_file(const struct sqlite_sink *s)
{
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    TRY(io_open(s->io, s->path, IO_WRITE, &file));
    return io_file_sync(file);
}

static err_t sqlite_finish(void *arg)
{
    struct sqlite_sink *s = arg;
    TRY(failed(s, sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL)));
    sqlite3_finalize(TAKE(s->insert));
    TRY(failed(s, sqlite3_close(s->db)));
    s->db = NULL;
    return sync_file(s);
}

static void sqlite_close(void *arg)
{
    struct sqlite_sink *s = arg;
    sqlite3_finalize(s->insert);
    sqlite3_close(s->db);
    vfs_free(s->vfs);
    free(s->path);
    free(s);
}

static const struct sink_ops sqlite_ops = {sqlite_add, sqlite_finish, sqlite_close};

static err_t prepare(struct sqlite_sink *s)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    TRY(vfs_new(s->io, &s->vfs));
    TRY(failed(s, sqlite3_open_v2(s->path, &s->db, flags, vfs_name(s->vfs))));
    TRY(failed(s, sqlite3_exec(s->db, setup, NULL, NULL, NULL)));
    return failed(s, sqlite3_prepare_v2(s->db, insert_sql, -1, &s->insert, NULL));
}

err_t sink_sqlite_open(struct io *io, const char *path, struct sink *ret)
{
    struct sqlite_sink *s = xcalloc(1, sizeof(*s));
    s->io = io;
    s->path = xstrdup(path);
    err_t err = prepare(s);
    if (err != OK) {
        sqlite_close(s);
        return err;
    }
    *ret = (struct sink){&sqlite_ops, s};
    return OK;
}
