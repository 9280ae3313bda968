/*
 * cdc/hash.c: the state hash: a sum, so that it follows each change without looking at the rest,
 * and does not depend on the order in which documents came.
 */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "cdc/change.h"

/** Documents up to this size are put together on the stack. */
#define SMALL_BYTES 2048
#define HALF_DIGITS 16

static struct state_hash hash_parts(char *scratch, struct slice id, struct slice doc)
{
    for (int i = 0; i < 4; i++)
        scratch[i] = (char)(uint8_t)((uint32_t)id.len >> (8 * i));
    memcpy(scratch + 4, id.data, id.len);
    if (doc.len > 0)
        memcpy(scratch + 4 + id.len, doc.data, doc.len);
    struct hash128 h = hash128(scratch, 4 + id.len + doc.len);
    return (struct state_hash){h.low, h.high};
}

struct state_hash state_hash_of(struct slice id, struct slice doc)
{
    char small[SMALL_BYTES];
    size_t len = 4 + id.len + doc.len;
    if (likely(len <= sizeof(small)))
        return hash_parts(small, id, doc);
    CLEANUP(xfree_ptr) char *large = xmalloc(len);
    return hash_parts(large, id, doc);
}

void state_hash_add(struct state_hash *h, struct state_hash x)
{
    h->low += x.low;
    h->high += x.high + (h->low < x.low);
}

void state_hash_sub(struct state_hash *h, struct state_hash x)
{
    h->high -= x.high + (h->low < x.low);
    h->low -= x.low;
}

bool state_hash_equal(struct state_hash a, struct state_hash b)
{
    return a.low == b.low && a.high == b.high;
}

void state_hash_format(struct state_hash h, char out[HASH128_TEXT])
{
    hash128_format((struct hash128){.low = h.low, .high = h.high}, out);
}

/** 16 lower-case hex digits. */
static bool parse_half(const char *text, uint64_t *ret)
{
    uint64_t value = 0;
    for (int i = 0; i < HALF_DIGITS; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0 || (text[i] >= 'A' && text[i] <= 'F'))
            return false;
        value = value << 4 | (uint64_t)digit;
    }
    *ret = value;
    return true;
}

bool state_hash_parse(const char *text, struct state_hash *ret)
{
    struct state_hash h;
    if (text == NULL || strlen(text) != HASH128_TEXT - 1 || !parse_half(text, &h.high) ||
        !parse_half(text + HALF_DIGITS, &h.low))
        return false;
    *ret = h;
    return true;
}
