/*
 * Restore in place: what differs from the target is appended to the log as ordinary changes that
 * carry `restore` and `expect`, so whoever writes at the same time wins, and a restore is itself
 * history.
 *
 *     diff ──> batch of events ──> writer ──> durable ──> next batch … ──> applied ──> report
 *
 * P1. A batch is submitted when the one before it is durable: what was appended is always a prefix
 *     of the diff. Killed half-way, each document is old or new, and a second run makes the rest.
 *
 * P2. What the report calls skipped is what the state skipped, read back from the log; memory is
 *     that of one batch and 16 bytes per batch made.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/logger.h"
#include "base/metrics.h"
#include "base/timefmt.h"
#include "query/restore.h"
#include "snapshot/lines.h"
#include "writer/builder.h"

#define BATCH_EVENTS 1000
#define BATCH_BYTES MIB(1)
#define BUSY_MS 20      /* between two tries where the writer's queue is full */
#define BUSY_TRIES 1500 /* 30 s */
#define APPLY_TRIES 12
#define APPLY_TRY_MS 5000
#define SKIPPED_SHOWN 10000
#define PLAIN_BYTES_MAX MIB(64) /* of one batch of this file, and of those beside it */

struct lsn_range {
    int64_t from, to; /* [from, to) */
};

/** The batch that is on its way; `on_done` comes from whichever thread commits it. */
struct flight {
    struct write_batch batch;
    struct lock lock;
    struct lock_cond landed;
    bool done;
};

struct inplace {
    struct query_op *op;
    struct shard *shard;
    struct builder *builder;
    struct flight flight;
    struct buf middle; /* of an event: collection and restore */
    struct buf head;   /* of the event in the making */
    char type[32];
    struct lsn_range *ranges;
    size_t range_count, range_cap;
    struct restore_counts counts;
};

/* Batches ------------------------------------------------------------------------------------- */

static void on_durable(struct write_batch *b)
{
    struct flight *f = CONTAINER_OF(b, struct flight, batch);
    lock_acquire(&f->lock);
    f->done = true;
    lock_cond_signal(&f->landed);
    lock_release(&f->lock);
}

static void wait_landed(struct flight *f)
{
    lock_acquire(&f->lock);
    while (!f->done)
        lock_cond_wait(&f->landed, &f->lock);
    lock_release(&f->lock);
}

/** A full queue is waited for. */
static err_t submit(struct inplace *in)
{
    struct flight *f = &in->flight;
    for (int i = 0; i < BUSY_TRIES; i++) {
        err_t err = writer_submit(in->op->q->options.writer, &f->batch);
        if (err != ERR_BUFFER_FULL || atomic_load(&in->op->q->stopping))
            return err;
        lock_acquire(&f->lock);
        (void)lock_cond_wait_ms(&f->landed, &f->lock, BUSY_MS); /* nobody signals */
        lock_release(&f->lock);
    }
    return err_fail(ERR_BUFFER_FULL, "the write buffer has been full for 30 s");
}

static void note_range(struct inplace *in, int64_t from, uint32_t count)
{
    if (in->range_count == in->range_cap) {
        in->range_cap = MAX(16, 2 * in->range_cap);
        in->ranges = xrealloc(in->ranges, in->range_cap * sizeof(*in->ranges));
    }
    in->ranges[in->range_count++] = (struct lsn_range){from, from + count};
}

static err_t write_out(struct inplace *in)
{
    if (builder_count(in->builder) == 0)
        return OK;
    struct flight *f = &in->flight;
    f->done = false;
    f->batch = (struct write_batch){.shard = in->shard, .on_done = on_durable};
    builder_seal(in->builder, &f->batch.data, &f->batch.len, &f->batch.record_count);
    err_t err = submit(in);
    if (err != OK) {
        free(f->batch.data);
        return err;
    }
    wait_landed(f);
    if (f->batch.err != OK)
        return err_fail(f->batch.err, "%s", f->batch.err_text);
    note_range(in, f->batch.base_offset, f->batch.record_count);
    metric_add(M_restored_changes_total, f->batch.record_count);
    return OK;
}

/* Events -------------------------------------------------------------------------------------- */

/** {"type":…,"ts":…,"collection":…,"restore":…,"docId":…,"expect":…[,"doc":…]} */
static struct event_record make_event(struct inplace *in, const struct compensation *c)
{
    char ts[TIMEFMT_MAX];
    int64_t now_us = clock_wall_us(in->op->q->options.clock);
    timefmt_rfc3339(now_us, ts);
    snprintf(in->type, sizeof(in->type), "collection.%s", change_op_name(c->op));
    buf_clear(&in->head);
    buf_printf(&in->head, "{\"type\":\"%s\",\"ts\":\"%s\"", in->type, ts);
    buf_append_slice(&in->head, buf_slice(&in->middle));
    buf_append_str(&in->head, ",\"docId\":");
    buf_append_json(&in->head, c->id.data, c->id.len);
    buf_printf(&in->head, ",\"expect\":%lld", (long long)c->expect);
    bool has_doc = c->op != CHANGE_DELETE;
    if (has_doc)
        buf_append_str(&in->head, ",\"doc\":");
    return (struct event_record){
        .ts_ms = now_us / 1000,
        .key = c->id,
        .value = {buf_slice(&in->head), has_doc ? c->doc : (struct slice){0}, SLICE("}")},
        .type = slice_of(in->type)};
}

static err_t on_compensation(void *arg, const struct compensation *c)
{
    struct inplace *in = arg;
    if (atomic_load(&in->op->q->stopping))
        return err_fail(ERR_UNAVAILABLE, "the server is stopping");
    size_t bytes = builder_bytes(in->builder) + c->doc.len;
    if (builder_count(in->builder) >= BATCH_EVENTS ||
        (builder_count(in->builder) > 0 && bytes > BATCH_BYTES))
        TRY(write_out(in));
    struct event_record event = make_event(in, c);
    err_t err = builder_add(in->builder, &event);
    if (err == ERR_MESSAGE_TOO_LARGE)
        return err_fail(ERR_MESSAGE_TOO_LARGE, "the document \"%.*s\" is too large for one event",
                        (int)MIN(c->id.len, 100), c->id.data);
    return err;
}

/** What all events of this restore have: its name, so that it can be found and undone. */
static void make_middle(struct inplace *in, const struct restore_ask *ask)
{
    uint32_t random = 0;
    (void)!getrandom(&random, sizeof(random), 0);
    long long now_us = clock_wall_us(in->op->q->options.clock);
    buf_append_str(&in->middle, ",\"collection\":");
    buf_append_json(&in->middle, in->op->collection.data, in->op->collection.len);
    buf_printf(&in->middle, ",\"restore\":{\"id\":\"%llx-%08x\",\"target\":", now_us, random);
    restore_ask_describe(ask, &in->middle);
    buf_append_char(&in->middle, '}');
}

/* The report ---------------------------------------------------------------------------------- */

static err_t wait_applied(struct inplace *in)
{
    struct query *q = in->op->q;
    err_t err = ERR_REQUEST_TIMEOUT;
    for (int i = 0; i < APPLY_TRIES && err == ERR_REQUEST_TIMEOUT && !atomic_load(&q->stopping);
         i++)
        err = cdc_flush(q->options.cdc, in->op->namespace_name, false, APPLY_TRY_MS);
    if (err != ERR_REQUEST_TIMEOUT)
        return err;
    return err_fail(
        ERR_UNAVAILABLE,
        "the changes are durable, but the state has not taken them yet: look again later");
}

/** The documents of `count` changes of one of our batches, those that are flagged. */
static err_t add_skipped(struct inplace *in, struct lsn_range range, const bool *skipped,
                         size_t count, struct buf *out)
{
    struct log_reader reader;
    struct record_reader records;
    const uint8_t *batch;
    struct batch_header h;
    struct record rec;
    TRY(log_reader_open(&reader, in->shard, range.from));
    err_t err = log_reader_next(&reader, &batch, &h);
    if (err == OK)
        err = record_reader_open(&records, batch, batch_total_bytes(&h), PLAIN_BYTES_MAX);
    if (err == OK) {
        while (count > 0 && (err = record_reader_next(&records, &rec)) == OK) {
            if (rec.offset < range.from || rec.offset >= range.to ||
                !skipped[rec.offset - range.from])
                continue;
            buf_append_str(out, out->len > 0 ? ",{\"docId\":" : "{\"docId\":");
            buf_append_json(out, rec.key.data, rec.key.len);
            buf_printf(out, ",\"lsn\":%lld}", (long long)rec.offset);
            count--;
        }
        record_reader_close(&records);
    }
    log_reader_close(&reader);
    return err;
}

/** Those of one batch; the first SKIPPED_SHOWN of all are added to `out`. */
static err_t find_skipped_of(struct inplace *in, struct state *state, struct lsn_range range,
                             struct buf *out, uint64_t *count)
{
    bool skipped[BATCH_EVENTS] = {false};
    size_t shown = 0;
    ASSERT(range.to - range.from <= BATCH_EVENTS);
    for (int64_t lsn = range.from; lsn < range.to; lsn++) {
        bool *flag = &skipped[lsn - range.from];
        TRY(state_was_skipped(state, lsn, flag));
        if (*flag && (*count)++ >= SKIPPED_SHOWN)
            *flag = false;
        shown += *flag;
    }
    return shown > 0 ? add_skipped(in, range, skipped, shown, out) : OK;
}

static err_t find_skipped(struct inplace *in, struct buf *out, uint64_t *ret_count)
{
    struct state *state;
    *ret_count = 0;
    if (in->range_count == 0)
        return OK;
    TRY(op_state(in->op, &state));
    err_t err = OK;
    for (size_t i = 0; i < in->range_count && err == OK; i++)
        err = find_skipped_of(in, state, in->ranges[i], out, ret_count);
    state_close(state);
    return err;
}

static err_t report(struct inplace *in)
{
    CLEANUP(buf_release) struct buf skipped = BUF_INIT;
    struct buf *out = &in->op->out;
    uint64_t count;
    TRY(wait_applied(in));
    TRY(find_skipped(in, &skipped, &count));
    buf_append_str(out, "{\"ok\":true,\"lsnRange\":");
    if (in->range_count > 0)
        buf_printf(out, "[%lld,%lld]", (long long)in->ranges[0].from,
                   (long long)in->ranges[in->range_count - 1].to - 1);
    else
        buf_append_str(out, "null");
    buf_printf(out,
               ",\"inserts\":%llu,\"updates\":%llu,\"deletes\":%llu,\"skippedCount\":%llu,"
               "\"skipped\":[",
               (unsigned long long)in->counts.inserts, (unsigned long long)in->counts.updates,
               (unsigned long long)in->counts.deletes, (unsigned long long)count);
    buf_append_slice(out, buf_slice(&skipped));
    buf_append_char(out, ']');
    json_ids(out, &in->counts);
    buf_append_char(out, '}');
    LOG_INFO("restored_in_place", F("namespace", in->op->namespace_name),
             F("inserts", (int64_t)in->counts.inserts), F("updates", (int64_t)in->counts.updates),
             F("deletes", (int64_t)in->counts.deletes), F("skipped", (int64_t)count));
    return OK;
}

/* The whole ----------------------------------------------------------------------------------- */

static err_t append_all(struct inplace *in, struct source *source, const struct restore_ask *ask,
                        const struct rebuild_plan *plan)
{
    TRY(restore_diff(source, in->op->namespace_name, in->op->collection, plan, &ask->filter,
                     on_compensation, in, &in->counts));
    return write_out(in);
}

/** What was written stays: says so. */
static err_t fail_half_way(const struct inplace *in, err_t err)
{
    uint64_t written = 0;
    for (size_t i = 0; i < in->range_count; i++)
        written += (uint64_t)(in->ranges[i].to - in->ranges[i].from);
    if (written == 0)
        return err;
    char text[300];
    snprintf(text, sizeof(text), "%s", err_text(err));
    return err_fail(err,
                    "%llu changes (LSN %lld to %lld) were written before this: %s; each document "
                    "is old or new: run the restore again for the rest",
                    (unsigned long long)written, (long long)in->ranges[0].from,
                    (long long)in->ranges[in->range_count - 1].to - 1, text);
}

err_t restore_in_place(struct query_op *op, struct source *source, const struct restore_ask *ask,
                       const struct rebuild_plan *plan)
{
    struct inplace in = {.op = op};
    TRY(op_shard(op, &in.shard));
    in.builder = builder_new(op->q->options.codec);
    lock_init(&in.flight.lock, LOCK_RANK_LEAF);
    lock_cond_init(&in.flight.landed);
    make_middle(&in, ask);
    err_t err = append_all(&in, source, ask, plan);
    if (err == OK)
        err = report(&in);
    if (err != OK)
        err = fail_half_way(&in, err);
    builder_free(in.builder);
    lock_cond_destroy(&in.flight.landed);
    lock_destroy(&in.flight.lock);
    buf_release(&in.middle);
    buf_release(&in.head);
    free(in.ranges);
    return err;
}
