/*
 * kafka/wire/header.h: the API keys, error codes and the headers in front of every request and
 * reply (apache/kafka: RequestHeader.json, ResponseHeader.json).
 */
#ifndef KAFKA_WIRE_HEADER_H
#define KAFKA_WIRE_HEADER_H

#include "kafka/wire/wire.h"

enum kafka_key {
    KAFKA_PRODUCE = 0,
    KAFKA_FETCH = 1,
    KAFKA_LIST_OFFSETS = 2,
    KAFKA_METADATA = 3,
    KAFKA_FIND_COORDINATOR = 10,
    KAFKA_API_VERSIONS = 18,
};

/** Numbers of the protocol's error table that no row of base/err.def stands for. */
enum kafka_error {
    KAFKA_NONE = 0,
    KAFKA_OFFSET_OUT_OF_RANGE = 1,
    KAFKA_UNKNOWN_TOPIC_OR_PARTITION = 3,
    KAFKA_COORDINATOR_NOT_AVAILABLE = 15,
    KAFKA_INVALID_TOPIC = 17,
    KAFKA_INVALID_REQUIRED_ACKS = 21,
    KAFKA_INVALID_TIMESTAMP = 32,
    KAFKA_UNSUPPORTED_VERSION = 35,
    KAFKA_INVALID_REQUEST = 42,
    KAFKA_FETCH_SESSION_ID_NOT_FOUND = 70,
    KAFKA_UNKNOWN_LEADER_EPOCH = 75,
    KAFKA_UNKNOWN_TOPIC_ID = 100,
};

/** What stands where an offset or a timestamp is unknown. */
#define KAFKA_NO_OFFSET (-1)
#define KAFKA_LEADER_EPOCH 0
#define KAFKA_NO_AUTHORIZED_OPERATIONS INT32_MIN

struct request_header {
    int16_t key;
    int16_t version;
    int32_t correlation_id;
    struct slice client_id; /* data == NULL: null */
};

#define REQUEST_HEADER_FIXED_BYTES 8

/** The 8 bytes that every header version starts with. `len` is at least that. */
void request_header_peek(const void *data, size_t len, struct request_header *ret_header);
/** Reads header version 1, or 2 when the reader is flexible. */
void request_header_read(struct wire_reader *r, struct request_header *ret_header);
void request_header_write(struct wire_writer *w, const struct request_header *h);
/** Header version 0, or 1 when the writer is flexible. (Replies to ApiVersions always have 0.) */
void reply_header_write(struct wire_writer *w, int32_t correlation_id);
/** Returns the correlation id. */
int32_t reply_header_read(struct wire_reader *r);

#endif
