#include "decode.h"

#include <string.h>

/* How many integers are unpacked at a time on the stack. */
#define STEP 256

static int short_page(struct pq_error *err)
{
    return pq_fail(err, PQ_CORRUPT, "a page has fewer values than its header says");
}

static size_t bytes_left(const struct decoder *d)
{
    return (size_t)(d->end - d->at);
}

/* PLAIN --------------------------------------------------------------------------------------- */

static int plain_booleans(struct decoder *d, struct pq_value *out, size_t count,
                          struct pq_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (d->at == d->end)
            return short_page(err);
        out[i] = (struct pq_value){.boolean = *d->at >> d->bit & 1};
        d->bit = (d->bit + 1) % 8;
        d->at += d->bit == 0;
    }
    return PQ_OK;
}

static int plain_i32(struct decoder *d, struct pq_value *out, size_t count, struct pq_error *err)
{
    if (bytes_left(d) / 4 < count)
        return short_page(err);
    for (size_t i = 0; i < count; i++, d->at += 4) {
        out[i].null = false;
        memcpy(&out[i].i32, d->at, 4);
    }
    return PQ_OK;
}

/* INT64 and DOUBLE: the same eight bytes. */
static int plain_64(struct decoder *d, struct pq_value *out, size_t count, struct pq_error *err)
{
    if (bytes_left(d) / 8 < count)
        return short_page(err);
    for (size_t i = 0; i < count; i++, d->at += 8) {
        out[i].null = false;
        memcpy(&out[i].i64, d->at, 8);
    }
    return PQ_OK;
}

static int plain_bytes(struct decoder *d, struct pq_value *out, size_t count, struct pq_error *err)
{
    const uint8_t *at = d->at;
    for (size_t i = 0; i < count; i++) {
        uint32_t len;
        if ((size_t)(d->end - at) < sizeof(len))
            return short_page(err);
        memcpy(&len, at, sizeof(len));
        at += sizeof(len);
        if (len > (size_t)(d->end - at))
            return pq_fail(err, PQ_CORRUPT, "a value of %u bytes reaches beyond its page", len);
        out[i].null = false;
        out[i].bytes = (struct pq_bytes){at, len};
        at += len;
    }
    d->at = at;
    return PQ_OK;
}

static int plain_fixed(struct decoder *d, struct pq_value *out, size_t count, struct pq_error *err)
{
    if (bytes_left(d) / 16 < count)
        return short_page(err);
    for (size_t i = 0; i < count; i++, d->at += 16) {
        out[i].null = false;
        out[i].bytes = (struct pq_bytes){d->at, 16};
    }
    return PQ_OK;
}

static int read_plain(struct decoder *d, struct pq_value *out, size_t count, struct pq_error *err)
{
    switch (d->type) {
    case PQ_BOOLEAN:
        return plain_booleans(d, out, count, err);
    case PQ_INT32:
        return plain_i32(d, out, count, err);
    case PQ_INT64:
    case PQ_DOUBLE:
        return plain_64(d, out, count, err);
    case PQ_BYTE_ARRAY:
        return plain_bytes(d, out, count, err);
    case PQ_FIXED_16:
        return plain_fixed(d, out, count, err);
    }
    return pq_fail(err, PQ_USAGE, "no such type");
}

/* Dictionary and RLE -------------------------------------------------------------------------- */

static int read_indexes(struct decoder *d, struct pq_value *out, size_t count, struct pq_error *err)
{
    const struct dictionary *dict = d->dictionary;
    uint32_t index[STEP];
    while (count > 0) {
        size_t n = count < STEP ? count : STEP;
        if (!pq_hybrid_read(&d->hybrid, index, n))
            return short_page(err);
        for (size_t i = 0; i < n; i++) {
            if (index[i] >= dict->count)
                return pq_fail(err, PQ_CORRUPT, "entry %u of a dictionary of %u", index[i],
                               dict->count);
            out[i] = dict->values[index[i]];
        }
        out += n;
        count -= n;
    }
    return PQ_OK;
}

static int read_rle_booleans(struct decoder *d, struct pq_value *out, size_t count,
                             struct pq_error *err)
{
    uint32_t bits[STEP];
    while (count > 0) {
        size_t n = count < STEP ? count : STEP;
        if (!pq_hybrid_read(&d->hybrid, bits, n))
            return short_page(err);
        for (size_t i = 0; i < n; i++)
            out[i] = (struct pq_value){.boolean = bits[i] != 0};
        out += n;
        count -= n;
    }
    return PQ_OK;
}

/* Deltas -------------------------------------------------------------------------------------- */

static int read_delta_integers(struct decoder *d, struct pq_value *out, size_t count,
                               struct pq_error *err)
{
    int64_t numbers[STEP];
    while (count > 0) {
        size_t n = count < STEP ? count : STEP;
        if (!pq_delta_read(&d->delta, numbers, n))
            return short_page(err);
        for (size_t i = 0; i < n; i++) {
            out[i].null = false;
            if (d->type == PQ_INT32)
                out[i].i32 = (int32_t)numbers[i];
            else
                out[i].i64 = numbers[i];
        }
        out += n;
        count -= n;
    }
    return PQ_OK;
}

static int read_delta_length(struct decoder *d, struct pq_value *out, size_t count,
                             struct pq_error *err)
{
    int64_t lengths[STEP];
    while (count > 0) {
        size_t n = count < STEP ? count : STEP;
        if (!pq_delta_read(&d->delta, lengths, n))
            return short_page(err);
        for (size_t i = 0; i < n; i++) {
            if (lengths[i] < 0 || (uint64_t)lengths[i] > bytes_left(d))
                return pq_fail(err, PQ_CORRUPT, "a value reaches beyond its page");
            out[i].null = false;
            out[i].bytes = (struct pq_bytes){d->at, (uint32_t)lengths[i]};
            d->at += lengths[i];
        }
        out += n;
        count -= n;
    }
    return PQ_OK;
}

/* One value: the first `prefix` bytes of the one before, which stay where they are, and a suffix.
 */
static int read_delta_bytes(struct decoder *d, struct pq_value *out, struct pq_error *err)
{
    int64_t prefix, suffix;
    if (!pq_delta_read(&d->prefixes, &prefix, 1) || !pq_delta_read(&d->delta, &suffix, 1))
        return short_page(err);
    if (prefix < 0 || prefix > d->last_len || suffix < 0 || (uint64_t)suffix > bytes_left(d))
        return pq_fail(err, PQ_CORRUPT, "a value reaches beyond its page");
    uint64_t len = (uint64_t)prefix + (uint64_t)suffix;
    if (len > INT32_MAX || (d->type == PQ_FIXED_16 && len != 16))
        return pq_fail(err, PQ_CORRUPT, "a value has the wrong length");
    if (len > d->last->cap)
        PQ_TRY(pq_mem_buf_reserve(d->last, len + len / 2 + 64, err));
    if (suffix > 0)
        memcpy(d->last->data + prefix, d->at, (size_t)suffix);
    d->at += suffix;
    d->last_len = (uint32_t)len;
    *out = (struct pq_value){.bytes = {d->last->data, d->last_len}};
    return PQ_OK;
}

/* BYTE_STREAM_SPLIT --------------------------------------------------------------------------- */

/* The first bytes of all values, then the second ones, and so on. */
static uint64_t gather(const struct decoder *d, uint32_t i, unsigned width)
{
    uint64_t word = 0;
    for (unsigned byte = 0; byte < width; byte++)
        word |= (uint64_t)d->at[(size_t)byte * d->stride + i] << 8 * byte;
    return word;
}

static int read_split_fixed(struct decoder *d, struct pq_value *out, struct pq_error *err)
{
    PQ_TRY(pq_mem_buf_reserve(d->last, 16, err));
    for (unsigned byte = 0; byte < 16; byte++)
        d->last->data[byte] = d->at[(size_t)byte * d->stride + d->given];
    d->given++;
    *out = (struct pq_value){.bytes = {d->last->data, 16}};
    return PQ_OK;
}

static int read_split(struct decoder *d, struct pq_value *out, size_t count, struct pq_error *err)
{
    if (count > d->stride - d->given)
        return short_page(err);
    if (d->type == PQ_FIXED_16)
        return count == 0 ? PQ_OK : read_split_fixed(d, out, err);
    for (size_t i = 0; i < count; i++, d->given++) {
        out[i].null = false;
        if (d->type == PQ_INT32)
            out[i].i32 = (int32_t)gather(d, d->given, 4);
        else
            out[i].i64 = (int64_t)gather(d, d->given, 8);
    }
    return PQ_OK;
}

/* Choice -------------------------------------------------------------------------------------- */

static int broken_deltas(struct pq_error *err)
{
    return pq_fail(err, PQ_CORRUPT, "a page's DELTA_BINARY_PACKED header is broken");
}

static int init_delta(struct decoder *d, uint32_t count, struct pq_error *err)
{
    if (!pq_delta_init(&d->delta, d->at, bytes_left(d)))
        return broken_deltas(err);
    return d->delta.values_left == count ? PQ_OK : short_page(err);
}

static int init_delta_length(struct decoder *d, uint32_t count, struct pq_error *err)
{
    PQ_TRY(init_delta(d, count, err));
    d->at = pq_delta_end(d->at, bytes_left(d));
    return d->at != NULL ? PQ_OK : broken_deltas(err);
}

static int init_delta_bytes(struct decoder *d, uint32_t count, struct pq_error *err)
{
    if (!pq_delta_init(&d->prefixes, d->at, bytes_left(d)))
        return broken_deltas(err);
    if (d->prefixes.values_left != count)
        return short_page(err);
    const uint8_t *suffixes = pq_delta_end(d->at, bytes_left(d));
    if (suffixes == NULL)
        return broken_deltas(err);
    d->at = suffixes;
    return init_delta_length(d, count, err);
}

static int init_dictionary(struct decoder *d, struct pq_error *err)
{
    if (d->dictionary == NULL)
        return pq_fail(err, PQ_CORRUPT, "a page refers to a dictionary that is not there");
    if (d->at == d->end || *d->at > 32)
        return pq_fail(err, PQ_CORRUPT, "a page's dictionary indexes have no valid width");
    pq_hybrid_init(&d->hybrid, d->at + 1, bytes_left(d) - 1, *d->at);
    return PQ_OK;
}

static int init_rle(struct decoder *d, struct pq_error *err)
{
    uint32_t len;
    if (bytes_left(d) < sizeof(len))
        return short_page(err);
    memcpy(&len, d->at, sizeof(len));
    if (len > bytes_left(d) - sizeof(len))
        return short_page(err);
    pq_hybrid_init(&d->hybrid, d->at + sizeof(len), len, 1);
    return PQ_OK;
}

static int init_split(struct decoder *d, uint32_t count, struct pq_error *err)
{
    size_t width = d->type == PQ_FIXED_16 ? 16 : d->type == PQ_INT32 ? 4 : 8;
    d->stride = count;
    d->given = 0;
    return bytes_left(d) == count * width ? PQ_OK : short_page(err);
}

static const struct {
    const char *name;
    unsigned types; /* bits of enum pq_type */
} encodings[] = {
    [FORMAT_PLAIN] = {"PLAIN", 0x3f},
    [FORMAT_PLAIN_DICTIONARY] = {"PLAIN_DICTIONARY", 0x3f},
    [FORMAT_RLE] = {"RLE", 1u << PQ_BOOLEAN},
    [FORMAT_BIT_PACKED] = {"BIT_PACKED", 0},
    [FORMAT_DELTA_BINARY_PACKED] = {"DELTA_BINARY_PACKED", 1u << PQ_INT32 | 1u << PQ_INT64},
    [FORMAT_DELTA_LENGTH_BYTE_ARRAY] = {"DELTA_LENGTH_BYTE_ARRAY", 1u << PQ_BYTE_ARRAY},
    [FORMAT_DELTA_BYTE_ARRAY] = {"DELTA_BYTE_ARRAY", 1u << PQ_BYTE_ARRAY | 1u << PQ_FIXED_16},
    [FORMAT_RLE_DICTIONARY] = {"RLE_DICTIONARY", 0x3f},
    [FORMAT_BYTE_STREAM_SPLIT] = {"BYTE_STREAM_SPLIT", 1u << PQ_INT32 | 1u << PQ_INT64 |
                                                           1u << PQ_DOUBLE | 1u << PQ_FIXED_16},
};

static int check_encoding(enum pq_type type, int32_t encoding, struct pq_error *err)
{
    if (encoding < 0 || (size_t)encoding >= sizeof(encodings) / sizeof(encodings[0]) ||
        encodings[encoding].name == NULL)
        return pq_fail(err, PQ_UNSUPPORTED, "values in the unknown encoding %d", (int)encoding);
    if ((encodings[encoding].types >> type & 1) == 0)
        return pq_fail(err, PQ_UNSUPPORTED, "values in the encoding %s are not read for this type",
                       encodings[encoding].name);
    return PQ_OK;
}

static int init_encoding(struct decoder *d, uint32_t count, struct pq_error *err)
{
    switch (d->encoding) {
    case FORMAT_PLAIN:
        return PQ_OK;
    case FORMAT_PLAIN_DICTIONARY:
    case FORMAT_RLE_DICTIONARY:
        return init_dictionary(d, err);
    case FORMAT_RLE:
        return init_rle(d, err);
    case FORMAT_DELTA_BINARY_PACKED:
        return init_delta(d, count, err);
    case FORMAT_DELTA_LENGTH_BYTE_ARRAY:
        return init_delta_length(d, count, err);
    case FORMAT_DELTA_BYTE_ARRAY:
        return init_delta_bytes(d, count, err);
    case FORMAT_BYTE_STREAM_SPLIT:
        return init_split(d, count, err);
    case FORMAT_BIT_PACKED:
        break;
    }
    return pq_fail(err, PQ_UNSUPPORTED, "values in an encoding that is not read");
}

int pq_decoder_init(struct decoder *d, struct pq_bytes page, uint32_t count, int32_t encoding,
                    struct pq_error *err)
{
    PQ_TRY(check_encoding(d->type, encoding, err));
    d->encoding = (enum format_encoding)encoding;
    d->at = page.data;
    d->end = page.data + page.len;
    d->bit = 0;
    d->last_len = d->stride = d->given = 0;
    if (count > 0 || d->encoding == FORMAT_PLAIN)
        return init_encoding(d, count, err);
    d->at =
        d->end; /* a page of nulls: some writers leave out the header of an encoding, some not */
    return PQ_OK;
}

size_t pq_decoder_batch_max(const struct decoder *d, size_t want)
{
    bool in_pieces = d->encoding == FORMAT_DELTA_BYTE_ARRAY ||
                     (d->encoding == FORMAT_BYTE_STREAM_SPLIT && d->type == PQ_FIXED_16);
    return in_pieces && want > 1 ? 1 : want;
}

int pq_decoder_read(struct decoder *d, struct pq_value *out, size_t count, struct pq_error *err)
{
    switch (d->encoding) {
    case FORMAT_PLAIN:
        return read_plain(d, out, count, err);
    case FORMAT_PLAIN_DICTIONARY:
    case FORMAT_RLE_DICTIONARY:
        return read_indexes(d, out, count, err);
    case FORMAT_RLE:
        return read_rle_booleans(d, out, count, err);
    case FORMAT_DELTA_BINARY_PACKED:
        return read_delta_integers(d, out, count, err);
    case FORMAT_DELTA_LENGTH_BYTE_ARRAY:
        return read_delta_length(d, out, count, err);
    case FORMAT_DELTA_BYTE_ARRAY:
        return count == 0 ? PQ_OK : read_delta_bytes(d, out, err);
    case FORMAT_BYTE_STREAM_SPLIT:
        return read_split(d, out, count, err);
    case FORMAT_BIT_PACKED:
        break;
    }
    return pq_fail(err, PQ_USAGE, "no such encoding");
}

bool pq_decoder_is_spent(const struct decoder *d)
{
    switch (d->encoding) {
    case FORMAT_PLAIN:
        return d->type == PQ_BOOLEAN ? bytes_left(d) <= 1 : d->at == d->end;
    case FORMAT_DELTA_LENGTH_BYTE_ARRAY:
    case FORMAT_DELTA_BYTE_ARRAY:
        return d->at == d->end;
    case FORMAT_PLAIN_DICTIONARY:
    case FORMAT_RLE_DICTIONARY:
    case FORMAT_RLE:
    case FORMAT_DELTA_BINARY_PACKED:
    case FORMAT_BIT_PACKED:
    case FORMAT_BYTE_STREAM_SPLIT:
        break;
    }
    return true; /* runs are padded to whole groups, by some writers to more */
}
