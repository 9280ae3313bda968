/*
 * bench/kcons.c: librdkafka's own consumer reading a partition from its start to its end, without a
 * group (assigned by hand, offsets not stored), through the batch interface.
 *
 * Prints one JSON line: records/s and MB/s of keys and values from the first record to the last,
 * the broker's CPU per million records. One thread of its own beside librdkafka's.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/common.h"
#include "bench/kclient.h"
#include "bench/options.h"

#define BATCH_MAX 8192
#define SILENCE_MS 10000 /* nothing for so long is a failure */

struct options {
    const char *brokers;
    const char *topic;
    const char *label;
    uint64_t partition;
    uint64_t records_max; /* 0: up to the partition's end */
    uint64_t server_pid;
};

struct tally {
    uint64_t records;
    uint64_t bytes;
    int64_t next_offset;
    bool ended;
};

static void take_message(struct tally *t, const rd_kafka_message_t *m)
{
    if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        t->ended = true;
        return;
    }
    if (m->err)
        bench_die("consume: %s", rd_kafka_message_errstr(m));
    if (t->next_offset >= 0 && m->offset != t->next_offset)
        bench_die("offset %lld came where %lld was due", (long long)m->offset,
                  (long long)t->next_offset);
    t->next_offset = m->offset + 1;
    t->records++;
    t->bytes += m->len + m->key_len;
}

static void print_result(const struct options *o, const struct tally *t, double seconds,
                         double server_cpu_s, double client_cpu_s)
{
    double millions = (double)t->records / 1e6;

    printf("{\"bench\":\"%s\",\"records\":%llu,\"records_per_s\":%.0f,\"mb_per_s\":%.1f,"
           "\"broker_cpu_s\":%.2f,\"broker_cpu_s_per_million\":%.3f,\"client_cpu_s\":%.2f,"
           "\"seconds\":%.2f}\n",
           o->label, (unsigned long long)t->records, (double)t->records / seconds,
           (double)t->bytes / seconds / 1e6, server_cpu_s,
           millions > 0 ? server_cpu_s / millions : 0, client_cpu_s, seconds);
}

static int run(const struct options *o, rd_kafka_conf_t *conf)
{
    CLEANUP(xfree_ptr) rd_kafka_message_t **batch = xcalloc(BATCH_MAX, sizeof(*batch));
    rd_kafka_t *client = kclient_new(RD_KAFKA_CONSUMER, conf);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(client, o->topic, NULL);
    struct tally tally = {.next_offset = -1};
    int32_t partition = (int32_t)o->partition;
    double server_cpu = bench_process_cpu_s(o->server_pid);
    uint64_t begin = 0;
    uint64_t end = 0;

    if (topic == NULL || rd_kafka_consume_start(topic, partition, RD_KAFKA_OFFSET_BEGINNING) != 0)
        bench_die("consume_start: %s", rd_kafka_err2str(rd_kafka_last_error()));
    while (!tally.ended && (o->records_max == 0 || tally.records < o->records_max)) {
        ssize_t n = rd_kafka_consume_batch(topic, partition, SILENCE_MS, batch, BATCH_MAX);
        if (n <= 0)
            bench_die("nothing came for %d s", SILENCE_MS / 1000);
        if (begin == 0)
            begin = bench_now_ns();
        for (ssize_t i = 0; i < n; i++) {
            take_message(&tally, batch[i]);
            rd_kafka_message_destroy(batch[i]);
        }
        end = bench_now_ns();
        rd_kafka_poll(client, 0);
    }
    server_cpu = bench_process_cpu_s(o->server_pid) - server_cpu;
    print_result(o, &tally, (double)(end - begin) / 1e9, server_cpu, bench_self_cpu_s());
    rd_kafka_consume_stop(topic, partition);
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(client);
    return tally.records == 0;
}

static const char usage[] =
    "Usage: kcons [options] BROKER:PORT\n"
    "  --topic T (bench)   --partition P (0)   --records N (0: to the end)\n"
    "  --pid PID           the broker, whose CPU to report\n"
    "  --set NAME=VALUE    any librdkafka property\n"
    "  --label TEXT        \"bench\" in the result (consume)\n"
    "Example: kcons --topic events 127.0.0.1:9092\n";

int main(int argc, char **argv)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    struct options o = {.topic = "bench", .label = "consume"};
    const struct bench_option options[] = {{"topic", .text = &o.topic},
                                           {"partition", .whole = &o.partition},
                                           {"records", .whole = &o.records_max},
                                           {"pid", .whole = &o.server_pid},
                                           {"set", .call = kclient_set_pair, .arg = conf},
                                           {"label", .text = &o.label},
                                           {.name = NULL}};

    kclient_set(conf, "enable.partition.eof", "true");
    kclient_set(conf, "queued.min.messages", "1000000");
    kclient_set(conf, "fetch.message.max.bytes", "8388608");
    o.brokers = bench_options(argc, argv, options, usage);
    if (o.partition > INT32_MAX)
        bench_usage(usage);
    kclient_set(conf, "bootstrap.servers", o.brokers);
    return run(&o, conf);
}
