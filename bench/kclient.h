/*
 * bench/kclient.h: what the two librdkafka programs share: a configuration built from pairs, and
 * logging that ends the run on the first error that matters.
 */
#ifndef BENCH_KCLIENT_H
#define BENCH_KCLIENT_H

#include <librdkafka/rdkafka.h>

#include "base/base.h"

/** Sets one librdkafka property or ends the program with its reason. */
void kclient_set(rd_kafka_conf_t *conf, const char *name, const char *value);
/** Applies a "name=value" argument of the command line to a rd_kafka_conf_t. */
void kclient_set_pair(void *conf, const char *pair);
/** A client of the given type; takes over `conf`. Owned by the caller. */
rd_kafka_t *kclient_new(rd_kafka_type_t type, rd_kafka_conf_t *conf);

#endif
