/*
 * catalog/vfs_share.c: locks and the wal-index of databases that several connections use at once,
 * in one process or in many: SQLite's WAL mode needs both (https://www.sqlite.org/walformat.html,
 * section 2).
 *
 * The bytes that are locked are those of SQLite's own unix VFS, so that the sqlite3 program can
 * read such a file beside us:
 *
 *     database   0x40000000 PENDING, +1 RESERVED, +2 510 bytes SHARED
 *     <db>-shm   120..127 the eight WAL locks, 128 "somebody is attached" (DMS)
 *
 * They are taken as open file description locks (fcntl(2), F_OFD_SETLK): these belong to one
 * io_file, not to the process, so two connections in one process exclude each other like two
 * processes, and closing one never drops the other's locks, which is what SQLite's unix VFS keeps
 * its inode table for. They conflict with traditional locks of other programs as they should.
 *
 * The wal-index is derived: it is built from the -wal file after a crash, so it is memory (mmap of
 * the -shm file) and not part of what must survive. Whoever attaches first empties it.
 *
 * On the simulated disk there are no descriptors: there the wal-index is memory of the process and
 * its locks are counters, both found by path; its "processes" are connections of one program.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/lock.h"
#include "catalog/vfs_priv.h"

#define PENDING_BYTE 0x40000000
#define RESERVED_BYTE (PENDING_BYTE + 1)
#define SHARED_FIRST (PENDING_BYTE + 2)
#define SHARED_BYTES 510
#define SHM_LOCKS_AT 120
#define SHM_DMS_AT (SHM_LOCKS_AT + SQLITE_SHM_NLOCK)
#define SHM_BYTES_MAX (INT64_C(1) << 30) /* far above any WAL that fits beside a log */

/** A wal-index on a simulated disk. */
struct share_node {
    struct share_node *next;
    struct io *io;
    char *path; /* owned */
    unsigned refs;
    void **regions; /* owned */
    unsigned region_count;
    int locks[SQLITE_SHM_NLOCK]; /* > 0: that many share it; -1: exclusive */
};

struct vfs_share {
    struct io_file *file; /* owned; the -shm file, NULL on a simulated disk */
    int fd;
    char **chunks; /* mapped; owned */
    unsigned chunk_count;
    size_t chunk_bytes; /* a multiple of the page size and of a region */
    struct share_node *node;
    uint8_t held_shared, held_exclusive; /* bits, of the node's locks */
};

static struct lock nodes_lock;
static struct share_node *nodes;
static pthread_once_t nodes_once = PTHREAD_ONCE_INIT;

static void init_nodes(void)
{
    lock_init(&nodes_lock, LOCK_RANK_LEAF);
}

/* Locks of a descriptor ----------------------------------------------------------------------- */

static int lock_range(int fd, short type, int64_t start, int64_t len)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
    int rc;
    do
        rc = fcntl(fd, F_OFD_SETLK, &l);
    while (rc != 0 && errno == EINTR);
    if (rc == 0)
        return SQLITE_OK;
    return errno == EAGAIN || errno == EACCES ? SQLITE_BUSY : SQLITE_IOERR_LOCK;
}

static int take_shared(int fd)
{
    /* PENDING is held for a moment only: a writer that waits for readers to leave keeps new ones
     * out. */
    int rc = lock_range(fd, F_RDLCK, PENDING_BYTE, 1);
    if (rc != SQLITE_OK)
        return rc;
    rc = lock_range(fd, F_RDLCK, SHARED_FIRST, SHARED_BYTES);
    int unlocked = lock_range(fd, F_UNLCK, PENDING_BYTE, 1);
    return rc != SQLITE_OK ? rc : unlocked;
}

static int take_exclusive(struct vfs_file *file, int fd)
{
    if (file->lock_level < SQLITE_LOCK_PENDING) {
        int rc = lock_range(fd, F_WRLCK, PENDING_BYTE, 1);
        if (rc != SQLITE_OK)
            return rc;
        file->lock_level = SQLITE_LOCK_PENDING;
    }
    return lock_range(fd, F_WRLCK, SHARED_FIRST, SHARED_BYTES);
}

/** Whether another connection has this simulated file's wal-index mapped. */
static bool others_attached(struct vfs_file *file)
{
    pthread_once(&nodes_once, init_nodes);
    bool others = false;
    lock_acquire(&nodes_lock);
    for (struct share_node *n = nodes; n != NULL && !others; n = n->next)
        others = n->io == file->vfs->io && strcmp(n->path, file->file->path) == 0 &&
                 n->refs > (file->share != NULL ? 1u : 0u);
    lock_release(&nodes_lock);
    return others;
}

int share_lock(sqlite3_file *f, int level)
{
    struct vfs_file *file = vfs_file_of(f);
    int fd = io_file_fd(file->file);
    int rc = SQLITE_OK;
    if (file->lock_level >= level)
        return SQLITE_OK;
    if (fd < 0)
        rc = level == SQLITE_LOCK_EXCLUSIVE && others_attached(file) ? SQLITE_BUSY : SQLITE_OK;
    else if (level == SQLITE_LOCK_SHARED)
        rc = take_shared(fd);
    else if (level == SQLITE_LOCK_RESERVED)
        rc = lock_range(fd, F_WRLCK, RESERVED_BYTE, 1);
    else
        rc = take_exclusive(file, fd);
    if (rc == SQLITE_OK)
        file->lock_level = level;
    return rc;
}

int share_unlock(sqlite3_file *f, int level)
{
    struct vfs_file *file = vfs_file_of(f);
    int fd = io_file_fd(file->file);
    int rc = SQLITE_OK;
    if (file->lock_level <= level)
        return SQLITE_OK;
    if (fd >= 0 && level == SQLITE_LOCK_SHARED) {
        rc = lock_range(fd, F_RDLCK, SHARED_FIRST, SHARED_BYTES);
        int unlocked = lock_range(fd, F_UNLCK, PENDING_BYTE, 2); /* RESERVED, too */
        rc = rc != SQLITE_OK ? rc : unlocked;
    } else if (fd >= 0) {
        rc = lock_range(fd, F_UNLCK, PENDING_BYTE, 2 + SHARED_BYTES);
    }
    file->lock_level = level;
    return rc == SQLITE_OK ? SQLITE_OK : SQLITE_IOERR_UNLOCK;
}

int share_check_reserved(sqlite3_file *f, int *ret_reserved)
{
    struct vfs_file *file = vfs_file_of(f);
    int fd = io_file_fd(file->file);
    *ret_reserved = file->lock_level > SQLITE_LOCK_SHARED;
    if (*ret_reserved || fd < 0)
        return SQLITE_OK;
    struct flock l = {
        .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = RESERVED_BYTE, .l_len = 1};
    if (fcntl(fd, F_OFD_GETLK, &l) != 0)
        return SQLITE_IOERR_CHECKRESERVEDLOCK;
    *ret_reserved = l.l_type != F_UNLCK;
    return SQLITE_OK;
}

bool share_has_moved(struct vfs_file *file)
{
    struct stat open_file;
    struct stat named;
    int fd = io_file_fd(file->file);
    if (fd < 0 || fstat(fd, &open_file) != 0)
        return false;
    return stat(file->file->path, &named) != 0 || named.st_ino != open_file.st_ino ||
           named.st_dev != open_file.st_dev;
}

/* Attaching ----------------------------------------------------------------------------------- */

/** Whoever is first empties what a crash may have left; then everybody holds DMS shared. */
static int attach_dms(struct vfs_file *file, struct vfs_share *s)
{
    if (lock_range(s->fd, F_WRLCK, SHM_DMS_AT, 1) == SQLITE_OK) {
        err_t err = io_file_truncate(s->file, 0);
        if (err != OK)
            return vfs_failed(file->vfs, err, SQLITE_IOERR_SHMOPEN);
    }
    return lock_range(s->fd, F_RDLCK, SHM_DMS_AT, 1);
}

static int attach_file(struct vfs_file *file, struct vfs_share *s)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s-shm", file->file->path);
    err_t err = io_open(file->vfs->io, path, IO_WRITE | IO_CREATE, &s->file);
    if (err != OK)
        return vfs_failed(file->vfs, err, SQLITE_IOERR_SHMOPEN);
    s->fd = io_file_fd(s->file);
    return attach_dms(file, s);
}

static struct share_node *node_take(struct io *io, const char *path)
{
    pthread_once(&nodes_once, init_nodes);
    lock_acquire(&nodes_lock);
    struct share_node *n = nodes;
    while (n != NULL && (n->io != io || strcmp(n->path, path) != 0))
        n = n->next;
    if (n == NULL) {
        n = xcalloc(1, sizeof(*n));
        *n = (struct share_node){.next = nodes, .io = io, .path = xstrdup(path)};
        nodes = n;
    }
    n->refs++;
    lock_release(&nodes_lock);
    return n;
}

static void node_release_locks(struct share_node *n, struct vfs_share *s)
{
    for (int i = 0; i < SQLITE_SHM_NLOCK; i++) {
        if (s->held_exclusive >> i & 1)
            n->locks[i] = 0;
        else if (s->held_shared >> i & 1)
            n->locks[i]--;
    }
    s->held_exclusive = s->held_shared = 0;
}

static void node_drop(struct share_node *n, struct vfs_share *s)
{
    lock_acquire(&nodes_lock);
    node_release_locks(n, s);
    bool last = --n->refs == 0;
    if (last) {
        struct share_node **link = &nodes;
        while (*link != n)
            link = &(*link)->next;
        *link = n->next;
    }
    lock_release(&nodes_lock);
    if (!last)
        return;
    for (unsigned i = 0; i < n->region_count; i++)
        free(n->regions[i]);
    free(n->regions);
    free(n->path);
    free(n);
}

static void share_free(struct vfs_share *s)
{
    for (unsigned i = 0; i < s->chunk_count; i++)
        (void)munmap(s->chunks[i], s->chunk_bytes);
    free(s->chunks);
    if (s->node != NULL)
        node_drop(s->node, s);
    io_file_close(s->file); /* and with it its locks */
    free(s);
}

static int attach(struct vfs_file *file, int region_bytes)
{
    struct vfs_share *s = xcalloc(1, sizeof(*s));
    s->chunk_bytes = MAX((size_t)region_bytes, (size_t)sysconf(_SC_PAGESIZE));
    s->fd = -1;
    int rc = SQLITE_OK;
    if (io_file_fd(file->file) < 0)
        s->node = node_take(file->vfs->io, file->file->path);
    else
        rc = attach_file(file, s);
    if (rc != SQLITE_OK) {
        share_free(s);
        return rc;
    }
    file->share = s;
    return SQLITE_OK;
}

/* Memory -------------------------------------------------------------------------------------- */

static void *node_region(struct share_node *n, int region, int size, bool extend)
{
    void *memory = NULL;
    lock_acquire(&nodes_lock);
    while (extend && n->region_count <= (unsigned)region) {
        n->regions = xrealloc(n->regions, (n->region_count + 1) * sizeof(*n->regions));
        n->regions[n->region_count++] = xcalloc(1, (size_t)size);
    }
    if (n->region_count > (unsigned)region)
        memory = n->regions[region];
    lock_release(&nodes_lock);
    return memory;
}

/** Makes the file at least `need` bytes long with real blocks, so that a full disk is an error here
 * and no SIGBUS later. */
static err_t grow(struct vfs_share *s, uint64_t have, uint64_t need)
{
    static const char zeros[4096];
    while (have < need) {
        size_t len = MIN(sizeof(zeros), need - have);
        TRY(io_file_pwrite(s->file, zeros, len, have));
        have += len;
    }
    return OK;
}

static int map_chunks(struct vfs_share *s, unsigned count)
{
    while (s->chunk_count < count) {
        void *at = mmap(NULL, s->chunk_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd,
                        (off_t)(s->chunk_count * s->chunk_bytes));
        if (at == MAP_FAILED)
            return SQLITE_IOERR_SHMMAP;
        s->chunks = xrealloc(s->chunks, (s->chunk_count + 1) * sizeof(*s->chunks));
        s->chunks[s->chunk_count++] = at;
    }
    return SQLITE_OK;
}

static int file_region(struct vfs_file *file, int region, int size, bool extend, void **ret_memory)
{
    struct vfs_share *s = file->share;
    size_t at = (size_t)region * (size_t)size;
    unsigned chunk = (unsigned)(at / s->chunk_bytes);
    uint64_t need = (uint64_t)(chunk + 1) * s->chunk_bytes;
    uint64_t have;
    err_t err = io_file_size(s->file, &have);
    if (err == OK && have < need) {
        if (!extend)
            return SQLITE_OK;
        err = grow(s, have, need);
    }
    if (err != OK)
        return vfs_failed(file->vfs, err, SQLITE_IOERR_SHMSIZE);
    int rc = map_chunks(s, chunk + 1);
    if (rc == SQLITE_OK)
        *ret_memory = s->chunks[chunk] + at % s->chunk_bytes;
    return rc;
}

int share_map(sqlite3_file *f, int region, int size, int extend, void volatile **ret_memory)
{
    struct vfs_file *file = vfs_file_of(f);
    void *memory = NULL;
    int rc = SQLITE_OK;
    *ret_memory = NULL;
    if (region < 0 || size <= 0 || ((int64_t)region + 1) * size > SHM_BYTES_MAX)
        return SQLITE_IOERR_SHMMAP;
    if (file->share == NULL)
        rc = attach(file, size);
    if (rc == SQLITE_OK && file->share->node != NULL)
        memory = node_region(file->share->node, region, size, extend != 0);
    else if (rc == SQLITE_OK)
        rc = file_region(file, region, size, extend != 0, &memory);
    *ret_memory = memory;
    return rc;
}

/* Its locks ----------------------------------------------------------------------------------- */

static bool node_may_lock(const struct share_node *n, const struct vfs_share *s, int i,
                          bool exclusive)
{
    int own = s->held_shared >> i & 1;
    return exclusive ? n->locks[i] == own : n->locks[i] >= 0;
}

static int node_lock(struct vfs_share *s, int first, int count, int flags)
{
    struct share_node *n = s->node;
    bool exclusive = (flags & SQLITE_SHM_EXCLUSIVE) != 0;
    int rc = SQLITE_OK;
    lock_acquire(&nodes_lock);
    for (int i = first; i < first + count && (flags & SQLITE_SHM_LOCK) != 0; i++)
        if (!node_may_lock(n, s, i, exclusive))
            rc = SQLITE_BUSY;
    for (int i = first; i < first + count && rc == SQLITE_OK; i++) {
        uint8_t bit = (uint8_t)(1u << i);
        bool held = ((s->held_shared | s->held_exclusive) & bit) != 0;
        if ((flags & SQLITE_SHM_UNLOCK) != 0 && held) {
            n->locks[i] = (s->held_exclusive & bit) != 0 ? 0 : n->locks[i] - 1;
            s->held_exclusive &= (uint8_t)~bit;
            s->held_shared &= (uint8_t)~bit;
        } else if ((flags & SQLITE_SHM_LOCK) != 0 && exclusive) {
            n->locks[i] = -1;
            s->held_shared &= (uint8_t)~bit;
            s->held_exclusive |= bit;
        } else if ((flags & SQLITE_SHM_LOCK) != 0 && !held) {
            n->locks[i]++;
            s->held_shared |= bit;
        }
    }
    lock_release(&nodes_lock);
    return rc;
}

int share_shm_lock(sqlite3_file *f, int first, int count, int flags)
{
    struct vfs_share *s = vfs_file_of(f)->share;
    if (s == NULL || first < 0 || count < 1 || first + count > SQLITE_SHM_NLOCK)
        return SQLITE_IOERR_SHMLOCK;
    if (s->node != NULL)
        return node_lock(s, first, count, flags);
    short type = F_UNLCK;
    if ((flags & SQLITE_SHM_LOCK) != 0)
        type = (flags & SQLITE_SHM_EXCLUSIVE) != 0 ? F_WRLCK : F_RDLCK;
    return lock_range(s->fd, type, SHM_LOCKS_AT + first, count);
}

void share_barrier(sqlite3_file *f UNUSED)
{
    atomic_thread_fence(memory_order_seq_cst);
}

int share_unmap(sqlite3_file *f, int delete_file)
{
    struct vfs_file *file = vfs_file_of(f);
    struct vfs_share *s = TAKE(file->share);
    if (s == NULL)
        return SQLITE_OK;
    /* SQLite asks for it only while it holds the database exclusively: nobody else is attached. */
    if (delete_file && s->file != NULL)
        (void)!io_unlink(file->vfs->io, s->file->path);
    share_free(s);
    return SQLITE_OK;
}
