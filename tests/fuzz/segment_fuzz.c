/*
 * tests/fuzz/segment_fuzz.c: a shard's directory of any bytes, on the simulated disk, is opened,
 * read, verified, appended to and opened again. Nothing crashes; what is readable is whole batches
 * with dense offsets; the second start finds what the first one left. The harness fixes magic,
 * length and CRC of what it takes for batches, and the checksums of the recovery point and the
 * checkpoint, so that inputs get past them. Covers: log/recovery.c log/shard_open.c log/listing.c
 * log/recovery_point.c log/statefile.c log/segment.c log/slice.c log/record.c log/batch.c
 * log/compress.c log/verify.c writer/key_index.c.
 *
 * Input: sections [kind u8][flags u8][length u16][bytes]; see put_section.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/logger.h"
#include "log/log.h"
#include "log/verify.h"
#include "tests/sim/simdisk.h"
#include "writer/builder.h"
#include "writer/writer.h"

#define SHARD_DIR "/data/log/events/0"
#define PLAIN_MAX MIB(1)

enum section {
    SECTION_BATCH,     /* a batch to repair, appended to the current segment */
    SECTION_BYTES,     /* appended as they are */
    SECTION_ROLL,      /* a new segment at the next offset, or a little beside it */
    SECTION_INDEX,     /* of the current segment */
    SECTION_TIMEINDEX, /* likewise */
    SECTION_POINT,     /* the recovery point */
    SECTION_STATE,     /* a checkpoint */
    SECTION_OTHER,     /* a file that recovery leaves behind or must pass over */
    SECTION_KINDS,
};

struct build {
    struct io *io;
    int64_t base;   /* of the current segment */
    int64_t next;   /* offset of the next batch */
    struct buf log; /* of the current segment */
};

static void put_file(struct build *b, const char *path, const void *data, size_t len)
{
    struct io_file *file;
    err_t err = io_open(b->io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &file);
    ASSERT(err == OK);
    if (len > 0)
        err = io_file_pwrite(file, data, len, 0);
    ASSERT(err == OK);
    io_file_close(file);
}

static void put_named(struct build *b, int64_t offset, const char *suffix, const void *data,
                      size_t len)
{
    CLEANUP(xfree_ptr)
    char *path = xasprintf("%s/%020lld%s", SHARD_DIR, (long long)offset, suffix);
    put_file(b, path, data, len);
}

/** Makes the bytes pass the checks of a batch, except those that the flags leave to chance. */
static void put_batch(struct build *b, unsigned flags, const uint8_t *data, size_t len)
{
    uint8_t *batch = xcalloc(1, MAX(len, BATCH_HEADER_BYTES));
    if (len > 0)
        memcpy(batch, data, len);
    len = MAX(len, BATCH_HEADER_BYTES);
    batch_set_base_offset(batch, flags & 1 ? b->next + (int64_t)(flags >> 4) - 8 : b->next);
    batch[16] = 2;
    if (!(flags & 2))
        store_u32(batch + 8, (uint32_t)(len - BATCH_LENGTH_PREFIX));
    uint32_t count = 1 + load_u32(batch + 57) % 100;
    store_u32(batch + 23, count - 1);
    store_u32(batch + 57, count);
    if (!(flags & 4))
        store_u32(batch + 17, crc32c(0, batch + 21, len - 21));
    buf_append(&b->log, batch, len);
    b->next += count;
    free(batch);
}

static void end_segment(struct build *b)
{
    put_named(b, b->base, ".log", b->log.data, b->log.len);
    buf_clear(&b->log);
}

static void put_point(struct build *b, unsigned flags, const uint8_t *data, size_t len)
{
    uint8_t point[512] = "SPWRECPT";
    memcpy(point + 16, data, MIN(len, 32));
    if (flags & 1) { /* one that fits: here, or at the start of this segment */
        store_u64(point + 16, 0);
        store_u64(point + 24, (uint64_t)b->base);
        store_u64(point + 32, flags & 2 ? b->log.len : 0);
        store_u64(point + 40, (uint64_t)(flags & 2 ? b->next : b->base));
    }
    store_u32(point + 8, 1);
    store_u32(point + 508, crc32c(0, point, 508));
    put_file(b, SHARD_DIR "/recovery-point", point, sizeof(point));
}

static void put_state(struct build *b, unsigned flags, const uint8_t *data, size_t len)
{
    CLEANUP(buf_release) struct buf out = BUF_INIT;
    int64_t offset = flags & 1 ? b->next : b->base;
    memset(buf_reserve(&out, 32), 0, 32);
    out.len = 32;
    buf_append(&out, data, len);
    memcpy(out.data, "SPWSTATE", 8);
    store_u32(out.data + 8, 1);
    store_u64(out.data + 16, (uint64_t)offset);
    store_u64(out.data + 24, len);
    store_u32(out.data + 12, crc32c(0, out.data + 16, out.len - 16));
    put_named(b, offset, ".state", out.data, out.len);
}

static void put_section(struct build *b, unsigned kind, unsigned flags, const uint8_t *data,
                        size_t len)
{
    static const char *const others[] = {"/next.prepared", "/x.tmp", "/00000000000000000000.9.cut",
                                         "/00000000000000000000.failed", "/junk"};
    char path[128];
    switch ((enum section)(kind % SECTION_KINDS)) {
    case SECTION_BATCH:
        put_batch(b, flags, data, len);
        break;
    case SECTION_BYTES:
        buf_append(&b->log, data, len);
        break;
    case SECTION_ROLL:
        end_segment(b);
        b->base = MAX(0, flags & 1 ? b->next + (int64_t)(flags >> 4) - 8 : b->next);
        b->next = b->base;
        break;
    case SECTION_INDEX:
        put_named(b, b->base, ".index", data, len);
        break;
    case SECTION_TIMEINDEX:
        put_named(b, b->base, ".timeindex", data, len);
        break;
    case SECTION_POINT:
        put_point(b, flags, data, len);
        break;
    case SECTION_STATE:
        put_state(b, flags, data, len);
        break;
    case SECTION_OTHER:
    case SECTION_KINDS:
        (void)snprintf(path, sizeof(path), "%s%s", SHARD_DIR, others[flags % ARRAY_LEN(others)]);
        put_file(b, path, data, len);
        break;
    }
}

static void build_disk(struct io *io, const uint8_t *data, size_t size)
{
    struct build b = {.io = io};
    while (size >= 4) {
        size_t len = MIN((size_t)load_u16(data + 2), size - 4);
        put_section(&b, data[0], data[1], data + 4, len);
        data += 4 + len;
        size -= 4 + len;
    }
    end_segment(&b);
    buf_release(&b.log);
}

/* What is done with it ------------------------------------------------------------------------ */

struct product {
    struct clock_manual clock;
    struct worker_pool *workers;
    struct writer *writer;
    struct log *log;
};

static err_t product_open(struct product *p, struct io *io)
{
    struct writer_options options = {.clock = &p->clock.base,
                                     .max_pending = 100,
                                     .max_pending_bytes = MIB(16),
                                     .key_hours = 24,
                                     .max_keys = 1000};
    clock_manual_init(&p->clock, 1767225600000000);
    p->workers = worker_pool_new(0);
    p->writer = writer_new(&options);
    struct log_options log_options = {.io = io,
                                      .clock = &p->clock.base,
                                      .data_dir = "/data",
                                      .segment_bytes = KIB(64),
                                      .workers = p->workers,
                                      .state = writer_state_ops(p->writer)};
    err_t err = log_open(&log_options, &p->log);
    if (err == OK)
        writer_start(p->writer);
    return err;
}

static void product_close(struct product *p)
{
    writer_stop(p->writer);
    worker_pool_run(p->workers);
    if (p->log != NULL)
        log_close(p->log);
    writer_free(p->writer);
    worker_pool_free(p->workers);
}

static void read_records(const uint8_t *batch, const struct batch_header *h)
{
    struct record_reader r;
    struct record rec;
    if (record_reader_open(&r, batch, batch_total_bytes(h), PLAIN_MAX) != OK)
        return;
    int64_t offset = h->base_offset;
    while (record_reader_next(&r, &rec) == OK)
        ASSERT(rec.offset == offset++);
    record_reader_close(&r);
}

/** Reads all; where that ends before the high watermark the shard must not claim to be sound. */
static void read_all(struct shard *sh)
{
    struct log_reader r;
    const uint8_t *batch;
    struct batch_header h;
    int64_t next = shard_log_start(sh);
    err_t err = log_reader_open(&r, sh, next);
    ASSERT(err == OK);
    while ((err = log_reader_next(&r, &batch, &h)) == OK) {
        ASSERT(h.base_offset == next || (next == shard_log_start(sh) && h.base_offset < next));
        next = batch_next_offset(&h);
        read_records(batch, &h);
    }
    ASSERT(err != ERR_END || next == shard_high_watermark(sh));
    ASSERT(next <= shard_high_watermark(sh));
    log_reader_close(&r);
    int64_t offset;
    int64_t ts;
    (void)!shard_offset_for_time(sh, 1, &offset, &ts);
    (void)!shard_max_timestamp(sh, &offset, &ts);
}

static void append_one(struct product *p, struct shard *sh)
{
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    struct event_record rec = {.ts_ms = 1, .value = {SLICE("{}")}};
    struct append_batch batch = {0};
    uint32_t count;
    err_t err = builder_add(b, &rec);
    ASSERT(err == OK);
    builder_seal(b, &batch.data, &batch.len, &count);
    int64_t before = shard_high_watermark(sh);
    err = shard_append(sh, &batch, 1);
    ASSERT(err == OK && batch.base_offset == before && shard_high_watermark(sh) == before + 1);
    shard_upkeep(sh);
    worker_pool_run(p->workers);
    free(batch.data);
    builder_free(b);
}

struct first_look {
    int64_t high;
    enum shard_status status;
};

static bool look(struct io *io, bool append, struct first_look *ret_look)
{
    struct product p = {0};
    err_t err = product_open(&p, io);
    struct stream *s = err == OK ? log_find_stream(p.log, "events", 6) : NULL;
    if (s != NULL) {
        struct shard *sh = stream_shard(s, 0);
        read_all(sh);
        if (append && shard_status(sh) == SHARD_OPEN) {
            append_one(&p, sh);
            read_all(sh);
        }
        *ret_look = (struct first_look){shard_high_watermark(sh), shard_status(sh)};
    }
    product_close(&p);
    return s != NULL;
}

static void prepare_empty(struct io *io)
{
    struct product p = {0};
    struct stream *s;
    err_t err = product_open(&p, io);
    ASSERT(err == OK);
    err = log_create_stream(p.log, "events", 1, &s);
    ASSERT(err == OK);
    product_close(&p);
    err = io_unlink(io, SHARD_DIR "/00000000000000000000.log");
    ASSERT(err == OK);
}

static void on_damage(void *arg, const char *path, uint64_t position, const char *text)
{
    (void)arg;
    (void)position;
    ASSERT(path != NULL && text != NULL);
}

static void on_shard(void *arg, const struct log_verify_shard *shard)
{
    (void)arg;
    ASSERT(shard->stream != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct simdisk *empty;
    if (empty == NULL) {
        logger_configure((enum log_level)(LOG_LEVEL_ERROR + 1), LOG_FORMAT_TEXT);
        empty = simdisk_new(1);
        prepare_empty(simdisk_io(empty));
    }
    struct simdisk *d = simdisk_clone(empty);
    struct io *io = simdisk_io(d);
    build_disk(io, data, size);
    struct log_verify_ops ops = {.on_damage = on_damage, .on_shard = on_shard};
    unsigned damage = 0;
    (void)!log_verify(io, "/data", NULL, &ops, &damage);
    struct first_look one;
    struct first_look two;
    if (look(io, true, &one)) {
        bool again = look(io, false, &two);
        ASSERT(again && two.high == one.high && two.status == one.status);
    }
    ASSERT(simdisk_open_files(d) == 0);
    simdisk_free(d);
    return 0;
}
