/* tally.c - hands out what the insides of net/ have counted, so that the layers above need not know
 * connections to read it. (limits.h and reply.h are not inside, and have their own.) */

#include "net/tally.h"

#include "net/connection.h"
#include "net/output.h"

uint64_t tally_sent_bytes(void)
{
    return output_sent_bytes();
}

bool tally_closes(unsigned number, const char **reason, uint64_t *count)
{
    if (number >= GONE_END - GONE_RESET)
        return false;
    *reason = connection_reason((enum outcome)(GONE_RESET + number));
    *count = connection_ends((enum outcome)(GONE_RESET + number));
    return true;
}
