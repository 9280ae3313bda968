/*
 * cli/recovery_ask.h: what `spillway restore` was asked for: its options, checked, and the same as
 * the body of POST /restore.
 */
#ifndef CLI_RECOVERY_ASK_H
#define CLI_RECOVERY_ASK_H

#include "base/buf.h"
#include "cli/options.h"
#include "snapshot/restore.h"

struct json_t; /* of jansson */

struct recovery_ask {
    bool has_target, has_undo;
    bool whole_namespace; /* target and output fit a namespace */
    struct target target;
    enum restore_format format;
    struct restore_filter filter;
    char *ids_text; /* owned: what filter.ids points into */
};

/** EXIT_OK, or the exit status after a message. Release in any case. */
int recovery_ask_read(const struct cli_args *args, struct recovery_ask *ret);
void recovery_ask_release(struct recovery_ask *ask);

void recovery_ask_body(const struct recovery_ask *ask, bool dry_run, struct buf *out);
/** Prints the server's answer. */
void recovery_ask_print(const struct cli_args *args, struct json_t *reply);

#endif
