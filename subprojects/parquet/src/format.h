/*
 * format.h: the numbers of parquet.thrift (apache/parquet-format) that both halves use, and the CRC
 * of pages.
 */
#ifndef PARQUET_FORMAT_H
#define PARQUET_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

#define PQ_MAGIC "PAR1"
#define PQ_MAGIC_BYTES 4

enum pq_format_type {
    FORMAT_BOOLEAN = 0,
    FORMAT_INT32 = 1,
    FORMAT_INT64 = 2,
    FORMAT_INT96 = 3,
    FORMAT_FLOAT = 4,
    FORMAT_DOUBLE = 5,
    FORMAT_BYTE_ARRAY = 6,
    FORMAT_FIXED_LEN_BYTE_ARRAY = 7,
};

enum pq_format_repetition { FORMAT_REQUIRED = 0, FORMAT_OPTIONAL = 1, FORMAT_REPEATED = 2 };

enum pq_format_converted {
    CONVERTED_UTF8 = 0,
    CONVERTED_TIMESTAMP_MILLIS = 9,
    CONVERTED_TIMESTAMP_MICROS = 10,
    CONVERTED_JSON = 19,
};

/* Field numbers of the unions LogicalType and TimeUnit. */
enum pq_format_logical {
    LOGICAL_STRING = 1,
    LOGICAL_TIMESTAMP = 8,
    LOGICAL_JSON = 12,
    LOGICAL_UUID = 14,
};
enum pq_format_time_unit { UNIT_MILLIS = 1, UNIT_MICROS = 2, UNIT_NANOS = 3 };

enum pq_format_encoding {
    ENCODING_PLAIN = 0,
    ENCODING_PLAIN_DICTIONARY = 2,
    ENCODING_RLE = 3,
    ENCODING_BIT_PACKED = 4,
    ENCODING_DELTA_BINARY_PACKED = 5,
    ENCODING_DELTA_LENGTH_BYTE_ARRAY = 6,
    ENCODING_DELTA_BYTE_ARRAY = 7,
    ENCODING_RLE_DICTIONARY = 8,
    ENCODING_BYTE_STREAM_SPLIT = 9,
};

enum pq_format_codec {
    CODEC_UNCOMPRESSED = 0,
    CODEC_SNAPPY = 1,
    CODEC_GZIP = 2,
    CODEC_ZSTD = 6,
    CODEC_LZ4_RAW = 7,
};

enum pq_format_page {
    PAGE_DATA = 0,
    PAGE_INDEX = 1,
    PAGE_DICTIONARY = 2,
    PAGE_DATA_V2 = 3,
};

enum pq_format_order { ORDER_UNORDERED = 0, ORDER_ASCENDING = 1, ORDER_DESCENDING = 2 };

/** The crc of a PageHeader: CRC-32 (of gzip) of the page's bytes as they lie in the file, without
 * the header; for a v2 page that includes its levels. */
static inline uint32_t pq_page_crc(const uint8_t *data, size_t len)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), data, len);
}

#endif
