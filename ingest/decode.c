/*
 * gzip and deflate by zlib, zstd by libzstd, both as streams: output appears in a window of 64 KiB
 * at a time, so the caller's limit on the decoded size stops a bomb after that many bytes.
 *
 * Several gzip members or zstd frames behind each other are one body, as their formats say. A zstd
 * frame may ask for a window of 8 MiB at most (RFC 9659 section 3).
 */
#include "ingest/decode.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#define ZSTD_WINDOW_LOG_MAX 23
#define ZLIB_STATE_BYTES KIB(44) /* what zlib's documentation says that inflate holds */

struct decoder {
    enum body_coding coding;
    uint64_t consumed; /* compressed bytes, for error sentences */
    bool at_boundary;  /* between members or frames: the input may end here */
    z_stream zlib;
    ZSTD_DCtx *zstd;
};

err_t body_coding_parse(struct slice header, enum body_coding *ret_coding)
{
    static const struct {
        const char *name;
        enum body_coding coding;
    } known[] = {{"identity", CODING_IDENTITY}, {"", CODING_IDENTITY},       {"gzip", CODING_GZIP},
                 {"x-gzip", CODING_GZIP},       {"deflate", CODING_DEFLATE}, {"zstd", CODING_ZSTD}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++) {
        if (slice_equal_nocase(header, slice_of(known[i].name))) {
            *ret_coding = known[i].coding;
            return OK;
        }
    }
    return err_fail(ERR_UNSUPPORTED_MEDIA_TYPE,
                    "Content-Encoding \"%.*s\" is not supported: use gzip, zstd, deflate or none",
                    (int)MIN(header.len, 60), header.data);
}

struct decoder *decoder_new(enum body_coding coding)
{
    if (coding == CODING_IDENTITY)
        return NULL;
    struct decoder *d = xcalloc(1, sizeof(*d));
    d->coding = coding;
    if (coding == CODING_ZSTD) {
        d->zstd = ZSTD_createDCtx();
        ASSERT(d->zstd != NULL);
        size_t set = ZSTD_DCtx_setParameter(d->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
        ASSERT(!ZSTD_isError(set));
        return d;
    }
    int bits = coding == CODING_GZIP ? MAX_WBITS + 16 : MAX_WBITS;
    ASSERT(inflateInit2(&d->zlib, bits) == Z_OK);
    return d;
}

void decoder_free(struct decoder *d)
{
    if (d == NULL)
        return;
    if (d->coding == CODING_ZSTD)
        (void)ZSTD_freeDCtx(d->zstd);
    else
        (void)inflateEnd(&d->zlib);
    free(d);
}

size_t decoder_bytes(const struct decoder *d)
{
    return d->coding == CODING_ZSTD ? ZSTD_sizeof_DCtx(d->zstd) : ZLIB_STATE_BYTES;
}

static const char *coding_name(const struct decoder *d)
{
    return d->coding == CODING_ZSTD ? "zstd" : d->coding == CODING_GZIP ? "gzip" : "deflate";
}

static err_t fail_data(const struct decoder *d, const char *why)
{
    return err_fail(ERR_VALIDATION, "the body is no valid %s data at compressed byte %llu: %s",
                    coding_name(d), (unsigned long long)d->consumed, why);
}

/** One call of zlib; *ret_made bytes are in the window. */
static err_t inflate_step(struct decoder *d, const char **at, size_t *left, char *window,
                          size_t *ret_made)
{
    union {
        const char *in;
        Bytef *out; /* zlib only reads, but its interface does not say so */
    } input = {.in = *at};
    d->zlib.next_in = input.out;
    d->zlib.avail_in = (uInt)*left;
    d->zlib.next_out = (Bytef *)window;
    d->zlib.avail_out = (uInt)DECODER_WINDOW_BYTES;
    int rc = inflate(&d->zlib, Z_NO_FLUSH);
    size_t used = *left - d->zlib.avail_in;
    *at += used;
    *left -= used;
    d->consumed += used;
    *ret_made = DECODER_WINDOW_BYTES - d->zlib.avail_out;
    d->at_boundary = rc == Z_STREAM_END;
    if (rc == Z_STREAM_END && *left > 0) {
        if (d->coding != CODING_GZIP)
            return fail_data(d, "more bytes behind its end");
        (void)inflateReset(&d->zlib);
    }
    if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR)
        return fail_data(d, d->zlib.msg == NULL ? "malformed" : d->zlib.msg);
    return OK;
}

static err_t unzstd_step(struct decoder *d, const char **at, size_t *left, char *window,
                         size_t *ret_made)
{
    ZSTD_inBuffer in = {*at, *left, 0};
    ZSTD_outBuffer out = {window, DECODER_WINDOW_BYTES, 0};
    size_t rc = ZSTD_decompressStream(d->zstd, &out, &in);
    *at += in.pos;
    *left -= in.pos;
    d->consumed += in.pos;
    *ret_made = out.pos;
    if (ZSTD_isError(rc))
        return fail_data(d, ZSTD_getErrorName(rc));
    d->at_boundary = rc == 0;
    return OK;
}

err_t decoder_feed(struct decoder *d, const char *data, size_t len, char *window,
                   struct decoder_sink *sink)
{
    size_t left = len;
    size_t made = 0;
    if (len == 0)
        return OK;
    if (d->at_boundary && d->coding != CODING_ZSTD) {
        if (d->coding != CODING_GZIP)
            return fail_data(d, "more bytes behind its end");
        (void)inflateReset(&d->zlib);
    }
    /* A full window may mean that more output is waiting without more input. */
    while (left > 0 || (made == DECODER_WINDOW_BYTES && !d->at_boundary)) {
        size_t before = left;
        if (d->coding == CODING_ZSTD)
            TRY(unzstd_step(d, &data, &left, window, &made));
        else
            TRY(inflate_step(d, &data, &left, window, &made));
        if (made > 0)
            TRY(sink->take(sink, window, made));
        if (made == 0 && left == before)
            break;
    }
    return OK;
}

err_t decoder_end(struct decoder *d)
{
    if (!d->at_boundary)
        return fail_data(d, "it is cut short");
    return OK;
}
