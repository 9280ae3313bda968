/*
 * kafka/topics.h (private): streams as Kafka's topics and partitions.
 */
#ifndef KAFKA_TOPICS_H
#define KAFKA_TOPICS_H

#include "kafka/door.h"
#include "log/log.h"

/** The shard behind a topic's partition; NULL when there is no such topic or partition. Any thread.
 */
struct shard *topic_shard(struct kafka_door *door, struct slice topic, int32_t partition);
/** The same for names: streams that Kafka clients may not create or write: "<ns>.events" is made by
 * HTTP alone, names with "__" in front are internal. */
bool topic_name_reserved(struct slice topic);
bool topic_name_internal(struct slice topic);

#endif
