/*
 * Listening sockets: one per reactor on the same port (SO_REUSEPORT), so that the kernel spreads
 * new connections and no reactor hands sockets to another.
 *
 * SO_REUSEPORT would also let a second server take the port of a running one. So the first socket
 * is bound without it, which fails where anybody listens, and gets the option afterwards.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/logger.h"
#include "base/metrics.h"
#include "net/conn_priv.h"
#include "net/reactor_priv.h"

#define ACCEPT_TURN_MAX 64  /* accepted before the connections that are open get their turn */
#define ACCEPT_RETRY_MS 100 /* when descriptors have run out */
#define LISTEN_BACKLOG 4096 /* the kernel cuts it at net.core.somaxconn */
#define ADDRESS_MAX (INET6_ADDRSTRLEN + 8)

struct listener {
    struct listener_options options; /* `address` is not used after the start */
    char address[ADDRESS_MAX];
    unsigned socket_count;
    struct listener_socket *sockets; /* owned, one per reactor */
    _Atomic unsigned connections;
    struct lock lock;
    struct lock_cond idle;
    unsigned live GUARDED_BY(lock); /* connections and libuv handles that still point here */
};

const struct listener_options *listener_options_of(const struct listener_socket *ls)
{
    return &ls->listener->options;
}

static void live_add(struct listener *l, unsigned count)
{
    lock_acquire(&l->lock);
    l->live += count;
    lock_release(&l->lock);
}

static void live_drop(struct listener *l)
{
    lock_acquire(&l->lock);
    ASSERT(l->live > 0);
    if (--l->live == 0)
        lock_cond_signal(&l->idle);
    lock_release(&l->lock);
}

static void live_wait(struct listener *l)
{
    lock_acquire(&l->lock);
    while (l->live > 0)
        lock_cond_wait(&l->idle, &l->lock);
    lock_release(&l->lock);
}

static void count_down(struct listener *l)
{
    atomic_fetch_sub_explicit(&l->connections, 1, memory_order_relaxed);
    live_drop(l);
}

void listener_forget(struct listener_socket *ls, struct conn *c)
{
    if (c->prev != NULL)
        c->prev->next = c->next;
    else
        ls->conns = c->next;
    if (c->next != NULL)
        c->next->prev = c->prev;
    count_down(ls->listener);
}

/* Accepting ----------------------------------------------------------------------------------- */

static void format_peer(const struct sockaddr_storage *addr, char out[INET6_ADDRSTRLEN])
{
    out[0] = '\0';
    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)addr;
        inet_ntop(AF_INET, &in4->sin_addr, out, INET6_ADDRSTRLEN);
        return;
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, addr, sizeof(in6));
    if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr))
        inet_ntop(AF_INET, &in6.sin6_addr.s6_addr[12], out, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET6, &in6.sin6_addr, out, INET6_ADDRSTRLEN);
}

static void refuse(struct listener_socket *ls, int fd)
{
    const struct listener *l = ls->listener;
    metric_inc(M_connections_refused_total);
    LOG_WARN("connection_refused", F("listen", l->address),
             F("max", (int64_t)l->options.max_connections));
    if (l->options.refusal.len > 0) {
        (void)!send(fd, l->options.refusal.data, l->options.refusal.len, MSG_NOSIGNAL);
        /* Closing over unread input would reset the connection and take the reply along. */
        (void)!recv(fd, ls->reactor->recv_buf, REACTOR_RECV_BYTES, 0);
    }
    close(fd);
}

static void take(struct listener_socket *ls, int fd, const struct sockaddr_storage *addr)
{
    struct listener *l = ls->listener;
    unsigned open = atomic_fetch_add_explicit(&l->connections, 1, memory_order_relaxed);
    live_add(l, 1);
    if (open >= l->options.max_connections) {
        count_down(l);
        refuse(ls, fd);
        return;
    }
    char peer[INET6_ADDRSTRLEN];
    format_peer(addr, peer);
    if (!conn_new(ls, fd, peer))
        count_down(l);
}

static void on_acceptable(uv_poll_t *poll, int status, int events);

static void on_retry(uv_timer_t *timer)
{
    struct listener_socket *ls = timer->data;
    if (ls->reserve_fd < 0)
        ls->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    uv_poll_start(&ls->poll, UV_READABLE, on_acceptable);
}

/* No descriptors left. One connection is taken with the reserve and closed, so that its client
 * learns of it; then accepting rests a moment: the socket stays readable and would spin. */
static void out_of_descriptors(struct listener_socket *ls)
{
    LOG_ERROR("accept_failed", F("listen", ls->listener->address), F("error", uv_strerror(-errno)),
              F("retry_ms", ACCEPT_RETRY_MS));
    metric_inc(M_connections_refused_total);
    if (ls->reserve_fd >= 0) {
        close(ls->reserve_fd);
        int fd = accept4(ls->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            close(fd);
        ls->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    }
    uv_poll_stop(&ls->poll);
    uv_timer_start(&ls->retry, on_retry, ACCEPT_RETRY_MS, 0);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct listener_socket *ls = poll->data;
    reactor_turn_begin(ls->reactor);
    for (int i = 0; i < ACCEPT_TURN_MAX; i++) {
        struct sockaddr_storage addr = {0};
        socklen_t len = sizeof(addr);
        int fd = accept4(ls->fd, (struct sockaddr *)&addr, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(ls, fd, &addr);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            out_of_descriptors(ls);
            return;
        } else if (errno == EAGAIN) {
            return;
        }
        /* Else the client of that one connection has gone (ECONNABORTED and the like): the next. */
    }
}

/* Opening ------------------------------------------------------------------------------------- */

/* "host:port", with the host in brackets when it holds colons. */
static err_t resolve(const char *address, struct sockaddr_storage *ret_addr, socklen_t *ret_len)
{
    char host[256];
    const char *colon = strrchr(address, ':');
    if (colon == NULL || colon == address || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1) || strlen(colon + 1) > 5)
        return err_fail(ERR_USAGE, "bad listen address '%s': expected HOST:PORT", address);
    size_t len = (size_t)(colon - address);
    const char *from = address;
    if (len > 2 && from[0] == '[' && from[len - 1] == ']') {
        from++;
        len -= 2;
    }
    if (len >= sizeof(host) || strtol(colon + 1, NULL, 10) > 65535)
        return err_fail(ERR_USAGE, "bad listen address '%s': port or host out of range", address);
    memcpy(host, from, len);
    host[len] = '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int rc = getaddrinfo(host, colon + 1, &hints, &found);
    if (rc != 0)
        return err_fail(ERR_USAGE, "bad listen address '%s': %s", address, gai_strerror(rc));
    memcpy(ret_addr, found->ai_addr, found->ai_addrlen);
    *ret_len = found->ai_addrlen;
    freeaddrinfo(found);
    return OK;
}

static int set_on(int fd, int level, int option)
{
    int on = 1;
    return setsockopt(fd, level, option, &on, sizeof(on));
}

/* With port 0 in *addr the first socket's port is written back for the others. */
static err_t bind_socket(const char *address, bool first, struct sockaddr_storage *addr,
                         socklen_t len, int *ret_fd)
{
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_fail_errno(ERR_IO, "cannot listen on %s", address);
    if (set_on(fd, SOL_SOCKET, SO_REUSEADDR) != 0 ||
        (!first && set_on(fd, SOL_SOCKET, SO_REUSEPORT) != 0) ||
        bind(fd, (struct sockaddr *)addr, len) != 0 ||
        (first && set_on(fd, SOL_SOCKET, SO_REUSEPORT) != 0) ||
        set_on(fd, IPPROTO_TCP, TCP_NODELAY) != 0 || /* accepted sockets inherit it */
        listen(fd, LISTEN_BACKLOG) != 0 || getsockname(fd, (struct sockaddr *)addr, &len) != 0) {
        err_t err = err_fail_errno(ERR_IO, "cannot listen on %s", address);
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return OK;
}

static void format_address(const struct sockaddr_storage *addr, char out[ADDRESS_MAX])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (addr->ss_family == AF_INET) {
        const struct sockaddr_in *in4 = (const struct sockaddr_in *)addr;
        inet_ntop(AF_INET, &in4->sin_addr, host, sizeof(host));
        snprintf(out, ADDRESS_MAX, "%s:%u", host, ntohs(in4->sin_port));
    } else {
        struct sockaddr_in6 in6;
        memcpy(&in6, addr, sizeof(in6));
        inet_ntop(AF_INET6, &in6.sin6_addr, host, sizeof(host));
        snprintf(out, ADDRESS_MAX, "[%s]:%u", host, ntohs(in6.sin6_port));
    }
}

static void start_socket(struct reactor *r, void *arg)
{
    struct listener_socket *ls = arg;
    int rc = uv_poll_init(&r->loop, &ls->poll, ls->fd);
    ASSERT(rc == 0);
    uv_timer_init(&r->loop, &ls->retry);
    ls->poll.data = ls->retry.data = ls;
    uv_poll_start(&ls->poll, UV_READABLE, on_acceptable);
}

static void close_unstarted(struct listener *l)
{
    for (unsigned i = 0; i < l->socket_count; i++) {
        close(l->sockets[i].fd);
        close(l->sockets[i].reserve_fd);
        l->sockets[i].fd = -1;
    }
}

err_t listener_open(struct reactor_group *group, const struct listener_options *options,
                    struct listener **ret_listener)
{
    struct sockaddr_storage addr = {0};
    socklen_t addr_len = 0;
    TRY(resolve(options->address, &addr, &addr_len));
    struct listener *l = xcalloc(1, sizeof(*l));
    l->options = *options;
    l->options.address = NULL;
    lock_init(&l->lock, LOCK_RANK_LEAF);
    lock_cond_init(&l->idle);
    unsigned count = reactor_group_count(group);
    l->sockets = xcalloc(count, sizeof(*l->sockets));
    for (unsigned i = 0; i < count; i++) {
        struct listener_socket *ls = &l->sockets[i];
        *ls = (struct listener_socket){.listener = l, .reactor = reactor_group_get(group, i)};
        err_t err = bind_socket(options->address, i == 0, &addr, addr_len, &ls->fd);
        if (err != OK) {
            close_unstarted(l);
            listener_free(l);
            return err;
        }
        ls->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        l->socket_count++;
    }
    format_address(&addr, l->address);
    live_add(l, 2 * count);
    for (unsigned i = 0; i < count; i++)
        reactor_call(l->sockets[i].reactor, start_socket, &l->sockets[i]);
    *ret_listener = l;
    return OK;
}

const char *listener_address(const struct listener *l)
{
    return l->address;
}

unsigned listener_connections(const struct listener *l)
{
    return atomic_load_explicit(&l->connections, memory_order_relaxed);
}

/* Stopping ------------------------------------------------------------------------------------ */

static void on_handle_closed(uv_handle_t *handle)
{
    struct listener_socket *ls = handle->data;
    live_drop(ls->listener);
}

static void stop_socket(struct reactor *r, void *arg)
{
    (void)r;
    struct listener_socket *ls = arg;
    if (ls->fd < 0)
        return;
    uv_close((uv_handle_t *)&ls->poll, on_handle_closed);
    uv_close((uv_handle_t *)&ls->retry, on_handle_closed);
    close(ls->fd);
    ls->fd = -1;
    if (ls->reserve_fd >= 0)
        close(ls->reserve_fd);
}

void listener_stop(struct listener *l)
{
    for (unsigned i = 0; i < l->socket_count; i++)
        reactor_call(l->sockets[i].reactor, stop_socket, &l->sockets[i]);
}

static void close_conns(struct reactor *r, void *arg)
{
    struct listener_socket *ls = arg;
    r->cutting = true; /* what they sent is on its way to the log before their end is told */
    for (struct conn *c = ls->conns; c != NULL; c = c->next)
        conn_close(c);
}

void listener_close_all(struct listener *l)
{
    for (unsigned i = 0; i < l->socket_count; i++)
        reactor_call(l->sockets[i].reactor, close_conns, &l->sockets[i]);
    live_wait(l);
}

void listener_free(struct listener *l)
{
    if (l == NULL)
        return;
    for (unsigned i = 0; i < l->socket_count; i++)
        ASSERT(l->sockets[i].fd < 0 && l->sockets[i].conns == NULL);
    live_wait(l);
    lock_cond_destroy(&l->idle);
    lock_destroy(&l->lock);
    free(l->sockets);
    free(l);
}
