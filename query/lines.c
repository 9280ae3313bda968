#include "query/lines.h"

#include "base/json.h"
#include "base/timefmt.h"

void json_time(struct buf *out, const char *name, int64_t us)
{
    char text[TIMEFMT_MAX];
    timefmt_rfc3339(us, text);
    buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

void line_document(struct buf *out, const struct state_doc *doc)
{
    buf_append_str(out, "{\"id\":");
    buf_append_json(out, doc->id.data, doc->id.len);
    buf_append_str(out, ",\"doc\":");
    json_append_single_line(out, doc->doc.data, doc->doc.len);
    buf_printf(out, ",\"lsn\":%lld", (long long)doc->lsn);
    json_time(out, "ts", doc->ts_us);
    buf_append_str(out, "}\n");
}

const char *change_op_name(enum change_op op)
{
    switch (op) {
    case CHANGE_INSERT:
        return "insert";
    case CHANGE_UPDATE:
        return "update";
    case CHANGE_DELETE:
        return "delete";
    }
    return "update";
}

/** `,"name":` and bytes that are JSON already. */
static void add_raw(struct buf *out, const char *name, struct slice json)
{
    if (json.data == NULL)
        return;
    buf_printf(out, ",\"%s\":", name);
    json_append_single_line(out, json.data, json.len);
}

static void add_text(struct buf *out, const char *name, struct slice text)
{
    if (text.data == NULL)
        return;
    buf_printf(out, ",\"%s\":", name);
    buf_append_json(out, text.data, text.len);
}

void line_change(struct buf *out, const struct change *c)
{
    buf_printf(out, "{\"lsn\":%lld,\"op\":\"%s\",\"docId\":", (long long)c->lsn,
               change_op_name(c->op));
    buf_append_json(out, c->doc_id.data, c->doc_id.len);
    json_time(out, "ts", c->ts_us);
    add_raw(out, "doc", c->doc);
    add_raw(out, "prev", c->prev);
    add_text(out, "bookmark", c->bookmark);
    add_text(out, "source", c->source);
    add_raw(out, "restore", c->restore);
    if (c->expect >= 0)
        buf_printf(out, ",\"expect\":%lld", (long long)c->expect);
    if (c->skipped)
        buf_append_str(out, ",\"skipped\":true");
    buf_append_str(out, "}\n");
}
