/*
 * snapshot/sink_ndjson.c: one line per document: {"id":…,"doc":…,"lsn":…,"ts":…}. The document's
 * bytes are those that were sent, but for line ends between tokens, which become spaces.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/timefmt.h"
#include "snapshot/sink.h"

#define WRITE_BYTES KIB(256)

struct ndjson {
    struct io_file *file; /* NULL: fd */
    int fd;
    uint64_t position;
    struct buf out;
};

static void append_number(struct buf *out, int64_t value)
{
    char digits[24];
    size_t at = sizeof(digits);
    uint64_t rest = value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
    do
        digits[--at] = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        digits[--at] = '-';
    buf_append(out, digits + at, sizeof(digits) - at);
}

static void append_document(struct buf *out, struct slice doc)
{
    if (memchr(doc.data, '\n', doc.len) == NULL && memchr(doc.data, '\r', doc.len) == NULL)
        buf_append_slice(out, doc);
    else
        json_append_single_line(out, doc.data, doc.len);
}

void sink_ndjson_line(struct buf *out, const struct state_doc *doc)
{
    char ts[TIMEFMT_MAX];
    timefmt_rfc3339(doc->ts_us, ts);
    buf_append(out, "{\"id\":", 6);
    buf_append_json(out, doc->id.data, doc->id.len);
    buf_append(out, ",\"doc\":", 7);
    append_document(out, doc->doc);
    buf_append(out, ",\"lsn\":", 7);
    append_number(out, doc->lsn);
    buf_append(out, ",\"ts\":\"", 7);
    buf_append(out, ts, strlen(ts));
    buf_append(out, "\"}\n", 3);
}

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
    sink_ndjson_line(&n->out, doc);
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
