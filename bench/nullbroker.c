/*
 * bench/nullbroker.c: a Kafka broker that does nothing, so that a producer's rate against it is
 * what the client can do on this machine ("limit.client"): no broker makes the client faster.
 *
 * Speaks what a producer needs and no more (https://kafka.apache.org/protocol): ApiVersions 0-3,
 * Metadata 1-4, Produce 3-7, of one topic and one partition in each request, as librdkafka sends
 * them. Every topic that is asked for has one partition. A Produce request is answered when all of
 * it has come; its records are dropped in the kernel (MSG_TRUNC), neither copied nor looked at, and
 * nothing is stored. Anything else closes the connection with a sentence on standard error.
 *
 * A request is read in three steps: its size, what must be understood of it (HEAD_MAX bytes at
 * most), the rest. One thread.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cursor.h"
#include "bench/common.h"
#include "bench/options.h"

#define SIZE_BYTES 4
#define HEADER_BYTES 8 /* key, version, correlation id */
#define HEAD_MAX 1024
#define REQUEST_MAX MIB(100)
#define TOPICS_MAX 64 /* in a Metadata request */
#define EVENTS_MAX 16

#define NODE_ID 1
#define FLEXIBLE_API_VERSIONS 3
#define UNSUPPORTED_VERSION 35

struct conn {
    int fd;
    size_t have; /* bytes of the current request that have come, with its size */
    size_t size; /* of the request, without those four bytes; known when have >= SIZE_BYTES */
    uint8_t head[SIZE_BYTES + HEAD_MAX];
};

struct broker {
    struct sockaddr_in address;
    int listener;
    int epoll;
    struct buf reply;
};

struct request {
    const struct broker *broker;
    int16_t version;
    struct cursor in; /* behind the header */
    bool silent;      /* the client wants no reply */
};

/** One row per API, and what librdkafka has to see to do its usual work: without Fetch 4 it writes
 * no record batches, without Produce 0 and FindCoordinator 0 it does not compress with lz4.
 * `answer` reads the request and writes the reply's body; what is wrong makes `in` fail. It is NULL
 * where a producer never asks. */
struct api {
    int16_t key;
    int16_t min; /* advertised: min..max */
    int16_t max;
    int16_t served_min;
    void (*answer)(struct request *rq, struct buf *out);
};

static void produce_answer(struct request *rq, struct buf *out);
static void metadata_answer(struct request *rq, struct buf *out);
static void api_versions_answer(struct request *rq, struct buf *out);

static const struct api apis[] = {
    {.key = 0, .max = 7, .served_min = 3, .answer = produce_answer},
    {.key = 1, .min = 4, .max = 4},
    {.key = 3, .max = 4, .served_min = 1, .answer = metadata_answer},
    {.key = 10},
    {.key = 18, .max = 3, .answer = api_versions_answer},
};

/* Messages ------------------------------------------------------------------------------------ */

/** Null reads as empty. */
static struct slice get_string(struct cursor *in)
{
    int16_t len = cursor_i16(in);

    if (len <= 0)
        return (struct slice){"", 0};
    const uint8_t *data = cursor_bytes(in, (size_t)len);
    return data == NULL ? (struct slice){"", 0} : (struct slice){(const char *)data, (size_t)len};
}

static void put_string(struct buf *out, struct slice text)
{
    put_u16(out, (uint16_t)text.len);
    buf_append_slice(out, text);
}

/** For every version; one that is not known gets version 0 with an error, as the protocol says. */
static void api_versions_answer(struct request *rq, struct buf *out)
{
    bool known = rq->version <= FLEXIBLE_API_VERSIONS;
    bool flexible = rq->version == FLEXIBLE_API_VERSIONS;

    put_u16(out, known ? 0 : UNSUPPORTED_VERSION);
    if (flexible)
        put_uvarint(out, ARRAY_LEN(apis) + 1);
    else
        put_u32(out, ARRAY_LEN(apis));
    for (size_t i = 0; i < ARRAY_LEN(apis); i++) {
        put_u16(out, (uint16_t)apis[i].key);
        put_u16(out, (uint16_t)apis[i].min);
        put_u16(out, (uint16_t)apis[i].max);
        if (flexible)
            put_u8(out, 0); /* no tagged fields */
    }
    if (known && rq->version >= 1)
        put_u32(out, 0); /* throttle time */
    if (flexible)
        put_u8(out, 0);
}

static void put_broker(const struct request *rq, struct buf *out)
{
    char host[INET_ADDRSTRLEN];

    inet_ntop(AF_INET, &rq->broker->address.sin_addr, host, sizeof(host));
    put_u32(out, NODE_ID);
    put_string(out, slice_of(host));
    put_u32(out, ntohs(rq->broker->address.sin_port));
    put_u16(out, UINT16_MAX); /* no rack */
}

/** One partition, led by the one broker. */
static void put_topic(struct buf *out, struct slice name)
{
    put_u16(out, 0); /* no error */
    put_string(out, name);
    put_u8(out, 0);  /* not internal */
    put_u32(out, 1); /* partitions */
    put_u16(out, 0); /* no error */
    put_u32(out, 0);
    put_u32(out, NODE_ID); /* leader */
    put_u32(out, 1);       /* replicas */
    put_u32(out, NODE_ID);
    put_u32(out, 1); /* in sync */
    put_u32(out, NODE_ID);
}

static void metadata_answer(struct request *rq, struct buf *out)
{
    int32_t count = cursor_i32(&rq->in);

    if (count > TOPICS_MAX) {
        rq->in.failed = true;
        return;
    }
    if (rq->version >= 3)
        put_u32(out, 0); /* throttle time */
    put_u32(out, 1);
    put_broker(rq, out);
    if (rq->version >= 2)
        put_u16(out, UINT16_MAX);          /* no cluster id */
    put_u32(out, NODE_ID);                 /* controller */
    put_u32(out, (uint32_t)MAX(count, 0)); /* -1 asks for all: none exists until it is named */
    for (int32_t i = 0; i < count && cursor_ok(&rq->in); i++)
        put_topic(out, get_string(&rq->in));
}

static void produce_answer(struct request *rq, struct buf *out)
{
    (void)get_string(&rq->in); /* transactional id */
    rq->silent = cursor_i16(&rq->in) == 0;
    (void)cursor_u32(&rq->in); /* timeout */
    uint32_t topics = cursor_u32(&rq->in);
    struct slice name = get_string(&rq->in);
    uint32_t partitions = cursor_u32(&rq->in);
    uint32_t index = cursor_u32(&rq->in);

    if (topics != 1 || partitions != 1)
        rq->in.failed = true;
    put_u32(out, 1);
    put_string(out, name);
    put_u32(out, 1);
    put_u32(out, index);
    put_u16(out, 0);          /* no error */
    put_u64(out, 0);          /* base offset: nothing is stored, so every batch is the first */
    put_u64(out, UINT64_MAX); /* no append time */
    if (rq->version >= 5)
        put_u64(out, 0); /* log start */
    put_u32(out, 0);     /* throttle time */
}

/* Connections --------------------------------------------------------------------------------- */

static const struct api *api_find(int16_t key)
{
    for (size_t i = 0; i < ARRAY_LEN(apis); i++) {
        if (apis[i].key == key && apis[i].answer != NULL)
            return &apis[i];
    }
    return NULL;
}

/** How much of a request is kept. */
static size_t head_bytes(const struct conn *c)
{
    return MIN(c->size, HEAD_MAX);
}

/** Answers the request that has come. False: the connection is to be closed. */
static bool answer(struct broker *b, struct conn *c)
{
    struct request rq = {.broker = b, .in = cursor_of(c->head + SIZE_BYTES, head_bytes(c))};
    int16_t key = cursor_i16(&rq.in);
    rq.version = cursor_i16(&rq.in);
    uint32_t correlation = cursor_u32(&rq.in);
    (void)get_string(&rq.in); /* client id */
    const struct api *api = api_find(key);

    if (api == NULL || rq.version < api->served_min ||
        (rq.version > api->max && api->answer != api_versions_answer)) {
        fprintf(stderr, "nullbroker: API key %d version %d is not served\n", key, rq.version);
        return false;
    }
    buf_clear(&b->reply);
    put_u32(&b->reply, 0); /* the size, below */
    put_u32(&b->reply, correlation);
    api->answer(&rq, &b->reply);
    if (!cursor_ok(&rq.in)) {
        fprintf(stderr, "nullbroker: a request of API key %d is malformed or too large\n", key);
        return false;
    }
    if (rq.silent)
        return true;
    store_u32(b->reply.data, (uint32_t)(b->reply.len - SIZE_BYTES));
    return send(c->fd, b->reply.data, b->reply.len, MSG_NOSIGNAL) == (ssize_t)b->reply.len;
}

/** Receives what the current step of the request still lacks, or less; recv's result. */
static ssize_t receive(struct conn *c)
{
    size_t kept = SIZE_BYTES + (c->have < SIZE_BYTES ? 0 : head_bytes(c));

    if (c->have < kept)
        return recv(c->fd, c->head + c->have, kept - c->have, 0);
    return recv(c->fd, NULL, SIZE_BYTES + c->size - c->have, MSG_TRUNC);
}

/** Reads until nothing more is there or one request was answered, so that connections take turns.
 * False: the connection is to be closed. */
static bool serve(struct broker *b, struct conn *c)
{
    for (;;) {
        ssize_t n = receive(c);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return true;
        if (n <= 0)
            return false;
        c->have += (size_t)n;
        if (c->have < SIZE_BYTES)
            continue;
        c->size = load_u32(c->head);
        if (c->size < HEADER_BYTES || c->size > REQUEST_MAX) {
            fprintf(stderr, "nullbroker: a request of %zu bytes; allowed are %d to %zu\n", c->size,
                    HEADER_BYTES, REQUEST_MAX);
            return false;
        }
        if (c->have == SIZE_BYTES + c->size) {
            c->have = 0;
            return answer(b, c);
        }
    }
}

static void accept_one(const struct broker *b)
{
    int fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int one = 1;

    if (fd < 0)
        return;
    struct conn *c = xcalloc(1, sizeof(*c));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    c->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(b->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        bench_die_errno("epoll_ctl");
}

static void open_listener(struct broker *b)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    int one = 1;

    b->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    b->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (b->listener < 0 || b->epoll < 0)
        bench_die_errno("socket or epoll_create1");
    setsockopt(b->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(b->listener, (const struct sockaddr *)&b->address, sizeof(b->address)) != 0 ||
        listen(b->listener, EVENTS_MAX) != 0 ||
        epoll_ctl(b->epoll, EPOLL_CTL_ADD, b->listener, &event) != 0)
        bench_die_errno("cannot listen");
}

static const char usage[] =
    "Usage: nullbroker ADDRESS:PORT\n"
    "A Kafka broker that answers producers at once and stores nothing. Runs until it is ended.\n"
    "Example: nullbroker 127.0.0.1:9092\n";

int main(int argc, char **argv)
{
    const struct bench_option options[] = {{.name = NULL}};
    struct broker b = {.address = bench_address(bench_options(argc, argv, options, usage))};

    open_listener(&b);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        int count = epoll_wait(b.epoll, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            bench_die_errno("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct conn *c = events[i].data.ptr;
            if (c == NULL) {
                accept_one(&b);
            } else if (!serve(&b, c)) {
                close(c->fd);
                free(c);
            }
        }
    }
}
