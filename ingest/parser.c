/*
 * Bodies of POST /ingest:
 *
 *     {"events":[…],"batchId":"…"}      other fields are allowed, checked as JSON and ignored
 *     […]                               an array of events
 *     one event per line                blank lines are skipped
 *
 * The parser takes one step at a time: a punctuation mark, a key, an event. A step that needs bytes
 * which have not arrived yet leaves the position at its begin; those bytes are carried over and the
 * step is tried again when there is twice as much (or the body has ended), so that a sender of tiny
 * pieces cannot make the work quadratic. Events that lie within one piece are scanned in place.
 */
#include "ingest/parser.h"

#include <string.h>

#include "base/limits.h"

#define CARRY_STEP 512 /* at least so many bytes are added to a value that was not complete */

enum state {
    AT_START,       /* of a JSON body */
    AT_FIRST_KEY,   /* behind '{': a key or '}' */
    AT_KEY,         /* behind ',' in the object */
    AT_COLON,       /* behind a key */
    AT_VALUE,       /* behind ':' */
    AT_VALUE_END,   /* behind a value in the object: ',' or '}' */
    AT_FIRST_EVENT, /* behind '[': an event or ']' */
    AT_EVENT,       /* behind ',' in the array */
    AT_EVENT_END,   /* behind an event: ',' or ']' */
    AT_END,         /* behind the body's value: nothing but blanks */
    AT_LINE,        /* an event, or the end */
    AT_LINE_END,    /* behind a line's event */
};

/** The bytes at hand and how far they are consumed. */
struct run {
    const char *data;
    size_t len;
    size_t at;
    uint64_t origin; /* of data[0] */
    bool at_end;
};

void event_parser_init(struct event_parser *p, const struct event_parser_options *o)
{
    *p = (struct event_parser){.rules = o->rules,
                               .scratch = o->scratch,
                               .builder = o->builder,
                               .now_ms = o->now_ms,
                               .events_max = o->events_max,
                               .state = o->format == BODY_LINES ? AT_LINE : AT_START};
}

void event_parser_release(struct event_parser *p)
{
    buf_release(&p->carry);
    buf_release(&p->batch_id);
}

static err_t fail_syntax(const struct run *r, const char *wanted)
{
    unsigned long long byte = r->origin + r->at;
    if (r->at >= r->len)
        return err_fail(ERR_INVALID_JSON, "malformed JSON at byte %llu: the text ends, expected %s",
                        byte, wanted);
    return err_fail(ERR_INVALID_JSON, "malformed JSON at byte %llu: expected %s", byte, wanted);
}

static err_t fail_batch(const struct event_parser *p)
{
    return err_fail(ERR_INVALID_BATCH, "Invalid batch: must have events array with max %u events",
                    p->events_max);
}

/** Skips blanks. OK: there is a byte at r->at. ERR_AGAIN: there may be one later. ERR_END: the body
 *  ends. */
static inline err_t next_byte(struct run *r)
{
    if (r->at < r->len && (uint8_t)r->data[r->at] > ' ')
        return OK;
    r->at = json_skip_ws(r->data, r->len, r->at);
    if (r->at < r->len)
        return OK;
    return r->at_end ? ERR_END : ERR_AGAIN;
}

/** Takes one of two marks. */
static err_t take_mark(struct event_parser *p, struct run *r, const char marks[2],
                       const unsigned states[2], const char *wanted)
{
    err_t err = next_byte(r);
    if (err == ERR_AGAIN)
        return err;
    for (size_t i = 0; err == OK && i < 2; i++) {
        if (r->data[r->at] == marks[i]) {
            r->at++;
            p->state = states[i];
            return OK;
        }
    }
    return fail_syntax(r, wanted);
}

static err_t scan_at(struct run *r, const struct json_names *names, uint32_t depth,
                     struct json_scan *scan)
{
    struct json_input in = {r->data + r->at, r->len - r->at, r->origin + r->at, r->at_end};
    return json_scan_value(&in, names, depth, scan);
}

static void note_fault(struct event_parser *p, struct event_fault *fault)
{
    fault->index = p->count;
    if (p->fault_count < FAULTS_SHOWN)
        p->faults[p->fault_count] = *fault;
    p->fault_count++;
}

static err_t take_event(struct event_parser *p, struct run *r, uint32_t depth)
{
    struct json_scan scan;
    struct event_record rec;
    struct event_fault fault;
    TRY(scan_at(r, &p->rules->names, depth, &scan));
    if (!event_check(p->rules, &scan, p->now_ms, p->scratch, &rec, &fault))
        note_fault(p, &fault);
    else if (likely(p->fault_count == 0))
        TRY(builder_add(p->builder, &rec));
    p->count++;
    r->at += scan.len;
    return OK;
}

/** An event of an array, with its limit on their number. */
static err_t take_array_event(struct event_parser *p, struct run *r)
{
    err_t err = next_byte(r);
    if (err == ERR_AGAIN)
        return err;
    if (err != OK)
        return fail_syntax(r, "an event");
    if (p->count >= p->events_max)
        return fail_batch(p);
    TRY(take_event(p, r, LIMIT_JSON_DEPTH - (p->in_array_body ? 1 : 2)));
    p->state = AT_EVENT_END;
    return OK;
}

static err_t take_first_event(struct event_parser *p, struct run *r)
{
    err_t err = next_byte(r);
    if (err == ERR_AGAIN)
        return err;
    if (err == OK && r->data[r->at] == ']') {
        r->at++;
        p->state = p->in_array_body ? AT_END : AT_VALUE_END;
        return OK;
    }
    return take_array_event(p, r);
}

static err_t take_start(struct event_parser *p, struct run *r)
{
    err_t err = next_byte(r);
    if (err == ERR_AGAIN)
        return err;
    if (err == OK && r->data[r->at] == '{') {
        r->at++;
        p->state = AT_FIRST_KEY;
        return OK;
    }
    if (err == OK && r->data[r->at] == '[') {
        r->at++;
        p->in_array_body = true;
        p->has_events = true;
        p->state = AT_FIRST_EVENT;
        return OK;
    }
    /* Neither: a syntax error, or a JSON value that is no batch. */
    struct json_scan scan;
    TRY(scan_at(r, NULL, LIMIT_JSON_DEPTH, &scan));
    return fail_batch(p);
}

static err_t take_key(struct event_parser *p, struct run *r)
{
    err_t err = next_byte(r);
    if (err == ERR_AGAIN)
        return err;
    if (err == OK && r->data[r->at] == '}' && p->state == AT_FIRST_KEY) {
        r->at++;
        p->state = AT_END;
        return OK;
    }
    if (err != OK || r->data[r->at] != '"')
        return fail_syntax(r, "a field name");
    struct json_scan scan;
    TRY(scan_at(r, NULL, LIMIT_JSON_DEPTH, &scan));
    char name[16];
    size_t len = 0;
    bool is_short = json_string_decode(scan.value.raw, name, sizeof(name), &len) == OK;
    struct slice key = {name, is_short ? len : 0};
    p->at_events_key = slice_equal(key, SLICE("events"));
    p->at_batch_id_key = slice_equal(key, SLICE("batchId"));
    r->at += scan.len;
    p->state = AT_COLON;
    return OK;
}

static err_t take_colon(struct event_parser *p, struct run *r)
{
    err_t err = next_byte(r);
    if (err == ERR_AGAIN)
        return err;
    if (err != OK || r->data[r->at] != ':')
        return fail_syntax(r, "':'");
    r->at++;
    p->state = AT_VALUE;
    return OK;
}

static err_t take_batch_id(struct event_parser *p, const struct json_scan *scan)
{
    size_t len = 0;
    struct slice raw = scan->value.raw;
    if (p->has_batch_id)
        return err_fail(ERR_INVALID_BATCH, "Invalid batch: batchId is given twice");
    p->has_batch_id = true;
    if (scan->value.kind == JSON_NULL)
        return OK;
    bool good = scan->value.kind == JSON_STRING &&
                json_string_decode(raw, buf_reserve(&p->batch_id, raw.len), raw.len, &len) == OK;
    if (!good || len > LIMIT_KEY_BYTES)
        return err_fail(ERR_INVALID_BATCH,
                        "Invalid batch: batchId must be a string of at most %d "
                        "bytes",
                        LIMIT_KEY_BYTES);
    p->batch_id.len = len;
    return OK;
}

static err_t take_value(struct event_parser *p, struct run *r)
{
    err_t err = next_byte(r);
    if (err == ERR_AGAIN)
        return err;
    if (p->at_events_key && err == OK && r->data[r->at] == '[') {
        if (p->has_events)
            return err_fail(ERR_INVALID_BATCH, "Invalid batch: events is given twice");
        r->at++;
        p->has_events = true;
        p->state = AT_FIRST_EVENT;
        return OK;
    }
    struct json_scan scan;
    TRY(scan_at(r, NULL, LIMIT_JSON_DEPTH - 1, &scan));
    if (p->at_events_key)
        return fail_batch(p);
    if (p->at_batch_id_key)
        TRY(take_batch_id(p, &scan));
    r->at += scan.len;
    p->state = AT_VALUE_END;
    return OK;
}

static err_t take_line(struct event_parser *p, struct run *r)
{
    TRY(next_byte(r));
    TRY(take_event(p, r, LIMIT_JSON_DEPTH));
    p->state = AT_LINE_END;
    return OK;
}

static err_t take_line_end(struct event_parser *p, struct run *r)
{
    while (r->at < r->len && (r->data[r->at] == ' ' || r->data[r->at] == '\t'))
        r->at++;
    if (r->at == r->len)
        return r->at_end ? ERR_END : ERR_AGAIN;
    if (r->data[r->at] != '\n' && r->data[r->at] != '\r')
        return fail_syntax(r, "the end of the line");
    r->at++;
    p->state = AT_LINE;
    return OK;
}

static err_t take_end(struct run *r)
{
    err_t err = next_byte(r);
    return err == OK ? fail_syntax(r, "nothing behind the batch") : err;
}

/** One step. ERR_END at the end of a complete body, ERR_AGAIN when bytes are missing. */
static err_t step(struct event_parser *p, struct run *r)
{
    static const unsigned after_event[] = {AT_EVENT, AT_VALUE_END};
    static const unsigned after_array_event[] = {AT_EVENT, AT_END};
    static const unsigned after_value[] = {AT_KEY, AT_END};
    switch ((enum state)p->state) {
    case AT_START:
        return take_start(p, r);
    case AT_FIRST_KEY:
    case AT_KEY:
        return take_key(p, r);
    case AT_COLON:
        return take_colon(p, r);
    case AT_VALUE:
        return take_value(p, r);
    case AT_VALUE_END:
        return take_mark(p, r, ",}", after_value, "',' or '}'");
    case AT_FIRST_EVENT:
        return take_first_event(p, r);
    case AT_EVENT:
        return take_array_event(p, r);
    case AT_EVENT_END:
        return take_mark(p, r, ",]", p->in_array_body ? after_array_event : after_event,
                         "',' or ']'");
    case AT_END:
        return take_end(r);
    case AT_LINE:
        return take_line(p, r);
    case AT_LINE_END:
        return take_line_end(p, r);
    }
    ASSERT(false);
    return ERR_INTERNAL;
}

/** Steps until bytes are missing (OK), the body is complete (OK), or an error. */
static err_t run_steps(struct event_parser *p, struct run *r)
{
    err_t err;
    do
        err = step(p, r);
    while (err == OK);
    return err == ERR_AGAIN || err == ERR_END ? OK : err;
}

/** Completes the carried value with bytes from the input. *ret_used of them are consumed; when it
 *  is all of them, what is still incomplete is in the carry. */
static err_t feed_carry(struct event_parser *p, const char *data, size_t len, bool at_end,
                        size_t *ret_used)
{
    size_t held = p->carry.len;
    size_t used = 0;
    while (used < len || at_end) {
        size_t want = p->carry_wanted > p->carry.len ? p->carry_wanted - p->carry.len : CARRY_STEP;
        size_t take = MIN(want, len - used);
        buf_append(&p->carry, data + used, take);
        used += take;
        bool last = at_end && used == len;
        if (p->carry.len < p->carry_wanted && !last)
            break;
        struct run r = {p->carry.data, p->carry.len, 0, p->origin, last};
        TRY(run_steps(p, &r));
        if (r.at >= held) {
            /* The rest can be read in place. */
            p->origin += r.at;
            *ret_used = r.at - held;
            buf_clear(&p->carry);
            p->carry_wanted = 0;
            return OK;
        }
        buf_consume(&p->carry, r.at);
        p->origin += r.at;
        held -= r.at;
        p->carry_wanted = p->carry.len + MAX(p->carry.len, CARRY_STEP);
        if (last)
            break;
    }
    *ret_used = len;
    return OK;
}

static err_t feed(struct event_parser *p, const char *data, size_t len, bool at_end)
{
    size_t used = 0;
    if (p->carry.len > 0)
        TRY(feed_carry(p, data, len, at_end, &used));
    if (p->carry.len > 0)
        return OK;
    struct run r = {data + used, len - used, 0, p->origin, at_end};
    TRY(run_steps(p, &r));
    p->origin += r.at;
    if (r.at < r.len) {
        buf_append(&p->carry, r.data + r.at, r.len - r.at);
        p->carry_wanted = p->carry.len + MAX(p->carry.len, CARRY_STEP);
    }
    return OK;
}

err_t event_parser_feed(struct event_parser *p, const char *data, size_t len)
{
    return feed(p, data, len, false);
}

static err_t fail_faults(const struct event_parser *p)
{
    const struct event_fault *f = &p->faults[0];
    return err_fail(f->code, "Invalid event at index %u: %s%s%s", f->index, f->field,
                    f->field[0] == '\0' ? "" : " ", f->text);
}

err_t event_parser_end(struct event_parser *p, const char *data, size_t len)
{
    TRY(feed(p, data == NULL ? "" : data, len, true));
    ASSERT(p->state == AT_END || p->state == AT_LINE || p->state == AT_LINE_END);
    if (!p->has_events && p->state == AT_END)
        return fail_batch(p);
    return p->fault_count > 0 ? fail_faults(p) : OK;
}
