/*
 * cli/recovery_ask.h: what `spillway restore` was asked for: its options become the body of POST
 * /restore, and are checked as one, whether a server is asked or not.
 */
#ifndef CLI_RECOVERY_ASK_H
#define CLI_RECOVERY_ASK_H

#include "cli/options.h"
#include "snapshot/ask.h"

struct json_t; /* of jansson */

struct recovery_ask {
    struct restore_ask asked; /* empty for a drill without a target */
    char *body;               /* the same as JSON; owned; NULL for such a drill */
    enum restore_format format;
};

/** EXIT_OK, or the exit status after a message. Release in any case. */
int recovery_ask_read(const struct cli_args *args, struct recovery_ask *ret);
void recovery_ask_release(struct recovery_ask *ask);
/** Prints the server's answer. */
void recovery_ask_print(const struct cli_args *args, const struct recovery_ask *ask,
                        struct json_t *reply);
/** Says on stderr which of the ids that were asked for are not there, if any. */
void recovery_ask_missing(const struct cli_args *args, const struct restore_counts *n);

#endif
