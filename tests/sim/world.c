/*
 * tests/sim/world.c: starting and ending the product, and the batches it is given.
 */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "writer/keys.h"

#define POOL_BYTES KIB(32)
#define START_WALL_US INT64_C(1767225600000000) /* 2026-01-01 */

static char pool[POOL_BYTES];

static void pool_fill(void)
{
    struct rng rng = {42};
    if (pool[0] != '\0')
        return;
    for (size_t i = 0; i < sizeof(pool); i++)
        pool[i] = (char)('!' + rng_below(&rng, 90));
}

void world_init(struct world *w, uint64_t seed, uint64_t salt)
{
    static const char *const names[WORLD_STREAMS] = {"events", "acme.events", "orders", "b.events",
                                                     "t"};
    pool_fill();
    *w = (struct world){.rng = {seed}, .salt = salt, .loss = {seed + salt * 0x10001}};
    clock_manual_init(&w->clock, START_WALL_US);
    w->disk = simdisk_new(rng_next(&w->rng) + salt);
    simdisk_set_clock(w->disk, &w->clock.base);
    for (unsigned i = 0; i < WORLD_STREAMS; i++)
        w->streams[i].name = names[i];
}

void world_release(struct world *w)
{
    for (unsigned i = 0; i < WORLD_STREAMS; i++) {
        for (unsigned k = 0; k < WORLD_SHARDS; k++) {
            free(w->streams[i].shards[k].acked.plans);
            free(w->streams[i].shards[k].open.plans);
        }
    }
    for (size_t i = 0; i < w->plans.count; i++)
        free(w->plans.plans[i]);
    free(w->plans.plans);
    for (size_t i = 0; i < w->kept_count; i++)
        free(w->kept[i].path);
    free(w->kept);
    simdisk_free(w->disk);
}

void world_fail(struct world *w, const char *fmt, ...)
{
    if (w->failed || simdisk_is_off(w->disk))
        return;
    w->failed = true;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(w->failure, sizeof(w->failure), fmt, args);
    va_end(args);
}

struct dump {
    struct io *io;
    const char *dir;
};

static err_t dump_entry(void *arg, const char *name)
{
    const struct dump *dump = arg;
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", dump->dir, name);
    struct io_stat st;
    TRY(io_stat(dump->io, path, &st));
    (void)fprintf(stderr, "  %8llu %s\n", (unsigned long long)st.size_bytes, path);
    struct dump inner = {dump->io, path};
    return st.is_dir ? io_list(dump->io, path, dump_entry, &inner) : OK;
}

void world_dump(struct world *w)
{
    struct dump dump = {simdisk_io(w->disk), ""};
    if (io_list(dump.io, "/", dump_entry, &dump) != OK)
        (void)fprintf(stderr, "%s\n", err_last()->text);
}

void plan_list_push(struct plan_list *l, struct plan *p)
{
    if (l->count == l->cap) {
        l->cap = MAX(16, l->cap * 2);
        l->plans = xrealloc(l->plans, l->cap * sizeof(struct plan *));
    }
    l->plans[l->count++] = p;
}

static void fail_always(struct world *w, const char *text)
{
    if (!w->failed)
        (void)snprintf(w->failure, sizeof(w->failure), "%s", text);
    w->failed = true;
}

static void free_product(struct world *w)
{
    writer_free(TAKE(w->writer));
    worker_pool_free(TAKE(w->workers));
    builder_free(TAKE(w->builder));
    if (simdisk_open_files(w->disk) != 0)
        fail_always(w, "files were left open");
}

err_t world_open(struct world *w)
{
    struct writer_options options = {
        .clock = &w->clock.base,
        .commit_threads = 0,
        .max_pending = 100,
        .max_pending_bytes = MIB(16),
        .pressure_ms = 50,
        .key_hours = 24,
        .max_keys = 100000,
    };
    w->workers = worker_pool_new(0);
    w->writer = writer_new(&options);
    w->builder = builder_new(BATCH_CODEC_LZ4);
    struct log_options log_options = {
        .io = simdisk_io(w->disk),
        .clock = &w->clock.base,
        .data_dir = "/data",
        .segment_bytes = WORLD_SEGMENT_BYTES,
        .workers = w->workers,
        .state = writer_state_ops(w->writer),
        .checkpoint_bytes = KIB(32),
    };
    err_t err = log_open(&log_options, &w->log);
    if (err == OK)
        writer_start(w->writer);
    else
        free_product(w);
    return err;
}

/** Every batch has been answered and every waiter called. */
static void check_all_answered(struct world *w)
{
    for (unsigned i = 0; i < WORLD_STREAMS; i++) {
        for (int k = 0; k < WORLD_KEYS; k++) {
            const struct key_model *key = &w->streams[i].keys[k];
            if (key->in_flight || key->waiting > 0)
                fail_always(w, "a request was never answered");
        }
    }
}

void world_close(struct world *w)
{
    writer_stop(w->writer);
    worker_pool_run(w->workers);
    check_all_answered(w);
    log_close(TAKE(w->log));
    free_product(w);
}

void world_abandon(struct world *w)
{
    simdisk_power_off(w->disk);
    writer_stop(w->writer);
    worker_pool_run(w->workers);
    check_all_answered(w);
    log_abandon(TAKE(w->log));
    free_product(w);
}

struct slice world_key(const struct world *w, unsigned stream, int key, char out[64])
{
    int len = snprintf(out, 64, "b:%s:key-%d", w->streams[stream].name, key);
    return (struct slice){out, (size_t)len};
}

uint64_t world_key_hash(int key)
{
    return 0x1234567890abcdefu * (uint64_t)(key + 1);
}

void plan_value(const struct plan *p, uint32_t index, struct plan_value *ret_value)
{
    struct rng rng = {p->serial * 1000003u + index};
    int len = snprintf(ret_value->head, sizeof(ret_value->head), "{\"serial\":%llu,\"index\":%u,",
                       (unsigned long long)p->serial, index);
    ret_value->head_len = (size_t)len;
    ret_value->tail_len = rng_below(&rng, p->value_max + 1);
    ret_value->tail = pool + rng_below(&rng, POOL_BYTES - ret_value->tail_len);
}
