/*
 * tests/sim/oracle.c: compares what the product shows with what was promised.
 */
#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "log/verify.h"
#include "tests/sim/world.h"

#define PLAIN_MAX MIB(4)

static int64_t record_time(const struct plan *p, uint32_t index)
{
    return p->append_ms >= 0 ? p->append_ms : p->ts_ms + index;
}

static bool value_matches(const struct plan *p, uint32_t index, struct slice got)
{
    struct plan_value want;
    plan_value(p, index, &want);
    return got.len == want.head_len + want.tail_len &&
           memcmp(got.data, want.head, want.head_len) == 0 &&
           memcmp(got.data + want.head_len, want.tail, want.tail_len) == 0;
}

/** Whether the batch is exactly this plan, record by record. */
static bool batch_matches(const struct plan *p, const uint8_t *batch, const struct batch_header *h)
{
    struct record_reader r;
    struct record rec;
    if ((uint32_t)h->record_count != p->count ||
        record_reader_open(&r, batch, batch_total_bytes(h), PLAIN_MAX) != OK)
        return false;
    bool same = true;
    uint32_t index = 0;
    err_t err;
    while (same && (err = record_reader_next(&r, &rec)) == OK) {
        same = index < p->count && rec.offset == h->base_offset + index &&
               value_matches(p, index, rec.value);
        if (same && p->state == PLAN_ACKED)
            same = rec.timestamp_ms == record_time(p, index);
        index++;
    }
    record_reader_close(&r);
    return same && err == ERR_END && index == p->count;
}

/** A batch that nobody was told about survived whole: readers have seen it, so it stays. */
static void adopt(struct world *w, struct shard_model *m, const struct batch_header *h)
{
    struct plan *p = m->open.plans[0];
    memmove(m->open.plans, m->open.plans + 1, --m->open.count * sizeof(struct plan *));
    p->state = PLAN_ACKED;
    p->base_offset = h->base_offset;
    p->append_ms = h->attributes & BATCH_ATTR_APPEND_TIME ? h->max_timestamp : -1;
    m->next_offset += p->count;
    plan_list_push(&m->acked, p);
    for (unsigned i = 0; i < p->request_count; i++) {
        if (p->requests[i].key < 0)
            continue;
        struct key_model *key = &w->streams[p->stream].keys[p->requests[i].key];
        if (key->done != NULL)
            world_fail(w, "key %d of %s was stored twice", p->requests[i].key,
                       w->streams[p->stream].name);
        key->done = p;
        key->request = i;
    }
    w->adopted++;
}

static void check_batch(struct world *w, struct stream_model *s, unsigned shard, size_t i,
                        const uint8_t *batch, const struct batch_header *h)
{
    struct shard_model *m = &s->shards[shard];
    bool known = i < m->acked.count;
    const struct plan *p = known ? m->acked.plans[i] : m->open.count > 0 ? m->open.plans[0] : NULL;
    int64_t base = known ? p->base_offset : m->next_offset;
    if (p == NULL || h->base_offset != base || !batch_matches(p, batch, h))
        world_fail(w,
                   "%s/%u: batch %zu at offset %" PRId64 " (%d records) is not %s batch %" PRId64
                   " at offset %" PRId64 "; %zu acknowledged",
                   s->name, shard, i, h->base_offset, h->record_count,
                   known ? "the acknowledged" : "the next open",
                   p == NULL ? -1 : (int64_t)p->serial, base, m->acked.count);
    else if (!known)
        adopt(w, m, h);
}

static void check_shard(struct world *w, struct stream_model *s, unsigned k, struct shard *sh)
{
    struct shard_model *m = &s->shards[k];
    char text[256];
    shard_status_text(sh, text, sizeof(text));
    if (shard_status(sh) != SHARD_OPEN && !w->faulty)
        world_fail(w, "%s/%u is not open: %s", s->name, k, text);
    if (w->failed || shard_status(sh) == SHARD_READ_ONLY)
        return;
    struct log_reader r;
    const uint8_t *batch;
    struct batch_header h;
    err_t err = log_reader_open(&r, sh, 0);
    if (err != OK) {
        world_fail(w, "%s/%u cannot be read from 0: %s", s->name, k, err_text(err));
        return;
    }
    size_t i = 0;
    while (!w->failed && (err = log_reader_next(&r, &batch, &h)) == OK)
        check_batch(w, s, k, i++, batch, &h);
    log_reader_close(&r);
    if (simdisk_is_off(w->disk))
        return;
    if (!w->failed && err != ERR_END)
        world_fail(w, "%s/%u: batch %zu cannot be read: %s", s->name, k, i, err_text(err));
    if (i < m->acked.count)
        world_fail(w, "%s/%u: %zu of %zu acknowledged batches are lost", s->name, k,
                   m->acked.count - i, m->acked.count);
    if (shard_high_watermark(sh) != m->next_offset || shard_log_start(sh) != 0)
        world_fail(w, "%s/%u: offsets [%" PRId64 ", %" PRId64 ") instead of [0, %" PRId64 ")",
                   s->name, k, shard_log_start(sh), shard_high_watermark(sh), m->next_offset);
    for (size_t j = 0; j < m->open.count; j++)
        m->open.plans[j]->state = PLAN_DEAD;
    m->open.count = 0;
}

static void check_keys(struct world *w, unsigned stream, struct stream *s)
{
    for (int k = 0; k < WORLD_KEYS && !w->failed; k++) {
        char text[64];
        struct key_figures figures;
        const struct key_model *key = &w->streams[stream].keys[k];
        struct key_waiter nobody = {0};
        struct key_slot *slot = NULL;
        enum key_outcome outcome =
            key_begin(w->writer, s, world_key(w, stream, k, text), 0, 0, &nobody, &slot, &figures);
        key_abandon(slot);
        if (outcome == KEY_IN_FLIGHT)
            world_fail(w, "key %d of %s is in flight after a start", k, w->streams[stream].name);
        bool found = outcome == KEY_DONE;
        const struct plan *p = key->done;
        if (found != (p != NULL)) {
            world_fail(w, "key %d of %s is %s", k, w->streams[stream].name,
                       found ? "remembered and was never stored" : "stored and forgotten");
        } else if (found) {
            const struct plan_request *r = &p->requests[key->request];
            if (figures.shard != p->shard || figures.count != r->count ||
                figures.lsn != p->base_offset + r->first + r->count - 1 ||
                figures.body_hash != world_key_hash(k))
                world_fail(w, "key %d of %s has other figures than before: lsn %" PRId64, k,
                           w->streams[stream].name, figures.lsn);
        }
    }
}

static void check_stream(struct world *w, unsigned i)
{
    struct stream_model *m = &w->streams[i];
    struct stream *s = log_find_stream(w->log, m->name, strlen(m->name));
    unsigned count = s == NULL ? 0 : stream_shard_count(s);
    if (m->state == STREAM_OPEN) {
        if (s != NULL && !(m->tried & 1u << count))
            world_fail(w, "stream %s has %u shards, which nobody asked for", m->name, count);
        m->state = s == NULL ? STREAM_NONE : STREAM_THERE;
        m->shard_count = count;
    } else if ((s != NULL) != (m->state == STREAM_THERE)) {
        world_fail(w, "stream %s is %s", m->name, s == NULL ? "lost" : "there unasked");
    } else if (count != m->shard_count) {
        world_fail(w, "stream %s has %u shards instead of %u", m->name, count, m->shard_count);
    }
    m->tried = 0;
    for (unsigned k = 0; k < count && !w->failed; k++)
        check_shard(w, m, k, stream_shard(s, k));
    if (s != NULL && !w->failed)
        check_keys(w, i, s);
}

/* Files that stay ----------------------------------------------------------------------------- */

static struct kept_file *find_kept(struct world *w, const char *path)
{
    for (size_t i = 0; i < w->kept_count; i++)
        if (strcmp(w->kept[i].path, path) == 0)
            return &w->kept[i];
    return NULL;
}

static void see_file(struct world *w, const char *path)
{
    char *data;
    size_t len;
    if (io_read_file(simdisk_io(w->disk), path, PLAIN_MAX, &data, &len) != OK) {
        world_fail(w, "%s", err_last()->text);
        return;
    }
    uint64_t hash = hash64(data, len);
    xfree_ptr(&data);
    struct kept_file *k = find_kept(w, path);
    if (k == NULL) {
        if (w->kept_count == w->kept_cap) {
            w->kept_cap = MAX(8, w->kept_cap * 2);
            w->kept = xrealloc(w->kept, w->kept_cap * sizeof(*w->kept));
        }
        k = &w->kept[w->kept_count++];
        *k = (struct kept_file){xstrdup(path), hash, true};
    }
    if (k->hash != hash)
        world_fail(w, "%s has other contents than before", path);
    k->seen = true;
}

struct tree {
    struct world *world;
    const char *dir;
};

static err_t see_entry(void *arg, const char *name)
{
    const struct tree *tree = arg;
    struct io *io = simdisk_io(tree->world->disk);
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", tree->dir, name);
    size_t len = strlen(name);
    struct io_stat st;
    TRY(io_stat(io, path, &st));
    struct tree inner = {tree->world, path};
    if (st.is_dir)
        return io_list(io, path, see_entry, &inner);
    if (strcmp(name, "format") == 0 || (len > 4 && strcmp(name + len - 4, ".cut") == 0))
        see_file(tree->world, path);
    return OK;
}

void world_check_kept(struct world *w)
{
    struct tree tree = {w, "/data"};
    for (size_t i = 0; i < w->kept_count; i++)
        w->kept[i].seen = false;
    if (io_list(simdisk_io(w->disk), "/data", see_entry, &tree) != OK)
        world_fail(w, "%s", err_last()->text);
    for (size_t i = 0; i < w->kept_count; i++)
        if (!w->kept[i].seen)
            world_fail(w, "%s is gone", w->kept[i].path);
}

void world_check(struct world *w)
{
    if (!w->faulty)
        world_check_kept(w);
    for (unsigned i = 0; i < WORLD_STREAMS && !w->failed; i++)
        check_stream(w, i);
}

/* What an operator would be told -------------------------------------------------------------- */

static void on_damage(void *arg, const char *path, uint64_t position, const char *text)
{
    world_fail(arg, "log verify takes a crash for damage: %s at byte %" PRIu64 ": %s", path,
               position, text);
}

static void on_shard(void *arg UNUSED, const struct log_verify_shard *shard UNUSED)
{
}

void world_check_verify(struct world *w)
{
    struct log_verify_ops ops = {.on_damage = on_damage, .on_shard = on_shard, .arg = w};
    unsigned damage = 0;
    /* Right after a crash there may be no data directory yet. */
    err_t err = log_verify(simdisk_io(w->disk), "/data", NULL, &ops, &damage);
    if (err != OK && err != ERR_NOT_FOUND && err != ERR_CORRUPT)
        world_fail(w, "log verify: %s", err_text(err));
}

/* Reads at random places ---------------------------------------------------------------------- */

static const struct plan *plan_at(const struct shard_model *m, int64_t offset)
{
    for (size_t i = 0; i < m->acked.count; i++)
        if (offset < m->acked.plans[i]->base_offset + m->acked.plans[i]->count)
            return m->acked.plans[i];
    return NULL;
}

static void check_slice(struct world *w, struct stream_model *s, unsigned k, struct shard *sh)
{
    struct shard_model *m = &s->shards[k];
    int64_t offset = (int64_t)rng_below(&w->rng, (uint64_t)m->next_offset + 1);
    struct log_slice slice;
    err_t err = shard_slice(sh, offset, (size_t)rng_below(&w->rng, KIB(64)), &slice);
    if (err != OK) {
        if (!simdisk_is_off(w->disk) && !w->faulty)
            world_fail(w, "%s/%u: no slice at %" PRId64 ": %s", s->name, k, offset, err_text(err));
        return;
    }
    const struct plan *p = plan_at(m, offset);
    if ((p == NULL) != (slice.len == 0) || (p != NULL && slice.first_offset != p->base_offset)) {
        world_fail(w, "%s/%u: the slice at %" PRId64 " begins at %" PRId64, s->name, k, offset,
                   slice.first_offset);
    } else if (p != NULL) {
        uint8_t *bytes = xmalloc(slice.len);
        struct batch_header h;
        err = log_slice_read(&slice, 0, bytes, slice.len);
        if (err == OK && (batch_check(bytes, slice.len, &h) != OK || !batch_matches(p, bytes, &h)))
            world_fail(w, "%s/%u: the slice at %" PRId64 " holds other bytes", s->name, k, offset);
        else if (err != OK && !simdisk_is_off(w->disk) && !w->faulty)
            world_fail(w, "%s/%u: slice cannot be read: %s", s->name, k, err_text(err));
        xfree_ptr(&bytes);
    }
    log_slice_release(&slice);
}

static void check_time(struct world *w, struct stream_model *s, unsigned k, struct shard *sh)
{
    struct shard_model *m = &s->shards[k];
    if (m->acked.count == 0)
        return;
    const struct plan *some = m->acked.plans[rng_below(&w->rng, m->acked.count)];
    int64_t ts = record_time(some, 0) - 3 + (int64_t)rng_below(&w->rng, 6);
    int64_t want = -1;
    for (size_t i = 0; i < m->acked.count && want < 0; i++) {
        const struct plan *p = m->acked.plans[i];
        for (uint32_t j = 0; j < p->count && want < 0; j++)
            if (record_time(p, j) >= ts)
                want = p->base_offset + j;
    }
    int64_t offset;
    int64_t found_ts;
    err_t err = shard_offset_for_time(sh, ts, &offset, &found_ts);
    if (err == OK && offset != want)
        world_fail(w, "%s/%u: time %" PRId64 " is at offset %" PRId64 ", not %" PRId64, s->name, k,
                   ts, offset, want);
    else if (err != OK && !simdisk_is_off(w->disk) && !w->faulty)
        world_fail(w, "%s/%u: no offset for a time: %s", s->name, k, err_text(err));
}

void world_check_read(struct world *w)
{
    unsigned i = (unsigned)rng_below(&w->rng, WORLD_STREAMS);
    struct stream_model *s = &w->streams[i];
    if (s->state != STREAM_THERE)
        return;
    unsigned k = (unsigned)rng_below(&w->rng, s->shard_count);
    struct shard *sh = stream_shard(log_find_stream(w->log, s->name, strlen(s->name)), k);
    if (rng_chance(&w->rng, 60))
        check_slice(w, s, k, sh);
    else
        check_time(w, s, k, sh);
}
