#include "read_meta.h"

#include <inttypes.h>
#include <string.h>

struct parse {
    struct thrift t;
    struct meta *m;
    struct mem_arena *arena;
    uint64_t data_end;
    struct pq_error *err;
};

/* Where the parser writes a chunk before it is checked. */
struct raw_chunk {
    int64_t data_page, dictionary_page, compressed_size;
    int64_t offset_index, offset_index_len, column_index, column_index_len, bloom;
    struct pq_bytes path;
    uint32_t path_depth;
    bool has_meta, encrypted, elsewhere;
};

static int broken(struct parse *p)
{
    return pq_fail(p->err, PQ_CORRUPT, "the footer is broken at its byte %zu from the end",
                   (size_t)(p->t.end - p->t.at));
}

int pq_meta_string(struct mem_arena *arena, struct pq_bytes text, const char **ret,
                   struct pq_error *err)
{
    if (text.len > 0 && memchr(text.data, 0, text.len) != NULL)
        return pq_fail(err, PQ_CORRUPT, "a name or key in the footer contains a NUL byte");
    char *copy = pq_mem_arena_alloc(arena, (uint64_t)text.len + 1, 1, err);
    if (copy == NULL)
        return PQ_LIMIT;
    if (text.len > 0)
        memcpy(copy, text.data, text.len);
    *ret = copy;
    return PQ_OK;
}

/* The deprecated `min` and `max` (fields 1 and 2) had no defined order. */
static void read_statistics(struct thrift *t, const struct thrift_field *parent,
                            struct meta_bounds *ret)
{
    pq_thrift_struct(t, parent);
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        if (f.id == 3)
            ret->null_count = pq_thrift_i64(t, &f);
        else if (f.id == 5)
            ret->max = pq_thrift_binary(t, &f);
        else if (f.id == 6)
            ret->min = pq_thrift_binary(t, &f);
        else
            pq_thrift_skip(t, &f);
    }
}

static void read_path(struct thrift *t, const struct thrift_field *f, struct raw_chunk *raw)
{
    raw->path_depth = pq_thrift_list(t, f, THRIFT_BINARY);
    for (uint32_t i = 0; i < raw->path_depth && !t->failed; i++)
        raw->path = pq_thrift_element_binary(t);
}

static void read_column_meta(struct thrift *t, const struct thrift_field *parent,
                             struct raw_chunk *raw, struct meta_chunk *c)
{
    pq_thrift_struct(t, parent);
    raw->has_meta = true;
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            c->type = pq_thrift_i32(t, &f);
            break;
        case 3:
            read_path(t, &f, raw);
            break;
        case 4:
            c->codec = pq_thrift_i32(t, &f);
            break;
        case 5:
            c->num_values = pq_thrift_i64(t, &f);
            break;
        case 7:
            raw->compressed_size = pq_thrift_i64(t, &f);
            break;
        case 9:
            raw->data_page = pq_thrift_i64(t, &f);
            break;
        case 11:
            raw->dictionary_page = pq_thrift_i64(t, &f);
            break;
        case 12:
            read_statistics(t, &f, &c->bounds);
            break;
        case 14:
            raw->bloom = pq_thrift_i64(t, &f);
            break;
        default:
            pq_thrift_skip(t, &f);
        }
    }
}

static void read_chunk(struct thrift *t, struct raw_chunk *raw, struct meta_chunk *c)
{
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            raw->elsewhere = pq_thrift_binary(t, &f).len > 0;
            break;
        case 3:
            read_column_meta(t, &f, raw, c);
            break;
        case 4:
            raw->offset_index = pq_thrift_i64(t, &f);
            break;
        case 5:
            raw->offset_index_len = pq_thrift_i32(t, &f);
            break;
        case 6:
            raw->column_index = pq_thrift_i64(t, &f);
            break;
        case 7:
            raw->column_index_len = pq_thrift_i32(t, &f);
            break;
        case 8:
        case 9:
            raw->encrypted = true;
            pq_thrift_skip(t, &f);
            break;
        default:
            pq_thrift_skip(t, &f);
        }
    }
}

/* A range that must lie between the magic and the footer. */
static bool set_range(const struct parse *p, int64_t start, int64_t len, struct meta_range *ret)
{
    if (start < PQ_MAGIC_LEN || len < 0 || (uint64_t)start > p->data_end ||
        (uint64_t)len > p->data_end - (uint64_t)start)
        return false;
    *ret = (struct meta_range){(uint64_t)start, (uint64_t)len};
    return true;
}

static bool set_optional_range(const struct parse *p, int64_t start, int64_t len,
                               struct meta_range *ret)
{
    return start == 0 || len == 0 || set_range(p, start, len, ret);
}

static int check_chunk_kind(struct parse *p, const struct raw_chunk *raw,
                            const struct meta_chunk *c, const struct pq_column *column)
{
    if (raw->encrypted)
        return pq_fail(p->err, PQ_UNSUPPORTED, "column %.80s is encrypted", column->name);
    if (raw->elsewhere)
        return pq_fail(p->err, PQ_UNSUPPORTED, "column %.80s lies in another file", column->name);
    if (!raw->has_meta)
        return pq_fail(p->err, PQ_CORRUPT, "a chunk of column %.80s has no metadata", column->name);
    bool same_name =
        raw->path_depth == 1 && raw->path.len == strlen(column->name) &&
        (raw->path.len == 0 || memcmp(raw->path.data, column->name, raw->path.len) == 0);
    if (c->type != pq_format_types[column->type] || !same_name)
        return pq_fail(p->err, PQ_CORRUPT, "a chunk of column %.80s is of another column",
                       column->name);
    return PQ_OK;
}

static int check_chunk(struct parse *p, const struct raw_chunk *raw, struct meta_chunk *c,
                       const struct pq_column *column)
{
    PQ_TRY(check_chunk_kind(p, raw, c, column));
    int64_t start = raw->dictionary_page > 0 && raw->dictionary_page < raw->data_page
                        ? raw->dictionary_page
                        : raw->data_page;
    if (!set_range(p, start, raw->compressed_size, &c->pages) ||
        !set_optional_range(p, raw->offset_index, raw->offset_index_len, &c->offset_index) ||
        !set_optional_range(p, raw->column_index, raw->column_index_len, &c->column_index) ||
        raw->bloom < 0 || (uint64_t)raw->bloom > p->data_end)
        return pq_fail(p->err, PQ_CORRUPT, "a chunk of column %.80s lies outside the file",
                       column->name);
    c->bloom_offset = (uint64_t)raw->bloom;
    return PQ_OK;
}

static int read_chunks(struct parse *p, const struct thrift_field *f, struct meta_group *g)
{
    uint32_t count = pq_thrift_list(&p->t, f, THRIFT_STRUCT);
    if (p->t.failed)
        return broken(p);
    if (count != p->m->column_count || g->chunks != NULL)
        return pq_fail(p->err, PQ_CORRUPT, "a row group has %u columns, the schema %zu", count,
                       p->m->column_count);
    g->chunks = pq_mem_arena_alloc(p->arena, count, sizeof(*g->chunks), p->err);
    if (g->chunks == NULL)
        return PQ_LIMIT;
    for (uint32_t i = 0; i < count; i++) {
        struct raw_chunk raw = {0};
        g->chunks[i].bounds.null_count = -1;
        read_chunk(&p->t, &raw, &g->chunks[i]);
        if (p->t.failed)
            return broken(p);
        PQ_TRY(check_chunk(p, &raw, &g->chunks[i], &p->m->columns[i]));
    }
    return PQ_OK;
}

static int check_group(struct parse *p, const struct meta_group *g, int64_t rows)
{
    if (rows < 0 || g->chunks == NULL)
        return pq_fail(p->err, PQ_CORRUPT, "a row group has no columns or no valid row count");
    for (size_t i = 0; i < p->m->column_count; i++)
        if (g->chunks[i].num_values != rows)
            return pq_fail(p->err, PQ_CORRUPT,
                           "column %.80s has %" PRId64 " values in a row group of %" PRId64 " rows",
                           p->m->columns[i].name, g->chunks[i].num_values, rows);
    return PQ_OK;
}

static int read_group(struct parse *p, struct meta_group *g)
{
    int64_t rows = -1;
    struct thrift_field f = {0};
    while (pq_thrift_next(&p->t, &f)) {
        if (f.id == 1)
            PQ_TRY(read_chunks(p, &f, g));
        else if (f.id == 3)
            rows = pq_thrift_i64(&p->t, &f);
        else
            pq_thrift_skip(&p->t, &f);
    }
    if (p->t.failed)
        return broken(p);
    PQ_TRY(check_group(p, g, rows));
    g->rows = (uint64_t)rows;
    return PQ_OK;
}

static int read_groups(struct parse *p, const struct thrift_field *f)
{
    uint32_t count = pq_thrift_list(&p->t, f, THRIFT_STRUCT);
    if (p->m->columns == NULL && count > 0)
        return broken(p);
    p->m->groups = pq_mem_arena_alloc(p->arena, count, sizeof(*p->m->groups), p->err);
    if (p->m->groups == NULL)
        return PQ_LIMIT;
    p->m->group_count = count;
    for (uint32_t i = 0; i < count && !p->t.failed; i++)
        PQ_TRY(read_group(p, &p->m->groups[i]));
    return PQ_OK;
}

static int read_pairs(struct parse *p, const struct thrift_field *parent)
{
    uint32_t count = pq_thrift_list(&p->t, parent, THRIFT_STRUCT);
    p->m->pairs = pq_mem_arena_alloc(p->arena, count, sizeof(*p->m->pairs), p->err);
    if (p->m->pairs == NULL)
        return PQ_LIMIT;
    p->m->pair_count = count;
    for (uint32_t i = 0; i < count && !p->t.failed; i++) {
        struct pq_bytes key = {0}, value = {0};
        struct thrift_field f = {0};
        while (pq_thrift_next(&p->t, &f)) {
            if (f.id == 1)
                key = pq_thrift_binary(&p->t, &f);
            else if (f.id == 2)
                value = pq_thrift_binary(&p->t, &f);
            else
                pq_thrift_skip(&p->t, &f);
        }
        PQ_TRY(pq_meta_string(p->arena, key, &p->m->pairs[i].key, p->err));
        PQ_TRY(pq_meta_string(p->arena, value, &p->m->pairs[i].value, p->err));
    }
    return PQ_OK;
}

/* Bounds mean something only where the file says TYPE_ORDER for the column; `ordered` then keeps
 * what the schema said. */
static int read_orders(struct parse *p, const struct thrift_field *parent, bool *type_order)
{
    uint32_t count = pq_thrift_list(&p->t, parent, THRIFT_STRUCT);
    if (count != p->m->column_count)
        return broken(p);
    for (uint32_t i = 0; i < count && !p->t.failed; i++) {
        struct thrift_field f = {0};
        while (pq_thrift_next(&p->t, &f)) {
            type_order[i] = f.id == 1;
            pq_thrift_skip(&p->t, &f);
        }
    }
    return PQ_OK;
}

static int read_schema(struct parse *p, const struct thrift_field *f)
{
    uint32_t count = pq_thrift_list(&p->t, f, THRIFT_STRUCT);
    if (p->m->columns != NULL)
        return broken(p);
    return pq_schema_parse(p->m, &p->t, count, p->arena, p->err);
}

static int read_file(struct parse *p, int64_t *rows, bool **type_order)
{
    struct thrift_field f = {0};
    while (pq_thrift_next(&p->t, &f)) {
        switch (f.id) {
        case 2:
            PQ_TRY(read_schema(p, &f));
            *type_order = pq_mem_arena_alloc(p->arena, p->m->column_count, 1, p->err);
            if (*type_order == NULL)
                return PQ_LIMIT;
            break;
        case 3:
            *rows = pq_thrift_i64(&p->t, &f);
            break;
        case 4:
            PQ_TRY(read_groups(p, &f));
            break;
        case 5:
            PQ_TRY(read_pairs(p, &f));
            break;
        case 7:
            if (*type_order == NULL)
                return broken(p);
            PQ_TRY(read_orders(p, &f, *type_order));
            break;
        case 8:
            return pq_fail(p->err, PQ_UNSUPPORTED, "the file is encrypted");
        default:
            pq_thrift_skip(&p->t, &f);
        }
    }
    return p->t.failed ? broken(p) : PQ_OK;
}

int pq_meta_parse(struct meta *m, struct pq_bytes footer, uint64_t data_end,
                  struct mem_arena *arena, struct pq_error *err)
{
    struct parse p = {.m = m, .arena = arena, .data_end = data_end, .err = err};
    pq_thrift_init(&p.t, footer.data, footer.len);
    int64_t rows = -1;
    bool *type_order = NULL;
    PQ_TRY(read_file(&p, &rows, &type_order));
    if (type_order == NULL || p.t.at != p.t.end)
        return pq_fail(err, PQ_CORRUPT, "the footer has no schema or bytes behind its end");
    for (size_t i = 0; i < m->column_count; i++)
        m->ordered[i] = m->ordered[i] && type_order[i];
    for (size_t i = 0; i < m->group_count; i++)
        if (__builtin_add_overflow(m->rows, m->groups[i].rows, &m->rows) || m->rows > INT64_MAX)
            return pq_fail(err, PQ_CORRUPT, "the row groups have too many rows");
    if (m->column_count == 0 && m->rows > 0)
        return pq_fail(err, PQ_CORRUPT, "%" PRIu64 " rows without a column", m->rows);
    if (rows < 0 || m->rows != (uint64_t)rows)
        return pq_fail(err, PQ_CORRUPT,
                       "the footer says %" PRId64 " rows, its row groups have %" PRIu64, rows,
                       m->rows);
    return PQ_OK;
}
