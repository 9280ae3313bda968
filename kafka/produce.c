/*
 * kafka/produce.c: Produce. Each partition's batch is checked (kafka/produce_check.h), copied once
 * and handed to the writer as it is; the request is answered when all of its batches are durable.
 * acks=1 is answered like acks=all: there is no weaker state to report.
 *
 * P1  A batch that is refused stores nothing and does not hinder those beside it.
 * P2  Requests of a connection reach the writer in their order. Where the writer has no room the
 *     request is not taken from the connection (ERR_AGAIN), so those behind it wait too; only after
 *     ROOM_WAIT_MS is it answered with a retriable error that says "not persisted".
 */
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "base/metrics.h"
#include "kafka/handlers.h"
#include "kafka/produce_check.h"
#include "kafka/reply.h"
#include "kafka/topics.h"
#include "kafka/wire/produce.h"

#define ROOM_WAIT_MS 1000

struct produce_state;

/** A partition of the request, flat. */
struct produce_row {
    struct produce_partition *p;
    struct produce_state *st;
    struct shard *shard;
    struct write_batch batch;
};

struct produce_state {
    struct kafka_request *rq;
    struct produce_request q;
    struct produce_row *rows;
    uint32_t row_count;
    _Atomic uint32_t unfinished; /* batches in the writer, and one for produce_handle itself */
    struct reactor_msg msg;
};

static void row_refuse(struct produce_row *row, int16_t error, const char *text)
{
    row->p->error = error;
    row->p->error_text = text;
}

/* Answer -------------------------------------------------------------------------------------- */

static void row_settle(struct produce_row *row)
{
    struct produce_partition *p = row->p;
    if (p->error != KAFKA_NONE)
        return;
    if (row->batch.err != OK) {
        row_refuse(row, err_kafka_code(row->batch.err), row->batch.err_text);
        return;
    }
    p->base_offset = row->batch.base_offset;
    p->append_time_ms = row->batch.append_time_ms;
    p->log_start = shard_log_start(row->shard);
    metric_add(M_kafka_records_produced_total, row->batch.record_count);
}

/** All batches are done. With acks=0 there is no reply; Kafka shows an error by closing. */
static void produce_answer(struct produce_state *st)
{
    struct kafka_request *rq = st->rq;
    bool failed = false;
    for (uint32_t i = 0; i < st->row_count; i++) {
        row_settle(&st->rows[i]);
        failed |= st->rows[i].p->error != KAFKA_NONE;
    }
    if (st->q.acks == 0) {
        rq->silent = true;
        rq->close_after = failed;
    } else if (!request_is_gone(rq)) {
        struct wire_writer w = reply_begin(rq);
        produce_reply_write(&w, rq->header.version, &st->q);
    }
    request_done(rq);
}

static void on_finished(struct reactor_msg *msg)
{
    produce_answer(CONTAINER_OF(msg, struct produce_state, msg));
}

/** On the thread that committed it, possibly before row_submit is through. */
static void on_batch_done(struct write_batch *batch)
{
    struct produce_state *st = CONTAINER_OF(batch, struct produce_row, batch)->st;
    if (atomic_fetch_sub(&st->unfinished, 1) == 1)
        reactor_post(request_reactor(st->rq), &st->msg);
}

/* Batches ------------------------------------------------------------------------------------- */

static void row_submit(struct produce_row *row, const struct batch_header *header)
{
    struct write_batch *b = &row->batch;
    b->shard = row->shard;
    b->len = (uint32_t)row->p->records.len;
    b->data = xmalloc(b->len);
    memcpy(b->data, row->p->records.data, b->len);
    b->record_count = (uint32_t)header->record_count;
    b->stamp_append_time = stream_is_namespace(shard_stream(row->shard));
    b->append_time_ms = -1;
    b->on_done = on_batch_done;
    atomic_fetch_add(&row->st->unfinished, 1);
    err_t err = writer_submit(row->st->rq->door->writer, b);
    if (err != OK) {
        atomic_fetch_sub(&row->st->unfinished, 1);
        free(b->data);
        b->data = NULL;
        row_refuse(row, err_kafka_code(err), err_default_text(err));
    }
}

static void row_take(struct produce_row *row)
{
    struct batch_header header;
    const char *text;
    if (row->p->error != KAFKA_NONE)
        return;
    int16_t error = produce_check(row->p->records, row->st->rq->header.version, &header, &text);
    if (error != KAFKA_NONE) {
        LOG_WARN("kafka_batch_refused", F("stream", stream_name(shard_stream(row->shard))),
                 F("shard", (int64_t)shard_index(row->shard)), F("code", (int64_t)error),
                 F("err", text));
        row_refuse(row, error, text);
        return;
    }
    row_submit(row, &header);
}

/* The request --------------------------------------------------------------------------------- */

/** An error that holds for the whole request, or 0. */
static int16_t request_error(const struct produce_state *st, const char **ret_text)
{
    *ret_text = NULL;
    if (st->rq->header.version < 3) {
        *ret_text = "record batches need Produce version 3 or later";
        return KAFKA_UNSUPPORTED_VERSION;
    }
    if (st->q.acks < -1 || st->q.acks > 1) {
        *ret_text = "acks must be 0, 1 or -1";
        return KAFKA_INVALID_REQUIRED_ACKS;
    }
    if (st->q.transactional) {
        *ret_text = "transactions are not supported";
        return KAFKA_INVALID_REQUEST;
    }
    return KAFKA_NONE;
}

static void row_open(struct produce_row *row, struct slice topic)
{
    row->shard = topic_shard(row->st->rq->door, topic, row->p->index);
    if (row->shard == NULL)
        row_refuse(row, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "no such topic or partition");
    else if (topic_name_internal(topic))
        row_refuse(row, KAFKA_INVALID_TOPIC, "an internal topic");
}

static void rows_make(struct produce_state *st)
{
    for (uint32_t i = 0; i < st->q.topic_count; i++)
        st->row_count += st->q.topics[i].partition_count;
    st->rows = arena_zalloc(&st->rq->arena, st->row_count * sizeof(*st->rows));
    const char *text;
    int16_t error = request_error(st, &text);
    struct produce_row *row = st->rows;
    for (uint32_t i = 0; i < st->q.topic_count; i++) {
        struct produce_topic *t = &st->q.topics[i];
        for (uint32_t k = 0; k < t->partition_count; k++, row++) {
            row->p = &t->partitions[k];
            row->st = st;
            if (error != KAFKA_NONE)
                row_refuse(row, error, text);
            else
                row_open(row, t->name);
        }
    }
}

static bool has_room(const struct produce_state *st)
{
    for (uint32_t i = 0; i < st->row_count; i++)
        if (st->rows[i].p->error == KAFKA_NONE &&
            writer_admit(st->rq->door->writer, st->rows[i].shard) == ERR_BUFFER_FULL)
            return false;
    return true;
}

/** The names are in the reply, when the request's bytes are gone. */
static void keep_names(struct produce_state *st)
{
    for (uint32_t i = 0; i < st->q.topic_count; i++) {
        struct slice *name = &st->q.topics[i].name;
        name->data = arena_strndup(&st->rq->arena, name->data, name->len);
    }
}

err_t produce_handle(struct kafka_request *rq, struct wire_reader *in)
{
    struct produce_state *st = arena_zalloc(&rq->arena, sizeof(*st));
    st->rq = rq;
    st->msg.run = on_finished;
    produce_request_read(in, rq->header.version, &rq->arena, &st->q);
    TRY(wire_request_end(in, "Produce"));
    rows_make(st);
    if (!has_room(st) &&
        request_waited_ms(rq) < (unsigned)MIN(MAX(st->q.timeout_ms, 0), ROOM_WAIT_MS))
        return ERR_AGAIN;
    keep_names(st);
    atomic_store(&st->unfinished, 1);
    for (uint32_t i = 0; i < st->row_count; i++)
        row_take(&st->rows[i]);
    if (atomic_fetch_sub(&st->unfinished, 1) == 1)
        produce_answer(st);
    return OK;
}
