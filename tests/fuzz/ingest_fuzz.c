/*
 * tests/fuzz/ingest_fuzz.c: bodies of POST /ingest. A body fed in pieces gives the same records,
 * the same verdict and the same sentence as the body fed at once; each piece is memory of its own,
 * so that ASan sees a read past it; what was built is a batch that passes its own checks. Input:
 * one byte of choices, two bytes that say how to cut, the body. Covers: ingest/parser.c
 * ingest/event.c base/timefmt.c
 */
#include <stdlib.h>
#include <string.h>

#include "ingest/parser.h"
#include "log/batch.h"

#define NOW_MS INT64_C(1770042600000)
#define EVENTS_MAX 20
#define EVENT_BYTES_MAX 300

struct outcome {
    err_t err;
    char text[sizeof(((struct err_detail *)NULL)->text)];
    uint32_t fault_count;
    struct buf batch_id;
    uint8_t *batch;
    uint32_t batch_len;
};

static const struct event_rules *fuzz_rules(void)
{
    static struct event_rules rules;
    if (rules.event_bytes_max == 0)
        event_rules_init(&rules, EVENT_BYTES_MAX);
    return &rules;
}

static struct event_scratch scratch;

static err_t feed_copy(struct event_parser *p, const uint8_t *data, size_t len, bool last)
{
    char *copy = malloc(len);
    ASSERT(copy != NULL || len == 0);
    if (len > 0)
        memcpy(copy, data, len);
    err_t err = last ? event_parser_end(p, copy, len) : event_parser_feed(p, copy, len);
    free(copy);
    return err;
}

/* Pieces of `first`, then `piece`, then `first` … bytes; 0: all at once. */
static struct outcome parse(enum body_format format, const uint8_t *data, size_t len, size_t first,
                            size_t piece)
{
    struct outcome o = {0};
    struct event_parser p;
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    const struct event_parser_options options = {.rules = fuzz_rules(),
                                                 .scratch = &scratch,
                                                 .builder = b,
                                                 .format = format,
                                                 .now_ms = NOW_MS,
                                                 .events_max = EVENTS_MAX};
    event_parser_init(&p, &options);
    size_t at = 0, n = first, other = piece;
    while (first > 0 && o.err == OK && len - at > n) {
        o.err = feed_copy(&p, data + at, n, false);
        at += n;
        size_t swap = n;
        n = other;
        other = swap;
    }
    if (o.err == OK)
        o.err = feed_copy(&p, data + at, len - at, true);
    if (o.err != OK)
        memcpy(o.text, err_last()->text, sizeof(o.text));
    o.fault_count = p.fault_count;
    ASSERT((o.err == OK) <= (p.fault_count == 0 && p.count == builder_count(b)));
    o.batch_id = p.batch_id;
    p.batch_id = BUF_INIT;
    uint32_t count = 0;
    if (o.err == OK && builder_count(b) > 0)
        builder_seal(b, &o.batch, &o.batch_len, &count);
    event_parser_release(&p);
    builder_free(b);
    return o;
}

static void check_batch(const struct outcome *o)
{
    struct batch_header header;
    struct record_reader reader;
    struct record rec;
    if (o->batch == NULL)
        return;
    ASSERT(batch_check(o->batch, o->batch_len, &header) == OK);
    ASSERT(record_reader_open(&reader, o->batch, o->batch_len, MIB(16)) == OK);
    err_t err;
    while ((err = record_reader_next(&reader, &rec)) == OK) {
        ASSERT(rec.value.len >= 2 && rec.value.len <= EVENT_BYTES_MAX);
        ASSERT(rec.value.data[0] == '{' && rec.value.data[rec.value.len - 1] == '}');
        ASSERT(rec.timestamp_ms >= 0 && rec.timestamp_ms <= NOW_MS + 3600000);
        ASSERT(record_header_find(&rec, "type").len >= 1);
    }
    ASSERT(err == ERR_END);
    record_reader_close(&reader);
}

static void must_agree(const struct outcome *a, const struct outcome *b)
{
    ASSERT(a->err == b->err);
    ASSERT(strcmp(a->text, b->text) == 0);
    ASSERT(a->batch_len == b->batch_len);
    ASSERT(a->batch_len == 0 || memcmp(a->batch, b->batch, a->batch_len) == 0);
    ASSERT(a->err != OK || slice_equal(buf_slice(&a->batch_id), buf_slice(&b->batch_id)));
}

static void outcome_release(struct outcome *o)
{
    free(o->batch);
    buf_release(&o->batch_id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    enum body_format format = (data[0] & 1) != 0 ? BODY_LINES : BODY_JSON;
    size_t first = (size_t)data[1] + 1, piece = (size_t)data[2] * 8 + 1;
    data += 3;
    size -= 3;
    struct outcome whole = parse(format, data, size, 0, 0);
    struct outcome cut = parse(format, data, size, first, piece);
    check_batch(&whole);
    must_agree(&whole, &cut);
    outcome_release(&whole);
    outcome_release(&cut);
    buf_release(&scratch.bytes);
    return 0;
}
