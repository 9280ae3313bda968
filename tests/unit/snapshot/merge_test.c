/* The merge of a reconstruction against a model that applies changes one by one: random seeds with
 * equal and late times, deletes, re-inserts, skipped changes, deltas that reach into the base. */
#include "tests/test.h"

#include <stdio.h>

#include "snapshot/change_rows.h"
#include "snapshot/merge.h"

#define IDS 40
#define CHANGES_MAX 300

static uint64_t random_state;

static uint64_t next_random(uint64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % bound;
}

struct world {
    char ids[IDS][24];
    size_t id_lens[IDS];
    char docs[CHANGES_MAX][24];
    struct change changes[CHANGES_MAX];
    size_t id_of[CHANGES_MAX];
    size_t count;
};

/** Ids that are prefixes of each other, of the same first eight bytes, with NUL and high bytes. */
static void make_ids(struct world *w)
{
    static const char letters[] = {'a', 'b', '\0', (char)0xC3};
    for (size_t i = 0; i < IDS; i++) {
        bool again = true;
        while (again) {
            size_t common = next_random(2) ? 8 : 0;
            w->id_lens[i] = common + 1 + next_random(4);
            memset(w->ids[i], 'x', common);
            for (size_t k = common; k < w->id_lens[i]; k++)
                w->ids[i][k] = letters[next_random(sizeof(letters))];
            again = false;
            for (size_t k = 0; k < i; k++)
                again |= w->id_lens[k] == w->id_lens[i] &&
                         memcmp(w->ids[k], w->ids[i], w->id_lens[i]) == 0;
        }
    }
}

static void make_changes(struct world *w)
{
    w->count = 1 + next_random(CHANGES_MAX - 1);
    for (size_t i = 0; i < w->count; i++) {
        size_t id = w->id_of[i] = next_random(IDS);
        static const enum change_op ops[] = {CHANGE_INSERT, CHANGE_UPDATE, CHANGE_DELETE};
        int n = snprintf(w->docs[i], sizeof(w->docs[i]), "{\"v\":%zu}", i);
        w->changes[i] = (struct change){.op = ops[next_random(3)],
                                        .lsn = (int64_t)i,
                                        .ts_us = (int64_t)(i / 10 + next_random(20)),
                                        .doc_id = {w->ids[id], w->id_lens[id]},
                                        .doc = {w->docs[i], (size_t)n},
                                        .expect = -1,
                                        .skipped = next_random(10) == 0};
        if (w->changes[i].op == CHANGE_DELETE)
            w->changes[i].doc = (struct slice){0};
    }
}

/** Index of the change that each document stands at, or -1: changes with lsn < to and ts <= T, one
 * by one. */
static void model(const struct world *w, int64_t to, int64_t ts_max, int state[IDS])
{
    for (size_t i = 0; i < IDS; i++)
        state[i] = -1;
    for (size_t i = 0; i < w->count && (int64_t)i < to; i++)
        if (!w->changes[i].skipped && w->changes[i].ts_us <= ts_max)
            state[w->id_of[i]] = w->changes[i].op == CHANGE_DELETE ? -1 : (int)i;
}

static err_t next_row(void *arg, struct change *ret)
{
    return change_rows_next(arg, ret);
}

static void close_rows(void *arg)
{
    change_rows_release(arg);
    free(arg);
}

static struct change_rows *new_rows(void)
{
    return xcalloc(1, sizeof(struct change_rows));
}

static void add_rows(struct merge *m, struct change_rows *rows, bool base)
{
    change_rows_sort(rows);
    const struct merge_input input = {next_row, close_rows, rows, base};
    assert_ok(merge_add(m, &input));
}

static int64_t greatest_ts(const struct world *w, int64_t to)
{
    int64_t ts = INT64_MIN;
    for (int64_t i = 0; i < to; i++)
        ts = MAX(ts, w->changes[i].ts_us);
    return ts;
}

static void add_base(const struct world *w, struct merge *m, int64_t base)
{
    int state[IDS];
    struct change_rows *rows = new_rows();
    model(w, base, INT64_MAX, state);
    for (size_t i = 0; i < IDS; i++)
        if (state[i] >= 0)
            change_rows_add(rows, &w->changes[state[i]]);
    add_rows(m, rows, true);
}

/** Deltas of any lengths, the first of which may begin before the base ends. */
static void add_deltas(const struct world *w, struct merge *m, int64_t base)
{
    int64_t from = base > 0 ? base - (int64_t)next_random((uint64_t)base) : 0;
    while (from < (int64_t)w->count) {
        int64_t to = from + 1 + (int64_t)next_random(60);
        to = MIN(to, (int64_t)w->count);
        struct change_rows *rows = new_rows();
        for (int64_t i = from; i < to; i++)
            change_rows_add(rows, &w->changes[i]);
        add_rows(m, rows, false);
        from = to;
    }
}

static void check(const struct world *w, struct merge *m, const int state[IDS])
{
    size_t seen = 0, live = 0;
    char last[24];
    size_t last_len = 0;
    struct state_doc doc;
    err_t err;
    while ((err = merge_next(m, &doc)) == OK) {
        size_t id = w->id_of[doc.lsn];
        assert_int_equal(state[id], doc.lsn);
        assert_true(slice_equal(doc.id, w->changes[doc.lsn].doc_id));
        assert_true(slice_equal(doc.doc, w->changes[doc.lsn].doc));
        assert_int_equal(doc.ts_us, w->changes[doc.lsn].ts_us);
        if (seen++ > 0)
            assert_true(slice_compare((struct slice){last, last_len}, doc.id) < 0);
        memcpy(last, doc.id.data, doc.id.len);
        last_len = doc.id.len;
    }
    assert_int_equal(err, ERR_END);
    for (size_t i = 0; i < IDS; i++)
        live += state[i] >= 0;
    assert_int_equal(seen, live);
}

static void one_seed(uint64_t seed)
{
    static struct world w;
    int state[IDS];
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    make_ids(&w);
    make_changes(&w);
    int64_t to = (int64_t)next_random(w.count + 1);
    int64_t ts_max = next_random(3) == 0 ? INT64_MAX : (int64_t)next_random(50);
    int64_t base = (int64_t)next_random((uint64_t)to + 1);
    if (greatest_ts(&w, base) > ts_max)
        base = 0; /* it covers a later change: it may not serve */
    const struct merge_filter filter = {base, to, ts_max};
    struct merge *m = merge_new(&filter);
    if (base > 0)
        add_base(&w, m, base);
    add_deltas(&w, m, base);
    model(&w, to, ts_max, state);
    check(&w, m, state);
    merge_free(m);
}

static void the_merge_equals_the_model_for_every_seed(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3000; seed++)
        one_seed(seed);
}

static void nothing_merged_is_the_empty_collection(void **state)
{
    (void)state;
    const struct merge_filter filter = {0, 10, INT64_MAX};
    struct merge *m = merge_new(&filter);
    struct state_doc doc;
    assert_int_equal(merge_next(m, &doc), ERR_END);
    assert_int_equal(merge_next(m, &doc), ERR_END);
    merge_free(m);
}

struct failing {
    unsigned left;
    bool closed;
};

static err_t fail_next(void *arg, struct change *ret)
{
    struct failing *f = arg;
    if (f->left == 0)
        return err_fail(ERR_CORRUPT, "deltas/000001.parquet is damaged");
    *ret = (struct change){.op = CHANGE_INSERT,
                           .lsn = 10 - f->left,
                           .doc_id = SLICE("a"),
                           .doc = SLICE("{}"),
                           .expect = -1};
    f->left--;
    return OK;
}

static void fail_close(void *arg)
{
    ((struct failing *)arg)->closed = true;
}

static void a_damaged_input_is_an_error_and_no_document(void **state)
{
    (void)state;
    for (unsigned good = 0; good < 3; good++) {
        struct failing f = {.left = good};
        const struct merge_filter filter = {0, 100, INT64_MAX};
        const struct merge_input input = {fail_next, fail_close, &f, false};
        struct state_doc doc;
        struct merge *m = merge_new(&filter);
        err_t err = merge_add(m, &input);
        if (err == OK)
            err = merge_next(m, &doc);
        assert_int_equal(err, ERR_CORRUPT);
        merge_free(m);
        assert_true(f.closed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_merge_equals_the_model_for_every_seed),
        cmocka_unit_test(nothing_merged_is_the_empty_collection),
        cmocka_unit_test(a_damaged_input_is_an_error_and_no_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
