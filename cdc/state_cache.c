/*
 * cdc/state_cache.c: the writer's collections, by name: every change looks one up.
 *
 * The cache holds what the table says plus the changes of the open transaction; after a rollback it
 * is dropped and read again.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/hash.h"
#include "cdc/state_priv.h"

#define SLOTS_MIN 64
#define HASH_BYTES 16

err_t state_read_collection(struct state *s, sqlite3_stmt *stmt, struct state_collection *ret)
{
    const uint8_t *hash = sqlite3_column_blob(stmt, 3);
    if (sqlite3_column_bytes(stmt, 3) != HASH_BYTES || hash == NULL) {
        s->damaged = true;
        return err_fail(ERR_CORRUPT, "the state %s: a collection's hash has %d bytes, not %d",
                        s->path, sqlite3_column_bytes(stmt, 3), HASH_BYTES);
    }
    const char *name = (const char *)sqlite3_column_text(stmt, 1);
    size_t name_len = (size_t)sqlite3_column_bytes(stmt, 1);
    *ret = (struct state_collection){
        .id = sqlite3_column_int64(stmt, 0),
        .name = xstrndup(name == NULL ? "" : name, name_len),
        .name_len = name_len,
        .count = (uint64_t)sqlite3_column_int64(stmt, 2),
        .hash = {.high = load_u64(hash), .low = load_u64(hash + 8)},
        .last_lsn = sqlite3_column_int64(stmt, 4),
        .max_ts_us = sqlite3_column_int64(stmt, 5),
    };
    return OK;
}

/** The slot of a name, or the empty one where it belongs. */
static uint32_t *find_slot(struct state *s, struct slice name)
{
    size_t at = hash64(name.data, name.len) & (s->slot_count - 1);
    for (;; at = (at + 1) & (s->slot_count - 1)) {
        uint32_t *slot = &s->slots[at];
        if (*slot == 0)
            return slot;
        const struct state_collection *row = &s->collections[*slot - 1].row;
        if (slice_equal((struct slice){row->name, row->name_len}, name))
            return slot;
    }
}

/** Keeps at least half of the slots empty. */
static void grow_slots(struct state *s)
{
    if (s->slot_count >= SLOTS_MIN && s->collection_count * 2 < s->slot_count)
        return;
    free(s->slots);
    s->slot_count = s->slot_count == 0 ? SLOTS_MIN : s->slot_count * 2;
    s->slots = xcalloc(s->slot_count, sizeof(*s->slots));
    for (size_t i = 0; i < s->collection_count; i++) {
        const struct state_collection *row = &s->collections[i].row;
        *find_slot(s, (struct slice){row->name, row->name_len}) = (uint32_t)i + 1;
    }
}

static void add(struct state *s, struct state_collection row)
{
    if (s->collection_count == s->collection_cap) {
        s->collection_cap = s->collection_cap == 0 ? 16 : s->collection_cap * 2;
        s->collections = xrealloc(s->collections, s->collection_cap * sizeof(*s->collections));
    }
    s->collections[s->collection_count++] = (struct cached_collection){.row = row};
    grow_slots(s);
    *find_slot(s, (struct slice){row.name, row.name_len}) = (uint32_t)s->collection_count;
}

err_t cache_load(struct state *s)
{
    if (s->cached)
        return OK;
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_COLLECTIONS, &stmt));
    grow_slots(s);
    err_t err;
    while ((err = state_step_row(s, stmt)) == OK) {
        struct state_collection row;
        err = state_read_collection(s, stmt, &row);
        if (err != OK) {
            sqlite3_reset(stmt);
            break;
        }
        add(s, row);
    }
    s->cached = err == ERR_NOT_FOUND;
    if (!s->cached)
        cache_drop(s);
    return s->cached ? OK : err;
}

void cache_drop(struct state *s)
{
    for (size_t i = 0; i < s->collection_count; i++)
        free(s->collections[i].row.name);
    free(TAKE(s->collections));
    free(TAKE(s->slots));
    s->collection_count = s->collection_cap = s->slot_count = 0;
    s->cached = false;
}

err_t cache_place(struct state *s, struct slice name, size_t *ret_place)
{
    uint32_t *slot = find_slot(s, name);
    if (likely(*slot != 0)) {
        *ret_place = *slot - 1;
        return OK;
    }
    sqlite3_stmt *stmt;
    TRY(state_sql(s, SQL_COLLECTION_ADD, &stmt));
    sqlite3_bind_text(stmt, 1, name.data, (int)name.len, SQLITE_STATIC);
    TRY(state_step_done(s, stmt));
    add(s, (struct state_collection){.id = sqlite3_last_insert_rowid(s->db),
                                     .name = xstrndup(name.data, name.len),
                                     .name_len = name.len,
                                     .last_lsn = -1});
    *ret_place = s->collection_count - 1;
    return OK;
}

static err_t save(struct state *s, const struct state_collection *row)
{
    sqlite3_stmt *stmt;
    uint8_t hash[HASH_BYTES];
    store_u64(hash, row->hash.high);
    store_u64(hash + 8, row->hash.low);
    TRY(state_sql(s, SQL_COLLECTION_SET, &stmt));
    sqlite3_bind_int64(stmt, 1, row->id);
    sqlite3_bind_int64(stmt, 2, (int64_t)row->count);
    sqlite3_bind_blob(stmt, 3, hash, sizeof(hash), SQLITE_STATIC);
    sqlite3_bind_int64(stmt, 4, row->last_lsn);
    sqlite3_bind_int64(stmt, 5, row->max_ts_us);
    err_t err = state_step_done(s, stmt);
    sqlite3_clear_bindings(stmt); /* `hash` leaves */
    return err;
}

err_t cache_save(struct state *s)
{
    for (size_t i = 0; i < s->collection_count; i++) {
        struct cached_collection *c = &s->collections[i];
        if (c->changed)
            TRY(save(s, &c->row));
        c->changed = false;
    }
    return OK;
}
