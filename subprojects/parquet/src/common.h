/*
 * common.h: what writer and reader share: how an error is recorded, and the numbers of
 * parquet.thrift
 * (https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
 */
#ifndef PARQUET_SRC_COMMON_H
#define PARQUET_SRC_COMMON_H

#include "parquet.h"

#define PQ_MAGIC "PAR1"
#define PQ_MAGIC_LEN 4

/** Records a sentence (err may be NULL) and evaluates to `status`. */
int pq_fail(struct pq_error *err, int status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));

#define PQ_TRY(expr)                                                                               \
    do {                                                                                           \
        int pq_try_ = (expr);                                                                      \
        if (__builtin_expect(pq_try_ != PQ_OK, 0))                                                 \
            return pq_try_;                                                                        \
    } while (0)

enum format_type {
    FORMAT_BOOLEAN = 0,
    FORMAT_INT32 = 1,
    FORMAT_INT64 = 2,
    FORMAT_INT96 = 3,
    FORMAT_FLOAT = 4,
    FORMAT_DOUBLE = 5,
    FORMAT_BYTE_ARRAY = 6,
    FORMAT_FIXED_LEN_BYTE_ARRAY = 7,
};
/** The file's number of each of our types. */
extern const int32_t pq_format_types[PQ_FIXED_16 + 1];

enum format_codec {
    FORMAT_UNCOMPRESSED = 0,
    FORMAT_SNAPPY = 1,
    FORMAT_GZIP = 2,
    FORMAT_LZO = 3,
    FORMAT_BROTLI = 4,
    FORMAT_LZ4 = 5,
    FORMAT_ZSTD = 6,
    FORMAT_LZ4_RAW = 7,
};

enum format_encoding {
    FORMAT_PLAIN = 0,
    FORMAT_PLAIN_DICTIONARY = 2,
    FORMAT_RLE = 3,
    FORMAT_BIT_PACKED = 4,
    FORMAT_DELTA_BINARY_PACKED = 5,
    FORMAT_DELTA_LENGTH_BYTE_ARRAY = 6,
    FORMAT_DELTA_BYTE_ARRAY = 7,
    FORMAT_RLE_DICTIONARY = 8,
    FORMAT_BYTE_STREAM_SPLIT = 9,
};

enum format_page {
    FORMAT_DATA_PAGE = 0,
    FORMAT_DICTIONARY_PAGE = 2,
    FORMAT_DATA_PAGE_V2 = 3,
};

enum format_order { FORMAT_UNORDERED = 0, FORMAT_ASCENDING = 1, FORMAT_DESCENDING = 2 };

enum format_converted {
    FORMAT_CONVERTED_UTF8 = 0,
    FORMAT_CONVERTED_DECIMAL = 5,
    FORMAT_CONVERTED_TIMESTAMP_MILLIS = 9,
    FORMAT_CONVERTED_TIMESTAMP_MICROS = 10,
    FORMAT_CONVERTED_UINT_8 = 11,
    FORMAT_CONVERTED_UINT_64 = 14,
    FORMAT_CONVERTED_JSON = 19,
    FORMAT_CONVERTED_INTERVAL = 21,
};

/* Field numbers of the unions LogicalType and TimeUnit. */
enum format_logical {
    FORMAT_LOGICAL_STRING = 1,
    FORMAT_LOGICAL_DECIMAL = 5,
    FORMAT_LOGICAL_TIMESTAMP = 8,
    FORMAT_LOGICAL_INTEGER = 10,
    FORMAT_LOGICAL_JSON = 12,
    FORMAT_LOGICAL_UUID = 14,
    FORMAT_LOGICAL_FLOAT16 = 15,
};
enum format_time_unit { FORMAT_MILLIS = 1, FORMAT_MICROS = 2 };

enum format_repetition { FORMAT_REQUIRED = 0, FORMAT_OPTIONAL = 1, FORMAT_REPEATED = 2 };

#endif
