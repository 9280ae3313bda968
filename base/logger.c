#include "base/logger.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/timefmt.h"

#define QUIET_WINDOW_NS INT64_C(10000000000)
#define QUIET_AFTER 10
#define QUIET_SLOTS 64

static atomic_int logger_level = LOG_LEVEL_INFO;
static atomic_int logger_format = LOG_FORMAT_TEXT;

/* Which event names were written lately. Guards: quiet_lock. */
static struct quiet_slot {
    const char *event; /* a string literal, compared by text */
    int64_t since_ns;
    unsigned written;
    unsigned suppressed;
} quiet_slots[QUIET_SLOTS];
static pthread_mutex_t quiet_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

void logger_configure(enum log_level level, enum log_format format)
{
    atomic_store(&logger_level, (int)level);
    atomic_store(&logger_format, (int)format);
}

bool logger_enabled(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&logger_level, memory_order_relaxed);
}

/** False when this event is to be left out; *ret_suppressed counts those left out before this one.
 */
static bool quiet_check(const char *event, unsigned *ret_suppressed)
{
    int64_t now = clock_mono_ns(clock_real());
    *ret_suppressed = 0;
    pthread_mutex_lock(&quiet_lock);
    struct quiet_slot *slot = &quiet_slots[0];
    for (size_t i = 0; i < QUIET_SLOTS; i++) {
        struct quiet_slot *s = &quiet_slots[i];
        if (s->event != NULL && strcmp(s->event, event) == 0) {
            slot = s;
            break;
        }
        if (s->event == NULL || s->since_ns < slot->since_ns)
            slot = s;
        if (s->event == NULL)
            break;
    }
    if (slot->event == NULL || strcmp(slot->event, event) != 0)
        *slot = (struct quiet_slot){.event = event, .since_ns = now};
    if (now - slot->since_ns > QUIET_WINDOW_NS) {
        *ret_suppressed = slot->suppressed;
        *slot = (struct quiet_slot){.event = event, .since_ns = now};
    }
    bool write = slot->written < QUIET_AFTER;
    if (write)
        slot->written++;
    else
        slot->suppressed++;
    pthread_mutex_unlock(&quiet_lock);
    return write;
}

static bool needs_quotes(const char *text)
{
    if (*text == '\0')
        return true;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c <= ' ' || c == '"' || c == '=' || c == '\\' || c >= 0x7F)
            return true;
    }
    return false;
}

static void write_field(struct buf *line, const struct log_field *field, bool json)
{
    if (json) {
        buf_append_char(line, ',');
        buf_append_json(line, field->key, strlen(field->key));
        buf_append_char(line, ':');
    } else {
        buf_append_char(line, ' ');
        buf_append_str(line, field->key);
        buf_append_char(line, '=');
    }
    if (field->text == NULL)
        buf_printf(line, "%lld", (long long)field->number);
    else if (json || needs_quotes(field->text))
        buf_append_json(line, field->text, strlen(field->text));
    else
        buf_append_str(line, field->text);
}

void logger_write(enum log_level level, const char *event, const struct log_field *fields)
{
    unsigned suppressed;
    if (!quiet_check(event, &suppressed))
        return;
    bool json = atomic_load_explicit(&logger_format, memory_order_relaxed) == LOG_FORMAT_JSON;
    char time_text[TIMEFMT_MAX];
    timefmt_rfc3339(clock_wall_us(clock_real()), time_text);

    CLEANUP(buf_release) struct buf line = BUF_INIT;
    if (json)
        buf_printf(&line, "{\"ts\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", time_text,
                   level_names[level], event);
    else
        buf_printf(&line, "ts=%s level=%s event=%s", time_text, level_names[level], event);
    for (; fields->key != NULL; fields++)
        write_field(&line, fields, json);
    if (suppressed > 0)
        write_field(&line, &(struct log_field){"suppressed", NULL, suppressed}, json);
    buf_append_str(&line, json ? "}\n" : "\n");
    /* One write per line, so that lines of several threads do not mix; a full or closed stderr must
     * not stop the server. */
    ssize_t ignored = write(STDERR_FILENO, line.data, line.len);
    (void)ignored;
}
