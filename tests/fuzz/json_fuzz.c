/*
 * tests/fuzz/json_fuzz.c: the JSON scanner on any bytes. All engines agree; a text that comes in
 * pieces gives the same answer as at once; nothing is read past the end (each scan gets a copy of
 * exactly its bytes, ASan watches); what a scan reports lies within the text and scans alike by
 * itself; strings decode within their bounds to UTF-8. Covers: base/json.c base/json_string.c
 * base/json_template.h base/json_portable.c base/json_avx2.c base/json_sse2.c base/utf8.h
 */
#include <stdlib.h>
#include <string.h>

#include "base/json_engine.h"
#include "base/limits.h"
#include "base/utf8.h"

static const char *const wanted[] = {"type", "ts", "a", "collection", "docId", "0123456789abcdef"};

static const struct json_names *fuzz_names(void)
{
    static struct json_names names;
    if (names.count == 0)
        json_names_init(&names, wanted, ARRAY_LEN(wanted));
    return &names;
}

/* One scan of a copy; `base` tells where the copy lay, so that slices compare as positions. */
struct result {
    enum json_stop stop;
    size_t stop_at;
    struct json_scan scan;
    uintptr_t base;
};

static void result_scan(struct result *r, json_engine_fn *engine, const uint8_t *data, size_t len,
                        bool at_end)
{
    memset(r, 0, sizeof(*r));
    uint8_t *copy = malloc(len);
    ASSERT(copy != NULL || len == 0);
    if (len != 0)
        memcpy(copy, data, len);
    struct json_job job = {.data = copy,
                           .len = len,
                           .at_end = at_end,
                           .depth_max = LIMIT_JSON_DEPTH,
                           .names = fuzz_names(),
                           .ret = &r->scan};
    r->stop = engine(&job);
    r->stop_at = job.stop_at;
    r->base = (uintptr_t)copy;
    ASSERT(r->stop_at <= len);
    free(copy);
}

static size_t value_at(const struct result *r, const struct json_value *v)
{
    return (uintptr_t)v->raw.data - r->base;
}

static void values_must_agree(const struct result *a, const struct result *b,
                              const struct json_value *v, const struct json_value *w)
{
    ASSERT(value_at(a, v) == value_at(b, w));
    ASSERT(v->raw.len == w->raw.len);
    ASSERT(v->kind == w->kind);
    ASSERT(v->escaped == w->escaped);
    ASSERT(v->count == w->count);
}

static void results_must_agree(const struct result *a, const struct result *b)
{
    ASSERT(a->stop == b->stop);
    ASSERT(a->stop_at == b->stop_at);
    if (a->stop != JSON_DONE)
        return;
    ASSERT(a->scan.len == b->scan.len);
    ASSERT(a->scan.found == b->scan.found);
    values_must_agree(a, b, &a->scan.value, &b->scan.value);
    for (size_t i = 0; i < JSON_NAMES_MAX; i++)
        if (json_scan_found(&a->scan, i))
            values_must_agree(a, b, &a->scan.fields[i], &b->scan.fields[i]);
}

static void engines_must_agree(const uint8_t *data, size_t len, bool at_end, struct result *ret)
{
    result_scan(ret, json_scan_portable, data, len, at_end);
    for (const struct json_engine *e = json_engines; e->name != NULL; e++) {
        if (!e->usable())
            continue;
        struct result r;
        result_scan(&r, e->scan, data, len, at_end);
        results_must_agree(ret, &r);
    }
}

/* A beginning of the text says the same as the whole, or that it is not complete. */
static void beginning_must_fit(const uint8_t *data, size_t cut, const struct result *whole)
{
    struct result r;
    engines_must_agree(data, cut, false, &r);
    if (r.stop != JSON_CUT)
        results_must_agree(&r, whole);
    else
        ASSERT(whole->stop != JSON_DONE || cut <= whole->stop_at);
}

static void utf8_must_be_strict(const uint8_t *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t n = utf8_sequence(text + at, len - at);
        ASSERT(n != 0);
        at += n;
    }
}

/* The value's own bytes are one JSON text of the same kind. */
static void value_must_stand_alone(const uint8_t *data, const struct result *whole,
                                   const struct json_value *v)
{
    const uint8_t *raw = data + value_at(whole, v);
    struct result r;
    engines_must_agree(raw, v->raw.len, true, &r);
    ASSERT(r.stop == JSON_DONE && r.scan.len == v->raw.len && r.scan.value.kind == v->kind);
    utf8_must_be_strict(raw, v->raw.len);
    if (v->kind != JSON_STRING)
        return;
    char *out = malloc(v->raw.len - 2);
    size_t len;
    err_t err = json_string_decode((struct slice){(const char *)raw, v->raw.len}, out,
                                   v->raw.len - 2, &len);
    ASSERT(err == OK || (err == ERR_INVALID_JSON && v->escaped));
    if (err == OK) {
        ASSERT(len <= v->raw.len - 2 && (v->escaped || len == v->raw.len - 2));
        utf8_must_be_strict((const uint8_t *)out, len);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first byte chooses where the text is cut besides at its end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t len = size - 1;
    size_t step = data[0] / 8 + 1;
    data++;
    struct result whole, at_end;
    engines_must_agree(data, len, false, &whole);
    engines_must_agree(data, len, true, &at_end);
    if (whole.stop != JSON_CUT)
        results_must_agree(&whole, &at_end);
    for (size_t cut = len < 2000 ? 0 : len - 2000; cut < len; cut += step)
        beginning_must_fit(data, cut, &whole);
    if (at_end.stop == JSON_DONE) {
        value_must_stand_alone(data, &at_end, &at_end.scan.value);
        for (size_t i = 0; i < JSON_NAMES_MAX; i++)
            if (json_scan_found(&at_end.scan, i))
                value_must_stand_alone(data, &at_end, &at_end.scan.fields[i]);
    }
    struct json_scan scan;
    struct json_input in = {.data = (const char *)data, .len = len};
    err_t err = json_scan_document(&in, fuzz_names(), LIMIT_JSON_DEPTH, &scan);
    ASSERT(err == OK || err == ERR_INVALID_JSON);
    return 0;
}
