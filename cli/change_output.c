#include "cli/change_output.h"

#include <inttypes.h>

#include "base/json.h"
#include "base/timefmt.h"
#include "cli/recovery.h"

static void add_json(struct buf *out, const char *name, struct slice json)
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

void change_output_json(struct buf *out, const struct change *c)
{
    char ts[TIMEFMT_MAX];
    timefmt_rfc3339(c->ts_us, ts);
    buf_printf(out, "{\"lsn\":%" PRId64 ",\"op\":\"%s\",\"docId\":", c->lsn,
               recovery_op_name(c->op));
    buf_append_json(out, c->doc_id.data, c->doc_id.len);
    buf_printf(out, ",\"ts\":\"%s\"", ts);
    add_json(out, "doc", c->doc);
    add_json(out, "prev", c->prev);
    add_text(out, "bookmark", c->bookmark);
    add_text(out, "source", c->source);
    add_json(out, "restore", c->restore);
    if (c->expect >= 0)
        buf_printf(out, ",\"expect\":%" PRId64, c->expect);
    if (c->skipped)
        buf_append_str(out, ",\"skipped\":true");
    buf_append_str(out, "}\n");
}

void change_output_text(struct buf *out, const struct change *c)
{
    char ts[TIMEFMT_MAX];
    timefmt_rfc3339(c->ts_us, ts);
    buf_printf(out, "%10" PRId64 "  %-27s  %s%s  ", c->lsn, ts, recovery_op_name(c->op),
               c->skipped                ? " (skipped)"
               : c->restore.data != NULL ? " (restore)"
                                         : "");
    buf_append_json(out, c->doc_id.data, c->doc_id.len);
    if (c->doc.data != NULL) {
        buf_append_str(out, "  ");
        json_append_single_line(out, c->doc.data, c->doc.len);
    }
    if (c->bookmark.data != NULL) {
        buf_append_str(out, "  bookmark ");
        buf_append_json(out, c->bookmark.data, c->bookmark.len);
    }
    buf_append_char(out, '\n');
}
