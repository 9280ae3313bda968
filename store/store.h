/*
 * store/store.h: the object store: named objects, complete or absent. Now a directory (file:).
 *
 * Names are relative paths of safe components (see store_component); an object is written under a
 * temporary name, synced, renamed, and its directory synced: after store_commit it survives a power
 * cut, before it nobody sees it. Leftovers of a crash are removed by store_open for writing (of
 * dead processes, or of this one while it has no other handle open for writing).
 *
 * Threads: any; blocks on the disk: never on a reactor.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/base.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/io.h"

struct store;
struct store_writer;
struct store_object;

/** `url`: "file:/dir" or a path. `writable` creates the directory. ERR_USAGE for another scheme,
 * ERR_NOT_FOUND, ERR_IO. *ret_store is owned. */
err_t store_open(struct io *io, const char *url, bool writable, struct store **ret_store) MUST_USE;
void store_close(struct store *s); /* NULL-safe */
const char *store_url(const struct store *s);

/** The directory name for any namespace or collection name (1-256 bytes, anything): bytes outside
 * [A-Za-z0-9_-] and inner dots (but the one of a last ".json") are %XX; names longer than 120 bytes
 * so written end in "~" and the 32 hex digits of the name's XXH3_128. Injective. malloc'd. */
char *store_component(struct slice name);

/** An object to be. Directories on the way are made, durably. */
err_t store_create(struct store *s, const char *path, struct store_writer **ret_writer) MUST_USE;
err_t store_write(struct store_writer *w, const void *data, size_t len) MUST_USE;
/** XXH3_128 of all bytes written so far, as 32 hex digits and a NUL; their count. */
void store_writer_hash(const struct store_writer *w, char out[HASH128_TEXT]);
uint64_t store_writer_size(const struct store_writer *w);
/** Makes it durable and visible. ERR_EXISTS when there is one and !replace (looked at, then
 * renamed: two writers of one name take turns by themselves). Frees w in any case. After ERR_IO the
 * object may be the old or the new one. */
err_t store_commit(struct store_writer *w, bool replace) MUST_USE;
void store_discard(struct store_writer *w); /* NULL-safe */

err_t store_get(struct store *s, const char *path, size_t max_bytes, struct buf *out) MUST_USE;
err_t store_put(struct store *s, const char *path, const void *data, size_t len,
                bool replace) MUST_USE;
/** Random access. ERR_NOT_FOUND. */
err_t store_object_open(struct store *s, const char *path, struct store_object **ret) MUST_USE;
uint64_t store_object_size(const struct store_object *o);
err_t store_object_read(struct store_object *o, uint64_t at, void *out, size_t len) MUST_USE;
/** XXH3_128 of bytes [at, at + len) as 32 hex digits and a NUL. */
err_t store_object_hash(struct store_object *o, uint64_t at, uint64_t len,
                        char out[HASH128_TEXT]) MUST_USE;
void store_object_close(struct store_object *o); /* NULL-safe */

/** Calls fn for each entry of a directory, sorted by name; a directory that does not exist has
 * none. */
err_t store_list(struct store *s, const char *dir,
                 void (*fn)(void *arg, const char *name, bool is_dir), void *arg) MUST_USE;
/** OK also when it was absent. Durable. */
err_t store_remove(struct store *s, const char *path) MUST_USE;

#endif
