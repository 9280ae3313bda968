/*
 * fixture.c: see fixture.h.
 */
#include "fixture.h"

static void storage_open(struct fixture *f)
{
    f->writer = writer_new(&(struct writer_options){.clock = &f->clock.base,
                                                    .max_pending = 4,
                                                    .max_pending_bytes = MIB(16),
                                                    .pressure_ms = 50,
                                                    .key_hours = 24,
                                                    .max_keys = 100});
    struct log_options lo = {.io = io_posix(),
                             .clock = &f->clock.base,
                             .data_dir = f->dir,
                             .segment_bytes = LIMIT_SEGMENT_MIN_BYTES,
                             .workers = f->workers,
                             .state = writer_state_ops(f->writer)};
    assert_ok(log_open(&lo, &f->log));
    writer_start(f->writer);
}

int fixture_setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    scratch_make(f->dir);
    clock_manual_init(&f->clock, INT64_C(1770000000000000));
    f->workers = worker_pool_new(0);
    storage_open(f);
    f->reactor = fake_reactor_new();
    struct kafka_options ko = {.log = f->log,
                               .writer = f->writer,
                               .workers = f->workers,
                               .clock = &f->clock.base,
                               .cluster_id = "cluster",
                               .advertise = "host:9092",
                               .auto_create_topics = true,
                               .default_partitions = 2};
    assert_ok(kafka_door_new(&ko, &f->door));
    f->conn = fake_conn_open(f->reactor, &kafka_conn_ops, f->door);
    assert_non_null(f->conn);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    if (f->conn != NULL)
        fake_conn_gone(f->conn);
    fixture_settle(f);
    fake_reactor_free(f->reactor);
    assert_int_equal(atomic_load(&f->door->buffered_bytes), 0);
    kafka_door_free(f->door);
    writer_stop(f->writer);
    worker_pool_run(f->workers);
    log_close(f->log);
    writer_free(f->writer);
    worker_pool_free(f->workers);
    buf_release(&f->request);
    scratch_remove(f->dir);
    free(f);
    return 0;
}

struct stream *fixture_topic(struct fixture *f, const char *name, unsigned partitions)
{
    struct stream *s;
    assert_ok(log_create_stream(f->log, name, partitions, &s));
    return s;
}

uint8_t *fixture_batch(struct fixture *f, unsigned count, size_t value_bytes, uint32_t *ret_len)
{
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    char *value = xcalloc(1, value_bytes + 1);
    for (unsigned i = 0; i < count; i++) {
        struct event_record rec = {.ts_ms = clock_wall_ms(&f->clock.base),
                                   .value = {{value, value_bytes}}};
        assert_ok(builder_add(b, &rec));
    }
    uint8_t *data;
    uint32_t sealed;
    builder_seal(b, &data, ret_len, &sealed);
    assert_int_equal(sealed, count);
    builder_free(b);
    free(value);
    return data;
}

static void on_appended(struct write_batch *b)
{
    assert_ok(b->err);
}

void fixture_append(struct fixture *f, const char *topic, unsigned partition, unsigned count,
                    size_t value_bytes)
{
    struct stream *s = log_find_stream(f->log, topic, strlen(topic));
    assert_non_null(s);
    struct write_batch b = {.shard = stream_shard(s, partition), .on_done = on_appended};
    b.data = fixture_batch(f, count, value_bytes, &b.len);
    b.record_count = count;
    assert_ok(writer_submit(f->writer, &b));
    writer_commit_pending(f->writer);
}

void fixture_settle(struct fixture *f)
{
    while (writer_commit_pending(f->writer) + worker_pool_run(f->workers) +
               fake_reactor_run(f->reactor) >
           0)
        ;
}

struct wire_writer fixture_request(struct fixture *f, int16_t key, int16_t version, bool flexible)
{
    buf_clear(&f->request);
    put_u32(&f->request, 0);
    struct wire_writer w = {&f->request, flexible};
    struct request_header h = {.key = key,
                               .version = version,
                               .correlation_id = ++f->correlation_id,
                               .client_id = SLICE("test")};
    request_header_write(&w, &h);
    return w;
}

void fixture_seal(struct fixture *f)
{
    store_u32(f->request.data, (uint32_t)(f->request.len - 4));
}

void fixture_send(struct fixture *f)
{
    fixture_seal(f);
    fake_conn_receive(f->conn, f->request.data, f->request.len);
}

bool fixture_has_reply(struct fixture *f)
{
    struct buf *out = fake_conn_out(f->conn);
    return out->len >= 4 && out->len - 4 >= load_u32(out->data);
}

struct wire_reader fixture_reply(struct fixture *f, int32_t correlation_id, bool flexible)
{
    static char reply[MIB(1)];
    assert_true(fixture_has_reply(f));
    struct buf *out = fake_conn_out(f->conn);
    uint32_t size = load_u32(out->data);
    assert_true(size <= sizeof(reply));
    memcpy(reply, out->data + 4, size);
    buf_consume(out, 4 + size);
    struct wire_reader r = wire_reader_of(reply, size, flexible);
    assert_int_equal(reply_header_read(&r), correlation_id);
    return r;
}
