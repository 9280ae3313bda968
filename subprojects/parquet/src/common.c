#include "common.h"

#include <stdarg.h>
#include <stdio.h>

const int32_t pq_format_types[] = {
    [PQ_BOOLEAN] = FORMAT_BOOLEAN,       [PQ_INT32] = FORMAT_INT32,
    [PQ_INT64] = FORMAT_INT64,           [PQ_DOUBLE] = FORMAT_DOUBLE,
    [PQ_BYTE_ARRAY] = FORMAT_BYTE_ARRAY, [PQ_FIXED_16] = FORMAT_FIXED_LEN_BYTE_ARRAY};

int pq_fail(struct pq_error *err, int status, const char *fmt, ...)
{
    if (err == NULL)
        return status;
    va_list args;
    va_start(args, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, args);
    va_end(args);
    return status;
}
