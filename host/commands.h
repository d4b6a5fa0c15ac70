/* commands.h - the commands, which run instead of the server: `ssechat WORD`. */

#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>

/* Runs the command that the first argument names, and sets `*status` to the exit code. Returns
 * false if it names no command; the arguments are then the server's options. */
bool commands_run(int argc, char **argv, int *status);

#endif
