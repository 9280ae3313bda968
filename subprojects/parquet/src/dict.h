/*
 * dict.h: the distinct values of a column chunk, numbered as they first come.
 *
 * The bytes are those of the dictionary page (PLAIN); a hash table of open addressing finds the
 * number of a value. The table is kept from row group to row group.
 */
#ifndef PARQUET_DICT_H
#define PARQUET_DICT_H

#include "buf.h"

struct dict_entry {
    uint32_t hash;
    uint32_t offset; /* of the value's bytes in `plain`, behind a byte array's length */
    uint32_t len;
};

struct dict {
    struct pq_buf plain;
    struct dict_entry *entries; /* owned; room for `slots` / 2 */
    uint32_t *table;            /* owned; index + 1 of an entry, 0: free */
    uint32_t slots;             /* a power of two, or 0 before the first value */
    uint32_t count;
};

void pq_dict_release(struct dict *d);
void pq_dict_clear(struct dict *d);

enum dict_found { DICT_OLD, DICT_NEW, DICT_NO_MEMORY };
/** The number of a value, which is added if it is new. `prefixed`: a byte array. */
enum dict_found pq_dict_add(struct dict *d, const uint8_t *data, uint32_t len, bool prefixed,
                            uint32_t *ret_index);

#endif
