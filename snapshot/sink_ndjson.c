/*
 * snapshot/sink_ndjson.c: one line per document, as snapshot/lines.h has it.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "snapshot/lines.h"
#include "snapshot/sink.h"

#define WRITE_BYTES KIB(256)

struct ndjson {
    struct io_file *file; /* NULL: fd */
    int fd;
    uint64_t position;
    struct buf out;
};

static err_t write_fd(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_fail_errno(ERR_IO, "cannot write the documents");
        data += n;
        len -= (size_t)n;
    }
    return OK;
}

static err_t flush(struct ndjson *n)
{
    if (n->out.len == 0)
        return OK;
    TRY(n->file != NULL ? io_file_pwrite(n->file, n->out.data, n->out.len, n->position)
                        : write_fd(n->fd, n->out.data, n->out.len));
    n->position += n->out.len;
    buf_clear(&n->out);
    return OK;
}

static err_t ndjson_add(void *arg, const struct state_doc *doc)
{
    struct ndjson *n = arg;
    line_document(&n->out, doc);
    return n->out.len >= WRITE_BYTES ? flush(n) : OK;
}

static err_t ndjson_finish(void *arg)
{
    struct ndjson *n = arg;
    TRY(flush(n));
    return n->file != NULL ? io_file_sync(n->file) : OK;
}

static void ndjson_close(void *arg)
{
    struct ndjson *n = arg;
    io_file_close(n->file);
    buf_release(&n->out);
    free(n);
}

static const struct sink_ops ndjson_ops = {ndjson_add, ndjson_finish, ndjson_close};

static struct sink ndjson_new(struct io_file *file, int fd)
{
    struct ndjson *n = xcalloc(1, sizeof(*n));
    n->file = file;
    n->fd = fd;
    return (struct sink){&ndjson_ops, n};
}

err_t sink_ndjson_open(struct io *io, const char *path, struct sink *ret)
{
    struct io_file *file;
    TRY(io_open(io, path, IO_WRITE | IO_CREATE | IO_TRUNCATE, &file));
    *ret = ndjson_new(file, -1);
    return OK;
}

err_t sink_ndjson_open_fd(int fd, struct sink *ret)
{
    *ret = ndjson_new(NULL, fd);
    return OK;
}
