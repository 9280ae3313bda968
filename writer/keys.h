/*
 * writer/keys.h: how request keys are written, in memory and in the record header "spillway-key".
 *
 * A key names who gave it: "<kind>:<namespace>:<text>", so that no door can pose as another.
 */
#ifndef WRITER_KEYS_H
#define WRITER_KEYS_H

#include "base/base.h"
#include "base/buf.h"

/* Kinds: the first letter of a key. */
#define KEY_KIND_BATCH "b"   /* batchId and Idempotency-Key of /ingest */
#define KEY_KIND_WEBHOOK "w" /* text is "<provider>:<delivery id>" */

/** Appends the full key to `out`. */
void request_key_write(struct buf *out, const char *kind, struct slice namespace_name,
                       struct slice text);

#endif
