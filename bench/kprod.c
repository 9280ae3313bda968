/*
 * bench/kprod.c: librdkafka's own producer under load: acks=all, no idempotence, one topic, one
 * partition, records that are the benchmarks' events (events.h), prebuilt and handed over without
 * a copy.
 *
 * Without --rate it produces as fast as librdkafka's queue takes records. With --rate, record i is
 * due at start + i / rate and latency counts from that moment to its delivery report. What counts
 * is delivered: reports within the measured window. A failed delivery ends the run with status 1.
 * Prints one JSON line. One thread of its own beside librdkafka's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/common.h"
#include "bench/events.h"
#include "bench/hist.h"
#include "bench/kclient.h"
#include "bench/options.h"

#define RING_BYTES MIB(64)
#define POLL_EVERY 512       /* records between looks at delivery reports */
#define CLOCK_EVERY 16       /* reports that share one look at the clock: a few microseconds */
#define RATE_TICK_NS 1000000 /* an open-loop producer sends what is due each millisecond */

struct options {
    const char *brokers;
    const char *topic;
    const char *codec;
    const char *label;
    size_t record_bytes;
    double rate;
    double warmup_s;
    double seconds;
    uint64_t seed;
    uint64_t server_pid;
};

struct run {
    const struct options *options;
    rd_kafka_t *client;
    rd_kafka_topic_t *topic;
    char *bytes; /* the ring of records */
    size_t *offsets;
    size_t count;
    size_t next;
    uint64_t from_ns;
    uint64_t until_ns;
    uint64_t delivered; /* in the window */
    uint64_t delivered_bytes;
    uint64_t produced;
    uint64_t now_ns;
    unsigned now_left; /* reports that now_ns is still good for */
    struct hist latency;
};

static void build_records(struct run *r)
{
    const struct options *o = r->options;
    size_t capacity = RING_BYTES / MAX(o->record_bytes, 150);
    struct event_source source;
    size_t fill = 0;

    events_init(&source, o->seed, o->record_bytes > 256 ? o->record_bytes : 0);
    r->bytes = xmalloc(RING_BYTES + EVENT_MAX);
    r->offsets = xmalloc((capacity + 1) * sizeof(*r->offsets));
    r->offsets[0] = 0;
    while (r->count < capacity && fill < RING_BYTES) {
        fill += events_next(&source, r->bytes + fill);
        r->offsets[++r->count] = fill;
    }
}

static void on_delivery(rd_kafka_t *client UNUSED, const rd_kafka_message_t *message, void *opaque)
{
    struct run *r = opaque;

    if (r->now_left == 0) {
        r->now_ns = bench_now_ns();
        r->now_left = CLOCK_EVERY;
    }
    r->now_left--;
    if (message->err)
        bench_die("a record was not delivered: %s", rd_kafka_err2str(message->err));
    if (r->now_ns < r->from_ns || r->now_ns >= r->until_ns)
        return;
    r->delivered++;
    r->delivered_bytes += message->len;
    hist_record(&r->latency, r->now_ns - (uint64_t)(uintptr_t)message->_private);
}

/** Takes the delivery reports that are there, or waits for some. */
static void take_reports(struct run *r, int wait_ms)
{
    r->now_left = 0;
    rd_kafka_poll(r->client, wait_ms);
}

static void produce_one(struct run *r, uint64_t due_ns)
{
    char *record = r->bytes + r->offsets[r->next];
    size_t len = r->offsets[r->next + 1] - r->offsets[r->next];

    while (rd_kafka_produce(r->topic, RD_KAFKA_PARTITION_UA, 0, record, len, NULL, 0,
                            (void *)(uintptr_t)due_ns) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            bench_die("produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
        take_reports(r, 5);
    }
    r->next = r->next + 1 == r->count ? 0 : r->next + 1;
    r->produced++;
}

static void produce_closed(struct run *r)
{
    uint64_t now = bench_now_ns();

    while (now < r->until_ns) {
        for (int i = 0; i < POLL_EVERY; i++)
            produce_one(r, now);
        take_reports(r, 0);
        now = bench_now_ns();
    }
}

static void produce_open(struct run *r, uint64_t begin)
{
    double ns_per_record = 1e9 / r->options->rate;
    uint64_t now = begin;

    while (now < r->until_ns) {
        uint64_t due;
        while ((due = begin + (uint64_t)((double)r->produced * ns_per_record)) <= now)
            produce_one(r, due);
        take_reports(r, 0);
        struct timespec tick = {.tv_nsec = RATE_TICK_NS};
        nanosleep(&tick, NULL);
        now = bench_now_ns();
    }
}

static void print_result(const struct run *r, double server_cpu_s, double client_cpu_s)
{
    const struct options *o = r->options;
    double millions = (double)r->delivered / 1e6;

    printf("{\"bench\":\"%s\",\"record_bytes\":%.0f,\"codec\":\"%s\",\"mode\":\"%s\","
           "\"rate_per_s\":%.0f,\"records_per_s\":%.0f,\"mb_per_s\":%.1f,",
           o->label, (double)r->delivered_bytes / (double)MAX(r->delivered, 1), o->codec,
           o->rate > 0 ? "open" : "closed", o->rate, (double)r->delivered / o->seconds,
           (double)r->delivered_bytes / o->seconds / 1e6);
    printf("\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"broker_cpu_s\":%.2f,"
           "\"broker_cpu_s_per_million\":%.3f,\"broker_peak_rss_mb\":%.1f,\"client_cpu_s\":%.2f,"
           "\"client_cpu_s_per_million\":%.3f,\"seconds\":%.1f,\"seed\":%llu,\"lz4_ratio\":%.2f}\n",
           (double)hist_percentile(&r->latency, 50) / 1e6,
           (double)hist_percentile(&r->latency, 99) / 1e6,
           (double)hist_percentile(&r->latency, 99.9) / 1e6, server_cpu_s,
           millions > 0 ? server_cpu_s / millions : 0, bench_process_peak_rss_mb(o->server_pid),
           client_cpu_s, millions > 0 ? client_cpu_s / millions : 0, o->seconds,
           (unsigned long long)o->seed,
           events_lz4_ratio(o->seed, o->record_bytes > 256 ? o->record_bytes : 0));
}

/** One phase of load; CPU is counted over all of it and the report covers [from, until). */
static void run_phase(struct run *r, double seconds)
{
    uint64_t begin = bench_now_ns();

    r->from_ns = begin;
    r->until_ns = begin + (uint64_t)(seconds * 1e9);
    r->produced = 0;
    r->delivered = 0;
    r->delivered_bytes = 0;
    memset(&r->latency, 0, sizeof(r->latency));
    if (r->options->rate > 0)
        produce_open(r, begin);
    else
        produce_closed(r);
}

static int run(const struct options *o, rd_kafka_conf_t *conf)
{
    CLEANUP(xfree_ptr) struct run *r = xcalloc(1, sizeof(*r));

    r->options = o;
    build_records(r);
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, r);
    r->client = kclient_new(RD_KAFKA_PRODUCER, conf);
    r->topic = rd_kafka_topic_new(r->client, o->topic, NULL);
    if (r->topic == NULL)
        bench_die("topic: %s", rd_kafka_err2str(rd_kafka_last_error()));

    if (o->warmup_s > 0)
        run_phase(r, o->warmup_s);
    double server_cpu = bench_process_cpu_s(o->server_pid);
    double client_cpu = bench_self_cpu_s();
    run_phase(r, o->seconds);
    server_cpu = bench_process_cpu_s(o->server_pid) - server_cpu;
    client_cpu = bench_self_cpu_s() - client_cpu;
    if (rd_kafka_flush(r->client, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR)
        bench_die("records were not delivered within a minute");
    print_result(r, server_cpu, client_cpu);
    int status = r->delivered == 0;
    rd_kafka_topic_destroy(r->topic);
    rd_kafka_destroy(r->client);
    free(r->bytes);
    free(r->offsets);
    return status;
}

static const char usage[] =
    "Usage: kprod [options] BROKER:PORT\n"
    "  --topic T (bench)     --bytes N   200: events as they are (about 200); 257-1535: padded\n"
    "  --codec C (lz4)       --rate R    records per second (0: as fast as they go)\n"
    "  --seconds S (10)      --warmup S (3)      --seed N (1)\n"
    "  --pid PID             the broker, whose CPU and memory to report\n"
    "  --set NAME=VALUE      any librdkafka property\n"
    "  --label TEXT          \"bench\" in the result (produce)\n"
    "Example: kprod --codec none --bytes 1024 127.0.0.1:9092\n";

int main(int argc, char **argv)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct options o = {.topic = "bench",
                        .codec = "lz4",
                        .label = "produce",
                        .record_bytes = 200,
                        .warmup_s = 3,
                        .seconds = 10,
                        .seed = 1};
    const struct bench_option options[] = {{"topic", .text = &o.topic},
                                           {"bytes", .whole = &o.record_bytes},
                                           {"codec", .text = &o.codec},
                                           {"rate", .real = &o.rate},
                                           {"seconds", .real = &o.seconds},
                                           {"warmup", .real = &o.warmup_s},
                                           {"seed", .whole = &o.seed},
                                           {"pid", .whole = &o.server_pid},
                                           {"set", .call = kclient_set_pair, .arg = conf},
                                           {"label", .text = &o.label},
                                           {.name = NULL}};

    kclient_set(conf, "acks", "all");
    kclient_set(conf, "enable.idempotence", "false");
    kclient_set(conf, "queue.buffering.max.messages", "1000000");
    kclient_set(conf, "queue.buffering.max.kbytes", "65536");
    o.brokers = bench_options(argc, argv, options, usage);
    if (o.seconds <= 0)
        bench_usage(usage);
    kclient_set(conf, "bootstrap.servers", o.brokers);
    kclient_set(conf, "compression.codec", o.codec);
    return run(&o, conf);
}
