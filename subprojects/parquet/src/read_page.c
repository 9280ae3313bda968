#include "read_page.h"

#include <inttypes.h>
#include <string.h>

/* Most headers take under 64 bytes; statistics of long values make some larger. */
#define HEADER_GUESS 1024
#define HEADER_MAX (16u << 20)

/* `len` bytes at p->at, which must lie in the chunk, in the window. */
static int fetch(struct pager *p, size_t len, const uint8_t **ret, struct pq_error *err)
{
    uint64_t left = p->chunk.start + p->chunk.len - p->at;
    if (len > left)
        return pq_fail(err, PQ_CORRUPT, "a page reaches beyond its column chunk");
    uint64_t window_end = p->window_start + p->window_len;
    bool inside = p->at >= p->window_start && p->at <= window_end;
    if (!inside || len > window_end - p->at) {
        size_t want = len > p->read_ahead ? len : p->read_ahead;
        want = want < left ? want : (size_t)left;
        PQ_TRY(pq_mem_buf_reserve(&p->window, want, err));
        size_t kept = inside ? (size_t)(window_end - p->at) : 0;
        if (kept > 0)
            memmove(p->window.data, p->window.data + (p->at - p->window_start), kept);
        p->window_start = p->at;
        p->window_len = 0; /* nothing, should the read fail */
        PQ_TRY(pq_source_read(p->source, p->at + kept, p->window.data + kept, want - kept, err));
        p->window_len = want;
    }
    *ret = p->window.data + (p->at - p->window_start);
    return PQ_OK;
}

/* Headers ------------------------------------------------------------------------------------- */

static void read_data_header(struct thrift *t, struct page_header *h)
{
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        if (f.id == 1)
            h->values = pq_thrift_i32(t, &f);
        else if (f.id == 2)
            h->encoding = pq_thrift_i32(t, &f);
        else if (f.id == 3)
            h->level_encoding = pq_thrift_i32(t, &f);
        else
            pq_thrift_skip(t, &f);
    }
}

static void read_dictionary_header(struct thrift *t, struct page_header *h)
{
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        if (f.id == 1)
            h->values = pq_thrift_i32(t, &f);
        else if (f.id == 2)
            h->encoding = pq_thrift_i32(t, &f);
        else
            pq_thrift_skip(t, &f);
    }
}

static void read_data_header_v2(struct thrift *t, struct page_header *h)
{
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        switch (f.id) {
        case 1:
            h->values = pq_thrift_i32(t, &f);
            break;
        case 2:
            h->nulls = pq_thrift_i32(t, &f);
            break;
        case 3:
            h->rows = pq_thrift_i32(t, &f);
            break;
        case 4:
            h->encoding = pq_thrift_i32(t, &f);
            break;
        case 5:
            h->levels_len = pq_thrift_i32(t, &f);
            break;
        case 6:
            h->repeats_len = pq_thrift_i32(t, &f);
            break;
        case 7:
            h->is_compressed = pq_thrift_bool(t, &f);
            break;
        default:
            pq_thrift_skip(t, &f);
        }
    }
}

/* The field of PageHeader that holds the struct of a kind; 0: none that is read. */
static int16_t body_field(int32_t kind)
{
    switch (kind) {
    case FORMAT_DATA_PAGE:
        return 5;
    case FORMAT_DICTIONARY_PAGE:
        return 7;
    case FORMAT_DATA_PAGE_V2:
        return 8;
    default:
        return 0;
    }
}

static void read_body(struct thrift *t, const struct thrift_field *f, struct page_header *h)
{
    pq_thrift_struct(t, f);
    h->has_body = true;
    if (f->id == 5)
        read_data_header(t, h);
    else if (f->id == 7)
        read_dictionary_header(t, h);
    else
        read_data_header_v2(t, h);
}

static void read_header(struct thrift *t, struct page_header *h)
{
    *h = (struct page_header){.kind = -1,
                              .compressed = -1,
                              .uncompressed = -1,
                              .values = -1,
                              .encoding = -1,
                              .level_encoding = FORMAT_RLE,
                              .is_compressed = true};
    struct thrift_field f = {0};
    while (pq_thrift_next(t, &f)) {
        if (f.id == 1) {
            h->kind = pq_thrift_i32(t, &f);
        } else if (f.id == 2) {
            h->uncompressed = pq_thrift_i32(t, &f);
        } else if (f.id == 3) {
            h->compressed = pq_thrift_i32(t, &f);
        } else if (f.id == 4) {
            h->crc = (uint32_t)pq_thrift_i32(t, &f);
            h->has_crc = true;
        } else if (f.id == body_field(h->kind)) {
            read_body(t, &f, h);
        } else {
            pq_thrift_skip(t, &f);
        }
    }
}

static int check_header(const struct pager *p, const struct page_header *h, struct pq_error *err)
{
    uint64_t left = p->chunk.start + p->chunk.len - p->at;
    if (h->compressed < 0 || h->uncompressed < 0 || (uint64_t)h->compressed > left)
        return pq_fail(err, PQ_CORRUPT, "a page's size does not fit its column chunk");
    if (!h->has_body || h->values < 0)
        return pq_fail(err, PQ_CORRUPT, "a page's header is of no known kind or lacks its values");
    if (h->kind != FORMAT_DATA_PAGE_V2)
        return PQ_OK;
    if (h->rows != h->values || h->nulls < 0 || h->nulls > h->values || h->levels_len < 0 ||
        h->repeats_len != 0 || h->levels_len > h->compressed || h->levels_len > h->uncompressed ||
        (p->required && h->nulls > 0))
        return pq_fail(err, PQ_CORRUPT, "a page's header contradicts itself");
    return PQ_OK;
}

int pq_pager_header(struct pager *p, struct page_header *ret, struct pq_error *err)
{
    struct thrift t;
    for (size_t len = HEADER_GUESS;; len *= 4) {
        uint64_t left = p->chunk.start + p->chunk.len - p->at;
        if (left == 0)
            return pq_fail(err, PQ_CORRUPT, "the column chunk ends before its last row");
        size_t have = len < left ? len : (size_t)left;
        const uint8_t *data;
        PQ_TRY(fetch(p, have, &data, err));
        pq_thrift_init(&t, data, have);
        read_header(&t, ret);
        if (!t.failed) {
            p->at += (uint64_t)(t.at - data);
            return check_header(p, ret, err);
        }
        if (!t.short_input || have == left || len >= HEADER_MAX)
            return pq_fail(err, PQ_CORRUPT, "the page header at offset %" PRIu64 " is broken",
                           p->at);
    }
}

void pq_pager_skip(struct pager *p, const struct page_header *h)
{
    p->at += (uint64_t)h->compressed;
}

/* Bodies -------------------------------------------------------------------------------------- */

static int load(struct pager *p, const struct page_header *h, const uint8_t **ret,
                struct pq_error *err)
{
    uint64_t start = p->at;
    PQ_TRY(fetch(p, (size_t)h->compressed, ret, err));
    p->at += (uint64_t)h->compressed;
    if (h->has_crc && !p->skip_crc && pq_page_crc(*ret, (size_t)h->compressed) != h->crc)
        return pq_fail(err, PQ_CORRUPT, "the page at offset %" PRIu64 " fails its checksum", start);
    return PQ_OK;
}

/* `len` bytes at `data` as `plain_len` bytes, in place where they are not compressed. */
static int unpack(struct pager *p, bool compressed, struct pq_bytes packed, uint32_t plain_len,
                  struct mem_buf *out, struct pq_bytes *ret, struct pq_error *err)
{
    if (!compressed || p->codec == PQ_NONE) {
        if (packed.len != plain_len)
            return pq_fail(err, PQ_CORRUPT, "a page that is not compressed has two sizes");
        *ret = packed;
        return PQ_OK;
    }
    /* An empty part may lack even the codec's frame. */
    if (packed.len == 0 && plain_len == 0) {
        *ret = packed;
        return PQ_OK;
    }
    PQ_TRY(pq_mem_buf_reserve(out, (uint64_t)plain_len + 1, err));
    PQ_TRY(pq_decompress(p->codecs, p->codec, packed.data, packed.len, out->data, plain_len, err));
    *ret = (struct pq_bytes){out->data, plain_len};
    return PQ_OK;
}

/* v1: an optional column's levels come first, behind their length in four bytes. */
static int cut_v1(const struct pager *p, const struct page_header *h, struct pq_bytes plain,
                  struct page *ret, struct pq_error *err)
{
    *ret = (struct page){.values = plain};
    if (p->required)
        return PQ_OK;
    if (h->level_encoding == FORMAT_BIT_PACKED)
        return pq_fail(err, PQ_UNSUPPORTED, "definition levels in the deprecated BIT_PACKED");
    if (h->level_encoding != FORMAT_RLE || plain.len < 4)
        return pq_fail(err, PQ_CORRUPT, "a page has no definition levels");
    uint32_t len = pq_get_le32(plain.data);
    if (len > plain.len - 4)
        return pq_fail(err, PQ_CORRUPT, "a page's definition levels reach beyond it");
    ret->levels = (struct pq_bytes){plain.data + 4, len};
    ret->values = (struct pq_bytes){plain.data + 4 + len, plain.len - 4 - len};
    return PQ_OK;
}

int pq_pager_data(struct pager *p, const struct page_header *h, struct page *ret,
                  struct pq_error *err)
{
    const uint8_t *data;
    PQ_TRY(load(p, h, &data, err));
    if (h->kind == FORMAT_DATA_PAGE) {
        struct pq_bytes plain;
        PQ_TRY(unpack(p, true, (struct pq_bytes){data, (uint32_t)h->compressed},
                      (uint32_t)h->uncompressed, &p->plain, &plain, err));
        return cut_v1(p, h, plain, ret, err);
    }
    uint32_t levels = (uint32_t)h->levels_len;
    struct pq_bytes packed = {data + levels, (uint32_t)h->compressed - levels};
    *ret = (struct page){.levels = {data, p->required ? 0 : levels}};
    return unpack(p, h->is_compressed, packed, (uint32_t)h->uncompressed - levels, &p->plain,
                  &ret->values, err);
}

int pq_pager_dictionary(struct pager *p, const struct page_header *h, struct mem_buf *out,
                        struct pq_bytes *ret, struct pq_error *err)
{
    const uint8_t *data;
    PQ_TRY(load(p, h, &data, err));
    PQ_TRY(unpack(p, true, (struct pq_bytes){data, (uint32_t)h->compressed},
                  (uint32_t)h->uncompressed, out, ret, err));
    if (ret->data == out->data || ret->len == 0)
        return PQ_OK;
    PQ_TRY(pq_mem_buf_reserve(out, ret->len, err)); /* out of the window, which moves on */
    memcpy(out->data, ret->data, ret->len);
    ret->data = out->data;
    return PQ_OK;
}

void pq_pager_release(struct pager *p)
{
    pq_mem_buf_release(&p->window);
    pq_mem_buf_release(&p->plain);
}
