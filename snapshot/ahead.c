#include "snapshot/ahead.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/lock.h"

#define BLOCKS 4
#define BLOCK_BYTES KIB(256)
#define BLOCK_ROWS 2048

/** A document in a block: id and doc lie behind each other in its bytes. */
struct block_row {
    size_t at;
    size_t id_len, doc_len;
    int64_t lsn, ts_us;
};

struct block {
    struct buf bytes;
    struct block_row rows[BLOCK_ROWS];
    size_t count;
};

struct ahead {
    ahead_next_fn next;
    void *arg;
    pthread_t thread;

    struct lock lock; /* guards what follows, up to the blank line */
    struct lock_cond changed;
    uint64_t made, taken; /* blocks; the maker has blocks[made % BLOCKS], the taker [taken % …] */
    bool ended, stopped;
    err_t err;      /* with `ended`: ERR_END or what went wrong … */
    char text[512]; /* … in these words: err_last is a thread's own */

    struct block blocks[BLOCKS];
    size_t row; /* the taker's, in its block */
    bool has_block;
};

/** Fills a block; what ends the stream comes behind its last row. */
static err_t fill(struct ahead *a, struct block *b)
{
    struct state_doc doc;
    b->count = 0;
    buf_clear(&b->bytes);
    while (b->count < BLOCK_ROWS && b->bytes.len < BLOCK_BYTES) {
        TRY(a->next(a->arg, &doc));
        b->rows[b->count++] = (struct block_row){.at = b->bytes.len,
                                                 .id_len = doc.id.len,
                                                 .doc_len = doc.doc.len,
                                                 .lsn = doc.lsn,
                                                 .ts_us = doc.ts_us};
        buf_append_slice(&b->bytes, doc.id);
        buf_append_slice(&b->bytes, doc.doc);
    }
    return OK;
}

/** Waits for a free block; false when nobody takes any more. */
static bool wait_for_room(struct ahead *a)
{
    lock_acquire(&a->lock);
    while (!a->stopped && a->made - a->taken == BLOCKS)
        lock_cond_wait(&a->changed, &a->lock);
    bool go_on = !a->stopped;
    lock_release(&a->lock);
    return go_on;
}

static void *run(void *arg)
{
    struct ahead *a = arg;
    err_t err = OK;
    while (err == OK && wait_for_room(a)) {
        err = fill(a, &a->blocks[a->made % BLOCKS]);
        lock_acquire(&a->lock);
        a->made++;
        if (err != OK) {
            a->ended = true;
            a->err = err;
            snprintf(a->text, sizeof(a->text), "%s", err == ERR_END ? "" : err_text(err));
        }
        lock_cond_signal(&a->changed);
        lock_release(&a->lock);
    }
    return NULL;
}

static void ahead_free(struct ahead *a)
{
    for (size_t i = 0; i < BLOCKS; i++)
        buf_release(&a->blocks[i].bytes);
    lock_cond_destroy(&a->changed);
    lock_destroy(&a->lock);
    free(a);
}

struct ahead *ahead_start(ahead_next_fn next, void *arg)
{
    struct ahead *a = xcalloc(1, sizeof(*a));
    a->next = next;
    a->arg = arg;
    lock_init(&a->lock, LOCK_RANK_LEAF);
    lock_cond_init(&a->changed);
    if (pthread_create(&a->thread, NULL, run, a) != 0) {
        ahead_free(a);
        return NULL;
    }
    return a;
}

/** Gives the used block back and waits for the next one. */
static err_t take_block(struct ahead *a)
{
    err_t err = OK;
    lock_acquire(&a->lock);
    if (a->has_block) {
        a->taken++;
        lock_cond_signal(&a->changed);
    }
    while (a->made == a->taken && !a->ended)
        lock_cond_wait(&a->changed, &a->lock);
    a->has_block = a->made != a->taken;
    if (!a->has_block)
        err = a->err;
    lock_release(&a->lock);
    a->row = 0;
    if (err != OK && err != ERR_END)
        return err_fail(err, "%s", a->text);
    return err;
}

err_t ahead_next(struct ahead *a, struct state_doc *ret)
{
    const struct block *b = &a->blocks[a->taken % BLOCKS];
    while (!a->has_block || a->row == b->count) {
        TRY(take_block(a));
        b = &a->blocks[a->taken % BLOCKS];
    }
    const struct block_row *row = &b->rows[a->row++];
    const char *bytes = b->bytes.data + row->at;
    *ret = (struct state_doc){.id = {bytes, row->id_len},
                              .doc = {bytes + row->id_len, row->doc_len},
                              .lsn = row->lsn,
                              .ts_us = row->ts_us};
    return OK;
}

void ahead_stop(struct ahead *a)
{
    if (a == NULL)
        return;
    lock_acquire(&a->lock);
    a->stopped = true;
    lock_cond_signal(&a->changed);
    lock_release(&a->lock);
    pthread_join(a->thread, NULL);
    ahead_free(a);
}
