/* bench/requests.c: see requests.h. */
#include "bench/requests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common.h"
#include "bench/events.h"

#define HEAD_MAX 512

static const struct {
    const char *open;
    const char *between;
    const char *close;
    const char *content_type;
} forms[] = {
    [BODY_EVENTS] = {"{\"events\":[", ",", "]}", "application/json"},
    [BODY_ARRAY] = {"[", ",", "]", "application/json"},
    [BODY_NDJSON] = {"", "\n", "\n", "application/x-ndjson"},
};

static size_t append(char *out, size_t at, const char *text)
{
    size_t len = strlen(text);

    memcpy(out + at, text, len);
    return at + len;
}

/** Writes one body and returns its length; `out` has room for the largest. */
static size_t write_body(const struct request_spec *spec, struct event_source *source, char *out)
{
    size_t len = append(out, 0, forms[spec->form].open);

    for (size_t i = 0; i < spec->events; i++) {
        if (i > 0)
            len = append(out, len, forms[spec->form].between);
        len += events_next(source, out + len);
    }
    return append(out, len, forms[spec->form].close);
}

static size_t write_head(const struct request_spec *spec, size_t body_len, char *out)
{
    int len = snprintf(out, HEAD_MAX,
                       "POST %s HTTP/1.1\r\nHost: %s\r\n%s%s%sContent-Type: %s\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       spec->path, spec->address, spec->token ? "Authorization: Bearer " : "",
                       spec->token ? spec->token : "", spec->token ? "\r\n" : "",
                       forms[spec->form].content_type, body_len);

    if (len >= HEAD_MAX)
        bench_die("path, address and token are too long");
    return (size_t)len;
}

struct request_ring requests_build(const struct request_spec *spec)
{
    size_t body_max = spec->events * (EVENT_MAX + 1) + 64;
    size_t capacity = MAX(spec->memory, 2 * (body_max + HEAD_MAX));
    CLEANUP(xfree_ptr) char *body = xmalloc(body_max);
    struct request_ring ring = {.bytes = xmalloc(capacity)};
    struct event_source source;
    size_t offsets_cap = 1024;
    size_t fill = 0;

    events_init(&source, spec->seed, 0);
    ring.offsets = xmalloc(offsets_cap * sizeof(*ring.offsets));
    ring.offsets[0] = 0;
    while (fill + HEAD_MAX + body_max <= capacity || ring.count < 2) {
        size_t body_len = write_body(spec, &source, body);
        fill += write_head(spec, body_len, ring.bytes + fill);
        memcpy(ring.bytes + fill, body, body_len);
        fill += body_len;
        ring.body_bytes += body_len;
        ring.count++;
        if (ring.count == offsets_cap) {
            offsets_cap *= 2;
            ring.offsets = xrealloc(ring.offsets, offsets_cap * sizeof(*ring.offsets));
        }
        ring.offsets[ring.count] = fill;
    }
    return ring;
}

void requests_release(struct request_ring *ring)
{
    free(ring->bytes);
    free(ring->offsets);
    *ring = (struct request_ring){0};
}
