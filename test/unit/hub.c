/* hub.c - a model test of the hub: a random walk that compares it with a model, without sockets.
 *
 *     hub memory|journal|late SEED STEPS
 *
 * The technique is stateful property testing. The driver plays the rest of the program: it
 * publishes, hands batches to a keeper, lets time pass, and owns readers that take everything they
 * are offered, or a few bytes, or nothing. It also keeps a model that is as simple as possible:
 * every message ever published, the messages that each room holds, and how far each reader has
 * read. The model searches its lists from end to end, so it is slow, but simple enough to trust. It
 * shares only the formatting of frames with the hub, and that has its own driver (frame.c). The
 * driver compares every answer of the hub, and every byte that a reader gets, with the model.
 *
 * Each step draws one operation (walk, below) from a pseudo-random sequence. The seed alone
 * determines the sequence, so the same seed, keeper and build repeat the same walk. On a failure
 * the driver prints the broken promise (driver.h), the seed and the step, and ends. To reproduce
 * the failure, run the same command again; STEPS need not exceed the failing step. A breakpoint in
 * check() stops there.
 *
 * The first argument is the keeper, which numbers the messages and says when they are safe.
 * `memory` and `journal` are the program's own; `late`, from this file, answers late, refuses some
 * messages, and brings messages from other processes, as a relay would. With a journal, the seed
 * does not determine the moment at which a compaction's child ends.
 *
 * Now and then the walk restarts: it frees the hub and restores a new one from the log that a
 * keeper with a disk would have written, and that the model keeps (not with the journal, which has
 * its own). Before that, the log can lose its end, be replaced by an older copy or by an empty one,
 * be damaged, and get messages from elsewhere, with ids from the future or of an unknown kind; it
 * can be in the file twice; --history and --max-rooms can change; and the clock can be behind or
 * far ahead. Afterwards the model must predict every gap, page, `ready`, key and author, and when
 * each room is forgotten. Whatever has happened, a reader that has missed a message must get a gap,
 * and one that has missed nothing must get none (hub_restore.h).
 *
 * With -DFUZZ the fuzzer's bytes replace the seed. The walk leaves out sockets, the real clock, and
 * running out of memory, which test/tools/starve.c covers. */

#include "hub.h"
#include "base/log.h"
#include "base/print.h"
#include "driver.h"
#include "frames.h"
#include "hub/restore.h"
#include "hub/room.h"
#include "hub/survey.h"
#include "store/inside.h"
#include "store/journal.h"
#include "store/memory.h"

#include <dirent.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

/* Few rooms and keys, so that the walk uses the same ones again and again. */
enum {
    PLACES = 8,
    SEATS = 5,        /* the most rooms that one reader is in */
    NAMES = 130,      /* more than a presence snapshot shows */
    READERS = 130,    /* in one walk in eight, so that a room can have that many names */
    READERS_FEW = 20, /* the most in any other walk */
    ASKERS = 40,      /* POSTs that can wait for a result at the same time */
    KEYS = 6,
    USERS = 6,   /* pseudonyms of authors; 0 is one of them */
    SOURCES = 4, /* 0 is the one without limits */
    SECOND_MS = 1000,
};

/* In the order of the command line's names. */
enum which { MEMORY, JOURNAL, LATE };
static enum which which;
static char folder[64]; /* the journal's folder; empty if there is none */

/* ==== Chance ================================================================================= */

static uint64_t seed;

#ifdef FUZZ

static struct span bytes;

/* Returns a number less than `below`, made from as many of the fuzzer's bytes as needed, or 0 if no
 * bytes are left. */
static uint32_t draw(uint32_t below)
{
    uint32_t number = 0;
    for (uint32_t most = 1; most < below && bytes.len > 0; most <<= 8) {
        number = number << 8 | (unsigned char)bytes.at[0];
        bytes.at++;
        bytes.len--;
    }
    return number % below;
}

#else

static uint64_t state, step;

/* Returns a number less than `below` (Vigna's SplitMix64). */
static uint32_t draw(uint32_t below)
{
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return (uint32_t)((z ^ z >> 31) >> 32) % below;
}

#endif

/* Returns true one time in `in`. The hit is the largest number, not 0, because `draw` returns only
 * 0 once the fuzzer's bytes are used up. */
static bool chance(uint32_t in)
{
    return draw(in) == in - 1;
}

/* Replaces libc's getrandom, from which the hash tables get their secret. The secret must also come
 * from the seed, because the walk depends on the order of a table's entries. */
ssize_t getrandom(void *to, size_t len, unsigned flags)
{
    (void)flags;
    memset(to, (int)(seed % 255) + 1, len);
    return (ssize_t)len;
}

/* ==== The model ============================================================================== */

/* The model has its own names, so that it is not confused with the hub's structs: a post is a
 * message, a place is a room, a seat is a member, a reader is a stream, an asker is the owner of a
 * waiter. A place keeps every post that ever entered it, so a post's number in `posts` never
 * changes; dropping moves `first`, and a seat counts the posts that its reader has received:
 *
 *      place.posts    0   1   2   3   4   5   6   7
 *                     '- dropped -'   '--- held ---'
 *                                     |   |         |
 *                                 first   seat.at   posts.count
 *
 * A seat whose `at` is before its place's `first` has missed a message: its reader is overrun. */

/* A message, kept from its POST to the end of the walk. In a batch it can also be the forgetting of
 * a room, of which only m.room and `forgets` are set. */
struct post {
    struct message m;
    enum message_kind kind; /* as it is stored: that of `m`, or MESSAGE_OTHER with a note */
    char note[8];
    size_t note_len;
    struct id id; /* this and the next two are set when the message is numbered */
    uint64_t time_ms;
    struct buffer frame;
    size_t size_max;
    uint64_t order; /* of its item in the log */
    bool forgets;
    bool entered;   /* it is or was in its place's history */
    bool keyless;   /* another message has taken its key while it was pending */
    bool robbed;    /* a later message in its place has taken its key */
    bool too_large; /* its place cannot hold it, so no reader gets it */
    bool undone;    /* the hub has been restored from a log that never had it */
    bool marked;    /* for recount and free_bodies */
};

struct posts {
    struct post **at;
    size_t count, capacity;
};

/* A room. `lost` is the newest id that the hub must assume to be lost: a new room starts with the
 * hub's `lost`, because it cannot know what an earlier room of this name had. `dropped` is what the
 * room really dropped, and is never newer than `lost`. A gap for an id that is neither before
 * `dropped` nor before `excuse` is false. */
struct place {
    struct posts posts;
    size_t first, held_bytes, weight; /* bytes of the held frames; all that counts for --history */
    struct id lost;                   /* the newest id that it may have lost */
    struct id dropped;                /* the newest id that it has really dropped */
    struct id excuse; /* the newest id when a room was removed, the last time before it was made */
    bool exists, has_dropped; /* the second: since it was made */
    bool used;                /* it has messages, held or pending */
    unsigned maker;           /* the source that has made it, or first published in it */
    unsigned members, pending, online;
    unsigned named[NAMES][SOURCES]; /* streams per name and source; name 0 means no name */
    int64_t silent_ms;
};

/* A reader's position in one room. */
struct seat {
    struct place *place;
    size_t at, limit;       /* indices of posts: the next one to get, and the end of the replay */
    unsigned presences;     /* presence events received */
    struct buffer presence; /* the last presence event */
};

/* The owner of a stream or of a long poll, like those in net/ and api/. */
struct reader {
    struct stream stream;
    bool joined, poll;
    bool slow;              /* takes `budget` bytes and then blocks, like a full socket */
    bool blocked, woken;    /* as the owner sees it: blocked; woken by turn_wake */
    bool lost_before_woken; /* it was already overrun when it was woken */
    bool live;              /* it got its `ready` */
    size_t budget;          /* bytes it takes until it blocks */
    unsigned name, count;   /* the name, or 0 if none; the number of seats */
    unsigned source;
    struct seat seats[SEATS];
    struct id last, ready; /* ids of the last message and of `ready` */
    int64_t joined_ms;
    struct buffer out; /* private bytes; those from `hold` on come after the replay */
    size_t sent, hold;
    struct buffer in;       /* the bytes of an incomplete frame */
    struct buffer expected; /* expected payloads that are not from a ring, in order */
    size_t expected_at;
    struct page_query query; /* the query of a poll */
};

/* The owner of a POST, like those in api/, and the result that it expects. */
struct asker {
    struct waiter waiter;
    struct post *post;
    bool waits, repeated;
};

/* A keeper that answers late, like a remote one: it holds several batches, has its own ids and
 * times, refuses some messages, and brings messages from other processes. If `early`, it numbers
 * messages when it takes them, as the journal does; otherwise when they are safe, as a relay
 * would. */
struct late {
    struct keeper keeper;
    struct publication *first, **end;
    bool early;
};

/* What the hub itself remembers, apart from its rooms. */
struct past {
    struct past *next; /* the one made before it, so that end() can free all */
    struct id start, last, lost, excuse;
    struct interval unused[UNUSED_MAX];
    unsigned unused_count;
    uint64_t history;
};

/* One record of a journal. Items are numbered, also across restarts. ITEM_DAMAGE is an item that
 * cannot be read any more. */
struct item {
    enum { ITEM_HUB, ITEM_ROOM, ITEM_MESSAGE, ITEM_FORGOTTEN, ITEM_DAMAGE } type;
    uint64_t order;
    const struct past *past; /* ITEM_HUB */
    struct place *place;     /* ITEM_ROOM, ITEM_FORGOTTEN */
    struct id lost, excuse;  /* the same */
    struct post *post;       /* ITEM_MESSAGE */
};

/* A journal. Its first `fixed` items are from a compaction or from a start: a crash can lose only
 * those after them. */
struct log {
    struct item *at;
    size_t count, capacity, fixed;
};

/* An id that a reader has got, and may resume from: after which item, and in which run. */
struct seen {
    struct id id;
    uint64_t order;
    unsigned restart;
};

enum { SEEN_MAX = 64 };

/* The complete state of one walk, so that a fuzzer's next input begins from nothing. */
static struct world {
    struct hub_settings settings;
    struct hub *hub;
    int64_t mono_ms;
    uint64_t unix_ms, real_ms; /* the system's clock, which can be wrong, and the right time */
    struct id start, last, newest, lost, excuse;
    struct interval unused[UNUSED_MAX];
    unsigned unused_count;
    uint64_t limit; /* bytes per room: --history, or more while the hub is restored */
    struct place places[PLACES];
    unsigned place_count;
    struct reader readers[READERS];
    unsigned reader_count;
    struct asker askers[ASKERS];
    struct keeper *keeper;
    struct late late;
    struct posts batch;    /* published, but not yet with the keeper */
    struct posts kept;     /* with the keeper */
    struct posts entering; /* being settled; the first `entered` posts are in their places */
    size_t entered;
    enum settled refusal; /* the keeper's answer for the message that is being settled */
    bool calm;            /* at rest: no reader leaves and no message is refused by chance */
    bool pressed;         /* many messages are large, so histories hold few of them */
    unsigned served;      /* streams in this turn_run */
    uint64_t told;        /* presence events that all readers received */
    struct buffer scratch, expected;

    /* For restarts (hub_restore.h). */
    struct posts all; /* every post that has entered its place or the log; owns them */
    struct log log, backup;
    struct past *pasts;
    uint64_t order;            /* of the last item */
    uint64_t cut_from, cut_to; /* items after the first, up to the second, were cut off */
    unsigned restarts;
    bool damage, joined; /* the log had damage; it was joined with another one, or with itself */
    struct id lost_before, excuse_before; /* `lost` and `excuse` before the last ITEM_HUB */
    struct seen readies[SEEN_MAX], undone[SEEN_MAX]; /* ids of `ready`, and of undone posts */
    unsigned ready_count, undone_count;
} w;

/* The rooms' names in byte order, as GET /rooms lists them, and the same names in JSON. Some need
 * escapes, some are prefixes of others, and one is unlisted. */
static const struct spelling {
    const char *raw, *json;
} spellings[PLACES] = {
    { "\"quoted\"", "\"\\\"quoted\\\"\"" },
    { "a", "\"a\"" },
    { "ab", "\"ab\"" },
    { "lobby", "\"lobby\"" },
    { "lobby 2", "\"lobby 2\"" },
    { "z\\", "\"z\\\\\"" },
    { "~hidden", "\"~hidden\"" },
    { "\xc3\xa9", "\"\xc3\xa9\"" },
};

static unsigned number_of(const struct place *place)
{
    return (unsigned)(place - w.places);
}

static struct span name_of(const struct place *place)
{
    return span_of(spellings[number_of(place)].raw);
}

static const char *json_of(const struct place *place)
{
    return spellings[number_of(place)].json;
}

/* Returns a reader's name. The names are in byte order, as presence lists them; every second name
 * is the previous name with a suffix. */
static struct span reader_name(unsigned number)
{
    static char names[NAMES][16];
    if (number == 0)
        return (struct span) { NULL, 0 };
    snprintf(
        names[number], sizeof names[number], "n%03u%s", number / 2, number % 2 ? " \xc3\xa9" : "");
    return span_of(names[number]);
}

/* The numbers by which the hub knows the sources, in the order in which presence looks at equal
 * names. */
static const uint64_t sources[SOURCES] = { 0, 5, 1ull << 40, UINT64_MAX };

static unsigned source_number(uint64_t source)
{
    unsigned number = 0;
    while (sources[number] != source)
        number++;
    return number;
}

/* Appends a post, which the list does not own. */
static void push(struct posts *posts, struct post *post)
{
    if (posts->count == posts->capacity) {
        posts->capacity = posts->capacity > 0 ? 2 * posts->capacity : 16;
        posts->at = realloc(posts->at, posts->capacity * sizeof *posts->at);
        check(posts->at != NULL, "the driver can allocate memory");
    }
    posts->at[posts->count++] = post;
}

/* Frees a post's body and frame. */
static void body_free(struct post *post)
{
    free((void *)(uintptr_t)post->m.body.at);
    post->m.body = (struct span) { NULL, 0 };
    buffer_free(&post->frame);
}

static void post_free(struct post *post)
{
    body_free(post);
    free(post);
}

static struct post *post_of(const struct place *place, size_t number)
{
    return place->posts.at[number];
}

/* Returns the id of the oldest held post, or NULL if there is none. */
static const struct id *oldest_of(const struct place *place)
{
    return place->first < place->posts.count ? &post_of(place, place->first)->id : NULL;
}

static const struct id *newest_of(const struct place *place)
{
    return oldest_of(place) != NULL ? &post_of(place, place->posts.count - 1)->id : NULL;
}

/* Returns the number of the first held post after `id`. Searches from the end, because most ids are
 * recent. */
static size_t after(const struct place *place, struct id id)
{
    size_t number = place->posts.count;
    while (number > place->first && id_before(id, post_of(place, number - 1)->id))
        number--;
    return number;
}

/* Returns whether a place can count towards the limit on rooms: not the lobby, and with --room
 * none. */
static bool can_count(const struct place *place)
{
    return w.settings.max_rooms > 0 && w.settings.allowed.count == 0 &&
           !span_equal(name_of(place), SPAN("lobby"));
}

/* Returns whether this source may make the place, or (`posts`) be the first to publish in it:
 * JOIN_NO_ROOM if as many places as allowed have messages, JOIN_NO_SHARE if a quarter of that
 * number is already of this source. */
static enum join may_open(const struct place *place, unsigned source, bool posts)
{
    unsigned counted = 0, own = 0;
    if (!can_count(place) || (place->exists && (!posts || place->used)))
        return JOIN_OK;
    for (const struct place *p = w.places; p < w.places + PLACES; p++) {
        counted += p->exists && p->used && can_count(p);
        own += p->exists && p->maker == source && p != place;
    }
    if (counted >= w.settings.max_rooms)
        return JOIN_NO_ROOM;
    bool is_own = place->exists && place->maker == source;
    return source == 0 || is_own || own == 0 || own < w.settings.max_rooms / 4 ? JOIN_OK
                                                                               : JOIN_NO_SHARE;
}

/* Makes a place. It inherits the hub's `lost`, because the lost messages could have been its
 * own. */
static void make(struct place *place)
{
    if (place->exists)
        return;
    place->exists = true;
    place->used = place->has_dropped = false;
    place->maker = 0;
    place->lost = w.lost;
    place->excuse = w.excuse;
    w.place_count++;
}

/* Makes a place for a reader or a message of this source, which may_open allows. */
static void open_place(struct place *place, unsigned source, bool posts)
{
    bool first = !place->exists || (posts && !place->used);
    make(place);
    place->used |= posts;
    if (first)
        place->maker = can_count(place) ? source : 0;
}

/* Raises *id to `to` if that is later. */
static void raise_id(struct id *id, struct id to)
{
    if (id_before(*id, to))
        *id = to;
}

/* Returns what a post counts for --history: its frame, its entry, its key and its note. */
static size_t weight_of(const struct post *post)
{
    size_t weight = post->frame.len + sizeof(struct entry);
    if (post->m.key.len > 0 && !post->keyless && !post->robbed)
        weight += sizeof(struct key) + 2 * sizeof(void *) + 16 + post->m.key.len;
    if (post->kind == MESSAGE_OTHER)
        weight += sizeof(struct note) + 16 + post->note_len;
    return weight;
}

/* Returns whether a place must drop its oldest post before this one enters. */
static bool is_full(const struct place *place, const struct post *post)
{
    return oldest_of(place) != NULL && place->weight + weight_of(post) > w.limit;
}

/* Drops the place's oldest post. Readers that resume from before the post have a gap. */
static void drop(struct place *place)
{
    const struct post *post = post_of(place, place->first++);
    place->held_bytes -= post->frame.len;
    place->weight -= weight_of(post);
    place->has_dropped = true;
    raise_id(&place->lost, post->id);
    raise_id(&place->dropped, post->id);
}

/* Removes a place with everything that it holds. The hub's `lost` inherits the place's. */
static void vanish(struct place *place)
{
    while (oldest_of(place) != NULL)
        drop(place);
    raise_id(&w.lost, place->lost);
    raise_id(&w.excuse, w.last);
    place->exists = false;
    w.place_count--;
}

/* Call this after a reader or a message has left the place. A place without readers or pending
 * messages is silent from now on, or is removed at once if it holds nothing. */
static void release(struct place *place)
{
    if (place->pending == 0 && oldest_of(place) == NULL)
        place->used = false;
    if (!place->exists || place->members > 0 || place->pending > 0)
        return;
    place->silent_ms = w.mono_ms;
    if (oldest_of(place) == NULL)
        vanish(place);
}

/* Returns whether the place has been silent for too long. */
static bool is_expired(const struct place *place)
{
    return place->exists && place->members == 0 && place->pending == 0 &&
           place->silent_ms + (int64_t)w.settings.room_ttl_ms <= w.mono_ms;
}

static struct place *place_named(struct span name)
{
    for (struct place *p = w.places; p < w.places + PLACES; p++)
        if (span_equal(name_of(p), name))
            return p;
    abort();
}

static struct place *place_of(const struct post *post)
{
    return place_named(post->m.room);
}

/* Returns whether two messages of a room have the same key: only those of one user, or those of
 * no user. */
static bool is_same_key(const struct message *a, const struct message *b)
{
    uint64_t of_a = a->author.by_user ? a->author.by : 0;
    uint64_t of_b = b->author.by_user ? b->author.by : 0;
    return span_equal(a->key, b->key) && of_a == of_b;
}

/* Takes the key of a post that enters from the held post that has it. */
static void take_key(struct place *place, const struct post *entering)
{
    for (size_t at = place->first; !entering->keyless && at < place->posts.count; at++) {
        struct post *post = post_of(place, at);
        if (post->m.key.len == 0 || post->keyless || !is_same_key(&post->m, &entering->m))
            continue;
        place->weight -= weight_of(post);
        post->robbed = true;
        place->weight += weight_of(post);
    }
}

/* Adds a safe message to its place, which first drops as many old ones as necessary to stay within
 * its history. */
static void enter(struct post *post)
{
    struct place *place = place_of(post);
    post->robbed = false; /* it may have been, before a restart */
    while (is_full(place, post))
        drop(place);
    take_key(place, post);
    push(&place->posts, post);
    open_place(place, 0, true); /* unless it was published here, and so is used already */
    place->held_bytes += post->frame.len;
    place->weight += weight_of(post);
    post->entered = true;
    post->too_large = false;
    raise_id(&w.newest, post->id);
}

/* The same for a message that is larger than the history: its place drops everything. */
static void pass(struct post *post)
{
    struct place *place = place_of(post);
    push(&place->posts, post);
    place->held_bytes += post->frame.len;
    place->weight += weight_of(post);
    post->entered = post->too_large = true;
    while (oldest_of(place) != NULL)
        drop(place);
    raise_id(&w.newest, post->id);
}

/* ---- The log ---- */

/* The model also keeps the log that a keeper with a disk would have written. A restart (restart)
 * restores the hub from it. The journal keeper has its own file, so its walks keep no log. */

static void log_add(struct log *log, struct item item)
{
    if (which == JOURNAL)
        return;
    if (log->count == log->capacity) {
        log->capacity = log->capacity > 0 ? 2 * log->capacity : 16;
        log->at = realloc(log->at, log->capacity * sizeof *log->at);
        check(log->at != NULL, "the driver can allocate memory");
    }
    item.order = ++w.order;
    log->at[log->count++] = item;
}

/* Adds a message that has entered its place. The model owns it from now on. */
static void log_message(struct post *post)
{
    push(&w.all, post);
    log_add(&w.log, (struct item) { .type = ITEM_MESSAGE, .post = post });
    post->order = w.order;
}

static void log_room(struct place *place)
{
    log_add(&w.log,
        (struct item) {
            .type = ITEM_ROOM, .place = place, .lost = place->lost, .excuse = place->excuse });
}

/* Adds the forgetting of a place, which still has its messages. */
static void log_forgotten(struct place *place)
{
    const struct id *newest = newest_of(place);
    log_add(&w.log,
        (struct item) {
            .type = ITEM_FORGOTTEN, .place = place, .lost = newest ? *newest : place->lost });
}

/* Returns what the hub itself remembers now. Sometimes it lacks --history, which an older version
 * did not write. */
static struct past *past_new(void)
{
    struct past *past = malloc(sizeof *past);
    check(past != NULL, "the driver can allocate memory");
    *past = (struct past) { .start = w.start,
        .last = w.last,
        .lost = w.lost,
        .excuse = w.excuse,
        .unused_count = w.unused_count,
        .history = chance(8) ? 0 : w.settings.history,
        .next = w.pasts };
    memcpy(past->unused, w.unused, sizeof w.unused);
    w.pasts = past;
    return past;
}

/* Adds that, as a keeper does at each start. */
static void log_hub(void)
{
    log_add(&w.log, (struct item) { .type = ITEM_HUB, .past = past_new() });
}

/* Returns the place whose next post has the smallest id, or NULL if there is none. `next` has the
 * number of each place's next post. */
static struct place *earliest(const size_t *next)
{
    struct place *best = NULL;
    for (struct place *p = w.places; p < w.places + PLACES; p++)
        if (next[number_of(p)] < p->posts.count &&
            (best == NULL || id_before(post_of(p, next[number_of(p)])->id,
                                 post_of(best, next[number_of(best)])->id)))
            best = p;
    return best;
}

/* Writes the log again from the places, as a compaction does: room by room in any order, or first
 * all rooms and then all messages by their ids. */
static void compact(void)
{
    unsigned first = draw(PLACES), stride = 1 + 2 * draw(PLACES / 2);
    bool by_id = chance(2);
    size_t next[PLACES];
    w.log.count = 0;
    log_hub();
    for (unsigned i = 0; i < PLACES; i++) {
        struct place *place = &w.places[(first + i * stride) % PLACES];
        next[number_of(place)] = place->first;
        if (place->exists)
            log_room(place);
        for (size_t at = place->first; !by_id && at < place->posts.count; at++)
            log_add(&w.log, (struct item) { .type = ITEM_MESSAGE, .post = post_of(place, at) });
    }
    for (struct place *p; by_id && (p = earliest(next)) != NULL;)
        log_add(&w.log,
            (struct item) { .type = ITEM_MESSAGE, .post = post_of(p, next[number_of(p)]++) });
    w.log.fixed = w.log.count;
}

/* Copies the log, as an operator who makes a backup does. */
static void back_up(void)
{
    w.backup.count = 0;
    for (size_t i = 0; i < w.log.count; i++) {
        log_add(&w.backup, w.log.at[i]);
        w.backup.at[i].order = w.log.at[i].order;
    }
    w.backup.fixed = w.log.fixed;
}

/* ---- In step with the hub ---- */

/* Gets the id of a room's oldest message from the hub: it is the first on the page after an
 * unreadable id. Returns false if the room is empty. */
static bool ask_oldest(const struct place *place, struct id *id)
{
    struct page_query q = { .room = name_of(place), .start.since = SINCE_UNKNOWN, .limit = 1 };
    struct span key = SPAN("],\"oldest\":\"");
    w.scratch.len = 0;
    history_page(w.hub, &q, &w.scratch);
    struct span text = { memmem(w.scratch.at, w.scratch.len, key.at, key.len), 0 };
    if (text.at == NULL)
        return false;
    text.at += key.len;
    while (text.at[text.len] != '"')
        text.len++;
    check(id_parse(text, id), "a page's `oldest` is an id");
    return true;
}

/* Forgets a place's history. Its pending count shows that the hub has done so (is_forgotten). */
static void forget_place(struct place *place)
{
    while (oldest_of(place) != NULL)
        drop(place);
    place->pending--;
    release(place);
}

/* Returns whether the hub has settled the forgetting of this place, which is the next post. Its
 * other pending messages come later. */
static bool is_forgotten(const struct place *place)
{
    const struct room *room = room_find(w.hub, name_of(place));
    return room == NULL || room->pending < place->pending;
}

/* Catches the model up with the hub in the middle of a settlement. Before a ring drops a message,
 * the hub serves the streams that have not been offered it, so our callbacks run when only some
 * messages of the batch have entered. The hub's newest id shows which posts have entered, and the
 * oldest id of the next post's room shows how many posts were dropped for it. */
static void sync_model(void)
{
    struct id newest = w.hub->newest, oldest;
    while (w.entered < w.entering.count) {
        struct post *post = w.entering.at[w.entered];
        if (post->forgets ? !is_forgotten(place_of(post)) : id_before(newest, post->id))
            break;
        if (post->forgets) {
            log_forgotten(place_of(post));
            forget_place(place_of(post));
        } else {
            enter(post);
            log_message(post);
        }
        w.entered++;
    }
    check(id_equal(w.newest, newest), "the hub knows the id of the newest message");
    if (w.entered == w.entering.count || w.entering.at[w.entered]->forgets)
        return;
    const struct post *next = w.entering.at[w.entered];
    struct place *place = place_of(next);
    bool any = ask_oldest(place, &oldest);
    while (oldest_of(place) != NULL && !(any && id_equal(*oldest_of(place), oldest))) {
        check(is_full(place, next), "a message is dropped only to make space for the next one");
        drop(place);
    }
}

/* ==== Messages in ============================================================================ */

/* Returns the next id by the model's own rule: the greater of the clock and the last id + 1. */
static struct id clock_id(void)
{
    if (w.unix_ms > w.last.ms)
        w.last = (struct id) { w.unix_ms, 0 };
    else
        w.last.seq++;
    return w.last;
}

/* Returns the newest post that has the key. Searches from the end, because if two messages from
 * other processes have the same key, the later one owns it. */
static struct post *find_in(const struct posts *posts, size_t from, const struct message *m)
{
    for (size_t i = posts->count; i > from; i--) {
        struct post *post = posts->at[i - 1];
        if (!post->keyless && is_same_key(&post->m, m) && span_equal(post->m.room, m->room))
            return post;
    }
    return NULL;
}

/* Finds the message that used this message's key in its room and is still held or pending: in the
 * history, being settled, with the keeper, or in the batch. */
static struct post *find_key(const struct place *place, const struct message *m)
{
    struct post *post = NULL;
    if (m->key.len > 0)
        post = find_in(&place->posts, place->first, m);
    if (m->key.len > 0 && post == NULL)
        post = find_in(&w.entering, w.entered, m);
    if (m->key.len > 0 && post == NULL)
        post = find_in(&w.kept, 0, m);
    if (m->key.len > 0 && post == NULL)
        post = find_in(&w.batch, 0, m);
    return post;
}

/* Notes an id that a reader has got. Beyond SEEN_MAX it replaces another one. */
static void see(struct seen *list, unsigned *count, struct id id)
{
    unsigned i = *count < SEEN_MAX ? (*count)++ : draw(SEEN_MAX);
    list[i] = (struct seen) { id, w.order, w.restarts };
}

/* Returns an asker that does not wait, or NULL if all wait. */
static struct asker *free_asker(void)
{
    for (struct asker *a = w.askers; a < w.askers + ASKERS; a++)
        if (!a->waits)
            return a;
    return NULL;
}

/* Returns how many posts of a list, from number `from` on, are messages for this place. */
static size_t count_for(const struct posts *posts, size_t from, const struct place *place)
{
    size_t count = 0;
    for (size_t i = from; i < posts->count; i++)
        count += !posts->at[i]->forgets && place_of(posts->at[i]) == place;
    return count;
}

/* Checks that a room has memory for all its pending messages, so that hub_safe cannot fail, not
 * even after the room has given back some. */
static void check_reserved(const struct place *place)
{
    const struct room *room = room_find(w.hub, name_of(place));
    if (room == NULL)
        return;
    size_t pending = count_for(&w.batch, 0, place) + count_for(&w.kept, 0, place) +
                     count_for(&w.entering, w.entered, place);
    uint64_t bytes = room->ring.head - room->ring.tail + room->pending_bytes;
    check(room->ring.capacity >= (bytes < w.limit ? bytes : w.limit) &&
              room->ring.entry_capacity >= room->ring.next - room->ring.first + pending,
        "a ring has space for all pending messages");
}

/* A waiter's callback can publish again, so these are declared before it. */
static void publish(struct message m);
static void publish_anew(void);

/* Returns whether the hub's text for an id and a time matches the post. */
static bool is_stamp_of(const struct stamp *stamp, const struct post *post)
{
    struct stamp expected = { 0 };
    stamp_make(&expected, post->id, post->time_ms);
    return span_equal(stamp_id(stamp), stamp_id(&expected)) &&
           span_equal(stamp_time(stamp), stamp_time(&expected));
}

/* Takes the result of a POST, as the hub's callback for a waiter. Also does what an owner may do in
 * its callback: publish again, and forget other waiters for the same message. */
static void done(struct waiter *waiter, enum settled settled, const struct receipt *receipt)
{
    struct asker *a = (struct asker *)(void *)((char *)waiter - offsetof(struct asker, waiter));
    sync_model();
    check(a->waits && waiter->publication == NULL, "a waiter gets exactly one result");
    check(waiter->repeated == a->repeated, "a waiter shows whether its POST was a repetition");
    check(settled == w.refusal, "a waiter gets the keeper's answer");
    check(a->post->entered == (settled == SETTLED_SAFE),
        "a waiter gets `safe` exactly when its message is in the history");
    if (settled == SETTLED_SAFE) {
        check(is_stamp_of(&receipt->stamp, a->post), "a receipt has the message's id and time");
    }
    check(span_equal(receipt->room, a->post->m.room), "a receipt has the message's room");
    check(receipt->online == place_of(a->post)->online,
        "a receipt has the number of streams in the room");
    a->waits = false;
    if (chance(8))
        publish_anew();
    for (struct asker *other = w.askers; chance(8) && other < w.askers + ASKERS; other++)
        if (other->waits && other->post == a->post) {
            hub_forget(&other->waiter);
            other->waits = false;
        }
}

/* Returns whether two messages would give the same frame. This distinguishes a repeated POST from a
 * conflict. */
static bool is_same(const struct message *m, const struct post *first)
{
    struct buffer one = { 0 }, other = { 0 };
    add_frame_of(&one, m, first->id, first->time_ms);
    add_frame_of(&other, &first->m, first->id, first->time_ms);
    bool same = span_equal(buffer_span(&one), buffer_span(&other));
    buffer_free(&one);
    buffer_free(&other);
    return same;
}

/* Checks a POST whose key is known. It is a conflict if its message differs; otherwise it waits
 * with the first POST, or gets the receipt of the first message if that is safe already. */
static void check_first(const struct message *m, struct asker *a, struct post *first)
{
    struct receipt receipt = { 0 };
    bool same = is_same(m, first);
    enum publish expected = first->entered ? PUBLISH_REPEATED : PUBLISH_WAIT;
    enum publish result = hub_publish(w.hub, m, &a->waiter, &receipt);
    check(result == (same ? expected : PUBLISH_CONFLICT),
        "a known key is a repetition, or a conflict if the message differs");
    if (result == PUBLISH_WAIT) {
        a->post = first;
        a->waits = a->repeated = true;
    } else if (result == PUBLISH_REPEATED) {
        check(is_stamp_of(&receipt.stamp, first),
            "a repetition's receipt has the first message's id and time");
        check(span_equal(receipt.room, m->room),
            "a repetition's receipt has the first message's room");
        check(receipt.online == place_of(first)->online,
            "a repetition's receipt has the current number of streams");
    }
}

/* Returns the bound on the frame's size by which the hub decides whether a message is too large. */
static size_t size_max_of(const struct message *m)
{
    w.scratch.len = 0;
    frame_body(&w.scratch, m);
    return frame_size_max(
        &(struct frame_content) { m->kind, buffer_span(&w.scratch), m->key, m->author });
}

/* Checks a POST with a new key or no key: it is accepted, unless its frame could be too large. */
static void check_new(const struct message *m, struct asker *a, struct place *place)
{
    struct receipt receipt;
    struct post *post = calloc(1, sizeof *post);
    check(post != NULL, "the driver can allocate memory");
    *post = (struct post) { .m = *m, .kind = frame_stored_kind(m->kind) };
    post->size_max = size_max_of(m);
    open_place(place, source_number(m->source), true);
    enum publish result = hub_publish(w.hub, m, &a->waiter, &receipt);
    if (post->size_max > w.settings.history / 2) {
        check(result == PUBLISH_TOO_LARGE,
            "a message whose frame could be over half of the history is refused");
        release(place);
        post_free(post);
        return;
    }
    check(result == PUBLISH_WAIT, "a new message is accepted");
    place->pending++;
    push(&w.batch, post);
    a->post = post;
    a->waits = true;
    a->repeated = false;
    check_reserved(place);
}

/* Publishes `m` and checks the hub's answer; takes ownership of m.body. Does nothing if all askers
 * wait, because a POST needs one. */
static void publish(struct message m)
{
    struct asker *a = free_asker();
    struct place *place = place_named(m.room);
    struct post *first = find_key(place, &m);
    if (a != NULL)
        a->waiter.done = done;
    enum join join = may_open(place, source_number(m.source), true);
    if (a != NULL && join != JOIN_OK) {
        struct receipt receipt;
        check(hub_publish(w.hub, &m, &a->waiter, &receipt) ==
                  (join == JOIN_NO_ROOM ? PUBLISH_NO_ROOM : PUBLISH_NO_SHARE),
            "a message does not make a room beyond the limits");
    } else if (a != NULL && first != NULL) {
        check_first(&m, a, first);
    } else if (a != NULL) {
        check_new(&m, a, place);
        return;
    }
    free((void *)(uintptr_t)m.body.at);
}

/* Draws the size of a message: most are short, some fill a good part of the smallest history, and a
 * few are too large for it. */
static size_t draw_size(void)
{
    if (w.pressed && chance(2))
        return draw(7000);
    switch (draw(16)) {
    case 0:
        return draw(10000);
    case 1:
    case 2:
        return draw(4000);
    case 3:
    case 4:
    case 5:
        return draw(600);
    default:
        return draw(60);
    }
}

/* Draws a body of the kind, padded to a drawn size. Text has all three kinds of line ends, and
 * pieces that look like a field of an event stream. The caller owns it. */
static struct span draw_body(enum message_kind kind)
{
    static const char *const pieces[] = { "a", "bc ", "\"", "\xc3\xa9", "\n", "\r\n", "\r",
        "id: 1-0" };
    struct buffer body = { 0 };
    size_t size = draw_size();
    buffer_add_string(&body, kind == MESSAGE_JSON ? "{\"n\":\"" : ".");
    if (kind == MESSAGE_JSON)
        buffer_add_number(&body, draw(1000));
    else
        for (int i = (int)draw(12); i > 0; i--)
            buffer_add_string(&body, pieces[draw(8)]);
    while (body.len < size)
        buffer_add(&body, (struct span) { "0123456789abcdefghijklmnopqrstuv", 32 });
    if (kind == MESSAGE_JSON)
        buffer_add(&body, SPAN("\"}"));
    check(!body.failed, "the driver can allocate memory");
    return buffer_span(&body);
}

/* Draws an author; one in three is a user. */
static struct author draw_author(void)
{
    uint64_t by = draw(USERS);
    return (struct author) { by << 60 | by, chance(2), chance(3) };
}

static struct message draw_message(void)
{
    static const char *const events[] = { "", "", "news", "a b" };
    static const char *const keys[KEYS] = { "k", "k1", "k2", "key-3", "key-4",
        "the-longest-key-has-sixty-four-bytes-and-weighs-more-than-others" };
    /* Half of the messages enter one room, so that its history is always full. */
    const struct place *place = &w.places[chance(2) ? 3 : draw(PLACES)];
    struct message m = { .kind = (enum message_kind)draw(4), .room = name_of(place) };
    if (m.kind == MESSAGE_CHAT || m.kind == MESSAGE_BINARY)
        m.name = reader_name(1 + draw(3));
    if (m.kind != MESSAGE_CHAT)
        m.event = span_of(events[draw(4)]);
    if (chance(3))
        m.key = span_of(keys[draw(KEYS)]);
    m.author = draw_author();
    m.source = sources[draw(SOURCES)];
    m.body = draw_body(m.kind);
    return m;
}

static void publish_new(void)
{
    publish(draw_message());
}

/* Repeats a POST, a moment or a long time after the first one. One chat message in eight has
 * another name, which makes it a conflict; one message in eight has another author, whose key may
 * be a different one. */
static void publish_again(void)
{
    const struct place *place = &w.places[draw(PLACES)];
    const struct posts *posts = w.batch.count > 0 && chance(2) ? &w.batch : &place->posts;
    size_t recent = posts->count < 50 ? posts->count : 50;
    if (recent == 0)
        return;
    const struct post *post = posts->at[posts->count - 1 - draw((uint32_t)recent)];
    if (post->forgets)
        return;
    struct message m = post->m;
    m.body = copy_of(m.body);
    if (chance(8))
        m.name = m.kind == MESSAGE_CHAT ? SPAN("somebody else") : m.name;
    if (chance(8))
        m.author = draw_author();
    publish(m);
}

/* Publishes from a waiter's callback. */
static void publish_anew(void)
{
    if (chance(4))
        publish_again();
    else
        publish_new();
}

/* Removes the owner of a POST before it gets the result; the message stays. */
static void forget_one(void)
{
    struct asker *a = &w.askers[draw(ASKERS)];
    hub_forget(&a->waiter);
    a->waits = false;
}

/* ==== What readers can read ================================================================== */

/* Returns whether the id is in one of the intervals. */
static bool is_between(struct id id, const struct interval *intervals, unsigned count)
{
    bool between = false;
    for (unsigned i = 0; i < count; i++)
        between |= id_before(intervals[i].after, id) && id_before(id, intervals[i].before);
    return between;
}

/* Returns whether the id is later than all that the hub takes for known. A scoped reader must not
 * be able to find out which is the newest one. */
static bool is_later(const struct start *start)
{
    bool past_clock = start->id.ms > w.unix_ms;
    return id_before(w.last, start->id) && (past_clock || !start->scoped);
}

/* Returns the reason for the gap that a reader with this start must get, or NULL. The hub may
 * report a gap where nothing is missing (in a room that was dropped and made again), but must
 * report one where a message is missing. */
static const char *gap_of(const struct place *place, const struct start *start)
{
    if (start->since == SINCE_UNKNOWN)
        return "unknown";
    if (start->since != SINCE_ID)
        return NULL;
    if (is_later(start) || is_between(start->id, w.unused, w.unused_count))
        return "unknown";
    bool gap = id_before(start->id, place->exists ? place->lost : w.lost);
    check(gap || !id_before(start->id, place->dropped),
        "a reader that may have missed a dropped message gets a gap");
    if (!gap)
        return NULL;
    return id_before(start->id, w.start) ? "restarted" : "expired";
}

/* Returns the number of the first post that a reader with this start gets. After a gap these are
 * usually all held posts; but a reader that has already got some of them, and may have missed
 * others elsewhere because of damage, gets those after its id. */
static size_t begin_of(const struct place *place, const struct start *start)
{
    size_t held = place->posts.count - place->first;
    const char *gap = gap_of(place, start);
    if (gap != NULL && strcmp(gap, "unknown") == 0)
        return place->first;
    if (start->since == SINCE_ID)
        return after(place, start->id);
    if (start->since == SINCE_NOW)
        return place->posts.count;
    return place->posts.count - (held < start->count ? held : start->count);
}

/* Appends a post as an element of a page. The server's frame_to_json is trusted here, because
 * frame.c (the driver) tests it. */
static void add_element(struct buffer *out, const struct post *post, struct span room)
{
    struct span frame = buffer_span(&post->frame);
    frame_to_json(out,
        (struct span) { frame.at + FRAME_LEAD_BYTES, frame.len - FRAME_ENVELOPE_BYTES }, post->kind,
        room, post->id, post->time_ms);
}

/* Returns the id from which a reader with this start continues when it has everything in these
 * places: the newest of all, or, if it is scoped, the newest that it can know of. */
static struct id newest_for(const struct start *start, struct place *const *places, unsigned count)
{
    struct id newest = { 0, 0 };
    if (!start->scoped)
        return w.newest;
    if (start->since == SINCE_ID && !is_later(start) &&
        !is_between(start->id, w.unused, w.unused_count))
        newest = start->id;
    for (unsigned i = 0; i < count; i++) {
        raise_id(&newest, places[i]->exists ? places[i]->lost : w.lost);
        if (newest_of(places[i]) != NULL)
            raise_id(&newest, *newest_of(places[i]));
    }
    return newest;
}

/* Finds the posts of a page, from `*from` up to but not including `*to`: at most `limit` posts, and
 * as many as fit into the page's bound in bytes, but at least one. */
static void bounds_of(
    const struct place *place, const struct page_query *q, bool forwards, size_t *from, size_t *to)
{
    struct buffer text = { 0 };
    *from = *to = forwards ? begin_of(place, &q->start) : place->posts.count;
    while (!forwards && q->has_before && *from > place->first &&
           !id_before(post_of(place, *from - 1)->id, q->before))
        *from = *to = *from - 1;
    for (unsigned i = 0; i < q->limit; i++) {
        if (forwards ? *to == place->posts.count : *from == place->first)
            break;
        add_element(&text, post_of(place, forwards ? *to : *from - 1), q->room);
        if (i > 0 && text.len + i > HISTORY_PAGE_BYTES)
            break;
        *to += forwards;
        *from -= !forwards;
    }
    buffer_free(&text);
}

/* Requests a page and compares it byte for byte. Returns whether it has a message or a gap. */
static bool check_page(const struct page_query *q)
{
    struct place *place = place_named(q->room);
    struct buffer *page = &w.scratch, *out = &w.expected;
    struct id newest = newest_for(&q->start, &place, 1);
    bool forwards = q->start.since == SINCE_ID || q->start.since == SINCE_UNKNOWN;
    bool gap = !q->from_oldest && gap_of(place, &q->start) != NULL;
    size_t from, to;
    bounds_of(place, q, forwards, &from, &to);
    out->len = 0;
    buffer_add(out, SPAN("{\"messages\":["));
    for (size_t i = from; i < to; i++) {
        buffer_add_string(out, i > from ? "," : "");
        add_element(out, post_of(place, i), q->room);
    }
    buffer_add(out, SPAN("],\"oldest\":"));
    id_add_json(out, from < to ? &post_of(place, from)->id : NULL);
    buffer_add(out, SPAN(",\"newest\":"));
    id_add_json(out, from < to ? &post_of(place, to - 1)->id : q->polls ? &newest : NULL);
    bool more = forwards ? to < place->posts.count : from > place->first;
    buffer_printf(out, ",\"more\":%s,\"gap\":%s}", more ? "true" : "false", gap ? "true" : "false");
    page->len = 0;
    bool tells = history_page(w.hub, q, page);
    check(span_equal(buffer_span(page), buffer_span(out)),
        "a page shows exactly the messages that the room holds");
    check(tells == (gap || from < to), "history_page returns whether there is a message or a gap");
    return tells;
}

/* Shows every room, as GET /rooms does without a token. */
static bool shows_all(const void *reader, struct span room)
{
    (void)reader;
    return room.len > 0;
}

/* Compares GET /rooms with the places: a room is listed if it has streams or history, unless its
 * name begins with `~`. */
static void check_rooms(void)
{
    struct buffer *rooms = &w.scratch, *out = &w.expected;
    rooms->len = out->len = 0;
    for (const struct place *p = w.places; p < w.places + PLACES; p++) {
        if (!p->exists || name_of(p).at[0] == '~' || (p->online == 0 && oldest_of(p) == NULL))
            continue;
        buffer_printf(out, "%s{\"room\":%s,\"online\":%u,\"newest\":", out->len > 0 ? "," : "",
            json_of(p), p->online);
        id_add_json(out, newest_of(p));
        buffer_add(out, SPAN("}"));
    }
    history_rooms(w.hub, shows_all, NULL, rooms);
    check(span_equal(buffer_span(rooms), buffer_span(out)),
        "the list of rooms has exactly the rooms that exist");
}

/* Returns whether presence shows a name: if one of the sources that show it has fewer than 16 names
 * among those shown so far. */
static bool shows_name(const unsigned *named, unsigned *shown)
{
    for (unsigned s = 0; s < SOURCES; s++)
        if (named[s] > 0 && (s == 0 || shown[s] < 16)) {
            shown[s]++;
            return true;
        }
    return false;
}

/* Appends the presence event that a place would send now. */
static void add_presence(struct buffer *out, const struct place *place)
{
    unsigned shown = 0, shown_of[SOURCES] = { 0 };
    buffer_printf(out, "event: presence\ndata: {\"room\":%s,\"online\":%u,\"names\":[",
        json_of(place), place->online);
    for (unsigned i = 1; i < NAMES && shown < 100; i++)
        if (shows_name(place->named[i], shown_of)) {
            buffer_add_string(out, shown++ > 0 ? ",\"" : "\"");
            buffer_add(out, reader_name(i));
            buffer_add(out, SPAN("\""));
        }
    buffer_add(out, SPAN("]}\n\n"));
}

/* Draws an id to request: usually that of a held or dropped message; sometimes an adjacent id, an
 * id from before the start, or an id far in the past or the future. */
static struct id draw_id(void)
{
    const struct place *place = &w.places[draw(PLACES)];
    uint32_t kind = draw(11);
    struct id id = w.newest;
    if (kind < 7 && place->posts.count > 0) {
        size_t most = chance(3) ? place->posts.count : place->posts.count - place->first;
        if (most > 0)
            id = post_of(place, place->posts.count - 1 - draw((uint32_t)most))->id;
    }
    if (kind == 5)
        id.seq++;
    if (kind == 6)
        id.ms--;
    if (kind == 7)
        id = (struct id) { w.start.ms - draw(2), draw(3) };
    if (kind == 8)
        id = (struct id) { draw(2) > 0 ? UINT64_MAX : 0, UINT64_MAX };
    if (kind == 9 && w.undone_count > 0)
        id = w.undone[draw(w.undone_count)].id;
    return id;
}

/* Requests a page: forwards, backwards from the end, or backwards from an id. */
static void ask_page(void)
{
    struct page_query q = { .room = name_of(&w.places[draw(PLACES)]), .limit = 1 + draw(12) };
    if (chance(4))
        q.limit = HISTORY_MAX;
    switch (draw(5)) {
    case 0:
        break;
    case 1:
        q.has_before = true;
        q.before = draw_id();
        break;
    case 2:
        q.start.since = SINCE_ID; /* with the id 0-0 */
        q.from_oldest = true;
        break;
    default:
        q.start = (struct start) { .since = chance(8) ? SINCE_UNKNOWN : SINCE_ID, .id = draw_id() };
    }
    q.start.scoped = chance(2);
    check_page(&q);
}

/* ==== What a reader gets ===================================================================== */

/* An event's fields. Lines end in LF and have one space after the colon. The hub writes frames only
 * in this form, so the complete parser of unit/frame.c is not needed. */
struct event {
    struct span type, id;
};

/* Parses a payload, and checks that it is one event: `id`, `event`, then only `data`. */
static struct event parse_event(struct span payload)
{
    struct event event = { SPAN("message"), { NULL, 0 } };
    struct span line;
    bool data = false;
    while (span_split(&payload, '\n', &line) && line.len > 0) {
        struct span name;
        span_split(&line, ':', &name);
        check(line.len > 0 && line.at[0] == ' ', "a line is `name: value`");
        line.at++;
        line.len--;
        if (span_equal(name, SPAN("id")) && event.id.at == NULL)
            event.id = line;
        else if (span_equal(name, SPAN("event")) && !data)
            event.type = line;
        else
            check(
                span_equal(name, SPAN("data")), "a line is `id`, `event` or `data`, in this order");
        data |= span_equal(name, SPAN("data"));
    }
    check(data && payload.at != NULL && payload.len == 0, "a frame is exactly one event");
    return event;
}

/* Compares an event that was written for this reader alone (gap, ready, the first presence, a
 * heartbeat) with the event that the model expects next. */
static void get_private(struct reader *r, struct span payload, const struct event *event)
{
    struct span left = { r->expected.at + r->expected_at, r->expected.len - r->expected_at };
    check(left.len >= payload.len && memcmp(left.at, payload.at, payload.len) == 0,
        "private events arrive in order and unchanged");
    r->expected_at += payload.len;
    if (span_equal(event->type, SPAN("gap")))
        check(r->last.ms == 0 && !r->live, "a gap comes before the first message");
    if (!span_equal(event->type, SPAN("ready")))
        return;
    for (unsigned i = 0; i < r->count; i++)
        check(r->seats[i].at == r->seats[i].limit, "the replay is complete before `ready`");
    check(id_parse(event->id, &r->ready), "`ready` has an id");
    see(w.readies, &w.ready_count, r->ready);
    check(!id_before(r->ready, r->last), "no replayed message is newer than `ready`");
    r->live = true;
}

/* Returns whether the reader has reached the end of each of its places. */
static bool has_all(const struct reader *r)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->seats[i].at != r->seats[i].place->posts.count)
            return false;
    return true;
}

/* Takes a presence snapshot. Each room sends at most one per second. The state that it shows is
 * checked only at rest, because until then it can be out of date. */
static void get_presence(struct reader *r, struct span payload)
{
    struct seat *seat = NULL;
    check(r->live, "presence comes after `ready`");
    for (unsigned i = 0; i < r->count; i++) {
        w.scratch.len = 0;
        buffer_printf(
            &w.scratch, "event: presence\ndata: {\"room\":%s,", json_of(r->seats[i].place));
        if (payload.len > w.scratch.len && memcmp(payload.at, w.scratch.at, w.scratch.len) == 0)
            seat = &r->seats[i];
    }
    check(seat != NULL, "presence is for one of the reader's rooms");
    seat->presences++;
    w.told++;
    check(seat->presences <= (w.mono_ms - r->joined_ms) / SECOND_MS + 1,
        "a room's presence comes at most once a second");
    seat->presence.len = 0;
    buffer_add(&seat->presence, payload);
}

/* Takes a message from a ring. It must be the next message of one of the reader's seats, and newer
 * than all earlier ones. So no message is missing or repeated, and the messages of all rooms come
 * in the order of their ids. */
static void get_message(struct reader *r, struct span payload, const struct event *event)
{
    struct id id;
    struct seat *seat = NULL;
    check(id_parse(event->id, &id), "a message has an id");
    check(id_before(r->last, id), "ids grow, and no message comes twice");
    for (unsigned i = 0; i < r->count; i++) {
        struct seat *s = &r->seats[i];
        if (s->at < s->place->posts.count && id_equal(post_of(s->place, s->at)->id, id))
            seat = s;
    }
    check(seat != NULL, "a message is the next one in one of the reader's rooms");
    check(seat->at >= seat->place->first, "a message that is sent is still held");
    check(r->live ? id_before(r->ready, id) : seat->at < seat->limit,
        "messages up to `ready` come before it, newer ones after it");
    struct span frame = buffer_span(&post_of(seat->place, seat->at)->frame);
    frame = (struct span) { frame.at + FRAME_LEAD_BYTES, frame.len - FRAME_ENVELOPE_BYTES };
    check(span_equal(payload, frame), "a message has the bytes that were published");
    seat->at++;
    r->last = id;
}

/* Identifies an event by its id rather than by its name, which a message may choose. An event with
 * an id is a message or `ready`; any other is the private event that the model expects next, or
 * presence if none is expected. */
static void get_payload(struct reader *r, struct span payload)
{
    struct event event = parse_event(payload);
    if (event.id.at != NULL && !span_equal(event.type, SPAN("ready")))
        get_message(r, payload, &event);
    else if (r->expected_at < r->expected.len)
        get_private(r, payload, &event);
    else
        get_presence(r, payload);
}

/* Finds a complete frame at the front, with or without its HTTP chunk, and its payload. Returns the
 * frame's length, or 0 if more bytes are needed. */
static size_t find_frame(const struct reader *r, struct span in, struct span *payload)
{
    if (!r->stream.chunked) {
        const char *end = in.len > 0 ? memmem(in.at, in.len, "\n\n", 2) : NULL;
        *payload = (struct span) { in.at, end != NULL ? (size_t)(end + 2 - in.at) : 0 };
        return payload->len;
    }
    if (in.len < FRAME_LEAD_BYTES)
        return 0;
    char digits[9] = { 0 }, *end;
    memcpy(digits, in.at, 8);
    size_t size = strtoul(digits, &end, 16);
    check(end == digits + 8 && memcmp(in.at + 8, "\r\n", 2) == 0, "a chunk begins with its size");
    check(size > 0, "the hub never sends the last chunk, which would end the stream");
    if (in.len < size + FRAME_ENVELOPE_BYTES)
        return 0;
    *payload = (struct span) { in.at + FRAME_LEAD_BYTES, size };
    check(memcmp(payload->at + size, "\r\n", 2) == 0, "a chunk's data is followed by CR LF");
    return size + FRAME_ENVELOPE_BYTES;
}

/* Gives bytes to the reader, which takes what its budget allows, like a socket's send. Complete
 * frames are checked at once; the rest stays in r->in. Returns the number of bytes taken. */
static size_t take(struct reader *r, struct span s)
{
    size_t n = s.len < r->budget ? s.len : r->budget, len;
    if (r->slow)
        r->budget -= n;
    buffer_add(&r->in, (struct span) { s.at, n });
    struct span rest = buffer_span(&r->in), payload;
    while ((len = find_frame(r, rest, &payload)) > 0) {
        get_payload(r, payload);
        rest = (struct span) { rest.at + len, rest.len - len };
    }
    if (rest.len > 0 && rest.len < r->in.len)
        memmove(r->in.at, rest.at, rest.len);
    r->in.len = rest.len;
    return n;
}

/* ==== Serving ================================================================================ */

/* Frees the reader's memory, and its slot for the next reader. */
static void forget_reader(struct reader *r)
{
    buffer_free(&r->out);
    buffer_free(&r->in);
    buffer_free(&r->expected);
    for (unsigned i = 0; i < SEATS; i++)
        buffer_free(&r->seats[i].presence);
    *r = (struct reader) { 0 };
}

/* Removes the reader from the hub and from the model. */
static void leave(struct reader *r)
{
    stream_leave(w.hub, &r->stream);
    for (unsigned i = 0; i < r->count; i++) {
        struct place *place = r->seats[i].place;
        place->members--;
        place->online -= !r->poll;
        place->named[r->name][r->source] -= !r->poll;
        release(place);
    }
    forget_reader(r);
}

/* Returns whether the reader has missed a message; the hub and the model must agree. */
static bool is_overrun(struct reader *r)
{
    struct gather g;
    bool overrun = false;
    for (unsigned i = 0; i < r->count; i++)
        overrun |= r->seats[i].at < r->seats[i].place->first;
    check(stream_gather(&r->stream, &g) == !overrun,
        "a stream is overrun exactly when it has missed a message");
    return overrun;
}

/* Sends the private bytes up to the hold. Returns false if the reader blocks. */
static bool flush(struct reader *r)
{
    r->sent += take(r, (struct span) { r->out.at + r->sent, r->hold - r->sent });
    if (r->sent < r->hold)
        return false;
    if (r->sent == r->out.len)
        r->out.len = r->sent = r->hold = 0;
    return true;
}

/* Sends bytes that are not in a ring. Bytes that the reader does not take become private bytes,
 * which are sent before anything else. Returns false if there are any. */
static bool send_now(struct reader *r, struct span s)
{
    check(r->out.len == 0 && r->in.len == 0, "a stream has at most one unfinished piece");
    size_t n = take(r, s);
    buffer_add(&r->out, (struct span) { s.at + n, s.len - n });
    r->hold = r->out.len;
    return r->out.len == 0;
}

/* Sends the bytes that the rings have for the reader, and sets `*offered` to their number. Returns
 * false if the reader blocks. Sometimes makes the budget end exactly where a piece does, as a short
 * write can. */
static bool send_rings(struct reader *r, size_t *offered)
{
    struct gather g;
    size_t sent = 0, total = 0;
    stream_gather(&r->stream, &g);
    check(g.count <= GATHER_PIECES, "a gather has at most GATHER_PIECES pieces");
    *offered = g.bytes;
    for (int i = 0; i < g.count; i++) {
        check(g.pieces[i].iov_len > 0, "no piece is empty");
        total += g.pieces[i].iov_len;
    }
    check(total == g.bytes, "a gather's size is the sum of its pieces");
    if (r->slow && g.count > 0 && r->budget > g.pieces[0].iov_len && chance(4))
        r->budget = g.pieces[0].iov_len; /* a short write can end where a piece ends */
    for (int i = 0; i < g.count; i++) {
        size_t n = take(r, (struct span) { g.pieces[i].iov_base, g.pieces[i].iov_len });
        sent += n;
        if (n < g.pieces[i].iov_len)
            break;
    }
    stream_advance(&r->stream, &g, sent);
    return sent == g.bytes;
}

/* Answers a long poll as soon as its page has a message or a gap. The poll then leaves, and its
 * owner may publish at once over the same connection. */
static enum served serve_poll(struct reader *r)
{
    if (!check_page(&r->query))
        return SERVED_ALL;
    leave(r);
    if (chance(4))
        publish_anew();
    return SERVED_GONE;
}

/* Returns whether the reader has missed a message that its room could not hold. Such a message
 * overruns every reader, however fast. */
static bool is_passed(const struct reader *r)
{
    for (unsigned i = 0; i < r->count; i++) {
        const struct seat *seat = &r->seats[i];
        for (size_t at = seat->at; at < seat->place->first; at++)
            if (post_of(seat->place, at)->too_large)
                return true;
    }
    return false;
}

/* Checks that a reader is overrun for a good reason: it was blocked and was not woken in time. The
 * hub serves every due stream before it drops a message that the stream has not been offered. */
static void check_excuse(const struct reader *r, bool was_blocked, bool was_woken)
{
    if (is_passed(r))
        return;
    check(was_blocked, "only a stream that is blocked is overrun");
    check(!was_woken || r->lost_before_woken, "a stream that was woken in time is not overrun");
}

/* Does what an owner does in its stream's turn: sends private bytes first, then the bytes of the
 * rings (up to the end of the replay, if there is one), then `ready` and what follows it. Sends
 * presence only when nothing else is left. Sometimes stops although it could take more. */
static enum served serve_stream(struct reader *r, bool was_blocked, bool was_woken)
{
    struct span snapshot;
    size_t offered;
    for (;;) {
        if (!flush(r))
            return SERVED_BLOCKED;
        if (is_overrun(r)) {
            check_excuse(r, was_blocked, was_woken);
            leave(r);
            return SERVED_GONE;
        }
        if (!send_rings(r, &offered))
            return SERVED_BLOCKED;
        if (offered > 0 && chance(16))
            return SERVED_MORE;
        if (offered > 0)
            continue;
        if (stream_is_replaying(&r->stream)) {
            stream_go_live(&r->stream);
            r->hold = r->out.len;
        } else if (stream_next_presence(&r->stream, &snapshot)) {
            check(has_all(r), "presence comes only to a stream that has all messages");
            if (!send_now(r, snapshot))
                return SERVED_BLOCKED;
        } else {
            break;
        }
    }
    check(has_all(r) && r->in.len == 0,
        "a stream that waits has all messages and no unfinished frame");
    return SERVED_ALL;
}

/* Serves a stream whose turn has come, as the hub's callback. Sometimes the stream leaves during
 * its turn, like a closed connection. */
static enum served serve(struct stream *stream)
{
    struct reader *r = (struct reader *)(void *)((char *)stream - offsetof(struct reader, stream));
    bool was_blocked = r->blocked, was_woken = r->woken;
    w.served++;
    sync_model();
    check(r->joined, "a stream that is served has joined");
    r->blocked = r->woken = false;
    if (r->poll)
        return serve_poll(r);
    if (!w.calm && chance(200)) {
        leave(r);
        return SERVED_GONE;
    }
    enum served served = serve_stream(r, was_blocked, was_woken);
    r->blocked = served == SERVED_BLOCKED || served == SERVED_MORE;
    r->woken = served == SERVED_MORE;
    r->lost_before_woken = false;
    return served;
}

/* Removes a blocked stream whose ring has passed it, as the hub's callback. */
static void overrun(struct stream *stream)
{
    struct reader *r = (struct reader *)(void *)((char *)stream - offsetof(struct reader, stream));
    check(r->joined && is_overrun(r), "a stream that is reported as overrun has missed a message");
    check(r->blocked, "a stream that is reported as overrun is blocked");
    leave(r);
}

/* ==== Coming and going ======================================================================= */

/* What a new reader wants: its rooms, its name, and where to start. */
struct plan {
    unsigned places[SEATS], count, name, source;
    bool poll;
    struct start start;
};

/* Makes the places one by one: the model's side of stream_join. If a place would exceed the limits
 * on rooms, releases the places before it and returns why. */
static enum join plan_fits(const struct plan *plan)
{
    for (unsigned i = 0; i < plan->count; i++) {
        struct place *place = &w.places[plan->places[i]];
        enum join join = may_open(place, plan->source, false);
        if (join == JOIN_OK) {
            open_place(place, plan->source, false);
            continue;
        }
        while (i > 0)
            release(&w.places[plan->places[--i]]);
        return join;
    }
    return JOIN_OK;
}

/* Adds a reader to the hub and to the model; returns false if it would exceed the limits on rooms.
 * One in two is slow; one in three gets no chunks, like an HTTP/1.0 client. */
static bool join(struct reader *r, const struct plan *plan)
{
    struct span rooms[SEATS];
    for (unsigned i = 0; i < plan->count; i++)
        rooms[i] = name_of(&w.places[plan->places[i]]);
    *r = (struct reader) {
        .poll = plan->poll, .name = plan->name, .source = plan->source, .joined_ms = w.mono_ms
    };
    r->slow = chance(2);
    r->budget = r->slow ? draw(2000) : SIZE_MAX;
    r->stream.chunked = !chance(3);
    enum join expected = plan_fits(plan);
    bool was_quiet = w.hub->presence_ms == INT64_MAX;
    check(stream_join(w.hub, &r->stream, rooms, plan->count, reader_name(plan->name), !plan->poll,
              sources[plan->source]) == expected,
        "a stream joins unless it needs a room beyond the limits");
    check(!was_quiet || w.hub->presence_ms >= w.mono_ms, "a snapshot is not due in the past");
    if (expected != JOIN_OK)
        return false;
    r->joined = true;
    r->count = plan->count;
    for (unsigned i = 0; i < plan->count; i++) {
        struct place *place = &w.places[plan->places[i]];
        r->seats[i] = (struct seat) { .place = place, .at = place->posts.count };
        place->members++;
        place->online += !plan->poll;
        place->named[plan->name][plan->source] += !plan->poll;
    }
    return true;
}

/* Notes the gaps that the model expects, and where the reader begins in each place. Returns whether
 * there is a replay. */
static bool expect_seek(struct reader *r, const struct start *start)
{
    bool replay = false;
    for (unsigned i = 0; i < r->count; i++) {
        struct seat *seat = &r->seats[i];
        const char *reason = gap_of(seat->place, start);
        if (reason != NULL) {
            buffer_printf(
                &r->expected, "event: gap\ndata: {\"room\":%s,\"after\":", json_of(seat->place));
            id_add_json(&r->expected, start->since == SINCE_ID ? &start->id : NULL);
            buffer_add(&r->expected, SPAN(",\"oldest\":"));
            id_add_json(&r->expected, oldest_of(seat->place));
            buffer_printf(&r->expected, ",\"reason\":\"%s\"}\n\n", reason);
        }
        seat->at = begin_of(seat->place, start);
        seat->limit = seat->place->posts.count;
        replay |= seat->at < seat->limit;
    }
    return replay;
}

/* Notes the `ready` and the presence after it that the model expects now. */
static void expect_ready(struct reader *r, const struct start *from)
{
    struct place *places[SEATS];
    for (unsigned i = 0; i < r->count; i++)
        places[i] = r->seats[i].place;
    const struct start start = { .since = SINCE_ID, .id = newest_for(from, places, r->count) };
    buffer_add(&r->expected, SPAN("id: "));
    id_add(&r->expected, start.id);
    buffer_add(&r->expected, SPAN("\nevent: ready\ndata: {\"rooms\":["));
    for (unsigned i = 0; i < r->count; i++)
        buffer_printf(&r->expected, "%s{\"room\":%s,\"online\":%u}", i > 0 ? "," : "",
            json_of(r->seats[i].place), r->seats[i].place->online);
    buffer_add(&r->expected, SPAN("]}\n\n"));
    for (unsigned i = 0; i < r->count; i++) {
        check(gap_of(r->seats[i].place, &start) == NULL,
            "a reader that resumes from the id of its `ready` at once gets no gap");
        add_presence(&r->expected, r->seats[i].place);
        add_presence(&r->seats[i].presence, r->seats[i].place);
    }
}

/* Returns the worst gap that the model expects in the reader's rooms. */
static enum gap worst_gap(const struct reader *r, const struct start *start)
{
    enum gap worst = GAP_NONE;
    for (unsigned i = 0; i < r->count; i++) {
        const char *word = gap_of(r->seats[i].place, start);
        for (enum gap gap = worst + 1; gap < GAP_COUNT && word != NULL; gap++)
            if (strcmp(word, history_gap_word(gap)) == 0)
                worst = gap;
    }
    return worst;
}

/* Starts a stream as the program does: gaps, replay, `ready`, presence. All private bytes are
 * written at once; `hold` keeps back `ready` and everything after it until the replay is sent. */
static void start_stream(struct reader *r, const struct start *start)
{
    bool replay = expect_seek(r, start), chunked = r->stream.chunked;
    struct span rooms[SEATS];
    for (unsigned i = 0; i < r->count; i++)
        rooms[i] = name_of(r->seats[i].place);
    expect_ready(r, start);
    enum gap gap;
    check(stream_seek(w.hub, &r->stream, start, &r->out, &gap) == replay,
        "stream_seek returns whether there is a replay");
    check(gap == worst_gap(r, start), "stream_seek returns the worst gap of the rooms");
    r->hold = r->out.len;
    size_t begin = frame_begin(&r->out, chunked);
    buffer_add(&r->out, SPAN("id: "));
    id_add(&r->out, history_newest(w.hub, start, rooms, r->count));
    buffer_add(&r->out, SPAN("\nevent: ready\ndata: {\"rooms\":["));
    stream_add_online(&r->stream, &r->out);
    buffer_add(&r->out, SPAN("]}\n"));
    frame_end(&r->out, begin, chunked);
    stream_add_presence(&r->stream, &r->out);
    if (!replay)
        r->hold = r->out.len;
    turn_serve(w.hub, &r->stream);
}

/* Starts a long poll, which must wait because its page was empty. */
static void start_poll(struct reader *r)
{
    turn_serve(w.hub, &r->stream);
    check(r->joined, "a long poll whose page is empty waits");
}

static struct reader *draw_reader(void)
{
    return &w.readers[draw(w.reader_count)];
}

/* Returns whether this is the id of one of the latest messages of a place. */
static bool is_of_post(struct id id)
{
    enum { LATEST = 100 };
    for (const struct place *place = w.places; place < w.places + PLACES; place++)
        for (size_t i = 0; i < LATEST && i < place->posts.count; i++)
            if (id_equal(post_of(place, place->posts.count - 1 - i)->id, id))
                return true;
    return false;
}

/* Draws where a reader starts: now, at the last few messages, or after an id. A scoped reader with
 * an id that was never given would continue from it, and miss what gets an earlier one. */
static struct start draw_start(void)
{
    struct start start = { .id = draw_id() };
    switch (draw(8)) {
    case 0:
    case 1:
        start.since = SINCE_NOW;
        break;
    case 2:
    case 3:
        start.since = SINCE_LAST;
        start.count = chance(4) ? HISTORY_MAX : 1 + draw(10);
        break;
    case 4:
        start.since = chance(2) ? SINCE_UNKNOWN : SINCE_ID;
        break;
    default:
        start.since = SINCE_ID;
    }
    start.scoped = chance(2) && (start.since != SINCE_ID || is_of_post(start.id));
    return start;
}

/* Adds a reader, as a stream or as a long poll, with drawn rooms and a drawn start. The stride
 * through the rooms is odd and their number is a power of two, so that no room comes twice. */
static void come(struct reader *r)
{
    struct plan plan = { .count = chance(2) ? 1 + draw(SEATS) : 1, .name = draw(12) };
    plan.source = draw(SOURCES);
    unsigned first = draw(PLACES), stride = 1 + 2 * draw(PLACES / 2); /* so that all differ */
    for (unsigned i = 0; i < plan.count; i++)
        plan.places[i] = (first + i * stride) % PLACES;
    plan.start = draw_start();
    plan.poll = chance(6);
    /* A stream joins at once. A long poll first requests the page, as in api/: if the page has a
     * message or a gap, there is nothing to wait for. */
    if (!plan.poll) {
        if (join(r, &plan))
            start_stream(r, &plan.start);
        else
            forget_reader(r);
        return;
    }
    struct page_query q = { .room = name_of(&w.places[plan.places[0]]), .limit = 1 + draw(20) };
    q.polls = true;
    q.start = (struct start) { .since = SINCE_ID, .scoped = chance(2) };
    q.start.id = chance(2) ? newest_for(&(struct start) { .scoped = q.start.scoped },
                                 &(struct place *) { &w.places[plan.places[0]] }, 1)
                           : draw_id();
    plan.count = 1;
    plan.name = 0;
    if (check_page(&q))
        return;
    if (!join(r, &plan)) {
        forget_reader(r);
        return;
    }
    r->query = q;
    start_poll(r);
}

/* Lets a blocked reader take more bytes, as when epoll reports EPOLLOUT, which it does in every
 * turn: a reader that waits already must keep its place, or others could pass it for ever. */
static void wake(struct reader *r)
{
    static const uint32_t most[] = { 1, 2, 30, 3000, 20000 };
    if (!r->joined || !r->blocked)
        return;
    r->budget = draw(most[draw(5)]);
    if (!r->woken)
        r->lost_before_woken = is_overrun(r);
    const struct link *last = r->woken ? w.hub->behind.prev : &r->stream.first.link;
    r->woken = true;
    turn_wake(w.hub, &r->stream);
    check(w.hub->behind.prev == last, "a stream that is woken again keeps its place");
}

/* Sends a heartbeat, which is not from a ring. It comes between two frames, or not at all. */
static void beat(struct reader *r)
{
    if (!r->joined || r->poll || r->blocked)
        return;
    w.scratch.len = 0;
    size_t begin = frame_begin(&w.scratch, r->stream.chunked);
    buffer_printf(&w.scratch, "event: heartbeat\ndata: %" PRIu64 "\n", w.unix_ms);
    frame_end(&w.scratch, begin, r->stream.chunked);
    buffer_printf(&r->expected, "event: heartbeat\ndata: %" PRIu64 "\n\n", w.unix_ms);
    struct buffer frame = w.scratch; /* the reader's checks use w.scratch themselves */
    w.scratch = (struct buffer) { 0 };
    if (!send_now(r, buffer_span(&frame)) || chance(2))
        turn_serve(w.hub, &r->stream);
    buffer_free(&frame);
}

/* Adds every free reader to one room, so that the room has more names than a snapshot shows. */
static void crowd(void)
{
    for (unsigned i = 0; i < w.reader_count; i++) {
        struct plan plan = { .places = { 3 }, .count = 1, .name = i % NAMES };
        plan.source = draw(SOURCES);
        if (!w.readers[i].joined) {
            if (join(&w.readers[i], &plan))
                start_stream(&w.readers[i], &plan.start);
            else
                forget_reader(&w.readers[i]);
        }
    }
}

/* ==== The turns of the loop ================================================================== */

/* Gives a post its id and time, as the keeper does; these determine its frame. */
static void number(struct post *post, struct id id, uint64_t time_ms)
{
    post->id = id;
    post->time_ms = time_ms;
    post->frame.len = 0;
    add_frame_of(&post->frame, &post->m, id, time_ms);
}

/* Removes the first post of a list, without freeing it. */
static void take_off(struct posts *posts)
{
    posts->count--;
    memmove(posts->at, posts->at + 1, posts->count * sizeof posts->at[0]);
}

/* Checks that a message is settled: its room has one fewer pending message, its waiters have their
 * results, and the streams that it has overrun were blocked. A forgotten place has been released
 * already. */
static void check_settled(struct post *post, bool safe)
{
    struct place *place = place_of(post);
    if (!safe || !post->forgets) {
        place->pending--;
        release(place);
    }
    for (const struct asker *a = w.askers; a < w.askers + ASKERS; a++)
        check(!a->waits || a->post != post, "no waiter is left when its message is settled");
    check_reserved(place);
    for (struct reader *r = w.readers; r < w.readers + w.reader_count; r++)
        if (r->joined && !r->poll && is_overrun(r))
            check_excuse(r, r->blocked, r->woken);
}

/* Settles a batch at once and in order, as memory and journal do (the journal runs with `--sync
 * none`). So the model numbers the complete batch beforehand, and catches up in the callbacks. */
static void settle_at_once(void)
{
    struct pollfd watched = { .fd = w.keeper->watch, .events = POLLIN };
    struct posts empty = { 0 };
    w.entering = w.batch;
    w.batch = empty;
    w.entered = 0;
    for (size_t i = 0; i < w.entering.count; i++) {
        if (w.entering.at[i]->forgets)
            continue;
        struct id id = clock_id();
        number(w.entering.at[i], id, w.unix_ms);
    }
    w.keeper->keep(w.keeper, hub_take_batch(w.hub));
    sync_model();
    while (which == JOURNAL && w.entered < w.entering.count) { /* it replaces its file */
        check(poll(&watched, 1, -1) == 1, "the end of a sync wakes the keeper");
        w.keeper->ready(w.keeper);
        w.keeper->keep(w.keeper, NULL);
        sync_model();
    }
    check(w.entered == w.entering.count, "every message of the batch is settled");
    for (size_t i = 0; i < w.entering.count; i++) {
        check_settled(w.entering.at[i], true);
        if (w.entering.at[i]->forgets)
            post_free(w.entering.at[i]);
    }
    free(w.entering.at);
    w.entering = empty;
    w.entered = 0;
}

/* ==== The late keeper ======================================================================== */

/* Returns the late keeper's next id. The ids need not follow a clock; they must only grow. */
static struct id late_id(void)
{
    struct id id = w.last;
    if (chance(3))
        id = (struct id) { id.ms + 1 + draw(2000), draw(3) };
    else
        id.seq += 1 + draw(3);
    w.last = id;
    return id;
}

/* Numbers a message. Its time need not match its id, because this keeper's clock is slow. */
static void late_number(struct publication *p, struct post *post)
{
    number(post, late_id(), w.unix_ms - draw(1000));
    hub_number(w.hub, p, post->id, post->time_ms);
}

/* Takes ownership of a batch and holds it until late_answer. */
static void late_keep(struct keeper *keeper, struct publication *batch)
{
    struct late *late = CONTAINER(keeper, struct late, keeper);
    for (struct publication *p = batch, *next; p != NULL; p = next) {
        struct post *post = w.batch.at[0];
        next = p->next;
        take_off(&w.batch);
        push(&w.kept, post);
        check(p->forgets == post->forgets, "a batch is in order");
        if (late->early && !p->forgets)
            late_number(p, post);
        p->next = NULL;
        *late->end = p;
        late->end = &p->next;
    }
    check(w.batch.count == 0, "the keeper gets the complete batch");
}

/* Notes the post that the hub gets next, for sync_model. */
static void enter_one(struct post *post)
{
    push(&w.entering, post);
    w.entered = 0;
}

/* Checks that the hub has taken the post in. Call this after hub_safe or hub_append. */
static void check_entered(void)
{
    sync_model();
    check(w.entered == 1, "a safe message is in its room's history");
    w.entering.count = w.entered = 0;
}

/* Answers for the oldest message that the keeper holds. A refused message is lost for good; its id,
 * if it had one, is never used again. */
static void late_answer(enum settled settled)
{
    struct publication *p = w.late.first;
    struct post *post = w.kept.at[0];
    if (p == NULL)
        return;
    w.late.first = p->next;
    if (w.late.first == NULL)
        w.late.end = &w.late.first;
    take_off(&w.kept);
    w.refusal = settled;
    if (settled == SETTLED_SAFE) {
        if (!w.late.early && !post->forgets)
            late_number(p, post);
        enter_one(post);
        hub_safe(w.hub, p);
        check_entered();
    } else {
        hub_refused(w.hub, p, settled);
    }
    check_settled(post, settled == SETTLED_SAFE);
    w.refusal = SETTLED_SAFE;
    if (settled != SETTLED_SAFE || post->forgets)
        post_free(post);
}

/* Hands the hub a message that was not posted in this process. */
static enum append append_post(const struct post *post)
{
    struct span frame = buffer_span(&post->frame);
    struct stored m = { .room = post->m.room,
        .payload = { frame.at + FRAME_LEAD_BYTES, frame.len - FRAME_ENVELOPE_BYTES },
        .id = post->id,
        .time_ms = post->time_ms,
        .author = post->m.author,
        .kind = post->kind };
    if (!post->keyless)
        m.key = post->m.key;
    if (post->kind == MESSAGE_OTHER)
        m.note = (struct span) { post->note, post->note_len };
    return hub_append(w.hub, &m);
}

/* Draws a message that was not posted in this process. One JSON message in two is of a kind that
 * only a newer version knows. */
static struct post *draw_foreign(void)
{
    struct post *post = calloc(1, sizeof *post);
    check(post != NULL, "the driver can allocate memory");
    post->m = draw_message();
    post->kind = frame_stored_kind(post->m.kind);
    if (post->m.kind != MESSAGE_JSON || !chance(2))
        return post;
    post->kind = MESSAGE_OTHER;
    post->note_len = draw(sizeof post->note + 1);
    for (size_t i = 0; i < post->note_len; i++)
        post->note[i] = (char)draw(256);
    return post;
}

/* Brings a numbered message, which its room can hold. */
static void bring_post(struct post *post)
{
    struct place *place = place_of(post);
    make(place);
    place->pending++; /* its streams may leave meanwhile */
    enter_one(post);
    check(append_post(post) == APPENDED, "a message from another process enters its room");
    check_entered();
    place->pending--;
    release(place);
}

/* Brings a message that another process has published. If one of our own messages with the same key
 * is pending, it loses the key: the message that is safe first owns it. */
static void bring(void)
{
    struct post *post = draw_foreign();
    struct post *first = find_key(place_of(post), &post->m);
    if (first != NULL && !first->entered)
        first->keyless = true;
    number(post, late_id(), w.unix_ms);
    bring_post(post);
}

/* Brings a message that is larger than the history. Its room cannot hold it, and drops all earlier
 * messages after offering them to the streams. Every reader of the room has then missed a message,
 * and is overrun. Or brings one that fills the history, so that it weighs more with its entry: a
 * room holds one such message. */
static void bring_large(void)
{
    struct place *place = &w.places[draw(PLACES)];
    const size_t size = (size_t)w.settings.history;
    struct post *post = calloc(1, sizeof *post);
    char *text = malloc(size);
    check(post != NULL && text != NULL, "the driver can allocate memory");
    memset(text, 'x', size);
    post->m = (struct message) { .kind = MESSAGE_TEXT, .room = name_of(place) };
    post->m.body = (struct span) { text, size };
    post->kind = MESSAGE_TEXT;
    number(post, late_id(), w.unix_ms);
    if (chance(2)) {
        post->m.body.len -= post->frame.len - size + draw(80);
        number(post, post->id, post->time_ms);
        bring_post(post);
        return;
    }
    make(place);
    place->pending++;
    check(append_post(post) == APPEND_TOO_LARGE,
        "a message that is larger than the history is not appended");
    pass(post);
    log_message(post);
    place->pending--;
    release(place);
}

/* Returns what hub_append must do with a post. It appends a post that is newer than the newest one.
 * Any other is a repetition if the place has the same post, or has lost everything up to that id;
 * a reader that has not got it has a gap then. An empty place knows only what it has dropped. */
static enum append result_of(const struct place *place, const struct post *post)
{
    const struct id *newest = place->exists ? newest_of(place) : NULL;
    bool may_be_lost = place->exists && !id_before(place->lost, post->id);
    if (newest == NULL && may_be_lost && place->has_dropped)
        return APPEND_REPEATED;
    if (newest == NULL || id_before(*newest, post->id))
        return post->frame.len > w.limit ? APPEND_TOO_LARGE : APPENDED;
    if (id_before(post->id, *oldest_of(place)))
        return may_be_lost ? APPEND_REPEATED : APPEND_OLD;
    for (size_t i = place->first; i < place->posts.count; i++) {
        const struct post *held = post_of(place, i);
        if (id_equal(held->id, post->id) && held->kind == post->kind &&
            span_equal(buffer_span(&held->frame), buffer_span(&post->frame)))
            return APPEND_REPEATED;
    }
    return APPEND_OLD;
}

/* Hands the hub a message that has come before, or a different one with its id, or with the id
 * after it. If the id is not new, this changes nothing; otherwise does nothing. */
static void append_again(const struct post *original)
{
    const struct place *place = place_of(original);
    struct post post = *original;
    post.frame = (struct buffer) { 0 };
    post.id.seq += chance(4);
    add_frame_of(&post.frame, &post.m, post.id, post.time_ms);
    if (chance(4))
        post.kind = post.kind == MESSAGE_TEXT ? MESSAGE_JSON : MESSAGE_TEXT;
    if (chance(4))
        post.frame.at[FRAME_LEAD_BYTES + draw((uint32_t)(post.frame.len - FRAME_ENVELOPE_BYTES))]++;
    enum append result = result_of(place, &post);
    if (result == APPEND_REPEATED || result == APPEND_OLD)
        check(append_post(&post) == result,
            "a message whose id is not newer is a repetition, or different");
    buffer_free(&post.frame);
}

/* Brings a recent message of a room again, as after a lost connection to a relay. */
static void bring_again(void)
{
    const struct place *place = &w.places[draw(PLACES)];
    size_t recent = place->posts.count < 50 ? place->posts.count : 50;
    if (recent > 0)
        append_again(post_of(place, place->posts.count - 1 - draw((uint32_t)recent)));
}

/* Settles some messages with the late keeper, and brings messages from elsewhere. */
static void settle_late(void)
{
    static const enum settled results[] = { SETTLED_SAFE, SETTLED_SAFE, SETTLED_SAFE, SETTLED_SAFE,
        SETTLED_FULL, SETTLED_FAILED };
    w.keeper->keep(w.keeper, hub_take_batch(w.hub));
    for (uint32_t count = w.calm ? UINT32_MAX : draw(8); count > 0 && w.kept.count > 0; count--)
        late_answer(w.calm ? SETTLED_SAFE : results[draw(6)]);
    if (w.calm || (w.late.early && w.kept.count > 0))
        return; /* kept messages have ids, so no later id may enter first */
    if (chance(3))
        bring();
    if (chance(8))
        bring_again();
    if (chance(20))
        bring_large();
}

/* Ends a turn: hands the batch to the keeper. */
static void settle(void)
{
    if (w.keeper == &w.late.keeper)
        settle_late();
    else
        settle_at_once();
}

static bool is_settled(void)
{
    return w.batch.count == 0 && w.kept.count == 0;
}

/* Compares what the hub says of blocked streams with the readers. The hub looks into its lists, so
 * a stream that is in the wrong list, or in none, shows here. */
static void check_blocked(void)
{
    unsigned blocked = 0;
    uint64_t lag = 0;
    for (const struct reader *r = w.readers; r < w.readers + w.reader_count; r++) {
        bool counts = r->joined && !r->poll && r->blocked;
        blocked += counts;
        for (const struct member *m = &r->stream.first; counts && m != NULL; m = m->also)
            if (m->room->ring.head - m->cursor > lag)
                lag = m->room->ring.head - m->cursor;
    }
    check(survey_hub(w.hub).blocked == blocked, "the hub counts the blocked streams");
    check(survey_lag(w.hub) == lag, "the lag is the largest of a blocked stream");
}

/* Serves up to `count` streams. If the hub then has nothing to do, no stream may be due, and each
 * poll's page must be empty. */
static void run(unsigned count)
{
    w.served = 0;
    turn_run(w.hub, count);
    check_blocked();
    check(w.served <= count, "turn_run serves at most `count` streams");
    bool left = hub_next_ms(w.hub) <= w.mono_ms;
    for (struct reader *r = w.readers; !left && r < w.readers + w.reader_count; r++) {
        if (r->joined && r->poll)
            check(!check_page(&r->query), "a long poll whose page is not empty has been answered");
        else if (r->joined)
            check(r->blocked ? !r->woken : has_all(r),
                "no stream is due or behind when the hub has nothing to do");
    }
}

/* Compares the rooms that hub_tick has decided to forget, which are at the end of the batch, with
 * the places that have been silent for too long. */
static void expect_forgetting(void)
{
    const struct publication *p = w.hub->batch;
    int64_t before = INT64_MIN;
    for (size_t i = 0; i < w.batch.count; i++)
        p = p->next;
    for (; p != NULL; p = p->next) {
        struct place *place = place_named(room_name(p->room));
        check(p->forgets && is_expired(place), "only a silent room is forgotten, after its time");
        check(place->silent_ms >= before, "the longest silent room is forgotten first");
        before = place->silent_ms;
        struct post *post = calloc(1, sizeof *post);
        check(post != NULL, "the driver can allocate memory");
        *post = (struct post) { .m.room = name_of(place), .forgets = true };
        place->pending++;
        push(&w.batch, post);
    }
    for (const struct place *place = w.places; place < w.places + PLACES; place++)
        check(!is_expired(place), "a silent room is forgotten after its time");
}

/* Waits until the journal has no sync in flight. Otherwise that would count as stuck, because here
 * hours pass while the disk does one sync. */
static void finish_sync(void)
{
    struct pollfd watched = { .fd = w.keeper->watch, .events = POLLIN };
    while (which == JOURNAL && CONTAINER(w.keeper, struct journal, keeper)->phase != PHASE_IDLE) {
        check(poll(&watched, 1, -1) == 1, "the end of a sync wakes the keeper");
        w.keeper->ready(w.keeper);
    }
}

/* Lets time pass for the hub, the model and the keeper. hub_next_ms must not be later than the
 * earliest time at which something is due. */
static void tick(void)
{
    hub_tick(w.hub);
    expect_forgetting();
    finish_sync();
    w.keeper->tick(w.keeper, w.mono_ms);
    struct pollfd watched = { .fd = w.keeper->watch, .events = POLLIN };
    if (watched.fd >= 0 && poll(&watched, 1, 0) > 0)
        w.keeper->ready(w.keeper);
    int64_t next = hub_next_ms(w.hub);
    check(w.batch.count == 0 || next <= w.mono_ms, "the hub asks for a turn while it has a batch");
    for (const struct reader *r = w.readers; r < w.readers + w.reader_count; r++)
        if (r->joined && r->blocked)
            check(next <= w.mono_ms + SECOND_MS, "the hub looks at blocked streams once a second");
    for (const struct place *p = w.places; p < w.places + PLACES; p++)
        if (p->exists && p->members == 0 && p->pending == 0)
            check(next <= p->silent_ms + (int64_t)w.settings.room_ttl_ms,
                "the hub asks for a turn when a silent room's time is over");
}

static void pass_time(int64_t ms)
{
    w.mono_ms += ms;
    w.unix_ms += (uint64_t)ms;
    w.real_ms += (uint64_t)ms;
    hub_set_clock(w.hub, w.mono_ms, w.unix_ms);
}

/* Moves the clock, usually in small steps. Sometimes the Unix clock jumps back or far ahead, which
 * ids must survive, and sometimes all silent rooms reach their time. */
static void set_clock(void)
{
    static const uint32_t most[] = { 2, 30, 300, 3000 };
    if (chance(8) && w.unix_ms > 20000)
        w.unix_ms -= draw(10000);
    if (chance(50)) {
        uint32_t ahead = draw(10000000);
        w.unix_ms += ahead;
        w.real_ms += chance(4) ? 0 : ahead; /* or it was behind before */
    }
    pass_time(draw(most[draw(4)]));
    if (chance(60))
        pass_time((int64_t)w.settings.room_ttl_ms);
}

/* Checks that, when a stream is refused because one of its rooms would exceed the limit, nothing
 * changes for the streams in its other rooms. Call this at rest. */
static void check_refusal(void)
{
    struct plan plan = { .count = 2, .name = 1 };
    struct reader *r = w.readers;
    while (r < w.readers + w.reader_count && r->joined)
        r++;
    for (unsigned i = 0; i < PLACES; i++) {
        if (w.places[i].online > 0)
            plan.places[0] = i;
        if (may_open(&w.places[i], 0, false) != JOIN_OK)
            plan.places[1] = i;
    }
    if (r == w.readers + w.reader_count || w.places[plan.places[0]].online == 0 ||
        may_open(&w.places[plan.places[1]], 0, false) == JOIN_OK)
        return;
    uint64_t told = w.told;
    check(!join(r, &plan), "a stream does not make a room beyond the limit");
    forget_reader(r);
    pass_time(SECOND_MS + 1);
    tick();
    settle();
    run(READERS);
    check(w.told == told, "a refused stream changes no room's presence");
}

#include "hub_restore.h"

/* Checks that each stream has everything. Call this at rest. */
static void check_readers(void)
{
    for (struct reader *r = w.readers; r < w.readers + w.reader_count; r++) {
        if (!r->joined || r->poll)
            continue;
        check(!r->blocked && r->live && has_all(r), "every stream has all messages at rest");
        check(r->out.len == 0 && r->in.len == 0 && r->expected_at == r->expected.len,
            "every stream has all its private events at rest");
        for (unsigned i = 0; i < r->count; i++) {
            w.expected.len = 0;
            add_presence(&w.expected, r->seats[i].place);
            check(span_equal(buffer_span(&w.expected), buffer_span(&r->seats[i].presence)),
                "every stream has the latest presence at rest");
        }
    }
}

/* Checks that the tables are in proportion to what is in them after a tick. */
static void check_tables(void)
{
    const struct table *tables[] = { &w.hub->rooms, &w.hub->names, &w.hub->keys };
    for (size_t i = 0; i < 3; i++)
        check(tables[i]->capacity <= 16 || tables[i]->count >= tables[i]->capacity / 4,
            "a table gives back the chains that it no longer needs");
}

/* Lets every reader take everything, with enough time. Then all readers must have all messages and
 * the latest presence, and the hub must be idle. A lost message or wake-up shows here. */
static void come_to_rest(void)
{
    w.calm = true;
    settle(); /* a waiter that gets its result can publish again */
    while (!is_settled())
        settle();
    pass_time(SECOND_MS + 1);
    tick();
    for (struct reader *r = w.readers; r < w.readers + w.reader_count; r++) {
        if (!r->joined)
            continue;
        check(r->poll || r->woken || !is_overrun(r) || is_passed(r),
            "an overrun stream is closed within a second");
        r->budget = SIZE_MAX;
        r->slow = false;
        wake(r);
        r->budget = SIZE_MAX;
    }
    /* Four rounds, because a long poll that is answered can publish, and presence can come a second
     * later. */
    for (int turn = 0; turn < 4; turn++) {
        for (int i = 0; hub_next_ms(w.hub) <= w.mono_ms; i++) {
            check(i < 10000, "every due stream is served in a bounded number of turns");
            settle();
            run(1 + draw(3));
            tick();
        }
        pass_time(SECOND_MS + 1);
        tick();
        check_tables();
        settle(); /* a room may have been silent for too long */
    }
    run(READERS);
    check(hub_next_ms(w.hub) > w.mono_ms, "the hub has nothing to do at rest");
    check_readers();
    check_rooms();
    check_state();
    check_refusal();
    w.calm = false;
}

/* ==== Restarts =============================================================================== */

/* The rest of the late keeper, which has no timer and no descriptor, and reports no trouble. */

static void late_tick(struct keeper *keeper, int64_t mono_ms)
{
    (void)keeper;
    (void)mono_ms;
}

static int64_t late_next_ms(const struct keeper *keeper)
{
    (void)keeper;
    return INT64_MAX;
}

static void late_ready(struct keeper *keeper)
{
    (void)keeper;
}

static const char *late_trouble(const struct keeper *keeper)
{
    (void)keeper;
    return NULL;
}

static void late_close(struct keeper *keeper)
{
    check(CONTAINER(keeper, struct late, keeper)->first == NULL,
        "no message is pending when the keeper closes");
}

/* Opens the keeper. The journal is a new file in this process's own folder in memory (/dev/shm),
 * because a walk makes many small writes. */
static void open_keeper(void)
{
    static char path[128];
    w.late = (struct late) {
        .keeper = { late_keep, late_tick, late_next_ms, -1, late_ready, late_trouble, late_trouble,
            NULL, late_close },
        .end = &w.late.first,
        .early = chance(2),
    };
    w.keeper = which == LATE ? &w.late.keeper : which == MEMORY ? memory_open(w.hub) : NULL;
    if (which != JOURNAL)
        return;
    snprintf(folder, sizeof folder, "/dev/shm/ssechat-hub-XXXXXX");
    check(mkdtemp(folder) != NULL, "the driver can make a folder for the journal");
    snprintf(path, sizeof path, "%s/journal", folder);
    w.keeper = journal_open(&(struct journal_settings) { .path = path }, w.hub);
    w.start = w.last = w.newest = w.lost = (struct id) { w.unix_ms, 0 };
}

/* Closes the hub and its keeper, as at the end of the program. All readers must have left. */
static void close_hub(void)
{
    w.keeper->close(w.keeper);
    hub_free(w.hub);
    memset(w.askers, 0, sizeof w.askers);
}

/* Draws the options: histories as short as allowed, and few rooms, so that limits are reached. */
static void draw_settings(void)
{
    static struct span only[] = { SPAN_INIT("lobby"), SPAN_INIT("ab") };
    static const size_t histories[] = { 16384, 16384, 32768, 262144 };
    static const unsigned max_rooms[] = { 0, 3, 6, PLACES };
    static const uint64_t ttls_ms[] = { 3000, 60000, 60000, 2 * RESTORE_GRACE_MS };
    w.settings = (struct hub_settings) {
        .history = histories[draw(4)],
        .max_rooms = max_rooms[draw(4)],
        .room_ttl_ms = ttls_ms[draw(4)],
    };
    if (chance(8)) /* the hub leaves it to its caller to refuse other rooms; a log can have them */
        w.settings.allowed = (struct spans) { only, 2 };
}

/* Lets a reader join while the hub forgets the rooms that have no readers. The reader keeps its
 * rooms, although they are empty then. */
static void forget_while_joining(void)
{
    struct reader *r = draw_reader();
    pass_time((int64_t)w.settings.room_ttl_ms);
    tick();
    if (!r->joined)
        come(r);
    w.calm = true;
    settle();
    w.calm = false;
}

/* Ends the hub, and restores another one from the log, after whatever may happen to a journal, to
 * the options and to the clock in the meantime. The model is restored from the same log, and the
 * two are compared at once; the walk then goes on with them. A walk with the journal, which has its
 * own log, only comes to rest. */
static void restart(void)
{
    come_to_rest();
    if (which == JOURNAL)
        return;
    if (chance(2))
        forget_while_joining();
    if (chance(3))
        compact(); /* with rooms that only readers keep */
    for (struct reader *r = w.readers; r < w.readers + w.reader_count; r++)
        if (r->joined)
            leave(r);
    close_hub();
    draw_settings();
    start_clock();
    change_log();
    w.hub = hub_new(&w.settings, &(struct stream_owner) { serve, overrun }, w.mono_ms, w.unix_ms);
    check(w.hub != NULL, "the driver can allocate memory");
    w.restarts++;
    restore();
    open_keeper();
    check_rooms();
    check_state();
    come(draw_reader());
}

/* ==== The walk =============================================================================== */

/* Makes an operation that costs as much as many others, or that changes much. */
static void walk_far(void)
{
    switch (draw(16)) {
    case 0:
        come_to_rest();
        break;
    case 1:
    case 2:
        do
            restart();
        while (chance(4));
        break;
    case 3:
    case 4:
        compact();
        break;
    case 5:
        back_up();
        break;
    default:
        break;
    }
}

/* Makes one step, which is one operation; the numbers are percentages. Publishing is most likely,
 * so that histories are always full; rest and a crowd are rare, because each costs as much as many
 * other steps. */
static void walk(void)
{
    struct reader *r = draw_reader();
    uint32_t what = draw(100);
    if (what < 35)
        publish_new();
    else if (what < 40)
        publish_again();
    else if (what < 48)
        settle();
    else if (what < 58 && !r->joined)
        come(r);
    else if (what < 60 && r->joined)
        leave(r);
    else if (what < 68)
        wake(r);
    else if (what < 76)
        run(draw(6));
    else if (what < 78)
        run(READERS);
    else if (what < 84)
        set_clock();
    else if (what < 88)
        tick();
    else if (what < 91)
        ask_page();
    else if (what < 94)
        beat(r);
    else if (what < 97)
        forget_one();
    else if (what < 98)
        check_rooms();
    else if (what < 99)
        walk_far();
    else if (w.reader_count > READERS_FEW && chance(16))
        crowd();
}

/* ==== The beginning and the end ============================================================== */

/* Checks --room only once, because it does not change during a walk. */
static void check_allowed(void)
{
    const struct spans drawn = w.settings.allowed;
    struct span only[] = { SPAN("lobby"), SPAN("news") };
    w.settings.allowed = (struct spans) { only, 2 };
    check(hub_allows(w.hub, SPAN("news")), "a room that --room names is allowed");
    check(!hub_allows(w.hub, SPAN("new")), "a room that --room does not name is refused");
    w.settings.allowed = (struct spans) { NULL, 0 };
    check(hub_allows(w.hub, SPAN("new")), "without --room every room is allowed");
    w.settings.allowed = drawn;
}

/* Removes the folder of the journal with all that is in it, even after a failure (die): the file of
 * its lock, and what a restore kept beside the journal. Reports whether the folder is gone. */
static bool remove_folder(void)
{
    if (folder[0] == '\0')
        return true;
    DIR *dir = opendir(folder);
    for (const struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;)
        unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        closedir(dir);
    return rmdir(folder) == 0;
}

/* Makes a new hub and an empty model. */
static void begin(void)
{
    w = (struct world) { .mono_ms = 1 + draw(1000), .unix_ms = 1760000000000 };
    w.real_ms = w.unix_ms;
    draw_settings();
    w.pressed = chance(2);
    w.reader_count = chance(8) ? READERS : 2 + draw(READERS_FEW - 1);
    w.limit = w.settings.history;
    w.start = w.last = w.newest = w.lost = w.excuse = (struct id) { w.unix_ms, 0 };
    w.hub = hub_new(&w.settings, &(struct stream_owner) { serve, overrun }, w.mono_ms, w.unix_ms);
    check(w.hub != NULL, "the driver can allocate memory");
    open_keeper();
    log_hub();
    w.log.fixed = w.log.count;
    check_allowed();
}

static void free_posts(struct posts *posts)
{
    for (size_t i = 0; i < posts->count; i++)
        post_free(posts->at[i]);
    free(posts->at);
}

/* Removes all readers and rooms after a last rest. The hub must then be empty; the sanitizers look
 * for leaks. */
static void end(void)
{
    for (uint32_t count = chance(2) ? 0 : 1 + draw(3); count > 0; count--)
        restart();
    come_to_rest();
    for (struct reader *r = w.readers; r < w.readers + w.reader_count; r++)
        if (r->joined)
            leave(r);
    check_rooms();
    if (chance(2)) { /* otherwise hub_free has rooms to free */
        pass_time((int64_t)w.settings.room_ttl_ms);
        tick();
        w.calm = true;
        settle();
        check(w.place_count == 0, "a silent room is forgotten after its time");
        check_rooms();
        pass_time(SECOND_MS);
        tick();
        check(hub_next_ms(w.hub) == INT64_MAX, "an empty hub waits for nothing");
    }
    close_hub();
    check(remove_folder(), "nothing is left of the journal's folder");
    for (struct place *p = w.places; p < w.places + PLACES; p++)
        free(p->posts.at);
    free_posts(&w.all);
    free_posts(&w.batch);
    free_posts(&w.kept);
    free(w.entering.at);
    free(w.log.at);
    free(w.backup.at);
    for (struct past *m; (m = w.pasts) != NULL;) {
        w.pasts = m->next;
        free(m);
    }
    buffer_free(&w.scratch);
    buffer_free(&w.expected);
}

#ifdef FUZZ

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    bytes = (struct span) { (const char *)data, size };
    which = draw(2) == 0 ? MEMORY : LATE; /* not the journal, which would need files */
    begin();
    while (bytes.len > 0)
        walk();
    end();
    return 0;
}

#else

/* Prints the two numbers that reproduce the failure. */
static void say_where(void)
{
    fprintf(stderr, "seed %" PRIu64 ", step %" PRIu64 "\n", seed, step);
}

/* Handles check()'s abort, and the SIGSEGV of a bug. It is not async-signal-safe, but a process
 * that is about to end has nothing to lose. */
static void die(int signal_number)
{
    (void)signal_number;
    (void)remove_folder();
    say_where();
    _exit(1);
}

/* Sets a function that the sanitizers call before they end the program without a signal. NULL in a
 * build without sanitizers. */
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

int main(int argc, char **argv)
{
    static const char *const names[] = { "memory", "journal", "late" };
    unsigned long long first, steps;
    while (argc == 4 && which <= LATE && strcmp(argv[1], names[which]) != 0)
        which++;
    if (argc != 4 || which > LATE || !span_number(span_of(argv[2]), UINT64_MAX, &first) ||
        !span_number(span_of(argv[3]), UINT64_MAX, &steps)) {
        fprintf(stderr, "usage: hub memory|journal|late SEED STEPS\n");
        return 2;
    }
    log_start(LOG_ERROR);
    signal(SIGABRT, die);
    if (__sanitizer_set_death_callback != NULL)
        __sanitizer_set_death_callback(say_where);
    else
        signal(SIGSEGV, die);
    state = seed = first;
    begin();
    for (step = 1; step <= steps; step++)
        walk();
    end();
    return 0;
}

#endif
