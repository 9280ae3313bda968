/*
 * tests/unit/net/server.h: a real server on a loopback port for the tests of net/, and a blocking
 * client.
 *
 * Routes: POST /echo answers with the body it got (and its pieces' count in X-Pieces); GET /hold
 * answers when the test calls server_release with its ?id=; GET /query tells its parameter `name`;
 * GET /hang is only ever aborted; POST /refuse answers 401 before the body; GET /big sends 32 MiB;
 * /ok answers at once; GET /client tells who asks; GET /stream?n=N sends N pieces of 100,000 bytes,
 * one after the other has left, and with &cut=1 then breaks off; GET /parts/@/x/@ tells the two
 * parts; /public and /private are like /ok, with CORS.
 */
#ifndef TESTS_UNIT_NET_SERVER_H
#define TESTS_UNIT_NET_SERVER_H

#include <pthread.h>

#include "net/http.h"
#include "net/reactor.h"

#define HELD_MAX 256
#define SERVER_ROUTES 13

struct test_server {
    struct reactor_group *group;
    struct listener *listener;
    struct http_server *http;
    struct http_route routes[SERVER_ROUTES];
    int port;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct http_exchange *held[HELD_MAX]; /* by ?id= */
    bool held_aborted[HELD_MAX];
    unsigned held_count;
    unsigned aborts;
};

struct test_server_options {
    unsigned reactors;
    unsigned max_connections;
    unsigned header_ms;
    unsigned body_idle_ms;
    unsigned keepalive_ms;
    unsigned write_stall_ms;
    size_t header_bytes_max;
    const struct http_route *routes; /* NULL: those above */
    size_t route_count;
};
/** Zero fields get defaults. */
void server_start(struct test_server *s, const struct test_server_options *options);
/** Closes the port and all connections; the reactors go on until server_stop. */
void server_close(struct test_server *s);
void server_stop(struct test_server *s);
/** The server that most tests use, with defaults, and what cmocka starts and stops it with. */
extern struct test_server server;
int server_set_up(void **state);
int server_tear_down(void **state);
/** Waits until `count` exchanges have been held in all. */
void server_wait_held(struct test_server *s, unsigned count);
void server_wait_aborts(struct test_server *s, unsigned count);
/** Waits until no more than `count` connections are open. */
void server_wait_connections(struct test_server *s, unsigned count);
/** Answers the held exchange `id` with its id as body, on its reactor's thread, and waits for that.
 */
void server_release(struct test_server *s, unsigned id);

/* A client socket. Each call fails the test when the peer does otherwise. */
int client_open(const struct test_server *s);
void client_send(int fd, const char *text);
void client_send_bytes(int fd, const void *data, size_t len);
void client_printf(int fd, const char *fmt, ...) PRINTF_LIKE(2, 3);
/** Reads one reply and compares; body NULL: any. */
void client_expect(int fd, int status, const char *body);
/** Closes with a reset. */
void client_reset(int fd);
/** Reads one reply with its body (Content-Length). Returns malloc'd text of head and body, NULL at
 * end of file. *ret_status (may be NULL) gets the status. */
char *client_reply(int fd, int *ret_status);
/** The reply to a HEAD request: no body follows. */
char *client_head_reply(int fd, int *ret_status);
/** Everything until end of file. */
char *client_rest(int fd, size_t *ret_len);
/** Body within a reply's text. */
const char *reply_body(const char *reply);

#endif
