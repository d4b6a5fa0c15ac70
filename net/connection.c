/* connection.c - the words for why a connection ended.
 *
 * Each way to CLIENT_CLOSED has a word of its own, because "closed" in a log explains nothing. They
 * show at debug level only (client.c): a connection that ends is no event for an operator. */

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
