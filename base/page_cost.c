/*
 * base/page_cost.c: see base/page_cost.h. What a sample found dear holds for a while, because those
 * who act on it reuse pages (log/cache.c), and a sample of reused pages would say the opposite.
 */
#include "base/page_cost.h"

#include <pthread.h>
#include <stdatomic.h>

#define SAMPLE_BYTES MIB(4)
#define DEAR_NS_PER_BYTE 1 /* slower than the devices that are worth having */
#define DEAR_SHARE 100 /* … and a hundredth of a processor at least, else it does not matter */
#define DEAR_FOR_NS INT64_C(60000000000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the sample */
static uint64_t sample_bytes, sample_cpu_ns;
static int64_t sample_began_ns;
static _Atomic int64_t dear_until_ns = INT64_MIN;

bool page_cost_is_dear(int64_t now_ns)
{
    return now_ns < atomic_load_explicit(&dear_until_ns, memory_order_relaxed);
}

void page_cost_note(uint64_t bytes, uint64_t cpu_ns, int64_t now_ns)
{
    pthread_mutex_lock(&lock);
    if (sample_bytes == 0)
        sample_began_ns = now_ns - (int64_t)cpu_ns;
    sample_bytes += bytes;
    sample_cpu_ns += cpu_ns;
    if (sample_bytes >= SAMPLE_BYTES) {
        if (sample_cpu_ns > sample_bytes * DEAR_NS_PER_BYTE &&
            sample_cpu_ns * DEAR_SHARE > (uint64_t)(now_ns - sample_began_ns))
            atomic_store_explicit(&dear_until_ns, now_ns + DEAR_FOR_NS, memory_order_relaxed);
        sample_bytes = sample_cpu_ns = 0;
    }
    pthread_mutex_unlock(&lock);
}
