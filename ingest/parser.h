/*
 * ingest/parser.h: from a request body, as it arrives, to records in a builder. Private to ingest/.
 *
 * Knows nothing of HTTP: bytes in, records or an error out. Cutting a body into pieces at any place
 * gives the same records and the same error as feeding it whole.
 *
 * Owner: one thread. Order: init feed* end release; after an error only release.
 */
#ifndef INGEST_PARSER_H
#define INGEST_PARSER_H

#include "ingest/event.h"

enum body_format {
    BODY_JSON,  /* {"events":[…],"batchId"?} or an array: the first byte tells */
    BODY_LINES, /* one event per line */
};

#define FAULTS_SHOWN 10 /* as many bad events are named in an error */

struct event_parser {
    /* set by event_parser_init */
    const struct event_rules *rules; /* borrowed */
    struct event_scratch *scratch;   /* borrowed */
    struct builder *builder;         /* borrowed; records are added to it */
    int64_t now_ms;
    uint32_t events_max; /* for all but lines */
    /* where it is */
    unsigned state;
    bool in_array_body;   /* the body is an array: its end is the body's end */
    bool has_events;      /* "events" was seen */
    bool has_batch_id;    /* "batchId" was seen */
    bool at_events_key;   /* the value to come is that of "events" … */
    bool at_batch_id_key; /* … or of "batchId" */
    uint64_t origin;      /* place in the body of the first byte not yet consumed */
    struct buf carry;     /* begin of a value that was not complete */
    size_t carry_wanted;  /* try again when this much of it is there */
    /* what was found */
    uint32_t count;       /* events, good and bad */
    struct buf batch_id;  /* decoded; empty: none */
    uint32_t fault_count; /* bad events, those beyond FAULTS_SHOWN included */
    struct event_fault faults[FAULTS_SHOWN];
};

struct event_parser_options {
    const struct event_rules *rules;
    struct event_scratch *scratch;
    struct builder *builder;
    enum body_format format;
    int64_t now_ms;
    uint32_t events_max;
};

void event_parser_init(struct event_parser *p, const struct event_parser_options *options);
void event_parser_release(struct event_parser *p);

/** The next bytes of the body. After the first bad event no more records are added, but the rest is
 * still checked. ERR_INVALID_JSON, ERR_INVALID_BATCH, ERR_MESSAGE_TOO_LARGE; err_text says where.
 */
err_t event_parser_feed(struct event_parser *p, const char *data, size_t len) MUST_USE;
/** The last bytes (there may be none), and the verdict: besides those of feed ERR_INVALID_EVENT and
 *  ERR_EVENT_TOO_LARGE, whose faults are in `faults`. */
err_t event_parser_end(struct event_parser *p, const char *data, size_t len) MUST_USE;
#endif
