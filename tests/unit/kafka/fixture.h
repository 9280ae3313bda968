/*
 * fixture.h: a Kafka door over a real log in a temporary directory, without threads: the test
 * commits, runs worker jobs and messages itself. Requests are written and replies read here.
 */
#ifndef TESTS_KAFKA_FIXTURE_H
#define TESTS_KAFKA_FIXTURE_H

#include "base/limits.h"
#include "fake_net.h"
#include "kafka/door.h"
#include "kafka/wire/header.h"
#include "tests/scratch.h"
#include "writer/builder.h"

struct fixture {
    char dir[SCRATCH_BYTES];
    struct clock_manual clock;
    struct worker_pool *workers;
    struct writer *writer;
    struct log *log;
    struct reactor *reactor;
    struct kafka_door *door;
    struct conn *conn;
    int32_t correlation_id;
    struct buf request;
};

int fixture_setup(void **state);
int fixture_teardown(void **state);

/** A topic of that many partitions. */
struct stream *fixture_topic(struct fixture *f, const char *name, unsigned partitions);
/** A batch of `count` records of `value_bytes` each, all at the clock's time. Freed by the caller.
 */
uint8_t *fixture_batch(struct fixture *f, unsigned count, size_t value_bytes, uint32_t *ret_len);
/** Appends such a batch to a partition, past the door. */
void fixture_append(struct fixture *f, const char *topic, unsigned partition, unsigned count,
                    size_t value_bytes);
/** Commits, runs worker jobs and messages until nothing moves. */
void fixture_settle(struct fixture *f);

/** Starts a request; its body goes to the writer. The next fixture_send sends it. */
struct wire_writer fixture_request(struct fixture *f, int16_t key, int16_t version, bool flexible);
/** Completes the size; the bytes are in f->request until the next fixture_request. */
void fixture_seal(struct fixture *f);
void fixture_send(struct fixture *f);
/** The next whole reply that was written, behind its size; it must answer the request of that
 * correlation id. `flexible` as the reply's header is. */
struct wire_reader fixture_reply(struct fixture *f, int32_t correlation_id, bool flexible);
/** Whether a whole reply is there. */
bool fixture_has_reply(struct fixture *f);

#endif
