/*
 * tests/sim/simdisk_state.c: a simulated disk and its switches; its small pieces: bytes, entries,
 * changes of both.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/simdisk_internal.h"

void sim_bytes_resize(struct sim_bytes *b, size_t len)
{
    if (len > b->cap) {
        b->cap = MAX(len, b->cap * 2);
        b->data = xrealloc(b->data, b->cap);
    }
    if (len > b->len)
        memset(b->data + b->len, 0, len - b->len);
    b->len = len;
}

void sim_bytes_write(struct sim_bytes *b, uint64_t offset, const void *data, size_t len)
{
    if (offset + len > b->len)
        sim_bytes_resize(b, (size_t)offset + len);
    if (len > 0)
        memcpy(b->data + offset, data, len);
}

void sim_write_apply(struct sim_bytes *b, const struct sim_write *w)
{
    if (w->data == NULL)
        sim_bytes_resize(b, (size_t)w->offset);
    else
        sim_bytes_write(b, w->offset, w->data, w->len);
}

void sim_node_drop_writes(struct sim_node *n)
{
    for (size_t i = 0; i < n->write_count; i++)
        free(n->writes[i].data);
    n->write_count = 0;
}

struct sim_entry *sim_dir_find(struct sim_dir *dir, const char *name)
{
    for (size_t i = 0; i < dir->count; i++)
        if (strcmp(dir->entries[i].name, name) == 0)
            return &dir->entries[i];
    return NULL;
}

void sim_dir_set(struct sim_dir *dir, const char *name, unsigned node)
{
    struct sim_entry *e = sim_dir_find(dir, name);
    if (e != NULL) {
        e->node = node;
        return;
    }
    if (dir->count == dir->cap) {
        dir->cap = MAX(8, dir->cap * 2);
        dir->entries = xrealloc(dir->entries, dir->cap * sizeof(*dir->entries));
    }
    dir->entries[dir->count++] = (struct sim_entry){xstrdup(name), node};
}

void sim_dir_remove(struct sim_dir *dir, const char *name)
{
    struct sim_entry *e = sim_dir_find(dir, name);
    if (e == NULL)
        return;
    free(e->name);
    *e = dir->entries[--dir->count];
}

void sim_dir_clear(struct sim_dir *dir)
{
    for (size_t i = 0; i < dir->count; i++)
        free(dir->entries[i].name);
    dir->count = 0;
}

void sim_move_apply(struct simdisk *d, const struct sim_move *m)
{
    struct sim_dir *safe = &d->nodes[m->dir].safe_dir;
    if (m->from != NULL)
        sim_dir_remove(safe, m->from);
    if (m->to != NULL)
        sim_dir_set(safe, m->to, m->node);
}

void sim_move_free(struct sim_move *m)
{
    free(m->from);
    free(m->to);
}

/* The disk itself ----------------------------------------------------------------------------- */

struct simdisk *simdisk_new(uint64_t seed)
{
    struct simdisk *d = xcalloc(1, sizeof(*d));
    d->base.ops = &sim_ops;
    d->rng.state = seed;
    d->budget = UINT64_MAX;
    (void)sim_node_new(d, true);
    return d;
}

struct io *simdisk_io(struct simdisk *d)
{
    return &d->base;
}

void simdisk_set_clock(struct simdisk *d, struct clock *clock)
{
    d->clock = clock;
}

void simdisk_crash_at(struct simdisk *d, uint64_t n)
{
    d->crash_at = n == 0 ? 0 : d->calls + n;
}

void simdisk_power_off(struct simdisk *d)
{
    d->off = true;
}

bool simdisk_is_off(const struct simdisk *d)
{
    return d->off;
}

uint64_t simdisk_calls(const struct simdisk *d)
{
    return d->calls;
}

unsigned simdisk_open_files(const struct simdisk *d)
{
    return d->open_files;
}

void simdisk_set_fault(struct simdisk *d, struct simdisk_fault fault)
{
    d->fault = fault;
    d->fault_seen = 0;
}

uint64_t simdisk_fault_seen(const struct simdisk *d)
{
    return d->fault_seen;
}

void simdisk_set_budget(struct simdisk *d, uint64_t bytes)
{
    d->budget = bytes;
}

uint64_t simdisk_used_bytes(const struct simdisk *d)
{
    return d->used;
}
