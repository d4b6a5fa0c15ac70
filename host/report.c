/* report.c - the lines of SIGUSR1:
 *
 *      report uptime_s=86400 connections=70 streams=64 blocked=1 lag=81920 rooms=2 ...
 *      room name="lobby" streams=60 blocked=1 messages=1300 bytes=260000 newest=... lag=81920
 *      room name="news" streams=4 blocked=0 messages=100 bytes=21000 newest=... lag=0
 *
 * The totals come first, because a full pipe drops the last lines. The report is made at once, in
 * the turn in which the signal arrives: at most a few hundred writes, each about as long as one
 * send. */

#include "host/report.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/print.h"
#include "base/process.h"
#include "hub/survey.h"
#include "net/limits.h"

enum { NAME_BYTES = LOG_QUOTED_BYTES(64), ID_BYTES = 44, NUMBER_BYTES = 24 };

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

/* Writes the size of the journal, or "-" if there is none. */
static const char *journal_bytes(const struct keeper *keeper, char out[NUMBER_BYTES])
{
    const struct histogram *syncs;
    if (keeper->measure == NULL)
        return "-";
    print_into(out, NUMBER_BYTES, "%llu", (unsigned long long)keeper->measure(keeper, &syncs));
    return out;
}

static void log_totals(
    const struct hub *hub, const struct keeper *keeper, int64_t started_ms, size_t described)
{
    char journal[NUMBER_BYTES];
    struct survey s = survey_hub(hub);
    struct process p;
    process_read(&p);
    log_always("report uptime_s=%lld connections=%u streams=%u blocked=%u lag=%llu rooms=%zu "
               "rooms_left_out=%zu messages=%llu published=%llu deliveries=%llu histories=%llu "
               "resident=%llu journal=%s log_dropped=%llu",
        (long long)(clock_mono_ms() - started_ms) / 1000, limits_connections(), limits_streams(),
        s.blocked, (unsigned long long)survey_lag(hub), s.rooms, s.rooms - described,
        (unsigned long long)s.messages, (unsigned long long)s.published,
        (unsigned long long)s.delivered, (unsigned long long)survey_memory(hub),
        (unsigned long long)p.resident, journal_bytes(keeper, journal),
        (unsigned long long)log_dropped());
}

void report_log(const struct hub *hub, const struct keeper *keeper, int64_t started_ms)
{
    static struct room_survey rooms[SURVEY_ROOMS]; /* static, because it is large */
    char sentence[640];
    size_t count = survey_rooms(hub, rooms);
    log_totals(hub, keeper, started_ms, count);
    if (keeper->trouble(keeper) != NULL)
        log_always("report trouble=%s",
            log_quote(span_of(keeper->trouble(keeper)), sentence, sizeof sentence));
    for (size_t i = 0; i < count; i++)
        log_room(&rooms[i]);
}
