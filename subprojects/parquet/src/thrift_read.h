/*
 * thrift_read.h: Thrift's compact protocol, as Parquet's footer and page headers use it.
 *
 * Format: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
 *
 * A cursor over bytes that nobody vouches for. A failure is sticky: every later read gives zero and
 * every loop ends, so a caller reads a whole struct and then looks at `failed` once. Nothing is
 * allocated; binaries are borrowed from the input. A list's count never exceeds the bytes that are
 * left, and unknown fields are skipped to a bounded depth.
 */
#ifndef PARQUET_SRC_THRIFT_READ_H
#define PARQUET_SRC_THRIFT_READ_H

#include "parquet.h"

enum thrift_type {
    THRIFT_STOP = 0,
    THRIFT_TRUE = 1, /* as a field; as a list's element type either 1 or 2 means bool */
    THRIFT_FALSE = 2,
    THRIFT_BYTE = 3,
    THRIFT_I16 = 4,
    THRIFT_I32 = 5,
    THRIFT_I64 = 6,
    THRIFT_DOUBLE = 7,
    THRIFT_BINARY = 8,
    THRIFT_LIST = 9,
    THRIFT_SET = 10,
    THRIFT_MAP = 11,
    THRIFT_STRUCT = 12,
    THRIFT_UUID = 13,
};

struct thrift {
    const uint8_t *at, *end;
    bool failed;
    bool short_input; /* it failed because the bytes ended: more of them might mend it */
};

/** A struct's current field; zeroed before the first. */
struct thrift_field {
    int16_t id;
    uint8_t type;
};

void pq_thrift_init(struct thrift *t, const void *data, size_t len);
/** Steps to the next field of a struct; false at its end and after a failure. */
bool pq_thrift_next(struct thrift *t, struct thrift_field *f);
/** The current field's value. Each fails where the field has another type. */
bool pq_thrift_bool(struct thrift *t, const struct thrift_field *f);
int32_t pq_thrift_i32(struct thrift *t, const struct thrift_field *f);
int64_t pq_thrift_i64(struct thrift *t, const struct thrift_field *f);
struct pq_bytes pq_thrift_binary(struct thrift *t, const struct thrift_field *f);
/** Enters a list of elements of `type`; the number of them. */
uint32_t pq_thrift_list(struct thrift *t, const struct thrift_field *f, uint8_t type);
/** One element of a list of binaries or bools. Structs are read by pq_thrift_next. */
struct pq_bytes pq_thrift_element_binary(struct thrift *t);
bool pq_thrift_element_bool(struct thrift *t);
/** Requires the current field to be a struct, which pq_thrift_next then reads. */
void pq_thrift_struct(struct thrift *t, const struct thrift_field *f);
/** Passes over the current field. */
void pq_thrift_skip(struct thrift *t, const struct thrift_field *f);

#endif
