/*
 * access/rate_reply.h: what a limited route's reply says about the limits. The reactor's thread.
 */
#ifndef ACCESS_RATE_REPLY_H
#define ACCESS_RATE_REPLY_H

#include "access/access.h"
#include "net/http.h"

/** Adds the headers X-RateLimit-*; none where there are no limits. */
void rate_add_headers(struct http_exchange *x, const struct rate_verdict *v);
/** Answers 429; rate_add_headers comes before. */
void rate_refuse(struct http_exchange *x, const struct rate_verdict *v);

#endif
