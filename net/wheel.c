#include "net/wheel.h"

static void slot_mark(struct wheel *w, uint64_t tick)
{
    unsigned slot = tick % WHEEL_SLOTS;
    w->used[slot / 64] |= 1ULL << (slot % 64);
}

/* The first tick after done_tick whose slot is marked. Called with count > 0. */
static uint64_t first_used_tick(const struct wheel *w)
{
    uint64_t tick = w->done_tick + 1;
    uint64_t end = tick + WHEEL_SLOTS;
    while (tick < end) {
        unsigned slot = tick % WHEEL_SLOTS;
        uint64_t bits = w->used[slot / 64] >> (slot % 64);
        if (bits != 0)
            return tick + (unsigned)__builtin_ctzll(bits);
        tick += 64 - slot % 64;
    }
    ASSERT(false && "a wheel with entries has a used slot");
    return end;
}

static void wheel_on_timer(uv_timer_t *timer);

static void arm(struct wheel *w, uint64_t tick)
{
    uint64_t now_ms = uv_now(w->timer.loop);
    uint64_t at_ms = tick * WHEEL_TICK_MS;
    w->armed_tick = tick;
    uv_timer_start(&w->timer, wheel_on_timer, at_ms > now_ms ? at_ms - now_ms : 0, 0);
}

static void link_entry(struct wheel *w, struct wheel_entry *e)
{
    if (w->count == 0)
        w->done_tick = wheel_tick_now(w);
    uint64_t tick = MAX(e->due_tick, w->done_tick + 1);
    tick = MIN(tick, w->done_tick + WHEEL_SLOTS - 1);
    struct wheel_entry **slot = &w->slots[tick % WHEEL_SLOTS];
    e->next = *slot;
    if (e->next != NULL)
        e->next->link = &e->next;
    *slot = e;
    e->link = slot;
    e->linked_tick = tick;
    w->count++;
    slot_mark(w, tick);
}

static void unlink_entry(struct wheel *w, struct wheel_entry *e)
{
    *e->link = e->next;
    if (e->next != NULL)
        e->next->link = e->link;
    e->next = NULL;
    e->link = NULL;
    w->count--;
}

static void run_slot(struct wheel *w, uint64_t tick, uint64_t now)
{
    unsigned slot = tick % WHEEL_SLOTS;
    w->used[slot / 64] &= ~(1ULL << (slot % 64));
    /* Entries that are linked while this runs go to later slots (done_tick is already past this
     * one). */
    while (w->slots[slot] != NULL) {
        struct wheel_entry *e = w->slots[slot];
        unlink_entry(w, e);
        if (e->due_tick == WHEEL_NEVER)
            continue;
        if (e->due_tick > now) {
            link_entry(w, e);
            continue;
        }
        e->due_tick = WHEEL_NEVER;
        w->on_due(e);
    }
}

static void wheel_on_timer(uv_timer_t *timer)
{
    struct wheel *w = timer->data;
    w->armed_tick = WHEEL_NEVER;
    w->on_turn(w, true);
    uint64_t now = wheel_tick_now(w);
    while (w->count > 0 && w->done_tick < now) {
        uint64_t tick = first_used_tick(w);
        if (tick > now)
            break;
        w->done_tick = tick;
        run_slot(w, tick, now);
    }
    w->on_turn(w, false);
    if (w->count > 0)
        arm(w, first_used_tick(w));
}

void wheel_init(struct wheel *w, uv_loop_t *loop)
{
    *w = (struct wheel){.armed_tick = WHEEL_NEVER};
    uv_timer_init(loop, &w->timer);
    w->timer.data = w;
}

uint64_t wheel_tick_now(const struct wheel *w)
{
    return uv_now(w->timer.loop) / WHEEL_TICK_MS;
}

uint64_t wheel_tick_after(const struct wheel *w, uint64_t ms)
{
    return (uv_now(w->timer.loop) + ms) / WHEEL_TICK_MS + 1;
}

void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_tick)
{
    e->due_tick = due_tick;
    if (due_tick == WHEEL_NEVER || (e->link != NULL && e->linked_tick <= due_tick))
        return;
    if (e->link != NULL)
        unlink_entry(w, e);
    link_entry(w, e);
    if (e->linked_tick < w->armed_tick)
        arm(w, e->linked_tick);
}

void wheel_remove(struct wheel *w, struct wheel_entry *e)
{
    if (e->link != NULL)
        unlink_entry(w, e);
    e->due_tick = WHEEL_NEVER;
    if (w->count == 0 && w->armed_tick != WHEEL_NEVER) {
        w->armed_tick = WHEEL_NEVER;
        uv_timer_stop(&w->timer);
    }
}
