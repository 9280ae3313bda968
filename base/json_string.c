/*
 * base/json_string.c: the inside of JSON strings (RFC 8259 section 7): escapes, non-ASCII
 * characters, decoding; and the table of wanted field names.
 */
#include <string.h>

#include "base/json_engine.h"
#include "base/utf8.h"

const uint8_t json_escape_chars[256] = {
    ['"'] = '"',  ['\\'] = '\\', ['/'] = '/',  ['b'] = '\b',
    ['f'] = '\f', ['n'] = '\n',  ['r'] = '\r', ['t'] = '\t',
};

/* The backslash is at `at`. */
static size_t escape_step(const uint8_t *data, size_t len, size_t at, enum json_stop *ret_stop)
{
    if (at + 1 == len) {
        *ret_stop = JSON_CUT;
        return len;
    }
    if (json_escape_chars[data[at + 1]] != 0)
        return at + 2;
    if (data[at + 1] != 'u') {
        *ret_stop = JSON_BAD_ESCAPE;
        return at;
    }
    for (size_t i = at + 2; i < at + 6; i++) {
        if (i == len) {
            *ret_stop = JSON_CUT;
            return len;
        }
        if (hex_digit((char)data[i]) < 0) {
            *ret_stop = JSON_BAD_ESCAPE;
            return at;
        }
    }
    return at + 6;
}

/* Whether the bytes at the end of the input may be the beginning of a longer character. */
static bool utf8_is_cut(const uint8_t *p, size_t len)
{
    uint8_t rest[4] = {0x80, 0x80, 0x80, 0x80};
    if (len >= 4)
        return false;
    memcpy(rest, p, len);
    if (len ==
        1) /* some second byte is good; the first and the last of the range cover all leads */
        rest[1] = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    return utf8_sequence(rest, 4) > len;
}

size_t json_string_step(const uint8_t *data, size_t len, size_t at, enum json_stop *ret_stop)
{
    if (data[at] == '\\')
        return escape_step(data, len, at, ret_stop);
    if (data[at] < 0x20) {
        *ret_stop = JSON_BAD_CONTROL;
        return at;
    }
    while (at < len && data[at] >= 0x80) {
        size_t n = utf8_sequence(data + at, len - at);
        if (unlikely(n == 0)) {
            bool cut = utf8_is_cut(data + at, len - at);
            *ret_stop = cut ? JSON_CUT : JSON_BAD_UTF8;
            return cut ? len : at;
        }
        at += n;
    }
    return at;
}

/* Four hex digits that are known to be there. */
static uint32_t hex4(const uint8_t *p)
{
    uint32_t v = 0;
    for (size_t i = 0; i < 4; i++)
        v = v << 4 | (uint32_t)hex_digit((char)p[i]);
    return v;
}

static size_t utf8_write(uint8_t *out, uint32_t c)
{
    if (c < 0x80) {
        out[0] = (uint8_t)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (uint8_t)(0xC0 | c >> 6);
        out[1] = (uint8_t)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (uint8_t)(0xE0 | c >> 12);
        out[1] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        out[2] = (uint8_t)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (uint8_t)(0xF0 | c >> 18);
    out[1] = (uint8_t)(0x80 | (c >> 12 & 0x3F));
    out[2] = (uint8_t)(0x80 | (c >> 6 & 0x3F));
    out[3] = (uint8_t)(0x80 | (c & 0x3F));
    return 4;
}

/* The character of the escape at `at`, whose end goes to *ret_end; UINT32_MAX for half a pair. */
static uint32_t escape_decode(const uint8_t *p, size_t end, size_t at, size_t *ret_end)
{
    if (p[at + 1] != 'u') {
        *ret_end = at + 2;
        return json_escape_chars[p[at + 1]];
    }
    uint32_t c = hex4(p + at + 2);
    *ret_end = at + 6;
    if (c < 0xD800 || c > 0xDFFF)
        return c;
    if (c > 0xDBFF || end - at < 12 || p[at + 6] != '\\' || p[at + 7] != 'u')
        return UINT32_MAX;
    uint32_t low = hex4(p + at + 8);
    if (low < 0xDC00 || low > 0xDFFF)
        return UINT32_MAX;
    *ret_end = at + 12;
    return 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
}

/* Decodes the bytes between the quotes. */
static err_t text_decode(const uint8_t *p, size_t end, char *out, size_t cap, size_t *ret_len)
{
    size_t len = 0;
    for (size_t at = 0; at < end;) {
        const uint8_t *escape = memchr(p + at, '\\', end - at);
        size_t plain = (escape == NULL ? end : (size_t)(escape - p)) - at;
        if (plain > cap - len)
            return err_fail(ERR_VALIDATION, "a string is longer than %zu bytes", cap);
        memcpy(out + len, p + at, plain);
        len += plain;
        at += plain;
        if (escape == NULL)
            break;
        uint8_t encoded[4];
        uint32_t c = escape_decode(p, end, at, &at);
        if (c == UINT32_MAX)
            return err_fail(ERR_INVALID_JSON, "a string holds half a surrogate pair");
        size_t n = utf8_write(encoded, c);
        if (n > cap - len)
            return err_fail(ERR_VALIDATION, "a string is longer than %zu bytes", cap);
        memcpy(out + len, encoded, n);
        len += n;
    }
    *ret_len = len;
    return OK;
}

err_t json_string_decode(struct slice raw, char *out, size_t cap, size_t *ret_len)
{
    ASSERT(raw.len >= 2 && raw.data[0] == '"' && raw.data[raw.len - 1] == '"');
    return text_decode((const uint8_t *)raw.data + 1, raw.len - 2, out, cap, ret_len);
}

bool json_natural(const struct json_value *v, int64_t *ret)
{
    return v->kind == JSON_NUMBER && slice_to_number(v->raw, ret);
}

uint64_t json_load_part(const uint8_t *text, size_t len)
{
    uint8_t bytes[8] = {0};
    memcpy(bytes, text, len);
    return json_load64(bytes);
}

int json_names_find_escaped(const struct json_names *names, const uint8_t *key, size_t len)
{
    uint8_t text[JSON_NAME_LEN_MAX];
    size_t text_len = 0;
    for (size_t at = 0; at < len;) {
        uint8_t encoded[4];
        size_t n = 1;
        if (key[at] == '\\') {
            uint32_t c = escape_decode(key, len, at, &at);
            if (c == UINT32_MAX)
                return -1;
            n = utf8_write(encoded, c);
        } else {
            encoded[0] = key[at++];
        }
        if (n > sizeof(text) - text_len)
            return -1;
        memcpy(text + text_len, encoded, n);
        text_len += n;
    }
    /* A NUL in the text would pass for the padding of a shorter name. */
    if (memchr(text, 0, text_len) != NULL)
        return -1;
    return json_names_find(names, text, text_len, text + text_len);
}

static bool names_fill(struct json_names *names)
{
    memset(names->slot, 0, sizeof(names->slot));
    for (uint8_t i = 0; i < names->count; i++) {
        uint64_t hash =
            json_name_hash(names->multiplier, names->names[i].low, names->names[i].high);
        if (names->slot[hash] != 0)
            return false;
        names->slot[hash] = (uint8_t)(i + 1);
    }
    return true;
}

void json_names_init(struct json_names *names, const char *const *list, size_t count)
{
    ASSERT(count <= JSON_NAMES_MAX);
    *names = (struct json_names){.multiplier = 0x9E3779B97F4A7C15, .count = (uint8_t)count};
    for (size_t i = 0; i < count; i++) {
        const uint8_t *text = (const uint8_t *)list[i];
        size_t len = strlen(list[i]);
        ASSERT(len >= 1 && len <= JSON_NAME_LEN_MAX);
        names->names[i].low = json_load_part(text, MIN(len, 8));
        names->names[i].high = len > 8 ? json_load_part(text + 8, len - 8) : 0;
        names->lengths[text[0] % 32] |= UINT32_C(1) << len;
    }
    /* Distinct names find a multiplier within some tens of tries; two equal ones never do. */
    for (int tries = 0; !names_fill(names); tries++) {
        ASSERT(tries < 1000000);
        names->multiplier = names->multiplier * 6364136223846793005 + 1442695040888963407;
    }
}
