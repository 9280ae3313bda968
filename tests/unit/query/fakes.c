#include "fakes.h"

#include <pthread.h>
#include <stdio.h>

#include "snapshot/restore.h"
#include "snapshot/snapshot.h"
#include "tests/test.h"

#define BATCH 100000

unsigned fake_restore_docs;
size_t fake_restore_doc_bytes;
int64_t fake_changes_oldest;
int fake_files_replaced;
void (*fake_changes_taken)(void);

static struct log *the_log;
static const char *the_dir;
static pthread_mutex_t flushing = PTHREAD_MUTEX_INITIALIZER;

void fakes_use(struct log *log, const char *data_dir)
{
    the_log = log;
    the_dir = data_dir;
    fake_restore_docs = 0;
    fake_changes_oldest = 0;
    fake_changes_taken = NULL;
    fake_files_replaced = 0;
    fake_restore_doc_bytes = 10;
}

char *cdc_state_path(const char *data_dir, const char *namespace_name)
{
    return xasprintf("%s/%s.db", data_dir, namespace_name);
}

char *cdc_stream_name(const char *namespace_name)
{
    bool is_default = strcmp(namespace_name, "default") == 0;
    return is_default ? xstrdup("events") : xasprintf("%s.events", namespace_name);
}

/* The engine ---------------------------------------------------------------------------------- */

static size_t read_batch(const uint8_t *batch, const struct batch_header *h, int64_t from,
                         struct arena *arena, struct change *out, size_t cap)
{
    struct record_reader records;
    struct record rec;
    const char *reason;
    size_t count = 0;
    assert_ok(record_reader_open(&records, batch, batch_total_bytes(h), MIB(64)));
    while (record_reader_next(&records, &rec) == OK) {
        /* change_parse borrows from the value, which lives as long as this batch */
        rec.value.data = arena_strndup(arena, rec.value.data, rec.value.len);
        assert_true(count < cap);
        if (rec.offset >= from && change_parse(&rec, -1, arena, &out[count], &reason) == CHANGE_IS)
            count++;
    }
    record_reader_close(&records);
    return count;
}

static void apply_all(struct shard *shard, const char *path)
{
    struct state *state;
    int64_t cursor;
    struct log_reader reader;
    const uint8_t *batch;
    struct batch_header h;
    struct change *changes = xcalloc(BATCH, sizeof(*changes));
    assert_ok(state_open(io_posix(), path, &state));
    assert_ok(state_cursor(state, &cursor));
    assert_ok(log_reader_open(&reader, shard, cursor));
    while (log_reader_next(&reader, &batch, &h) == OK) {
        struct arena arena = ARENA_INIT;
        size_t count = read_batch(batch, &h, cursor, &arena, changes, BATCH);
        cursor = batch_next_offset(&h);
        assert_ok(state_apply(state, changes, count, cursor));
        arena_release(&arena);
    }
    log_reader_close(&reader);
    state_close(state);
    free(changes);
}

err_t cdc_flush(struct cdc *c, const char *namespace_name, bool deltas, int timeout_ms)
{
    (void)c;
    (void)deltas;
    (void)timeout_ms;
    if (namespace_name == NULL)
        namespace_name = "default";
    char *name = cdc_stream_name(namespace_name);
    char *path = cdc_state_path(the_dir, namespace_name);
    struct stream *s = log_find_stream(the_log, name, strlen(name));
    pthread_mutex_lock(&flushing);
    if (s != NULL)
        apply_all(stream_shard(s, 0), path);
    pthread_mutex_unlock(&flushing);
    free(path);
    free(name);
    return OK;
}

/* Snapshot/ ----------------------------------------------------------------------------------- */

err_t source_open(const struct source_options *options, struct source **ret_source)
{
    (void)options;
    *ret_source = xcalloc(1, 1);
    return OK;
}

void source_close(struct source *s)
{
    free(s);
}

err_t drill_last(struct store *s UNUSED, const char *namespace_name UNUSED,
                 struct slice collection UNUSED, struct drill_result *ret UNUSED)
{
    return ERR_NOT_FOUND;
}

void drill_to_json(const struct drill_result *r UNUSED, struct buf *out UNUSED)
{
    fail_msg("no drill is known here");
}

err_t rebuild_plan(struct source *s, const char *namespace_name, struct slice collection,
                   const struct target *t, struct rebuild_plan *ret)
{
    (void)s;
    (void)namespace_name;
    (void)collection;
    if (t->kind == TARGET_AT)
        return err_fail(ERR_VALIDATION, "that lies in the future");
    *ret = (struct rebuild_plan){
        .log_from = 3, .log_to = 9, .lsn_to = t->value + 1, .ts_max_us = INT64_MAX};
    if (t->kind == TARGET_SNAPSHOT) {
        ret->snapshot = (struct store_file){.path = xstrdup("snapshots/full.parquet"), .lsn_to = 1};
        ret->lsn_to = 1;
    }
    return OK;
}

void rebuild_plan_free(struct rebuild_plan *p)
{
    free(p->snapshot.path);
}

struct rebuild {
    unsigned at;
};

err_t rebuild_open(struct source *s, const char *namespace_name, struct slice collection,
                   const struct rebuild_plan *p, struct rebuild **ret)
{
    (void)s;
    (void)namespace_name;
    (void)collection;
    (void)p;
    *ret = xcalloc(1, sizeof(**ret));
    return OK;
}

/* Three documents, then damage. */
err_t rebuild_next(struct rebuild *r, struct state_doc *ret)
{
    static const char *const ids[] = {"a", "b", "c"};
    if (r->at == ARRAY_LEN(ids))
        return err_fail(ERR_CORRUPT, "deltas/000001.parquet is damaged");
    *ret = (struct state_doc){.id = slice_of(ids[r->at]), .doc = SLICE("{}"), .lsn = r->at};
    r->at++;
    return OK;
}

void rebuild_close(struct rebuild *r)
{
    free(r);
}

struct store *source_store(const struct source *s)
{
    (void)s;
    return NULL;
}

/* The snapshot "full" has the document "b" and no other. */
struct docs_reader {
    bool has;
};

err_t docs_open(struct store *s, const char *dir, const struct store_file *file,
                const struct slice *id, struct docs_reader **ret)
{
    (void)s;
    (void)file;
    assert_string_equal(dir, "default/c");
    if (fake_files_replaced > 0 && fake_files_replaced-- > 0)
        return err_fail(ERR_CORRUPT, "snapshots/full.parquet is damaged");
    *ret = xcalloc(1, sizeof(**ret));
    (*ret)->has = slice_equal(*id, SLICE("b"));
    return OK;
}

err_t docs_next(struct docs_reader *r, struct state_doc *ret)
{
    if (!r->has)
        return ERR_END;
    *ret = (struct state_doc){.id = SLICE("b"), .doc = SLICE("{\"base\":1}"), .lsn = 0};
    return OK;
}

void docs_close(struct docs_reader *r)
{
    free(r);
}

err_t changes_each(struct source *s, const char *namespace_name, struct slice collection,
                   const struct slice *doc_id, struct change_range range,
                   bool (*fn)(void *arg, const struct change *c), void *arg, int64_t *ret_oldest)
{
    (void)s;
    (void)namespace_name;
    (void)collection;
    *ret_oldest = fake_changes_oldest;
    if (range.from < fake_changes_oldest)
        return err_fail(ERR_OFFSET_OUT_OF_RANGE, "gone");
    const struct change changes[] = {
        {.op = CHANGE_INSERT, .lsn = 1, .doc_id = SLICE("b"), .doc = SLICE("{}"), .expect = -1},
        {.op = CHANGE_UPDATE, .lsn = 2, .doc_id = SLICE("b"), .doc = SLICE("{"), .skipped = true},
        {.op = CHANGE_DELETE, .lsn = 3, .doc_id = SLICE("b"), .expect = -1},
    };
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        if (fake_changes_taken != NULL && i > 0)
            fake_changes_taken();
        if (changes[i].lsn >= range.from && changes[i].lsn < range.to &&
            slice_equal(changes[i].doc_id, *doc_id) && !fn(arg, &changes[i]))
            break;
    }
    return OK;
}

err_t restore_diff(struct source *s, const char *namespace_name, struct slice collection,
                   const struct rebuild_plan *plan, const struct restore_filter *filter,
                   err_t (*fn)(void *arg, const struct compensation *c), void *arg,
                   struct restore_counts *ret)
{
    (void)s;
    (void)namespace_name;
    (void)collection;
    (void)plan;
    if (filter->max_changes > 0 && fake_restore_docs > filter->max_changes)
        return err_fail(ERR_VALIDATION, "%u changes would be made", fake_restore_docs);
    char *doc = xmalloc(fake_restore_doc_bytes + 16);
    int len = sprintf(doc, "{\"x\":\"%0*d\"}", (int)fake_restore_doc_bytes, 7);
    err_t err = OK;
    for (unsigned i = 0; i < fake_restore_docs && fn != NULL && err == OK; i++) {
        char id[16];
        struct compensation c = {.op = CHANGE_INSERT,
                                 .id = {id, (size_t)sprintf(id, "r%06u", i)},
                                 .doc = {doc, (size_t)len},
                                 .expect = 0};
        err = fn(arg, &c);
    }
    free(doc);
    if (err == OK)
        *ret = (struct restore_counts){.inserts = fake_restore_docs};
    return err;
}

err_t snapshot_list_read(struct store *s, const char *namespace_name, struct slice collection,
                         struct snapshot_list *ret)
{
    (void)s;
    (void)namespace_name;
    (void)collection;
    *ret = (struct snapshot_list){0};
    return OK;
}

void snapshot_list_free(struct snapshot_list *l)
{
    (void)l;
}

err_t snapshot_create(struct source *src, const char *namespace_name, struct slice collection,
                      enum snapshot_type type, struct snapshot *ret)
{
    (void)src;
    (void)namespace_name;
    (void)collection;
    *ret = (struct snapshot){
        .name = xstrdup("20260202T143000-11"),
        .type = type,
        .file = {.path = xstrdup("snapshots/x.parquet"), .lsn_to = 12, .rows = 3}};
    return OK;
}

const char *snapshot_type_name(enum snapshot_type type)
{
    return type == SNAPSHOT_MANUAL ? "manual" : "other";
}

void snapshot_free(struct snapshot *s)
{
    free(s->name);
    free(s->file.path);
}

err_t snapshot_cleanup(struct source *src UNUSED, const char *namespace_name UNUSED,
                       struct slice collection UNUSED, const struct retention *r,
                       bool dry_run UNUSED, void (*fn)(void *arg, const char *path, uint64_t size),
                       void *arg)
{
    for (unsigned i = 0; i < r->daily_keep; i++)
        fn(arg, "users/x.parquet", 7);
    return OK;
}

err_t snapshot_delete(struct source *src UNUSED, const char *namespace_name UNUSED,
                      struct slice collection UNUSED, struct slice name)
{
    return slice_equal(name, SLICE("there")) ? OK : err_fail(ERR_NOT_FOUND, "no such snapshot");
}

/* Compaction: one namespace, two collections of which the store has one ----------------------- */

err_t source_each_collection(struct source *s UNUSED, const char *namespace_name UNUSED,
                             err_t (*fn)(void *arg, const char *namespace_name,
                                         struct slice collection),
                             void *arg)
{
    TRY(fn(arg, "default", SLICE("users")));
    return fn(arg, "default", SLICE("new"));
}

err_t snapshot_compact(struct source *src UNUSED, const char *namespace_name UNUSED,
                       struct slice collection)
{
    return slice_equal(collection, SLICE("users")) ? OK : err_fail(ERR_NOT_FOUND, "no files yet");
}
