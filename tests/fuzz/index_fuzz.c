/*
 * tests/fuzz/index_fuzz.c: index files of any bytes beside good segments. Whatever stands in them,
 * every look-up by offset finds the batch that holds it, reading is complete, and a look-up by time
 * ends with a record that is late enough; wrong files are rebuilt. The harness can start from the
 * right files and change some bytes, so that inputs stay plausible. Covers: log/index.c
 * log/segment.c log/lookup.c log/slice.c.
 *
 * Input: [mode u8][length of the index part u16][bytes for .index][bytes for .timeindex].
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/logger.h"
#include "log/log.h"
#include "tests/sim/simdisk.h"
#include "writer/builder.h"

#define BATCHES 60
#define INDEX_PATH "/data/log/events/0/00000000000000000000.index"
#define TIMEINDEX_PATH "/data/log/events/0/00000000000000000000.timeindex"
#define FILE_MAX KIB(64)

enum mode {
    MODE_REPLACE = 1, /* the bytes are the file; else they are XORed onto the right one */
    MODE_CUT = 2,     /* the right file, cut to the length of the bytes */
};

static struct {
    struct simdisk *disk;
    int64_t base[BATCHES + 1]; /* offsets; the last one is the end */
    int64_t ts[BATCHES];
} good;

static struct clock_manual manual;

static err_t open_log(struct io *io, struct worker_pool **ret_workers, struct log **ret_log)
{
    *ret_workers = worker_pool_new(0);
    struct log_options options = {.io = io,
                                  .clock = &manual.base,
                                  .data_dir = "/data",
                                  .segment_bytes = KIB(64),
                                  .workers = *ret_workers};
    return log_open(&options, ret_log);
}

static void close_log(struct worker_pool *workers, struct log *log)
{
    worker_pool_run(workers);
    log_close(log);
    worker_pool_free(workers);
}

static void append_batch(struct shard *sh, size_t i)
{
    static char text[6000];
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    struct append_batch batch = {0};
    uint32_t count;
    good.base[i] = shard_high_watermark(sh);
    good.ts[i] = 1000 + (int64_t)((i * 37) % 50) * 10;
    for (size_t k = 0; k < 1 + i % 3; k++) {
        struct event_record rec = {.ts_ms = good.ts[i], .value = {{text, 100 + (i * 997) % 5000}}};
        err_t err = builder_add(b, &rec);
        ASSERT(err == OK);
    }
    builder_seal(b, &batch.data, &batch.len, &count);
    err_t err = shard_append(sh, &batch, 1);
    ASSERT(err == OK);
    shard_upkeep(sh);
    free(batch.data);
    builder_free(b);
}

static void prepare(void)
{
    struct worker_pool *workers;
    struct log *log;
    struct stream *s;
    logger_configure((enum log_level)(LOG_LEVEL_ERROR + 1), LOG_FORMAT_TEXT);
    clock_manual_init(&manual, 1767225600000000);
    good.disk = simdisk_new(1);
    err_t err = open_log(simdisk_io(good.disk), &workers, &log);
    ASSERT(err == OK);
    err = log_create_stream(log, "events", 1, &s);
    ASSERT(err == OK);
    for (size_t i = 0; i < BATCHES; i++) {
        append_batch(stream_shard(s, 0), i);
        worker_pool_run(workers);
    }
    good.base[BATCHES] = shard_high_watermark(stream_shard(s, 0));
    ASSERT(shard_segment_count(stream_shard(s, 0)) > 2);
    close_log(workers, log);
}

static void put_file(struct io *io, const char *path, unsigned mode, const uint8_t *data,
                     size_t len)
{
    char *right;
    size_t right_len;
    err_t err = io_read_file(io, path, FILE_MAX, &right, &right_len);
    ASSERT(err == OK && right_len > 0);
    struct io_file *file;
    err = io_open(io, path, IO_WRITE | IO_TRUNCATE, &file);
    ASSERT(err == OK);
    const void *out = data;
    if (!(mode & MODE_REPLACE)) {
        for (size_t i = 0; i < len && i < right_len && !(mode & MODE_CUT); i++)
            right[i] = (char)(right[i] ^ data[i]);
        out = right;
        len = mode & MODE_CUT ? MIN(len, right_len) : right_len;
    }
    if (len > 0)
        err = io_file_pwrite(file, out, len, 0);
    ASSERT(err == OK);
    io_file_close(file);
    free(right);
}

static size_t batch_of(int64_t offset)
{
    size_t i = 0;
    while (good.base[i + 1] <= offset)
        i++;
    return i;
}

static void check_offset(struct shard *sh, int64_t offset, size_t max_bytes)
{
    struct log_slice slice;
    err_t err = shard_slice(sh, offset, max_bytes, &slice);
    ASSERT(err == OK);
    ASSERT(slice.len > 0 && slice.first_offset == good.base[batch_of(offset)]);
    uint8_t header[BATCH_HEADER_BYTES];
    struct batch_header h;
    err = log_slice_read(&slice, 0, header, sizeof(header));
    ASSERT(err == OK);
    err = batch_header_parse(header, sizeof(header), &h);
    ASSERT(err == OK && h.base_offset == slice.first_offset && batch_total_bytes(&h) <= slice.len);
    log_slice_release(&slice);
}

static void check_all(struct shard *sh)
{
    struct log_reader r;
    const uint8_t *batch;
    struct batch_header h;
    size_t i = 0;
    err_t err = log_reader_open(&r, sh, 0);
    ASSERT(err == OK);
    while ((err = log_reader_next(&r, &batch, &h)) == OK)
        ASSERT(h.base_offset == good.base[i++]);
    ASSERT(err == ERR_END && i == BATCHES);
    log_reader_close(&r);
}

static void check_time(struct shard *sh, int64_t ts)
{
    int64_t offset;
    int64_t found;
    err_t err = shard_offset_for_time(sh, ts, &offset, &found);
    ASSERT(err == OK);
    if (offset >= 0)
        ASSERT(offset < good.base[BATCHES] && found >= ts && good.ts[batch_of(offset)] == found);
    err = shard_max_timestamp(sh, &offset, &found);
    ASSERT(err == OK && offset >= 0 && good.ts[batch_of(offset)] == found);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (good.disk == NULL)
        prepare();
    if (size < 3)
        return 0;
    size_t part = MIN((size_t)load_u16(data + 1), size - 3);
    struct simdisk *d = simdisk_clone(good.disk);
    put_file(simdisk_io(d), INDEX_PATH, data[0] & 3, data + 3, part);
    put_file(simdisk_io(d), TIMEINDEX_PATH, (data[0] >> 2) & 3, data + 3 + part, size - 3 - part);
    struct worker_pool *workers;
    struct log *log;
    err_t err = open_log(simdisk_io(d), &workers, &log);
    ASSERT(err == OK);
    struct shard *sh = stream_shard(log_find_stream(log, "events", 6), 0);
    ASSERT(shard_high_watermark(sh) == good.base[BATCHES]);
    for (int64_t offset = data[0] % 7; offset < good.base[BATCHES]; offset += 11)
        check_offset(sh, offset, (size_t)(data[0] % 5) * 5000);
    check_time(sh, 1000 + data[0] * 2);
    check_all(sh);
    close_log(workers, log);
    simdisk_free(d);
    return 0;
}
