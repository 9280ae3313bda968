/*
 * cdc/state.c: the connection to a namespace's state: its file, its schema, its statements.
 *
 * The file is in WAL mode, because snapshots and readers look at one moment for as long as they
 * like while changes are applied, and because readers may be other processes (a command on a live
 * data directory): a rollback journal would make each wait for the other, and locking_mode =
 * EXCLUSIVE keeps others out. catalog/vfs_share.c has the locks and the memory that WAL needs.
 *
 * synchronous = NORMAL: a commit is not synced, a checkpoint is. A power cut may take the last
 * transactions, whole and from the end; the cursor goes back with them and the log gives them
 * again.
 */
#include "cdc/state.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/state_priv.h"

#define APPLICATION_ID 0x53505753 /* "SPWS" */
#define SCHEMA_VERSION 1
#define BUSY_MS 10000
#define CHECKPOINT_PAGES_MIN 16384 /* 64 MiB */
#define CHECKPOINT_PAGES_MAX 65536 /* 256 MiB */
#define CHECKPOINT_PATIENCE 2      /* so many times as late the writer does it by itself */
#define CHECKPOINT_PASSES 3        /* beside a writer that goes on, */
#define CHECKPOINT_REST 2048       /* or until so few pages are left */
#define OPEN_TRIES 3               /* while the writer replaces a damaged file */

/* Changes come to documents anywhere in the tree, and each writes its page into the WAL: pages of 4
 * KiB cost half of what 8 KiB do, until a transaction meets every page (1,000,000 documents at
 * 50,000 changes/s: transactions of 0.1 s instead of 1). One that is large touches each page once,
 * in key order, so a cache needs not hold the file. The WAL keeps its length, up to the longest
 * that a checkpoint waits for: its pages stay in memory and are written again. */
static const char writer_pragmas[] =
    "PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
    "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536;"
    "PRAGMA journal_size_limit = 536870912; PRAGMA trusted_schema = OFF";
static const char reader_pragmas[] =
    "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;"
    "PRAGMA trusted_schema = OFF";

static const char schema[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE collection (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " count INTEGER NOT NULL, hash BLOB NOT NULL, last_lsn INTEGER NOT NULL,"
    " max_ts INTEGER NOT NULL);"
    "CREATE TABLE doc (collection INTEGER NOT NULL, id BLOB NOT NULL, doc TEXT NOT NULL,"
    " lsn INTEGER NOT NULL, ts INTEGER NOT NULL, PRIMARY KEY (collection, id)) WITHOUT ROWID;"
    "CREATE TABLE skipped (lsn INTEGER PRIMARY KEY);"
    "CREATE TABLE bookmark (collection INTEGER NOT NULL, bookmark TEXT NOT NULL,"
    " lsn INTEGER NOT NULL, PRIMARY KEY (collection, bookmark)) WITHOUT ROWID;"
    "CREATE TABLE dead_letter (seq INTEGER PRIMARY KEY, shard INTEGER NOT NULL,"
    " lsn INTEGER NOT NULL, reason TEXT NOT NULL);";

static const char *const sql_texts[SQL_COUNT] = {
    [SQL_META_GET] = "SELECT value FROM meta WHERE name = ?1",
    [SQL_META_SET] = "REPLACE INTO meta (name, value) VALUES (?1, ?2)",
    [SQL_META_ADD] =
        "INSERT INTO meta VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = value + ?2",
    [SQL_COLLECTIONS] =
        "SELECT id, name, count, hash, last_lsn, max_ts FROM collection ORDER BY name",
    [SQL_COLLECTION_FIND] =
        "SELECT id, name, count, hash, last_lsn, max_ts FROM collection WHERE name = ?1",
    [SQL_COLLECTION_ADD] = ("INSERT INTO collection (name, count, hash, last_lsn, max_ts) "
                            "VALUES (?1, 0, zeroblob(16), -1, 0)"),
    [SQL_COLLECTION_SET] =
        "UPDATE collection SET count = ?2, hash = ?3, last_lsn = ?4, max_ts = ?5 WHERE id = ?1",
    [SQL_DOC_GET] = "SELECT doc, lsn, ts FROM doc WHERE collection = ?1 AND id = ?2",
    /* On a table without row ids and without further indexes this is one look-up. */
    [SQL_DOC_PUT] = "REPLACE INTO doc (collection, id, doc, lsn, ts) VALUES (?1, ?2, ?3, ?4, ?5)",
    [SQL_DOC_DROP] = "DELETE FROM doc WHERE collection = ?1 AND id = ?2",
    [SQL_SKIPPED_GET] = "SELECT 1 FROM skipped WHERE lsn = ?1",
    [SQL_SKIPPED_ADD] = "INSERT INTO skipped (lsn) VALUES (?1)",
    [SQL_BOOKMARK_GET] = "SELECT lsn FROM bookmark WHERE collection = ?1 AND bookmark = ?2",
    [SQL_BOOKMARK_PUT] = "REPLACE INTO bookmark (collection, bookmark, lsn) VALUES (?1, ?2, ?3)",
    [SQL_DEAD_LETTER_ADD] = "INSERT INTO dead_letter (shard, lsn, reason) VALUES (?1, ?2, ?3)",
    [SQL_DEAD_LETTER_TRIM] =
        "DELETE FROM dead_letter WHERE seq <= (SELECT max(seq) FROM dead_letter) - ?1",
    [SQL_DEAD_LETTERS] = "SELECT shard, lsn, reason FROM dead_letter ORDER BY seq",
};

/* SQLite's answers ---------------------------------------------------------------------------- */

err_t state_fail(struct state *s, int rc)
{
    const char *io_text = "";
    int primary = rc & 0xFF;
    bool from_disk =
        primary == SQLITE_IOERR || primary == SQLITE_FULL || primary == SQLITE_CANTOPEN;
    err_t io_err = from_disk ? vfs_last_error(s->vfs, &io_text) : OK;
    /* Only before it is in WAL mode has the file a journal: a reader must not roll that back. */
    if (rc == SQLITE_READONLY_ROLLBACK)
        return err_fail(ERR_NOT_FOUND, "the state %s was not finished: the next start makes it",
                        s->path);
    if (io_err == ERR_NOT_FOUND)
        return err_fail(ERR_NOT_FOUND, "the state %s: %s", s->path, io_text);
    if (io_err != OK)
        return err_fail(io_err == ERR_NO_SPACE ? ERR_NO_SPACE : ERR_IO, "the state %s: %s", s->path,
                        io_text);
    const char *text = s->db != NULL ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc);
    bool damaged = primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
    s->damaged = s->damaged || damaged;
    return err_fail(damaged ? ERR_CORRUPT : ERR_IO, "the state %s: %s", s->path, text);
}

err_t state_run(struct state *s, const char *sql)
{
    int rc = sqlite3_exec(s->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? OK : state_fail(s, rc);
}

err_t state_sql(struct state *s, enum state_sql which, sqlite3_stmt **ret)
{
    if (unlikely(s->statements[which] == NULL)) {
        int rc = sqlite3_prepare_v3(s->db, sql_texts[which], -1, SQLITE_PREPARE_PERSISTENT,
                                    &s->statements[which], NULL);
        if (rc != SQLITE_OK)
            return state_fail(s, rc);
    }
    *ret = s->statements[which];
    return OK;
}

err_t state_step_done(struct state *s, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    err_t err = rc == SQLITE_DONE ? OK : state_fail(s, rc);
    sqlite3_reset(stmt);
    return err;
}

err_t state_step_row(struct state *s, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        return OK;
    err_t err = rc == SQLITE_DONE ? ERR_NOT_FOUND : state_fail(s, rc);
    sqlite3_reset(stmt);
    return err;
}

static err_t pragma_number(struct state *s, const char *sql, int *ret)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(s->db, sql, -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret = sqlite3_column_int(stmt, 0);
    err_t err = rc == SQLITE_ROW ? OK : state_fail(s, rc);
    sqlite3_finalize(stmt);
    return err;
}

/* Named numbers ------------------------------------------------------------------------------- */

err_t state_meta_get(struct state *s, const char *name, int64_t *ret)
{
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_META_GET, &stmt));
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    err_t err = state_step_row(s, stmt);
    if (err != OK && err != ERR_NOT_FOUND)
        return err;
    *ret = err == OK ? sqlite3_column_int64(stmt, 0) : 0;
    sqlite3_reset(stmt);
    return OK;
}

static err_t meta_write(struct state *s, enum state_sql which, const char *name, int64_t value)
{
    sqlite3_stmt *stmt;
    TRY(state_sql(s, which, &stmt));
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 2, value);
    return state_step_done(s, stmt);
}

err_t state_meta_set(struct state *s, const char *name, int64_t value)
{
    return meta_write(s, SQL_META_SET, name, value);
}

err_t state_meta_add(struct state *s, const char *name, int64_t value)
{
    return value == 0 ? OK : meta_write(s, SQL_META_ADD, name, value);
}

err_t state_cursor(struct state *s, int64_t *ret_lsn)
{
    return state_meta_get(s, META_CURSOR, ret_lsn);
}

err_t state_shard_cursor(struct state *s, unsigned shard, int64_t *ret_lsn)
{
    char name[32];
    snprintf(name, sizeof(name), "shard.%u", shard);
    return state_meta_get(s, name, ret_lsn);
}

err_t state_dead_letter_count(struct state *s, uint64_t *ret_count, uint64_t *ret_misplaced)
{
    int64_t count;
    int64_t misplaced;
    TRY(state_meta_get(s, META_DEAD_LETTERS, &count));
    TRY(state_meta_get(s, META_MISPLACED, &misplaced));
    *ret_count = (uint64_t)count;
    *ret_misplaced = (uint64_t)misplaced;
    return OK;
}

/* Checkpoints --------------------------------------------------------------------------------- */

/** A checkpoint copies each page once, however often it was written since the last: it waits until
 * the WAL is twice the file, from 64 MiB on and at most 256 MiB: then it takes half a second.
 * (1,000,000 documents of 200 bytes, all pages touched by each transaction: with 64 MiB every
 * transaction is written twice.) */
err_t state_tune_checkpoint(struct state *s)
{
    int pages;
    TRY(pragma_number(s, "PRAGMA page_count", &pages));
    int wanted = MIN(MAX(pages, CHECKPOINT_PAGES_MIN / 2), CHECKPOINT_PAGES_MAX / 2) * 2;
    s->wal_pages_due = wanted;
    return OK;
}

/** One pass. *ret_rest: pages that are not copied: a reader of an older moment may keep some back,
 * and so may a checkpoint that somebody else makes, or a full disk. After any other error what was
 * written since the last sync may be gone although reads still show it: the caller closes. */
static int checkpoint_pass(struct state *s, int *ret_rest)
{
    int pages = 0, copied = 0;
    int rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &pages, &copied);
    *ret_rest = pages - copied;
    if (rc == SQLITE_BUSY || rc == SQLITE_FULL) {
        *ret_rest = INT_MAX;
        rc = SQLITE_OK;
    }
    return rc;
}

err_t state_checkpoint_rest(struct state *s)
{
    int rest;
    int rc = checkpoint_pass(s, &rest);
    if (rc != SQLITE_OK)
        return state_fail(s, rc);
    if (rest == 0)
        s->wal_pages = 0;
    return OK;
}

bool state_checkpoint_due(const struct state *s)
{
    return s->wal_pages >= s->wal_pages_due;
}

/** After each commit; `pages` is what the WAL has. An error is the commit's, although it is done.
 */
static int on_commit(void *arg, sqlite3 *db UNUSED, const char *name UNUSED, int pages)
{
    struct state *s = arg;
    int rest;
    s->wal_pages = pages;
    return pages < s->wal_pages_due * CHECKPOINT_PATIENCE ? SQLITE_OK : checkpoint_pass(s, &rest);
}

/* Opening ------------------------------------------------------------------------------------- */

/** 0: fresh. */
static err_t check_version(struct state *s, int *ret_version)
{
    int application;
    int version;
    TRY(pragma_number(s, "PRAGMA application_id", &application));
    TRY(pragma_number(s, "PRAGMA user_version", &version));
    if (version == 0 && application == 0) {
        *ret_version = 0;
        return OK;
    }
    if (application != APPLICATION_ID || version != SCHEMA_VERSION)
        return err_fail(ERR_CORRUPT,
                        "the state %s is no state of this version of spillway (application id "
                        "0x%x, version %d)",
                        s->path, (unsigned)application, version);
    *ret_version = version;
    return OK;
}

static err_t create_schema(struct state *s)
{
    CLEANUP(xfree_ptr)
    char *sql = xasprintf("BEGIN IMMEDIATE; %s PRAGMA application_id = %d;"
                          "PRAGMA user_version = %d; COMMIT",
                          schema, APPLICATION_ID, SCHEMA_VERSION);
    err_t err = state_run(s, sql);
    if (err != OK)
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

static err_t connect_db(struct state *s, int flags)
{
    TRY(vfs_new_shared(s->io, &s->vfs));
    int rc = sqlite3_open_v2(s->path, &s->db, flags | SQLITE_OPEN_NOMUTEX, vfs_name(s->vfs));
    if (rc == SQLITE_OK)
        rc = sqlite3_extended_result_codes(s->db, 1);
    if (rc == SQLITE_OK)
        rc = sqlite3_busy_timeout(s->db, BUSY_MS);
    return rc == SQLITE_OK ? OK : state_fail(s, rc);
}

static err_t open_writer(struct state *s)
{
    int version;
    TRY(connect_db(s, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE));
    (void)sqlite3_wal_hook(s->db, on_commit, s);
    TRY(state_run(s, writer_pragmas));
    TRY(check_version(s, &version));
    if (version == 0)
        TRY(create_schema(s));
    TRY(state_tune_checkpoint(s));
    return cache_load(s);
}

static struct state *state_new(struct io *io, const char *path, bool reader)
{
    struct state *s = xcalloc(1, sizeof(*s));
    s->io = io;
    s->path = xstrdup(path);
    s->reader = reader;
    return s;
}

err_t state_open(struct io *io, const char *path, struct state **ret_state)
{
    const char *slash = strrchr(path, '/');
    if (slash != NULL && slash != path) {
        CLEANUP(xfree_ptr) char *dir = xstrndup(path, (size_t)(slash - path));
        TRY(io_mkdir_durable(io, dir));
    }
    TRY(vfs_settle(io, path, "-wal"));
    struct state *s = state_new(io, path, false);
    err_t err = open_writer(s);
    if (err != OK) {
        state_close(s);
        return err;
    }
    *ret_state = s;
    return OK;
}

static err_t connect_beside(struct state *s)
{
    int version;
    TRY(connect_db(s, SQLITE_OPEN_READWRITE));
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    TRY(state_run(s, "PRAGMA synchronous = NORMAL"));
    return check_version(s, &version); /* to read is to find the WAL */
}

err_t state_checkpoint(struct io *io, const char *path)
{
    struct state *s = state_new(io, path, false);
    int rest = INT_MAX;
    err_t err = connect_beside(s);
    bool connected = err == OK;
    for (unsigned i = 0; i < CHECKPOINT_PASSES && rest >= CHECKPOINT_REST && err == OK; i++) {
        int rc = checkpoint_pass(s, &rest);
        err = rc == SQLITE_OK ? OK : state_fail(s, rc);
    }
    state_close(s);
    /* Nothing was written without a connection: the next time will do. */
    return connected || err == ERR_CORRUPT ? err : OK;
}

static err_t open_reader(struct state *s)
{
    int version;
    TRY(connect_db(s, SQLITE_OPEN_READONLY));
    /* The writer checkpoints; a reader never writes into the file, nor when it is the last to
     * leave. */
    (void)sqlite3_db_config(s->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, (int *)NULL);
    TRY(state_run(s, reader_pragmas));
    /* Within the view: a file that is being made is empty or whole, not half of each. */
    TRY(state_run(s, "BEGIN"));
    TRY(check_version(s, &version));
    if (version == 0)
        return err_fail(ERR_NOT_FOUND, "the state %s is empty", s->path);
    int moved = 0;
    (void)sqlite3_file_control(s->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    /* The file was replaced: its -wal may be the new one's, so nothing that was read counts. */
    return moved ? err_fail(ERR_AGAIN, "the state %s was replaced", s->path) : OK;
}

err_t state_reader_open(struct io *io, const char *path, struct state **ret_state)
{
    err_t err = ERR_AGAIN;
    for (int i = 0; i < OPEN_TRIES && err == ERR_AGAIN; i++) {
        bool found;
        TRY(io_find(io, path, &found));
        if (!found)
            return err_fail(ERR_NOT_FOUND, "there is no state %s", path);
        struct state *s = state_new(io, path, true);
        err = open_reader(s);
        if (err == OK)
            *ret_state = s;
        else
            state_close(s);
    }
    return err == ERR_AGAIN
               ? err_fail(ERR_UNAVAILABLE, "the state %s is being replaced; try again", path)
               : err;
}

err_t state_reader_refresh(struct state *s)
{
    ASSERT(s->reader);
    int64_t cursor;
    TRY(state_run(s, "COMMIT; BEGIN"));
    return state_cursor(s, &cursor); /* the first read fixes the view */
}

bool state_is_damaged(const struct state *s)
{
    return s != NULL && s->damaged;
}

void state_close(struct state *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < ARRAY_LEN(s->statements); i++)
        sqlite3_finalize(s->statements[i]);
    int rc = sqlite3_close(s->db);
    ASSERT(rc == SQLITE_OK); /* else a scan is still open */
    vfs_free(s->vfs);
    cache_drop(s);
    state_forget_notes(s);
    free(s->dead_letters);
    free(s->shard_cursors);
    free(s->path);
    free(s);
}

err_t state_remove(struct io *io, const char *path)
{
    /* The database first: whoever finds a new one will not find its old -wal. */
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        CLEANUP(xfree_ptr) char *file = xasprintf("%s%s", path, suffixes[i]);
        err_t err = io_unlink(io, file);
        if (err != OK && err != ERR_NOT_FOUND)
            return err;
    }
    err_t err = io_sync_parent(io, path);
    return err == ERR_NOT_FOUND ? OK : err; /* no folder, no state */
}
