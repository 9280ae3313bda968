/*
 * kafka/metadata.c: Metadata: the one broker, and streams as topics. A request may create the
 * topics that it names: making a stream syncs directories, so that runs on a worker and the reply
 * waits.
 */
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/logger.h"
#include "kafka/handlers.h"
#include "kafka/reply.h"
#include "kafka/topics.h"
#include "kafka/wire/metadata.h"

struct metadata_state {
    struct kafka_request *rq;
    struct metadata_request q;
    int16_t *errors; /* per topic, of its creation */
    struct worker_job job;
    struct reactor_msg msg;
};

static int compare_names(const void *a, const void *b)
{
    return slice_compare(((const struct metadata_topic_name *)a)->name,
                         ((const struct metadata_topic_name *)b)->name);
}

/** A topic named twice is answered once: the reply stays in proportion to what exists. */
static void drop_repeated_names(struct metadata_request *q)
{
    if (q->topic_count < 2)
        return;
    qsort(q->topics, q->topic_count, sizeof(*q->topics), compare_names);
    uint32_t kept = 1;
    for (uint32_t i = 1; i < q->topic_count; i++)
        if (compare_names(&q->topics[i], &q->topics[kept - 1]) != 0)
            q->topics[kept++] = q->topics[i];
    q->topic_count = kept;
}

static struct metadata_topic known_topic(const struct stream *s)
{
    struct slice name = slice_of(stream_name(s));
    return (struct metadata_topic){.name = name,
                                   .internal = topic_name_internal(name),
                                   .partition_count = stream_shard_count(s)};
}

/** What to say about an asked name that has no stream. */
static int16_t absent_error(const struct metadata_state *st, struct slice name)
{
    if (name.data == NULL)
        return KAFKA_UNKNOWN_TOPIC_ID;
    if (!log_stream_name_valid(name.data, name.len))
        return KAFKA_INVALID_TOPIC;
    if (topic_name_reserved(name) && st->q.allow_auto_create)
        return KAFKA_INVALID_TOPIC;
    return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

static void asked_topic_write(const struct metadata_state *st, struct wire_writer *w, uint32_t i)
{
    struct slice name = st->q.topics[i].name;
    const struct stream *s =
        name.data == NULL ? NULL : log_find_stream(st->rq->door->log, name.data, name.len);
    struct metadata_topic t = {.name = name};
    if (s != NULL)
        t = known_topic(s);
    else
        t.error = st->errors[i] != KAFKA_NONE ? st->errors[i] : absent_error(st, name);
    metadata_reply_topic_write(w, st->rq->header.version, KAFKA_NODE_ID, &t);
}

struct topic_list {
    struct metadata_topic *topics; /* owned */
    uint32_t count;
    uint32_t cap;
};

static void topic_list_add(void *arg, struct stream *s)
{
    struct topic_list *list = arg;
    if (list->count == list->cap) {
        list->cap = list->cap == 0 ? 64 : list->cap * 2;
        list->topics = xrealloc(list->topics, list->cap * sizeof(*list->topics));
    }
    list->topics[list->count++] = known_topic(s);
}

static void all_topics_write(struct kafka_request *rq, struct wire_writer *w,
                             const struct metadata_broker *broker)
{
    struct topic_list list = {0};
    log_each_stream(rq->door->log, topic_list_add, &list);
    metadata_reply_head_write(w, rq->header.version, broker, list.count);
    for (uint32_t i = 0; i < list.count; i++)
        metadata_reply_topic_write(w, rq->header.version, KAFKA_NODE_ID, &list.topics[i]);
    free(list.topics);
}

static void metadata_answer(struct metadata_state *st)
{
    struct kafka_request *rq = st->rq;
    struct kafka_advertise advertise;
    struct metadata_broker broker;
    if (!door_broker(rq->door, &advertise, &broker)) {
        rq->silent = true; /* the server is not ready: the client connects again */
        rq->close_after = true;
        request_done(rq);
        return;
    }
    struct wire_writer w = reply_begin(rq);
    if (st->q.all_topics) {
        all_topics_write(rq, &w, &broker);
    } else {
        metadata_reply_head_write(&w, rq->header.version, &broker, st->q.topic_count);
        for (uint32_t i = 0; i < st->q.topic_count; i++)
            asked_topic_write(st, &w, i);
    }
    metadata_reply_tail_write(&w, rq->header.version);
    request_done(rq);
}

/* Creation ------------------------------------------------------------------------------------ */

static bool may_create(const struct metadata_state *st, struct slice name)
{
    return name.data != NULL && log_stream_name_valid(name.data, name.len) &&
           !topic_name_reserved(name) &&
           log_find_stream(st->rq->door->log, name.data, name.len) == NULL;
}

static void create_topic(struct metadata_state *st, uint32_t i)
{
    struct kafka_door *door = st->rq->door;
    struct slice s = st->q.topics[i].name;
    char name[LIMIT_STREAM_NAME + 1];
    memcpy(name, s.data, s.len);
    name[s.len] = '\0';
    struct stream *stream;
    err_t err = log_create_stream(door->log, name, door->default_partitions, &stream);
    if (err == OK) {
        LOG_INFO("topic_created", F("topic", name),
                 F("partitions", (int64_t)door->default_partitions));
    } else if (err != ERR_EXISTS) {
        LOG_WARN("topic_create_failed", F("topic", name), F("err", err_text(err)));
        st->errors[i] = err_kafka_code(err);
    }
}

/** Worker thread. */
static void create_topics(struct worker_job *job)
{
    struct metadata_state *st = CONTAINER_OF(job, struct metadata_state, job);
    for (uint32_t i = 0; i < st->q.topic_count; i++)
        if (may_create(st, st->q.topics[i].name))
            create_topic(st, i);
    reactor_post(request_reactor(st->rq), &st->msg);
}

static void on_created(struct reactor_msg *msg)
{
    struct metadata_state *st = CONTAINER_OF(msg, struct metadata_state, msg);
    if (request_is_gone(st->rq))
        request_done(st->rq);
    else
        metadata_answer(st);
}

err_t metadata_handle(struct kafka_request *rq, struct wire_reader *in)
{
    struct metadata_state *st = arena_zalloc(&rq->arena, sizeof(*st));
    st->rq = rq;
    metadata_request_read(in, rq->header.version, &rq->arena, &st->q);
    TRY(wire_request_end(in, "Metadata"));
    drop_repeated_names(&st->q);
    st->errors = arena_zalloc(&rq->arena, st->q.topic_count * sizeof(*st->errors));
    bool create = false;
    if (st->q.allow_auto_create && rq->door->auto_create_topics)
        for (uint32_t i = 0; i < st->q.topic_count && !create; i++)
            create = may_create(st, st->q.topics[i].name);
    if (!create) {
        metadata_answer(st);
        return OK;
    }
    st->job.run = create_topics;
    st->msg.run = on_created;
    worker_submit(rq->door->workers, &st->job);
    return OK;
}
