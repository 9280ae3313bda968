/*
 * kafka/wire/fetch.h: Fetch, key 1, versions 0-12 (FetchRequest.json, FetchResponse.json; KIP-74,
 * KIP-227). Flexible from 12 on. Below 4 only the frame of an error reply is written.
 *
 *   version 3  total bytes;   4  isolation level, last stable offset, aborted transactions
 *           5  log start offset;   7  sessions;   9  leader epoch;   11  rack;
 *          12  last fetched epoch
 */
#ifndef KAFKA_WIRE_FETCH_H
#define KAFKA_WIRE_FETCH_H

#include "base/arena.h"
#include "kafka/wire/wire.h"

#define FETCH_FLEXIBLE 12
#define FETCH_NO_SESSION 0

struct fetch_partition {
    int32_t index;
    int32_t current_leader_epoch; /* -1: none given */
    int64_t offset;
    int32_t max_bytes;
    /* the answer */
    int16_t error;
    int64_t high_watermark; /* -1 beside an error */
    int64_t log_start;      /* -1 beside an error */
    struct slice records;   /* when read; the writer is given a length */
};

struct fetch_topic {
    struct slice name;
    uint32_t partition_count;
    struct fetch_partition *partitions;
};

struct fetch_request {
    int32_t max_wait_ms;
    int32_t min_bytes;
    int32_t max_bytes;
    int32_t session_id;
    int32_t session_epoch;
    uint32_t topic_count;
    struct fetch_topic *topics;
};

/** The rows lie in the arena, the names in the reader's bytes. Check wire_request_end. */
void fetch_request_read(struct wire_reader *r, int version, struct arena *arena,
                        struct fetch_request *ret_request);
void fetch_request_write(struct wire_writer *w, int version, const struct fetch_request *q);

/* A reply is written as: head, per topic its head, per partition its head, `records_len` bytes of
 * record batches and its tail, the topic's tail, the reply's tail (all tails are tag sections). */
void fetch_reply_head_write(struct wire_writer *w, int version, int16_t error,
                            uint32_t topic_count);
void fetch_topic_head_write(struct wire_writer *w, const struct fetch_topic *t);
void fetch_partition_head_write(struct wire_writer *w, int version, const struct fetch_partition *p,
                                uint32_t records_len);

struct fetch_reply {
    int16_t error;
    uint32_t topic_count;
    struct fetch_topic *topics;
};
/** Records are borrowed from the reader's bytes. */
void fetch_reply_read(struct wire_reader *r, int version, struct arena *arena,
                      struct fetch_reply *ret_reply);

#endif
