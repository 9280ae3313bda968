/*
 * cli/change_output.h: a change as one line, for people or as JSON.
 */
#ifndef CLI_CHANGE_OUTPUT_H
#define CLI_CHANGE_OUTPUT_H

#include "base/buf.h"
#include "cdc/change.h"

/** {"lsn":…,"op":…,"docId":…,"ts":…,"doc":…, …} and a line end. */
void change_output_json(struct buf *out, const struct change *c);
/** LSN, time, op, id, document. */
void change_output_text(struct buf *out, const struct change *c);

#endif
