/*
 * kafka/wire/metadata.c: see kafka/wire/metadata.h.
 */
#include "kafka/wire/metadata.h"

#include "kafka/wire/header.h"

void metadata_request_read(struct wire_reader *r, int version, struct arena *arena,
                           struct metadata_request *ret_request)
{
    *ret_request = (struct metadata_request){.allow_auto_create = true};
    int64_t count = version >= 1 ? wire_get_nullable_array(r, 2) : wire_get_array(r, 2);
    ret_request->all_topics = version >= 1 ? count < 0 : count == 0;
    ret_request->topic_count = count < 0 ? 0 : (uint32_t)count;
    ret_request->topics =
        arena_zalloc(arena, ret_request->topic_count * sizeof(*ret_request->topics));
    for (uint32_t i = 0; i < ret_request->topic_count && wire_ok(r); i++) {
        if (version >= 10)
            (void)wire_get_uuid_is_zero(r);
        ret_request->topics[i].name =
            version >= 10 ? wire_get_nullable_string(r) : wire_get_string(r);
        wire_skip_tags(r);
    }
    if (version >= 4)
        ret_request->allow_auto_create = wire_get_bool(r);
    if (version >= 8 && version <= 10)
        (void)wire_get_bool(r); /* include the cluster's authorized operations */
    if (version >= 8)
        (void)wire_get_bool(r); /* include the topics' */
    wire_skip_tags(r);
}

void metadata_request_write(struct wire_writer *w, int version, const struct metadata_request *q)
{
    if (q->all_topics && version >= 1)
        wire_put_null_array(w);
    else
        wire_put_array(w, q->topic_count);
    for (uint32_t i = 0; i < q->topic_count; i++) {
        if (version >= 10)
            wire_put_zero_uuid(w);
        wire_put_nullable_string(w, q->topics[i].name);
        wire_put_no_tags(w);
    }
    if (version >= 4)
        wire_put_bool(w, q->allow_auto_create);
    if (version >= 8 && version <= 10)
        wire_put_bool(w, false);
    if (version >= 8)
        wire_put_bool(w, false);
    wire_put_no_tags(w);
}

void metadata_reply_head_write(struct wire_writer *w, int version, const struct metadata_broker *b,
                               uint32_t topic_count)
{
    if (version >= 3)
        wire_put_i32(w, 0); /* throttle time */
    wire_put_array(w, 1);
    wire_put_i32(w, b->node_id);
    wire_put_string(w, b->host);
    wire_put_i32(w, b->port);
    if (version >= 1)
        wire_put_nullable_string(w, (struct slice){NULL, 0}); /* rack */
    wire_put_no_tags(w);
    if (version >= 2)
        wire_put_nullable_string(w, b->cluster_id);
    if (version >= 1)
        wire_put_i32(w, b->node_id); /* controller */
    wire_put_array(w, topic_count);
}

static void partition_write(struct wire_writer *w, int version, int32_t node_id, uint32_t index)
{
    wire_put_i16(w, KAFKA_NONE);
    wire_put_i32(w, (int32_t)index);
    wire_put_i32(w, node_id); /* leader */
    if (version >= 7)
        wire_put_i32(w, KAFKA_LEADER_EPOCH);
    wire_put_array(w, 1); /* replicas */
    wire_put_i32(w, node_id);
    wire_put_array(w, 1); /* in-sync replicas */
    wire_put_i32(w, node_id);
    if (version >= 5)
        wire_put_array(w, 0); /* offline replicas */
    wire_put_no_tags(w);
}

void metadata_reply_topic_write(struct wire_writer *w, int version, int32_t node_id,
                                const struct metadata_topic *t)
{
    wire_put_i16(w, t->error);
    if (version >= 12)
        wire_put_nullable_string(w, t->name);
    else
        wire_put_string(w, t->name);
    if (version >= 10)
        wire_put_zero_uuid(w);
    if (version >= 1)
        wire_put_bool(w, t->internal);
    wire_put_array(w, t->partition_count);
    for (uint32_t i = 0; i < t->partition_count; i++)
        partition_write(w, version, node_id, i);
    if (version >= 8)
        wire_put_i32(w, KAFKA_NO_AUTHORIZED_OPERATIONS);
    wire_put_no_tags(w);
}

void metadata_reply_tail_write(struct wire_writer *w, int version)
{
    if (version >= 8 && version <= 10)
        wire_put_i32(w, KAFKA_NO_AUTHORIZED_OPERATIONS);
    wire_put_no_tags(w);
}

static void brokers_skip(struct wire_reader *r, int version)
{
    uint32_t brokers = wire_get_array(r, 10);
    for (uint32_t i = 0; i < brokers && wire_ok(r); i++) {
        (void)wire_get_i32(r);
        (void)wire_get_string(r);
        (void)wire_get_i32(r);
        if (version >= 1)
            (void)wire_get_nullable_string(r);
        wire_skip_tags(r);
    }
}

static void nodes_skip(struct wire_reader *r)
{
    uint32_t count = wire_get_array(r, 4);
    for (uint32_t i = 0; i < count && wire_ok(r); i++)
        (void)wire_get_i32(r);
}

static void partition_skip(struct wire_reader *r, int version)
{
    (void)wire_get_i16(r);
    (void)wire_get_i32(r);
    (void)wire_get_i32(r);
    if (version >= 7)
        (void)wire_get_i32(r);
    nodes_skip(r);
    nodes_skip(r);
    if (version >= 5)
        nodes_skip(r);
    wire_skip_tags(r);
}

static void topic_read(struct wire_reader *r, int version, struct metadata_topic *ret_topic)
{
    ret_topic->error = wire_get_i16(r);
    ret_topic->name = wire_get_nullable_string(r);
    if (version >= 10)
        (void)wire_get_uuid_is_zero(r);
    ret_topic->internal = version >= 1 && wire_get_bool(r);
    ret_topic->partition_count = wire_get_array(r, 10);
    for (uint32_t i = 0; i < ret_topic->partition_count && wire_ok(r); i++)
        partition_skip(r, version);
    if (version >= 8)
        (void)wire_get_i32(r);
    wire_skip_tags(r);
}

void metadata_reply_read(struct wire_reader *r, int version, struct metadata_topic *ret_topic)
{
    if (version >= 3)
        (void)wire_get_i32(r);
    brokers_skip(r, version);
    if (version >= 2)
        (void)wire_get_nullable_string(r);
    if (version >= 1)
        (void)wire_get_i32(r);
    if (wire_get_array(r, 8) != 1)
        wire_fail(r);
    topic_read(r, version, ret_topic);
    if (version >= 8 && version <= 10)
        (void)wire_get_i32(r);
    wire_skip_tags(r);
}
