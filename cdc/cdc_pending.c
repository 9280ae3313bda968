/*
 * cdc/cdc_pending.c: changes that are applied and not in the store: kept for the next round of
 * deltas, and after a restart read from the log again.
 */
#include "cdc/cdc_priv.h"
#include "cdc/delta.h"

void change_runs_free(struct change_runs *runs)
{
    for (struct change_run *run = runs->first, *next; run != NULL; run = next) {
        next = run->next;
        change_run_free(run);
    }
    *runs = (struct change_runs){0};
}

void change_runs_move(struct change_runs *to, struct change_runs *from)
{
    struct change_run **end = to->first == NULL ? &to->first : &to->last->next;
    if (from->first == NULL)
        return;
    *end = from->first;
    to->last = from->last;
    to->count += from->count;
    to->bytes += from->bytes;
    *from = (struct change_runs){0};
}

bool pending_is_full(const struct space *sp)
{
    uint64_t max = sp->cdc->options.delta_bytes * 4 + CDC_APPLY_BYTES;
    return sp->pending.bytes + sp->round.runs.bytes >= max;
}

void pending_add(struct space *sp, struct change_run *run)
{
    bool wanted = sp->deltas && run->count > 0 && run->changes[run->count - 1].lsn >= sp->covered;
    if (!wanted) {
        change_run_free(run);
        return;
    }
    struct change_runs one = {run, run, run->count,
                              run->arena.used_bytes + run->count * sizeof(*run->changes)};
    change_runs_move(&sp->pending, &one);
}

/* After a restart ----------------------------------------------------------------------------- */

/** Only a change that expects something can have been skipped. */
static err_t recall_skipped(struct space *sp, struct change_run *run)
{
    for (size_t i = 0; i < run->count; i++) {
        struct change *c = &run->changes[i];
        if (c->expect >= 0)
            TRY(state_was_skipped(sp->state, c->lsn, &c->skipped));
    }
    return OK;
}

static err_t read_again(struct space *sp, int64_t from)
{
    while (from < sp->cursor) {
        struct change_run *run;
        TRY(space_read(sp, from, sp->cursor, true, &run, &from));
        err_t err = recall_skipped(sp, run);
        pending_add(sp, run);
        TRY(err);
        if (atomic_load(&sp->cdc->stopping))
            return err_fail(ERR_UNAVAILABLE, "the server is stopping");
        if (pending_is_full(sp))
            return ERR_AGAIN;
    }
    return OK;
}

err_t pending_restore(struct space *sp)
{
    struct namespace_manifest m = {0};
    err_t err = namespace_manifest_read(sp->cdc->options.store, sp->name, &m);
    if (err != OK && err != ERR_NOT_FOUND)
        return err;
    sp->covered = err == OK ? m.covered_until : 0;
    if (err == OK)
        namespace_manifest_free(&m);
    struct shard *sh = stream_shard(sp->stream, 0);
    int64_t log_start = shard_log_start(sh);
    int64_t log_end = shard_high_watermark(sh);
    if (sp->covered > log_end) {
        long long covered = sp->covered;
        sp->covered = 0; /* of this log it has nothing */
        return err_fail(ERR_CORRUPT,
                        "the store %s covers LSN %lld and the log ends at %lld: it is the store of "
                        "another log; set store.url to one of its own",
                        store_url(sp->cdc->options.store), covered, (long long)log_end);
    }
    if (sp->covered < log_start)
        return err_fail(ERR_CORRUPT,
                        "the changes of LSN %lld to %lld are neither in the store nor in the log",
                        (long long)sp->covered, (long long)log_start - 1);
    sp->deltas = true;
    err = read_again(sp, sp->covered);
    sp->deltas = err == OK;
    if (err != OK)
        change_runs_free(&sp->pending);
    if (err == ERR_AGAIN)
        sp->deltas = true; /* the state is made anew, and deltas are written on the way */
    return err;
}
