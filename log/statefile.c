/*
 * log/statefile.c: the file "<offset>.state": what the writer remembers of a shard as of that
 * offset.
 *
 * magic "SPWSTATE" | version u32 (1) | CRC-32C u32 of the rest | offset i64 | length u64 | content.
 * Big-endian. The content is the writer's (writer/keys.c). A bad file is passed over for an older
 * one, or for a replay from the start.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "log/shard.h"

#define STATE_HEADER_BYTES 32
#define STATE_VERSION 1
#define STATE_MAX_BYTES MIB(512)
static const char state_magic[8] = {'S', 'P', 'W', 'S', 'T', 'A', 'T', 'E'};

static err_t state_load(struct shard *sh, int64_t offset)
{
    const struct log_options *o = &sh->log->options;
    CLEANUP(xfree_ptr) char *path = segment_path(sh->dir, offset, ".state");
    CLEANUP(xfree_ptr) char *data = NULL;
    size_t len;
    TRY(io_read_file(o->io, path, STATE_MAX_BYTES, &data, &len));
    if (len < STATE_HEADER_BYTES || memcmp(data, state_magic, sizeof(state_magic)) != 0 ||
        load_u32(data + 8) != STATE_VERSION ||
        load_u32(data + 12) != crc32c(0, data + 16, len - 16) ||
        (int64_t)load_u64(data + 16) != offset || load_u64(data + 24) != len - STATE_HEADER_BYTES)
        return err_fail(ERR_CORRUPT, "%s is not valid", path);
    return o->state.load(o->state.arg, sh, data + STATE_HEADER_BYTES, len - STATE_HEADER_BYTES);
}

static err_t replay_batch(struct shard *sh, struct log_reader *r)
{
    const struct log_options *o = &sh->log->options;
    const uint8_t *batch;
    struct batch_header h;
    TRY(log_reader_next(r, &batch, &h));
    if ((h.attributes & BATCH_ATTR_KEYED) == 0 && h.producer_id < 0)
        return OK;
    return o->state.replay(o->state.arg, sh, batch, batch_total_bytes(&h));
}

static err_t replay_from(struct shard *sh, int64_t offset)
{
    struct log_reader r;
    TRY(log_reader_open(&r, sh, offset));
    err_t err = OK;
    while (err == OK)
        err = replay_batch(sh, &r);
    log_reader_close(&r);
    return err == ERR_END ? OK : err;
}

err_t statefile_restore(struct shard *sh, const int64_t *offsets, size_t count, int64_t next_offset)
{
    if (sh->log->options.state.load == NULL)
        return OK;
    int64_t from = atomic_load(&sh->log_start);
    for (size_t i = count; i > 0; i--) {
        if (offsets[i - 1] > next_offset || offsets[i - 1] < from)
            continue;
        err_t err = state_load(sh, offsets[i - 1]);
        if (err == OK) {
            from = offsets[i - 1];
            break;
        }
        LOG_WARN("state_file_passed_over", F("shard", sh->dir), F("err", err_text(err)));
    }
    return replay_from(sh, from);
}

struct remove_older {
    struct shard *sh;
    int64_t offset;
};

static err_t remove_older_fn(void *arg, const char *name)
{
    struct remove_older *r = arg;
    char *end;
    long long offset = strtoll(name, &end, 10);
    if (end - name == 20 && strcmp(end, ".state") == 0 && offset < r->offset) {
        CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", r->sh->dir, name);
        err_t err = io_unlink(r->sh->log->options.io, path);
        if (err != OK && err != ERR_NOT_FOUND)
            return err;
    }
    return OK;
}

err_t statefile_write(struct shard *sh, int64_t offset, uint64_t *ret_bytes)
{
    const struct log_options *o = &sh->log->options;
    *ret_bytes = 0;
    if (o->state.save == NULL)
        return OK;
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    CLEANUP(xfree_ptr) char *path = segment_path(sh->dir, offset, ".state");
    memset(buf_reserve(&out, STATE_HEADER_BYTES), 0, STATE_HEADER_BYTES);
    out.len = STATE_HEADER_BYTES;
    o->state.save(o->state.arg, sh, offset, &out);
    memcpy(out.data, state_magic, sizeof(state_magic));
    store_u32(out.data + 8, STATE_VERSION);
    store_u64(out.data + 16, (uint64_t)offset);
    store_u64(out.data + 24, out.len - STATE_HEADER_BYTES);
    store_u32(out.data + 12, crc32c(0, out.data + 16, out.len - 16));
    TRY(io_replace(o->io, path, out.data, out.len));
    *ret_bytes = out.len;
    /* The one before it stays as long as this one might not be durable; it is now. */
    struct remove_older r = {sh, offset};
    return io_list(o->io, sh->dir, remove_older_fn, &r);
}
