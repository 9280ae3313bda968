#include "snapshot/lines.h"

#include <string.h>

#include "base/json.h"
#include "base/timefmt.h"

void json_time(struct buf *out, const char *name, int64_t us)
{
    char text[TIMEFMT_MAX];
    timefmt_rfc3339(us, text);
    buf_printf(out, ",\"%s\":\"%s\"", name, text);
}

/** `,"name":"text"` */
static void json_text(struct buf *out, const char *name, struct slice text)
{
    buf_printf(out, ",\"%s\":", name);
    buf_append_json(out, text.data, text.len);
}

/* Documents ----------------------------------------------------------------------------------- */

/** By hand: a restore writes millions of lines, and printf would be the greater part of each. */
static void append_number(struct buf *out, int64_t value)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t rest = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        digits[--at] = '-';
    buf_append(out, digits + at, sizeof(digits) - at);
}

static void append_document(struct buf *out, struct slice doc)
{
    if (memchr(doc.data, '\n', doc.len) == NULL && memchr(doc.data, '\r', doc.len) == NULL)
        buf_append_slice(out, doc);
    else
        json_append_single_line(out, doc.data, doc.len);
}

void line_document(struct buf *out, const struct state_doc *doc)
{
    char ts[TIMEFMT_MAX];
    timefmt_rfc3339(doc->ts_us, ts);
    buf_append(out, "{\"id\":", 6);
    buf_append_json(out, doc->id.data, doc->id.len);
    buf_append(out, ",\"doc\":", 7);
    append_document(out, doc->doc);
    buf_append(out, ",\"lsn\":", 7);
    append_number(out, doc->lsn);
    buf_append(out, ",\"ts\":\"", 7);
    buf_append(out, ts, strlen(ts));
    buf_append(out, "\"}\n", 3);
}

/* Changes ------------------------------------------------------------------------------------- */

const char *change_op_name(enum change_op op)
{
    return op == CHANGE_INSERT ? "insert" : op == CHANGE_UPDATE ? "update" : "delete";
}

/** Bytes that are JSON already; nothing where the change does not have them. */
static void add_raw(struct buf *out, const char *name, struct slice json)
{
    if (json.data == NULL)
        return;
    buf_printf(out, ",\"%s\":", name);
    json_append_single_line(out, json.data, json.len);
}

static void add_text(struct buf *out, const char *name, struct slice text)
{
    if (text.data != NULL)
        json_text(out, name, text);
}

void line_change(struct buf *out, const struct change *c)
{
    buf_printf(out, "{\"lsn\":%lld,\"op\":\"%s\"", (long long)c->lsn, change_op_name(c->op));
    json_text(out, "docId", c->doc_id);
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

void line_change_text(struct buf *out, const struct change *c)
{
    char ts[TIMEFMT_MAX];
    timefmt_rfc3339(c->ts_us, ts);
    buf_printf(out, "%10lld  %-27s  %s%s  ", (long long)c->lsn, ts, change_op_name(c->op),
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

/* Snapshots and plans ------------------------------------------------------------------------- */

void json_snapshot(struct buf *out, const struct snapshot *s)
{
    buf_append_str(out, "{\"name\":");
    buf_append_json(out, s->name, strlen(s->name));
    json_text(out, "type", slice_of(snapshot_type_name(s->type)));
    buf_printf(out, ",\"lsn\":%lld", (long long)s->file.lsn_to - 1);
    json_time(out, "ts", s->file.made_us);
    buf_printf(out, ",\"rowCount\":%llu,\"size\":%llu", (unsigned long long)s->file.rows,
               (unsigned long long)s->file.size);
    json_text(out, "path", slice_of(s->file.path));
    json_text(out, "hash", slice_of(s->file.hash));
    buf_append_char(out, '}');
}

void json_snapshot_count(struct buf *out, size_t count, const char *problem)
{
    if (problem == NULL) {
        buf_printf(out, ",\"snapshots\":%zu", count);
        return;
    }
    buf_append_str(out, ",\"snapshots\":null");
    json_text(out, "problem", slice_of(problem));
}

void json_ids(struct buf *out, const struct restore_counts *counts)
{
    uint64_t missing = counts->ids_given - counts->ids_found;
    if (counts->ids_given == 0)
        return;
    buf_printf(out, ",\"idsFound\":%llu,\"idsMissing\":[", (unsigned long long)counts->ids_found);
    for (uint64_t i = 0; i < MIN(missing, ARRAY_LEN(counts->ids_missing)); i++) {
        buf_append_str(out, i > 0 ? "," : "");
        buf_append_json(out, counts->ids_missing[i].data, counts->ids_missing[i].len);
    }
    buf_append_char(out, ']');
}

void json_dry_run(struct buf *out, const struct rebuild_plan *plan,
                  const struct restore_counts *counts)
{
    buf_append_str(out, "{\"dryRun\":true,\"snapshot\":");
    if (plan->snapshot.path == NULL)
        buf_append_str(out, "null");
    else
        buf_append_json(out, plan->snapshot.path, strlen(plan->snapshot.path));
    buf_append_str(out, ",\"deltas\":[");
    for (size_t i = 0; i < plan->delta_count; i++) {
        buf_append_str(out, i > 0 ? "," : "");
        buf_append_json(out, plan->deltas[i].path, strlen(plan->deltas[i].path));
    }
    buf_append_str(out, "],\"logRange\":");
    if (plan->log_from < plan->log_to)
        buf_printf(out, "[%lld,%lld]", (long long)plan->log_from, (long long)plan->log_to - 1);
    else
        buf_append_str(out, "null");
    buf_printf(out, ",\"inserts\":%llu,\"updates\":%llu,\"deletes\":%llu",
               (unsigned long long)counts->inserts, (unsigned long long)counts->updates,
               (unsigned long long)counts->deletes);
    json_ids(out, counts);
    buf_append_char(out, '}');
}
