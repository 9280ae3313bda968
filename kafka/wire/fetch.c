/*
 * kafka/wire/fetch.c: see kafka/wire/fetch.h.
 */
#include "kafka/wire/fetch.h"

#include "kafka/wire/header.h"

static void partition_read(struct wire_reader *r, int version, struct fetch_partition *p)
{
    *p = (struct fetch_partition){.current_leader_epoch = -1,
                                  .high_watermark = KAFKA_NO_OFFSET,
                                  .log_start = KAFKA_NO_OFFSET};
    p->index = wire_get_i32(r);
    if (version >= 9)
        p->current_leader_epoch = wire_get_i32(r);
    p->offset = wire_get_i64(r);
    if (version >= 12)
        (void)wire_get_i32(r); /* last fetched epoch: there is only epoch 0 */
    if (version >= 5)
        (void)wire_get_i64(r); /* log start offset: only sent by replicas */
    p->max_bytes = wire_get_i32(r);
    wire_skip_tags(r);
}

static void topic_read(struct wire_reader *r, int version, struct arena *arena,
                       struct fetch_topic *t)
{
    t->name = wire_get_string(r);
    t->partition_count = wire_get_array(r, 16);
    t->partitions = arena_alloc(arena, t->partition_count * sizeof(*t->partitions));
    for (uint32_t k = 0; k < t->partition_count; k++)
        partition_read(r, version, &t->partitions[k]);
    wire_skip_tags(r);
}

/** Topics that an incremental fetch would remove from a session: there are none. */
static void forgotten_skip(struct wire_reader *r)
{
    uint32_t topics = wire_get_array(r, 2);
    for (uint32_t i = 0; i < topics && wire_ok(r); i++) {
        (void)wire_get_string(r);
        uint32_t count = wire_get_array(r, 4);
        for (uint32_t k = 0; k < count && wire_ok(r); k++)
            (void)wire_get_i32(r);
        wire_skip_tags(r);
    }
}

void fetch_request_read(struct wire_reader *r, int version, struct arena *arena,
                        struct fetch_request *ret_request)
{
    *ret_request = (struct fetch_request){.max_bytes = INT32_MAX, .session_epoch = -1};
    (void)wire_get_i32(r); /* replica id */
    ret_request->max_wait_ms = wire_get_i32(r);
    ret_request->min_bytes = wire_get_i32(r);
    if (version >= 3)
        ret_request->max_bytes = wire_get_i32(r);
    if (version >= 4)
        (void)wire_get_i8(r); /* isolation level: the last stable offset is the high watermark */
    if (version >= 7) {
        ret_request->session_id = wire_get_i32(r);
        ret_request->session_epoch = wire_get_i32(r);
    }
    uint32_t topics = wire_get_array(r, 2);
    ret_request->topic_count = topics;
    ret_request->topics = arena_zalloc(arena, topics * sizeof(*ret_request->topics));
    for (uint32_t i = 0; i < topics && wire_ok(r); i++)
        topic_read(r, version, arena, &ret_request->topics[i]);
    if (version >= 7)
        forgotten_skip(r);
    if (version >= 11)
        (void)wire_get_string(r); /* rack id */
    wire_skip_tags(r);
}

static void topic_write(struct wire_writer *w, int version, const struct fetch_topic *t)
{
    wire_put_string(w, t->name);
    wire_put_array(w, t->partition_count);
    for (uint32_t k = 0; k < t->partition_count; k++) {
        const struct fetch_partition *p = &t->partitions[k];
        wire_put_i32(w, p->index);
        if (version >= 9)
            wire_put_i32(w, p->current_leader_epoch);
        wire_put_i64(w, p->offset);
        if (version >= 12)
            wire_put_i32(w, -1);
        if (version >= 5)
            wire_put_i64(w, KAFKA_NO_OFFSET);
        wire_put_i32(w, p->max_bytes);
        wire_put_no_tags(w);
    }
    wire_put_no_tags(w);
}

void fetch_request_write(struct wire_writer *w, int version, const struct fetch_request *q)
{
    wire_put_i32(w, -1);
    wire_put_i32(w, q->max_wait_ms);
    wire_put_i32(w, q->min_bytes);
    if (version >= 3)
        wire_put_i32(w, q->max_bytes);
    if (version >= 4)
        wire_put_i8(w, 0);
    if (version >= 7) {
        wire_put_i32(w, q->session_id);
        wire_put_i32(w, q->session_epoch);
    }
    wire_put_array(w, q->topic_count);
    for (uint32_t i = 0; i < q->topic_count; i++)
        topic_write(w, version, &q->topics[i]);
    if (version >= 7)
        wire_put_array(w, 0);
    if (version >= 11)
        wire_put_string(w, SLICE(""));
    wire_put_no_tags(w);
}

void fetch_reply_head_write(struct wire_writer *w, int version, int16_t error, uint32_t topic_count)
{
    if (version >= 1)
        wire_put_i32(w, 0); /* throttle time */
    if (version >= 7) {
        wire_put_i16(w, error);
        wire_put_i32(w, FETCH_NO_SESSION);
    }
    wire_put_array(w, topic_count);
}

void fetch_topic_head_write(struct wire_writer *w, const struct fetch_topic *t)
{
    wire_put_string(w, t->name);
    wire_put_array(w, t->partition_count);
}

void fetch_partition_head_write(struct wire_writer *w, int version, const struct fetch_partition *p,
                                uint32_t records_len)
{
    wire_put_i32(w, p->index);
    wire_put_i16(w, p->error);
    wire_put_i64(w, p->high_watermark);
    if (version >= 4)
        wire_put_i64(w, p->high_watermark); /* last stable offset */
    if (version >= 5)
        wire_put_i64(w, p->log_start);
    if (version >= 4)
        wire_put_null_array(w); /* aborted transactions */
    if (version >= 11)
        wire_put_i32(w, -1); /* preferred read replica */
    wire_put_records_length(w, records_len);
}

static void aborted_skip(struct wire_reader *r)
{
    int64_t count = wire_get_nullable_array(r, 16);
    for (int64_t i = 0; i < count && wire_ok(r); i++) {
        (void)wire_get_i64(r);
        (void)wire_get_i64(r);
        wire_skip_tags(r);
    }
}

static void answer_read(struct wire_reader *r, int version, struct fetch_partition *p)
{
    *p = (struct fetch_partition){.log_start = KAFKA_NO_OFFSET};
    p->index = wire_get_i32(r);
    p->error = wire_get_i16(r);
    p->high_watermark = wire_get_i64(r);
    if (version >= 4)
        (void)wire_get_i64(r);
    if (version >= 5)
        p->log_start = wire_get_i64(r);
    if (version >= 4)
        aborted_skip(r);
    if (version >= 11)
        (void)wire_get_i32(r);
    p->records = wire_get_records(r);
    wire_skip_tags(r);
}

void fetch_reply_read(struct wire_reader *r, int version, struct arena *arena,
                      struct fetch_reply *ret_reply)
{
    *ret_reply = (struct fetch_reply){0};
    if (version >= 1)
        (void)wire_get_i32(r);
    if (version >= 7) {
        ret_reply->error = wire_get_i16(r);
        (void)wire_get_i32(r);
    }
    uint32_t topics = wire_get_array(r, 2);
    ret_reply->topic_count = topics;
    ret_reply->topics = arena_zalloc(arena, topics * sizeof(*ret_reply->topics));
    for (uint32_t i = 0; i < topics && wire_ok(r); i++) {
        struct fetch_topic *t = &ret_reply->topics[i];
        t->name = wire_get_string(r);
        t->partition_count = wire_get_array(r, 18);
        t->partitions = arena_alloc(arena, t->partition_count * sizeof(*t->partitions));
        for (uint32_t k = 0; k < t->partition_count; k++)
            answer_read(r, version, &t->partitions[k]);
        wire_skip_tags(r);
    }
    wire_skip_tags(r);
}
