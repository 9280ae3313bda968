/*
 * Trusted proxies: whose X-Forwarded-For is believed. Each proxy appends the address that it was
 * called from, so the header is read from its end: the first address that is no trusted proxy is
 * the client, and what stands before it is only what that client says.
 *
 * Addresses are compared as IPv6; an IPv4 one is mapped (RFC 4291 section 2.5.5.2).
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "net/http_priv.h"

#define DEFAULT_PROXIES "loopback"
#define V4_PREFIX_BITS 96
#define SEPARATORS ", \t"

static const uint8_t v4_prefix[V4_PREFIX_BITS / 8] = {[10] = 0xff, [11] = 0xff};

/** An address with or without a port ("1.2.3.4:80", "[::1]:80") as 16 bytes. */
static bool parse_address(struct slice text, uint8_t out[16], bool *ret_v4)
{
    char copy[INET6_ADDRSTRLEN + 1];
    if (text.len > 0 && text.data[0] == '[') {
        const char *end = memchr(text.data, ']', text.len);
        if (end == NULL)
            return false;
        text = (struct slice){text.data + 1, (size_t)(end - text.data - 1)};
    } else {
        const char *colon = memchr(text.data, ':', text.len);
        if (colon != NULL && memrchr(text.data, ':', text.len) == colon)
            text.len = (size_t)(colon - text.data);
    }
    if (text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    memcpy(out, v4_prefix, sizeof(v4_prefix));
    *ret_v4 = inet_pton(AF_INET, copy, out + sizeof(v4_prefix)) == 1;
    return *ret_v4 || inet_pton(AF_INET6, copy, out) == 1;
}

/** "10.0.0.0/8", "fd00::1". */
static bool parse_entry(struct slice text, struct http_proxy *ret_proxy)
{
    const char *slash = memchr(text.data, '/', text.len);
    struct slice address = text;
    if (slash != NULL)
        address.len = (size_t)(slash - text.data);
    bool v4;
    if (!parse_address(address, ret_proxy->address, &v4))
        return false;
    unsigned bits_max = v4 ? 32 : 128;
    unsigned bits = bits_max;
    if (slash != NULL) {
        const char *digit = slash + 1;
        const char *end = text.data + text.len;
        bits = 0;
        if (digit == end || end - digit > 3)
            return false;
        for (; digit < end; digit++) {
            if (*digit < '0' || *digit > '9')
                return false;
            bits = bits * 10 + (unsigned)(*digit - '0');
        }
    }
    ret_proxy->prefix_bits = v4 ? bits + V4_PREFIX_BITS : bits;
    return bits <= bits_max;
}

static void add_proxy(struct http_proxies *p, struct http_proxy proxy)
{
    p->list = xrealloc(p->list, (p->count + 1) * sizeof(*p->list));
    p->list[p->count++] = proxy;
}

bool http_proxies_parse(const char *text, struct http_proxies *p)
{
    if (text == NULL)
        text = DEFAULT_PROXIES;
    bool good = true;
    for (text += strspn(text, SEPARATORS); good && *text != '\0';
         text += strspn(text, SEPARATORS)) {
        struct slice entry = {text, strcspn(text, SEPARATORS)};
        struct http_proxy proxy;
        if (slice_equal_nocase(entry, SLICE("loopback"))) {
            good = parse_entry(SLICE("127.0.0.0/8"), &proxy);
            add_proxy(p, proxy);
            entry.data = "::1";
            entry.len = 3;
        }
        good = good && parse_entry(entry, &proxy);
        if (good)
            add_proxy(p, proxy);
        text += strcspn(text, SEPARATORS);
    }
    return good;
}

void http_proxies_release(struct http_proxies *p)
{
    free(p->list);
    *p = (struct http_proxies){0};
}

bool http_proxies_valid(const char *list)
{
    struct http_proxies p = {0};
    bool good = http_proxies_parse(list, &p);
    http_proxies_release(&p);
    return good;
}

static bool prefix_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    if (memcmp(a, b, bits / 8) != 0)
        return false;
    unsigned rest = bits % 8;
    return rest == 0 || (a[bits / 8] ^ b[bits / 8]) >> (8 - rest) == 0;
}

static bool is_trusted(const struct http_proxies *p, struct slice address)
{
    uint8_t bytes[16];
    bool v4;
    if (!parse_address(address, bytes, &v4))
        return false;
    for (size_t i = 0; i < p->count; i++)
        if (prefix_equal(bytes, p->list[i].address, p->list[i].prefix_bits))
            return true;
    return false;
}

/** Takes the last element of a comma-separated list off its end. */
static struct slice take_last(struct slice *list)
{
    const char *comma = list->len > 0 ? memrchr(list->data, ',', list->len) : NULL;
    const char *start = comma != NULL ? comma + 1 : list->data;
    const char *end = list->data + list->len;
    list->len = comma != NULL ? (size_t)(comma - list->data) : 0;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return (struct slice){start, (size_t)(end - start)};
}

struct slice http_proxies_client(const struct http_proxies *p, struct slice peer,
                                 const struct http_request *r)
{
    struct slice client = peer;
    /* Several header lines are one list; the last line is its end. */
    for (size_t i = r->header_count; i > 0; i--) {
        struct slice list = r->headers[i - 1].value;
        if (!slice_equal_nocase(r->headers[i - 1].name, SLICE("x-forwarded-for")))
            continue;
        while (list.len > 0) {
            if (!is_trusted(p, client))
                return client;
            struct slice next = take_last(&list);
            if (next.len > 0)
                client = next;
        }
    }
    return client;
}
