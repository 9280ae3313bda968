/*
 * An HTTP connection: the queue of exchanges, deadlines, the end of input, and the callbacks of
 * conn.h.
 */
#include <stdlib.h>

#include "base/metrics.h"
#include "net/http_priv.h"

/* The queue ----------------------------------------------------------------------------------- */

void http_enqueue(struct http_conn *hc, struct http_exchange *x)
{
    x->next = NULL;
    if (hc->tail == NULL)
        hc->head = x;
    else
        hc->tail->next = x;
    hc->tail = x;
    hc->count++;
}

static void dequeue(struct http_conn *hc, struct http_exchange *x)
{
    struct http_exchange *before = NULL;
    for (struct http_exchange *at = hc->head; at != x; at = at->next)
        before = at;
    if (before == NULL)
        hc->head = x->next;
    else
        before->next = x->next;
    if (hc->tail == x)
        hc->tail = before;
    hc->count--;
    if (hc->current == x)
        hc->current = NULL;
}

void http_abort(struct http_exchange *x)
{
    dequeue(x->hc, x);
    x->hc = NULL;
    x->aborted = true;
    if (x->handler != NULL && x->handler->on_abort != NULL)
        x->handler->on_abort(x);
    else
        http_exchange_free(x);
}

/* Not yet, or not wholly, answered. */
static bool is_open(const struct http_exchange *x)
{
    return !x->responded || x->streaming;
}

void http_drop_behind(struct http_exchange *x)
{
    while (x->next != NULL) {
        struct http_exchange *behind = x->next;
        if (is_open(behind)) {
            http_abort(behind);
            continue;
        }
        dequeue(x->hc, behind);
        http_exchange_free(behind);
    }
}

void http_exchange_release(struct http_exchange *x)
{
    ASSERT(x->aborted);
    http_exchange_free(x);
}

/* Deadlines ----------------------------------------------------------------------------------- */

static enum http_wait wait_of(const struct http_conn *hc)
{
    switch (hc->phase) {
    case HTTP_PHASE_HEAD:
        return HTTP_WAIT_HEAD;
    case HTTP_PHASE_BODY:
        return HTTP_WAIT_BODY;
    case HTTP_PHASE_IDLE:
        if (hc->head != NULL || conn_output_bytes(hc->c) > 0)
            return HTTP_WAIT_NONE;
        return hc->serial == 0 ? HTTP_WAIT_FIRST : HTTP_WAIT_NEXT;
    case HTTP_PHASE_OVER:
        return HTTP_WAIT_NONE;
    }
    return HTTP_WAIT_NONE;
}

static void update_deadline(struct http_conn *hc, bool got_input)
{
    const struct http_options *options = &hc->server->options;
    enum http_wait wait = wait_of(hc);
    bool again = wait == HTTP_WAIT_BODY && got_input; /* each piece of a body starts it anew */
    if (wait == hc->wait && hc->serial == hc->wait_serial && !again)
        return;
    hc->wait = wait;
    hc->wait_serial = hc->serial;
    switch (wait) {
    case HTTP_WAIT_NONE:
        conn_set_deadline(hc->c, 0);
        break;
    case HTTP_WAIT_FIRST:
    case HTTP_WAIT_HEAD:
        conn_set_deadline(hc->c, options->header_ms);
        break;
    case HTTP_WAIT_NEXT:
        conn_set_deadline(hc->c, options->keepalive_ms);
        break;
    case HTTP_WAIT_BODY:
        conn_set_deadline(hc->c, options->body_idle_ms);
        break;
    }
}

static void on_timeout(struct conn *c)
{
    struct http_conn *hc = conn_user(c);
    enum http_wait wait = hc->wait;
    hc->wait = HTTP_WAIT_NONE;
    if (wait == HTTP_WAIT_HEAD)
        http_parse_fail(hc, ERR_REQUEST_TIMEOUT, "The request's headers took too long");
    else if (wait == HTTP_WAIT_BODY)
        http_parse_fail(hc, ERR_REQUEST_TIMEOUT, "The request's body took too long");
    else
        conn_close(c);
}

/* Replies leave ------------------------------------------------------------------------------- */

/* Not from inside a handler's call: the requests that wait would call handlers from within
 * handlers. */
static void resume_soon(struct http_conn *hc)
{
    if (!hc->full || hc->resume_posted || hc->count > LIMIT_HTTP_PIPELINE / 2 ||
        conn_output_bytes(hc->c) > LIMIT_HTTP_PIPELINE_BYTES)
        return;
    hc->resume_posted = true;
    reactor_post(conn_reactor(hc->c), &hc->resume);
}

static void offer_continue(struct http_conn *hc)
{
    struct http_exchange *x = hc->head;
    if (x == hc->current && hc->phase == HTTP_PHASE_BODY && x->expect_continue &&
        !x->continue_sent) {
        x->continue_sent = true;
        conn_write(hc->c, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    }
}

void http_advance(struct http_conn *hc)
{
    struct http_exchange *x;
    while ((x = hc->head) != NULL && x->responded) {
        if (!x->written) {
            x->written = true;
            conn_write(hc->c, x->reply.data, x->reply.len);
            buf_clear(&x->reply);
        }
        if (!x->request_done || x->streaming)
            break;
        dequeue(hc, x);
        http_exchange_free(x);
    }
    if (hc->head != NULL)
        offer_continue(hc);
    else if (hc->phase == HTTP_PHASE_OVER)
        conn_close_after_write(hc->c);
    resume_soon(hc);
    update_deadline(hc, false);
}

/* The end of input, and input that waited ----------------------------------------------------- */

static bool waits_long(const struct http_exchange *x)
{
    return x->handler != NULL && x->handler->abort_on_eof && is_open(x);
}

/* Complete requests get their replies; one that breaks off in the middle is given up. False: close
 * now. */
static bool input_ended(struct http_conn *hc)
{
    struct http_exchange *x = hc->current;
    hc->phase = HTTP_PHASE_OVER;
    if (x != NULL && x->responded)
        x->request_done = true;
    else if (x != NULL)
        http_abort(x);
    for (x = hc->head; x != NULL; x = x->next)
        if (waits_long(x))
            return false;
    if (hc->tail != NULL)
        hc->tail->keep_alive = false;
    http_advance(hc);
    return true;
}

static void resume(struct reactor_msg *msg)
{
    struct http_conn *hc = CONTAINER_OF(msg, struct http_conn, resume);
    hc->resume_posted = false;
    if (hc->closed) {
        free(hc);
        return;
    }
    struct buf held = hc->held;
    hc->held = BUF_INIT;
    hc->full = false;
    conn_resume_read(hc->c);
    if (held.len > 0 && hc->phase != HTTP_PHASE_OVER)
        http_parse_feed(hc, held.data, held.len); /* may hold the rest again */
    buf_release(&held);
    if (hc->eof_waits && !hc->full && !input_ended(hc))
        conn_close(hc->c);
    update_deadline(hc, true);
}

/* The callbacks of conn.h --------------------------------------------------------------------- */

static bool on_open(struct conn *c, void *listener_arg)
{
    struct http_server *s = listener_arg;
    struct http_conn *hc = xcalloc(1, sizeof(*hc));
    hc->c = c;
    hc->server = s;
    hc->worker = http_worker_of(s, conn_reactor(c));
    hc->resume.run = resume;
    hc->next = hc->worker->conns;
    if (hc->next != NULL)
        hc->next->prev = hc;
    hc->worker->conns = hc;
    http_parse_init(hc);
    conn_set_user(c, hc);
    metric_inc(M_http_connections);
    update_deadline(hc, false);
    return true;
}

static void on_data(struct conn *c, const char *data, size_t len)
{
    struct http_conn *hc = conn_user(c);
    if (hc->phase == HTTP_PHASE_OVER)
        return;
    if (hc->full) { /* reading is paused; this can only be input that was already on its way here */
        buf_append(&hc->held, data, len);
        return;
    }
    http_parse_feed(hc, data, len);
    update_deadline(hc, true);
}

static void on_drain(struct conn *c)
{
    struct http_conn *hc = conn_user(c);
    struct http_exchange *x = hc->head;
    if (x != NULL && x->streaming && x->handler->on_drain != NULL)
        x->handler->on_drain(x);
    resume_soon(hc);
    update_deadline(hc, false); /* a client is idle from the time that it has its reply */
}

static bool on_eof(struct conn *c)
{
    struct http_conn *hc = conn_user(c);
    if (hc->full) { /* complete requests wait in `held` */
        hc->eof_waits = true;
        return true;
    }
    return input_ended(hc);
}

static void on_close(struct conn *c)
{
    struct http_conn *hc = conn_user(c);
    while (hc->head != NULL) {
        struct http_exchange *x = hc->head;
        if (is_open(x)) {
            http_abort(x);
            continue;
        }
        dequeue(hc, x);
        http_exchange_free(x);
    }
    if (hc->prev != NULL)
        hc->prev->next = hc->next;
    else
        hc->worker->conns = hc->next;
    if (hc->next != NULL)
        hc->next->prev = hc->prev;
    metric_add(M_http_connections, -1);
    buf_release(&hc->held);
    hc->closed = true;
    if (!hc->resume_posted)
        free(hc);
}

const struct conn_ops http_conn_ops = {
    .on_open = on_open,
    .on_data = on_data,
    .on_drain = on_drain,
    .on_eof = on_eof,
    .on_timeout = on_timeout,
    .on_close = on_close,
};
