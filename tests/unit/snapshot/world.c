#include "tests/unit/snapshot/world.h"

#include "base/timefmt.h"
#include "tests/append.h"

static uint64_t random_state;

uint64_t next_random(uint64_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % bound;
}

/* The server's side --------------------------------------------------------------------------- */

void open_world(struct world *w)
{
    const struct log_options lo = {.io = io_posix(),
                                   .clock = &w->clock.base,
                                   .data_dir = w->dir,
                                   .segment_bytes = KIB(64),
                                   .workers = w->workers};
    assert_ok(log_open(&lo, &w->log));
    struct stream *stream = log_find_stream(w->log, "events", 6);
    if (stream == NULL)
        assert_ok(log_create_stream(w->log, "events", 1, &stream));
    w->shard = stream_shard(stream, 0);
    CLEANUP(xfree_ptr) char *url = xasprintf("%s/store", w->dir);
    assert_ok(store_open(io_posix(), url, true, &w->store));
    const struct cdc_options co = {.io = io_posix(),
                                   .clock = &w->clock.base,
                                   .log = w->log,
                                   .store = w->store,
                                   .data_dir = w->dir,
                                   .delta_bytes = MIB(16)};
    assert_ok(cdc_start(&co, &w->cdc));
}

void close_world(struct world *w, bool abandon)
{
    cdc_stop(w->cdc);
    store_close(w->store);
    worker_pool_run(w->workers);
    (abandon ? log_abandon : log_close)(w->log);
}

void lose_state(struct world *w)
{
    CLEANUP(xfree_ptr) char *path = cdc_state_path(w->dir, NS);
    assert_ok(state_remove(io_posix(), path));
}

struct source *open_live(struct world *w, const atomic_bool *stop)
{
    struct source *s;
    const struct source_options o = {.io = io_posix(),
                                     .clock = &w->clock.base,
                                     .data_dir = w->dir,
                                     .store = w->store,
                                     .log = w->log,
                                     .cdc = w->cdc,
                                     .stop = stop};
    assert_ok(source_open(&o, &s));
    return s;
}

struct source *open_directory(struct world *w)
{
    struct source *s;
    const struct source_options o = {.io = io_posix(), .clock = &w->clock.base, .data_dir = w->dir};
    assert_ok(source_open(&o, &s));
    return s;
}

struct source *open_store(struct world *w)
{
    struct source *s;
    CLEANUP(xfree_ptr) char *url = xasprintf("file:%s/store", w->dir);
    const struct source_options o = {.io = io_posix(), .clock = &w->clock.base, .store_url = url};
    assert_ok(source_open(&o, &s));
    return s;
}

void damage(const struct world *w, const char *pattern, unsigned at)
{
    CLEANUP(xfree_ptr)
    char *command = xasprintf("f=$(find %s -path '*/%s') && printf X | dd of=\"$f\" bs=1 seek=%u "
                              "conv=notrunc,nocreat status=none",
                              w->dir, pattern, at);
    assert_int_equal(system(command), 0);
}

void append(struct world *w, const char *json)
{
    int64_t lsn = append_json(w->shard, &json, 1, w->clock.now_wall_us / 1000, false);
    assert_int_equal(lsn, w->next_lsn);
    w->next_lsn++;
}

void append_change(struct world *w)
{
    struct model_change *c = &w->changes[w->count];
    char ts[TIMEFMT_MAX], json[512], extra[96] = "";
    *c = (struct model_change){.lsn = w->next_lsn,
                               .expect = -1,
                               .id = (unsigned)next_random(IDS),
                               .is_delete = next_random(4) == 0,
                               .marked = next_random(20) == 0};
    /* Late, equal, and some ahead of the clock. */
    c->ts_us = w->clock.now_wall_us - (int64_t)next_random(6) * TICK_US +
               (next_random(15) == 0 ? 20 * TICK_US : 0);
    int now = w->current[c->id];
    if (next_random(6) == 0)
        c->expect = next_random(2) == 0 ? 0 : now >= 0 ? w->changes[now].lsn : 7;
    int64_t version = now >= 0 ? w->changes[now].lsn : 0;
    c->skipped = c->expect >= 0 && (c->expect != version || (now >= 0 && c->expect == 0));
    if (c->expect >= 0)
        snprintf(extra, sizeof(extra), ",\"expect\":%lld", (long long)c->expect);
    size_t at = strlen(extra);
    if (c->marked)
        snprintf(extra + at, sizeof(extra) - at, ",\"bookmark\":\"here\"");
    timefmt_rfc3339(c->ts_us, ts);
    snprintf(c->doc, sizeof(c->doc), "{\"v\": %zu}", w->count);
    at = (size_t)snprintf(json, sizeof(json),
                          "{\"type\":\"collection.%s\",\"ts\":\"%s\",\"collection\":\"or/ders\","
                          "\"docId\":\"d%u\"%s",
                          c->is_delete          ? "delete"
                          : next_random(2) == 0 ? "insert"
                                                : "update",
                          ts, c->id, extra);
    if (!c->is_delete)
        at += (size_t)snprintf(json + at, sizeof(json) - at, ",\"doc\":%s", c->doc);
    snprintf(json + at, sizeof(json) - at, "}");
    append(w, json);
    if (!c->skipped)
        w->current[c->id] = c->is_delete ? -1 : (int)w->count;
    w->count++;
}

/* The model ----------------------------------------------------------------------------------- */

void model(const struct world *w, int64_t lsn_to, int64_t ts_max, int state[IDS])
{
    for (size_t i = 0; i < IDS; i++)
        state[i] = -1;
    for (size_t i = 0; i < w->count && w->changes[i].lsn < lsn_to; i++) {
        const struct model_change *c = &w->changes[i];
        if (!c->skipped && c->ts_us <= ts_max)
            state[c->id] = c->is_delete ? -1 : (int)i;
    }
}

unsigned number_of(struct slice id)
{
    char text[16] = "";
    assert_in_range(id.len, 2, 8);
    memcpy(text, id.data + 1, id.len - 1);
    return (unsigned)strtoul(text, NULL, 10);
}

void start_world(struct world *w, uint64_t seed)
{
    random_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    *w = (struct world){.workers = worker_pool_new(0)};
    scratch_make(w->dir);
    clock_manual_init(&w->clock, T0);
    for (size_t i = 0; i < IDS; i++)
        w->current[i] = -1;
    open_world(w);
}

void end_world(struct world *w)
{
    close_world(w, false);
    worker_pool_free(w->workers);
    scratch_remove(w->dir);
}
