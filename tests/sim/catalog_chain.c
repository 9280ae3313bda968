#include "tests/sim/catalog_chain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "catalog/catalog.h"

#define NAMES 6
#define SET_MAX 4
#define VALUE_MAX 9000 /* more than one page of the file */
#define CATALOG_PATH "/data/catalog.db"

/** A value is known by its number; 0: absent. */
struct shelf {
    struct rng rng;
    struct rng loss; /* decides crashes' kinds and losses */
    struct simdisk *disk;
    struct catalog *catalog;
    uint64_t values[NAMES];
    uint64_t open_values[NAMES]; /* what they are if the last change counts */
    bool open;                   /* whether it does is not known */
    uint64_t last;
    uint64_t acked;
    char cluster_id[64];
    bool faulty;
    bool failed;
    char failure[512];
};

static void shelf_fail(struct shelf *s, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void shelf_fail(struct shelf *s, const char *fmt, ...)
{
    if (s->failed || simdisk_is_off(s->disk))
        return; /* without power nothing can be read */
    s->failed = true;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(s->failure, sizeof(s->failure), fmt, args);
    va_end(args);
}

static const char *name_of(size_t i)
{
    static const char *const names[NAMES] = {"a", "b", "retention", "x.y", "e", "f"};
    return names[i];
}

/** The text of value `number`: its length and bytes follow from it. */
static char *text_of(uint64_t number)
{
    struct rng rng = {number};
    size_t len = rng_chance(&rng, 20) ? rng_below(&rng, VALUE_MAX) : rng_below(&rng, 30);
    char *text = xmalloc(len + 32);
    int head = snprintf(text, 32, "%llu:", (unsigned long long)number);
    memset(text + head, 'a' + (int)rng_below(&rng, 26), len);
    text[(size_t)head + len] = '\0';
    return text;
}

static bool value_is(uint64_t number, const char *got)
{
    if (number == 0 || got == NULL)
        return number == 0 && got == NULL;
    CLEANUP(xfree_ptr) char *want = text_of(number);
    return strcmp(got, want) == 0;
}

/** Whether all values are as in `numbers`. False, too, when one cannot be read. */
static bool all_are(struct shelf *s, const uint64_t *numbers)
{
    for (size_t i = 0; i < NAMES; i++) {
        CLEANUP(xfree_ptr) char *got = NULL;
        err_t err = catalog_get(s->catalog, name_of(i), &got);
        if (err != OK && err != ERR_NOT_FOUND)
            shelf_fail(s, "catalog_get: %s", err_text(err));
        if (!value_is(numbers[i], got))
            return false;
    }
    return true;
}

static void check(struct shelf *s)
{
    if (s->open && all_are(s, s->open_values))
        memcpy(s->values, s->open_values, sizeof(s->values));
    else if (!all_are(s, s->values))
        shelf_fail(s, "settings are not what was set last%s",
                   s->open ? ", nor what was tried" : "");
    s->open = false;
    if (s->cluster_id[0] == '\0')
        (void)snprintf(s->cluster_id, sizeof(s->cluster_id), "%s", catalog_cluster_id(s->catalog));
    if (strcmp(s->cluster_id, catalog_cluster_id(s->catalog)) != 0)
        shelf_fail(s, "the cluster's id changed");
}

static void change(struct shelf *s)
{
    struct catalog_setting settings[SET_MAX];
    char *texts[SET_MAX] = {0};
    size_t count = 1 + rng_below(&s->rng, SET_MAX);
    memcpy(s->open_values, s->values, sizeof(s->values));
    for (size_t i = 0; i < count; i++) {
        size_t name = rng_below(&s->rng, NAMES);
        bool removed = rng_chance(&s->rng, 25);
        s->open_values[name] = removed ? 0 : ++s->last;
        texts[i] = removed ? NULL : text_of(s->last);
        settings[i] = (struct catalog_setting){name_of(name), texts[i]};
    }
    err_t err = catalog_set_all(s->catalog, settings, count);
    for (size_t i = 0; i < SET_MAX; i++)
        free(texts[i]);
    s->open = simdisk_is_off(s->disk) || err != OK;
    if (err != OK && !simdisk_is_off(s->disk) && !s->faulty)
        shelf_fail(s, "catalog_set_all: %s", err_text(err));
    if (!s->open) {
        memcpy(s->values, s->open_values, sizeof(s->values));
        s->acked++;
    }
}

static err_t start(struct shelf *s)
{
    TRY(io_mkdir_durable(simdisk_io(s->disk), "/data"));
    return catalog_open(simdisk_io(s->disk), CATALOG_PATH, &s->catalog);
}

static void live(struct shelf *s)
{
    for (uint64_t n = 1 + rng_below(&s->rng, 8); n > 0 && !s->open && !s->failed; n--)
        change(s);
}

static void live_with_faults(struct shelf *s)
{
    struct simdisk_fault fault = {
        .calls = rng_chance(&s->rng, 50) ? SIMDISK_SYNC | SIMDISK_SYNC_DIR : SIMDISK_ANY_CALL,
        .first = 1 + rng_below(&s->rng, 20),
        .count = rng_chance(&s->rng, 30) ? UINT64_MAX : 1,
        .err = rng_chance(&s->rng, 70) ? ERR_IO : ERR_NO_SPACE,
    };
    s->faulty = true;
    simdisk_set_fault(s->disk, fault);
    live(s);
    simdisk_set_fault(s->disk, (struct simdisk_fault){0});
    s->faulty = false;
}

static void one_life(struct shelf *s, struct chain_result *result)
{
    bool crash_early = rng_chance(&s->rng, 30);
    if (crash_early)
        simdisk_crash_at(s->disk, 1 + rng_below(&s->rng, 25));
    err_t err = start(s);
    if (err == OK && !simdisk_is_off(s->disk)) {
        simdisk_crash_at(s->disk, 0);
        check(s);
        simdisk_crash_at(s->disk, 1 + rng_below(&s->rng, 60));
        if (rng_chance(&s->rng, 20))
            live_with_faults(s);
        else
            live(s);
    } else if (err != OK && !simdisk_is_off(s->disk)) {
        shelf_fail(s, "catalog_open: %s", err_text(err));
    }
    simdisk_power_off(s->disk);
    catalog_close(TAKE(s->catalog));
    ASSERT(simdisk_open_files(s->disk) == 0);
    simdisk_restart(s->disk, rng_chance(&s->loss, 25) ? SIMDISK_KILL : SIMDISK_POWER_CUT,
                    rng_next(&s->loss));
    result->crashes++;
}

void catalog_chain_random(uint64_t seed, uint64_t salt, struct chain_result *result)
{
    struct shelf s = {.rng = {seed}};
    s.disk = simdisk_new(rng_next(&s.rng) + salt);
    s.loss.state = seed + salt * 0x10001;
    for (uint64_t lives = 2 + rng_below(&s.rng, 6); lives > 0 && !s.failed; lives--)
        one_life(&s, result);
    if (!s.failed) {
        err_t err = start(&s);
        if (err == OK && !simdisk_is_off(s.disk))
            check(&s);
        else if (err != OK)
            shelf_fail(&s, "catalog_open: %s", err_text(err));
        catalog_close(TAKE(s.catalog));
    }
    result->acked += s.acked;
    result->failed = s.failed;
    memcpy(result->failure, s.failure, sizeof(result->failure));
    simdisk_free(s.disk);
}
