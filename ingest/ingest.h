/*
 * ingest/ingest.h: the doors through which events come in over HTTP: POST /ingest and /e, and the
 * webhooks of providers. docs/http.md says what a client sees.
 *
 * A success is answered only after the events are durable. A request is stored whole or not at all.
 *
 * Threads: made and freed by main while the reactors handle no requests; the routes run on the
 * reactors.
 */
#ifndef INGEST_INGEST_H
#define INGEST_INGEST_H

#include "access/access.h"
#include "base/clock.h"
#include "base/worker.h"
#include "log/log.h"
#include "net/http.h"
#include "net/reactor.h"
#include "writer/writer.h"

struct ingest;

/** The secret of a webhook provider. */
struct ingest_secret {
    const char *provider; /* a name of webhooks/ */
    const char *secret;   /* NULL or "": not configured */
};

struct ingest_options {
    struct log *log;
    struct writer *writer;
    struct access *access;
    struct reactor_group *reactors;
    struct worker_pool *workers;
    struct clock *clock;
    enum batch_codec codec; /* BATCH_CODEC_LZ4 or BATCH_CODEC_NONE */
    size_t body_bytes;      /* of a request, decompressed; at most LIMIT_BODY_BYTES_MAX */
    uint32_t batch_events;  /* of a request that is not line-framed */
    size_t event_bytes;     /* of one event */
    const struct ingest_secret *secrets; /* copied */
    size_t secret_count;
};

/** Everything in `options` outlives the result. */
struct ingest *ingest_new(const struct ingest_options *options);
/** NULL-safe. After the last reply and after the writer has stopped. */
void ingest_free(struct ingest *in);

/** The routes of these doors, borrowed until ingest_free. */
const struct http_route *ingest_routes(const struct ingest *in, size_t *ret_count);

#endif
