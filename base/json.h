/*
 * base/json.h: the JSON scanner of the hot path. One pass over one value: it validates (RFC 8259,
 * strict UTF-8 as base/utf8.h, a depth limit), measures, and finds the top-level fields that the
 * caller asked for. It builds no tree, allocates nothing, does not recurse and never reads past the
 * input.
 *
 * Text that arrives in pieces: call json_scan_value at the start of a value; ERR_AGAIN means that
 * the value goes on after the bytes at hand: call again at the same start with more of them. Each
 * call scans from the start of the value, so a caller bounds how long a value may get (or waits for
 * twice the bytes), or a sender of small pieces makes the work quadratic.
 *
 * All functions may be called from any thread.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

#define JSON_NAMES_MAX 16       /* field names in one struct json_names */
#define JSON_NAME_LEN_MAX 16    /* bytes of one such name */
#define JSON_DEPTH_CEILING 1024 /* highest depth limit that a caller may set */

enum json_kind {
    JSON_STRING,
    JSON_NUMBER,
    JSON_OBJECT,
    JSON_ARRAY,
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
};

/** The field names to look for. Plain data: prepared once by json_names_init, then only read. */
struct json_names {
    uint64_t multiplier; /* of the collision-free hash that json_names_init finds */
    uint8_t count;
    uint8_t slot[64]; /* hash -> index + 1, 0 for none */
    uint32_t
        lengths[32]; /* bit n: a name of n bytes begins with a byte whose low five bits are these */
    struct json_name {
        uint64_t low, high; /* the name's bytes, zero-padded */
    } names[JSON_NAMES_MAX];
};

/** A value as it stands in the text: a string with its quotes and escapes. Borrowed from the input.
 */
struct json_value {
    struct slice raw;
    enum json_kind kind;
    bool escaped;   /* a string that holds at least one backslash */
    uint32_t count; /* how often this field occurs in the object; `raw` is the last one, as in
                       JSON.parse */
};

/** The outcome of a scan. */
struct json_scan {
    struct json_value value; /* what was scanned; count is 1 */
    size_t len;     /* bytes from in->data to the end of the value, white space before included */
    uint32_t found; /* bit i: fields[i] is set. 0 where the value is no object */
    struct json_value
        fields[JSON_NAMES_MAX]; /* by the index that the name had in json_names_init */
};

/** A piece of JSON text. */
struct json_input {
    const char *data; /* borrowed */
    size_t len;
    uint64_t origin; /* where data[0] lies in the sender's text: error sentences count from there */
    bool at_end;     /* no more bytes follow */
};

static inline bool json_scan_found(const struct json_scan *scan, size_t field)
{
    return (scan->found >> field & 1) != 0;
}

/** Prepares `names` (unescaped ASCII or UTF-8, distinct, 1 to JSON_NAME_LEN_MAX bytes, at most
 *  JSON_NAMES_MAX of them; all else is a bug in the caller). */
void json_names_init(struct json_names *names, const char *const *list, size_t count);

/**
 * Scans the value that starts at in->data, after optional white space. What follows the value is
 * not looked at. A name matches also where the text writes it with escapes; `names` may be NULL.
 * OK: *ret is set. ERR_AGAIN: the value is not complete and !in->at_end (a number that touches the
 * end is not complete). ERR_INVALID_JSON: malformed, or nested deeper than `depth_max` containers;
 * the sentence names the byte. *ret is unspecified unless OK.
 */
err_t json_scan_value(const struct json_input *in, const struct json_names *names,
                      uint32_t depth_max, struct json_scan *ret) MUST_USE;

/** The same for a whole text: one value and nothing but white space around it; in->at_end is taken
 * as set. ret->len is in->len. */
err_t json_scan_document(const struct json_input *in, const struct json_names *names,
                         uint32_t depth_max, struct json_scan *ret) MUST_USE;

/** Index of the first byte at or after `at` that is no JSON white space; `len` where there is none.
 */
size_t json_skip_ws(const char *data, size_t len, size_t at);

/**
 * Writes the text of `raw`, a valid JSON string with its quotes, to `out` as UTF-8 without a NUL
 * and its length to *ret_len. A buffer of raw.len bytes always suffices. ERR_INVALID_JSON for a \u
 * escape that is half a surrogate pair (RFC 8259 allows it in a text, but it names no character);
 * ERR_VALIDATION when `cap` is too small.
 */
err_t json_string_decode(struct slice raw, char *out, size_t cap, size_t *ret_len) MUST_USE;

/** A number of digits alone, 0 to 2^63 - 1; false for any other value. */
bool json_natural(const struct json_value *v, int64_t *ret);

/** Appends a valid JSON text with line ends between its tokens made spaces, so that it fits in one
 * line of NDJSON. (Inside strings a raw CR or LF is not valid JSON.) */
void json_append_single_line(struct buf *b, const char *data, size_t len);

#endif
