/* dict.c: see dict.h. */
#include "dict.h"

#include <stdlib.h>
#include <xxhash.h>

#define SLOTS_MIN 1024u

void pq_dict_release(struct dict *d)
{
    pq_buf_release(&d->plain);
    free(d->entries);
    free(d->table);
    *d = (struct dict){0};
}

void pq_dict_clear(struct dict *d)
{
    d->plain.len = 0;
    d->count = 0;
    if (d->slots != 0)
        memset(d->table, 0, d->slots * sizeof(d->table[0]));
}

/** Doubles the table and files every entry again. */
static bool dict_grow(struct dict *d)
{
    uint32_t slots = d->slots == 0 ? SLOTS_MIN : d->slots * 2;
    struct dict_entry *entries = realloc(d->entries, slots / 2 * sizeof(entries[0]));
    if (entries == NULL)
        return false;
    d->entries = entries;
    uint32_t *table = calloc(slots, sizeof(table[0]));
    if (table == NULL)
        return false;
    for (uint32_t i = 0; i < d->count; i++) {
        uint32_t slot = entries[i].hash & (slots - 1);
        while (table[slot] != 0)
            slot = (slot + 1) & (slots - 1);
        table[slot] = i + 1;
    }
    free(d->table);
    d->table = table;
    d->slots = slots;
    return true;
}

static uint32_t hash_of(const uint8_t *data, uint32_t len)
{
    if (len == 8)
        return (uint32_t)(pq_get_le64(data) * 0x9E3779B97F4A7C15 >> 32);
    if (len == 4)
        return (uint32_t)(pq_get_le32(data) * 0x9E3779B97F4A7C15 >> 32);
    return (uint32_t)XXH3_64bits(data, len);
}

enum dict_found pq_dict_add(struct dict *d, const uint8_t *data, uint32_t len, bool prefixed,
                            uint32_t *ret_index)
{
    if (d->count >= d->slots / 2 && !dict_grow(d))
        return DICT_NO_MEMORY;
    uint32_t hash = hash_of(data, len), slot = hash & (d->slots - 1);
    for (; d->table[slot] != 0; slot = (slot + 1) & (d->slots - 1)) {
        const struct dict_entry *e = &d->entries[d->table[slot] - 1];
        if (e->hash == hash && e->len == len &&
            (len == 0 || memcmp(d->plain.data + e->offset, data, len) == 0)) {
            *ret_index = d->table[slot] - 1;
            return DICT_OLD;
        }
    }
    if (prefixed)
        pq_buf_le32(&d->plain, len);
    uint32_t offset = (uint32_t)d->plain.len;
    pq_buf_append(&d->plain, data, len);
    if (d->plain.failed)
        return DICT_NO_MEMORY;
    d->entries[d->count] = (struct dict_entry){.hash = hash, .offset = offset, .len = len};
    *ret_index = d->count++;
    d->table[slot] = d->count;
    return DICT_NEW;
}
