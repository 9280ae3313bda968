/* tests/unit/log/fixture.h: a log with one shard, on real files, under a clock of the test's own.
 */
#ifndef TESTS_UNIT_LOG_FIXTURE_H
#define TESTS_UNIT_LOG_FIXTURE_H

#include "log/batch.h"
#include "log/log.h"
#include "tests/scratch.h"

struct fixture {
    char dir[SCRATCH_BYTES];
    struct clock_manual clock;
    struct worker_pool *workers;
    struct log *log;
    struct shard *shard;
    struct buf batch; /* the last one made */
    unsigned appended;
};

/** Opens the log anew, or for the first time. */
static inline void fixture_open(struct fixture *f, struct io *io, size_t segment_bytes)
{
    struct log_options options = {.io = io,
                                  .clock = &f->clock.base,
                                  .data_dir = f->dir,
                                  .segment_bytes = segment_bytes,
                                  .workers = f->workers};
    assert_ok(log_open(&options, &f->log));
    struct stream *stream = log_find_stream(f->log, "events", 6);
    if (stream == NULL)
        assert_ok(log_create_stream(f->log, "events", 1, &stream));
    f->shard = stream_shard(stream, 0);
}

static inline struct fixture *fixture_new(struct io *io, size_t segment_bytes)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    scratch_make(f->dir);
    clock_manual_init(&f->clock, INT64_C(1770000000000000));
    f->workers = worker_pool_new(0);
    fixture_open(f, io, segment_bytes);
    return f;
}

static inline int fixture_free(void **state)
{
    struct fixture *f = *state;
    worker_pool_run(f->workers);
    log_close(f->log);
    worker_pool_free(f->workers);
    scratch_remove(f->dir);
    buf_release(&f->batch);
    free(f);
    return 0;
}

/** Makes f->batch one record of `len` bytes, all `byte`. */
static inline void fixture_make_batch(struct fixture *f, size_t len, int byte)
{
    len += BATCH_HEADER_BYTES;
    struct batch_header h = {.length = (int32_t)(len - BATCH_LENGTH_PREFIX),
                             .magic = 2,
                             .producer_id = -1,
                             .producer_epoch = -1,
                             .base_sequence = -1,
                             .record_count = 1};
    buf_clear(&f->batch);
    uint8_t *data = (uint8_t *)buf_reserve(&f->batch, len);
    f->batch.len = len;
    memset(data, byte, len);
    batch_header_write(&h, data);
    batch_write_crc(data, len);
}

/** Appends f->batch. */
static inline void fixture_append(struct fixture *f)
{
    struct append_batch a = {(uint8_t *)f->batch.data, (uint32_t)f->batch.len, false, -1};
    assert_ok(shard_append(f->shard, &a, 1));
    f->appended++;
}

#endif
