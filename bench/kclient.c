/* bench/kclient.c: see kclient.h. */
#include "bench/kclient.h"

#include <string.h>

#include "bench/common.h"

void kclient_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char reason[256];

    if (rd_kafka_conf_set(conf, name, value, reason, sizeof(reason)) != RD_KAFKA_CONF_OK)
        bench_die("librdkafka: %s", reason);
}

void kclient_set_pair(void *conf, const char *pair)
{
    const char *equals = strchr(pair, '=');

    if (equals == NULL)
        bench_die("--set takes NAME=VALUE, not \"%s\"", pair);
    CLEANUP(xfree_ptr) char *name = xstrndup(pair, (size_t)(equals - pair));
    kclient_set(conf, name, equals + 1);
}

static void on_error(rd_kafka_t *client UNUSED, int code, const char *reason, void *opaque UNUSED)
{
    bench_die("librdkafka: %s (%s)", reason, rd_kafka_err2name((rd_kafka_resp_err_t)code));
}

rd_kafka_t *kclient_new(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char reason[256];

    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_t *client = rd_kafka_new(type, conf, reason, sizeof(reason));
    if (client == NULL)
        bench_die("librdkafka: %s", reason);
    return client;
}
