/*
 * kafka/list_offsets.c: ListOffsets. The two ends of a partition are known at once; a look-up by
 * time may read old segments, so a request that holds one is answered from a worker.
 */
#include "kafka/wire/list_offsets.h"
#include "base/logger.h"
#include "kafka/handlers.h"
#include "kafka/reply.h"
#include "kafka/topics.h"

struct list_offsets_state {
    struct kafka_request *rq;
    struct list_offsets_request q;
    struct worker_job job;
    struct reactor_msg msg;
};

static void found(struct list_offsets_partition *p, int64_t offset, int64_t timestamp)
{
    p->found_offset = offset;
    p->found_timestamp = timestamp;
    if (offset >= 0)
        p->leader_epoch = KAFKA_LEADER_EPOCH;
}

/** Version 0 asks for the offsets before a time: where nothing is that late, the end. */
static void found_by_time(struct list_offsets_partition *p, int version, const struct shard *sh,
                          int64_t offset, int64_t timestamp)
{
    if (version == 0 && offset < 0)
        found(p, shard_high_watermark(sh), -1);
    else
        found(p, offset, timestamp);
}

static void look_up(struct list_offsets_partition *p, int version, struct shard *sh)
{
    int64_t offset = KAFKA_NO_OFFSET;
    int64_t timestamp = -1;
    err_t err = p->timestamp == LIST_OFFSETS_MAX_TIMESTAMP
                    ? shard_max_timestamp(sh, &offset, &timestamp)
                    : shard_offset_for_time(sh, p->timestamp, &offset, &timestamp);
    if (err == OK) {
        found_by_time(p, version, sh, offset, timestamp);
        return;
    }
    LOG_WARN("offset_by_time_failed", F("stream", stream_name(shard_stream(sh))),
             F("shard", (int64_t)shard_index(sh)), F("err", err_text(err)));
    p->error = err_kafka_code(err);
}

/** Answers what needs no reading; true when a worker must look. */
static bool answer_now(struct list_offsets_partition *p, int version, const struct shard *sh)
{
    if (sh == NULL)
        p->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
    else if (p->current_leader_epoch > KAFKA_LEADER_EPOCH)
        p->error = KAFKA_UNKNOWN_LEADER_EPOCH;
    else if (p->timestamp == LIST_OFFSETS_LATEST)
        found(p, shard_high_watermark(sh), -1);
    else if (p->timestamp == LIST_OFFSETS_EARLIEST)
        found(p, shard_log_start(sh), -1);
    else if (p->timestamp >= 0 || (p->timestamp == LIST_OFFSETS_MAX_TIMESTAMP && version >= 7))
        return true;
    else
        p->error = KAFKA_UNSUPPORTED_VERSION;
    return false;
}

/** Calls for each partition, with its shard or NULL; returns whether a worker must look. With
 * `reading` it is the worker and looks. */
static bool each_partition(struct list_offsets_state *st, bool reading)
{
    bool more = false;
    int version = st->rq->header.version;
    for (uint32_t i = 0; i < st->q.topic_count; i++) {
        struct list_offsets_topic *t = &st->q.topics[i];
        for (uint32_t k = 0; k < t->partition_count; k++) {
            struct list_offsets_partition *p = &t->partitions[k];
            struct shard *sh = topic_shard(st->rq->door, t->name, p->index);
            bool look = answer_now(p, version, sh);
            if (look && reading)
                look_up(p, version, sh);
            more |= look;
        }
    }
    return more;
}

static void answer(struct list_offsets_state *st)
{
    struct wire_writer w = reply_begin(st->rq);
    list_offsets_reply_write(&w, st->rq->header.version, &st->q);
    request_done(st->rq);
}

/** Worker thread. */
static void look_up_all(struct worker_job *job)
{
    struct list_offsets_state *st = CONTAINER_OF(job, struct list_offsets_state, job);
    (void)each_partition(st, true);
    reactor_post(request_reactor(st->rq), &st->msg);
}

static void on_looked_up(struct reactor_msg *msg)
{
    struct list_offsets_state *st = CONTAINER_OF(msg, struct list_offsets_state, msg);
    if (request_is_gone(st->rq))
        request_done(st->rq);
    else
        answer(st);
}

err_t list_offsets_handle(struct kafka_request *rq, struct wire_reader *in)
{
    struct list_offsets_state *st = arena_zalloc(&rq->arena, sizeof(*st));
    st->rq = rq;
    list_offsets_request_read(in, rq->header.version, &rq->arena, &st->q);
    TRY(wire_request_end(in, "ListOffsets"));
    if (!each_partition(st, false)) {
        answer(st);
        return OK;
    }
    st->job.run = look_up_all;
    st->msg.run = on_looked_up;
    worker_submit(rq->door->workers, &st->job);
    return OK;
}
