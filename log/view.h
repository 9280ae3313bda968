/*
 * log/view.h: one shard of a data directory, read without touching it, beside a running server or
 * on a stopped one.
 *
 * It shows every good batch that a start would keep: from the recovery point on, batches are taken
 * as long as each has the expected offset and a good CRC. Beside a running server the last group
 * may be one whose sync is still under way. The end is fixed when the view is opened.
 *
 * Owner: one thread; blocks on the disk.
 */
#ifndef LOG_VIEW_H
#define LOG_VIEW_H

#include "base/io.h"
#include "log/batch.h"

struct log_view;

/** ERR_NOT_FOUND: no such stream or shard. *ret_view is owned. */
err_t log_view_open(struct io *io, const char *data_dir, const char *stream, unsigned shard,
                    struct log_view **ret_view) MUST_USE;
void log_view_close(struct log_view *v); /* NULL-safe */

/** The shard's offsets: [start, end). */
int64_t log_view_start(const struct log_view *v);
int64_t log_view_end(const struct log_view *v);

/** Positions at the batch that holds `offset`. ERR_OFFSET_OUT_OF_RANGE outside [start, end]. */
err_t log_view_seek(struct log_view *v, int64_t offset) MUST_USE;
/** The next batch, its CRC checked; borrowed until the next call. ERR_END; ERR_CORRUPT names the
 * file and the position. */
err_t log_view_next(struct log_view *v, const uint8_t **ret_batch,
                    struct batch_header *ret_header) MUST_USE;

#endif
