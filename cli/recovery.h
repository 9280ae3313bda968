/*
 * cli/recovery.h: what restore, history, changes, diff, collections, snapshot and compact share:
 * where to read from, who does what writes, what a target is, how plans and changes are printed.
 */
#ifndef CLI_RECOVERY_H
#define CLI_RECOVERY_H

#include "cli/options.h"
#include "server/config.h"
#include "snapshot/restore.h"

struct json_t; /* of jansson */

#define RECOVERY_SOURCE_OPTIONS                                                                    \
    {"data", 'd', "DIR", "Data directory, live or stopped (./data)"},                              \
        {"config", 0, "FILE", "Settings file; else spillway.conf in the data directory"},          \
    {                                                                                              \
        "store", 0, "URL", "Store (store.url, DIR/store); alone where --data is not given"         \
    }
#define RECOVERY_SOURCE_ABOUT                                                                      \
    "Reads a data directory, beside a running server too, or a store alone (--store without\n"     \
    "--data). Without either the variable SPILLWAY_DATA counts.\n"

/** Of commands that ask the server of the data directory by themselves. */
#define RECOVERY_SERVER_OPTIONS                                                                    \
    {"server", 0, "URL", "Ask this server, and look at no directory"},                             \
    {                                                                                              \
        "token", 't', "TOKEN", "Bearer token, for the server"                                      \
    }
#define RECOVERY_SERVER_ABOUT                                                                      \
    "Without --token the variable SPILLWAY_TOKEN counts, then AUTH_TOKEN.\n"

/** "NS/COLLECTION" taken apart: the collection is everything behind the first '/'. */
struct place {
    char *namespace_name;    /* owned */
    struct slice collection; /* borrowed from the argument */
};
/** EXIT_OK, or the exit status after a message. Release with place_release. */
int place_parse(const struct cli_args *args, size_t positional, struct place *ret);
void place_release(struct place *p);
/** "/<what>/<ns>/<collection>", or with "/<last>" (not NULL) behind it, percent-encoded, malloc'd.
 */
char *place_url(const struct place *p, const char *what, const char *last);

/** Where a command reads from. */
struct recovery {
    const char *data_dir; /* of `config`; NULL: a store alone, and `config` is empty */
    struct config config;
    struct source *source;
    int lock; /* of the data directory; -1: none */
};
#define RECOVERY_INIT ((struct recovery){.lock = -1})
/** Opens what --data, --config and --store name, for reading. EXIT_OK, or the exit status after a
 * message. `ret` is RECOVERY_INIT; recovery_close in any case. */
int recovery_open(const struct cli_args *args, struct recovery *ret);
void recovery_close(struct recovery *r);

/** What writes to the store is done by the server where one runs on the data directory, or --server
 * is given, and here, with the directory's lock held, where not. */
struct recovery_work {
    const char *method; /* what to ask the server */
    char *path;         /* owned by the caller */
    struct slice body;
    void (*print)(const struct cli_args *args, struct json_t *reply);
    err_t (*here)(const struct cli_args *args, struct recovery *r, void *arg);
};
/** The exit status. */
int recovery_do(const struct cli_args *args, const struct recovery_work *w, void *arg);

/** "spillway NAME: the last error's sentence"; the exit status. */
int recovery_failed(const struct cli_args *args, err_t err);

/** A time with a zone; false after a message. An option that was not given leaves *value as it is.
 */
bool recovery_time(const struct cli_args *args, const char *option, int64_t *value);
/** From now on the first Ctrl-C (SIGINT, SIGTERM, SIGHUP) ends the command as an error does, so
 * that nothing half made is left; a second one ends it at once. */
void recovery_leave_nothing(void);

/** "latest", "lsn:N", "bookmark:B", "snapshot:NAME" or a time with a zone. The caller frees
 * ret->name. False after a message. */
bool recovery_target(const struct cli_args *args, const char *text, struct target *ret);

/** A name that others chose, for people: control characters as in JSON, so that none reaches their
 * terminal. */
void recovery_append_shown(struct buf *out, struct slice name);
/** A plan as lines for people. */
void recovery_plan_text(struct buf *out, const struct rebuild_plan *plan);

#endif
