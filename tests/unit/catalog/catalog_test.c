#include "tests/test.h"

#include <sqlite3.h>
#include <unistd.h>

#include "catalog/catalog.h"
#include "catalog/migrations.h"
#include "catalog/vfs.h"

struct place {
    char dir[40];
    char *path;
};

static int make_place(void **state)
{
    struct place *p = xcalloc(1, sizeof(*p));
    *state = p;
    strcpy(p->dir, "/tmp/spillway-catalog-XXXXXX");
    if (mkdtemp(p->dir) == NULL)
        return -1;
    p->path = xasprintf("%s/catalog.db", p->dir);
    return 0;
}

static int drop_place(void **state)
{
    struct place *p = *state;
    CLEANUP(xfree_ptr) char *journal = xasprintf("%s-journal", p->path);
    unlink(journal);
    unlink(p->path);
    int rc = rmdir(p->dir);
    free(p->path);
    free(p);
    return rc;
}

static void outside(const char *path, const char *sql)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void settings_and_the_cluster_id_survive_reopening(void **state)
{
    struct place *p = *state;
    struct catalog *c;
    char id[64];
    assert_ok(catalog_open(io_posix(), p->path, &c));
    assert_int_equal(strlen(catalog_cluster_id(c)), 22);
    assert_int_equal(strspn(catalog_cluster_id(c), "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrst"
                                                   "uvwxyz0123456789-_"),
                     22);
    strcpy(id, catalog_cluster_id(c));
    assert_ok(catalog_set(c, "a", "one"));
    assert_ok(catalog_set(c, "a", "two"));
    catalog_close(c);
    assert_ok(catalog_open(io_posix(), p->path, &c));
    assert_string_equal(catalog_cluster_id(c), id);
    CLEANUP(xfree_ptr) char *value = NULL;
    assert_ok(catalog_get(c, "a", &value));
    assert_string_equal(value, "two");
    CLEANUP(xfree_ptr) char *none = NULL;
    assert_int_equal(catalog_get(c, "b", &none), ERR_NOT_FOUND);
    catalog_close(c);
}

static void a_set_of_settings_is_whole_or_absent(void **state)
{
    struct place *p = *state;
    struct catalog *c;
    assert_ok(catalog_open(io_posix(), p->path, &c));
    assert_ok(catalog_set(c, "kept", "old"));
    /* The second name is NULL, which the table refuses. */
    const struct catalog_setting bad[] = {{"kept", "new"}, {NULL, "x"}};
    assert_int_not_equal(catalog_set_all(c, bad, 2), OK);
    CLEANUP(xfree_ptr) char *value = NULL;
    assert_ok(catalog_get(c, "kept", &value));
    assert_string_equal(value, "old");
    const struct catalog_setting good[] = {{"kept", NULL}, {"more", "x"}};
    assert_ok(catalog_set_all(c, good, 2));
    assert_int_equal(catalog_get(c, "kept", &value), ERR_NOT_FOUND);
    catalog_close(c);
}

static void ordinary_sqlite_reads_the_file(void **state)
{
    struct place *p = *state;
    struct catalog *c;
    assert_ok(catalog_open(io_posix(), p->path, &c));
    assert_ok(catalog_set(c, "a", "one"));
    catalog_close(c);
    outside(p->path, "UPDATE setting SET value = 'changed' WHERE name = 'a'");
    assert_ok(catalog_open(io_posix(), p->path, &c));
    CLEANUP(xfree_ptr) char *value = NULL;
    assert_ok(catalog_get(c, "a", &value));
    assert_string_equal(value, "changed");
    catalog_close(c);
}

static void an_old_file_is_brought_up_to_date(void **state)
{
    struct place *p = *state;
    /* As a program that knew no migration yet would leave it. */
    outside(p->path, "CREATE TABLE other (x); PRAGMA user_version = 0");
    struct catalog *c;
    assert_ok(catalog_open(io_posix(), p->path, &c));
    assert_ok(catalog_set(c, "a", "one"));
    catalog_close(c);
}

static void a_newer_file_is_refused_and_left_alone(void **state)
{
    struct place *p = *state;
    CLEANUP(xfree_ptr)
    char *sql =
        xasprintf("CREATE TABLE future (x); PRAGMA user_version = %u", catalog_migration_count + 1);
    outside(p->path, sql);
    struct catalog *c;
    assert_int_equal(catalog_open(io_posix(), p->path, &c), ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), "newer version"));
    outside(p->path, "DROP TABLE future");
}

static void a_file_that_is_no_catalog_is_damage(void **state)
{
    struct place *p = *state;
    char junk[8192];
    memset(junk, 'x', sizeof(junk));
    assert_ok(io_replace(io_posix(), p->path, junk, sizeof(junk)));
    struct catalog *c;
    assert_int_equal(catalog_open(io_posix(), p->path, &c), ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), p->path));
}

static void a_directory_that_is_not_there_is_named(void **state)
{
    struct place *p = *state;
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/missing/catalog.db", p->dir);
    struct catalog *c;
    assert_int_equal(catalog_open(io_posix(), path, &c), ERR_NOT_FOUND);
    assert_non_null(strstr(err_text(ERR_NOT_FOUND), "/missing"));
}

static void run(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
}

static void copy_file(const char *from, const char *to)
{
    CLEANUP(xfree_ptr) char *data = NULL;
    size_t len;
    assert_ok(io_read_file(io_posix(), from, MIB(64), &data, &len));
    assert_ok(io_replace(io_posix(), to, data, len));
}

/** A cache that is too small makes SQLite write a page to the WAL twice within a transaction, and
 * its checksums anew at the end. */
static void a_committed_transaction_is_in_the_files(void **state)
{
    struct place *p = *state;
    struct vfs *v;
    sqlite3 *db;
    assert_ok(vfs_new_shared(io_posix(), &v));
    CLEANUP(xfree_ptr) char *wal = xasprintf("%s-wal", p->path);
    CLEANUP(xfree_ptr) char *copy = xasprintf("%s/copy.db", p->dir);
    CLEANUP(xfree_ptr) char *copy_wal = xasprintf("%s-wal", copy);
    CLEANUP(xfree_ptr) char *shm = xasprintf("%s-shm", p->path);
    assert_int_equal(
        sqlite3_open_v2(p->path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, vfs_name(v)),
        SQLITE_OK);
    run(db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = 5;"
            "CREATE TABLE t (k INTEGER PRIMARY KEY, v BLOB); BEGIN;");
    for (int round = 0; round < 3; round++)
        for (int k = 0; k < 100; k++) {
            CLEANUP(xfree_ptr)
            char *sql = xasprintf("REPLACE INTO t VALUES (%d, zeroblob(%d))", k, 1000 + round);
            run(db, sql);
        }
    run(db, "COMMIT");
    copy_file(p->path, copy);
    copy_file(wal, copy_wal);
    run(db, "PRAGMA user_version"); /* still open: nothing else was written meanwhile */
    sqlite3 *other;
    sqlite3_stmt *count;
    assert_int_equal(sqlite3_open(copy, &other), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(other, "SELECT count(*) FROM t WHERE length(v) = 1002", -1,
                                        &count, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(count), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(count, 0), 100);
    sqlite3_finalize(count);
    sqlite3_close(other);
    sqlite3_close(db);
    vfs_free(v);
    const char *const files[] = {copy, copy_wal, wal, shm};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        (void)unlink(files[i]);
}

#define IN_PLACE(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(settings_and_the_cluster_id_survive_reopening),
        IN_PLACE(a_set_of_settings_is_whole_or_absent),
        IN_PLACE(ordinary_sqlite_reads_the_file),
        IN_PLACE(an_old_file_is_brought_up_to_date),
        IN_PLACE(a_newer_file_is_refused_and_left_alone),
        IN_PLACE(a_file_that_is_no_catalog_is_damage),
        IN_PLACE(a_directory_that_is_not_there_is_named),
        IN_PLACE(a_committed_transaction_is_in_the_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
