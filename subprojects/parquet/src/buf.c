/* buf.c: see buf.h. */
#include "buf.h"

#include <stdlib.h>

bool pq_buf_grow(struct pq_buf *b, size_t extra)
{
    if (b->failed)
        return false;
    size_t cap = b->cap < 128 ? 128 : b->cap;
    while (cap - b->len < extra && cap <= SIZE_MAX / 2)
        cap *= 2;
    uint8_t *data = cap - b->len < extra ? NULL : realloc(b->data, cap);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void pq_buf_release(struct pq_buf *b)
{
    free(b->data);
    *b = (struct pq_buf){0};
}

int pq_buf_check(const struct pq_buf *b, struct pq_error *err)
{
    return b->failed ? pq_fail(err, PQ_LIMIT, "out of memory beside %zu buffered bytes", b->len)
                     : PQ_OK;
}
