/*
 * base/json_portable.c: the JSON engine in plain C, eight bytes at a time (SWAR). Every step is
 * exact per byte: nothing carries into a neighbour.
 */
#include "base/json_engine.h"

#define ONES 0x0101010101010101u

/* Bit 7 of each byte of the result tells whether that byte is special. */
static inline uint64_t special8(uint64_t v)
{
    uint64_t low7 = v & ONES * 0x7f;
    uint64_t not_quote = (low7 ^ ONES * '"') + ONES * 0x7f;
    uint64_t not_backslash = (low7 ^ ONES * '\\') + ONES * 0x7f;
    uint64_t not_control = low7 + ONES * (0x80 - 0x20);
    return (~(not_quote & not_backslash & not_control) | v) & ONES * 0x80;
}

static inline uint64_t special64(const uint8_t *at)
{
    uint64_t bits = 0;
    for (int i = 0; i < 8; i++) {
        uint64_t flags = special8(json_load64(at + i * 8)) >> 7;
        /* The product moves the lowest bit of byte k to bit 56 + k. */
        bits |= (flags * 0x0102040810204080u) >> 56 << (i * 8);
    }
    return bits;
}

#define JSON_TARGET
#define JSON_ENGINE json_scan_portable
#define JSON_SPECIAL(at) special64(at)
#include "base/json_template.h"
