/*
 * bench/json_bench.c: nanoseconds per event of the JSON scanner on seeded 200-byte events that lie
 * behind each other as they do in a request of a thousand.
 *
 * Usage: json_bench [runs] [seed]
 *
 * Prints one JSON line per engine and style of writing: CPU time of the thread, min and median of
 * runs.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_engine.h"
#include "base/limits.h"
#include "bench/common.h"

#define EVENTS 1000
#define EVENT_BYTES 200
#define ROUNDS 200
#define RUNS_MAX 100

static const char *const wanted[] = {"type", "ts", "source", "collection", "docId"};

/* How an event is written: compact ASCII is what clients send most. */
enum style { COMPACT, SPACED, UNICODE, ESCAPED };
static const char *const style_names[] = {"compact", "spaced", "unicode", "escaped"};

/* One event of about EVENT_BYTES bytes and a comma; the shapes differ as those of several producers
 * do. */
static void event_append(struct buf *b, enum style style, uint64_t *seed)
{
    static const char *const types[] = {"order.created", "page.view", "user.signed_up", "tx"};
    const char *sp = style == SPACED ? "\n    " : "";
    const char *colon = style == SPACED ? ": " : ":";
    size_t start = b->len;
    uint64_t r = bench_random(seed);
    buf_printf(b, "{%s\"type\"%s\"%s\",%s\"ts\"%s\"2026-02-%02uT%02u:%02u:%02u.%03uZ\",", sp, colon,
               types[r % 4], sp, colon, (unsigned)(r >> 8) % 28 + 1, (unsigned)(r >> 16) % 24,
               (unsigned)(r >> 24) % 60, (unsigned)(r >> 32) % 60, (unsigned)(r >> 40) % 1000);
    r = bench_random(seed);
    if (r % 3 == 0)
        buf_printf(b, "%s\"source\"%s\"shop-%u\",", sp, colon, (unsigned)(r >> 8) % 100);
    buf_printf(b, "%s\"data\"%s{\"id\"%s%u,\"user\"%s\"u_%08x\",\"total\"%s%u.%02u,", sp, colon,
               colon, (unsigned)(r >> 16) % 1000000, colon, (unsigned)(r >> 24), colon,
               (unsigned)(r >> 32) % 1000, (unsigned)(r >> 40) % 100);
    buf_printf(b, "%s\"paid\"%s%s,%s\"tags\"%s[\"a%u\"],%s\"note\"%s\"", sp, colon,
               (r >> 50) % 2 != 0 ? "true" : "false", sp, colon, (unsigned)(r >> 52) % 100, sp,
               colon);
    while (b->len - start < EVENT_BYTES - 3) {
        if (style == UNICODE)
            buf_append(b, &"\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e"[bench_random(seed) % 3 * 3], 3);
        else if (style == ESCAPED && bench_random(seed) % 4 == 0)
            buf_append_str(b, "\\n");
        else
            buf_append_char(b, "abcdefghijklmnop rstuvwxyz.-0123"[bench_random(seed) % 32]);
    }
    buf_append_str(b, "\"}},");
}

static size_t scan_all(json_engine_fn *scan, const struct buf *text, const struct json_names *names)
{
    size_t events = 0;
    for (size_t at = 0; at < text->len; events++) {
        struct json_input in = {
            .data = text->data + at, .len = text->len - at, .origin = at, .at_end = true};
        struct json_scan out;
        if (json_scan_with(scan, &in, names, LIMIT_JSON_DEPTH, &out) != OK ||
            !json_scan_found(&out, 0))
            bench_die("%s", err_last()->text);
        at += out.len + 1;
    }
    return events;
}

static int double_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void engine_measure(const struct json_engine *engine, enum style style,
                           const struct buf *text, const struct json_names *names, size_t runs)
{
    double ns[RUNS_MAX];
    (void)scan_all(engine->scan, text, names);
    for (size_t run = 0; run < runs; run++) {
        size_t events = 0;
        double start = bench_thread_cpu_s();
        for (int round = 0; round < ROUNDS; round++)
            events += scan_all(engine->scan, text, names);
        ns[run] = (bench_thread_cpu_s() - start) * 1e9 / (double)events;
    }
    qsort(ns, runs, sizeof(ns[0]), double_compare);
    double bytes = (double)text->len / EVENTS;
    printf(
        "{\"bench\":\"json\",\"engine\":\"%s\",\"style\":\"%s\",\"event_bytes\":%.0f,\"runs\":%zu,"
        "\"ns_per_event_min\":%.1f,\"ns_per_event_median\":%.1f,\"gb_per_s_max\":%.2f,"
        "\"gb_per_s_median\":%.2f}\n",
        engine->name, style_names[style], bytes, runs, ns[0], ns[runs / 2], bytes / ns[0],
        bytes / ns[runs / 2]);
}

int main(int argc, char **argv)
{
    size_t runs = argc > 1 ? bench_parse_u64(argv[1], "runs") : 5;
    uint64_t seed = argc > 2 ? bench_parse_u64(argv[2], "seed") : 1;
    if (runs == 0 || runs > RUNS_MAX) {
        fprintf(stderr, "usage: json_bench [runs, 1 to %d] [seed]\n", RUNS_MAX);
        return 2;
    }
    struct json_names names;
    json_names_init(&names, wanted, ARRAY_LEN(wanted));
    for (enum style style = COMPACT; style <= ESCAPED; style++) {
        CLEANUP(buf_release) struct buf text = BUF_INIT;
        for (int i = 0; i < EVENTS; i++)
            event_append(&text, style, &seed);
        for (const struct json_engine *e = json_engines; e->name != NULL; e++)
            if (e->usable())
                engine_measure(e, style, &text, &names, runs);
    }
    return 0;
}
