/* connection.c - the words for why a connection ended.
 *
 * Each way to CLIENT_CLOSED has its own word, because "closed" in a log explains nothing. The words
 * appear only at debug level (client.c): an operator need not know that a connection ended. */

#include "net/connection.h"

const char *connection_reason(enum outcome why)
{
    static const char *const reasons[] = {
        [GONE_RESET] = "reset",
        [GONE_DONE] = "done",
        [GONE_CUT] = "cut",
        [GONE_HANG_UP] = "hang-up",
        [GONE_IDLE] = "idle",
        [GONE_REFUSED] = "refused",
        [GONE_STALLED] = "stalled",
        [GONE_OVERRUN] = "overrun",
        [GONE_TOKEN] = "token",
        [GONE_BLOCKED] = "blocked",
        [GONE_TOO_LONG] = "too long",
        [GONE_FILE_CUT] = "file cut",
        [GONE_NO_MEMORY] = "no memory",
        [GONE_DESCRIPTORS] = "descriptors",
        [GONE_EPOLL] = "epoll",
        [GONE_DRAIN] = "drain",
    };
    must(is_gone(why)); /* the outcomes before GONE_RESET have no word */
    return reasons[why];
}
