#include "snapshot/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cdc/order.h"

/** An input and its row at hand. */
struct slot {
    struct merge_input input;
    struct change row;
    uint64_t prefix; /* the id's first eight bytes, so that most comparisons need no more */
};

struct merge {
    struct merge_filter filter;
    struct slot **heap; /* the least row on top */
    size_t count, cap;
    bool top_is_used; /* the row on top was returned: it moves on at the next call */
    struct buf held;  /* id and document of the row that wins so far */
    struct change winner;
    uint64_t winner_prefix;
};

static bool slot_before(const struct slot *a, const struct slot *b)
{
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix;
    int order = slice_compare(a->row.doc_id, b->row.doc_id);
    return order != 0 ? order < 0 : a->row.lsn < b->row.lsn;
}

struct merge *merge_new(const struct merge_filter *filter)
{
    struct merge *m = xcalloc(1, sizeof(*m));
    m->filter = *filter;
    return m;
}

static void slot_free(struct slot *s)
{
    s->input.close(s->input.arg);
    free(s);
}

void merge_free(struct merge *m)
{
    if (m == NULL)
        return;
    for (size_t i = 0; i < m->count; i++)
        slot_free(m->heap[i]);
    free(m->heap);
    buf_release(&m->held);
    free(m);
}

static err_t slot_advance(struct slot *s)
{
    TRY(s->input.next(s->input.arg, &s->row));
    s->prefix = id_prefix(s->row.doc_id, 0);
    return OK;
}

static void sift_down(struct merge *m)
{
    struct slot *moving = m->heap[0];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= m->count)
            break;
        if (child + 1 < m->count && slot_before(m->heap[child + 1], m->heap[child]))
            child++;
        if (!slot_before(m->heap[child], moving))
            break;
        m->heap[at] = m->heap[child];
        at = child;
    }
    m->heap[at] = moving;
}

err_t merge_add(struct merge *m, const struct merge_input *input)
{
    struct slot *s = xcalloc(1, sizeof(*s));
    s->input = *input;
    err_t err = slot_advance(s);
    if (err != OK) {
        slot_free(s);
        return err == ERR_END ? OK : err;
    }
    if (m->count == m->cap) {
        m->cap = MAX(8, m->cap * 2);
        m->heap = xrealloc(m->heap, m->cap * sizeof(struct slot *));
    }
    size_t at = m->count++;
    while (at > 0 && slot_before(s, m->heap[(at - 1) / 2])) {
        m->heap[at] = m->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    m->heap[at] = s;
    return OK;
}

/** Moves the input on top to its next row. */
static err_t advance_top(struct merge *m)
{
    err_t err = slot_advance(m->heap[0]);
    if (err == ERR_END) {
        slot_free(m->heap[0]);
        m->heap[0] = m->heap[--m->count];
        err = OK;
    }
    TRY(err);
    if (m->count > 1)
        sift_down(m);
    return OK;
}

static bool counts(const struct merge *m, const struct slot *s)
{
    if (s->input.base)
        return true;
    return !s->row.skipped && s->row.lsn >= m->filter.lsn_from && s->row.lsn < m->filter.lsn_to &&
           s->row.ts_us <= m->filter.ts_max_us;
}

static bool same_id(const struct slot *a, uint64_t prefix, struct slice id)
{
    return a->prefix == prefix && a->row.doc_id.len == id.len &&
           memcmp(a->row.doc_id.data, id.data, id.len) == 0;
}

/** Whether another input has a row of the document on top. The next in order is one of two. */
static bool top_is_alone(const struct merge *m)
{
    const struct slot *top = m->heap[0];
    for (size_t i = 1; i < m->count && i <= 2; i++)
        if (same_id(m->heap[i], top->prefix, top->row.doc_id))
            return false;
    return true;
}

/** Keeps the row on top beyond its input's next step. */
static void hold_top(struct merge *m)
{
    const struct slot *s = m->heap[0];
    buf_clear(&m->held);
    char *out = buf_reserve(&m->held, s->row.doc_id.len + s->row.doc.len + 1);
    memcpy(out, s->row.doc_id.data, s->row.doc_id.len);
    if (s->row.doc.len > 0)
        memcpy(out + s->row.doc_id.len, s->row.doc.data, s->row.doc.len);
    m->winner = s->row;
    m->winner.doc_id.data = out;
    m->winner.doc.data = out + s->row.doc_id.len;
    m->winner_prefix = s->prefix;
}

static struct state_doc as_doc(const struct change *c)
{
    return (struct state_doc){.id = c->doc_id, .doc = c->doc, .lsn = c->lsn, .ts_us = c->ts_us};
}

err_t merge_next(struct merge *m, struct state_doc *ret)
{
    if (m->top_is_used) {
        m->top_is_used = false;
        TRY(advance_top(m));
    }
    while (m->count > 0) {
        struct slot *top = m->heap[0];
        if (!counts(m, top)) {
            TRY(advance_top(m));
            continue;
        }
        if (top->input.base && top_is_alone(m)) {
            m->top_is_used = true;
            *ret = as_doc(&top->row);
            return OK;
        }
        hold_top(m);
        TRY(advance_top(m));
        while (m->count > 0 && same_id(m->heap[0], m->winner_prefix, m->winner.doc_id)) {
            if (counts(m, m->heap[0]))
                hold_top(m);
            TRY(advance_top(m));
        }
        if (m->winner.op == CHANGE_DELETE)
            continue;
        *ret = as_doc(&m->winner);
        return OK;
    }
    return ERR_END;
}
