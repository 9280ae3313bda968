/*
 * cli/recovery.h: what restore, history, changes, diff, collections and snapshot share: where to
 * read from, what a target is, how files and counts are printed.
 */
#ifndef CLI_RECOVERY_H
#define CLI_RECOVERY_H

#include "cli/http_client.h"
#include "cli/options.h"
#include "snapshot/restore.h"

#define RECOVERY_SOURCE_OPTIONS                                                                    \
    {"data", 'd', "DIR", "Data directory, live or stopped (./data)"},                              \
    {                                                                                              \
        "store", 0, "URL", "Store (DIR/store); alone where --data is not given"                    \
    }
#define RECOVERY_SOURCE_ABOUT                                                                      \
    "Reads a data directory, beside a running server too, or a store alone (--store without\n"     \
    "--data). Without either the variable SPILLWAY_DATA counts.\n"

/** "NS/COLLECTION" taken apart: the collection is everything behind the first '/'. */
struct place {
    char *namespace_name;    /* owned */
    struct slice collection; /* borrowed from the argument */
};
/** EXIT_OK, or the exit status after a message. Release with place_release. */
int place_parse(const struct cli_args *args, size_t positional, struct place *ret);
void place_release(struct place *p);
/** "/<what>/<ns>/<collection>" with both percent-encoded, malloc'd. */
char *place_url(const struct place *p, const char *what);

/** Opens what --data and --store name. `writable`: for writing to the store, with the data
 * directory's lock held in *ret_lock (close it); else ret_lock may be NULL. EXIT_OK, or the status
 * after a message; RECOVERY_SERVED: a server runs there (nothing was printed). */
#define RECOVERY_SERVED (-2)
int recovery_open(const struct cli_args *args, struct source **ret_source);
int recovery_open_writable(const struct cli_args *args, struct source **ret_source, int *ret_lock);

/** "spillway NAME: the last error's sentence"; the exit status. */
int recovery_failed(const struct cli_args *args, err_t err);

/** A time with a zone; false after a message. An option that was not given leaves *value as it is.
 */
bool recovery_time(const struct cli_args *args, const char *option, int64_t *value);
/** "latest", "lsn:N", "bookmark:B", "snapshot:NAME" or a time with a zone. The caller frees
 * ret->name. False without a message. */
bool recovery_target(const char *text, struct target *ret);

/** A plan as lines for people. */
void recovery_plan_text(struct buf *out, const struct rebuild_plan *plan);
/** A change as a line for people: LSN, time, op, id, document. */
void recovery_change_text(struct buf *out, const struct change *c);

#endif
