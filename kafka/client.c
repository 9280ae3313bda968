/*
 * kafka/client.c: see kafka/client.h. Speaks one fixed version of each message, those that this
 * server serves.
 */
#include "kafka/client.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/limits.h"
#include "kafka/wire/fetch.h"
#include "kafka/wire/header.h"
#include "kafka/wire/list_offsets.h"
#include "kafka/wire/metadata.h"

#define METADATA_VERSION 12
#define LIST_OFFSETS_VERSION 7
#define FETCH_VERSION 12
#define ANSWER_SECONDS 30 /* beyond what the request itself may wait */
#define FETCH_BYTES MIB(8)
#define REPLY_BYTES_MAX (LIMIT_KAFKA_FETCH_BYTES + LIMIT_BATCH_BYTES + MIB(1))
#define PLAIN_BYTES_MAX MIB(256) /* a batch, decompressed */

struct kafka_client {
    int fd;
    int32_t correlation_id;
    char *address; /* owned; for messages */
    struct buf out;
    struct buf in;
    struct arena arena; /* of the reply being read */
};

/* The connection ------------------------------------------------------------------------------ */

static err_t address_split(const char *text, char *host, size_t host_len, const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? 0 : (size_t)(colon - text);
    if (len > 2 && text[0] == '[' && text[len - 1] == ']') {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= host_len || colon[1] == '\0')
        return err_fail(ERR_USAGE, "'%s' is no Kafka address; expected host:port", text);
    memcpy(host, text, len);
    host[len] = '\0';
    *ret_port = colon + 1;
    return OK;
}

static err_t connect_any(const struct addrinfo *list, const char *address, int *ret_fd)
{
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
        if (fd < 0)
            continue;
        if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
            int on = 1;
            (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
            *ret_fd = fd;
            return OK;
        }
        int saved = errno;
        close(fd);
        errno = saved;
    }
    return err_fail_errno(ERR_UNAVAILABLE, "cannot connect to Kafka at %s", address);
}

err_t kafka_client_connect(const char *host_port, struct kafka_client **ret_client)
{
    char host[256];
    const char *port = NULL;
    TRY(address_split(host_port, host, sizeof(host), &port));
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(host, port, &hints, &list);
    if (rc != 0)
        return err_fail(ERR_UNAVAILABLE, "cannot resolve '%s': %s", host_port, gai_strerror(rc));
    int fd = -1;
    err_t err = connect_any(list, host_port, &fd);
    freeaddrinfo(list);
    TRY(err);
    struct kafka_client *c = xcalloc(1, sizeof(*c));
    c->fd = fd;
    c->address = xstrdup(host_port);
    *ret_client = c;
    return OK;
}

void kafka_client_close(struct kafka_client *c)
{
    if (c == NULL)
        return;
    close(c->fd);
    buf_release(&c->out);
    buf_release(&c->in);
    arena_release(&c->arena);
    free(c->address);
    free(c);
}

void kafka_client_close_ptr(struct kafka_client **c)
{
    kafka_client_close(*c);
}

static err_t send_all(struct kafka_client *c)
{
    for (size_t at = 0; at < c->out.len;) {
        ssize_t n = send(c->fd, c->out.data + at, c->out.len - at, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return err_fail_errno(ERR_UNAVAILABLE, "the connection to %s broke", c->address);
        at += n < 0 ? 0 : (size_t)n;
    }
    return OK;
}

static err_t receive_more(struct kafka_client *c, size_t want)
{
    while (c->in.len < want) {
        /* In steps, so that memory follows the bytes that came. */
        size_t step = MIN(want - c->in.len, MIB(1));
        char *at = buf_reserve(&c->in, step);
        ssize_t n = recv(c->fd, at, step, 0);
        if (n == 0)
            return err_fail(ERR_UNAVAILABLE, "%s closed the connection", c->address);
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return err_fail(ERR_UNAVAILABLE, "%s does not answer", c->address);
        if (n < 0 && errno != EINTR)
            return err_fail_errno(ERR_UNAVAILABLE, "the connection to %s broke", c->address);
        c->in.len += n < 0 ? 0 : (size_t)n;
    }
    return OK;
}

/** Starts a request in c->out; all versions used here are flexible. */
static struct wire_writer request_begin(struct kafka_client *c, int16_t key, int16_t version)
{
    buf_clear(&c->out);
    put_u32(&c->out, 0);
    struct wire_writer w = {&c->out, true};
    struct request_header h = {.key = key,
                               .version = version,
                               .correlation_id = ++c->correlation_id,
                               .client_id = SLICE("spillway")};
    request_header_write(&w, &h);
    return w;
}

/** Sends c->out and waits for its reply; *ret_reader stands behind the header. */
static err_t exchange(struct kafka_client *c, unsigned wait_ms, struct wire_reader *ret_reader)
{
    struct timeval limit = {.tv_sec = ANSWER_SECONDS + (time_t)(wait_ms / 1000)};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    store_u32(c->out.data, (uint32_t)(c->out.len - 4));
    TRY(send_all(c));
    buf_clear(&c->in);
    arena_reset(&c->arena);
    TRY(receive_more(c, 4));
    uint32_t size = load_u32(c->in.data);
    if (size > REPLY_BYTES_MAX)
        return err_fail(ERR_CORRUPT, "%s sends a reply of %u bytes; is it a Kafka listener?",
                        c->address, size);
    TRY(receive_more(c, 4 + (size_t)size));
    *ret_reader = wire_reader_of(c->in.data + 4, size, true);
    if (reply_header_read(ret_reader) != c->correlation_id)
        return err_fail(ERR_CORRUPT, "%s answers another request", c->address);
    return OK;
}

static err_t reply_error(const struct kafka_client *c, int16_t error, const char *topic)
{
    if (error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || error == KAFKA_INVALID_TOPIC)
        return err_fail(ERR_NOT_FOUND, "there is no topic or partition '%s' at %s", topic,
                        c->address);
    if (error == KAFKA_OFFSET_OUT_OF_RANGE)
        return err_fail(ERR_OFFSET_OUT_OF_RANGE, "the offset lies outside of '%s'", topic);
    return err_fail(ERR_UNAVAILABLE, "%s answers for '%s' with Kafka error %d", c->address, topic,
                    error);
}

static err_t reply_end(const struct kafka_client *c, struct wire_reader *r)
{
    if (wire_reader_end(r, "reply") != OK)
        return err_fail(ERR_CORRUPT, "%s sends a reply that cannot be read", c->address);
    return OK;
}

/* Calls --------------------------------------------------------------------------------------- */

err_t kafka_client_partitions(struct kafka_client *c, const char *topic, unsigned *ret_count)
{
    struct metadata_topic_name name = {slice_of(topic)};
    struct metadata_request q = {.topic_count = 1, .topics = &name};
    struct wire_writer w = request_begin(c, KAFKA_METADATA, METADATA_VERSION);
    metadata_request_write(&w, METADATA_VERSION, &q);
    struct wire_reader r;
    TRY(exchange(c, 0, &r));
    struct metadata_topic answer;
    metadata_reply_read(&r, METADATA_VERSION, &answer);
    TRY(reply_end(c, &r));
    if (answer.error != KAFKA_NONE)
        return reply_error(c, answer.error, topic);
    *ret_count = answer.partition_count;
    return OK;
}

static err_t list_offset_once(struct kafka_client *c, const char *topic, unsigned partition,
                              int64_t ts_ms, int64_t *ret_offset)
{
    struct list_offsets_partition p = {
        .index = (int32_t)partition, .current_leader_epoch = -1, .timestamp = ts_ms};
    struct list_offsets_topic t = {slice_of(topic), 1, &p};
    struct list_offsets_request q = {1, &t};
    struct wire_writer w = request_begin(c, KAFKA_LIST_OFFSETS, LIST_OFFSETS_VERSION);
    list_offsets_request_write(&w, LIST_OFFSETS_VERSION, &q);
    struct wire_reader r;
    TRY(exchange(c, 0, &r));
    struct list_offsets_request answer;
    list_offsets_reply_read(&r, LIST_OFFSETS_VERSION, &c->arena, &answer);
    TRY(reply_end(c, &r));
    if (answer.topic_count != 1 || answer.topics[0].partition_count != 1)
        return err_fail(ERR_CORRUPT, "%s answers for other partitions", c->address);
    if (answer.topics[0].partitions[0].error != KAFKA_NONE)
        return reply_error(c, answer.topics[0].partitions[0].error, topic);
    *ret_offset = answer.topics[0].partitions[0].found_offset;
    return OK;
}

err_t kafka_client_list_offset(struct kafka_client *c, const char *topic, unsigned partition,
                               int64_t ts_ms, int64_t *ret_offset)
{
    int64_t offset;
    TRY(list_offset_once(c, topic, partition, ts_ms, &offset));
    if (offset < 0)
        TRY(list_offset_once(c, topic, partition, KAFKA_OFFSET_LATEST, &offset));
    *ret_offset = offset;
    return OK;
}

/* Fetch --------------------------------------------------------------------------------------- */

static err_t batch_deliver(const uint8_t *data, size_t len, struct kafka_position *pos,
                           kafka_record_fn fn, void *arg)
{
    struct record_reader reader;
    struct record rec;
    TRY(record_reader_open(&reader, data, len, PLAIN_BYTES_MAX));
    err_t err = OK;
    while (err == OK) {
        err_t read = record_reader_next(&reader, &rec);
        if (read != OK) {
            err = read == ERR_END ? OK : read;
            break;
        }
        if (rec.offset < pos->next_offset)
            continue;
        err = fn(arg, pos->partition, &rec);
        if (err == OK)
            pos->next_offset = rec.offset + 1;
    }
    record_reader_close(&reader);
    return err;
}

/** All whole batches; one that the reply's size limit cut off ends it. */
static err_t records_deliver(struct slice records, struct kafka_position *pos, kafka_record_fn fn,
                             void *arg)
{
    size_t at = 0;
    while (records.len - at >= BATCH_HEADER_BYTES) {
        struct batch_header h;
        const uint8_t *data = (const uint8_t *)records.data + at;
        TRY(batch_header_parse(data, records.len - at, &h));
        if (batch_total_bytes(&h) > records.len - at)
            break;
        TRY(batch_check(data, records.len - at, &h));
        TRY(batch_deliver(data, batch_total_bytes(&h), pos, fn, arg));
        pos->next_offset = MAX(pos->next_offset, batch_next_offset(&h));
        at += batch_total_bytes(&h);
    }
    return OK;
}

static struct kafka_position *position_find(struct kafka_position *positions, size_t count,
                                            int32_t partition)
{
    for (size_t i = 0; i < count; i++)
        if (partition >= 0 && positions[i].partition == (uint32_t)partition)
            return &positions[i];
    return NULL;
}

static err_t fetch_send(struct kafka_client *c, const char *topic,
                        const struct kafka_position *positions, size_t count, unsigned max_wait_ms,
                        struct wire_reader *ret_reader)
{
    struct wire_writer w = request_begin(c, KAFKA_FETCH, FETCH_VERSION);
    struct fetch_partition *rows = arena_zalloc(&c->arena, count * sizeof(*rows));
    for (size_t i = 0; i < count; i++)
        rows[i] = (struct fetch_partition){.index = (int32_t)positions[i].partition,
                                           .current_leader_epoch = -1,
                                           .offset = positions[i].next_offset,
                                           .max_bytes = (int32_t)FETCH_BYTES};
    struct fetch_topic t = {slice_of(topic), (uint32_t)count, rows};
    struct fetch_request q = {.max_wait_ms = (int32_t)MIN(max_wait_ms, (unsigned)INT32_MAX),
                              .min_bytes = 1,
                              .max_bytes = (int32_t)FETCH_BYTES,
                              .session_epoch = -1,
                              .topic_count = 1,
                              .topics = &t};
    fetch_request_write(&w, FETCH_VERSION, &q);
    return exchange(c, max_wait_ms, ret_reader);
}

static err_t partition_failed(struct kafka_client *c, const char *topic, struct kafka_position *pos,
                              int16_t error)
{
    if (error == KAFKA_OFFSET_OUT_OF_RANGE)
        TRY(list_offset_once(c, topic, pos->partition, KAFKA_OFFSET_EARLIEST, &pos->next_offset));
    return reply_error(c, error, topic);
}

err_t kafka_client_fetch(struct kafka_client *c, const char *topic,
                         struct kafka_position *positions, size_t count, unsigned max_wait_ms,
                         kafka_record_fn fn, void *arg)
{
    struct wire_reader r;
    TRY(fetch_send(c, topic, positions, count, max_wait_ms, &r));
    struct fetch_reply reply;
    fetch_reply_read(&r, FETCH_VERSION, &c->arena, &reply);
    TRY(reply_end(c, &r));
    if (reply.error != KAFKA_NONE || reply.topic_count != 1)
        return reply_error(c, reply.error, topic);
    for (uint32_t i = 0; i < reply.topics[0].partition_count; i++) {
        struct fetch_partition *p = &reply.topics[0].partitions[i];
        struct kafka_position *pos = position_find(positions, count, p->index);
        if (pos == NULL)
            return err_fail(ERR_CORRUPT, "%s answers for a partition not asked for", c->address);
        if (p->error != KAFKA_NONE)
            return partition_failed(c, topic, pos, p->error);
        pos->high_watermark = p->high_watermark;
        TRY(records_deliver(p->records, pos, fn, arg));
    }
    return OK;
}
