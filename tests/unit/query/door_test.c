/* The routes of state and recovery, over real sockets, a real log, writer and state. */
#include "query/op.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "fakes.h"
#include "tests/scratch.h"
#include "tests/unit/net/server.h"
#include "writer/builder.h"

struct world {
    char dir[SCRATCH_BYTES];
    struct worker_pool *workers;
    struct writer *writer;
    struct log *log;
    struct shard *shard;
    struct access *access;
    struct query *query;
    struct test_server server;
};

static struct world w;

static void open_log(void)
{
    w.workers = worker_pool_new(1);
    w.writer = writer_new(&(struct writer_options){.clock = clock_real(),
                                                   .commit_threads = 1,
                                                   .max_pending = 100,
                                                   .max_pending_bytes = MIB(16),
                                                   .pressure_ms = 60000,
                                                   .key_hours = 24,
                                                   .max_keys = 1000});
    assert_ok(log_open(&(struct log_options){.io = io_posix(),
                                             .clock = clock_real(),
                                             .data_dir = w.dir,
                                             .segment_bytes = MIB(16),
                                             .workers = w.workers,
                                             .state = writer_state_ops(w.writer)},
                       &w.log));
    struct stream *s;
    assert_ok(log_create_stream(w.log, "events", 1, &s));
    w.shard = stream_shard(s, 0);
    writer_start(w.writer);
    fakes_use(w.log, w.dir);
}

static int set_up(void **state)
{
    (void)state;
    w = (struct world){0};
    scratch_make(w.dir);
    open_log();
    const struct access_key key = {"ns_acme_0123456789abcdef", "acme"};
    assert_ok(access_new(&(struct access_options){.clock = clock_real(),
                                                  .admin_token = "admin-token",
                                                  .default_namespace = "default",
                                                  .keys = &key,
                                                  .key_count = 1},
                         &w.access));
    w.query = query_new(&(struct query_options){.io = io_posix(),
                                                .clock = clock_real(),
                                                .log = w.log,
                                                .writer = w.writer,
                                                .access = w.access,
                                                .data_dir = w.dir,
                                                .codec = BATCH_CODEC_LZ4});
    server_start(&w.server, &(struct test_server_options){.reactors = 2,
                                                          .routes = query_routes(w.query),
                                                          .route_count = QUERY_ROUTE_COUNT});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    server_close(&w.server);
    query_stop(w.query);
    writer_stop(w.writer);
    worker_pool_free(w.workers);
    server_stop(&w.server);
    query_free(w.query);
    log_close(w.log);
    writer_free(w.writer);
    access_free(w.access);
    scratch_remove(w.dir);
    return 0;
}

/* Help ---------------------------------------------------------------------------------------- */

struct sent {
    struct write_batch batch;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;
};

static void on_sent(struct write_batch *b)
{
    struct sent *s = CONTAINER_OF(b, struct sent, batch);
    pthread_mutex_lock(&s->lock);
    s->done = true;
    pthread_cond_signal(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

/* Appends changes of the collection "c/d": documents prefix0, prefix1, … of about `bytes` bytes. */
static void append(const char *prefix, unsigned count, size_t bytes)
{
    struct builder *b = builder_new(BATCH_CODEC_NONE);
    char *value = xmalloc(bytes + 300);
    for (unsigned i = 0; i < count; i++) {
        char id[32];
        int id_len = snprintf(id, sizeof(id), "%s%u", prefix, i);
        int len =
            sprintf(value,
                    "{\"type\":\"collection.insert\",\"ts\":\"2026-02-02T14:30:00Z\","
                    "\"collection\":\"c/d\",\"docId\":\"%s\",\"doc\":{\"n\":%u, \"x\":\"%0*d\"}}",
                    id, i, (int)bytes, 0);
        const struct event_record rec = {.ts_ms = 1770042600000,
                                         .key = {id, (size_t)id_len},
                                         .value = {{value, (size_t)len}},
                                         .type = SLICE("collection.insert")};
        assert_ok(builder_add(b, &rec));
    }
    struct sent s = {.batch = {.shard = w.shard, .on_done = on_sent},
                     .lock = PTHREAD_MUTEX_INITIALIZER,
                     .changed = PTHREAD_COND_INITIALIZER};
    builder_seal(b, &s.batch.data, &s.batch.len, &s.batch.record_count);
    assert_ok(writer_submit(w.writer, &s.batch));
    pthread_mutex_lock(&s.lock);
    while (!s.done)
        pthread_cond_wait(&s.changed, &s.lock);
    pthread_mutex_unlock(&s.lock);
    assert_ok(s.batch.err);
    builder_free(b);
    free(value);
}

static void ask_as(int fd, const char *token, const char *method, const char *path,
                   const char *body)
{
    client_printf(fd, "%s %s HTTP/1.1\r\nHost: t\r\nAuthorization: Bearer %s\r\n", method, path,
                  token);
    client_printf(fd, "Content-Length: %zu\r\n\r\n%s", strlen(body), body);
}

static void ask(int fd, const char *method, const char *path, const char *body)
{
    ask_as(fd, "admin-token", method, path, body);
}

/** Reads one reply: its status, and a text that it has somewhere. */
static void expect_text(int fd, int status, const char *text)
{
    int got = 0;
    char *reply = client_reply(fd, &got);
    if (reply == NULL || got != status || strstr(reply, text) == NULL)
        fail_msg("not %d and \"%s\": %s", status, text, reply == NULL ? "nothing" : reply);
    free(reply);
}

static size_t count_lines(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += *text == '\n';
    return count;
}

/* Who may ask for what ------------------------------------------------------------------------ */

/** A request, and what its answer must hold. */
struct asked {
    const char *token, *method, *path, *body;
    int status;
    const char *text;
};

static void check(const struct asked *cases, size_t count)
{
    int fd = client_open(&w.server);
    for (size_t i = 0; i < count; i++) {
        int status = 0;
        ask_as(fd, cases[i].token, cases[i].method, cases[i].path, cases[i].body);
        char *reply = client_reply(fd, &status);
        if (status != cases[i].status || strstr(reply, cases[i].text) == NULL)
            fail_msg("%s %s: %s", cases[i].method, cases[i].path, reply);
        free(reply);
    }
    close(fd);
}

static void requests_are_checked_before_any_work(void **state)
{
    (void)state;
    static const struct asked cases[] = {
        {"admin-token", "GET", "/state/default/nothing", "", 404, "no collection"},
        {"admin-token", "GET", "/state/nobody/c", "", 404, "no namespace"},
        {"admin-token", "GET", "/state/UPPER/c", "", 400, "INVALID_NAMESPACE"},
        {"admin-token", "GET", "/state/../c", "", 400, "INVALID_NAMESPACE"},
        {"admin-token", "GET", "/state/a%00b/c", "", 400, "INVALID_NAMESPACE"},
        {"admin-token", "GET", "/state/default/%zz", "", 400, "hex digits"},
        {"admin-token", "GET", "/state/default/%00", "", 400, "NUL"},
        {"admin-token", "GET", "/state/default/..", "", 404, "NOT_FOUND"},
        {"wrong", "GET", "/state/default/c", "", 401, "INVALID_API_KEY"},
        {"ns_acme_0123456789abcdef", "GET", "/state/default/c", "", 403, "acme"},
        {"ns_acme_0123456789abcdef", "POST", "/restore/default/c", "{\"lsn\":1}", 403, "acme"},
        {"ns_acme_0123456789abcdef", "GET", "/changes/default/c", "", 403, "acme"},
        {"ns_acme_0123456789abcdef", "GET", "/state/acme/c", "", 404, "no namespace"},
        {"ns_acme_0123456789abcdef", "POST", "/flush", "", 200, "\"ok\":true"},
        {"admin-token", "POST", "/flush", "", 200, "\"ok\":true"},
        {"admin-token", "GET", "/flush", "", 405, ""},
        {"admin-token", "POST", "/admin/compact", "", 200, "\"collections\":1"},
        {"ns_acme_0123456789abcdef", "POST", "/admin/compact", "", 200, "\"collections\":1"},
        {"admin-token", "GET", "/admin/compact", "", 405, ""},
        {"admin-token", "GET", "/state/default/c?at=2026-02-02T14:30:00", "", 400, "zone"},
        {"admin-token", "GET", "/state/default/c?at=2026-02-02T14:30:00Z", "", 400, "future"},
        {"admin-token", "GET", "/state/default/c?time=2026-02-02T14:30:00Z", "", 400, "time"},
        {"admin-token", "GET", "/state/default/c?lsn=1&l%73n=1", "", 400, "twice"},
        {"admin-token", "GET", "/state/default/c?ls=1", "", 400, "at, lsn"},
        {"admin-token", "GET", "/state/default/c?=1", "", 400, "no parameter of"},
        {"admin-token", "POST", "/restore/default/c?dryRun", "{\"lsn\":1}", 400, "dryRun"},
        {"admin-token", "GET", "/state/default/c?lsn=x", "", 400, "whole number"},
        {"admin-token", "GET", "/state/default/c?lsn=99999999999999999999", "", 400,
         "whole number"},
        {"admin-token", "GET", "/state/default/c?lsn=1&bookmark=b", "", 400, "one of"},
        {"admin-token", "GET", "/state/default/c?snapshot=s&exclusive=1", "", 400, "exclusive"},
        {"admin-token", "GET", "/state/default/c?lsn=1&exclusive=maybe", "", 400, "exclusive"},
        {"admin-token", "GET", "/changes/default/c?from=7", "", 400, "beyond the end"},
        {"admin-token", "GET", "/changes/default/c?limit=0", "", 400, "limit"},
        {"admin-token", "GET", "/changes/default/c?wait=61", "", 400, "wait"},
        {"admin-token", "GET", "/changes/default/c", "", 404, "no collection"},
        {"admin-token", "POST", "/restore/default/c", "{}", 400, "target"},
        {"admin-token", "POST", "/restore/default/c", "", 400, "INVALID_JSON"},
        {"admin-token", "DELETE", "/snapshots/default/c", "", 405, ""},
    };
    check(cases, ARRAY_LEN(cases));
}

static void only_the_admin_removes(void **state UNUSED)
{
    static const struct asked cases[] = {
        {"admin-token", "POST", "/snapshots/default/users/cleanup", "", 200, "\"removed\":[]"},
        {"admin-token", "POST", "/snapshots/default/users/cleanup", "{\"dailyKeep\":2}", 200,
         "[{\"path\":\"users/x.parquet\",\"size\":7},{\"path\":\"users/x.parquet\",\"size\":7}]"},
        {"admin-token", "POST", "/snapshots/default/users/cleanup", "{\"dryRun\":true}", 200,
         "\"dryRun\":true"},
        {"admin-token", "POST", "/snapshots/default/users/cleanup", "{\"dryrun\":true}", 400,
         "dryrun"},
        {"admin-token", "POST", "/snapshots/default/users/cleanup", "{\"windowDays\":-1}", 400,
         "VALIDATION_ERROR"},
        {"admin-token", "POST", "/snapshots/default/users/cleanup", "{\"windowDays\":1e3}", 400,
         "VALIDATION_ERROR"},
        {"admin-token", "POST", "/snapshots/default/users/cleanup", "[]", 400, "VALIDATION_ERROR"},
        {"admin-token", "POST", "/snapshots/default/users/cleanup", "{", 400, "INVALID_JSON"},
        {"ns_acme_0123456789abcdef", "POST", "/snapshots/acme/users/cleanup", "", 403, "FORBIDDEN"},
        {"admin-token", "DELETE", "/snapshots/default/users/there", "", 200, "\"ok\":true"},
        {"admin-token", "DELETE", "/snapshots/default/users/cleanup", "", 404, "NOT_FOUND"},
        {"ns_acme_0123456789abcdef", "DELETE", "/snapshots/acme/users/there", "", 403, "FORBIDDEN"},
    };
    check(cases, ARRAY_LEN(cases));
}

static void names_too_long_are_refused(void **state)
{
    (void)state;
    char path[1400] = "/state/default/";
    int fd = client_open(&w.server);
    memset(path + strlen(path), 'c', 257);
    ask(fd, "GET", path, "");
    expect_text(fd, 400, "256");
    close(fd);
}

/* Documents ----------------------------------------------------------------------------------- */

static void current_documents_come_in_the_order_of_ids(void **state)
{
    (void)state;
    int fd = client_open(&w.server);
    append("b", 2, 1);
    append("a", 1, 1);
    ask(fd, "GET", "/state/default/c%2Fd", "");
    client_expect(fd, 200,
                  "{\"id\":\"a0\",\"doc\":{\"n\":0, "
                  "\"x\":\"0\"},\"lsn\":2,\"ts\":\"2026-02-02T14:30:00.000Z\"}\n"
                  "{\"id\":\"b0\",\"doc\":{\"n\":0, "
                  "\"x\":\"0\"},\"lsn\":0,\"ts\":\"2026-02-02T14:30:00.000Z\"}\n"
                  "{\"id\":\"b1\",\"doc\":{\"n\":1, "
                  "\"x\":\"0\"},\"lsn\":1,\"ts\":\"2026-02-02T14:30:00.000Z\"}\n");
    ask(fd, "GET", "/state/default/c%2Fd/b1", "");
    client_expect(fd, 200,
                  "{\"id\":\"b1\",\"doc\":{\"n\":1, "
                  "\"x\":\"0\"},\"lsn\":1,\"ts\":\"2026-02-02T14:30:00.000Z\"}\n");
    ask(fd, "GET", "/state/default/c%2Fd/..", "");
    client_expect(fd, 404, NULL);
    ask(fd, "GET", "/state/default/c%2Fd/b1%00", "");
    client_expect(fd, 404, NULL);
    ask(fd, "GET", "/collections/default", "");
    expect_text(fd, 200, "{\"collections\":[{\"name\":\"c/d\",\"count\":3,\"lastLsn\":2,");
    close(fd);
}

/* 40 MB through a slow reader: the server holds no more than a few pieces of it. */
static void a_large_collection_is_streamed_in_bounded_memory(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) {
        char prefix[8];
        snprintf(prefix, sizeof(prefix), "p%d-", i);
        append(prefix, 500, 10000);
    }
    int fd = client_open(&w.server);
    int small = 65536;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    client_send(fd, "GET /state/default/c%2Fd HTTP/1.1\r\nHost: t\r\nConnection: close\r\n"
                    "Authorization: Bearer admin-token\r\n\r\n");
    size_t len;
    char *all = client_rest(fd, &len);
    assert_non_null(strstr(all, "Transfer-Encoding: chunked\r\n"));
    assert_true(len > 40000000);
    assert_memory_equal(all + len - 5, "0\r\n\r\n", 5);
    size_t ids = 0; /* strstr would look at all that is left for each: under ASan half a minute */
    for (const char *at = all; (at = memchr(at, '{', (size_t)(all + len - at))) != NULL; at++)
        ids += strncmp(at, "{\"id\":\"p", 8) == 0;
    assert_true(ids > 4000 - 400); /* some are cut in two by a chunk's end */
    free(all);
    close(fd);
}

static void a_client_that_goes_away_leaves_nothing(void **state)
{
    (void)state;
    append("p", 500, 10000);
    for (int i = 0; i < 20; i++) {
        int fd = client_open(&w.server);
        char some[100];
        ask(fd, "GET", "/state/default/c%2Fd", "");
        if (i % 2 == 0)
            assert_true(read(fd, some, sizeof(some)) > 0);
        client_reset(fd);
    }
    /* tear_down waits for all of them */
}

static void a_damaged_past_breaks_off_or_says_so(void **state)
{
    (void)state;
    append("a", 1, 1);
    int fd = client_open(&w.server);
    ask(fd, "GET", "/state/default/c?lsn=1", ""); /* too small to have begun */
    expect_text(fd, 500, "deltas/000001.parquet");
    ask(fd, "GET", "/state/default/c/b?lsn=1", "");
    client_expect(fd, 200,
                  "{\"id\":\"b\",\"doc\":{},\"lsn\":1,\"ts\":\"1970-01-01T00:00:00.000Z\"}\n");
    ask(fd, "GET", "/state/default/c/aa?lsn=1", "");
    client_expect(fd, 404, NULL);
    ask(fd, "GET", "/state/default/c/b?lsn=0", "");
    client_expect(fd, 404, NULL);
    ask(fd, "GET", "/state/default/c/b?snapshot=full", "");
    client_expect(
        fd, 200,
        "{\"id\":\"b\",\"doc\":{\"base\":1},\"lsn\":0,\"ts\":\"1970-01-01T00:00:00.000Z\"}\n");
    ask(fd, "GET", "/state/default/c/z?snapshot=full", "");
    client_expect(fd, 404, NULL);
    ask(fd, "GET", "/state/default/c/b?lsn=2", "");
    client_expect(fd, 200, NULL);
    ask(fd, "GET", "/state/default/c/b?lsn=3", "");
    client_expect(fd, 404, NULL);
    fake_files_replaced = 1;
    ask(fd, "GET", "/state/default/c/b?snapshot=full", "");
    client_expect(fd, 200, NULL);
    fake_files_replaced = 100; /* that is damage */
    ask(fd, "GET", "/state/default/c/b?snapshot=full", "");
    client_expect(fd, 500, NULL);
    close(fd);
}

/* Changes ------------------------------------------------------------------------------------- */

static void changes_go_on_from_where_the_header_says(void **state)
{
    (void)state;
    append("a", 5, 1);
    int fd = client_open(&w.server);
    ask(fd, "GET", "/changes/default/c%2Fd?from=1&limit=3", "");
    char *reply = client_reply(fd, NULL);
    assert_non_null(strstr(reply, "X-Next-LSN: 4\r\n"));
    assert_int_equal(count_lines(reply_body(reply)), 3);
    assert_memory_equal(
        reply_body(reply),
        "{\"lsn\":1,\"op\":\"insert\",\"docId\":\"a1\",\"ts\":\"2026-02-02T14:30:00.000Z\","
        "\"doc\":{\"n\":1, \"x\":\"0\"}}\n",
        90);
    free(reply);
    ask(fd, "GET", "/changes/default/c%2Fd?from=4", "");
    reply = client_reply(fd, NULL);
    assert_non_null(strstr(reply, "X-Next-LSN: 5\r\n"));
    assert_int_equal(count_lines(reply_body(reply)), 1);
    free(reply);
    ask(fd, "GET", "/changes/default/c%2Fd?from=5", "");
    client_expect(fd, 200, "");
    close(fd);
}

static void a_long_poll_is_answered_by_an_append(void **state)
{
    (void)state;
    append("a", 1, 1);
    int fds[8];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = client_open(&w.server);
        ask(fds[i], "GET", "/changes/default/c%2Fd?from=1&wait=60", "");
    }
    close(fds[7]); /* one gives up */
    append("b", 1, 1);
    for (size_t i = 0; i < ARRAY_LEN(fds) - 1; i++) {
        expect_text(fds[i], 200, "\"docId\":\"b0\"");
        close(fds[i]);
    }
}

static void a_long_poll_ends_with_its_time_or_with_the_server(void **state)
{
    (void)state;
    append("a", 1, 1);
    int fd = client_open(&w.server);
    ask(fd, "GET", "/changes/default/c%2Fd?from=1&wait=1", "");
    client_expect(fd, 200, "");
    ask(fd, "GET", "/changes/default/c%2Fd?from=1&wait=60", "");
    query_drain(w.query);
    client_expect(fd, 200, "");
    close(fd);
}

static void history_starts_with_the_oldest_kept_unless_told_otherwise(void **state)
{
    (void)state;
    append("a", 4, 1);
    fake_changes_oldest = 3;
    int fd = client_open(&w.server);
    ask(fd, "GET", "/state/default/c%2Fd/b/history", "");
    client_expect(
        fd, 200,
        "{\"lsn\":3,\"op\":\"delete\",\"docId\":\"b\",\"ts\":\"1970-01-01T00:00:00.000Z\"}\n");
    ask(fd, "GET", "/state/default/c%2Fd/nobody/history", "");
    client_expect(fd, 404, NULL);
    ask(fd, "GET", "/state/default/c%2Fd/b/history?from=1", "");
    expect_text(fd, 410, "\"code\":\"CDC_LSN_NOT_FOUND\",\"details\":{\"oldest\":3}");
    close(fd);
}

static void begin_stop(void)
{
    atomic_store(&w.query->stopping, true);
}

static void a_history_that_a_stop_breaks_off_is_no_answer(void **state)
{
    (void)state;
    append("a", 4, 1);
    int fd = client_open(&w.server);
    fake_changes_taken = begin_stop;
    ask(fd, "GET", "/state/default/c%2Fd/b/history?from=0", "");
    client_expect(fd, 503, NULL);
    close(fd);
}

/* Snapshots and restore ----------------------------------------------------------------------- */

static void a_snapshot_is_made_and_shown(void **state)
{
    (void)state;
    append("a", 1, 1);
    int fd = client_open(&w.server);
    ask(fd, "POST", "/snapshots/default/c%2Fd", "");
    expect_text(fd, 201, "{\"name\":\"20260202T143000-11\",\"type\":\"manual\",\"lsn\":11,");
    ask(fd, "GET", "/snapshots/default/c%2Fd", "");
    client_expect(fd, 200, "{\"snapshots\":[]}");
    close(fd);
}

static void a_dry_run_changes_nothing(void **state)
{
    (void)state;
    append("a", 1, 1);
    fake_restore_docs = 5;
    int fd = client_open(&w.server);
    ask(fd, "POST", "/restore/default/c%2Fd", "{\"lsn\":5,\"dryRun\":true}");
    client_expect(fd, 200, NULL);
    assert_int_equal(shard_high_watermark(w.shard), 1);
    ask(fd, "POST", "/restore/default/c%2Fd", "{\"lsn\":5,\"maxChanges\":4}");
    client_expect(fd, 400, NULL);
    assert_int_equal(shard_high_watermark(w.shard), 1);
    close(fd);
}

static void a_restore_in_place_appends_applies_and_reports(void **state)
{
    (void)state;
    append("r", 1, 1); /* LSN 0: "r0", which the restore does not touch */
    fake_restore_docs = 2500;
    int fd = client_open(&w.server);
    ask(fd, "POST", "/restore/default/c%2Fd", "{\"lsn\":5}");
    client_expect(fd, 200,
                  "{\"ok\":true,\"lsnRange\":[1,2500],\"inserts\":2500,\"updates\":0,\"deletes\":0,"
                  "\"skippedCount\":0,\"skipped\":[]}");
    ask(fd, "GET", "/state/default/c%2Fd/r002499", "");
    expect_text(fd, 200, "{\"id\":\"r002499\",\"doc\":{\"x\":\"0000000007\"},\"lsn\":2500,");
    ask(fd, "GET", "/changes/default/c%2Fd?from=2500", "");
    expect_text(fd, 200, "\"target\":{\"lsn\":5}},\"expect\":0}\n");
    fake_restore_docs = 2; /* both are there now: "expect":0 does not hold */
    ask(fd, "POST", "/restore/default/c%2Fd", "{\"lsn\":5}");
    client_expect(fd, 200,
                  "{\"ok\":true,\"lsnRange\":[2501,2502],\"inserts\":2,\"updates\":0,\"deletes\":0,"
                  "\"skippedCount\":2,\"skipped\":[{\"docId\":\"r000000\",\"lsn\":2501},"
                  "{\"docId\":\"r000001\",\"lsn\":2502}]}");
    fake_restore_docs = 0;
    ask(fd, "POST", "/restore/default/c%2Fd", "{\"undo\":\"1..2\"}");
    client_expect(fd, 200,
                  "{\"ok\":true,\"lsnRange\":null,\"inserts\":0,\"updates\":0,\"deletes\":0,"
                  "\"skippedCount\":0,\"skipped\":[]}");
    close(fd);
}

static void documents_larger_than_events_may_be_are_restored(void **state)
{
    (void)state;
    append("a", 1, 1);
    fake_restore_docs = 3;
    fake_restore_doc_bytes = MIB(3);
    int fd = client_open(&w.server);
    ask(fd, "POST", "/restore/default/c%2Fd", "{\"lsn\":5}");
    expect_text(fd, 200, "\"lsnRange\":[1,3]");
    fake_restore_docs = 1;
    fake_restore_doc_bytes = LIMIT_BATCH_BYTES;
    ask(fd, "POST", "/restore/default/c%2Fd", "{\"lsn\":5}");
    expect_text(fd, 413, "r000000");
    close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        T(requests_are_checked_before_any_work),
        T(only_the_admin_removes),
        T(names_too_long_are_refused),
        T(current_documents_come_in_the_order_of_ids),
        T(a_large_collection_is_streamed_in_bounded_memory),
        T(a_client_that_goes_away_leaves_nothing),
        T(a_damaged_past_breaks_off_or_says_so),
        T(changes_go_on_from_where_the_header_says),
        T(a_long_poll_is_answered_by_an_append),
        T(a_long_poll_ends_with_its_time_or_with_the_server),
        T(history_starts_with_the_oldest_kept_unless_told_otherwise),
        T(a_history_that_a_stop_breaks_off_is_no_answer),
        T(a_snapshot_is_made_and_shown),
        T(a_dry_run_changes_nothing),
        T(a_restore_in_place_appends_applies_and_reports),
        T(documents_larger_than_events_may_be_are_restored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
