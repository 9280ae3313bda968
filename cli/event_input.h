/*
 * cli/event_input.h: events one by one from a file or standard input: NDJSON (one event a line;
 * empty lines are skipped) or one JSON array. Which of them is seen from the first character.
 *
 * Memory is bounded by the largest single event. Owner: one thread.
 */
#ifndef CLI_EVENT_INPUT_H
#define CLI_EVENT_INPUT_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

struct event_input {
    int fd;           /* borrowed */
    const char *name; /* for messages; borrowed */
    struct buf data;  /* bytes read and not yet handed out, from `at` */
    size_t at;
    uint64_t bytes_done; /* handed out or skipped */
    uint64_t line;       /* of data[at], from 1 */
    bool end_of_file;
    bool is_array;
    bool started;
    bool finished;
};

void event_input_init(struct event_input *in, int fd, const char *name);
void event_input_release(struct event_input *in);
/** The next event's bytes (borrowed until the next call) and the line on which it begins. ERR_END
 * after the last; ERR_INVALID_JSON with a sentence that names the line; ERR_IO. */
err_t event_input_next(struct event_input *in, struct slice *ret_event,
                       uint64_t *ret_line) MUST_USE;

#endif
