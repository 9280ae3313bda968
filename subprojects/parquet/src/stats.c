/* stats.c: see stats.h. */
#include "stats.h"

#include "buf.h"

void pq_stats_add_int(struct stats *s, int64_t value)
{
    if (!s->any) {
        s->any = true;
        s->i.min = s->i.max = value;
    } else if (value < s->i.min) {
        s->i.min = value;
    } else if (value > s->i.max) {
        s->i.max = value;
    }
}

void pq_stats_add_double(struct stats *s, double value)
{
    if (value != value)
        return;
    if (!s->any) {
        s->any = true;
        s->f.min = s->f.max = value;
    } else if (value < s->f.min) {
        s->f.min = value;
    } else if (value > s->f.max) {
        s->f.max = value;
    }
}

static void prefix_set(struct stats_prefix *p, const uint8_t *data, size_t len, bool longer)
{
    p->len = (uint8_t)len;
    p->longer = longer;
    if (len != 0)
        memcpy(p->bytes, data, len);
}

/** Compares what is kept; values that differ only behind it count as equal if both go on. */
static int prefix_compare(const uint8_t *data, size_t len, bool longer,
                          const struct stats_prefix *p)
{
    size_t common = len < p->len ? len : p->len;
    int order = common == 0 ? 0 : memcmp(data, p->bytes, common);
    if (order != 0)
        return order;
    if (len != p->len)
        return len < p->len ? -1 : 1;
    return (int)longer - (int)p->longer;
}

static void add_prefix(struct stats *s, const uint8_t *data, size_t len, bool longer)
{
    if (!s->any) {
        s->any = true;
        prefix_set(&s->min, data, len, longer);
        prefix_set(&s->max, data, len, longer);
    } else if (prefix_compare(data, len, longer, &s->min) < 0) {
        prefix_set(&s->min, data, len, longer);
    } else if (prefix_compare(data, len, longer, &s->max) > 0) {
        prefix_set(&s->max, data, len, longer);
    }
}

void pq_stats_add_bytes(struct stats *s, const uint8_t *data, uint32_t len)
{
    bool longer = len > STATS_BYTES_MAX;
    add_prefix(s, data, longer ? STATS_BYTES_MAX : len, longer);
}

void pq_stats_merge(struct stats *s, enum pq_type type, const struct stats *other)
{
    if (!other->any)
        return;
    switch (type) {
    case PQ_BOOLEAN:
    case PQ_INT32:
    case PQ_INT64:
        pq_stats_add_int(s, other->i.min);
        pq_stats_add_int(s, other->i.max);
        break;
    case PQ_DOUBLE:
        pq_stats_add_double(s, other->f.min);
        pq_stats_add_double(s, other->f.max);
        break;
    case PQ_BYTE_ARRAY:
    case PQ_FIXED_16:
        add_prefix(s, other->min.bytes, other->min.len, other->min.longer);
        add_prefix(s, other->max.bytes, other->max.len, other->max.longer);
        break;
    }
}

/* Text ---------------------------------------------------------------------------------------- */

/** Where the code point begins that the byte before `end` belongs to. */
static size_t code_point_start(const uint8_t *bytes, size_t end)
{
    size_t at = end - 1;
    while (at > 0 && end - at < 4 && (bytes[at] & 0xc0) == 0x80)
        at--;
    return at;
}

/** Bytes of the code point that begins with this byte; 0: none does. */
static size_t code_point_len(uint8_t first)
{
    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first < 0xe0)
        return 2;
    if (first >= 0xe0 && first < 0xf0)
        return 3;
    return first >= 0xf0 && first < 0xf5 ? 4 : 0;
}

/** The length without a code point that the cut has split. */
static size_t whole_code_points(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    size_t start = code_point_start(bytes, len);
    return start + code_point_len(bytes[start]) > len ? start : len;
}

static uint32_t code_point_get(const uint8_t *at, size_t len)
{
    static const uint8_t first_mask[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t code = at[0] & first_mask[len];
    for (size_t i = 1; i < len; i++)
        code = code << 6 | (at[i] & 0x3f);
    return code;
}

static size_t code_point_size(uint32_t code)
{
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

static size_t code_point_put(uint8_t *at, uint32_t code)
{
    if (code < 0x80) {
        at[0] = (uint8_t)code;
        return 1;
    }
    size_t len = code_point_size(code);
    for (size_t i = len; i-- > 1; code >>= 6)
        at[i] = (uint8_t)(0x80 | (code & 0x3f));
    at[0] = (uint8_t)((0xf00 >> len & 0xff) | code);
    return len;
}

/** Raises the last code point that can be raised without becoming longer than the room, and drops
 * what follows it. The new length; 0: there is none. */
static size_t raise_text(uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t start = code_point_start(bytes, len), size = code_point_len(bytes[start]);
        if (size == 0 || start + size != len)
            return 0; /* no UTF-8 after all: readers may refuse such a bound */
        uint32_t code = code_point_get(bytes + start, size);
        if (code_point_size(code) != size)
            return 0;                              /* nor is an overlong form */
        code = code == 0xd7ff ? 0xe000 : code + 1; /* surrogates are no characters */
        if (code <= 0x10ffff && start + code_point_size(code) <= STATS_BYTES_MAX)
            return start + code_point_put(bytes + start, code);
        len = start;
    }
    return 0;
}

static size_t raise_bytes(uint8_t *bytes, size_t len)
{
    while (len > 0 && bytes[len - 1] == 0xff)
        len--;
    if (len > 0)
        bytes[len - 1]++;
    return len;
}

/* Bounds -------------------------------------------------------------------------------------- */

static void prefix_bounds(const struct stats *s, bool text, struct stats_bound *min,
                          struct stats_bound *max)
{
    memcpy(min->bytes, s->min.bytes, s->min.len);
    min->len =
        (uint8_t)(s->min.longer && text ? whole_code_points(s->min.bytes, s->min.len) : s->min.len);
    min->exact = !s->min.longer;
    memcpy(max->bytes, s->max.bytes, s->max.len);
    max->len = s->max.len;
    max->exact = !s->max.longer;
    if (!s->max.longer)
        return;
    size_t len = text ? raise_text(max->bytes, whole_code_points(max->bytes, max->len))
                      : raise_bytes(max->bytes, max->len);
    max->len = (uint8_t)len;
    max->there = len != 0;
}

void pq_stats_bounds(const struct stats *s, enum pq_type type, bool text,
                     struct stats_bound *ret_min, struct stats_bound *ret_max)
{
    struct stats_bound min = {.there = s->any, .exact = true}, max = min;
    if (type == PQ_BOOLEAN) {
        min.len = max.len = 1;
        min.bytes[0] = (uint8_t)s->i.min;
        max.bytes[0] = (uint8_t)s->i.max;
    } else if (type == PQ_INT32) {
        min.len = max.len = 4;
        pq_put_le32(min.bytes, (uint32_t)s->i.min);
        pq_put_le32(max.bytes, (uint32_t)s->i.max);
    } else if (type == PQ_INT64) {
        min.len = max.len = 8;
        pq_put_le64(min.bytes, (uint64_t)s->i.min);
        pq_put_le64(max.bytes, (uint64_t)s->i.max);
    } else if (type == PQ_DOUBLE) {
        double least = s->f.min == 0 ? -0.0 : s->f.min, greatest = s->f.max == 0 ? 0.0 : s->f.max;
        min.len = max.len = 8;
        memcpy(min.bytes, &least, 8);
        memcpy(max.bytes, &greatest, 8);
    } else if (s->any) {
        prefix_bounds(s, text, &min, &max);
    }
    *ret_min = min;
    *ret_max = max;
}

int pq_stats_bound_compare(enum pq_type type, const struct stats_bound *a,
                           const struct stats_bound *b)
{
    int64_t x = 0, y = 0;
    switch (type) {
    case PQ_BOOLEAN:
        return (int)a->bytes[0] - (int)b->bytes[0];
    case PQ_INT32:
        x = (int32_t)pq_get_le32(a->bytes);
        y = (int32_t)pq_get_le32(b->bytes);
        return (x > y) - (x < y);
    case PQ_INT64:
        x = (int64_t)pq_get_le64(a->bytes);
        y = (int64_t)pq_get_le64(b->bytes);
        return (x > y) - (x < y);
    case PQ_DOUBLE: {
        double f = 0, g = 0;
        memcpy(&f, a->bytes, 8);
        memcpy(&g, b->bytes, 8);
        return (f > g) - (f < g);
    }
    case PQ_BYTE_ARRAY:
    case PQ_FIXED_16:
        break;
    }
    int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (int)a->len - (int)b->len;
}
