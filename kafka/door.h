/*
 * kafka/door.h (private): what all sessions of a Kafka listener share.
 *
 * Owner: main makes and frees it; the fields are constant while connections exist, except those
 * that say otherwise.
 */
#ifndef KAFKA_DOOR_H
#define KAFKA_DOOR_H

#include <stdatomic.h>

#include "base/lock.h"
#include "kafka/kafka.h"
#include "kafka/wire/metadata.h"

struct kafka_session;

/** host:port as clients are told it. */
struct kafka_advertise {
    char host[256];
    int32_t port;
};

struct kafka_door {
    struct log *log;
    struct writer *writer;
    struct worker_pool *workers;
    struct clock *clock;
    char cluster_id[64];
    bool auto_create_topics;
    unsigned default_partitions;

    struct lock lock;
    struct kafka_advertise advertise GUARDED_BY(&lock); /* port 0: not known yet */
    struct kafka_session *sessions GUARDED_BY(&lock);   /* the open ones */
    bool draining GUARDED_BY(&lock);

    _Atomic size_t buffered_bytes; /* of incomplete requests, all sessions */
    _Atomic unsigned session_count;
};

/** The one broker as Metadata shows it; slices point into *copy. False: not known yet. Any thread.
 */
bool door_broker(struct kafka_door *door, struct kafka_advertise *copy,
                 struct metadata_broker *ret_broker);

/** False when the door is draining. Reactor threads. */
bool door_add_session(struct kafka_door *door, struct kafka_session *s);
void door_remove_session(struct kafka_door *door, struct kafka_session *s);

#endif
