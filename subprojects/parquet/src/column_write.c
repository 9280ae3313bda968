/* column_write.c: see column_write.h. Values into pages; chunk_write.c does what follows a page. */
#include "column_write.h"

#include <stdlib.h>

#include "bloom.h"
#include "chunk_write.h"
#include "encode.h"
#include "page_write.h"

/* PQ_AUTO leaves the dictionary when more than 3/4 of so many first values are distinct. */
#define TRIAL_VALUES 1024u

static size_t value_bytes(enum pq_type type)
{
    switch (type) {
    case PQ_BOOLEAN:
        return 1;
    case PQ_INT32:
        return 4;
    case PQ_INT64:
    case PQ_DOUBLE:
        return 8;
    case PQ_FIXED_16:
        return 16;
    case PQ_BYTE_ARRAY:
        break;
    }
    return 0;
}

void pq_column_writer_release(struct column_writer *c)
{
    free(c->name);
    pq_dict_release(&c->dict);
    struct pq_buf *bufs[] = {&c->present, &c->data,       &c->words,     &c->pages,
                             &c->hashes,  &c->index_min,  &c->index_max, &c->index_nulls,
                             &c->places,  &c->index_empty};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        pq_buf_release(bufs[i]);
    pq_chunk_release(&c->chunk);
}

void pq_column_writer_begin(struct column_writer *c)
{
    c->dictionary =
        c->type != PQ_BOOLEAN && (c->encoding == PQ_AUTO || c->encoding == PQ_DICTIONARY);
    pq_dict_clear(&c->dict);
    pq_chunk_begin(c);
}

static void page_reset(struct column_writer *c)
{
    c->page_rows = c->page_values = 0;
    c->present.len = c->data.len = c->words.len = 0;
    c->page_stats.any = false;
}

/* Encoding ------------------------------------------------------------------------------------ */

static const uint32_t *words_of(const struct column_writer *c)
{
    return (const uint32_t *)(const void *)c->words.data;
}

/** Integers: DELTA_BINARY_PACKED where asked for, or where it takes less than 3/4 of PLAIN. */
static enum format_encoding encode_integers(struct column_writer *c, struct pq_buf *out)
{
    if (c->encoding == PQ_AUTO || c->encoding == PQ_DELTA_BINARY) {
        size_t start = out->len;
        pq_encode_delta(out, c->data.data, c->page_values, c->type == PQ_INT32 ? 4 : 8);
        if (c->encoding == PQ_DELTA_BINARY || (out->len - start) * 4 < c->data.len * 3)
            return FORMAT_DELTA_BINARY_PACKED;
        out->len = start;
    }
    pq_buf_append(out, c->data.data, c->data.len);
    return FORMAT_PLAIN;
}

static enum format_encoding encode_byte_arrays(struct column_writer *c, struct pq_buf *out)
{
    /* DuckDB (1.4) checks the bytes of a DELTA_LENGTH page as one JSON text, and refuses them. */
    bool plain = c->encoding == PQ_PLAIN || c->encoding == PQ_DICTIONARY ||
                 (c->encoding == PQ_AUTO && c->logical == PQ_JSON);
    if (plain) {
        pq_encode_plain_bytes(out, words_of(c), c->page_values, c->data.data);
        return FORMAT_PLAIN;
    }
    pq_encode_delta(out, c->words.data, c->page_values, 4);
    pq_buf_append(out, c->data.data, c->data.len);
    return FORMAT_DELTA_LENGTH_BYTE_ARRAY;
}

static enum format_encoding encode_page(struct column_writer *c, struct pq_buf *out)
{
    if (c->page_values == 0)
        return FORMAT_PLAIN;
    if (c->dictionary) {
        /* Some readers want one bit even where there is nothing to choose from. */
        unsigned width = c->dict.count < 2 ? 1 : pq_encode_bit_width(c->dict.count - 1);
        pq_buf_byte(out, (uint8_t)width);
        pq_encode_hybrid(out, words_of(c), c->page_values, width);
        return FORMAT_RLE_DICTIONARY;
    }
    switch (c->type) {
    case PQ_INT32:
    case PQ_INT64:
        return encode_integers(c, out);
    case PQ_BYTE_ARRAY:
        return encode_byte_arrays(c, out);
    case PQ_BOOLEAN:
        pq_encode_booleans(out, c->data.data, c->page_values);
        break;
    case PQ_DOUBLE:
    case PQ_FIXED_16:
        pq_buf_append(out, c->data.data, c->data.len);
        break;
    }
    return FORMAT_PLAIN;
}

int pq_column_writer_flush(struct column_writer *c, struct page_sink *sink, struct pq_error *err)
{
    if (c->page_rows == 0)
        return PQ_OK;
    PQ_TRY(pq_buf_check(&c->present, err));
    PQ_TRY(pq_buf_check(&c->data, err));
    PQ_TRY(pq_buf_check(&c->words, err));
    struct data_page page = {.rows = c->page_rows,
                             .values = c->page_values,
                             .present = c->optional ? c->present.data : NULL};
    PQ_TRY(pq_page_begin_data(sink, &page, err));
    page.encoding = encode_page(c, &sink->raw);
    struct page_sizes sizes;
    PQ_TRY(pq_page_write_data(sink, &page, &c->pages, &sizes, err));
    pq_chunk_add_page(c, &page, &sizes);
    page_reset(c);
    /* A dictionary that grows with every other value only costs. */
    if (c->dictionary && c->encoding == PQ_AUTO &&
        c->dict.count > (c->chunk.rows - c->chunk.nulls) / 2 + TRIAL_VALUES)
        c->dictionary = false;
    return PQ_OK;
}

/* Values -------------------------------------------------------------------------------------- */

/** The value's bytes as in the file, without a byte array's length. */
static struct pq_bytes plain_bytes(enum pq_type type, const struct pq_value *value)
{
    if (type == PQ_BYTE_ARRAY || type == PQ_FIXED_16)
        return value->bytes;
    return (struct pq_bytes){(const uint8_t *)&value->i64, (uint32_t)value_bytes(type)};
}

static void count_stats(struct column_writer *c, const struct pq_value *value)
{
    switch (c->type) {
    case PQ_BOOLEAN:
        pq_stats_add_int(&c->page_stats, value->boolean);
        break;
    case PQ_INT32:
        pq_stats_add_int(&c->page_stats, value->i32);
        break;
    case PQ_INT64:
        pq_stats_add_int(&c->page_stats, value->i64);
        break;
    case PQ_DOUBLE:
        pq_stats_add_double(&c->page_stats, value->f64);
        break;
    case PQ_BYTE_ARRAY:
    case PQ_FIXED_16:
        pq_stats_add_bytes(&c->page_stats, value->bytes.data, value->bytes.len);
        break;
    }
}

static void append_raw(struct column_writer *c, struct pq_bytes bytes)
{
    pq_buf_append(&c->data, bytes.data, bytes.len);
    if (c->type == PQ_BYTE_ARRAY)
        pq_buf_le32(&c->words, bytes.len);
}

/** Makes room so that the open page with this value stays within page_bytes, if it has others. */
static int make_room(struct column_writer *c, struct page_sink *sink, size_t value_len,
                     struct pq_error *err)
{
    if (c->page_rows == 0)
        return PQ_OK;
    /* Numbers of the dictionary take two bytes or so each. */
    size_t len = c->dictionary ? c->words.len / 2 : c->data.len + c->words.len + value_len + 4;
    if (c->page_rows >= PAGE_ROWS_MAX || len > sink->page_bytes)
        return pq_column_writer_flush(c, sink, err);
    return PQ_OK;
}

/**
 * Leaves the dictionary. Pages that use it stay as they are; a first page that is still open is
 * filled again with the values themselves, so that no trace of the trial is left.
 */
static int leave_dictionary(struct column_writer *c, struct page_sink *sink, struct pq_error *err)
{
    if (c->page_count > 0) {
        PQ_TRY(pq_column_writer_flush(c, sink, err));
        c->dictionary = false;
        return PQ_OK;
    }
    c->dictionary = false;
    struct pq_buf numbers = c->words, present = c->present;
    uint32_t rows = c->page_rows, at = 0;
    c->words = c->present = (struct pq_buf){0};
    page_reset(c);
    c->hashes.len = 0;
    int rc = pq_buf_check(&numbers, err);
    if (rc == PQ_OK)
        rc = pq_buf_check(&present, err);
    for (uint32_t i = 0; i < rows && rc == PQ_OK; i++) {
        struct pq_value value = {.null = c->optional && !present.data[i]};
        if (!value.null) {
            uint32_t number = pq_get_le32(numbers.data + 4 * at++);
            const struct dict_entry *e = &c->dict.entries[number];
            if (c->type == PQ_BYTE_ARRAY || c->type == PQ_FIXED_16)
                value.bytes = (struct pq_bytes){c->dict.plain.data + e->offset, e->len};
            else
                memcpy(&value.i64, c->dict.plain.data + e->offset, e->len);
        }
        uint64_t bytes_again = 0;
        rc = pq_column_writer_append(c, sink, &value, &bytes_again, err);
    }
    pq_dict_clear(&c->dict);
    pq_buf_release(&numbers);
    pq_buf_release(&present);
    return rc;
}

static bool dictionary_pays(const struct column_writer *c)
{
    if (c->dict.plain.len > DICTIONARY_BYTES_MAX)
        return false;
    return c->encoding != PQ_AUTO || c->page_count > 0 || c->page_values != TRIAL_VALUES ||
           c->dict.count <= TRIAL_VALUES / 4 * 3;
}

static int append_number(struct column_writer *c, struct page_sink *sink,
                         const struct pq_value *value, struct pq_bytes bytes, struct pq_error *err)
{
    uint32_t number = 0;
    enum dict_found found =
        pq_dict_add(&c->dict, bytes.data, bytes.len, c->type == PQ_BYTE_ARRAY, &number);
    if (found == DICT_NO_MEMORY)
        return pq_fail(err, PQ_LIMIT, "out of memory for the dictionary of column %s", c->name);
    if (found == DICT_NEW && c->bloom)
        pq_buf_le64(&c->hashes, pq_bloom_hash(c->type, value));
    pq_buf_le32(&c->words, number);
    return dictionary_pays(c) ? PQ_OK : leave_dictionary(c, sink, err);
}

int pq_column_writer_append(struct column_writer *c, struct page_sink *sink,
                            const struct pq_value *value, uint64_t *bytes, struct pq_error *err)
{
    struct pq_bytes plain = {0};
    if (!value->null)
        plain = plain_bytes(c->type, value);
    PQ_TRY(make_room(c, sink, plain.len, err));
    if (c->optional)
        pq_buf_byte(&c->present, !value->null);
    c->page_rows++;
    *bytes += plain.len + 1;
    if (value->null)
        return PQ_OK;
    c->page_values++;
    count_stats(c, value);
    if (c->dictionary)
        return append_number(c, sink, value, plain, err);
    append_raw(c, plain);
    if (c->bloom)
        pq_buf_le64(&c->hashes, pq_bloom_hash(c->type, value));
    return PQ_OK;
}
