/*
 * tests/fuzz/kafka_fuzz.c: the Kafka door on any bytes: framing in any pieces, every request
 * parser, the handlers over a real log, and what they answer. The harness mends the sizes of frames
 * and the CRCs of produced batches, so that the fuzzer gets past both. After each input the log
 * must read back whole: dense offsets, good CRCs. Covers: kafka/session.c kafka/reply.c
 * kafka/produce.c kafka/produce_check.c kafka/fetch.c kafka/list_offsets.c kafka/metadata.c
 * kafka/discovery.c kafka/wire/wire.c kafka/wire/header.c kafka/wire/produce.c kafka/wire/fetch.c
 * kafka/wire/metadata.c kafka/wire/list_offsets.c kafka/wire/find_coordinator.c
 * kafka/wire/api_versions.c
 *
 * Input: requests without their sizes, each as: one byte (0: as it is; else the piece length in
 * which it is sent), two bytes of length, that many bytes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/limits.h"
#include "base/logger.h"
#include "kafka/kafka.h"
#include "kafka/wire/header.h"
#include "tests/unit/kafka/fake_net.h"

static struct {
    struct clock_manual clock;
    struct worker_pool *workers;
    struct writer *writer;
    struct log *log;
    struct reactor *reactor;
    struct kafka_door *door;
    unsigned inputs;
    char dir[64];
} fuzz;

static void fuzz_must(err_t err)
{
    if (err != OK) {
        fprintf(stderr, "%s\n", err_text(err));
        abort();
    }
}

static void fuzz_storage_open(void)
{
    fuzz.writer = writer_new(&(struct writer_options){.clock = &fuzz.clock.base,
                                                      .max_pending = 100,
                                                      .max_pending_bytes = MIB(16),
                                                      .pressure_ms = 50,
                                                      .key_hours = 24,
                                                      .max_keys = 100});
    struct log_options lo = {.io = io_posix(),
                             .clock = &fuzz.clock.base,
                             .data_dir = fuzz.dir,
                             .segment_bytes = LIMIT_SEGMENT_MIN_BYTES,
                             .workers = fuzz.workers,
                             .state = writer_state_ops(fuzz.writer)};
    fuzz_must(log_open(&lo, &fuzz.log));
    writer_start(fuzz.writer);
    struct stream *s;
    fuzz_must(log_create_stream(fuzz.log, "t", 2, &s));
    fuzz_must(log_create_stream(fuzz.log, "events", 1, &s));
}

static void fuzz_open(void)
{
    /* In memory where that is to be had: every produced batch is synced. */
    snprintf(fuzz.dir, sizeof(fuzz.dir), "%s/spillway-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(fuzz.dir) == NULL)
        abort();
    rmdir(fuzz.dir);
    clock_manual_init(&fuzz.clock, INT64_C(1770000000000000));
    fuzz.workers = worker_pool_new(0);
    fuzz_storage_open();
    fuzz.reactor = fake_reactor_new();
    struct kafka_options ko = {.log = fuzz.log,
                               .writer = fuzz.writer,
                               .workers = fuzz.workers,
                               .clock = &fuzz.clock.base,
                               .cluster_id = "cluster",
                               .advertise = "host:9092",
                               .default_partitions = 1};
    fuzz_must(kafka_door_new(&ko, &fuzz.door));
}

static void fuzz_close(void)
{
    if (fuzz.door == NULL)
        return;
    fake_reactor_free(fuzz.reactor);
    kafka_door_free(fuzz.door);
    writer_stop(fuzz.writer);
    worker_pool_run(fuzz.workers);
    log_close(fuzz.log);
    writer_free(fuzz.writer);
    worker_pool_free(fuzz.workers);
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", fuzz.dir);
    if (system(command) != 0)
        abort();
    memset(&fuzz, 0, sizeof(fuzz));
}

static void settle(void)
{
    while (writer_commit_pending(fuzz.writer) + worker_pool_run(fuzz.workers) +
               fake_reactor_run(fuzz.reactor) >
           0)
        ;
}

/** Gives everything that looks like a batch (magic 2 where it belongs) its right CRC. */
static void crc_fix(uint8_t *data, size_t len)
{
    for (size_t at = 0; at + 61 <= len; at++) {
        size_t total = 12 + (size_t)load_u32(data + at + 8);
        if (data[at + 16] != 2 || total < 61 || total > len - at)
            continue;
        store_u32(data + at + 17, crc32c(0, data + at + 21, total - 21));
        at += total - 1;
    }
}

/** A reply is whole frames, and answers only what was asked. */
static void check_replies(struct conn *c)
{
    const struct buf *out = fake_conn_out(c);
    for (size_t at = 0; at < out->len;) {
        ASSERT(out->len - at >= 8);
        size_t size = load_u32(out->data + at);
        ASSERT(size >= 4 && size <= out->len - at - 4);
        at += 4 + size;
    }
}

static void check_log(void *arg, struct stream *s)
{
    (void)arg;
    for (unsigned k = 0; k < stream_shard_count(s); k++) {
        struct shard *sh = stream_shard(s, k);
        struct log_reader r;
        const uint8_t *batch;
        struct batch_header h;
        int64_t next = 0;
        fuzz_must(log_reader_open(&r, sh, 0));
        err_t err;
        while ((err = log_reader_next(&r, &batch, &h)) == OK) {
            ASSERT(h.base_offset == next);
            next = batch_next_offset(&h);
        }
        ASSERT(err == ERR_END && next == shard_high_watermark(sh));
        log_reader_close(&r);
    }
}

static void send_one(struct conn *c, const uint8_t *data, size_t len, size_t piece)
{
    uint8_t *frame = xmalloc(len + 4);
    store_u32(frame, (uint32_t)len);
    memcpy(frame + 4, data, len);
    crc_fix(frame + 4, len);
    for (size_t at = 0; at < len + 4; at += piece)
        fake_conn_receive(c, frame + at, MIN(piece, len + 4 - at));
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (fuzz.inputs++ % 4096 == 0) { /* a fresh log, so that inputs stay fast and repeatable */
        fuzz_close();
        logger_configure(LOG_LEVEL_ERROR, LOG_FORMAT_TEXT);
        fuzz_open();
        fuzz.inputs = 1;
    }
    struct conn *c = fake_conn_open(fuzz.reactor, &kafka_conn_ops, fuzz.door);
    struct cursor in = cursor_of(data, len);
    while (cursor_left(&in) >= 3) {
        size_t piece = cursor_u8(&in);
        size_t size = cursor_u16(&in);
        size = MIN(size, cursor_left(&in));
        send_one(c, cursor_bytes(&in, size), size, piece == 0 ? size + 4 : piece);
        if ((piece & 1) == 0)
            settle();
    }
    check_replies(c);
    fake_conn_gone(c);
    settle();
    log_each_stream(fuzz.log, check_log, NULL);
    return 0;
}
