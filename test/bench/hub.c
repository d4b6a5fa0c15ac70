/* hub.c - a benchmark of the hub alone, without sockets, with up to a million cursors.
 *
 *     hub-bench [--most 1000000] [--rooms 10000]
 *
 * Streams that take everything at once join a number of rooms, one room per stream; then messages
 * are published in one room after another until every stream has received some. The benchmark
 * measures the hub's work for a delivery: choosing the stream, gathering the bytes, moving the
 * cursor. A cost that grows with the number of streams or rooms shows here. In a room with a single
 * stream, a delivery pays for the whole message: its formatting and the ring. The last columns are
 * the hub's memory per stream, before there are messages, and the times to join and to leave.
 *
 * The second table is for streams in one room that show different names: the list of names is
 * sorted, so a new name moves the names after it.
 *
 * The tables are Markdown, for RESULTS.md. They do not include sends, which cost far more. */

#include "store/memory.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* Deliveries per measurement, and the most per turn_run. */
enum { DELIVERIES = 20000000, PER_TURN = 128, ROOM_NAME_BYTES = 16 };

static uint64_t sent_bytes, served_count;

/* Serves a stream whose socket takes everything. */
static enum served serve(struct stream *stream)
{
    struct gather g;
    stream_gather(stream, &g);
    stream_advance(stream, &g, g.bytes);
    sent_bytes += g.bytes;
    served_count++;
    return SERVED_ALL;
}

static void overrun(struct stream *stream)
{
    (void)stream;
    abort(); /* no stream is slow here */
}

static void published(struct waiter *waiter, enum settled settled, const struct receipt *receipt)
{
    (void)waiter, (void)settled, (void)receipt;
}

static const struct hub_settings settings = { .history = 65536, .room_ttl_ms = 60000 };
static const struct stream_owner owner = { serve, overrun };

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Returns the resident memory of this process. */
static double memory_bytes(void)
{
    unsigned long long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL || fscanf(file, "%llu %llu", &size, &resident) != 2)
        abort();
    fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static struct span name_room(unsigned room, char name[ROOM_NAME_BYTES])
{
    return (struct span) { name, (size_t)snprintf(name, ROOM_NAME_BYTES, "room-%u", room) };
}

/* Takes a message all the way into the ring: published, numbered and safe. */
static void publish(struct hub *hub, struct keeper *keeper, unsigned room)
{
    static struct waiter waiter = { .done = published };
    char name[ROOM_NAME_BYTES];
    struct receipt receipt;
    struct message m = { .kind = MESSAGE_CHAT,
        .room = name_room(room, name),
        .name = SPAN("ann"),
        .body = SPAN("a message of the usual length, as people write it to each other") };
    if (hub_publish(hub, &m, &waiter, &receipt) != PUBLISH_WAIT)
        abort();
    keeper->keep(keeper, hub_take_batch(hub));
}

/* Measures and prints one row of the first table. */
static void measure(unsigned streams, unsigned rooms)
{
    double memory = memory_bytes();
    struct stream *all = calloc(streams, sizeof *all);
    struct hub *hub = hub_new(&settings, &owner, 1000, 1760000000000);
    struct keeper *keeper = memory_open(hub);
    if (all == NULL || hub == NULL || keeper == NULL)
        abort();
    double begin = now_ns();
    for (unsigned i = 0; i < streams; i++) {
        char name[ROOM_NAME_BYTES];
        struct span room = name_room(i % rooms, name);
        all[i].chunked = true;
        if (stream_join(hub, &all[i], &room, 1, (struct span) { NULL, 0 }, true, 0) != JOIN_OK)
            abort();
        turn_serve(hub, &all[i]);
    }
    double joined = now_ns();
    memory = memory_bytes() - memory;
    served_count = 0;
    for (unsigned room = 0; served_count < DELIVERIES; room = (room + 1) % rooms) {
        publish(hub, keeper, room);
        for (uint64_t before = UINT64_MAX; before != served_count;) {
            before = served_count;
            turn_run(hub, PER_TURN);
        }
    }
    double delivered = now_ns();
    uint64_t count = served_count;
    for (unsigned i = 0; i < streams; i++)
        stream_leave(hub, &all[i]);
    double left = now_ns();
    printf("| %u | %u | %.0f | %.0f | %.0f | %.0f |\n", streams, rooms,
        (delivered - joined) / (double)count, memory / streams, (joined - begin) / streams,
        (left - delivered) / streams);
    fflush(stdout);
    keeper->close(keeper);
    hub_free(hub);
    free(all);
}

/* Measures and prints one row of the second table. The multiplication scatters the names, so that
 * they do not come in order. */
static void measure_names(unsigned streams)
{
    struct stream *all = calloc(streams, sizeof *all);
    struct hub *hub = hub_new(&settings, &owner, 1000, 1760000000000);
    struct span room = SPAN("lobby");
    if (all == NULL || hub == NULL)
        abort();
    double begin = now_ns();
    for (unsigned i = 0; i < streams; i++) {
        char name[32];
        unsigned scattered = i * 2654435761u;
        struct span shown = { name, (size_t)snprintf(name, sizeof name, "somebody %u", scattered) };
        if (stream_join(hub, &all[i], &room, 1, shown, true, 0) != JOIN_OK)
            abort();
    }
    double joined = now_ns();
    for (unsigned i = 0; i < streams; i++)
        stream_leave(hub, &all[i]);
    double left = now_ns();
    printf(
        "| %u | %.0f | %.0f |\n", streams, (joined - begin) / streams, (left - joined) / streams);
    fflush(stdout);
    hub_free(hub);
    free(all);
}

int main(int argc, char **argv)
{
    static const struct option names[] = { { "most", 1, NULL, 'm' }, { "rooms", 1, NULL, 'r' },
        { 0 } };
    unsigned most = 1000000, rooms = 10000;
    int c;
    while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
        unsigned number = c == '?' ? 0 : (unsigned)strtoul(optarg, NULL, 10);
        if (number == 0) {
            fprintf(stderr, "usage: hub-bench [--most N] [--rooms N]\n");
            return 2;
        }
        *(c == 'm' ? &most : &rooms) = number;
    }
    puts("| streams | rooms | ns per delivery | bytes per stream | ns per join | ns per leave |");
    puts("| --- | --- | --- | --- | --- | --- |");
    for (unsigned streams = 1000; streams <= most; streams *= 10) {
        measure(streams, 1);
        if (streams >= rooms)
            measure(streams, rooms);
    }
    puts("\n| names in one room | ns per join | ns per leave |");
    puts("| --- | --- | --- |");
    for (unsigned streams = 1000; streams <= most && streams <= 100000; streams *= 10)
        measure_names(streams);
    return 0;
}
