/*
 * base/pattern.h: globs over dotted names ("webhook.github.*"), segment by segment: "*" stands for
 * exactly one segment, "**" for any number of them, none included ("webhook.**" matches "webhook").
 * A wildcard is a whole segment or part of one ("do.*Counter"); within a segment "*" matches any
 * run of characters.
 */
#ifndef BASE_PATTERN_H
#define BASE_PATTERN_H

#include "base/base.h"
#include "base/err.h"

#define PATTERN_BYTES_MAX 256
#define PATTERN_SEGMENTS_MAX 10

/** ERR_VALIDATION with a sentence for: more than 256 bytes, characters outside [A-Za-z0-9.*_-],
 * "***", an empty segment, more than 10 segments, more than 5 wildcard segments that are also more
 * than half of all. */
err_t pattern_check(const char *pattern) MUST_USE;
/** `pattern` has passed pattern_check. */
bool pattern_matches(const char *pattern, struct slice name);

#endif
