/*
 * kafka/wire/find_coordinator.h: FindCoordinator, key 10, versions 0-4
 * (FindCoordinatorRequest.json, FindCoordinatorResponse.json). Flexible from 3 on; from 4 on
 * several keys per request.
 */
#ifndef KAFKA_WIRE_FIND_COORDINATOR_H
#define KAFKA_WIRE_FIND_COORDINATOR_H

#include "base/arena.h"
#include "kafka/wire/wire.h"

#define FIND_COORDINATOR_FLEXIBLE 3

struct find_coordinator_request {
    int8_t key_type; /* 0: a consumer group, 1: a transaction */
    uint32_t key_count;
    struct slice *keys;
};

/** What is answered for every key. */
struct find_coordinator_answer {
    int16_t error;
    const char *error_text; /* NULL: none */
    int32_t node_id;
    struct slice host;
    int32_t port;
};

void find_coordinator_request_read(struct wire_reader *r, int version, struct arena *arena,
                                   struct find_coordinator_request *ret_request);
void find_coordinator_reply_write(struct wire_writer *w, int version,
                                  const struct find_coordinator_request *q,
                                  const struct find_coordinator_answer *answer);

#endif
