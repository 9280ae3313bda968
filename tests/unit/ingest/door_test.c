/*
 * The doors step by step, without sockets and threads, on a disk in memory: what is answered when,
 * what becomes of keys in flight, of clients that go away, of faults, and of the memory that
 * unfinished requests hold.
 */
#include "tests/test.h"

#include <stdio.h>

#include "fake_http.h"
#include "ingest/door.h"
#include "tests/sim/simdisk.h"

#define EVENT "{\"type\":\"a.b\",\"ts\":\"2026-02-02T02:40:00Z\"}"
#define KEYED(key) "Authorization: Bearer t\nIdempotency-Key: " key "\n"
#define PLAIN "Authorization: Bearer t\n"
#define LINES PLAIN "Content-Type: application/x-ndjson\n"
#define ACME "Authorization: Bearer ns_acme_k\n"

struct fixture {
    struct simdisk *disk;
    struct clock_manual clock;
    struct worker_pool *workers;
    struct writer *writer;
    struct log *log;
    struct access *access;
    struct reactor_group *reactors;
    struct ingest *ingest;
    const struct http_route *routes;
    size_t route_count;
};

static void open_storage(struct fixture *f)
{
    f->writer = writer_new(&(struct writer_options){.clock = &f->clock.base,
                                                    .max_pending = 2,
                                                    .max_pending_bytes = MIB(16),
                                                    .pressure_ms = 50,
                                                    .key_hours = 24,
                                                    .max_keys = 1000});
    const struct log_options lo = {.io = simdisk_io(f->disk),
                                   .clock = &f->clock.base,
                                   .data_dir = "/data",
                                   .segment_bytes = MIB(1),
                                   .workers = f->workers,
                                   .state = writer_state_ops(f->writer)};
    struct stream *events;
    assert_ok(log_open(&lo, &f->log));
    writer_start(f->writer);
    assert_ok(log_create_stream(f->log, "events", 1, &events));
}

static void open_doors(struct fixture *f)
{
    static const struct access_key keys[] = {{"ns_acme_k", "acme"}};
    static const struct ingest_secret secrets[] = {{"github", "It's a Secret to Everybody"}};
    const struct access_options ao = {.clock = &f->clock.base,
                                      .admin_token = "t",
                                      .default_namespace = "default",
                                      .keys = keys,
                                      .key_count = 1};
    assert_ok(access_new(&ao, &f->access));
    f->reactors = fake_reactors_new();
    const struct ingest_options io = {.log = f->log,
                                      .writer = f->writer,
                                      .access = f->access,
                                      .reactors = f->reactors,
                                      .workers = f->workers,
                                      .clock = &f->clock.base,
                                      .codec = BATCH_CODEC_LZ4,
                                      .body_bytes = MIB(1),
                                      .batch_events = 1000,
                                      .event_bytes = 10240,
                                      .secrets = secrets,
                                      .secret_count = 1};
    f->ingest = ingest_new(&io);
    f->routes = ingest_routes(f->ingest, &f->route_count);
}

static int setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));
    f->disk = simdisk_new(1);
    clock_manual_init(&f->clock, INT64_C(1770000000000000));
    f->workers = worker_pool_new(0);
    open_storage(f);
    open_doors(f);
    *state = f;
    return 0;
}

/** Everything that can happen by itself happens. */
static void settle(struct fixture *f)
{
    unsigned moved;
    do {
        moved = fake_reactors_turn(f->reactors);
        moved += writer_commit_pending(f->writer);
        moved += worker_pool_run(f->workers);
    } while (moved > 0);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    settle(f);
    assert_int_equal(atomic_load(&f->ingest->building_bytes), 0);
    writer_stop(f->writer);
    fake_reactors_turn(f->reactors);
    ingest_free(f->ingest);
    access_free(f->access);
    worker_pool_run(f->workers);
    log_close(f->log);
    writer_free(f->writer);
    worker_pool_free(f->workers);
    fake_reactors_free(f->reactors);
    simdisk_free(f->disk);
    free(f);
    return 0;
}

static struct fake_request *begin(struct fixture *f, const char *target, const char *headers,
                                  int64_t length)
{
    return fake_http_begin(f->reactors, f->routes, f->route_count, target, headers, length);
}

/** A request whose body comes in one piece. */
static struct fake_request *post(struct fixture *f, const char *headers, const char *body)
{
    struct fake_request *q = begin(f, "/ingest", headers, (int64_t)strlen(body));
    fake_http_body(q, body, strlen(body));
    fake_http_end(q);
    return q;
}

static void expect(struct fake_request *q, int status, const char *part)
{
    if (fake_http_status(q) != status || strstr(fake_http_reply(q), part) == NULL)
        fail_msg("wanted %d with %s, got %d %s", status, part, fake_http_status(q),
                 fake_http_reply(q));
    fake_http_free(q);
}

static int64_t stored(struct fixture *f, const char *stream)
{
    struct stream *s = log_find_stream(f->log, stream, strlen(stream));
    return s == NULL ? -1 : shard_high_watermark(stream_shard(s, 0));
}

/** More than one piece of events. */
static struct buf large_body(size_t events)
{
    struct buf b = BUF_INIT;
    for (size_t i = 0; i < events; i++)
        buf_printf(&b, "{\"type\":\"a\",\"ts\":\"2026-02-02T02:40:00.123Z\",\"n\":%zu}\n",
                   i * 7919);
    return b;
}

static struct fake_request *post_pieces(struct fixture *f, const char *headers, struct slice body,
                                        size_t piece, bool whole)
{
    struct fake_request *q = begin(f, "/ingest", headers, (int64_t)body.len);
    for (size_t at = 0; at < body.len && (whole || at + piece < body.len); at += piece)
        fake_http_body(q, body.data + at, MIN(piece, body.len - at));
    if (whole)
        fake_http_end(q);
    return q;
}

static void success_comes_after_the_sync_only(void **state)
{
    struct fixture *f = *state;
    struct fake_request *q = post(f, PLAIN, "[" EVENT "]");
    fake_reactors_turn(f->reactors);
    assert_int_equal(fake_http_status(q), 0);
    assert_int_equal(stored(f, "events"), 0);
    settle(f);
    assert_int_equal(stored(f, "events"), 1);
    expect(q, 200,
           "\"received\":1,\"namespace\":\"default\",\"stream\":\"events\",\"shard\":0,\"lsn\":0");
}

static void a_bad_request_between_good_ones_leaves_no_trace(void **state)
{
    struct fixture *f = *state;
    struct fake_request *a = post(f, PLAIN, "[" EVENT "," EVENT "]");
    struct fake_request *bad = post(f, PLAIN, "[" EVENT ",{\"type\":\"x\"}]");
    struct fake_request *b = post(f, PLAIN, "[" EVENT "]");
    struct fake_request *none = post(f, PLAIN, "[]");
    expect(bad, 400, "\"index\":1,\"field\":\"ts\"");
    expect(none, 200, "\"received\":0");
    settle(f);
    expect(a, 200, "\"lsn\":1");
    expect(b, 200, "\"lsn\":2");
    assert_int_equal(stored(f, "events"), 3);
}

static void a_body_cut_anywhere_is_the_same_body(void **state)
{
    struct fixture *f = *state;
    const char *body = "{\"events\":[" EVENT "," EVENT "],\"batchId\":\"b\"}";
    size_t len = strlen(body);
    for (size_t cut = 1; cut < len; cut++) {
        struct fake_request *q = begin(f, "/ingest", PLAIN, cut % 2 ? (int64_t)len : -1);
        fake_http_body(q, body, cut);
        fake_http_body(q, body + cut, len - cut);
        fake_http_end(q);
        settle(f);
        expect(q, 200, cut == 1 ? "\"lsn\":1,\"success\"" : "\"lsn\":1,\"deduplicated\":true");
    }
    assert_int_equal(stored(f, "events"), 2);
}

static void a_key_in_flight_is_waited_for(void **state)
{
    struct fixture *f = *state;
    struct fake_request *first = post(f, KEYED("k"), "[" EVENT "]");
    struct fake_request *again = post(f, KEYED("k"), "[" EVENT "]");
    struct fake_request *other = post(f, KEYED("k"), "[" EVENT " ]");
    fake_reactors_turn(f->reactors);
    assert_int_equal(fake_http_status(again), 0);
    settle(f);
    expect(first, 200, "\"lsn\":0,\"success\"");
    expect(again, 200, "\"lsn\":0,\"deduplicated\":true");
    expect(other, 422, "KEY_REUSED");
    expect(post(f, KEYED("k"), "[" EVENT "]"), 200, "\"lsn\":0,\"deduplicated\":true");
    assert_int_equal(stored(f, "events"), 1);
}

static void when_the_first_fails_its_repeat_may_try_again(void **state)
{
    struct fixture *f = *state;
    struct fake_request *first = post(f, KEYED("k"), "[" EVENT "]");
    struct fake_request *again = post(f, KEYED("k"), "[" EVENT "]");
    simdisk_set_fault(f->disk, (struct simdisk_fault){SIMDISK_SYNC, 1, 1, ERR_IO});
    settle(f);
    assert_string_equal(fake_http_header(again, "Retry-After"), "1");
    expect(first, 503, "STORAGE_ERROR");
    expect(again, 503, "SERVICE_UNAVAILABLE");
    struct fake_request *third = post(f, KEYED("k"), "[" EVENT "]");
    settle(f);
    expect(third, 200, "\"lsn\":0,\"success\"");
}

static void a_full_disk_is_507_and_passes(void **state)
{
    struct fixture *f = *state;
    simdisk_set_budget(f->disk, simdisk_used_bytes(f->disk));
    struct fake_request *q = post(f, PLAIN, "[" EVENT "]");
    settle(f);
    expect(q, 507, "STORAGE_FULL");
    simdisk_set_budget(f->disk, UINT64_MAX);
    for (int i = 0; i < 3; i++) { /* the probe comes once a second */
        clock_manual_advance_us(&f->clock, 1100000);
        settle(f);
    }
    q = post(f, PLAIN, "[" EVENT "]");
    settle(f);
    expect(q, 200, "\"lsn\":0");
}

static void a_writer_under_pressure_refuses(void **state)
{
    struct fixture *f = *state;
    struct fake_request *waiting[3];
    for (size_t i = 0; i < ARRAY_LEN(waiting); i++) {
        waiting[i] = post(f, PLAIN, "[" EVENT "]");
        fake_reactors_turn(f->reactors);
    }
    clock_manual_advance_us(&f->clock, 60000);
    struct fake_request *q = post(f, PLAIN, "[" EVENT "]");
    assert_string_equal(fake_http_header(q, "Retry-After"), "1");
    expect(q, 503, "BUFFER_FULL");
    /* A large body is refused by its head. */
    expect(begin(f, "/ingest", LINES, 500000), 503, "BUFFER_FULL");
    settle(f);
    for (size_t i = 0; i < ARRAY_LEN(waiting); i++)
        expect(waiting[i], 200, "\"received\":1");
    assert_int_equal(stored(f, "events"), 3);
}

static void large_bodies_are_one_request_whole_or_absent(void **state)
{
    struct fixture *f = *state;
    struct buf body = large_body(5000);
    struct fake_request *q = post_pieces(f, LINES, buf_slice(&body), KIB(64), true);
    settle(f);
    expect(q, 200,
           "\"received\":5000,\"namespace\":\"default\",\"stream\":\"events\",\"shard\":0,\"lsn\":"
           "4999");
    buf_append_str(&body, "{\"type\":");
    expect(post_pieces(f, LINES, buf_slice(&body), KIB(64), true), 400, "INVALID_JSON");
    buf_release(&body);
    settle(f);
    assert_int_equal(stored(f, "events"), 5000);
}

static void clients_that_go_away_in_their_body_hold_nothing(void **state)
{
    struct fixture *f = *state;
    struct buf body = large_body(5000);
    static const char *const heads[] = {LINES, LINES "Content-Encoding: gzip\n",
                                        LINES "Content-Encoding: zstd\n",
                                        LINES "Idempotency-Key: k\n"};
    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct fake_request *q = begin(f, "/ingest", heads[i], (int64_t)body.len);
        if (strstr(heads[i], "Encoding") == NULL) {
            fake_http_body(q, body.data, 10);
            fake_http_body(q, body.data + 10, KIB(64));
            fake_http_body(q, body.data + 10 + KIB(64), KIB(64));
            assert_int_not_equal(atomic_load(&f->ingest->building_bytes), 0);
        }
        fake_http_abort(q);
        assert_true(fake_http_released(q));
        assert_int_equal(atomic_load(&f->ingest->building_bytes), 0);
        fake_http_free(q);
    }
    buf_release(&body);
    settle(f);
    assert_int_equal(stored(f, "events"), 0);
}

static void clients_that_go_away_before_the_answer_are_kept_until_it(void **state)
{
    struct fixture *f = *state;
    struct fake_request *first = post(f, KEYED("k"), "[" EVENT "]");
    struct fake_request *waits = post(f, KEYED("k"), "[" EVENT "]");
    fake_http_abort(first);
    fake_http_abort(waits);
    fake_reactors_turn(f->reactors);
    assert_false(fake_http_released(first));
    assert_false(fake_http_released(waits));
    settle(f);
    assert_true(fake_http_released(first));
    assert_true(fake_http_released(waits));
    fake_http_free(first);
    fake_http_free(waits);
    expect(post(f, KEYED("k"), "[" EVENT "]"), 200, "\"deduplicated\":true");
}

static void a_namespaces_stream_is_made_by_its_first_good_event(void **state)
{
    struct fixture *f = *state;
    expect(post(f, ACME, "[{\"type\":\"x\"}]"), 400, "INVALID_EVENT");
    expect(post(f, ACME, "[]"), 200, "\"namespace\":\"acme\"");
    settle(f);
    assert_int_equal(stored(f, "acme.events"), -1);
    struct fake_request *a = post(f, ACME, "[" EVENT "]");
    struct fake_request *b = post(f, ACME, "[" EVENT "," EVENT "]");
    assert_int_equal(fake_http_status(a), 0);
    settle(f);
    expect(a, 200, "\"stream\":\"acme.events\",\"shard\":0,\"lsn\":0");
    expect(b, 200, "\"stream\":\"acme.events\",\"shard\":0,\"lsn\":2");
    struct fake_request *c = post(f, ACME, "[" EVENT "]");
    settle(f);
    expect(c, 200, "\"lsn\":3");
}

static void a_client_gone_while_its_stream_is_made_stores_nothing(void **state)
{
    struct fixture *f = *state;
    struct fake_request *q = post(f, ACME, "[" EVENT "]");
    fake_http_abort(q);
    assert_false(fake_http_released(q));
    settle(f);
    assert_true(fake_http_released(q));
    fake_http_free(q);
    assert_int_equal(stored(f, "acme.events"), 0);
}

static void a_stream_that_cannot_be_made_is_said(void **state)
{
    struct fixture *f = *state;
    struct fake_request *q = post(f, ACME, "[" EVENT "]");
    simdisk_set_fault(f->disk, (struct simdisk_fault){SIMDISK_ENTRY, 1, UINT64_MAX, ERR_IO});
    settle(f);
    expect(q, 503, "STORAGE_ERROR");
    simdisk_set_fault(f->disk, (struct simdisk_fault){0});
    q = post(f, ACME, "[" EVENT "]");
    settle(f);
    expect(q, 200, "\"stream\":\"acme.events\",\"shard\":0,\"lsn\":0");
}

static void unfinished_bodies_share_one_budget(void **state)
{
    struct fixture *f = *state;
    struct buf body = large_body(5000);
    struct charge others = {.in = f->ingest};
    assert_ok(charge_add(&others, LIMIT_BUILDING_BYTES - KIB(100)));
    struct fake_request *q = post_pieces(f, LINES, buf_slice(&body), KIB(64), true);
    assert_string_equal(fake_http_header(q, "Retry-After"), "1");
    expect(q, 503, "BUFFER_FULL");
    /* What is parsed where it lies needs no budget. */
    q = post(f, PLAIN, "[" EVENT "]");
    charge_release(&others);
    settle(f);
    expect(q, 200, "\"lsn\":0");
    q = post_pieces(f, LINES, buf_slice(&body), KIB(64), true);
    settle(f);
    expect(q, 200, "\"lsn\":5000");
    buf_release(&body);
}

static struct fake_request *deliver(struct fixture *f, const char *delivery)
{
    static const char body[] = "{\"zen\": 1}";
    char *headers =
        xasprintf("X-Hub-Signature-256: sha256="
                  "%s\nX-GitHub-Event: ping\nX-GitHub-Delivery: %s\n",
                  "91c4f5bbb2b8e8b6dd0d6bd5bd2d9e2fd6b2fa4a0cf7a0e5dfd6aef1b3a0a000", delivery);
    struct fake_request *q = begin(f, "/webhooks/github", headers, (int64_t)strlen(body));
    fake_http_body(q, body, strlen(body));
    fake_http_end(q);
    free(headers);
    return q;
}

static void a_forged_delivery_says_nothing_about_ids(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 2; i++)
        expect(deliver(f, "d-1"), 401, "\"details\":\"Invalid signature\"");
    settle(f);
    assert_int_equal(stored(f, "events"), 0);
}

/* "Hello, World!" is GitHub's published vector: genuine, but no JSON. */
static void a_genuine_delivery_in_any_pieces(void **state)
{
    struct fixture *f = *state;
    static const char body[] = "Hello, World!";
    for (size_t cut = 1; cut < strlen(body); cut++) {
        struct fake_request *q =
            begin(f, "/webhooks?provider=github",
                  "X-Hub-Signature-256: sha256="
                  "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17\n",
                  -1);
        fake_http_body(q, body, cut);
        fake_http_body(q, body + cut, strlen(body) - cut);
        fake_http_end(q);
        expect(q, 400, "\"error\":\"Invalid JSON body\"");
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(success_comes_after_the_sync_only),
        TEST(a_bad_request_between_good_ones_leaves_no_trace),
        TEST(a_body_cut_anywhere_is_the_same_body),
        TEST(a_key_in_flight_is_waited_for),
        TEST(when_the_first_fails_its_repeat_may_try_again),
        TEST(a_full_disk_is_507_and_passes),
        TEST(a_writer_under_pressure_refuses),
        TEST(large_bodies_are_one_request_whole_or_absent),
        TEST(clients_that_go_away_in_their_body_hold_nothing),
        TEST(clients_that_go_away_before_the_answer_are_kept_until_it),
        TEST(a_namespaces_stream_is_made_by_its_first_good_event),
        TEST(a_client_gone_while_its_stream_is_made_stores_nothing),
        TEST(a_stream_that_cannot_be_made_is_said),
        TEST(unfinished_bodies_share_one_budget),
        TEST(a_forged_delivery_says_nothing_about_ids),
        TEST(a_genuine_delivery_in_any_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
