/*
 * base/crc32c.h: CRC-32C (Castagnoli; RFC 3720 appendix B.4), as Kafka's record batches carry it.
 */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include "base/base.h"

/** CRC of `len` bytes, continuing from `crc` (0 to start). "123456789" gives 0xe3069283. Any
 * thread. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
