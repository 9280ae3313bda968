/*
 * log/segment.h: one segment file and its two indexes. Private to log/.
 *
 * S1  Bytes [0, size) of the file are whole, durable batches with dense offsets [base_offset,
 * next_offset). S2  size and next_offset grow only, and only after the sync; readers never look
 * past them. S3  The index in memory (while the segment is active) has entries in rising order,
 * each at the start of a batch: (last offset of that batch, position), as Kafka's index files have
 * them. S4  A sealed segment's file has exactly `size` bytes; its index files, once written,
 * replace the memory.
 */
#ifndef LOG_SEGMENT_H
#define LOG_SEGMENT_H

#include <stdatomic.h>

#include "base/io.h"
#include "base/lock.h"
#include "log/batch.h"

#define INDEX_INTERVAL_BYTES 4096 /* at most one index entry for this many bytes of log */
#define INDEX_ENTRY_BYTES 8       /* int32 offset - base, int32 position */
#define TIMEINDEX_ENTRY_BYTES 12  /* int64 timestamp, int32 offset - base */

#define SEGMENT_OLD UINT64_MAX

struct index_entry {
    uint32_t relative_offset;
    uint32_t position;
};
struct time_entry {
    int64_t timestamp_ms;
    uint32_t relative_offset;
};

struct segment {
    struct io *io;
    char *dir; /* owned */
    int64_t base_offset;
    struct io_file *file; /* NULL until first used, for a sealed one; guarded by lock until set */
    atomic_uint refs;
    _Atomic uint64_t size;
    _Atomic int64_t next_offset;
    atomic_bool sealed; /* the .index file is written and the size is the file's */
    bool leftover;      /* its seal job was lost in a crash: size is found out at first use */
    uint64_t before;    /* bytes of the segments before it that are as old as the shard's object */
    _Atomic uint64_t dropped; /* bytes at its start whose pages were given back (log/cache.c);
                                 SEGMENT_OLD: sealed before the shard's object was made */
    atomic_uint slices;       /* not released yet */

    struct lock lock; /* guards what follows */
    struct index_entry *entries;
    size_t entry_count, entry_cap;
    struct time_entry *times;
    size_t time_count, time_cap;
    uint64_t
        indexed_from; /* entries for bytes before this are missing until segment_index_complete */
    uint64_t next_entry_at;       /* position from which the next batch gets an entry */
    int64_t max_timestamp;        /* INT64_MIN: none known */
    int64_t max_timestamp_offset; /* last offset of the batch that has it */
    struct io_file *index_file, *timeindex_file; /* sealed: opened on first use */
    uint64_t index_count, timeindex_count;
};

/** "<dir>/<20 digits><suffix>", malloc'd. */
char *segment_path(const char *dir, int64_t base_offset, const char *suffix);

/** An object for an existing sealed file (nothing is opened yet; `next_offset` is the next
 * segment's base). */
struct segment *segment_new_sealed(struct io *io, const char *dir, int64_t base_offset,
                                   int64_t next_offset);
/** The same for one whose index is missing: a crash took its seal job away, and zeros may follow
 * its data. */
struct segment *segment_new_leftover(struct io *io, const char *dir, int64_t base_offset,
                                     int64_t next_offset);
/** An object for an open file (moved). */
struct segment *segment_new_active(struct io *io, const char *dir, int64_t base_offset,
                                   struct io_file *file);
struct segment *segment_ref(struct segment *s);
void segment_unref(struct segment *s); /* NULL-safe; closes the files with the last reference */

/** Opens the file if need be; of a leftover it finds the end, by hopping. Any thread. */
err_t segment_use(struct segment *s) MUST_USE;

/** Its bytes, without opening the file: of a leftover with the zeros behind its data until it is
 * sealed; 0 where that cannot be told. Any thread. */
uint64_t segment_size(struct segment *s);

/** Notes a batch that is durable at `position` (appending or recovering thread; rising positions).
 */
void segment_index_add(struct segment *s, uint64_t position, const struct batch_header *h);
/** Makes the index in memory cover all of [0, size): loads the index files of an earlier stop where
 * they fit, hops over batch headers for the rest. No-op when sealed or complete. Any thread. */
err_t segment_index_complete(struct segment *s) MUST_USE;
/** Writes .index and .timeindex (temporary name, sync, rename). Worker or main thread. */
err_t segment_index_write(struct segment *s) MUST_USE;
/** The end of a segment's life as active: cuts the file to `size`, syncs it, writes the index
 * files, frees the memory. May be repeated after a failure. Worker or main thread. */
err_t segment_seal(struct segment *s) MUST_USE;

/** The greatest indexed batch start whose batch's last offset is <= offset; 0 where there is none.
 * Index answers are checked against the batch; a wrong index file is rebuilt. Any thread. */
err_t segment_floor_by_offset(struct segment *s, int64_t offset, uint64_t *ret_position) MUST_USE;
/** The greatest indexed batch start at or before `position`; 0 where there is none. */
err_t segment_floor_by_position(struct segment *s, uint64_t position,
                                uint64_t *ret_position) MUST_USE;
/** Where to begin looking for records at or after ts_ms: a batch start such that no earlier batch
 * has one. ERR_END when the whole segment is older. */
err_t segment_floor_by_time(struct segment *s, int64_t ts_ms, uint64_t *ret_position) MUST_USE;
/** Greatest batch timestamp and the last offset of that batch; ERR_END for an empty segment. */
err_t segment_max_timestamp(struct segment *s, int64_t *ret_ts, int64_t *ret_offset) MUST_USE;

/** Reads and parses the header of the batch at `position`; it must lie within [0, limit).
 * ERR_CORRUPT. */
err_t segment_header_at(struct segment *s, uint64_t position, uint64_t limit,
                        struct batch_header *ret_header) MUST_USE;
/** The batch that contains `offset`, looking forward from `position`. */
err_t segment_find_batch(struct segment *s, int64_t offset, uint64_t *ret_position,
                         struct batch_header *ret_header) MUST_USE;

/** Hops over batches in [from, to) with few large reads, calling fn for each header. ERR_CORRUPT
 * where a header does not fit its neighbours; *ret_end is the position after the last good batch.
 */
typedef err_t (*segment_hop_fn)(void *arg, uint64_t position, const struct batch_header *h);
err_t segment_hop(struct segment *s, uint64_t from, uint64_t to, int64_t expected_offset,
                  segment_hop_fn fn, void *arg, uint64_t *ret_end) MUST_USE;

/** The position where the batches from base_offset on reach offset `next_base`; ERR_CORRUPT where
 * they do not. */
err_t segment_hop_to(struct segment *s, uint64_t file_size, int64_t next_base,
                     uint64_t *ret_end) MUST_USE;

#endif
