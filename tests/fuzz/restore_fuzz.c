/*
 * tests/fuzz/restore_fuzz.c: the body of a restore. What is accepted has one target or an undo, and
 * its description, which goes into events, is a body that means the same. Input: the body.
 * Covers: snapshot/ask.c
 */
#include <stdlib.h>
#include <string.h>

#include "snapshot/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ids(const struct restore_filter *f)
{
    ASSERT((f->ids != NULL) == (f->id_count > 0));
    for (size_t i = 1; i < f->id_count; i++)
        ASSERT(slice_compare(f->ids[i - 1], f->ids[i]) < 0);
}

static void check_same(const struct restore_ask *a, const struct restore_ask *b)
{
    ASSERT(a->has_target == b->has_target && a->has_undo == b->has_undo);
    ASSERT(a->target.kind == b->target.kind && a->target.exclusive == b->target.exclusive);
    ASSERT(a->target.value == b->target.value);
    ASSERT((a->target.name == NULL) == (b->target.name == NULL));
    ASSERT(a->target.name == NULL || strcmp(a->target.name, b->target.name) == 0);
    ASSERT(a->filter.undo_from == b->filter.undo_from && a->filter.undo_to == b->filter.undo_to);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct restore_ask ask;
    struct restore_ask again;
    struct buf text = BUF_INIT;
    if (restore_ask_read((struct slice){(const char *)data, size}, &ask) != OK)
        return 0;
    ASSERT(ask.has_target != ask.has_undo);
    ASSERT(!ask.has_undo ||
           (ask.filter.undo_from >= 0 && ask.filter.undo_from <= ask.filter.undo_to));
    check_ids(&ask.filter);
    restore_ask_describe(&ask, &text);
    err_t err = restore_ask_read(buf_slice(&text), &again);
    ASSERT(err == OK);
    check_same(&ask, &again);
    restore_ask_release(&again);
    restore_ask_release(&ask);
    buf_release(&text);
    return 0;
}
