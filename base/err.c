#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct err_row {
    const char *wire;
    const char *text;
    int http;
    int16_t kafka;
};

static const struct err_row err_rows[ERR_COUNT] = {
    [OK] = {"OK", "ok", 200, 0},
#define ERR(name, wire, text, http, kafka) [ERR_##name] = {wire, text, http, kafka},
#include "base/err.def"
#undef ERR
};

static _Thread_local struct err_detail err_detail_tls;

const char *err_wire_code(err_t code)
{
    ASSERT((unsigned)code < ERR_COUNT);
    return err_rows[code].wire;
}

const char *err_default_text(err_t code)
{
    ASSERT((unsigned)code < ERR_COUNT);
    return err_rows[code].text;
}

int err_http_status(err_t code)
{
    ASSERT((unsigned)code < ERR_COUNT);
    return err_rows[code].http;
}

bool err_passes(err_t code)
{
    return code == ERR_BUFFER_FULL || code == ERR_UNAVAILABLE || code == ERR_IO ||
           code == ERR_NO_MEMORY;
}

int16_t err_kafka_code(err_t code)
{
    ASSERT((unsigned)code < ERR_COUNT);
    return err_rows[code].kafka;
}

const struct err_detail *err_last(void)
{
    return &err_detail_tls;
}

const char *err_text(err_t code)
{
    if (err_detail_tls.code == code && err_detail_tls.text[0] != '\0')
        return err_detail_tls.text;
    return err_default_text(code);
}

err_t err_record(err_t code, int sys_errno, const char *file, int line, const char *fmt, ...)
{
    struct err_detail *detail = &err_detail_tls;
    ASSERT(code != OK);
    if (sys_errno == ENOSPC || sys_errno == EDQUOT)
        code = ERR_NO_SPACE;
    detail->code = code;
    detail->file = file;
    detail->line = line;

    /* Formatted aside first: an argument may be the previous detail's own text. */
    char text[sizeof(detail->text)];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (sys_errno != 0 && len >= 0 && (size_t)len < sizeof(text))
        snprintf(text + len, sizeof(text) - (size_t)len, ": %s", strerrordesc_np(sys_errno));
    memcpy(detail->text, text, sizeof(text));
    return code;
}

_Noreturn void base_assert_failed(const char *cond, const char *file, int line)
{
    fprintf(stderr, "spillway: bug: assertion \"%s\" failed at %s:%d\n", cond, file, line);
    abort();
}

static void *out_of_memory_check(void *ptr, size_t size)
{
    if (unlikely(ptr == NULL && size != 0)) {
        fprintf(stderr, "spillway: out of memory (%zu bytes)\n", size);
        abort();
    }
    return ptr;
}

void *xmalloc(size_t size)
{
    return out_of_memory_check(malloc(size), size);
}

void *xcalloc(size_t count, size_t size)
{
    return out_of_memory_check(calloc(count, size), count * size);
}

void *xrealloc(void *ptr, size_t size)
{
    return out_of_memory_check(realloc(ptr, size), size);
}

char *xstrdup(const char *text)
{
    return xstrndup(text, strlen(text));
}

char *xstrndup(const char *text, size_t len)
{
    char *copy = xmalloc(len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    return out_of_memory_check(len < 0 ? NULL : text, 1);
}

void xfree_ptr(void *ptr_to_ptr)
{
    void **ptr = ptr_to_ptr;
    free(*ptr);
    *ptr = NULL;
}

struct slice slice_of(const char *text)
{
    return (struct slice){text, strlen(text)};
}

int slice_compare(struct slice a, struct slice b)
{
    size_t n = MIN(a.len, b.len);
    int order = n > 0 ? memcmp(a.data, b.data, n) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || strncasecmp(a.data, b.data, a.len) == 0);
}

bool slice_to_number(struct slice text, int64_t *ret)
{
    int64_t value = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int digit = text.data[i] - '0';
        if (digit < 0 || digit > 9 || value > (INT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret = value;
    return true;
}
