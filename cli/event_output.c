#include "cli/event_output.h"

#include "base/json.h"
#include "base/limits.h"
#include "base/timefmt.h"

static bool scan_value(const struct record *rec, const struct json_names *names,
                       struct json_scan *scan)
{
    if (rec->value.data == NULL)
        return false;
    struct json_input in = {rec->value.data, rec->value.len, 0, true};
    return json_scan_document(&in, names, LIMIT_JSON_DEPTH, scan) == OK;
}

struct slice event_output_type(const struct record *rec)
{
    static const char *const wanted[] = {"type"};
    struct slice type = record_header_find(rec, "type");
    if (type.data != NULL)
        return type;
    struct json_names names;
    struct json_scan scan;
    json_names_init(&names, wanted, 1);
    if (!scan_value(rec, &names, &scan) || !json_scan_found(&scan, 0) ||
        scan.fields[0].kind != JSON_STRING || scan.fields[0].escaped)
        return (struct slice){0};
    struct slice raw = scan.fields[0].raw;
    return (struct slice){raw.data + 1, raw.len - 2};
}

void event_output_value(struct buf *out, const struct record *rec)
{
    size_t from = out->len;
    buf_append_slice(out, rec->value);
    for (size_t i = from; i < out->len; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r')
            out->data[i] = ' ';
    buf_append_char(out, '\n');
}

static void add_text(struct buf *out, const char *name, struct slice text)
{
    if (text.data == NULL)
        return;
    buf_printf(out, ",\"%s\":", name);
    buf_append_json(out, text.data, text.len);
}

void event_output_json(struct buf *out, const char *stream, unsigned shard,
                       const struct record *rec)
{
    char ts[TIMEFMT_MAX];
    timefmt_rfc3339(rec->timestamp_ms * 1000, ts);
    buf_printf(out, "{\"position\":\"%s/%u/%lld\",\"ts\":\"%s\"", stream, shard,
               (long long)rec->offset, ts);
    add_text(out, "type", event_output_type(rec));
    add_text(out, "source", record_header_find(rec, "source"));
    add_text(out, "key", rec->key);
    struct json_scan scan;
    if (scan_value(rec, NULL, &scan)) {
        buf_append_str(out, ",\"event\":");
        json_append_single_line(out, rec->value.data, rec->value.len);
    } else {
        add_text(out, "value", rec->value);
    }
    buf_append_str(out, "}\n");
}
