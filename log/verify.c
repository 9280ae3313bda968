#include "log/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "log/listing.h"
#include "log/shard.h"

/* One file ------------------------------------------------------------------------------------ */

err_t log_scan_open(struct log_scan *s, struct io *io, const char *path)
{
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    uint64_t size;
    TRY(io_open(io, path, IO_READ, &file));
    TRY(io_file_size(file, &size));
    *s = (struct log_scan){.file = TAKE(file), .file_size = size};
    return OK;
}

void log_scan_close(struct log_scan *s)
{
    io_file_close(TAKE(s->file));
    buf_release(&s->batch);
}

/** The end of what is not zero in [from, file_size). */
static err_t used_end(struct log_scan *s, uint64_t from, uint64_t *ret_end)
{
    size_t step = MIB(1);
    *ret_end = from;
    for (uint64_t at = from; at < s->file_size; at += step) {
        size_t got;
        buf_clear(&s->batch);
        char *data = buf_reserve(&s->batch, step);
        TRY(io_file_pread(s->file, data, step, at, &got));
        for (size_t i = 0; i < got; i++) {
            if (data[i] != 0)
                *ret_end = at + i + 1;
        }
        if (got < step)
            break;
    }
    return OK;
}

/** What stands at the position is no batch: the end, or a fault with its sentence. */
static err_t not_a_batch(struct log_scan *s, err_t fault)
{
    CLEANUP(xfree_ptr) char *text = xstrdup(err_text(fault));
    uint64_t end;
    TRY(used_end(s, s->position, &end));
    if (end == s->position)
        return ERR_END;
    return err_fail(ERR_CORRUPT_MESSAGE, "%s", text);
}

err_t log_scan_next(struct log_scan *s, const uint8_t **ret_batch, struct batch_header *ret_header)
{
    uint64_t left = s->file_size - s->position;
    struct batch_header h;
    if (left == 0)
        return ERR_END;
    if (left < BATCH_HEADER_BYTES)
        return not_a_batch(s, err_fail(ERR_CORRUPT_MESSAGE, "the file ends inside a batch header"));
    buf_clear(&s->batch);
    char *data = buf_reserve(&s->batch, BATCH_HEADER_BYTES);
    TRY(io_file_pread_all(s->file, data, BATCH_HEADER_BYTES, s->position));
    err_t err = batch_header_parse(data, BATCH_HEADER_BYTES, &h);
    if (err == OK && batch_total_bytes(&h) > left)
        err = err_fail(ERR_CORRUPT_MESSAGE, "the file ends inside a batch");
    if (err != OK)
        return not_a_batch(s, err);
    size_t total = batch_total_bytes(&h);
    data = buf_reserve(&s->batch, total);
    TRY(io_file_pread_all(s->file, data, total, s->position));
    err = batch_check(data, total, &h);
    if (err != OK)
        return not_a_batch(s, err);
    s->position += total;
    *ret_batch = (const uint8_t *)data;
    *ret_header = h;
    return OK;
}

/* One shard ----------------------------------------------------------------------------------- */

struct verify {
    struct io *io;
    const struct log_verify_ops *ops;
    const char *data_dir;
    uint64_t done_bytes, all_bytes;
    unsigned damage;
    struct log_verify_shard shard; /* the one being looked at */
    struct recovery_point point;
    bool has_point;
};

static void report(struct verify *v, const char *path, uint64_t position, const char *text)
{
    v->damage++;
    v->shard.damage++;
    v->ops->on_damage(v->ops->arg, path, position, text);
}

static void progress(struct verify *v, uint64_t bytes)
{
    v->done_bytes += bytes;
    if (v->ops->on_progress != NULL)
        v->ops->on_progress(v->ops->arg, v->done_bytes, v->all_bytes);
}

/** Whether each entry of the .index file speaks of a batch that is there; `batches` is what was
 * seen. */
struct seen_batch {
    uint32_t position;
    uint32_t last_relative;
};

static bool index_fits(struct verify *v, const char *dir, int64_t base, const struct buf *seen)
{
    CLEANUP(xfree_ptr) char *path = segment_path(dir, base, ".index");
    CLEANUP(xfree_ptr) char *data = NULL;
    size_t len;
    if (io_read_file(v->io, path, MIB(64), &data, &len) != OK)
        return true; /* not written yet */
    const struct seen_batch *batches = (const struct seen_batch *)(const void *)seen->data;
    size_t count = seen->len / sizeof(*batches), k = 0;
    bool good = len % INDEX_ENTRY_BYTES == 0;
    for (size_t at = 0; good && at + INDEX_ENTRY_BYTES <= len; at += INDEX_ENTRY_BYTES) {
        uint32_t relative = load_u32(data + at), position = load_u32(data + at + 4);
        while (k < count && batches[k].position < position)
            k++;
        good = k < count && batches[k].position == position && batches[k].last_relative == relative;
    }
    return good;
}

/** How far bytes of this segment are promised: beyond, a bad end is no damage. */
static uint64_t promised_until(const struct verify *v, int64_t base, bool last)
{
    if (!last)
        return UINT64_MAX;
    return v->has_point && v->point.segment_base == base ? v->point.position : 0;
}

/** Whether the next start would call this end damage, and it is not a group that was being written
 * when it was read first. */
static bool is_damage(const struct verify *v, struct log_scan *s)
{
    bool damage;
    const uint8_t *batch;
    struct batch_header h;
    return recovery_tail_is_damage(s->file, s->file_size, s->position, v->shard.next_offset,
                                   &damage) == OK &&
           damage && (log_scan_next(s, &batch, &h) != OK || h.base_offset != v->shard.next_offset);
}

static void settle_end(struct verify *v, struct log_scan *s, const char *path, bool last,
                       int64_t base, int64_t next_base, err_t err)
{
    CLEANUP(xfree_ptr) char *text = xstrdup(err == ERR_END ? "" : err_text(err));
    if (!last && v->shard.next_offset == next_base)
        return; /* a segment ends where the next one begins */
    if (!last) {
        char why[320];
        snprintf(why, sizeof(why), "offsets %lld to %lld are missing%s%s",
                 (long long)v->shard.next_offset, (long long)next_base - 1,
                 text[0] == '\0' ? "" : ": ", text);
        report(v, path, s->position, why);
        v->shard.next_offset = next_base;
        return;
    }
    if (s->position < promised_until(v, base, last)) {
        report(v, path, s->position,
               text[0] == '\0' ? "batches that were durable are missing" : text);
        return;
    }
    if (err != ERR_END && is_damage(v, s)) {
        report(v, path, s->position, text);
        return;
    }
    uint64_t end = s->position;
    if (err != ERR_END && used_end(s, s->position, &end) == OK)
        v->shard.tail_bytes = end - s->position;
}

static err_t verify_segment(struct verify *v, const char *dir, int64_t base, bool last,
                            int64_t next_base)
{
    CLEANUP(xfree_ptr) char *path = segment_path(dir, base, ".log");
    CLEANUP(buf_release) struct buf seen = BUF_INIT;
    struct log_scan s;
    TRY(log_scan_open(&s, v->io, path));
    err_t err;
    const uint8_t *batch;
    struct batch_header h;
    uint64_t at = 0;
    while ((err = log_scan_next(&s, &batch, &h)) == OK) {
        if (h.base_offset != v->shard.next_offset) {
            s.position = at;
            err = err_fail(ERR_CORRUPT_MESSAGE, "a batch has offset %lld where %lld is expected",
                           (long long)h.base_offset, (long long)v->shard.next_offset);
            break;
        }
        struct seen_batch b = {(uint32_t)at, (uint32_t)(batch_next_offset(&h) - 1 - base)};
        buf_append(&seen, &b, sizeof(b));
        v->shard.next_offset = batch_next_offset(&h);
        v->shard.batches++;
        v->shard.bytes += s.position - at;
        progress(v, s.position - at);
        at = s.position;
    }
    if (err == ERR_END || err == ERR_CORRUPT_MESSAGE) {
        settle_end(v, &s, path, last, base, next_base, err);
        err = OK;
    }
    log_scan_close(&s);
    TRY(err);
    v->shard.segments++;
    if (!index_fits(v, dir, base, &seen))
        v->shard.index_faults++;
    return OK;
}

/** Whether the segment of the recovery point may be absent: one that held nothing durable can be,
 * after a fault and a crash; the next start makes it again (log/shard_open.c). */
static bool point_segment_may_be_absent(const struct verify *v, const struct listing *l)
{
    return v->point.position == 0 &&
           (l->log_count == 0 ? v->point.next_offset == 0
                              : l->logs[l->log_count - 1] < v->point.segment_base);
}

static err_t verify_shard(struct verify *v, const char *dir, const char *stream, unsigned index)
{
    struct listing l = {0};
    v->shard = (struct log_verify_shard){.stream = stream, .shard = index};
    v->has_point = recovery_point_read(v->io, dir, &v->point) == OK;
    err_t err = listing_read(v->io, dir, &l);
    bool used = v->has_point ? !point_segment_may_be_absent(v, &l)
                             : l.index_count > 0 || l.state_count > 0 || l.cut_count > 0;
    if (err == OK && l.log_count == 0 && used)
        report(v, dir, 0, "the shard has no segment");
    if (l.log_count > 0)
        v->shard.first_offset = v->shard.next_offset = l.logs[0];
    if (v->has_point && l.log_count > 0 &&
        !listing_has(l.logs, l.log_count, v->point.segment_base) &&
        !point_segment_may_be_absent(v, &l))
        report(v, dir, 0, "the segment that held the last durable batches is missing");
    v->shard.cut_files = l.cut_count;
    for (size_t i = 0; i < l.log_count && err == OK; i++) {
        bool last = i + 1 == l.log_count;
        err = verify_segment(v, dir, l.logs[i], last, last ? -1 : l.logs[i + 1]);
    }
    listing_release(&l);
    if (err == OK)
        v->ops->on_shard(v->ops->arg, &v->shard);
    return err;
}

/* The directory ------------------------------------------------------------------------------- */

static err_t push_name(void *arg, const char *name)
{
    if (name[0] != '.')
        buf_append(arg, name, strlen(name) + 1);
    return OK;
}

/** Calls fn for each name in the directory. */
static err_t each_name(struct io *io, const char *dir,
                       err_t (*fn)(void *, const char *, const char *), void *arg)
{
    CLEANUP(buf_release) struct buf names = BUF_INIT;
    TRY(io_list(io, dir, push_name, &names));
    for (size_t at = 0; at < names.len; at += strlen(names.data + at) + 1) {
        CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", dir, names.data + at);
        TRY(fn(arg, path, names.data + at));
    }
    return OK;
}

static err_t add_size(void *arg, const char *path, const char *name)
{
    struct verify *v = arg;
    struct io_stat st;
    size_t len = strlen(name);
    if (len > 4 && strcmp(name + len - 4, ".log") == 0 && io_stat(v->io, path, &st) == OK)
        v->all_bytes += st.size_bytes;
    return OK;
}

struct stream_walk {
    struct verify *v;
    const char *stream;
    bool sizes;
};

static err_t walk_shard(void *arg, const char *path, const char *name)
{
    struct stream_walk *w = arg;
    char *end;
    unsigned long index = strtoul(name, &end, 10);
    if (*end != '\0' || index >= LIMIT_SHARDS)
        return OK;
    if (w->sizes)
        return each_name(w->v->io, path, add_size, w->v);
    return verify_shard(w->v, path, w->stream, (unsigned)index);
}

struct dir_walk {
    struct verify *v;
    const char *only;
    bool sizes;
    bool found;
};

static err_t walk_stream(void *arg, const char *path, const char *name)
{
    struct dir_walk *d = arg;
    if (d->only != NULL && strcmp(d->only, name) != 0)
        return OK;
    d->found = true;
    struct stream_walk w = {d->v, name, d->sizes};
    return each_name(d->v->io, path, walk_shard, &w);
}

err_t log_verify(struct io *io, const char *data_dir, const char *only_stream,
                 const struct log_verify_ops *ops, unsigned *ret_damage)
{
    struct verify v = {.io = io, .ops = ops, .data_dir = data_dir};
    CLEANUP(xfree_ptr) char *log_dir = xasprintf("%s/log", data_dir);
    if (!io_exists(io, log_dir))
        return err_fail(ERR_NOT_FOUND, "%s is no spillway data directory: %s does not exist",
                        data_dir, log_dir);
    struct dir_walk d = {.v = &v, .only = only_stream, .sizes = true};
    TRY(each_name(io, log_dir, walk_stream, &d));
    if (only_stream != NULL && !d.found)
        return err_fail(ERR_NOT_FOUND, "%s has no stream %s", data_dir, only_stream);
    d.sizes = false;
    TRY(each_name(io, log_dir, walk_stream, &d));
    *ret_damage = v.damage;
    return OK;
}

err_t log_each_segment_file(struct io *io, const char *data_dir, const char *stream, unsigned shard,
                            err_t (*fn)(void *arg, const char *path, int64_t base_offset),
                            void *arg)
{
    CLEANUP(xfree_ptr) char *dir = xasprintf("%s/log/%s/%u", data_dir, stream, shard);
    struct listing l = {0};
    err_t err = io_exists(io, dir) ? listing_read(io, dir, &l)
                                   : err_fail(ERR_NOT_FOUND, "%s does not exist", dir);
    for (size_t i = 0; i < l.log_count && err == OK; i++) {
        CLEANUP(xfree_ptr) char *path = segment_path(dir, l.logs[i], ".log");
        err = fn(arg, path, l.logs[i]);
    }
    listing_release(&l);
    return err;
}
