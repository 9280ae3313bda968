/*
 * log/cache.c: what of a shard stays in the page cache, where its pages are dear.
 *
 *     |<----- dropped ----->|<------- window ------->|
 *     sealed segments …           active segment     high watermark
 *
 * Where a new page costs many times one in use (base/page_cost.h), the pages behind a window at the
 * end of the log are given back as it grows, and the next appends get them: the machine goes on
 * with pages that it has. Who reads within the window is served from memory as ever. As long as
 * somebody reads behind it nothing is dropped, so that he and those after him share what was read,
 * and nothing of a segment of which somebody still sends a slice, so that sendfile waits for no
 * disk. What readers bring back later is left to the kernel.
 *
 * posix_fadvise rather than RWF_DONTCACHE (Linux 6.14), which costs as much, leaves no window, and
 * would have the next group read the page that the last one ended in.
 */
#include "base/metrics.h"
#include "log/shard.h"

#define WINDOW_BYTES MIB(32) /* a tenth to a third of a second of the fastest appends */
#define WINDOW_SEGMENTS 4    /* … and a quarter of a segment at most */
#define WINDOW_STEPS 8
#define RUN_BYTES_MAX MIB(256) /* others wait for the worker: 10 to 30 ms */

static uint64_t window_bytes(const struct shard *sh)
{
    return MIN(WINDOW_BYTES, sh->log->options.segment_bytes / WINDOW_SEGMENTS);
}

/** Gives back the segment's pages before byte `end` of the shard, at most *budget bytes; whether
 * none are left. */
static bool drop_before(struct segment *s, uint64_t end, uint64_t *budget)
{
    uint64_t size = atomic_load(&s->size), from = atomic_load(&s->dropped);
    uint64_t to = MIN(size, end > s->before ? end - s->before : 0);
    to = MIN(to, from + *budget);
    if (atomic_load(&s->slices) > 0)
        return false;
    if (to > from) {
        if (segment_use(s) != OK)
            return false;
        /* From the start, because the kernel passes over pages that are in use. */
        io_file_drop_cache(s->file, to);
        atomic_store(&s->dropped, to);
        *budget -= to - from;
        metric_add(M_page_cache_dropped_bytes_total, (int64_t)(to - from));
    }
    return to == size;
}

/** The oldest segment that has pages to give back: all before it have none. */
static size_t first_to_drop(struct shard *sh)
{
    size_t count = shard_segment_count(sh), i = count;
    while (i > 0) {
        struct segment *s = shard_segment_at(sh, i - 1);
        bool none_left = s == NULL || atomic_load(&s->dropped) >= atomic_load(&s->size);
        segment_unref(s);
        if (none_left && i < count)
            break;
        i--;
    }
    return i;
}

/** On a worker: from the oldest segment on. */
static void drop_run(struct worker_job *job)
{
    struct shard *sh = CONTAINER_OF(job, struct shard, drop_job);
    uint64_t end = atomic_load(&sh->end_bytes), budget = RUN_BYTES_MAX;
    end -= MIN(end, window_bytes(sh));
    struct segment *s;
    bool more = true;
    for (size_t i = first_to_drop(sh); more && (s = shard_segment_at(sh, i)) != NULL; i++) {
        more = drop_before(s, end, &budget);
        segment_unref(s);
    }
    atomic_store(&sh->drop_running, false);
    atomic_fetch_sub(&sh->jobs_pending, 1);
}

void shard_maybe_drop_pages(struct shard *sh)
{
    uint64_t end = atomic_load_explicit(&sh->end_bytes, memory_order_relaxed);
    if (end - sh->drop_looked_at < window_bytes(sh) / WINDOW_STEPS ||
        atomic_load(&sh->drop_running))
        return;
    sh->drop_looked_at = end;
    if (!io_cache_is_dear(sh->log->options.io) || shard_read_lately(sh, &sh->read_behind_ns))
        return;
    sh->drop_job.run = drop_run;
    atomic_store(&sh->drop_running, true);
    atomic_fetch_add(&sh->jobs_pending, 1);
    worker_submit(sh->log->options.workers, &sh->drop_job);
}

void shard_note_read(struct shard *sh, const struct segment *s, uint64_t position)
{
    uint64_t end = atomic_load_explicit(&sh->end_bytes, memory_order_relaxed);
    bool old = atomic_load_explicit(&s->dropped, memory_order_relaxed) == SEGMENT_OLD;
    if (old || s->before + position + window_bytes(sh) < end)
        atomic_store_explicit(&sh->read_behind_ns, clock_mono_ns(sh->log->options.clock),
                              memory_order_relaxed);
}
