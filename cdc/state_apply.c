/*
 * cdc/state_apply.c: changes into the state, many in one transaction.
 *
 * The changes are ordered by (collection, document, LSN), so that each document is read once, all
 * of its changes are folded in memory, and it is written once, and so that the pages of the tree
 * are met in their order: what is dirty and done leaves the cache for the WAL and is not met again.
 * Whether an `expect` holds depends on the one document's versions alone, which come here in LSN
 * order.
 *
 * Invariants, when state_apply returned OK:
 *   A1  cursor, documents, counts, hashes, outcomes and dead letters are those of the same LSN;
 *   A2  hash = sum of the documents' hashes, count = their number, per collection.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cdc/order.h"
#include "cdc/state_priv.h"

#define TUNE_CHANGES 1000 /* a transaction that may have grown the file */

/** A change's place in the order of writing. */
struct ref {
    uint64_t prefix; /* bytes of its id, as a number (id_prefix): most comparisons end here */
    uint32_t place;  /* of its collection */
    uint32_t index;  /* of the change: the order of LSNs */
};

struct apply {
    struct state *s;
    struct change *changes;
    size_t count;
    struct ref *refs; /* owned */
    bool any_skipped;
};

/** A document while its changes are folded. */
struct version {
    bool there;
    int64_t lsn;
    const struct change *from; /* NULL: as it stands in the table */
    struct state_hash hash;    /* of the table's version */
};

/* Order --------------------------------------------------------------------------------------- */

static int compare_refs(const void *left, const void *right, void *arg)
{
    const struct ref *a = left;
    const struct ref *b = right;
    const struct apply *x = arg;
    if (a->place != b->place) {
        int64_t id_a = x->s->collections[a->place].row.id;
        int64_t id_b = x->s->collections[b->place].row.id;
        return id_a < id_b ? -1 : 1;
    }
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    int order = slice_compare(x->changes[a->index].doc_id, x->changes[b->index].doc_id);
    return order != 0 ? order : (a->index > b->index) - (a->index < b->index);
}

/** Finds the collections, notes what concerns them as a whole, and sorts. */
static err_t sort_changes(struct apply *x)
{
    size_t common = x->count == 0 ? 0 : x->changes[0].doc_id.len;
    for (size_t i = 1; i < x->count; i++)
        common = id_common(x->changes[0].doc_id, x->changes[i].doc_id, common);
    x->refs = xmalloc(MAX(x->count, 1) * sizeof(*x->refs));
    for (size_t i = 0; i < x->count; i++) {
        const struct change *c = &x->changes[i];
        size_t place;
        TRY(cache_place(x->s, c->collection, &place));
        x->refs[i] = (struct ref){id_prefix(c->doc_id, common), (uint32_t)place, (uint32_t)i};
        struct cached_collection *collection = &x->s->collections[place];
        collection->changed = true;
        collection->row.last_lsn = c->lsn;
        collection->row.max_ts_us = MAX(collection->row.max_ts_us, c->ts_us);
    }
    qsort_r(x->refs, x->count, sizeof(*x->refs), compare_refs, x);
    return OK;
}

/* One document -------------------------------------------------------------------------------- */

static err_t bind_key(struct state *s, enum state_sql which, int64_t collection, struct slice id,
                      sqlite3_stmt **ret)
{
    TRY(state_sql(s, which, ret));
    sqlite3_bind_int64(*ret, 1, collection);
    sqlite3_bind_blob(*ret, 2, id.data, (int)id.len, SQLITE_STATIC);
    return OK;
}

static err_t read_version(struct state *s, int64_t collection, struct slice id, struct version *ret)
{
    sqlite3_stmt *stmt;
    TRY(bind_key(s, SQL_DOC_GET, collection, id, &stmt));
    err_t err = state_step_row(s, stmt);
    *ret = (struct version){.there = err == OK};
    if (err != OK)
        return err == ERR_NOT_FOUND ? OK : err;
    /* Blob first: no conversion, and no NUL is added. */
    const char *doc = sqlite3_column_blob(stmt, 0);
    ret->hash = state_hash_of(id, (struct slice){doc, (size_t)sqlite3_column_bytes(stmt, 0)});
    ret->lsn = sqlite3_column_int64(stmt, 1);
    sqlite3_reset(stmt);
    return OK;
}

static err_t put_doc(struct state *s, int64_t collection, const struct change *c)
{
    sqlite3_stmt *stmt;
    TRY(bind_key(s, SQL_DOC_PUT, collection, c->doc_id, &stmt));
    sqlite3_bind_text(stmt, 3, c->doc.data, (int)c->doc.len, SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, c->lsn);
    sqlite3_bind_int64(stmt, 5, c->ts_us);
    return state_step_done(s, stmt);
}

static err_t drop_doc(struct state *s, int64_t collection, struct slice id)
{
    sqlite3_stmt *stmt;
    TRY(bind_key(s, SQL_DOC_DROP, collection, id, &stmt));
    return state_step_done(s, stmt);
}

/** Whether the change's `expect` holds against the present version; then it is the present one. */
static void fold(struct apply *x, struct change *c, struct version *now)
{
    bool holds = change_expect_holds(c, now->there, now->lsn);
    c->skipped = !holds;
    x->any_skipped |= !holds;
    if (!holds)
        return;
    now->there = c->op != CHANGE_DELETE;
    now->lsn = c->lsn;
    now->from = c;
}

/** Applies the changes refs[from, to) of one document. */
static err_t apply_doc(struct apply *x, size_t from, size_t to)
{
    struct state_collection *row = &x->s->collections[x->refs[from].place].row;
    struct slice id = x->changes[x->refs[from].index].doc_id;
    struct version before;
    TRY(read_version(x->s, row->id, id, &before));
    struct version now = before;
    for (size_t i = from; i < to; i++)
        fold(x, &x->changes[x->refs[i].index], &now);
    if (now.from == NULL || (!now.there && !before.there))
        return OK;
    if (before.there)
        state_hash_sub(&row->hash, before.hash);
    row->count -= before.there;
    row->count += now.there;
    if (!now.there)
        return drop_doc(x->s, row->id, id);
    state_hash_add(&row->hash, state_hash_of(id, now.from->doc));
    return put_doc(x->s, row->id, now.from);
}

static bool same_doc(const struct apply *x, const struct ref *a, const struct ref *b)
{
    return a->place == b->place && a->prefix == b->prefix &&
           slice_equal(x->changes[a->index].doc_id, x->changes[b->index].doc_id);
}

static err_t apply_docs(struct apply *x)
{
    for (size_t from = 0, to; from < x->count; from = to) {
        to = from + 1;
        while (to < x->count && same_doc(x, &x->refs[from], &x->refs[to]))
            to++;
        TRY(apply_doc(x, from, to));
    }
    return OK;
}

/* What goes along ----------------------------------------------------------------------------- */

err_t state_note_skipped(struct state *s, int64_t lsn)
{
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_SKIPPED_ADD, &stmt));
    sqlite3_bind_int64(stmt, 1, lsn);
    return state_step_done(s, stmt);
}

static err_t note_skipped(struct apply *x)
{
    for (size_t i = 0; i < x->count && x->any_skipped; i++)
        if (x->changes[i].skipped)
            TRY(state_note_skipped(x->s, x->changes[i].lsn));
    return OK;
}

/** A bookmark marks a position, whether or not its change had an effect. */
static err_t note_bookmarks(struct apply *x)
{
    for (size_t i = 0; i < x->count; i++) {
        const struct change *c = &x->changes[x->refs[i].index];
        if (likely(c->bookmark.data == NULL))
            continue;
        sqlite3_stmt *stmt;
        int64_t collection = x->s->collections[x->refs[i].place].row.id;
        int64_t known = -1;
        TRY(state_sql(x->s, SQL_BOOKMARK_PUT, &stmt));
        err_t err = state_bookmark(x->s, collection, c->bookmark, &known);
        if (err != OK && err != ERR_NOT_FOUND)
            return err;
        if (err == OK && known >= c->lsn)
            continue;
        sqlite3_bind_int64(stmt, 1, collection);
        sqlite3_bind_text(stmt, 2, c->bookmark.data, (int)c->bookmark.len, SQLITE_STATIC);
        sqlite3_bind_int64(stmt, 3, c->lsn);
        TRY(state_step_done(x->s, stmt));
    }
    return OK;
}

static err_t write_dead_letters(struct state *s)
{
    sqlite3_stmt *stmt;
    int64_t misplaced = 0;
    if (s->dead_letter_count == 0)
        return OK;
    TRY(state_sql(s, SQL_DEAD_LETTER_ADD, &stmt));
    for (size_t i = 0; i < s->dead_letter_count; i++) {
        const struct dead_letter *d = &s->dead_letters[i];
        misplaced += d->shard != 0;
        sqlite3_bind_int64(stmt, 1, d->shard);
        sqlite3_bind_int64(stmt, 2, d->lsn);
        sqlite3_bind_text(stmt, 3, d->reason, -1, SQLITE_STATIC);
        TRY(state_step_done(s, stmt));
    }
    TRY(state_meta_add(s, META_DEAD_LETTERS, (int64_t)s->dead_letter_count));
    TRY(state_meta_add(s, META_MISPLACED, misplaced));
    TRY(state_sql(s, SQL_DEAD_LETTER_TRIM, &stmt));
    sqlite3_bind_int64(stmt, 1, STATE_DEAD_LETTERS_KEPT);
    return state_step_done(s, stmt);
}

static err_t write_shard_cursors(struct state *s)
{
    for (size_t i = 0; i < s->shard_cursor_count; i++) {
        char name[32];
        snprintf(name, sizeof(name), "shard.%u", s->shard_cursors[i].shard);
        TRY(state_meta_set(s, name, s->shard_cursors[i].lsn));
    }
    return OK;
}

void state_forget_notes(struct state *s)
{
    for (size_t i = 0; i < s->dead_letter_count; i++)
        free(s->dead_letters[i].reason);
    s->dead_letter_count = 0;
    s->shard_cursor_count = 0;
}

void state_dead_letter(struct state *s, unsigned shard, int64_t lsn, const char *reason)
{
    if (s->dead_letter_count == s->dead_letter_cap) {
        s->dead_letter_cap = s->dead_letter_cap == 0 ? 16 : s->dead_letter_cap * 2;
        s->dead_letters = xrealloc(s->dead_letters, s->dead_letter_cap * sizeof(*s->dead_letters));
    }
    s->dead_letters[s->dead_letter_count++] = (struct dead_letter){shard, lsn, xstrdup(reason)};
}

void state_set_shard_cursor(struct state *s, unsigned shard, int64_t lsn)
{
    size_t count = s->shard_cursor_count;
    s->shard_cursors = xrealloc(s->shard_cursors, (count + 1) * sizeof(*s->shard_cursors));
    s->shard_cursors[s->shard_cursor_count++] = (struct shard_cursor){shard, lsn};
}

bool state_has_notes(const struct state *s)
{
    return s->dead_letter_count > 0 || s->shard_cursor_count > 0;
}

/* The transaction ----------------------------------------------------------------------------- */

/** The caller's promise, checked because a broken one would be a wrong state. */
static err_t check_range(struct state *s, const struct change *changes, size_t count,
                         int64_t cursor)
{
    int64_t last;
    TRY(state_cursor(s, &last));
    int64_t from = last;
    for (size_t i = 0; i < count; i++) {
        if (changes[i].lsn < from || changes[i].lsn >= cursor)
            return err_fail(ERR_INTERNAL,
                            "the state %s: LSN %lld is not in order, from %lld on and below %lld",
                            s->path, (long long)changes[i].lsn, (long long)from, (long long)cursor);
        from = changes[i].lsn + 1;
    }
    if (cursor < last)
        return err_fail(ERR_INTERNAL, "the state %s: its cursor %lld cannot go back to %lld",
                        s->path, (long long)last, (long long)cursor);
    return OK;
}

static err_t apply_all(struct apply *x, int64_t cursor)
{
    TRY(check_range(x->s, x->changes, x->count, cursor));
    TRY(sort_changes(x));
    TRY(apply_docs(x));
    TRY(note_skipped(x));
    TRY(note_bookmarks(x));
    TRY(write_dead_letters(x->s));
    TRY(write_shard_cursors(x->s));
    TRY(cache_save(x->s));
    return state_meta_set(x->s, META_CURSOR, cursor);
}

err_t state_apply(struct state *s, struct change *changes, size_t count, int64_t cursor)
{
    ASSERT(!s->reader && count < UINT32_MAX);
    TRY(cache_load(s));
    TRY(state_run(s, "BEGIN IMMEDIATE"));
    struct apply x = {.s = s, .changes = changes, .count = count};
    err_t err = apply_all(&x, cursor);
    if (err == OK && count >= TUNE_CHANGES)
        err = state_tune_checkpoint(s);
    if (err == OK)
        err = state_run(s, "COMMIT");
    if (err != OK) {
        (void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
        cache_drop(s);
    }
    free(x.refs);
    state_forget_notes(s);
    return err;
}
