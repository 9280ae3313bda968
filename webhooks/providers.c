/*
 * The providers, in the order in which they are listed to users. A new one is a file, a line in
 * providers.h and a line here.
 */
#include "webhooks/providers.h"

#include <string.h>

const struct webhook_provider *const webhook_providers[] = {
    &webhook_github,
    &webhook_stripe,
    NULL,
};

const struct webhook_provider *webhook_provider_find(struct slice name)
{
    for (size_t i = 0; webhook_providers[i] != NULL; i++) {
        if (slice_equal(name, slice_of(webhook_providers[i]->name)))
            return webhook_providers[i];
    }
    return NULL;
}

static bool is_event_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static size_t put(char *out, size_t at, const char *text, size_t len)
{
    size_t take = MIN(len, WEBHOOK_EVENT_NAME_MAX - at);
    memcpy(out + at, text, take);
    return at + take;
}

size_t webhook_event_name(const struct webhook_provider *p, const struct webhook_text *kind,
                          char out[WEBHOOK_EVENT_NAME_MAX])
{
    size_t at = put(out, 0, "webhook.", 8);
    at = put(out, at, p->name, strlen(p->name));
    at = put(out, at, ".", 1);
    size_t start = at;
    at = kind->len == 0 ? put(out, at, "unknown", 7) : put(out, at, kind->data, kind->len);
    for (size_t i = start; i < at; i++) {
        if (!is_event_name_char(out[i]))
            out[i] = '_';
    }
    return at;
}
