/*
 * tests/sim/simdisk_sites.c: which places in the product sync, told apart by their return
 * addresses.
 *
 * A site is the three innermost calls above io_file_sync and io_sync_dir, so that io_replace's
 * syncs are told apart by who calls io_replace. The frame pointer chain is followed (the build has
 * -fno-omit-frame-pointer), so tracing costs next to nothing.
 */
#include <string.h>

#include "tests/sim/simdisk_internal.h"

#define SITES_MAX 512
#define SITE_DEPTH 3

static struct {
    bool on;
    const uint64_t *swallow;
    size_t swallow_count;
    unsigned crash_percent;
    uint64_t swallowed;
    struct simdisk_site sites[SITES_MAX];
    size_t count;
} trace;

/* Where this program's code lies, from the linker. */
extern const char __executable_start[];
extern const char etext[];

/** Fills `frames` from the frame pointer chain: [saved frame pointer][return address]. Ends at code
 * of a library: those need not keep frame pointers. */
static size_t walk_frames(void *const *frame, void **frames, size_t max)
{
    size_t n = 0;
    while (n < max && (const char *)frame[1] >= __executable_start &&
           (const char *)frame[1] < etext) {
        frames[n++] = frame[1];
        void *const *next = frame[0];
        if (next <= frame || (const char *)next - (const char *)frame > (ptrdiff_t)MIB(1))
            break;
        frame = next;
    }
    return n;
}

/** Whether the address lies in one of the two thin wrappers, which an unoptimized build does not
 * turn into jumps. */
static bool inside_io(const void *address)
{
    const uintptr_t starts[] = {(uintptr_t)&io_file_sync, (uintptr_t)&io_sync_dir};
    for (size_t i = 0; i < ARRAY_LEN(starts); i++)
        if ((uintptr_t)address >= starts[i] && (uintptr_t)address < starts[i] + 64)
            return true;
    return false;
}

static struct simdisk_site *find_site(uint64_t id)
{
    for (size_t i = 0; i < trace.count; i++)
        if (trace.sites[i].id == id)
            return &trace.sites[i];
    return NULL;
}

bool sim_site_swallows(void *const *frame, bool is_dir)
{
    if (!trace.on)
        return false;
    void *frames[SIMDISK_SITE_FRAMES + 1] = {0};
    size_t count = walk_frames(frame, frames, ARRAY_LEN(frames));
    size_t skip = count > 0 && inside_io(frames[0]) ? 1 : 0;
    uint64_t id = is_dir ? 1469598103934665603u : 1099511628211u;
    for (size_t i = skip; i < skip + SITE_DEPTH && i < count; i++)
        id = (id ^ (uint64_t)(uintptr_t)frames[i]) * 0x9e3779b97f4a7c15u;
    struct simdisk_site *s = find_site(id);
    if (s == NULL) {
        ASSERT(trace.count < SITES_MAX);
        s = &trace.sites[trace.count++];
        *s = (struct simdisk_site){.id = id, .is_dir = is_dir};
        memcpy(s->frames, frames + skip, sizeof(s->frames));
    }
    s->hits++;
    for (size_t i = 0; i < trace.swallow_count; i++) {
        if (trace.swallow[i] == id) {
            trace.swallowed++;
            return true;
        }
    }
    return false;
}

void simdisk_trace_sites(bool on)
{
    trace.on = on;
}

size_t simdisk_site_count(void)
{
    return trace.count;
}

const struct simdisk_site *simdisk_site_at(size_t i)
{
    ASSERT(i < trace.count);
    return &trace.sites[i];
}

unsigned sim_site_crash_percent(void)
{
    return trace.crash_percent;
}

void simdisk_swallow_sites(const uint64_t *ids, size_t count, unsigned crash_percent)
{
    trace.crash_percent = crash_percent;
    trace.swallow = ids;
    trace.swallow_count = count;
    trace.swallowed = 0;
}

uint64_t simdisk_swallowed(void)
{
    return trace.swallowed;
}
