/*
 * kafka/wire/produce.c: see kafka/wire/produce.h.
 */
#include "kafka/wire/produce.h"

#include "kafka/wire/header.h"

static void partition_read(struct wire_reader *r, struct produce_partition *p)
{
    *p = (struct produce_partition){
        .base_offset = KAFKA_NO_OFFSET, .append_time_ms = -1, .log_start = KAFKA_NO_OFFSET};
    p->index = wire_get_i32(r);
    p->records = wire_get_records(r);
    wire_skip_tags(r);
}

void produce_request_read(struct wire_reader *r, int version, struct arena *arena,
                          struct produce_request *ret_request)
{
    *ret_request = (struct produce_request){0};
    if (version >= 3)
        ret_request->transactional = wire_get_nullable_string(r).data != NULL;
    ret_request->acks = wire_get_i16(r);
    ret_request->timeout_ms = wire_get_i32(r);
    uint32_t topics = wire_get_array(r, 2);
    ret_request->topic_count = topics;
    ret_request->topics = arena_zalloc(arena, topics * sizeof(*ret_request->topics));
    for (uint32_t i = 0; i < topics && wire_ok(r); i++) {
        struct produce_topic *t = &ret_request->topics[i];
        t->name = wire_get_string(r);
        t->partition_count = wire_get_array(r, 5);
        t->partitions = arena_alloc(arena, t->partition_count * sizeof(*t->partitions));
        for (uint32_t k = 0; k < t->partition_count; k++)
            partition_read(r, &t->partitions[k]);
        wire_skip_tags(r);
    }
    wire_skip_tags(r);
}

static void answer_write(struct wire_writer *w, int version, const struct produce_partition *p)
{
    wire_put_i32(w, p->index);
    wire_put_i16(w, p->error);
    wire_put_i64(w, p->base_offset);
    if (version >= 2)
        wire_put_i64(w, p->append_time_ms);
    if (version >= 5)
        wire_put_i64(w, p->log_start);
    if (version >= 8) {
        wire_put_array(w, 0); /* errors of single records */
        wire_put_nullable_string(w, p->error_text == NULL ? (struct slice){NULL, 0}
                                                          : slice_of(p->error_text));
    }
    wire_put_no_tags(w);
}

void produce_reply_write(struct wire_writer *w, int version, const struct produce_request *q)
{
    wire_put_array(w, q->topic_count);
    for (uint32_t i = 0; i < q->topic_count; i++) {
        wire_put_string(w, q->topics[i].name);
        wire_put_array(w, q->topics[i].partition_count);
        for (uint32_t k = 0; k < q->topics[i].partition_count; k++)
            answer_write(w, version, &q->topics[i].partitions[k]);
        wire_put_no_tags(w);
    }
    if (version >= 1)
        wire_put_i32(w, 0); /* throttle time */
    wire_put_no_tags(w);
}
