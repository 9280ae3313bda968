/*
 * snapshot/sink.h: where restored documents go. Private to snapshot/. Documents come sorted by id.
 *
 * A file is written beside its place under a temporary name, synced, renamed, and its directory
 * synced; an existing one is never replaced.
 */
#ifndef SNAPSHOT_SINK_H
#define SNAPSHOT_SINK_H

#include "snapshot/restore.h"

struct sink_ops {
    err_t (*add)(void *arg, const struct state_doc *doc);
    /** All is written and synced; the file may be renamed. */
    err_t (*finish)(void *arg);
    void (*close)(void *arg); /* also after an error */
};
struct sink {
    const struct sink_ops *ops;
    void *arg;
};

/** `path` is the temporary name. */
err_t sink_ndjson_open(struct io *io, const char *path, struct sink *ret) MUST_USE;
/** `fd` is borrowed; nothing is synced. */
err_t sink_ndjson_open_fd(int fd, struct sink *ret) MUST_USE;
err_t sink_parquet_open(struct io *io, const char *path, struct sink *ret) MUST_USE;
err_t sink_sqlite_open(struct io *io, const char *path, struct sink *ret) MUST_USE;

#endif
