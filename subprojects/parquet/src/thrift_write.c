/* thrift_write.c: see thrift_write.h. */
#include "thrift_write.h"

#include <assert.h>

static void put_field(struct thrift_put *t, int16_t id, enum thrift_type type)
{
    int16_t *last = &t->last[t->depth];
    int delta = id - *last;
    assert(delta > 0);
    if (delta <= 15) {
        pq_buf_byte(t->out, (uint8_t)(delta << 4 | (int)type));
    } else {
        pq_buf_byte(t->out, (uint8_t)type);
        pq_buf_zigzag(t->out, id);
    }
    *last = id;
}

void pq_thrift_put_begin(struct thrift_put *t)
{
    t->depth++;
    assert(t->depth < THRIFT_PUT_DEPTH);
    t->last[t->depth] = 0;
}

void pq_thrift_put_struct(struct thrift_put *t, int16_t id)
{
    put_field(t, id, THRIFT_STRUCT);
    pq_thrift_put_begin(t);
}

void pq_thrift_put_end(struct thrift_put *t)
{
    pq_buf_byte(t->out, THRIFT_STOP);
    if (t->depth > 0)
        t->depth--;
}

void pq_thrift_put_bool(struct thrift_put *t, int16_t id, bool value)
{
    put_field(t, id, value ? THRIFT_TRUE : THRIFT_FALSE);
}

void pq_thrift_put_i16(struct thrift_put *t, int16_t id, int16_t value)
{
    put_field(t, id, THRIFT_I16);
    pq_buf_zigzag(t->out, value);
}

void pq_thrift_put_i32(struct thrift_put *t, int16_t id, int32_t value)
{
    put_field(t, id, THRIFT_I32);
    pq_buf_zigzag(t->out, value);
}

void pq_thrift_put_i64(struct thrift_put *t, int16_t id, int64_t value)
{
    put_field(t, id, THRIFT_I64);
    pq_buf_zigzag(t->out, value);
}

void pq_thrift_put_bytes(struct pq_buf *out, const void *data, size_t len)
{
    pq_buf_varint(out, len);
    pq_buf_append(out, data, len);
}

void pq_thrift_put_binary(struct thrift_put *t, int16_t id, const void *data, size_t len)
{
    put_field(t, id, THRIFT_BINARY);
    pq_thrift_put_bytes(t->out, data, len);
}

void pq_thrift_put_text(struct thrift_put *t, int16_t id, const char *text)
{
    pq_thrift_put_binary(t, id, text, strlen(text));
}

void pq_thrift_put_list(struct thrift_put *t, int16_t id, enum thrift_type elements, size_t count)
{
    put_field(t, id, THRIFT_LIST);
    if (count < 15) {
        pq_buf_byte(t->out, (uint8_t)(count << 4 | (size_t)elements));
    } else {
        pq_buf_byte(t->out, (uint8_t)(0xf0 | (int)elements));
        pq_buf_varint(t->out, count);
    }
}

void pq_thrift_put_empty(struct thrift_put *t, int16_t id)
{
    pq_thrift_put_struct(t, id);
    pq_thrift_put_end(t);
}

void pq_thrift_put_element_bool(struct pq_buf *out, bool value)
{
    pq_buf_byte(out, value ? THRIFT_TRUE : THRIFT_FALSE);
}
