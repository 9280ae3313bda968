/*
 * writer/writer.c: queues, commit threads, completion.
 *
 * A shard with waiting batches is `scheduled`: in the ready list, or held by the thread that took
 * it (from there, or free within writer_submit), until its group is complete: that is how W2 holds.
 * A second later an idle commit thread syncs the recovery points of the shards that were appended
 * to, then sleeps without a timer.
 *
 * A submitter that may wait and finds the shard free commits its batch itself while the device is
 * quick (options.commit_here_ns): handing over to a commit thread and back takes two wake-ups, on a
 * busy or halted core as long as the sync, and splits what could be one group. Now and then such an
 * append does more than its sync: a recovery point each second, a new segment.
 */
#include "writer/writer.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "writer/key_index.h"

#define COMMIT_THREADS_MAX 4
#define IDLE_SYNC_MS 1000
#define HERE_BYTES_MAX KIB(64) /* of a batch that its submitter commits */
#define COMMIT_NS_WEIGHT 8     /* of the past, in the running mean */

struct queue {
    struct shard *shard;
    struct queue *next_all;   /* every queue, for writer_free; guarded by writer.lock */
    struct queue *next_ready; /* guarded by writer.lock */
    struct queue *next_dirty; /* guarded by writer.lock */
    int64_t commit_ns;        /* running mean of a group; the holder's */
    bool dirty;               /* its recovery point is not synced; guarded by writer.lock */
    struct lock lock;         /* guards what follows */
    struct write_batch *head;
    struct write_batch **tail;
    unsigned count;
    size_t bytes;
    bool scheduled;
};

struct stream_keys {
    struct stream_keys *next;
    struct key_index *index;
};

struct writer {
    struct writer_options options;
    struct lock make_lock; /* queues and key indexes are made one at a time */
    struct stream_keys *keys;

    struct lock lock;
    struct lock_cond wake;
    struct queue *queues;
    struct queue *ready_head;
    struct queue **ready_tail;
    struct queue *dirty_head;
    unsigned idle;
    bool stopping;
    pthread_t threads[COMMIT_THREADS_MAX];
    unsigned thread_count;
};

struct writer *writer_new(const struct writer_options *options)
{
    ASSERT(options->commit_threads <= COMMIT_THREADS_MAX);
    struct writer *w = xcalloc(1, sizeof(*w));
    w->options = *options;
    lock_init(&w->make_lock, LOCK_RANK_STREAM);
    lock_init(&w->lock, LOCK_RANK_LEAF);
    lock_cond_init(&w->wake);
    w->ready_tail = &w->ready_head;
    return w;
}

/* Per shard and per stream objects, made on first use ----------------------------------------- */

static struct queue *queue_of(struct writer *w, struct shard *sh)
{
    struct queue *q = shard_user(sh);
    if (likely(q != NULL))
        return q;
    lock_acquire(&w->make_lock);
    q = shard_user(sh);
    if (q == NULL) {
        q = xcalloc(1, sizeof(*q));
        q->shard = sh;
        q->tail = &q->head;
        lock_init(&q->lock, LOCK_RANK_QUEUE);
        lock_acquire(&w->lock);
        q->next_all = w->queues;
        w->queues = q;
        lock_release(&w->lock);
        shard_set_user(sh, q);
    }
    lock_release(&w->make_lock);
    return q;
}

static struct key_index *keys_of(struct writer *w, struct stream *s)
{
    struct key_index *ix = stream_user(s);
    if (likely(ix != NULL))
        return ix;
    lock_acquire(&w->make_lock);
    ix = stream_user(s);
    if (ix == NULL) {
        ix = key_index_new(w->options.clock, w->options.key_hours, w->options.max_keys);
        struct stream_keys *k = xmalloc(sizeof(*k));
        k->index = ix;
        k->next = w->keys;
        w->keys = k;
        stream_set_user(s, ix);
    }
    lock_release(&w->make_lock);
    return ix;
}

/* State of the shards ------------------------------------------------------------------------- */

static err_t state_load(void *arg, struct shard *sh, const char *data, size_t len)
{
    struct cursor c = cursor_of(data, len);
    return key_index_load(keys_of(arg, shard_stream(sh)), shard_index(sh), &c);
}

static err_t state_replay(void *arg, struct shard *sh, const void *batch, size_t len)
{
    struct batch_header h;
    TRY(batch_header_parse(batch, len, &h));
    if ((h.attributes & BATCH_ATTR_KEYED) == 0)
        return OK;
    return key_index_replay(keys_of(arg, shard_stream(sh)), shard_index(sh), batch, len);
}

static void state_save(void *arg, struct shard *sh, int64_t offset, struct buf *out)
{
    key_index_save(keys_of(arg, shard_stream(sh)), shard_index(sh), offset, out);
}

struct log_state_ops writer_state_ops(struct writer *w)
{
    return (struct log_state_ops){state_load, state_replay, state_save, w};
}

/* Submitting ---------------------------------------------------------------------------------- */

/** Whether the queue takes more. Its lock is held. */
static err_t admit_locked(struct writer *w, struct queue *q)
{
    const struct writer_options *o = &w->options;
    bool many = q->count > o->max_pending || q->bytes > o->max_pending_bytes;
    if (likely(!many))
        return OK;
    int64_t waited_ns = clock_mono_ns(o->clock) - q->head->queued_ns;
    if (waited_ns <= (int64_t)o->pressure_ms * 1000000 &&
        q->bytes <= o->max_pending_bytes * LIMIT_PENDING_BYTES_FACTOR)
        return OK;
    metric_inc(M_buffer_full_total);
    return err_fail(ERR_BUFFER_FULL, "%u batches (%zu bytes) wait to be written; try again shortly",
                    q->count, q->bytes);
}

err_t writer_admit(struct writer *w, struct shard *sh)
{
    TRY(shard_admit(sh));
    struct queue *q = queue_of(w, sh);
    lock_acquire(&q->lock);
    err_t err = admit_locked(w, q);
    lock_release(&q->lock);
    return err;
}

void writer_pending(struct writer *w, struct shard *sh, unsigned *ret_batches, size_t *ret_bytes)
{
    struct queue *q = queue_of(w, sh);
    lock_acquire(&q->lock);
    *ret_batches = q->count;
    *ret_bytes = q->bytes;
    lock_release(&q->lock);
}

static void make_ready_locked(struct writer *w, struct queue *q)
{
    q->next_ready = NULL;
    *w->ready_tail = q;
    w->ready_tail = &q->next_ready;
}

static void make_ready(struct writer *w, struct queue *q)
{
    lock_acquire(&w->lock);
    make_ready_locked(w, q);
    if (w->idle > 0)
        lock_cond_signal(&w->wake);
    lock_release(&w->lock);
}

static void commit_once(struct writer *w, struct queue *q, bool wake);

/** For the holder of q. */
static bool may_commit_here(const struct writer *w, const struct queue *q,
                            const struct write_batch *b)
{
    return b->may_wait && b->len <= HERE_BYTES_MAX && q->commit_ns < w->options.commit_here_ns;
}

err_t writer_submit(struct writer *w, struct write_batch *b)
{
    ASSERT(b->len <= LIMIT_BATCH_BYTES && b->record_count > 0);
    TRY(shard_admit(b->shard));
    struct queue *q = queue_of(w, b->shard);
    b->next = NULL;
    b->queued_ns = clock_mono_ns(w->options.clock);
    lock_acquire(&q->lock);
    err_t err = admit_locked(w, q);
    bool schedule = false, here = false;
    if (err == OK) {
        *q->tail = b;
        q->tail = &b->next;
        q->count++;
        q->bytes += b->len;
        schedule = !q->scheduled;
        q->scheduled = true;
        here = schedule && may_commit_here(w, q, b);
    }
    lock_release(&q->lock);
    if (here)
        commit_once(w, q, true);
    else if (schedule)
        make_ready(w, q);
    return err;
}

/* Committing ---------------------------------------------------------------------------------- */

/** Takes what fits in one group off the queue. */
static size_t take_group(struct queue *q, struct write_batch **ret_list)
{
    size_t count = 0, bytes = 0;
    lock_acquire(&q->lock);
    *ret_list = q->head;
    struct write_batch **link = &q->head;
    while (*link != NULL && count < LIMIT_GROUP_BATCHES &&
           (count == 0 || bytes + (*link)->len <= LIMIT_GROUP_BYTES)) {
        bytes += (*link)->len;
        count++;
        link = &(*link)->next;
    }
    struct write_batch *rest = *link;
    *link = NULL;
    q->head = count > 0 ? rest : q->head;
    if (q->head == NULL)
        q->tail = &q->head;
    q->count -= (unsigned)count;
    q->bytes -= bytes;
    lock_release(&q->lock);
    return count;
}

static void finish_keys(struct write_batch *b)
{
    for (struct key_slot *slot = b->keys, *next; slot != NULL; slot = next) {
        next = slot->next;
        struct key_figures figures = {.shard = shard_index(b->shard),
                                      .count = slot->count,
                                      .lsn = b->base_offset + slot->last_delta,
                                      .body_hash = slot->body_hash};
        key_slot_finish(slot, b->err == OK ? &figures : NULL);
    }
    b->keys = NULL;
}

/** Tells a batch how it ended. Its bytes are on disk when err is OK (W1). */
static void complete(struct write_batch *b, const struct append_batch *a, err_t err,
                     const char *text)
{
    b->err = err;
    b->err_text[0] = '\0';
    if (err != OK)
        snprintf(b->err_text, sizeof(b->err_text), "%s", text);
    b->base_offset = a->base_offset;
    b->append_time_ms = -1;
    if (err == OK && b->stamp_append_time)
        b->append_time_ms = (int64_t)load_u64(b->data + 35);
    finish_keys(b);
    free(TAKE(b->data));
    b->on_done(b);
}

static void commit_group(const struct writer *w, struct queue *q, struct write_batch *list,
                         size_t count)
{
    struct append_batch appends[LIMIT_GROUP_BATCHES];
    size_t i = 0;
    for (struct write_batch *b = list; b != NULL; b = b->next)
        appends[i++] = (struct append_batch){b->data, b->len, b->stamp_append_time, -1};
    ASSERT(i == count);
    int64_t started_ns = clock_mono_ns(w->options.clock);
    err_t err = shard_append(q->shard, appends, count);
    int64_t took_ns = clock_mono_ns(w->options.clock) - started_ns;
    q->commit_ns += (took_ns - q->commit_ns) / COMMIT_NS_WEIGHT;
    const char *text = err == OK ? "" : err_text(err);
    i = 0;
    for (struct write_batch *b = list, *next; b != NULL; b = next) {
        next = b->next;
        complete(b, &appends[i++], err, text);
    }
    if (err == OK)
        shard_upkeep(q->shard);
}

/** Gives the shard back, or, when it has more to do, to the next commit thread. A caller that is no
 * commit thread, and so does not look at the ready list next, has one woken for what it leaves. */
static void release_queue(struct writer *w, struct queue *q, bool appended, bool wake)
{
    lock_acquire(&q->lock);
    bool more = q->head != NULL;
    q->scheduled = more;
    lock_release(&q->lock);
    if (!appended && !more)
        return;
    lock_acquire(&w->lock);
    bool newly_dirty = appended && !q->dirty;
    bool first_dirty = newly_dirty && w->dirty_head == NULL;
    if (newly_dirty) {
        q->dirty = true;
        q->next_dirty = w->dirty_head;
        w->dirty_head = q;
    }
    if (more)
        make_ready_locked(w, q);
    if (wake && (more || first_dirty) && w->idle > 0)
        lock_cond_signal(&w->wake);
    lock_release(&w->lock);
}

static void commit_once(struct writer *w, struct queue *q, bool wake)
{
    struct write_batch *list;
    size_t count = take_group(q, &list);
    if (count > 0)
        commit_group(w, q, list, count);
    release_queue(w, q, count > 0, wake);
}

/** Syncs the recovery point of a shard that was dirty, unless it is being appended to: then it is
 * noted anew. */
static void sync_point(struct writer *w, struct queue *q)
{
    lock_acquire(&q->lock);
    bool mine = !q->scheduled;
    q->scheduled = true;
    lock_release(&q->lock);
    if (!mine)
        return;
    shard_sync_recovery_point(q->shard);
    release_queue(w, q, false, false);
}

static struct queue *take_ready(struct writer *w)
{
    struct queue *q = w->ready_head;
    if (q != NULL) {
        w->ready_head = q->next_ready;
        if (w->ready_head == NULL)
            w->ready_tail = &w->ready_head;
    }
    return q;
}

/** Sleeps until there is something to do; returns the shards to sync when nothing came for a while.
 * They stay `dirty`, so that nobody else links them, until they are taken off the list. */
static struct queue *sleep_locked(struct writer *w) LOCK_REQUIRES(&w->lock)
{
    bool woken = true;
    w->idle++;
    if (w->dirty_head == NULL)
        lock_cond_wait(&w->wake, &w->lock);
    else
        woken = lock_cond_wait_ms(&w->wake, &w->lock, IDLE_SYNC_MS);
    w->idle--;
    return woken ? NULL : TAKE(w->dirty_head);
}

static void *commit_main(void *arg)
{
    struct writer *w = arg;
    struct queue *points = NULL; /* whose recovery points are to be synced, when no batch waits */
    pthread_setname_np(pthread_self(), "commit");
    lock_acquire(&w->lock);
    for (;;) {
        struct queue *q = take_ready(w);
        if (q != NULL) {
            lock_release(&w->lock);
            commit_once(w, q, false);
            lock_acquire(&w->lock);
        } else if (w->stopping) {
            break; /* log_close writes the points */
        } else if (points != NULL) {
            q = points;
            points = q->next_dirty;
            q->dirty = false;
            lock_release(&w->lock);
            sync_point(w, q);
            lock_acquire(&w->lock);
        } else {
            points = sleep_locked(w);
        }
    }
    lock_release(&w->lock);
    return NULL;
}

unsigned writer_commit_pending(struct writer *w)
{
    unsigned groups = 0;
    for (;;) {
        lock_acquire(&w->lock);
        struct queue *q = take_ready(w);
        lock_release(&w->lock);
        if (q == NULL)
            return groups;
        commit_once(w, q, false);
        groups++;
    }
}

void writer_start(struct writer *w)
{
    for (unsigned i = 0; i < w->options.commit_threads; i++) {
        int rc = pthread_create(&w->threads[i], NULL, commit_main, w);
        ASSERT(rc == 0);
        w->thread_count++;
    }
}

void writer_stop(struct writer *w)
{
    lock_acquire(&w->lock);
    w->stopping = true;
    lock_cond_broadcast(&w->wake);
    lock_release(&w->lock);
    for (unsigned i = 0; i < w->thread_count; i++)
        pthread_join(w->threads[i], NULL);
    w->thread_count = 0;
    writer_commit_pending(w);
}

void writer_free(struct writer *w)
{
    if (w == NULL)
        return;
    for (struct queue *q = w->queues, *next; q != NULL; q = next) {
        next = q->next_all;
        ASSERT(q->head == NULL);
        lock_destroy(&q->lock);
        free(q);
    }
    for (struct stream_keys *k = w->keys, *next; k != NULL; k = next) {
        next = k->next;
        key_index_free(k->index);
        free(k);
    }
    lock_cond_destroy(&w->wake);
    lock_destroy(&w->lock);
    lock_destroy(&w->make_lock);
    free(w);
}

/* Request keys -------------------------------------------------------------------------------- */

enum key_outcome key_begin(struct writer *w, struct stream *s, struct slice key, uint64_t body_hash,
                           uint32_t count, struct key_waiter *waiter, struct key_slot **ret_slot,
                           struct key_figures *ret_figures)
{
    return key_index_begin(keys_of(w, s), key, body_hash, count, waiter, ret_slot, ret_figures);
}

void key_abandon(struct key_slot *slot)
{
    if (slot != NULL)
        key_slot_finish(slot, NULL);
}
