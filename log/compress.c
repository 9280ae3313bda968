/*
 * log/compress.c: the codecs of record batches, decompression only (writer/builder.c compresses).
 *
 * gzip: RFC 1952. lz4: LZ4 frame format 1.6. zstd: RFC 8878. snappy: the raw format, or Java
 * clients' framing (org.xerial.snappy: magic 82 "SNAPPY" 00, two int32 versions, then
 * int32-prefixed raw blocks). Output is bounded by max_bytes, whatever the data claims.
 */
#include <lz4frame.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "base/limits.h"
#include "log/batch.h"

#define STEP_BYTES KIB(64)

static err_t bad_data(const char *codec)
{
    return err_fail(ERR_CORRUPT_MESSAGE, "records do not decompress as %s", codec);
}

/** Room for the next step of output, or an error above the bound (one byte more is tried, so that
 *  exactly max_bytes pass). */
static err_t make_room(struct buf *out, size_t start, size_t max_bytes, char **ret_at,
                       size_t *ret_room)
{
    size_t used = out->len - start;
    if (used > max_bytes)
        return err_fail(ERR_MESSAGE_TOO_LARGE, "records decompress to more than %zu bytes",
                        max_bytes);
    *ret_room = MIN((size_t)STEP_BYTES, max_bytes - used + 1);
    *ret_at = buf_reserve(out, *ret_room);
    return OK;
}

static err_t gunzip(const void *data, size_t len, size_t max_bytes, struct buf *out)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)len};
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return err_fail(ERR_NO_MEMORY, "zlib could not start");
    size_t start = out->len;
    int rc = Z_OK;
    err_t err = OK;
    while (rc != Z_STREAM_END) {
        char *at = NULL;
        size_t room = 0;
        err = make_room(out, start, max_bytes, &at, &room);
        if (err != OK)
            break;
        z.next_out = (Bytef *)at;
        z.avail_out = (uInt)room;
        rc = inflate(&z, Z_NO_FLUSH);
        out->len += room - z.avail_out;
        if ((rc != Z_OK && rc != Z_STREAM_END) ||
            (rc == Z_OK && z.avail_in == 0 && z.avail_out != 0)) {
            err = bad_data("gzip");
            break;
        }
    }
    inflateEnd(&z);
    return err;
}

static err_t lz4_frame(const void *data, size_t len, size_t max_bytes, struct buf *out)
{
    LZ4F_dctx *ctx = NULL;
    if (LZ4F_isError(LZ4F_createDecompressionContext(&ctx, LZ4F_VERSION)))
        return err_fail(ERR_NO_MEMORY, "lz4 could not start");
    const char *in = data;
    size_t start = out->len;
    size_t hint = 1;
    err_t err = OK;
    while (hint != 0) {
        char *at = NULL;
        size_t room = 0, took = len;
        err = make_room(out, start, max_bytes, &at, &room);
        if (err != OK)
            break;
        hint = LZ4F_decompress(ctx, at, &room, in, &took, NULL);
        if (LZ4F_isError(hint) || (hint != 0 && took == 0 && room == 0)) {
            err = bad_data("lz4");
            break;
        }
        out->len += room;
        in += took;
        len -= took;
    }
    LZ4F_freeDecompressionContext(ctx);
    return err;
}

static err_t zstd_stream(const void *data, size_t len, size_t max_bytes, struct buf *out)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (stream == NULL)
        return err_fail(ERR_NO_MEMORY, "zstd could not start");
    /* Frames that ask for a window above 8 MiB could not have been made from a legal batch. */
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 23);
    ZSTD_inBuffer in = {data, len, 0};
    size_t start = out->len;
    size_t left = 1;
    err_t err = OK;
    while (left != 0) {
        char *at = NULL;
        size_t room = 0;
        err = make_room(out, start, max_bytes, &at, &room);
        if (err != OK)
            break;
        ZSTD_outBuffer to = {at, room, 0};
        left = ZSTD_decompressStream(stream, &to, &in);
        out->len += to.pos;
        if (ZSTD_isError(left) || (left != 0 && in.pos == in.size && to.pos < room)) {
            err = bad_data("zstd");
            break;
        }
    }
    ZSTD_freeDStream(stream);
    return err;
}

static err_t snappy_block(const char *data, size_t len, size_t max_bytes, size_t start,
                          struct buf *out)
{
    size_t plain;
    if (snappy_uncompressed_length(data, len, &plain) != SNAPPY_OK)
        return bad_data("snappy");
    if (plain > max_bytes - (out->len - start))
        return err_fail(ERR_MESSAGE_TOO_LARGE, "records decompress to more than %zu bytes",
                        max_bytes);
    if (plain == 0)
        return OK;
    /* The length is a claim: raw snappy expands at most about 21 times, so memory follows the
     * input. */
    if (plain / 64 > len)
        return bad_data("snappy");
    if (snappy_uncompress(data, len, buf_reserve(out, plain), &plain) != SNAPPY_OK)
        return bad_data("snappy");
    out->len += plain;
    return OK;
}

static err_t snappy_any(const void *data, size_t len, size_t max_bytes, struct buf *out)
{
    static const char magic[] = {(char)0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0};
    size_t start = out->len;
    if (len < 16 || memcmp(data, magic, sizeof(magic)) != 0)
        return snappy_block(data, len, max_bytes, start, out);
    struct cursor c = cursor_of(data, len);
    (void)cursor_bytes(&c, 16);
    while (cursor_left(&c) > 0) {
        uint32_t block = cursor_u32(&c);
        const uint8_t *at = cursor_bytes(&c, block);
        if (!cursor_ok(&c))
            return bad_data("snappy");
        TRY(snappy_block((const char *)at, block, max_bytes, start, out));
    }
    return OK;
}

err_t batch_decompress(enum batch_codec codec, const void *data, size_t len, size_t max_bytes,
                       struct buf *out)
{
    ASSERT(len <= LIMIT_BATCH_BYTES);
    size_t start = out->len;
    err_t err;
    switch (codec) {
    case BATCH_CODEC_NONE:
        buf_append(out, data, len);
        err = OK;
        break;
    case BATCH_CODEC_GZIP:
        err = gunzip(data, len, max_bytes, out);
        break;
    case BATCH_CODEC_SNAPPY:
        err = snappy_any(data, len, max_bytes, out);
        break;
    case BATCH_CODEC_LZ4:
        err = lz4_frame(data, len, max_bytes, out);
        break;
    case BATCH_CODEC_ZSTD:
        err = zstd_stream(data, len, max_bytes, out);
        break;
    default:
        return err_fail(ERR_UNSUPPORTED_COMPRESSION, "unknown compression type %d", (int)codec);
    }
    if (err == OK && out->len - start > max_bytes)
        err =
            err_fail(ERR_MESSAGE_TOO_LARGE, "records decompress to more than %zu bytes", max_bytes);
    return err;
}
