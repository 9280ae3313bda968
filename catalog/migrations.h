/*
 * catalog/migrations.h: the numbered steps that bring catalog.db up to date.
 */
#ifndef CATALOG_MIGRATIONS_H
#define CATALOG_MIGRATIONS_H

#include "base/base.h"

/** Step i brings a file of version i to version i + 1. Released steps never change. */
extern const char *const catalog_migrations[];
extern const unsigned catalog_migration_count;

#endif
