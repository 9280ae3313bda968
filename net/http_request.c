/*
 * What a request means: the checks that RFC 9112 asks for beyond the grammar (Host, framing,
 * Expect), the parts of its target, and the accessors that handlers use.
 */
#include <string.h>

#include "net/http_priv.h"

/* Checks -------------------------------------------------------------------------------------- */

struct framing {
    size_t hosts;
    size_t lengths;
    size_t codings;
    bool expect_other;
};

static bool is_name(const struct http_header *h, struct slice name)
{
    return slice_equal_nocase(h->name, name);
}

/* Looks only at the names that matter here; the length decides most. */
static void scan_headers(struct http_exchange *x, struct framing *f)
{
    struct http_request *r = &x->request;
    for (size_t i = 0; i < r->header_count; i++) {
        const struct http_header *h = &r->headers[i];
        switch (h->name.len) {
        case 4:
            if (is_name(h, SLICE("host")) && f->hosts++ == 0)
                r->host = h->value;
            break;
        case 6:
            if (!is_name(h, SLICE("expect")))
                break;
            if (slice_equal_nocase(h->value, SLICE("100-continue")))
                x->expect_continue = x->http_minor > 0;
            else
                f->expect_other = true;
            break;
        case 14:
            if (is_name(h, SLICE("content-length")))
                f->lengths++;
            break;
        case 17:
            if (is_name(h, SLICE("transfer-encoding"))) {
                f->codings++;
                if (!slice_equal_nocase(h->value, SLICE("chunked")))
                    f->codings++; /* not the one coding that is understood */
            }
            break;
        default:
            break;
        }
    }
}

/* What could make two servers on the way see different requests is refused (RFC 9112 section 6.3).
 */
static err_t check_framing(struct http_exchange *x, const struct framing *f, const char **ret_text)
{
    if (f->codings > 0 && f->lengths > 0)
        *ret_text = "Content-Length and Transfer-Encoding must not both be given";
    else if (f->lengths > 1)
        *ret_text = "Content-Length is given more than once";
    else if (f->codings > 1)
        *ret_text = "Transfer-Encoding must be exactly 'chunked'";
    else if (f->codings > 0 && x->http_minor == 0)
        *ret_text = "Transfer-Encoding is not part of HTTP/1.0";
    else if (x->http_minor > 0 && f->hosts == 0)
        *ret_text = "Host header is missing";
    else if (f->hosts > 1)
        *ret_text = "Host header is given more than once";
    else
        return OK;
    return ERR_INVALID_REQUEST;
}

/* Content-Length's digits were checked by llhttp; the value is taken here, where its overflow
 * shows. */
static err_t read_length(struct http_exchange *x, bool chunked, const char **ret_text)
{
    struct http_request *r = &x->request;
    r->content_length = chunked ? -1 : 0;
    r->has_body = chunked;
    struct slice text = http_request_header(r, "content-length", NULL);
    if (text.data == NULL) {
        if (!chunked)
            r->content_length = -1;
        return OK;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9' || r->content_length > INT64_MAX / 10 - 10) {
            *ret_text = "Content-Length is not a number";
            return ERR_INVALID_REQUEST;
        }
        r->content_length = r->content_length * 10 + (text.data[i] - '0');
    }
    r->has_body = r->content_length > 0;
    return OK;
}

/* origin-form, absolute-form, or "*" for OPTIONS (RFC 9112 section 3.2). */
static err_t split_target(struct http_request *r, const char **ret_text)
{
    struct slice rest = r->target;
    static const struct slice scheme = SLICE("http://");
    static const struct slice tls_scheme = SLICE("https://");
    size_t skip = 0;
    if (rest.len > scheme.len && strncasecmp(rest.data, scheme.data, scheme.len) == 0)
        skip = scheme.len;
    else if (rest.len > tls_scheme.len &&
             strncasecmp(rest.data, tls_scheme.data, tls_scheme.len) == 0)
        skip = tls_scheme.len;
    if (skip > 0) {
        const char *start = rest.data + skip;
        size_t left = rest.len - skip;
        size_t authority = 0;
        while (authority < left && start[authority] != '/' && start[authority] != '?')
            authority++;
        r->host = (struct slice){start, authority};
        rest = (struct slice){start + authority, left - authority};
        if (rest.len == 0 || rest.data[0] != '/') {
            *ret_text = "the request target has no path";
            return ERR_INVALID_REQUEST;
        }
    } else if (!(slice_equal(rest, SLICE("*")) && slice_equal(r->method, SLICE("OPTIONS"))) &&
               (rest.len == 0 || rest.data[0] != '/')) {
        *ret_text = "the request target must start with '/'";
        return ERR_INVALID_REQUEST;
    }
    if (memchr(rest.data, '#', rest.len) != NULL) {
        *ret_text = "the request target must not hold '#'";
        return ERR_INVALID_REQUEST;
    }
    const char *mark = memchr(rest.data, '?', rest.len);
    r->path = (struct slice){rest.data, mark == NULL ? rest.len : (size_t)(mark - rest.data)};
    r->query = mark == NULL ? (struct slice){rest.data + rest.len, 0}
                            : (struct slice){mark + 1, rest.len - r->path.len - 1};
    return OK;
}

err_t http_request_complete(struct http_exchange *x, const char *method, uint8_t http_minor,
                            const char **ret_text)
{
    struct http_request *r = &x->request;
    struct framing framing = {0};
    r->method = slice_of(method);
    r->target = (struct slice){x->text, x->target_len};
    r->headers = x->headers;
    x->http_minor = http_minor;
    x->head_only = slice_equal(r->method, SLICE("HEAD"));
    scan_headers(x, &framing);
    http_stamp_correlation(x);
    TRY(check_framing(x, &framing, ret_text));
    TRY(read_length(x, framing.codings > 0, ret_text));
    TRY(split_target(r, ret_text));
    if (framing.expect_other)
        return ERR_EXPECTATION_FAILED;
    return OK;
}

/* Accessors ----------------------------------------------------------------------------------- */

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
    return &x->request;
}

void *http_exchange_route_arg(const struct http_exchange *x)
{
    return x->route_arg;
}

void http_exchange_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_exchange_user(const struct http_exchange *x)
{
    return x->user;
}

struct arena *http_exchange_arena(struct http_exchange *x)
{
    return &x->arena;
}

struct reactor *http_exchange_reactor(const struct http_exchange *x)
{
    return atomic_load_explicit(&x->worker->reactor, memory_order_relaxed);
}

struct slice http_exchange_correlation_id(struct http_exchange *x)
{
    return (struct slice){x->correlation, x->correlation_len};
}

struct slice http_exchange_client(const struct http_exchange *x)
{
    struct slice peer = {0};
    if (x->hc == NULL)
        return peer;
    peer = slice_of(conn_peer(x->hc->c));
    return http_proxies_client(&x->worker->server->proxies, peer, &x->request);
}

struct slice http_request_header(const struct http_request *r, const char *name, size_t *ret_count)
{
    struct slice wanted = slice_of(name);
    struct slice found = {0};
    size_t count = 0;
    for (size_t i = 0; i < r->header_count; i++) {
        if (!slice_equal_nocase(r->headers[i].name, wanted))
            continue;
        if (count++ == 0)
            found = r->headers[i].value;
        if (ret_count == NULL)
            break;
    }
    if (ret_count != NULL)
        *ret_count = count;
    return found;
}

/* RFC 3986 section 2.1. */
static err_t decode_part(struct arena *a, struct slice text, struct slice *ret_part)
{
    char *out = arena_alloc(a, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            int high = text.len - i > 2 ? hex_digit(text.data[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(text.data[i + 2]) : -1;
            if (low < 0)
                return err_fail(ERR_INVALID_REQUEST,
                                "the path has a '%%' without two hex digits behind it");
            c = (char)(high * 16 + low);
            i += 2;
        }
        out[len++] = c;
    }
    out[len] = '\0';
    *ret_part = (struct slice){out, len};
    return OK;
}

err_t http_request_path_part(const struct http_request *r, struct arena *a, unsigned index,
                             struct slice *ret_part)
{
    const char *at = r->path.data;
    const char *end = at + r->path.len;
    for (unsigned i = 0; at < end; i++) {
        const char *part = at + 1; /* behind the slash */
        const char *slash = memchr(part, '/', (size_t)(end - part));
        at = slash == NULL ? end : slash;
        if (i == index)
            return decode_part(a, (struct slice){part, (size_t)(at - part)}, ret_part);
    }
    return err_fail(ERR_INVALID_REQUEST, "the path has no part %u", index + 1);
}

/* application/x-www-form-urlencoded: '+' is a blank; a '%' without two digits stands for itself. */
static struct slice percent_decode(struct arena *a, struct slice text)
{
    char *out = arena_alloc(a, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%' && text.len - i > 2 && hex_digit(text.data[i + 1]) >= 0 &&
            hex_digit(text.data[i + 2]) >= 0) {
            c = (char)(hex_digit(text.data[i + 1]) * 16 + hex_digit(text.data[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        out[len++] = c;
    }
    out[len] = '\0';
    return (struct slice){out, len};
}

bool http_request_query_next(const struct http_request *r, struct arena *a, size_t *at,
                             struct slice *ret_name, struct slice *ret_value)
{
    if (*at >= r->query.len)
        return false;
    const char *start = r->query.data + *at;
    const char *end = r->query.data + r->query.len;
    const char *amp = memchr(start, '&', (size_t)(end - start));
    const char *stop = amp == NULL ? end : amp;
    const char *equals = memchr(start, '=', (size_t)(stop - start));
    const char *name_end = equals == NULL ? stop : equals;
    const char *value = equals == NULL ? stop : equals + 1;
    *ret_name = percent_decode(a, (struct slice){start, (size_t)(name_end - start)});
    *ret_value = percent_decode(a, (struct slice){value, (size_t)(stop - value)});
    *at = (size_t)(stop - r->query.data) + (amp != NULL);
    return true;
}

struct slice http_request_query(const struct http_request *r, struct arena *a, const char *name)
{
    struct slice wanted = slice_of(name);
    struct slice key, value;
    size_t at = 0;
    while (http_request_query_next(r, a, &at, &key, &value))
        if (slice_equal(key, wanted))
            return value;
    return (struct slice){0};
}
