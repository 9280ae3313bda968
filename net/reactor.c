#include "net/reactor.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "net/conn_priv.h"
#include "net/reactor_priv.h"

#define REACTORS_MAX 64

struct reactor_group {
    unsigned count;
    struct reactor **reactors; /* owned */
};

static __thread struct reactor *current_reactor;

static void run_inbox(struct reactor *r)
{
    struct reactor_msg *newest = atomic_exchange_explicit(&r->inbox, NULL, memory_order_acquire);
    struct reactor_msg *oldest = NULL;
    while (newest != NULL) {
        struct reactor_msg *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct reactor_msg *next = oldest->next; /* run may post or free the message */
        oldest->run(oldest);
        oldest = next;
    }
}

static bool has_messages(struct reactor *r)
{
    return atomic_load_explicit(&r->inbox, memory_order_relaxed) != NULL;
}

static void run_hooks(struct reactor *r)
{
    for (struct reactor_turn_hook *hook = r->hooks; hook != NULL; hook = hook->next)
        hook->run(hook);
}

/* Messages first (a commit that completed meanwhile is answered in this turn), then the hooks
 * (batches are sealed and on their way to the disk, or there already, which is a message again),
 * then the output, and the hooks for what the later messages let in. */
static void turn_end(struct reactor *r)
{
    r->gathering = false;
    uv_idle_stop(&r->again);
    run_inbox(r);
    run_hooks(r);
    bool more = has_messages(r);
    run_inbox(r);
    conn_flush_dirty(r);
    if (more)
        run_hooks(r);
    r->in_turn = false;
    if (has_messages(r) || r->dirty != NULL)
        uv_async_send(&r->wake);
}

static bool hooks_gather(struct reactor *r)
{
    bool gathers = false;
    for (struct reactor_turn_hook *hook = r->hooks; hook != NULL; hook = hook->next)
        gathers = (hook->gathers != NULL && hook->gathers(hook)) || gathers;
    return gathers;
}

static void on_again(uv_idle_t *again)
{
    (void)again; /* that it is active is what it is for */
}

static void on_check(uv_check_t *check)
{
    struct reactor *r = check->data;
    if (!r->in_turn)
        return;
    /* Output is not held back; and a connection that has some is flushed, and so off the list, in
     * the turn in which it closes, before libuv calls back and it is freed. */
    r->gathering = r->dirty == NULL && !r->cutting && hooks_gather(r);
    if (r->gathering)
        uv_idle_start(&r->again, on_again);
    else
        turn_end(r);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct reactor *r = prepare->data;
    if ((r->in_turn || r->dirty != NULL) && !r->gathering)
        turn_end(r);
}

static void on_wake(uv_async_t *wake)
{
    struct reactor *r = wake->data;
    reactor_turn_begin(r);
    run_inbox(r);
}

static void on_wheel_turn(struct wheel *w, bool begin)
{
    struct reactor *r = CONTAINER_OF(w, struct reactor, wheel);
    if (begin)
        reactor_turn_begin(r);
    else
        turn_end(r); /* timers run before polling, which may sleep: the turn ends here */
}

static void on_handle_closed(uv_handle_t *handle)
{
    (void)handle;
}

static void init_handles(struct reactor *r)
{
    uv_async_init(&r->loop, &r->wake, on_wake);
    uv_check_init(&r->loop, &r->check);
    uv_check_start(&r->check, on_check);
    uv_idle_init(&r->loop, &r->again);
    uv_prepare_init(&r->loop, &r->prepare);
    uv_prepare_start(&r->prepare, on_prepare);
    r->wake.data = r->check.data = r->prepare.data = r;
    wheel_init(&r->wheel, &r->loop);
    r->wheel.on_due = conn_on_due;
    r->wheel.on_turn = on_wheel_turn;
}

static void close_handles(struct reactor *r)
{
    uv_close((uv_handle_t *)&r->wake, on_handle_closed);
    uv_close((uv_handle_t *)&r->check, on_handle_closed);
    uv_close((uv_handle_t *)&r->again, on_handle_closed);
    uv_close((uv_handle_t *)&r->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&r->wheel.timer, on_handle_closed);
    uv_run(&r->loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&r->loop);
    ASSERT(rc == 0); /* every handle that others put on the loop must be closed by now */
}

/* The loop is made, run and closed by this thread only: a libuv that uses io_uring ties its rings
 * to the threads that touched them, and closing one interrupts the system calls of all these. */
static void *reactor_main(void *arg)
{
    struct reactor *r = arg;
    current_reactor = r;
    r->start_error = uv_loop_init(&r->loop);
    if (r->start_error == 0)
        init_handles(r);
    bool run = r->start_error == 0;
    uv_sem_post(&r->started);
    if (!run)
        return NULL;
    do
        uv_run(&r->loop, UV_RUN_DEFAULT);
    while (!r->stopping);
    close_handles(r);
    return NULL;
}

static void reactor_free(struct reactor *r)
{
    out_pool_release(&r->out_pool);
    uv_sem_destroy(&r->started);
    free(r->recv_buf);
    free(r);
}

/* Signals belong to the main thread; with SIGPIPE blocked too, sendfile reports EPIPE. */
static int start_thread(struct reactor *r)
{
    sigset_t all;
    sigset_t old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int rc = pthread_create(&r->thread, NULL, reactor_main, r);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0) {
        char name[16] = "reactor-";
        name[8] = (char)('0' + r->index / 10);
        name[9] = (char)('0' + r->index % 10);
        pthread_setname_np(r->thread, name);
    }
    return rc;
}

static err_t reactor_start(unsigned index, struct reactor **ret_reactor)
{
    struct reactor *r = xcalloc(1, sizeof(*r));
    r->index = index;
    r->recv_buf = xmalloc(REACTOR_RECV_BYTES);
    int rc = uv_sem_init(&r->started, 0);
    ASSERT(rc == 0);
    rc = start_thread(r);
    if (rc != 0) {
        reactor_free(r);
        return err_fail(ERR_IO, "cannot start a reactor thread: %s", uv_strerror(-rc));
    }
    uv_sem_wait(&r->started);
    if (r->start_error != 0) {
        rc = r->start_error;
        pthread_join(r->thread, NULL);
        reactor_free(r);
        return err_fail(ERR_IO, "cannot make an event loop: %s", uv_strerror(rc));
    }
    *ret_reactor = r;
    return OK;
}

err_t reactor_group_start(unsigned count, struct reactor_group **ret_group)
{
    ASSERT(count >= 1 && count <= REACTORS_MAX);
    struct reactor_group *group = xcalloc(1, sizeof(*group));
    group->reactors = xcalloc(count, sizeof(struct reactor *));
    for (unsigned i = 0; i < count; i++) {
        err_t err = reactor_start(i, &group->reactors[i]);
        if (err != OK) {
            reactor_group_stop(group);
            return err;
        }
        group->count++;
    }
    *ret_group = group;
    return OK;
}

struct reactor *reactor_group_get(struct reactor_group *group, unsigned index)
{
    ASSERT(index < group->count);
    return group->reactors[index];
}

unsigned reactor_group_count(const struct reactor_group *group)
{
    return group->count;
}

static void stop_loop(struct reactor *r, void *arg)
{
    (void)arg;
    r->stopping = true;
    uv_stop(&r->loop);
}

void reactor_group_stop(struct reactor_group *group)
{
    if (group == NULL)
        return;
    for (unsigned i = 0; i < group->count; i++)
        reactor_call(group->reactors[i], stop_loop, NULL);
    for (unsigned i = 0; i < group->count; i++) {
        pthread_join(group->reactors[i]->thread, NULL);
        reactor_free(group->reactors[i]);
    }
    free(group->reactors);
    free(group);
}

unsigned reactor_index(const struct reactor *r)
{
    return r->index;
}

struct uv_loop_s *reactor_loop(struct reactor *r)
{
    return &r->loop;
}

bool reactor_is_current(const struct reactor *r)
{
    return r == current_reactor;
}

void reactor_post(struct reactor *r, struct reactor_msg *msg)
{
    struct reactor_msg *head = atomic_load_explicit(&r->inbox, memory_order_relaxed);
    do
        msg->next = head;
    while (!atomic_compare_exchange_weak_explicit(&r->inbox, &head, msg, memory_order_release,
                                                  memory_order_relaxed));
    /* The one that found the inbox empty wakes; on the reactor's own thread the end of the turn
     * looks. */
    if (head == NULL && !(r == current_reactor && r->in_turn))
        uv_async_send(&r->wake);
}

void reactor_add_turn_hook(struct reactor *r, struct reactor_turn_hook *hook)
{
    struct reactor_turn_hook **end = &r->hooks;
    while (*end != NULL)
        end = &(*end)->next;
    hook->next = NULL;
    *end = hook;
}

struct call {
    struct reactor_msg msg;
    struct reactor *reactor;
    void (*run)(struct reactor *r, void *arg);
    void *arg;
    uv_sem_t done;
};

static void run_call(struct reactor_msg *msg)
{
    struct call *call = CONTAINER_OF(msg, struct call, msg);
    call->run(call->reactor, call->arg);
    uv_sem_post(&call->done);
}

void reactor_call(struct reactor *r, void (*run)(struct reactor *r, void *arg), void *arg)
{
    ASSERT(!reactor_is_current(r));
    struct call call = {.msg.run = run_call, .reactor = r, .run = run, .arg = arg};
    int rc = uv_sem_init(&call.done, 0);
    ASSERT(rc == 0);
    reactor_post(r, &call.msg);
    uv_sem_wait(&call.done);
    uv_sem_destroy(&call.done);
}
