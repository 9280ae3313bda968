/*
 * ingest/decode.h: Content-Encoding of request bodies (RFC 9110 8.4; gzip RFC 1952, deflate RFC
 * 1950, zstd RFC 8878 and 9659), undone piece by piece in bounded memory. Private to ingest/.
 *
 * Owner: one thread. Order: decoder_new, decoder_feed*, decoder_end, decoder_free.
 */
#ifndef INGEST_DECODE_H
#define INGEST_DECODE_H

#include "base/base.h"
#include "base/err.h"

enum body_coding { CODING_IDENTITY, CODING_GZIP, CODING_DEFLATE, CODING_ZSTD };

/** Reads a Content-Encoding header; data == NULL is identity. ERR_UNSUPPORTED_MEDIA_TYPE for one
 * that is not known, or for more than one. */
err_t body_coding_parse(struct slice header, enum body_coding *ret_coding) MUST_USE;

#define DECODER_WINDOW_BYTES KIB(64) /* of the buffer that callers lend */

struct decoder;
/** NULL for identity. */
struct decoder *decoder_new(enum body_coding coding);
void decoder_free(struct decoder *d);
/** Memory that it holds now, for accounting. */
size_t decoder_bytes(const struct decoder *d);

/** Takes decoded bytes; an error stops the decoding and is handed on. */
struct decoder_sink {
    err_t (*take)(struct decoder_sink *sink, const char *data, size_t len);
};
/** Decodes a piece and hands on the result in pieces of at most DECODER_WINDOW_BYTES, made in
 * `window`, which is borrowed for the call. ERR_VALIDATION for data that is not of this coding. */
err_t decoder_feed(struct decoder *d, const char *data, size_t len, char *window,
                   struct decoder_sink *sink) MUST_USE;
/** ERR_VALIDATION when the compressed data is cut short. */
err_t decoder_end(struct decoder *d) MUST_USE;

#endif
