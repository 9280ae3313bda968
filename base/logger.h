/*
 * base/logger.h: structured log lines on standard error, logfmt or JSON.
 *
 *     LOG_WARN("segment_roll_failed", F("shard", name), F("err", err_text(err)), F("next",
 * "retrying in 1s"));
 *
 * The event name comes first, keys are fixed words, text values are quoted where needed. The same
 * event name is written at most 10 times in 10 seconds; what was left out is counted in
 * `suppressed=`. Library code returns errors; the caller at the boundary logs once. Never log a
 * secret. Any thread.
 */
#ifndef BASE_LOGGER_H
#define BASE_LOGGER_H

#include "base/base.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

struct log_field {
    const char *key;  /* NULL ends the list */
    const char *text; /* NULL: the number */
    int64_t number;
};

static inline struct log_field log_field_text(const char *key, const char *text)
{
    return (struct log_field){key, text == NULL ? "" : text, 0};
}
static inline struct log_field log_field_number(const char *key, int64_t number)
{
    return (struct log_field){key, NULL, number};
}

#define F(key, value)                                                                              \
    _Generic((value), char *: log_field_text, const char *: log_field_text,                        \
             default: log_field_number)(key, value)

#define LOG_AT(level, event, ...)                                                                  \
    do {                                                                                           \
        if (logger_enabled(level))                                                                 \
            logger_write((level), (event), (const struct log_field[]){__VA_ARGS__, {0}});          \
    } while (0)
/* Each takes an event name and at least one field. */
#define LOG_DEBUG(event, ...) LOG_AT(LOG_LEVEL_DEBUG, event, __VA_ARGS__)
#define LOG_INFO(event, ...) LOG_AT(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define LOG_WARN(event, ...) LOG_AT(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define LOG_ERROR(event, ...) LOG_AT(LOG_LEVEL_ERROR, event, __VA_ARGS__)

/** Called once by main before other threads run; the default is LOG_LEVEL_INFO, LOG_FORMAT_TEXT. */
void logger_configure(enum log_level level, enum log_format format);
bool logger_enabled(enum log_level level);
void logger_write(enum log_level level, const char *event, const struct log_field *fields);

#endif
