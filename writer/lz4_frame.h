/*
 * writer/lz4_frame.h: LZ4 frames (LZ4 frame format 1.6.x) of independent blocks of at most 64 KiB,
 * without checksums and content size. Kafka's Java client reads no blocks that depend on each
 * other; any LZ4 decoder reads these, log/compress.c among them.
 *
 * A frame is lz4_frame_begin, lz4_frame_block for each block, lz4_frame_end, one behind the other.
 * Any thread; no shared state; no errors.
 */
#ifndef WRITER_LZ4_FRAME_H
#define WRITER_LZ4_FRAME_H

#include "base/base.h"

#define LZ4_FRAME_BEGIN_BYTES 7
#define LZ4_FRAME_LENGTH_BYTES 4 /* before each block */
#define LZ4_FRAME_END_BYTES 4
#define LZ4_FRAME_BLOCK_BYTES KIB(64) /* the most that goes into a block */
/** Room that lz4_frame_block needs for a block of `len` bytes. */
#define LZ4_FRAME_BLOCK_ROOM(len) ((len) + (len) / 255 + 40)

/** Writes LZ4_FRAME_BEGIN_BYTES at `out`. */
void lz4_frame_begin(uint8_t *out);
/** Compresses `len` bytes (1 to LZ4_FRAME_BLOCK_BYTES) at `src`; what does not become smaller is
 * stored as it is. `out` has LZ4_FRAME_BLOCK_ROOM(len) bytes, any of which may change, and does not
 * overlap `src`. Returns the length of what counts, at most len + LZ4_FRAME_LENGTH_BYTES. */
size_t lz4_frame_block(const uint8_t *src, size_t len, uint8_t *out);
/** Writes LZ4_FRAME_END_BYTES at `out`. */
void lz4_frame_end(uint8_t *out);

#endif
