/*
 * webhooks/providers.h: one line per provider. Private to webhooks/.
 */
#ifndef WEBHOOKS_PROVIDERS_H
#define WEBHOOKS_PROVIDERS_H

#include "webhooks/webhook.h"

extern const struct webhook_provider webhook_github;
extern const struct webhook_provider webhook_stripe;

#endif
