/* Deltas and files of documents: what was written is read, in order; a look-up of one document
 * reads the same; and a file whose bytes or manifest entry were changed is refused by name. */
#include <stdio.h>
#include <unistd.h>

#include "base/buf.h"
#include "cdc/delta.h"
#include "cdc/state.h"
#include "tests/unit/store/fixture.h"

#define DIR_PATH "ns/c"
#define NOW INT64_C(1770042605000000) /* 2026-02-02T14:30:05Z */

/* Deltas -------------------------------------------------------------------------------------- */

/* In the order of LSNs; by (pk, lsn): "", "a" 12, "a" 14, "ab", "b", "é". */
static const struct change samples[] = {
    {.op = CHANGE_INSERT,
     .lsn = 10,
     .ts_us = NOW,
     .doc_id = {"b", 1},
     .doc = {"{}", 2},
     .expect = -1},
    {.op = CHANGE_UPDATE,
     .lsn = 11,
     .ts_us = NOW - 5,
     .doc_id = {"\xc3\xa9", 2},
     .doc = {"{\"a\": [1,\t2]}", 13},
     .prev = {"null", 4},
     .bookmark = {"", 0},
     .source = {"web", 3},
     .expect = -1},
    {.op = CHANGE_INSERT,
     .lsn = 12,
     .ts_us = NOW + 7,
     .doc_id = {"a", 1},
     .doc = {"{\"x\":1}", 7},
     .bookmark = {"before", 6},
     .expect = -1,
     .skipped = true},
    {.op = CHANGE_DELETE,
     .lsn = 13,
     .ts_us = NOW,
     .doc_id = {"ab", 2},
     .restore = {"{\"of\":3}", 8},
     .expect = -1},
    {.op = CHANGE_DELETE, .lsn = 14, .ts_us = NOW, .doc_id = {"a", 1}, .expect = -1},
    {.op = CHANGE_INSERT,
     .lsn = 15,
     .ts_us = NOW,
     .doc_id = {"", 0},
     .doc = {"{}", 2},
     .expect = -1},
};
static const int64_t sorted_lsns[] = {15, 12, 14, 13, 10, 11};

static void write_samples(struct fixture *f, struct store_file *ret)
{
    const struct change *changes[ARRAY_LEN(samples)];
    for (size_t i = 0; i < ARRAY_LEN(samples); i++)
        changes[i] = &samples[i];
    assert_ok(delta_write(f->store, DIR_PATH, 7, NOW, changes, ARRAY_LEN(samples), ret));
    ret->lsn_from = 10;
    ret->lsn_to = 16;
}

static void assert_same_slice(struct slice a, struct slice b)
{
    assert_int_equal(a.data == NULL, b.data == NULL);
    assert_int_equal(a.len, b.len);
    if (a.len > 0)
        assert_memory_equal(a.data, b.data, a.len);
}

static void assert_same_change(const struct change *a, const struct change *b)
{
    assert_int_equal(a->op, b->op);
    assert_true(a->lsn == b->lsn && a->ts_us == b->ts_us && a->skipped == b->skipped);
    assert_same_slice(a->doc_id, b->doc_id);
    assert_same_slice(a->doc, b->doc);
    assert_same_slice(a->prev, b->prev);
    assert_same_slice(a->bookmark, b->bookmark);
    assert_same_slice(a->source, b->source);
    assert_same_slice(a->restore, b->restore);
}

/** Reads on to the end; how many rows came and what the end was. Rows are compared with the
 * samples. */
static err_t read_delta(struct fixture *f, const struct store_file *file, const struct slice *pk,
                        size_t *ret_rows)
{
    struct delta_reader *r;
    struct change c;
    *ret_rows = 0;
    TRY(delta_open(f->store, DIR_PATH, file, pk, &r));
    err_t err;
    while ((err = delta_next(r, &c)) == OK) {
        if (pk == NULL)
            assert_true(c.lsn == sorted_lsns[*ret_rows]);
        assert_same_change(&c, &samples[c.lsn - 10]);
        ++*ret_rows;
    }
    delta_close(r);
    return err;
}

static void a_delta_is_read_in_order_as_written(void **state)
{
    struct fixture *f = *state;
    struct store_file file;
    size_t rows;
    write_samples(f, &file);
    assert_string_equal(file.path, "deltas/000007_2026-02-02T14-30.parquet");
    assert_int_equal(file.rows, 6);
    assert_true(file.ts_min_us == NOW - 5 && file.ts_max_us == NOW + 7);
    assert_true(file.tail > 4 && file.tail < file.size);
    assert_int_equal(read_delta(f, &file, NULL, &rows), ERR_END);
    assert_int_equal(rows, 6);
    store_file_release(&file);
}

static void one_document_is_looked_up(void **state)
{
    struct fixture *f = *state;
    struct store_file file;
    write_samples(f, &file);
    static const struct {
        const char *pk;
        size_t rows;
    } rows[] = {{"a", 2}, {"ab", 1}, {"", 1}, {"\xc3\xa9", 1}, {"aa", 0}, {"zzz", 0}, {"\xff", 0}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct slice pk = slice_of(rows[i].pk);
        size_t got;
        assert_int_equal(read_delta(f, &file, &pk, &got), ERR_END);
        assert_int_equal(got, rows[i].rows);
    }
    store_file_release(&file);
}

static void assert_refused(err_t err, const char *name)
{
    assert_int_equal(err, ERR_CORRUPT);
    if (strstr(err_text(err), name) == NULL)
        fail_msg("\"%s\" does not name %s", err_text(err), name);
}

/** Calls `check` with each byte of the file flipped in three ways, and with each cut. */
static void with_each_damage(struct fixture *f, const struct store_file *file,
                             void (*check)(struct fixture *f, const struct store_file *file))
{
    CLEANUP(xfree_ptr) char *path = xasprintf(DIR_PATH "/%s", file->path);
    CLEANUP(buf_release) struct buf bytes = BUF_INIT;
    assert_ok(store_get(f->store, path, MIB(1), &bytes));
    CLEANUP(xfree_ptr) char *full = xasprintf("%s/%s", f->root, path);
    static const unsigned char flips[] = {0x01, 0x80, 0xff};
    for (size_t i = 0; i < bytes.len; i++) {
        for (size_t k = 0; k < ARRAY_LEN(flips); k++) {
            bytes.data[i] ^= (char)flips[k];
            FILE *out = fopen(full, "r+b"); /* in place and without a sync: thousands of times */
            assert_non_null(out);
            assert_int_equal(fwrite(bytes.data, 1, bytes.len, out), bytes.len);
            assert_ok(fclose(out));
            check(f, file);
            bytes.data[i] ^= (char)flips[k];
        }
    }
    for (size_t len = 0; len < bytes.len; len += 37) {
        assert_ok(truncate(full, (off_t)(bytes.len - len - 1)));
        check(f, file);
    }
    assert_ok(store_put(f->store, path, bytes.data, bytes.len, true));
}

static void check_delta_damage(struct fixture *f, const struct store_file *file)
{
    size_t rows;
    assert_refused(read_delta(f, file, NULL, &rows), file->path);
    assert_int_equal(rows, 0);
    /* A look-up reads a part: it fails, or what it answers is right (read_delta compares). */
    struct slice pk = SLICE("a");
    err_t err = read_delta(f, file, &pk, &rows);
    if (err == ERR_END)
        assert_int_equal(rows, 2);
    else
        assert_refused(err, file->path);
}

static void any_damage_of_a_delta_is_seen(void **state)
{
    struct fixture *f = *state;
    struct store_file file;
    write_samples(f, &file);
    with_each_damage(f, &file, check_delta_damage);
    size_t rows;
    assert_int_equal(read_delta(f, &file, NULL, &rows), ERR_END);
    store_file_release(&file);
}

static void a_delta_that_contradicts_its_manifest_is_refused(void **state)
{
    struct fixture *f = *state;
    struct store_file file;
    size_t rows;
    write_samples(f, &file);
    struct store_file wrong[9];
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        wrong[i] = file;
    wrong[0].rows++;
    wrong[1].rows--;
    wrong[2].size++;
    wrong[3].hash[5] ^= 1;
    wrong[4].lsn_from = 11;
    wrong[5].lsn_to = 15;
    wrong[6].ts_min_us++;
    wrong[7].ts_max_us--;
    wrong[8].path = (char[]){"deltas/000008_gone.parquet"};
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_refused(read_delta(f, &wrong[i], NULL, &rows), wrong[i].path);
    struct slice pk = SLICE("a");
    wrong[0] = file;
    wrong[0].tail_hash[0] ^= 1;
    assert_refused(read_delta(f, &wrong[0], &pk, &rows), file.path);
    store_file_release(&file);
}

static void changes_out_of_order_are_refused(void **state)
{
    struct fixture *f = *state;
    struct delta_writer *w;
    assert_ok(delta_writer_open(f->store, DIR_PATH, 1, NOW, &w));
    assert_ok(delta_writer_add(w, &samples[2])); /* a, 12 */
    assert_int_equal(delta_writer_add(w, &samples[2]), ERR_CORRUPT);
    assert_int_equal(delta_writer_add(w, &samples[5]), ERR_CORRUPT); /* "" */
    assert_ok(delta_writer_add(w, &samples[4]));                     /* a, 14 */
    delta_writer_discard(w);
    struct store_file file;
    assert_ok(delta_writer_open(f->store, DIR_PATH, 2, NOW, &w));
    assert_ok(delta_writer_close(w, &file)); /* none at all */
    assert_true(file.rows == 0 && file.ts_min_us > file.ts_max_us);
    size_t rows;
    assert_int_equal(read_delta(f, &file, NULL, &rows), ERR_END);
    assert_int_equal(rows, 0);
    store_file_release(&file);
}

static void many_changes_are_sorted(void **state)
{
    struct fixture *f = *state;
    enum { COUNT = 30000 };
    CLEANUP(xfree_ptr) struct change *changes = xcalloc(COUNT, sizeof(*changes));
    CLEANUP(xfree_ptr) const struct change **all = xcalloc(COUNT, sizeof(struct change *));
    CLEANUP(xfree_ptr) char *ids = xcalloc(COUNT, 24);
    for (size_t i = 0; i < COUNT; i++) {
        int n = snprintf(ids + i * 24, 24, "document-%05zu", i * 7919 % (COUNT / 3));
        changes[i] = (struct change){.op = CHANGE_UPDATE,
                                     .lsn = (int64_t)i,
                                     .ts_us = NOW,
                                     .doc_id = {ids + i * 24, (size_t)n},
                                     .doc = {"{\"value\":\"some text\"}", 21}};
        all[i] = &changes[i];
    }
    struct store_file file;
    assert_ok(delta_write(f->store, DIR_PATH, 1, NOW, all, COUNT, &file));
    file.lsn_to = COUNT;
    struct delta_reader *r;
    struct change c;
    size_t rows = 0;
    assert_ok(delta_open(f->store, DIR_PATH, &file, NULL, &r));
    err_t err;
    while ((err = delta_next(r, &c)) == OK)
        rows++; /* the reader checks the order */
    assert_int_equal(err, ERR_END);
    assert_int_equal(rows, COUNT);
    delta_close(r);
    struct slice pk = changes[123].doc_id;
    assert_ok(delta_open(f->store, DIR_PATH, &file, &pk, &r));
    for (rows = 0; (err = delta_next(r, &c)) == OK; rows++)
        assert_true(slice_equal(c.doc_id, pk));
    assert_int_equal(err, ERR_END);
    assert_int_equal(rows, 3);
    delta_close(r);
    store_file_release(&file);
}

/* Documents ----------------------------------------------------------------------------------- */

static const struct state_doc docs[] = {
    {{"a", 1}, {"{}", 2}, 3, NOW},
    {{"a\n", 2}, {"{\"n\":null}", 10}, 0, NOW - 1},
    {{"b", 1}, {"{\"u\":\"\xc3\xa9\"}", 10}, 19, NOW + 1},
};

static void write_docs(struct fixture *f, struct store_file *ret)
{
    struct docs_writer *w;
    assert_ok(docs_writer_open(f->store, DIR_PATH "/data.parquet", &w));
    for (size_t i = 0; i < ARRAY_LEN(docs); i++)
        assert_ok(docs_writer_add(w, &docs[i]));
    assert_ok(docs_writer_close(w, ret));
    assert_string_equal(ret->path, DIR_PATH "/data.parquet");
    free(ret->path);
    ret->path = xstrdup("data.parquet");
    ret->lsn_to = 20;
}

static err_t read_docs(struct fixture *f, const struct store_file *file, const struct slice *id,
                       size_t *ret_rows)
{
    struct docs_reader *r;
    struct state_doc d;
    *ret_rows = 0;
    TRY(docs_open(f->store, DIR_PATH, file, id, &r));
    err_t err;
    while ((err = docs_next(r, &d)) == OK) {
        const struct state_doc *want = NULL;
        for (size_t i = 0; i < ARRAY_LEN(docs); i++)
            if (slice_equal(docs[i].id, d.id))
                want = &docs[i];
        assert_non_null(want);
        if (id == NULL)
            assert_ptr_equal(want, &docs[*ret_rows]);
        assert_same_slice(d.doc, want->doc);
        assert_true(d.lsn == want->lsn && d.ts_us == want->ts_us);
        ++*ret_rows;
    }
    docs_close(r);
    return err;
}

static void documents_are_read_as_written(void **state)
{
    struct fixture *f = *state;
    struct store_file file;
    struct state_hash want = {0};
    size_t rows;
    write_docs(f, &file);
    for (size_t i = 0; i < ARRAY_LEN(docs); i++)
        state_hash_add(&want, state_hash_of(docs[i].id, docs[i].doc));
    assert_memory_equal(&file.state_hash, &want, sizeof(want));
    assert_int_equal(file.state_count, 3);
    assert_true(file.ts_min_us == NOW - 1 && file.ts_max_us == NOW + 1);
    assert_int_equal(read_docs(f, &file, NULL, &rows), ERR_END);
    assert_int_equal(rows, 3);
    struct slice id = SLICE("a\n"), absent = SLICE("aa");
    assert_int_equal(read_docs(f, &file, &id, &rows), ERR_END);
    assert_int_equal(rows, 1);
    assert_int_equal(read_docs(f, &file, &absent, &rows), ERR_END);
    assert_int_equal(rows, 0);
    store_file_release(&file);
}

static void check_docs_damage(struct fixture *f, const struct store_file *file)
{
    size_t rows;
    assert_refused(read_docs(f, file, NULL, &rows), file->path);
    assert_int_equal(rows, 0);
    struct slice id = SLICE("b");
    err_t err = read_docs(f, file, &id, &rows);
    if (err == ERR_END)
        assert_int_equal(rows, 1);
    else
        assert_refused(err, file->path);
}

static void any_damage_of_documents_is_seen(void **state)
{
    struct fixture *f = *state;
    struct store_file file;
    write_docs(f, &file);
    with_each_damage(f, &file, check_docs_damage);
    store_file_release(&file);
}

static void documents_that_contradict_their_manifest_are_refused(void **state)
{
    struct fixture *f = *state;
    struct store_file file, delta;
    size_t rows;
    write_docs(f, &file);
    write_samples(f, &delta);
    struct store_file wrong[5];
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        wrong[i] = file;
    wrong[0].state_count++;
    wrong[1].state_hash.low ^= 1;
    wrong[2].lsn_to = 19;
    wrong[3].rows++;
    wrong[4] = delta; /* another kind of file */
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
        assert_refused(read_docs(f, &wrong[i], NULL, &rows), wrong[i].path);
    struct docs_writer *w;
    assert_ok(docs_writer_open(f->store, DIR_PATH "/x", &w));
    assert_ok(docs_writer_add(w, &docs[1]));
    assert_int_equal(docs_writer_add(w, &docs[1]), ERR_CORRUPT);
    assert_int_equal(docs_writer_add(w, &docs[0]), ERR_CORRUPT);
    docs_writer_discard(w);
    store_file_release(&file);
    store_file_release(&delta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_delta_is_read_in_order_as_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_document_is_looked_up, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_damage_of_a_delta_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_delta_that_contradicts_its_manifest_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(changes_out_of_order_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_changes_are_sorted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(documents_are_read_as_written, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_damage_of_documents_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(documents_that_contradict_their_manifest_are_refused,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
