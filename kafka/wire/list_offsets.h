/*
 * kafka/wire/list_offsets.h: ListOffsets, key 2, versions 0-7 (ListOffsetsRequest.json,
 * ListOffsetsResponse.json; KIP-79, KIP-734). Flexible from 6 on.
 *
 *   version 0  an array of offsets per partition;  1  one offset and its timestamp
 *           2  isolation level, throttle time;     4  leader epochs;   7  timestamp -3
 *
 * One struct holds a partition's question and its answer, so that the reply is written from the
 * request.
 */
#ifndef KAFKA_WIRE_LIST_OFFSETS_H
#define KAFKA_WIRE_LIST_OFFSETS_H

#include "base/arena.h"
#include "kafka/wire/wire.h"

#define LIST_OFFSETS_FLEXIBLE 6
#define LIST_OFFSETS_LATEST (-1)
#define LIST_OFFSETS_EARLIEST (-2)
#define LIST_OFFSETS_MAX_TIMESTAMP (-3)

struct list_offsets_partition {
    int32_t index;
    int32_t current_leader_epoch; /* -1: none given */
    int64_t timestamp;
    int32_t max_offsets; /* version 0 */
    /* the answer */
    int16_t error;
    int32_t leader_epoch;
    int64_t found_timestamp; /* -1: none */
    int64_t found_offset;    /* -1: none */
};

struct list_offsets_topic {
    struct slice name;
    uint32_t partition_count;
    struct list_offsets_partition *partitions;
};

struct list_offsets_request {
    uint32_t topic_count;
    struct list_offsets_topic *topics;
};

/** The rows lie in the arena, the names in the reader's bytes. Answers start as error 0, nothing
 * found. Check wire_request_end. */
void list_offsets_request_read(struct wire_reader *r, int version, struct arena *arena,
                               struct list_offsets_request *ret_request);
void list_offsets_request_write(struct wire_writer *w, int version,
                                const struct list_offsets_request *q);
void list_offsets_reply_write(struct wire_writer *w, int version,
                              const struct list_offsets_request *q);
/** Reads a reply into rows of its own; only the answers' fields and the indexes are set. */
void list_offsets_reply_read(struct wire_reader *r, int version, struct arena *arena,
                             struct list_offsets_request *ret_reply);

#endif
