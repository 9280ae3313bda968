/*
 * tests/sim/simdisk_crash.c: what a power cut leaves.
 *
 * Files: writes since the last sync form an ordered list. The page cache holds, for each sector,
 * the result of the first t of them, and writes it back at some time: so every sector (512 bytes or
 * 4 KiB, by seed) independently survives as of a time t of its own, 0 = nothing of it, or is torn
 * between two times, or holds garbage in the bytes that were written. The size survives as of a
 * time of its own too, so a file can have grown without its data (zeros), and data without growth
 * is cut. Bytes that were safe are never touched (as SQLite's "powersafe overwrite").
 *
 * Entries: the journal survives as a prefix, or as any subset in which a change is kept only with
 * all earlier changes of the same names.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/simdisk_internal.h"

#define SECTOR_MAX 4096

enum loss {
    LOSE_ALL,
    LOSE_NOTHING,
    LOSE_SUFFIX,  /* everything as of one time */
    LOSE_SECTORS, /* each sector by itself */
    LOSS_KINDS,
};

static size_t size_at_time(const struct sim_node *n, size_t time)
{
    size_t size = n->safe.len;
    for (size_t i = 0; i < time; i++) {
        const struct sim_write *w = &n->writes[i];
        if (w->data == NULL)
            size = (size_t)w->offset;
        else
            size = MAX(size, (size_t)w->offset + w->len);
    }
    return size;
}

static void copy_overlap(uint8_t *out, uint64_t start, size_t len, const struct sim_write *w)
{
    uint64_t from = MAX(start, w->offset);
    uint64_t to = MIN(start + len, w->offset + w->len);
    if (from < to)
        memcpy(out + (from - start), w->data + (from - w->offset), (size_t)(to - from));
}

/** The sector's bytes after the first `time` writes, of which truncations count before `meta`. */
static void sector_at_time(const struct sim_node *n, uint64_t start, size_t len, size_t time,
                           size_t meta, uint8_t *out)
{
    memset(out, 0, len);
    if (start < n->safe.len)
        memcpy(out, n->safe.data + start, MIN(len, n->safe.len - (size_t)start));
    for (size_t i = 0; i < n->write_count; i++) {
        const struct sim_write *w = &n->writes[i];
        if (w->data != NULL && i < time)
            copy_overlap(out, start, len, w);
        else if (w->data != NULL || i >= meta)
            continue;
        else if (w->offset <= start)
            memset(out, 0, len);
        else if (w->offset < start + len)
            memset(out + (w->offset - start), 0, (size_t)(start + len - w->offset));
    }
}

static bool write_touches(const struct sim_write *w, uint64_t start, size_t len)
{
    if (w->data == NULL)
        return w->offset < start + len;
    return w->offset < start + len && w->offset + w->len > start;
}

/** A time at which something happened to this sector, or 0. */
static size_t sector_time(const struct sim_node *n, uint64_t start, size_t len, struct rng *rng)
{
    unsigned roll = (unsigned)rng_below(rng, 4);
    if (roll == 0)
        return 0;
    if (roll <= 2)
        return n->write_count;
    size_t time = rng_below(rng, n->write_count + 1);
    while (time > 0 && !write_touches(&n->writes[time - 1], start, len))
        time--;
    return time;
}

static void garble(const struct sim_node *n, uint64_t start, size_t len, uint8_t *out,
                   struct rng *rng)
{
    const struct sim_write *w = &n->writes[rng_below(rng, n->write_count)];
    if (w->data == NULL)
        return;
    uint64_t from = MAX(start, w->offset);
    uint64_t to = MIN(start + len, w->offset + w->len);
    for (uint64_t i = from; i < to; i++)
        out[i - start] = (uint8_t)rng_next(rng);
}

struct sector_plan {
    size_t bytes;
    size_t meta; /* the time as of which the size survives */
    unsigned tear_percent;
    unsigned garble_percent;
};

static void lose_sector(const struct sim_node *n, struct sim_bytes *out, uint64_t start,
                        const struct sector_plan *plan, struct rng *rng)
{
    uint8_t one[SECTOR_MAX];
    uint8_t two[SECTOR_MAX];
    sector_at_time(n, start, plan->bytes, sector_time(n, start, plan->bytes, rng), plan->meta, one);
    if (rng_chance(rng, plan->tear_percent)) {
        sector_at_time(n, start, plan->bytes, sector_time(n, start, plan->bytes, rng), plan->meta,
                       two);
        size_t at = rng_below(rng, plan->bytes);
        memcpy(one + at, two + at, plan->bytes - at);
    }
    if (rng_chance(rng, plan->garble_percent))
        garble(n, start, plan->bytes, one, rng);
    if (start < out->len)
        memcpy(out->data + start, one, MIN(plan->bytes, out->len - (size_t)start));
}

static bool sector_dirty(const struct sim_node *n, uint64_t start, size_t len)
{
    for (size_t i = 0; i < n->write_count; i++)
        if (write_touches(&n->writes[i], start, len))
            return true;
    return false;
}

static void lose_sectors(struct sim_node *n, struct rng *rng)
{
    struct sector_plan plan = {
        .bytes = rng_chance(rng, 50) ? 512 : 4096,
        /* Half the time as of the end, so that data can be seen at all. */
        .meta = rng_chance(rng, 50) ? n->write_count : rng_below(rng, n->write_count + 1),
        .tear_percent = rng_chance(rng, 50) ? 20 : 0,
        .garble_percent = rng_chance(rng, 25) ? 10 : 0,
    };
    struct sim_bytes out = {0};
    sim_bytes_resize(&out, size_at_time(n, plan.meta));
    if (out.len > 0 && n->safe.len > 0)
        memcpy(out.data, n->safe.data, MIN(out.len, n->safe.len));
    for (uint64_t start = 0; start < out.len; start += plan.bytes)
        if (sector_dirty(n, start, plan.bytes))
            lose_sector(n, &out, start, &plan, rng);
    free(n->safe.data);
    n->safe = out;
}

void sim_file_lose(struct sim_node *n, struct rng *rng)
{
    if (n->write_count == 0)
        return;
    switch ((enum loss)rng_below(rng, LOSS_KINDS)) {
    case LOSE_ALL:
        break;
    case LOSE_NOTHING:
        for (size_t i = 0; i < n->write_count; i++)
            sim_write_apply(&n->safe, &n->writes[i]);
        break;
    case LOSE_SUFFIX: {
        size_t kept = rng_below(rng, n->write_count + 1);
        for (size_t i = 0; i < kept; i++)
            sim_write_apply(&n->safe, &n->writes[i]);
        break;
    }
    case LOSE_SECTORS:
    case LOSS_KINDS:
        lose_sectors(n, rng);
        break;
    }
    sim_node_drop_writes(n);
}

static bool same_name(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool depends(const struct sim_move *later, const struct sim_move *earlier)
{
    return later->dir == earlier->dir &&
           (same_name(later->from, earlier->from) || same_name(later->from, earlier->to) ||
            same_name(later->to, earlier->from) || same_name(later->to, earlier->to));
}

static void lose_moves_subset(struct simdisk *d, struct rng *rng)
{
    bool *dropped = xcalloc(d->move_count + 1, sizeof(*dropped));
    for (size_t i = 0; i < d->move_count; i++) {
        dropped[i] = rng_chance(rng, 50);
        for (size_t j = 0; j < i; j++)
            dropped[i] = dropped[i] || (dropped[j] && depends(&d->moves[i], &d->moves[j]));
        if (!dropped[i])
            sim_move_apply(d, &d->moves[i]);
    }
    free(dropped);
}

static void lose_moves(struct simdisk *d, struct rng *rng)
{
    size_t kept = 0;
    switch ((enum loss)rng_below(rng, LOSS_KINDS)) {
    case LOSE_ALL:
        break;
    case LOSE_NOTHING:
        kept = d->move_count;
        break;
    case LOSE_SUFFIX:
        kept = rng_below(rng, d->move_count + 1);
        break;
    case LOSE_SECTORS:
    case LOSS_KINDS:
        lose_moves_subset(d, rng);
        break;
    }
    for (size_t i = 0; i < kept; i++)
        sim_move_apply(d, &d->moves[i]);
    for (size_t i = 0; i < d->move_count; i++)
        sim_move_free(&d->moves[i]);
    d->move_count = 0;
}

static void node_free_contents(struct sim_node *n)
{
    sim_node_drop_writes(n);
    sim_dir_clear(&n->now_dir);
    sim_dir_clear(&n->safe_dir);
    free(n->now_dir.entries);
    free(n->safe_dir.entries);
    free(n->writes);
    free(n->now.data);
    free(n->safe.data);
    *n = (struct sim_node){0};
}

/** The visible state becomes the safe one. */
static void node_settle(struct sim_node *n)
{
    if (n->is_dir) {
        sim_dir_clear(&n->now_dir);
        for (size_t i = 0; i < n->safe_dir.count; i++)
            sim_dir_set(&n->now_dir, n->safe_dir.entries[i].name, n->safe_dir.entries[i].node);
        return;
    }
    sim_bytes_resize(&n->now, n->safe.len);
    if (n->safe.len > 0)
        memcpy(n->now.data, n->safe.data, n->safe.len);
}

static void mark_reachable(struct simdisk *d, unsigned node, bool *marks)
{
    marks[node] = true;
    struct sim_dir *dir = &d->nodes[node].safe_dir;
    for (size_t i = 0; i < dir->count; i++)
        if (!marks[dir->entries[i].node])
            mark_reachable(d, dir->entries[i].node, marks);
}

static void cut_power(struct simdisk *d, uint64_t seed)
{
    struct rng rng = {seed};
    lose_moves(d, &rng);
    bool *marks = xcalloc(d->node_count, sizeof(*marks));
    mark_reachable(d, 0, marks);
    d->used = 0;
    for (size_t i = 0; i < d->node_count; i++) {
        struct sim_node *n = &d->nodes[i];
        if (n->used && !marks[i])
            node_free_contents(n);
        if (!n->used)
            continue;
        sim_file_lose(n, &rng);
        node_settle(n);
        n->unlinked = false;
        d->used += n->now.len;
    }
    free(marks);
}

void simdisk_restart(struct simdisk *d, enum simdisk_crash kind, uint64_t seed)
{
    ASSERT(d->open_files == 0);
    if (kind == SIMDISK_POWER_CUT)
        cut_power(d, seed);
    d->rng.state ^= seed;
    d->off = false;
    d->calls = 0;
    d->crash_at = 0;
}

void simdisk_free(struct simdisk *d)
{
    for (size_t i = 0; i < d->node_count; i++)
        node_free_contents(&d->nodes[i]);
    for (size_t i = 0; i < d->move_count; i++)
        sim_move_free(&d->moves[i]);
    free(d->moves);
    free(d->nodes);
    free(d);
}

static void bytes_copy(struct sim_bytes *to, const struct sim_bytes *from)
{
    *to = (struct sim_bytes){0};
    sim_bytes_resize(to, from->len);
    if (from->len > 0)
        memcpy(to->data, from->data, from->len);
}

static void dir_copy(struct sim_dir *to, const struct sim_dir *from)
{
    *to = (struct sim_dir){0};
    for (size_t i = 0; i < from->count; i++)
        sim_dir_set(to, from->entries[i].name, from->entries[i].node);
}

static void node_copy(struct sim_node *to, const struct sim_node *from)
{
    *to = *from;
    bytes_copy(&to->now, &from->now);
    bytes_copy(&to->safe, &from->safe);
    dir_copy(&to->now_dir, &from->now_dir);
    dir_copy(&to->safe_dir, &from->safe_dir);
    to->write_cap = from->write_count;
    to->writes = xcalloc(from->write_count + 1, sizeof(*to->writes));
    for (size_t i = 0; i < from->write_count; i++) {
        to->writes[i] = from->writes[i];
        if (from->writes[i].data != NULL) {
            to->writes[i].data = xmalloc(from->writes[i].len + 1);
            memcpy(to->writes[i].data, from->writes[i].data, from->writes[i].len);
        }
    }
}

struct simdisk *simdisk_clone(const struct simdisk *d)
{
    ASSERT(d->open_files == 0);
    struct simdisk *copy = xmalloc(sizeof(*copy));
    *copy = *d;
    copy->node_cap = d->node_count;
    copy->nodes = xcalloc(d->node_count, sizeof(*copy->nodes));
    for (size_t i = 0; i < d->node_count; i++)
        node_copy(&copy->nodes[i], &d->nodes[i]);
    copy->move_cap = d->move_count;
    copy->moves = xcalloc(d->move_count + 1, sizeof(*copy->moves));
    for (size_t i = 0; i < d->move_count; i++) {
        const struct sim_move *m = &d->moves[i];
        copy->moves[i] = *m;
        copy->moves[i].from = m->from == NULL ? NULL : xstrdup(m->from);
        copy->moves[i].to = m->to == NULL ? NULL : xstrdup(m->to);
    }
    return copy;
}
