/*
 * kafka/reply.c: see kafka/reply.h.
 */
#include "kafka/reply.h"

#include <stdlib.h>

#include "base/logger.h"
#include "base/metrics.h"

#define COPY_BELOW_BYTES 1024 /* smaller runs are copied into the connection's own buffer */

struct wire_writer reply_begin_classic(struct kafka_request *rq, bool flexible_body)
{
    buf_clear(&rq->bytes);
    struct wire_writer header = {&rq->bytes, false};
    wire_put_i32(&header, 0); /* the size, set by reply_send */
    reply_header_write(&header, rq->header.correlation_id);
    return (struct wire_writer){&rq->bytes, flexible_body};
}

struct wire_writer reply_begin(struct kafka_request *rq)
{
    struct wire_writer w = reply_begin_classic(rq, rq->flexible);
    wire_put_no_tags(&w); /* of the header */
    return w;
}

void reply_slice(struct kafka_request *rq, const struct log_slice *slice)
{
    struct reply_part *part = arena_zalloc(&rq->arena, sizeof(*part));
    part->bytes = rq->bytes;
    part->slice = *slice;
    rq->bytes = BUF_INIT;
    *rq->last_part = part;
    rq->last_part = &part->next;
}

static void bytes_send(struct conn *c, struct buf *b)
{
    if (b->len >= COPY_BELOW_BYTES) {
        conn_write_owned(c, b->data, b->len);
        *b = BUF_INIT;
    } else {
        conn_write(c, b->data, b->len);
        buf_release(b);
    }
}

static void on_slice_sent(void *arg)
{
    struct log_slice *slice = arg;
    log_slice_release(slice);
    free(slice);
}

/** Where the disk has no descriptor (or the data cannot be read: then the connection must go, its
 * frame is half out). */
static void slice_copy(struct conn *c, struct log_slice *slice)
{
    char *data = xmalloc(slice->len);
    err_t err = log_slice_read(slice, 0, data, slice->len);
    log_slice_release(slice);
    if (err == OK) {
        conn_write_owned(c, data, slice->len);
        return;
    }
    free(data);
    LOG_ERROR("kafka_fetch_read_failed", F("err", err_text(err)),
              F("next", "closing the connection"));
    conn_close(c);
}

static void slice_send(struct conn *c, struct log_slice *slice)
{
    metric_add(M_kafka_fetch_bytes_total, (int64_t)slice->len);
    if (slice->fd < 0) {
        slice_copy(c, slice);
        return;
    }
    metric_add(M_kafka_sendfile_bytes_total, (int64_t)slice->len);
    struct log_slice *held = xmalloc(sizeof(*held));
    *held = *slice;
    conn_write_file(c, held->fd, held->position, held->len, on_slice_sent, held);
}

void reply_send(struct kafka_request *rq, struct conn *c)
{
    size_t total = rq->bytes.len;
    for (struct reply_part *p = rq->first_part; p != NULL; p = p->next)
        total += p->bytes.len + p->slice.len;
    ASSERT(total > 4 && total - 4 <= INT32_MAX);
    struct buf *first = rq->first_part == NULL ? &rq->bytes : &rq->first_part->bytes;
    store_u32(first->data, (uint32_t)(total - 4));
    for (struct reply_part *p = rq->first_part; p != NULL; p = p->next) {
        bytes_send(c, &p->bytes);
        slice_send(c, &p->slice);
    }
    rq->first_part = NULL;
    rq->last_part = &rq->first_part;
    bytes_send(c, &rq->bytes);
}

void reply_release(struct kafka_request *rq)
{
    for (struct reply_part *p = rq->first_part; p != NULL; p = p->next) {
        buf_release(&p->bytes);
        log_slice_release(&p->slice);
    }
    rq->first_part = NULL;
    rq->last_part = &rq->first_part;
    buf_release(&rq->bytes);
}
