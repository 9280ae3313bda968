/*
 * kafka/door.c: what all sessions share; see kafka/kafka.h and kafka/door.h.
 */
#include "kafka/door.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "kafka/session.h"

/** "host:port" or "[v6]:port" into its parts. */
static err_t advertise_parse(const char *text, struct kafka_advertise *ret)
{
    const char *colon = strrchr(text, ':');
    size_t host_len = colon == NULL ? 0 : (size_t)(colon - text);
    char *end = NULL;
    long port = colon == NULL ? 0 : strtol(colon + 1, &end, 10);
    const char *host = text;
    if (host_len > 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    }
    if (host_len == 0 || host_len >= sizeof(ret->host) || port < 1 || port > 65535 || *end != '\0')
        return err_fail(ERR_INVALID_CONFIG,
                        "'%s' is no address for Kafka clients; expected host:port", text);
    struct kafka_advertise a = {.port = (int32_t)port};
    memcpy(a.host, host, host_len);
    *ret = a;
    return OK;
}

err_t kafka_door_new(const struct kafka_options *options, struct kafka_door **ret_door)
{
    struct kafka_advertise advertise = {.port = 0};
    if (options->advertise != NULL)
        TRY(advertise_parse(options->advertise, &advertise));
    ASSERT(options->default_partitions >= 1 && options->default_partitions <= LIMIT_SHARDS);
    struct kafka_door *door = xcalloc(1, sizeof(*door));
    door->log = options->log;
    door->writer = options->writer;
    door->workers = options->workers;
    door->clock = options->clock;
    snprintf(door->cluster_id, sizeof(door->cluster_id), "%s", options->cluster_id);
    door->auto_create_topics = options->auto_create_topics;
    door->default_partitions = options->default_partitions;
    lock_init(&door->lock, LOCK_RANK_DOOR);
    lock_acquire(&door->lock);
    door->advertise = advertise;
    lock_release(&door->lock);
    *ret_door = door;
    return OK;
}

err_t kafka_door_set_advertise(struct kafka_door *door, const char *host_port)
{
    struct kafka_advertise advertise;
    TRY(advertise_parse(host_port, &advertise));
    lock_acquire(&door->lock);
    door->advertise = advertise;
    lock_release(&door->lock);
    return OK;
}

bool door_broker(struct kafka_door *door, struct kafka_advertise *copy,
                 struct metadata_broker *ret_broker)
{
    lock_acquire(&door->lock);
    *copy = door->advertise;
    lock_release(&door->lock);
    *ret_broker = (struct metadata_broker){.node_id = KAFKA_NODE_ID,
                                           .host = slice_of(copy->host),
                                           .port = copy->port,
                                           .cluster_id = slice_of(door->cluster_id)};
    return copy->port != 0;
}

bool door_add_session(struct kafka_door *door, struct kafka_session *s)
{
    lock_acquire(&door->lock);
    bool taken = !door->draining;
    if (taken) {
        s->next = door->sessions;
        s->link = &door->sessions;
        if (s->next != NULL)
            s->next->link = &s->next;
        door->sessions = s;
        atomic_fetch_add(&door->session_count, 1);
    }
    lock_release(&door->lock);
    return taken;
}

void door_remove_session(struct kafka_door *door, struct kafka_session *s)
{
    lock_acquire(&door->lock);
    *s->link = s->next;
    if (s->next != NULL)
        s->next->link = s->link;
    lock_release(&door->lock);
}

void kafka_door_drain(struct kafka_door *door)
{
    lock_acquire(&door->lock);
    bool first = !door->draining;
    door->draining = true;
    for (struct kafka_session *s = door->sessions; first && s != NULL; s = s->next)
        session_post_drain(s);
    lock_release(&door->lock);
}

void kafka_door_free(struct kafka_door *door)
{
    if (door == NULL)
        return;
    ASSERT(atomic_load(&door->session_count) == 0);
    lock_destroy(&door->lock);
    free(door);
}
