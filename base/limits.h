/*
 * base/limits.h: every bound on what a peer, a file or a setting can make the program hold.
 */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#include "base/base.h"

/* log/ and writer/ (docs/architecture.md, "Commit") */
#define LIMIT_BATCH_BYTES MIB(8)      /* one record batch, and so one commit group */
#define LIMIT_GROUP_BYTES MIB(4)      /* of batches that share a commit; a larger one goes alone */
#define LIMIT_GROUP_BATCHES 1000      /* below IOV_MAX (1024) */
#define LIMIT_OPEN_BATCH_BYTES MIB(1) /* a reactor seals its open batch above this */
#define LIMIT_OWN_BATCH_BODY KIB(64)  /* a larger request gets a batch of its own */
#define LIMIT_COMPRESS_MIN 512        /* smaller batches are not compressed */
#define LIMIT_STREAM_NAME 249         /* Kafka's limit on topic names */
#define LIMIT_SHARDS 1024             /* partitions of one stream */
#define LIMIT_STREAMS 10000
#define LIMIT_SEGMENT_MIN_BYTES KIB(64)
#define LIMIT_KEY_BYTES 1024 /* a request key (batchId, Idempotency-Key, delivery id) */
#define LIMIT_PENDING_BYTES_FACTOR                                                                 \
    4 /* hard bound of a shard's queue, times writer.max_pending_bytes */
#define LIMIT_BUILDING_BYTES MIB(512) /* all unfinished requests together */

/* changes of collections, at the doors and where they are read from the log */
#define LIMIT_COLLECTION_BYTES 256 /* a collection's name */
#define LIMIT_DOC_ID_BYTES 1024
#define LIMIT_BOOKMARK_BYTES 1024

/* cdc/ and snapshot/ */
#define LIMIT_MANIFEST_BYTES MIB(16) /* tens of thousands of files */

/* doors */
#define LIMIT_ASKED_BYTES MIB(64) /* bodies of restores and cleanups in work, together */
#define LIMIT_BODY_BYTES_MAX MIB(4)
#define LIMIT_JSON_DEPTH 512
#define LIMIT_HTTP_HEADERS 100
#define LIMIT_HTTP_PIPELINE 64 /* requests of one connection that wait for their replies */
#define LIMIT_HTTP_PIPELINE_BYTES KIB(256) /* replies not yet sent; above, its requests wait */
#define LIMIT_HTTP_URI KIB(8)
/* of a refused body, read so that the connection stays usable */
#define LIMIT_HTTP_DROP_BYTES MIB(1)
#define LIMIT_KAFKA_REQUEST_BYTES MIB(100)     /* a Produce request */
#define LIMIT_KAFKA_SMALL_REQUEST_BYTES MIB(4) /* any other request */
#define LIMIT_KAFKA_REQUEST_ITEMS 50000        /* topics and partitions named by one request */
#define LIMIT_KAFKA_BUFFERED_BYTES MIB(512)    /* incomplete requests of all connections */
#define LIMIT_KAFKA_PIPELINE 256               /* requests of one connection in work */
#define LIMIT_KAFKA_FETCH_BYTES MIB(64)

#endif
