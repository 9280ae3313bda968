#include "snapshot/id_map.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

static struct id_entry *place_of(const struct id_map *m, struct slice id, uint64_t hash)
{
    size_t mask = m->cap - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        struct id_entry *e = &m->entries[at];
        if (e->id.data == NULL || (e->hash == hash && slice_equal(e->id, id)))
            return e;
    }
}

struct id_entry *id_map_find(const struct id_map *m, struct slice id)
{
    if (m->cap == 0)
        return NULL;
    struct id_entry *e = place_of(m, id, hash64(id.data, id.len));
    return e->id.data != NULL ? e : NULL;
}

static void grow(struct id_map *m)
{
    struct id_entry *old = m->entries;
    size_t old_cap = m->cap;
    m->cap = MAX(64, old_cap * 2);
    m->entries = xcalloc(m->cap, sizeof(*m->entries));
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].id.data != NULL)
            *place_of(m, old[i].id, old[i].hash) = old[i];
    free(old);
}

struct id_entry *id_map_put(struct id_map *m, struct slice id)
{
    if (m->count * 2 >= m->cap)
        grow(m);
    uint64_t hash = hash64(id.data, id.len);
    struct id_entry *e = place_of(m, id, hash);
    if (e->id.data == NULL) {
        const char *copy = arena_strndup(&m->ids, id.data, id.len);
        *e = (struct id_entry){.id = {copy, id.len}, .hash = hash};
        m->count++;
    }
    return e;
}

void id_map_release(struct id_map *m)
{
    arena_release(&m->ids);
    free(m->entries);
    *m = (struct id_map){0};
}
