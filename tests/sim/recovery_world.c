/*
 * tests/sim/recovery_world.c: starting and ending the product, and what happens to its files while
 * it is stopped.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "tests/sim/recovery.h"

#define STREAM "events"
#define SHARD_DIR REC_DATA "/log/" STREAM "/0"
#define START_WALL_US INT64_C(1770042605000000) /* 2026-02-02T14:30:05Z */

void rec_init(struct recovery *w, uint64_t seed, uint64_t salt)
{
    *w = (struct recovery){.rng = {seed}, .loss = {seed + salt * 0x10001}, .ids = 8, .salt = salt};
    clock_manual_init(&w->clock, START_WALL_US);
    w->disk = simdisk_new(rng_next(&w->rng) + salt);
    w->io = simdisk_io(w->disk);
    simdisk_set_clock(w->disk, &w->clock.base);
    memset(w->model.now, 0xff, sizeof(w->model.now));
}

void rec_clone(struct recovery *w, const struct recovery *from)
{
    struct rec_model *m = &w->model;
    *w = *from;
    w->disk = simdisk_clone(from->disk);
    w->io = simdisk_io(w->disk);
    simdisk_set_clock(w->disk, &w->clock.base);
    m->events = xmalloc((size_t)m->cap * sizeof(*m->events));
    for (int64_t lsn = 0; lsn < m->end; lsn++) {
        m->events[lsn] = from->model.events[lsn];
        if (m->events[lsn].doc != NULL)
            m->events[lsn].doc = xstrdup(m->events[lsn].doc);
    }
}

void rec_release(struct recovery *w)
{
    rec_model_release(&w->model);
    simdisk_free(w->disk);
}

void rec_fail(struct recovery *w, const char *fmt, ...)
{
    if (w->failed || simdisk_is_off(w->disk))
        return; /* without power nothing can be read */
    w->failed = true;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(w->failure, sizeof(w->failure), fmt, args);
    va_end(args);
}

void rec_expect(struct recovery *w, err_t err, const char *what)
{
    if (err != OK && !w->faulty)
        rec_fail(w, "%s: %s", what, err_text(err));
}

bool rec_alive(const struct recovery *w)
{
    return !w->failed && w->log != NULL && !simdisk_is_off(w->disk);
}

/* Life ---------------------------------------------------------------------------------------- */

static void on_append(struct shard_waiter *waiter UNUSED)
{
}

/** As server/ wires it; what leaves here without the log is what a reload cannot give back. */
static err_t rebuild_state(void *arg, const char *namespace_name, int64_t log_start,
                           struct state *empty)
{
    struct recovery *w = arg;
    TRY(reload_state(&w->reload, namespace_name, log_start, empty));
    return state_cursor(empty, &w->letters_from);
}

static err_t open_log(struct recovery *w)
{
    const struct log_options options = {.io = w->io,
                                        .clock = &w->clock.base,
                                        .data_dir = REC_DATA,
                                        .segment_bytes = LIMIT_SEGMENT_MIN_BYTES,
                                        .workers = w->workers};
    struct stream *stream;
    TRY(log_open(&options, &w->log));
    stream = log_find_stream(w->log, STREAM, strlen(STREAM));
    if (stream == NULL)
        TRY(log_create_stream(w->log, STREAM, 2, &stream));
    w->shard = stream_shard(stream, 0);
    w->other = stream_shard(stream, 1);
    return OK;
}

static err_t open_engine(struct recovery *w)
{
    TRY(store_open(w->io, REC_STORE, true, &w->store));
    w->reload.io = w->io;
    w->reload.clock = &w->clock.base;
    w->reload.store = w->store;
    w->cdc = (struct cdc){.options = {.io = w->io,
                                      .clock = &w->clock.base,
                                      .log = w->log,
                                      .store = w->store,
                                      .data_dir = REC_DATA,
                                      .delta_seconds = 3600,
                                      .delta_bytes = KIB(8),
                                      .rebuild = rebuild_state,
                                      .rebuild_arg = w},
                          .data_dir = (char[]){REC_DATA},
                          .workers = w->rounds};
    lock_init(&w->cdc.lock, LOCK_RANK_LEAF);
    lock_cond_init(&w->cdc.wake);
    lock_cond_init(&w->cdc.progress);
    w->space = space_new(&w->cdc, shard_stream(w->shard), REC_NAMESPACE);
    space_watch(w->space, on_append);
    struct source_options options = {.io = w->io,
                                     .clock = &w->clock.base,
                                     .data_dir = REC_DATA,
                                     .store = w->store,
                                     .log = w->log,
                                     .cdc = &w->cdc};
    TRY(source_open(&options, &w->live));
    options = (struct source_options){.io = w->io, .clock = &w->clock.base, .store = w->store};
    return source_open(&options, &w->files);
}

static err_t open_all(struct recovery *w)
{
    TRY(io_mkdir_durable(w->io, REC_OUT));
    TRY(open_log(w));
    TRY(open_engine(w));
    return rec_model_learn(&w->model, w->shard);
}

err_t rec_open(struct recovery *w)
{
    w->workers = worker_pool_new(0);
    w->rounds = worker_pool_new(0);
    err_t err = open_all(w);
    if (err != OK || simdisk_is_off(w->disk)) {
        struct err_detail kept = *err_last();
        rec_close(w);
        if (err != OK)
            (void)err_record(kept.code, 0, kept.file, kept.line, "%s", kept.text);
    }
    return err;
}

void rec_close(struct recovery *w)
{
    if (w->rounds != NULL)
        worker_pool_run(w->rounds);
    if (w->space != NULL) {
        space_free(TAKE(w->space));
        lock_cond_destroy(&w->cdc.wake);
        lock_cond_destroy(&w->cdc.progress);
        lock_destroy(&w->cdc.lock);
    }
    source_close(TAKE(w->live));
    source_close(TAKE(w->files));
    store_close(TAKE(w->store));
    if (w->workers != NULL)
        worker_pool_run(w->workers);
    if (w->log != NULL)
        (simdisk_is_off(w->disk) ? log_abandon : log_close)(TAKE(w->log));
    worker_pool_free(TAKE(w->workers));
    worker_pool_free(TAKE(w->rounds));
    if (simdisk_open_files(w->disk) != 0) {
        w->failed = true;
        (void)snprintf(w->failure, sizeof(w->failure), "files were left open");
    }
}

/* While it is stopped ------------------------------------------------------------------------- */

struct listing {
    char *names[256];
    size_t count;
};

static err_t add_name(void *arg, const char *name)
{
    struct listing *l = arg;
    ASSERT(l->count < ARRAY_LEN(l->names));
    l->names[l->count++] = xstrdup(name);
    return OK;
}

static int64_t base_of(const char *name)
{
    char *end;
    long long base = strtoll(name, &end, 10);
    return *end == '.' && end > name ? base : -1;
}

/** The last segment that begins at or below what the store covers. */
static int64_t first_kept(const struct recovery *w, const struct listing *l)
{
    int64_t base = 0;
    for (size_t i = 0; i < l->count; i++)
        if (strstr(l->names[i], ".log") != NULL && base_of(l->names[i]) <= w->covered)
            base = MAX(base, base_of(l->names[i]));
    return base;
}

void rec_cut_log(struct recovery *w)
{
    struct listing l = {0};
    if (io_list(w->io, SHARD_DIR, add_name, &l) != OK)
        return; /* there is no log yet */
    int64_t kept = first_kept(w, &l);
    for (size_t i = 0; i < l.count; i++) {
        CLEANUP(xfree_ptr) char *path = xasprintf(SHARD_DIR "/%s", l.names[i]);
        if (base_of(l.names[i]) >= 0 && base_of(l.names[i]) < kept)
            rec_expect(w, io_unlink(w->io, path), "cutting the log");
        free(l.names[i]);
    }
    rec_expect(w, io_sync_dir(w->io, SHARD_DIR), "cutting the log");
}

static err_t damage(struct recovery *w, const char *path)
{
    static const char garbage[100] = "this is no database";
    CLEANUP(io_file_close_ptr) struct io_file *f = NULL;
    CLEANUP(xfree_ptr) char *wal = xasprintf("%s-wal", path);
    uint64_t size;
    err_t err = io_unlink(w->io, wal);
    if (err != OK && err != ERR_NOT_FOUND)
        return err;
    TRY(io_open(w->io, path, IO_WRITE, &f));
    TRY(io_file_size(f, &size));
    if (rng_chance(&w->rng, 50))
        TRY(io_file_pwrite(f, garbage, sizeof(garbage), 0));
    else
        TRY(io_file_truncate(f, rng_chance(&w->rng, 30) ? 0 : size / 2));
    return io_file_sync(f);
}

void rec_hurt_state(struct recovery *w)
{
    CLEANUP(xfree_ptr) char *path = cdc_state_path(REC_DATA, REC_NAMESPACE);
    bool found;
    rec_expect(w, io_find(w->io, path, &found), "finding the state");
    if (w->failed || !found)
        return;
    w->state_hurt = true;
    if (rng_chance(&w->rng, 50))
        rec_expect(w, state_remove(w->io, path), "removing the state");
    else
        rec_expect(w, damage(w, path), "damaging the state");
}
