/*
 * POST /ingest and /e.
 *
 * Three ways through, by what is known when the body begins:
 *
 *   whole     the body is here in one piece, plain, and small: parsed in place into the batch that
 *             all small requests of this turn share. Nothing is copied but the events.
 *   small     it comes in pieces or is compressed: collected first, at most 64 KiB, then as above.
 *   large     more than that: parsed and compressed as it arrives, into a batch of its own; only an
 *             event that is not complete is carried over to the next piece.
 *
 * Order of checks: token, query, headers, size, syntax, batch shape, events, rate limit, key.
 * Owner: the exchange's reactor.
 */
#include <string.h>

#include "base/hash.h"
#include "base/metrics.h"
#include "ingest/door.h"
#include "ingest/reply.h"
#include "writer/keys.h"

struct events_request {
    struct append_op op;
    struct decoder_sink sink;
    struct charge charge;
    enum body_format format;
    struct decoder *decoder;      /* owned; NULL: the body is plain */
    struct slice idempotency_key; /* len 0: none */
    size_t received;              /* decoded bytes */
    int64_t plain_length;         /* Content-Length of a plain body, else -1 */
    struct buf small;             /* owned: the body so far, until it is large */
    bool done;                    /* parsed; the rest is up to the append */
    bool rated;                   /* the reply has the headers of the rate limit */
    /* large bodies only */
    bool large;
    bool parser_open;
    struct event_parser parser;
    struct builder *builder;  /* owned */
    struct hash_stream *hash; /* owned; only where there is an Idempotency-Key */
};

/* Letting go ---------------------------------------------------------------------------------- */

/** Frees what the request holds beside the exchange's arena. */
static void request_clear(struct events_request *r)
{
    decoder_free(TAKE(r->decoder));
    buf_release(&r->small);
    if (r->parser_open)
        event_parser_release(&r->parser);
    r->parser_open = false;
    appender_give_builder(r->op.ir->appender, TAKE(r->builder));
    hash_stream_free(TAKE(r->hash));
    charge_release(&r->charge);
}

static void fail_early(struct http_exchange *x, err_t err, const char *text, const char *details)
{
    if (err == ERR_BUFFER_FULL)
        metric_inc(M_buffer_full_total);
    http_respond_error(x, err, text, details);
}

/** A request that does not count still tells where its sender stands. */
static void add_rate(struct events_request *r)
{
    struct http_exchange *x = r->op.x;
    if (r->rated)
        return;
    struct rate_verdict v =
        access_rate_show(r->op.in->options.access, r->op.tenant, http_exchange_client(x));
    rate_add_headers(x, &v);
}

/** Answers with an error; the exchange and `r` are gone afterwards. */
static void fail(struct events_request *r, err_t err)
{
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    CLEANUP(buf_release) struct buf details = BUF_INIT;
    struct http_exchange *x = r->op.x;
    size_t limit = r->op.in->options.body_bytes;
    if (err == ERR_MESSAGE_TOO_LARGE)
        err = ERR_PAYLOAD_TOO_LARGE;
    if (err == ERR_PAYLOAD_TOO_LARGE)
        reply_too_large(&text, &details, limit, -1);
    else
        buf_append(&text, err_text(err), strlen(err_text(err)) + 1);
    add_rate(r);
    request_clear(r);
    fail_early(x, err, text.data, details.data);
}

/** The same where the parser knows which events are bad. */
static void fail_parsed(struct events_request *r, const struct event_parser *p, err_t err)
{
    if (err != ERR_INVALID_EVENT && err != ERR_EVENT_TOO_LARGE) {
        fail(r, err);
        return;
    }
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    CLEANUP(buf_release) struct buf details = BUF_INIT;
    struct http_exchange *x = r->op.x;
    reply_faults(p, r->op.in->rules.event_bytes_max, &text, &details);
    add_rate(r);
    request_clear(r);
    fail_early(x, err, text.data, details.data);
}

/* After the append ---------------------------------------------------------------------------- */

static void on_outcome(struct append_op *op, const struct append_outcome *o)
{
    if (unlikely(o->err != OK)) {
        fail_early(op->x, o->err, o->text, NULL);
        return;
    }
    if (o->deduplicated)
        metric_inc(M_deduplicated_requests_total);
    else
        metric_add(M_events_ingested_total, o->count);
    struct reply reply;
    reply_events(&reply, op->tenant, o);
    http_respond(op->x, 200, "application/json", reply.data, reply.len);
}

static void answer_empty(struct events_request *r)
{
    struct reply reply;
    struct http_exchange *x = r->op.x;
    reply_events(&reply, r->op.tenant, NULL);
    request_clear(r);
    http_respond(x, 200, "application/json", reply.data, reply.len);
}

/** Counts the request; false when it was refused and answered. */
static bool admit_rate(struct events_request *r, uint32_t events)
{
    struct http_exchange *x = r->op.x;
    struct rate_verdict v =
        access_rate(r->op.in->options.access, r->op.tenant, http_exchange_client(x), events);
    if (!v.limited)
        return true;
    r->rated = true;
    rate_add_headers(x, &v);
    if (v.allowed)
        return true;
    request_clear(r);
    rate_refuse(x, &v);
    return false;
}

/** The request's key from its header or its batchId. */
static err_t set_key(struct events_request *r, const struct event_parser *p)
{
    struct slice header = r->idempotency_key;
    struct slice batch_id = buf_slice(&p->batch_id);
    if (header.len > 0 && batch_id.len > 0 && !slice_equal(header, batch_id))
        return err_fail(ERR_INVALID_BATCH,
                        "Invalid batch: batchId and Idempotency-Key are given and differ");
    struct slice text = header.len > 0 ? header : batch_id;
    if (text.len > 0)
        r->op.key = append_op_key(&r->op, KEY_KIND_BATCH, text);
    return OK;
}

/** 0 stands for "any body" in the memory of keys. */
static uint64_t nonzero(uint64_t hash)
{
    return hash == 0 ? 1 : hash;
}

/* Small bodies -------------------------------------------------------------------------------- */

static void parser_open(struct events_request *r, struct event_parser *p, struct builder *b)
{
    struct ingest *in = r->op.in;
    const struct event_parser_options options = {
        .rules = &in->rules,
        .scratch = &r->op.ir->scratch,
        .builder = b,
        .format = r->format,
        .now_ms = clock_wall_ms(in->options.clock),
        .events_max = in->options.batch_events,
    };
    event_parser_init(p, &options);
}

/** Parses a whole body into `b` behind `mark` and appends it; `own`: b belongs to this request. */
static void parse_into(struct events_request *r, struct slice body, struct builder *b, bool own)
{
    struct event_parser p;
    struct builder_mark mark = builder_mark(b);
    parser_open(r, &p, b);
    err_t err = event_parser_end(&p, body.data, body.len);
    if (err == OK)
        err = set_key(r, &p);
    if (r->idempotency_key.len > 0)
        r->op.body_hash = nonzero(hash64(body.data, body.len));
    uint32_t count = p.count;
    bool admitted = err == OK && admit_rate(r, count);
    bool go_on = admitted && count > 0;
    if (!go_on)
        builder_truncate(b, mark);
    if (!go_on && own)
        appender_give_builder(r->op.ir->appender, b);
    if (err != OK)
        fail_parsed(r, &p, err);
    else if (admitted && count == 0)
        answer_empty(r);
    event_parser_release(&p);
    if (!go_on)
        return;
    request_clear(r);
    if (own)
        append_op_own(&r->op, b);
    else
        append_op_shared(&r->op, b, mark);
}

static void finish_small(struct events_request *r, struct slice body)
{
    struct builder *b;
    r->done = true;
    if (r->op.stream == NULL) {
        parse_into(r, body, appender_take_builder(r->op.ir->appender), true);
        return;
    }
    err_t err = appender_open(r->op.ir->appender, ingest_shard(r->op.stream), &b);
    if (unlikely(err != OK))
        fail(r, err);
    else
        parse_into(r, body, b, false);
}

/* Large bodies -------------------------------------------------------------------------------- */

static err_t feed_large(struct events_request *r, const char *data, size_t len)
{
    if (r->hash != NULL)
        hash_stream_add(r->hash, data, len);
    return event_parser_feed(&r->parser, data, len);
}

/** From collecting to parsing as it arrives. */
static err_t become_large(struct events_request *r)
{
    if (r->op.stream != NULL)
        TRY(writer_admit(r->op.in->options.writer, ingest_shard(r->op.stream)));
    r->large = true;
    r->builder = appender_take_builder(r->op.ir->appender);
    builder_stream(r->builder);
    if (r->idempotency_key.len > 0)
        r->hash = hash_stream_new();
    parser_open(r, &r->parser, r->builder);
    r->parser_open = true;
    err_t err = feed_large(r, r->small.data, r->small.len);
    buf_release(&r->small);
    return err;
}

static void finish_large(struct events_request *r)
{
    r->done = true;
    err_t err = event_parser_end(&r->parser, NULL, 0);
    if (err == OK)
        err = set_key(r, &r->parser);
    if (err != OK) {
        fail_parsed(r, &r->parser, err);
        return;
    }
    if (r->hash != NULL)
        r->op.body_hash = nonzero(hash_stream_value(r->hash));
    if (!admit_rate(r, r->parser.count))
        return;
    if (r->parser.count == 0) {
        answer_empty(r);
        return;
    }
    struct builder *b = TAKE(r->builder);
    request_clear(r);
    append_op_own(&r->op, b);
}

/* The body as it comes ------------------------------------------------------------------------ */

/** Takes decoded bytes that are not the whole body. */
static err_t take_bytes(struct events_request *r, const char *data, size_t len)
{
    r->received += len;
    if (r->received > r->op.in->options.body_bytes)
        return ERR_PAYLOAD_TOO_LARGE;
    TRY(charge_add(&r->charge, len));
    if (!r->large && r->small.len + len > LIMIT_OWN_BATCH_BODY)
        TRY(become_large(r));
    if (r->large)
        return feed_large(r, data, len);
    buf_append(&r->small, data, len);
    return OK;
}

static err_t take_decoded(struct decoder_sink *sink, const char *data, size_t len)
{
    struct events_request *r = CONTAINER_OF(sink, struct events_request, sink);
    return take_bytes(r, data, len);
}

static err_t decode_piece(struct events_request *r, const char *data, size_t len)
{
    struct ingest_reactor *ir = r->op.ir;
    if (ir->window == NULL)
        ir->window = xmalloc(DECODER_WINDOW_BYTES);
    size_t before = decoder_bytes(r->decoder);
    TRY(decoder_feed(r->decoder, data, len, ir->window, &r->sink));
    size_t after = decoder_bytes(r->decoder);
    return after > before ? charge_add(&r->charge, after - before) : OK;
}

static void on_body(struct http_exchange *x, const char *data, size_t len)
{
    struct events_request *r = http_exchange_user(x);
    if (r->plain_length == (int64_t)len && len <= LIMIT_OWN_BATCH_BODY) {
        finish_small(r, (struct slice){data, len});
        return;
    }
    err_t err = r->decoder == NULL ? take_bytes(r, data, len) : decode_piece(r, data, len);
    if (err != OK)
        fail(r, err);
}

static void on_end(struct http_exchange *x)
{
    struct events_request *r = http_exchange_user(x);
    if (r->done)
        return;
    err_t err = r->decoder == NULL ? OK : decoder_end(r->decoder);
    if (err != OK) {
        fail(r, err);
    } else if (r->large) {
        finish_large(r);
    } else {
        struct buf body = r->small;
        r->small = BUF_INIT;
        finish_small(r, buf_slice(&body));
        buf_release(&body);
    }
}

static void on_abort(struct http_exchange *x)
{
    struct events_request *r = http_exchange_user(x);
    if (r != NULL) {
        request_clear(r);
        if (!append_op_abort(&r->op))
            return;
    }
    http_exchange_release(x);
}

/* The head ------------------------------------------------------------------------------------ */

/** The media type without parameters. */
static struct slice media_type(struct slice header)
{
    const char *semicolon = header.data == NULL ? NULL : memchr(header.data, ';', header.len);
    if (semicolon != NULL)
        header.len = (size_t)(semicolon - header.data);
    while (header.len > 0 && header.data != NULL && header.data[header.len - 1] == ' ')
        header.len--;
    return header;
}

static err_t parse_content_type(struct slice header, enum body_format *ret_format)
{
    static const struct {
        const char *type;
        enum body_format format;
    } known[] = {
        {"application/json", BODY_JSON},
        {"application/x-ndjson", BODY_LINES},
        {"application/ndjson", BODY_LINES},
        {"application/jsonl", BODY_LINES},
        {"application/json-lines", BODY_LINES},
        {"application/x-jsonl", BODY_LINES},
        {"application/x-json-lines", BODY_LINES},
        {"text/json", BODY_JSON},
        /* what browsers and curl send when they are told nothing */
        {"", BODY_JSON},
        {"text/plain", BODY_JSON},
        {"application/x-www-form-urlencoded", BODY_JSON},
    };
    struct slice type = media_type(header);
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (slice_equal_nocase(type, slice_of(known[i].type))) {
            *ret_format = known[i].format;
            return OK;
        }
    }
    return err_fail(ERR_UNSUPPORTED_MEDIA_TYPE,
                    "Content-Type \"%.*s\" is not supported: use application/json or "
                    "application/x-ndjson",
                    (int)MIN(type.len, 100), type.data);
}

static err_t parse_idempotency_key(const struct http_request *req, struct slice *ret_key)
{
    size_t count = 0;
    struct slice key = http_request_header(req, "Idempotency-Key", &count);
    *ret_key = (struct slice){NULL, 0};
    if (key.data == NULL)
        return OK;
    if (count > 1 || key.len == 0 || key.len > LIMIT_KEY_BYTES)
        return err_fail(ERR_VALIDATION, "Idempotency-Key must be given once and have 1 to %d bytes",
                        LIMIT_KEY_BYTES);
    *ret_key = key;
    return OK;
}

struct head {
    const struct tenant *tenant;
    enum body_format format;
    enum body_coding coding;
    struct slice idempotency_key;
};

static err_t check_head(struct ingest *in, struct http_exchange *x, struct head *h)
{
    const struct http_request *req = http_exchange_request(x);
    TRY(access_check(in->options.access, http_request_header(req, "Authorization", NULL),
                     &h->tenant));
    if (req->query.len > 0 &&
        http_request_query(req, http_exchange_arena(x), "partial").data != NULL)
        return err_fail(ERR_VALIDATION, "the query parameter \"partial\" is not supported yet");
    TRY(parse_content_type(http_request_header(req, "Content-Type", NULL), &h->format));
    TRY(body_coding_parse(http_request_header(req, "Content-Encoding", NULL), &h->coding));
    return parse_idempotency_key(req, &h->idempotency_key);
}

static void on_request(struct http_exchange *x)
{
    struct ingest *in = http_exchange_route_arg(x);
    const struct http_request *req = http_exchange_request(x);
    struct head h = {0};
    err_t err = check_head(in, x, &h);
    if (err != OK) {
        fail_early(x, err, err_text(err), NULL);
        return;
    }
    struct events_request *r = arena_zalloc(http_exchange_arena(x), sizeof(*r));
    struct ingest_reactor *ir = ingest_reactor_of(in, x);
    r->op = (struct append_op){.x = x,
                               .in = in,
                               .ir = ir,
                               .tenant = h.tenant,
                               .on_outcome = on_outcome,
                               .stream = ingest_stream(in, ir, h.tenant)};
    r->charge.in = in;
    r->format = h.format;
    r->idempotency_key = h.idempotency_key;
    r->plain_length = h.coding == CODING_IDENTITY ? req->content_length : -1;
    if (req->content_length > (int64_t)in->options.body_bytes) {
        CLEANUP(buf_release) struct buf text = BUF_INIT;
        CLEANUP(buf_release) struct buf details = BUF_INIT;
        reply_too_large(&text, &details, in->options.body_bytes, req->content_length);
        fail_early(x, ERR_PAYLOAD_TOO_LARGE, text.data, details.data);
        return;
    }
    r->sink.take = take_decoded;
    r->decoder = decoder_new(h.coding);
    http_exchange_set_user(x, r);
    if (r->plain_length > (int64_t)LIMIT_OWN_BATCH_BODY && r->op.stream != NULL) {
        err = writer_admit(in->options.writer, ingest_shard(r->op.stream));
        if (err != OK)
            fail(r, err);
    }
}

const struct http_handler events_handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_end = on_end,
    .on_abort = on_abort,
};
