#include "tests/unit/snapshot/disk.h"

#define DATA "/data"
#define START INT64_C(1770042605000000) /* 2026-02-02T14:30:05Z */

void close_world(struct world *w)
{
    source_close(TAKE(w->live));
    source_close(TAKE(w->files));
    state_close(TAKE(w->state));
    store_close(TAKE(w->store));
}

void open_world(struct world *w)
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

void new_world(struct world *w, uint64_t seed)
{
    *w = (struct world){.disk = simdisk_new(seed)};
    w->io = simdisk_io(w->disk);
    clock_manual_init(&w->clock, START);
    assert_ok(io_mkdir_durable(w->io, DATA));
    assert_ok(io_mkdir_durable(w->io, DATA "/log"));
    assert_ok(io_mkdir_durable(w->io, DATA "/state"));
    open_world(w);
}

void copy_world(struct world *w, const struct world *base)
{
    *w = (struct world){.disk = simdisk_clone(base->disk), .clock = base->clock};
    w->io = simdisk_io(w->disk);
    open_world(w);
}

void free_world(struct world *w)
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

void step(struct world *w)
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

struct state_hash model_at(int64_t lsn_to)
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

void assert_restorable(struct world *w, int64_t from, int64_t to)
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

void assert_verified(struct world *w)
{
    assert_ok(snapshot_verify(w->store, NS, COLLECTION, NULL, fail_on_error, NULL));
}

static void append_name(void *arg, const char *name, bool is_dir UNUSED)
{
    buf_printf(arg, "%s ", name);
}

char *listing(struct world *w, const char *dir)
{
    struct buf out = BUF_INIT;
    assert_ok(store_list(w->store, dir, append_name, &out));
    buf_append_char(&out, '\0');
    return out.data;
}

void tell(void *arg, const char *path, err_t err, const char *text)
{
    struct told *t = arg;
    t->good += err == OK;
    t->bad += err != OK;
    if (err != OK) {
        snprintf(t->path, sizeof(t->path), "%s", path);
        assert_non_null(strstr(text, strrchr(path, '/') + 1));
    }
}
