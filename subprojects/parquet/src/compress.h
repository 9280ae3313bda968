/*
 * compress.h: the codecs of pages, in both directions.
 *
 * Format: Compression.md of apache/parquet-format. LZ4_RAW is the bare block, GZIP is RFC 1952
 * (several members may follow each other), ZSTD is RFC 8878 frames, SNAPPY the raw format.
 */
#ifndef PARQUET_COMPRESS_H
#define PARQUET_COMPRESS_H

#include "buf.h"

/** The state that codecs keep from page to page; zero-initialized, made when first needed. */
struct pq_codecs {
    void *zstd_compress;   /* ZSTD_CCtx, owned */
    int zstd_level;        /* which that context was set to */
    void *zstd_decompress; /* ZSTD_DCtx, owned */
    void *gzip;            /* z_stream of the compressor, owned */
};

void pq_codecs_release(struct pq_codecs *c);

/** The name as people write it. */
const char *pq_codec_name(enum pq_codec codec);

/** Appends the compressed form of `len` bytes, at most INT32_MAX of them. `level` as in
 * pq_write_options, already set. PQ_LIMIT when memory is gone. */
int pq_compress(struct pq_codecs *c, enum pq_codec codec, int level, const uint8_t *data,
                size_t len, struct pq_buf *out, struct pq_error *err);

/** Fills exactly out_len bytes, whatever the data claims; PQ_CORRUPT when it holds fewer or more.
 */
int pq_decompress(struct pq_codecs *c, enum pq_codec codec, const uint8_t *data, size_t len,
                  uint8_t *out, size_t out_len, struct pq_error *err);

/** The crc of a PageHeader: CRC-32 (of gzip) of the page's bytes as they lie in the file, without
 * the header; for a v2 page that includes its levels. */
uint32_t pq_page_crc(const uint8_t *data, size_t len);

#endif
