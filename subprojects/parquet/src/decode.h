/*
 * decode.h: the values of a page, some at a time.
 *
 * Format: https://github.com/apache/parquet-format/blob/master/Encodings.md
 *
 * A decoder is a cursor: it holds no memory but (DELTA_BYTE_ARRAY) its last value and gives as
 * many values per call as asked for, so a page that says "two billion times the same" costs
 * nothing. Byte arrays are slices of the page or of the dictionary. Nothing in the input is
 * believed: a decoder reads only within [data, data + len) and fails once that does not suffice.
 */
#ifndef PARQUET_SRC_DECODE_H
#define PARQUET_SRC_DECODE_H

#include "common.h"
#include "mem.h"

/** RLE / bit-packing hybrid: levels, dictionary indexes, booleans. */
struct hybrid {
    const uint8_t *at, *end;
    unsigned width; /* bits, 0 to 32 */
    uint64_t repeat_left;
    uint32_t repeat_value;
    uint64_t packed_left;
    const uint8_t *packed;
    uint64_t packed_bit;
};

void pq_hybrid_init(struct hybrid *h, const uint8_t *data, size_t len, unsigned width);
/** Fills out[0..count); false where the input ends before. */
bool pq_hybrid_read(struct hybrid *h, uint32_t *out, size_t count);
/** How many of the next `count` values of width 1 are 1: by runs, not by values. `h` is a copy. */
bool pq_hybrid_count_ones(struct hybrid h, uint64_t count, uint64_t *ret);

/** DELTA_BINARY_PACKED. */
struct delta {
    const uint8_t *at, *end;
    uint64_t values_left; /* not yet given, the first one included */
    uint64_t last;        /* what the next call gives first */
    uint64_t min_delta;
    const uint8_t *widths; /* of the block's miniblocks */
    uint32_t miniblocks, per_miniblock;
    uint32_t miniblock;    /* index of the current one */
    uint32_t in_miniblock; /* deltas of it that are left */
    uint64_t bit;          /* position in the current miniblock, which begins at `at` */
};

bool pq_delta_init(struct delta *d, const uint8_t *data, size_t len);
bool pq_delta_read(struct delta *d, int64_t *out, size_t count);
/** Where the encoded values end, found without decoding them; NULL for a broken input. */
const uint8_t *pq_delta_end(const uint8_t *data, size_t len);

/** The values of a dictionary page, in order. */
struct dictionary {
    struct pq_value *values;
    uint32_t count;
};

struct decoder {
    enum pq_type type;
    enum format_encoding encoding;
    const uint8_t *at,
        *end;     /* PLAIN; the bytes of DELTA_LENGTH and the suffixes of DELTA_BYTE_ARRAY */
    unsigned bit; /* PLAIN booleans: of *at */
    struct hybrid hybrid;
    struct delta delta;    /* the integers, or the lengths */
    struct delta prefixes; /* DELTA_BYTE_ARRAY */
    const struct dictionary *dictionary;
    struct mem_buf
        *last; /* the last value, where the page does not hold it in one piece; borrowed */
    uint32_t last_len;
    uint32_t stride, given; /* BYTE_STREAM_SPLIT: values in the page, and how many were given */
};

/** Begins with `count` values of a page. `encoding` is a number from the file. `dictionary` may be
 * NULL. PQ_UNSUPPORTED for an encoding that is not read for this type. */
int pq_decoder_init(struct decoder *d, struct pq_bytes page, uint32_t count, int32_t encoding,
                    struct pq_error *err);
/** How many values a call may ask for at most: 1 where a value is overwritten by the next. */
size_t pq_decoder_batch_max(const struct decoder *d, size_t want);
/** Values into out[0..count), their `null` false. PQ_CORRUPT, PQ_LIMIT. */
int pq_decoder_read(struct decoder *d, struct pq_value *out, size_t count, struct pq_error *err);
/** After the page's last value: whether all of the page was used. */
bool pq_decoder_is_spent(const struct decoder *d);

#endif
