#include "tests/test.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cdc/state.h"

struct place {
    char dir[40];
    char *path;
};

static int make_place(void **state)
{
    struct place *p = xcalloc(1, sizeof(*p));
    *state = p;
    strcpy(p->dir, "/tmp/spillway-state-XXXXXX");
    if (mkdtemp(p->dir) == NULL)
        return -1;
    p->path = xasprintf("%s/default.db", p->dir);
    return 0;
}

static int drop_place(void **state)
{
    struct place *p = *state;
    err_t err = state_remove(io_posix(), p->path);
    int rc = rmdir(p->dir);
    free(p->path);
    free(p);
    return err == OK ? rc : -1;
}

static struct change put(int64_t lsn, const char *collection, const char *id, const char *doc)
{
    return (struct change){.op = CHANGE_UPDATE,
                           .lsn = lsn,
                           .ts_us = 1000 + lsn,
                           .collection = slice_of(collection),
                           .doc_id = slice_of(id),
                           .doc = slice_of(doc),
                           .expect = -1};
}

static struct change drop(int64_t lsn, const char *collection, const char *id)
{
    struct change c = put(lsn, collection, id, "");
    c.op = CHANGE_DELETE;
    c.doc = (struct slice){NULL, 0};
    return c;
}

static struct change expecting(struct change c, int64_t expect)
{
    c.expect = expect;
    return c;
}

static struct state_collection find(struct state *s, const char *name)
{
    struct state_collection c;
    assert_ok(state_find_collection(s, slice_of(name), &c));
    free(c.name);
    return c;
}

/** "id=doc@lsn " for each document in order; checks count and hash on the way. */
static void assert_docs(struct state *s, const char *collection, const char *expected)
{
    struct state_collection c = find(s, collection);
    struct state_scan *scan;
    struct state_doc doc;
    struct state_hash hash = {0};
    uint64_t count = 0;
    struct buf text = BUF_INIT;
    err_t err;
    buf_append_str(&text, "");
    assert_ok(state_scan_open(s, c.id, &scan));
    while ((err = state_scan_next(scan, &doc)) == OK) {
        buf_append_slice(&text, doc.id);
        buf_append_char(&text, '=');
        buf_append_slice(&text, doc.doc);
        buf_printf(&text, "@%lld ", (long long)doc.lsn);
        assert_int_equal(doc.ts_us, 1000 + doc.lsn);
        state_hash_add(&hash, state_hash_of(doc.id, doc.doc));
        count++;
    }
    assert_int_equal(err, ERR_END);
    assert_int_equal(state_scan_next(scan, &doc), ERR_END);
    state_scan_close(scan);
    buf_append_char(&text, '\0');
    assert_string_equal(text.data, expected);
    buf_release(&text);
    assert_int_equal(c.count, count);
    assert_memory_equal(&c.hash, &hash, sizeof(hash));
}

static void changes_become_documents(void **state)
{
    struct place *p = *state;
    struct state *s;
    int64_t cursor;
    assert_ok(state_open(io_posix(), p->path, &s));
    assert_ok(state_cursor(s, &cursor));
    assert_int_equal(cursor, 0);
    struct change first[] = {put(0, "users", "b", "{\"n\":1}"), put(2, "users", "a", "{ }"),
                             put(3, "issues", "a", "{\"i\":\"\xc3\xa9\"}"),
                             put(4, "users", "b", "{\"n\":2}"), drop(5, "users", "nobody")};
    assert_ok(state_apply(s, first, ARRAY_LEN(first), 9));
    assert_docs(s, "users", "a={ }@2 b={\"n\":2}@4 ");
    assert_docs(s, "issues", "a={\"i\":\"\xc3\xa9\"}@3 ");
    assert_int_equal(find(s, "users").last_lsn, 5);
    assert_int_equal(find(s, "users").max_ts_us, 1005);
    struct change second[] = {drop(9, "users", "b"), put(10, "users", "c", "{}"),
                              drop(11, "users", "c"), put(12, "users", "b", "{\"again\":1}")};
    assert_ok(state_apply(s, second, ARRAY_LEN(second), 13));
    assert_docs(s, "users", "a={ }@2 b={\"again\":1}@12 ");
    state_close(s);
    assert_ok(state_open(io_posix(), p->path, &s));
    assert_ok(state_cursor(s, &cursor));
    assert_int_equal(cursor, 13);
    assert_docs(s, "users", "a={ }@2 b={\"again\":1}@12 ");
    struct change third[] = {drop(13, "users", "a"), drop(14, "users", "b")};
    assert_ok(state_apply(s, third, ARRAY_LEN(third), 15));
    assert_docs(s, "users", "");
    struct state_hash zero = {0};
    struct state_collection users = find(s, "users");
    assert_memory_equal(&users.hash, &zero, sizeof(zero));
    struct state_collection none;
    assert_int_equal(state_find_collection(s, SLICE("nope"), &none), ERR_NOT_FOUND);
    state_close(s);
}

static void ids_are_ordered_by_their_bytes(void **state)
{
    struct place *p = *state;
    struct state *s;
    assert_ok(state_open(io_posix(), p->path, &s));
    struct change changes[] = {put(0, "c", "abcdefghz", "{}"), put(1, "c", "abcdefgh", "{}"),
                               put(2, "c", "abcdefgha", "{}"), put(3, "c", "\xc3\xa9", "{}"),
                               put(4, "c", "B", "{}"),         put(5, "c", "a", "{}")};
    assert_ok(state_apply(s, changes, ARRAY_LEN(changes), 6));
    assert_docs(s, "c", "B={}@4 a={}@5 abcdefgh={}@1 abcdefgha={}@2 abcdefghz={}@0 \xc3\xa9={}@3 ");
    state_close(s);
}

static void expect_is_a_compare_and_set(void **state)
{
    struct place *p = *state;
    struct state *s;
    bool skipped;
    assert_ok(state_open(io_posix(), p->path, &s));
    struct change first[] = {
        expecting(put(1, "c", "a", "{\"v\":1}"), 0), /* absent: holds */
        expecting(put(2, "c", "a", "{\"v\":2}"), 0), /* there now: skipped */
        expecting(put(3, "c", "a", "{\"v\":3}"), 2), /* 2 was skipped: skipped */
        expecting(put(4, "c", "a", "{\"v\":4}"), 1), /* holds, within the transaction */
        expecting(drop(5, "c", "b"), 4),             /* absent: skipped */
    };
    assert_ok(state_apply(s, first, ARRAY_LEN(first), 6));
    static const bool wanted[] = {false, true, true, false, true};
    for (size_t i = 0; i < ARRAY_LEN(first); i++) {
        assert_int_equal(first[i].skipped, wanted[i]);
        assert_ok(state_was_skipped(s, first[i].lsn, &skipped));
        assert_int_equal(skipped, wanted[i]);
    }
    assert_docs(s, "c", "a={\"v\":4}@4 ");
    assert_int_equal(find(s, "c").last_lsn, 5);
    struct change second[] = {expecting(drop(6, "c", "a"), 4), expecting(put(7, "c", "a", "{}"), 4),
                              expecting(put(8, "c", "a", "{\"new\":1}"), 0)};
    assert_ok(state_apply(s, second, ARRAY_LEN(second), 9));
    assert_false(second[0].skipped);
    assert_true(second[1].skipped);
    assert_false(second[2].skipped);
    assert_docs(s, "c", "a={\"new\":1}@8 ");
    state_close(s);
}

static void a_range_out_of_order_changes_nothing(void **state)
{
    struct place *p = *state;
    struct state *s;
    int64_t cursor;
    assert_ok(state_open(io_posix(), p->path, &s));
    struct change good[] = {put(0, "c", "a", "{}")};
    assert_ok(state_apply(s, good, 1, 5));
    struct change again[] = {put(0, "c", "a", "{\"twice\":1}"), put(6, "new", "a", "{}")};
    assert_int_equal(state_apply(s, again, 2, 7), ERR_INTERNAL);
    struct change beyond[] = {put(7, "new", "a", "{}")};
    assert_int_equal(state_apply(s, beyond, 1, 7), ERR_INTERNAL);
    assert_int_equal(state_apply(s, NULL, 0, 4), ERR_INTERNAL);
    assert_ok(state_cursor(s, &cursor));
    assert_int_equal(cursor, 5);
    assert_docs(s, "c", "a={}@0 ");
    struct state_collection none;
    assert_int_equal(state_find_collection(s, SLICE("new"), &none), ERR_NOT_FOUND);
    struct change after[] = {put(5, "new", "a", "{}")};
    assert_ok(state_apply(s, after, 1, 6));
    assert_docs(s, "new", "a={}@5 ");
    state_close(s);
}

static void a_bookmark_is_its_greatest_lsn(void **state)
{
    struct place *p = *state;
    struct state *s;
    int64_t lsn;
    assert_ok(state_open(io_posix(), p->path, &s));
    struct change changes[] = {put(1, "c", "z", "{}"), put(2, "c", "a", "{}"),
                               put(3, "d", "a", "{}")};
    for (size_t i = 0; i < ARRAY_LEN(changes); i++)
        changes[i].bookmark = SLICE("release");
    assert_ok(state_apply(s, changes, ARRAY_LEN(changes), 4));
    assert_ok(state_bookmark(s, find(s, "c").id, SLICE("release"), &lsn));
    assert_int_equal(lsn, 2);
    assert_ok(state_bookmark(s, find(s, "d").id, SLICE("release"), &lsn));
    assert_int_equal(lsn, 3);
    assert_int_equal(state_bookmark(s, find(s, "c").id, SLICE("other"), &lsn), ERR_NOT_FOUND);
    state_close(s);
}

static bool join_letters(void *arg, unsigned shard, int64_t lsn, const char *reason)
{
    buf_printf(arg, "%u/%lld %s;", shard, (long long)lsn, reason);
    return true;
}

static void dead_letters_come_with_the_transaction(void **state)
{
    struct place *p = *state;
    struct state *s;
    struct buf text = BUF_INIT;
    uint64_t count;
    uint64_t misplaced;
    int64_t cursor;
    assert_ok(state_open(io_posix(), p->path, &s));
    state_dead_letter(s, 0, 3, "doc must be an object");
    assert_int_equal(state_apply(s, (struct change[]){put(9, "c", "a", "{}")}, 1, 9), ERR_INTERNAL);
    state_dead_letter(s, 0, 4, "docId");
    state_dead_letter(s, 2, 11, "misplaced");
    state_set_shard_cursor(s, 2, 12);
    assert_ok(state_apply(s, NULL, 0, 5));
    assert_ok(state_each_dead_letter(s, join_letters, &text));
    buf_append_char(&text, '\0');
    assert_string_equal(text.data, "0/4 docId;2/11 misplaced;");
    assert_ok(state_dead_letter_count(s, &count, &misplaced));
    assert_int_equal(count, 2);
    assert_int_equal(misplaced, 1);
    assert_ok(state_shard_cursor(s, 2, &cursor));
    assert_int_equal(cursor, 12);
    assert_ok(state_shard_cursor(s, 1, &cursor));
    assert_int_equal(cursor, 0);
    for (int64_t i = 0; i < STATE_DEAD_LETTERS_KEPT + 5; i++)
        state_dead_letter(s, 0, 100 + i, "more");
    assert_ok(state_apply(s, NULL, 0, 6));
    buf_clear(&text);
    assert_ok(state_each_dead_letter(s, join_letters, &text));
    buf_append_char(&text, '\0');
    assert_memory_equal(text.data, "0/105 more;", 11);
    assert_ok(state_dead_letter_count(s, &count, &misplaced));
    assert_int_equal(count, STATE_DEAD_LETTERS_KEPT + 7);
    buf_release(&text);
    state_close(s);
}

static void a_reader_keeps_its_view_while_changes_are_applied(void **state)
{
    struct place *p = *state;
    struct state *s;
    struct state *r;
    assert_int_equal(state_reader_open(io_posix(), p->path, &r), ERR_NOT_FOUND);
    assert_ok(state_open(io_posix(), p->path, &s));
    assert_ok(state_apply(s, (struct change[]){put(0, "c", "a", "{\"v\":1}")}, 1, 1));
    assert_ok(state_reader_open(io_posix(), p->path, &r));
    assert_ok(state_apply(s, (struct change[]){put(1, "c", "a", "{\"v\":2}")}, 1, 2));
    assert_docs(r, "c", "a={\"v\":1}@0 ");
    assert_docs(s, "c", "a={\"v\":2}@1 ");
    assert_ok(state_reader_refresh(r));
    assert_docs(r, "c", "a={\"v\":2}@1 ");
    struct arena arena = ARENA_INIT;
    struct state_doc doc;
    assert_ok(state_get(r, find(r, "c").id, SLICE("a"), &arena, &doc));
    assert_int_equal(doc.lsn, 1);
    assert_int_equal(state_get(r, find(r, "c").id, SLICE("b"), &arena, &doc), ERR_NOT_FOUND);
    arena_release(&arena);
    state_close(s); /* while the reader is there: the -wal stays */
    assert_docs(r, "c", "a={\"v\":2}@1 ");
    state_close(r);
    assert_ok(state_reader_open(io_posix(), p->path, &r)); /* nobody has it open */
    assert_docs(r, "c", "a={\"v\":2}@1 ");
    state_close(r);
}

/** A reader in another process, for as long as the pipe is open: each view must be whole. */
static int read_in_child(const char *path, int until)
{
    struct state *r;
    char byte;
    int views = 0;
    if (state_reader_open(io_posix(), path, &r) != OK)
        return 10;
    do {
        struct state_collection c;
        struct state_scan *scan;
        struct state_doc doc;
        struct state_hash hash = {0};
        uint64_t count = 0;
        int64_t cursor;
        if (state_reader_refresh(r) != OK || state_cursor(r, &cursor) != OK ||
            state_find_collection(r, SLICE("c"), &c) != OK || state_scan_open(r, c.id, &scan) != OK)
            return 11;
        while (state_scan_next(scan, &doc) == OK) {
            state_hash_add(&hash, state_hash_of(doc.id, doc.doc));
            count++;
        }
        state_scan_close(scan);
        if (count != c.count || memcmp(&hash, &c.hash, sizeof(hash)) != 0 ||
            c.last_lsn + 1 != cursor)
            return 12;
        free(c.name);
        views++;
    } while (read(until, &byte, 1) < 0); /* the pipe does not block */
    state_close(r);
    return views > 0 ? 0 : 13;
}

static void another_process_sees_consistent_views(void **state)
{
    struct place *p = *state;
    struct state *s;
    int fds[2];
    int status;
    char names[200][8];
    assert_ok(state_open(io_posix(), p->path, &s));
    for (int i = 0; i < 200; i++)
        snprintf(names[i], sizeof(names[i]), "d%d", i);
    int64_t lsn = 0;
    assert_ok(state_apply(s, (struct change[]){put(0, "c", "first", "{}")}, 1, 1));
    lsn = 1;
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(fds[1]);
        _exit(read_in_child(p->path, fds[0]));
    }
    close(fds[0]);
    for (int round = 0; round < 60; round++) {
        struct change changes[200];
        for (int i = 0; i < 200; i++, lsn++)
            changes[i] = (i + round) % 3 == 0
                             ? drop(lsn, "c", names[i])
                             : put(lsn, "c", names[i], round % 2 ? "{}" : "{\"x\":1}");
        assert_ok(state_apply(s, changes, 200, lsn));
    }
    close(fds[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    state_close(s);
}

static void the_sqlite_program_can_read_beside_us(void **state)
{
    struct place *p = *state;
    struct state *s;
    sqlite3 *db;
    sqlite3_stmt *stmt;
    assert_ok(state_open(io_posix(), p->path, &s));
    assert_ok(state_apply(s, (struct change[]){put(0, "c", "a", "{\"v\":1}")}, 1, 1));
    /* SQLite's own VFS, its own locks: both directions. */
    assert_int_equal(sqlite3_open_v2(p->path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "SELECT json_extract(doc, '$.v') FROM doc", -1, &stmt, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(stmt, 0), 1);
    assert_ok(state_apply(s, (struct change[]){put(1, "c", "a", "{\"v\":2}")}, 1, 2));
    sqlite3_reset(stmt);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(stmt, 0), 2);
    sqlite3_finalize(stmt);
    assert_int_equal(sqlite3_exec(db, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    sqlite3 *second;
    assert_int_equal(sqlite3_open_v2(p->path, &second, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(second, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_BUSY);
    sqlite3_close(second);
    assert_int_equal(sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_docs(s, "c", "a={\"v\":2}@1 ");
    state_close(s);
}

static void a_damaged_or_newer_file_is_refused(void **state)
{
    struct place *p = *state;
    struct state *s;
    FILE *f = fopen(p->path, "w");
    assert_non_null(f);
    for (int i = 0; i < 2000; i++)
        fputs("this is no database ", f);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(state_open(io_posix(), p->path, &s), ERR_CORRUPT);
    assert_ok(state_remove(io_posix(), p->path));
    assert_ok(state_open(io_posix(), p->path, &s));
    state_close(s);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(p->path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(state_open(io_posix(), p->path, &s), ERR_CORRUPT);
    assert_int_equal(state_reader_open(io_posix(), p->path, &s), ERR_CORRUPT);
}

static void what_is_not_there_can_be_removed(void **state)
{
    struct place *p = *state;
    CLEANUP(xfree_ptr) char *elsewhere = xasprintf("%s/none/x.db", p->dir);
    assert_ok(state_remove(io_posix(), elsewhere));
    assert_ok(state_remove(io_posix(), p->path));
}

static void a_state_can_be_loaded_from_documents(void **state)
{
    struct place *p = *state;
    struct state *s;
    int64_t cursor;
    assert_ok(state_open(io_posix(), p->path, &s));
    struct state_doc doc = {SLICE("a"), SLICE("{\"v\":1}"), 5, 1005};
    struct state_collection c = {.name = (char[]){"users"},
                                 .name_len = 5,
                                 .count = 1,
                                 .last_lsn = 8,
                                 .max_ts_us = 2000,
                                 .hash = state_hash_of(doc.id, doc.doc)};
    assert_ok(state_load_begin(s));
    assert_ok(state_load_doc(s, SLICE("users"), &doc));
    assert_ok(state_load_end(s, &c, 1, 10));
    assert_docs(s, "users", "a={\"v\":1}@5 ");
    assert_int_equal(find(s, "users").last_lsn, 8);
    assert_int_equal(find(s, "users").max_ts_us, 2000);
    assert_ok(state_cursor(s, &cursor));
    assert_int_equal(cursor, 10);
    assert_int_equal(state_load_begin(s), ERR_INTERNAL); /* it is not empty any more */
    assert_ok(state_apply(s, (struct change[]){expecting(drop(10, "users", "a"), 5)}, 1, 11));
    assert_docs(s, "users", "");
    state_close(s);
}

/** The file as it is without its WAL. */
static void copy_file(const char *from, const char *to)
{
    char bytes[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_true(in != NULL && out != NULL);
    for (size_t n; (n = fread(bytes, 1, sizeof(bytes), in)) > 0;)
        assert_int_equal(fwrite(bytes, 1, n, out), n);
    assert_int_equal(fclose(in) + fclose(out), 0);
}

static void a_checkpoint_beside_the_writer_fills_the_file(void **state)
{
    struct place *p = *state;
    struct state *s, *copied;
    CLEANUP(xfree_ptr) char *copy = xasprintf("%s/copy.db", p->dir);
    assert_ok(state_open(io_posix(), p->path, &s));
    assert_ok(state_apply(s, (struct change[]){put(0, "c", "a", "{}")}, 1, 1));
    assert_false(state_checkpoint_due(s));
    assert_ok(state_checkpoint(io_posix(), p->path));
    copy_file(p->path, copy);
    assert_ok(state_apply(s, (struct change[]){put(1, "c", "b", "{}")}, 1, 2));
    assert_ok(state_checkpoint_rest(s));
    assert_ok(
        state_apply(s, (struct change[]){put(2, "c", "c", "{}")}, 1, 3)); /* the WAL begins anew */
    assert_docs(s, "c", "a={}@0 b={}@1 c={}@2 ");
    state_close(s);
    assert_ok(state_open(io_posix(), copy, &copied));
    assert_docs(copied, "c", "a={}@0 ");
    state_close(copied);
    assert_ok(state_remove(io_posix(), copy));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, make_place, drop_place)
    const struct CMUnitTest tests[] = {
        TEST(changes_become_documents),
        TEST(ids_are_ordered_by_their_bytes),
        TEST(expect_is_a_compare_and_set),
        TEST(a_range_out_of_order_changes_nothing),
        TEST(a_bookmark_is_its_greatest_lsn),
        TEST(dead_letters_come_with_the_transaction),
        TEST(a_reader_keeps_its_view_while_changes_are_applied),
        TEST(another_process_sees_consistent_views),
        TEST(the_sqlite_program_can_read_beside_us),
        TEST(a_damaged_or_newer_file_is_refused),
        TEST(what_is_not_there_can_be_removed),
        TEST(a_state_can_be_loaded_from_documents),
        TEST(a_checkpoint_beside_the_writer_fills_the_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
