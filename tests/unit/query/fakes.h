/*
 * tests/unit/query/fakes.h: what the routes call and these tests do without: an engine that applies
 * the log to the state when it is flushed, and a snapshot/ that restores generated documents.
 */
#ifndef TESTS_UNIT_QUERY_FAKES_H
#define TESTS_UNIT_QUERY_FAKES_H

#include "cdc/cdc.h"

/** So many documents a restore finds to insert: ids "r000000" and so on, absent as it looks. */
extern unsigned fake_restore_docs;
/** Size of each of them. */
extern size_t fake_restore_doc_bytes;
/** The document "b": inserted at 1, an update skipped at 2, deleted at 3; what is below is gone. */
extern int64_t fake_changes_oldest;
/** So many times the file of a snapshot is not what the plan says. */
extern int fake_files_replaced;
/** Called after each of its changes that was taken; NULL: nothing. */
extern void (*fake_changes_taken)(void);

/** Also sets what stands above back. */
void fakes_use(struct log *log, const char *data_dir);

#endif
