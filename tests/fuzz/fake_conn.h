/*
 * tests/fuzz/fake_conn.h: stands in for net/conn.c and net/reactor.c at link time, so that
 * net/http_*.c runs without sockets: output goes to a buffer, messages wait until they are run by
 * hand.
 */
#ifndef TESTS_FUZZ_FAKE_CONN_H
#define TESTS_FUZZ_FAKE_CONN_H

#include "base/buf.h"
#include "net/conn.h"

struct conn {
    void *user;
    struct buf output;
    unsigned deadline_ms;
    bool paused;
    bool finishing; /* conn_close_after_write was called */
    bool closed;
};

/** Runs the messages that have been posted, and those that they post. */
void fake_reactor_run(void);
struct reactor *fake_reactor(void);

#endif
