#include "thrift_read.h"

/* parquet.thrift nests five deep; a later version's unknown fields may go deeper. */
#define SKIP_DEPTH_MAX 16

void pq_thrift_init(struct thrift *t, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    *t = (struct thrift){.at = bytes, .end = bytes + len};
}

static void fail(struct thrift *t)
{
    t->failed = true;
    t->at = t->end;
}

static void fail_short(struct thrift *t)
{
    if (!t->failed)
        t->short_input = true;
    fail(t);
}

static size_t bytes_left(const struct thrift *t)
{
    return (size_t)(t->end - t->at);
}

static uint8_t read_byte(struct thrift *t)
{
    if (t->at == t->end) {
        fail_short(t);
        return 0;
    }
    return *t->at++;
}

static uint64_t read_varint(struct thrift *t)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = read_byte(t);
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    fail(t);
    return 0;
}

static int64_t read_zigzag(struct thrift *t)
{
    uint64_t value = read_varint(t);
    return (int64_t)((value >> 1) ^ (0 - (value & 1)));
}

static struct pq_bytes read_binary(struct thrift *t)
{
    uint64_t len = read_varint(t);
    if (len > INT32_MAX) {
        fail(t);
        return (struct pq_bytes){0};
    }
    if (len > bytes_left(t)) {
        fail_short(t);
        return (struct pq_bytes){0};
    }
    struct pq_bytes bytes = {t->at, (uint32_t)len};
    t->at += len;
    return bytes;
}

bool pq_thrift_next(struct thrift *t, struct thrift_field *f)
{
    uint8_t head = read_byte(t);
    if (t->failed || head == THRIFT_STOP)
        return false;
    f->type = head & 0x0f;
    int64_t id = head >> 4 != 0 ? f->id + (head >> 4) : read_zigzag(t);
    if (f->type == THRIFT_STOP || id < 0 || id > INT16_MAX)
        fail(t);
    f->id = (int16_t)id;
    return !t->failed;
}

bool pq_thrift_bool(struct thrift *t, const struct thrift_field *f)
{
    if (f->type != THRIFT_TRUE && f->type != THRIFT_FALSE)
        fail(t);
    return f->type == THRIFT_TRUE;
}

int64_t pq_thrift_i64(struct thrift *t, const struct thrift_field *f)
{
    if (f->type != THRIFT_I64 && f->type != THRIFT_I32 && f->type != THRIFT_I16)
        fail(t);
    return t->failed ? 0 : read_zigzag(t);
}

int32_t pq_thrift_i32(struct thrift *t, const struct thrift_field *f)
{
    int64_t value = pq_thrift_i64(t, f);
    if (value < INT32_MIN || value > INT32_MAX) {
        fail(t);
        return 0;
    }
    return (int32_t)value;
}

struct pq_bytes pq_thrift_binary(struct thrift *t, const struct thrift_field *f)
{
    if (f->type != THRIFT_BINARY)
        fail(t);
    return t->failed ? (struct pq_bytes){0} : read_binary(t);
}

/* The header of a list or set: every element takes a byte at least, which bounds the count. */
static uint32_t read_list_head(struct thrift *t, uint8_t *ret_type)
{
    uint8_t head = read_byte(t);
    *ret_type = head & 0x0f;
    uint64_t count = head >> 4 == 15 ? read_varint(t) : head >> 4;
    if (count > INT32_MAX)
        fail(t);
    else if (count > bytes_left(t))
        fail_short(t);
    return t->failed ? 0 : (uint32_t)count;
}

uint32_t pq_thrift_list(struct thrift *t, const struct thrift_field *f, uint8_t type)
{
    if (f->type != THRIFT_LIST)
        fail(t);
    uint8_t found = 0;
    uint32_t count = read_list_head(t, &found);
    bool same = found == type || (type == THRIFT_TRUE && found == THRIFT_FALSE);
    if (count > 0 && !same)
        fail(t);
    return t->failed ? 0 : count;
}

struct pq_bytes pq_thrift_element_binary(struct thrift *t)
{
    return read_binary(t);
}

bool pq_thrift_element_bool(struct thrift *t)
{
    return read_byte(t) == THRIFT_TRUE;
}

void pq_thrift_struct(struct thrift *t, const struct thrift_field *f)
{
    if (f->type != THRIFT_STRUCT)
        fail(t);
}

static void skip_bytes(struct thrift *t, size_t len)
{
    if (len > bytes_left(t))
        fail_short(t);
    else
        t->at += len;
}

static void skip_value(struct thrift *t, uint8_t type, unsigned depth);

static void skip_list(struct thrift *t, unsigned depth)
{
    uint8_t type = 0;
    uint32_t count = read_list_head(t, &type);
    for (uint32_t i = 0; i < count && !t->failed; i++) {
        if (type == THRIFT_TRUE || type == THRIFT_FALSE)
            skip_bytes(t, 1);
        else
            skip_value(t, type, depth);
    }
}

static void skip_map(struct thrift *t, unsigned depth)
{
    uint64_t count = read_varint(t);
    if (count == 0)
        return;
    uint8_t types = read_byte(t);
    if (count > bytes_left(t))
        fail_short(t);
    for (uint64_t i = 0; i < count && !t->failed; i++) {
        uint8_t pair[] = {types >> 4, types & 0x0f};
        for (int side = 0; side < 2; side++) {
            if (pair[side] == THRIFT_TRUE || pair[side] == THRIFT_FALSE)
                skip_bytes(t, 1);
            else
                skip_value(t, pair[side], depth);
        }
    }
}

static void skip_struct(struct thrift *t, unsigned depth)
{
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f))
        skip_value(t, f.type, depth);
}

static void skip_value(struct thrift *t, uint8_t type, unsigned depth)
{
    if (depth == 0) {
        fail(t);
        return;
    }
    switch (type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        break;
    case THRIFT_BYTE:
        skip_bytes(t, 1);
        break;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        read_varint(t);
        break;
    case THRIFT_DOUBLE:
        skip_bytes(t, 8);
        break;
    case THRIFT_BINARY:
        read_binary(t);
        break;
    case THRIFT_LIST:
    case THRIFT_SET:
        skip_list(t, depth - 1);
        break;
    case THRIFT_MAP:
        skip_map(t, depth - 1);
        break;
    case THRIFT_STRUCT:
        skip_struct(t, depth - 1);
        break;
    case THRIFT_UUID:
        skip_bytes(t, 16);
        break;
    default:
        fail(t);
    }
}

void pq_thrift_skip(struct thrift *t, const struct thrift_field *f)
{
    skip_value(t, f->type, SKIP_DEPTH_MAX);
}
