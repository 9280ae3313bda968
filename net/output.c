#include "net/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define OUT_IOV_MAX 64
#define OUT_POOL_MAX 256      /* chunks kept at rest per reactor: 1 MiB */
#define OUT_TURN_BYTES MIB(4) /* sent to one connection before its neighbours get a turn */
#define OUT_COPY_MAX KIB(16)  /* longer copies get memory of their own size */

_Static_assert(sizeof(struct out_chunk) == KIB(4), "a chunk is a page");

static struct out_chunk *chunk_of(struct out_run *run)
{
    return CONTAINER_OF(run, struct out_chunk, run);
}

static void append(struct output *o, struct out_run *run)
{
    run->next = NULL;
    if (o->tail == NULL)
        o->head = run;
    else
        o->tail->next = run;
    o->tail = run;
}

static struct out_run *chunk_take(struct out_pool *pool)
{
    struct out_run *run = pool->free;
    if (run == NULL) {
        run = &((struct out_chunk *)xmalloc(sizeof(struct out_chunk)))->run;
    } else {
        pool->free = run->next;
        pool->count--;
    }
    *run = (struct out_run){.kind = OUT_CHUNK, .at = chunk_of(run)->bytes};
    return run;
}

static void run_free(struct out_pool *pool, struct out_run *run)
{
    if (run->release != NULL)
        run->release(run->arg);
    if (run->kind == OUT_CHUNK) {
        if (pool->count < OUT_POOL_MAX) {
            run->next = pool->free;
            pool->free = run;
            pool->count++;
            return;
        }
        free(chunk_of(run));
        return;
    }
    free(run);
}

/* Where the last chunk has room; NULL when there is none. */
static char *chunk_space(struct output *o, size_t *ret_room)
{
    if (o->tail == NULL || o->tail->kind != OUT_CHUNK)
        return NULL;
    struct out_chunk *chunk = chunk_of(o->tail);
    size_t used = (size_t)(o->tail->at - chunk->bytes) + o->tail->len;
    *ret_room = OUT_CHUNK_BYTES - used;
    return *ret_room == 0 ? NULL : chunk->bytes + used;
}

void output_copy(struct output *o, struct out_pool *pool, const void *data, size_t len)
{
    const char *from = data;
    if (len > OUT_COPY_MAX) {
        char *copy = xmalloc(len);
        memcpy(copy, data, len);
        output_owned(o, copy, len);
        return;
    }
    while (len > 0) {
        size_t room = 0;
        char *at = chunk_space(o, &room);
        if (at == NULL) {
            append(o, chunk_take(pool));
            at = chunk_space(o, &room);
        }
        size_t piece = MIN(room, len);
        memcpy(at, from, piece);
        o->tail->len += piece;
        o->bytes += piece;
        from += piece;
        len -= piece;
    }
}

static void append_new(struct output *o, struct out_run value)
{
    struct out_run *run = xmalloc(sizeof(*run));
    *run = value;
    append(o, run);
    o->bytes += value.len;
}

void output_owned(struct output *o, char *data, size_t len)
{
    append_new(o, (struct out_run){
                      .kind = OUT_OWNED, .at = data, .len = len, .release = free, .arg = data});
}

void output_file(struct output *o, int fd, uint64_t offset, size_t len, void (*release)(void *arg),
                 void *arg)
{
    append_new(o, (struct out_run){.kind = OUT_FILE,
                                   .fd = fd,
                                   .file_offset = offset,
                                   .len = len,
                                   .release = release,
                                   .arg = arg});
}

/* Takes `sent` bytes off the front and frees the runs that are done. */
static void consume(struct output *o, struct out_pool *pool, size_t sent)
{
    ASSERT(sent <= o->bytes);
    o->bytes -= sent;
    while (o->head != NULL && sent >= o->head->len) {
        struct out_run *run = o->head;
        sent -= run->len;
        o->head = run->next;
        if (o->head == NULL)
            o->tail = NULL;
        run_free(pool, run);
    }
    if (sent > 0) {
        ASSERT(o->head != NULL);
        if (o->head->kind == OUT_FILE)
            o->head->file_offset += sent;
        else
            o->head->at += sent;
        o->head->len -= sent;
    }
}

/* One system call for the memory runs at the front. */
static ssize_t send_memory(struct output *o, int socket)
{
    struct iovec iov[OUT_IOV_MAX];
    size_t count = 0;
    struct out_run *run = o->head;
    for (; run != NULL && run->kind != OUT_FILE && count < OUT_IOV_MAX; run = run->next) {
        /* sendmsg only reads it. */
        iov[count].iov_base = (void *)(uintptr_t)run->at;
        iov[count++].iov_len = run->len;
    }
    int flags = MSG_NOSIGNAL | (run != NULL ? MSG_MORE : 0);
    if (count == 1)
        return send(socket, iov[0].iov_base, iov[0].iov_len, flags);
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = count};
    return sendmsg(socket, &msg, flags);
}

static ssize_t send_file(struct out_run *run, int socket, size_t most)
{
    off_t at = (off_t)run->file_offset;
    ssize_t n = sendfile(socket, run->fd, &at, MIN(run->len, most));
    if (n == 0)
        errno = EIO; /* the file ends before its slice does */
    return n == 0 ? -1 : n;
}

enum out_result output_flush(struct output *o, struct out_pool *pool, int socket)
{
    size_t budget = OUT_TURN_BYTES;
    while (o->head != NULL) {
        if (o->head->len == 0) {
            consume(o, pool, 0);
            continue;
        }
        if (budget == 0)
            return OUT_YIELD;
        ssize_t n =
            o->head->kind == OUT_FILE ? send_file(o->head, socket, budget) : send_memory(o, socket);
        if (n < 0) {
            if (errno == EINTR)
                continue;
            return errno == EAGAIN ? OUT_BLOCKED : OUT_FAILED;
        }
        budget -= MIN(budget, (size_t)n);
        consume(o, pool, (size_t)n);
    }
    return OUT_DONE;
}

void output_clear(struct output *o, struct out_pool *pool)
{
    while (o->head != NULL) {
        struct out_run *run = o->head;
        o->head = run->next;
        run_free(pool, run);
    }
    o->tail = NULL;
    o->bytes = 0;
}

void out_pool_release(struct out_pool *pool)
{
    while (pool->free != NULL) {
        struct out_run *run = pool->free;
        pool->free = run->next;
        free(chunk_of(run));
    }
    pool->count = 0;
}
