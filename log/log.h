/*
 * log/log.h: the segmented log: streams, their shards, appends and reads. docs/format.md says every
 * byte.
 *
 *     data/format                        what this directory is; see log/datadir.h
 *     data/log/<stream>/<shard>/…        one directory per shard; see log/shard.c
 *
 * What readers see is durable: a shard's high watermark moves only after the sync.
 *
 * Threads: log_open and log_close: main. Appends to one shard: one thread at a time (the writer
 * sees to that: a commit thread, or a reactor). Everything marked "any thread" is safe beside
 * appends.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include "base/base.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/io.h"
#include "base/worker.h"
#include "log/batch.h"

struct log;
struct stream;
struct shard;

/** What the log tells the keeper of derived state (writer/): checkpoints at roll and stop, replay
 * at start. Called from log_open (load, replay) and from the thread that rolls or closes (save). */
struct log_state_ops {
    /** The newest good .state file of this shard. */
    err_t (*load)(void *arg, struct shard *sh, const char *data, size_t len);
    /** A batch behind that checkpoint which has BATCH_ATTR_KEYED set or a producer id. */
    err_t (*replay)(void *arg, struct shard *sh, const void *batch, size_t len);
    /** Appends this shard's state, as of `offset`, to `out`. Worker or main thread. */
    void (*save)(void *arg, struct shard *sh, int64_t offset, struct buf *out);
    void *arg;
};

struct log_options {
    struct io *io;
    struct clock *clock;
    const char *data_dir;   /* created when absent; its parent must exist */
    uint64_t segment_bytes; /* upper bound; a shard's first is of 16 MiB, each next twice that */
    struct worker_pool *workers; /* prepares segments, writes indexes and checkpoints */
    struct log_state_ops state;  /* may be all NULL */
    uint64_t checkpoint_bytes;   /* a checkpoint of that state per this much log; 0: 64 MiB */
};

/** Opens the data directory: recovers every shard (see log/recovery.c), syncs what it keeps,
 * creates data/format and data/log on a fresh one. ERR_CORRUPT for a damaged or newer format. A
 * damaged shard opens read-only and does not fail the call. *ret_log is owned. */
err_t log_open(const struct log_options *options, struct log **ret_log) MUST_USE;
/** Clean stop: no appends may run and the worker pool has run its jobs. Seals what is prepared,
 * writes indexes, checkpoints and recovery points. What fails is logged; the log is safe in any
 * case. */
void log_close(struct log *log);
/** For tests of crashes: forgets everything without writing. */
void log_abandon(struct log *log);

/** Any thread. The stream, borrowed for the log's life, or NULL. */
struct stream *log_find_stream(struct log *log, const char *name, size_t len);
/** Creates a stream with `shards` (1..LIMIT_SHARDS) empty shards, durable when it returns.
 * ERR_EXISTS, ERR_INVALID_TOPIC for a bad name, ERR_VALIDATION for a bad count or
 * when there are LIMIT_STREAMS. Any thread; blocks on syncs. */
err_t log_create_stream(struct log *log, const char *name, unsigned shards,
                        struct stream **ret_stream) MUST_USE;
/** `fn` is told of each stream that is created from now on, on the thread that created it; NULL:
 * nobody is. Set while no stream is being created. */
void log_on_create(struct log *log, void (*fn)(void *arg, struct stream *s), void *arg);
/** Whether a name is legal: 1..249 of [A-Za-z0-9._-], not "." or "..". */
bool log_stream_name_valid(const char *name, size_t len);
/** Calls fn for each stream, sorted by name. Any thread; fn must not create streams. */
void log_each_stream(struct log *log, void (*fn)(void *arg, struct stream *s), void *arg);

const char *stream_name(const struct stream *s);
/** "events" and "<ns>.events": written by HTTP; produced batches are stamped with the append time.
 */
bool stream_is_namespace(const struct stream *s);
/** At least 1. Any thread. Grows only. */
unsigned stream_shard_count(const struct stream *s);
/** k is below that count. Borrowed for the log's life. */
struct shard *stream_shard(struct stream *s, unsigned k);

enum shard_status {
    SHARD_OPEN,
    SHARD_FULL,      /* no space left on the device: appends fail with ERR_NO_SPACE, reads go on */
    SHARD_READ_ONLY, /* damage found at start, or a fault that could not be mended */
};

/* Any thread. */
struct stream *shard_stream(const struct shard *sh);
unsigned shard_index(const struct shard *sh);
enum shard_status shard_status(const struct shard *sh);
/** Why it is not open: a sentence; "" when open. Copies into out (NUL-terminated). */
void shard_status_text(struct shard *sh, char *out, size_t out_len);
int64_t shard_log_start(const struct shard *sh);
/** First offset that is not yet durable: one past the last that readers may see. */
int64_t shard_high_watermark(const struct shard *sh);
/** All batches from this offset on are marked BATCH_ATTR_PLAIN, up to a high watermark that was
 * read before: who looks for changes need not read them. Grows only. */
int64_t shard_plain_from(const struct shard *sh);
uint64_t shard_size_bytes(struct shard *sh);
unsigned shard_segment_count(struct shard *sh);
/** Torn groups that starts have cut and that hold whole (never acknowledged) batches, for /health;
 * 0 normally. */
unsigned shard_valid_cuts(const struct shard *sh);

/** Kept for the writer; NULL at first. Any thread; the setter sees to it that only one sets. */
void shard_set_user(struct shard *sh, void *user);
void *shard_user(const struct shard *sh);
void stream_set_user(struct stream *s, void *user);
void *stream_user(const struct stream *s);

/** One batch of a group. */
struct append_batch {
    uint8_t *data; /* a whole record batch; baseOffset is patched here */
    uint32_t len;
    bool stamp_append_time;
    int64_t base_offset; /* out */
};

/**
 * Appends a group (at most LIMIT_BATCH_BYTES, LIMIT_GROUP_BATCHES) and makes it durable: one
 * write, one fdatasync. On OK every byte survives a power cut and readers see it. On an error
 * none of the group is visible: ERR_NO_SPACE (tail cut, the shard stays usable), ERR_IO (moved to a
 * new segment where possible), ERR_READ_ONLY. Nor will any of it come back, but for one case: where
 * the device fails so that the tail cannot be cut either, the shard is read-only until a restart,
 * which may then find whole batches of that group on the disk.
 * Thread: the one that holds the shard.
 */
err_t shard_append(struct shard *sh, struct append_batch *batches, size_t count) MUST_USE;
/** To be called after a successful shard_append, once those who wait for it are told: it
 * may take another sync (the recovery point's) and calls for the next segment's zeros. Thread: the
 * one that holds the shard. */
void shard_upkeep(struct shard *sh);
/** What shard_append would refuse now: ERR_READ_ONLY, or ERR_NO_SPACE within a second of a full
 * disk (later an append is let through as the probe). Any thread. */
err_t shard_admit(struct shard *sh) MUST_USE;
/** Writes and syncs recovery-point if it is behind. Shard's holder, about once a second. */
void shard_sync_recovery_point(struct shard *sh);

/** Whole batches in one segment file. */
struct log_slice {
    struct segment *segment; /* referenced until log_slice_release */
    int fd;                  /* for sendfile; -1 on a simulated disk */
    uint64_t position;
    size_t len;           /* 0 when the offset is at the high watermark */
    int64_t first_offset; /* base offset of the first batch: at or before the one asked for */
};

/**
 * Finds the batches from the one that holds `offset` on, at most max_bytes of them but at least one
 * whole batch, all below the high watermark, all in one segment. ERR_OFFSET_OUT_OF_RANGE outside
 * [log start, high watermark]. Any thread; may read index pages and a few batch headers.
 */
err_t shard_slice(struct shard *sh, int64_t offset, size_t max_bytes,
                  struct log_slice *ret_slice) MUST_USE;
/** Reads slice bytes [at, at+len) into `out`. */
err_t log_slice_read(const struct log_slice *s, size_t at, void *out, size_t len) MUST_USE;
void log_slice_release(struct log_slice *s);
/** A further reference to the same slice. */
struct log_slice log_slice_ref(const struct log_slice *s);

/**
 * The first record whose timestamp is >= ts_ms, by offset order (KIP-79): *ret_offset and
 * *ret_timestamp, or -1 and -1 where there is none. Reads and decompresses batches: worker or
 * command thread only.
 */
err_t shard_offset_for_time(struct shard *sh, int64_t ts_ms, int64_t *ret_offset,
                            int64_t *ret_timestamp) MUST_USE;
/** The record with the greatest timestamp (KIP-734); -1 and -1 for an empty shard. As above. */
err_t shard_max_timestamp(struct shard *sh, int64_t *ret_offset, int64_t *ret_timestamp) MUST_USE;

/** Waits for appends without blocking: `fn` is called once, on the appending thread, under the lock
 * of the waiters, when the high watermark passes the one seen, possibly before shard_wait has
 * returned. It must not block or call the log. Embedded in the waiter's object. */
struct shard_waiter {
    struct shard_waiter *next;
    struct shard_waiter **link; /* NULL when not waiting */
    void (*fn)(struct shard_waiter *w);
};
/** False, without waiting, when the high watermark is already above `seen`. Any thread. */
bool shard_wait(struct shard *sh, int64_t seen, struct shard_waiter *w);
/** After it returns fn is not running and will not be called. Any thread. */
void shard_unwait(struct shard *sh, struct shard_waiter *w);

/** A sequential reader: batches in offset order (the one interface for everything that follows the
 * log). */
struct log_reader {
    struct shard *shard;
    int64_t next_offset;
    struct log_slice slice;
    size_t at;
    size_t buffer_at; /* slice position of the first byte in `batch` */
    struct buf batch;
    bool between; /* next_offset is known to begin a batch */
};
/** Positions at `offset`, which must lie in [log start, high watermark]: ERR_OFFSET_OUT_OF_RANGE.
 */
err_t log_reader_open(struct log_reader *r, struct shard *sh, int64_t offset) MUST_USE;
/** The next batch (checked with its CRC; borrowed until the next call), ERR_END at the high
 * watermark, or ERR_CORRUPT. The first batch may begin before the offset asked for. */
err_t log_reader_next(struct log_reader *r, const uint8_t **ret_batch,
                      struct batch_header *ret_header) MUST_USE;
void log_reader_close(struct log_reader *r);

#endif
