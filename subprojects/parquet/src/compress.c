/* compress.c: see compress.h. Every codec writes into room whose size is known beforehand. */
#include "compress.h"

#include <lz4.h>
#include <snappy-c.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define GZIP_WINDOW (15 + 16) /* zlib's largest window, with gzip's header and trailer */

const char *pq_codec_name(enum pq_codec codec)
{
    static const char *const names[] = {[PQ_NONE] = "none",
                                        [PQ_SNAPPY] = "snappy",
                                        [PQ_GZIP] = "gzip",
                                        [PQ_ZSTD] = "zstd",
                                        [PQ_LZ4_RAW] = "lz4_raw"};
    return (size_t)codec < sizeof(names) / sizeof(names[0]) ? names[codec] : "unknown";
}

void pq_codecs_release(struct pq_codecs *c)
{
    ZSTD_freeCCtx(c->zstd_compress);
    ZSTD_freeDCtx(c->zstd_decompress);
    if (c->gzip != NULL)
        deflateEnd(c->gzip);
    free(c->gzip);
    *c = (struct pq_codecs){0};
}

static int out_of_memory(enum pq_codec codec, struct pq_error *err)
{
    return pq_fail(err, PQ_LIMIT, "out of memory for %s", pq_codec_name(codec));
}

/* Each compressor gets room for the worst case and returns the bytes it used, 0 for a failure. */

static size_t zstd_pack(struct pq_codecs *c, int level, const uint8_t *data, size_t len,
                        uint8_t *out, size_t room)
{
    if (c->zstd_compress == NULL || c->zstd_level != level) {
        if (c->zstd_compress == NULL && (c->zstd_compress = ZSTD_createCCtx()) == NULL)
            return 0;
        if (ZSTD_isError(ZSTD_CCtx_setParameter(c->zstd_compress, ZSTD_c_compressionLevel, level)))
            return 0;
        c->zstd_level = level;
    }
    size_t n = ZSTD_compress2(c->zstd_compress, out, room, data, len);
    return ZSTD_isError(n) ? 0 : n;
}

/** The deflate stream of this level, made at first use. */
static z_stream *gzip_stream(struct pq_codecs *c, int level)
{
    z_stream *z = c->gzip;
    if (z != NULL)
        return deflateReset(z) == Z_OK && deflateParams(z, level, Z_DEFAULT_STRATEGY) == Z_OK
                   ? z
                   : NULL;
    z = calloc(1, sizeof(*z));
    if (z == NULL ||
        deflateInit2(z, level, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(z);
        return NULL;
    }
    c->gzip = z;
    return z;
}

static size_t gzip_pack(struct pq_codecs *c, int level, const uint8_t *data, size_t len,
                        uint8_t *out, size_t room)
{
    z_stream *z = gzip_stream(c, level);
    if (z == NULL)
        return 0;
    z->next_in = (Bytef *)(uintptr_t)data;
    z->avail_in = (uInt)len;
    z->next_out = out;
    z->avail_out = (uInt)room;
    return deflate(z, Z_FINISH) == Z_STREAM_END ? room - z->avail_out : 0;
}

static size_t worst_case(struct pq_codecs *c, enum pq_codec codec, int level, size_t len)
{
    switch (codec) {
    case PQ_SNAPPY:
        return snappy_max_compressed_length(len);
    case PQ_GZIP: {
        z_stream *z = gzip_stream(c, level);
        return z != NULL ? deflateBound(z, (uLong)len) : 0;
    }
    case PQ_ZSTD:
        return ZSTD_compressBound(len);
    case PQ_LZ4_RAW:
        return len <= LZ4_MAX_INPUT_SIZE ? (size_t)LZ4_compressBound((int)len) : 0;
    case PQ_NONE:
        break;
    }
    return len;
}

int pq_compress(struct pq_codecs *c, enum pq_codec codec, int level, const uint8_t *data,
                size_t len, struct pq_buf *out, struct pq_error *err)
{
    if (codec == PQ_NONE) {
        pq_buf_append(out, data, len);
        return pq_buf_check(out, err);
    }
    if (len > INT32_MAX)
        return pq_fail(err, PQ_LIMIT, "a page of %zu bytes is more than Parquet allows", len);
    size_t room = worst_case(c, codec, level, len), used = 0;
    if (room == 0 || !pq_buf_reserve(out, room))
        return out_of_memory(codec, err);
    uint8_t *at = out->data + out->len;
    if (codec == PQ_ZSTD)
        used = zstd_pack(c, level, data, len, at, room);
    else if (codec == PQ_GZIP)
        used = gzip_pack(c, level, data, len, at, room);
    else if (codec == PQ_LZ4_RAW)
        used = (size_t)LZ4_compress_default((const char *)data, (char *)at, (int)len, (int)room);
    else if (snappy_compress((const char *)data, len, (char *)at, &room) == SNAPPY_OK)
        used = room;
    if (used == 0)
        return out_of_memory(codec, err);
    out->len += used;
    return PQ_OK;
}

/** Members that follow each other are one stream (RFC 1952 section 2.2). */
static bool gzip_unpack(const uint8_t *data, size_t len, uint8_t *out, size_t out_len)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data,
                  .avail_in = (uInt)len,
                  .next_out = out,
                  .avail_out = (uInt)out_len};
    if (inflateInit2(&z, GZIP_WINDOW) != Z_OK)
        return false;
    int rc = Z_OK;
    do {
        rc = inflate(&z, Z_FINISH);
    } while (rc == Z_STREAM_END && z.avail_in != 0 && inflateReset(&z) == Z_OK);
    bool whole = rc == Z_STREAM_END && z.avail_in == 0 && z.avail_out == 0;
    inflateEnd(&z);
    return whole;
}

static bool snappy_unpack(const uint8_t *data, size_t len, uint8_t *out, size_t out_len)
{
    size_t n = 0;
    if (snappy_uncompressed_length((const char *)data, len, &n) != SNAPPY_OK || n != out_len)
        return false;
    return snappy_uncompress((const char *)data, len, (char *)out, &n) == SNAPPY_OK && n == out_len;
}

int pq_decompress(struct pq_codecs *c, enum pq_codec codec, const uint8_t *data, size_t len,
                  uint8_t *out, size_t out_len, struct pq_error *err)
{
    uint8_t nothing; /* codecs want somewhere to point to, also for an empty page */
    bool whole = false;
    if (len > INT32_MAX || out_len > INT32_MAX)
        return pq_fail(err, PQ_CORRUPT, "a page of %zu bytes (%zu decompressed)", len, out_len);
    if (out == NULL && out_len == 0)
        out = &nothing;
    switch (codec) {
    case PQ_NONE:
        whole = len == out_len;
        if (whole && len != 0)
            memcpy(out, data, len);
        break;
    case PQ_SNAPPY:
        whole = snappy_unpack(data, len, out, out_len);
        break;
    case PQ_GZIP:
        whole = gzip_unpack(data, len, out, out_len);
        break;
    case PQ_ZSTD:
        if (c->zstd_decompress == NULL && (c->zstd_decompress = ZSTD_createDCtx()) == NULL)
            return out_of_memory(codec, err);
        whole = ZSTD_decompressDCtx(c->zstd_decompress, out, out_len, data, len) == out_len;
        break;
    case PQ_LZ4_RAW:
        whole = LZ4_decompress_safe((const char *)data, (char *)out, (int)len, (int)out_len) ==
                (int)out_len;
        break;
    }
    return whole ? PQ_OK
                 : pq_fail(err, PQ_CORRUPT, "%zu bytes of %s do not decompress to %zu bytes", len,
                           pq_codec_name(codec), out_len);
}

uint32_t pq_page_crc(const uint8_t *data, size_t len)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, len);
}
