/*
 * log/verify.h: looking at a data directory without touching it: `spillway log verify` and
 * `spillway log dump`.
 *
 * Works on a stopped or a running server's directory: behind the recovery point of the last
 * segment, bytes that are no batch are a tail that is being written or that the next start will
 * cut, not damage.
 */
#ifndef LOG_VERIFY_H
#define LOG_VERIFY_H

#include "base/base.h"
#include "base/err.h"
#include "base/io.h"
#include "log/batch.h"

/** Reads the batches of one .log file one after another, each with its CRC checked. */
struct log_scan {
    struct io_file *file; /* owned */
    uint64_t file_size;
    uint64_t position; /* of the batch to come */
    struct buf batch;
};
err_t log_scan_open(struct log_scan *s, struct io *io, const char *path) MUST_USE;
/** The next batch, borrowed until the next call. ERR_END at the end of the file or where only zeros
 * follow; ERR_CORRUPT_MESSAGE where something else stands at s->position. */
err_t log_scan_next(struct log_scan *s, const uint8_t **ret_batch,
                    struct batch_header *ret_header) MUST_USE;
void log_scan_close(struct log_scan *s);

struct log_verify_shard {
    const char *stream;
    unsigned shard;
    size_t segments;
    uint64_t bytes; /* in good batches */
    uint64_t batches;
    int64_t first_offset;
    int64_t next_offset;
    uint64_t tail_bytes; /* behind the last good batch of the last segment, zeros not counted */
    size_t cut_files;    /* torn groups that earlier starts cut and kept */
    size_t index_faults; /* index files that do not fit; they are rebuilt when used */
    unsigned damage;     /* places */
};

struct log_verify_ops {
    /** A place where stored data is wrong. */
    void (*on_damage)(void *arg, const char *path, uint64_t position, const char *text);
    /** After each shard. */
    void (*on_shard)(void *arg, const struct log_verify_shard *shard);
    /** Bytes read so far and in all, for a progress bar; may be NULL. */
    void (*on_progress)(void *arg, uint64_t done, uint64_t all);
    void *arg;
};

/** Checks every batch and every index of `data_dir`, or of one stream. *ret_damage counts the
 * places; OK also when there are some. ERR_NOT_FOUND, ERR_CORRUPT (no data directory), ERR_IO. */
err_t log_verify(struct io *io, const char *data_dir, const char *only_stream,
                 const struct log_verify_ops *ops, unsigned *ret_damage) MUST_USE;

/** The .log files of a shard, by offset: calls fn with each path and its base offset. */
err_t log_each_segment_file(struct io *io, const char *data_dir, const char *stream, unsigned shard,
                            err_t (*fn)(void *arg, const char *path, int64_t base_offset),
                            void *arg) MUST_USE;

#endif
