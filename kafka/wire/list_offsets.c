/*
 * kafka/wire/list_offsets.c: see kafka/wire/list_offsets.h.
 */
#include "kafka/wire/list_offsets.h"

#include "kafka/wire/header.h"

static void partition_read(struct wire_reader *r, int version, struct list_offsets_partition *p)
{
    *p = (struct list_offsets_partition){.current_leader_epoch = -1,
                                         .max_offsets = 1,
                                         .leader_epoch = -1,
                                         .found_timestamp = -1,
                                         .found_offset = KAFKA_NO_OFFSET};
    p->index = wire_get_i32(r);
    if (version >= 4)
        p->current_leader_epoch = wire_get_i32(r);
    p->timestamp = wire_get_i64(r);
    if (version == 0)
        p->max_offsets = wire_get_i32(r);
    wire_skip_tags(r);
}

void list_offsets_request_read(struct wire_reader *r, int version, struct arena *arena,
                               struct list_offsets_request *ret_request)
{
    (void)wire_get_i32(r); /* replica id */
    if (version >= 2)
        (void)wire_get_i8(r); /* isolation level: nothing here is transactional */
    uint32_t topics = wire_get_array(r, 2);
    ret_request->topic_count = topics;
    ret_request->topics = arena_zalloc(arena, topics * sizeof(*ret_request->topics));
    for (uint32_t i = 0; i < topics && wire_ok(r); i++) {
        struct list_offsets_topic *t = &ret_request->topics[i];
        t->name = wire_get_string(r);
        uint32_t count = wire_get_array(r, 12);
        t->partition_count = count;
        t->partitions = arena_alloc(arena, count * sizeof(*t->partitions));
        for (uint32_t k = 0; k < count; k++)
            partition_read(r, version, &t->partitions[k]);
        wire_skip_tags(r);
    }
    wire_skip_tags(r);
}

void list_offsets_request_write(struct wire_writer *w, int version,
                                const struct list_offsets_request *q)
{
    wire_put_i32(w, -1);
    if (version >= 2)
        wire_put_i8(w, 0);
    wire_put_array(w, q->topic_count);
    for (uint32_t i = 0; i < q->topic_count; i++) {
        const struct list_offsets_topic *t = &q->topics[i];
        wire_put_string(w, t->name);
        wire_put_array(w, t->partition_count);
        for (uint32_t k = 0; k < t->partition_count; k++) {
            wire_put_i32(w, t->partitions[k].index);
            if (version >= 4)
                wire_put_i32(w, t->partitions[k].current_leader_epoch);
            wire_put_i64(w, t->partitions[k].timestamp);
            if (version == 0)
                wire_put_i32(w, t->partitions[k].max_offsets);
            wire_put_no_tags(w);
        }
        wire_put_no_tags(w);
    }
    wire_put_no_tags(w);
}

static void answer_write(struct wire_writer *w, int version, const struct list_offsets_partition *p)
{
    wire_put_i32(w, p->index);
    wire_put_i16(w, p->error);
    if (version == 0) {
        bool found = p->error == KAFKA_NONE && p->found_offset >= 0 && p->max_offsets > 0;
        wire_put_array(w, found ? 1 : 0);
        if (found)
            wire_put_i64(w, p->found_offset);
    } else {
        wire_put_i64(w, p->found_timestamp);
        wire_put_i64(w, p->found_offset);
    }
    if (version >= 4)
        wire_put_i32(w, p->leader_epoch);
    wire_put_no_tags(w);
}

void list_offsets_reply_write(struct wire_writer *w, int version,
                              const struct list_offsets_request *q)
{
    if (version >= 2)
        wire_put_i32(w, 0); /* throttle time */
    wire_put_array(w, q->topic_count);
    for (uint32_t i = 0; i < q->topic_count; i++) {
        wire_put_string(w, q->topics[i].name);
        wire_put_array(w, q->topics[i].partition_count);
        for (uint32_t k = 0; k < q->topics[i].partition_count; k++)
            answer_write(w, version, &q->topics[i].partitions[k]);
        wire_put_no_tags(w);
    }
    wire_put_no_tags(w);
}

static void answer_read(struct wire_reader *r, int version, struct list_offsets_partition *p)
{
    *p = (struct list_offsets_partition){.leader_epoch = -1, .found_timestamp = -1};
    p->index = wire_get_i32(r);
    p->error = wire_get_i16(r);
    if (version == 0) {
        uint32_t count = wire_get_array(r, 8);
        for (uint32_t i = 0; i < count && wire_ok(r); i++)
            p->found_offset = wire_get_i64(r);
    } else {
        p->found_timestamp = wire_get_i64(r);
        p->found_offset = wire_get_i64(r);
    }
    if (version >= 4)
        p->leader_epoch = wire_get_i32(r);
    wire_skip_tags(r);
}

void list_offsets_reply_read(struct wire_reader *r, int version, struct arena *arena,
                             struct list_offsets_request *ret_reply)
{
    if (version >= 2)
        (void)wire_get_i32(r);
    uint32_t topics = wire_get_array(r, 2);
    ret_reply->topic_count = topics;
    ret_reply->topics = arena_zalloc(arena, topics * sizeof(*ret_reply->topics));
    for (uint32_t i = 0; i < topics && wire_ok(r); i++) {
        struct list_offsets_topic *t = &ret_reply->topics[i];
        t->name = wire_get_string(r);
        uint32_t count = wire_get_array(r, 6);
        t->partition_count = count;
        t->partitions = arena_alloc(arena, count * sizeof(*t->partitions));
        for (uint32_t k = 0; k < count; k++)
            answer_read(r, version, &t->partitions[k]);
        wire_skip_tags(r);
    }
    wire_skip_tags(r);
}
