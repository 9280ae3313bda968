/*
 * query/query.h: the HTTP side of state and recovery: current and past documents, changes, history,
 * snapshots, restore, flush. docs/http.md says what a client sees.
 *
 * Reactors read requests and send replies; all that blocks runs on a pool of this room's own, one
 * step at a time, so that a slow client holds memory for one piece and no thread.
 *
 * Threads: made, stopped and freed by main; the routes run on the reactors.
 */
#ifndef QUERY_QUERY_H
#define QUERY_QUERY_H

#include "access/access.h"
#include "base/clock.h"
#include "base/io.h"
#include "cdc/cdc.h"
#include "log/log.h"
#include "net/http.h"
#include "snapshot/snapshot.h"
#include "store/store.h"
#include "writer/writer.h"

struct query;

struct query_options {
    struct io *io;
    struct clock *clock;
    struct log *log;
    struct writer *writer;
    struct access *access;
    struct cdc *cdc;
    struct store *store;
    const char *data_dir;
    struct retention retention; /* of a cleanup on demand, unless it says otherwise */
    enum batch_codec codec;     /* of what a restore appends */
    bool open_to_all;           /* development without any key: everyone reads every namespace */
};

/** Everything in `options` outlives the result. */
struct query *query_new(const struct query_options *options);
/** The routes, borrowed until query_free. */
#define QUERY_ROUTE_COUNT 12
const struct http_route *query_routes(const struct query *q);
/** Answers long polls that wait. Main, when the server begins to drain. */
void query_drain(struct query *q);
/** Ends what is in work and waits for it. After the connections are closed, before the writer, the
 * cdc and the reactors stop. NULL-safe. */
void query_stop(struct query *q);
/** After the reactors have stopped. NULL-safe. */
void query_free(struct query *q);

#endif
