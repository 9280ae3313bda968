/*
 * kafka/session.h (private): one Kafka connection: framing, the queue of requests, its limits.
 *
 * Owner: the connection's reactor, except `next`/`link` (the door's lock) and drain_msg.
 */
#ifndef KAFKA_SESSION_H
#define KAFKA_SESSION_H

#include <uv.h>

#include "kafka/request.h"
#include "net/conn.h"

struct kafka_session {
    struct kafka_session *next; /* in the door's list */
    struct kafka_session **link;
    struct kafka_door *door;
    struct reactor *reactor;
    struct conn *conn; /* NULL once it is closed */

    struct buf in;    /* received and not yet taken: whole and partial requests */
    size_t accounted; /* of door->buffered_bytes */

    struct kafka_request *head; /* the queue of requests, oldest first */
    struct kafka_request **tail;
    unsigned in_work;              /* its length */
    struct kafka_request *blocker; /* the request that is not pipelined, until its reply is out */
    int64_t room_since_ns;         /* since when a request has been waiting for room; 0: none */
    bool taking;                   /* session_take_frames is running */
    bool stopping;                 /* nothing more is taken; closes once the queue is empty */
    bool paused;                   /* reading is paused */

    uv_timer_t timer; /* opened with its first use */
    bool timer_open;
    struct reactor_msg drain_msg;
    _Atomic unsigned refs; /* the connection, each request, the open timer, a posted drain_msg */
};

/** Ends the session when what is in its queue is answered; under the door's lock. Any thread. */
void session_post_drain(struct kafka_session *s);

#endif
