/*
 * base/json.c: choosing an engine, naming the errors, and the parts of JSON (RFC 8259) that are
 * rare enough to live outside the engines: escapes, non-ASCII text, white space, the table of
 * wanted names.
 */
#include "base/json.h"

#include <string.h>

#include "base/json_engine.h"
#include "base/utf8.h"

static bool usable_always(void)
{
    return true;
}

#if defined(__x86_64__)
static bool has_avx2(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
}
#endif

const struct json_engine json_engines[] = {
#if defined(__x86_64__)
    {"avx2", json_scan_avx2, has_avx2},
    {"sse2", json_scan_sse2, usable_always},
#endif
    {"portable", json_scan_portable, usable_always},
    {0},
};

/* Reads a constant that the C runtime set up before main: cheaper than a pointer of our own. */
static json_engine_fn *best_engine(void)
{
#if defined(__x86_64__)
    return has_avx2() ? json_scan_avx2 : json_scan_sse2;
#else
    return json_scan_portable;
#endif
}

static const char *stop_text(enum json_stop stop)
{
    switch (stop) {
    case JSON_CUT:
        return "the text ends inside a value";
    case JSON_WANT_VALUE:
        return "expected a value";
    case JSON_WANT_NAME:
        return "expected a field name in quotes";
    case JSON_WANT_COLON:
        return "expected ':'";
    case JSON_WANT_COMMA_OR_BRACE:
        return "expected ',' or '}'";
    case JSON_WANT_COMMA_OR_BRACKET:
        return "expected ',' or ']'";
    case JSON_BAD_NUMBER:
        return "not a number";
    case JSON_BAD_CONTROL:
        return "control character in a string";
    case JSON_BAD_ESCAPE:
        return "unknown escape in a string";
    case JSON_BAD_UTF8:
        return "invalid UTF-8";
    case JSON_DONE:
    case JSON_TOO_DEEP:
        break;
    }
    return "nested too deeply";
}

static err_t stop_fail(const struct json_input *in, enum json_stop stop, size_t at,
                       uint32_t depth_max)
{
    unsigned long long byte = in->origin + at;
    if (stop == JSON_TOO_DEEP)
        return err_fail(ERR_INVALID_JSON, "JSON nested deeper than %u levels at byte %llu",
                        (unsigned)depth_max, byte);
    return err_fail(ERR_INVALID_JSON, "malformed JSON at byte %llu: %s", byte, stop_text(stop));
}

err_t json_scan_with(json_engine_fn *scan, const struct json_input *in,
                     const struct json_names *names, uint32_t depth_max, struct json_scan *ret)
{
    ASSERT(depth_max <= JSON_DEPTH_CEILING);
    struct json_job job = {.data = (const uint8_t *)in->data,
                           .len = in->len,
                           .at_end = in->at_end,
                           .depth_max = depth_max,
                           .names = names,
                           .ret = ret};
    enum json_stop stop = scan(&job);
    if (likely(stop == JSON_DONE))
        return OK;
    if (stop == JSON_CUT && !in->at_end)
        return ERR_AGAIN;
    return stop_fail(in, stop, job.stop_at, depth_max);
}

err_t json_scan_value(const struct json_input *in, const struct json_names *names,
                      uint32_t depth_max, struct json_scan *ret)
{
    return json_scan_with(best_engine(), in, names, depth_max, ret);
}

err_t json_scan_document(const struct json_input *in, const struct json_names *names,
                         uint32_t depth_max, struct json_scan *ret)
{
    struct json_input whole = *in;
    whole.at_end = true;
    TRY(json_scan_value(&whole, names, depth_max, ret));
    size_t end = json_skip_ws(in->data, in->len, ret->len);
    if (end < in->len)
        return err_fail(ERR_INVALID_JSON, "malformed JSON at byte %llu: text after the value",
                        (unsigned long long)(in->origin + end));
    ret->len = in->len;
    return OK;
}

/* The length of the run of spaces in eight bytes. */
static size_t spaces_count(uint64_t bytes)
{
    uint64_t other = bytes ^ 0x2020202020202020;
    return other == 0 ? 8 : (size_t)__builtin_ctzll(other) / 8;
}

size_t json_ws_end(const uint8_t *data, size_t len, size_t at)
{
    while (at < len) {
        uint8_t c = data[at];
        if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
            return at;
        at++;
        while (len - at >= 8) { /* indentation */
            size_t spaces = spaces_count(json_load64(data + at));
            at += spaces;
            if (likely(spaces < 8))
                break;
        }
    }
    return len;
}

size_t json_skip_ws(const char *data, size_t len, size_t at)
{
    return json_ws_end((const uint8_t *)data, len, at);
}

void json_append_single_line(struct buf *b, const char *data, size_t len)
{
    char *to = buf_reserve(b, len);
    for (size_t i = 0; i < len; i++)
        to[i] = data[i] == '\n' || data[i] == '\r' ? ' ' : data[i];
    b->len += len;
}
