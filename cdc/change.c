/*
 * cdc/change.c: from a record's JSON to a change, or to the reason why it is none.
 *
 * The value alone decides: headers are what a producer says about it. The rules are those of the
 * HTTP door (ingest/event.c), so that what it acknowledged is never a dead letter; what Kafka
 * clients produce is looked at here for the first time.
 */
#include "cdc/change.h"

#include <pthread.h>
#include <string.h>

#include "base/json.h"
#include "base/limits.h"
#include "base/timefmt.h"

#define HOUR_US INT64_C(3600000000)
#define PLAIN_BYTES_MAX MIB(256) /* a batch, decompressed */

/* In the order of field_names. */
enum {
    FIELD_TYPE,
    FIELD_TS,
    FIELD_COLLECTION,
    FIELD_DOC_ID,
    FIELD_DOC,
    FIELD_PREV,
    FIELD_BOOKMARK,
    FIELD_SOURCE,
    FIELD_RESTORE,
    FIELD_EXPECT,
};
static const char *const field_names[] = {"type", "ts",       "collection", "docId",   "doc",
                                          "prev", "bookmark", "source",     "restore", "expect"};

static struct json_names names;
static pthread_once_t names_once = PTHREAD_ONCE_INIT;

static void init_names(void)
{
    json_names_init(&names, field_names, ARRAY_LEN(field_names));
}

/** The text of a string field, in place or decoded into the arena. False where it is absent, no
 * string, or names half a character. */
static bool field_text(const struct json_scan *scan, size_t field, struct arena *arena,
                       struct slice *ret)
{
    const struct json_value *v = &scan->fields[field];
    if (!json_scan_found(scan, field) || v->kind != JSON_STRING)
        return false;
    if (likely(!v->escaped)) {
        *ret = (struct slice){v->raw.data + 1, v->raw.len - 2};
        return true;
    }
    char *out = arena_alloc(arena, v->raw.len);
    size_t len;
    if (json_string_decode(v->raw, out, v->raw.len, &len) != OK)
        return false;
    *ret = (struct slice){out, len};
    return true;
}

/** A field that is there and not null. */
static bool present(const struct json_scan *scan, size_t field)
{
    return json_scan_found(scan, field) && scan->fields[field].kind != JSON_NULL;
}

static struct slice raw_field(const struct json_scan *scan, size_t field)
{
    return present(scan, field) ? scan->fields[field].raw : (struct slice){NULL, 0};
}

static bool parse_op(struct slice kind, enum change_op *ret)
{
    static const struct {
        struct slice name;
        enum change_op op;
    } ops[] = {{SLICE("insert"), CHANGE_INSERT},
               {SLICE("update"), CHANGE_UPDATE},
               {SLICE("delete"), CHANGE_DELETE}};
    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        if (slice_equal(kind, ops[i].name)) {
            *ret = ops[i].op;
            return true;
        }
    }
    return false;
}

static const char *check_names(const struct json_scan *scan, struct arena *arena, struct change *c)
{
    if (!field_text(scan, FIELD_COLLECTION, arena, &c->collection) || c->collection.len == 0 ||
        c->collection.len > LIMIT_COLLECTION_BYTES)
        return "collection must be a string of 1-256 bytes";
    if (memchr(c->collection.data, '\0', c->collection.len) != NULL)
        return "collection must not hold a NUL";
    if (!field_text(scan, FIELD_DOC_ID, arena, &c->doc_id) || c->doc_id.len == 0 ||
        c->doc_id.len > LIMIT_DOC_ID_BYTES)
        return "docId must be a string of 1-1024 bytes";
    return NULL;
}

static const char *check_ts(const struct json_scan *scan, int64_t append_us, struct arena *arena,
                            struct change *c)
{
    struct slice text;
    if (!field_text(scan, FIELD_TS, arena, &text) || !timefmt_parse(text.data, text.len, &c->ts_us))
        return "ts must be an RFC 3339 time with a zone";
    if (c->ts_us < 0)
        return "ts lies before 1970";
    if (append_us >= 0 && c->ts_us > append_us + HOUR_US)
        return "ts lies more than an hour ahead of the arrival";
    return NULL;
}

static const char *check_rest(const struct json_scan *scan, struct arena *arena, struct change *c)
{
    if (c->op != CHANGE_DELETE) {
        if (!json_scan_found(scan, FIELD_DOC) || scan->fields[FIELD_DOC].kind != JSON_OBJECT)
            return "doc must be an object";
        c->doc = scan->fields[FIELD_DOC].raw;
    }
    if (present(scan, FIELD_BOOKMARK) &&
        (!field_text(scan, FIELD_BOOKMARK, arena, &c->bookmark) || c->bookmark.len == 0 ||
         c->bookmark.len > LIMIT_BOOKMARK_BYTES))
        return "bookmark must be a string of 1-1024 bytes";
    if (json_scan_found(scan, FIELD_EXPECT) &&
        !json_natural(&scan->fields[FIELD_EXPECT], &c->expect))
        return "expect must be an LSN: an integer of 0 or more";
    c->prev = raw_field(scan, FIELD_PREV);
    c->restore = raw_field(scan, FIELD_RESTORE);
    if (!field_text(scan, FIELD_SOURCE, arena, &c->source))
        c->source = (struct slice){NULL, 0};
    return NULL;
}

enum change_verdict change_parse(const struct record *rec, int64_t append_us, struct arena *arena,
                                 struct change *ret, const char **ret_reason)
{
    static const struct slice prefix = SLICE("collection.");
    pthread_once(&names_once, init_names);
    if (rec->value.data == NULL || rec->value.len < prefix.len)
        return CHANGE_IS_NOT;
    const struct json_input in = {.data = rec->value.data, .len = rec->value.len, .at_end = true};
    struct json_scan scan;
    struct slice type;
    /* What is no JSON object of ours is somebody's own event on this stream. */
    if (json_scan_document(&in, &names, LIMIT_JSON_DEPTH, &scan) != OK ||
        scan.value.kind != JSON_OBJECT || !field_text(&scan, FIELD_TYPE, arena, &type) ||
        type.len < prefix.len || memcmp(type.data, prefix.data, prefix.len) != 0)
        return CHANGE_IS_NOT;
    struct change c = {.lsn = rec->offset, .expect = -1};
    const char *reason = NULL;
    if (!parse_op((struct slice){type.data + prefix.len, type.len - prefix.len}, &c.op))
        reason = "type names no operation: collection.insert, .update or .delete";
    if (reason == NULL)
        reason = check_names(&scan, arena, &c);
    if (reason == NULL)
        reason = check_ts(&scan, append_us, arena, &c);
    if (reason == NULL)
        reason = check_rest(&scan, arena, &c);
    if (reason != NULL) {
        *ret_reason = reason;
        return CHANGE_MALFORMED;
    }
    *ret = c;
    return CHANGE_IS;
}

/* Batches ------------------------------------------------------------------------------------- */

void change_reader_open(struct change_reader *r, const uint8_t *batch, const struct batch_header *h,
                        int64_t from)
{
    *r = (struct change_reader){.from = from, .base_offset = h->base_offset};
    r->append_us = (h->attributes & BATCH_ATTR_APPEND_TIME) != 0 ? h->max_timestamp * 1000 : -1;
    if ((h->attributes & BATCH_ATTR_PLAIN) != 0)
        r->end = ERR_END;
    else
        r->end = record_reader_open(&r->records, batch, batch_total_bytes(h), PLAIN_BYTES_MAX);
}

/** What is left of the batch cannot be read. */
static bool give_up(struct change_reader *r, struct change *ret, const char **ret_reason)
{
    *ret = (struct change){.lsn = r->base_offset};
    *ret_reason = err_text(r->end);
    r->end = ERR_END;
    return true;
}

bool change_reader_next(struct change_reader *r, struct arena *arena, struct change *ret,
                        const char **ret_reason)
{
    struct record *rec = &r->record;
    *ret_reason = NULL;
    while (r->end == OK && (r->end = record_reader_next(&r->records, rec)) == OK) {
        if (rec->offset < r->from)
            continue;
        enum change_verdict verdict = change_parse(rec, r->append_us, arena, ret, ret_reason);
        if (verdict == CHANGE_MALFORMED)
            *ret = (struct change){.lsn = rec->offset};
        if (verdict != CHANGE_IS_NOT)
            return true;
    }
    return r->end != ERR_END && give_up(r, ret, ret_reason);
}

void change_reader_close(struct change_reader *r)
{
    record_reader_close(&r->records);
}

bool change_expect_holds(const struct change *c, bool there, int64_t lsn)
{
    if (c->expect < 0)
        return true;
    bool wants_version = c->expect > 0 || (c->restore.data != NULL && c->op != CHANGE_INSERT);
    return wants_version ? there && lsn == c->expect : !there;
}
