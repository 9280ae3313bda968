/*
 * writer/key_index.h: the memory of request keys of one stream. Private to writer/.
 *
 * K1  A key is in exactly one place: in flight (a slot) or done (an entry). Entries appear only
 *     after the sync.
 * K2  Entries leave in the order they came: after key_hours, or early when max_keys is reached
 *     (counted).
 * K3  Only a 128-bit hash of the key is kept.
 *
 * Any thread; one lock per index, never held over I/O. Waiters are called under it.
 */
#ifndef WRITER_KEY_INDEX_H
#define WRITER_KEY_INDEX_H

#include "base/lock.h"
#include "writer/writer.h"

struct key_index;

struct key_slot {
    struct key_slot *next;        /* of the same batch */
    struct key_slot *bucket_next; /* in the index */
    struct key_index *index;
    struct hash128 hash;
    uint64_t body_hash;
    uint32_t count;
    uint32_t last_delta; /* of the request's last record in its batch; set by the appender */
    struct key_waiter *waiters;
};

struct key_index *key_index_new(struct clock *clock, unsigned key_hours, unsigned max_keys);
void key_index_free(struct key_index *ix);
enum key_outcome key_index_begin(struct key_index *ix, struct slice key, uint64_t body_hash,
                                 uint32_t count, struct key_waiter *waiter,
                                 struct key_slot **ret_slot, struct key_figures *ret_figures);
/** Ends a slot: with figures it becomes an entry, with NULL it is dropped. Calls its waiters, frees
 * it. */
void key_slot_finish(struct key_slot *slot, const struct key_figures *figures);

/** Checkpoints (the content of a .state file, docs/format.md). */
void key_index_save(struct key_index *ix, uint32_t shard, int64_t offset, struct buf *out);
err_t key_index_load(struct key_index *ix, uint32_t shard, struct cursor *in) MUST_USE;
/** Notes the keys in a batch that was found behind the checkpoint. */
err_t key_index_replay(struct key_index *ix, uint32_t shard, const void *batch,
                       size_t len) MUST_USE;

#endif
