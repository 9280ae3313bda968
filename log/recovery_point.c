/*
 * log/recovery_point.c: the file "recovery-point" of a shard.
 *
 * One sector of 512 bytes, overwritten in place: magic "SPWRECPT" | version u32 (1) | zero u32 |
 * log start i64 | segment base i64 | position u64 | next offset i64 | zeros | at byte 508: CRC-32C
 * of the first 508. Big-endian. A bad one (torn, missing, other version) only costs a longer scan.
 */
#include <string.h>

#include "base/crc32c.h"
#include "base/cursor.h"
#include "log/shard.h"

#define POINT_BYTES 512
#define POINT_CRC_AT 508
#define POINT_VERSION 1
static const char point_magic[8] = {'S', 'P', 'W', 'R', 'E', 'C', 'P', 'T'};

static void point_encode(const struct recovery_point *p, uint8_t out[POINT_BYTES])
{
    memset(out, 0, POINT_BYTES);
    memcpy(out, point_magic, sizeof(point_magic));
    store_u32(out + 8, POINT_VERSION);
    store_u64(out + 16, (uint64_t)p->log_start);
    store_u64(out + 24, (uint64_t)p->segment_base);
    store_u64(out + 32, p->position);
    store_u64(out + 40, (uint64_t)p->next_offset);
    store_u32(out + POINT_CRC_AT, crc32c(0, out, POINT_CRC_AT));
}

static bool point_decode(const uint8_t in[POINT_BYTES], struct recovery_point *ret_point)
{
    if (memcmp(in, point_magic, sizeof(point_magic)) != 0 || load_u32(in + 8) != POINT_VERSION ||
        load_u32(in + POINT_CRC_AT) != crc32c(0, in, POINT_CRC_AT))
        return false;
    *ret_point = (struct recovery_point){
        .log_start = (int64_t)load_u64(in + 16),
        .segment_base = (int64_t)load_u64(in + 24),
        .position = load_u64(in + 32),
        .next_offset = (int64_t)load_u64(in + 40),
    };
    return ret_point->log_start >= 0 && ret_point->segment_base >= 0 &&
           ret_point->next_offset >= ret_point->segment_base;
}

err_t recovery_point_read(struct io *io, const char *dir, struct recovery_point *ret_point)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/recovery-point", dir);
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    uint8_t bytes[POINT_BYTES];
    TRY(io_open(io, path, IO_READ, &file));
    TRY(io_file_pread_all(file, bytes, sizeof(bytes), 0));
    if (!point_decode(bytes, ret_point))
        return err_fail(ERR_CORRUPT, "%s is not valid", path);
    return OK;
}

err_t recovery_point_create(struct io *io, const char *dir, const struct recovery_point *p,
                            struct io_file **ret_file)
{
    CLEANUP(xfree_ptr) char *path = xasprintf("%s/recovery-point", dir);
    CLEANUP(io_file_close_ptr) struct io_file *file = NULL;
    TRY(io_open(io, path, IO_WRITE | IO_CREATE, &file));
    TRY(recovery_point_write(file, p));
    TRY(io_file_sync(file));
    *ret_file = TAKE(file);
    return OK;
}

err_t recovery_point_write(struct io_file *file, const struct recovery_point *p)
{
    uint8_t bytes[POINT_BYTES];
    point_encode(p, bytes);
    return io_file_pwrite(file, bytes, sizeof(bytes), 0);
}
