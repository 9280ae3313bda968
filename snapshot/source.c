/*
 * snapshot/source.c: where a reconstruction reads from: a data directory, live or stopped, or a
 * store alone. A directory is never written: its log is read as log/view.h says, its state through
 * a read-only connection.
 */
#include "snapshot/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "snapshot/snapshot.h"

/** A namespace's log as it was when it was first looked at: its end stays the same for the whole
 * command. */
struct seen_log {
    char *namespace_name;
    int64_t start, end;
};

struct source {
    struct io *io;
    struct clock *clock;
    char *data_dir; /* NULL: a store alone */
    struct store *store;
    bool store_is_ours;
    struct log *log;
    struct cdc *cdc;
    const atomic_bool *stop; /* NULL: never */
    struct seen_log *logs;
    size_t log_count;
};

struct io *source_io(const struct source *s)
{
    return s->io;
}

struct clock *source_clock(const struct source *s)
{
    return s->clock;
}

struct store *source_store(const struct source *s)
{
    return s->store;
}

struct cdc *source_cdc(const struct source *s)
{
    return s->cdc;
}

struct log *source_log(const struct source *s)
{
    return s->log;
}

err_t source_check_stop(const struct source *s)
{
    if (s->stop != NULL && atomic_load_explicit(s->stop, memory_order_relaxed))
        return err_fail(ERR_UNAVAILABLE, "the server is stopping");
    return OK;
}

const char *source_data_dir(const struct source *s)
{
    return s->data_dir;
}

void source_close(struct source *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->log_count; i++)
        free(s->logs[i].namespace_name);
    free(s->logs);
    if (s->store_is_ours)
        store_close(s->store);
    free(s->data_dir);
    free(s);
}

static void source_close_ptr(struct source **s)
{
    source_close(*s);
}

static err_t check_data_dir(const struct source *s)
{
    CLEANUP(xfree_ptr) char *log_dir = xasprintf("%s/log", s->data_dir);
    bool found;
    TRY(io_find(s->io, log_dir, &found));
    if (!found)
        return err_fail(ERR_NOT_FOUND, "%s is no spillway data directory: %s does not exist",
                        s->data_dir, log_dir);
    return OK;
}

static err_t open_store(struct source *s, const struct source_options *o)
{
    CLEANUP(xfree_ptr)
    char *url = o->store_url != NULL ? xstrdup(o->store_url) : xasprintf("%s/store", s->data_dir);
    err_t err = store_open(s->io, url, o->writable, &s->store);
    if (err == ERR_NOT_FOUND && s->data_dir != NULL && o->store_url == NULL)
        return OK; /* nothing was written there yet */
    TRY(err);
    s->store_is_ours = true;
    return OK;
}

err_t source_open(const struct source_options *o, struct source **ret_source)
{
    if (o->data_dir == NULL && o->store_url == NULL && o->store == NULL)
        return err_fail(ERR_USAGE, "neither a data directory nor a store was given");
    CLEANUP(source_close_ptr) struct source *s = xcalloc(1, sizeof(*s));
    s->io = o->io;
    s->clock = o->clock;
    s->data_dir = o->data_dir != NULL ? xstrdup(o->data_dir) : NULL;
    s->store = o->store;
    s->log = o->log;
    s->cdc = o->cdc;
    s->stop = o->stop;
    if (s->data_dir != NULL && s->log == NULL)
        TRY(check_data_dir(s));
    if (s->store == NULL)
        TRY(open_store(s, o));
    *ret_source = TAKE(s);
    return OK;
}

err_t source_state(struct source *s, const char *namespace_name, struct state **ret_state)
{
    if (s->data_dir == NULL)
        return err_fail(ERR_NOT_FOUND, "a store alone has no state database");
    CLEANUP(xfree_ptr) char *stream = cdc_stream_name(namespace_name);
    if (!log_stream_name_valid(stream, strlen(stream)))
        return err_fail(ERR_NOT_FOUND, "there is no namespace \"%s\"", namespace_name);
    CLEANUP(xfree_ptr) char *path = cdc_state_path(s->data_dir, namespace_name);
    return state_reader_open(s->io, path, ret_state);
}

/* The log ------------------------------------------------------------------------------------- */

static err_t no_log(const char *namespace_name)
{
    return err_fail(ERR_NOT_FOUND, "the namespace \"%s\" has no log here", namespace_name);
}

static err_t open_view(struct source *s, const char *namespace_name, struct log_view **ret)
{
    CLEANUP(xfree_ptr) char *stream = cdc_stream_name(namespace_name);
    if (s->data_dir == NULL || !log_stream_name_valid(stream, strlen(stream)))
        return no_log(namespace_name);
    return log_view_open(s->io, s->data_dir, stream, 0, ret);
}

static err_t look_at_log(struct source *s, const char *namespace_name, struct seen_log *ret)
{
    struct log_view *view = NULL;
    for (size_t i = 0; i < s->log_count; i++) {
        if (strcmp(s->logs[i].namespace_name, namespace_name) == 0) {
            *ret = s->logs[i];
            return OK;
        }
    }
    TRY(open_view(s, namespace_name, &view));
    *ret = (struct seen_log){xstrdup(namespace_name), log_view_start(view), log_view_end(view)};
    log_view_close(view);
    s->logs = xrealloc(s->logs, (s->log_count + 1) * sizeof(*s->logs));
    s->logs[s->log_count++] = *ret;
    return OK;
}

static err_t find_shard(struct source *s, const char *namespace_name, struct shard **ret)
{
    CLEANUP(xfree_ptr) char *name = cdc_stream_name(namespace_name);
    struct stream *stream = log_find_stream(s->log, name, strlen(name));
    if (stream == NULL)
        return no_log(namespace_name);
    *ret = stream_shard(stream, 0);
    return OK;
}

err_t source_log_range(struct source *s, const char *namespace_name, int64_t *ret_start,
                       int64_t *ret_end)
{
    if (s->log != NULL) {
        struct shard *sh;
        TRY(find_shard(s, namespace_name, &sh));
        *ret_start = shard_log_start(sh);
        *ret_end = shard_high_watermark(sh);
        return OK;
    }
    struct seen_log seen;
    TRY(look_at_log(s, namespace_name, &seen));
    *ret_start = seen.start;
    *ret_end = seen.end;
    return OK;
}

err_t batch_reader_open(struct source *s, const char *namespace_name, int64_t from,
                        struct batch_reader *ret)
{
    *ret = (struct batch_reader){0};
    if (s->log != NULL) {
        struct shard *sh;
        TRY(find_shard(s, namespace_name, &sh));
        return log_reader_open(&ret->live, sh, from);
    }
    /* A view of its own: a reader may be opened while another is half-way. */
    TRY(open_view(s, namespace_name, &ret->view));
    err_t err = log_view_seek(ret->view, from);
    if (err != OK)
        log_view_close(TAKE(ret->view));
    return err;
}

err_t batch_reader_next(struct batch_reader *r, const uint8_t **ret_batch,
                        struct batch_header *ret_header)
{
    return r->view != NULL ? log_view_next(r->view, ret_batch, ret_header)
                           : log_reader_next(&r->live, ret_batch, ret_header);
}

void batch_reader_close(struct batch_reader *r)
{
    if (r->view != NULL)
        log_view_close(r->view);
    else
        log_reader_close(&r->live);
}

/* What is where ------------------------------------------------------------------------------- */

void extent_release(struct extent *e)
{
    if (e->has_manifest)
        collection_manifest_free(&e->manifest);
    *e = (struct extent){0};
}

const struct store_file *chain_file(const struct collection_manifest *m, size_t i)
{
    if (i < m->delta_count)
        return &m->deltas[i];
    return i == m->delta_count && m->has_data ? &m->data : NULL;
}

bool namespace_lists(const struct namespace_manifest *ns, struct slice collection)
{
    for (size_t i = 0; i < ns->collection_count; i++)
        if (slice_equal(slice_of(ns->collections[i]), collection))
            return true;
    return false;
}

/** *ret_listed: the store has files of the collection, or had them. */
static err_t read_namespace(struct source *s, const char *namespace_name, struct slice collection,
                            struct extent *e, bool *ret_listed)
{
    struct namespace_manifest ns;
    *ret_listed = false;
    err_t err = namespace_manifest_read(s->store, namespace_name, &ns);
    if (err != OK)
        return err == ERR_NOT_FOUND ? OK : err;
    e->known = true;
    e->covered_until = ns.covered_until;
    e->covered_until_us = ns.covered_until_us;
    *ret_listed = namespace_lists(&ns, collection);
    namespace_manifest_free(&ns);
    return OK;
}

err_t manifest_missing(const char *namespace_name, struct slice collection)
{
    CLEANUP(xfree_ptr) char *dir = collection_dir(namespace_name, collection);
    return err_fail(ERR_CORRUPT,
                    "%s/manifest.json is missing, but the store has files of this collection", dir);
}

err_t changes_missing(int64_t from, int64_t to)
{
    return err_fail(ERR_CORRUPT,
                    "the changes from LSN %lld to %lld are neither in the store nor in the log",
                    (long long)from, (long long)to - 1);
}

err_t no_collection(const char *namespace_name, struct slice collection)
{
    return err_fail(ERR_NOT_FOUND, "the namespace \"%s\" has no collection \"%.*s\"",
                    namespace_name, (int)MIN(collection.len, 200), collection.data);
}

static err_t read_manifests(struct source *s, const char *namespace_name, struct slice collection,
                            struct extent *e)
{
    bool listed;
    struct snapshot_list snapshots;
    TRY(read_namespace(s, namespace_name, collection, e, &listed));
    err_t err = collection_manifest_read(s->store, namespace_name, collection, &e->manifest);
    if (err == ERR_NOT_FOUND) {
        TRY(snapshot_list_read(s->store, namespace_name, collection, &snapshots));
        listed = listed || snapshots.count > 0;
        snapshot_list_free(&snapshots);
        return listed ? manifest_missing(namespace_name, collection) : OK;
    }
    TRY(err);
    e->has_manifest = true;
    e->known = true;
    e->chain_from = e->manifest.lsn_from;
    e->store_end = e->manifest.lsn_from;
    if (e->manifest.has_data)
        e->store_end = MAX(e->store_end, e->manifest.data.lsn_to);
    if (e->manifest.delta_count > 0)
        e->store_end = MAX(e->store_end, e->manifest.deltas[e->manifest.delta_count - 1].lsn_to);
    return OK;
}

static err_t read_log_range(struct source *s, const char *namespace_name, struct extent *e)
{
    err_t err = source_log_range(s, namespace_name, &e->log_start, &e->log_end);
    if (err == ERR_NOT_FOUND)
        return OK;
    TRY(err);
    e->has_log = true;
    e->known = true;
    return OK;
}

/** A log that ends before what the store has from it is another log. */
static err_t check_log(const struct source *s, const char *namespace_name, const struct extent *e)
{
    if (!e->has_log && e->store_end > 0)
        return err_fail(
            ERR_CORRUPT,
            "the log of the namespace \"%s\" is missing in %s, but the store covers its "
            "LSNs below %lld; to read the store without it give --store alone",
            namespace_name, s->data_dir, (long long)e->store_end);
    if (e->has_log && e->log_end < e->store_end)
        return err_fail(ERR_CORRUPT,
                        "the log of the namespace \"%s\" in %s ends at LSN %lld, before %lld where "
                        "the store's files end: they belong to different logs, or the log has lost "
                        "its end; to read the store without it give --store alone",
                        namespace_name, s->data_dir, (long long)e->log_end,
                        (long long)e->store_end);
    return OK;
}

err_t extent_read(struct source *s, const char *namespace_name, struct slice collection,
                  struct extent *ret)
{
    CLEANUP(extent_release) struct extent e = {0};
    if (s->store != NULL)
        TRY(read_manifests(s, namespace_name, collection, &e));
    e.store_end = MAX(e.store_end, e.covered_until);
    bool has_dir = s->log != NULL || s->data_dir != NULL;
    if (has_dir) {
        TRY(read_log_range(s, namespace_name, &e));
        TRY(check_log(s, namespace_name, &e));
    }
    if (!e.known)
        return err_fail(ERR_NOT_FOUND, "there is no namespace \"%s\"", namespace_name);
    e.end = has_dir ? e.log_end : e.store_end;
    *ret = e;
    e = (struct extent){0};
    return OK;
}
