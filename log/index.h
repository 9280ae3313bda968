/*
 * log/index.h: index files on disk. Private to log/; used through log/segment.h.
 *
 * .index: entries of 8 bytes, big-endian: offset - base (int32), position (int32). The offset is
 * the last one of the batch that begins at that position. .timeindex: entries of 12 bytes:
 * timestamp in ms (int64), offset - base (int32): the greatest timestamp up to there and the last
 * offset of the batch that has it; both rise. (Kafka's OffsetIndex and TimeIndex; its
 * DumpLogSegments checks both.)
 */
#ifndef LOG_INDEX_H
#define LOG_INDEX_H

#include "log/segment.h"

/** Opens the index files of a sealed segment if need be; missing or implausible ones are rebuilt.
 */
err_t index_use(struct segment *s) MUST_USE;
/** Rebuilds both files of a sealed segment from its .log. Counted and logged. */
err_t index_rebuild(struct segment *s) MUST_USE;

#endif
