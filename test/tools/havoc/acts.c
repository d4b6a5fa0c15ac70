/* acts.c - decides what goes wrong next.
 *
 *      DOWN ──► STARTING ──► SERVING ──► ENDING ──► DOWN
 *                   └── killed, refused ──┘
 *
 * A life is planned when it begins: how long it lasts, and how it ends. While it lasts, an act
 * comes every few hundred milliseconds. Between two lives the file and the options change.
 *
 * While the server runs, an act on the file costs nothing, because the server writes the file again
 * from memory; but until it has done so the file is *tampered with*, and if it is killed before,
 * the next start is a breach. It has done so when a POST was accepted that was sent after the act:
 * the server looks at the file before each write. */

#include "test/tools/havoc/havoc.h"

enum {
    START_MS = 30000,
    DRAIN_MS = 20000, /* --drain, and the leak checker of a sanitizer build */
    GRACE_MS = 2000,  /* after a fault, refusals can still be on their way */
};

/* What can go wrong. The names are for --acts. An act with a weight is done while the server runs,
 * as often as its weight says. */
enum act {
    ACT_KILL,
    ACT_TERM,
    ACT_EARLY,
    ACT_COMPACTING,
    ACT_LIMITS,
    ACT_FORGET,
    ACT_NO_SYNC,
    ACT_RUBBISH,
    ACT_TRUNCATE,
    ACT_FLIP,
    ACT_JOIN,
    ACT_RESTORE,
    ACT_START_IO,
    ACT_VOLUME,
    ACT_COPY,
    ACT_CLOCK,
    ACT_IO,
    ACT_FULL,
    ACT_SHORT,
    ACT_SLOW,
    ACT_STUCK,
    ACT_MOVE, /* from here on: to the file, while the server runs */
    ACT_REMOVE,
    ACT_CUT,
    ACT_REPLACE,
    ACT_OLDER,
    ACT_APPEND,
    ACT_COUNT,
};

static const struct {
    const char *name;
    unsigned weight;
} acts[ACT_COUNT] = {
    [ACT_KILL] = { "kill", 0 },             /* lives end with SIGKILL */
    [ACT_TERM] = { "term", 0 },             /* lives end with SIGTERM */
    [ACT_EARLY] = { "early", 0 },           /* or with SIGKILL before the server listens */
    [ACT_COMPACTING] = { "compacting", 0 }, /* or during or just after a compaction */
    [ACT_LIMITS] = { "limits", 0 },         /* other --history and --max-rooms at some starts */
    [ACT_FORGET] = { "forget", 0 },         /* --room-ttl 1s at some starts */
    [ACT_NO_SYNC] = { "nosync", 0 },        /* --sync none at some starts */
    [ACT_RUBBISH] = { "rubbish", 0 },       /* before a start: other files beside the journal */
    [ACT_TRUNCATE] = { "truncate", 0 },     /* before a start: the journal is cut */
    [ACT_FLIP] = { "flip", 0 },             /* before a start: one bit of some bytes is flipped */
    [ACT_JOIN] = { "join", 0 },             /* before a start: joined with a copy */
    [ACT_RESTORE] = { "restore", 0 },       /* before a start: an older copy is put back */
    [ACT_START_IO] = { "startio", 0 },      /* as `io`, but from before a start */
    [ACT_VOLUME] = { "volume", 2 },         /* large messages without pauses, for compactions */
    [ACT_COPY] = { "copy", 2 },             /* the journal is copied */
    [ACT_CLOCK] = { "clock", 2 },           /* the clock steps, also between two lives */
    [ACT_IO] = { "io", 4 },                 /* calls to the disk fail */
    [ACT_FULL] = { "full", 1 },             /* the disk is full */
    [ACT_SHORT] = { "short", 1 },           /* writes are short */
    [ACT_SLOW] = { "slow", 2 },             /* syncs are slow */
    [ACT_STUCK] = { "stuck", 1 },           /* syncs do not end for a while, seldom a long one */
    [ACT_MOVE] = { "move", 1 },             /* the journal is moved away */
    [ACT_REMOVE] = { "remove", 1 },         /* removed */
    [ACT_CUT] = { "cut", 2 },               /* cut */
    [ACT_REPLACE] = { "replace", 1 },       /* replaced by bytes that are no journal */
    [ACT_OLDER] = { "older", 2 },           /* replaced by an older copy */
    [ACT_APPEND] = { "append", 2 },         /* another program appends to it */
};

static bool allowed[ACT_COUNT];
static uint64_t rng;
static enum { DOWN, STARTING, SERVING, ENDING } state;
static bool calm, stop; /* no more faults; no more starts */

/* The present life. */
static int64_t started_us, serving_us, next_us, end_us; /* `end_us`: when it is planned to end */
static bool file_acts;                                  /* it has acts on the file */
static bool patient;     /* it does not end before it has recovered */
static bool may_refuse;  /* an error was possible while it started */
static bool must_refuse; /* the file is no journal */
static bool is_empty;    /* the file has no whole record */
static int signal_sent;
static int64_t signal_us;
static bool starting; /* the signal was sent, if at all, before the server listened */

/* The file. */
static uint64_t tampered; /* the order of the last act on it that the server has not mended; or 0 */
static int64_t tampered_us; /* when the last act on it was */
static bool found_due;      /* what the last act put there must be kept aside */
static bool settled = true; /* a message was accepted since the last breach */

static int64_t quiet_us, volume_us; /* when the quiet rooms, and the volume, change next */

/* ==== Choices ================================================================================ */

bool acts_choose(const char *list)
{
    char copy[1000], *save;
    snprintf(copy, sizeof copy, "%s", list);
    for (char *name = strtok_r(copy, ",", &save); name != NULL; name = strtok_r(NULL, ",", &save)) {
        bool known = strcmp(name, "all") == 0, without = name[0] == '-';
        for (unsigned i = 0; i < ACT_COUNT; i++)
            if (strcmp(name, "all") == 0 || strcmp(name + without, acts[i].name) == 0) {
                allowed[i] = !without;
                known = true;
            }
        if (!known)
            return false;
    }
    return true;
}

/* Decides whether something happens now, one time in N, if it is allowed. */
static bool chance(enum act act, unsigned one_in)
{
    return allowed[act] && !calm && below(&rng, one_in) == 0;
}

/* Chooses an act for a running server. Returns ACT_COUNT if none is allowed. */
static enum act choose_act(void)
{
    unsigned total = 0, count = file_acts ? ACT_COUNT : ACT_MOVE;
    for (unsigned i = 0; i < count; i++)
        total += allowed[i] ? acts[i].weight : 0;
    unsigned at = total > 0 ? below(&rng, total) : 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned weight = allowed[i] ? acts[i].weight : 0;
        if (at < weight)
            return (enum act)i;
        at -= weight;
    }
    return ACT_COUNT;
}

/* Returns a random time from now, between two limits. */
static int64_t soon_us(unsigned least_ms, unsigned most_ms)
{
    return turn_us + 1000 * (int64_t)(least_ms + below(&rng, most_ms - least_ms));
}

/* Steps the clock by minutes, hours or days, in one direction or the other, or sets it right. */
static void step_clock(void)
{
    static const int64_t steps_ms[] = { 1000, 60000, 3600000, 86400000, 30 * 86400000LL };
    int64_t step = steps_ms[below(&rng, 5)] * (1 + below(&rng, 5));
    unsigned kind = below(&rng, 5);
    clock_step(kind == 0 ? 0 : clock_ahead_ms() + (kind < 3 ? step : -step));
    counts[COUNT_CLOCK]++;
    note("the clock is now %lld s ahead", (long long)clock_ahead_ms() / 1000);
}

/* ==== While it is down ======================================================================= */

/* Notes that the file is no longer as the server left it. */
static void tamper(bool done)
{
    if (!done)
        return;
    found_due = false;
    tampered = ++order;
    tampered_us = turn_us;
}

/* Notes that the file was changed in place, while the server runs. A copy that is made before the
 * server has written the file again has the damage, too. */
static void tamper_in_place(bool done)
{
    tamper(done);
    if (done)
        file_set_damaged(true);
}

/* Notes that something else is in the journal's place, while the server runs. The server keeps it
 * aside, unless the next act or a failing disk is in the way. */
static void tamper_by_replacing(bool done)
{
    bool alone = tampered == 0 && !disk_is_broken();
    tamper(done);
    found_due = done && alone;
}

/* Changes the file between two starts. */
static void change_file(void)
{
    if (chance(ACT_COPY, 5))
        file_copy(&rng);
    if (chance(ACT_RESTORE, 8))
        tamper(file_put_older(&rng, false));
    if (chance(ACT_TRUNCATE, 8))
        tamper(file_cut(&rng, false));
    if (chance(ACT_JOIN, 8))
        tamper(file_join(&rng));
    if (chance(ACT_FLIP, 8))
        for (unsigned i = 1 + below(&rng, 3); i > 0; i--)
            tamper(file_flip(&rng));
    if (chance(ACT_RUBBISH, 8))
        file_add_rubbish(&rng);
}

/* Chooses the options of the next life, which begins. */
static void choose_options(void)
{
    static const unsigned history_kib[] = { 16, 64, 64, 256, 1024, 1024 };
    struct life *next = &lives[life + 1];
    if (life + 1 >= LIVES_MAX)
        broken("too many lives");
    *next = lives[life];
    if (calm || life == 0 || chance(ACT_LIMITS, 4)) {
        counts[COUNT_LIMITS] += life != 0 && !calm;
        next->history = 1024u * history_kib[calm ? 5 : life == 0 ? 1 : below(&rng, 6)];
    }
    next->max_rooms = chance(ACT_LIMITS, 12) ? 12 : 256;
    next->short_ttl = chance(ACT_FORGET, 4);
    next->no_sync = chance(ACT_NO_SYNC, 5);
    counts[COUNT_FORGETTING] += next->short_ttl;
    counts[COUNT_NO_SYNC] += next->no_sync;
    life++;
}

/* Notes a breach if the file is not as the server left it, or if damage is still in it, which each
 * start finds again; a torn tail is damage with --sync none.
 * The clock is then set to a time after all that it has shown, and is not set back before a message
 * was accepted: ids of a lost future must not be given again, because no server could then tell
 * them apart. Otherwise the clock may step. */
static void settle_file(void)
{
    bool no_sync = lives[life].no_sync || lives[life - 1].no_sync;
    must_refuse = is_empty = found_due = false;
    if (tampered != 0 || file_is_damaged() || (no_sync && file_is_torn())) {
        struct contents contents;
        must_refuse = file_is_rubbish();
        file_scan(&contents);
        is_empty = contents.records == 0;
        if (contents.cut_snapshot)
            file_set_damaged(true);
        check_breach(&contents, (struct id) { clock_force(), 0 });
        settled = false;
    } else if (!settled) {
        clock_force();
    } else if (chance(ACT_CLOCK, 6)) {
        step_clock();
    }
}

/* Starts the server. */
static void start(void)
{
    change_file();
    file_check_folder(!calm && below(&rng, 4) == 0);
    choose_options();
    settle_file();
    if (chance(ACT_START_IO, 10))
        disk_break(&rng, false);
    may_refuse = disk_is_broken();
    disk_begin_life();
    server_start();
    started_us = turn_us;
    end_us = chance(ACT_EARLY, 6) ? soon_us(0, 200) : INT64_MAX;
    signal_sent = 0;
    starting = true;
    state = STARTING;
}

/* ==== While it runs ========================================================================== */

/* Sends a signal that ends the server. */
static void end(int signal_number)
{
    counts[signal_number == SIGTERM ? COUNT_TERMS
           : state == STARTING      ? COUNT_EARLY_KILLS
                                    : COUNT_KILLS]++;
    note("%s", signal_number == SIGTERM ? "SIGTERM"
               : state == STARTING      ? "killed early"
                                        : "killed");
    kill(server_pid, signal_number);
    signal_sent = signal_number;
    signal_us = turn_us;
    state = ENDING;
}

/* Plans a life when it begins to serve. */
static void plan(void)
{
    if (must_refuse)
        broken("expected the server to refuse a file that is no journal, but it serves");
    note("serving after %lld ms", (long long)(turn_us - started_us) / 1000);
    state = SERVING;
    starting = false;
    serving_us = turn_us;
    file_acts = below(&rng, 5) < 3;
    patient = below(&rng, 3) != 0;
    next_us = soon_us(10, 600);
    end_us = allowed[ACT_KILL] || allowed[ACT_TERM] ? soon_us(50, below(&rng, 5) == 0   ? 9000
                                                                  : below(&rng, 3) == 0 ? 500
                                                                                        : 3000)
                                                    : INT64_MAX;
}

/* Handles a server that refused to start: an error was possible, or the file is no journal. The
 * file must be as it was. What is no journal is removed, as an operator would do. */
static void take_refusal(int status)
{
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1)
        broken("the server ended with status %x while it started", (unsigned)status);
    server_check_end();
    const char *sentence = server_refusal();
    counts[COUNT_REFUSED_STARTS]++;
    note("refused: %.150s", sentence);
    if (!may_refuse && !disk_is_broken() && !must_refuse && !is_empty)
        broken("the server must not refuse a journal with whole records: %s", sentence);
    if (must_refuse && !file_is_rubbish())
        broken("a file that is no journal must be refused and left alone, but it has changed");
    if (must_refuse || (is_empty && !may_refuse))
        tamper(file_remove(&rng));
    disk_mend();
    state = DOWN;
}

/* Does an act to the disk of a running server. */
static void disturb(enum act act)
{
    bool for_long = act == ACT_STUCK && below(&rng, 8) == 0;
    switch (act) {
    case ACT_IO:
    case ACT_FULL:
        disk_break(&rng, act == ACT_FULL);
        break;
    case ACT_SHORT:
        disk_write_short(soon_us(100, 2000));
        break;
    case ACT_SLOW:
        disk_slow(1000 * (5 + (int64_t)below(&rng, 45)), soon_us(200, 3000));
        break;
    case ACT_STUCK:
        disk_stick(for_long ? soon_us(8500, 11000) : soon_us(50, 2000));
        counts[COUNT_LONG_STUCK] += for_long;
        patient |= for_long;
        break;
    default:
        break;
    }
}

/* Does one act to a running server. */
static void do_act(enum act act)
{
    switch (act) {
    case ACT_VOLUME:
        volume = true;
        volume_us = soon_us(200, 1500);
        counts[COUNT_VOLUME]++;
        break;
    case ACT_COPY:
        file_copy(&rng);
        break;
    case ACT_CLOCK:
        step_clock();
        break;
    case ACT_MOVE:
        tamper(file_move(&rng));
        break;
    case ACT_REMOVE:
        tamper(file_remove(&rng));
        break;
    case ACT_CUT:
        tamper_in_place(file_cut(&rng, true));
        break;
    case ACT_REPLACE:
        tamper_by_replacing(file_replace(&rng));
        break;
    case ACT_OLDER:
        tamper_by_replacing(file_put_older(&rng, true));
        break;
    case ACT_APPEND:
        tamper_in_place(file_append(&rng));
        break;
    default:
        disturb(act);
        break;
    }
}

/* Returns when the last fault was; while one is present, that is now. */
static int64_t last_fault_us(void)
{
    int64_t last_us = disk_is_broken() ? turn_us : disk_mended_us();
    return tampered_us > last_us ? tampered_us : last_us;
}

/* Returns whether the server has accepted a message since the last fault. */
static bool has_recovered(void)
{
    return tampered == 0 && publishers_accepted_us() > last_fault_us() &&
           publishers_accepted_us() > serving_us;
}

bool acts_excuse_refusals(void)
{
    return state != SERVING || !has_recovered() || turn_us < last_fault_us() + GRACE_MS * 1000;
}

/* Notes that the server has written the file again, and checks that it recovers in time. */
static void check_recovery(void)
{
    settled |= publishers_accepted_us() > serving_us;
    if (tampered != 0 && publishers_accepted() > tampered) {
        counts[COUNT_RECOVERED]++;
        note("recovered after %lld ms", (long long)(turn_us - tampered_us) / 1000);
        if (found_due && disk_mended_us() < tampered_us && !disk_is_broken())
            file_check_found();
        file_trust();
        tampered = 0;
    }
    int64_t since_us = last_fault_us() > serving_us ? last_fault_us() : serving_us;
    /* At the end of the run nothing is posted. */
    if (!finishing && !has_recovered() && turn_us > since_us + RECOVERY_MS * 1000)
        broken("no POST was accepted within %d s after the last fault", RECOVERY_MS / 1000);
}

/* Lets the quiet rooms and the volume come and go. */
static void set_pace(void)
{
    const uint32_t quiet = ((1u << ROOMS) - 1) & ~((1u << QUIET_FROM) - 1);
    if (turn_us >= quiet_us) {
        silent_rooms = silent_rooms == 0 ? quiet : 0;
        quiet_us = silent_rooms != 0 ? soon_us(1500, 5000) : soon_us(200, 800);
    }
    if (volume && turn_us >= volume_us)
        volume = false;
}

/* Plans the end of a life for when the server is compacting its journal, or has just done so. */
static void watch_compaction(void)
{
    static bool before;
    bool now = file_is_compacted();
    file_is_damaged(); /* notes it when the file has been written again */
    if (now && !before && chance(ACT_COMPACTING, 3)) {
        end_us = soon_us(0, 80);
        patient = false;
        counts[COUNT_COMPACTING]++;
        note("the server compacts: its end comes soon");
    }
    before = now;
}

/* Runs a turn of a serving server. */
static void serve(void)
{
    check_recovery();
    set_pace();
    if (calm)
        return;
    watch_compaction();
    if (turn_us >= next_us) {
        do_act(choose_act());
        next_us = soon_us(20, 700);
    }
    if (turn_us >= end_us && (!patient || has_recovered()))
        end(allowed[ACT_KILL] && (!allowed[ACT_TERM] || below(&rng, 4) != 0) ? SIGKILL : SIGTERM);
}

/* ==== The states ============================================================================= */

/* Checks how the server ended, after a signal. */
static void take_end(int status)
{
    bool good =
        signal_sent == SIGKILL ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : status == 0;
    if (!good)
        broken("after signal %d the server ended with status %x", signal_sent, (unsigned)status);
    server_check_end();
    state = DOWN;
}

/* Returns whether the server accepts connections. */
static bool is_listening(void)
{
    int fd = connect_to(port);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Runs a turn while the server starts. */
static void await_start(void)
{
    may_refuse |= disk_is_broken();
    if (turn_us >= end_us)
        end(SIGKILL);
    else if (is_listening())
        plan();
    else if (turn_us - started_us > START_MS * 1000)
        broken("the server does not listen %d s after its start", START_MS / 1000);
}

void acts_begin(uint64_t *random)
{
    rng = next_random(random);
    state = DOWN;
}

void acts_tick(void)
{
    int status;
    if (state != DOWN && server_has_ended(&status)) {
        bool refused = starting && WIFEXITED(status); /* before it was killed */
        if (state == ENDING && !refused)
            take_end(status);
        else if (refused || state == STARTING)
            take_refusal(status);
        else
            broken("the server ended by itself, with status %x", (unsigned)status);
    }
    switch (state) {
    case DOWN:
        if (!stop)
            start();
        break;
    case STARTING:
        await_start();
        break;
    case SERVING:
        serve();
        break;
    case ENDING: {
        int64_t since_us = disk_mended_us() > signal_us ? disk_mended_us() : signal_us;
        if (disk_stuck_since_us() == 0 && turn_us - since_us > DRAIN_MS * 1000)
            broken("the server has not ended %d s after signal %d", DRAIN_MS / 1000, signal_sent);
        break;
    }
    }
}

/* ==== The end of the run ===================================================================== */

bool acts_calm(void)
{
    const struct life *l = &lives[life];
    if (!calm) {
        disk_mend();
        calm = true;
        volume = false;
    }
    if (state != SERVING || (!finishing && !has_recovered()))
        return false;
    if (!life_forgets(l) && !l->no_sync && l->history == 1 << 20)
        return true;
    end(SIGTERM); /* the next life has the usual options */
    return false;
}

void acts_restart(void)
{
    end(SIGTERM);
}

bool acts_end(void)
{
    stop = true;
    if (state == SERVING)
        end(SIGTERM);
    return state == DOWN;
}
