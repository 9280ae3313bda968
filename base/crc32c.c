#include "base/crc32c.h"

#include <isa-l/crc.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    /* isa-l takes and returns the register without the final inversion, and its length is an int.
     */
    const unsigned char *at = data;
    uint32_t reg = ~crc;
    while (len > 0) {
        int step = len > MIB(512) ? (int)MIB(512) : (int)len;
        reg = crc32_iscsi((unsigned char *)(uintptr_t)at, step, reg);
        at += step;
        len -= (size_t)step;
    }
    return ~reg;
}
