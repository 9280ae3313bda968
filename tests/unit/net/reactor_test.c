/* Reactors: messages, turn hooks, and the wheel of deadlines. */
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "net/reactor.h"
#include "net/wheel.h"
#include "tests/test.h"

static struct reactor_group *group;

static int set_up(void **state)
{
    (void)state;
    assert_ok(reactor_group_start(2, &group));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    reactor_group_stop(group);
    return 0;
}

/* Messages ------------------------------------------------------------------------------------ */

struct note {
    struct reactor_msg msg;
    struct sequence *sequence;
    int value;
};

struct sequence {
    sem_t done;
    int count;
    int wanted;
    int last;
    bool in_order;
    bool on_thread;
};

static void sequence_init(struct sequence *s, int wanted)
{
    *s = (struct sequence){.wanted = wanted, .last = -1, .in_order = true, .on_thread = true};
    sem_init(&s->done, 0, 0);
}

static void run_note(struct reactor_msg *msg)
{
    struct note *n = CONTAINER_OF(msg, struct note, msg);
    struct sequence *s = n->sequence;
    s->in_order = s->in_order && n->value > s->last;
    s->on_thread = s->on_thread && reactor_is_current(reactor_group_get(group, 0));
    s->last = n->value;
    if (++s->count == s->wanted)
        sem_post(&s->done);
}

static void messages_of_a_thread_keep_their_order(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    static struct note notes[COUNT];
    struct sequence sequence;
    sequence_init(&sequence, COUNT);
    for (int i = 0; i < COUNT; i++) {
        notes[i] = (struct note){{.run = run_note}, &sequence, i};
        reactor_post(reactor_group_get(group, 0), &notes[i].msg);
    }
    sem_wait(&sequence.done);
    assert_true(sequence.in_order);
    assert_true(sequence.on_thread);
    assert_false(reactor_is_current(reactor_group_get(group, 0)));
}

enum { POSTERS = 4, POSTS = 5000 };

struct poster {
    pthread_t thread;
    struct note notes[POSTS];
};

static void *post_all(void *arg)
{
    struct poster *p = arg;
    for (int i = 0; i < POSTS; i++)
        reactor_post(reactor_group_get(group, 0), &p->notes[i].msg);
    return NULL;
}

static void messages_of_many_threads_all_arrive(void **state)
{
    (void)state;
    struct sequence sequence;
    sequence_init(&sequence, POSTERS * POSTS);
    struct poster *posters = xcalloc(POSTERS, sizeof(*posters));
    for (int t = 0; t < POSTERS; t++)
        for (int i = 0; i < POSTS; i++)
            posters[t].notes[i] = (struct note){{.run = run_note}, &sequence, i};
    for (int t = 0; t < POSTERS; t++)
        pthread_create(&posters[t].thread, NULL, post_all, &posters[t]);
    sem_wait(&sequence.done);
    for (int t = 0; t < POSTERS; t++)
        pthread_join(posters[t].thread, NULL);
    assert_int_equal(sequence.count, POSTERS * POSTS);
    free(posters);
}

struct ping {
    struct reactor_msg msg;
    sem_t done;
    int left;
};

/* Back and forth between two reactors, then again to itself. */
static void run_ping(struct reactor_msg *msg)
{
    struct ping *p = CONTAINER_OF(msg, struct ping, msg);
    if (p->left-- == 0)
        sem_post(&p->done);
    else
        reactor_post(reactor_group_get(group, p->left > 1000 ? (unsigned)p->left % 2 : 0), msg);
}

static void a_message_may_be_posted_again_from_its_own_run(void **state)
{
    (void)state;
    struct ping ping = {.msg.run = run_ping, .left = 2000};
    sem_init(&ping.done, 0, 0);
    reactor_post(reactor_group_get(group, 1), &ping.msg);
    sem_wait(&ping.done);
    assert_int_equal(ping.left, -1);
}

/* Turns --------------------------------------------------------------------------------------- */

struct turns {
    struct reactor_turn_hook first;
    struct reactor_turn_hook second;
    atomic_int first_runs;
    int second_runs;
    atomic_bool in_order;
    int messages;
    int wanted;
    sem_t all_seen; /* posted by the second hook when all messages came before it */
};

static struct turns turns;

static void run_first(struct reactor_turn_hook *hook)
{
    struct turns *t = CONTAINER_OF(hook, struct turns, first);
    t->first_runs++;
}

static void run_second(struct reactor_turn_hook *hook)
{
    struct turns *t = CONTAINER_OF(hook, struct turns, second);
    t->second_runs++;
    t->in_order = t->in_order && t->second_runs == t->first_runs;
    if (t->messages == t->wanted) {
        t->wanted = -1;
        sem_post(&t->all_seen);
    }
}

struct step {
    struct reactor_msg msg;
    void (*act)(void);
    sem_t entered;
    sem_t go_on;
};

static void run_step(struct reactor_msg *msg)
{
    struct step *s = CONTAINER_OF(msg, struct step, msg);
    if (s->act != NULL)
        s->act();
    else
        turns.messages++;
    sem_post(&s->entered);
    sem_wait(&s->go_on);
}

static void step_init(struct step *s, void (*act)(void))
{
    *s = (struct step){.msg.run = run_step, .act = act};
    sem_init(&s->entered, 0, 0);
    sem_init(&s->go_on, 0, 0);
}

enum { POSTED_TOGETHER = 100 };

static void add_hooks(void)
{
    turns = (struct turns){.first.run = run_first,
                           .second.run = run_second,
                           .in_order = true,
                           .wanted = POSTED_TOGETHER};
    sem_init(&turns.all_seen, 0, 0);
    reactor_add_turn_hook(reactor_group_get(group, 0), &turns.first);
    reactor_add_turn_hook(reactor_group_get(group, 0), &turns.second);
}

/* While the reactor is held in one message, a hundred more are posted: one turn takes them all. */
static void many_posts_cost_one_turn(void **state)
{
    (void)state;
    struct reactor *r = reactor_group_get(group, 0);
    static struct step steps[POSTED_TOGETHER];
    struct step hold;
    step_init(&hold, add_hooks);
    reactor_post(r, &hold.msg);
    sem_wait(&hold.entered);
    for (int i = 0; i < POSTED_TOGETHER; i++) {
        step_init(&steps[i], NULL);
        sem_post(&steps[i].go_on);
        reactor_post(r, &steps[i].msg);
    }
    sem_post(&hold.go_on);
    sem_wait(&turns.all_seen);
    assert_in_range(turns.first_runs, 1, 2);
    assert_true(turns.in_order);
}

/* A hook that gathers has the sockets looked at again, and runs once. */

enum { LOOKS = 5 };

static struct gatherer {
    struct reactor_turn_hook hook;
    int looks, runs;
    struct reactor_msg late; /* posted at the second look */
    bool late_came_before_the_end;
    sem_t ended;
} gatherer;

static void run_late(struct reactor_msg *msg)
{
    CONTAINER_OF(msg, struct gatherer, late)->late_came_before_the_end = gatherer.runs == 0;
}

static bool gathers(struct reactor_turn_hook *hook)
{
    struct gatherer *g = CONTAINER_OF(hook, struct gatherer, hook);
    if (g->looks == LOOKS)
        return false;
    if (++g->looks == 2)
        reactor_post(reactor_group_get(group, 0), &g->late);
    return g->looks < LOOKS;
}

static void run_gatherer(struct reactor_turn_hook *hook)
{
    struct gatherer *g = CONTAINER_OF(hook, struct gatherer, hook);
    if (g->looks < LOOKS)
        return;
    if (g->runs++ == 0)
        sem_post(&g->ended);
}

static void add_gatherer(void)
{
    gatherer.hook = (struct reactor_turn_hook){.run = run_gatherer, .gathers = gathers};
    gatherer.late.run = run_late;
    reactor_add_turn_hook(reactor_group_get(group, 0), &gatherer.hook);
}

static void a_hook_that_gathers_prolongs_the_turn(void **state)
{
    (void)state;
    struct step begin;
    sem_init(&gatherer.ended, 0, 0);
    step_init(&begin, add_gatherer);
    sem_post(&begin.go_on);
    reactor_post(reactor_group_get(group, 0), &begin.msg);
    sem_wait(&gatherer.ended);
    assert_int_equal(gatherer.looks, LOOKS);
    assert_true(gatherer.late_came_before_the_end);
}

static void groups_of_many_reactors_start_and_stop(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        struct reactor_group *many = NULL;
        assert_ok(reactor_group_start(12, &many));
        assert_int_equal(reactor_group_count(many), 12);
        for (unsigned i = 0; i < 12; i++)
            assert_int_equal(reactor_index(reactor_group_get(many, i)), i);
        reactor_group_stop(many);
    }
    reactor_group_stop(NULL);
}

/* The wheel, on a loop of its own ------------------------------------------------------------- */

struct alarm {
    struct wheel_entry entry;
    int rings;
    uint64_t at_tick;
};

static struct wheel wheel;

static void ring(struct wheel_entry *e)
{
    struct alarm *a = CONTAINER_OF(e, struct alarm, entry);
    a->rings++;
    a->at_tick = wheel_tick_now(&wheel);
}

static void ignore_turn(struct wheel *w, bool begin)
{
    (void)w;
    (void)begin;
}

static void close_wheel(uv_loop_t *loop)
{
    uv_close((uv_handle_t *)&wheel.timer, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(loop), 0);
}

static void deadlines_ring_once_and_not_early(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    wheel_init(&wheel, &loop);
    wheel.on_due = ring;
    wheel.on_turn = ignore_turn;
    struct alarm soon = {.entry = WHEEL_ENTRY_INIT};
    struct alarm moved_later = soon;
    struct alarm moved_earlier = soon;
    struct alarm cancelled = soon;
    struct alarm removed = soon;
    uint64_t now = wheel_tick_now(&wheel);
    wheel_set(&wheel, &soon.entry, wheel_tick_after(&wheel, 1));
    wheel_set(&wheel, &moved_later.entry, now + 1);
    wheel_set(&wheel, &moved_later.entry, now + 3);
    wheel_set(&wheel, &moved_earlier.entry, now + 100000);
    wheel_set(&wheel, &moved_earlier.entry, now + 2);
    wheel_set(&wheel, &cancelled.entry, now + 1);
    wheel_set(&wheel, &cancelled.entry, WHEEL_NEVER);
    wheel_set(&wheel, &removed.entry, now + 1);
    wheel_remove(&wheel, &removed.entry);
    uv_run(&loop, UV_RUN_DEFAULT); /* returns when no timer is left */
    assert_int_equal(soon.rings, 1);
    assert_int_equal(moved_later.rings, 1);
    assert_true(moved_later.at_tick >= now + 3);
    assert_int_equal(moved_earlier.rings, 1);
    assert_in_range(moved_earlier.at_tick, now + 2, now + 50);
    assert_int_equal(cancelled.rings, 0);
    assert_int_equal(removed.rings, 0);
    assert_int_equal(wheel.count, 0);
    close_wheel(&loop);
}

/* An idle server with no deadlines is not woken. */
static void an_empty_wheel_stops_its_timer(void **state)
{
    (void)state;
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    wheel_init(&wheel, &loop);
    wheel.on_due = ring;
    wheel.on_turn = ignore_turn;
    struct alarm far = {.entry = WHEEL_ENTRY_INIT};
    struct alarm near = far;
    wheel_set(&wheel, &far.entry, wheel_tick_now(&wheel) + 100 * WHEEL_SLOTS);
    assert_true(uv_is_active((uv_handle_t *)&wheel.timer));
    assert_true(far.entry.linked_tick < wheel_tick_now(&wheel) + WHEEL_SLOTS);
    wheel_set(&wheel, &near.entry, wheel_tick_now(&wheel) + 5);
    assert_int_equal(wheel.armed_tick, near.entry.linked_tick);
    wheel_remove(&wheel, &near.entry);
    wheel_remove(&wheel, &far.entry);
    assert_false(uv_is_active((uv_handle_t *)&wheel.timer));
    close_wheel(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_a_thread_keep_their_order),
        cmocka_unit_test(messages_of_many_threads_all_arrive),
        cmocka_unit_test(a_message_may_be_posted_again_from_its_own_run),
        cmocka_unit_test(many_posts_cost_one_turn),
        cmocka_unit_test(a_hook_that_gathers_prolongs_the_turn),
        cmocka_unit_test(groups_of_many_reactors_start_and_stop),
        cmocka_unit_test(deadlines_ring_once_and_not_early),
        cmocka_unit_test(an_empty_wheel_stops_its_timer),
    };
    return cmocka_run_group_tests_name("reactor", tests, set_up, tear_down);
}
