/*
 * log/shard.h: a shard's insides. Private to log/.
 */
#ifndef LOG_SHARD_H
#define LOG_SHARD_H

#include <stdatomic.h>

#include "base/lock.h"
#include "log/log.h"
#include "log/segment.h"

/** The file "recovery-point": one sector, overwritten in place (docs/format.md). */
struct recovery_point {
    int64_t log_start;
    int64_t segment_base;
    uint64_t position;   /* in that segment: durable up to here */
    int64_t next_offset; /* offset of what would stand at `position` */
};

enum prepare_state { PREPARE_NONE, PREPARE_RUNNING, PREPARE_WAITING, PREPARE_READY };

struct shard {
    struct log *log;
    struct stream *stream;
    unsigned index;
    char *dir; /* owned */
    _Atomic(void *) user;

    /* Read by any thread. */
    _Atomic int64_t high_watermark;
    _Atomic int64_t log_start;
    _Atomic int64_t plain_from; /* see shard_plain_from; set before the high watermark */
    atomic_int status;          /* enum shard_status */
    _Atomic int64_t full_since_ns;
    _Atomic int64_t read_ns;        /* when somebody last read from here … */
    _Atomic int64_t read_behind_ns; /* … and from behind the window of log/cache.c */
    _Atomic uint64_t end_bytes;     /* struct segment's `before` of what is appended next */
    atomic_uint valid_cuts;

    struct lock segments_lock; /* guards the list, not the segments */
    struct segment **segments; /* by base offset; the last one is active */
    size_t segment_count, segment_cap;
    char status_text[256];

    struct lock waiters_lock;
    struct shard_waiter *waiters;
    atomic_uint waiter_count;

    /* Owned by the thread that appends. */
    struct segment *active; /* one reference */
    uint64_t segment_limit;
    struct io_file *recovery_file;
    struct recovery_point point;
    bool point_written, point_synced;
    int64_t point_written_ns, point_synced_ns;

    /* Preparation of the next segment: log/prepare.c. */
    atomic_int prepare;        /* enum prepare_state; WAITING and READY hand over what follows */
    bool active_prepared;      /* the active one was; appending thread */
    bool prepare_considered;   /* for this active segment; appending thread */
    uint64_t prepare_from;     /* size that the measured stretch of appends began at … */
    int64_t prepare_from_ns;   /* … and when; appending thread */
    atomic_uint prepare_pause; /* segments to pass over */
    uint64_t prepare_bytes;
    uint64_t prepare_at;       /* bytes of it that are written; the worker's while RUNNING */
    int64_t prepare_took_ns;   /* for that; the worker's while RUNNING */
    int64_t prepare_base;      /* the active segment when it began … */
    uint64_t prepare_start;    /* … and that one's size */
    bool prepare_grown;        /* it is as large as the active one's limit: segments grow no more */
    int64_t prepare_budget_ns; /* time in which the rest of the active segment fills */
    struct worker_job prepare_job;

    /* Checkpoints: see shard_maybe_checkpoint. */
    uint64_t since_checkpoint; /* bytes appended; appending thread */
    int64_t checkpoint_offset;
    _Atomic uint64_t checkpoint_bytes; /* of the last one */
    atomic_bool checkpoint_running;
    struct worker_job checkpoint_job;

    /* Pages of the page cache: log/cache.c. */
    uint64_t drop_looked_at; /* end_bytes when that was last thought of; appending thread */
    atomic_bool drop_running;
    struct worker_job drop_job;

    atomic_uint jobs_pending; /* jobs that point to this shard; 0 before log_close */
};

struct log {
    struct log_options options;
    char *data_dir; /* owned */
    char *log_dir;  /* owned */
    struct lock create_lock;
    struct lock lock;        /* guards streams */
    struct stream **streams; /* sorted by name */
    size_t stream_count, stream_cap;
    void (*on_create)(void *arg, struct stream *s);
    void *on_create_arg;
};

struct stream {
    struct log *log;
    char *name; /* owned */
    char *dir;  /* owned */
    bool is_namespace;
    _Atomic(void *) user;
    struct shard **shards;
    unsigned shard_count;
};

#define SHARD_BATCH_OFFSETS_MAX INT32_MAX

/* log/shard_open.c */
/** Opens and recovers the shard in `dir`. Damage makes it read-only; only failing I/O is an error.
 */
err_t shard_open(struct log *log, struct stream *stream, unsigned index,
                 struct shard **ret_shard) MUST_USE;
/** Hands segments whose sealing a crash took away to the workers: once the whole log is open. */
void shard_seal_leftovers(struct shard *sh);
/** Writes what makes the next start quick. `abandon`: writes nothing. */
void shard_close(struct shard *sh, bool abandon);
/** Creates the directory with an empty first segment, synced; its parent is not. */
err_t shard_create_files(struct io *io, const char *dir) MUST_USE;

/* log/recovery.c */
struct recovery_result {
    /* A reference: the last segment, or the damaged one, readable up to the damage; NULL when that
     * one is missing. */
    struct segment *active;
    size_t active_index; /* its place among `bases`; later ones are not readable */
    int64_t next_offset;
    bool cut_valid; /* whole batches were cut */
    bool damaged;
    char text[256]; /* why */
};
/** Finds the durable end of the log from `point` (NULL: from the start of the last segment), cuts a
 * torn group, syncs what it keeps. `bases` are the segments' base offsets, rising, at least one. */
err_t recovery_run(struct log *log, const char *dir, const int64_t *bases, size_t count,
                   const struct recovery_point *point, struct recovery_result *ret_result) MUST_USE;
/** Whether what follows `position` in the last segment, where no good batch stands, is damage
 * rather than a torn group: a good batch more than one group further on. */
err_t recovery_tail_is_damage(struct io_file *file, uint64_t file_size, uint64_t position,
                              int64_t next_offset, bool *ret_damage) MUST_USE;

/* log/recovery_point.c */
err_t recovery_point_read(struct io *io, const char *dir,
                          struct recovery_point *ret_point) MUST_USE;
err_t recovery_point_create(struct io *io, const char *dir, const struct recovery_point *p,
                            struct io_file **ret_file) MUST_USE;
err_t recovery_point_write(struct io_file *file, const struct recovery_point *p) MUST_USE;

/* log/statefile.c */
/** Loads the newest good .state file at or before `next_offset`, then replays the batches behind
 * it. */
err_t statefile_restore(struct shard *sh, const int64_t *offsets, size_t count,
                        int64_t next_offset) MUST_USE;
/** Writes <offset>.state and removes older ones. Worker or main thread. */
err_t statefile_write(struct shard *sh, int64_t offset, uint64_t *ret_bytes) MUST_USE;

/* log/roll.c */
/** Makes a new active segment at the current high watermark, durable before it returns; the old one
 * is sealed by a worker. Appending thread. */
err_t shard_roll(struct shard *sh) MUST_USE;
/** Cuts and indexes a segment that is no longer active, on a worker. */
void shard_seal_in_background(struct shard *sh, struct segment *s);
/** Starts a checkpoint as of the high watermark when enough was appended since the last. To be
 * called before an append: the writer knows the keys of all groups but the one it is in. Appending
 * thread.
 */
void shard_maybe_checkpoint(struct shard *sh);
uint64_t shard_limit_for(const struct shard *sh, size_t ordinal);
/** Appends to the list of segments (takes a reference). */
void shard_push_segment(struct shard *sh, struct segment *s);
struct segment *shard_segment_for(struct shard *sh, int64_t offset); /* a reference, or NULL */
struct segment *shard_segment_at(struct shard *sh, size_t i);        /* a reference, or NULL */
void shard_set_status(struct shard *sh, enum shard_status status, const char *text);

/* log/shard.c */
/** Whether what `when_ns` notes was within the last 10 s: a reader that is there asks more often.
 */
bool shard_read_lately(const struct shard *sh, const _Atomic int64_t *when_ns);

/* log/cache.c */
/** Gives back the pages behind the window where that is worth it. Appending thread, after a group.
 */
void shard_maybe_drop_pages(struct shard *sh);
/** Somebody reads from this position on. Any thread. */
void shard_note_read(struct shard *sh, const struct segment *s, uint64_t position);

/* log/prepare.c */
/** Starts preparing the next segment where that is worth it, and keeps it in step with the appends.
 * Appending thread. */
void shard_maybe_prepare(struct shard *sh);
/** Starts measuring how busy the shard is from here on. */
void shard_measure_from(struct shard *sh);
/** Whether a plainly appended segment should be left early, because a prepared one is ready. */
bool shard_prefers_prepared(const struct shard *sh);
char *shard_prepared_path(const struct shard *sh); /* owned by the caller */

#endif
