/*
 * bench/loadgen.c: an HTTP load generator that costs as little as it can, because it shares the
 * machine with the server that it measures.
 *
 * Requests are prebuilt (requests.h); each of N keep-alive connections has one request under way; a
 * response is parsed just enough to know its status and its end. Closed loop (no --rate): a
 * connection sends its next request as soon as it has its answer, and latency counts from the send.
 * Open loop (--rate): request i is due at start + i / rate whatever the server does, and latency
 * counts from that moment, so a stall is charged to all requests that were due meanwhile (no
 * coordinated omission). Requests still unsent when time is up are reported as `backlog`.
 *
 * An answer other than 200 is an error; any error makes the exit status 1. Prints one JSON line.
 * One thread per --threads, each with its own epoll set and connections; nothing is shared but the
 * ring.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common.h"
#include "bench/events.h"
#include "bench/hist.h"
#include "bench/options.h"
#include "bench/requests.h"

#define RESPONSE_MAX                                                                               \
    4096 /* bytes of a response kept for parsing; a longer body is only counted                    \
          */
#define EVENTS_PER_WAIT 128
#define THREADS_MAX 8
#define DRAIN_NS (10 * NS_PER_S) /* how long answers may take after the end */

struct options {
    struct request_spec spec;
    size_t conns;
    double rate; /* requests per second in all; 0 = closed loop */
    double warmup_s;
    double seconds;
    size_t threads;
    uint64_t server_pid;
    const char *label;
};

struct conn {
    int fd;
    bool busy;
    uint64_t start_ns;
    const char *out;
    size_t out_left;
    size_t in_len;
    size_t body_left; /* bytes of a long body still to be skipped */
    bool head_done;
    struct conn *next_idle;
    char in[RESPONSE_MAX];
};

/** Owner: the thread that runs it; main reads it after the join. */
struct worker {
    const struct options *options;
    const struct request_ring *ring;
    struct conn *conns;
    struct conn *idle; /* open loop: connections without a request */
    int epoll_fd;
    size_t conn_count;
    size_t busy;
    size_t next_request;
    uint64_t begin_ns; /* load starts */
    uint64_t from_ns;  /* the measured window */
    uint64_t until_ns;
    uint64_t due_interval_ns_x1024;
    uint64_t due_index;
    bool stopping;
    uint64_t completed; /* within the window */
    uint64_t errors;
    uint64_t backlog;
    double server_cpu_from_s;
    double server_cpu_s;
    double cpu_s;
    struct hist latency;
};

static void conn_write(struct conn *c)
{
    while (c->out_left > 0) {
        ssize_t n = send(c->fd, c->out, c->out_left, MSG_NOSIGNAL);
        if (n < 0 && errno == EAGAIN)
            return; /* edge-triggered EPOLLOUT brings us back */
        if (n < 0)
            bench_die_errno("send");
        c->out += n;
        c->out_left -= (size_t)n;
    }
}

static void conn_start(struct worker *w, struct conn *c, uint64_t start_ns)
{
    size_t r = w->next_request;

    w->next_request = r + 1 == w->ring->count ? 0 : r + 1;
    c->out = w->ring->bytes + w->ring->offsets[r];
    c->out_left = w->ring->offsets[r + 1] - w->ring->offsets[r];
    c->start_ns = start_ns;
    c->in_len = 0;
    c->body_left = 0;
    c->head_done = false;
    c->busy = true;
    w->busy++;
    conn_write(c);
}

/** Reads status and Content-Length once the head is complete; false until then. */
static bool parse_head(struct worker *w, struct conn *c)
{
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);

    if (end == NULL) {
        if (c->in_len == RESPONSE_MAX)
            bench_die("a response head is longer than %d bytes", RESPONSE_MAX);
        return false;
    }
    size_t head_len = (size_t)(end - c->in) + 4;
    *end = '\0';
    const char *length = strcasestr(c->in, "\r\ncontent-length:");
    if (length == NULL)
        bench_die("a response has no Content-Length: %.200s", c->in);
    uint64_t body_len = strtoull(length + 17, NULL, 10);
    if (memcmp(c->in, "HTTP/1.1 200", 12) != 0) {
        if (w->errors++ == 0)
            fprintf(stderr, "loadgen: first bad answer: %.300s\n%.*s\n", c->in,
                    (int)(c->in_len - head_len), c->in + head_len);
    }
    if (c->in_len - head_len > body_len)
        bench_die("a response is longer than its Content-Length");
    c->body_left = body_len - (c->in_len - head_len);
    c->head_done = true;
    return true;
}

/** True when the response is complete. */
static bool conn_read(struct worker *w, struct conn *c)
{
    for (;;) {
        size_t room = RESPONSE_MAX - c->in_len;
        ssize_t n = recv(c->fd, c->in + c->in_len, room, 0);
        if (n < 0 && errno == EAGAIN)
            return false;
        if (n < 0)
            bench_die_errno("recv");
        if (n == 0)
            bench_die("the server closed a connection");
        if (!c->busy)
            bench_die("the server sent bytes that nobody asked for");
        if (c->head_done) {
            if ((size_t)n > c->body_left)
                bench_die("a response is longer than its Content-Length");
            c->body_left -= (size_t)n;
        } else {
            c->in_len += (size_t)n;
            if (!parse_head(w, c))
                continue;
            c->in_len = 0;
        }
        if (c->body_left == 0)
            return true;
    }
}

static void conn_finished(struct worker *w, struct conn *c, uint64_t now)
{
    c->busy = false;
    w->busy--;
    if (now >= w->from_ns && now < w->until_ns) {
        w->completed++;
        hist_record(&w->latency, now - c->start_ns);
    }
    if (w->stopping || w->options->rate > 0) {
        c->next_idle = w->idle;
        w->idle = c;
    } else {
        conn_start(w, c, now);
    }
}

static uint64_t due_at(const struct worker *w)
{
    return w->begin_ns + (w->due_index * w->due_interval_ns_x1024 >> 10);
}

/** Open loop: starts what is due while there are connections. */
static void start_due(struct worker *w, uint64_t now)
{
    while (w->idle != NULL && due_at(w) <= now) {
        struct conn *c = w->idle;
        w->idle = c->next_idle;
        conn_start(w, c, due_at(w));
        w->due_index++;
    }
}

/** Waits for sockets, in the open loop no longer than until the next request is due. */
static int wait_events(struct worker *w, struct epoll_event *events, uint64_t now)
{
    uint64_t wait_ns = w->until_ns > now ? w->until_ns - now : 50 * 1000000;

    if (now < w->from_ns)
        wait_ns = w->from_ns - now;
    if (w->options->rate > 0 && w->idle != NULL && !w->stopping)
        wait_ns = MIN(wait_ns, due_at(w) > now ? due_at(w) - now : 0);
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                               .tv_nsec = (long)(wait_ns % NS_PER_S)};
    int n = epoll_pwait2(w->epoll_fd, events, EVENTS_PER_WAIT, &timeout, NULL);
    if (n < 0 && errno != EINTR)
        bench_die_errno("epoll_pwait2");
    return MAX(n, 0);
}

static void handle_events(struct worker *w, const struct epoll_event *events, int n)
{
    for (int i = 0; i < n; i++) {
        struct conn *c = events[i].data.ptr;
        if (c->out_left > 0)
            conn_write(c);
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && conn_read(w, c))
            conn_finished(w, c, bench_now_ns());
    }
}

static void begin_load(struct worker *w)
{
    for (size_t i = 0; i < w->conn_count; i++) {
        struct conn *c = &w->conns[i];
        if (w->options->rate > 0) {
            c->next_idle = w->idle;
            w->idle = c;
        } else {
            conn_start(w, c, bench_now_ns());
        }
    }
}

static void *worker_run(void *arg)
{
    struct worker *w = arg;
    struct epoll_event events[EVENTS_PER_WAIT];
    bool measuring = false;
    uint64_t now = bench_now_ns();

    prctl(PR_SET_TIMERSLACK, 1000UL); /* the open loop keeps its times to a microsecond */
    begin_load(w);
    while (!w->stopping || (w->busy > 0 && now < w->until_ns + DRAIN_NS)) {
        now = bench_now_ns();
        if (!measuring && now >= w->from_ns) {
            measuring = true;
            w->cpu_s = bench_thread_cpu_s();
            w->server_cpu_from_s = bench_process_cpu_s(w->options->server_pid);
        }
        if (!w->stopping && now >= w->until_ns) {
            w->stopping = true;
            w->cpu_s = bench_thread_cpu_s() - w->cpu_s;
            w->server_cpu_s = bench_process_cpu_s(w->options->server_pid) - w->server_cpu_from_s;
            while (w->options->rate > 0 && due_at(w) <= now) {
                w->backlog++;
                w->due_index++;
            }
        }
        if (w->options->rate > 0 && !w->stopping)
            start_due(w, now);
        handle_events(w, events, wait_events(w, events, now));
    }
    if (w->busy > 0)
        bench_die("%zu requests were not answered", w->busy);
    return NULL;
}

static void worker_open(struct worker *w, const struct options *o, const struct request_ring *ring,
                        size_t index)
{
    w->options = o;
    w->ring = ring;
    w->conn_count = o->conns / o->threads + (index < o->conns % o->threads ? 1 : 0);
    w->conns = xcalloc(w->conn_count, sizeof(*w->conns));
    w->next_request = ring->count * index / o->threads;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (w->epoll_fd < 0)
        bench_die_errno("epoll_create1");
    if (o->rate > 0)
        w->due_interval_ns_x1024 = (uint64_t)(1e9 * 1024 * (double)o->threads / o->rate);
    for (size_t i = 0; i < w->conn_count; i++) {
        struct conn *c = &w->conns[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
        c->fd = bench_connect(o->spec.address);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
            bench_die_errno("epoll_ctl");
    }
}

static void print_result(const struct options *o, const struct request_ring *ring,
                         const struct worker *total)
{
    double requests = (double)total->completed / o->seconds;
    double events = requests * (double)o->spec.events;
    double megabytes = requests * (double)ring->body_bytes / (double)ring->count / 1e6;
    double millions = (double)total->completed * (double)o->spec.events / 1e6;
    const struct hist *h = &total->latency;

    printf("{\"bench\":\"%s\",\"shape\":%zu,\"conns\":%zu,\"mode\":\"%s\",\"rate_per_s\":%.0f,"
           "\"events_per_s\":%.0f,\"requests_per_s\":%.0f,\"mb_per_s\":%.1f,",
           o->label, o->spec.events, o->conns, o->rate > 0 ? "open" : "closed", o->rate, events,
           requests, megabytes);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f,\"errors\":%llu,"
           "\"backlog\":%llu,",
           (double)hist_percentile(h, 50) / 1e6, (double)hist_percentile(h, 99) / 1e6,
           (double)hist_percentile(h, 99.9) / 1e6, (double)h->max / 1e6,
           (unsigned long long)total->errors, (unsigned long long)total->backlog);
    printf("\"server_cpu_s\":%.2f,\"server_cpu_s_per_million_events\":%.3f,"
           "\"server_peak_rss_mb\":%.1f,\"client_cpu_s\":%.2f,\"seconds\":%.1f,\"seed\":%llu,"
           "\"distinct_requests\":%zu,\"lz4_ratio\":%.2f}\n",
           total->server_cpu_s, millions > 0 ? total->server_cpu_s / millions : 0,
           bench_process_peak_rss_mb(o->server_pid), total->cpu_s, o->seconds,
           (unsigned long long)o->spec.seed, ring->count, events_lz4_ratio(o->spec.seed, 0));
}

static int run(const struct options *o)
{
    struct worker *workers = xcalloc(o->threads, sizeof(*workers));
    struct request_ring ring = requests_build(&o->spec);
    struct worker *total = &workers[0];
    pthread_t threads[THREADS_MAX];

    for (size_t i = 0; i < o->threads; i++)
        worker_open(&workers[i], o, &ring, i);
    uint64_t begin = bench_now_ns();
    for (size_t i = 0; i < o->threads; i++) {
        workers[i].begin_ns = begin;
        workers[i].from_ns = begin + (uint64_t)(o->warmup_s * 1e9);
        workers[i].until_ns = workers[i].from_ns + (uint64_t)(o->seconds * 1e9);
        if (pthread_create(&threads[i], NULL, worker_run, &workers[i]) != 0)
            bench_die("cannot start a thread");
    }
    for (size_t i = 0; i < o->threads; i++) {
        pthread_join(threads[i], NULL);
        if (i > 0) {
            hist_merge(&total->latency, &workers[i].latency);
            total->completed += workers[i].completed;
            total->errors += workers[i].errors;
            total->backlog += workers[i].backlog;
            total->cpu_s += workers[i].cpu_s;
        }
    }
    print_result(o, &ring, total);
    int status = total->errors > 0 || total->completed == 0;
    for (size_t i = 0; i < o->threads; i++)
        free(workers[i].conns);
    free(workers);
    requests_release(&ring);
    return status;
}

static const char usage[] =
    "Usage: loadgen [options] HOST:PORT\n"
    "  --events N      events in each request (1)\n"
    "  --form F        events | array | ndjson (events)\n"
    "  --conns N       keep-alive connections (64)\n"
    "  --rate R        open loop: requests per second in all (0: closed loop)\n"
    "  --seconds S     measured time (10)    --warmup S  before it (2)\n"
    "  --path P        (/ingest)             --token T   bearer token\n"
    "  --seed N        (1)                   --memory B  bytes of prebuilt requests (64 MiB)\n"
    "  --threads N     (1)                   --pid PID   whose CPU and memory to report\n"
    "  --label TEXT    \"bench\" in the result (ingest)\n"
    "Example: loadgen --events 1000 --conns 16 --token secret 127.0.0.1:8080\n";

static enum body_form parse_form(const char *text)
{
    if (strcmp(text, "events") == 0)
        return BODY_EVENTS;
    if (strcmp(text, "array") == 0)
        return BODY_ARRAY;
    if (strcmp(text, "ndjson") == 0)
        return BODY_NDJSON;
    bench_die("--form is events, array or ndjson, not \"%s\"", text);
}

int main(int argc, char **argv)
{
    struct options o = {.spec = {.path = "/ingest", .events = 1, .memory = MIB(64), .seed = 1},
                        .conns = 64,
                        .warmup_s = 2,
                        .seconds = 10,
                        .threads = 1,
                        .label = "ingest"};
    const char *form = "events";
    const struct bench_option options[] = {
        {"events", .whole = &o.spec.events}, {"form", .text = &form},
        {"conns", .whole = &o.conns},        {"rate", .real = &o.rate},
        {"seconds", .real = &o.seconds},     {"warmup", .real = &o.warmup_s},
        {"path", .text = &o.spec.path},      {"token", .text = &o.spec.token},
        {"seed", .whole = &o.spec.seed},     {"memory", .whole = &o.spec.memory},
        {"threads", .whole = &o.threads},    {"pid", .whole = &o.server_pid},
        {"label", .text = &o.label},         {.name = NULL}};

    o.spec.address = bench_options(argc, argv, options, usage);
    o.spec.form = parse_form(form);
    if (o.spec.events == 0 || o.threads == 0 || o.threads > THREADS_MAX || o.conns < o.threads ||
        o.seconds <= 0)
        bench_usage(usage);
    return run(&o);
}
