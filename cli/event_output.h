/*
 * cli/event_output.h: one record of the log as one line of text.
 */
#ifndef CLI_EVENT_OUTPUT_H
#define CLI_EVENT_OUTPUT_H

#include "base/buf.h"
#include "log/batch.h"

/** The event's type: the header "type", else the value's top-level field where it is JSON. Borrowed
 * from the record; data == NULL when it has none. */
struct slice event_output_type(const struct record *rec);

/** Appends the value with CR and LF made spaces, and a line end. */
void event_output_value(struct buf *out, const struct record *rec);
/** Appends {"position":"events/0/12","ts":…,"type":…,"key":…,"event":…} and a line end. A value
 * that is no JSON stands as a string under "value". */
void event_output_json(struct buf *out, const char *stream, unsigned shard,
                       const struct record *rec);

#endif
