#include "catalog/migrations.h"

const char *const catalog_migrations[] = {
    /* 1: named values */
    "CREATE TABLE setting (name TEXT PRIMARY KEY NOT NULL, value TEXT NOT NULL) WITHOUT ROWID;",
};
const unsigned catalog_migration_count = ARRAY_LEN(catalog_migrations);
