/*
 * cli/http_client.h: a small blocking HTTP/1.1 client for the command line: one keep-alive
 * connection, replies parsed by llhttp.
 *
 * Owner: one thread.
 */
#ifndef CLI_HTTP_CLIENT_H
#define CLI_HTTP_CLIENT_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"

struct http_client;

struct http_client_request {
    const char *method;
    const char *path;
    const char *content_type;    /* NULL: none */
    const char *token;           /* bearer token; NULL: none */
    const char *idempotency_key; /* NULL: none */
    bool patient;                /* the server may work for as long as it takes before it answers */
    struct slice body;
};

struct http_client_reply {
    int status;
    unsigned retry_after_s; /* 0: not said */
    struct buf body;        /* owned by the caller: buf_release */
};

/** `url` is http://host[:port][/]; nothing is sent yet. ERR_USAGE for another one. *ret_client is
 * owned. */
err_t http_client_new(const char *url, struct http_client **ret_client) MUST_USE;
/** NULL-safe. */
void http_client_free(struct http_client *c);
void http_client_free_ptr(struct http_client **c); /* for CLEANUP */
/** "host:port". Borrowed. */
const char *http_client_address(const struct http_client *c);

/** Sends and waits for the whole reply (60 s of silence at most, unless the request is patient).
 * ERR_UNAVAILABLE with a sentence when there is none: whether the server has acted on the request
 * is then unknown. Connects first where needed. */
err_t http_client_send(struct http_client *c, const struct http_client_request *request,
                       struct http_client_reply *reply) MUST_USE;

#endif
