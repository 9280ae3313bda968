/* footer_write.c: see footer_write.h. */
#include "footer_write.h"

#include "thrift_write.h"

#define FORMAT_VERSION 2 /* of FileMetaData: logical types and the encodings of format 2 */

static const int32_t codec_number[] = {[PQ_NONE] = FORMAT_UNCOMPRESSED,
                                       [PQ_SNAPPY] = FORMAT_SNAPPY,
                                       [PQ_GZIP] = FORMAT_GZIP,
                                       [PQ_ZSTD] = FORMAT_ZSTD,
                                       [PQ_LZ4_RAW] = FORMAT_LZ4_RAW};

/** BloomFilterHeader, then the bits. */
static int put_bloom(struct pq_writer *w, struct placed_chunk *placed, struct pq_error *err)
{
    struct pq_buf *bits = &placed->chunk.bloom, *header = &w->sink.raw;
    header->len = 0;
    struct thrift_put t = {.out = header};
    pq_thrift_put_i32(&t, 1, (int32_t)bits->len);
    for (int16_t field = 2; field <= 4; field++) { /* BLOCK, XXHASH, UNCOMPRESSED */
        pq_thrift_put_struct(&t, field);
        pq_thrift_put_empty(&t, 1);
        pq_thrift_put_end(&t);
    }
    pq_thrift_put_end(&t);
    PQ_TRY(pq_buf_check(header, err));
    placed->bloom = w->bytes;
    placed->bloom_len = (uint32_t)(header->len + bits->len);
    PQ_TRY(pq_writer_put(w, header->data, header->len, err));
    PQ_TRY(pq_writer_put(w, bits->data, bits->len, err));
    pq_buf_release(bits);
    return PQ_OK;
}

int pq_footer_bloom(struct pq_writer *w, struct pq_error *err)
{
    for (size_t g = 0; g < w->group_count; g++)
        for (size_t c = 0; c < w->column_count; c++)
            if (w->groups[g].chunks[c].chunk.bloom.len != 0)
                PQ_TRY(put_bloom(w, &w->groups[g].chunks[c], err));
    return PQ_OK;
}

/** An index that a chunk may lack; where it lies. */
static int put_index(struct pq_writer *w, struct pq_buf *index, uint64_t *ret_offset,
                     uint32_t *ret_len, struct pq_error *err)
{
    if (index->len > INT32_MAX)
        return pq_fail(err, PQ_LIMIT, "a page index of %zu bytes is more than Parquet allows",
                       index->len);
    *ret_offset = w->bytes;
    *ret_len = (uint32_t)index->len;
    PQ_TRY(pq_writer_put(w, index->data, index->len, err));
    pq_buf_release(index);
    return PQ_OK;
}

int pq_footer_page_index(struct pq_writer *w, struct pq_error *err)
{
    for (size_t g = 0; g < w->group_count; g++)
        for (size_t c = 0; c < w->column_count; c++) {
            struct placed_chunk *p = &w->groups[g].chunks[c];
            PQ_TRY(
                put_index(w, &p->chunk.column_index, &p->column_index, &p->column_index_len, err));
        }
    for (size_t g = 0; g < w->group_count; g++)
        for (size_t c = 0; c < w->column_count; c++) {
            struct placed_chunk *p = &w->groups[g].chunks[c];
            PQ_TRY(
                put_index(w, &p->chunk.offset_index, &p->offset_index, &p->offset_index_len, err));
        }
    return PQ_OK;
}

/* Schema -------------------------------------------------------------------------------------- */

static int32_t converted_type(enum pq_logical logical)
{
    switch (logical) {
    case PQ_STRING:
        return FORMAT_CONVERTED_UTF8;
    case PQ_JSON:
        return FORMAT_CONVERTED_JSON;
    case PQ_TIMESTAMP_MILLIS:
        return FORMAT_CONVERTED_TIMESTAMP_MILLIS;
    case PQ_TIMESTAMP_MICROS:
        return FORMAT_CONVERTED_TIMESTAMP_MICROS;
    case PQ_LOGICAL_NONE:
    case PQ_UUID:
        break;
    }
    return -1;
}

static void put_timestamp(struct thrift_put *t, enum format_time_unit unit)
{
    pq_thrift_put_struct(t, FORMAT_LOGICAL_TIMESTAMP);
    pq_thrift_put_bool(t, 1, true); /* isAdjustedToUTC */
    pq_thrift_put_struct(t, 2);
    pq_thrift_put_empty(t, (int16_t)unit);
    pq_thrift_put_end(t);
    pq_thrift_put_end(t);
}

static void put_logical(struct thrift_put *t, enum pq_logical logical)
{
    pq_thrift_put_struct(t, 10);
    switch (logical) {
    case PQ_STRING:
        pq_thrift_put_empty(t, FORMAT_LOGICAL_STRING);
        break;
    case PQ_JSON:
        pq_thrift_put_empty(t, FORMAT_LOGICAL_JSON);
        break;
    case PQ_TIMESTAMP_MILLIS:
        put_timestamp(t, FORMAT_MILLIS);
        break;
    case PQ_TIMESTAMP_MICROS:
        put_timestamp(t, FORMAT_MICROS);
        break;
    case PQ_UUID:
        pq_thrift_put_empty(t, FORMAT_LOGICAL_UUID);
        break;
    case PQ_LOGICAL_NONE:
        break;
    }
    pq_thrift_put_end(t);
}

static void put_schema(struct thrift_put *t, const struct pq_writer *w)
{
    pq_thrift_put_list(t, 2, THRIFT_STRUCT, w->column_count + 1);
    pq_thrift_put_begin(t);
    pq_thrift_put_text(t, 4, "schema");
    pq_thrift_put_i32(t, 5, (int32_t)w->column_count);
    pq_thrift_put_end(t);
    for (size_t i = 0; i < w->column_count; i++) {
        const struct column_writer *c = &w->columns[i];
        pq_thrift_put_begin(t);
        pq_thrift_put_i32(t, 1, pq_format_types[c->type]);
        if (c->type == PQ_FIXED_16)
            pq_thrift_put_i32(t, 2, 16);
        pq_thrift_put_i32(t, 3, c->optional ? FORMAT_OPTIONAL : FORMAT_REQUIRED);
        pq_thrift_put_text(t, 4, c->name);
        if (converted_type(c->logical) >= 0)
            pq_thrift_put_i32(t, 6, converted_type(c->logical));
        if (c->field_id != 0)
            pq_thrift_put_i32(t, 9, c->field_id);
        if (c->logical != PQ_LOGICAL_NONE)
            put_logical(t, c->logical);
        pq_thrift_put_end(t);
    }
}

/* Row groups ---------------------------------------------------------------------------------- */

static void put_statistics(struct thrift_put *t, const struct chunk *chunk)
{
    const struct stats_bound *min = &chunk->min, *max = &chunk->max;
    pq_thrift_put_struct(t, 12);
    pq_thrift_put_i64(t, 3, (int64_t)chunk->nulls);
    if (max->there)
        pq_thrift_put_binary(t, 5, max->bytes, max->len);
    if (min->there)
        pq_thrift_put_binary(t, 6, min->bytes, min->len);
    if (max->there)
        pq_thrift_put_bool(t, 7, max->exact);
    if (min->there)
        pq_thrift_put_bool(t, 8, min->exact);
    pq_thrift_put_end(t);
}

/** How many pages of which kind and encoding: readers learn whether all values are in the
 * dictionary. */
static void put_encoding_stats(struct thrift_put *t, const struct chunk *chunk, bool page_v2)
{
    size_t kinds = chunk->dictionary_offset != 0;
    for (size_t e = 0; e < sizeof(chunk->pages) / sizeof(chunk->pages[0]); e++)
        kinds += chunk->pages[e] != 0;
    pq_thrift_put_list(t, 13, THRIFT_STRUCT, kinds);
    if (chunk->dictionary_offset != 0) {
        pq_thrift_put_begin(t);
        pq_thrift_put_i32(t, 1, FORMAT_DICTIONARY_PAGE);
        pq_thrift_put_i32(t, 2, FORMAT_PLAIN);
        pq_thrift_put_i32(t, 3, 1);
        pq_thrift_put_end(t);
    }
    for (size_t e = 0; e < sizeof(chunk->pages) / sizeof(chunk->pages[0]); e++) {
        if (chunk->pages[e] == 0)
            continue;
        pq_thrift_put_begin(t);
        pq_thrift_put_i32(t, 1, page_v2 ? FORMAT_DATA_PAGE_V2 : FORMAT_DATA_PAGE);
        pq_thrift_put_i32(t, 2, (int32_t)e);
        pq_thrift_put_i32(t, 3, (int32_t)chunk->pages[e]);
        pq_thrift_put_end(t);
    }
}

static void put_encodings(struct thrift_put *t, const struct chunk *chunk)
{
    int32_t used[16];
    size_t count = 0;
    used[count++] = FORMAT_RLE; /* levels */
    for (int32_t e = 0; e < 16; e++) {
        bool dictionary = e == FORMAT_PLAIN && chunk->dictionary_offset != 0;
        if (e != FORMAT_RLE && (chunk->pages[e] != 0 || dictionary))
            used[count++] = e;
    }
    pq_thrift_put_list(t, 2, THRIFT_I32, count);
    for (size_t i = 0; i < count; i++)
        pq_buf_zigzag(t->out, used[i]);
}

static void put_column_metadata(struct thrift_put *t, const struct pq_writer *w, size_t column,
                                const struct placed_chunk *placed)
{
    const struct column_writer *c = &w->columns[column];
    const struct chunk *chunk = &placed->chunk;
    pq_thrift_put_struct(t, 3);
    pq_thrift_put_i32(t, 1, pq_format_types[c->type]);
    put_encodings(t, chunk);
    pq_thrift_put_list(t, 3, THRIFT_BINARY, 1);
    pq_thrift_put_bytes(t->out, c->name, strlen(c->name));
    pq_thrift_put_i32(t, 4, codec_number[w->sink.codec]);
    pq_thrift_put_i64(t, 5, (int64_t)chunk->rows);
    pq_thrift_put_i64(t, 6, (int64_t)chunk->raw_bytes);
    pq_thrift_put_i64(t, 7, (int64_t)chunk->file_bytes);
    pq_thrift_put_i64(t, 9, (int64_t)chunk->data_offset);
    if (chunk->dictionary_offset != 0)
        pq_thrift_put_i64(t, 11, (int64_t)chunk->dictionary_offset);
    put_statistics(t, chunk);
    put_encoding_stats(t, chunk, w->sink.page_v2);
    if (placed->bloom_len != 0) {
        pq_thrift_put_i64(t, 14, (int64_t)placed->bloom);
        pq_thrift_put_i32(t, 15, (int32_t)placed->bloom_len);
    }
    pq_thrift_put_end(t);
}

static void put_chunk(struct thrift_put *t, const struct pq_writer *w, size_t column,
                      const struct placed_chunk *placed)
{
    pq_thrift_put_begin(t);
    pq_thrift_put_i64(t, 2,
                      0); /* file_offset, deprecated: there is no second copy of the metadata */
    put_column_metadata(t, w, column, placed);
    if (placed->offset_index_len != 0) {
        pq_thrift_put_i64(t, 4, (int64_t)placed->offset_index);
        pq_thrift_put_i32(t, 5, (int32_t)placed->offset_index_len);
    }
    if (placed->column_index_len != 0) {
        pq_thrift_put_i64(t, 6, (int64_t)placed->column_index);
        pq_thrift_put_i32(t, 7, (int32_t)placed->column_index_len);
    }
    pq_thrift_put_end(t);
}

static void put_sorting(struct thrift_put *t, const struct pq_writer *w)
{
    if (w->options.sorting_count == 0)
        return;
    pq_thrift_put_list(t, 4, THRIFT_STRUCT, w->options.sorting_count);
    for (size_t i = 0; i < w->options.sorting_count; i++) {
        pq_thrift_put_begin(t);
        pq_thrift_put_i32(t, 1, w->options.sorting[i]);
        pq_thrift_put_bool(t, 2, false); /* descending */
        pq_thrift_put_bool(t, 3, true);  /* nulls_first */
        pq_thrift_put_end(t);
    }
}

static void put_row_group(struct thrift_put *t, const struct pq_writer *w, size_t index)
{
    const struct row_group *group = &w->groups[index];
    uint64_t raw_bytes = 0, file_bytes = 0;
    pq_thrift_put_begin(t);
    pq_thrift_put_list(t, 1, THRIFT_STRUCT, w->column_count);
    for (size_t c = 0; c < w->column_count; c++) {
        put_chunk(t, w, c, &group->chunks[c]);
        raw_bytes += group->chunks[c].chunk.raw_bytes;
        file_bytes += group->chunks[c].chunk.file_bytes;
    }
    pq_thrift_put_i64(t, 2, (int64_t)raw_bytes);
    pq_thrift_put_i64(t, 3, (int64_t)group->rows);
    put_sorting(t, w);
    pq_thrift_put_i64(t, 5, (int64_t)group->offset);
    pq_thrift_put_i64(t, 6, (int64_t)file_bytes);
    if (index <= INT16_MAX)
        pq_thrift_put_i16(t, 7, (int16_t)index);
    pq_thrift_put_end(t);
}

int pq_footer_metadata(struct pq_writer *w, struct pq_error *err)
{
    struct pq_buf *out = &w->sink.raw;
    out->len = 0;
    struct thrift_put t = {.out = out};
    pq_thrift_put_i32(&t, 1, FORMAT_VERSION);
    put_schema(&t, w);
    pq_thrift_put_i64(&t, 3, (int64_t)w->rows);
    pq_thrift_put_list(&t, 4, THRIFT_STRUCT, w->group_count);
    for (size_t g = 0; g < w->group_count; g++)
        put_row_group(&t, w, g);
    if (w->metadata_count != 0) {
        pq_thrift_put_list(&t, 5, THRIFT_STRUCT, w->metadata_count);
        pq_buf_append(out, w->metadata.data, w->metadata.len);
    }
    pq_thrift_put_text(&t, 6, w->options.created_by);
    pq_thrift_put_list(&t, 7, THRIFT_STRUCT, w->column_count);
    for (size_t c = 0; c < w->column_count; c++) { /* TYPE_ORDER: how min and max compare */
        pq_thrift_put_begin(&t);
        pq_thrift_put_empty(&t, 1);
        pq_thrift_put_end(&t);
    }
    pq_thrift_put_end(&t);
    if (!out->failed && out->len > INT32_MAX)
        return pq_fail(err, PQ_LIMIT, "a footer of %zu bytes is more than Parquet allows",
                       out->len);
    pq_buf_le32(out, (uint32_t)out->len);
    pq_buf_append(out, PQ_MAGIC, PQ_MAGIC_LEN);
    PQ_TRY(pq_buf_check(out, err));
    return pq_writer_put(w, out->data, out->len, err);
}
