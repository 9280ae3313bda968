/*
 * base/pattern.c: one pass with a table of positions instead of recursion over "**": at most 10
 * pattern segments, so the state is the set of pattern segments that may come next, as bits.
 */
#include "base/pattern.h"

#include <string.h>

#define WILDCARDS_MAX 5

struct segments {
    struct slice list[PATTERN_SEGMENTS_MAX];
    size_t count;
};

/** False when there are more than PATTERN_SEGMENTS_MAX. */
static bool split(struct slice text, struct segments *out)
{
    out->count = 0;
    const char *at = text.data;
    const char *end = text.data + text.len;
    for (;;) {
        const char *dot = memchr(at, '.', (size_t)(end - at));
        const char *stop = dot == NULL ? end : dot;
        if (out->count == PATTERN_SEGMENTS_MAX)
            return false;
        out->list[out->count++] = (struct slice){at, (size_t)(stop - at)};
        if (dot == NULL)
            return true;
        at = dot + 1;
    }
}

static bool is_wild(struct slice segment)
{
    return memchr(segment.data, '*', segment.len) != NULL;
}

static bool is_any_number(struct slice segment)
{
    return segment.len == 2 && memcmp(segment.data, "**", 2) == 0;
}

err_t pattern_check(const char *pattern)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.*_-";
    size_t len = strlen(pattern);
    if (len == 0 || len > PATTERN_BYTES_MAX)
        return err_fail(ERR_VALIDATION, "a pattern has 1 to %d characters", PATTERN_BYTES_MAX);
    if (strspn(pattern, allowed) != len)
        return err_fail(ERR_VALIDATION, "pattern \"%s\": only A-Z a-z 0-9 . * _ - are allowed",
                        pattern);
    if (strstr(pattern, "***") != NULL)
        return err_fail(ERR_VALIDATION, "pattern \"%s\": *** means nothing", pattern);
    struct segments s;
    if (!split((struct slice){pattern, len}, &s))
        return err_fail(ERR_VALIDATION, "pattern \"%s\": more than %d segments", pattern,
                        PATTERN_SEGMENTS_MAX);
    size_t wild = 0;
    for (size_t i = 0; i < s.count; i++) {
        if (s.list[i].len == 0)
            return err_fail(ERR_VALIDATION, "pattern \"%s\": an empty segment", pattern);
        if (is_wild(s.list[i]))
            wild++;
    }
    if (wild > WILDCARDS_MAX && wild * 2 > s.count)
        return err_fail(ERR_VALIDATION, "pattern \"%s\": too many wildcards", pattern);
    return OK;
}

/** A glob within one segment: every "*" is any run of characters. */
static bool segment_matches(struct slice glob, struct slice text)
{
    size_t g = 0;
    size_t t = 0;
    size_t star = SIZE_MAX; /* behind the last "*" seen, and where its run ends so far */
    size_t run = 0;
    while (t < text.len) {
        if (g < glob.len && glob.data[g] == '*') {
            star = ++g;
            run = t;
        } else if (g < glob.len && glob.data[g] == text.data[t]) {
            g++;
            t++;
        } else if (star != SIZE_MAX) {
            g = star;
            t = ++run;
        } else {
            return false;
        }
    }
    while (g < glob.len && glob.data[g] == '*')
        g++;
    return g == glob.len;
}

/** Pattern segments that may come next: "**" may also be passed over. */
static unsigned pass_over(const struct segments *pattern, unsigned states)
{
    for (size_t i = 0; i < pattern->count; i++)
        if ((states & 1u << i) != 0 && is_any_number(pattern->list[i]))
            states |= 1u << (i + 1);
    return states;
}

static unsigned step(const struct segments *pattern, unsigned states, struct slice segment)
{
    unsigned next = 0;
    for (size_t i = 0; i < pattern->count; i++) {
        if ((states & 1u << i) == 0)
            continue;
        if (is_any_number(pattern->list[i]))
            next |= 1u << i;
        else if (segment_matches(pattern->list[i], segment))
            next |= 1u << (i + 1);
    }
    return pass_over(pattern, next);
}

bool pattern_matches(const char *pattern, struct slice name)
{
    struct segments p;
    if (name.data == NULL || !split(slice_of(pattern), &p))
        return false;
    unsigned states = pass_over(&p, 1);
    const char *at = name.data;
    const char *end = name.data + name.len;
    while (states != 0) {
        const char *dot = memchr(at, '.', (size_t)(end - at));
        const char *stop = dot == NULL ? end : dot;
        states = step(&p, states, (struct slice){at, (size_t)(stop - at)});
        if (dot == NULL)
            break;
        at = dot + 1;
    }
    return (states & 1u << p.count) != 0;
}
