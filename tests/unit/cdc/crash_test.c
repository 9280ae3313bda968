/* The state on the simulated disk: a crash or a failing call at every place, with what it may take
 * decided by several seeds. Documents, count, hash and cursor are always those of one LSN. */
#include "tests/test.h"

#include <stdio.h>

#include "cdc/state.h"
#include "tests/sim/simdisk.h"

#define PATH "/data/state/default.db"
#define SEEDS 6
#define STEPS 10
#define STEP_CHANGES 8
#define DOCS 12
#define OPEN_EACH 4 /* steps between closing, which checkpoints, and opening */

/** The changes of step k: [k * STEP_CHANGES, (k + 1) * STEP_CHANGES). */
static struct change change_at(int64_t lsn, char id[16], char doc[64])
{
    uint64_t mixed = (uint64_t)(lsn + 1) * UINT64_C(0x9E3779B97F4A7C15) >> 32;
    snprintf(id, 16, "doc-%02d", (int)(mixed % DOCS));
    snprintf(doc, 64, "{\"lsn\":%lld,\"pad\":\"%0*d\"}", (long long)lsn, (int)(mixed % 40), 0);
    bool deletes = mixed % 5 == 0;
    return (struct change){.op = deletes ? CHANGE_DELETE : CHANGE_UPDATE,
                           .lsn = lsn,
                           .ts_us = lsn,
                           .collection = lsn % 7 == 0 ? SLICE("other") : SLICE("users"),
                           .doc_id = slice_of(id),
                           .doc = deletes ? (struct slice){NULL, 0} : slice_of(doc),
                           .expect = mixed % 4 == 0 ? 0 : -1};
}

static err_t apply_step(struct state *s, int64_t from)
{
    static char ids[STEP_CHANGES][16];
    static char docs[STEP_CHANGES][64];
    struct change changes[STEP_CHANGES];
    for (int i = 0; i < STEP_CHANGES; i++)
        changes[i] = change_at(from + i, ids[i], docs[i]);
    return state_apply(s, changes, STEP_CHANGES, from + STEP_CHANGES);
}

/** The model: "id=lsn" of the live documents after the changes below `cursor`. */
struct model {
    int64_t lsn[2][DOCS]; /* of "users" and "other"; -1: absent */
};

static struct model model_at(int64_t cursor)
{
    struct model m;
    memset(&m, 0xff, sizeof(m));
    for (int64_t lsn = 0; lsn < cursor; lsn++) {
        char id[16];
        char doc[64];
        struct change c = change_at(lsn, id, doc);
        int64_t *at = &m.lsn[lsn % 7 == 0][atoi(id + 4)];
        if (c.expect == 0 && *at >= 0)
            continue;
        *at = c.op == CHANGE_DELETE ? -1 : lsn;
    }
    return m;
}

static void assert_collection(struct state *s, const char *name, const int64_t wanted[DOCS])
{
    struct state_collection c;
    struct state_scan *scan;
    struct state_doc doc;
    struct state_hash hash = {0};
    uint64_t count = 0;
    int64_t found[DOCS];
    memset(found, 0xff, sizeof(found));
    err_t err = state_find_collection(s, slice_of(name), &c);
    if (err == ERR_NOT_FOUND) {
        assert_memory_equal(found, wanted, sizeof(found));
        return;
    }
    assert_ok(err);
    free(c.name);
    assert_ok(state_scan_open(s, c.id, &scan));
    while ((err = state_scan_next(scan, &doc)) == OK) {
        char id[16];
        char text[64];
        struct change from = change_at(doc.lsn, id, text);
        assert_true(slice_equal(from.doc_id, doc.id));
        assert_true(slice_equal(from.doc, doc.doc));
        found[atoi(id + 4)] = doc.lsn;
        state_hash_add(&hash, state_hash_of(doc.id, doc.doc));
        count++;
    }
    assert_int_equal(err, ERR_END);
    state_scan_close(scan);
    assert_memory_equal(found, wanted, sizeof(found));
    assert_int_equal(c.count, count);
    assert_memory_equal(&c.hash, &hash, sizeof(hash));
}

static void assert_state(struct state *s, int64_t cursor)
{
    struct model m = model_at(cursor);
    assert_collection(s, "users", m.lsn[0]);
    assert_collection(s, "other", m.lsn[1]);
}

/** Applies steps from where the state stands; *ret_applied is what was answered OK, *ret_safe what
 * a clean close made durable. */
static err_t work(struct io *io, int64_t *ret_applied, int64_t *ret_safe)
{
    int64_t end = STEPS * STEP_CHANGES;
    for (;;) {
        struct state *s;
        int64_t cursor;
        TRY(state_open(io, PATH, &s));
        err_t err = state_cursor(s, &cursor);
        for (int i = 0; i < OPEN_EACH && err == OK && cursor < end; i++) {
            err = apply_step(s, cursor);
            cursor += err == OK ? STEP_CHANGES : 0;
            *ret_applied = cursor;
        }
        state_close(s);
        TRY(err);
        if (cursor >= end)
            return OK;
        *ret_safe = cursor;
    }
}

/** What is there after a restart, and that work goes on to the end. */
static void assert_recovers(struct simdisk *d, int64_t applied)
{
    struct state *s;
    int64_t cursor;
    int64_t unused;
    assert_ok(state_open(simdisk_io(d), PATH, &s));
    assert_ok(state_cursor(s, &cursor));
    assert_true(cursor <= applied + STEP_CHANGES && cursor % STEP_CHANGES == 0);
    assert_state(s, cursor);
    state_close(s);
    assert_ok(work(simdisk_io(d), &unused, &unused));
    assert_ok(state_reader_open(simdisk_io(d), PATH, &s));
    assert_state(s, STEPS * STEP_CHANGES);
    state_close(s);
    assert_int_equal(simdisk_open_files(d), 0);
}

static struct simdisk *fresh_disk(uint64_t seed)
{
    struct simdisk *d = simdisk_new(seed);
    assert_ok(io_mkdir_durable(simdisk_io(d), "/data"));
    return d;
}

static void crash_everywhere(enum simdisk_crash kind)
{
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct simdisk *d = fresh_disk(seed);
            int64_t applied = 0;
            int64_t safe = 0;
            simdisk_crash_at(d, n);
            done = work(simdisk_io(d), &applied, &safe) == OK && !simdisk_is_off(d);
            simdisk_power_off(d);
            assert_int_equal(simdisk_open_files(d), 0);
            simdisk_restart(d, kind, seed * 7919 + n);
            assert_recovers(d, applied);
            simdisk_free(d);
        }
        assert_true(n < 5000);
    }
}

static void a_power_cut_leaves_the_state_of_one_lsn(void **state UNUSED)
{
    crash_everywhere(SIMDISK_POWER_CUT);
}

static void a_kill_leaves_the_state_of_one_lsn(void **state UNUSED)
{
    crash_everywhere(SIMDISK_KILL);
}

/** One call fails, then the power goes: what the failed call may have lost must not be believed. */
static void a_failing_call_leaves_the_state_of_one_lsn(void **state UNUSED)
{
    static const err_t errors[] = {ERR_IO, ERR_NO_SPACE};
    bool reached = true;
    for (uint64_t n = 1; reached; n++) {
        for (size_t e = 0; e < ARRAY_LEN(errors); e++) {
            struct simdisk *d = fresh_disk(n);
            int64_t applied = 0;
            int64_t unused = 0;
            simdisk_set_fault(d, (struct simdisk_fault){SIMDISK_ANY_CALL, n, 1, errors[e]});
            (void)!work(simdisk_io(d), &applied, &unused);
            reached = simdisk_fault_seen(d) >= n;
            simdisk_set_fault(d, (struct simdisk_fault){0});
            /* Opened again in the same process, as the engine does; then the power goes half-way.
             */
            simdisk_crash_at(d, 1 + n % 23);
            (void)!work(simdisk_io(d), &applied, &unused);
            simdisk_power_off(d);
            simdisk_restart(d, SIMDISK_POWER_CUT, n);
            assert_recovers(d, applied);
            simdisk_free(d);
        }
        assert_true(n < 5000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_leaves_the_state_of_one_lsn),
        cmocka_unit_test(a_kill_leaves_the_state_of_one_lsn),
        cmocka_unit_test(a_failing_call_leaves_the_state_of_one_lsn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
