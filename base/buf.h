/*
 * base/buf.h: a growable run of bytes. Embedded in its owner; not shared between threads.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/base.h"

struct buf {
    char *data; /* owned; NULL while cap == 0 */
    size_t len;
    size_t cap;
};

#define BUF_INIT ((struct buf){0})

/** Frees the bytes and leaves an empty buf. NULL-safe contents; usable as CLEANUP(buf_release). */
void buf_release(struct buf *b);
/** Makes room for `extra` more bytes and returns the place where they go (len is not changed). */
char *buf_reserve(struct buf *b, size_t extra);
void buf_append(struct buf *b, const void *data, size_t len);
void buf_append_str(struct buf *b, const char *text);
void buf_append_slice(struct buf *b, struct slice s);
void buf_append_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Appends `text` as a JSON string with its quotes (RFC 8259 section 7). Bytes that are no UTF-8
 *  become U+FFFD, so that the result is always valid JSON. */
void buf_append_json(struct buf *b, const char *text, size_t len);
/** Drops the first `count` bytes. */
void buf_consume(struct buf *b, size_t count);
static inline void buf_clear(struct buf *b)
{
    b->len = 0;
}
static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->data, b->len};
}

#endif
