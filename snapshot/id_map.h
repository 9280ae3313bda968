/*
 * snapshot/id_map.h: a hash table from document ids to LSNs. Private to snapshot/. Ids are
 * copied. Owner: one thread.
 */
#ifndef SNAPSHOT_ID_MAP_H
#define SNAPSHOT_ID_MAP_H

#include "base/arena.h"

struct id_entry {
    struct slice id;
    uint64_t hash;
    int64_t lsn; /* the caller's */
};

struct id_map {
    struct arena ids;
    struct id_entry *entries; /* open addressing; id.data NULL: free */
    size_t count, cap;        /* cap is 0 or a power of two */
};

/** NULL where the id is not in it. Valid until the next id_map_put. */
struct id_entry *id_map_find(const struct id_map *m, struct slice id);
/** The entry, made with LSN 0 where it was not there. */
struct id_entry *id_map_put(struct id_map *m, struct slice id);
void id_map_release(struct id_map *m);

#endif
