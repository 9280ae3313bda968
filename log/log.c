/*
 * log/log.c: the data directory: its format file, its streams, opening and closing.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/logger.h"
#include "log/shard.h"

#define FORMAT_VERSION 1
#define FORMAT_MAX_BYTES KIB(64)
#define CHECKPOINT_BYTES MIB(64)
#define CREATING_PREFIX ".creating-"

bool log_stream_name_valid(const char *name, size_t len)
{
    if (len < 1 || len > LIMIT_STREAM_NAME || (len == 1 && name[0] == '.') ||
        (len == 2 && name[0] == '.' && name[1] == '.'))
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
        if (!good)
            return false;
    }
    return true;
}

/* The format file ----------------------------------------------------------------------------- */

static err_t format_create(struct io *io, const char *path)
{
    uint8_t id[16];
    if (getrandom(id, sizeof(id), 0) != (ssize_t)sizeof(id))
        return err_fail(ERR_IO, "the system gave no random bytes");
    CLEANUP(buf_release) struct buf text = BUF_INIT;
    buf_printf(&text, "spillway data directory\nversion=%d\nid=", FORMAT_VERSION);
    for (size_t i = 0; i < sizeof(id); i++)
        buf_printf(&text, "%02x", id[i]);
    /* Every data directory of the installation; this one is the only one so far. */
    buf_append_str(&text, "\ndirs=");
    for (size_t i = 0; i < sizeof(id); i++)
        buf_printf(&text, "%02x", id[i]);
    buf_append_char(&text, '\n');
    buf_printf(&text, "crc=%08x\n", crc32c(0, text.data, text.len));
    return io_replace(io, path, text.data, text.len);
}

static err_t format_check(struct io *io, const char *path)
{
    CLEANUP(xfree_ptr) char *text = NULL;
    size_t len;
    TRY(io_read_file(io, path, FORMAT_MAX_BYTES, &text, &len));
    int version;
    unsigned crc;
    if (sscanf(text, "spillway data directory\nversion=%d\n", &version) != 1)
        return err_fail(ERR_CORRUPT, "%s is not the format file of a spillway data directory",
                        path);
    if (version > FORMAT_VERSION)
        return err_fail(ERR_CORRUPT,
                        "%s says layout version %d; this program knows up to %d: use a newer one",
                        path, version, FORMAT_VERSION);
    const char *crc_line = strstr(text, "\ncrc=");
    if (crc_line == NULL || sscanf(crc_line, "\ncrc=%x\n", &crc) != 1 ||
        crc != crc32c(0, text, (size_t)(crc_line + 1 - text)))
        return err_fail(ERR_CORRUPT, "%s is damaged: its checksum does not fit", path);
    return OK;
}

/** A fresh directory gets the format file last: where it is present, data/log is too. */
static err_t datadir_open(struct log *log)
{
    struct io *io = log->options.io;
    CLEANUP(xfree_ptr) char *format = xasprintf("%s/format", log->data_dir);
    TRY(io_mkdir_durable(io, log->data_dir));
    bool has_log;
    bool has_format;
    TRY(io_find(io, log->log_dir, &has_log));
    TRY(io_find(io, format, &has_format));
    if (has_format) {
        TRY(format_check(io, format));
        if (!has_log)
            return err_fail(ERR_CORRUPT, "%s is missing although %s exists: is a disk not mounted?",
                            log->log_dir, format);
        /* A start that was killed may have renamed it into place and not synced. */
        return io_sync_dir(io, log->data_dir);
    }
    if (!has_log)
        TRY(io_mkdir(io, log->log_dir));
    TRY(io_sync_dir(io, log->data_dir));
    return format_create(io, format);
}

/* Streams ------------------------------------------------------------------------------------- */

const char *stream_name(const struct stream *s)
{
    return s->name;
}

bool stream_is_namespace(const struct stream *s)
{
    return s->is_namespace;
}

unsigned stream_shard_count(const struct stream *s)
{
    return s->shard_count;
}

struct shard *stream_shard(struct stream *s, unsigned k)
{
    ASSERT(k < s->shard_count);
    return s->shards[k];
}

void stream_set_user(struct stream *s, void *user)
{
    atomic_store_explicit(&s->user, user, memory_order_release);
}

void *stream_user(const struct stream *s)
{
    return atomic_load_explicit(&s->user, memory_order_acquire);
}

static struct stream *stream_new(struct log *log, const char *name)
{
    static const char suffix[] = ".events";
    struct stream *s = xcalloc(1, sizeof(*s));
    size_t len = strlen(name);
    s->log = log;
    s->name = xstrdup(name);
    s->dir = xasprintf("%s/%s", log->log_dir, name);
    s->is_namespace =
        strcmp(name, "events") == 0 ||
        (len >= sizeof(suffix) && strcmp(name + len - (sizeof(suffix) - 1), suffix) == 0);
    return s;
}

static void stream_close(struct stream *s, bool abandon)
{
    for (unsigned i = 0; i < s->shard_count; i++)
        shard_close(s->shards[i], abandon);
    free(s->shards);
    free(s->dir);
    free(s->name);
    free(s);
}

static err_t stream_open_shards(struct stream *s, unsigned count)
{
    s->shards = xcalloc(count, sizeof(struct shard *));
    for (unsigned i = 0; i < count; i++) {
        TRY(shard_open(s->log, s, i, &s->shards[i]));
        s->shard_count++;
    }
    return OK;
}

/** Where `name` is or belongs in the sorted list. The lock is held. */
static size_t stream_place(const struct log *log, const char *name, bool *ret_found)
{
    size_t low = 0, high = log->stream_count;
    *ret_found = false;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(log->streams[middle]->name, name);
        if (order == 0) {
            *ret_found = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void stream_insert(struct log *log, struct stream *s)
{
    bool found;
    lock_acquire(&log->lock);
    size_t at = stream_place(log, s->name, &found);
    ASSERT(!found);
    if (log->stream_count == log->stream_cap) {
        log->stream_cap = log->stream_cap == 0 ? 16 : log->stream_cap * 2;
        log->streams = xrealloc(log->streams, log->stream_cap * sizeof(struct stream *));
    }
    memmove(log->streams + at + 1, log->streams + at,
            (log->stream_count - at) * sizeof(struct stream *));
    log->streams[at] = s;
    log->stream_count++;
    lock_release(&log->lock);
}

struct stream *log_find_stream(struct log *log, const char *name, size_t len)
{
    if (!log_stream_name_valid(name, len))
        return NULL;
    char text[LIMIT_STREAM_NAME + 1];
    memcpy(text, name, len);
    text[len] = '\0';
    bool found;
    lock_acquire(&log->lock);
    size_t at = stream_place(log, text, &found);
    struct stream *s = found ? log->streams[at] : NULL;
    lock_release(&log->lock);
    return s;
}

void log_each_stream(struct log *log, void (*fn)(void *arg, struct stream *s), void *arg)
{
    /* A copy, so that fn may take time; streams live as long as the log. */
    lock_acquire(&log->lock);
    size_t count = log->stream_count;
    CLEANUP(xfree_ptr) struct stream **list = xcalloc(count + 1, sizeof(struct stream *));
    if (count > 0)
        memcpy(list, log->streams, count * sizeof(struct stream *));
    lock_release(&log->lock);
    for (size_t i = 0; i < count; i++)
        fn(arg, list[i]);
}

/* Creating a stream: built under a name that no start takes for a stream, then renamed. */

struct tree {
    struct io *io;
    const char *dir;
};

static err_t remove_entry(void *arg, const char *name)
{
    struct tree *tree = arg;
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", tree->dir, name);
    struct io_stat st;
    TRY(io_stat(tree->io, path, &st));
    if (!st.is_dir)
        return io_unlink(tree->io, path);
    struct tree inner = {tree->io, path};
    TRY(io_list(tree->io, path, remove_entry, &inner));
    return io_rmdir(tree->io, path);
}

static err_t remove_tree(struct io *io, const char *dir)
{
    struct tree tree = {io, dir};
    TRY(io_list(io, dir, remove_entry, &tree));
    return io_rmdir(io, dir);
}

/** Removes what stands under a temporary name, if anything. It may have had a stream's name before:
 * that it lost that one is made durable first, for a start must not meet a part of a stream. */
static err_t remove_leftover(struct log *log, const char *temp)
{
    struct io *io = log->options.io;
    bool found;
    TRY(io_find(io, temp, &found));
    if (!found)
        return OK;
    TRY(io_sync_dir(io, log->log_dir));
    return remove_tree(io, temp);
}

/** Takes away a stream whose creation failed at its last sync: it was not promised and may have
 * another number of shards. */
static err_t discard(struct log *log, const char *dir, const char *temp)
{
    bool found;
    TRY(io_find(log->options.io, dir, &found));
    if (!found)
        return OK;
    TRY(io_rename(log->options.io, dir, temp));
    return remove_leftover(log, temp);
}

static err_t create_files(struct log *log, const char *name, unsigned shards)
{
    struct io *io = log->options.io;
    CLEANUP(xfree_ptr) char *temp = xasprintf("%s/%s0", log->log_dir, CREATING_PREFIX);
    CLEANUP(xfree_ptr) char *dir = xasprintf("%s/%s", log->log_dir, name);
    TRY(remove_leftover(log, temp));
    TRY(discard(log, dir, temp));
    TRY(io_mkdir(io, temp));
    for (unsigned i = 0; i < shards; i++) {
        CLEANUP(xfree_ptr) char *shard_dir = xasprintf("%s/%u", temp, i);
        TRY(shard_create_files(io, shard_dir));
    }
    TRY(io_sync_dir(io, temp));
    TRY(io_rename(io, temp, dir));
    return io_sync_dir(io, log->log_dir);
}

static err_t create_locked(struct log *log, const char *name, unsigned shards,
                           struct stream **ret_stream)
{
    if (log_find_stream(log, name, strlen(name)) != NULL)
        return err_fail(ERR_EXISTS, "stream %s already exists", name);
    if (log->stream_count >= LIMIT_STREAMS)
        return err_fail(ERR_VALIDATION, "there are %d streams already", LIMIT_STREAMS);
    TRY(create_files(log, name, shards));
    struct stream *s = stream_new(log, name);
    err_t err = stream_open_shards(s, shards);
    if (err != OK) {
        stream_close(s, true);
        return err;
    }
    stream_insert(log, s);
    *ret_stream = s;
    return OK;
}

err_t log_create_stream(struct log *log, const char *name, unsigned shards,
                        struct stream **ret_stream)
{
    if (!log_stream_name_valid(name, strlen(name)))
        return err_fail(ERR_INVALID_TOPIC,
                        "a stream name has 1 to %d characters of A-Z a-z 0-9 . _ -",
                        LIMIT_STREAM_NAME);
    if (shards < 1 || shards > LIMIT_SHARDS)
        return err_fail(ERR_VALIDATION, "a stream has 1 to %d partitions, not %u", LIMIT_SHARDS,
                        shards);
    lock_acquire(&log->create_lock);
    err_t err = create_locked(log, name, shards, ret_stream);
    lock_release(&log->create_lock);
    if (err == OK && log->on_create != NULL)
        log->on_create(log->on_create_arg, *ret_stream);
    return err;
}

void log_on_create(struct log *log, void (*fn)(void *arg, struct stream *s), void *arg)
{
    log->on_create = fn;
    log->on_create_arg = arg;
}

/* Opening and closing ------------------------------------------------------------------------- */

struct shard_numbers {
    unsigned char seen[LIMIT_SHARDS];
    unsigned count;
};

static err_t count_shard(void *arg, const char *name)
{
    struct shard_numbers *n = arg;
    char *end;
    unsigned long k = strtoul(name, &end, 10);
    if (name[0] >= '0' && name[0] <= '9' && *end == '\0' && k < LIMIT_SHARDS) {
        n->seen[k] = 1;
        if (k + 1 > n->count)
            n->count = (unsigned)k + 1;
    }
    return OK;
}

static err_t open_stream(void *arg, const char *name)
{
    struct log *log = arg;
    CLEANUP(xfree_ptr) char *dir = xasprintf("%s/%s", log->log_dir, name);
    if (strncmp(name, CREATING_PREFIX, strlen(CREATING_PREFIX)) == 0)
        return remove_leftover(log, dir);
    struct io_stat st;
    TRY(io_stat(log->options.io, dir, &st));
    if (!log_stream_name_valid(name, strlen(name)) || !st.is_dir) {
        LOG_WARN("not_a_stream", F("path", dir), F("next", "passing over it"));
        return OK;
    }
    struct shard_numbers numbers = {0};
    TRY(io_list(log->options.io, dir, count_shard, &numbers));
    for (unsigned i = 0; i < numbers.count; i++) {
        if (!numbers.seen[i])
            return err_fail(ERR_CORRUPT, "%s: the directory of shard %u is missing", dir, i);
    }
    if (numbers.count == 0)
        return err_fail(ERR_CORRUPT, "%s: the stream has no shards", dir);
    struct stream *s = stream_new(log, name);
    err_t err = stream_open_shards(s, numbers.count);
    if (err != OK) {
        stream_close(s, true);
        return err;
    }
    stream_insert(log, s);
    return OK;
}

static void log_free(struct log *log, bool abandon)
{
    for (size_t i = 0; i < log->stream_count; i++)
        stream_close(log->streams[i], abandon);
    free(log->streams);
    lock_destroy(&log->lock);
    lock_destroy(&log->create_lock);
    free(log->log_dir);
    free(log->data_dir);
    free(log);
}

static void seal_leftovers(void *arg UNUSED, struct stream *s)
{
    for (unsigned i = 0; i < s->shard_count; i++)
        shard_seal_leftovers(s->shards[i]);
}

err_t log_open(const struct log_options *options, struct log **ret_log)
{
    ASSERT(options->segment_bytes >= LIMIT_SEGMENT_MIN_BYTES);
    struct log *log = xcalloc(1, sizeof(*log));
    log->options = *options;
    log->data_dir = xstrdup(options->data_dir);
    log->log_dir = xasprintf("%s/log", options->data_dir);
    log->options.data_dir = log->data_dir;
    if (log->options.checkpoint_bytes == 0)
        log->options.checkpoint_bytes = CHECKPOINT_BYTES;
    lock_init(&log->create_lock, LOCK_RANK_CREATE);
    lock_init(&log->lock, LOCK_RANK_LOG);
    err_t err = datadir_open(log);
    if (err == OK)
        err = io_list(log->options.io, log->log_dir, open_stream, log);
    /* A stream whose creation was cut between the rename and its sync exists for readers from now
     * on. */
    if (err == OK)
        err = io_sync_dir(log->options.io, log->log_dir);
    if (err != OK) {
        log_free(log, true);
        return err;
    }
    log_each_stream(log, seal_leftovers, NULL);
    *ret_log = log;
    return OK;
}

void log_close(struct log *log)
{
    log_free(log, false);
}

void log_abandon(struct log *log)
{
    log_free(log, true);
}
