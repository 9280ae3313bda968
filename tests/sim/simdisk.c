/*
 * tests/sim/simdisk.c: the calls of struct io on the simulated disk.
 *
 * Every call passes gate(), which counts it, fails it while the power is off, injects faults, and
 * turns the power off in the middle of the chosen call: such a call takes effect wholly, partly or
 * not at all, but never reports success.
 */
#include "tests/sim/simdisk.h"

#include <stdlib.h>
#include <string.h>

#include "tests/sim/simdisk_internal.h"

#define UNREAD_GROWS_PERCENT 20 /* of unread writes; see io_file_pwritev_unread */

struct sim_file {
    struct io_file base;
    struct simdisk *disk;
    unsigned node;
    bool writable;
};

enum verdict {
    VERDICT_DO,    /* as asked */
    VERDICT_CRASH, /* the power goes off during this call */
    VERDICT_FAULT, /* an injected failure */
    VERDICT_OFF,   /* no effect */
};

static struct simdisk *disk_of(struct io *io)
{
    return CONTAINER_OF(io, struct simdisk, base);
}

static struct sim_file *file_of(struct io_file *file)
{
    return CONTAINER_OF(file, struct sim_file, base);
}

static bool is_change(enum simdisk_call call)
{
    return (call & (SIMDISK_READ | SIMDISK_OPEN | SIMDISK_LIST)) == 0;
}

static enum verdict gate(struct simdisk *d, enum simdisk_call call)
{
    if (d->off)
        return VERDICT_OFF;
    if (is_change(call)) {
        d->calls++;
        if (d->calls == d->crash_at) {
            d->off = true;
            return VERDICT_CRASH;
        }
    }
    if (d->fault.first != 0 && (d->fault.calls & call)) {
        d->fault_seen++;
        if (d->fault_seen >= d->fault.first && d->fault_seen - d->fault.first < d->fault.count)
            return VERDICT_FAULT;
    }
    return VERDICT_DO;
}

/** The error of a call that did not go well. */
static err_t verdict_err(struct simdisk *d, enum verdict verdict, const char *what,
                         const char *path)
{
    if (verdict == VERDICT_FAULT)
        return err_fail(d->fault.err, "cannot %s %s: injected fault", what, path);
    return err_fail(ERR_IO, "cannot %s %s: the power is off", what, path);
}

/** For calls without a halfway: nothing is done unless the verdict is to do it, or, by chance, when
 * the power fails during it. */
static bool takes_effect(struct simdisk *d, enum verdict verdict)
{
    return verdict == VERDICT_DO || (verdict == VERDICT_CRASH && rng_chance(&d->rng, 50));
}

static int64_t now_us(struct simdisk *d)
{
    return d->clock == NULL ? 0 : clock_wall_us(d->clock);
}

/* Names --------------------------------------------------------------------------------------- */

unsigned sim_node_new(struct simdisk *d, bool is_dir)
{
    size_t i = 0;
    while (i < d->node_count && d->nodes[i].used)
        i++;
    if (i == d->node_count) {
        if (d->node_count == d->node_cap) {
            d->node_cap = MAX(32, d->node_cap * 2);
            d->nodes = xrealloc(d->nodes, d->node_cap * sizeof(*d->nodes));
        }
        d->node_count++;
    }
    d->nodes[i] = (struct sim_node){.used = true, .is_dir = is_dir, .mtime_us = now_us(d)};
    return (unsigned)i;
}

/** Finds the directory that holds the last component of `path`, and that component. False when a
 * directory on the way is missing. */
static bool walk(struct simdisk *d, const char *path, unsigned *ret_dir, char *name, size_t cap)
{
    unsigned dir = 0;
    name[0] = '\0';
    for (const char *at = path;;) {
        at += strspn(at, "/");
        size_t len = strcspn(at, "/");
        if (len == 0)
            break;
        if (name[0] != '\0') {
            struct sim_entry *e = sim_dir_find(&d->nodes[dir].now_dir, name);
            if (e == NULL || !d->nodes[e->node].is_dir)
                return false;
            dir = e->node;
        }
        ASSERT(len < cap);
        memcpy(name, at, len);
        name[len] = '\0';
        at += len;
    }
    *ret_dir = dir;
    return true;
}

struct place {
    unsigned dir;
    char name[300];
    bool found; /* the entry exists: */
    unsigned node;
};

/** False when a directory on the way is missing. "/" is found as itself. */
static bool locate(struct simdisk *d, const char *path, struct place *p)
{
    p->found = false;
    if (!walk(d, path, &p->dir, p->name, sizeof(p->name)))
        return false;
    if (p->name[0] == '\0') {
        p->found = true;
        p->node = 0;
        return true;
    }
    struct sim_entry *e = sim_dir_find(&d->nodes[p->dir].now_dir, p->name);
    p->found = e != NULL;
    if (e != NULL)
        p->node = e->node;
    return true;
}

/** Changes the visible entries and notes the change as unsafe. */
static void move_entry(struct simdisk *d, unsigned dir, const char *from, const char *to,
                       unsigned node)
{
    struct sim_dir *now = &d->nodes[dir].now_dir;
    if (from != NULL)
        sim_dir_remove(now, from);
    if (to != NULL)
        sim_dir_set(now, to, node);
    if (d->move_count == d->move_cap) {
        d->move_cap = MAX(32, d->move_cap * 2);
        d->moves = xrealloc(d->moves, d->move_cap * sizeof(*d->moves));
    }
    d->moves[d->move_count++] = (struct sim_move){.dir = dir,
                                                  .from = from == NULL ? NULL : xstrdup(from),
                                                  .to = to == NULL ? NULL : xstrdup(to),
                                                  .node = node};
}

static void node_unlinked(struct simdisk *d, unsigned node)
{
    struct sim_node *n = &d->nodes[node];
    n->unlinked = true;
    if (n->handles == 0)
        d->used -= n->now.len;
}

/* Files --------------------------------------------------------------------------------------- */

static void push_write(struct sim_node *n, uint64_t offset, uint8_t *data, size_t len)
{
    if (n->write_count == n->write_cap) {
        n->write_cap = MAX(8, n->write_cap * 2);
        n->writes = xrealloc(n->writes, n->write_cap * sizeof(*n->writes));
    }
    n->writes[n->write_count++] = (struct sim_write){offset, len, data};
}

static void node_write(struct simdisk *d, struct sim_node *n, uint64_t offset, const void *data,
                       size_t len)
{
    if (len == 0)
        return;
    uint8_t *copy = xmalloc(len);
    memcpy(copy, data, len);
    push_write(n, offset, copy, len);
    size_t before = n->now.len;
    sim_bytes_write(&n->now, offset, data, len);
    d->used += n->now.len - before;
    n->mtime_us = now_us(d);
}

static void node_truncate(struct simdisk *d, struct sim_node *n, uint64_t size)
{
    push_write(n, size, NULL, 0);
    d->used -= n->now.len;
    sim_bytes_resize(&n->now, (size_t)size);
    d->used += n->now.len;
    n->mtime_us = now_us(d);
}

static struct io_file *handle_new(struct simdisk *d, unsigned node, const char *path, bool writable)
{
    struct sim_file *f = xmalloc(sizeof(*f));
    *f = (struct sim_file){{&sim_ops, xstrdup(path)}, d, node, writable};
    d->nodes[node].handles++;
    d->open_files++;
    return &f->base;
}

static err_t sim_open(struct io *io, const char *path, unsigned flags, struct io_file **ret_file)
{
    struct simdisk *d = disk_of(io);
    struct place p;
    bool dir_found = locate(d, path, &p);
    bool creates = dir_found && !p.found && (flags & IO_CREATE);
    bool truncates = p.found && (flags & IO_TRUNCATE);
    ASSERT((flags & IO_WRITE) || !(flags & (IO_CREATE | IO_TRUNCATE)));
    enum verdict verdict = gate(d, creates || truncates ? SIMDISK_ENTRY : SIMDISK_OPEN);
    if (!takes_effect(d, verdict))
        return verdict_err(d, verdict, "open", path);
    if (p.found && (flags & IO_EXCL) && (flags & IO_CREATE))
        return err_fail(ERR_EXISTS, "%s already exists", path);
    if (!p.found && !creates) {
        if (!dir_found && (flags & IO_CREATE))
            return err_fail(ERR_IO, "cannot open %s: its directory does not exist", path);
        return err_fail(ERR_NOT_FOUND, "%s does not exist", path);
    }
    if (creates) {
        p.node = sim_node_new(d, false);
        move_entry(d, p.dir, NULL, p.name, p.node);
    }
    if (d->nodes[p.node].is_dir)
        return err_fail(ERR_IO, "cannot open %s: it is a directory", path);
    if (truncates)
        node_truncate(d, &d->nodes[p.node], 0);
    if (verdict != VERDICT_DO)
        return verdict_err(d, verdict, "open", path);
    *ret_file = handle_new(d, p.node, path, (flags & IO_WRITE) != 0);
    return OK;
}

static void sim_close(struct io_file *base)
{
    struct sim_file *f = file_of(base);
    struct sim_node *n = &f->disk->nodes[f->node];
    n->handles--;
    f->disk->open_files--;
    if (n->handles == 0 && n->unlinked)
        f->disk->used -= n->now.len;
    free(f->base.path);
    free(f);
}

static err_t sim_pread(struct io_file *base, void *data, size_t len, uint64_t offset,
                       size_t *ret_len)
{
    struct sim_file *f = file_of(base);
    enum verdict verdict = gate(f->disk, SIMDISK_READ);
    if (verdict != VERDICT_DO)
        return verdict_err(f->disk, verdict, "read", base->path);
    struct sim_node *n = &f->disk->nodes[f->node];
    size_t got = offset < n->now.len ? MIN(len, n->now.len - (size_t)offset) : 0;
    if (got > 0)
        memcpy(data, n->now.data + offset, got);
    *ret_len = got;
    return OK;
}

/** How much of a write of `total` bytes takes place. */
static size_t write_part(struct simdisk *d, enum verdict verdict, struct sim_node *n,
                         uint64_t offset, size_t total)
{
    uint64_t room = d->budget > d->used ? d->budget - d->used : 0;
    uint64_t fits = n->now.len + room > offset ? n->now.len + room - offset : 0;
    size_t part = (size_t)MIN(fits, total);
    if (verdict == VERDICT_DO)
        return part;
    return verdict == VERDICT_OFF ? 0 : (size_t)rng_below(&d->rng, part + 1);
}

/** Zeros behind what is about to be written, as an unread write may leave them. */
static void grow_ahead(struct simdisk *d, struct sim_node *n, uint64_t end)
{
    uint64_t size = end + rng_below(&d->rng, KIB(16));
    if (size > n->now.len && d->used + (size - n->now.len) <= d->budget)
        node_truncate(d, n, size);
}

static err_t sim_pwritev(struct io_file *base, const struct iovec *iov, int count, uint64_t offset,
                         bool unread)
{
    struct sim_file *f = file_of(base);
    struct simdisk *d = f->disk;
    ASSERT(f->writable);
    size_t total = 0;
    for (int i = 0; i < count; i++)
        total += iov[i].iov_len;
    enum verdict verdict = gate(d, SIMDISK_WRITE);
    struct sim_node *n = &d->nodes[f->node];
    if (unread && verdict != VERDICT_OFF && rng_chance(&d->rng, UNREAD_GROWS_PERCENT))
        grow_ahead(d, n, offset + total);
    size_t part = write_part(d, verdict, n, offset, total);
    size_t left = part;
    for (int i = 0; i < count && left > 0; i++) {
        size_t len = MIN(left, iov[i].iov_len);
        node_write(d, n, offset, iov[i].iov_base, len);
        offset += len;
        left -= len;
    }
    if (verdict != VERDICT_DO)
        return verdict_err(d, verdict, "write", base->path);
    if (part < total)
        return err_fail(ERR_NO_SPACE, "cannot write %s: no space left", base->path);
    return OK;
}

static err_t sim_zero(struct io_file *base, uint64_t offset, size_t len)
{
    static char zeros[IO_ZERO_MAX];
    struct iovec iov = {zeros, len};
    return sim_pwritev(base, &iov, 1, offset, true);
}

static err_t sim_truncate(struct io_file *base, uint64_t size)
{
    struct sim_file *f = file_of(base);
    struct simdisk *d = f->disk;
    ASSERT(f->writable);
    enum verdict verdict = gate(d, SIMDISK_TRUNCATE);
    if (takes_effect(d, verdict))
        node_truncate(d, &d->nodes[f->node], size);
    return verdict == VERDICT_DO ? OK : verdict_err(d, verdict, "set the size of", base->path);
}

/** A sync that does nothing and says OK. */
static err_t swallow(struct simdisk *d, const char *path)
{
    if (d->off)
        return verdict_err(d, VERDICT_OFF, "sync", path);
    if (rng_chance(&d->rng, sim_site_crash_percent()))
        d->crash_at = d->calls + 1 + rng_below(&d->rng, 12);
    return OK;
}

static void make_safe(struct sim_node *n)
{
    for (size_t i = 0; i < n->write_count; i++)
        sim_write_apply(&n->safe, &n->writes[i]);
    sim_node_drop_writes(n);
}

/** Reads of the first `end` bytes show what the disk has; the size, which the inode holds, stays.
 */
static void evict(struct sim_node *n, uint64_t end)
{
    size_t gone = (size_t)MIN((uint64_t)n->now.len, end), same = MIN(gone, n->safe.len);
    if (same > 0)
        memcpy(n->now.data, n->safe.data, same);
    if (gone > same)
        memset(n->now.data + same, 0, gone - same);
}

/** Linux after a failed write-back: the pages are clean, whatever of them reached the disk. Sooner
 * or later they are evicted ("fsyncgate", 2018). The size is metadata and is still to be written.
 */
static void fail_sync(struct simdisk *d, struct sim_node *n)
{
    sim_file_lose(n, &d->rng);
    if (rng_chance(&d->rng, 30))
        evict(n, UINT64_MAX);
    if (n->now.len != n->safe.len)
        push_write(n, n->now.len, NULL, 0);
}

static void sim_drop_cache(struct io_file *base, uint64_t end)
{
    struct sim_file *f = file_of(base);
    struct sim_node *n = &f->disk->nodes[f->node];
    if (!f->disk->off && n->write_count == 0)
        evict(n, end);
}

static err_t sim_sync(struct io_file *base)
{
    struct sim_file *f = file_of(base);
    struct simdisk *d = f->disk;
    if (sim_site_swallows(__builtin_frame_address(0), false))
        return swallow(d, base->path);
    enum verdict verdict = gate(d, SIMDISK_SYNC);
    struct sim_node *n = &d->nodes[f->node];
    if (takes_effect(d, verdict))
        make_safe(n);
    else if (verdict == VERDICT_FAULT)
        fail_sync(d, n);
    return verdict == VERDICT_DO ? OK : verdict_err(d, verdict, "sync", base->path);
}

static err_t sim_size(struct io_file *base, uint64_t *ret_size)
{
    struct sim_file *f = file_of(base);
    enum verdict verdict = gate(f->disk, SIMDISK_LIST);
    if (verdict != VERDICT_DO)
        return verdict_err(f->disk, verdict, "stat", base->path);
    *ret_size = f->disk->nodes[f->node].now.len;
    return OK;
}

static int sim_fd(struct io_file *base UNUSED)
{
    return -1;
}

/* Entries ------------------------------------------------------------------------------------- */

static err_t sim_rename(struct io *io, const char *from, const char *to)
{
    struct simdisk *d = disk_of(io);
    enum verdict verdict = gate(d, SIMDISK_ENTRY);
    if (!takes_effect(d, verdict))
        return verdict_err(d, verdict, "rename", from);
    struct place a;
    struct place b;
    if (!locate(d, from, &a) || !a.found || !locate(d, to, &b))
        return err_fail(ERR_IO, "cannot rename %s to %s: no such file or directory", from, to);
    if (b.found && b.node != a.node) {
        if (d->nodes[b.node].is_dir)
            return err_fail(ERR_IO, "cannot rename %s to %s: a directory is there", from, to);
        node_unlinked(d, b.node);
    }
    if (a.dir == b.dir && strcmp(a.name, b.name) != 0) {
        move_entry(d, a.dir, a.name, b.name, a.node);
    } else if (a.dir != b.dir) {
        move_entry(d, b.dir, NULL, b.name, a.node);
        move_entry(d, a.dir, a.name, NULL, 0);
    }
    return verdict == VERDICT_DO ? OK : verdict_err(d, verdict, "rename", from);
}

static err_t remove_entry(struct simdisk *d, const char *path, bool is_dir)
{
    enum verdict verdict = gate(d, SIMDISK_ENTRY);
    if (!takes_effect(d, verdict))
        return verdict_err(d, verdict, "remove", path);
    struct place p;
    if (!locate(d, path, &p) || !p.found)
        return err_fail(ERR_NOT_FOUND, "%s does not exist", path);
    struct sim_node *n = &d->nodes[p.node];
    if (n->is_dir != is_dir || n->now_dir.count > 0)
        return err_fail(ERR_IO, "cannot remove %s: of another kind or not empty", path);
    move_entry(d, p.dir, p.name, NULL, 0);
    if (!is_dir)
        node_unlinked(d, p.node);
    return verdict == VERDICT_DO ? OK : verdict_err(d, verdict, "remove", path);
}

static err_t sim_unlink(struct io *io, const char *path)
{
    return remove_entry(disk_of(io), path, false);
}

static err_t sim_rmdir(struct io *io, const char *path)
{
    return remove_entry(disk_of(io), path, true);
}

static err_t sim_mkdir(struct io *io, const char *path)
{
    struct simdisk *d = disk_of(io);
    enum verdict verdict = gate(d, SIMDISK_ENTRY);
    if (!takes_effect(d, verdict))
        return verdict_err(d, verdict, "create the directory", path);
    struct place p;
    if (!locate(d, path, &p))
        return err_fail(ERR_IO, "cannot create the directory %s: no such directory", path);
    if (p.found)
        return err_fail(ERR_EXISTS, "%s already exists", path);
    move_entry(d, p.dir, NULL, p.name, sim_node_new(d, true));
    return verdict == VERDICT_DO ? OK : verdict_err(d, verdict, "create the directory", path);
}

static void make_dir_safe(struct simdisk *d, unsigned dir)
{
    size_t kept = 0;
    for (size_t i = 0; i < d->move_count; i++) {
        if (d->moves[i].dir == dir) {
            sim_move_apply(d, &d->moves[i]);
            sim_move_free(&d->moves[i]);
        } else {
            d->moves[kept++] = d->moves[i];
        }
    }
    d->move_count = kept;
}

static err_t sim_sync_dir(struct io *io, const char *path)
{
    struct simdisk *d = disk_of(io);
    if (sim_site_swallows(__builtin_frame_address(0), true))
        return swallow(d, path);
    enum verdict verdict = gate(d, SIMDISK_SYNC_DIR);
    struct place p;
    if (!takes_effect(d, verdict))
        return verdict_err(d, verdict, "sync", path);
    if (!locate(d, path, &p) || !p.found || !d->nodes[p.node].is_dir)
        return err_fail(ERR_NOT_FOUND, "there is no directory %s", path);
    make_dir_safe(d, p.node);
    return verdict == VERDICT_DO ? OK : verdict_err(d, verdict, "sync", path);
}

static err_t sim_list(struct io *io, const char *path, io_list_fn fn, void *arg)
{
    struct simdisk *d = disk_of(io);
    enum verdict verdict = gate(d, SIMDISK_LIST);
    if (verdict != VERDICT_DO)
        return verdict_err(d, verdict, "list", path);
    struct place p;
    if (!locate(d, path, &p) || !p.found || !d->nodes[p.node].is_dir)
        return err_fail(ERR_NOT_FOUND, "%s does not exist", path);
    /* A copy: the callback may change the directory. */
    size_t count = d->nodes[p.node].now_dir.count;
    char **names = xcalloc(count + 1, sizeof(*names));
    for (size_t i = 0; i < count; i++)
        names[i] = xstrdup(d->nodes[p.node].now_dir.entries[i].name);
    err_t err = OK;
    for (size_t i = 0; i < count && err == OK; i++)
        err = fn(arg, names[i]);
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return err;
}

static err_t sim_stat(struct io *io, const char *path, struct io_stat *ret_stat)
{
    struct simdisk *d = disk_of(io);
    enum verdict verdict = gate(d, SIMDISK_LIST);
    if (verdict != VERDICT_DO)
        return verdict_err(d, verdict, "stat", path);
    struct place p;
    if (!locate(d, path, &p) || !p.found)
        return err_fail(ERR_NOT_FOUND, "%s does not exist", path);
    const struct sim_node *n = &d->nodes[p.node];
    *ret_stat = (struct io_stat){n->now.len, n->mtime_us, n->is_dir};
    return OK;
}

static bool sim_cache_is_dear(struct io *io UNUSED)
{
    return true;
}

static err_t sim_free_bytes(struct io *io, const char *path UNUSED, uint64_t *ret_bytes)
{
    struct simdisk *d = disk_of(io);
    if (d->off)
        return verdict_err(d, VERDICT_OFF, "stat the file system of", path);
    *ret_bytes = d->budget > d->used ? MIN(d->budget - d->used, (uint64_t)1 << 50) : 0;
    return OK;
}

const struct io_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .pread = sim_pread,
    .pwritev = sim_pwritev,
    .zero = sim_zero,
    .truncate = sim_truncate,
    .sync = sim_sync,
    .size = sim_size,
    .drop_cache = sim_drop_cache,
    .fd = sim_fd,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .mkdir = sim_mkdir,
    .rmdir = sim_rmdir,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
    .stat = sim_stat,
    .free_bytes = sim_free_bytes,
    .cache_is_dear = sim_cache_is_dear,
};
