/*
 * kafka/wire/wire.h: the primitive types of the Kafka protocol
 * (https://kafka.apache.org/protocol, "Protocol Primitive Types"; KIP-482 for the flexible ones).
 *
 * A message version is either classic (lengths are int16/int32, -1 is null) or flexible (lengths
 * are unsigned varints plus one, 0 is null, and every struct ends with tagged fields). The
 * `flexible` bit of reader and writer decides, so that a message is written down once for all its
 * versions.
 *
 * Reading is sticky like base/cursor.h: after the first fault everything reads as zero or empty and
 * wire_reader_end reports it once. No memory is sized from the wire: a count is checked against the
 * bytes that are left and against a budget of items before it is believed.
 *
 * Any thread; no shared state.
 */
#ifndef KAFKA_WIRE_WIRE_H
#define KAFKA_WIRE_WIRE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"

struct wire_reader {
    struct cursor at;
    bool flexible;
    uint32_t items_left; /* how many array items may still be announced */
};

/** Reads `len` borrowed bytes; slices point into them. */
struct wire_reader wire_reader_of(const void *data, size_t len, bool flexible);
/** OK when everything was read well; else ERR_INVALID_REQUEST with a sentence that names `what`.
 * Bytes left over are ignored, as Apache Kafka does: librdkafka 2.11 sends three with Metadata 12.
 */
err_t wire_reader_end(struct wire_reader *r, const char *what) MUST_USE;
static inline bool wire_ok(const struct wire_reader *r)
{
    return cursor_ok(&r->at);
}
/** The same for a request: bytes left over are ignored, as the Java broker does. librdkafka needs
 * it: its request for the metadata of all topics ends with three zeros too many (the count stays
 * four bytes wide in flexible versions). */
err_t wire_request_end(struct wire_reader *r, const char *what) MUST_USE;
/** Makes the reader fail. */
void wire_fail(struct wire_reader *r);

bool wire_get_bool(struct wire_reader *r);
int8_t wire_get_i8(struct wire_reader *r);
int16_t wire_get_i16(struct wire_reader *r);
int32_t wire_get_i32(struct wire_reader *r);
int64_t wire_get_i64(struct wire_reader *r);
/** A string; null fails. */
struct slice wire_get_string(struct wire_reader *r);
/** data == NULL for null (an empty string has data != NULL). */
struct slice wire_get_nullable_string(struct wire_reader *r);
/** A nullable string with an int16 length in every version (the request header's client id). */
struct slice wire_get_classic_string(struct wire_reader *r);
/** Record batches: bytes with a 32-bit length; data == NULL for null. */
struct slice wire_get_records(struct wire_reader *r);
/** The number of items, each of which takes at least `item_bytes` on the wire; null fails. */
uint32_t wire_get_array(struct wire_reader *r, size_t item_bytes);
/** The same; -1 for null. */
int64_t wire_get_nullable_array(struct wire_reader *r, size_t item_bytes);
/** 16 bytes; true when all are zero. */
bool wire_get_uuid_is_zero(struct wire_reader *r);
/** Skips the tagged fields at the end of a struct; reads nothing in a classic version. */
void wire_skip_tags(struct wire_reader *r);

struct wire_writer {
    struct buf *out; /* borrowed */
    bool flexible;
};

void wire_put_bool(struct wire_writer *w, bool v);
void wire_put_i8(struct wire_writer *w, int8_t v);
void wire_put_i16(struct wire_writer *w, int16_t v);
void wire_put_i32(struct wire_writer *w, int32_t v);
void wire_put_i64(struct wire_writer *w, int64_t v);
void wire_put_string(struct wire_writer *w, struct slice s);
/** Null when data is NULL. */
void wire_put_nullable_string(struct wire_writer *w, struct slice s);
void wire_put_classic_string(struct wire_writer *w, struct slice s);
/** The count in front of an array's items. */
void wire_put_array(struct wire_writer *w, uint32_t count);
void wire_put_null_array(struct wire_writer *w);
/** The length in front of record batches. */
void wire_put_records_length(struct wire_writer *w, uint32_t len);
void wire_put_zero_uuid(struct wire_writer *w);
/** No tagged fields: one zero byte, or nothing in a classic version. */
void wire_put_no_tags(struct wire_writer *w);

#endif
