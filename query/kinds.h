/*
 * query/kinds.h: what can be asked. Private to query/.
 */
#ifndef QUERY_KINDS_H
#define QUERY_KINDS_H

#include "query/op.h"

/* state.c */
extern const struct query_kind state_kind;    /* the documents of a collection, NDJSON */
extern const struct query_kind document_kind; /* one of them */

/* changes.c */
extern const struct query_kind changes_kind; /* of a collection, from an LSN on; long poll */
extern const struct query_kind history_kind; /* of a document */

/* snapshots.c */
extern const struct query_kind snapshot_list_kind;
extern const struct query_kind snapshot_create_kind;
extern const struct query_kind collections_kind;
extern const struct query_kind flush_kind;

/* cleanup.c */
extern const struct query_kind snapshot_cleanup_kind;
extern const struct query_kind snapshot_delete_kind;

/* compact.c */
extern const struct query_kind compact_kind;

/* restore.c */
extern const struct query_kind restore_kind; /* dry run, or in place */

#endif
