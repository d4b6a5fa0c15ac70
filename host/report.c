/* report.c - the lines of SIGUSR1:
 *
 *      report uptime_s=86400 connections=70 streams=64 rooms=2 messages=1400 memory=393216 ...
 *      room name="lobby" streams=60 blocked=1 messages=1300 bytes=260000 newest=... lag=81920
 *      room name="news" streams=4 blocked=0 messages=100 bytes=21000 newest=... lag=0
 *
 * The totals come first, because a full pipe drops the last lines. The report is made at once, in
 * the turn in which the signal arrives: a few dozen writes, each about as long as one send. */

#include "host/report.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/print.h"
#include "hub/survey.h"
#include "net/limits.h"

enum { NAME_BYTES = 4 * 64 + 3, ID_BYTES = 44 }; /* of a quoted name; of an id */

static void log_room(const struct room_survey *r)
{
    char name[NAME_BYTES], newest[ID_BYTES] = "-";
    if (r->newest != NULL)
        print_into(newest, sizeof newest, "%llu-%llu", (unsigned long long)r->newest->ms,
            (unsigned long long)r->newest->seq);
    log_always("room name=%s streams=%u blocked=%u messages=%llu bytes=%llu newest=%s lag=%llu",
        log_quote(r->name, name, sizeof name), r->streams, r->blocked,
        (unsigned long long)r->messages, (unsigned long long)r->bytes, newest,
        (unsigned long long)r->lag);
}

void report_log(const struct hub *hub, const struct keeper *keeper, int64_t started_ms)
{
    static struct room_survey rooms[SURVEY_ROOMS]; /* static, because it is large */
    struct survey all = survey_hub(hub);
    char sentence[640];
    uint64_t memory;
    size_t count = survey_rooms(hub, rooms, &memory);
    log_always("report uptime_s=%lld connections=%u streams=%u rooms=%zu rooms_left_out=%zu "
               "messages=%llu memory=%llu",
        (long long)(clock_mono_ms() - started_ms) / 1000, limits_connections(), limits_streams(),
        all.rooms, all.rooms - count, (unsigned long long)all.messages, (unsigned long long)memory);
    if (keeper->trouble(keeper) != NULL)
        log_always("report trouble=%s",
            log_quote(span_of(keeper->trouble(keeper)), sentence, sizeof sentence));
    for (size_t i = 0; i < count; i++)
        log_room(&rooms[i]);
}
