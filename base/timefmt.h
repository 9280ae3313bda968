/*
 * base/timefmt.h: RFC 3339 timestamps. Times are microseconds since 1970-01-01T00:00:00Z.
 */
#ifndef BASE_TIMEFMT_H
#define BASE_TIMEFMT_H

#include "base/base.h"

#define TIMEFMT_MAX 40

/** Writes e.g. "2026-02-02T14:30:00.123456Z" (fraction of 3 digits where the rest is zero, else 6).
 */
void timefmt_rfc3339(int64_t us, char out[TIMEFMT_MAX]);

/** Parses an RFC 3339 date-time: date, 'T', 't' or a space, time, optional fraction (digits past
 * the sixth are cut), and a zone ("Z", "z" or +hh:mm). A leap second (:60) counts as the next
 * second's start. False for anything else, a naive time included. Proleptic Gregorian, years
 * 0000-9999. */
bool timefmt_parse(const char *text, size_t len, int64_t *ret_us);

#endif
