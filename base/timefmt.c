#include "base/timefmt.h"

#include <stdio.h>

/** Days from 1970-01-01 to a civil date of the years 0 to 9999 (Howard Hinnant, "chrono-compatible
 * low-level date algorithms"; an era more keeps all of it unsigned). */
static inline int64_t days_from_civil(unsigned y, unsigned m, unsigned d)
{
    y += 400 - (m <= 2);
    unsigned era = y / 400;
    unsigned yoe = y - era * 400;
    unsigned doy = (153 * (m + (m > 2 ? -3u : 9u)) + 2) / 5 + d - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return (int64_t)(era * 146097 + doe) - (719468 + 146097);
}

static void civil_from_days(int64_t z, int64_t *ret_y, unsigned *ret_m, unsigned *ret_d)
{
    z += 719468;
    int64_t era = (z >= 0 ? z : z - 146096) / 146097;
    unsigned doe = (unsigned)(z - era * 146097);
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153;
    *ret_d = doy - (153 * mp + 2) / 5 + 1;
    *ret_m = mp < 10 ? mp + 3 : mp - 9;
    *ret_y = (int64_t)yoe + era * 400 + (*ret_m <= 2);
}

/** `count` decimal digits; printf would be the greater part of writing a document's line. */
static inline char *put_digits(char *at, unsigned value, int count)
{
    for (int i = count; i > 0; value /= 10)
        at[--i] = (char)('0' + value % 10);
    return at + count;
}

void timefmt_rfc3339(int64_t us, char out[TIMEFMT_MAX])
{
    int64_t secs = us / 1000000;
    int64_t frac = us % 1000000;
    if (frac < 0) {
        frac += 1000000;
        secs--;
    }
    int64_t days = secs / 86400;
    int64_t rest = secs % 86400;
    if (rest < 0) {
        rest += 86400;
        days--;
    }
    int64_t y;
    unsigned m, d;
    civil_from_days(days, &y, &m, &d);
    char *at = out;
    if (y >= 0 && y <= 9999)
        at = put_digits(at, (unsigned)y, 4);
    else
        at += snprintf(out, TIMEFMT_MAX, "%04lld", (long long)y);
    *at++ = '-';
    at = put_digits(at, m, 2);
    *at++ = '-';
    at = put_digits(at, d, 2);
    *at++ = 'T';
    at = put_digits(at, (unsigned)(rest / 3600), 2);
    *at++ = ':';
    at = put_digits(at, (unsigned)(rest / 60 % 60), 2);
    *at++ = ':';
    at = put_digits(at, (unsigned)(rest % 60), 2);
    *at++ = '.';
    at = frac % 1000 == 0 ? put_digits(at, (unsigned)(frac / 1000), 3)
                          : put_digits(at, (unsigned)frac, 6);
    *at++ = 'Z';
    *at = '\0';
}

/** The number in `count` digits at text[*at], or -1. */
static int digits(const char *text, size_t len, size_t *at, int count)
{
    int v = 0;
    for (int i = 0; i < count; i++, (*at)++) {
        if (*at >= len || text[*at] < '0' || text[*at] > '9')
            return -1;
        v = v * 10 + (text[*at] - '0');
    }
    return v;
}

static bool literal(const char *text, size_t len, size_t *at, char c)
{
    if (*at >= len || text[*at] != c)
        return false;
    (*at)++;
    return true;
}

static inline unsigned days_in_month(unsigned y, unsigned m)
{
    static const unsigned char days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (m != 2)
        return days[m - 1];
    return y % 4 == 0 && (y % 100 != 0 || y % 400 == 0) ? 29 : 28;
}

static bool parse_date(const char *text, size_t len, size_t *at, int64_t *ret_days)
{
    int y = digits(text, len, at, 4);
    if (y < 0 || !literal(text, len, at, '-'))
        return false;
    int m = digits(text, len, at, 2);
    if (m < 1 || m > 12 || !literal(text, len, at, '-'))
        return false;
    int d = digits(text, len, at, 2);
    if (d < 1 || (unsigned)d > days_in_month((unsigned)y, (unsigned)m))
        return false;
    *ret_days = days_from_civil((unsigned)y, (unsigned)m, (unsigned)d);
    return true;
}

static bool parse_zone(const char *text, size_t len, size_t *at, int64_t *ret_offset_s)
{
    if (*at >= len)
        return false;
    char c = text[(*at)++];
    *ret_offset_s = 0;
    if (c == 'Z' || c == 'z')
        return true;
    if (c != '+' && c != '-')
        return false;
    int h = digits(text, len, at, 2);
    if (h < 0 || h > 23 || !literal(text, len, at, ':'))
        return false;
    int m = digits(text, len, at, 2);
    if (m < 0 || m > 59)
        return false;
    *ret_offset_s = (h * 3600 + m * 60) * (c == '-' ? -1 : 1);
    return true;
}

/** The value of two digits at `p`, or a number above 99. */
static inline unsigned two(const char *p)
{
    unsigned a = (unsigned char)p[0] - '0';
    unsigned b = (unsigned char)p[1] - '0';
    return a > 9 || b > 9 ? 1000 : a * 10 + b;
}

static inline unsigned three(const char *p)
{
    unsigned a = (unsigned char)p[0] - '0';
    unsigned bc = two(p + 1);
    return a > 9 || bc > 99 ? 1000 : a * 100 + bc;
}

/** The forms that most senders write, "2026-02-02T14:30:00.123Z" with three or six digits of
 * fraction or none. False: take the general way. */
static bool parse_usual(const char *t, size_t len, int64_t *ret_us)
{
    if (len < 20 || t[len - 1] != 'Z')
        return false;
    unsigned century = two(t), year = two(t + 2), month = two(t + 5), day = two(t + 8);
    unsigned h = two(t + 11), m = two(t + 14), s = two(t + 17);
    bool marks = t[4] == '-' && t[7] == '-' && t[10] == 'T' && t[13] == ':' && t[16] == ':';
    if (!marks || century > 99 || year > 99 || month - 1 > 11 || h > 23 || m > 59 || s > 59)
        return false;
    unsigned y = century * 100 + year;
    if (day < 1 || day > days_in_month(y, month))
        return false;
    unsigned milli = 0, micro = 0;
    if (len >= 24)
        milli = three(t + 20);
    if (len == 27)
        micro = three(t + 23);
    bool fraction = len == 20 ? t[19] == 'Z' : t[19] == '.' && (len == 24 || len == 27);
    if (!fraction || milli > 999 || micro > 999)
        return false;
    int64_t days = days_from_civil(y, month, day);
    *ret_us = (days * 86400 + h * 3600 + m * 60 + s) * 1000000 + milli * 1000 + micro;
    return true;
}

bool timefmt_parse(const char *text, size_t len, int64_t *ret_us)
{
    if (likely(parse_usual(text, len, ret_us)))
        return true;
    size_t at = 0;
    int64_t days, zone_s;
    if (!parse_date(text, len, &at, &days))
        return false;
    if (at >= len || (text[at] != 'T' && text[at] != 't' && text[at] != ' '))
        return false;
    at++;
    int h = digits(text, len, &at, 2);
    if (h < 0 || h > 23 || !literal(text, len, &at, ':'))
        return false;
    int m = digits(text, len, &at, 2);
    if (m < 0 || m > 59 || !literal(text, len, &at, ':'))
        return false;
    int s = digits(text, len, &at, 2);
    if (s < 0 || s > 60)
        return false;
    int64_t frac_us = 0;
    if (at < len && text[at] == '.') {
        size_t start = ++at;
        int64_t unit = 100000;
        for (; at < len && text[at] >= '0' && text[at] <= '9'; at++, unit /= 10)
            frac_us += (text[at] - '0') * unit;
        if (at == start)
            return false;
    }
    if (!parse_zone(text, len, &at, &zone_s) || at != len)
        return false;
    *ret_us = (days * 86400 + h * 3600 + m * 60 + s - zone_s) * 1000000 + frac_us;
    return true;
}
