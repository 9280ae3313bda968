/*
 * read.c: a file's rows, row group by row group.
 *
 * open reads and checks the footer. On the first row of each row group the pruned ranges decide
 * which of its rows may matter (a list of spans); every projected column then walks these spans on
 * its own (read_column.c), and a row is one value of each.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "read_column.h"

#define FOOTER_TAIL 8 /* its length and the magic */
#define MEMORY_DEFAULT (256u << 20)

struct pq_reader {
    struct pq_read_options options;
    struct mem mem;
    struct source source;
    struct mem_buf footer;
    struct mem_arena arena;
    struct meta meta;
    struct pq_codecs codecs;
    struct mem_buf column_buf;
    struct column_reader *columns; /* projected; in column_buf */
    size_t projected;
    struct prune *prunes;
    size_t prune_count;
    size_t next_group;
    uint64_t row, span_end; /* in the group */
    uint32_t next_span;
    struct span_list spans, scratch;
    struct page_list pages;
    uint64_t pages_read; /* by columns that are no more */
    int failed;          /* a status: until rewind every row fails with it */
};

/* Opening ------------------------------------------------------------------------------------- */

static int read_footer(struct pq_reader *r, uint64_t *ret_at, struct pq_bytes *ret,
                       struct pq_error *err)
{
    uint8_t tail[FOOTER_TAIL], head[PQ_MAGIC_LEN];
    uint64_t size = r->options.size;
    if (size < PQ_MAGIC_LEN + FOOTER_TAIL)
        return pq_fail(err, PQ_CORRUPT, "%" PRIu64 " bytes are too few for a Parquet file", size);
    PQ_TRY(pq_source_read(&r->source, size - sizeof(tail), tail, sizeof(tail), err));
    PQ_TRY(pq_source_read(&r->source, 0, head, sizeof(head), err));
    if (memcmp(tail + 4, "PARE", PQ_MAGIC_LEN) == 0)
        return pq_fail(err, PQ_UNSUPPORTED, "the file's footer is encrypted");
    if (memcmp(tail + 4, PQ_MAGIC, PQ_MAGIC_LEN) != 0 || memcmp(head, PQ_MAGIC, PQ_MAGIC_LEN) != 0)
        return pq_fail(err, PQ_CORRUPT,
                       "no Parquet file: it does not begin and end with " PQ_MAGIC
                       " (or was not written to its end)");
    uint32_t len = pq_get_le32(tail);
    if (len > size - PQ_MAGIC_LEN - FOOTER_TAIL)
        return pq_fail(err, PQ_CORRUPT, "a footer of %u bytes does not fit into the file", len);
    *ret_at = size - FOOTER_TAIL - len;
    PQ_TRY(pq_mem_buf_reserve(&r->footer, (uint64_t)len + 1, err));
    PQ_TRY(pq_source_read(&r->source, *ret_at, r->footer.data, len, err));
    *ret = (struct pq_bytes){r->footer.data, len};
    return PQ_OK;
}

static int project_all(struct pq_reader *r, struct pq_error *err)
{
    uint16_t *all = malloc((r->meta.column_count + 1) * sizeof(*all));
    if (all == NULL)
        return pq_fail(err, PQ_LIMIT, "out of memory");
    for (size_t i = 0; i < r->meta.column_count; i++)
        all[i] = (uint16_t)i;
    int status = pq_reader_project(r, all, r->meta.column_count, err);
    free(all);
    return status;
}

static int open_file(struct pq_reader *r, struct pq_error *err)
{
    uint64_t at = 0;
    struct pq_bytes footer;
    PQ_TRY(read_footer(r, &at, &footer, err));
    PQ_TRY(pq_meta_parse(&r->meta, footer, at, &r->arena, err));
    return project_all(r, err);
}

int pq_reader_open(const struct pq_read_options *options, struct pq_reader **ret,
                   struct pq_error *err)
{
    if (options->read == NULL)
        return pq_fail(err, PQ_USAGE, "pq_read_options has no read callback");
    struct pq_reader *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return pq_fail(err, PQ_LIMIT, "out of memory");
    r->options = *options;
    r->mem.max = options->memory_max != 0 ? options->memory_max : MEMORY_DEFAULT;
    r->source.options = &r->options;
    struct mem_buf *bufs[] = {&r->source.buf,  &r->footer,    &r->spans.buf,
                              &r->scratch.buf, &r->pages.buf, &r->column_buf};
    for (size_t i = 0; i < sizeof(bufs) / sizeof(bufs[0]); i++)
        bufs[i]->mem = &r->mem;
    r->arena.mem = &r->mem;
    int status = open_file(r, err);
    if (status != PQ_OK) {
        pq_reader_free(r);
        return status;
    }
    *ret = r;
    return PQ_OK;
}

static void release_columns(struct pq_reader *r)
{
    for (size_t i = 0; i < r->projected; i++) {
        r->pages_read += r->columns[i].pages_read;
        pq_column_release(&r->columns[i]);
    }
    pq_mem_buf_release(&r->column_buf);
    r->columns = NULL;
    r->projected = 0;
}

void pq_reader_free(struct pq_reader *r)
{
    if (r == NULL)
        return;
    release_columns(r);
    for (size_t i = 0; i < r->prune_count; i++)
        pq_mem_buf_release(&r->prunes[i].bytes);
    free(r->prunes);
    pq_mem_buf_release(&r->source.buf);
    pq_mem_buf_release(&r->footer);
    pq_mem_buf_release(&r->spans.buf);
    pq_mem_buf_release(&r->scratch.buf);
    pq_mem_buf_release(&r->pages.buf);
    pq_mem_arena_release(&r->arena);
    pq_codecs_release(&r->codecs);
    free(r);
}

/* What the footer says ------------------------------------------------------------------------ */

size_t pq_reader_column_count(const struct pq_reader *r)
{
    return r->meta.column_count;
}

const struct pq_column *pq_reader_column(const struct pq_reader *r, size_t i)
{
    return i < r->meta.column_count ? &r->meta.columns[i] : NULL;
}

int pq_reader_find_column(const struct pq_reader *r, const char *name)
{
    for (size_t i = 0; i < r->meta.column_count; i++)
        if (strcmp(r->meta.columns[i].name, name) == 0)
            return (int)i;
    return -1;
}

uint64_t pq_reader_row_count(const struct pq_reader *r)
{
    return r->meta.rows;
}

size_t pq_reader_row_group_count(const struct pq_reader *r)
{
    return r->meta.group_count;
}

uint64_t pq_reader_row_group_rows(const struct pq_reader *r, size_t group)
{
    return group < r->meta.group_count ? r->meta.groups[group].rows : 0;
}

const char *pq_reader_metadata(const struct pq_reader *r, const char *key)
{
    for (size_t i = 0; i < r->meta.pair_count; i++)
        if (strcmp(r->meta.pairs[i].key, key) == 0)
            return r->meta.pairs[i].value;
    return NULL;
}

uint64_t pq_reader_pages_read(const struct pq_reader *r)
{
    uint64_t pages = r->pages_read;
    for (size_t i = 0; i < r->projected; i++)
        pages += r->columns[i].pages_read;
    return pages;
}

/* Which rows and columns ---------------------------------------------------------------------- */

static int check_at_start(const struct pq_reader *r, struct pq_error *err)
{
    if (r->next_group != 0 || r->failed != PQ_OK)
        return pq_fail(err, PQ_USAGE,
                       "columns and ranges are chosen before the first row or after a rewind");
    return PQ_OK;
}

int pq_reader_project(struct pq_reader *r, const uint16_t *columns, size_t count,
                      struct pq_error *err)
{
    PQ_TRY(check_at_start(r, err));
    for (size_t i = 0; i < count; i++)
        if (columns[i] >= r->meta.column_count)
            return pq_fail(err, PQ_USAGE, "there is no column %u", columns[i]);
    struct mem_buf buf = {.mem = &r->mem};
    PQ_TRY(pq_mem_buf_reserve(&buf, (uint64_t)count * sizeof(struct column_reader), err));
    release_columns(r);
    struct column_reader *list = (void *)buf.data;
    for (size_t i = 0; i < count; i++) {
        pq_column_init(&list[i], &r->mem, &r->source, &r->codecs);
        list[i].index = columns[i];
        list[i].info = &r->meta.columns[columns[i]];
    }
    r->column_buf = buf;
    r->columns = list;
    r->projected = count;
    return PQ_OK;
}

static bool holds_bytes(enum pq_type type)
{
    return type == PQ_BYTE_ARRAY || type == PQ_FIXED_16;
}

/* Copies a bound; its bytes go to `at` in p->bytes. */
static void copy_bound(struct prune *p, bool bytes, const struct pq_value *from, size_t at,
                       struct pq_value *to)
{
    *to = *from;
    if (!bytes)
        return;
    if (from->bytes.len > 0)
        memcpy(p->bytes.data + at, from->bytes.data, from->bytes.len);
    to->bytes.data = p->bytes.data + at;
}

/* A slot whose column has no range yet, or the one that it has. */
static int prune_slot(struct pq_reader *r, uint16_t column, struct prune **ret,
                      struct pq_error *err)
{
    for (size_t i = 0; i < r->prune_count; i++) {
        if (r->prunes[i].column == column) {
            *ret = &r->prunes[i];
            return PQ_OK;
        }
    }
    struct prune *list = realloc(r->prunes, (r->prune_count + 1) * sizeof(*list));
    if (list == NULL)
        return pq_fail(err, PQ_LIMIT, "out of memory");
    r->prunes = list;
    *ret = &list[r->prune_count++];
    **ret = (struct prune){.column = column, .bytes.mem = &r->mem};
    return PQ_OK;
}

static int check_bound(const struct pq_column *c, const struct pq_value *v, struct pq_error *err)
{
    if (v == NULL)
        return PQ_OK;
    if (v->null || (c->type == PQ_FIXED_16 && v->bytes.len != 16) ||
        (c->type == PQ_DOUBLE && isnan(v->f64)))
        return pq_fail(err, PQ_USAGE, "a bound of column %.80s is null, NaN or of a wrong length",
                       c->name);
    return PQ_OK;
}

int pq_reader_prune(struct pq_reader *r, uint16_t column, const struct pq_value *low,
                    const struct pq_value *high, struct pq_error *err)
{
    PQ_TRY(check_at_start(r, err));
    if (column >= r->meta.column_count)
        return pq_fail(err, PQ_USAGE, "there is no column %u", column);
    const struct pq_column *c = &r->meta.columns[column];
    PQ_TRY(check_bound(c, low, err));
    PQ_TRY(check_bound(c, high, err));
    bool bytes = holds_bytes(c->type);
    size_t low_len = bytes && low != NULL ? low->bytes.len : 0;
    size_t high_len = bytes && high != NULL ? high->bytes.len : 0;
    struct prune *p = NULL;
    PQ_TRY(prune_slot(r, column, &p, err));
    p->has_low = p->has_high = false;
    PQ_TRY(pq_mem_buf_reserve(&p->bytes, low_len + high_len + 1, err));
    if (low != NULL)
        copy_bound(p, bytes, low, 0, &p->low);
    if (high != NULL)
        copy_bound(p, bytes, high, low_len, &p->high);
    p->has_low = low != NULL;
    p->has_high = high != NULL;
    return PQ_OK;
}

int pq_reader_rewind(struct pq_reader *r, struct pq_error *err)
{
    (void)err;
    r->next_group = 0;
    r->row = r->span_end = 0;
    r->spans.count = r->next_span = 0;
    r->failed = PQ_OK;
    return PQ_OK;
}

/* Rows ---------------------------------------------------------------------------------------- */

/* Says in which column and row group an error was found. */
static int locate(const struct pq_reader *r, const char *column, int status, struct pq_error *err)
{
    if (status == PQ_OK || err == NULL)
        return status;
    struct pq_error inner = *err;
    return pq_fail(err, status, "column %.60s, row group %zu: %.160s", column, r->next_group - 1,
                   inner.text);
}

/* The spans of the group's rows that may lie in all ranges; none where it can be left out. */
static int choose_spans(struct pq_reader *r, const struct meta_group *g, struct pq_error *err)
{
    r->spans.count = r->next_span = 0;
    if (g->rows == 0)
        return PQ_OK;
    for (size_t i = 0; i < r->prune_count; i++) {
        const struct prune *p = &r->prunes[i];
        bool out = false;
        if (p->has_low || p->has_high)
            PQ_TRY(locate(r, r->meta.columns[p->column].name,
                          pq_prune_group(&r->source, &r->meta, p, &g->chunks[p->column], &out, err),
                          err));
        if (out)
            return PQ_OK;
    }
    PQ_TRY(pq_mem_buf_reserve(&r->spans.buf, sizeof(struct span), err));
    *(struct span *)(void *)r->spans.buf.data = (struct span){0, g->rows};
    r->spans.count = 1;
    for (size_t i = 0; i < r->prune_count; i++) {
        const struct prune *p = &r->prunes[i];
        if (p->has_low || p->has_high)
            PQ_TRY(locate(
                r, r->meta.columns[p->column].name,
                pq_prune_pages(&r->source, &r->meta, p, g, &r->pages, &r->spans, &r->scratch, err),
                err));
    }
    return PQ_OK;
}

static int begin_group(struct pq_reader *r, struct pq_error *err)
{
    const struct meta_group *g = &r->meta.groups[r->next_group++];
    PQ_TRY(choose_spans(r, g, err));
    if (r->spans.count == 0)
        return PQ_OK;
    const struct span *first = (const void *)r->spans.buf.data;
    bool jumps = r->spans.count > 1 || first->first > 0 || first->end < g->rows;
    for (size_t i = 0; i < r->projected; i++)
        PQ_TRY(locate(r, r->columns[i].info->name,
                      pq_column_begin(&r->columns[i], &r->source, g, jumps, err), err));
    return PQ_OK;
}

/* To the first row of the next span, of this group or a later one. */
static int next_span(struct pq_reader *r, struct pq_error *err)
{
    while (r->next_span == r->spans.count) {
        if (r->next_group == r->meta.group_count)
            return PQ_END;
        PQ_TRY(begin_group(r, err));
    }
    const struct span *s = (const struct span *)(const void *)r->spans.buf.data + r->next_span;
    for (size_t i = 0; i < r->projected; i++)
        if (s->first > 0)
            PQ_TRY(locate(r, r->columns[i].info->name,
                          pq_column_advance(&r->columns[i], s->first, err), err));
    r->next_span++;
    r->row = s->first;
    r->span_end = s->end;
    return PQ_OK;
}

static int fail_rows(struct pq_reader *r, int status)
{
    if (status != PQ_END)
        r->failed = status;
    return status;
}

int pq_reader_next(struct pq_reader *r, struct pq_value *values, struct pq_error *err)
{
    if (r->failed != PQ_OK)
        return pq_fail(err, r->failed, "an earlier row could not be read: rewind first");
    if (r->row == r->span_end) {
        int status = next_span(r, err);
        if (status != PQ_OK)
            return fail_rows(r, status);
    }
    for (size_t i = 0; i < r->projected; i++) {
        struct column_reader *c = &r->columns[i];
        if (c->at == c->have) {
            int status = pq_column_fill(c, err);
            if (status != PQ_OK)
                return fail_rows(r, locate(r, c->info->name, status, err));
        }
        values[i] = c->batch[c->at++];
    }
    r->row++;
    return PQ_OK;
}
