/*
 * snapshot/lines.h: documents, changes, snapshots and plans as JSON: what the command line prints
 * and HTTP answers is the same. Any thread.
 */
#ifndef SNAPSHOT_LINES_H
#define SNAPSHOT_LINES_H

#include "base/buf.h"
#include "cdc/state.h"
#include "snapshot/restore.h"
#include "snapshot/snapshot.h"

/** {"id":…,"doc":…,"lsn":…,"ts":…} and a line end. The document's bytes are those that were sent,
 * but for line ends between tokens, which become spaces. */
void line_document(struct buf *out, const struct state_doc *doc);
/** {"lsn":…,"op":…,"docId":…,"ts":…, …} and a line end. */
void line_change(struct buf *out, const struct change *c);
/** For people: LSN, time, op, id, document, and a line end. */
void line_change_text(struct buf *out, const struct change *c);
/** "insert", "update" or "delete". */
const char *change_op_name(enum change_op op);

/** {"name":…,"type":…,"lsn":…,"ts":…,"rowCount":…,"size":…,"path":…,"hash":…}; `lsn` is the last
 * change in it. */
void json_snapshot(struct buf *out, const struct snapshot *s);
/** `,"snapshots":N`; where their list is damaged null and `,"problem":"…"`, so that one damaged
 * collection hides no other. `problem` NULL: it is not. */
void json_snapshot_count(struct buf *out, size_t count, const char *problem);
/** {"dryRun":true,"snapshot":…|null,"deltas":[…],"logRange":[first,last]|null,"inserts":…,
 * "updates":…,"deletes":…}, with json_ids behind; an undo has an empty plan. */
void json_dry_run(struct buf *out, const struct rebuild_plan *plan,
                  const struct restore_counts *counts);

/** Where ids were given: `,"idsFound":…,"idsMissing":[…]`, the first few */
void json_ids(struct buf *out, const struct restore_counts *counts);

/** `,"name":"time"` */
void json_time(struct buf *out, const char *name, int64_t us);
#endif
