#include "read_index.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "bloom.h"

/* A bloom filter's header is under 32 bytes; the specification allows filters of 128 MiB. */
#define BLOOM_HEADER_MAX 64
#define BLOOM_BYTES_MAX (128 << 20)

int pq_source_read(const struct source *s, uint64_t offset, void *out, size_t len,
                   struct pq_error *err)
{
    if (offset > s->options->size || len > s->options->size - offset)
        return pq_fail(err, PQ_CORRUPT, "bytes %" PRIu64 " to %" PRIu64 " of a file of %" PRIu64,
                       offset, offset + len, s->options->size);
    if (len > 0 && s->options->read(s->options->arg, offset, out, len) != 0)
        return pq_fail(err, PQ_IO, "%zu bytes at offset %" PRIu64 " could not be read", len,
                       offset);
    return PQ_OK;
}

static int load(struct source *s, struct meta_range range, struct thrift *t, struct pq_error *err)
{
    PQ_TRY(pq_mem_buf_reserve(&s->buf, range.len, err));
    PQ_TRY(pq_source_read(s, range.start, s->buf.data, range.len, err));
    pq_thrift_init(t, s->buf.data, range.len);
    return PQ_OK;
}

/* Offset index -------------------------------------------------------------------------------- */

static int broken_pages(struct pq_error *err)
{
    return pq_fail(err, PQ_CORRUPT, "the offset index contradicts the column chunk");
}

static void read_location(struct thrift *t, int64_t *offset, int64_t *size, int64_t *row)
{
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        if (f.id == 1)
            *offset = pq_thrift_i64(t, &f);
        else if (f.id == 2)
            *size = pq_thrift_i32(t, &f);
        else if (f.id == 3)
            *row = pq_thrift_i64(t, &f);
        else
            pq_thrift_skip(t, &f);
    }
}

/* Pages lie in the chunk in order, each begins with a later row than the one before. */
static bool location_fits(const struct meta_range *chunk, const struct page_at *before,
                          int64_t offset, int64_t size, int64_t row)
{
    if (offset < 0 || size <= 0 || row < 0 || (uint64_t)offset < chunk->start)
        return false;
    uint64_t in_chunk = (uint64_t)offset - chunk->start;
    if (in_chunk > chunk->len || (uint64_t)size > chunk->len - in_chunk)
        return false;
    if (before == NULL)
        return row == 0;
    return (uint64_t)offset >= before->offset + before->size && (uint64_t)row > before->first_row;
}

static int read_locations(struct thrift *t, const struct thrift_field *f,
                          const struct meta_range *chunk, struct page_list *pages,
                          struct pq_error *err)
{
    uint32_t count = pq_thrift_list(t, f, THRIFT_STRUCT);
    PQ_TRY(pq_mem_buf_reserve(&pages->buf, (uint64_t)count * sizeof(struct page_at), err));
    struct page_at *list = (void *)pages->buf.data;
    for (uint32_t i = 0; i < count; i++) {
        int64_t offset = -1, size = -1, row = -1;
        read_location(t, &offset, &size, &row);
        if (t->failed || !location_fits(chunk, i > 0 ? &list[i - 1] : NULL, offset, size, row))
            return broken_pages(err);
        list[i] = (struct page_at){(uint64_t)offset, (uint64_t)row, (uint32_t)size};
    }
    pages->count = count;
    return PQ_OK;
}

int pq_index_pages(struct source *s, const struct meta_chunk *chunk, uint64_t group_rows,
                   struct page_list *pages, struct pq_error *err)
{
    pages->count = 0;
    if (chunk->offset_index.len == 0)
        return PQ_OK;
    struct thrift t;
    PQ_TRY(load(s, chunk->offset_index, &t, err));
    struct thrift_field f = {0};
    while (pq_thrift_next(&t, &f)) {
        if (f.id == 1)
            PQ_TRY(read_locations(&t, &f, &chunk->pages, pages, err));
        else
            pq_thrift_skip(&t, &f);
    }
    const struct page_at *list = (const void *)pages->buf.data;
    if (t.failed || pages->count == 0 || list[pages->count - 1].first_row >= group_rows)
        return broken_pages(err);
    return PQ_OK;
}

uint32_t pq_index_find(const struct page_list *pages, uint64_t row)
{
    const struct page_at *list = (const void *)pages->buf.data;
    uint32_t low = 0, high = pages->count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (list[middle].first_row <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Bounds -------------------------------------------------------------------------------------- */

static int compare_bytes(struct pq_bytes a, struct pq_bytes b)
{
    uint32_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.data, b.data, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* < 0, 0, > 0 for a bound against a value; 0 where they do not compare (NaN, a wrong length), which
 * excludes nothing. */
static int compare(enum pq_type type, struct pq_bytes bound, const struct pq_value *v)
{
    int32_t i32;
    int64_t i64;
    double f64;
    switch (type) {
    case PQ_INT32:
        if (bound.len != sizeof(i32))
            return 0;
        memcpy(&i32, bound.data, sizeof(i32));
        return (i32 > v->i32) - (i32 < v->i32);
    case PQ_INT64:
        if (bound.len != sizeof(i64))
            return 0;
        memcpy(&i64, bound.data, sizeof(i64));
        return (i64 > v->i64) - (i64 < v->i64);
    case PQ_DOUBLE:
        if (bound.len != sizeof(f64))
            return 0;
        memcpy(&f64, bound.data, sizeof(f64));
        return (f64 > v->f64) - (f64 < v->f64);
    case PQ_BYTE_ARRAY:
    case PQ_FIXED_16:
        return compare_bytes(bound, v->bytes);
    case PQ_BOOLEAN:
        break;
    }
    return 0;
}

static bool bound_is_nan(enum pq_type type, struct pq_bytes bound)
{
    double f64;
    if (type != PQ_DOUBLE || bound.len != sizeof(f64))
        return false;
    memcpy(&f64, bound.data, sizeof(f64));
    return isnan(f64);
}

/* Whether everything between the bounds lies outside the range. */
static bool bounds_exclude(const struct prune *p, enum pq_type type, const struct meta_bounds *b)
{
    if (bound_is_nan(type, b->min) || bound_is_nan(type, b->max))
        return false;
    if (p->has_low && b->max.data != NULL && compare(type, b->max, &p->low) < 0)
        return true;
    return p->has_high && b->min.data != NULL && compare(type, b->min, &p->high) > 0;
}

/* Column index -------------------------------------------------------------------------------- */

struct column_index {
    struct thrift null_pages, mins, maxs; /* each before its list's first element */
    uint32_t null_count, min_count, max_count;
};

static bool read_column_index(struct thrift *t, struct column_index *ret)
{
    *ret = (struct column_index){0};
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        struct thrift list = *t;
        if (f.id == 1) {
            ret->null_count = pq_thrift_list(&list, &f, THRIFT_TRUE);
            ret->null_pages = list;
        } else if (f.id == 2) {
            ret->min_count = pq_thrift_list(&list, &f, THRIFT_BINARY);
            ret->mins = list;
        } else if (f.id == 3) {
            ret->max_count = pq_thrift_list(&list, &f, THRIFT_BINARY);
            ret->maxs = list;
        }
        pq_thrift_skip(t, &f);
    }
    return !t->failed && ret->null_count > 0 && ret->null_count == ret->min_count &&
           ret->null_count == ret->max_count;
}

static int add_span(struct span_list *list, struct span s, struct pq_error *err)
{
    struct span *spans = (void *)list->buf.data;
    if (list->count > 0 && spans[list->count - 1].end == s.first) {
        spans[list->count - 1].end = s.end;
        return PQ_OK;
    }
    uint64_t need = ((uint64_t)list->count + 1) * sizeof(s);
    if (need > list->buf.cap)
        PQ_TRY(pq_mem_buf_reserve(&list->buf, need * 2, err));
    spans = (void *)list->buf.data;
    spans[list->count++] = s;
    return PQ_OK;
}

/* Adds the parts of `kept` that lie in `page`; *at is the first of `kept` that may. */
static int add_overlap(struct span_list *out, const struct span_list *kept, uint32_t *at,
                       struct span page, struct pq_error *err)
{
    const struct span *spans = (const void *)kept->buf.data;
    while (*at < kept->count && spans[*at].end <= page.first)
        ++*at;
    for (uint32_t i = *at; i < kept->count && spans[i].first < page.end; i++) {
        struct span s = spans[i];
        s.first = s.first > page.first ? s.first : page.first;
        s.end = s.end < page.end ? s.end : page.end;
        PQ_TRY(add_span(out, s, err));
    }
    return PQ_OK;
}

int pq_prune_pages(struct source *s, const struct meta *m, const struct prune *p,
                   const struct meta_group *group, struct page_list *pages, struct span_list *spans,
                   struct span_list *scratch, struct pq_error *err)
{
    const struct meta_chunk *chunk = &group->chunks[p->column];
    if (!m->ordered[p->column] || chunk->column_index.len == 0 || chunk->offset_index.len == 0)
        return PQ_OK;
    PQ_TRY(pq_index_pages(s, chunk, group->rows, pages, err));
    struct thrift t;
    struct column_index index;
    PQ_TRY(load(s, chunk->column_index, &t, err));
    if (!read_column_index(&t, &index) || index.null_count != pages->count)
        return pq_fail(err, PQ_CORRUPT, "the column index contradicts the offset index");
    const struct page_at *list = (const void *)pages->buf.data;
    uint32_t at = 0;
    scratch->count = 0;
    for (uint32_t i = 0; i < pages->count; i++) {
        bool null_page = pq_thrift_element_bool(&index.null_pages);
        struct meta_bounds b = {.min = pq_thrift_element_binary(&index.mins),
                                .max = pq_thrift_element_binary(&index.maxs)};
        if (null_page || bounds_exclude(p, m->columns[p->column].type, &b))
            continue;
        uint64_t end = i + 1 < pages->count ? list[i + 1].first_row : group->rows;
        PQ_TRY(add_overlap(scratch, spans, &at, (struct span){list[i].first_row, end}, err));
    }
    struct span_list before = *spans;
    *spans = *scratch;
    *scratch = before;
    return PQ_OK;
}

/* Bloom filter -------------------------------------------------------------------------------- */

/* Unions of which member 1 is the only one that exists: BLOCK, XXHASH, UNCOMPRESSED. */
static bool union_is_first(struct thrift *t, const struct thrift_field *parent)
{
    pq_thrift_struct(t, parent);
    bool first = false;
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        first = f.id == 1;
        pq_thrift_skip(t, &f);
    }
    return first;
}

static int read_bloom_header(struct source *s, uint64_t offset, struct meta_range *ret,
                             bool *ret_known, struct pq_error *err)
{
    uint8_t head[BLOOM_HEADER_MAX];
    uint64_t left = s->options->size - offset;
    size_t len = left < sizeof(head) ? (size_t)left : sizeof(head);
    PQ_TRY(pq_source_read(s, offset, head, len, err));
    struct thrift t;
    pq_thrift_init(&t, head, len);
    int32_t bytes = 0;
    unsigned known = 0;
    struct thrift_field f = {0};
    while (pq_thrift_next(&t, &f)) {
        if (f.id == 1)
            bytes = pq_thrift_i32(&t, &f);
        else if (f.id >= 2 && f.id <= 4)
            known += union_is_first(&t, &f);
        else
            pq_thrift_skip(&t, &f);
    }
    uint64_t start = offset + (uint64_t)(t.at - head);
    if (t.failed || bytes < PQ_BLOOM_BLOCK_BYTES || bytes % PQ_BLOOM_BLOCK_BYTES != 0 ||
        bytes > BLOOM_BYTES_MAX || (uint64_t)bytes > s->options->size - start)
        return pq_fail(err, PQ_CORRUPT, "the bloom filter at offset %" PRIu64 " is broken", offset);
    *ret = (struct meta_range){start, (uint64_t)bytes};
    *ret_known = known == 3;
    return PQ_OK;
}

/* Only the one block that the hash chooses is read. */
static int bloom_excludes(struct source *s, const struct meta_chunk *chunk, enum pq_type type,
                          const struct pq_value *value, bool *ret, struct pq_error *err)
{
    struct meta_range bits = {0};
    bool known = false;
    PQ_TRY(read_bloom_header(s, chunk->bloom_offset, &bits, &known, err));
    if (!known)
        return PQ_OK;
    uint8_t block[PQ_BLOOM_BLOCK_BYTES];
    uint64_t hash = pq_bloom_hash(type, value);
    uint64_t index = (hash >> 32) * (bits.len / PQ_BLOOM_BLOCK_BYTES) >> 32;
    PQ_TRY(pq_source_read(s, bits.start + index * PQ_BLOOM_BLOCK_BYTES, block, sizeof(block), err));
    *ret = !pq_bloom_check(block, sizeof(block), hash);
    return PQ_OK;
}

/* Equal doubles may have different bits (0.0 and -0.0), which hash differently. */
static bool bloom_may_serve(const struct prune *p, enum pq_type type)
{
    if (!p->has_low || !p->has_high)
        return false;
    switch (type) {
    case PQ_INT32:
        return p->low.i32 == p->high.i32;
    case PQ_INT64:
        return p->low.i64 == p->high.i64;
    case PQ_BYTE_ARRAY:
    case PQ_FIXED_16:
        return compare_bytes(p->low.bytes, p->high.bytes) == 0;
    case PQ_DOUBLE:
        return p->low.f64 == p->high.f64 && p->low.f64 != 0.0;
    case PQ_BOOLEAN:
        break;
    }
    return false;
}

int pq_prune_group(struct source *s, const struct meta *m, const struct prune *p,
                   const struct meta_chunk *chunk, bool *ret_out, struct pq_error *err)
{
    enum pq_type type = m->columns[p->column].type;
    *ret_out = chunk->bounds.null_count == chunk->num_values ||
               (m->ordered[p->column] && bounds_exclude(p, type, &chunk->bounds));
    if (*ret_out || chunk->bloom_offset == 0 || !bloom_may_serve(p, type))
        return PQ_OK;
    return bloom_excludes(s, chunk, type, &p->low, ret_out, err);
}
