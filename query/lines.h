/*
 * query/lines.h: documents and changes as lines of JSON. Private to query/.
 */
#ifndef QUERY_LINES_H
#define QUERY_LINES_H

#include "base/buf.h"
#include "base/io.h"
#include "cdc/state.h"

/** {"id":…,"doc":…,"lsn":…,"ts":…} and a line end, as `spillway restore` writes it. */
void line_document(struct buf *out, const struct state_doc *doc);
/** {"lsn":…,"op":…,"docId":…,"ts":…, …} and a line end. */
void line_change(struct buf *out, const struct change *c);
const char *change_op_name(enum change_op op);
/** `,"name":"time"` */
void json_time(struct buf *out, const char *name, int64_t us);

#endif
