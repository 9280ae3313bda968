/*
 * kafka/client.h: a small blocking Kafka consumer for the command line (`spillway tail`): Metadata,
 * ListOffsets and Fetch over one plain TCP connection to one broker, with the same wire codec as
 * the server's door.
 *
 * Owner: one thread. Every call blocks until the reply came; ERR_UNAVAILABLE when the connection
 * fails or the peer does not answer in time, ERR_CORRUPT when it answers nonsense; both with a
 * sentence that names the address. After such an error only kafka_client_close is allowed.
 */
#ifndef KAFKA_CLIENT_H
#define KAFKA_CLIENT_H

#include "base/base.h"
#include "base/err.h"
#include "log/batch.h"

struct kafka_client;

/* Special timestamps of kafka_client_list_offset. */
#define KAFKA_OFFSET_LATEST (-1)
#define KAFKA_OFFSET_EARLIEST (-2)

/** Connects to "host:port" (host may be a name, an IPv4 address or "[::1]"); ERR_USAGE for a bad
 * address. *ret_client is owned. */
err_t kafka_client_connect(const char *host_port, struct kafka_client **ret_client) MUST_USE;
/** NULL-safe. */
void kafka_client_close(struct kafka_client *c);
void kafka_client_close_ptr(struct kafka_client **c); /* for CLEANUP */

/** How many partitions the topic has; nothing is created. ERR_NOT_FOUND for an unknown topic. */
err_t kafka_client_partitions(struct kafka_client *c, const char *topic,
                              unsigned *ret_count) MUST_USE;
/** The offset of the first record at or after `ts_ms`, or KAFKA_OFFSET_LATEST (one past the last),
 * KAFKA_OFFSET_EARLIEST. Where no record is that late: the latest. ERR_NOT_FOUND for an unknown
 * topic or partition. */
err_t kafka_client_list_offset(struct kafka_client *c, const char *topic, unsigned partition,
                               int64_t ts_ms, int64_t *ret_offset) MUST_USE;

/** Where the caller is in one partition. */
struct kafka_position {
    uint32_t partition;
    int64_t next_offset;    /* in and out: moves past what the callback was given */
    int64_t high_watermark; /* out: end of the partition as the reply told it; -1 before */
};

/** Called for each record in offset order within its partition; slices are borrowed for the call.
 * A result other than OK ends the fetch and is returned (the position stays at that record). */
typedef err_t (*kafka_record_fn)(void *arg, uint32_t partition, const struct record *rec);

/**
 * One Fetch for all positions, waiting up to `max_wait_ms` for the first new record; then fn for
 * every record from each next_offset on. No records is OK. ERR_OFFSET_OUT_OF_RANGE when a position
 * lies outside its partition (that position's next_offset is set to the log start),
 * ERR_CORRUPT_MESSAGE when a batch fails its CRC or does not parse.
 */
err_t kafka_client_fetch(struct kafka_client *c, const char *topic,
                         struct kafka_position *positions, size_t count, unsigned max_wait_ms,
                         kafka_record_fn fn, void *arg) MUST_USE;

#endif
