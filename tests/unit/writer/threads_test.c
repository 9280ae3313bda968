/* The write path with its real threads: producers on several threads, readers that follow, rolls
 * and preparation going on. What this is for is ThreadSanitizer; without it it checks order and
 * completeness. */
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>

#include "base/limits.h"
#include "log/log.h"
#include "tests/scratch.h"
#include "writer/builder.h"
#include "writer/writer.h"

#define PRODUCERS 4
#define BATCHES 150
#define EVENTS 40

struct world {
    char dir[SCRATCH_BYTES];
    struct writer *writer;
    struct log *log;
    struct shard *shards[2];
};

struct sent {
    struct write_batch batch;
    sem_t *done;
};

static void sent_done(struct write_batch *b)
{
    sem_post(CONTAINER_OF(b, struct sent, batch)->done);
}

struct producer {
    struct world *world;
    unsigned id;
};

static void *produce(void *arg)
{
    struct producer *p = arg;
    struct builder *b = builder_new(BATCH_CODEC_LZ4);
    sem_t done;
    sem_init(&done, 0, 0);
    for (unsigned i = 0; i < BATCHES; i++) {
        struct sent s = {
            .batch = {.shard = p->world->shards[i % 2], .may_wait = true, .on_done = sent_done},
            .done = &done};
        for (unsigned k = 0; k < EVENTS; k++) {
            char value[160];
            int n = snprintf(value, sizeof(value), "%u %u %u %0100u", p->id, i, k, i * k);
            struct event_record rec = {.ts_ms = i, .value = {{value, (size_t)n}}};
            if (builder_add(b, &rec) != OK)
                abort();
        }
        builder_seal(b, &s.batch.data, &s.batch.len, &s.batch.record_count);
        if (writer_submit(p->world->writer, &s.batch) != OK)
            abort();
        sem_wait(&done);
        if (s.batch.err != OK || s.batch.base_offset < 0)
            abort();
    }
    sem_destroy(&done);
    builder_free(b);
    return NULL;
}

struct follower {
    struct shard *shard;
    sem_t wake;
    unsigned next[PRODUCERS]; /* per producer: the batch number to come */
    int64_t records;
};

struct wake {
    struct shard_waiter waiter;
    sem_t *sem;
};

static void wake_up(struct shard_waiter *w)
{
    sem_post(CONTAINER_OF(w, struct wake, waiter)->sem);
}

static void take_record(struct follower *f, const struct record *rec)
{
    unsigned id, i, k;
    char text[200];
    size_t n = MIN(rec->value.len, sizeof(text) - 1);
    memcpy(text, rec->value.data, n);
    text[n] = '\0';
    if (sscanf(text, "%u %u %u", &id, &i, &k) != 3 || id >= PRODUCERS)
        abort();
    /* One producer's batches keep their order within a shard. */
    if (k == 0) {
        if (i < f->next[id])
            abort();
        f->next[id] = i + 1;
    }
    if (rec->offset != f->records)
        abort();
    f->records++;
}

static void *follow(void *arg)
{
    struct follower *f = arg;
    struct log_reader r;
    if (log_reader_open(&r, f->shard, 0) != OK)
        abort();
    while (f->records < PRODUCERS * BATCHES / 2 * EVENTS) {
        const uint8_t *batch;
        struct batch_header h;
        err_t err = log_reader_next(&r, &batch, &h);
        if (err == ERR_END) {
            struct wake wake = {.waiter.fn = wake_up, .sem = &f->wake};
            if (shard_wait(f->shard, r.next_offset, &wake.waiter))
                sem_wait(&f->wake);
            shard_unwait(f->shard, &wake.waiter);
            continue;
        }
        struct record_reader rr;
        struct record rec;
        if (err != OK || record_reader_open(&rr, batch, batch_total_bytes(&h), MIB(16)) != OK)
            abort();
        while (record_reader_next(&rr, &rec) == OK)
            take_record(f, &rec);
        record_reader_close(&rr);
    }
    log_reader_close(&r);
    return NULL;
}

static void run_threads(struct world *w)
{
    pthread_t producers[PRODUCERS], followers[2];
    struct producer p[PRODUCERS];
    struct follower f[2];
    for (unsigned i = 0; i < 2; i++) {
        f[i] = (struct follower){.shard = w->shards[i]};
        sem_init(&f[i].wake, 0, 0);
        assert_int_equal(pthread_create(&followers[i], NULL, follow, &f[i]), 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++) {
        p[i] = (struct producer){w, i};
        assert_int_equal(pthread_create(&producers[i], NULL, produce, &p[i]), 0);
    }
    for (unsigned i = 0; i < PRODUCERS; i++)
        pthread_join(producers[i], NULL);
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(followers[i], NULL);
        sem_destroy(&f[i].wake);
        assert_int_equal(f[i].records, PRODUCERS * BATCHES / 2 * EVENTS);
        int64_t offset, ts;
        assert_ok(shard_offset_for_time(w->shards[i], 100, &offset, &ts));
        assert_true(ts >= 100);
        assert_true(offset > 0);
    }
}

static void agree_with(int64_t commit_here_ns)
{
    struct world w = {0};
    scratch_make(w.dir);
    struct worker_pool *workers = worker_pool_new(2);
    struct writer_options wo = {.clock = clock_real(),
                                .commit_threads = 2,
                                .commit_here_ns = commit_here_ns,
                                .max_pending = 100,
                                .max_pending_bytes = MIB(16),
                                .pressure_ms = 60000,
                                .key_hours = 24,
                                .max_keys = 1000};
    w.writer = writer_new(&wo);
    struct log_options lo = {.io = io_posix(),
                             .clock = clock_real(),
                             .data_dir = w.dir,
                             .segment_bytes = LIMIT_SEGMENT_MIN_BYTES,
                             .workers = workers,
                             .state = writer_state_ops(w.writer)};
    struct stream *s;
    assert_ok(log_open(&lo, &w.log));
    assert_ok(log_create_stream(w.log, "events", 2, &s));
    w.shards[0] = stream_shard(s, 0);
    w.shards[1] = stream_shard(s, 1);
    writer_start(w.writer);
    run_threads(&w);
    writer_stop(w.writer);
    worker_pool_free(workers);
    log_close(w.log);
    writer_free(w.writer);
    scratch_remove(w.dir);
}

static void producers_and_followers_agree(void **state)
{
    (void)state;
    agree_with(0);
}

/* Producers that commit their own batches where they find the shard free, among commit threads. */
static void producers_that_wait_agree(void **state)
{
    (void)state;
    agree_with(INT64_C(1000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(producers_that_wait_agree),
        cmocka_unit_test(producers_and_followers_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
