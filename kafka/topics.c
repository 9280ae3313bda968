/*
 * kafka/topics.c: see kafka/topics.h.
 */
#include "kafka/topics.h"

#include <string.h>

struct shard *topic_shard(struct kafka_door *door, struct slice topic, int32_t partition)
{
    struct stream *stream = log_find_stream(door->log, topic.data, topic.len);
    if (stream == NULL || partition < 0 || (unsigned)partition >= stream_shard_count(stream))
        return NULL;
    return stream_shard(stream, (unsigned)partition);
}

bool topic_name_internal(struct slice topic)
{
    return topic.len >= 2 && topic.data[0] == '_' && topic.data[1] == '_';
}

bool topic_name_reserved(struct slice topic)
{
    static const char suffix[] = ".events";
    size_t n = sizeof(suffix) - 1;
    return topic_name_internal(topic) ||
           (topic.len >= n && memcmp(topic.data + topic.len - n, suffix, n) == 0);
}
