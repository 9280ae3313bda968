/*
 * catalog/catalog.c: one SQLite connection behind one lock, statements prepared once.
 *
 * The journal is truncated and synced at the end of a transaction (journal_mode = TRUNCATE), which
 * is the moment of the commit; EXTRA also syncs its directory where that matters. The connection is
 * exclusive, so SQLite reads the file's state once and takes no locks again.
 */
#include "catalog/catalog.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/lock.h"
#include "catalog/migrations.h"
#include "catalog/vfs.h"

#define CLUSTER_ID_SETTING "cluster_id"
#define CLUSTER_ID_BYTES 16
#define CLUSTER_ID_TEXT 22

struct catalog {
    struct lock lock; /* LOCK_RANK_CATALOG, held over SQLite's I/O */
    struct vfs *vfs;
    sqlite3 *db;
    sqlite3_stmt *get;
    sqlite3_stmt *set;
    sqlite3_stmt *drop;
    char *path;
    char cluster_id[CLUSTER_ID_TEXT + 1];
};

/** Turns what SQLite says into an error of ours; the disk's own sentence where there is one. */
static err_t fail(struct catalog *c, int rc)
{
    const char *io_text = "";
    int primary = rc & 0xFF;
    bool from_disk =
        primary == SQLITE_IOERR || primary == SQLITE_FULL || primary == SQLITE_CANTOPEN;
    err_t io_err = from_disk ? vfs_last_error(c->vfs, &io_text) : OK;
    if (io_err != OK)
        return err_fail(io_err == ERR_NO_SPACE ? ERR_NO_SPACE : ERR_IO, "the catalog %s: %s",
                        c->path, io_text);
    const char *text = c->db != NULL ? sqlite3_errmsg(c->db) : sqlite3_errstr(rc);
    bool damaged = primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB;
    return err_fail(damaged ? ERR_CORRUPT : ERR_IO, "the catalog %s: %s", c->path, text);
}

static err_t run(struct catalog *c, const char *sql)
{
    int rc = sqlite3_exec(c->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? OK : fail(c, rc);
}

static err_t read_version(struct catalog *c, unsigned *ret_version)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(c->db, "PRAGMA user_version", -1, &stmt, NULL);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW)
        *ret_version = (unsigned)sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    return rc == SQLITE_ROW ? OK : fail(c, rc);
}

static err_t migrate_one(struct catalog *c, unsigned version)
{
    CLEANUP(xfree_ptr)
    char *sql = xasprintf("BEGIN IMMEDIATE; %s PRAGMA user_version = %u; COMMIT",
                          catalog_migrations[version], version + 1);
    err_t err = run(c, sql);
    if (err != OK)
        (void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

static err_t migrate(struct catalog *c)
{
    unsigned version = 0;
    TRY(read_version(c, &version));
    if (version > catalog_migration_count)
        return err_fail(ERR_CORRUPT,
                        "the catalog %s was written by a newer version of spillway (its format is "
                        "%u, this program knows up to %u)",
                        c->path, version, catalog_migration_count);
    for (; version < catalog_migration_count; version++)
        TRY(migrate_one(c, version));
    return OK;
}

static err_t prepare(struct catalog *c, const char *sql, sqlite3_stmt **ret_stmt)
{
    int rc = sqlite3_prepare_v3(c->db, sql, -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL);
    return rc == SQLITE_OK ? OK : fail(c, rc);
}

static err_t connect_db(struct catalog *c, struct io *io)
{
    TRY(vfs_new(io, &c->vfs));
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    int rc = sqlite3_open_v2(c->path, &c->db, flags, vfs_name(c->vfs));
    if (rc != SQLITE_OK)
        return fail(c, rc);
    TRY(run(c, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = TRUNCATE;"
               "PRAGMA synchronous = EXTRA; PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0;"
               "PRAGMA cache_size = -256; PRAGMA trusted_schema = OFF"));
    TRY(migrate(c));
    TRY(prepare(c, "SELECT value FROM setting WHERE name = ?1", &c->get));
    TRY(prepare(c,
                "INSERT INTO setting (name, value) VALUES (?1, ?2) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                &c->set));
    return prepare(c, "DELETE FROM setting WHERE name = ?1", &c->drop);
}

/* Settings ------------------------------------------------------------------------------------ */

static err_t get_locked(struct catalog *c, const char *name, char **ret_value)
{
    int rc = sqlite3_bind_text(c->get, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(c->get);
    err_t err = OK;
    if (rc == SQLITE_ROW)
        *ret_value = xstrdup((const char *)sqlite3_column_text(c->get, 0));
    else if (rc == SQLITE_DONE)
        err = err_fail(ERR_NOT_FOUND, "the catalog has no setting \"%s\"", name);
    else
        err = fail(c, rc);
    sqlite3_reset(c->get);
    sqlite3_clear_bindings(c->get);
    return err;
}

static err_t set_one(struct catalog *c, const struct catalog_setting *s)
{
    sqlite3_stmt *stmt = s->value == NULL ? c->drop : c->set;
    int rc = sqlite3_bind_text(stmt, 1, s->name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && s->value != NULL)
        rc = sqlite3_bind_text(stmt, 2, s->value, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(stmt);
    err_t err = rc == SQLITE_DONE ? OK : fail(c, rc);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return err;
}

static err_t set_all_locked(struct catalog *c, const struct catalog_setting *settings, size_t count)
{
    TRY(run(c, "BEGIN IMMEDIATE"));
    err_t err = OK;
    for (size_t i = 0; i < count && err == OK; i++)
        err = set_one(c, &settings[i]);
    if (err == OK)
        err = run(c, "COMMIT");
    if (err != OK)
        (void)sqlite3_exec(c->db, "ROLLBACK", NULL, NULL, NULL);
    return err;
}

err_t catalog_get(struct catalog *c, const char *name, char **ret_value)
{
    lock_acquire(&c->lock);
    err_t err = get_locked(c, name, ret_value);
    lock_release(&c->lock);
    return err;
}

err_t catalog_set_all(struct catalog *c, const struct catalog_setting *settings, size_t count)
{
    lock_acquire(&c->lock);
    err_t err = set_all_locked(c, settings, count);
    lock_release(&c->lock);
    return err;
}

err_t catalog_set(struct catalog *c, const char *name, const char *value)
{
    return catalog_set_all(c, &(struct catalog_setting){name, value}, 1);
}

/* The cluster's id ---------------------------------------------------------------------------- */

/** Base64url without padding (RFC 4648 section 5). */
static void encode_id(const uint8_t bytes[CLUSTER_ID_BYTES], char out[CLUSTER_ID_TEXT + 1])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int i = 0; i < CLUSTER_ID_TEXT; i++) {
        int bit = i * 6;
        unsigned pair = (unsigned)bytes[bit / 8] << 8;
        if (bit / 8 + 1 < CLUSTER_ID_BYTES)
            pair |= bytes[bit / 8 + 1];
        out[i] = digits[(pair >> (10 - bit % 8)) & 63];
    }
    out[CLUSTER_ID_TEXT] = '\0';
}

static err_t load_cluster_id(struct catalog *c)
{
    CLEANUP(xfree_ptr) char *value = NULL;
    err_t err = catalog_get(c, CLUSTER_ID_SETTING, &value);
    ASSERT(err != OK || value != NULL);
    if (err == OK && strlen(value) != CLUSTER_ID_TEXT)
        return err_fail(ERR_CORRUPT, "the catalog %s: its cluster_id has %zu characters, not %d",
                        c->path, strlen(value), CLUSTER_ID_TEXT);
    if (err == OK)
        memcpy(c->cluster_id, value, sizeof(c->cluster_id));
    if (err != ERR_NOT_FOUND)
        return err;
    uint8_t bytes[CLUSTER_ID_BYTES];
    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        return err_fail(ERR_INTERNAL, "the system gives no random bytes");
    encode_id(bytes, c->cluster_id);
    return catalog_set(c, CLUSTER_ID_SETTING, c->cluster_id);
}

const char *catalog_cluster_id(const struct catalog *c)
{
    return c->cluster_id;
}

err_t catalog_open(struct io *io, const char *path, struct catalog **ret_catalog)
{
    CLEANUP(catalog_close_ptr) struct catalog *c = xcalloc(1, sizeof(*c));
    lock_init(&c->lock, LOCK_RANK_CATALOG);
    c->path = xstrdup(path);
    TRY(vfs_settle(io, path, "-journal"));
    TRY(connect_db(c, io));
    TRY(load_cluster_id(c));
    *ret_catalog = TAKE(c);
    return OK;
}

void catalog_close(struct catalog *c)
{
    if (c == NULL)
        return;
    sqlite3_finalize(c->get);
    sqlite3_finalize(c->set);
    sqlite3_finalize(c->drop);
    sqlite3_close(c->db);
    vfs_free(c->vfs);
    lock_destroy(&c->lock);
    free(c->path);
    free(c);
}

void catalog_close_ptr(struct catalog **c)
{
    catalog_close(TAKE(*c));
}
