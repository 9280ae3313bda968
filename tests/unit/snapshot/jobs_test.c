/* Snapshots, compaction and cleanup on the simulated disk, with a crash or a failing call at every
 * place: old files or new files, all whole, and the collection's state can be made from them. */
#include "tests/test.h"

#include <stdio.h>

#include "cdc/state.h"
#include "snapshot/snapshot.h"
#include "tests/sim/simdisk.h"

#define NS "shop"
#define COLLECTION SLICE("orders")
#define DATA "/data"
#define STORE DATA "/store"
#define DIR_PATH STORE "/shop/orders"
#define DAY INT64_C(86400000000)
#define START INT64_C(1770042605000000) /* 2026-02-02T14:30:05Z */
#define CHANGES 6                       /* of one delta */

struct world {
    struct simdisk *disk;
    struct io *io;
    struct clock_manual clock;
    struct store *store;
    struct state *state;
    struct source *live;  /* with the data directory */
    struct source *files; /* the store alone */
};

/* The world ----------------------------------------------------------------------------------- */

static void close_world(struct world *w)
{
    source_close(TAKE(w->live));
    source_close(TAKE(w->files));
    state_close(TAKE(w->state));
    store_close(TAKE(w->store));
}

static void open_world(struct world *w)
{
    CLEANUP(xfree_ptr) char *path = cdc_state_path(DATA, NS);
    assert_ok(store_open(w->io, STORE, true, &w->store));
    assert_ok(state_open(w->io, path, &w->state));
    struct source_options o = {
        .io = w->io, .clock = &w->clock.base, .data_dir = DATA, .store = w->store};
    assert_ok(source_open(&o, &w->live));
    o.data_dir = NULL;
    assert_ok(source_open(&o, &w->files));
}

static void new_world(struct world *w, uint64_t seed)
{
    *w = (struct world){.disk = simdisk_new(seed)};
    w->io = simdisk_io(w->disk);
    clock_manual_init(&w->clock, START);
    assert_ok(io_mkdir_durable(w->io, DATA));
    assert_ok(io_mkdir_durable(w->io, DATA "/log"));
    assert_ok(io_mkdir_durable(w->io, DATA "/state"));
    open_world(w);
}

static void free_world(struct world *w)
{
    close_world(w);
    assert_int_equal(simdisk_open_files(w->disk), 0);
    simdisk_free(w->disk);
}

static void fill(struct change *c, int64_t lsn, int64_t ts_us, char text[64])
{
    int n = snprintf(text, 64, "doc%lld{\"lsn\":%lld}", (long long)(lsn * 7 % 11), (long long)lsn);
    const char *brace = strchr(text, '{');
    size_t id = (size_t)(brace - text);
    *c = (struct change){.op = lsn % 5 == 4 ? CHANGE_DELETE : CHANGE_UPDATE,
                         .lsn = lsn,
                         .ts_us = ts_us,
                         .collection = COLLECTION,
                         .doc_id = {text, id},
                         .expect = -1};
    if (c->op != CHANGE_DELETE)
        c->doc = (struct slice){brace, (size_t)n - id};
}

static void add_to_manifest(struct world *w, struct store_file *f)
{
    struct collection_manifest m = {0};
    err_t err = collection_manifest_read(w->store, NS, COLLECTION, &m);
    if (err == ERR_NOT_FOUND) {
        m.namespace_name = xstrdup(NS);
        m.collection = xstrdup("orders");
        m.next_delta_number = 1;
    } else {
        assert_ok(err);
    }
    m.deltas = xrealloc(m.deltas, (m.delta_count + 1) * sizeof(*m.deltas));
    m.deltas[m.delta_count++] = *f;
    m.next_delta_number++;
    assert_ok(collection_manifest_write(w->store, &m));
    collection_manifest_free(&m);
    char *names[] = {(char[]){"orders"}};
    const struct namespace_manifest ns = {(char[]){NS}, f->lsn_to, w->clock.now_wall_us,
                                          names,        1,         w->clock.now_wall_us};
    assert_ok(namespace_manifest_write(w->store, &ns));
}

static uint64_t next_number(struct world *w)
{
    struct collection_manifest m;
    if (collection_manifest_read(w->store, NS, COLLECTION, &m) != OK)
        return 1;
    uint64_t n = m.next_delta_number;
    collection_manifest_free(&m);
    return n;
}

/** What the cdc job does: CHANGES more changes into the state and a delta. */
static void step(struct world *w)
{
    struct change changes[CHANGES];
    const struct change *all[CHANGES];
    char texts[CHANGES][64];
    struct state_collection c;
    struct store_file f;
    int64_t from;
    assert_ok(state_cursor(w->state, &from));
    for (int i = 0; i < CHANGES; all[i] = &changes[i], i++)
        fill(&changes[i], from + i, w->clock.now_wall_us, texts[i]);
    assert_ok(state_apply(w->state, changes, CHANGES, from + CHANGES));
    assert_ok(delta_write(w->store, "shop/orders", next_number(w), w->clock.now_wall_us, all,
                          CHANGES, &f));
    assert_ok(state_find_collection(w->state, COLLECTION, &c));
    f.lsn_from = from;
    f.lsn_to = from + CHANGES;
    f.state_hash = c.hash;
    f.state_count = c.count;
    f.made_us = w->clock.now_wall_us;
    free(c.name);
    add_to_manifest(w, &f);
}

/** The documents as of an LSN, from the store's files alone. */
static struct state_hash hash_at(struct world *w, int64_t lsn_to)
{
    const struct target t = {.kind = TARGET_LSN, .value = lsn_to - 1};
    struct rebuild_plan plan;
    struct rebuild *r;
    struct state_doc doc;
    uint64_t rows;
    assert_ok(rebuild_plan(w->files, NS, COLLECTION, &t, &plan));
    assert_ok(rebuild_open(w->files, NS, COLLECTION, &plan, &r));
    err_t err;
    while ((err = rebuild_next(r, &doc)) == OK)
        ;
    if (err != ERR_END)
        fail_msg("%s", err_text(err));
    struct state_hash h = rebuild_hash(r, &rows);
    rebuild_close(r);
    rebuild_plan_free(&plan);
    return h;
}

/** The hash that applying changes one by one gives, from nothing. */
static struct state_hash model_at(int64_t lsn_to)
{
    struct state_hash h = {0};
    for (int64_t key = 0; key < 11; key++) {
        for (int64_t lsn = lsn_to - 1; lsn >= 0; lsn--) {
            struct change c;
            char text[64];
            if (lsn * 7 % 11 != key)
                continue;
            fill(&c, lsn, 0, text);
            if (c.op != CHANGE_DELETE)
                state_hash_add(&h, state_hash_of(c.doc_id, c.doc));
            break;
        }
    }
    return h;
}

static void assert_restorable(struct world *w, int64_t from, int64_t to)
{
    for (int64_t lsn = from; lsn <= to; lsn++) {
        struct state_hash got = hash_at(w, lsn), want = model_at(lsn);
        if (memcmp(&got, &want, sizeof(got)) != 0)
            fail_msg("another state as of LSN %lld", (long long)lsn);
    }
}

static void fail_on_error(void *arg UNUSED, const char *path, err_t err, const char *text)
{
    if (err != OK)
        fail_msg("%s: %s", path, text);
}

static void assert_verified(struct world *w)
{
    assert_ok(snapshot_verify(w->store, NS, COLLECTION, NULL, fail_on_error, NULL));
}

static void append_name(void *arg, const char *name, bool is_dir UNUSED)
{
    buf_printf(arg, "%s ", name);
}

static char *listing(struct world *w, const char *dir)
{
    struct buf out = BUF_INIT;
    assert_ok(store_list(w->store, dir, append_name, &out));
    buf_append_char(&out, '\0');
    return out.data;
}

/* Snapshots ----------------------------------------------------------------------------------- */

static void snapshots_are_named_by_utc_and_hold_the_state(void **state UNUSED)
{
    struct world w;
    struct snapshot s;
    new_world(&w, 1);
    assert_int_equal(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_DAILY, &s), ERR_NOT_FOUND);
    step(&w);
    static const struct {
        enum snapshot_type type;
        const char *name;
    } rows[] = {{SNAPSHOT_DAILY, "2026-02-02"},
                {SNAPSHOT_MONTHLY, "2026-02"},
                {SNAPSHOT_MANUAL, "2026-02-02T14-30-05Z-5"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_ok(snapshot_create(w.live, NS, COLLECTION, rows[i].type, &s));
        assert_string_equal(s.name, rows[i].name);
        assert_int_equal(s.file.lsn_to, CHANGES);
        struct state_hash want = model_at(CHANGES);
        assert_memory_equal(&s.file.state_hash, &want, sizeof(want));
        snapshot_free(&s);
        if (rows[i].type != SNAPSHOT_MANUAL)
            assert_int_equal(snapshot_create(w.live, NS, COLLECTION, rows[i].type, &s), ERR_EXISTS);
    }
    assert_ok(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_MANUAL, &s));
    assert_string_equal(s.name, rows[2].name); /* of the same second and LSN: the same */
    snapshot_free(&s);
    assert_int_equal(snapshot_create(w.files, NS, COLLECTION, SNAPSHOT_MANUAL, &s), ERR_NOT_FOUND);
    assert_int_equal(snapshot_create(w.live, NS, SLICE("other"), SNAPSHOT_DAILY, &s),
                     ERR_NOT_FOUND);
    step(&w);
    clock_manual_advance_us(&w.clock, DAY);
    assert_ok(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_DAILY, &s));
    snapshot_free(&s);
    struct snapshot_list l;
    assert_ok(snapshot_list_read(w.store, NS, COLLECTION, &l));
    assert_int_equal(l.count, 4);
    assert_string_equal(l.items[0].name, "2026-02");
    assert_string_equal(l.items[3].name, "2026-02-03");
    assert_int_equal(l.items[3].file.lsn_to, 2 * CHANGES);
    snapshot_list_free(&l);
    assert_verified(&w);
    assert_int_equal(snapshot_verify(w.store, NS, COLLECTION, "nope", NULL, NULL), ERR_NOT_FOUND);
    free_world(&w);
}

struct told {
    unsigned bad, good;
    char path[200];
};

static void tell(void *arg, const char *path, err_t err, const char *text)
{
    struct told *t = arg;
    t->good += err == OK;
    t->bad += err != OK;
    if (err != OK) {
        snprintf(t->path, sizeof(t->path), "%s", path);
        assert_non_null(strstr(text, strrchr(path, '/') + 1));
    }
}

/** Damages one byte of a file, behind the store's back. */
static void damage(struct world *w, const char *path)
{
    struct io_file *f;
    uint64_t size;
    char byte;
    size_t got;
    assert_ok(io_open(w->io, path, IO_WRITE, &f));
    assert_ok(io_file_size(f, &size));
    assert_ok(io_file_pread(f, &byte, 1, size / 2, &got));
    byte ^= 0x10;
    assert_ok(io_file_pwrite(f, &byte, 1, size / 2));
    io_file_close(f);
}

static void verification_names_the_damaged_file(void **state UNUSED)
{
    static const char *const paths[] = {"shop/orders/manifest.json", "shop/orders/data.parquet",
                                        "shop/orders/deltas/000001_2026-02-02T14-30.parquet",
                                        "shop/orders/snapshots/manifest.json",
                                        "shop/orders/snapshots/2026-02-02.parquet"};
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        struct world w;
        struct snapshot s;
        struct told told = {0};
        new_world(&w, 1);
        step(&w);
        assert_ok(snapshot_create(w.live, NS, COLLECTION, SNAPSHOT_DAILY, &s));
        snapshot_free(&s);
        assert_ok(snapshot_compact(w.files, NS, COLLECTION));
        assert_verified(&w);
        CLEANUP(xfree_ptr) char *full = xasprintf(STORE "/%s", paths[i]);
        damage(&w, full);
        assert_int_equal(snapshot_verify(w.store, NS, COLLECTION, NULL, tell, &told), ERR_CORRUPT);
        assert_int_equal(told.bad, 1);
        assert_string_equal(told.path, paths[i]);
        free_world(&w);
    }
}

/* Compaction ---------------------------------------------------------------------------------- */

static void compaction_keeps_every_change(void **state UNUSED)
{
    struct world w;
    new_world(&w, 1);
    assert_ok(snapshot_compact(w.files, NS, COLLECTION)); /* nothing is there yet */
    for (int day = 0; day < 2; day++) {
        for (int i = 0; i < 40; i++)
            step(&w);
        clock_manual_advance_us(&w.clock, DAY);
    }
    assert_ok(snapshot_compact(w.files, NS, COLLECTION));
    struct collection_manifest m;
    assert_ok(collection_manifest_read(w.store, NS, COLLECTION, &m));
    assert_int_equal(m.delta_count, 2); /* one of each day */
    assert_int_equal(m.deltas[0].rows, 40 * CHANGES);
    assert_int_equal(m.deltas[1].rows, 40 * CHANGES);
    assert_int_equal(m.deltas[1].lsn_to, 80 * CHANGES);
    assert_true(m.has_data);
    assert_int_equal(m.data.lsn_to, 80 * CHANGES);
    struct state_hash want = model_at(80 * CHANGES);
    assert_memory_equal(&m.data.state_hash, &want, sizeof(want));
    CLEANUP(xfree_ptr) char *stay = listing(&w, "shop/orders/deltas");
    assert_ok(snapshot_compact(w.files, NS, COLLECTION)); /* removes what the first replaced */
    CLEANUP(xfree_ptr) char *left = listing(&w, "shop/orders/deltas");
    assert_true(strlen(stay) > strlen(left));
    CLEANUP(xfree_ptr)
    char *two = xasprintf("%s %s ", m.deltas[1].path + 7, m.deltas[0].path + 7);
    CLEANUP(xfree_ptr)
    char *other = xasprintf("%s %s ", m.deltas[0].path + 7, m.deltas[1].path + 7);
    assert_true(strcmp(left, two) == 0 || strcmp(left, other) == 0);
    collection_manifest_free(&m);
    assert_verified(&w);
    for (int64_t lsn = 1; lsn <= 80 * CHANGES; lsn += 37)
        assert_restorable(&w, lsn, lsn);
    free_world(&w);
}

/** What the manifest says of data.parquet. */
static struct store_file data_file(struct world *w, uint64_t new_size)
{
    struct collection_manifest m;
    assert_ok(collection_manifest_read(w->store, NS, COLLECTION, &m));
    struct store_file f = m.data;
    f.path = NULL;
    if (new_size > 0) {
        m.data.size = new_size;
        assert_ok(collection_manifest_write(w->store, &m));
    }
    collection_manifest_free(&m);
    return f;
}

static void data_is_written_by_the_clock_where_it_pays(void **state UNUSED)
{
    struct world w;
    bool written;
    new_world(&w, 1);
    step(&w);
    assert_ok(snapshot_compact_if_it_pays(w.files, NS, COLLECTION, &written));
    assert_true(written); /* there was none */
    assert_ok(snapshot_compact_if_it_pays(w.files, NS, COLLECTION, &written));
    assert_false(written);                  /* nothing is new */
    clock_manual_advance_us(&w.clock, DAY); /* so that no deltas are merged */
    step(&w);
    uint64_t size = data_file(&w, MIB(64)).size; /* as if it were large */
    assert_ok(snapshot_compact_if_it_pays(w.files, NS, COLLECTION, &written));
    assert_false(written);
    assert_int_equal(data_file(&w, size).lsn_to, CHANGES);
    assert_ok(snapshot_compact_if_it_pays(w.files, NS, COLLECTION, &written));
    assert_true(written); /* it is small */
    assert_int_equal(data_file(&w, 0).lsn_to, 2 * CHANGES);
    free_world(&w);
}

static void a_state_that_does_not_follow_is_not_compacted(void **state UNUSED)
{
    struct world w;
    struct collection_manifest m;
    new_world(&w, 1);
    step(&w);
    assert_ok(collection_manifest_read(w.store, NS, COLLECTION, &m));
    m.deltas[0].state_hash.low++;
    assert_ok(collection_manifest_write(w.store, &m));
    assert_int_equal(snapshot_compact(w.files, NS, COLLECTION), ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), m.deltas[0].path));
    collection_manifest_free(&m);
    assert_ok(collection_manifest_read(w.store, NS, COLLECTION, &m));
    assert_false(m.has_data);
    collection_manifest_free(&m);
    free_world(&w);
}

/* Cleanup ------------------------------------------------------------------------------------- */

static const struct retention keep_ten_days = {3, 1, 10};

static void count_removed(void *arg, const char *path, uint64_t size)
{
    assert_non_null(strstr(path, ".parquet"));
    assert_true(size > 0);
    ++*(unsigned *)arg;
}

/** A delta and a daily snapshot on each of 20 days. */
static void twenty_days(struct world *w)
{
    for (int day = 0; day < 20; day++) {
        struct snapshot s;
        step(w);
        assert_ok(snapshot_create(w->live, NS, COLLECTION, SNAPSHOT_DAILY, &s));
        snapshot_free(&s);
        clock_manual_advance_us(&w->clock, DAY);
    }
}

static void cleanup_says_first_and_then_does(void **state UNUSED)
{
    struct world w;
    unsigned dry = 0, wet = 0, again = 0;
    new_world(&w, 1);
    twenty_days(&w);
    CLEANUP(xfree_ptr) char *before = listing(&w, "shop/orders/deltas");
    assert_ok(snapshot_cleanup(w.files, NS, COLLECTION, &keep_ten_days, true, count_removed, &dry));
    CLEANUP(xfree_ptr) char *after_dry = listing(&w, "shop/orders/deltas");
    assert_string_equal(before, after_dry);
    assert_restorable(&w, 1, 20 * CHANGES);
    assert_ok(
        snapshot_cleanup(w.files, NS, COLLECTION, &keep_ten_days, false, count_removed, &wet));
    /* Now is day 20; the window begins with day 10, and the snapshot of that moment is day 10's
     * own: deltas of days 0 to 9 leave, with the snapshots but the base and the newest three. */
    assert_int_equal(dry, wet);
    assert_in_range(wet, 20, 30);
    assert_ok(
        snapshot_cleanup(w.files, NS, COLLECTION, &keep_ten_days, false, count_removed, &again));
    assert_int_equal(again, 0);
    assert_verified(&w);
    struct collection_manifest m;
    assert_ok(collection_manifest_read(w.store, NS, COLLECTION, &m));
    assert_true(m.lsn_from > 0 && m.lsn_from <= 11 * CHANGES);
    assert_restorable(&w, 11 * CHANGES, 20 * CHANGES);
    collection_manifest_free(&m);
    free_world(&w);
}

static void a_damaged_base_keeps_the_deltas(void **state UNUSED)
{
    struct world w;
    new_world(&w, 1);
    twenty_days(&w);
    damage(&w, DIR_PATH "/snapshots/2026-02-12.parquet");
    CLEANUP(xfree_ptr) char *before = listing(&w, "shop/orders/deltas");
    assert_int_equal(snapshot_cleanup(w.files, NS, COLLECTION, &keep_ten_days, false, NULL, NULL),
                     ERR_CORRUPT);
    assert_non_null(strstr(err_text(ERR_CORRUPT), "2026-02-12"));
    CLEANUP(xfree_ptr) char *after = listing(&w, "shop/orders/deltas");
    assert_string_equal(before, after);
    free_world(&w);
}

/* Crashes and faults -------------------------------------------------------------------------- */

static err_t all_jobs(struct world *w)
{
    struct snapshot s;
    err_t err = snapshot_create(w->live, NS, COLLECTION, SNAPSHOT_MANUAL, &s);
    if (err == OK)
        snapshot_free(&s);
    if (err == OK || err == ERR_EXISTS)
        err = snapshot_compact(w->files, NS, COLLECTION);
    if (err == OK)
        err = snapshot_cleanup(w->files, NS, COLLECTION, &keep_ten_days, false, NULL, NULL);
    return err;
}

/** Days enough for something to leave, two deltas on the last so that something merges, and
 * compacted data that is to be replaced. */
static void busy_world(struct world *w, uint64_t seed)
{
    new_world(w, seed);
    for (int day = 0; day < 4; day++) {
        struct snapshot s;
        step(w);
        step(w);
        assert_ok(snapshot_create(w->live, NS, COLLECTION, SNAPSHOT_DAILY, &s));
        snapshot_free(&s);
        if (day == 1)
            assert_ok(snapshot_compact(w->files, NS, COLLECTION));
        clock_manual_advance_us(&w->clock, 5 * DAY);
    }
}

static void assert_no_orphans(struct world *w)
{
    struct collection_manifest m;
    assert_ok(collection_manifest_read(w->store, NS, COLLECTION, &m));
    for (size_t i = 0; i < m.delta_count; i++)
        assert_string_not_equal(m.deltas[i].path, "");
    size_t words = 0;
    CLEANUP(xfree_ptr) char *left = listing(w, "shop/orders/deltas");
    for (const char *c = left; *c != '\0'; c++)
        words += *c == ' ';
    assert_int_equal(words, m.delta_count);
    collection_manifest_free(&m);
}

static void check_after(struct world *w)
{
    assert_verified(w);
    assert_restorable(w, 6 * CHANGES, 8 * CHANGES);
    assert_ok(all_jobs(w));
    assert_ok(all_jobs(w)); /* the second removes what the first one's merge replaced */
    assert_verified(w);
    assert_no_orphans(w);
    assert_restorable(w, 6 * CHANGES, 8 * CHANGES);
}

static void a_crash_at_any_call_leaves_whole_files(void **state UNUSED)
{
    struct world base;
    busy_world(&base, 3);
    close_world(&base);
    bool reached = true;
    for (uint64_t call = 1; reached; call++) {
        assert_true(call < 1000);
        struct world w = {.disk = simdisk_clone(base.disk), .clock = base.clock};
        w.io = simdisk_io(w.disk);
        open_world(&w);
        simdisk_crash_at(w.disk, call);
        err_t err = all_jobs(&w);
        reached = simdisk_is_off(w.disk);
        assert_true(reached || err == OK);
        simdisk_power_off(w.disk);
        close_world(&w);
        assert_int_equal(simdisk_open_files(w.disk), 0);
        simdisk_restart(w.disk, SIMDISK_POWER_CUT, call * 31);
        open_world(&w);
        check_after(&w);
        free_world(&w);
    }
    simdisk_free(base.disk);
}

static void a_failing_call_leaves_whole_files(void **state UNUSED)
{
    struct world base;
    busy_world(&base, 5);
    close_world(&base);
    bool reached = true;
    for (uint64_t call = 1; reached; call++) {
        assert_true(call < 3000);
        struct world w = {.disk = simdisk_clone(base.disk), .clock = base.clock};
        w.io = simdisk_io(w.disk);
        open_world(&w);
        simdisk_set_fault(w.disk, (struct simdisk_fault){SIMDISK_WRITE | SIMDISK_SYNC |
                                                             SIMDISK_SYNC_DIR | SIMDISK_ENTRY,
                                                         call, 1, ERR_NO_SPACE});
        err_t err = all_jobs(&w);
        reached = simdisk_fault_seen(w.disk) >= call;
        assert_true(err == (reached ? ERR_NO_SPACE : OK));
        simdisk_set_fault(w.disk, (struct simdisk_fault){0});
        check_after(&w);
        free_world(&w);
    }
    simdisk_free(base.disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(snapshots_are_named_by_utc_and_hold_the_state),
        cmocka_unit_test(verification_names_the_damaged_file),
        cmocka_unit_test(compaction_keeps_every_change),
        cmocka_unit_test(data_is_written_by_the_clock_where_it_pays),
        cmocka_unit_test(a_state_that_does_not_follow_is_not_compacted),
        cmocka_unit_test(cleanup_says_first_and_then_does),
        cmocka_unit_test(a_damaged_base_keeps_the_deltas),
        cmocka_unit_test(a_crash_at_any_call_leaves_whole_files),
        cmocka_unit_test(a_failing_call_leaves_whole_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
