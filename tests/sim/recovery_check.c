/*
 * tests/sim/recovery_check.c: what must hold of state and store, at any time.
 *
 *   K1  the log has what was acknowledged; the store covers what it said it did, and no more than
 *       the log has; the state's cursor is not ahead of the log.
 *   K2  every file that a manifest names is there and whole.
 *   K3  a collection's deltas hold every change of their range once, as the log said it, with the
 *       outcome that the model gives it; each range's end has the state hash recorded with it.
 *   K4  the state, each snapshot, and what the store alone gives for a covered LSN are the model's
 *       documents.
 *   K5  dead letters are noted once each.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/recovery.h"

/* Documents ----------------------------------------------------------------------------------- */

typedef err_t (*next_fn)(void *arg, struct state_doc *ret);

/** Takes a stream of documents apart: they are those of `wanted`, sorted, each once. */
static void compare_docs(struct recovery *w, const char *what, const struct rec_docs *wanted,
                         next_fn next, void *arg)
{
    struct state_doc doc;
    unsigned found = 0;
    unsigned there = 0;
    err_t err;
    for (unsigned id = 0; id < REC_IDS; id++)
        there += wanted->at[id] >= 0;
    while ((err = next(arg, &doc)) == OK) {
        char text[16] = "";
        memcpy(text, doc.id.data, MIN(doc.id.len, sizeof(text) - 1));
        unsigned long id = strtoul(text + 1, NULL, 10);
        int64_t lsn = id < REC_IDS ? wanted->at[id] : -1;
        if (lsn < 0 || lsn != doc.lsn || !slice_equal(doc.doc, slice_of(w->model.events[lsn].doc)))
            rec_fail(w, "%s: document %s of LSN %lld should be of LSN %lld", what, text,
                     (long long)doc.lsn, (long long)lsn);
        found++;
    }
    if (err != ERR_END)
        rec_fail(w, "%s: %s", what, err_text(err));
    else if (found != there)
        rec_fail(w, "%s: %u documents instead of %u", what, found, there);
}

static void compare_hash(struct recovery *w, const char *what, const struct rec_docs *wanted,
                         const struct state_hash *hash, uint64_t count)
{
    uint64_t rows;
    struct state_hash h = rec_model_hash(&w->model, wanted, &rows);
    if (count != rows || h.low != hash->low || h.high != hash->high)
        rec_fail(w, "%s: another state hash or count is recorded: %llu documents, not %llu", what,
                 (unsigned long long)count, (unsigned long long)rows);
}

/* The state ----------------------------------------------------------------------------------- */

static err_t next_of_scan(void *arg, struct state_doc *ret)
{
    return state_scan_next(arg, ret);
}

static void check_collection(struct recovery *w, struct state *s, unsigned collection,
                             int64_t cursor)
{
    struct state_collection c;
    struct state_scan *scan;
    struct rec_docs wanted;
    rec_model_docs(&w->model, collection, cursor, &wanted);
    err_t err = state_find_collection(s, rec_collection(collection), &c);
    if (err == ERR_NOT_FOUND) {
        for (unsigned id = 0; id < w->ids; id++)
            if (wanted.at[id] >= 0)
                rec_fail(w, "the state lacks the collection %u", collection);
        return;
    }
    rec_expect(w, err, "a collection of the state");
    if (err != OK)
        return;
    free(c.name);
    compare_hash(w, "the state", &wanted, &c.hash, c.count);
    err = state_scan_open(s, c.id, &scan);
    rec_expect(w, err, "a scan of the state");
    if (err != OK)
        return;
    compare_docs(w, "the state", &wanted, next_of_scan, scan);
    state_scan_close(scan);
}

/** Dead letters seen so far, by LSN of shard 0 and of the other. */
struct letters {
    struct recovery *w;
    uint8_t *seen;
    int64_t other_seen, other_max;
};

static bool on_letter(void *arg, unsigned shard, int64_t lsn, const char *reason)
{
    struct letters *l = arg;
    if (shard != 0) {
        l->other_seen++;
        l->other_max = MAX(l->other_max, lsn);
    } else if (lsn < 0 || lsn >= l->w->model.end || l->w->model.events[lsn].kind != REC_MALFORMED ||
               l->seen[lsn]++ > 0) {
        rec_fail(l->w, "LSN %lld is a dead letter without reason, or twice: %s", (long long)lsn,
                 reason);
    }
    return true;
}

static void check_letters(struct recovery *w, struct state *s, int64_t cursor)
{
    CLEANUP(xfree_ptr) uint8_t *seen = xcalloc((size_t)w->model.end + 1, 1);
    struct letters l = {w, seen, 0, -1};
    int64_t other = 0;
    rec_expect(w, state_each_dead_letter(s, on_letter, &l), "dead letters");
    rec_expect(w, state_shard_cursor(s, 1, &other), "a shard's cursor");
    for (int64_t lsn = w->letters_from; lsn < cursor; lsn++)
        if (w->model.events[lsn].kind == REC_MALFORMED && seen[lsn] == 0)
            rec_fail(w, "LSN %lld is no dead letter", (long long)lsn);
    if (l.other_seen != other || l.other_max >= other)
        rec_fail(w, "%lld misplaced changes below %lld of the other shard", (long long)l.other_seen,
                 (long long)other);
}

void rec_check_state(struct recovery *w)
{
    CLEANUP(xfree_ptr) char *path = cdc_state_path(REC_DATA, REC_NAMESPACE);
    struct state *s;
    int64_t cursor = 0;
    err_t err = state_reader_open(w->io, path, &s);
    if (err == ERR_NOT_FOUND)
        return; /* none yet */
    rec_expect(w, err, "a reader of the state");
    if (err != OK)
        return;
    rec_expect(w, state_cursor(s, &cursor), "the cursor");
    if (cursor > w->model.end)
        rec_fail(w, "the state is at LSN %lld, the log at %lld", (long long)cursor,
                 (long long)w->model.end);
    for (unsigned i = 0; i < REC_COLLECTIONS && rec_alive(w); i++)
        check_collection(w, s, i, cursor);
    if (rec_alive(w))
        check_letters(w, s, cursor);
    state_close(s);
}

/* The store ----------------------------------------------------------------------------------- */

/** What is looked at. */
struct looking {
    struct recovery *w;
    unsigned collection;
    char *dir; /* owned */
    struct collection_manifest manifest;
    struct snapshot_list snapshots;
    int64_t covered;
    uint8_t *seen; /* by LSN: in a delta */
};

static void fail_on_error(void *arg, const char *path, err_t err, const char *text)
{
    if (err != OK)
        rec_fail(arg, "%s: %s", path, text);
}

static void check_row(const struct looking *l, const struct store_file *f, const struct change *c)
{
    struct recovery *w = l->w;
    const struct rec_event *e = &w->model.events[MIN(c->lsn, w->model.end - 1)];
    char id[16];
    snprintf(id, sizeof(id), "d%u", e->id);
    if (c->lsn < f->lsn_from || c->lsn >= f->lsn_to || e->kind != REC_CHANGE ||
        e->collection != l->collection || (char)c->op != e->op || c->skipped != e->skipped ||
        c->ts_us != e->ts_us || !slice_equal(c->doc_id, slice_of(id)) ||
        (e->doc != NULL && !slice_equal(c->doc, slice_of(e->doc))))
        rec_fail(w, "%s has another change of LSN %lld than the log", f->path, (long long)c->lsn);
    else if (l->seen[c->lsn]++ > 0)
        rec_fail(w, "LSN %lld lies in two deltas", (long long)c->lsn);
}

static void check_delta(const struct looking *l, const struct store_file *f)
{
    struct recovery *w = l->w;
    struct delta_reader *r;
    struct rec_docs wanted;
    struct change c;
    if (f->lsn_to > w->model.end) {
        rec_fail(w, "%s covers LSN %lld, the log ends at %lld", f->path, (long long)f->lsn_to,
                 (long long)w->model.end);
        return;
    }
    err_t err = delta_open(w->store, l->dir, f, NULL, &r);
    rec_expect(w, err, "a delta");
    if (err != OK)
        return;
    while ((err = delta_next(r, &c)) == OK && !w->failed)
        check_row(l, f, &c);
    delta_close(r);
    if (err != ERR_END)
        rec_fail(w, "%s: %s", f->path, err_text(err));
    rec_model_docs(&w->model, l->collection, f->lsn_to, &wanted);
    compare_hash(w, f->path, &wanted, &f->state_hash, f->state_count);
}

static void check_deltas(const struct looking *l)
{
    const struct collection_manifest *m = &l->manifest;
    int64_t end = m->delta_count > 0 ? m->deltas[m->delta_count - 1].lsn_to : m->lsn_from;
    for (size_t i = 0; i < m->delta_count && rec_alive(l->w); i++)
        check_delta(l, &m->deltas[i]);
    for (int64_t lsn = m->lsn_from; lsn < MAX(end, l->covered) && rec_alive(l->w); lsn++) {
        const struct rec_event *e = &l->w->model.events[lsn];
        if (e->kind == REC_CHANGE && e->collection == l->collection && l->seen[lsn] == 0)
            rec_fail(l->w,
                     "LSN %lld of collection %u is in no delta (they end at %lld, %lld is "
                     "covered)",
                     (long long)lsn, l->collection, (long long)end, (long long)l->covered);
    }
}

static err_t next_of_rebuild(void *arg, struct state_doc *ret)
{
    return rebuild_next(arg, ret);
}

/** K4, from the store alone. */
static void check_rebuild(const struct looking *l, const struct target *target, int64_t lsn_to)
{
    struct recovery *w = l->w;
    struct rebuild_plan plan;
    struct rebuild *r;
    struct rec_docs wanted;
    char what[64];
    snprintf(what, sizeof(what), "collection %u as of LSN %lld", l->collection, (long long)lsn_to);
    err_t err = rebuild_plan(w->files, REC_NAMESPACE, rec_collection(l->collection), target, &plan);
    rec_expect(w, err, what);
    if (err != OK)
        return;
    err = rebuild_open(w->files, REC_NAMESPACE, rec_collection(l->collection), &plan, &r);
    rec_expect(w, err, what);
    if (err == OK) {
        rec_model_docs(&w->model, l->collection, lsn_to, &wanted);
        compare_docs(w, what, &wanted, next_of_rebuild, r);
        rebuild_close(r);
    }
    rebuild_plan_free(&plan);
}

static void check_lsn(const struct looking *l, int64_t lsn)
{
    const struct target target = {.kind = TARGET_LSN, .value = lsn};
    check_rebuild(l, &target, lsn + 1);
}

static bool lists(const struct snapshot_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].name, name) == 0)
            return true;
    return false;
}

static void check_snapshots(const struct looking *l)
{
    struct recovery *w = l->w;
    for (unsigned i = 0; i < w->kept_count[l->collection]; i++)
        if (!lists(&l->snapshots, w->kept[l->collection][i]))
            rec_fail(w, "the snapshot %s is gone", w->kept[l->collection][i]);
    for (size_t i = 0; i < l->snapshots.count && rec_alive(w); i++) {
        const struct snapshot *s = &l->snapshots.items[i];
        const struct target target = {.kind = TARGET_SNAPSHOT, .name = s->name};
        struct rec_docs wanted;
        rec_model_docs(&w->model, l->collection, s->file.lsn_to, &wanted);
        compare_hash(w, s->name, &wanted, &s->file.state_hash, s->file.state_count);
        check_rebuild(l, &target, s->file.lsn_to);
    }
}

/** The least LSN that can be put together from what the manifests name. */
static int64_t oldest_of(const struct looking *l)
{
    int64_t from = l->manifest.lsn_from;
    int64_t least = INT64_MAX;
    if (from == 0)
        return 0;
    for (size_t i = 0; i < l->snapshots.count; i++)
        if (l->snapshots.items[i].file.lsn_to >= from)
            least = MIN(least, l->snapshots.items[i].file.lsn_to);
    if (l->manifest.has_data && l->manifest.data.lsn_to >= from)
        least = MIN(least, l->manifest.data.lsn_to);
    return least == INT64_MAX ? -1 : MAX(least - 1, 0);
}

static void check_restores(const struct looking *l)
{
    int64_t oldest = oldest_of(l);
    if (oldest < 0)
        rec_fail(l->w, "nothing stands in for the deltas that collection %u has lost",
                 l->collection);
    if (!rec_alive(l->w) || l->covered <= oldest)
        return;
    check_lsn(l, l->covered - 1);
    check_lsn(l, oldest + (int64_t)rng_below(&l->w->loss, (uint64_t)(l->covered - oldest)));
}

/** False when the store has nothing of the collection. */
static bool look(struct recovery *w, unsigned collection, struct looking *l)
{
    struct slice name = rec_collection(collection);
    *l = (struct looking){.w = w, .collection = collection};
    err_t err = collection_manifest_read(w->store, REC_NAMESPACE, name, &l->manifest);
    if (err == ERR_NOT_FOUND)
        return false;
    rec_expect(w, err, "a manifest");
    if (err != OK)
        return false;
    err = snapshot_list_read(w->store, REC_NAMESPACE, name, &l->snapshots);
    rec_expect(w, err, "the list of snapshots");
    l->dir = collection_dir(REC_NAMESPACE, name);
    l->seen = xcalloc((size_t)w->model.end + 1, 1);
    return true;
}

static void look_away(struct looking *l)
{
    collection_manifest_free(&l->manifest);
    snapshot_list_free(&l->snapshots);
    free(l->dir);
    free(l->seen);
}

int64_t rec_oldest(struct recovery *w, unsigned collection)
{
    struct looking l;
    if (!look(w, collection, &l))
        return -1;
    int64_t oldest = oldest_of(&l);
    look_away(&l);
    return oldest;
}

static void check_store_of(struct recovery *w, unsigned collection, int64_t covered)
{
    struct looking l;
    bool has_changes = rec_model_changed(&w->model, collection, covered);
    if (!look(w, collection, &l)) {
        if (has_changes)
            rec_fail(w, "the store lacks collection %u", collection);
        return;
    }
    l.covered = has_changes ? covered : 0;
    /* Verification asks for the namespace's manifest, which the first deltas precede. */
    if (covered > 0)
        rec_expect(w,
                   snapshot_verify(w->store, REC_NAMESPACE, rec_collection(collection), NULL,
                                   fail_on_error, w),
                   "verification");
    if (rec_alive(w))
        check_deltas(&l);
    if (rec_alive(w))
        check_snapshots(&l);
    if (rec_alive(w))
        check_restores(&l);
    look_away(&l);
}

void rec_check_store(struct recovery *w)
{
    struct namespace_manifest m;
    int64_t covered = 0;
    err_t err = namespace_manifest_read(w->store, REC_NAMESPACE, &m);
    if (err == OK) {
        covered = m.covered_until;
        namespace_manifest_free(&m);
    } else if (err != ERR_NOT_FOUND) {
        rec_expect(w, err, "the namespace's manifest");
    }
    if (covered < w->covered || covered > w->model.end)
        rec_fail(w, "the store covers LSN %lld; it said %lld, and the log ends at %lld",
                 (long long)covered, (long long)w->covered, (long long)w->model.end);
    for (unsigned i = 0; i < REC_COLLECTIONS && rec_alive(w); i++)
        check_store_of(w, i, covered);
}

/* A start ------------------------------------------------------------------------------------- */

void rec_check(struct recovery *w)
{
    int64_t end = shard_high_watermark(w->shard);
    int64_t other_end = shard_high_watermark(w->other);
    if (shard_status(w->shard) != SHARD_OPEN || shard_status(w->other) != SHARD_OPEN)
        rec_fail(w, "a shard is closed");
    if (end < w->acked || end != w->model.end || other_end < w->other_acked)
        rec_fail(w, "the log ends at LSN %lld; %lld was acknowledged, %lld events were read",
                 (long long)end, (long long)w->acked, (long long)w->model.end);
    w->acked = end; /* readers have seen it */
    w->other_acked = other_end;
    if (rec_alive(w))
        rec_check_store(w);
    if (rec_alive(w) && !w->state_hurt && rng_chance(&w->loss, 50))
        rec_check_state(w);
    if (rec_alive(w))
        rec_check_half_way(w);
    if (rec_alive(w))
        rec_check_output(w);
}
