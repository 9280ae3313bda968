/*
 * kafka/wire/header.c: see kafka/wire/header.h.
 */
#include "kafka/wire/header.h"

void request_header_peek(const void *data, size_t len, struct request_header *ret_header)
{
    ASSERT(len >= REQUEST_HEADER_FIXED_BYTES);
    struct cursor c = cursor_of(data, len);
    ret_header->key = cursor_i16(&c);
    ret_header->version = cursor_i16(&c);
    ret_header->correlation_id = cursor_i32(&c);
    ret_header->client_id = (struct slice){NULL, 0};
}

void request_header_read(struct wire_reader *r, struct request_header *ret_header)
{
    ret_header->key = wire_get_i16(r);
    ret_header->version = wire_get_i16(r);
    ret_header->correlation_id = wire_get_i32(r);
    ret_header->client_id = wire_get_classic_string(r);
    wire_skip_tags(r);
}

void request_header_write(struct wire_writer *w, const struct request_header *h)
{
    wire_put_i16(w, h->key);
    wire_put_i16(w, h->version);
    wire_put_i32(w, h->correlation_id);
    wire_put_classic_string(w, h->client_id);
    wire_put_no_tags(w);
}

void reply_header_write(struct wire_writer *w, int32_t correlation_id)
{
    wire_put_i32(w, correlation_id);
    wire_put_no_tags(w);
}

int32_t reply_header_read(struct wire_reader *r)
{
    int32_t correlation_id = wire_get_i32(r);
    wire_skip_tags(r);
    return correlation_id;
}
