/*
 * ingest/reply.h: the bodies and headers that the doors answer with. Private to ingest/.
 */
#ifndef INGEST_REPLY_H
#define INGEST_REPLY_H

#include "access/rate_reply.h"
#include "base/buf.h"
#include "ingest/door.h"
#include "ingest/parser.h"

/** A body under construction in a fixed buffer; what does not fit is a bug. */
#define REPLY_BYTES 2048
struct reply {
    size_t len;
    char data[REPLY_BYTES];
};
void reply_text(struct reply *r, const char *text, size_t len);
#define REPLY_LITERAL(r, literal) reply_text((r), literal, sizeof(literal) - 1)
void reply_number(struct reply *r, int64_t n);

/** The body of a successful POST /ingest; `outcome` NULL: there were no events. */
void reply_events(struct reply *r, const struct tenant *t, const struct append_outcome *outcome);
/** Text and details of a 413; `length` -1: found while the body came in. */
void reply_too_large(struct buf *text, struct buf *details, size_t limit, int64_t length);
/** Text and details of a request with bad events. */
void reply_faults(const struct event_parser *p, size_t event_bytes_max, struct buf *text,
                  struct buf *details);

#endif
