#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void buf_release(struct buf *b)
{
    free(b->data);
    *b = BUF_INIT;
}

char *buf_reserve(struct buf *b, size_t extra)
{
    ASSERT(extra < SIZE_MAX - b->len);
    size_t need = b->len + extra;
    if (need > b->cap) {
        size_t cap = b->cap < 64 ? 64 : b->cap;
        while (cap < need)
            cap *= 2;
        b->data = xrealloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_append(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), data, len);
    b->len += len;
}

void buf_append_str(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_append_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.data, s.len);
}

void buf_append_char(struct buf *b, char c)
{
    *buf_reserve(b, 1) = c;
    b->len++;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    va_list again;
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    ASSERT(len >= 0);
    char *at = buf_reserve(b, (size_t)len + 1);
    vsnprintf(at, (size_t)len + 1, fmt, again);
    va_end(again);
    b->len += (size_t)len;
}

void buf_append_json(struct buf *b, const char *text, size_t len)
{
    buf_append_char(b, '"');
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x80) {
            size_t n = utf8_sequence((const uint8_t *)text + i, len - i);
            if (n == 0)
                buf_append(b, "\xEF\xBF\xBD", 3);
            else
                buf_append(b, text + i, n);
            i += n == 0 ? 1 : n;
            continue;
        }
        if (c == '"' || c == '\\') {
            buf_append_char(b, '\\');
            buf_append_char(b, (char)c);
        } else if (c < 0x20) {
            buf_printf(b, "\\u%04x", c);
        } else {
            buf_append_char(b, (char)c);
        }
        i++;
    }
    buf_append_char(b, '"');
}

void buf_consume(struct buf *b, size_t count)
{
    ASSERT(count <= b->len);
    if (count == 0)
        return;
    b->len -= count;
    memmove(b->data, b->data + count, b->len);
}
