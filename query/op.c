/*
 * The life of an operation: see query/op.h. Functions say where they run.
 */
#include "query/op.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "access/rate_reply.h"
#include "base/limits.h"
#include "base/logger.h"

#define LIVE_MAX 256 /* operations in work, long polls included */

/* Begin and end ------------------------------------------------------------------------------- */

/** Reactor. */
static struct query_op *op_new(struct query *q, const struct query_kind *kind,
                               struct http_exchange *x)
{
    struct query_op *op = xcalloc(1, sizeof(*op));
    op->q = q;
    op->kind = kind;
    op->x = x;
    op->reactor = http_exchange_reactor(x);
    op->from = op->next_lsn = -1;
    return op;
}

/** Any thread, when nobody else has it. */
static void op_free(struct query_op *op)
{
    struct query *q = op->q;
    ASSERT(op->timer == NULL && !op->waiting && (op->closed || op->work == NULL));
    atomic_fetch_sub_explicit(&q->body_bytes, op->body.len, memory_order_relaxed);
    buf_release(&op->body);
    buf_release(&op->out);
    free(op->target.name);
    arena_release(&op->arena);
    free(op);
    lock_acquire(&q->lock);
    q->live--;
    lock_cond_broadcast(&q->changed);
    lock_release(&q->lock);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct query_op *op = handle->data;
    free(op->timer);
    op->timer = NULL;
    op_free(op);
}

/** Worker. */
static void close_work(struct query_op *op)
{
    if (!op->closed && op->work != NULL && op->kind->close != NULL)
        op->kind->close(op);
    op->closed = true;
}

/** Worker. */
static void close_and_free(struct worker_job *job)
{
    struct query_op *op = CONTAINER_OF(job, struct query_op, job);
    close_work(op);
    op_free(op);
}

/** Reactor: the exchange is answered or gone, and nobody else has the operation. */
static void op_end(struct query_op *op)
{
    op->x = NULL;
    if (op->work != NULL && !op->closed) {
        ASSERT(op->timer == NULL); /* what waits holds nothing open */
        op->job.run = close_and_free;
        worker_submit(op->q->workers, &op->job);
    } else if (op->timer != NULL) {
        uv_close((uv_handle_t *)op->timer, on_timer_closed);
    } else {
        op_free(op);
    }
}

/* Steps --------------------------------------------------------------------------------------- */

/** Worker. */
static void run_step(struct worker_job *job)
{
    struct query_op *op = CONTAINER_OF(job, struct query_op, job);
    op->step = STEP_DONE;
    op->err = op_check_stop(op);
    if (op->err == OK)
        op->err = op->kind->work(op);
    if (op->err != OK)
        snprintf(op->text, sizeof(op->text), "%s", err_text(op->err));
    if (op->err != OK || op->step == STEP_DONE)
        close_work(op);
    reactor_post(op->reactor, &op->msg);
}

/** Reactor. */
static void next_step(struct query_op *op)
{
    ASSERT(!op->busy);
    op->busy = true;
    op->job.run = run_step;
    worker_submit(op->q->workers, &op->job);
}

static void answer_error(struct query_op *op)
{
    struct http_exchange *x = op->x;
    err_t err = op->err == ERR_OFFSET_OUT_OF_RANGE ? ERR_LSN_GONE : op->err;
    if (op->started) {
        LOG_WARN("reply_broken_off", F("namespace", op->namespace_name), F("error", op->text),
                 F("next", "the connection is closed"));
        http_respond_finish(x, false);
        return;
    }
    if (err_http_status(err) >= 500)
        LOG_WARN("request_failed", F("namespace", op->namespace_name), F("error", op->text));
    http_respond_error(x, err, op->text, op->details[0] != '\0' ? op->details : NULL);
}

static void answer_whole(struct query_op *op)
{
    if (op->next_lsn >= 0) {
        char text[24];
        snprintf(text, sizeof(text), "%lld", (long long)op->next_lsn);
        http_add_header(op->x, "X-Next-LSN", text);
    }
    http_respond(op->x, op->status != 0 ? op->status : 200, op->kind->content_type, op->out.data,
                 op->out.len);
}

/** Reactor: sends the piece; asks for the next one unless enough waits to leave. */
static void send_piece(struct query_op *op)
{
    bool last = op->step == STEP_DONE;
    if (!op->started) {
        op->started = true;
        if (!http_respond_start(op->x, 200, op->kind->content_type))
            last = true;
    }
    http_respond_piece(op->x, op->out.data, op->out.len);
    op->out = BUF_INIT;
    if (last) {
        http_respond_finish(op->x, true);
        op_end(op);
    } else if (http_respond_unsent(op->x) < OP_UNSENT_BYTES) {
        next_step(op);
    }
}

static void wait_for_append(struct query_op *op);

/** Reactor: a step is over. */
static void on_step(struct reactor_msg *msg)
{
    struct query_op *op = CONTAINER_OF(msg, struct query_op, msg);
    op->busy = false;
    if (op->x == NULL) {
        op_end(op);
    } else if (op->err != OK) {
        answer_error(op);
        op_end(op);
    } else if (op->step == STEP_WAIT && op->wait_ms > 0 && !op->timed_out) {
        wait_for_append(op);
    } else if (op->started || op->step == STEP_MORE) {
        send_piece(op);
    } else {
        answer_whole(op);
        op_end(op);
    }
}

static void begin(struct query_op *op)
{
    op->msg.run = on_step;
    next_step(op);
}

/* Waiting ------------------------------------------------------------------------------------- */

/** False when the server drains. */
static bool link_waiting(struct query_op *op)
{
    struct query *q = op->q;
    lock_acquire(&q->lock);
    bool draining = q->draining;
    if (!draining) {
        op->next_waiting = q->waiting;
        if (q->waiting != NULL)
            q->waiting->waiting_link = &op->next_waiting;
        op->waiting_link = &q->waiting;
        q->waiting = op;
    }
    lock_release(&q->lock);
    op->waiting = !draining;
    return !draining;
}

static void unlink_waiting(struct query_op *op)
{
    struct query *q = op->q;
    lock_acquire(&q->lock);
    *op->waiting_link = op->next_waiting;
    if (op->next_waiting != NULL)
        op->next_waiting->waiting_link = op->waiting_link;
    lock_release(&q->lock);
    op->waiting = false;
}

/** Any thread, the first time only. */
static void notify(struct query_op *op)
{
    if (!atomic_exchange_explicit(&op->notified, true, memory_order_acq_rel))
        reactor_post(op->reactor, &op->msg);
}

void query_drain(struct query *q)
{
    lock_acquire(&q->lock);
    q->draining = true;
    for (struct query_op *op = q->waiting; op != NULL; op = op->next_waiting)
        notify(op);
    lock_release(&q->lock);
}

/** Reactor: no more appends will be told of. False: one has been, and its message is on its way. */
static bool stop_waiting(struct query_op *op)
{
    if (!op->waiting)
        return true;
    shard_unwait(op->wait_shard, &op->waiter);
    unlink_waiting(op);
    return !atomic_load_explicit(&op->notified, memory_order_acquire);
}

/** Reactor. */
static void on_appended(struct reactor_msg *msg)
{
    struct query_op *op = CONTAINER_OF(msg, struct query_op, msg);
    (void)stop_waiting(op);
    op->msg.run = on_step;
    if (op->x == NULL)
        op_end(op);
    else
        next_step(op);
}

/** The appending thread. */
static void on_append(struct shard_waiter *w)
{
    notify(CONTAINER_OF(w, struct query_op, waiter));
}

/** Reactor. Timers run before the turn: what they answer leaves with it. */
static void on_timer(uv_timer_t *timer)
{
    struct query_op *op = timer->data;
    op->timed_out = true;
    if (op->busy || !op->waiting || !stop_waiting(op))
        return; /* the step that comes, or is in work, sees that the time is over */
    op->msg.run = on_step;
    next_step(op);
}

static void start_timer(struct query_op *op)
{
    if (op->timer != NULL)
        return;
    op->timer = xcalloc(1, sizeof(*op->timer));
    int rc = uv_timer_init(reactor_loop(op->reactor), op->timer);
    ASSERT(rc == 0);
    op->timer->data = op;
    uv_update_time(reactor_loop(op->reactor));
    rc = uv_timer_start(op->timer, on_timer, op->wait_ms, 0);
    ASSERT(rc == 0);
}

static void wait_for_append(struct query_op *op)
{
    start_timer(op);
    op->msg.run = on_appended;
    op->waiter = (struct shard_waiter){.fn = on_append};
    atomic_store_explicit(&op->notified, false, memory_order_relaxed);
    op->timed_out = !link_waiting(op);
    if (!op->timed_out && shard_wait(op->wait_shard, op->wait_seen, &op->waiter))
        return;
    /* There is something already, or the server drains. */
    if (op->timed_out || stop_waiting(op)) {
        op->msg.run = on_step;
        next_step(op);
    }
}

/* The handler: reactor ------------------------------------------------------------------------ */

/** Counts one more operation; ERR_UNAVAILABLE when there are too many. */
static err_t admit(struct query *q)
{
    lock_acquire(&q->lock);
    bool full = q->live >= LIVE_MAX;
    if (!full)
        q->live++;
    lock_release(&q->lock);
    if (full)
        return err_fail(ERR_UNAVAILABLE, "%d reads and restores are in work: try again", LIVE_MAX);
    return OK;
}

/** Counts the request; one that was refused already only shows where its sender stands. False: it
 * was refused and answered here. */
static bool admit_rate(const struct query_op *op, err_t err)
{
    struct access *a = op->q->options.access;
    struct slice client = http_exchange_client(op->x);
    if (op->tenant == NULL)
        return true;
    struct rate_verdict v =
        err == OK ? access_rate(a, op->tenant, client, 0) : access_rate_show(a, op->tenant, client);
    rate_add_headers(op->x, &v);
    if (err != OK || v.allowed)
        return true;
    rate_refuse(op->x, &v);
    return false;
}

static void on_request(struct http_exchange *x)
{
    const struct query_route *route = http_exchange_route_arg(x);
    const struct http_request *r = http_exchange_request(x);
    err_t err = admit(route->q);
    if (err != OK) {
        http_respond_error(x, err, err_text(err), NULL);
        return;
    }
    struct query_op *op = op_new(route->q, route->kind, x);
    err = request_read(op, r);
    if (err == OK && op->kind->prepare != NULL)
        err = op->kind->prepare(op, r);
    bool admitted = admit_rate(op, err);
    if (admitted && err == OK) {
        http_exchange_set_user(x, op);
        return;
    }
    if (admitted)
        http_respond_error(x, err, err_text(err), NULL);
    op_free(op);
}

static err_t take_body(struct query_op *op, const char *data, size_t len)
{
    if (op->body.len + len > LIMIT_BODY_BYTES_MAX)
        return err_fail(ERR_PAYLOAD_TOO_LARGE, "the body has more than %zu bytes",
                        LIMIT_BODY_BYTES_MAX);
    buf_append(&op->body, data, len);
    size_t before = atomic_fetch_add_explicit(&op->q->body_bytes, len, memory_order_relaxed);
    if (before + len > LIMIT_ASKED_BYTES)
        return err_fail(ERR_UNAVAILABLE, "the bodies of all requests are too large: try again");
    return OK;
}

static void on_body(struct http_exchange *x, const char *data, size_t len)
{
    struct query_op *op = http_exchange_user(x);
    if (!op->kind->takes_body)
        return;
    err_t err = take_body(op, data, len);
    if (err != OK) {
        http_respond_error(x, err, err_text(err), NULL);
        op_free(op);
    }
}

static void on_end(struct http_exchange *x)
{
    begin(http_exchange_user(x));
}

static void on_drain(struct http_exchange *x)
{
    struct query_op *op = http_exchange_user(x);
    if (!op->busy)
        next_step(op);
}

static void on_abort(struct http_exchange *x)
{
    struct query_op *op = http_exchange_user(x);
    http_exchange_release(x);
    if (op == NULL)
        return;
    op->x = NULL;
    atomic_store_explicit(&op->cancelled, true, memory_order_relaxed);
    if (!op->busy && stop_waiting(op))
        op_end(op);
}

const struct http_handler query_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_end = on_end,
    .on_abort = on_abort,
    .on_drain = on_drain,
};

const struct http_handler query_wait_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_end = on_end,
    .on_abort = on_abort,
    .on_drain = on_drain,
    .abort_on_eof = true,
};
