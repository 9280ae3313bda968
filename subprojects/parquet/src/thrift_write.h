/*
 * thrift_write.h: Thrift's compact protocol, the side that writes.
 *
 * Format: https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
 *
 * Fields are put in ascending order of their ids. Elements of a list follow pq_thrift_put_list as
 * bare pq_buf_zigzag (i32, i64), pq_thrift_put_bytes (binary), pq_thrift_put_element_bool, or
 * pq_thrift_put_begin … pq_thrift_put_end (struct). What failed shows in the buffer (buf.h).
 */
#ifndef PARQUET_THRIFT_WRITE_H
#define PARQUET_THRIFT_WRITE_H

#include "buf.h"
#include "thrift_read.h"

#define THRIFT_PUT_DEPTH 8

struct thrift_put {
    struct pq_buf *out;             /* borrowed */
    int16_t last[THRIFT_PUT_DEPTH]; /* the last field id of each struct that is open */
    unsigned depth;                 /* 0: the outermost struct, which is open from the start */
};

/** A struct inside a list, or, by pq_thrift_put_struct, as a field. Each is ended. */
void pq_thrift_put_begin(struct thrift_put *t);
void pq_thrift_put_struct(struct thrift_put *t, int16_t id);
void pq_thrift_put_end(struct thrift_put *t);

void pq_thrift_put_bool(struct thrift_put *t, int16_t id, bool value);
void pq_thrift_put_i16(struct thrift_put *t, int16_t id, int16_t value);
void pq_thrift_put_i32(struct thrift_put *t, int16_t id, int32_t value);
void pq_thrift_put_i64(struct thrift_put *t, int16_t id, int64_t value);
void pq_thrift_put_binary(struct thrift_put *t, int16_t id, const void *data, size_t len);
void pq_thrift_put_text(struct thrift_put *t, int16_t id, const char *text);
void pq_thrift_put_list(struct thrift_put *t, int16_t id, enum thrift_type elements, size_t count);
/** An empty struct: the members of Thrift's unions that only say which. */
void pq_thrift_put_empty(struct thrift_put *t, int16_t id);

/** Elements of lists. */
void pq_thrift_put_bytes(struct pq_buf *out, const void *data, size_t len);
void pq_thrift_put_element_bool(struct pq_buf *out, bool value);

#endif
