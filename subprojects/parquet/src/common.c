#include "common.h"

#include <stdarg.h>
#include <stdio.h>

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
