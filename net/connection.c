/* connection.c - what the log, the counts and the peer are told about the end of a connection.
 *
 * Each way to CLIENT_CLOSED has its own word, because "closed" in a log explains nothing. The words
 * appear only at debug level: an operator need not know that a connection ended. */

#include "net/connection.h"

#include "base/log.h"
#include "net/peers.h"
#include "net/request_log.h"

#include <sys/socket.h>

static uint64_t ends[GONE_END - GONE_RESET];

const char *connection_reason(enum outcome why)
{
    static const char *const reasons[GONE_END] = {
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

/* Logs why a connection ends. The address is the one that the limits count: for IPv6, the /64. */
static void log_close(const struct client *c, enum outcome why)
{
    char address[ADDRESS_TEXT_BYTES] = "-";
    if (!log_wants(LOG_DEBUG))
        return;
    if (c->peer != NULL)
        address_print(&c->peer->address, address);
    log_line(LOG_DEBUG, "close fd=%d address=%s stream=%d reason=\"%s\"", c->fd, address, c->joined,
        connection_reason(why));
}

/* Makes close(2) send a reset (a linger time of zero) if the client has stopped reading. After a
 * normal close the kernel would keep the unsent bytes and offer them for up to a minute, in a
 * socket that has no descriptor here and counts against no limit. */
static void reset_at_close(const struct client *c, enum outcome why)
{
    struct linger now = { .l_onoff = 1 };
    if (why == GONE_STALLED || why == GONE_OVERRUN || why == GONE_TOKEN)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

void connection_end(const struct client *c, enum outcome why)
{
    must(is_gone(why));
    ends[why - GONE_RESET]++;
    request_log_end(c);
    log_close(c, why);
    reset_at_close(c, why);
}

uint64_t connection_ends(enum outcome why)
{
    return ends[why - GONE_RESET];
}
