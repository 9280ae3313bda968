/* chunk_write.c: see chunk_write.h; also pq_column_writer_end of column_write.h. */
#include "chunk_write.h"

#include "bloom.h"
#include "thrift_write.h"

void pq_chunk_release(struct chunk *c)
{
    pq_buf_release(&c->column_index);
    pq_buf_release(&c->offset_index);
    pq_buf_release(&c->bloom);
}

void pq_chunk_begin(struct column_writer *c)
{
    c->chunk = (struct chunk){0};
    c->stats.any = false;
    struct pq_buf *bufs[] = {&c->pages,     &c->hashes,      &c->index_empty, &c->index_min,
                             &c->index_max, &c->index_nulls, &c->places};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        bufs[i]->len = 0;
    c->page_count = 0;
    c->index_valid = c->ascending = c->descending = true;
    c->bounded = false;
}

static bool is_text(const struct column_writer *c)
{
    return c->logical == PQ_STRING || c->logical == PQ_JSON;
}

/** The page's bounds into the column index. A page with values but without bounds (all of them NaN,
 * or bytes that nothing of STATS_BYTES_MAX bytes is above) makes an index impossible. */
static void add_bounds(struct column_writer *c, bool empty)
{
    struct stats_bound min = {0}, max = {0};
    if (!empty)
        pq_stats_bounds(&c->page_stats, c->type, is_text(c), &min, &max);
    pq_thrift_put_element_bool(&c->index_empty, empty);
    pq_thrift_put_bytes(&c->index_min, min.bytes, min.len);
    pq_thrift_put_bytes(&c->index_max, max.bytes, max.len);
    if (empty)
        return;
    if (!min.there || !max.there) {
        c->index_valid = false;
        return;
    }
    if (c->bounded) {
        int by_min = pq_stats_bound_compare(c->type, &c->last_min, &min);
        int by_max = pq_stats_bound_compare(c->type, &c->last_max, &max);
        c->ascending = c->ascending && by_min <= 0 && by_max <= 0;
        c->descending = c->descending && by_min >= 0 && by_max >= 0;
    }
    c->bounded = true;
    c->last_min = min;
    c->last_max = max;
}

void pq_chunk_add_page(struct column_writer *c, const struct data_page *page,
                       const struct page_sizes *sizes)
{
    struct page_place place = {.offset = c->pages.len - sizes->file,
                               .first_row = c->chunk.rows,
                               .bytes = (uint32_t)sizes->file};
    pq_buf_append(&c->places, &place, sizeof(place));
    add_bounds(c, page->values == 0);
    pq_buf_zigzag(&c->index_nulls, page->rows - page->values);
    pq_stats_merge(&c->stats, c->type, &c->page_stats);
    c->page_count++;
    c->chunk.rows += page->rows;
    c->chunk.nulls += page->rows - page->values;
    c->chunk.raw_bytes += sizes->raw;
    c->chunk.file_bytes += sizes->file;
    c->chunk.pages[page->encoding]++;
}

/* The chunk's end ----------------------------------------------------------------------------- */

static int make_column_index(struct column_writer *c, struct pq_error *err)
{
    struct pq_buf *out = &c->chunk.column_index;
    if (!c->index_valid)
        return PQ_OK;
    struct thrift_put t = {.out = out};
    pq_thrift_put_list(&t, 1, THRIFT_TRUE, c->page_count);
    pq_buf_append(out, c->index_empty.data, c->index_empty.len);
    pq_thrift_put_list(&t, 2, THRIFT_BINARY, c->page_count);
    pq_buf_append(out, c->index_min.data, c->index_min.len);
    pq_thrift_put_list(&t, 3, THRIFT_BINARY, c->page_count);
    pq_buf_append(out, c->index_max.data, c->index_max.len);
    pq_thrift_put_i32(&t, 4,
                      c->ascending    ? FORMAT_ASCENDING
                      : c->descending ? FORMAT_DESCENDING
                                      : FORMAT_UNORDERED);
    pq_thrift_put_list(&t, 5, THRIFT_I64, c->page_count);
    pq_buf_append(out, c->index_nulls.data, c->index_nulls.len);
    pq_thrift_put_end(&t);
    PQ_TRY(pq_buf_check(&c->index_empty, err));
    PQ_TRY(pq_buf_check(&c->index_min, err));
    PQ_TRY(pq_buf_check(&c->index_max, err));
    PQ_TRY(pq_buf_check(&c->index_nulls, err));
    return pq_buf_check(out, err);
}

static int make_offset_index(struct column_writer *c, struct pq_error *err)
{
    PQ_TRY(pq_buf_check(&c->places, err));
    struct thrift_put t = {.out = &c->chunk.offset_index};
    pq_thrift_put_list(&t, 1, THRIFT_STRUCT, c->page_count);
    for (uint32_t i = 0; i < c->page_count; i++) {
        struct page_place place;
        memcpy(&place, c->places.data + i * sizeof(place), sizeof(place));
        pq_thrift_put_begin(&t);
        pq_thrift_put_i64(&t, 1, (int64_t)(c->chunk.data_offset + place.offset));
        pq_thrift_put_i32(&t, 2, (int32_t)place.bytes);
        pq_thrift_put_i64(&t, 3, (int64_t)place.first_row);
        pq_thrift_put_end(&t);
    }
    pq_thrift_put_end(&t);
    return pq_buf_check(&c->chunk.offset_index, err);
}

static int make_bloom(struct column_writer *c, struct pq_error *err)
{
    if (!c->bloom)
        return PQ_OK;
    PQ_TRY(pq_buf_check(&c->hashes, err));
    size_t count = c->hashes.len / 8;
    uint32_t bytes = pq_bloom_bytes(count, BLOOM_BYTES_MAX);
    struct pq_buf *bloom = &c->chunk.bloom;
    if (!pq_buf_reserve(bloom, bytes))
        return pq_buf_check(bloom, err);
    memset(bloom->data, 0, bytes);
    bloom->len = bytes;
    for (size_t i = 0; i < count; i++)
        pq_bloom_insert(bloom->data, bytes, pq_get_le64(c->hashes.data + 8 * i));
    return PQ_OK;
}

static int write_dictionary(struct column_writer *c, struct page_sink *sink, struct pq_error *err)
{
    sink->dictionary.len = 0;
    if (c->chunk.pages[FORMAT_RLE_DICTIONARY] == 0)
        return PQ_OK;
    struct page_sizes sizes;
    struct pq_bytes plain = {c->dict.plain.data, (uint32_t)c->dict.plain.len};
    PQ_TRY(pq_page_write_dictionary(sink, plain, c->dict.count, &sink->dictionary, &sizes, err));
    c->chunk.raw_bytes += sizes.raw;
    c->chunk.file_bytes += sizes.file;
    return PQ_OK;
}

int pq_column_writer_end(struct column_writer *c, struct page_sink *sink, uint64_t offset,
                         struct pq_error *err)
{
    PQ_TRY(pq_column_writer_flush(c, sink, err));
    PQ_TRY(write_dictionary(c, sink, err));
    c->chunk.dictionary_offset = sink->dictionary.len != 0 ? offset : 0;
    c->chunk.data_offset = offset + sink->dictionary.len;
    pq_stats_bounds(&c->stats, c->type, is_text(c), &c->chunk.min, &c->chunk.max);
    PQ_TRY(make_column_index(c, err));
    PQ_TRY(make_offset_index(c, err));
    return make_bloom(c, err);
}
