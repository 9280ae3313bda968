/*
 * base/utf8.h: strict UTF-8 (RFC 3629; Unicode 15 table 3-7): no overlong forms, no surrogates,
 * nothing above U+10FFFF.
 */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/base.h"

/** Length (1-4) of the well-formed sequence at `p`, or 0 where there is none within `len` bytes. */
static inline size_t utf8_sequence(const uint8_t *p, size_t len)
{
    if (len == 0)
        return 0;
    uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    if (c < 0xC2)
        return 0;
    if (c < 0xE0)
        return len >= 2 && (p[1] & 0xC0) == 0x80 ? 2 : 0;
    if (c < 0xF0) {
        uint8_t low = c == 0xE0 ? 0xA0 : 0x80;
        uint8_t high = c == 0xED ? 0x9F : 0xBF;
        return len >= 3 && p[1] >= low && p[1] <= high && (p[2] & 0xC0) == 0x80 ? 3 : 0;
    }
    if (c < 0xF5) {
        uint8_t low = c == 0xF0 ? 0x90 : 0x80;
        uint8_t high = c == 0xF4 ? 0x8F : 0xBF;
        return len >= 4 && p[1] >= low && p[1] <= high && (p[2] & 0xC0) == 0x80 &&
                       (p[3] & 0xC0) == 0x80
                   ? 4
                   : 0;
    }
    return 0;
}

#endif
