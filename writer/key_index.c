/*
 * writer/key_index.c: a ring of entries in order of arrival, and a hash table over it with open
 * addressing (linear probing; deletion shifts back, Knuth 6.4 algorithm R). Sequence numbers never
 * repeat, so a table cell that speaks of an entry that has left is told apart.
 */
#include "writer/key_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/metrics.h"

#define RING_MIN 1024
#define BUCKETS 1024
#define SAVE_STEP 4096
#define KEYS_STATE_VERSION 1
#define KEY_ENTRY_BYTES 44

struct key_entry {
    struct hash128 hash;
    int64_t lsn;
    uint64_t body_hash;
    int64_t time_ms;
    uint32_t count;
    uint32_t shard;
};

struct key_index {
    struct clock *clock;
    int64_t keep_ms;
    size_t max_keys;
    struct lock lock;
    struct key_entry *ring; /* entry of sequence q at q % ring_cap */
    size_t ring_cap;        /* a power of two */
    uint64_t first, next;   /* sequences held: [first, next) */
    uint64_t *table;        /* sequence + 1, 0 = free; table_cap = 2 * ring_cap */
    struct key_slot *flying[BUCKETS];
};

struct key_index *key_index_new(struct clock *clock, unsigned key_hours, unsigned max_keys)
{
    struct key_index *ix = xcalloc(1, sizeof(*ix));
    ix->clock = clock;
    ix->keep_ms = (int64_t)key_hours * 3600 * 1000;
    ix->max_keys = max_keys;
    lock_init(&ix->lock, LOCK_RANK_KEYS);
    return ix;
}

void key_index_free(struct key_index *ix)
{
    if (ix == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        ASSERT(ix->flying[i] == NULL);
    lock_destroy(&ix->lock);
    free(ix->ring);
    free(ix->table);
    free(ix);
}

static bool hash_equal(struct hash128 a, struct hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

static struct key_entry *entry_at(struct key_index *ix, uint64_t sequence)
{
    return &ix->ring[sequence & (ix->ring_cap - 1)];
}

/** The table cell of this hash, or the free cell where it would go. The table is not full. */
static size_t table_place(struct key_index *ix, struct hash128 hash)
{
    size_t mask = ix->ring_cap * 2 - 1;
    size_t at = hash.low & mask;
    while (ix->table[at] != 0 && !hash_equal(entry_at(ix, ix->table[at] - 1)->hash, hash))
        at = (at + 1) & mask;
    return at;
}

static void table_remove(struct key_index *ix, size_t hole)
{
    size_t mask = ix->ring_cap * 2 - 1;
    size_t at = hole;
    for (;;) {
        at = (at + 1) & mask;
        if (ix->table[at] == 0)
            break;
        size_t home = entry_at(ix, ix->table[at] - 1)->hash.low & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            ix->table[hole] = ix->table[at];
            hole = at;
        }
    }
    ix->table[hole] = 0;
}

static void drop_first(struct key_index *ix)
{
    size_t place = table_place(ix, entry_at(ix, ix->first)->hash);
    if (ix->table[place] == ix->first + 1)
        table_remove(ix, place);
    ix->first++;
}

static void grow(struct key_index *ix)
{
    size_t cap = ix->ring_cap == 0 ? RING_MIN : ix->ring_cap * 2;
    struct key_entry *ring = xcalloc(cap, sizeof(*ring));
    for (uint64_t q = ix->first; q < ix->next; q++)
        ring[q & (cap - 1)] = *entry_at(ix, q);
    free(ix->ring);
    free(ix->table);
    ix->ring = ring;
    ix->ring_cap = cap;
    ix->table = xcalloc(cap * 2, sizeof(*ix->table));
    for (uint64_t q = ix->first; q < ix->next; q++)
        ix->table[table_place(ix, entry_at(ix, q)->hash)] = q + 1;
}

static void expire(struct key_index *ix)
{
    int64_t oldest = clock_wall_ms(ix->clock) - ix->keep_ms;
    while (ix->first < ix->next && entry_at(ix, ix->first)->time_ms < oldest)
        drop_first(ix);
}

static void insert(struct key_index *ix, const struct key_entry *e)
{
    expire(ix);
    if (ix->max_keys == 0)
        return;
    while (ix->next - ix->first >= ix->max_keys) {
        drop_first(ix);
        metric_inc(M_request_keys_evicted_total);
    }
    if (ix->next - ix->first == ix->ring_cap)
        grow(ix);
    /* An older entry of the same key stays in the ring and is no longer found. */
    size_t place = table_place(ix, e->hash);
    *entry_at(ix, ix->next) = *e;
    ix->table[place] = ix->next + 1;
    ix->next++;
}

static const struct key_entry *find(struct key_index *ix, struct hash128 hash)
{
    if (ix->ring_cap == 0)
        return NULL;
    uint64_t cell = ix->table[table_place(ix, hash)];
    if (cell == 0)
        return NULL;
    const struct key_entry *e = entry_at(ix, cell - 1);
    return e->time_ms < clock_wall_ms(ix->clock) - ix->keep_ms ? NULL : e;
}

static void figures_of(const struct key_entry *e, struct key_figures *out)
{
    *out = (struct key_figures){
        .shard = e->shard, .count = e->count, .lsn = e->lsn, .body_hash = e->body_hash};
}

static struct key_slot **flying_place(struct key_index *ix, struct hash128 hash)
{
    struct key_slot **at = &ix->flying[hash.high % BUCKETS];
    while (*at != NULL && !hash_equal((*at)->hash, hash))
        at = &(*at)->bucket_next;
    return at;
}

enum key_outcome key_index_begin(struct key_index *ix, struct slice key, uint64_t body_hash,
                                 uint32_t count, struct key_waiter *waiter,
                                 struct key_slot **ret_slot, struct key_figures *ret_figures)
{
    struct hash128 hash = hash128(key.data, key.len);
    enum key_outcome outcome = KEY_NEW;
    lock_acquire(&ix->lock);
    const struct key_entry *e = find(ix, hash);
    struct key_slot **place = flying_place(ix, hash);
    if (e != NULL) {
        figures_of(e, ret_figures);
        outcome = KEY_DONE;
    } else if (*place != NULL) {
        waiter->next = (*place)->waiters;
        (*place)->waiters = waiter;
        outcome = KEY_IN_FLIGHT;
    } else {
        struct key_slot *slot = xcalloc(1, sizeof(*slot));
        slot->index = ix;
        slot->hash = hash;
        slot->body_hash = body_hash;
        slot->count = count;
        *place = slot;
        *ret_slot = slot;
    }
    lock_release(&ix->lock);
    return outcome;
}

void key_slot_finish(struct key_slot *slot, const struct key_figures *figures)
{
    struct key_index *ix = slot->index;
    lock_acquire(&ix->lock);
    struct key_slot **place = flying_place(ix, slot->hash);
    ASSERT(*place == slot);
    *place = slot->bucket_next;
    if (figures != NULL) {
        struct key_entry e = {.hash = slot->hash,
                              .lsn = figures->lsn,
                              .body_hash = slot->body_hash,
                              .time_ms = clock_wall_ms(ix->clock),
                              .count = slot->count,
                              .shard = figures->shard};
        insert(ix, &e);
    }
    struct key_waiter *w = slot->waiters;
    while (w != NULL) {
        struct key_waiter *next = w->next;
        w->fn(w, figures);
        w = next;
    }
    lock_release(&ix->lock);
    free(slot);
}

/* Checkpoints --------------------------------------------------------------------------------- */

static void save_entry(const struct key_entry *e, struct buf *out)
{
    put_u64(out, e->hash.high);
    put_u64(out, e->hash.low);
    put_u64(out, (uint64_t)e->lsn);
    put_u64(out, e->body_hash);
    put_u64(out, (uint64_t)e->time_ms);
    put_u32(out, e->count);
}

void key_index_save(struct key_index *ix, uint32_t shard, int64_t offset, struct buf *out)
{
    put_u32(out, KEYS_STATE_VERSION);
    size_t count_at = out->len;
    put_u64(out, 0);
    uint64_t saved = 0, sequence = 0;
    for (bool more = true; more;) {
        lock_acquire(&ix->lock);
        expire(ix);
        sequence = MAX(sequence, ix->first);
        uint64_t until = MIN(ix->next, sequence + SAVE_STEP);
        for (; sequence < until; sequence++) {
            const struct key_entry *e = entry_at(ix, sequence);
            if (e->shard == shard && e->lsn < offset) {
                save_entry(e, out);
                saved++;
            }
        }
        more = sequence < ix->next;
        lock_release(&ix->lock);
    }
    store_u64(out->data + count_at, saved);
}

err_t key_index_load(struct key_index *ix, uint32_t shard, struct cursor *in)
{
    uint32_t version = cursor_u32(in);
    uint64_t count = cursor_u64(in);
    if (!cursor_ok(in) || version != KEYS_STATE_VERSION ||
        count != cursor_left(in) / KEY_ENTRY_BYTES || cursor_left(in) % KEY_ENTRY_BYTES != 0)
        return err_fail(ERR_CORRUPT, "a checkpoint of request keys is not valid");
    lock_acquire(&ix->lock);
    for (uint64_t i = 0; i < count; i++) {
        struct key_entry e = {.shard = shard};
        e.hash.high = cursor_u64(in);
        e.hash.low = cursor_u64(in);
        e.lsn = cursor_i64(in);
        e.body_hash = cursor_u64(in);
        e.time_ms = cursor_i64(in);
        e.count = cursor_u32(in);
        insert(ix, &e);
    }
    lock_release(&ix->lock);
    return OK;
}

/** Decodes the value of the header "spillway-key". */
static bool key_value_decode(struct slice value, struct key_entry *e)
{
    struct cursor c = cursor_of(value.data, value.len);
    uint8_t version = cursor_u8(&c);
    e->count = cursor_u32(&c);
    e->body_hash = cursor_u64(&c);
    if (!cursor_ok(&c) || version != 1 || cursor_left(&c) == 0)
        return false;
    e->hash = hash128(c.at, cursor_left(&c));
    return true;
}

err_t key_index_replay(struct key_index *ix, uint32_t shard, const void *batch, size_t len)
{
    struct record_reader r;
    struct record rec;
    TRY(record_reader_open(&r, batch, len, LIMIT_BATCH_BYTES));
    /* When they came is not recorded; counting from now only remembers them longer. */
    int64_t now_ms = clock_wall_ms(ix->clock);
    err_t err;
    while ((err = record_reader_next(&r, &rec)) == OK) {
        struct slice value = record_header_find(&rec, "spillway-key");
        struct key_entry e = {.shard = shard, .lsn = rec.offset, .time_ms = now_ms};
        if (value.data == NULL || !key_value_decode(value, &e))
            continue;
        lock_acquire(&ix->lock);
        insert(ix, &e);
        lock_release(&ix->lock);
    }
    record_reader_close(&r);
    return err == ERR_END ? OK : err;
}
