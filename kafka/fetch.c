/*
 * kafka/fetch.c: Fetch, with the long poll of KIP-41/KIP-74.
 *
 * A fetch is looked at as a whole: when its partitions hold min_bytes, or one of them has an error,
 * or its time is over, it is answered with what is there. Else it is parked: it waits on each
 * partition's high watermark (log/log.h, shard_wait) and on the session's timer, and is looked at
 * again when any of them fires. Nothing polls while it is parked.
 *
 * F1  The batches themselves are never read here: a reply holds slices of segments.
 * F2  The first partition with data gives at least one whole batch, whatever the limits; those
 *     after it stay within the limits.
 * F3  Waiters fire on the appending thread: they only mark and post. Before the request is answered
 *     or forgotten all waiters are withdrawn; a message that is already posted is waited for.
 * F4  What a reply would wait for on the disk is read in by a worker first: a reactor's sendfile
 *     finds it in the page cache.
 *
 * Fetch sessions (KIP-227) are not kept: every reply says session 0, which clients take as "none".
 */
#include "kafka/wire/fetch.h"
#include "base/limits.h"
#include "base/logger.h"
#include "kafka/handlers.h"
#include "kafka/reply.h"
#include "kafka/topics.h"
#include "kafka/warm.h"

#define MAX_WAIT_MS 600000

struct fetch_state;

/** A partition of the request, flat. */
struct fetch_row {
    struct fetch_partition *p;
    struct shard *shard; /* NULL: unknown */
    struct log_slice slice;
    int64_t seen; /* high watermark at the look */
    bool waiting;
    struct shard_waiter waiter;
    struct fetch_state *st;
};

struct fetch_state {
    struct kafka_request *rq;
    struct fetch_request q;
    struct fetch_row *rows;
    uint32_t row_count;
    bool parked;
    bool timer_started;
    bool time_over;
    _Atomic bool posted; /* msg is on its way */
    struct reactor_msg msg;
    bool warming; /* a worker reads the slices in; warm_msg will come */
    struct worker_job warm_job;
    struct reactor_msg warm_msg;
};

/* One look ------------------------------------------------------------------------------------ */

struct fetch_look {
    int64_t room;  /* bytes that may still go into the reply */
    int64_t bytes; /* found so far */
    bool error;    /* a partition answers with an error */
    bool more;     /* something was left out for lack of room */
};

static int16_t position_error(struct fetch_row *row)
{
    if (row->shard == NULL)
        return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    if (row->p->current_leader_epoch > KAFKA_LEADER_EPOCH)
        return KAFKA_UNKNOWN_LEADER_EPOCH;
    row->seen = shard_high_watermark(row->shard);
    if (row->p->offset < shard_log_start(row->shard) || row->p->offset > row->seen)
        return KAFKA_OFFSET_OUT_OF_RANGE;
    return KAFKA_NONE;
}

static void row_fail(struct fetch_row *row, struct fetch_look *look, int16_t error)
{
    row->p->error = error;
    row->p->high_watermark = KAFKA_NO_OFFSET;
    row->p->log_start = KAFKA_NO_OFFSET;
    look->error = true;
}

/** Takes batches of one partition into the look, within its limits (F2). */
static void row_slice(struct fetch_row *row, struct fetch_look *look)
{
    int64_t limit = MIN((int64_t)MAX(row->p->max_bytes, 0), look->room);
    bool first = look->bytes == 0;
    if (!first && limit <= 0) {
        look->more = true;
        return;
    }
    struct log_slice slice;
    err_t err = shard_slice(row->shard, row->p->offset, (size_t)limit, &slice);
    if (err != OK) {
        if (err != ERR_OFFSET_OUT_OF_RANGE)
            LOG_WARN("kafka_fetch_failed", F("stream", stream_name(shard_stream(row->shard))),
                     F("shard", (int64_t)shard_index(row->shard)), F("err", err_text(err)));
        row_fail(row, look, err_kafka_code(err));
        return;
    }
    if (slice.len == 0 || (!first && (int64_t)slice.len > limit)) {
        look->more |= slice.len > 0;
        log_slice_release(&slice);
        return;
    }
    row->slice = slice;
    look->bytes += (int64_t)slice.len;
    look->room -= (int64_t)slice.len;
}

static void row_look(struct fetch_row *row, struct fetch_look *look)
{
    int16_t error = position_error(row);
    if (error != KAFKA_NONE) {
        row_fail(row, look, error);
        return;
    }
    row->p->error = KAFKA_NONE;
    if (row->p->offset < row->seen) {
        row_slice(row, look);
        if (row->p->error != KAFKA_NONE)
            return;
    }
    /* Behind the slice, so that it never ends above what the reply calls the watermark. */
    row->p->high_watermark = row->slice.len > 0 ? shard_high_watermark(row->shard) : row->seen;
    row->p->log_start = shard_log_start(row->shard);
}

static void drop_slices(struct fetch_state *st)
{
    for (uint32_t i = 0; i < st->row_count; i++) {
        if (st->rows[i].slice.len > 0)
            log_slice_release(&st->rows[i].slice);
        st->rows[i].slice = (struct log_slice){0};
    }
}

/** Whether what is there is enough to answer with; the slices are in the rows. */
static bool fetch_look(struct fetch_state *st)
{
    struct fetch_look look = {
        .room = MIN((int64_t)MAX(st->q.max_bytes, 0), (int64_t)LIMIT_KAFKA_FETCH_BYTES)};
    int64_t wanted = MIN((int64_t)st->q.min_bytes, look.room);
    for (uint32_t i = 0; i < st->row_count; i++)
        row_look(&st->rows[i], &look);
    return look.error || look.more || look.bytes >= wanted || st->row_count == 0;
}

/* Answer -------------------------------------------------------------------------------------- */

static void row_write(struct kafka_request *rq, struct wire_writer *w, struct fetch_row *row)
{
    size_t len = row->slice.len;
    fetch_partition_head_write(w, rq->header.version, row->p, (uint32_t)len);
    if (len > 0) {
        reply_slice(rq, &row->slice);
        row->slice = (struct log_slice){0};
    }
    wire_put_no_tags(w);
}

static void fetch_answer(struct fetch_state *st)
{
    struct kafka_request *rq = st->rq;
    struct wire_writer w = reply_begin(rq);
    struct fetch_row *row = st->rows;
    fetch_reply_head_write(&w, rq->header.version, KAFKA_NONE, st->q.topic_count);
    for (uint32_t i = 0; i < st->q.topic_count; i++) {
        fetch_topic_head_write(&w, &st->q.topics[i]);
        for (uint32_t k = 0; k < st->q.topics[i].partition_count; k++)
            row_write(rq, &w, row++);
        wire_put_no_tags(&w);
    }
    wire_put_no_tags(&w);
    request_done(rq);
}

/* Cold data ----------------------------------------------------------------------------------- */

/** Worker thread. */
static void read_in(struct worker_job *job)
{
    struct fetch_state *st = CONTAINER_OF(job, struct fetch_state, warm_job);
    for (uint32_t i = 0; i < st->row_count; i++)
        if (!slice_is_cached(&st->rows[i].slice))
            slice_read_in(&st->rows[i].slice);
    reactor_post(request_reactor(st->rq), &st->warm_msg);
}

static void on_read_in(struct reactor_msg *msg)
{
    struct fetch_state *st = CONTAINER_OF(msg, struct fetch_state, warm_msg);
    if (!request_is_gone(st->rq)) {
        fetch_answer(st);
        return;
    }
    drop_slices(st);
    request_done(st->rq);
}

/** Answers now, or when a worker has read in what is not in the page cache (F4). */
static void fetch_finish(struct fetch_state *st)
{
    for (uint32_t i = 0; i < st->row_count; i++)
        st->warming |= !slice_is_cached(&st->rows[i].slice);
    if (st->warming)
        worker_submit(st->rq->door->workers, &st->warm_job);
    else
        fetch_answer(st);
}

/* Parking ------------------------------------------------------------------------------------- */

/** The appending thread. */
static void on_append(struct shard_waiter *waiter)
{
    struct fetch_state *st = CONTAINER_OF(waiter, struct fetch_row, waiter)->st;
    if (!atomic_exchange(&st->posted, true))
        reactor_post(request_reactor(st->rq), &st->msg);
}

static void unpark(struct fetch_state *st)
{
    for (uint32_t i = 0; i < st->row_count; i++) {
        if (st->rows[i].waiting)
            shard_unwait(st->rows[i].shard, &st->rows[i].waiter);
        st->rows[i].waiting = false;
    }
    st->parked = false;
}

/** Waits on every partition. False: one of them has moved since the look. */
static bool park(struct fetch_state *st)
{
    st->parked = true;
    for (uint32_t i = 0; i < st->row_count; i++) {
        struct fetch_row *row = &st->rows[i];
        row->waiter.fn = on_append;
        row->waiting = shard_wait(row->shard, row->seen, &row->waiter);
        if (!row->waiting) {
            unpark(st);
            return false;
        }
    }
    if (!st->timer_started)
        request_timer_start(st->rq, MIN((unsigned)st->q.max_wait_ms, MAX_WAIT_MS));
    st->timer_started = true;
    return true;
}

/** Looks until there is an answer, the fetch is parked, or a message is on its way (F3). */
static void fetch_advance(struct fetch_state *st)
{
    for (;;) {
        if (fetch_look(st) || st->time_over) {
            fetch_finish(st);
            return;
        }
        drop_slices(st);
        if (park(st) || atomic_load(&st->posted))
            return;
    }
}

/** Ends the parking; true when a message is on its way, which then carries on. */
static bool withdraw(struct fetch_state *st)
{
    unpark(st);
    return atomic_load(&st->posted);
}

static void on_append_message(struct reactor_msg *msg)
{
    struct fetch_state *st = CONTAINER_OF(msg, struct fetch_state, msg);
    if (request_is_gone(st->rq)) {
        request_done(st->rq);
        return;
    }
    unpark(st);
    atomic_store(&st->posted, false);
    fetch_advance(st);
}

static void on_fetch_timer(struct kafka_request *rq)
{
    struct fetch_state *st = rq->state;
    st->time_over = true;
    if (st->parked && !withdraw(st))
        fetch_advance(st);
}

static void on_fetch_gone(struct kafka_request *rq)
{
    struct fetch_state *st = rq->state;
    if (!st->warming && !withdraw(st))
        request_done(rq);
}

/* The request --------------------------------------------------------------------------------- */

static void rows_make(struct fetch_state *st)
{
    for (uint32_t i = 0; i < st->q.topic_count; i++)
        st->row_count += st->q.topics[i].partition_count;
    st->rows = arena_zalloc(&st->rq->arena, st->row_count * sizeof(*st->rows));
    struct fetch_row *row = st->rows;
    for (uint32_t i = 0; i < st->q.topic_count; i++) {
        struct fetch_topic *t = &st->q.topics[i];
        for (uint32_t k = 0; k < t->partition_count; k++, row++) {
            row->p = &t->partitions[k];
            row->st = st;
            row->shard = topic_shard(st->rq->door, t->name, row->p->index);
        }
    }
}

/** An answer without data: the same error for the whole reply, or for each partition where the
 * version has no place for one. */
static err_t fetch_refuse(struct fetch_state *st, int16_t error)
{
    struct kafka_request *rq = st->rq;
    if (rq->header.version >= 7) {
        struct wire_writer w = reply_begin(rq);
        fetch_reply_head_write(&w, rq->header.version, error, 0);
        wire_put_no_tags(&w);
        request_done(rq);
        return OK;
    }
    for (uint32_t i = 0; i < st->row_count; i++)
        st->rows[i].p->error = error;
    fetch_answer(st);
    return OK;
}

err_t fetch_handle(struct kafka_request *rq, struct wire_reader *in)
{
    struct fetch_state *st = arena_zalloc(&rq->arena, sizeof(*st));
    st->rq = rq;
    st->msg.run = on_append_message;
    st->warm_msg.run = on_read_in;
    st->warm_job.run = read_in;
    rq->state = st;
    fetch_request_read(in, rq->header.version, &rq->arena, &st->q);
    TRY(wire_request_end(in, "Fetch"));
    rows_make(st);
    if (rq->header.version < rq->api->min)
        return fetch_refuse(st, KAFKA_UNSUPPORTED_VERSION);
    if (st->q.session_epoch > 0)
        return fetch_refuse(st, KAFKA_FETCH_SESSION_ID_NOT_FOUND);
    rq->on_timer = on_fetch_timer;
    rq->on_gone = on_fetch_gone;
    if (st->q.max_wait_ms <= 0)
        st->time_over = true;
    fetch_advance(st);
    return OK;
}
