#include "snapshot/change_rows.h"

#include <stdlib.h>
#include <string.h>

#include "cdc/order.h"

struct change_row {
    uint64_t prefix;  /* id_prefix */
    const char *data; /* id, then doc */
    const struct change *whole;
    uint32_t id_len, doc_len;
    int64_t lsn, ts_us;
    enum change_op op;
    bool skipped;
};

static struct slice copy_slice(struct arena *a, struct slice s)
{
    return s.data == NULL ? s : (struct slice){arena_strndup(a, s.data, s.len), s.len};
}

static const struct change *copy_whole(struct arena *a, const struct change *c)
{
    struct change *copy = arena_alloc(a, sizeof(*copy));
    *copy = *c;
    copy->collection = copy_slice(a, c->collection);
    copy->doc_id = copy_slice(a, c->doc_id);
    copy->doc = copy_slice(a, c->doc);
    copy->prev = copy_slice(a, c->prev);
    copy->bookmark = copy_slice(a, c->bookmark);
    copy->source = copy_slice(a, c->source);
    copy->restore = copy_slice(a, c->restore);
    return copy;
}

void change_rows_add(struct change_rows *r, const struct change *c)
{
    ASSERT(c->doc_id.len <= UINT32_MAX && c->doc.len <= UINT32_MAX);
    if (r->count == r->cap) {
        r->cap = MAX(1024, r->cap * 2);
        r->rows = xrealloc(r->rows, r->cap * sizeof(*r->rows));
    }
    struct change_row *row = &r->rows[r->count++];
    *row = (struct change_row){.id_len = (uint32_t)c->doc_id.len,
                               .doc_len = (uint32_t)c->doc.len,
                               .lsn = c->lsn,
                               .ts_us = c->ts_us,
                               .op = c->op,
                               .skipped = c->skipped};
    row->prefix = id_prefix(c->doc_id, 0);
    r->bytes += c->doc_id.len + c->doc.len;
    if (r->whole) {
        row->whole = copy_whole(&r->arena, c);
        row->data = row->whole->doc_id.data;
        return;
    }
    char *data = arena_alloc(&r->arena, c->doc_id.len + c->doc.len);
    memcpy(data, c->doc_id.data, c->doc_id.len);
    if (c->doc.len > 0)
        memcpy(data + c->doc_id.len, c->doc.data, c->doc.len);
    row->data = data;
}

static int by_lsn(const void *a, const void *b)
{
    const struct change_row *x = a, *y = b;
    return x->lsn < y->lsn ? -1 : x->lsn > y->lsn;
}

static int by_id(const void *a, const void *b)
{
    const struct change_row *x = a, *y = b;
    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    int order =
        slice_compare((struct slice){x->data, x->id_len}, (struct slice){y->data, y->id_len});
    return order != 0 ? order : by_lsn(a, b);
}

void change_rows_sort(struct change_rows *r)
{
    if (r->count > 0)
        qsort(r->rows, r->count, sizeof(*r->rows), by_id);
}

void change_rows_sort_by_lsn(struct change_rows *r)
{
    if (r->count > 0)
        qsort(r->rows, r->count, sizeof(*r->rows), by_lsn);
}

err_t change_rows_next(struct change_rows *r, struct change *ret)
{
    if (r->at == r->count)
        return ERR_END;
    const struct change_row *row = &r->rows[r->at++];
    if (row->whole != NULL) {
        *ret = *row->whole;
        return OK;
    }
    *ret = (struct change){.op = row->op,
                           .lsn = row->lsn,
                           .ts_us = row->ts_us,
                           .doc_id = {row->data, row->id_len},
                           .expect = -1,
                           .skipped = row->skipped};
    if (row->op != CHANGE_DELETE)
        ret->doc = (struct slice){row->data + row->id_len, row->doc_len};
    return OK;
}

void change_rows_release(struct change_rows *r)
{
    arena_release(&r->arena);
    free(r->rows);
    *r = (struct change_rows){.whole = r->whole};
}
