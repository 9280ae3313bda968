/*
 * snapshot/drill.c: proves a backup before it is needed: restores the newest LSN with a recorded
 * state hash from the store's files alone and compares.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "snapshot/plan.h"
#include "snapshot/restore.h"

/** The newest recorded hash: of the last delta, the compacted data, or a snapshot. Borrowed. */
static const struct store_file *newest_hash(const struct extent *e,
                                            const struct snapshot_list *snapshots)
{
    const struct store_file *best = NULL;
    if (e->has_manifest && e->manifest.delta_count > 0)
        best = &e->manifest.deltas[e->manifest.delta_count - 1];
    if (e->has_manifest && e->manifest.has_data &&
        (best == NULL || e->manifest.data.lsn_to > best->lsn_to))
        best = &e->manifest.data;
    for (size_t i = 0; i < snapshots->count; i++)
        if (best == NULL || snapshots->items[i].file.lsn_to > best->lsn_to)
            best = &snapshots->items[i].file;
    return best;
}

static err_t hash_all(struct source *s, const char *namespace_name, struct slice collection,
                      const struct rebuild_plan *plan, struct restore_result *ret)
{
    struct rebuild *r;
    struct state_doc doc;
    err_t err;
    TRY(rebuild_open(s, namespace_name, collection, plan, &r));
    do
        err = rebuild_next(r, &doc);
    while (err == OK);
    ret->hash = rebuild_hash(r, &ret->rows);
    rebuild_close(r);
    return err == ERR_END ? OK : err;
}

static err_t compare(struct source *s, const char *namespace_name, struct slice collection,
                     const struct extent *e, const struct snapshot_list *snapshots,
                     const struct store_file *recorded)
{
    struct rebuild_plan plan;
    struct restore_result got;
    const struct plan_goal goal = {
        .lsn_to = recorded->lsn_to, .ts_max_us = INT64_MAX, .text = "the newest recorded state"};
    TRY(plan_choose(e, snapshots, &goal, &plan));
    err_t err = hash_all(s, namespace_name, collection, &plan, &got);
    rebuild_plan_free(&plan);
    TRY(err);
    if (got.hash.low != recorded->state_hash.low || got.hash.high != recorded->state_hash.high ||
        got.rows != recorded->state_count)
        return err_fail(
            ERR_CORRUPT,
            "%s: %llu documents with another state hash than the one recorded, which is "
            "of %llu documents",
            recorded->path, (unsigned long long)got.rows,
            (unsigned long long)recorded->state_count);
    return OK;
}

/** One drill. What is wrong with the files is an answer; only a missing collection is an error. */
static err_t drill(struct source *s, const char *namespace_name, struct slice collection,
                   struct drill_result *result)
{
    CLEANUP(extent_release) struct extent e = {0};
    CLEANUP(snapshot_list_free) struct snapshot_list snapshots = {0};
    if (source_store(s) == NULL)
        return err_fail(ERR_NOT_FOUND, "there is no store yet: nothing to drill");
    err_t err = extent_read(s, namespace_name, collection, &e);
    if (err == OK)
        err = snapshot_list_read(source_store(s), namespace_name, collection, &snapshots);
    if (err == ERR_NOT_FOUND)
        return err;
    const struct store_file *recorded = err == OK ? newest_hash(&e, &snapshots) : NULL;
    if (err == OK && recorded == NULL)
        return err_fail(ERR_NOT_FOUND,
                        "the store has no delta and no snapshot of %s/%.*s yet: nothing to drill",
                        namespace_name, (int)MIN(collection.len, 200), collection.data);
    if (err == OK) {
        result->lsn = recorded->lsn_to - 1;
        err = compare(s, namespace_name, collection, &e, &snapshots, recorded);
    }
    result->passed = err == OK;
    if (err != OK)
        snprintf(result->text, sizeof(result->text), "%s", err_text(err));
    return OK;
}

static err_t save(struct source *s, const char *namespace_name, struct slice collection,
                  const struct drill_result *r)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(namespace_name, collection);
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/drill.json", dir);
    json_t *json =
        json_pack("{sb sI sI sI ss}", "passed", r->passed ? 1 : 0, "lsn", (json_int_t)r->lsn,
                  "tookUs", (json_int_t)r->took_us, "atUs", (json_int_t)r->at_us, "text", r->text);
    if (json == NULL) /* the sentence holds bytes that are no UTF-8 */
        json = json_pack("{sb sI sI sI ss}", "passed", r->passed ? 1 : 0, "lsn", (json_int_t)r->lsn,
                         "tookUs", (json_int_t)r->took_us, "atUs", (json_int_t)r->at_us, "text",
                         "see the server's log");
    return manifest_save(source_store(s), path, json);
}

err_t restore_drill(struct source *s, const char *namespace_name, struct slice collection,
                    struct drill_result *ret)
{
    struct clock *clock = source_clock(s);
    struct drill_result result = {.lsn = -1, .at_us = clock_wall_us(clock)};
    int64_t began = clock_mono_ns(clock);
    TRY(drill(s, namespace_name, collection, &result));
    result.took_us = (clock_mono_ns(clock) - began) / 1000;
    *ret = result;
    err_t err = save(s, namespace_name, collection, &result);
    return err == ERR_USAGE ? OK : err; /* the store is open for reading only */
}

err_t restore_drill_last(struct source *s, const char *namespace_name, struct slice collection,
                         struct drill_result *ret)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(namespace_name, collection);
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/drill.json", dir);
    json_t *json;
    if (source_store(s) == NULL)
        return err_fail(ERR_NOT_FOUND, "there is no store yet");
    TRY(manifest_load(source_store(s), path, &json));
    const char *text = json_string_value(json_object_get(json, "text"));
    *ret = (struct drill_result){
        .passed = json_is_true(json_object_get(json, "passed")),
        .lsn = json_integer_value(json_object_get(json, "lsn")),
        .took_us = json_integer_value(json_object_get(json, "tookUs")),
        .at_us = json_integer_value(json_object_get(json, "atUs")),
    };
    snprintf(ret->text, sizeof(ret->text), "%s", text != NULL ? text : "");
    json_decref(json);
    return OK;
}
