/* bench/events.c: see events.h. */
#include "bench/events.h"

#include <lz4.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bench/common.h"

#define RATIO_BLOCK KIB(64)
#define RATIO_BLOCKS 256
#define USERS 200000
#define PADDED_MIN 256

void events_init(struct event_source *source, uint64_t seed, size_t padded_bytes)
{
    if (padded_bytes != 0 && (padded_bytes < PADDED_MIN || padded_bytes >= EVENT_MAX))
        bench_die("an event is padded to %d-%d bytes", PADDED_MIN, EVENT_MAX - 1);
    *source = (struct event_source){.random = seed * 0x2545f4914f6cdd1d + 1,
                                    .time_us = clock_wall_us(clock_real()) - 60 * 1000000,
                                    .padded_bytes = padded_bytes};
}

/** `len` characters of 0-9a-z that LZ4 cannot shorten. */
static void random_text(struct event_source *s, char *out, size_t len)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    uint64_t bits = 0;

    for (size_t i = 0; i < len; i++) {
        if (i % 12 == 0)
            bits = bench_random(&s->random);
        out[i] = digits[bits & 31];
        bits >>= 5;
    }
    out[len] = '\0';
}

/** The fields that differ between the five kinds: everything after the common ones. */
static int write_tail(struct event_source *s, char *out, size_t cap)
{
    static const char *const pages[] = {"products", "search", "cart", "account", "help", "offers"};
    static const char *const agents[] = {"Firefox/131.0", "Chrome/129.0", "Safari/17.6"};
    uint64_t r = bench_random(&s->random);
    unsigned page = (unsigned)(r % ARRAY_LEN(pages));
    unsigned agent = (unsigned)((r >> 8) % ARRAY_LEN(agents));
    unsigned number = (unsigned)(r >> 16) % 1000000;
    unsigned small = (unsigned)(r >> 40) % 5000;

    switch (s->sequence % 5) {
    case 0:
    case 1:
        return snprintf(
            out, cap,
            "\"url\":\"https://shop.example/%s/%06u\",\"durationMs\":%u,\"agent\":\"%s\"}",
            pages[page], number, small, agents[agent]);
    case 2:
        return snprintf(out, cap,
                        "\"sku\":\"SKU-%06u\",\"warehouse\":\"rotterdam\",\"quantity\":%u,"
                        "\"price\":%u.%02u,\"from\":\"%s\"}",
                        number, small % 9 + 1, small, small % 97, pages[page]);
    case 3:
        return snprintf(out, cap,
                        "\"orderId\":\"ord_%06u%04u\",\"total\":%u.%02u,\"currency\":\"EUR\","
                        "\"channel\":\"web\"}",
                        number, small, small * 3, small % 89);
    default:
        return snprintf(out, cap,
                        "\"query\":\"%s %u\",\"results\":%u,\"page\":%u,\"agent\":\"%s\"}",
                        pages[page], number, small, small % 20, agents[agent]);
    }
}

size_t events_next(struct event_source *source, char out[EVENT_MAX])
{
    static const char *const types[] = {"page.view", "page.view", "cart.item_added",
                                        "order.created", "search.performed"};
    char ts[TIMEFMT_MAX];
    char session[24];
    unsigned user = (unsigned)(bench_random(&source->random) % USERS);

    timefmt_rfc3339(source->time_us, ts);
    source->time_us += 1 + (int64_t)(bench_random(&source->random) % 40);
    random_text(source, session, 16);
    int len = snprintf(
        out, EVENT_MAX,
        "{\"type\":\"%s\",\"ts\":\"%s\",\"userId\":\"usr_%06u\",\"sessionId\":\"%s\","
        "\"seq\":%llu,",
        types[source->sequence % 5], ts, user, session, (unsigned long long)source->sequence);
    len += write_tail(source, out + len, EVENT_MAX - (size_t)len);
    source->sequence++;
    if (source->padded_bytes > (size_t)len) {
        /* A note of alternating random and repeated text: it compresses about as the rest does. */
        len += snprintf(out + len - 1, EVENT_MAX - (size_t)len, ",\"note\":\"") - 1;
        while ((size_t)len + 2 < source->padded_bytes) {
            char chunk[40];
            size_t room = source->padded_bytes - 2 - (size_t)len;
            random_text(source, chunk, 12);
            memcpy(chunk + 12, " was seen by the visitor; ", 27);
            size_t take = MIN(room, (size_t)38);
            memcpy(out + len, chunk, take);
            len += (int)take;
        }
        out[len++] = '"';
        out[len++] = '}';
    }
    return (size_t)len;
}

double events_lz4_ratio(uint64_t seed, size_t padded_bytes)
{
    CLEANUP(xfree_ptr) char *block = xmalloc(RATIO_BLOCK + EVENT_MAX);
    CLEANUP(xfree_ptr) char *packed = xmalloc((size_t)LZ4_compressBound(RATIO_BLOCK));
    struct event_source source;
    double compressed = 0;
    size_t fill = 0;

    events_init(&source, seed, padded_bytes);
    for (size_t n = 0; n < RATIO_BLOCKS; n++) {
        while (fill < RATIO_BLOCK) {
            fill += events_next(&source, block + fill);
            block[fill++] = '\n';
        }
        compressed +=
            LZ4_compress_default(block, packed, RATIO_BLOCK, LZ4_compressBound(RATIO_BLOCK));
        fill -= RATIO_BLOCK;
        memmove(block, block + RATIO_BLOCK, fill);
    }
    return (double)RATIO_BLOCK * RATIO_BLOCKS / compressed;
}
