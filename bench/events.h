/*
 * bench/events.h: the benchmarks' input: distinct JSON events of about 200 bytes, made from a seed.
 *
 * Five kinds of event as a web shop would send them; ids, paths, amounts and times vary, so that
 * LZ4 finds what it finds in real events and no more: the ratio over 64-KiB blocks of NDJSON is at
 * most 3.5 (events_lz4_ratio measures it; every program prints it).
 */
#ifndef BENCH_EVENTS_H
#define BENCH_EVENTS_H

#include "base/base.h"
#include "base/timefmt.h"

#define EVENT_MAX 1536 /* bytes of one event at most, padding included */

struct event_source {
    uint64_t random;
    uint64_t sequence;   /* events made so far: part of each event, so no two are alike */
    int64_t time_us;     /* `ts` of the next event */
    size_t padded_bytes; /* 0: as they come (about 200 bytes); else exactly so long, 256 at least */
};

/** Events dated from a minute ago on. */
void events_init(struct event_source *source, uint64_t seed, size_t padded_bytes);
/** Writes the next event (no newline, no NUL) and returns its length. */
size_t events_next(struct event_source *source, char out[EVENT_MAX]);

/** Uncompressed over compressed size of 16 MiB of such events as NDJSON, in LZ4 blocks of 64 KiB.
 */
double events_lz4_ratio(uint64_t seed, size_t padded_bytes);

#endif
