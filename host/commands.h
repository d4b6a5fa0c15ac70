/* commands.h - what `ssechat WORD` does instead of serving. */

#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>

/* Whether the first argument is a command; if so, it is carried out, and `*status` is the exit
 * code.
 */
bool commands_run(int argc, char **argv, int *status);

#endif
