/*
 * tests/unit/ingest/fake_http.h: net/http.h and net/reactor.h without sockets and threads, so that
 * a test sees each step of a door: a request's head, pieces of its body and its end are given one
 * by one, messages run when the test says. Linked instead of the net library.
 *
 * An exchange's memory is freed when it is answered or released, as net/ does, so that a door which
 * still uses it is caught; what it was answered stays readable until fake_http_free.
 */
#ifndef TESTS_UNIT_INGEST_FAKE_HTTP_H
#define TESTS_UNIT_INGEST_FAKE_HTTP_H

#include "base/buf.h"
#include "net/http.h"
#include "net/reactor.h"

struct fake_request;

struct reactor_group *fake_reactors_new(void);
void fake_reactors_free(struct reactor_group *g);
/** Runs posted messages, then the hooks of the turn; returns how many messages ran. */
unsigned fake_reactors_turn(struct reactor_group *g);

/** A request's head. `headers` is "Name: value" lines, each ended by '\n'; content_length -1 is
 * chunked. The route must exist. Owned: fake_http_free. */
struct fake_request *fake_http_begin(struct reactor_group *g, const struct http_route *routes,
                                     size_t route_count, const char *target, const char *headers,
                                     int64_t content_length);
/** A piece, the end, or a client that goes away. Dropped once the request was answered. */
void fake_http_body(struct fake_request *q, const void *data, size_t len);
void fake_http_end(struct fake_request *q);
void fake_http_abort(struct fake_request *q);

/** 0: not answered yet. */
int fake_http_status(const struct fake_request *q);
/** "" until answered. */
const char *fake_http_reply(const struct fake_request *q);
/** The value of a reply header, or NULL. Borrowed until the next call. */
const char *fake_http_header(struct fake_request *q, const char *name);
/** The door has let go of an aborted exchange. */
bool fake_http_released(const struct fake_request *q);
/** It must have been answered or released. */
void fake_http_free(struct fake_request *q);

#endif
