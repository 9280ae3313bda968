/*
 * tests/sim/workload.c: what the product is asked to do between crashes.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"
#include "writer/key_index.h"

struct key_wait {
    struct key_waiter base;
    struct world *world;
    struct key_model *key;
};

static struct shard_model *model_of(struct world *w, const struct plan *p)
{
    return &w->streams[p->stream].shards[p->shard];
}

static void remove_open(struct shard_model *m, const struct plan *p)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->open.count; i++)
        if (m->open.plans[i] != p)
            m->open.plans[kept++] = m->open.plans[i];
    m->open.count = kept;
}

static void keys_done(struct world *w, const struct plan *p, bool acked)
{
    for (unsigned i = 0; i < p->request_count; i++) {
        if (p->requests[i].key < 0)
            continue;
        struct key_model *key = &w->streams[p->stream].keys[p->requests[i].key];
        key->in_flight = false;
        if (acked) {
            key->done = p;
            key->request = i;
        }
    }
}

static void on_acked(struct world *w, struct plan *p)
{
    struct shard_model *m = model_of(w, p);
    remove_open(m, p);
    if (p->batch.base_offset != m->next_offset)
        world_fail(w, "batch %llu got offset %lld instead of %lld", (unsigned long long)p->serial,
                   (long long)p->batch.base_offset, (long long)m->next_offset);
    p->state = PLAN_ACKED;
    p->base_offset = p->batch.base_offset;
    p->append_ms = p->batch.append_time_ms;
    m->next_offset += p->count;
    plan_list_push(&m->acked, p);
    w->acked++;
}

/** A failed batch must never come back, except where nobody could say so: the power is off, or the
 * shard could not be mended and is closed until the restart. */
static void on_failed(struct world *w, struct plan *p)
{
    if (!simdisk_is_off(w->disk) && !w->faulty)
        world_fail(w, "batch %llu failed: %s", (unsigned long long)p->serial, p->batch.err_text);
    if (simdisk_is_off(w->disk) || shard_status(p->batch.shard) == SHARD_READ_ONLY)
        return;
    remove_open(model_of(w, p), p);
    p->state = PLAN_DEAD;
}

static void on_done(struct write_batch *b)
{
    struct plan *p = CONTAINER_OF(b, struct plan, batch);
    /* Without power nobody hears an answer, not even one whose sync was done just before. */
    bool acked = b->err == OK && !simdisk_is_off(p->world->disk);
    if (acked)
        on_acked(p->world, p);
    else
        on_failed(p->world, p);
    keys_done(p->world, p, acked);
    /* On a machine with threads workers run at any time, also while a group is being answered. */
    if (rng_chance(&p->world->rng, 20))
        worker_pool_run(p->world->workers);
}

static void on_key_waited(struct key_waiter *base, const struct key_figures *figures UNUSED)
{
    struct key_wait *wait = CONTAINER_OF(base, struct key_wait, base);
    wait->key->waiting--;
    free(wait);
}

/** A repeated key must answer with the figures of its first request. */
static void check_figures(struct world *w, unsigned stream, int number,
                          const struct key_figures *figures)
{
    const struct key_model *key = &w->streams[stream].keys[number];
    const struct plan *p = key->done;
    if (p == NULL) {
        world_fail(w, "key %d of %s is said to be done and never was", number,
                   w->streams[stream].name);
        return;
    }
    const struct plan_request *r = &p->requests[key->request];
    if (figures->shard != p->shard || figures->count != r->count ||
        figures->lsn != p->base_offset + r->first + r->count - 1 ||
        figures->body_hash != world_key_hash(number))
        world_fail(w, "key %d of %s has other figures than when it was acknowledged: lsn %lld",
                   number, w->streams[stream].name, (long long)figures->lsn);
}

/** True when the request is to be sent with this key; *ret_slot is set then. */
static bool begin_key(struct world *w, unsigned stream, int number, uint32_t count,
                      struct key_slot **ret_slot)
{
    char text[64];
    struct key_model *key = &w->streams[stream].keys[number];
    struct stream *s =
        log_find_stream(w->log, w->streams[stream].name, strlen(w->streams[stream].name));
    struct key_figures figures;
    struct key_wait *wait = xcalloc(1, sizeof(*wait));
    *wait = (struct key_wait){.base = {.fn = on_key_waited}, .world = w, .key = key};
    enum key_outcome outcome =
        key_begin(w->writer, s, world_key(w, stream, number, text), world_key_hash(number), count,
                  &wait->base, ret_slot, &figures);
    if (outcome == KEY_IN_FLIGHT) {
        key->waiting++;
        if (!key->in_flight)
            world_fail(w, "key %d blocks although nothing is in flight", number);
        return false;
    }
    free(wait);
    if (outcome == KEY_DONE)
        check_figures(w, stream, number, &figures);
    else if (key->done != NULL)
        world_fail(w, "key %d of %s was acknowledged and is forgotten", number,
                   w->streams[stream].name);
    else if (key->in_flight)
        world_fail(w, "key %d was taken twice", number);
    return outcome == KEY_NEW;
}

static err_t add_records(struct world *w, struct plan *p, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct plan_value value;
        plan_value(p, p->count + i, &value);
        struct event_record rec = {
            .ts_ms = p->ts_ms + p->count + i,
            .value = {{value.head, value.head_len}, {value.tail, value.tail_len}},
            .type = SLICE("sim.tested"),
            .source = SLICE("sim"),
        };
        TRY(builder_add(w->builder, &rec));
    }
    return OK;
}

/** Adds one request to the batch being built; false when its key says that it is not needed. */
static bool add_request(struct world *w, struct plan *p, bool keyed)
{
    struct plan_request *r = &p->requests[p->request_count];
    *r = (struct plan_request){.first = p->count, .key = -1};
    r->count = 1 + (uint32_t)rng_below(&w->rng, rng_chance(&w->rng, 10) ? 40 : 4);
    struct key_slot *slot = NULL;
    if (keyed) {
        /* A key always goes to the same shard of its stream, as one client's requests do. */
        unsigned shards = w->streams[p->stream].shard_count;
        int number = (int)(rng_below(&w->rng, WORLD_KEYS / shards) * shards + p->shard);
        if (!begin_key(w, p->stream, number, r->count, &slot))
            return false;
        if (rng_chance(&w->rng, 5)) {
            key_abandon(slot);
            return false;
        }
        r->key = number;
        w->streams[p->stream].keys[number].in_flight = true;
    }
    if (add_records(w, p, r->count) != OK)
        world_fail(w, "builder_add: %s", err_last()->text);
    p->count += r->count;
    if (slot != NULL) {
        char text[64];
        err_t err = builder_attach_key(w->builder, world_key(w, p->stream, r->key, text), r->count,
                                       world_key_hash(r->key));
        if (err != OK)
            world_fail(w, "builder_attach_key: %s", err_text(err));
        slot->last_delta = p->count - 1;
        slot->next = p->batch.keys;
        p->batch.keys = slot;
    }
    p->request_count++;
    return true;
}

static struct plan *plan_new(struct world *w, unsigned stream, unsigned shard)
{
    struct plan *p = xcalloc(1, sizeof(*p));
    p->world = w;
    p->serial = w->plans.count;
    p->stream = stream;
    p->shard = shard;
    static const uint32_t sizes[] = {20, 20, 200, 200, 2000, 12000, 30000};
    p->value_max = sizes[rng_below(&w->rng, ARRAY_LEN(sizes))];
    p->ts_ms = clock_wall_ms(&w->clock.base) - 2000 + (int64_t)rng_below(&w->rng, 4000);
    plan_list_push(&w->plans, p);
    return p;
}

static void send(struct world *w, struct plan *p)
{
    uint32_t count;
    builder_seal(w->builder, &p->batch.data, &p->batch.len, &count);
    if (count != p->count)
        world_fail(w, "the builder counts %u records instead of %u", count, p->count);
    struct stream_model *s = &w->streams[p->stream];
    p->batch.shard = stream_shard(log_find_stream(w->log, s->name, strlen(s->name)), p->shard);
    p->batch.record_count = count;
    p->batch.stamp_append_time = p->batch.keys == NULL && rng_chance(&w->rng, 20);
    p->batch.on_done = on_done;
    plan_list_push(&s->shards[p->shard].open, p);
    err_t err = writer_submit(w->writer, &p->batch);
    if (err == OK)
        return;
    if (!w->faulty)
        world_fail(w, "writer_submit: %s", err_text(err));
    remove_open(&s->shards[p->shard], p);
    p->state = PLAN_DEAD;
    for (struct key_slot *slot = p->batch.keys, *next; slot != NULL; slot = next) {
        next = slot->next;
        key_abandon(slot);
    }
    keys_done(w, p, false);
    free(p->batch.data);
}

static void submit_to(struct world *w, unsigned stream, unsigned shard, unsigned keyed_percent)
{
    struct plan *p = plan_new(w, stream, shard);
    p->state = PLAN_DEAD;
    unsigned requests = 1 + (unsigned)rng_below(&w->rng, PLAN_REQUESTS);
    for (unsigned i = 0; i < requests && !w->failed; i++)
        add_request(w, p, rng_chance(&w->rng, keyed_percent));
    if (p->count == 0)
        return;
    p->state = PLAN_QUEUED;
    send(w, p);
}

void world_submit(struct world *w)
{
    unsigned stream = (unsigned)rng_below(&w->rng, WORLD_STREAMS);
    if (w->streams[stream].state == STREAM_THERE)
        submit_to(w, stream, (unsigned)rng_below(&w->rng, w->streams[stream].shard_count), 50);
}

void world_expect_writable(struct world *w)
{
    for (unsigned i = 0; i < WORLD_STREAMS; i++) {
        if (w->streams[i].state != STREAM_THERE)
            continue;
        for (unsigned k = 0; k < w->streams[i].shard_count && !w->failed; k++) {
            size_t before = w->streams[i].shards[k].acked.count;
            submit_to(w, i, k, 0);
            world_commit(w);
            if (w->streams[i].shards[k].acked.count == before && !simdisk_is_off(w->disk))
                world_fail(w, "%s/%u takes no batch: %s", w->streams[i].name, k, err_last()->text);
        }
    }
}

void world_create_stream(struct world *w, unsigned stream)
{
    struct stream_model *m = &w->streams[stream];
    if (m->state == STREAM_THERE)
        return;
    unsigned count = 1 + (unsigned)rng_below(&w->rng, WORLD_SHARDS);
    struct stream *s;
    m->tried |= 1u << count;
    m->state = STREAM_OPEN;
    err_t err = log_create_stream(w->log, m->name, count, &s);
    if (simdisk_is_off(w->disk))
        return; /* nobody hears the answer */
    if (err == OK) {
        m->state = STREAM_THERE;
        m->shard_count = count;
        if (stream_shard_count(s) != count)
            world_fail(w, "stream %s has %u shards instead of %u", m->name, stream_shard_count(s),
                       count);
    } else if (!w->faulty) {
        world_fail(w, "log_create_stream: %s", err_text(err));
    }
}

void world_commit(struct world *w)
{
    writer_commit_pending(w->writer);
}

static void restart_cleanly(struct world *w)
{
    world_close(w);
    if (simdisk_is_off(w->disk))
        return; /* the power went off during the stop */
    err_t err = world_open(w);
    if (err == OK)
        world_check(w);
    else if (!simdisk_is_off(w->disk))
        world_fail(w, "log_open after a clean stop: %s", err_text(err));
}

void world_step(struct world *w)
{
    if (w->swallowed != simdisk_swallowed()) {
        w->swallowed = simdisk_swallowed();
        w->rng.state += w->salt;
    }
    unsigned roll = (unsigned)rng_below(&w->rng, 100);
    if (w->hasty && rng_chance(&w->rng, 30))
        roll = 85;
    if (roll < 50) {
        for (uint64_t n = 1 + rng_below(&w->rng, 4); n > 0 && !w->failed; n--)
            world_submit(w);
        if (rng_chance(&w->rng, 70))
            world_commit(w);
    } else if (roll < 65) {
        world_commit(w);
    } else if (roll < 75) {
        worker_pool_run(w->workers);
    } else if (roll < 83) {
        clock_manual_advance_us(&w->clock, (int64_t)rng_below(&w->rng, 2500000));
        if (rng_chance(&w->rng, 10)) /* someone sets the wall clock back */
            w->clock.now_wall_us -= (int64_t)rng_below(&w->rng, 3600000000u);
    } else if (roll < 90) {
        world_create_stream(w, (unsigned)rng_below(&w->rng, WORLD_STREAMS));
    } else if (roll < 98) {
        world_check_read(w);
    } else if (!w->faulty) { /* else nobody knows what a start may find */
        restart_cleanly(w);
    }
}
