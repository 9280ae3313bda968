#include "log/listing.h"

#include <stdlib.h>
#include <string.h>

void listing_push(int64_t **list, size_t *count, int64_t base)
{
    *list = xrealloc(*list, (*count + 1) * sizeof(**list));
    (*list)[(*count)++] = base;
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), k = strlen(suffix);
    return n >= k && strcmp(name + n - k, suffix) == 0;
}

static err_t listing_fn(void *arg, const char *name)
{
    struct listing *l = arg;
    if (has_suffix(name, ".tmp") || strcmp(name, "next.prepared") == 0) {
        buf_append(&l->rubbish, name, strlen(name) + 1);
        return OK;
    }
    if (has_suffix(name, ".cut"))
        l->cut_count++;
    if (has_suffix(name, "." LISTING_VALID_CUT))
        l->valid_cut_count++;
    char *end;
    long long base = strtoll(name, &end, 10);
    if (end - name != 20 || base < 0)
        return OK; /* recovery-point, .cut, and what others put here */
    if (strcmp(end, ".log") == 0)
        listing_push(&l->logs, &l->log_count, base);
    else if (strcmp(end, ".index") == 0)
        listing_push(&l->indexes, &l->index_count, base);
    else if (strcmp(end, ".state") == 0)
        listing_push(&l->states, &l->state_count, base);
    return OK;
}

static int compare_bases(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void listing_release(struct listing *l)
{
    free(l->logs);
    free(l->indexes);
    free(l->states);
    buf_release(&l->rubbish);
}

err_t listing_read(struct io *io, const char *dir, struct listing *l)
{
    TRY(io_list(io, dir, listing_fn, l));
    if (l->log_count > 0)
        qsort(l->logs, l->log_count, sizeof(int64_t), compare_bases);
    if (l->index_count > 0)
        qsort(l->indexes, l->index_count, sizeof(int64_t), compare_bases);
    if (l->state_count > 0)
        qsort(l->states, l->state_count, sizeof(int64_t), compare_bases);
    return OK;
}

bool listing_has(const int64_t *list, size_t count, int64_t base)
{
    return count > 0 && bsearch(&base, list, count, sizeof(*list), compare_bases) != NULL;
}

err_t listing_remove_rubbish(struct io *io, const char *dir, struct listing *l)
{
    for (size_t at = 0; at < l->rubbish.len; at += strlen(l->rubbish.data + at) + 1) {
        CLEANUP(xfree_ptr) char *path = xasprintf("%s/%s", dir, l->rubbish.data + at);
        TRY(io_unlink(io, path));
    }
    return OK;
}
