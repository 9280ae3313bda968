/*
 * Cross-origin requests (https://fetch.spec.whatwg.org/#http-cors-protocol): which pages of other
 * sites may read a reply. Public routes tell every origin; others name the request's origin when it
 * is on the list of allowed ones, and no origin else. (The literal "null" is never sent: it would
 * admit sandboxed pages.)
 */
#include <string.h>

#include "net/http_priv.h"

#define APPEND(b, literal) buf_append((b), literal, sizeof(literal) - 1)

/* What pages of other sites may read beside the few headers that are always readable. */
#define EXPOSED                                                                                    \
    "Access-Control-Expose-Headers: X-Correlation-ID, X-Next-LSN, Retry-After, "                   \
    "X-RateLimit-Limit-Requests, X-RateLimit-Limit-Events, X-RateLimit-Remaining-Requests, "       \
    "X-RateLimit-Remaining-Events, X-RateLimit-Reset\r\n"

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.';
}

/* "https://app.example.com:8443" -> "app.example.com"; empty for anything but SCHEME://HOST[:PORT].
 */
static struct slice origin_host(struct slice origin)
{
    const char *end = origin.data + origin.len;
    const char *host = memmem(origin.data, origin.len, "://", 3);
    if (host == NULL)
        return (struct slice){0};
    host += 3;
    const char *stop = host;
    while (stop < end && is_host_char(*stop))
        stop++;
    return stop == end || *stop == ':' ? (struct slice){host, (size_t)(stop - host)}
                                       : (struct slice){0};
}

/* `entry` is a whole origin, "*.suffix" for the hosts below a domain, or "*". */
static bool entry_allows(struct slice entry, struct slice origin)
{
    if (slice_equal(entry, SLICE("*")) || slice_equal_nocase(entry, origin))
        return true;
    if (entry.len < 3 || entry.data[0] != '*' || entry.data[1] != '.')
        return false;
    struct slice suffix = {entry.data + 1, entry.len - 1};
    struct slice host = origin_host(origin);
    return host.len > suffix.len &&
           slice_equal_nocase((struct slice){host.data + host.len - suffix.len, suffix.len},
                              suffix);
}

static bool origin_allowed(const char *list, struct slice origin)
{
    static const char separators[] = ", \t";
    while (list != NULL && *list != '\0') {
        size_t len = strcspn(list, separators);
        if (len > 0 && entry_allows((struct slice){list, len}, origin))
            return true;
        list += len;
        list += strspn(list, separators);
    }
    return false;
}

void http_cors_append(struct buf *head, const struct http_exchange *x)
{
    if (x->cors == HTTP_CORS_ANY) {
        APPEND(head, "Access-Control-Allow-Origin: *\r\n" EXPOSED);
        return;
    }
    struct slice origin = http_request_header(&x->request, "origin", NULL);
    APPEND(head, "Vary: Origin\r\n");
    if (origin.len == 0 || !origin_allowed(x->worker->server->options.allowed_origins, origin))
        return;
    APPEND(head, "Access-Control-Allow-Origin: ");
    buf_append_slice(head, origin);
    APPEND(head, "\r\nAccess-Control-Allow-Credentials: true\r\n" EXPOSED);
}

void http_cors_preflight(struct http_exchange *x)
{
    if (x->cors != HTTP_CORS_NONE) {
        http_add_header(x, "Access-Control-Allow-Methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
        http_add_header(x, "Access-Control-Allow-Headers",
                        "Content-Type, Content-Encoding, Authorization, Idempotency-Key, "
                        "Last-Event-ID, X-Correlation-ID, X-Request-ID");
        http_add_header(x, "Access-Control-Max-Age", "86400");
    }
    http_respond(x, 200, NULL, NULL, 0);
}
