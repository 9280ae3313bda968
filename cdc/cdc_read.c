/*
 * cdc/cdc_read.c: from the log's batches to a run of changes.
 *
 * A record is parsed where the reader has it; only what a change consists of is copied. Other
 * events of the stream cost one scan and no memory, or, in a batch that is marked, nothing; where
 * only such batches follow, they are not read at all.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "cdc/cdc_priv.h"

#define MISPLACED_BYTES MIB(16) /* of the other shards, looked through in one step */
#define MISPLACED_LETTERS 1000  /* noted in one step */

void change_run_free(struct change_run *run)
{
    if (run == NULL)
        return;
    arena_release(&run->arena);
    free(run->changes);
    free(run);
}

/** Keeps the bytes of *s, which the reader only lends. Most changes have few of the fields. */
static void keep(struct arena *arena, struct slice *s)
{
    if (s->data != NULL)
        s->data = arena_strndup(arena, s->data, s->len);
}

static void keep_change(struct change_run *run, struct change c)
{
    if (run->count == run->cap) {
        run->cap = run->cap == 0 ? 64 : run->cap * 2;
        run->changes = xrealloc(run->changes, run->cap * sizeof(*run->changes));
    }
    /* Changes of one collection tend to follow each other: one copy of its name serves them. */
    const struct change *last = run->count > 0 ? &run->changes[run->count - 1] : NULL;
    if (last != NULL && slice_equal(last->collection, c.collection))
        c.collection = last->collection;
    else
        keep(&run->arena, &c.collection);
    struct slice *const slices[] = {&c.doc_id, &c.doc, &c.prev, &c.bookmark, &c.source, &c.restore};
    for (size_t i = 0; i < ARRAY_LEN(slices); i++)
        keep(&run->arena, slices[i]);
    run->changes[run->count++] = c;
}

static bool run_full(const struct change_run *run)
{
    return run->count >= CDC_APPLY_CHANGES || run->arena.used_bytes >= CDC_APPLY_BYTES;
}

struct reading {
    struct space *sp;
    struct change_run *run;
    struct arena scratch;
    int64_t from, to;
    bool again;
};

static void read_batch(struct reading *r, const uint8_t *batch, const struct batch_header *h)
{
    struct change_reader changes;
    struct change c;
    const char *malformed;
    change_reader_open(&changes, batch, h, r->from);
    while (change_reader_next(&changes, &r->scratch, &c, &malformed) && c.lsn < r->to) {
        if (malformed == NULL)
            keep_change(r->run, c);
        else if (!r->again)
            state_dead_letter(r->sp->state, 0, c.lsn, malformed);
        arena_reset(&r->scratch);
    }
    change_reader_close(&changes);
}

/** Reads batches until the run is full. *ret_next is where it stopped. */
static err_t read_batches(struct reading *r, int64_t *ret_next)
{
    struct shard *sh = stream_shard(r->sp->stream, 0);
    struct log_reader log;
    TRY(log_reader_open(&log, sh, r->from));
    err_t err = OK;
    int64_t next = r->from;
    while (next < r->to && !run_full(r->run) && !atomic_load(&r->sp->cdc->stopping)) {
        const uint8_t *batch;
        struct batch_header h;
        if (next >= shard_plain_from(sh)) {
            next = r->to;
            break;
        }
        err = log_reader_next(&log, &batch, &h);
        if (err != OK)
            break;
        read_batch(r, batch, &h);
        next = MIN(batch_next_offset(&h), r->to);
    }
    log_reader_close(&log);
    *ret_next = next;
    return err == ERR_END ? OK : err;
}

err_t space_read(struct space *sp, int64_t from, int64_t to, bool again,
                 struct change_run **ret_run, int64_t *ret_next)
{
    struct change_run *run = xcalloc(1, sizeof(*run));
    struct reading r = {.sp = sp, .run = run, .from = from, .to = to, .again = again};
    err_t err = read_batches(&r, ret_next);
    arena_release(&r.scratch);
    if (err == OK)
        *ret_run = run;
    else
        change_run_free(run);
    return err;
}

/* The other shards ---------------------------------------------------------------------------- */

struct looking {
    struct space *sp;
    unsigned shard;
    int64_t from;
    unsigned letters;
    struct arena arena;
};

static void look_through(struct looking *l, const uint8_t *batch, const struct batch_header *h)
{
    struct change_reader changes;
    struct change c;
    const char *malformed;
    char reason[100];
    snprintf(reason, sizeof(reason), "a change must lie on shard 0 of its stream, not on shard %u",
             l->shard);
    change_reader_open(&changes, batch, h, l->from);
    while (change_reader_next(&changes, &l->arena, &c, &malformed)) {
        state_dead_letter(l->sp->state, l->shard, c.lsn, malformed != NULL ? malformed : reason);
        l->letters++;
    }
    change_reader_close(&changes);
    arena_reset(&l->arena);
}

static err_t look_at_shard(struct looking *l, int64_t *ret_next, bool *ret_more)
{
    struct shard *sh = stream_shard(l->sp->stream, l->shard);
    struct log_reader log;
    const uint8_t *batch;
    struct batch_header h;
    size_t bytes = 0;
    int64_t high = shard_high_watermark(sh), next = l->from;
    if (next >= shard_plain_from(sh)) {
        *ret_next = high;
        *ret_more = false;
        return OK;
    }
    TRY(log_reader_open(&log, sh, l->from));
    err_t err = OK;
    while (bytes < MISPLACED_BYTES && l->letters < MISPLACED_LETTERS &&
           (err = log_reader_next(&log, &batch, &h)) == OK) {
        look_through(l, batch, &h);
        bytes += batch_total_bytes(&h);
        next = batch_next_offset(&h);
    }
    log_reader_close(&log);
    if (err != OK && err != ERR_END)
        return err;
    *ret_next = next;
    *ret_more = err == OK;
    return OK;
}

err_t space_read_misplaced(struct space *sp, bool *ret_moved, bool *ret_more)
{
    for (unsigned k = 1; k < sp->watch_count; k++) {
        struct shard *sh = stream_shard(sp->stream, k);
        struct looking l = {
            .sp = sp, .shard = k, .from = MAX(sp->shard_cursors[k], shard_log_start(sh))};
        bool more = false;
        sp->shard_cursors[k] = l.from;
        if (l.from >= shard_high_watermark(sh))
            continue;
        int64_t next = l.from;
        err_t err = look_at_shard(&l, &next, &more);
        arena_release(&l.arena);
        TRY(err);
        sp->shard_cursors[k] = next;
        state_set_shard_cursor(sp->state, k, next);
        *ret_moved = true;
        *ret_more = *ret_more || more;
    }
    return OK;
}
