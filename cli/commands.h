/*
 * cli/commands.h: the subcommands, each in its own file.
 */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H

#include "cli/options.h"

extern const struct cli_command command_changes;
extern const struct cli_command command_collections;
extern const struct cli_command command_compact;
extern const struct cli_command command_diff;
extern const struct cli_command command_history;
extern const struct cli_command command_ingest;
extern const struct cli_command command_log;
extern const struct cli_command command_restore;
extern const struct cli_command command_serve;
extern const struct cli_command command_snapshot;
extern const struct cli_command command_status;
extern const struct cli_command command_tail;

#endif
