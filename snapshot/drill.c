/*
 * snapshot/drill.c: proves a backup before it is needed: puts a state whose hash is recorded
 * together from the store's files alone, and compares.
 *
 * D1. What is drilled: the newest recorded LSN at or before the target that a chain leads to, that
 *     is, a base and at least one delta behind it. Where no delta can be read, the newest recorded
 *     one that anything leads to.
 * D2. It is reached both ways: from the newest base that leaves a delta to read, and as a restore
 *     would go, where that is another base (a snapshot or data.parquet that ends there). So the
 *     drills of following days prove the chain link by link, and each file that restores begin at.
 * D3. Every file that recorded a hash at that LSN must agree with both.
 *
 * Damage is an outcome; what keeps a drill from being made is an error, and leaves the last outcome
 * as it was.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/timefmt.h"
#include "cdc/manifest_json.h"
#include "snapshot/plan.h"
#include "snapshot/restore.h"

struct drill {
    struct plan_question question;
    const struct rebuild_progress *progress; /* NULL: nobody watches */
    struct rebuild_plan plan;
    struct drill_result *result;
};

static void drill_release(struct drill *d)
{
    plan_question_release(&d->question);
    rebuild_plan_free(&d->plan);
}

/* Choosing ------------------------------------------------------------------------------------ */

/** Every file with a recorded hash, by number: snapshots, deltas, data; NULL behind the last. */
static const struct store_file *recorded_file(const struct plan_question *q, size_t i)
{
    if (i < q->snapshots.count)
        return &q->snapshots.items[i].file;
    return chain_file(&q->extent.manifest, i - q->snapshots.count);
}

/** The greatest lsn_to with a recorded hash that is not above `most`; -1: none. */
static int64_t recorded_at_most(const struct plan_question *q, int64_t most)
{
    int64_t best = -1;
    const struct store_file *f;
    for (size_t i = 0; (f = recorded_file(q, i)) != NULL; i++)
        if (f->lsn_to <= most)
            best = MAX(best, f->lsn_to);
    return best;
}

/** A base that ends below this leaves at least one delta to be read; 0: there is no such delta. */
static int64_t last_change_end(const struct extent *e, int64_t lsn_to)
{
    if (!e->has_manifest || lsn_to > e->store_end)
        return 0;
    for (size_t i = e->manifest.delta_count; i > 0; i--) {
        const struct store_file *d = &e->manifest.deltas[i - 1];
        if (d->rows > 0 && d->lsn_from < lsn_to)
            return d->lsn_to;
    }
    return 0;
}

/** The newest recorded LSN that files lead to. ERR_END: none. */
static err_t choose(const struct plan_question *q, const struct plan_goal *goal, bool chain,
                    struct rebuild_plan *ret)
{
    err_t first = ERR_END;
    int64_t least = goal->snapshot != NULL ? goal->lsn_to : 0;
    for (int64_t at = recorded_at_most(q, goal->lsn_to); at >= least;
         at = recorded_at_most(q, at - 1)) {
        const struct plan_goal exact = {.lsn_to = at,
                                        .ts_max_us = INT64_MAX,
                                        .base_below = chain ? last_change_end(&q->extent, at) : 0,
                                        .text = q->text};
        if (chain && exact.base_below == 0)
            continue;
        err_t err = plan_choose(&q->extent, &q->snapshots, &exact, ret);
        if (err == OK && plan_ts_max(ret) <= goal->ts_max_us)
            return OK;
        if (err == OK)
            rebuild_plan_free(ret);
        else if (first == ERR_END)
            first = err;
    }
    return first;
}

static err_t nothing_recorded(const struct plan_question *q)
{
    return err_fail(recorded_at_most(q, INT64_MAX) < 0 ? ERR_NOT_FOUND : ERR_VALIDATION,
                    "no delta and no snapshot of %s/%.*s records a state at or before %s: nothing "
                    "to drill; POST /flush or a snapshot makes one",
                    q->namespace_name, (int)MIN(q->collection.len, 200), q->collection.data,
                    q->text);
}

/** D1. */
static err_t choose_plan(struct drill *d)
{
    struct plan_goal goal;
    const struct plan_question *q = &d->question;
    TRY(plan_resolve(&d->question, &goal));
    if (choose(q, &goal, true, &d->plan) == OK)
        return OK;
    err_t err = choose(q, &goal, false, &d->plan);
    if (err == ERR_VALIDATION)
        return err_fail(ERR_CORRUPT, "no snapshot is left that the deltas of %s/%.*s lead on from",
                        q->namespace_name, (int)MIN(q->collection.len, 200), q->collection.data);
    return err == ERR_END ? nothing_recorded(q) : err;
}

/* Comparing ----------------------------------------------------------------------------------- */

/** D3. */
static err_t compare(const struct plan_question *q, int64_t lsn_to, struct state_hash hash,
                     uint64_t rows)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(q->namespace_name, q->collection);
    const struct store_file *f;
    for (size_t i = 0; (f = recorded_file(q, i)) != NULL; i++)
        if (f->lsn_to == lsn_to &&
            (!state_hash_equal(f->state_hash, hash) || f->state_count != rows))
            return err_fail(ERR_CORRUPT,
                            "%s/%s records another state than the files give: %llu documents, not "
                            "%llu, or another hash",
                            dir, f->path, (unsigned long long)f->state_count,
                            (unsigned long long)rows);
    return OK;
}

static err_t prove(const struct drill *d, const struct rebuild_plan *plan)
{
    const struct plan_question *q = &d->question;
    struct rebuild *r;
    struct state_doc doc;
    uint64_t rows;
    err_t err;
    TRY(rebuild_open(q->source, q->namespace_name, q->collection, plan, &r));
    rebuild_watch(r, d->progress);
    do
        err = rebuild_next(r, &doc);
    while (err == OK);
    struct state_hash hash = rebuild_hash(r, &rows);
    rebuild_close(r);
    return err == ERR_END ? compare(q, plan->lsn_to, hash, rows) : err;
}

/** D2: the way that a restore would go, where it is another one. */
static err_t prove_shortcut(const struct drill *d)
{
    const struct plan_question *q = &d->question;
    const struct plan_goal goal = {
        .lsn_to = d->plan.lsn_to, .ts_max_us = INT64_MAX, .text = q->text};
    CLEANUP(rebuild_plan_free) struct rebuild_plan shorter = {0};
    TRY(plan_choose(&q->extent, &q->snapshots, &goal, &shorter));
    if (shorter.snapshot.lsn_to == d->plan.snapshot.lsn_to)
        return OK;
    return prove(d, &shorter);
}

static err_t run(struct drill *d)
{
    struct drill_result *r = d->result;
    TRY(choose_plan(d));
    r->lsn = d->plan.lsn_to - 1;
    r->deltas = d->plan.delta_count;
    if (d->plan.snapshot.path != NULL)
        snprintf(r->base, sizeof(r->base), "%s", d->plan.snapshot.path);
    TRY(prove(d, &d->plan));
    return prove_shortcut(d);
}

/** What is wrong with the files, as opposed to with the question or the moment. */
static bool is_outcome(err_t err)
{
    return err == OK || err == ERR_CORRUPT || err == ERR_IO;
}

/** Collections' names may hold any bytes; an outcome is plain text. */
static void set_text(struct drill_result *r, const char *text)
{
    snprintf(r->text, sizeof(r->text), "%s", text);
    for (char *c = r->text; *c != '\0'; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
}

/** *ret is filled as far as it came, whatever the result. */
static err_t attempt(const struct plan_question *q, const struct rebuild_progress *progress,
                     struct drill_result *ret)
{
    *ret = (struct drill_result){.lsn = -1};
    CLEANUP(drill_release)
    struct drill d = {.question = *q, .progress = progress, .result = ret};
    return run(&d);
}

err_t restore_drill(struct source *s, const char *namespace_name, struct slice collection,
                    const struct target *t, const struct rebuild_progress *progress,
                    struct drill_result *ret)
{
    struct clock *clock = source_clock(s);
    if (source_store(s) == NULL)
        return err_fail(ERR_NOT_FOUND, "there is no store yet: nothing to drill");
    const struct plan_question q = {
        .source = s, .namespace_name = namespace_name, .collection = collection, .target = t};
    struct drill_result r;
    int64_t at_us = clock_wall_us(clock), began = clock_mono_ns(clock);
    err_t err = attempt(&q, progress, &r);
    /* Beside a server files are replaced and removed: damage is what is wrong twice. */
    if (err == ERR_CORRUPT)
        err = attempt(&q, progress, &r);
    if (!is_outcome(err))
        return err;
    r.passed = err == OK;
    r.at_us = at_us;
    r.took_us = (clock_mono_ns(clock) - began) / 1000;
    if (err != OK)
        set_text(&r, err_text(err));
    *ret = r;
    return OK;
}

/* Keeping ------------------------------------------------------------------------------------- */

void drill_to_json(const struct drill_result *r, struct buf *out)
{
    char at[TIMEFMT_MAX];
    timefmt_rfc3339(r->at_us, at);
    buf_printf(out, "{\"passed\":%s,\"lsn\":%lld,\"at\":\"%s\",\"tookUs\":%lld,\"base\":",
               r->passed ? "true" : "false", (long long)r->lsn, at, (long long)r->took_us);
    if (*r->base != '\0')
        buf_append_json(out, r->base, strlen(r->base));
    else
        buf_append_str(out, "null");
    buf_printf(out, ",\"deltas\":%llu,\"text\":", (unsigned long long)r->deltas);
    buf_append_json(out, r->text, strlen(r->text));
    buf_append_char(out, '}');
}

static char *drill_path(const char *namespace_name, struct slice collection)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(namespace_name, collection);
    return xasprintf("%s/drill.json", dir);
}

static err_t save_in(struct store *s, const char *path, const struct drill_result *r)
{
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    drill_to_json(r, &text);
    return manifest_save(s, path, json_loadb(text.data, text.len, 0, NULL));
}

err_t drill_save(struct source *s, const char *namespace_name, struct slice collection,
                 const struct drill_result *r)
{
    CLEANUP(xfree_ptr) char *path = drill_path(namespace_name, collection);
    struct store *writable;
    err_t err = save_in(source_store(s), path, r);
    if (err != ERR_USAGE)
        return err;
    /* The source is for reading only. An outcome is one small file that nothing else depends on, so
     * it is written without the data directory's lock, beside a running server. */
    TRY(store_open(source_io(s), store_url(source_store(s)), true, &writable));
    err = save_in(writable, path, r);
    store_close(writable);
    return err;
}

static err_t parse(const json_t *json, struct drill_result *r)
{
    const char *at, *text;
    const char *base = json_string_value(json_object_get(json, "base"));
    r->passed = json_is_true(json_object_get(json, "passed"));
    TRY(field_int(json, "lsn", -1, INT64_MAX, &r->lsn));
    TRY(field_int(json, "tookUs", 0, INT64_MAX, &r->took_us));
    TRY(field_uint(json, "deltas", &r->deltas));
    TRY(field_text(json, "at", &at));
    TRY(field_text(json, "text", &text));
    if (!timefmt_parse(at, strlen(at), &r->at_us))
        return err_fail(ERR_CORRUPT, "\"at\" is no time");
    snprintf(r->base, sizeof(r->base), "%s", base != NULL ? base : "");
    set_text(r, text);
    return OK;
}

err_t drill_last(struct store *s, const char *namespace_name, struct slice collection,
                 struct drill_result *ret)
{
    CLEANUP(xfree_ptr) char *path = drill_path(namespace_name, collection);
    struct drill_result r = {0};
    json_t *json;
    TRY(manifest_load(s, path, &json));
    err_t err = parse(json, &r);
    json_decref(json);
    if (err != OK) {
        CLEANUP(xfree_ptr) char *why = xstrdup(err_text(err));
        return err_fail(err, "%s: %s", path, why);
    }
    *ret = r;
    return OK;
}
