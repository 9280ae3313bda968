/*
 * kafka/wire/metadata.h: Metadata, key 3, versions 0-12 (MetadataRequest.json,
 * MetadataResponse.json). Flexible from 9 on.
 *
 *   version  0  an empty list of topics means all;   1  null means all, an empty list none
 *            1  rack, controller, internal;          2  cluster id;      3  throttle time
 *            4  allow auto creation;                 5  offline replicas
 *            7  leader epoch;   8-10  authorized operations (8+ for topics)
 *           10  topic ids (always zero here);       12  look-up by id
 */
#ifndef KAFKA_WIRE_METADATA_H
#define KAFKA_WIRE_METADATA_H

#include "base/arena.h"
#include "kafka/wire/wire.h"

#define METADATA_FLEXIBLE 9

struct metadata_topic_name {
    struct slice name; /* data == NULL: asked by id (version 10 on) */
};

struct metadata_request {
    bool all_topics;
    bool allow_auto_create;
    uint32_t topic_count;
    struct metadata_topic_name *topics;
};

/** The rows lie in the arena, the names in the reader's bytes. Check wire_request_end. */
void metadata_request_read(struct wire_reader *r, int version, struct arena *arena,
                           struct metadata_request *ret_request);
void metadata_request_write(struct wire_writer *w, int version, const struct metadata_request *q);

/** The one broker. */
struct metadata_broker {
    int32_t node_id;
    struct slice host;
    int32_t port;
    struct slice cluster_id;
};

/** A reply is written as: head, its topics, tail. */
struct metadata_topic {
    int16_t error;
    bool internal;
    struct slice name;
    uint32_t partition_count; /* all led by the one broker */
};

void metadata_reply_head_write(struct wire_writer *w, int version, const struct metadata_broker *b,
                               uint32_t topic_count);
void metadata_reply_topic_write(struct wire_writer *w, int version, int32_t node_id,
                                const struct metadata_topic *t);
void metadata_reply_tail_write(struct wire_writer *w, int version);

/** Reads a reply to a request for one topic. Check wire_reader_end. */
void metadata_reply_read(struct wire_reader *r, int version, struct metadata_topic *ret_topic);

#endif
