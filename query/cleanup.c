/*
 * query/cleanup.c: POST /snapshots/{ns}/{collection}/cleanup removes what retention lets go;
 * DELETE /snapshots/{ns}/{collection}/{name} removes one snapshot. The admin's: keys that write
 * events lie in many places, and must not be able to remove what undoes their mistakes.
 */
#include <jansson.h>
#include <string.h>

#include "base/metrics.h"
#include "query/kinds.h"
#include "snapshot/snapshot.h"

#define KEEP_MAX 100000

/** {"dryRun"?:…,"dailyKeep"?:…,"monthlyKeep"?:…,"windowDays"?:…}, or nothing: as the settings say.
 */
static err_t read_body(struct slice body, bool *ret_dry_run, struct retention *keep)
{
    json_error_t error;
    int dry_run = 0;
    json_int_t daily = keep->daily_keep, monthly = keep->monthly_keep, days = keep->window_days;
    if (body.len == 0)
        return OK;
    json_t *root = json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, &error);
    if (root == NULL)
        return err_fail(ERR_INVALID_JSON, "Invalid JSON at byte %d: %s", error.position,
                        error.text);
    int rc = json_unpack_ex(root, &error, JSON_STRICT, "{s?b, s?I, s?I, s?I}", "dryRun", &dry_run,
                            "dailyKeep", &daily, "monthlyKeep", &monthly, "windowDays", &days);
    json_decref(root);
    bool in_range = daily >= 0 && daily <= KEEP_MAX && monthly >= 0 && monthly <= KEEP_MAX &&
                    days >= 0 && days <= KEEP_MAX;
    if (rc != 0 || !in_range)
        return err_fail(ERR_VALIDATION,
                        "a cleanup takes {\"dryRun\":true or false, \"dailyKeep\", "
                        "\"monthlyKeep\" and \"windowDays\": whole numbers from 0 to %d}%s%s",
                        KEEP_MAX, rc != 0 ? ": " : "", rc != 0 ? error.text : "");
    *ret_dry_run = dry_run != 0;
    *keep = (struct retention){(unsigned)daily, (unsigned)monthly, (unsigned)days};
    return OK;
}

struct removals {
    struct buf *out;
    bool dry_run;
};

static void on_removed(void *arg, const char *path, uint64_t size)
{
    const struct removals *r = arg;
    buf_append_str(r->out, r->out->data[r->out->len - 1] == '[' ? "{\"path\":" : ",{\"path\":");
    buf_append_json(r->out, path, strlen(path));
    buf_printf(r->out, ",\"size\":%llu}", (unsigned long long)size);
    if (!r->dry_run)
        metric_inc(M_snapshot_files_removed_total);
}

static err_t clean(struct query_op *op, const struct retention *keep, bool dry_run)
{
    struct source *source;
    struct removals r = {&op->out, dry_run};
    TRY(op_settle(op)); /* says whether there is such a namespace */
    TRY(op_source(op, &source));
    buf_printf(&op->out, "{\"ok\":true,\"dryRun\":%s,\"removed\":[", dry_run ? "true" : "false");
    err_t err =
        snapshot_cleanup(source, op->namespace_name, op->collection, keep, dry_run, on_removed, &r);
    source_close(source);
    buf_append_str(&op->out, "]}");
    return err;
}

static err_t cleanup(struct query_op *op)
{
    struct query_job job;
    struct retention keep = op->q->options.retention;
    bool dry_run = false;
    TRY(read_body(buf_slice(&op->body), &dry_run, &keep));
    TRY(query_job_begin(op->q, &job, op->namespace_name, op->collection));
    err_t err = clean(op, &keep, dry_run);
    query_job_end(op->q, &job);
    return err;
}

static err_t delete_snapshot(struct query_op *op)
{
    struct query_job job;
    struct source *source;
    TRY(op_settle(op));
    TRY(query_job_begin(op->q, &job, op->namespace_name, op->collection));
    err_t err = op_source(op, &source);
    if (err == OK) {
        err = snapshot_delete(source, op->namespace_name, op->collection, op->item);
        source_close(source);
    }
    query_job_end(op->q, &job);
    TRY(err);
    buf_append_str(&op->out, "{\"ok\":true}");
    return OK;
}

const struct query_kind snapshot_cleanup_kind = {
    .content_type = "application/json", .takes_body = true, .admin_only = true, .work = cleanup};
const struct query_kind snapshot_delete_kind = {
    .content_type = "application/json", .admin_only = true, .work = delete_snapshot};
