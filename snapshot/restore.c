/*
 * snapshot/restore.c: a reconstruction into a file, or as NDJSON to a descriptor.
 */
#include "snapshot/restore.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "snapshot/sink.h"

typedef err_t (*sink_open_fn)(struct io *io, const char *path, struct sink *ret);

static const sink_open_fn sink_openers[] = {
    [RESTORE_NDJSON] = sink_ndjson_open,
    [RESTORE_PARQUET] = sink_parquet_open,
    [RESTORE_SQLITE] = sink_sqlite_open,
};

/** Everything from the stream into the sink. */
static err_t pour(struct rebuild *r, const struct sink *sink, struct restore_result *result)
{
    struct state_doc doc;
    err_t err;
    while ((err = rebuild_next(r, &doc)) == OK)
        TRY(sink->ops->add(sink->arg, &doc));
    if (err != ERR_END)
        return err;
    result->hash = rebuild_hash(r, &result->rows);
    return sink->ops->finish(sink->arg);
}

static err_t check_absent(struct io *io, const char *path)
{
    bool found;
    TRY(io_find(io, path, &found));
    if (found)
        return err_fail(ERR_EXISTS, "%s exists already; restores never overwrite", path);
    return OK;
}

/** The temporary file under its name, durably. */
static err_t publish(struct io *io, const char *temp, const char *path)
{
    TRY(check_absent(io, path));
    TRY(io_rename(io, temp, path));
    return io_sync_parent(io, path);
}

static err_t to_path(struct io *io, struct rebuild *r, enum restore_format format, const char *path,
                     struct restore_result *result)
{
    struct sink sink;
    CLEANUP(xfree_ptr) char *temp = xasprintf("%s.partial-%ld", path, (long)getpid());
    err_t err = sink_openers[format](io, temp, &sink);
    if (err == OK) {
        err = pour(r, &sink, result);
        sink.ops->close(sink.arg);
    }
    if (err == OK)
        err = publish(io, temp, path);
    if (err != OK) {
        /* The sentence of what failed first is the one to keep. */
        CLEANUP(xfree_ptr) char *text = xstrdup(err_text(err));
        err_t removed = io_unlink(io, temp);
        (void)removed;
        return err_fail(err, "%s%s", text,
                        err == ERR_NO_SPACE ? "; nothing of it is left: free some and restore again"
                                            : "");
    }
    return OK;
}

static err_t to_fd(struct rebuild *r, int fd, struct restore_result *result)
{
    struct sink sink;
    TRY(sink_ndjson_open_fd(fd, &sink));
    err_t err = pour(r, &sink, result);
    sink.ops->close(sink.arg);
    return err;
}

err_t restore_to_file(struct source *s, const char *namespace_name, struct slice collection,
                      const struct rebuild_plan *plan, const struct restore_output *output,
                      const struct rebuild_progress *progress, struct restore_result *ret)
{
    struct restore_result result = {0};
    struct rebuild *r;
    if (output->path == NULL && output->format != RESTORE_NDJSON)
        return err_fail(ERR_USAGE, "only ndjson can be written to standard output");
    if (output->path != NULL)
        TRY(check_absent(source_io(s), output->path));
    TRY(rebuild_open(s, namespace_name, collection, plan, &r));
    rebuild_watch(r, progress);
    err_t err = output->path != NULL
                    ? to_path(source_io(s), r, output->format, output->path, &result)
                    : to_fd(r, output->fd, &result);
    rebuild_close(r);
    if (err == OK)
        *ret = result;
    return err;
}
