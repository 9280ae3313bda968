/*
 * The rules of one event (docs/http.md, "Events"): `type` by its pattern, `ts` an RFC 3339 time
 * from 1970 to one hour ahead, a size as sent; and for collection changes, whose type begins with
 * "collection.", a `docId`, which becomes the record's key, a `collection`, a `doc`, and what may
 * go with them. cdc/change.c reads changes by the same rules: what is acknowledged here is applied
 * there. Everything else in an event is the sender's own and kept as it came.
 *
 * Runs once per event on the hot path: no allocation unless a text is written with escapes.
 */
#include "ingest/event.h"

#include <string.h>

#include "base/limits.h"
#include "base/timefmt.h"

#define HOUR_MS INT64_C(3600000)

/* In the order of field_names. */
enum {
    FIELD_TYPE,
    FIELD_TS,
    FIELD_SOURCE,
    FIELD_DOC_ID,
    FIELD_COLLECTION,
    FIELD_DOC,
    FIELD_RESTORE,
    FIELD_EXPECT,
    FIELD_BOOKMARK,
};
static const char *const field_names[] = {"type", "ts",      "source", "docId",   "collection",
                                          "doc",  "restore", "expect", "bookmark"};

static const char text_type[] =
    "must be a string of 1-128 letters, digits, dots, underscores and hyphens";
static const char text_ts[] = "must be an RFC 3339 time with a zone";
static const char text_ts_range[] = "must lie between 1970 and one hour ahead of now";
static const char text_doc_id[] = "must be a string of 1-1024 bytes in a collection change";
static const char text_collection[] =
    "must be a string of 1-256 bytes without NUL in a collection change";
static const char text_change[] =
    "must be collection.insert, collection.update or collection.delete";
static const char text_doc[] = "must be an object in a collection.insert and a collection.update";
static const char text_expect[] = "must be an LSN, an integer of 0 or more, in a collection change";
static const char text_bookmark[] = "must be a string of 1-1024 bytes in a collection change";

/** A byte eight times. */
#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

void event_rules_init(struct event_rules *rules, size_t event_bytes_max)
{
    json_names_init(&rules->names, field_names, ARRAY_LEN(field_names));
    rules->event_bytes_max = event_bytes_max;
}

static bool fail(struct event_fault *f, err_t code, const char *field, const char *text)
{
    f->code = code;
    f->field = field;
    f->text = text;
    return false;
}

/** The text of a string field: in place, or decoded into the scratch. False where it is absent, no
 * string, or names half a character. */
static bool field_text(const struct json_scan *scan, size_t field, struct event_scratch *scratch,
                       struct slice *ret_text)
{
    const struct json_value *v = &scan->fields[field];
    if (!json_scan_found(scan, field) || v->kind != JSON_STRING)
        return false;
    *ret_text = (struct slice){v->raw.data + 1, v->raw.len - 2};
    if (likely(!v->escaped))
        return true;
    size_t len;
    char *out = scratch->bytes.data + scratch->bytes.len;
    if (json_string_decode(v->raw, out, scratch->bytes.cap - scratch->bytes.len, &len) != OK)
        return false;
    scratch->bytes.len += len;
    *ret_text = (struct slice){out, len};
    return true;
}

/** The top bit of each of eight bytes, all below 0x80, that lies from `low` to `high`. */
static inline uint64_t bytes_within(uint64_t v, uint8_t low, uint8_t high)
{
    return (v + EACH(0x80 - low)) & ~(v + EACH(0x7f - high));
}

/** Whether each of eight bytes is a letter, a digit, '-', '.' or '_'. */
static inline bool type_chars_are_valid(uint64_t v)
{
    uint64_t low = v & EACH(0x7f);
    uint64_t letters = bytes_within(low | EACH(0x20), 'a', 'z');
    uint64_t others =
        bytes_within(low, '0', '9') | bytes_within(low, '-', '.') | bytes_within(low, '_', '_');
    return ((letters | others) & ~v & EACH(0x80)) == EACH(0x80);
}

/** ^[a-zA-Z0-9._-]{1,128}$, eight bytes at a time, the last eight once more where they overlap. */
static bool type_valid(struct slice type)
{
    uint64_t v = EACH('a');
    if (type.len == 0 || type.len > EVENT_TYPE_MAX)
        return false;
    if (type.len < sizeof(v)) {
        memcpy(&v, type.data, type.len);
        return type_chars_are_valid(v);
    }
    for (size_t at = 0; at + sizeof(v) < type.len; at += sizeof(v)) {
        memcpy(&v, type.data + at, sizeof(v));
        if (unlikely(!type_chars_are_valid(v)))
            return false;
    }
    memcpy(&v, type.data + type.len - sizeof(v), sizeof(v));
    return type_chars_are_valid(v);
}

static bool is_change(struct slice type)
{
    static const struct slice prefix = SLICE("collection.");
    return type.len >= prefix.len && memcmp(type.data, prefix.data, prefix.len) == 0;
}

/** What may go with a change. */
static bool check_extras(const struct json_scan *scan, struct event_scratch *scratch,
                         struct event_fault *fault)
{
    struct slice bookmark;
    int64_t lsn;
    if (json_scan_found(scan, FIELD_RESTORE))
        return fail(fault, ERR_INVALID_EVENT, "restore", "is reserved in a collection change");
    if (json_scan_found(scan, FIELD_EXPECT) && !json_natural(&scan->fields[FIELD_EXPECT], &lsn))
        return fail(fault, ERR_INVALID_EVENT, "expect", text_expect);
    if (json_scan_found(scan, FIELD_BOOKMARK) && scan->fields[FIELD_BOOKMARK].kind != JSON_NULL &&
        (!field_text(scan, FIELD_BOOKMARK, scratch, &bookmark) || bookmark.len == 0 ||
         bookmark.len > LIMIT_BOOKMARK_BYTES))
        return fail(fault, ERR_INVALID_EVENT, "bookmark", text_bookmark);
    return true;
}

static bool check_change(const struct json_scan *scan, struct event_scratch *scratch,
                         struct event_record *rec, struct event_fault *fault)
{
    struct slice collection;
    bool deletes = slice_equal(rec->type, SLICE("collection.delete"));
    if (!deletes && !slice_equal(rec->type, SLICE("collection.insert")) &&
        !slice_equal(rec->type, SLICE("collection.update")))
        return fail(fault, ERR_INVALID_EVENT, "type", text_change);
    if (!field_text(scan, FIELD_DOC_ID, scratch, &rec->key) || rec->key.len == 0 ||
        rec->key.len > LIMIT_DOC_ID_BYTES)
        return fail(fault, ERR_INVALID_EVENT, "docId", text_doc_id);
    if (!field_text(scan, FIELD_COLLECTION, scratch, &collection) || collection.len == 0 ||
        collection.len > LIMIT_COLLECTION_BYTES ||
        memchr(collection.data, '\0', collection.len) != NULL)
        return fail(fault, ERR_INVALID_EVENT, "collection", text_collection);
    if (!deletes &&
        (!json_scan_found(scan, FIELD_DOC) || scan->fields[FIELD_DOC].kind != JSON_OBJECT))
        return fail(fault, ERR_INVALID_EVENT, "doc", text_doc);
    return check_extras(scan, scratch, fault);
}

static bool check_ts(const struct json_scan *scan, int64_t now_ms, struct event_scratch *scratch,
                     struct event_record *rec, struct event_fault *fault)
{
    struct slice ts;
    int64_t us;
    if (!field_text(scan, FIELD_TS, scratch, &ts) || !timefmt_parse(ts.data, ts.len, &us))
        return fail(fault, ERR_INVALID_EVENT, "ts", text_ts);
    rec->ts_ms = us / 1000;
    if (us < 0 || rec->ts_ms > now_ms + HOUR_MS)
        return fail(fault, ERR_INVALID_EVENT, "ts", text_ts_range);
    return true;
}

bool event_check(const struct event_rules *rules, const struct json_scan *scan, int64_t now_ms,
                 struct event_scratch *scratch, struct event_record *rec, struct event_fault *fault)
{
    struct slice raw = scan->value.raw;
    if (scan->value.kind != JSON_OBJECT)
        return fail(fault, ERR_INVALID_EVENT, "", "must be a JSON object");
    if (raw.len > rules->event_bytes_max)
        return fail(fault, ERR_EVENT_TOO_LARGE, "", "is larger than an event may be");
    /* Decoded texts are shorter than they are written: all of them fit. */
    scratch->bytes.len = 0;
    if (unlikely(scratch->bytes.cap < raw.len))
        buf_reserve(&scratch->bytes, raw.len);
    /* One by one: compilers fill a struct of this size with a slow string instruction. */
    const struct slice none = {NULL, 0};
    rec->key = none;
    rec->value[0] = raw;
    rec->value[1] = rec->value[2] = none;
    rec->plain = false;
    if (!field_text(scan, FIELD_TYPE, scratch, &rec->type) || !type_valid(rec->type))
        return fail(fault, ERR_INVALID_EVENT, "type", text_type);
    if (!check_ts(scan, now_ms, scratch, rec, fault))
        return false;
    if (!field_text(scan, FIELD_SOURCE, scratch, &rec->source))
        rec->source = none;
    if (unlikely(is_change(rec->type)))
        return check_change(scan, scratch, rec, fault);
    rec->plain = true;
    return true;
}
