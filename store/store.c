/*
 * store/store.c: a directory as an object store.
 *
 * I1. An object's bytes are synced before its name is: written as "<dir>/.tmp-<pid>-<n>", synced,
 *     renamed inside its directory, the directory synced. A crash leaves the old object or the
 *     new one.
 *
 * I2. Each directory on the way is durable before an object is committed into it: made and its
 *     parent synced by the first store_create of this handle that uses it, also when it was there
 *     already (the process that made it may have died before its sync).
 *
 * I3. Names that begin with a dot are never objects: store_list hides them, and store_open for
 *     writing removes those that a dead process left.
 *
 * I4. What store_get gives to a handle for writing is durable: its directory is synced with the
 *     first read. A process that died, or whose sync failed, may have left a name that a power cut
 *     takes back; whoever read it would build on it (remove the files that it no longer names).
 */
#include "store/store.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "store/path.h"

#define READ_BYTES KIB(256)
#define TEMP_PREFIX ".tmp-"
#define LEVELS_MAX 16 /* of directories; the store's own are four deep */
#define DIR_BUCKETS 1024

/** A directory, relative to the root. */
struct store_dir {
    struct store_dir *next; /* of the same bucket */
    char *path;
    bool durable; /* I2 holds for it */
    bool settled; /* I4: no name in it awaits a sync that somebody else has begun */
};

struct store {
    struct io *io;
    char *url;  /* as given */
    char *root; /* the directory */
    bool writable;
    struct lock lock;
    struct store_dir *dirs[DIR_BUCKETS]; /* those that were used: a few per collection */
};

struct store_writer {
    struct store *store;
    char *path; /* relative */
    char *temp; /* full */
    struct io_file *file;
    struct hash128_stream *hash;
    struct buf pending; /* not yet written to the file */
    uint64_t written;
};

struct store_object {
    struct io_file *file;
    uint64_t size;
};

/* Writable handles of this process: while there are any, its temporary files are in use. */
static _Atomic unsigned writable_handles;
static _Atomic uint64_t next_temp;

/* Opening ------------------------------------------------------------------------------------- */

/** Whether "<pid>-<n>" names a file that nobody is writing. */
static bool temp_is_dead(const char *owner)
{
    char *end;
    errno = 0;
    long pid = strtol(owner, &end, 10);
    if (errno != 0 || end == owner || *end != '-' || pid <= 0)
        return false; /* not ours */
    if (pid == (long)getpid())
        return atomic_load(&writable_handles) == 0;
    return kill((pid_t)pid, 0) != 0 && errno == ESRCH;
}

struct names {
    char **items;
    size_t count;
};

static err_t names_add(void *arg, const char *name)
{
    struct names *n = arg;
    n->items = xrealloc(n->items, (n->count + 1) * sizeof(*n->items));
    n->items[n->count++] = xstrdup(name);
    return OK;
}

static void names_release(struct names *n)
{
    for (size_t i = 0; i < n->count; i++)
        free(n->items[i]);
    free(n->items);
    *n = (struct names){0};
}

/** Removes what dead writers left in `dir` and below. Not synced: what comes back after a crash is
 * removed by the next start. */
static err_t sweep(struct io *io, const char *dir, int levels)
{
    CLEANUP(names_release) struct names names = {0};
    TRY(io_list(io, dir, names_add, &names));
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", dir, name);
        if (strncmp(name, TEMP_PREFIX, sizeof(TEMP_PREFIX) - 1) == 0) {
            if (temp_is_dead(name + sizeof(TEMP_PREFIX) - 1)) {
                err_t err = io_unlink(io, path);
                if (err != OK && err != ERR_NOT_FOUND)
                    return err;
            }
            continue;
        }
        struct io_stat st;
        err_t err = io_stat(io, path, &st);
        if (err == ERR_NOT_FOUND)
            continue;
        TRY(err);
        if (st.is_dir && levels > 1)
            TRY(sweep(io, path, levels - 1));
    }
    return OK;
}

/** Makes the directory and its parents, durably. */
static err_t make_root(struct io *io, const char *root)
{
    struct io_stat st;
    err_t err = io_stat(io, root, &st);
    if (err == OK && !st.is_dir)
        return err_fail(ERR_IO, "%s is not a directory", root);
    if (err != OK && err != ERR_NOT_FOUND)
        return err;
    const char *slash = strrchr(root, '/');
    if (err == ERR_NOT_FOUND && slash != NULL && slash != root) {
        CLEANUP(xfree_ptr) char *parent = xstrndup(root, (size_t)(slash - root));
        TRY(make_root(io, parent));
    }
    return io_mkdir_durable(io, root);
}

err_t store_open(struct io *io, const char *url, bool writable, struct store **ret_store)
{
    CLEANUP(xfree_ptr) char *root = NULL;
    TRY(store_url_directory(url, &root));
    struct io_stat st;
    if (writable) {
        TRY(make_root(io, root));
        TRY(sweep(io, root, LEVELS_MAX));
    } else {
        TRY(io_stat(io, root, &st));
        if (!st.is_dir)
            return err_fail(ERR_NOT_FOUND, "%s is not a directory", root);
    }
    struct store *s = xcalloc(1, sizeof(*s));
    s->io = io;
    s->url = xstrdup(url);
    s->root = TAKE(root);
    s->writable = writable;
    lock_init(&s->lock, LOCK_RANK_LEAF);
    if (writable)
        atomic_fetch_add(&writable_handles, 1);
    *ret_store = s;
    return OK;
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    if (s->writable)
        atomic_fetch_sub(&writable_handles, 1);
    for (size_t i = 0; i < DIR_BUCKETS; i++) {
        for (struct store_dir *d = s->dirs[i], *next; d != NULL; d = next) {
            next = d->next;
            free(d->path);
            free(d);
        }
    }
    lock_destroy(&s->lock);
    free(s->root);
    free(s->url);
    free(s);
}

const char *store_url(const struct store *s)
{
    return s->url;
}

/* Paths --------------------------------------------------------------------------------------- */

static err_t full_path(const struct store *s, const char *path, char **ret)
{
    TRY(store_path_check(path));
    *ret = xasprintf("%s/%s", s->root, path);
    return OK;
}

static char *dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? xstrdup("") : xstrndup(path, (size_t)(slash - path));
}

/** The directory's entry, made where there is none. */
static struct store_dir *find_dir(struct store *s, const char *path) LOCK_REQUIRES(&s->lock)
{
    struct store_dir **bucket = &s->dirs[hash64(path, strlen(path)) % DIR_BUCKETS];
    for (struct store_dir *d = *bucket; d != NULL; d = d->next)
        if (strcmp(d->path, path) == 0)
            return d;
    struct store_dir *d = xcalloc(1, sizeof(*d));
    *d = (struct store_dir){.next = *bucket, .path = xstrdup(path)};
    *bucket = d;
    return d;
}

static struct store_dir look_at_dir(struct store *s, const char *path)
{
    lock_acquire(&s->lock);
    struct store_dir dir = *find_dir(s, path);
    lock_release(&s->lock);
    return dir;
}

/** I2. */
static err_t make_dirs(struct store *s, const char *dir)
{
    if (*dir == '\0' || look_at_dir(s, dir).durable)
        return OK;
    CLEANUP(xfree_ptr) char *parent = dir_of(dir);
    TRY(make_dirs(s, parent));
    CLEANUP(xfree_ptr) char *full = xasprintf("%s/%s", s->root, dir);
    TRY(io_mkdir_durable(s->io, full));
    lock_acquire(&s->lock);
    find_dir(s, dir)->durable = true;
    lock_release(&s->lock);
    return OK;
}

/** Makes the names in the directory of `path` durable. */
static err_t sync_dir_of(struct store *s, const char *path)
{
    CLEANUP(xfree_ptr) char *dir = dir_of(path);
    CLEANUP(xfree_ptr) char *full = xasprintf("%s/%s", s->root, path);
    err_t err = io_sync_parent(s->io, full);
    lock_acquire(&s->lock);
    find_dir(s, dir)->settled = err == OK;
    lock_release(&s->lock);
    return err;
}

/** I4. */
static err_t settle_dir_of(struct store *s, const char *path)
{
    CLEANUP(xfree_ptr) char *dir = dir_of(path);
    return !s->writable || look_at_dir(s, dir).settled ? OK : sync_dir_of(s, path);
}

/* Writing ------------------------------------------------------------------------------------- */

static void writer_free(struct store_writer *w)
{
    io_file_close(w->file);
    hash128_stream_free(w->hash);
    buf_release(&w->pending);
    free(w->path);
    free(w->temp);
    free(w);
}

err_t store_create(struct store *s, const char *path, struct store_writer **ret_writer)
{
    TRY(store_path_check(path));
    if (!s->writable)
        return err_fail(ERR_USAGE, "the store %s is open for reading only", s->url);
    CLEANUP(xfree_ptr) char *dir = dir_of(path);
    TRY(make_dirs(s, dir));
    CLEANUP(xfree_ptr)
    char *temp = xasprintf("%s/%s%s" TEMP_PREFIX "%ld-%llu", s->root, dir, *dir == '\0' ? "" : "/",
                           (long)getpid(), (unsigned long long)atomic_fetch_add(&next_temp, 1));
    struct io_file *file;
    TRY(io_open(s->io, temp, IO_WRITE | IO_CREATE | IO_EXCL, &file));
    struct store_writer *w = xcalloc(1, sizeof(*w));
    w->store = s;
    w->path = xstrdup(path);
    w->temp = TAKE(temp);
    w->file = file;
    w->hash = hash128_stream_new();
    *ret_writer = w;
    return OK;
}

static err_t write_out(struct store_writer *w, const void *data, size_t len)
{
    TRY(io_file_pwrite(w->file, data, len, w->written));
    w->written += len;
    return OK;
}

err_t store_write(struct store_writer *w, const void *data, size_t len)
{
    if (len == 0)
        return OK;
    hash128_stream_add(w->hash, data, len);
    if (w->pending.len + len < READ_BYTES) {
        buf_append(&w->pending, data, len);
        return OK;
    }
    if (w->pending.len > 0) {
        TRY(write_out(w, w->pending.data, w->pending.len));
        buf_clear(&w->pending);
    }
    if (len < READ_BYTES) {
        buf_append(&w->pending, data, len);
        return OK;
    }
    return write_out(w, data, len);
}

void store_writer_hash(const struct store_writer *w, char out[HASH128_TEXT])
{
    hash128_format(hash128_stream_value(w->hash), out);
}

uint64_t store_writer_size(const struct store_writer *w)
{
    return w->written + w->pending.len;
}

static err_t commit(struct store_writer *w, bool replace)
{
    struct store *s = w->store;
    if (w->pending.len > 0)
        TRY(write_out(w, w->pending.data, w->pending.len));
    TRY(io_file_sync(w->file));
    CLEANUP(xfree_ptr) char *full = xasprintf("%s/%s", s->root, w->path);
    bool found = false;
    if (!replace)
        TRY(io_find(s->io, full, &found));
    if (found)
        return err_fail(ERR_EXISTS, "%s already exists", full);
    TRY(io_rename(s->io, w->temp, full));
    free(TAKE(w->temp)); /* it has its name now */
    return sync_dir_of(s, w->path);
}

err_t store_commit(struct store_writer *w, bool replace)
{
    err_t err = commit(w, replace);
    if (err == OK)
        writer_free(w);
    else
        store_discard(w);
    return err;
}

void store_discard(struct store_writer *w)
{
    if (w == NULL)
        return;
    struct err_detail kept = *err_last(); /* what failed before is what the caller wants to tell */
    io_file_close(TAKE(w->file));
    if (w->temp != NULL && io_unlink(w->store->io, w->temp) != OK && kept.code != OK)
        (void)err_record(kept.code, 0, kept.file, kept.line, "%s", kept.text);
    writer_free(w);
}

err_t store_put(struct store *s, const char *path, const void *data, size_t len, bool replace)
{
    struct store_writer *w;
    TRY(store_create(s, path, &w));
    err_t err = store_write(w, data, len);
    if (err == OK)
        return store_commit(w, replace);
    store_discard(w);
    return err;
}

/* Reading ------------------------------------------------------------------------------------- */

err_t store_get(struct store *s, const char *path, size_t max_bytes, struct buf *out)
{
    CLEANUP(xfree_ptr) char *full = NULL;
    TRY(full_path(s, path, &full));
    CLEANUP(xfree_ptr) char *data = NULL;
    size_t len;
    TRY(io_read_file(s->io, full, max_bytes, &data, &len));
    TRY(settle_dir_of(s, path));
    buf_append(out, data, len);
    return OK;
}

err_t store_object_open(struct store *s, const char *path, struct store_object **ret)
{
    CLEANUP(xfree_ptr) char *full = NULL;
    TRY(full_path(s, path, &full));
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    uint64_t size;
    TRY(io_open(s->io, full, IO_READ, &file));
    TRY(io_file_size(file, &size));
    struct store_object *o = xmalloc(sizeof(*o));
    *o = (struct store_object){TAKE(file), size};
    *ret = o;
    return OK;
}

uint64_t store_object_size(const struct store_object *o)
{
    return o->size;
}

err_t store_object_read(struct store_object *o, uint64_t at, void *out, size_t len)
{
    if (at > o->size || len > o->size - at)
        return err_fail(ERR_CORRUPT, "%s is %llu bytes long; %zu bytes at %llu were wanted",
                        o->file->path, (unsigned long long)o->size, len, (unsigned long long)at);
    return io_file_pread_all(o->file, out, len, at);
}

static err_t hash_range(struct store_object *o, uint64_t at, uint64_t len,
                        struct hash128_stream *hash)
{
    CLEANUP(xfree_ptr) char *piece = xmalloc(READ_BYTES);
    while (len > 0) {
        size_t n = (size_t)MIN(len, READ_BYTES);
        TRY(store_object_read(o, at, piece, n));
        hash128_stream_add(hash, piece, n);
        at += n;
        len -= n;
    }
    return OK;
}

err_t store_object_hash(struct store_object *o, uint64_t at, uint64_t len, char out[HASH128_TEXT])
{
    struct hash128_stream *hash = hash128_stream_new();
    err_t err = hash_range(o, at, len, hash);
    if (err == OK)
        hash128_format(hash128_stream_value(hash), out);
    hash128_stream_free(hash);
    return err;
}

void store_object_close(struct store_object *o)
{
    if (o == NULL)
        return;
    io_file_close(o->file);
    free(o);
}

/* Directories --------------------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

err_t store_list(struct store *s, const char *dir,
                 void (*fn)(void *arg, const char *name, bool is_dir), void *arg)
{
    CLEANUP(xfree_ptr) char *full = NULL;
    if (*dir == '\0')
        full = xstrdup(s->root);
    else
        TRY(full_path(s, dir, &full));
    CLEANUP(names_release) struct names names = {0};
    err_t err = io_list(s->io, full, names_add, &names);
    if (err == ERR_NOT_FOUND)
        return OK;
    TRY(err);
    if (names.count > 1)
        qsort(names.items, names.count, sizeof(*names.items), by_name);
    for (size_t i = 0; i < names.count; i++) {
        if (names.items[i][0] == '.')
            continue;
        CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", full, names.items[i]);
        struct io_stat st;
        err = io_stat(s->io, path, &st);
        if (err == ERR_NOT_FOUND)
            continue; /* removed since it was listed */
        TRY(err);
        fn(arg, names.items[i], st.is_dir);
    }
    return OK;
}

err_t store_remove(struct store *s, const char *path)
{
    CLEANUP(xfree_ptr) char *full = NULL;
    TRY(full_path(s, path, &full));
    if (!s->writable)
        return err_fail(ERR_USAGE, "the store %s is open for reading only", s->url);
    err_t err = io_unlink(s->io, full);
    if (err != OK && err != ERR_NOT_FOUND)
        return err;
    /* Also when it was absent: another removal may have lost its sync. */
    err = sync_dir_of(s, path);
    return err == ERR_NOT_FOUND ? OK : err;
}
