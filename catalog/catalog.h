/*
 * catalog/catalog.h: the settings store data/catalog.db: what an operator or the server decided and
 * must find again (now: the cluster's id and named values; later: keys, topics, subscriptions).
 *
 * One SQLite file, rollback journal, synchronous = EXTRA: a call that returned OK survives a power
 * cut; a crash leaves a change whole or absent. The file carries the number of its last migration
 * (PRAGMA user_version); a file from a newer program is refused.
 *
 * Threads: any; calls take turns. They block on the disk: never on a reactor.
 */
#ifndef CATALOG_CATALOG_H
#define CATALOG_CATALOG_H

#include "base/base.h"
#include "base/err.h"
#include "base/io.h"

struct catalog;

struct catalog_setting {
    const char *name;
    const char *value; /* NULL: remove it */
};

/** Opens or creates the file and brings it up to date. ERR_NOT_FOUND without its directory,
 * ERR_CORRUPT for a damaged or newer file, ERR_IO, ERR_NO_SPACE. *ret_catalog is owned. */
err_t catalog_open(struct io *io, const char *path, struct catalog **ret_catalog) MUST_USE;
/** NULL-safe. */
void catalog_close(struct catalog *c);
void catalog_close_ptr(struct catalog **c); /* for CLEANUP */

/** 22 characters of base64url, made at the first open and never changed. Borrowed until close. */
const char *catalog_cluster_id(const struct catalog *c);

/** The value of a name, malloc'd. ERR_NOT_FOUND when it was never set. */
err_t catalog_get(struct catalog *c, const char *name, char **ret_value) MUST_USE;
err_t catalog_set(struct catalog *c, const char *name, const char *value) MUST_USE;
/** All of them or, on an error, none. */
err_t catalog_set_all(struct catalog *c, const struct catalog_setting *settings,
                      size_t count) MUST_USE;

#endif
