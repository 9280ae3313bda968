/*
 * Set-up: the routes, the pool of workers, jobs of which there is one at a time, the stop.
 */
#include "query/query.h"

#include <stdlib.h>
#include <string.h>

#include "query/kinds.h"
#include "query/op.h"

#define THREADS 6 /* they wait for the disk more than they compute, and are niced */

struct row {
    const char *methods, *path;
    const struct query_kind *kind;
    enum http_match match;
    bool waits;
};

static const struct row rows[] = {
    {"GET", "/state/@/@", &state_kind, HTTP_MATCH_PARTS, false},
    {"GET", "/state/@/@/@", &document_kind, HTTP_MATCH_PARTS, false},
    {"GET", "/state/@/@/@/history", &history_kind, HTTP_MATCH_PARTS, false},
    {"GET", "/changes/@/@", &changes_kind, HTTP_MATCH_PARTS, true},
    {"GET", "/snapshots/@/@", &snapshot_list_kind, HTTP_MATCH_PARTS, false},
    {"POST", "/snapshots/@/@", &snapshot_create_kind, HTTP_MATCH_PARTS, false},
    {"POST", "/snapshots/@/@/cleanup", &snapshot_cleanup_kind, HTTP_MATCH_PARTS, false},
    {"DELETE", "/snapshots/@/@/@", &snapshot_delete_kind, HTTP_MATCH_PARTS, false},
    {"POST", "/restore/@/@", &restore_kind, HTTP_MATCH_PARTS, false},
    {"GET", "/collections/@", &collections_kind, HTTP_MATCH_PARTS, false},
    {"POST", "/flush", &flush_kind, HTTP_MATCH_EXACT, false},
    {"POST", "/admin/compact", &compact_kind, HTTP_MATCH_EXACT, false},
};
_Static_assert(ARRAY_LEN(rows) == QUERY_ROUTE_COUNT, "as query.h says");

struct query *query_new(const struct query_options *options)
{
    struct query *q = xcalloc(1, sizeof(*q));
    q->options = *options;
    q->workers = worker_pool_new(THREADS);
    lock_init(&q->lock, LOCK_RANK_LEAF);
    lock_cond_init(&q->changed);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        q->args[i] = (struct query_route){q, rows[i].kind};
        q->routes[i] =
            (struct http_route){.methods = rows[i].methods,
                                .path = rows[i].path,
                                .match = rows[i].match,
                                .handler = rows[i].waits ? &query_wait_handler : &query_handler,
                                .arg = &q->args[i],
                                .cors = HTTP_CORS_ORIGIN};
    }
    return q;
}

const struct http_route *query_routes(const struct query *q)
{
    return q->routes;
}

void query_stop(struct query *q)
{
    if (q == NULL)
        return;
    atomic_store(&q->stopping, true);
    lock_acquire(&q->lock);
    while (q->live > 0)
        lock_cond_wait(&q->changed, &q->lock);
    lock_release(&q->lock);
    worker_pool_free(q->workers);
    q->workers = NULL;
}

void query_free(struct query *q)
{
    if (q == NULL)
        return;
    ASSERT(q->live == 0 && q->jobs == NULL && q->waiting == NULL);
    worker_pool_free(q->workers);
    lock_cond_destroy(&q->changed);
    lock_destroy(&q->lock);
    free(q);
}

/* Jobs ---------------------------------------------------------------------------------------- */

err_t query_job_begin(struct query *q, struct query_job *job, const char *namespace_name,
                      struct slice collection)
{
    job->name = BUF_INIT;
    buf_append(&job->name, namespace_name, strlen(namespace_name) + 1);
    buf_append_slice(&job->name, collection);
    lock_acquire(&q->lock);
    bool taken = false;
    for (const struct query_job *at = q->jobs; at != NULL; at = at->next)
        taken = taken || slice_equal(buf_slice(&at->name), buf_slice(&job->name));
    if (!taken) {
        job->next = q->jobs;
        q->jobs = job;
    }
    lock_release(&q->lock);
    if (!taken)
        return OK;
    buf_release(&job->name);
    return err_fail(ERR_EXISTS,
                    "another restore or snapshot of this collection is in work: try again "
                    "when it is done");
}

void query_job_end(struct query *q, struct query_job *job)
{
    lock_acquire(&q->lock);
    struct query_job **at = &q->jobs;
    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    lock_release(&q->lock);
    buf_release(&job->name);
}
