#include "cli/event_input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/limits.h"

#define READ_BYTES KIB(256)
#define EVENT_BYTES_MAX MIB(16) /* the server's bound is lower; this one bounds memory */

void event_input_init(struct event_input *in, int fd, const char *name)
{
    *in = (struct event_input){.fd = fd, .name = name, .line = 1};
}

void event_input_release(struct event_input *in)
{
    buf_release(&in->data);
}

static size_t left(const struct event_input *in)
{
    return in->data.len - in->at;
}

static const char *here(const struct event_input *in)
{
    return in->data.data + in->at;
}

/** Appends what the next read gives. Moves the bytes at hand to the front. */
static err_t read_more(struct event_input *in)
{
    if (left(in) > EVENT_BYTES_MAX)
        return err_fail(ERR_INVALID_JSON, "%s:%llu: an event of more than %zu MiB", in->name,
                        (unsigned long long)in->line, EVENT_BYTES_MAX >> 20);
    buf_consume(&in->data, in->at);
    in->at = 0;
    /* Twice as much each time an event does not fit: scanning anew stays linear. */
    size_t want = MAX(READ_BYTES, in->data.len);
    char *room = buf_reserve(&in->data, want);
    ssize_t n;
    do {
        n = read(in->fd, room, want);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_fail_errno(ERR_IO, "cannot read %s", in->name);
    in->end_of_file = n == 0;
    in->data.len += (size_t)n;
    return OK;
}

static void take(struct event_input *in, size_t len)
{
    const char *at = here(in);
    const char *end = at + len;
    while (at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        in->line++;
        at++;
    }
    in->at += len;
    in->bytes_done += len;
}

/** Skips white space; false at the end of the input. */
static err_t skip_blanks(struct event_input *in, bool *ret_more)
{
    for (;;) {
        size_t blank = left(in) == 0 ? 0 : json_skip_ws(here(in), left(in), 0);
        if (blank > 0)
            take(in, blank);
        if (left(in) > 0 || in->end_of_file) {
            *ret_more = left(in) > 0;
            return OK;
        }
        TRY(read_more(in));
    }
}

static err_t next_line(struct event_input *in, struct slice *ret_event, uint64_t *ret_line)
{
    bool more;
    TRY(skip_blanks(in, &more));
    if (!more)
        return ERR_END;
    const char *newline;
    size_t seen = 0;
    while ((newline = memchr(here(in) + seen, '\n', left(in) - seen)) == NULL && !in->end_of_file) {
        seen = left(in);
        TRY(read_more(in));
    }
    size_t len = newline != NULL ? (size_t)(newline - here(in)) : left(in);
    *ret_line = in->line;
    const char *start = here(in);
    take(in, newline != NULL ? len + 1 : len);
    while (len > 0 && (start[len - 1] == '\r' || start[len - 1] == ' '))
        len--;
    *ret_event = (struct slice){start, len};
    return OK;
}

static err_t array_syntax(struct event_input *in, const char *what)
{
    return err_fail(ERR_INVALID_JSON, "%s:%llu: %s", in->name, (unsigned long long)in->line, what);
}

/** Behind an element or the opening bracket: moves to the next element, or finishes. */
static err_t next_element_start(struct event_input *in, bool first)
{
    bool more;
    TRY(skip_blanks(in, &more));
    char c = more ? *here(in) : '\0';
    if (c == ']') {
        take(in, 1);
        in->finished = true;
        TRY(skip_blanks(in, &more));
        return more ? array_syntax(in, "something follows the array") : ERR_END;
    }
    if (first)
        return more ? OK : array_syntax(in, "the array is not closed");
    if (c != ',')
        return array_syntax(in, more ? "a comma or ] was expected" : "the array is not closed");
    take(in, 1);
    TRY(skip_blanks(in, &more));
    return more ? OK : array_syntax(in, "the array is not closed");
}

static err_t next_element(struct event_input *in, bool first, struct slice *ret_event,
                          uint64_t *ret_line)
{
    if (in->finished)
        return ERR_END;
    TRY(next_element_start(in, first));
    for (;;) {
        struct json_scan scan;
        struct json_input text = {here(in), left(in), in->bytes_done, in->end_of_file};
        err_t err = json_scan_value(&text, NULL, LIMIT_JSON_DEPTH, &scan);
        if (err == OK) {
            *ret_line = in->line;
            *ret_event = scan.value.raw;
            take(in, scan.len);
            return OK;
        }
        if (err != ERR_AGAIN)
            return err_fail(ERR_INVALID_JSON, "%s:%llu: %s", in->name, (unsigned long long)in->line,
                            err_text(err));
        TRY(read_more(in));
    }
}

err_t event_input_next(struct event_input *in, struct slice *ret_event, uint64_t *ret_line)
{
    bool first = !in->started;
    if (first) {
        bool more;
        TRY(skip_blanks(in, &more));
        in->started = true;
        in->is_array = more && *here(in) == '[';
        if (in->is_array)
            take(in, 1);
    }
    return in->is_array ? next_element(in, first, ret_event, ret_line)
                        : next_line(in, ret_event, ret_line);
}
