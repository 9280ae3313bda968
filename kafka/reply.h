/*
 * kafka/reply.h (private): the reply of a request while it is built, and on its way out: runs of
 * bytes with slices of segments between them, so that fetched batches go from the page cache to the
 * socket without being copied.
 *
 * Owner: the session's reactor.
 */
#ifndef KAFKA_REPLY_H
#define KAFKA_REPLY_H

#include "kafka/request.h"
#include "net/conn.h"

/** Bytes, then batches of a segment. */
struct reply_part {
    struct reply_part *next;
    struct buf bytes;
    struct log_slice slice;
};

/** Starts the reply: place for the size, and the header. The writer is flexible as the request's
 * version is. */
struct wire_writer reply_begin(struct kafka_request *rq);
/** The same with a header that is never flexible. */
struct wire_writer reply_begin_classic(struct kafka_request *rq, bool flexible_body);
/** Puts batches behind what was written so far; takes over the slice's reference. The writer stays
 * good. */
void reply_slice(struct kafka_request *rq, const struct log_slice *slice);
/** Queues the finished reply on the connection; the request keeps nothing of it. */
void reply_send(struct kafka_request *rq, struct conn *c);
/** Drops what was built. */
void reply_release(struct kafka_request *rq);

#endif
