/*
 * Bodies and headers of answers. The success of POST /ingest is on the hot path and put together by
 * hand; errors may take their time.
 */
#include "ingest/reply.h"

#include <string.h>

void reply_text(struct reply *r, const char *text, size_t len)
{
    ASSERT(len <= sizeof(r->data) - r->len);
    memcpy(r->data + r->len, text, len);
    r->len += len;
}

void reply_number(struct reply *r, int64_t n)
{
    char digits[20];
    size_t at = sizeof(digits);
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    do {
        digits[--at] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (n < 0)
        REPLY_LITERAL(r, "-");
    reply_text(r, digits + at, sizeof(digits) - at);
}

/** The fields that stand both at top level and under "data". Names need no escapes: they hold
 * [a-z0-9_-] only. */
static void put_fields(struct reply *r, const struct tenant *t, const struct append_outcome *o)
{
    struct slice ns = t->namespace_name;
    REPLY_LITERAL(r, "\"ok\":true,\"received\":");
    reply_number(r, o == NULL ? 0 : o->count);
    REPLY_LITERAL(r, ",\"namespace\":\"");
    reply_text(r, ns.data, ns.len);
    REPLY_LITERAL(r, "\",\"stream\":\"");
    if (!slice_equal(ns, SLICE("default"))) {
        reply_text(r, ns.data, ns.len);
        REPLY_LITERAL(r, ".");
    }
    REPLY_LITERAL(r, "events\",\"shard\":");
    reply_number(r, o == NULL ? 0 : o->shard);
    REPLY_LITERAL(r, ",\"lsn\":");
    if (o == NULL)
        REPLY_LITERAL(r, "null");
    else
        reply_number(r, o->lsn);
    if (o != NULL && o->deduplicated)
        REPLY_LITERAL(r, ",\"deduplicated\":true");
}

void reply_events(struct reply *r, const struct tenant *t, const struct append_outcome *outcome)
{
    r->len = 0;
    REPLY_LITERAL(r, "{");
    put_fields(r, t, outcome);
    REPLY_LITERAL(r, ",\"success\":true,\"data\":{");
    put_fields(r, t, outcome);
    REPLY_LITERAL(r, "}}");
}

void reply_too_large(struct buf *text, struct buf *details, size_t limit, int64_t length)
{
    if (length >= 0) {
        buf_printf(text, "Request body too large: %lld bytes exceeds %zu byte limit",
                   (long long)length, limit);
        buf_printf(details, "{\"maxSize\":%zu,\"contentLength\":%lld}", limit, (long long)length);
    } else {
        buf_printf(text, "Request body too large: exceeds %zu byte limit", limit);
        buf_printf(details, "{\"maxSize\":%zu}", limit);
    }
    buf_append(text, "", 1);
    buf_append(details, "", 1);
}

/** The places of the events refused with this code, "1, 2, 3". */
static void put_indices(const struct event_parser *p, err_t code, const char *between,
                        struct buf *out)
{
    const char *sep = "";
    for (uint32_t i = 0; i < MIN(p->fault_count, FAULTS_SHOWN); i++) {
        if (p->faults[i].code != code)
            continue;
        buf_printf(out, "%s%u", sep, p->faults[i].index);
        sep = between;
    }
}

static void put_fault(const struct event_fault *f, struct buf *out)
{
    buf_printf(out, "\"index\":%u,\"field\":", f->index);
    if (f->field[0] == '\0')
        buf_append_str(out, "null");
    else
        buf_append_json(out, f->field, strlen(f->field));
    buf_append_str(out, ",\"error\":");
    buf_append_json(out, f->text, strlen(f->text));
}

void reply_faults(const struct event_parser *p, size_t event_bytes_max, struct buf *text,
                  struct buf *details)
{
    const struct event_fault *first = &p->faults[0];
    bool large = first->code == ERR_EVENT_TOO_LARGE;
    if (large)
        buf_printf(text, "Events exceed max size (%zu bytes) at indices: ", event_bytes_max);
    else
        buf_append_str(text, "Invalid events at indices: ");
    put_indices(p, first->code, ", ", text);
    if (!large)
        buf_printf(text, ". Event %u: %s%s%s", first->index, first->field,
                   first->field[0] == '\0' ? "" : " ", first->text);
    buf_append(text, "", 1);
    buf_append_str(details, "{\"indices\":[");
    put_indices(p, first->code, ",", details);
    buf_append_str(details, "],");
    put_fault(first, details);
    if (large)
        buf_printf(details, ",\"maxSize\":%zu", event_bytes_max);
    buf_append_str(details, ",\"errors\":[");
    for (uint32_t i = 0; i < MIN(p->fault_count, FAULTS_SHOWN); i++) {
        buf_append_str(details, i == 0 ? "{" : ",{");
        put_fault(&p->faults[i], details);
        buf_append_char(details, '}');
    }
    buf_append(details, "]}", 3);
}
