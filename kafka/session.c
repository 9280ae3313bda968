/*
 * kafka/session.c: framing and order. A request is 4 bytes of size, a header and a body; what
 * arrives is parsed in place where it is complete, else kept in session->in, which grows with the
 * bytes that come and never by what the size claims.
 *
 * S1  Replies leave in the order of the requests.
 * S2  Only pipelined requests (Produce) let later ones start before their replies are out; as
 *     Apache Kafka does, everything else runs one at a time per connection. So at most one reply of
 *     unbounded size waits in the queue.
 * S3  Input that cannot be taken now (S2, the pipeline is full, no room in the writer, the client
 *     does not read its replies) stays in session->in, and above READ_AHEAD_BYTES the socket is not
 *     read any more.
 * S4  A request that cannot be parsed ends the connection after the replies of those before it.
 */
#include "kafka/session.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "kafka/reply.h"

#define READ_AHEAD_BYTES KIB(64)
#define OUTPUT_PAUSE_BYTES MIB(1) /* queued output above which no further request is taken */
#define PARTIAL_REQUEST_MS 30000  /* a request must make progress within this time */
#define ROOM_RETRY_MS 10

static void session_run(struct kafka_session *s);

static void session_unref(struct kafka_session *s)
{
    unsigned before = atomic_fetch_sub(&s->refs, 1);
    ASSERT(before > 0);
    if (before > 1)
        return;
    ASSERT(s->head == NULL && s->accounted == 0);
    atomic_fetch_sub(&s->door->session_count, 1);
    free(s);
}

static void account_input(struct kafka_session *s)
{
    atomic_fetch_add(&s->door->buffered_bytes, s->in.cap - s->accounted);
    s->accounted = s->in.cap;
}

static void release_input(struct kafka_session *s)
{
    buf_release(&s->in);
    account_input(s);
}

/** Nothing more is taken; the connection closes once the replies before this are out. */
static void session_stop(struct kafka_session *s)
{
    if (!s->stopping) {
        s->stopping = true;
        conn_set_deadline(s->conn, 0);
    }
    if (!s->taking)
        release_input(s);
    if (s->head == NULL)
        conn_close_after_write(s->conn);
}

static void session_reject(struct kafka_session *s, const char *why)
{
    metric_inc(M_kafka_bad_requests_total);
    LOG_WARN("kafka_bad_request", F("peer", conn_peer(s->conn)), F("err", why),
             F("next", "closing the connection"));
    session_stop(s);
}

/* The queue ----------------------------------------------------------------------------------- */

static void request_free(struct kafka_request *rq)
{
    struct kafka_session *s = rq->session;
    reply_release(rq);
    arena_release(&rq->arena);
    free(rq);
    session_unref(s);
}

static struct kafka_request *request_new(struct kafka_session *s, const struct kafka_api *api,
                                         const struct request_header *header)
{
    struct kafka_request *rq = xcalloc(1, sizeof(*rq));
    rq->session = s;
    rq->door = s->door;
    rq->api = api;
    rq->header = *header;
    rq->flexible = header->version >= api->first_flexible;
    rq->last_part = &rq->first_part;
    s->refs++;
    return rq;
}

/** Sends what is answered at the front of the queue (S1). */
static void session_flush(struct kafka_session *s)
{
    while (s->head != NULL && s->head->done) {
        struct kafka_request *rq = s->head;
        s->head = rq->next;
        if (s->head == NULL)
            s->tail = &s->head;
        s->in_work--;
        if (s->blocker == rq)
            s->blocker = NULL;
        metric_inc(M_kafka_requests_total);
        if (!rq->silent)
            reply_send(rq, s->conn);
        if (rq->close_after)
            s->stopping = true;
        request_free(rq);
    }
    if (s->head == NULL && s->stopping)
        conn_close_after_write(s->conn);
}

void request_done(struct kafka_request *rq)
{
    struct kafka_session *s = rq->session;
    ASSERT(!rq->done);
    rq->done = true;
    if (s->conn == NULL) {
        request_free(rq);
        return;
    }
    if (s->blocker == rq)
        request_timer_stop(rq);
    s->refs++;
    session_flush(s);
    session_run(s);
    session_unref(s);
}

bool request_is_gone(const struct kafka_request *rq)
{
    return rq->session->conn == NULL;
}

struct reactor *request_reactor(const struct kafka_request *rq)
{
    return rq->session->reactor;
}

unsigned request_waited_ms(const struct kafka_request *rq)
{
    int64_t since = rq->session->room_since_ns;
    return since == 0 ? 0 : (unsigned)((clock_mono_ns(rq->door->clock) - since) / 1000000);
}

/* The timer ----------------------------------------------------------------------------------- */

/** Tells the request in work that its time is over, if it cares. */
static bool blocker_hurry(struct kafka_session *s)
{
    struct kafka_request *rq = s->blocker;
    if (rq == NULL || rq->done || rq->on_timer == NULL)
        return false;
    rq->on_timer(rq);
    return true;
}

static void on_timer(uv_timer_t *timer)
{
    struct kafka_session *s = timer->data;
    if (s->conn == NULL)
        return;
    if (!blocker_hurry(s))
        session_run(s);
}

static void on_timer_closed(uv_handle_t *handle)
{
    session_unref(handle->data);
}

static void session_timer_start(struct kafka_session *s, unsigned ms)
{
    if (!s->timer_open) {
        uv_timer_init(reactor_loop(s->reactor), &s->timer);
        s->timer.data = s;
        s->timer_open = true;
        s->refs++;
    }
    uv_update_time(reactor_loop(s->reactor));
    uv_timer_start(&s->timer, on_timer, ms, 0);
}

void request_timer_start(struct kafka_request *rq, unsigned ms)
{
    ASSERT(rq->session->blocker == rq);
    session_timer_start(rq->session, ms);
}

void request_timer_stop(struct kafka_request *rq)
{
    if (rq->session->timer_open)
        uv_timer_stop(&rq->session->timer);
}

/* Taking requests ----------------------------------------------------------------------------- */

/** The bytes as the handler may keep them: in the request's memory unless its API borrows. */
static struct wire_reader request_reader(struct kafka_request *rq, const char *body, size_t len)
{
    if (!rq->api->borrows)
        body = arena_strndup(&rq->arena, body, len);
    return wire_reader_of(body, len, rq->flexible);
}

static err_t request_handle(struct kafka_request *rq, const char *body, size_t len)
{
    if (rq->header.version > rq->api->max || rq->header.version < rq->api->framed_min) {
        if (rq->api->unsupported == NULL)
            return err_fail(ERR_INVALID_REQUEST, "%s has no version %d here", rq->api->name,
                            rq->header.version);
        rq->api->unsupported(rq);
        return OK;
    }
    struct wire_reader in = request_reader(rq, body, len);
    request_header_read(&in, &rq->header);
    if (!wire_ok(&in))
        return err_fail(ERR_INVALID_REQUEST, "the header of %s is malformed", rq->api->name);
    return rq->api->handle(rq, &in);
}

/** Hands one whole request (behind its size) to its handler. False: not taken, no room now. */
static bool session_take(struct kafka_session *s, const struct kafka_api *api, const char *body,
                         size_t len)
{
    struct request_header header;
    request_header_peek(body, len, &header);
    struct kafka_request *rq = request_new(s, api, &header);
    struct kafka_request **place = s->tail;
    *place = rq;
    s->tail = &rq->next;
    s->in_work++;
    if (!api->pipelined)
        s->blocker = rq;
    err_t err = request_handle(rq, body, len);
    if (err == OK)
        return true;
    if (s->blocker == rq)
        s->blocker = NULL;
    *place = NULL;
    s->tail = place;
    s->in_work--;
    request_free(rq);
    if (err == ERR_AGAIN)
        return false;
    session_reject(s, err_text(err));
    return true;
}

static bool session_blocked(const struct kafka_session *s)
{
    return s->stopping || s->blocker != NULL || s->in_work >= LIMIT_KAFKA_PIPELINE ||
           conn_output_bytes(s->conn) > OUTPUT_PAUSE_BYTES;
}

/** Looks at the start of a request: the size in *ret_size (0: more bytes are needed), the row in
 * *ret_api once the key is there. ERR_INVALID_REQUEST when it must not be read on. */
static err_t frame_look(const char *data, size_t len, uint32_t *ret_size,
                        const struct kafka_api **ret_api)
{
    *ret_size = 0;
    if (len < 4)
        return OK;
    uint32_t size = load_u32(data);
    if (size < REQUEST_HEADER_FIXED_BYTES || size > LIMIT_KAFKA_REQUEST_BYTES)
        return err_fail(ERR_INVALID_REQUEST, "a request of %d bytes; allowed are %d to %zu",
                        (int32_t)size, REQUEST_HEADER_FIXED_BYTES, LIMIT_KAFKA_REQUEST_BYTES);
    if (len < 4 + REQUEST_HEADER_FIXED_BYTES)
        return OK;
    int16_t key = (int16_t)load_u16(data + 4);
    const struct kafka_api *api = api_find(key);
    if (api == NULL)
        return err_fail(ERR_INVALID_REQUEST, "API key %d is not served", key);
    if (size > api->max_bytes)
        return err_fail(ERR_INVALID_REQUEST, "a %s request of %u bytes; allowed are %zu", api->name,
                        size, api->max_bytes);
    *ret_size = size;
    *ret_api = api;
    return OK;
}

/** Takes whole requests from the front of `data`; returns how many bytes they were. */
static size_t session_take_frames(struct kafka_session *s, const char *data, size_t len)
{
    size_t at = 0;
    ASSERT(!s->taking);
    s->taking = true;
    while (!session_blocked(s)) {
        uint32_t size;
        const struct kafka_api *api;
        if (frame_look(data + at, len - at, &size, &api) != OK) {
            session_reject(s, err_text(ERR_INVALID_REQUEST));
            break;
        }
        if (size == 0 || len - at < 4 + (size_t)size)
            break;
        if (!session_take(s, api, data + at + 4, size)) {
            if (s->room_since_ns == 0)
                s->room_since_ns = clock_mono_ns(s->door->clock);
            session_timer_start(s, ROOM_RETRY_MS);
            break;
        }
        s->room_since_ns = 0;
        at += 4 + (size_t)size;
    }
    s->taking = false;
    return at;
}

/** Keeps what was not taken. False: too much is kept already, the connection is closed. */
static bool session_keep(struct kafka_session *s, const char *data, size_t len)
{
    if (len == 0)
        return true;
    if (atomic_load(&s->door->buffered_bytes) + len > LIMIT_KAFKA_BUFFERED_BYTES) {
        session_reject(s, "too many bytes of incomplete requests");
        return false;
    }
    buf_append(&s->in, data, len);
    account_input(s);
    return true;
}

/** After anything changed: reads the socket or not, and bounds the time of a partial request. */
static void session_settle(struct kafka_session *s)
{
    if (s->stopping) {
        release_input(s);
        return;
    }
    bool held = session_blocked(s) || s->room_since_ns != 0;
    bool pause = held && s->in.len >= READ_AHEAD_BYTES;
    if (pause && !s->paused)
        conn_pause_read(s->conn);
    else if (!pause && s->paused)
        conn_resume_read(s->conn);
    s->paused = pause;
    conn_set_deadline(s->conn, s->in.len > 0 && !held ? PARTIAL_REQUEST_MS : 0);
}

/** Takes what is kept and can be taken now. */
static void session_run(struct kafka_session *s)
{
    if (s->taking || s->conn == NULL)
        return;
    if (s->in.len > 0 && !s->stopping) {
        buf_consume(&s->in, session_take_frames(s, s->in.data, s->in.len));
        if (s->in.len == 0)
            release_input(s);
    }
    session_settle(s);
}

/* Callbacks of the connection ----------------------------------------------------------------- */

static void on_drain_message(struct reactor_msg *msg)
{
    struct kafka_session *s = CONTAINER_OF(msg, struct kafka_session, drain_msg);
    if (s->conn != NULL) {
        session_stop(s);
        (void)blocker_hurry(s);
    }
    session_unref(s);
}

static bool on_open(struct conn *c, void *listener_arg)
{
    struct kafka_door *door = listener_arg;
    struct kafka_session *s = xcalloc(1, sizeof(*s));
    s->door = door;
    s->conn = c;
    s->reactor = conn_reactor(c);
    s->tail = &s->head;
    s->refs = 1;
    s->drain_msg.run = on_drain_message;
    if (!door_add_session(door, s)) {
        free(s);
        return false;
    }
    conn_set_user(c, s);
    metric_inc(M_kafka_connections);
    return true;
}

static void on_data(struct conn *c, const char *data, size_t len)
{
    struct kafka_session *s = conn_user(c);
    if (s->stopping)
        return;
    if (s->in.len == 0) {
        size_t taken = session_take_frames(s, data, len);
        if (s->stopping || !session_keep(s, data + taken, len - taken))
            return;
        session_settle(s);
    } else if (session_keep(s, data, len)) {
        session_run(s);
    }
}

static void on_drain(struct conn *c)
{
    session_run(conn_user(c));
}

static void on_timeout(struct conn *c)
{
    session_reject(conn_user(c), "no byte of an incomplete request came for 30 s");
}

/** Lets go of the requests: those in work are freed when their handlers come back. */
static void session_abandon(struct kafka_session *s)
{
    struct kafka_request *rq = s->head;
    s->head = NULL;
    s->tail = &s->head;
    s->blocker = NULL;
    while (rq != NULL) {
        struct kafka_request *next = rq->next;
        if (rq->done)
            request_free(rq);
        else if (rq->on_gone != NULL)
            rq->on_gone(rq);
        rq = next;
    }
}

static void on_close(struct conn *c)
{
    struct kafka_session *s = conn_user(c);
    if (s == NULL) /* refused by on_open */
        return;
    s->conn = NULL;
    door_remove_session(s->door, s);
    metric_add(M_kafka_connections, -1);
    session_abandon(s);
    release_input(s);
    if (s->timer_open)
        uv_close((uv_handle_t *)&s->timer, on_timer_closed);
    session_unref(s);
}

const struct conn_ops kafka_conn_ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_timeout = on_timeout,
    .on_close = on_close,
};

void session_post_drain(struct kafka_session *s)
{
    s->refs++;
    reactor_post(s->reactor, &s->drain_msg);
}
