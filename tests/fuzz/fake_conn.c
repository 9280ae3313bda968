#include "fake_conn.h"

#include <stdlib.h>

struct reactor {
    struct reactor_msg *inbox;
    struct reactor_turn_hook *hook;
};

static struct reactor the_reactor;

struct reactor *fake_reactor(void)
{
    return &the_reactor;
}

void fake_reactor_run(void)
{
    while (the_reactor.inbox != NULL) {
        struct reactor_msg *msg = the_reactor.inbox;
        the_reactor.inbox = msg->next;
        msg->run(msg);
    }
    if (the_reactor.hook != NULL)
        the_reactor.hook->run(the_reactor.hook);
}

unsigned reactor_index(const struct reactor *r)
{
    (void)r;
    return 0;
}

void reactor_post(struct reactor *r, struct reactor_msg *msg)
{
    struct reactor_msg **end = &r->inbox;
    while (*end != NULL)
        end = &(*end)->next;
    msg->next = NULL;
    *end = msg;
}

void reactor_add_turn_hook(struct reactor *r, struct reactor_turn_hook *hook)
{
    r->hook = hook;
}

void conn_set_user(struct conn *c, void *user)
{
    c->user = user;
}

void *conn_user(const struct conn *c)
{
    return c->user;
}

struct reactor *conn_reactor(const struct conn *c)
{
    (void)c;
    return &the_reactor;
}

const char *conn_peer(const struct conn *c)
{
    (void)c;
    return "127.0.0.1";
}

void conn_write_owned(struct conn *c, char *data, size_t len)
{
    conn_write(c, data, len);
    free(data);
}

void conn_write(struct conn *c, const void *data, size_t len)
{
    if (!c->finishing && !c->closed)
        buf_append(&c->output, data, len);
}

size_t conn_output_bytes(const struct conn *c)
{
    (void)c;
    return 0; /* this peer takes everything at once */
}

void conn_pause_read(struct conn *c)
{
    c->paused = true;
}

void conn_resume_read(struct conn *c)
{
    c->paused = false;
}

void conn_set_deadline(struct conn *c, unsigned ms)
{
    c->deadline_ms = ms;
}

void conn_close(struct conn *c)
{
    c->closed = true;
}

void conn_close_after_write(struct conn *c)
{
    c->finishing = true;
}
