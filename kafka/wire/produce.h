/*
 * kafka/wire/produce.h: Produce, key 0, versions 0-9 (ProduceRequest.json, ProduceResponse.json).
 * Flexible from 9 on. Below 3 only the frame of an error reply is of use: record batches came with
 * version 3.
 *
 *   version 1  throttle time;   2  append time;   3  transactional id
 *           5  log start offset;   8  errors per record, error text
 */
#ifndef KAFKA_WIRE_PRODUCE_H
#define KAFKA_WIRE_PRODUCE_H

#include "base/arena.h"
#include "kafka/wire/wire.h"

#define PRODUCE_FLEXIBLE 9

struct produce_partition {
    int32_t index;
    struct slice records; /* borrowed from the reader's bytes; data == NULL: null */
    /* the answer */
    int16_t error;
    int64_t base_offset;
    int64_t append_time_ms;
    int64_t log_start;
    const char *error_text; /* NULL: none */
};

struct produce_topic {
    struct slice name;
    uint32_t partition_count;
    struct produce_partition *partitions;
};

struct produce_request {
    bool transactional;
    int16_t acks;
    int32_t timeout_ms;
    uint32_t topic_count;
    struct produce_topic *topics;
};

/** The rows lie in the arena. Answers start as error 0 with offsets and times unknown. Check
 * wire_request_end. */
void produce_request_read(struct wire_reader *r, int version, struct arena *arena,
                          struct produce_request *ret_request);
void produce_reply_write(struct wire_writer *w, int version, const struct produce_request *q);

#endif
