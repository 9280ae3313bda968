#include "cli/http_client.h"

#include <errno.h>
#include <llhttp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define SILENCE_SECONDS 60
#define CONNECT_SECONDS 10
#define REPLY_BYTES_MAX MIB(64)
#define READ_BYTES KIB(64)
#define FIELD_BYTES 32

struct http_client {
    char *host; /* as connected to, without brackets */
    char *port;
    char *address; /* as shown and sent in Host */
    int fd;        /* -1: not connected */

    /* of the reply being read */
    llhttp_t parser;
    struct http_client_reply *reply;
    bool complete;
    char field[FIELD_BYTES];
    size_t field_len;
    bool in_value;
};

/* The URL ------------------------------------------------------------------------------------- */

static err_t parse_url(struct http_client *c, const char *url)
{
    const char *at = strncasecmp(url, "http://", 7) == 0 ? url + 7 : url;
    if (strstr(url, "://") != NULL && at == url)
        return err_fail(ERR_USAGE, "\"%s\" is not an http:// URL", url);
    size_t len = strcspn(at, "/");
    if (strlen(at) > len + 1)
        return err_fail(ERR_USAGE, "\"%s\" has a path; http://host:port was expected", url);
    const char *bracket = *at == '[' ? memchr(at, ']', len) : NULL;
    const char *host_end = bracket != NULL ? bracket + 1 : at + strcspn(at, ":/");
    const char *port = host_end < at + len && *host_end == ':' ? host_end + 1 : NULL;
    if (host_end == at || (*at == '[' && bracket == NULL))
        return err_fail(ERR_USAGE, "\"%s\" names no host", url);
    c->host = bracket != NULL ? xstrndup(at + 1, (size_t)(bracket - at - 1))
                              : xstrndup(at, (size_t)(host_end - at));
    c->port = port != NULL ? xstrndup(port, (size_t)(at + len - port)) : xstrdup("80");
    c->address = xstrndup(at, len);
    return OK;
}

err_t http_client_new(const char *url, struct http_client **ret_client)
{
    CLEANUP(http_client_free_ptr) struct http_client *c = xcalloc(1, sizeof(*c));
    c->fd = -1;
    TRY(parse_url(c, url));
    *ret_client = TAKE(c);
    return OK;
}

static void disconnect(struct http_client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

void http_client_free(struct http_client *c)
{
    if (c == NULL)
        return;
    disconnect(c);
    free(c->host);
    free(c->port);
    free(c->address);
    free(c);
}

void http_client_free_ptr(struct http_client **c)
{
    http_client_free(TAKE(*c));
}

const char *http_client_address(const struct http_client *c)
{
    return c->address;
}

/* The connection ------------------------------------------------------------------------------ */

static void set_timeout(int fd, int option, int seconds)
{
    struct timeval t = {.tv_sec = seconds};
    (void)setsockopt(fd, SOL_SOCKET, option, &t, sizeof(t));
}

static int connect_one(const struct addrinfo *a)
{
    int fd = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, a->ai_protocol);
    if (fd < 0)
        return -1;
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    /* A patient request has no other way to notice that the server's machine is gone. */
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    set_timeout(fd, SO_SNDTIMEO, CONNECT_SECONDS);
    if (connect(fd, a->ai_addr, a->ai_addrlen) == 0) {
        set_timeout(fd, SO_SNDTIMEO, SILENCE_SECONDS);
        return fd;
    }
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static err_t connect_client(struct http_client *c)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int rc = getaddrinfo(c->host, c->port, &hints, &list);
    if (rc != 0)
        return err_fail(ERR_UNAVAILABLE, "cannot find %s: %s", c->address, gai_strerror(rc));
    for (struct addrinfo *a = list; a != NULL && c->fd < 0; a = a->ai_next)
        c->fd = connect_one(a);
    freeaddrinfo(list);
    if (c->fd < 0)
        return err_fail_errno(ERR_UNAVAILABLE, "cannot connect to %s", c->address);
    return OK;
}

/* The reply ----------------------------------------------------------------------------------- */

static int on_field(llhttp_t *p, const char *data, size_t len)
{
    struct http_client *c = p->data;
    if (c->in_value)
        c->field_len = 0;
    c->in_value = false;
    for (size_t i = 0; i < len && c->field_len < FIELD_BYTES - 1; i++)
        c->field[c->field_len++] = data[i];
    c->field[c->field_len] = '\0';
    return 0;
}

static int on_value(llhttp_t *p, const char *data, size_t len)
{
    struct http_client *c = p->data;
    c->in_value = true;
    if (strcasecmp(c->field, "retry-after") != 0)
        return 0;
    for (size_t i = 0; i < len && data[i] >= '0' && data[i] <= '9'; i++)
        if (c->reply->retry_after_s < 1000000)
            c->reply->retry_after_s = c->reply->retry_after_s * 10 + (unsigned)(data[i] - '0');
    return 0;
}

static int on_body(llhttp_t *p, const char *data, size_t len)
{
    struct http_client *c = p->data;
    if (c->reply->body.len + len > REPLY_BYTES_MAX)
        return -1;
    buf_append(&c->reply->body, data, len);
    return 0;
}

static int on_complete(llhttp_t *p)
{
    struct http_client *c = p->data;
    if (p->status_code < 200) /* 100 Continue and its like: the reply is still to come */
        return 0;
    c->complete = true;
    return HPE_PAUSED;
}

static err_t lost(struct http_client *c, const char *what)
{
    disconnect(c);
    return err_fail(ERR_UNAVAILABLE, "%s: %s", c->address, what);
}

static err_t read_some(struct http_client *c, char *data)
{
    ASSERT(c->fd >= 0);
    ssize_t n = recv(c->fd, data, READ_BYTES, 0);
    if (n < 0 && errno == EINTR)
        return OK;
    if (n < 0)
        return lost(c, errno == EAGAIN ? "no reply within 60 s" : strerrordesc_np(errno));
    if (n == 0) {
        (void)llhttp_finish(&c->parser);
        return c->complete ? OK : lost(c, "the connection was closed before a reply came");
    }
    enum llhttp_errno rc = llhttp_execute(&c->parser, data, (size_t)n);
    if (rc != HPE_OK && rc != HPE_PAUSED)
        return lost(c, "the reply is not HTTP");
    return OK;
}

static err_t read_reply(struct http_client *c, struct http_client_reply *reply)
{
    llhttp_settings_t settings;
    llhttp_settings_init(&settings);
    settings.on_header_field = on_field;
    settings.on_header_value = on_value;
    settings.on_body = on_body;
    settings.on_message_complete = on_complete;
    llhttp_init(&c->parser, HTTP_RESPONSE, &settings);
    c->parser.data = c;
    c->reply = reply;
    c->complete = false;
    c->field_len = 0;
    c->in_value = false;
    CLEANUP(xfree_ptr) char *data = xmalloc(READ_BYTES);
    while (!c->complete)
        TRY(read_some(c, data));
    reply->status = c->parser.status_code;
    if (!llhttp_should_keep_alive(&c->parser))
        disconnect(c);
    return OK;
}

/* The request --------------------------------------------------------------------------------- */

static void write_head(const struct http_client *c, const struct http_client_request *r,
                       struct buf *out)
{
    buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: spillway/%s\r\n", r->method, r->path,
               c->address, SPILLWAY_VERSION);
    if (r->token != NULL)
        buf_printf(out, "Authorization: Bearer %s\r\n", r->token);
    if (r->idempotency_key != NULL)
        buf_printf(out, "Idempotency-Key: %s\r\n", r->idempotency_key);
    if (r->content_type != NULL)
        buf_printf(out, "Content-Type: %s\r\nContent-Length: %zu\r\n", r->content_type,
                   r->body.len);
    buf_append_str(out, "\r\n");
}

/** A server may answer and close while the body is still being sent (413): read what it says. */
static err_t exchange(struct http_client *c, const struct http_client_request *request,
                      struct http_client_reply *reply)
{
    if (c->fd < 0)
        TRY(connect_client(c));
    set_timeout(c->fd, SO_RCVTIMEO, request->patient ? 0 : SILENCE_SECONDS);
    CLEANUP(buf_release) struct buf head = BUF_INIT;
    write_head(c, request, &head);
    int more = request->body.len > 0 ? MSG_MORE : 0;
    ASSERT(c->fd >= 0);
    if (send(c->fd, head.data, head.len, MSG_NOSIGNAL | more) != (ssize_t)head.len)
        return lost(c, "the connection was closed");
    size_t sent = 0;
    while (sent < request->body.len) {
        ssize_t n = send(c->fd, request->body.data + sent, request->body.len - sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break;
        sent += (size_t)n;
    }
    return read_reply(c, reply);
}

err_t http_client_send(struct http_client *c, const struct http_client_request *request,
                       struct http_client_reply *reply)
{
    *reply = (struct http_client_reply){0};
    bool reused = c->fd >= 0;
    err_t err = exchange(c, request, reply);
    /* A kept connection may have been closed by the server while it was idle. */
    if (err != OK && reused && reply->body.len == 0)
        err = exchange(c, request, reply);
    if (err != OK)
        buf_release(&reply->body);
    return err;
}
