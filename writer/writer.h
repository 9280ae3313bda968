/*
 * writer/writer.h: from finished record batches to durable offsets.
 *
 * Batches are queued per shard; whoever holds the shard (a commit thread, or a submitter that may
 * wait) appends what is queued as one group (log/log.h: one write, one fdatasync) and completes
 * the batches together. While a group is in flight the next one gathers, so a lone batch waits for
 * nothing and many share a sync.
 *
 * W1  A batch completes with OK only after its group's sync.
 * W2  One group per shard is in flight; groups of different shards sync side by side.
 * W3  Request keys change only after the sync; those of a failed group are dropped.
 * W4  Queues are bounded: above the bound a submit fails with ERR_BUFFER_FULL and nothing is kept.
 */
#ifndef WRITER_WRITER_H
#define WRITER_WRITER_H

#include "base/base.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "log/log.h"

struct writer;
struct key_slot;

struct writer_options {
    struct clock *clock;
    unsigned commit_threads;  /* 1..4; 0: none, the caller runs writer_commit_pending (tests) */
    int64_t commit_here_ns;   /* see write_batch.may_wait; 0: submitters never commit */
    unsigned max_pending;     /* sealed batches waiting on a shard … */
    size_t max_pending_bytes; /* … or bytes, above which the shard is under pressure */
    unsigned pressure_ms;     /* … once the oldest has waited this long (50) */
    unsigned key_hours;       /* how long request keys are remembered */
    unsigned max_keys;        /* per stream */
};

/** Makes the writer and its memory of request keys; give writer_state_ops to log_open, then call
 *  writer_start. Main thread. */
struct writer *writer_new(const struct writer_options *options);
struct log_state_ops writer_state_ops(struct writer *w);
/** Starts the commit threads. Main thread. */
void writer_start(struct writer *w);
/** Commits what is queued, then stops the commit threads. No submits may come any more. Main
 * thread. */
void writer_stop(struct writer *w);
void writer_free(struct writer *w);
/** Without commit threads: commits all that is queued on the caller's thread; returns the groups
 * made. */
unsigned writer_commit_pending(struct writer *w);

/** A sealed record batch on its way to disk. The submitter owns the object (usually embedded) and
 * keeps it alive until on_done. */
struct write_batch {
    struct write_batch *next;
    struct shard *shard;
    uint8_t *data; /* owned: freed by the writer once committed */
    uint32_t len;
    uint32_t record_count;
    bool stamp_append_time;
    bool may_wait; /* the submitter commits the batch itself, within writer_submit, where the shard
                      is free, the batch small, and groups take less than commit_here_ns on average
                    */
    struct key_slot *keys; /* of requests in this batch, linked */
    int64_t queued_ns;
    /* results, set before on_done */
    err_t err;
    char err_text[160];
    int64_t base_offset;
    int64_t append_time_ms; /* -1 where not stamped */
    /** Called once, after the sync or the failure, with no lock held: on a commit thread, or on a
     * submitter's thread within its writer_submit (its own batch's or another's), possibly before
     * the writer_submit of this one has returned. Must not block or submit. */
    void (*on_done)(struct write_batch *b);
};

/** Queues the batch. ERR_BUFFER_FULL (under pressure), ERR_READ_ONLY, ERR_NO_SPACE: not queued,
 * data stays with the caller and on_done is not called. Any thread; with may_wait it does I/O and
 * calls others' callbacks, so no lock may be held. */
err_t writer_submit(struct writer *w, struct write_batch *b) MUST_USE;
/** Whether writer_submit would refuse now, for an early answer before a body is read. Any thread.
 */
err_t writer_admit(struct writer *w, struct shard *sh) MUST_USE;
/** Batches and bytes waiting on a shard. Any thread. */
void writer_pending(struct writer *w, struct shard *sh, unsigned *ret_batches, size_t *ret_bytes);

/* Request keys -------------------------------------------------------------------------------- */

/** What is remembered of a keyed request. */
struct key_figures {
    uint32_t shard;
    uint32_t count;     /* events received */
    int64_t lsn;        /* offset of its last event */
    uint64_t body_hash; /* fingerprint of the body, for KEY_REUSED */
};

enum key_outcome {
    KEY_NEW,       /* *ret_slot is the caller's: attach it to a batch, or key_abandon it */
    KEY_DONE,      /* seen before: *ret_figures */
    KEY_IN_FLIGHT, /* another request with this key is on its way: the waiter will be called */
};

struct key_waiter {
    struct key_waiter *next;
    /** Called once, any thread, under the lock of the keys, possibly before key_begin has returned:
     * figures of the first request, or NULL when it failed (then this one may be tried anew). Must
     * not block or call the writer. */
    void (*fn)(struct key_waiter *w, const struct key_figures *figures);
};

/** `key` is the full key with its kind and namespace prefix (writer/keys.h writes
 * it), 1..LIMIT_KEY_BYTES + 80 bytes. Keys are per stream, whatever shard holds them. Any thread.
 */
enum key_outcome key_begin(struct writer *w, struct stream *s, struct slice key, uint64_t body_hash,
                           uint32_t count, struct key_waiter *waiter, struct key_slot **ret_slot,
                           struct key_figures *ret_figures);
/** The request failed before its batch was submitted. Any thread. */
void key_abandon(struct key_slot *slot);

#endif
