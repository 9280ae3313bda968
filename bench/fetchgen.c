/*
 * bench/fetchgen.c: a Kafka client that does nothing but fetch, so that the server's side of a
 * fetch can be held against the limit of the machine (limits.c, sendfile to a reader with a
 * buffer).
 *
 * Speaks Fetch v4 (https://kafka.apache.org/protocol#The_Messages_Fetch): one topic, one partition,
 * one request under way on each connection; the reply is read through a buffer of 1 MiB, as the
 * limit's reader does, and only the 61-byte head of each record batch is looked at, for the next
 * offset. With
 * --verify it reads the log once instead, checking each batch: magic, CRC-32C, base offset equal to
 * the end of the batch before, count equal to the offsets that it covers.
 *
 * Prints one JSON line. One thread per connection; each has its own socket and position.
 */
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "bench/common.h"
#include "bench/options.h"

#define READ_BUFFER MIB(1)
#define CONNS_MAX 16
#define BATCH_HEAD 61        /* a RecordBatch v2 before its records */
#define BATCH_CRC_FROM 21    /* the CRC covers everything from the attributes on */
#define BATCH_LENGTH_SKIP 12 /* baseOffset and batchLength are not counted by batchLength */
#define REPLY_HEAD_MAX 512

struct options {
    const char *address;
    const char *topic;
    const char *label;
    uint64_t partition;
    uint64_t max_bytes;
    size_t conns;
    double warmup_s;
    double seconds;
    bool verify;
    uint64_t server_pid;
};

/** One connection and where it is in the log. Owner: its thread; main reads it after the join. */
struct fetcher {
    const struct options *options;
    int fd;
    int32_t correlation;
    int64_t offset;         /* the next to ask for */
    int64_t high_watermark; /* of the last reply */
    uint8_t *buffer;
    size_t fill; /* bytes in buffer, read from `at` on */
    size_t at;
    uint64_t from_ns;
    uint64_t until_ns;
    uint64_t bytes; /* of replies, within the window */
    uint64_t requests;
    uint64_t batches;
    uint64_t records;
    double cpu_s;
};

static uint64_t be_read(const uint8_t *from, size_t len)
{
    uint64_t value = 0;

    for (size_t i = 0; i < len; i++)
        value = value << 8 | from[i];
    return value;
}

static uint8_t *be_write(uint8_t *to, uint64_t value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(value >> (8 * (len - 1 - i)));
    return to + len;
}

static void send_fetch(struct fetcher *f)
{
    const struct options *o = f->options;
    size_t topic_len = strlen(o->topic);
    uint8_t request[512];
    uint8_t *p = request + 4;

    if (topic_len > 249)
        bench_die("a topic name has at most 249 bytes");
    p = be_write(p, 1, 2); /* Fetch */
    p = be_write(p, 4, 2); /* version 4 */
    p = be_write(p, (uint64_t)++f->correlation, 4);
    p = be_write(p, 5, 2);
    p = (uint8_t *)mempcpy(p, "bench", 5);
    p = be_write(p, UINT64_MAX, 4); /* replica -1: a consumer */
    p = be_write(p, 1000, 4);       /* max wait, ms */
    p = be_write(p, 1, 4);          /* min bytes */
    p = be_write(p, o->max_bytes, 4);
    p = be_write(p, 0, 1); /* read uncommitted */
    p = be_write(p, 1, 4); /* one topic */
    p = be_write(p, topic_len, 2);
    p = (uint8_t *)mempcpy(p, o->topic, topic_len);
    p = be_write(p, 1, 4); /* one partition */
    p = be_write(p, (uint32_t)o->partition, 4);
    p = be_write(p, (uint64_t)f->offset, 8);
    p = be_write(p, o->max_bytes, 4);
    size_t len = (size_t)(p - request);
    be_write(request, len - 4, 4);
    if (send(f->fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        bench_die_errno("send");
}

/** Makes at least one unread byte available. */
static void refill(struct fetcher *f)
{
    if (f->at < f->fill)
        return;
    ssize_t n = recv(f->fd, f->buffer, READ_BUFFER, 0);
    if (n <= 0)
        bench_die_errno("recv (%zd)", n);
    f->at = 0;
    f->fill = (size_t)n;
}

static void read_exactly(struct fetcher *f, uint8_t *out, size_t len)
{
    while (len > 0) {
        refill(f);
        size_t take = MIN(len, f->fill - f->at);
        memcpy(out, f->buffer + f->at, take);
        out += take;
        f->at += take;
        len -= take;
    }
}

/** Passes over `len` bytes; returns `crc` continued over them when verifying. */
static uint32_t skip(struct fetcher *f, size_t len, uint32_t crc)
{
    while (len > 0) {
        refill(f);
        size_t take = MIN(len, f->fill - f->at);
        if (f->options->verify)
            crc = crc32c(crc, f->buffer + f->at, take);
        f->at += take;
        len -= take;
    }
    return crc;
}

/** Reads one batch of at most `left` bytes; returns its size, or all of `left` for a cut one. */
static size_t read_batch(struct fetcher *f, size_t left)
{
    uint8_t head[BATCH_HEAD];

    if (left < BATCH_HEAD) {
        skip(f, left, 0);
        return left;
    }
    read_exactly(f, head, sizeof(head));
    int64_t base = (int64_t)be_read(head, 8);
    size_t size = (size_t)be_read(head + 8, 4) + BATCH_LENGTH_SKIP;
    int64_t span = (int64_t)be_read(head + 23, 4) + 1;
    if (size < BATCH_HEAD || head[16] != 2)
        bench_die("at offset %lld: not a record batch", (long long)f->offset);
    if (size > left) { /* the reply ends within a batch: it comes again with the next one */
        skip(f, left - BATCH_HEAD, 0);
        return left;
    }
    uint32_t crc = crc32c(0, head + BATCH_CRC_FROM, BATCH_HEAD - BATCH_CRC_FROM);
    crc = skip(f, size - BATCH_HEAD, crc);
    if (f->options->verify) {
        if (crc != (uint32_t)be_read(head + 17, 4))
            bench_die("the batch at offset %lld has a bad CRC", (long long)base);
        if (base != f->offset || (int64_t)be_read(head + 57, 4) != span)
            bench_die("the batch at offset %lld does not follow offset %lld", (long long)base,
                      (long long)f->offset);
    }
    f->offset = base + span;
    f->batches++;
    f->records += (uint64_t)span;
    return size;
}

/** Sends one fetch and reads its reply; returns the reply's bytes, the size field included. */
static size_t fetch_once(struct fetcher *f)
{
    uint8_t head[REPLY_HEAD_MAX];
    size_t topic_len = strlen(f->options->topic);
    /* size, correlation, throttle, topic count, name, partition count, partition, error, high
     * watermark, last stable offset, aborted count */
    size_t head_len = 4 + 4 + 4 + 4 + 2 + topic_len + 4 + 4 + 2 + 8 + 8 + 4;

    send_fetch(f);
    read_exactly(f, head, head_len);
    size_t size = (size_t)be_read(head, 4);
    const uint8_t *p = head + 4 + 4 + 4 + 4 + 2 + topic_len + 4 + 4;
    if ((int32_t)be_read(head + 4, 4) != f->correlation)
        bench_die("a reply to another request came");
    if (be_read(p, 2) != 0)
        bench_die("fetch at offset %lld: Kafka error %d", (long long)f->offset,
                  (int)(int16_t)be_read(p, 2));
    f->high_watermark = (int64_t)be_read(p + 2, 8);
    int32_t aborted = (int32_t)be_read(p + 18, 4);
    if (aborted > 0)
        skip(f, (size_t)aborted * 16, 0);
    uint8_t length[4];
    read_exactly(f, length, 4);
    size_t left = (size_t)MAX((int32_t)be_read(length, 4), 0);
    if (head_len + (size_t)MAX(aborted, 0) * 16 + left != size)
        bench_die("a reply's sizes do not agree");
    while (left > 0)
        left -= read_batch(f, left);
    return size + 4;
}

static void *fetcher_run(void *arg)
{
    struct fetcher *f = arg;
    bool measuring = false;

    for (;;) {
        uint64_t now = bench_now_ns();
        if (!f->options->verify && now >= f->until_ns)
            break;
        if (!measuring && now >= f->from_ns) {
            measuring = true;
            f->bytes = f->requests = f->batches = f->records = 0;
            f->cpu_s = bench_thread_cpu_s();
        }
        f->bytes += fetch_once(f);
        f->requests++;
        if (f->offset >= f->high_watermark) {
            if (f->options->verify)
                break;
            f->offset = 0;
        }
    }
    f->cpu_s = bench_thread_cpu_s() - f->cpu_s;
    return NULL;
}

static void print_result(const struct options *o, const struct fetcher *total, double seconds,
                         double server_cpu_s)
{
    double gigabytes = (double)total->bytes / 1e9;

    printf("{\"bench\":\"%s\",\"mode\":\"%s\",\"conns\":%zu,\"max_bytes\":%llu,\"mb_per_s\":%.0f,"
           "\"bytes\":%llu,\"requests\":%llu,\"batches\":%llu,\"records\":%llu,",
           o->label, o->verify ? "verify" : "fetch", o->conns, (unsigned long long)o->max_bytes,
           (double)total->bytes / seconds / 1e6, (unsigned long long)total->bytes,
           (unsigned long long)total->requests, (unsigned long long)total->batches,
           (unsigned long long)total->records);
    printf("\"server_cpu_s\":%.2f,\"server_cpu_s_per_gb\":%.3f,\"client_cpu_s_per_gb\":%.3f,"
           "\"seconds\":%.2f}\n",
           server_cpu_s, server_cpu_s / gigabytes, total->cpu_s / gigabytes, seconds);
}

static int run(const struct options *o)
{
    struct fetcher fetchers[CONNS_MAX] = {0};
    pthread_t threads[CONNS_MAX];
    uint64_t begin = bench_now_ns();
    uint64_t from = begin + (o->verify ? 0 : (uint64_t)(o->warmup_s * 1e9));

    for (size_t i = 0; i < o->conns; i++) {
        fetchers[i] = (struct fetcher){.options = o,
                                       .fd = bench_connect(o->address),
                                       .buffer = xmalloc(READ_BUFFER),
                                       .from_ns = from,
                                       .until_ns = from + (uint64_t)(o->seconds * 1e9)};
        if (pthread_create(&threads[i], NULL, fetcher_run, &fetchers[i]) != 0)
            bench_die("cannot start a thread");
    }
    bench_sleep_until(from);
    double server_cpu = bench_process_cpu_s(o->server_pid);
    struct fetcher *total = &fetchers[0];
    for (size_t i = 0; i < o->conns; i++) {
        pthread_join(threads[i], NULL);
        close(fetchers[i].fd);
        free(fetchers[i].buffer);
        if (i > 0) {
            total->bytes += fetchers[i].bytes;
            total->requests += fetchers[i].requests;
            total->batches += fetchers[i].batches;
            total->records += fetchers[i].records;
            total->cpu_s += fetchers[i].cpu_s;
        }
    }
    double seconds = (double)(bench_now_ns() - from) / 1e9;
    print_result(o, total, seconds, bench_process_cpu_s(o->server_pid) - server_cpu);
    return total->records == 0;
}

static const char usage[] = "Usage: fetchgen [options] HOST:PORT\n"
                            "  --topic T (events)       --partition P (0)\n"
                            "  --max-bytes N (1048576)  of one reply     --conns N (1)\n"
                            "  --seconds S (10)         --warmup S (1)   round and round the log\n"
                            "  --verify                 read the log once and check every batch\n"
                            "  --pid PID                the server, whose CPU to report\n"
                            "  --label TEXT             \"bench\" in the result (fetch)\n"
                            "Example: fetchgen --verify 127.0.0.1:9092\n";

int main(int argc, char **argv)
{
    struct options o = {.topic = "events",
                        .label = "fetch",
                        .max_bytes = MIB(1),
                        .conns = 1,
                        .warmup_s = 1,
                        .seconds = 10};
    const struct bench_option options[] = {
        {"topic", .text = &o.topic},          {"partition", .whole = &o.partition},
        {"max-bytes", .whole = &o.max_bytes}, {"conns", .whole = &o.conns},
        {"seconds", .real = &o.seconds},      {"warmup", .real = &o.warmup_s},
        {"verify", .flag = &o.verify},        {"pid", .whole = &o.server_pid},
        {"label", .text = &o.label},          {.name = NULL}};

    o.address = bench_options(argc, argv, options, usage);
    if (o.conns == 0 || o.conns > CONNS_MAX || o.seconds <= 0 || o.partition > INT32_MAX ||
        o.max_bytes > INT32_MAX)
        bench_usage(usage);
    if (o.verify)
        o.conns = 1;
    return run(&o);
}
