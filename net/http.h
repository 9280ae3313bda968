/*
 * net/http.h: an HTTP/1.1 server (RFC 9112, parsed by llhttp) on net/conn.h.
 *
 * Requests are handed to a handler found by a route table; bodies are handed on in pieces as they
 * arrive. Replies of pipelined requests leave in the order of the requests, whichever is answered
 * first.
 *
 * Owner: the connection's reactor; all calls and callbacks on its thread.
 * Order per exchange: on_request -> on_body* -> on_end -> (any time from on_request on, once)
 * http_respond -> the exchange is freed. In the place of http_respond: http_respond_start,
 * http_respond_piece*, http_respond_finish. When the client goes away before that, on_abort is
 * called instead of the callbacks that were still to come; the handler then calls
 * http_exchange_release when nothing of its own points to the exchange any more.
 */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/arena.h"
#include "base/base.h"
#include "base/clock.h"
#include "base/err.h"
#include "net/conn.h"

struct http_exchange;
struct http_route;
struct http_server;

struct http_header {
    struct slice name;  /* as sent; compare with slice_equal_nocase */
    struct slice value; /* surrounding blanks removed */
};

/** What was asked. All slices live as long as the exchange. */
struct http_request {
    struct slice method; /* "GET"; HEAD is routed as GET and its reply sent without body */
    struct slice target; /* as sent */
    struct slice path;   /* up to '?', percent-decoding left to the handler */
    struct slice query;  /* behind '?', or empty */
    struct slice host;
    const struct http_header *headers;
    size_t header_count;
    int64_t content_length; /* -1: chunked or none */
    bool has_body;
};

struct http_handler {
    /** Headers are complete. May call http_respond at once (e.g. 401): what is left of the body is
     * then read and dropped where that is cheap, else the connection closes after the reply. An
     *  "Expect: 100-continue" is answered by the server after this returns, if no reply was given.
     */
    void (*on_request)(struct http_exchange *x);
    /** A piece of the body, transfer coding removed (content coding not), at most 64 KiB, borrowed.
     */
    void (*on_body)(struct http_exchange *x, const char *data, size_t len);
    /** The request is complete. */
    void (*on_end)(struct http_exchange *x);
    /** The client is gone before a reply was given (or broke off its request in the middle). NULL:
     * the handler keeps no pointer to the exchange, which is freed at once. The other three may be
     * NULL too. */
    void (*on_abort)(struct http_exchange *x);
    /** After http_respond_start: all that was given has left; more may come. May be NULL. */
    void (*on_drain)(struct http_exchange *x);
    /** A client that has closed its sending side only may still want the reply to what it sent, and
     * gets it. True (for routes that wait long): the end of its input counts as going away. */
    bool abort_on_eof;
};

enum http_match {
    HTTP_MATCH_EXACT,
    HTTP_MATCH_PREFIX, /* path itself, or followed by '/' */
    HTTP_MATCH_PARTS,  /* "/state/@/@": a part "@" stands for any part of one byte or more */
};

/** Which pages of other sites may read the replies of a route. */
enum http_cors {
    HTTP_CORS_NONE,
    HTTP_CORS_ANY,    /* every page: public routes */
    HTTP_CORS_ORIGIN, /* those of http_options.allowed_origins */
};

/** Rows are tried in order. A path that matches with no fitting method is answered 405 with Allow;
 * an unknown path 404. OPTIONS is answered by the server (200, with the CORS headers of the path's
 * first row) unless a row asks for it. */
struct http_route {
    const char *methods; /* "POST", or "GET, POST" */
    const char *path;
    enum http_match match;
    const struct http_handler *handler;
    void *arg;
    enum http_cors cors;
};

struct http_options {
    const struct http_route *routes; /* borrowed for the server's life */
    size_t route_count;
    size_t header_bytes_max;     /* request line and headers; above: 431 */
    unsigned header_ms;          /* time for the headers of one request; above: 408 */
    unsigned body_idle_ms;       /* time between pieces of a body; above: 408 */
    unsigned keepalive_ms;       /* idle time between requests; above: close */
    const char *allowed_origins; /* comma-separated origins, "*.suffix" or "*"; may be NULL */
    const char *trusted_proxies; /* http_proxies_valid; NULL: loopback */
    struct clock *clock;         /* for Date and correlation ids; NULL: the machine's */
};

/** The server's conn_ops; listener_options.arg is the http_server. */
extern const struct conn_ops http_conn_ops;
/** A complete 503 reply, for listener_options.refusal. */
struct slice http_refusal(void);
/** Whether text is a list of addresses and networks ("10.0.0.1, fd00::/8, loopback"). */
bool http_proxies_valid(const char *list);
struct http_server *http_server_new(const struct http_options *options);
void http_server_free(struct http_server *s);
/** From now on every reply carries "Connection: close" and idle connections are closed. Any thread.
 */
void http_server_drain(struct http_server *s);

const struct http_request *http_exchange_request(const struct http_exchange *x);
void *http_exchange_route_arg(const struct http_exchange *x);
void http_exchange_set_user(struct http_exchange *x, void *user);
void *http_exchange_user(const struct http_exchange *x);
struct arena *http_exchange_arena(struct http_exchange *x); /* freed with the exchange */
struct reactor *http_exchange_reactor(const struct http_exchange *x);
/** The client: conn_peer; where that is a trusted proxy, the last address of X-Forwarded-For that
 * is none. */
struct slice http_exchange_client(const struct http_exchange *x);
/** The correlation id of this exchange (reference/events-do.md 1.2), also sent as X-Correlation-ID.
 */
struct slice http_exchange_correlation_id(struct http_exchange *x);
/** The first header of that name, or an empty slice with data == NULL. *ret_count (may be NULL)
 * says how many there are. */
struct slice http_request_header(const struct http_request *r, const char *name, size_t *ret_count);
/** The value of a query parameter, percent-decoded into the arena; data == NULL when absent. */
struct slice http_request_query(const struct http_request *r, struct arena *a, const char *name);
/** The next query parameter, both percent-decoded into the arena. *at begins at 0; false behind the
 * last. */
bool http_request_query_next(const struct http_request *r, struct arena *a, size_t *at,
                             struct slice *ret_name, struct slice *ret_value);
/** Part `index` (from 0) of the path, between its slashes, percent-decoded into the arena: any
 * bytes, '/' and NUL included. ERR_INVALID_REQUEST where there is none, or for a '%' without two
 * hex digits. */
err_t http_request_path_part(const struct http_request *r, struct arena *a, unsigned index,
                             struct slice *ret_part) MUST_USE;

/** Adds a reply header; call before http_respond. Name and value are copied. */
void http_add_header(struct http_exchange *x, const char *name, const char *value);
/** Answers. The body is copied. content_type may be NULL when len is 0. Frees the exchange unless
 * it was aborted. Date, X-Correlation-ID and Content-Length are added. */
void http_respond(struct http_exchange *x, int status, const char *content_type, const void *body,
                  size_t len);
/** Adds Retry-After where what `code` says may pass by itself; http_respond_error does it. */
static inline void http_add_retry(struct http_exchange *x, err_t code)
{
    if (err_passes(code))
        http_add_header(x, "Retry-After", "1");
}
/** A JSON error body {"error":text,"code":CODE[,"details":details_json]} with the row's status. */
void http_respond_error(struct http_exchange *x, err_t code, const char *text,
                        const char *details_json);
/** A reply whose length is not known yet: its head, then pieces, then its end. False where no
 * pieces are wanted (HEAD, or aborted): finish it at once. HTTP/1.1 clients get chunks, others a
 * reply that ends with the connection. `data` is malloc'd and moved; a sender looks at
 * http_respond_unsent, or waits for on_drain, to hold memory within bounds. */
bool http_respond_start(struct http_exchange *x, int status, const char *content_type);
void http_respond_piece(struct http_exchange *x, char *data, size_t len);
/** Bytes of it that are still in memory here. */
size_t http_respond_unsent(const struct http_exchange *x);
/** Ends it; frees the exchange unless it was aborted. `complete` false: cuts the connection, so
 * that the client of HTTP/1.1 does not take what it has for the whole. */
void http_respond_finish(struct http_exchange *x, bool complete);
/** After on_abort: the handler has let go. */
void http_exchange_release(struct http_exchange *x);

#endif
