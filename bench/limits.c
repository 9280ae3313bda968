/*
 * bench/limits.c: what this machine can do at most, measured with the fewest calls that do it, so
 * that a result can be read against the limit that binds it.
 *
 * sync: one write of N bytes and one fdatasync, again and again, in the directory given: "append"
 * to a growing file, "overwrite" of a file of zeros written and synced before (the two ways in
 * which Spillway commits a group). "paced" has so many bytes to overwrite in each millisecond and
 * measures from when they were due, as the latency of requests is measured: what comes while a sync
 * stalls waits for it, and the next one takes it along. The endless loop of the others shows each
 * stall as one slow sync among thousands.
 *
 * page_cache: CPU of write() alone, into pages that the kernel has to find first ("fresh") and into
 * pages that the file has already ("again"). Where a virtual machine gets its memory from the host
 * page by page, the first costs many times the second, and a log in the page cache pays it.
 *
 * cpu: the same work, LZ4 of 64 KiB of events, on one CPU and on all of them at once: the CPU
 * seconds that a unit of it costs on average and in the best hundredth of units, and the times when
 * a unit took more than a millisecond. Where the average is above the best, others use the same
 * core, its caches or its clock; where units stall, the host gives the CPU to others in between.
 * Every figure of CPU seconds or of latency under load carries that.
 *
 * sendfile: a file in the page cache sent with sendfile over TCP on 127.0.0.1 to a thread that
 * reads it: into a buffer of 1 MiB as a client must ("buffer"), or dropped in the kernel with
 * MSG_TRUNC ("discard").
 *
 * Prints one JSON line per measurement.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/common.h"
#include "bench/events.h"
#include "bench/hist.h"
#include "bench/options.h"

#define FILE_BYTES MIB(256)
#define FRESH_BYTES MIB(2048) /* more than the kernel has at hand from files just deleted */
#define READ_BUFFER MIB(1)
#define CONNS_MAX 2
#define CPUS_MAX 64
#define UNIT_BYTES KIB(64)  /* of events: less than 0.1 ms */
#define UNITS 16            /* different ones, in turn */
#define UNIT_ACCELERATION 4 /* as in writer/builder.c */
#define STALL_NS UINT64_C(1000000)
#define PACE_PER_S 1000
#define PACE_NS UINT64_C(1000000)

struct options {
    const char *directory;
    double seconds;
    bool sync;
    bool pace;
    uint64_t pace_group; /* 1 to READ_BUFFER */
    double after;        /* seconds */
    bool sendfile;
};

/** Creates `path` anew with FILE_BYTES of zeros, synced; the file is unlinked at once. */
static int open_scratch(const char *directory, bool filled, const char *data)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/limits.%d.tmp", directory, (int)getpid());
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0)
        bench_die_errno("%s", path);
    unlink(path);
    for (size_t at = 0; filled && at < FILE_BYTES; at += READ_BUFFER) {
        if (pwrite(fd, data, READ_BUFFER, (off_t)at) != (ssize_t)READ_BUFFER)
            bench_die_errno("cannot fill a file in %s", directory);
    }
    if (fsync(fd) != 0)
        bench_die_errno("fsync");
    return fd;
}

/** READ_BUFFER bytes that do not compress; owned by the caller. */
static char *random_bytes(void)
{
    char *data = xcalloc(1, READ_BUFFER);
    uint64_t seed = 1;

    for (size_t i = 0; i + 8 <= READ_BUFFER; i += 8) {
        uint64_t word = bench_random(&seed);
        memcpy(data + i, &word, 8);
    }
    return data;
}

static void print_sync(const char *mode, size_t group, const struct hist *latency, double seconds)
{
    printf("{\"bench\":\"limit.sync\",\"mode\":\"%s\",\"group_bytes\":%zu,\"syncs_per_s\":%.0f,"
           "\"mb_per_s\":%.1f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f,\"seconds\":%.1f}\n",
           mode, group, (double)latency->count / seconds,
           (double)latency->count * (double)group / seconds / 1e6,
           (double)hist_percentile(latency, 50) / 1e6, (double)hist_percentile(latency, 99) / 1e6,
           (double)latency->max / 1e6, seconds);
    fflush(stdout);
}

static void write_and_sync(int fd, const char *data, size_t group, size_t at)
{
    if (pwrite(fd, data, group, (off_t)at) != (ssize_t)group || fdatasync(fd) != 0)
        bench_die_errno("write and fdatasync");
}

static void measure_sync(const struct options *o, size_t group, bool overwrite)
{
    CLEANUP(xfree_ptr) char *data = random_bytes();
    CLEANUP(xfree_ptr) struct hist *latency = xcalloc(1, sizeof(*latency));
    int fd = open_scratch(o->directory, overwrite, data);
    size_t at = 0;
    uint64_t begin = bench_now_ns();
    uint64_t end = begin + (uint64_t)(o->seconds * 1e9);
    uint64_t now = begin;

    while (now < end) {
        write_and_sync(fd, data, group, at);
        uint64_t after = bench_now_ns();
        hist_record(latency, after - now);
        now = after;
        at += group;
        if (at + group > FILE_BYTES) {
            at = 0;
            if (!overwrite && ftruncate(fd, 0) != 0)
                bench_die_errno("ftruncate");
            now = bench_now_ns();
        }
    }
    print_sync(overwrite ? "overwrite" : "append", group, latency, (double)(now - begin) / 1e9);
    close(fd);
}

/** Bytes that are due each millisecond for o->seconds, from o->after seconds after `started` on. */
static void measure_pace(const struct options *o, uint64_t started)
{
    CLEANUP(xfree_ptr) char *data = random_bytes();
    CLEANUP(xfree_ptr) struct hist *latency = xcalloc(1, sizeof(*latency));
    int fd = open_scratch(o->directory, true, data);
    size_t group = (size_t)o->pace_group, at = 0;
    size_t most = READ_BUFFER / group, count = (size_t)(o->seconds * PACE_PER_S);
    uint64_t begin = MAX(started + (uint64_t)(o->after * 1e9), bench_now_ns());

    for (size_t done = 0; done < count;) {
        bench_sleep_until(begin + done * PACE_NS);
        size_t due = (size_t)((bench_now_ns() - begin) / PACE_NS) + 1;
        size_t taken = MIN(MIN(due, count) - done, most);
        if (at + taken * group > FILE_BYTES)
            at = 0;
        write_and_sync(fd, data, taken * group, at);
        at += taken * group;
        for (uint64_t now = bench_now_ns(); taken > 0; taken--, done++)
            hist_record(latency, now - (begin + done * PACE_NS));
    }
    print_sync("paced", group, latency, (double)(bench_now_ns() - begin) / 1e9);
    close(fd);
}

/** CPU of writing `bytes` from the start of the file, no sync. */
static double write_cpu_s_per_gb(int fd, const char *data, size_t bytes)
{
    double cpu = bench_thread_cpu_s();

    for (size_t at = 0; at < bytes; at += READ_BUFFER) {
        if (pwrite(fd, data, READ_BUFFER, (off_t)at) != (ssize_t)READ_BUFFER)
            bench_die_errno("write");
    }
    return (bench_thread_cpu_s() - cpu) / ((double)bytes / 1e9);
}

static void measure_page_cache(const struct options *o)
{
    CLEANUP(xfree_ptr) char *data = xcalloc(1, READ_BUFFER);
    int fd = open_scratch(o->directory, false, data);
    double fresh = write_cpu_s_per_gb(fd, data, FRESH_BYTES);
    double again = write_cpu_s_per_gb(fd, data, FILE_BYTES);

    printf("{\"bench\":\"limit.page_cache\",\"fresh_cpu_s_per_gb\":%.3f,"
           "\"again_cpu_s_per_gb\":%.3f}\n",
           fresh, again);
    fflush(stdout);
    close(fd);
}

/** A CPU kept busy. */
struct spin {
    const char *events; /* UNITS * UNIT_BYTES; shared */
    uint64_t until_ns;
    struct hist *units; /* owned; the thread's until it ends, as what follows */
    uint64_t stalls, stalled_ns, longest_ns;
    double cpu_s;
};

static void *spin_run(void *arg)
{
    struct spin *s = arg;
    CLEANUP(xfree_ptr) char *packed = xmalloc((size_t)LZ4_compressBound(UNIT_BYTES));
    double cpu = bench_thread_cpu_s();
    uint64_t last = bench_now_ns();

    while (last < s->until_ns) {
        const char *unit = s->events + s->units->count % UNITS * UNIT_BYTES;
        if (LZ4_compress_fast(unit, packed, UNIT_BYTES, LZ4_compressBound(UNIT_BYTES),
                              UNIT_ACCELERATION) <= 0)
            bench_die("LZ4 does not compress");
        uint64_t now = bench_now_ns();
        hist_record(s->units, now - last);
        if (now - last > STALL_NS) {
            s->stalls++;
            s->stalled_ns += now - last;
            s->longest_ns = MAX(s->longest_ns, now - last);
        }
        last = now;
    }
    s->cpu_s = bench_thread_cpu_s() - cpu;
    return NULL;
}

/** Events as NDJSON for all units; owned by the caller. */
static char *unit_events(void)
{
    size_t bytes = UNITS * UNIT_BYTES, fill = 0;
    char *events = xmalloc(bytes + EVENT_MAX + 1);
    struct event_source source;

    events_init(&source, 1, 0);
    while (fill < bytes) {
        fill += events_next(&source, events + fill);
        events[fill++] = '\n';
    }
    return events;
}

static void measure_cpu(const struct options *o, size_t cpus)
{
    CLEANUP(xfree_ptr) char *events = unit_events();
    struct spin spins[CPUS_MAX], total = {.units = xcalloc(1, sizeof(struct hist))};
    pthread_t threads[CPUS_MAX];
    uint64_t until = bench_now_ns() + (uint64_t)(o->seconds * 1e9);

    for (size_t i = 0; i < cpus; i++) {
        spins[i] = (struct spin){
            .events = events, .until_ns = until, .units = xcalloc(1, sizeof(struct hist))};
        if (pthread_create(&threads[i], NULL, spin_run, &spins[i]) != 0)
            bench_die("cannot start a thread");
    }
    for (size_t i = 0; i < cpus; i++) {
        pthread_join(threads[i], NULL);
        hist_merge(total.units, spins[i].units);
        free(spins[i].units);
        total.cpu_s += spins[i].cpu_s;
        total.stalls += spins[i].stalls;
        total.stalled_ns += spins[i].stalled_ns;
        total.longest_ns = MAX(total.longest_ns, spins[i].longest_ns);
    }
    printf("{\"bench\":\"limit.cpu\",\"mode\":\"%s\",\"cpus\":%zu,\"cpu_us_per_unit\":%.2f,"
           "\"best_us_per_unit\":%.2f,\"stalls_per_cpu_s\":%.1f,\"stalled_share\":%.4f,"
           "\"longest_stall_ms\":%.2f}\n",
           cpus == 1 ? "one" : "all", cpus, total.cpu_s * 1e6 / (double)total.units->count,
           (double)hist_percentile(total.units, 1) / 1e3,
           (double)total.stalls / (o->seconds * (double)cpus),
           (double)total.stalled_ns / 1e9 / (o->seconds * (double)cpus),
           (double)total.longest_ns / 1e6);
    fflush(stdout);
    free(total.units);
}

/** One connection: a thread that sends the file over and over, and one that reads it. */
struct pipe_pair {
    int sender;
    int reader;
    int file;
    bool discard;
    uint64_t until_ns;
    uint64_t bytes; /* these three are written by the threads before they end */
    double sender_cpu_s;
    double reader_cpu_s;
};

/** Sends until the reader has gone. */
static void *sender_run(void *arg)
{
    struct pipe_pair *pair = arg;

    for (;;) {
        off_t at = 0;
        while (at < (off_t)FILE_BYTES) {
            if (sendfile(pair->sender, pair->file, &at, FILE_BYTES - (size_t)at) < 0) {
                pair->sender_cpu_s = bench_thread_cpu_s();
                return NULL;
            }
        }
    }
}

static void *reader_run(void *arg)
{
    struct pipe_pair *pair = arg;
    CLEANUP(xfree_ptr) char *buffer = xcalloc(1, READ_BUFFER);

    while (bench_now_ns() < pair->until_ns) {
        ssize_t n = recv(pair->reader, buffer, READ_BUFFER, pair->discard ? MSG_TRUNC : 0);
        if (n <= 0)
            bench_die_errno("recv");
        pair->bytes += (uint64_t)n;
    }
    shutdown(pair->reader, SHUT_RDWR);
    pair->reader_cpu_s = bench_thread_cpu_s();
    return NULL;
}

static void connect_pair(struct pipe_pair *pair)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    char text[32];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (listener < 0 || bind(listener, (struct sockaddr *)&address, len) != 0 ||
        listen(listener, 1) != 0 || getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        bench_die_errno("cannot listen on 127.0.0.1");
    snprintf(text, sizeof(text), "127.0.0.1:%d", ntohs(address.sin_port));
    pair->reader = bench_connect(text);
    pair->sender = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (pair->sender < 0)
        bench_die_errno("accept");
    close(listener);
}

static void measure_sendfile(const struct options *o, bool discard, size_t conns)
{
    CLEANUP(xfree_ptr) char *zeros = xcalloc(1, READ_BUFFER);
    struct pipe_pair pairs[CONNS_MAX] = {0};
    pthread_t threads[2 * CONNS_MAX];
    int file = open_scratch(o->directory, true, zeros);
    struct pipe_pair total = {0};
    uint64_t until = bench_now_ns() + (uint64_t)(o->seconds * 1e9);

    for (size_t i = 0; i < conns; i++) {
        pairs[i] = (struct pipe_pair){.file = file, .discard = discard, .until_ns = until};
        connect_pair(&pairs[i]);
        if (pthread_create(&threads[2 * i], NULL, sender_run, &pairs[i]) != 0 ||
            pthread_create(&threads[2 * i + 1], NULL, reader_run, &pairs[i]) != 0)
            bench_die("cannot start a thread");
    }
    for (size_t i = 0; i < conns; i++) {
        pthread_join(threads[2 * i], NULL);
        pthread_join(threads[2 * i + 1], NULL);
        close(pairs[i].sender);
        close(pairs[i].reader);
        total.bytes += pairs[i].bytes;
        total.sender_cpu_s += pairs[i].sender_cpu_s;
        total.reader_cpu_s += pairs[i].reader_cpu_s;
    }
    double gigabytes = (double)total.bytes / 1e9;
    printf("{\"bench\":\"limit.sendfile\",\"mode\":\"%s\",\"conns\":%zu,\"mb_per_s\":%.0f,"
           "\"sender_cpu_s_per_gb\":%.3f,\"reader_cpu_s_per_gb\":%.3f,\"seconds\":%.1f}\n",
           discard ? "discard" : "buffer", conns, (double)total.bytes / o->seconds / 1e6,
           total.sender_cpu_s / gigabytes, total.reader_cpu_s / gigabytes, o->seconds);
    fflush(stdout);
    close(file);
}

static const char usage[] =
    "Usage: limits [--seconds S] [--only sync|pace|sendfile] [--group BYTES]\n"
    "              [--after S] DIRECTORY\n"
    "Measures fdatasync in DIRECTORY, page cache and CPU (sync); fdatasync of BYTES (64 KiB) each\n"
    "millisecond, from S seconds after its start on (pace); and sendfile over loopback. Takes\n"
    "S seconds (2) for each figure.\n"
    "Example: limits --only sync /var/tmp\n";

int main(int argc, char **argv)
{
    static const size_t groups[] = {KIB(4), KIB(64), KIB(256), MIB(1)};
    struct options o = {.seconds = 2, .pace_group = KIB(64)};
    const char *only = NULL;
    const struct bench_option options[] = {{"seconds", .real = &o.seconds},
                                           {"only", .text = &only},
                                           {"group", .whole = &o.pace_group},
                                           {"after", .real = &o.after},
                                           {.name = NULL}};

    o.directory = bench_options(argc, argv, options, usage);
    o.sync = only == NULL || strcmp(only, "sync") == 0;
    o.pace = only == NULL || strcmp(only, "pace") == 0;
    o.sendfile = only == NULL || strcmp(only, "sendfile") == 0;
    if ((!o.sync && !o.pace && !o.sendfile) || o.pace_group == 0 || o.pace_group > READ_BUFFER)
        bench_usage(usage);
    uint64_t started = bench_now_ns();
    signal(SIGPIPE, SIG_IGN); /* the sender learns from sendfile that its reader has gone */
    for (size_t i = 0; o.sync && i < ARRAY_LEN(groups); i++) {
        measure_sync(&o, groups[i], false);
        measure_sync(&o, groups[i], true);
    }
    if (o.sync) {
        measure_page_cache(&o);
        measure_cpu(&o, 1);
        measure_cpu(&o, MIN((size_t)sysconf(_SC_NPROCESSORS_ONLN), (size_t)CPUS_MAX));
    }
    if (o.pace)
        measure_pace(&o, started);
    if (o.sendfile) {
        measure_sendfile(&o, false, 1);
        measure_sendfile(&o, false, 2);
        measure_sendfile(&o, true, 1);
    }
    return 0;
}
