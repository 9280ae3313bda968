/*
 * tests/fuzz/decode_fuzz.c: compressed request bodies. In pieces and at once they decode to the
 * same bytes and the same verdict, and the sink's limit stops the decoder. Input: one byte of
 * coding, one byte that says how to cut, the body. Covers: ingest/decode.c
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "ingest/decode.h"

#define DECODED_MAX MIB(1)

struct collector {
    struct decoder_sink sink;
    struct hash_stream *hash;
    size_t len;
};

static err_t take(struct decoder_sink *sink, const char *data, size_t len)
{
    struct collector *c = CONTAINER_OF(sink, struct collector, sink);
    ASSERT(len > 0 && len <= DECODER_WINDOW_BYTES);
    hash_stream_add(c->hash, data, len);
    c->len += len;
    return c->len > DECODED_MAX ? ERR_PAYLOAD_TOO_LARGE : OK;
}

struct outcome {
    err_t err;
    size_t len;
    uint64_t hash;
};

static struct outcome decode(enum body_coding coding, const uint8_t *data, size_t size,
                             size_t piece)
{
    static char window[DECODER_WINDOW_BYTES];
    struct collector c = {.sink = {take}, .hash = hash_stream_new()};
    struct decoder *d = decoder_new(coding);
    err_t err = OK;
    for (size_t at = 0; err == OK && at < size; at += piece) {
        size_t n = MIN(piece, size - at);
        char *copy = malloc(n);
        ASSERT(copy != NULL);
        memcpy(copy, data + at, n);
        err = decoder_feed(d, copy, n, window, &c.sink);
        free(copy);
    }
    ASSERT(err != OK || c.len <= DECODED_MAX);
    if (err == OK)
        err = decoder_end(d);
    struct outcome o = {err, c.len, hash_stream_value(c.hash)};
    hash_stream_free(c.hash);
    decoder_free(d);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum body_coding codings[] = {CODING_GZIP, CODING_DEFLATE, CODING_ZSTD};
    if (size < 3)
        return 0;
    enum body_coding coding = codings[data[0] % ARRAY_LEN(codings)];
    size_t piece = (size_t)data[1] + 1;
    struct outcome whole = decode(coding, data + 2, size - 2, size);
    struct outcome cut = decode(coding, data + 2, size - 2, piece);
    /* libzstd compares a frame's length with what its header says only where it sees all of it. */
    ASSERT(whole.err == cut.err || coding == CODING_ZSTD);
    if (whole.err == OK && cut.err == OK)
        ASSERT(whole.len == cut.len && whole.hash == cut.hash);
    return 0;
}
