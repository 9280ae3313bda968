/*
 * net/wheel.h: coarse deadlines of many connections on one libuv timer (private to net/).
 *
 * A hashed timing wheel of 512 slots of 250 ms. Setting a deadline later, or cancelling it, only
 * stores a number: the entry stays where it is linked and is looked at again when that slot comes
 * due. So a request costs two stores, and an idle loop wakes once per slot that holds an entry,
 * never periodically.
 *
 * I1: an entry is linked at a tick <= its due tick, unless it has none (WHEEL_NEVER).
 * I2: the timer is armed for the first slot that holds an entry, or stopped when there is none.
 *
 * Owner: one reactor.
 */
#ifndef NET_WHEEL_H
#define NET_WHEEL_H

#include <uv.h>

#include "base/base.h"

#define WHEEL_TICK_MS 250
#define WHEEL_SLOTS 512
#define WHEEL_NEVER UINT64_MAX

struct wheel_entry {
    struct wheel_entry *next;
    struct wheel_entry **link; /* what points here; NULL while not linked */
    uint64_t linked_tick;
    uint64_t due_tick; /* WHEEL_NEVER: no deadline */
};

struct wheel {
    uv_timer_t timer;
    uint64_t done_tick;  /* slots up to this one have been handled */
    uint64_t armed_tick; /* WHEEL_NEVER: the timer is stopped */
    size_t count;        /* linked entries */
    struct wheel_entry *slots[WHEEL_SLOTS];
    uint64_t used[WHEEL_SLOTS / 64]; /* bit set: the slot may hold entries */
    void (*on_due)(struct wheel_entry *e);
    void (*on_turn)(struct wheel *w, bool begin); /* around each run of due entries */
};

#define WHEEL_ENTRY_INIT ((struct wheel_entry){.due_tick = WHEEL_NEVER})

void wheel_init(struct wheel *w, uv_loop_t *loop);
/** The tick at which `ms` from now have certainly passed. */
uint64_t wheel_tick_after(const struct wheel *w, uint64_t ms);
/** The current tick: entries due at it or before it are late. */
uint64_t wheel_tick_now(const struct wheel *w);
/** Moves the entry's deadline; on_due is called once when it is reached. */
void wheel_set(struct wheel *w, struct wheel_entry *e, uint64_t due_tick);
/** Takes the entry out; its memory may be freed. */
void wheel_remove(struct wheel *w, struct wheel_entry *e);

#endif
