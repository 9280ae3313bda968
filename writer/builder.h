/*
 * writer/builder.h: builds one record batch from events, record by record.
 *
 * Values are stored byte for byte. Records are compressed as one LZ4 frame (lz4_frame.h): each
 * block as soon as it is full after builder_stream, else at the seal. Below LIMIT_COMPRESS_MIN
 * bytes nothing is compressed.
 *
 * Owner: one thread (a reactor). Order: new (stream? (add | mark | truncate | attach_key)* seal)*
 * free.
 */
#ifndef WRITER_BUILDER_H
#define WRITER_BUILDER_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "log/batch.h"
#include "writer/writer.h"

struct builder;

struct event_record {
    int64_t ts_ms;
    struct slice key;      /* data == NULL: null */
    struct slice value[3]; /* concatenated; unused ones have len 0 */
    struct slice type;     /* header "type"; data == NULL: none */
    struct slice source;   /* header "source"; data == NULL: none */
    bool plain;            /* known to be no change of a collection */
};

/** A place in the batch that a failed request can be cut back to. */
struct builder_mark {
    size_t bytes;
    uint32_t count;
    int64_t max_ts_ms;
    bool plain;
};

/** `codec` is BATCH_CODEC_LZ4 or BATCH_CODEC_NONE. */
struct builder *builder_new(enum batch_codec codec);
void builder_free(struct builder *b);
/** Empties it for the next batch; keeps its memory. */
void builder_reset(struct builder *b);

/** ERR_MESSAGE_TOO_LARGE when the batch would exceed LIMIT_BATCH_BYTES; the batch is unchanged
 * then. */
err_t builder_add(struct builder *b, const struct event_record *rec) MUST_USE;
uint32_t builder_count(const struct builder *b);
/** Uncompressed bytes so far. */
size_t builder_bytes(const struct builder *b);
struct builder_mark builder_mark(const struct builder *b);
/** Drops the records after `mark`. For batches without builder_stream. */
void builder_truncate(struct builder *b, struct builder_mark mark);
/** Until the seal or a reset, blocks are compressed as records fill them: for batches that grow
 * large. */
void builder_stream(struct builder *b);
/** Puts the header "spillway-key" (docs/format.md) on the last record and marks the batch as keyed.
 *  `count` is the number of events of that request. ERR_MESSAGE_TOO_LARGE as builder_add. */
err_t builder_attach_key(struct builder *b, struct slice key, uint32_t count,
                         uint64_t body_hash) MUST_USE;
/** Finishes: header, CRC. *ret_data is malloc'd and owned by the caller; the builder is reset.
 *  At least one record must be in it. */
void builder_seal(struct builder *b, uint8_t **ret_data, uint32_t *ret_len, uint32_t *ret_count);

#endif
