/*
 * log/cache.c: what of a shard stays in the page cache, where its pages are dear.
 *
 *     |<----- dropped ----->|<------- window ------->|
 *     sealed segments …           active segment     high watermark
 *
 * Where a new page costs many times one in use (base/page_cost.h), the pages behind a window at the
 * end of the log are given back as it grows, and the next appends get them: the machine
 * goes on with pages that it has. Who reads within the window is served from memory as ever. As
 * long as somebody reads behind it nothing is dropped, so that he and those after him share what
 * was read.
 *
 * posix_fadvise rather than RWF_DONTCACHE (Linux 6.14), which costs as much, leaves no window, and
 * would have the next group read the page that the last one ended in.
 */
#include "base/metrics.h"
#include "log/shard.h"

#define WINDOW_BYTES MIB(32) /* a third of a second of the fastest appends */
#define WINDOW_SEGMENTS 4    /* … and a quarter of a segment at most */
#define WINDOW_STEPS 8

static uint64_t window_bytes(const struct shard *sh)
{
    return MIN(WINDOW_BYTES, sh->log->options.segment_bytes / WINDOW_SEGMENTS);
}

static void drop_from(struct segment *s, uint64_t end)
{
    uint64_t before = atomic_load(&s->uncached);
    if (end <= before || segment_use(s) != OK)
        return;
    /* From the start, because the kernel passes over a page or a run of them that is in use. */
    io_file_drop_cache(s->file, end);
    atomic_store(&s->uncached, end);
    metric_add(M_page_cache_dropped_bytes_total, (int64_t)(end - before));
}

/** On a worker: from the newest segment back to one of which nothing is left. */
static void drop_run(struct worker_job *job)
{
    struct shard *sh = CONTAINER_OF(job, struct shard, drop_job);
    uint64_t keep = window_bytes(sh);
    struct segment *s;
    bool more = true;
    for (size_t i = shard_segment_count(sh);
         more && i > 0 && (s = shard_segment_at(sh, i - 1)) != NULL; i--) {
        uint64_t size = atomic_load(&s->size);
        more = atomic_load(&s->uncached) < size;
        if (more && size > keep)
            drop_from(s, size - keep);
        keep -= MIN(keep, size);
        segment_unref(s);
    }
    atomic_store(&sh->drop_running, false);
    atomic_fetch_sub(&sh->jobs_pending, 1);
}

void shard_maybe_drop_pages(struct shard *sh)
{
    if (sh->since_drop < window_bytes(sh) / WINDOW_STEPS || atomic_load(&sh->drop_running))
        return;
    sh->since_drop = 0;
    int64_t behind_ns = atomic_load_explicit(&sh->read_behind_ns, memory_order_relaxed);
    if (!io_cache_is_dear(sh->log->options.io) ||
        behind_ns >= clock_mono_ns(sh->log->options.clock) - SHARD_READER_GONE_NS)
        return;
    sh->drop_job.run = drop_run;
    atomic_store(&sh->drop_running, true);
    atomic_fetch_add(&sh->jobs_pending, 1);
    worker_submit(sh->log->options.workers, &sh->drop_job);
}

void shard_note_read(struct shard *sh, struct segment *s, uint64_t position)
{
    if (position < atomic_load_explicit(&s->uncached, memory_order_relaxed))
        atomic_store_explicit(&sh->read_behind_ns, clock_mono_ns(sh->log->options.clock),
                              memory_order_relaxed);
}
