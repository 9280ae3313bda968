/*
 * net/http_priv.h: the HTTP server's inside, shared by net/http_*.c.
 *
 * A connection (http_conn) parses one request at a time; each request is an exchange in the
 * connection's queue until its reply has been written. Replies leave in queue order.
 *
 * I1: `current` is the exchange whose request is being parsed, and the queue's tail; NULL between
 * requests. I2: an exchange is freed when it has been answered and its request is complete (or
 * given up), or, after an abort, when the handler releases it. I3: after phase HTTP_PHASE_OVER
 * nothing is parsed any more; the connection ends with the last reply.
 */
#ifndef NET_HTTP_PRIV_H
#define NET_HTTP_PRIV_H

#include <llhttp.h>
#include <stdatomic.h>
#include <time.h>

#include "base/buf.h"
#include "base/limits.h"
#include "net/http.h"

#define HTTP_WORKERS_MAX 64
#define HTTP_CORRELATION_MAX 64
#define HTTP_DATE_LEN 29

enum http_phase {
    HTTP_PHASE_IDLE, /* before the first byte of a request */
    HTTP_PHASE_HEAD, /* in the request line or the headers */
    HTTP_PHASE_BODY, /* in the body or the trailers */
    HTTP_PHASE_OVER,
};

/* What the connection's deadline is for. */
enum http_wait { HTTP_WAIT_NONE, HTTP_WAIT_FIRST, HTTP_WAIT_NEXT, HTTP_WAIT_HEAD, HTTP_WAIT_BODY };

struct http_exchange {
    struct http_exchange *next; /* in the connection's queue, or in the worker's pool */
    struct http_conn *hc;       /* NULL after an abort */
    struct http_worker *worker;
    const struct http_handler *handler; /* NULL until the handler has been told of the exchange */
    void *route_arg;
    void *user;
    struct http_request request;
    struct http_header *headers; /* in the arena; request.headers once complete */
    size_t headers_cap;
    char *text; /* in the arena: target, names and values back to back */
    size_t text_len;
    size_t text_cap;
    size_t target_len;
    uint64_t body_bytes;    /* received so far */
    uint64_t dropped_bytes; /* of them, after the reply was given */
    uint8_t http_minor;
    enum http_cors cors;
    bool head_only; /* HEAD */
    bool keep_alive;
    bool expect_continue;
    bool continue_sent;
    bool request_done;
    bool responded; /* at least the head was given */
    bool streaming; /* http_respond_start was called, http_respond_finish was not */
    bool chunked;   /* with streaming: HTTP/1.1 */
    bool written;
    bool close; /* the connection ends with this reply */
    bool aborted;
    uint8_t correlation_len;
    char correlation[HTTP_CORRELATION_MAX];
    struct buf extra; /* headers added by the handler, as they go out */
    struct buf reply; /* head and body, while earlier replies are still to come */
    struct arena arena;
};

struct http_conn {
    struct conn *c;
    struct http_server *server;
    struct http_worker *worker;
    llhttp_t parser;
    enum http_phase phase;
    enum http_wait wait;
    uint64_t serial;      /* requests begun */
    uint64_t wait_serial; /* the request that `wait` was set for */
    struct http_exchange *head;
    struct http_exchange *tail;
    unsigned count;
    struct http_exchange *current;
    /* The header that is being parsed. */
    bool header_open;
    bool value_open;
    bool value_below;       /* a line end was seen between its name and its value */
    const char *name_end;   /* from here to its value there may be blanks, but no line end */
    const char *value_end;  /* end of the last piece of a value */
    const char *feed_start; /* the bytes in the parser's hands */
    const char *feed_end;
    bool value_cut;        /* the last feed ended in the middle of a value */
    const char *msg_start; /* where in this feed the request line starts; NULL: before it */
    size_t head_bytes;     /* of the request line and headers (or trailers) so far */
    size_t raw_bytes;      /* of the request so far, as of the last feed that ended inside it */
    err_t fail;            /* why a callback stopped the parser */
    const char *fail_text;
    bool full;      /* LIMIT_HTTP_PIPELINE reached: `held` waits */
    bool eof_waits; /* the end of input comes behind `held` */
    bool resume_posted;
    bool closed; /* on_close was called; freed when the posted message has run */
    struct buf held;
    struct reactor_msg resume;
    struct http_conn *next; /* in worker->conns */
    struct http_conn *prev;
};

/** What belongs to one reactor. */
struct http_worker {
    struct http_server *server;
    _Atomic(struct reactor *) reactor; /* NULL until its first connection */
    struct reactor_turn_hook hook;
    struct reactor_msg drain;
    struct http_conn *conns;
    struct http_exchange *pool;
    unsigned pool_count;
    struct buf head; /* scratch for building replies */
    uint64_t rng;
    int64_t now_ms; /* of this turn; 0: not yet read */
    int64_t date_s; /* the second that `date` shows */
    char date[HTTP_DATE_LEN];
    int64_t requests; /* not yet in the metrics */
    int64_t bad_requests;
} __attribute__((aligned(64)));

struct http_row {
    const struct http_route *route;
    size_t path_len;
    uint64_t methods; /* bit per llhttp method */
};

/** A network: the first prefix_bits of an IPv6 (or mapped IPv4) address. */
struct http_proxy {
    uint8_t address[16];
    unsigned prefix_bits;
};
struct http_proxies {
    struct http_proxy *list; /* owned */
    size_t count;
};

struct http_server {
    struct http_options options;
    struct http_proxies proxies;
    struct http_row *rows; /* owned */
    _Atomic bool draining;
    struct http_worker workers[HTTP_WORKERS_MAX];
};

/* http_server.c */
struct http_worker *http_worker_of(struct http_server *s, struct reactor *r);
struct http_exchange *http_exchange_new(struct http_conn *hc);
void http_exchange_free(struct http_exchange *x);
/** Finds the exchange's row: sets handler and route_arg, or answers 404 or 405 and returns false.
 */
bool http_route_exchange(struct http_exchange *x, unsigned method);

/* http_proxy.c */
/** NULL: loopback. False for anything that is no address; what was read before stays in `p`. */
bool http_proxies_parse(const char *text, struct http_proxies *p);
void http_proxies_release(struct http_proxies *p);
struct slice http_proxies_client(const struct http_proxies *p, struct slice peer,
                                 const struct http_request *r);

/* http_conn.c */
void http_enqueue(struct http_conn *hc, struct http_exchange *x);
/** Gives up the exchanges behind x, whose reply will end the connection. */
void http_drop_behind(struct http_exchange *x);
/** Takes the exchange out of the queue and tells its handler that it will not be finished. */
void http_abort(struct http_exchange *x);
/** Writes what can be written, frees what is finished, looks after deadlines. */
void http_advance(struct http_conn *hc);

/* http_parse.c */
void http_parse_init(struct http_conn *hc);
void http_parse_feed(struct http_conn *hc, const char *data, size_t len);
/** Ends the input with an error reply in its place in the queue; `text` NULL: the row's. */
void http_parse_fail(struct http_conn *hc, err_t code, const char *text);

/* http_request.c */
/** Checks the complete headers and fills x->request. On failure returns the error and *ret_text. */
err_t http_request_complete(struct http_exchange *x, const char *method, uint8_t http_minor,
                            const char **ret_text);

/* http_respond.c */
/** Writes the head to the worker's scratch buffer. len HTTP_LEN_UNKNOWN: for a reply in pieces. */
#define HTTP_LEN_UNKNOWN SIZE_MAX
struct buf *http_build_head(struct http_exchange *x, int status, const char *content_type,
                            size_t len);
/** Sets x->close, and ends the input where the connection ends with this reply. */
void http_decide_close(struct http_exchange *x);

/* http_cors.c */
/** The headers of a reply of a route with CORS. */
void http_cors_append(struct buf *head, const struct http_exchange *x);
/** Answers an OPTIONS request. */
void http_cors_preflight(struct http_exchange *x);

/* http_stamp.c: what is different in each reply. */
void http_stamp_seed(struct http_worker *w);
struct slice http_stamp_date(struct http_worker *w);
/** Chooses the exchange's correlation id from its headers, or makes one. */
void http_stamp_correlation(struct http_exchange *x);

#endif
