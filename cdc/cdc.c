/*
 * cdc/cdc.c: the thread that takes the namespaces in turn, and who wakes it.
 *
 * Appends wake it by a shard's waiter, which is armed only while a namespace has nothing to do:
 * under load it takes what has gathered, at most one transaction each 20 ms and namespace, and
 * appends pay nothing. What fails is tried again after 1 s, then 2, up to a minute, with its state
 * opened anew.
 *
 * Locks: cdc->lock guards the list of namespaces and what is marked so in struct space; it is a
 * leaf, so shards' waiters may take it, and nothing is called under it.
 */
#include "cdc/cdc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/logger.h"
#include "base/metrics.h"
#include "cdc/cdc_priv.h"

#define PAUSE_NS INT64_C(20000000)
#define DEFAULT_NAMESPACE "default"
#define DEFAULT_STREAM "events"
#define STREAM_SUFFIX ".events"

/* Names --------------------------------------------------------------------------------------- */

char *cdc_state_path(const char *data_dir, const char *namespace_name)
{
    return xasprintf("%s/state/%s.db", data_dir, namespace_name);
}

char *cdc_stream_name(const char *namespace_name)
{
    return strcmp(namespace_name, DEFAULT_NAMESPACE) == 0
               ? xstrdup(DEFAULT_STREAM)
               : xasprintf("%s" STREAM_SUFFIX, namespace_name);
}

char *cdc_namespace_of(const char *stream)
{
    size_t len = strlen(stream);
    size_t suffix = strlen(STREAM_SUFFIX);
    if (strcmp(stream, DEFAULT_STREAM) == 0)
        return xstrdup(DEFAULT_NAMESPACE);
    if (len <= suffix || strcmp(stream + len - suffix, STREAM_SUFFIX) != 0)
        return NULL;
    char *name = xstrndup(stream, len - suffix);
    /* The default namespace has one stream: this would be a second. */
    if (strcmp(name, DEFAULT_NAMESPACE) == 0)
        free(TAKE(name));
    return name;
}

/* Waking -------------------------------------------------------------------------------------- */

/** On the appending thread. */
static void on_append(struct shard_waiter *w)
{
    struct space *sp = CONTAINER_OF(w, struct shard_watch, waiter)->space;
    struct cdc *c = sp->cdc;
    int64_t now_us = clock_wall_us(c->options.clock);
    lock_acquire(&c->lock);
    if (!sp->dirty)
        sp->behind_since_us = now_us;
    sp->dirty = true;
    lock_cond_signal(&c->wake);
    lock_release(&c->lock);
}

/** On the thread that created the stream. */
static void on_create(void *arg, struct stream *s)
{
    struct cdc *c = arg;
    CLEANUP(xfree_ptr) char *name = cdc_namespace_of(stream_name(s));
    if (name == NULL)
        return;
    struct space *sp = space_new(c, s, name);
    lock_acquire(&c->lock);
    if (c->space_count == c->space_cap) {
        c->space_cap = c->space_cap == 0 ? 16 : c->space_cap * 2;
        c->spaces = xrealloc(c->spaces, c->space_cap * sizeof(struct space *));
    }
    c->spaces[c->space_count++] = sp;
    lock_cond_signal(&c->wake);
    lock_release(&c->lock);
}

/** Waits for appends; false when there already are some. */
static bool arm(struct space *sp)
{
    bool waiting = true;
    for (unsigned k = 0; k < sp->watch_count; k++) {
        struct shard_watch *w = sp->watches[k];
        int64_t seen = k == 0 ? sp->cursor : sp->shard_cursors[k];
        shard_unwait(w->shard, &w->waiter);
        waiting = shard_wait(w->shard, seen, &w->waiter) && waiting;
    }
    return waiting;
}

/* One turn ------------------------------------------------------------------------------------ */

/** Under the lock: how far it is, for those who ask. */
static void publish(struct space *sp)
{
    sp->lag.applied_lsn = sp->cursor;
    sp->lag.delta_lsn = sp->covered;
    sp->lag.dead_letters = sp->dead_letters;
    sp->lag.misplaced = sp->misplaced;
    snprintf(sp->lag.problem, sizeof(sp->lag.problem), "%s", sp->blocked);
    sp->problem_err = sp->blocked_err;
    sp->halted = sp->full && *sp->blocked != '\0'; /* else a round is under way, and makes room */
}

static void note_success(struct space *sp, bool more)
{
    struct cdc *c = sp->cdc;
    int64_t now_ns = clock_mono_ns(c->options.clock);
    bool armed = !more && arm(sp);
    sp->tries = 0;
    lock_acquire(&c->lock);
    sp->dirty = (sp->dirty || !armed) && !sp->full;
    sp->not_before_ns = more ? 0 : now_ns + PAUSE_NS;
    if (!more && !armed)
        sp->behind_since_us = sp->sampled_us; /* what is left came after that */
    sp->due_ns = sp->delta_due_ns;
    publish(sp);
    if (!sp->deltas || sp->delta_failed || sp->covered >= sp->asked_lsn)
        sp->asked = false;
    /* The end of a round comes with a turn of its own. */
    sp->hurry = sp->hurry && (more || (sp->asked && sp->round.job.state == JOB_NONE));
    lock_cond_broadcast(&c->progress);
    lock_release(&c->lock);
}

static void note_failure(struct space *sp, err_t err)
{
    struct cdc *c = sp->cdc;
    int64_t wait_ns = space_retry_ns(sp->tries);
    char text[CDC_PROBLEM_BYTES];
    snprintf(text, sizeof(text), "%s", err_text(err));
    LOG_ERROR("state_stands_still", F("namespace", sp->name), F("err", text),
              F("retry_seconds", wait_ns / 1000000000), F("next", "trying again"));
    metric_inc(M_cdc_failures_total);
    sp->tries++;
    space_close(sp);
    lock_acquire(&c->lock);
    sp->failures++;
    sp->dirty = false;
    sp->hurry = false;
    sp->due_ns = clock_mono_ns(c->options.clock) + wait_ns;
    sp->not_before_ns = sp->due_ns;
    memcpy(sp->lag.problem, text, sizeof(text));
    sp->problem_err = err == ERR_NO_SPACE ? ERR_NO_SPACE : ERR_IO;
    lock_cond_broadcast(&c->progress);
    lock_release(&c->lock);
}

static void take_turn(struct space *sp, int64_t asked_lsn)
{
    bool more = false;
    space_watch(sp, on_append);
    err_t err = space_step(sp, asked_lsn, &more);
    if (err != OK && atomic_load(&sp->cdc->stopping))
        return;
    if (err == OK)
        note_success(sp, more);
    else
        note_failure(sp, err);
}

/* The thread ---------------------------------------------------------------------------------- */

/** When this namespace wants a turn, on the monotonic clock; INT64_MAX: it waits for an append. */
static int64_t wanted_ns(const struct space *sp)
{
    int64_t at = sp->due_ns;
    if (sp->hurry || sp->round.job.state == JOB_LANDED || sp->checkpoint.state == JOB_LANDED)
        return 0;
    return sp->dirty ? MIN(at, sp->not_before_ns) : at;
}

/** The next namespace whose time has come, in turn; NULL and *ret_wait_ns otherwise. */
static struct space *choose(struct cdc *c, int64_t *ret_wait_ns)
{
    int64_t now = clock_mono_ns(c->options.clock);
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < c->space_count; i++) {
        struct space *sp = c->spaces[(c->turn + i) % c->space_count];
        int64_t at = wanted_ns(sp);
        if (at <= now) {
            c->turn = (c->turn + i + 1) % c->space_count;
            return sp;
        }
        first = MIN(first, at);
    }
    *ret_wait_ns = first == INT64_MAX ? INT64_MAX : first - now;
    return NULL;
}

static void sleep_locked(struct cdc *c, int64_t wait_ns) LOCK_REQUIRES(&c->lock)
{
    if (wait_ns == INT64_MAX)
        lock_cond_wait(&c->wake, &c->lock);
    else
        (void)lock_cond_wait_ms(&c->wake, &c->lock,
                                (unsigned)MIN(wait_ns / 1000000 + 1, INT64_C(3600000)));
}

static void *cdc_main(void *arg)
{
    struct cdc *c = arg;
    pthread_setname_np(pthread_self(), "cdc");
    lock_acquire(&c->lock);
    while (!atomic_load(&c->stopping)) {
        int64_t wait_ns;
        struct space *sp = choose(c, &wait_ns);
        if (sp == NULL) {
            sleep_locked(c, wait_ns);
            continue;
        }
        int64_t asked_lsn = sp->asked ? sp->asked_lsn : -1;
        sp->dirty = false;
        lock_release(&c->lock);
        take_turn(sp, asked_lsn);
        lock_acquire(&c->lock);
    }
    lock_release(&c->lock);
    return NULL;
}

static void add_stream(void *arg, struct stream *s)
{
    on_create(arg, s);
}

err_t cdc_start(const struct cdc_options *options, struct cdc **ret_cdc)
{
    struct cdc *c = xcalloc(1, sizeof(*c));
    c->options = *options;
    c->data_dir = xstrdup(options->data_dir);
    lock_init(&c->lock, LOCK_RANK_LEAF);
    lock_cond_init(&c->wake);
    lock_cond_init(&c->progress);
    c->workers = worker_pool_new(2);
    log_each_stream(options->log, add_stream, c);
    log_on_create(options->log, on_create, c);
    int rc = pthread_create(&c->thread, NULL, cdc_main, c);
    c->running = rc == 0;
    if (!c->running) {
        cdc_stop(c);
        return err_fail(ERR_INTERNAL, "no thread for the state could be started");
    }
    *ret_cdc = c;
    return OK;
}

void cdc_stop(struct cdc *c)
{
    if (c == NULL)
        return;
    log_on_create(c->options.log, NULL, NULL);
    lock_acquire(&c->lock);
    atomic_store(&c->stopping, true);
    lock_cond_broadcast(&c->wake);
    lock_release(&c->lock);
    if (c->running)
        pthread_join(c->thread, NULL);
    for (size_t i = 0; i < c->space_count; i++)
        space_free(c->spaces[i]);
    free(c->spaces);
    worker_pool_free(c->workers);
    lock_cond_destroy(&c->wake);
    lock_cond_destroy(&c->progress);
    lock_destroy(&c->lock);
    free(c->data_dir);
    free(c);
}

/* Asking -------------------------------------------------------------------------------------- */

/** What one flush waits for in one namespace. */
struct goal {
    struct space *space;
    int64_t lsn;
    uint64_t failures; /* before */
};

static err_t goal_state(const struct goal *g, bool deltas)
{
    const struct space *sp = g->space;
    if (sp->lag.applied_lsn >= g->lsn && (!deltas || sp->lag.delta_lsn >= g->lsn))
        return OK;
    bool failed = sp->failures > g->failures && sp->problem_err != OK; /* and has not recovered */
    if (failed || (sp->halted && !sp->asked))
        return err_fail(sp->problem_err, "namespace %s stands still: %s", sp->name,
                        sp->lag.problem);
    if (deltas && sp->lag.applied_lsn >= g->lsn && *sp->lag.problem != '\0' && !sp->asked)
        return err_fail(sp->problem_err, "namespace %s has no deltas: %s", sp->name,
                        sp->lag.problem);
    return ERR_AGAIN;
}

static void set_goal(struct goal *g, struct space *sp, bool deltas)
{
    *g = (struct goal){.space = sp,
                       .lsn = shard_high_watermark(stream_shard(sp->stream, 0)),
                       .failures = sp->failures};
    sp->hurry = true;
    if (deltas) {
        sp->asked_lsn = sp->asked ? MAX(sp->asked_lsn, g->lsn) : g->lsn;
        sp->asked = true;
    }
}

static err_t wait_for(struct cdc *c, const struct goal *g, bool deltas, int64_t until_ns)
    LOCK_REQUIRES(&c->lock)
{
    err_t err;
    while ((err = goal_state(g, deltas)) == ERR_AGAIN) {
        if (c->waits_over)
            return err_fail(ERR_UNAVAILABLE, "the server is stopping");
        int64_t left_ms = (until_ns - clock_mono_ns(c->options.clock)) / 1000000;
        if (left_ms <= 0)
            return err_fail(ERR_REQUEST_TIMEOUT, "namespace %s is at LSN %lld, not yet at %lld",
                            g->space->name, (long long)g->space->lag.applied_lsn,
                            (long long)g->lsn);
        (void)lock_cond_wait_ms(&c->progress, &c->lock, (unsigned)MIN(left_ms, 1000));
    }
    return err;
}

err_t cdc_flush(struct cdc *c, const char *namespace_name, bool deltas, int timeout_ms)
{
    if (deltas && c->options.store == NULL)
        return err_fail(ERR_UNAVAILABLE, "there is no store for deltas");
    int64_t until_ns = clock_mono_ns(c->options.clock) + (int64_t)timeout_ms * 1000000;
    size_t count = 0;
    lock_acquire(&c->lock);
    CLEANUP(xfree_ptr) struct goal *goals = xcalloc(c->space_count + 1, sizeof(*goals));
    for (size_t i = 0; i < c->space_count; i++)
        if (namespace_name == NULL || strcmp(c->spaces[i]->name, namespace_name) == 0)
            set_goal(&goals[count++], c->spaces[i], deltas);
    lock_cond_signal(&c->wake);
    err_t err = OK;
    for (size_t i = 0; i < count && err == OK; i++)
        err = wait_for(c, &goals[i], deltas, until_ns);
    lock_release(&c->lock);
    if (namespace_name != NULL && count == 0)
        return err_fail(ERR_NOT_FOUND, "there is no namespace \"%.100s\"", namespace_name);
    return err;
}

void cdc_end_waits(struct cdc *c)
{
    if (c == NULL)
        return;
    lock_acquire(&c->lock);
    c->waits_over = true;
    lock_cond_broadcast(&c->progress);
    lock_release(&c->lock);
}

size_t cdc_lags(struct cdc *c, struct cdc_lag *out, size_t cap)
{
    int64_t now_us = clock_wall_us(c->options.clock);
    lock_acquire(&c->lock);
    size_t count = c->space_count;
    for (size_t i = 0; i < MIN(count, cap); i++) {
        const struct space *sp = c->spaces[i];
        out[i] = sp->lag;
        out[i].log_lsn = shard_high_watermark(stream_shard(sp->stream, 0));
        bool behind = out[i].log_lsn > out[i].applied_lsn;
        out[i].behind_us = behind ? MAX(now_us - sp->behind_since_us, 1) : 0;
    }
    lock_release(&c->lock);
    return count;
}
