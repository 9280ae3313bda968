/*
 * server/ops.h: the routes for operators: /, /health, /metrics, /admin/status.
 *
 * Made by main before the listeners open, then only read: the handlers run on any reactor.
 */
#ifndef SERVER_OPS_H
#define SERVER_OPS_H

#include "access/access.h"
#include "cdc/cdc.h"
#include "log/log.h"
#include "net/http.h"
#include "server/config.h"
#include "server/schedule.h"
#include "writer/writer.h"

/** All pointers are borrowed; the listeners are NULL where they are off. */
struct ops {
    const struct config *config;
    struct access *access;
    struct log *log;
    struct writer *writer;
    struct cdc *cdc;
    struct schedule *schedule; /* NULL: none runs */
    const struct listener *http;
    const struct listener *kafka;
    const char *cluster_id;
    int64_t started_us; /* wall clock */
};

/** Whether this server takes anyone as it takes the admin: development without any key. */
bool ops_open_to_all(const struct config *c);

#define OPS_ROUTE_COUNT 4
/** Fills `routes` with the rows of these routes. */
void ops_routes(struct ops *ops, struct http_route routes[OPS_ROUTE_COUNT]);

/* The bodies, apart from HTTP, for tests. Each appends to `out`. */

/** JSON of /health; returns the status: 200, or 503 when a shard takes no appends. */
int ops_health(const struct ops *ops, struct buf *out);
void ops_metrics(const struct ops *ops, struct buf *out);
void ops_status(const struct ops *ops, struct buf *out);

#endif
