/*
 * kafka/kafka.h: the Kafka door: the wire protocol (https://kafka.apache.org/protocol) on
 * net/conn.h.
 *
 * A session per connection parses framed requests and hands each to the handler of its row in
 * kafka/api_table.c. Replies leave in the order of the requests.
 *
 *     door = kafka_door_new(&options);
 *     listener_open(group, &(struct listener_options){.ops = &kafka_conn_ops, .arg = door, …}, &l);
 *     kafka_door_set_advertise(door, …);           where it was not known before
 *     …
 *     kafka_door_drain(door); listener_stop(l); listener_close_all(l);
 *     writer_stop(w); worker_pool_free(p);         what these still hold answers into nothing
 *     reactor_group_stop(group); kafka_door_free(door);
 */
#ifndef KAFKA_KAFKA_H
#define KAFKA_KAFKA_H

#include "base/base.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/worker.h"
#include "log/log.h"
#include "net/conn.h"
#include "writer/writer.h"

/** The only broker's node id. */
#define KAFKA_NODE_ID 1

struct kafka_door;

/** All pointers are borrowed for the door's life, strings are copied. */
struct kafka_options {
    struct log *log;
    struct writer *writer;
    struct worker_pool *workers; /* creates topics, looks up offsets by time */
    struct clock *clock;
    const char *cluster_id;      /* shown in Metadata; at most 63 bytes */
    const char *advertise;       /* "host:port" told to clients; NULL: set later */
    bool auto_create_topics;     /* a Metadata request may create the topics that it names */
    unsigned default_partitions; /* of topics created so, 1..LIMIT_SHARDS */
};

/** ERR_INVALID_CONFIG for an address that is not host:port. *ret_door is owned. Main thread. */
err_t kafka_door_new(const struct kafka_options *options, struct kafka_door **ret_door) MUST_USE;
/** What clients are told to connect to, e.g. the listener's real address. Connections that ask
 * before it is set are closed. ERR_INVALID_CONFIG as above. Main thread. */
err_t kafka_door_set_advertise(struct kafka_door *door, const char *host_port) MUST_USE;
/** The connection callbacks of a Kafka listener whose arg is the door. */
extern const struct conn_ops kafka_conn_ops;
/** From now on no further requests are taken: connections close as soon as what they asked before
 * is answered, parked fetches at once. Any thread; each session notices on its own reactor. */
void kafka_door_drain(struct kafka_door *door);
/** Frees the door. No connection, worker job or batch of it may be left. NULL-safe. Main thread. */
void kafka_door_free(struct kafka_door *door);

#endif
