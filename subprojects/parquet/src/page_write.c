/* page_write.c: see page_write.h. */
#include "page_write.h"

#include "encode.h"
#include "thrift_write.h"

void pq_page_sink_release(struct page_sink *sink)
{
    pq_codecs_release(&sink->codecs);
    pq_buf_release(&sink->raw);
    pq_buf_release(&sink->packed);
    pq_buf_release(&sink->words);
    pq_buf_release(&sink->dictionary);
}

/** The fields that every page's header begins with; the header stays open. */
static void put_header(struct thrift_put *t, enum format_page kind, size_t raw_len,
                       const struct pq_buf *packed)
{
    pq_thrift_put_i32(t, 1, (int32_t)kind);
    pq_thrift_put_i32(t, 2, (int32_t)raw_len);
    pq_thrift_put_i32(t, 3, (int32_t)packed->len);
    pq_thrift_put_i32(t, 4, (int32_t)pq_page_crc(packed->data, packed->len));
}

/** The end of the header, then the page's bytes. */
static int append_page(struct thrift_put *t, size_t start, size_t raw_len,
                       const struct pq_buf *packed, struct page_sizes *ret, struct pq_error *err)
{
    pq_thrift_put_end(t);
    ret->raw = t->out->len - start + raw_len;
    pq_buf_append(t->out, packed->data, packed->len);
    ret->file = t->out->len - start;
    PQ_TRY(pq_buf_check(packed, err));
    return pq_buf_check(t->out, err);
}

static int page_too_large(size_t len, struct pq_error *err)
{
    return pq_fail(err, PQ_LIMIT, "a page of %zu bytes is more than Parquet allows", len);
}

int pq_page_write_dictionary(struct page_sink *sink, struct pq_bytes plain, uint32_t count,
                             struct pq_buf *out, struct page_sizes *ret, struct pq_error *err)
{
    sink->packed.len = 0;
    PQ_TRY(pq_compress(&sink->codecs, sink->codec, sink->level, plain.data, plain.len,
                       &sink->packed, err));
    struct thrift_put t = {.out = out};
    size_t start = out->len;
    put_header(&t, FORMAT_DICTIONARY_PAGE, plain.len, &sink->packed);
    pq_thrift_put_struct(&t, 7);
    pq_thrift_put_i32(&t, 1, (int32_t)count);
    pq_thrift_put_i32(&t, 2, FORMAT_PLAIN);
    pq_thrift_put_end(&t);
    return append_page(&t, start, plain.len, &sink->packed, ret, err);
}

/** A level for each row: 1 a value, 0 null. A page without nulls is one run. */
static void put_levels(struct page_sink *sink, const struct data_page *page)
{
    if (page->values == page->rows || page->values == 0) {
        pq_buf_varint(&sink->raw, (uint64_t)page->rows << 1);
        pq_buf_byte(&sink->raw, page->values != 0);
        return;
    }
    sink->words.len = 0;
    if (!pq_buf_reserve(&sink->words, page->rows * sizeof(uint32_t))) {
        sink->raw.failed = true;
        return;
    }
    uint32_t *levels = (uint32_t *)(void *)sink->words.data;
    for (uint32_t i = 0; i < page->rows; i++)
        levels[i] = page->present[i];
    pq_encode_hybrid(&sink->raw, levels, page->rows, 1);
}

int pq_page_begin_data(struct page_sink *sink, const struct data_page *page, struct pq_error *err)
{
    sink->raw.len = 0;
    if (page->present != NULL) {
        if (!sink->page_v2)
            pq_buf_le32(&sink->raw, 0);
        put_levels(sink, page);
        PQ_TRY(pq_buf_check(&sink->raw, err));
        if (!sink->page_v2)
            pq_put_le32(sink->raw.data, (uint32_t)sink->raw.len - 4);
    }
    sink->levels_bytes = sink->raw.len;
    return PQ_OK;
}

static void put_v1(struct thrift_put *t, const struct data_page *page)
{
    pq_thrift_put_struct(t, 5);
    pq_thrift_put_i32(t, 1, (int32_t)page->rows);
    pq_thrift_put_i32(t, 2, (int32_t)page->encoding);
    pq_thrift_put_i32(t, 3, FORMAT_RLE);
    pq_thrift_put_i32(t, 4, FORMAT_RLE);
    pq_thrift_put_end(t);
}

static void put_v2(struct thrift_put *t, const struct data_page *page, size_t levels_bytes,
                   bool compressed)
{
    pq_thrift_put_struct(t, 8);
    pq_thrift_put_i32(t, 1, (int32_t)page->rows);
    pq_thrift_put_i32(t, 2, (int32_t)(page->rows - page->values));
    pq_thrift_put_i32(t, 3, (int32_t)page->rows);
    pq_thrift_put_i32(t, 4, (int32_t)page->encoding);
    pq_thrift_put_i32(t, 5, (int32_t)levels_bytes);
    pq_thrift_put_i32(t, 6, 0);
    pq_thrift_put_bool(t, 7, compressed);
    pq_thrift_put_end(t);
}

int pq_page_write_data(struct page_sink *sink, const struct data_page *page, struct pq_buf *out,
                       struct page_sizes *ret, struct pq_error *err)
{
    struct pq_buf *raw = &sink->raw, *packed = &sink->packed;
    PQ_TRY(pq_buf_check(raw, err));
    if (raw->len > INT32_MAX)
        return page_too_large(raw->len, err);
    /* A v2 page's levels lie before its values uncompressed. */
    size_t levels = sink->page_v2 ? sink->levels_bytes : 0;
    bool compressed = sink->codec != PQ_NONE && raw->len > levels;
    packed->len = 0;
    pq_buf_append(packed, raw->data, levels);
    PQ_TRY(pq_compress(&sink->codecs, compressed || !sink->page_v2 ? sink->codec : PQ_NONE,
                       sink->level, raw->data + levels, raw->len - levels, packed, err));
    if (packed->len > INT32_MAX)
        return page_too_large(packed->len, err);
    struct thrift_put t = {.out = out};
    size_t start = out->len;
    put_header(&t, sink->page_v2 ? FORMAT_DATA_PAGE_V2 : FORMAT_DATA_PAGE, raw->len, packed);
    if (sink->page_v2)
        put_v2(&t, page, levels, compressed);
    else
        put_v1(&t, page);
    return append_page(&t, start, raw->len, packed, ret, err);
}
