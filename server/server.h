/*
 * server/server.h: a running server, from its settings to its end.
 */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/base.h"
#include "base/err.h"
#include "server/config.h"

/** Opens the data directory, starts everything, prints the `ready` line on standard output, and
 * waits for SIGTERM or SIGINT; then drains and closes. OK after a clean stop; otherwise a sentence
 * and ERR_INVALID_CONFIG or ERR_USAGE (a bad setting) or another code (it cannot run here). Main
 * thread; takes over the process's signals. */
err_t server_run(const struct config *config) MUST_USE;

#endif
