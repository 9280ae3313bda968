/*
 * read_schema.c: the schema's elements as columns.
 *
 * A root and its leaves are read; groups, lists, maps and repeated columns are refused. What a
 * column's logical type adds is kept where pq_logical has a name for it; any other leaves the
 * physical type (a DECIMAL on an INT64 is its unscaled number).
 */
#include <string.h>

#include "read_meta.h"

struct element {
    struct pq_bytes name;
    int32_t type, type_length, repetition, children, converted, field_id;
    int16_t logical; /* 0: absent */
    int16_t unit;
    bool utc, is_unsigned;
};

static void read_unit(struct thrift *t, const struct thrift_field *parent, struct element *e)
{
    pq_thrift_struct(t, parent);
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        e->unit = f.id;
        pq_thrift_skip(t, &f);
    }
}

static void read_timestamp(struct thrift *t, struct element *e)
{
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        if (f.id == 1)
            e->utc = pq_thrift_bool(t, &f);
        else if (f.id == 2)
            read_unit(t, &f, e);
        else
            pq_thrift_skip(t, &f);
    }
}

static void read_integer(struct thrift *t, struct element *e)
{
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        if (f.id == 2)
            e->is_unsigned = !pq_thrift_bool(t, &f);
        else
            pq_thrift_skip(t, &f);
    }
}

static void read_logical(struct thrift *t, const struct thrift_field *parent, struct element *e)
{
    pq_thrift_struct(t, parent);
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        e->logical = f.id;
        if (f.id == FORMAT_LOGICAL_TIMESTAMP && f.type == THRIFT_STRUCT)
            read_timestamp(t, e);
        else if (f.id == FORMAT_LOGICAL_INTEGER && f.type == THRIFT_STRUCT)
            read_integer(t, e);
        else
            pq_thrift_skip(t, &f);
    }
}

static void read_element(struct thrift *t, struct element *e)
{
    *e = (struct element){.type = -1, .converted = -1};
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            e->type = pq_thrift_i32(t, &f);
            break;
        case 2:
            e->type_length = pq_thrift_i32(t, &f);
            break;
        case 3:
            e->repetition = pq_thrift_i32(t, &f);
            break;
        case 4:
            e->name = pq_thrift_binary(t, &f);
            break;
        case 5:
            e->children = pq_thrift_i32(t, &f);
            break;
        case 6:
            e->converted = pq_thrift_i32(t, &f);
            break;
        case 9:
            e->field_id = pq_thrift_i32(t, &f);
            break;
        case 10:
            read_logical(t, &f, e);
            break;
        default:
            pq_thrift_skip(t, &f);
        }
    }
}

static int refuse_type(const struct pq_column *c, const char *type, const char *instead,
                       struct pq_error *err)
{
    return pq_fail(err, PQ_UNSUPPORTED, "column %.80s is %s, which is not read: write it as %s",
                   c->name, type, instead);
}

static int set_type(struct pq_column *c, const struct element *e, struct pq_error *err)
{
    switch (e->type) {
    case FORMAT_BOOLEAN:
        c->type = PQ_BOOLEAN;
        return PQ_OK;
    case FORMAT_INT32:
        c->type = PQ_INT32;
        return PQ_OK;
    case FORMAT_INT64:
        c->type = PQ_INT64;
        return PQ_OK;
    case FORMAT_INT96:
        return refuse_type(c, "INT96", "INT64 with TIMESTAMP", err);
    case FORMAT_FLOAT:
        return refuse_type(c, "FLOAT", "DOUBLE", err);
    case FORMAT_DOUBLE:
        c->type = PQ_DOUBLE;
        return PQ_OK;
    case FORMAT_BYTE_ARRAY:
        c->type = PQ_BYTE_ARRAY;
        return PQ_OK;
    case FORMAT_FIXED_LEN_BYTE_ARRAY:
        if (e->type_length != 16)
            return refuse_type(c, "FIXED_LEN_BYTE_ARRAY of another length than 16", "BYTE_ARRAY",
                               err);
        c->type = PQ_FIXED_16;
        return PQ_OK;
    default:
        return pq_fail(err, PQ_CORRUPT, "column %.80s has the unknown type %d", c->name,
                       (int)e->type);
    }
}

static enum pq_logical logical_of(const struct pq_column *c, const struct element *e)
{
    bool new_type = e->logical != 0;
    switch (c->type) {
    case PQ_BYTE_ARRAY:
        if (new_type ? e->logical == FORMAT_LOGICAL_STRING : e->converted == FORMAT_CONVERTED_UTF8)
            return PQ_STRING;
        if (new_type ? e->logical == FORMAT_LOGICAL_JSON : e->converted == FORMAT_CONVERTED_JSON)
            return PQ_JSON;
        return PQ_LOGICAL_NONE;
    case PQ_INT64:
        if (new_type ? e->logical == FORMAT_LOGICAL_TIMESTAMP && e->utc && e->unit == FORMAT_MILLIS
                     : e->converted == FORMAT_CONVERTED_TIMESTAMP_MILLIS)
            return PQ_TIMESTAMP_MILLIS;
        if (new_type ? e->logical == FORMAT_LOGICAL_TIMESTAMP && e->utc && e->unit == FORMAT_MICROS
                     : e->converted == FORMAT_CONVERTED_TIMESTAMP_MICROS)
            return PQ_TIMESTAMP_MICROS;
        return PQ_LOGICAL_NONE;
    case PQ_FIXED_16:
        return e->logical == FORMAT_LOGICAL_UUID ? PQ_UUID : PQ_LOGICAL_NONE;
    case PQ_BOOLEAN:
    case PQ_INT32:
    case PQ_DOUBLE:
        break;
    }
    return PQ_LOGICAL_NONE;
}

/* Whether bounds compare as pq_reader_prune does: signed numbers, unsigned bytes. */
static bool order_is_ours(const struct pq_column *c, const struct element *e)
{
    bool is_unsigned = e->is_unsigned || (e->converted >= FORMAT_CONVERTED_UINT_8 &&
                                          e->converted <= FORMAT_CONVERTED_UINT_64);
    bool is_decimal =
        e->logical == FORMAT_LOGICAL_DECIMAL || e->converted == FORMAT_CONVERTED_DECIMAL;
    if (c->type == PQ_BYTE_ARRAY || c->type == PQ_FIXED_16)
        return !is_decimal && e->logical != FORMAT_LOGICAL_FLOAT16 &&
               e->converted != FORMAT_CONVERTED_INTERVAL;
    return !is_unsigned && c->type != PQ_BOOLEAN;
}

static int add_column(struct meta *m, const struct element *e, struct mem_arena *arena,
                      struct pq_error *err)
{
    struct pq_column *c = &m->columns[m->column_count];
    *c = (struct pq_column){.field_id = e->field_id};
    PQ_TRY(pq_meta_string(arena, e->name, &c->name, err));
    if (e->children != 0)
        return pq_fail(err, PQ_UNSUPPORTED, "column %.80s is nested: only flat files are read",
                       c->name);
    if (e->repetition == FORMAT_REPEATED)
        return pq_fail(err, PQ_UNSUPPORTED, "column %.80s is repeated: only flat files are read",
                       c->name);
    if (e->repetition != FORMAT_REQUIRED && e->repetition != FORMAT_OPTIONAL)
        return pq_fail(err, PQ_CORRUPT, "column %.80s has the unknown repetition %d", c->name,
                       (int)e->repetition);
    PQ_TRY(set_type(c, e, err));
    c->optional = e->repetition == FORMAT_OPTIONAL;
    c->logical = logical_of(c, e);
    m->ordered[m->column_count] = order_is_ours(c, e);
    m->column_count++;
    return PQ_OK;
}

int pq_schema_parse(struct meta *m, struct thrift *t, uint32_t count, struct mem_arena *arena,
                    struct pq_error *err)
{
    struct element e;
    if (count == 0)
        return pq_fail(err, PQ_CORRUPT, "the schema is empty");
    if (count - 1 > UINT16_MAX)
        return pq_fail(err, PQ_UNSUPPORTED, "%u columns are more than the %u that are read",
                       count - 1, UINT16_MAX);
    read_element(t, &e);
    uint32_t columns = (uint32_t)e.children;
    m->columns = pq_mem_arena_alloc(arena, count, sizeof(*m->columns), err);
    m->ordered = pq_mem_arena_alloc(arena, count, sizeof(*m->ordered), err);
    if (m->columns == NULL || m->ordered == NULL)
        return PQ_LIMIT;
    for (uint32_t i = 1; i < count; i++) {
        read_element(t, &e);
        if (t->failed)
            return pq_fail(err, PQ_CORRUPT, "the schema in the footer is broken");
        PQ_TRY(add_column(m, &e, arena, err));
    }
    if (columns != count - 1)
        return pq_fail(err, PQ_CORRUPT, "the schema announces %u columns and has %u", columns,
                       count - 1);
    return PQ_OK;
}
