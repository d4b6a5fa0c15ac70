/* havoc.h - the parts of the havoc tool; havoc.c says what it is for.
 *
 *      havoc.c       options, the loop, the end of a run
 *      acts.c        decides what goes wrong next, and when
 *      server.c      starts and ends the server; its options, log and children
 *      control.c     the server's disk and clock, by its control file (disk.h)
 *      files.c       the journal's file: copies, damage, which ids it contains
 *      publishers.c  post messages          readers.c  read streams
 *      pages.c       read pages, and /healthz
 *      ledger.c      what was sent, acknowledged and delivered
 *      check.c       what must hold
 *      report.c      counts, the latest acts, and how a run fails
 *
 * The tool has one thread. So everything happens in one order, in which "acknowledged before the
 * request was sent" is exact: `order` counts the requests and answers.
 *
 * A *life* is one run of the server, from its start to its end. A *breach* is a start on a file
 * that is not as a server left it: the tool has cut it, put an older copy in its place, and so on.
 * Only a breach excuses a loss, and only a breach or a limit excuses a gap. */

#ifndef HAVOC_H
#define HAVOC_H

#include "test/tools/sse.h"
#include "test/tools/tool.h"

enum {
    ROOMS = 20,
    QUIET_FROM =
        16, /* rooms from here on are silent most of the time, so that they are forgotten */
    LIVES_MAX = 20000,
    RECOVERY_MS = 15000, /* the journal works again that soon after the last fault */
    ANSWER_MS = 10000,   /* every request is answered that soon while the server runs */
};

static const struct id no_id = { 0, 0 };

/* Tells whether `a` is older than `b`. */
static inline bool is_before(struct id a, struct id b)
{
    return compare_ids(a, b) < 0;
}

/* ---- report.c ---- */

#define COUNTS(X)                                            \
    X(STARTS, "starts")                                      \
    X(REFUSED_STARTS, "refused starts")                      \
    X(KILLS, "kills")                                        \
    X(EARLY_KILLS, "kills while it started")                 \
    X(COMPACTING, "ends planned for a compaction")           \
    X(TERMS, "SIGTERMs")                                     \
    X(BREACHES, "breaches")                                  \
    X(COPIED, "copies made")                                 \
    X(MOVED, "moved away")                                   \
    X(REMOVED, "removed")                                    \
    X(CUT, "cut while it ran")                               \
    X(REPLACED, "replaced by rubbish")                       \
    X(OLDER, "replaced by an older copy")                    \
    X(APPENDED, "appended to by a stranger")                 \
    X(TRUNCATED, "truncated")                                \
    X(FLIPPED, "bytes flipped")                              \
    X(JOINED, "joined")                                      \
    X(RESTORED, "put back")                                  \
    X(RUBBISH, "rubbish beside it")                          \
    X(ERRORS, "bursts of errors")                            \
    X(FULL, "full disks")                                    \
    X(SHORT, "short writes")                                 \
    X(SLOW, "slow syncs")                                    \
    X(STUCK, "stuck syncs")                                  \
    X(LONG_STUCK, "syncs stuck for long")                    \
    X(CLOCK, "clock steps")                                  \
    X(LIMITS, "limit changes")                               \
    X(FORGETTING, "starts with a short --room-ttl")          \
    X(FORGOTTEN, "rooms seen empty")                         \
    X(NO_SYNC, "starts with --sync none")                    \
    X(VOLUME, "bursts of volume")                            \
    X(RECOVERED, "recoveries")                               \
    X(MESSAGES, "messages")                                  \
    X(ACKNOWLEDGED, "acknowledged")                          \
    X(REPETITIONS, "acknowledged as repetitions")            \
    X(TWINS, "posted twice at once")                         \
    X(HELD_KEYS, "held keys repeated")                       \
    X(LOST_KEYS, "keys repeated that were gone")             \
    X(GIVEN_UP, "given up")                                  \
    X(REFUSED, "POSTs refused")                              \
    X(STREAMS, "streams")                                    \
    X(DELIVERIES, "deliveries")                              \
    X(CLEAN, "resumed without a gap")                        \
    X(EXPIRED, "gaps: expired")                              \
    X(RESTARTED, "gaps: restarted")                          \
    X(UNKNOWN, "gaps: unknown")                              \
    X(BUSY, "busy")                                          \
    X(OVERRUN, "slow readers cut")                           \
    X(EXCUSED, "losses without a gap that a breach excuses") \
    X(PAGES, "pages")                                        \
    X(PAGE_GAPS, "pages with a gap")                         \
    X(HEALTH, "health checks")                               \
    X(UNWELL, "health checks with 503")                      \
    X(KEPT_ASIDE, "files that the server set aside")

#define COUNT_NAME(name, text) COUNT_##name,
enum { COUNTS(COUNT_NAME) COUNT_KINDS };

extern unsigned long long counts[COUNT_KINDS];

/* Notes an act, with its time, for the report of a failure. */
__attribute__((format(printf, 1, 2))) void note(const char *format, ...);

/* Ends the run: prints what was expected and seen, the seed and the latest acts. The log and the
 * journal stay in the folder. */
__attribute__((noreturn, format(printf, 1, 2))) void broken(const char *format, ...);

/* Prints all counts. */
void report_counts(void);

/* ---- havoc.c ---- */

extern unsigned long long seed;
extern char folder[3000];         /* has the log, the control file and the tool's copies */
extern char journal_path[4096];   /* alone in its folder, with what the server puts beside it */
extern int64_t begin_us, turn_us; /* the run's start; the time of this turn of the loop */
extern uint64_t order;            /* grows with each request and answer */
extern bool finishing;            /* publishers begin no message, and readers do not hang up */

/* A client of the server: the loop calls `act` when the descriptor is ready for `events`, and when
 * `wake_us` is over. */
struct actor {
    int fd; /* -1 if there is none */
    short events;
    int64_t wake_us;
    void (*act)(struct actor *, bool ready);
};

/* Registers an actor with the loop. */
void loop_add(struct actor *actor);

/* Opens a connection; returns false, and wakes the actor a little later, if nothing listens. With a
 * receive buffer of `buffer` bytes, unless that is 0. */
bool actor_connect(struct actor *actor, uint64_t *random, int buffer);

/* Sends a request over a new or idle connection, which takes it as a whole. */
bool actor_send(struct actor *actor, const char *bytes, size_t len);

/* Closes the connection, and wakes the actor after a pause. */
void actor_hang_up(struct actor *actor, int64_t pause_us);

/* An answer with a Content-Length, which may come in pieces. */
struct answer {
    char *bytes; /* ends with a NUL */
    size_t len, capacity;
    int status;
    const char *body;
    bool close;
};

/* Reads what has come. Returns 1 when the answer is complete, 0 before, -1 if the connection ended.
 * Set `len` to 0 before the request. */
int answer_read(struct answer *a, int fd);

/* Returns memory from realloc, or ends the tool. */
void *grow(void *at, size_t size);

/* ---- server.c ---- */

struct life {
    uint64_t history;   /* --history, in bytes */
    unsigned max_rooms; /* --max-rooms */
    bool short_ttl;     /* --room-ttl is so short that rooms are forgotten */
    bool no_sync;       /* --sync none */
};

/* Returns whether a life may forget rooms, or has forgotten some when it started. */
static inline bool life_forgets(const struct life *l)
{
    return l->short_ttl || l->max_rooms < ROOMS;
}

extern struct life lives[LIVES_MAX];
extern unsigned life;    /* the present or the last one; 0 before the first */
extern pid_t server_pid; /* 0 if none runs */
extern int port;

/* Chooses a free port, and prepares to start the program. */
void server_prepare(const char *program, uint64_t *random);

/* Begins a life with the options in lives[life]. */
void server_start(void);

/* Returns whether the server has ended, and its status from waitpid. */
bool server_has_ended(int *status);

/* Checks what an ended server has left: no report of a sanitizer, no child. */
void server_check_end(void);

/* Returns the only sentence of a server that refused to start; a failure if it has none. */
const char *server_refusal(void);

/* Counts the lines of the log with this text. */
unsigned server_count_log(const char *text);

/* ---- control.c ---- */

/* Maps the control file of the server's disk. */
void disk_prepare(void);

/* Lets one kind of call fail for a while, in a random way; `full`: writes fail with ENOSPC. */
void disk_break(uint64_t *random, bool full);

/* Let writes be short, syncs be slow, and syncs not end, until a time. */
void disk_write_short(int64_t until_us);
void disk_slow(int64_t delay_us, int64_t until_us);
void disk_stick(int64_t until_us);

/* End the faults whose time is over, and all faults. */
void disk_tick(void);
void disk_mend(void);

/* Returns whether calls fail now, or syncs are stuck. */
bool disk_is_broken(void);

/* Returns since when syncs are stuck, or 0. */
int64_t disk_stuck_since_us(void);

/* Returns when the disk was last mended. */
int64_t disk_mended_us(void);

/* Notes that a life begins: for disk_blocked_us. */
void disk_begin_life(void);

/* Returns from when on a client may expect an answer that it has waited for since a time. That is
 * later if the kernel has refused to sync in the background in this life: then all clients wait for
 * the disk, as documented. */
int64_t disk_blocked_us(int64_t since_us);

/* Prints how many calls failed. */
void disk_report(void);

/* Sets the server's clock, in milliseconds ahead of this machine's; clock_ahead_ms returns that. */
void clock_step(int64_t ahead_ms);
int64_t clock_ahead_ms(void);

/* Sets the server's clock to a time after all times that it has shown, and returns it. */
uint64_t clock_force(void);

/* ---- files.c ---- */

/* The ids of the messages in a journal's whole records, ascending, and the greatest id in any whole
 * record, which may be one of the server's own. */
struct contents {
    struct id *ids;
    size_t count;
    struct id top;
    size_t records; /* that begin a line: the server finds no others */
    size_t bytes;
    bool cut_snapshot; /* it ends within a snapshot, which the server notices (docs/journal.md) */
};

/* Do to the journal what users, other programs and bad disks do, and note it. Each returns false if
 * there is no journal, or no copy if it needs one; then it has done nothing. */
bool file_copy(uint64_t *random);
bool file_move(uint64_t *random);
bool file_remove(uint64_t *random);
bool file_cut(uint64_t *random, bool while_it_runs);
bool file_replace(uint64_t *random);
bool file_put_older(uint64_t *random, bool while_it_runs);
bool file_append(uint64_t *random);
bool file_flip(uint64_t *random);
bool file_join(uint64_t *random);

/* Puts another file beside the journal. */
void file_add_rubbish(uint64_t *random);

/* Reads the ids in the journal; without the last records if a byte of those was flipped. */
void file_scan(struct contents *contents);

/* Returns whether the server is just writing a new file. */
bool file_is_compacted(void);

/* Returns whether the file ends within a record. */
bool file_is_torn(void);

/* Returns whether the file's bytes are not a journal's, and no record was ever in them. */
bool file_is_rubbish(void);

/* Returns whether the file has damage in its middle that no server has written out of it yet. */
bool file_is_damaged(void);

/* Notes that the file is damaged in its middle, or not. */
void file_set_damaged(bool is_damaged);

/* Forgets which bytes were flipped or replaced, when a server has written the file again. */
void file_trust(void);

/* Checks that what replaced the journal while the server ran was kept beside it. */
void file_check_found(void);

/* Checks that only the server's files lie beside the journal. Removes those that it set aside, if
 * `removes`. */
void file_check_folder(bool removes);

/* ---- ledger.c ---- */

enum message_state { MESSAGE_OPEN, MESSAGE_ACKNOWLEDGED, MESSAGE_GIVEN_UP };

/* What a publisher has to say. Its number is its key and the beginning of its text. */
struct message {
    uint8_t room, state;
    bool event;      /* `event` and `data` instead of `message` */
    uint16_t pad;    /* characters after the number */
    unsigned posts;  /* how often it was sent */
    unsigned open;   /* how many of these had no answer: the server may still be busy with one */
    unsigned life;   /* in which it was first sent */
    unsigned ended;  /* in which it was given up */
    unsigned copies; /* how many ids it has had: more than one only if it was lost in between */
    struct id id;    /* the latest of them */
};

/* An id that the server gave to a message. */
struct entry {
    struct id id;
    unsigned message;
    unsigned life;    /* in which it was first known to be safe */
    uint64_t acked;   /* the order of its acknowledgement, or 0 */
    int64_t acked_us; /* its time */
    uint64_t digest;  /* of its data in a stream; 0 before the first */
    bool created;     /* a 201 had this id */
};

extern struct message *messages;
extern unsigned message_count;
extern struct entry *entries; /* in the order of their ids */
extern size_t entry_count;

/* Makes a message. */
unsigned ledger_new(uint64_t *random, unsigned room, bool large);

/* Writes the POST of a message, and counts it. */
size_t ledger_post(unsigned message, char *out, size_t size);

/* One POST of a message: what was known when it was sent. */
struct post {
    unsigned message, life;
    uint64_t order;
    struct id newest; /* of all known ids */
};

/* Takes the 201 or 200 for a POST. */
void ledger_acknowledge(const struct post *post, int status, const char *body);

/* Takes a message whose publisher gives up. */
void ledger_give_up(unsigned message);

/* Takes a message that a stream delivers, or a page if `event` is NULL: `data` begins with the
 * message's data, or with its element in the page. Returns its number. */
unsigned ledger_deliver(
    const char *reader, unsigned in_life, struct id id, const char *event, const char *data);

/* Returns the greatest id known. */
struct id ledger_newest(void);

/* Returns the index of the first entry after an id. */
size_t ledger_after(struct id id);

/* Returns the entry with an id, or NULL. */
struct entry *ledger_find(struct id id);

/* Returns the earliest life that can have given an id. */
unsigned ledger_life_of(struct id id);

/* Returns the most bytes that a room's history can have taken after an id, since a life. */
uint64_t ledger_bytes_after(unsigned room, struct id id, unsigned since);

/* ---- check.c ---- */

/* Notes that the life that begins now starts with these contents, which it takes over; all ids that
 * the life gives are from `before` on. */
void check_breach(const struct contents *contents, struct id before);

/* One connection of a reader, or one page. */
struct segment {
    const char *reader;
    bool is_page;
    unsigned life;
    uint64_t requested; /* the order of its request */
    uint32_t rooms;     /* one bit for each */
    bool resumes;       /* it asked for what follows `from` */
    struct id from;

    uint32_t gaps;  /* the rooms with a gap; a page from the oldest counts as one, too */
    uint32_t whole; /* of these, the rooms whose replay begins with the oldest message held */
    uint32_t empty; /* of these, the rooms that hold nothing */
    struct id oldest[ROOMS]; /* the oldest message held, in the other rooms with a gap */

    uint32_t begun; /* the rooms of which a message has come */
    struct id first[ROOMS];
    bool ready;
    struct id ready_id;
    struct id last; /* the last id that came */
    struct id *ids; /* the messages that came, ascending */
    size_t count, capacity;
};

/* Takes the next message of a connection: ids grow, and follow `from`. */
void segment_add(struct segment *s, unsigned room, struct id id);

/* Takes a gap; reason is NULL for a page, which tells none. */
void segment_gap(struct segment *s, unsigned room, const char *reason);

/* Checks at `ready`, or when a page says that there is no more: everything acknowledged before the
 * request has come. */
void segment_check_replay(const struct segment *s);

/* Checks that nothing was left out up to the last id. */
void segment_check(const struct segment *s);

/* Checks that a room's history, as a page from its beginning shows it, lacks nothing that it must
 * still hold. */
void segment_check_held(const struct segment *s, unsigned room);

/* Returns whether a message can be gone from its room's history by now. */
bool check_may_be_gone(unsigned room, struct id id);

/* Notes that a room was seen empty, by a request of this order. */
void check_empty(unsigned room, uint64_t requested);

/* Checks that a message is not back that was forgotten with its room. */
void check_forgotten(const struct segment *s, unsigned room, struct id id);

/* ---- the clients ---- */

extern uint32_t silent_rooms; /* publishers leave these alone */
extern bool volume;           /* publishers send large messages, without pauses */

/* Begin: register the clients with the loop. */
void publishers_begin(uint64_t *random);
void readers_begin(uint64_t *random);
void pages_begin(uint64_t *random);

/* Return whether they are done at the end of a run: each message is answered; each reader has
 * resumed once more and caught up; each room was read from its beginning since pages_again. */
bool publishers_are_done(void);
bool readers_are_done(void);
bool pages_are_done(void);
void pages_again(void);

/* Check what no single event shows: answers come in time, refusals have a reason, live readers get
 * what is acknowledged. */
void publishers_check(void);
void readers_check(void);
void pages_check(void);

/* Checks all connections of the run again, when all ids are known. */
void readers_check_all(void);

/* Returns the order of the latest POST that got a 201; publishers_accepted_us, when its answer
 * came. */
uint64_t publishers_accepted(void);
int64_t publishers_accepted_us(void);

/* Lets a pager read a room from an id on. */
void pages_probe(unsigned room, struct id from);

/* Notes how far the pagers are. */
void pages_describe(void);

/* Returns when /healthz last said that something is wrong. */
int64_t health_bad_us(void);

/* ---- acts.c ---- */

/* Sets which acts are allowed, from a comma-separated list. */
bool acts_choose(const char *list);

/* Begins. */
void acts_begin(uint64_t *random);

/* Does what is due. Call this in every turn. */
void acts_tick(void);

/* Ends all faults, and keeps the server running. Returns whether it is. */
bool acts_calm(void);

/* Restarts the server once more, without faults. */
void acts_restart(void);

/* Ends the server for good. Returns whether it has ended. */
bool acts_end(void);

/* Returns whether the journal cannot be expected to work now, because of an act. */
bool acts_excuse_refusals(void);

#endif
