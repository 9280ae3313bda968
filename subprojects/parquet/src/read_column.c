#include "read_column.h"

#include <inttypes.h>

#define READ_AHEAD (256u << 10)
#define READ_AHEAD_JUMPING (4u << 10) /* where most pages will be left out */

void pq_column_init(struct column_reader *c, struct mem *mem, const struct source *source,
                    struct pq_codecs *codecs)
{
    *c = (struct column_reader){0};
    c->pager.source = source;
    c->pager.codecs = codecs;
    c->pager.skip_crc = source->options->skip_page_checksums;
    struct mem_buf *bufs[] = {
        &c->pager.window, &c->pager.plain,       &c->pages.buf, &c->dictionary_page,
        &c->values,       &c->dictionary_values, &c->last};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        bufs[i]->mem = mem;
}

void pq_column_release(struct column_reader *c)
{
    pq_pager_release(&c->pager);
    pq_mem_buf_release(&c->pages.buf);
    pq_mem_buf_release(&c->dictionary_page);
    pq_mem_buf_release(&c->dictionary_values);
    pq_mem_buf_release(&c->last);
    pq_mem_buf_release(&c->values);
}

/* Chunk --------------------------------------------------------------------------------------- */

static int set_codec(struct column_reader *c, int32_t codec, struct pq_error *err)
{
    static const struct {
        const char *name;
        bool read;
        enum pq_codec codec;
    } codecs[] = {
        [FORMAT_UNCOMPRESSED] = {"UNCOMPRESSED", true, PQ_NONE},
        [FORMAT_SNAPPY] = {"SNAPPY", true, PQ_SNAPPY},
        [FORMAT_GZIP] = {"GZIP", true, PQ_GZIP},
        [FORMAT_LZO] = {"LZO", false, PQ_NONE},
        [FORMAT_BROTLI] = {"BROTLI", false, PQ_NONE},
        [FORMAT_LZ4] = {"the deprecated LZ4", false, PQ_NONE},
        [FORMAT_ZSTD] = {"ZSTD", true, PQ_ZSTD},
        [FORMAT_LZ4_RAW] = {"LZ4_RAW", true, PQ_LZ4_RAW},
    };
    if (codec < 0 || (size_t)codec >= sizeof(codecs) / sizeof(codecs[0]))
        return pq_fail(err, PQ_UNSUPPORTED, "pages compressed with the unknown codec %d",
                       (int)codec);
    if (!codecs[codec].read)
        return pq_fail(err, PQ_UNSUPPORTED, "pages compressed with %s are not read",
                       codecs[codec].name);
    c->pager.codec = codecs[codec].codec;
    return PQ_OK;
}

int pq_column_begin(struct column_reader *c, struct source *s, const struct meta_group *group,
                    bool jumps, struct pq_error *err)
{
    const struct meta_chunk *chunk = &group->chunks[c->index];
    PQ_TRY(set_codec(c, chunk->codec, err));
    PQ_TRY(pq_mem_buf_reserve(&c->values, COLUMN_BATCH * sizeof(*c->batch), err));
    c->batch = (void *)c->values.data;
    c->pager.chunk = chunk->pages;
    c->pager.at = chunk->pages.start;
    c->pager.required = !c->info->optional;
    c->pager.window_len = 0;
    c->group_rows = group->rows;
    c->page_end = c->page_left = 0;
    c->at = c->have = 0;
    c->jumped = c->has_dictionary = false;
    c->decoder = (struct decoder){.type = c->info->type, .last = &c->last};
    c->pages.count = 0;
    PQ_TRY(pq_index_pages(s, chunk, group->rows, &c->pages, err));
    c->pager.read_ahead = jumps && c->pages.count > 0 ? READ_AHEAD_JUMPING : READ_AHEAD;
    return PQ_OK;
}

static int load_dictionary(struct column_reader *c, const struct page_header *h,
                           struct pq_error *err)
{
    if (c->has_dictionary || c->page_end > 0 || c->info->type == PQ_BOOLEAN)
        return pq_fail(err, PQ_CORRUPT, "a dictionary page where none may be");
    if (h->encoding != FORMAT_PLAIN && h->encoding != FORMAT_PLAIN_DICTIONARY)
        return pq_fail(err, PQ_UNSUPPORTED, "a dictionary in the encoding %d", (int)h->encoding);
    struct pq_bytes page;
    PQ_TRY(pq_pager_dictionary(&c->pager, h, &c->dictionary_page, &page, err));
    /* Every entry takes four bytes at least, which bounds the memory for them. */
    if ((uint32_t)h->values > page.len / 4)
        return pq_fail(err, PQ_CORRUPT, "a dictionary page has fewer entries than it says");
    uint32_t count = (uint32_t)h->values;
    PQ_TRY(
        pq_mem_buf_reserve(&c->dictionary_values, (uint64_t)count * sizeof(struct pq_value), err));
    c->dictionary = (struct dictionary){(void *)c->dictionary_values.data, count};
    struct decoder d = {.type = c->info->type};
    PQ_TRY(pq_decoder_init(&d, page, count, FORMAT_PLAIN, err));
    PQ_TRY(pq_decoder_read(&d, c->dictionary.values, count, err));
    if (!pq_decoder_is_spent(&d))
        return pq_fail(err, PQ_CORRUPT, "a dictionary page has more entries than it says");
    c->has_dictionary = true;
    c->decoder.dictionary = &c->dictionary;
    return PQ_OK;
}

/* Pages --------------------------------------------------------------------------------------- */

static int begin_page(struct column_reader *c, const struct page_header *h, struct pq_error *err)
{
    struct page page;
    PQ_TRY(pq_pager_data(&c->pager, h, &page, err));
    uint64_t present = (uint64_t)h->values;
    if (c->info->optional) {
        pq_hybrid_init(&c->levels, page.levels.data, page.levels.len, 1);
        if (!pq_hybrid_count_ones(c->levels, (uint64_t)h->values, &present))
            return pq_fail(err, PQ_CORRUPT, "a page has fewer definition levels than values");
        if (h->kind == FORMAT_DATA_PAGE_V2 && present + (uint64_t)h->nulls != (uint64_t)h->values)
            return pq_fail(err, PQ_CORRUPT, "a page has another number of nulls than it says");
    }
    PQ_TRY(pq_decoder_init(&c->decoder, page.values, (uint32_t)present, h->encoding, err));
    c->page_left = (uint64_t)h->values;
    c->pages_read++;
    return PQ_OK;
}

/* A page must lie where the offset index says and have as many rows: bytes of a header that no
 * checksum covers cannot move rows then. */
static int check_place(const struct column_reader *c, uint64_t offset, uint64_t rows,
                       struct pq_error *err)
{
    if (c->pages.count == 0 || rows == 0)
        return PQ_OK;
    const struct page_at *list = (const void *)c->pages.buf.data;
    uint32_t i = pq_index_find(&c->pages, c->page_end);
    uint64_t end = i + 1 < c->pages.count ? list[i + 1].first_row : c->group_rows;
    if (list[i].first_row != c->page_end || list[i].offset != offset || end != c->page_end + rows)
        return pq_fail(err, PQ_CORRUPT,
                       "the page at offset %" PRIu64 " contradicts the offset index", offset);
    return PQ_OK;
}

/* The header of the next data page, whose rows end at c->page_end then; a dictionary before it is
 * loaded. */
static int next_data_header(struct column_reader *c, struct page_header *h, struct pq_error *err)
{
    uint64_t offset = c->pager.at;
    PQ_TRY(pq_pager_header(&c->pager, h, err));
    if (h->kind == FORMAT_DICTIONARY_PAGE) {
        PQ_TRY(load_dictionary(c, h, err));
        offset = c->pager.at;
        PQ_TRY(pq_pager_header(&c->pager, h, err));
    }
    if (h->kind != FORMAT_DATA_PAGE && h->kind != FORMAT_DATA_PAGE_V2)
        return pq_fail(err, PQ_CORRUPT, "the page at offset %" PRIu64 " has the kind %d", offset,
                       (int)h->kind);
    if ((uint64_t)h->values > c->group_rows - c->page_end)
        return pq_fail(err, PQ_CORRUPT, "a page has rows beyond those of its row group");
    PQ_TRY(check_place(c, offset, (uint64_t)h->values, err));
    c->page_end += (uint64_t)h->values;
    return PQ_OK;
}

/* A chunk read to its last row ends there. */
static int check_end(const struct column_reader *c, struct pq_error *err)
{
    if (c->page_end == c->group_rows && !c->jumped &&
        c->pager.at != c->pager.chunk.start + c->pager.chunk.len)
        return pq_fail(err, PQ_CORRUPT, "the column chunk goes on behind its last row");
    return PQ_OK;
}

static int next_page(struct column_reader *c, struct pq_error *err)
{
    struct page_header h;
    do {
        PQ_TRY(next_data_header(c, &h, err));
        PQ_TRY(begin_page(c, &h, err));
    } while (c->page_left == 0);
    return check_end(c, err);
}

int pq_column_fill(struct column_reader *c, struct pq_error *err)
{
    if (c->page_left == 0)
        PQ_TRY(next_page(c, err));
    size_t rows = c->page_left < COLUMN_BATCH ? (size_t)c->page_left : COLUMN_BATCH;
    rows = pq_decoder_batch_max(&c->decoder, rows);
    size_t present = rows;
    uint32_t levels[COLUMN_BATCH];
    if (c->info->optional) {
        if (!pq_hybrid_read(&c->levels, levels, rows))
            return pq_fail(err, PQ_CORRUPT, "a page has fewer definition levels than values");
        present = 0;
        for (size_t i = 0; i < rows; i++)
            present += levels[i];
    }
    PQ_TRY(pq_decoder_read(&c->decoder, c->batch, present, err));
    if (present < rows) { /* from the back, so that no value is overwritten before it moved */
        for (size_t i = rows; i-- > 0;)
            c->batch[i] = levels[i] ? c->batch[--present] : (struct pq_value){.null = true};
    }
    c->page_left -= rows;
    if (c->page_left == 0 && !pq_decoder_is_spent(&c->decoder))
        return pq_fail(err, PQ_CORRUPT, "a page goes on behind its last value");
    c->at = 0;
    c->have = (uint32_t)rows;
    return PQ_OK;
}

/* Skipping ------------------------------------------------------------------------------------ */

/* With an offset index: to the header of the page that holds `row`. A dictionary before the first
 * page is loaded on the way. */
static int jump(struct column_reader *c, uint64_t row, struct pq_error *err)
{
    const struct page_at *list = (const void *)c->pages.buf.data;
    const struct page_at *target = &list[pq_index_find(&c->pages, row)];
    if (target->first_row <= c->page_end)
        return PQ_OK;
    if (c->page_end == 0 && !c->has_dictionary && c->pager.at < list[0].offset) {
        struct page_header h;
        PQ_TRY(pq_pager_header(&c->pager, &h, err));
        if (h.kind == FORMAT_DICTIONARY_PAGE)
            PQ_TRY(load_dictionary(c, &h, err));
    }
    c->pager.at = target->offset;
    c->page_end = target->first_row;
    c->jumped = true;
    return PQ_OK;
}

static int find_page(struct column_reader *c, uint64_t row, struct pq_error *err)
{
    if (c->pages.count > 0)
        PQ_TRY(jump(c, row, err));
    for (;;) {
        struct page_header h;
        PQ_TRY(next_data_header(c, &h, err));
        if (row < c->page_end) {
            PQ_TRY(begin_page(c, &h, err));
            return check_end(c, err);
        }
        pq_pager_skip(&c->pager, &h);
    }
}

int pq_column_advance(struct column_reader *c, uint64_t row, struct pq_error *err)
{
    if (row >= c->page_end) {
        c->at = c->have = 0;
        c->page_left = 0;
        PQ_TRY(find_page(c, row, err));
    }
    uint64_t batch_end = c->page_end - c->page_left;
    while (row >= batch_end) {
        PQ_TRY(pq_column_fill(c, err));
        batch_end += c->have;
    }
    c->at = c->have - (uint32_t)(batch_end - row);
    return PQ_OK;
}
