/*
 * writer/appender.c: one turn of a reactor's loop becomes one batch per shard.
 */
#include "writer/appender.h"

#include <stdlib.h>

#include "base/limits.h"
#include "writer/key_index.h"

#define SPARE_BUILDERS 8
#define GATHER_LOOKS 16          /* for more requests, before a batch is sealed, */
#define GATHER_BYTES_MAX KIB(64) /* that holds less than this */

/** A sealed batch on its way, with the requests in it. */
struct flight {
    struct write_batch batch;
    struct reactor_msg msg;
    struct appender *appender;
    struct append_request *requests;
};

/** The open batch of one shard in this turn. */
struct open_batch {
    struct open_batch *next;
    struct shard *shard;
    struct builder *builder;
    struct append_request *requests;
    struct append_request **requests_tail;
    struct key_slot *keys;
};

struct appender {
    struct reactor_turn_hook hook;
    struct writer *writer;
    struct reactor *reactor;
    enum batch_codec codec;
    struct open_batch *open; /* most recently used first */
    struct builder *spare[SPARE_BUILDERS];
    unsigned spare_count;
    unsigned in_flight;
    bool joined;    /* a request has, since the last look */
    unsigned looks; /* in this turn */
};

struct builder *appender_take_builder(struct appender *a)
{
    return a->spare_count > 0 ? a->spare[--a->spare_count] : builder_new(a->codec);
}

void appender_give_builder(struct appender *a, struct builder *b)
{
    if (b == NULL)
        return;
    if (a->spare_count == SPARE_BUILDERS) {
        builder_free(b);
        return;
    }
    builder_reset(b);
    a->spare[a->spare_count++] = b;
}

/* Completion ---------------------------------------------------------------------------------- */

static void answer_all(struct append_request *list, const struct append_result *base)
{
    for (struct append_request *req = list, *next; req != NULL; req = next) {
        next = req->next;
        struct append_result result = *base;
        if (result.err == OK) {
            result.first_offset = base->first_offset + req->first_delta;
            result.lsn = result.first_offset + req->count - 1;
        }
        req->on_done(req, &result);
    }
}

static void flight_landed(struct reactor_msg *msg)
{
    struct flight *f = CONTAINER_OF(msg, struct flight, msg);
    struct append_result result = {
        .err = f->batch.err,
        .err_text = f->batch.err_text,
        .shard = shard_index(f->batch.shard),
        .first_offset = f->batch.base_offset,
        .lsn = -1,
    };
    f->appender->in_flight--;
    answer_all(f->requests, &result);
    free(f);
}

/** On the thread that committed it; see write_batch.on_done. */
static void flight_done(struct write_batch *b)
{
    struct flight *f = CONTAINER_OF(b, struct flight, batch);
    reactor_post(f->appender->reactor, &f->msg);
}

static struct flight *flight_new(struct appender *a, struct shard *sh, struct builder *b,
                                 struct key_slot *keys, struct append_request *requests)
{
    struct flight *f = xcalloc(1, sizeof(*f));
    f->appender = a;
    f->msg.run = flight_landed;
    f->requests = requests;
    f->batch.shard = sh;
    f->batch.keys = keys;
    f->batch.on_done = flight_done;
    builder_seal(b, &f->batch.data, &f->batch.len, &f->batch.record_count);
    return f;
}

static void abandon_keys(struct key_slot *keys)
{
    for (struct key_slot *next; keys != NULL; keys = next) {
        next = keys->next;
        key_abandon(keys);
    }
}

/** Frees a flight that was not submitted. */
static void flight_drop(struct flight *f)
{
    abandon_keys(f->batch.keys);
    free(f->batch.data);
    free(f);
}

/* The shared batch of a turn ------------------------------------------------------------------ */

static void open_batch_clear(struct open_batch *o)
{
    o->requests = NULL;
    o->requests_tail = &o->requests;
    o->keys = NULL;
}

static void open_batch_seal(struct appender *a, struct open_batch *o, bool alone)
{
    if (o->requests == NULL) {
        builder_reset(o->builder);
        return;
    }
    struct append_request *requests = o->requests;
    struct flight *f = flight_new(a, o->shard, o->builder, o->keys, requests);
    open_batch_clear(o);
    f->batch.may_wait = alone;
    a->in_flight++;
    err_t err = writer_submit(a->writer, &f->batch);
    if (err == OK)
        return;
    a->in_flight--;
    struct append_result result = {
        .err = err, .err_text = err_text(err), .shard = shard_index(o->shard), .lsn = -1};
    flight_drop(f);
    answer_all(requests, &result);
}

/** A sync costs many requests' worth of time: those that are there already share it. */
static bool gathers(struct reactor_turn_hook *hook)
{
    struct appender *a = CONTAINER_OF(hook, struct appender, hook);
    bool grew = a->joined;
    a->joined = false;
    return grew && ++a->looks < GATHER_LOOKS && builder_bytes(a->open->builder) < GATHER_BYTES_MAX;
}

static void turn_end(struct reactor_turn_hook *hook)
{
    struct appender *a = CONTAINER_OF(hook, struct appender, hook);
    a->joined = false;
    a->looks = 0;
    unsigned filled = 0;
    for (struct open_batch *o = a->open; o != NULL; o = o->next)
        filled += o->requests != NULL;
    for (struct open_batch *o = a->open; o != NULL; o = o->next)
        open_batch_seal(a, o, filled == 1); /* the turn may wait for one sync, not for many */
}

static struct open_batch *open_batch_of(struct appender *a, struct shard *sh)
{
    struct open_batch **link = &a->open;
    while (*link != NULL && (*link)->shard != sh)
        link = &(*link)->next;
    struct open_batch *o = *link;
    if (o == NULL) {
        o = xcalloc(1, sizeof(*o));
        o->shard = sh;
        o->builder = builder_new(a->codec);
        open_batch_clear(o);
    } else {
        *link = o->next;
    }
    o->next = a->open;
    a->open = o;
    return o;
}

struct appender *appender_new(struct writer *w, struct reactor *r, enum batch_codec codec)
{
    struct appender *a = xcalloc(1, sizeof(*a));
    a->writer = w;
    a->reactor = r;
    a->codec = codec;
    a->hook.run = turn_end;
    a->hook.gathers = gathers;
    reactor_add_turn_hook(r, &a->hook);
    return a;
}

void appender_free(struct appender *a)
{
    if (a == NULL)
        return;
    ASSERT(a->in_flight == 0);
    for (struct open_batch *o = a->open, *next; o != NULL; o = next) {
        next = o->next;
        ASSERT(o->requests == NULL);
        builder_free(o->builder);
        free(o);
    }
    while (a->spare_count > 0)
        builder_free(a->spare[--a->spare_count]);
    free(a);
}

err_t appender_open(struct appender *a, struct shard *sh, struct builder **ret_builder)
{
    TRY(writer_admit(a->writer, sh));
    struct open_batch *o = open_batch_of(a, sh);
    if (builder_bytes(o->builder) >= LIMIT_OPEN_BATCH_BYTES)
        open_batch_seal(a, o, false);
    *ret_builder = o->builder;
    return OK;
}

void appender_join(struct appender *a, struct shard *sh, struct builder_mark mark,
                   struct key_slot *key, struct append_request *req)
{
    struct open_batch *o = a->open;
    ASSERT(o != NULL && o->shard == sh); /* appender_open of this shard came just before */
    uint32_t count = builder_count(o->builder);
    ASSERT(count > mark.count);
    req->first_delta = mark.count;
    req->count = count - mark.count;
    req->next = NULL;
    *o->requests_tail = req;
    o->requests_tail = &req->next;
    a->joined = true;
    if (key != NULL) {
        key->last_delta = count - 1;
        key->next = o->keys;
        o->keys = key;
    }
}

/* A batch of one request ---------------------------------------------------------------------- */

err_t appender_submit_own(struct appender *a, struct shard *sh, struct builder *b,
                          struct key_slot *key, struct append_request *req)
{
    req->first_delta = 0;
    req->count = builder_count(b);
    req->next = NULL;
    if (key != NULL) {
        key->last_delta = req->count - 1;
        key->next = NULL;
    }
    struct flight *f = flight_new(a, sh, b, key, req);
    appender_give_builder(a, b);
    a->in_flight++;
    err_t err = writer_submit(a->writer, &f->batch);
    if (err != OK) {
        a->in_flight--;
        flight_drop(f);
    }
    return err;
}
