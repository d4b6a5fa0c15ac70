/* journal_probe.c - makes journals, damages them, and checks what the server reads from them.
 *
 *     journal_probe sign < IN > OUT
 *             copies a journal and puts the right CRC into each record
 *     journal_probe large FILE MIB [BROKEN]
 *             makes a journal of MIB MiB for the room `lobby`; if BROKEN is given, one record in
 *             the middle is damaged
 *     journal_probe damage SERVER FOLDER JOURNAL HOW
 *             damages copies of the journal in every way that HOW names; starts the server on each
 *             copy and compares the messages that it serves with those that it must serve. HOW is
 *                 cut             cut at every byte of the last three records
 *                 flip state      one byte changed at each position of the first record, which has
 *                                 no message
 *                 flip middle     the same for a record in the middle
 *                 flip last       the same for the last record
 *                 tails           zeros and other bytes after the end
 *                 fronts          other bytes before the beginning
 *                 random N SEED   a few random edits, N times
 *     journal_probe burst PORT PID COUNT
 *             stops the process, posts a message on each of COUNT connections, resumes the process
 *             and waits for the answers, which must all be 201
 *     journal_probe posts PORT FILE TEXT
 *             posts one message after the other until FILE contains TEXT; prints their times
 *
 * The idea of `damage` is that the effect of each damaged byte is known. For every case the tool
 * knows which records are intact and must be served, which are damaged and must not be served, and
 * which reader must get a gap. So it finds a server that drops too much, serves a damaged record or
 * hides a loss.
 *
 * A record of a journal is a comment line with a CRC-32 of the rest of the record, the lines of the
 * event, and an empty line (journal.h). A journal for `damage` must have only the room lobby. */

#include "tool.h"

#include <dirent.h>
#include <sys/stat.h>

enum {
    RECORDS_MAX = 1024,
    LOG_MAX_BYTES = 65536,
    WORKERS = 4,
    AGAIN_EVERY = 8, /* in every 8 cases, the first WORKERS get a second start, after a kill */
};

/* A growing buffer whose bytes are followed by a NUL. */
struct bytes {
    char *at;
    size_t len, capacity;
};

static void add(struct bytes *b, const void *at, size_t len)
{
    if (b->len + len + 1 > b->capacity) {
        b->capacity = 2 * (b->len + len + 1);
        b->at = realloc(b->at, b->capacity);
        if (b->at == NULL)
            fail("out of memory");
    }
    if (len > 0)
        memcpy(b->at + b->len, at, len);
    b->len += len;
    b->at[b->len] = '\0';
}

static void read_all(int fd, struct bytes *b)
{
    char piece[65536];
    for (ssize_t n; (n = read(fd, piece, sizeof piece)) != 0;) {
        if (n < 0)
            fail("read: %s", strerror(errno));
        add(b, piece, (size_t)n);
    }
}

static void read_file(const char *path, struct bytes *b)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail("%s: %s", path, strerror(errno));
    read_all(fd, b);
    close(fd);
}

static void write_file(const char *path, const struct bytes *b)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        fail("%s: %s", path, strerror(errno));
    for (size_t at = 0; at < b->len;) {
        ssize_t n = write(fd, b->at + at, b->len - at);
        if (n < 0)
            fail("%s: %s", path, strerror(errno));
        at += (size_t)n;
    }
    close(fd);
}

/* ==== Records ================================================================================ */

/* The position of a record in the journal. */
struct record {
    size_t begin, end;
    char id[64]; /* the message's id; empty if there is no message */
};

/* Computes the CRC-32 of gzip, PNG and Ethernet bit by bit. It does not use the table of
 * base/crc32.c, because it checks that table. */
static uint32_t crc32_of(const char *at, size_t len)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < len; i++) {
        crc ^= (uint8_t)at[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* Writes the CRC of a record into its first line. */
static void sign(char *record, size_t len)
{
    char digits[16];
    if (len < 12 || record[0] != ':')
        fail("expected a record, got: %.*s", (int)len, record);
    snprintf(digits, sizeof digits, "%08x", crc32_of(record + 9, len - 9));
    memcpy(record + 1, digits, 8);
}

/* Finds the records of an undamaged journal, and returns their number. */
static unsigned find_records(const struct bytes *b, struct record *records)
{
    unsigned count = 0;
    for (size_t at = 0; at < b->len; count++) {
        const char *end = memmem(b->at + at, b->len - at, "\n\n", 2);
        if (end == NULL || count == RECORDS_MAX)
            fail("expected an undamaged journal, found no record at byte %zu", at);
        struct record *r = &records[count];
        *r = (struct record) { .begin = at, .end = (size_t)(end + 2 - b->at) };
        const char *id = memmem(b->at + at, r->end - at, "\nid: ", 5);
        if (id != NULL)
            snprintf(r->id, sizeof r->id, "%.*s", (int)strcspn(id + 5, "\n"), id + 5);
        at = r->end;
    }
    return count;
}

/* Copies a hand-written journal of the suite to standard output, and signs its records. */
static void run_sign(void)
{
    struct bytes b = { 0 };
    read_all(STDIN_FILENO, &b);
    for (size_t at = 0; at < b.len;) {
        const char *end = memmem(b.at + at, b.len - at, "\n\n", 2);
        size_t len = end != NULL ? (size_t)(end + 2 - (b.at + at)) : b.len - at;
        sign(b.at + at, len);
        at += len;
    }
    fwrite(b.at, 1, b.len, stdout);
}

/* Makes a journal of one room whose messages have ids from an hour ago and idempotency keys. */
static void run_large(const char *path, unsigned mib, bool broken)
{
    static char text[4000];
    struct bytes b = { 0 }, record = { 0 };
    size_t wanted = (size_t)mib << 20, middle = 0; /* middle: the record at half the size */
    uint64_t first_ms = (uint64_t)(time(NULL) - 3600) * 1000;
    char state[256];
    memset(text, 'x', sizeof text - 1);
    int state_len = snprintf(state, sizeof state,
        ":00000000 {\"start\":\"%llu-0\",\"last\":\"%llu-0\",\"lost\":\"%llu-0\"}\n\n",
        (unsigned long long)first_ms - 1, (unsigned long long)first_ms - 1,
        (unsigned long long)first_ms - 1);
    sign(state, (size_t)state_len);
    add(&b, state, (size_t)state_len);
    for (unsigned n = 0; b.len < wanted; n++) {
        char head[256];
        int len = snprintf(head, sizeof head,
            ":00000000 {\"room\":\"lobby\",\"kind\":\"text\",\"key\":\"k%u\"}\nid: %llu-0\n"
            "event: bulk\ndata: %u ",
            n, (unsigned long long)(first_ms + n), n);
        record.len = 0;
        add(&record, head, (size_t)len);
        add(&record, text, sizeof text - 1);
        add(&record, "\n\n", 2);
        sign(record.at, record.len);
        if (b.len < wanted / 2)
            middle = b.len;
        add(&b, record.at, record.len);
    }
    if (broken)
        b.at[middle + 100] ^= 1;
    write_file(path, &b);
}

/* ==== Damage ================================================================================= */

/* What must happen to a record: served, not served, or either. */
enum fate { KEPT, LOST, EITHER };

/* One case: a damaged journal, and how the server must read it. */
struct damage {
    struct bytes bytes;
    enum fate fate[RECORDS_MAX];
    int behind;     /* a reader that resumes from this record must get a gap; -1 if none */
    size_t bad;     /* offset of a changed byte that must be put aside; SIZE_MAX if none */
    char what[128]; /* description of the damage, for error messages */
};

static struct bytes original;
static struct record records[RECORDS_MAX];
static unsigned record_count;
static const char *server, *how, *which;
static unsigned random_count;
static uint64_t random_seed;

/* Starts an empty case, in which the server must put nothing aside and report no gap. */
static void start_damage(struct damage *d, enum fate fate)
{
    d->bytes.len = 0;
    d->behind = -1;
    d->bad = SIZE_MAX;
    for (unsigned i = 0; i < record_count; i++)
        d->fate[i] = fate;
}

/* Returns the record of the newest message before a record, or -1 if there is none. */
static int message_before(unsigned record)
{
    int i = (int)record - 1;
    while (i >= 0 && records[i].id[0] == '\0')
        i--;
    return i;
}

/* Each function below makes case `n` of a kind of damage from the original. It returns false if the
 * kind has no such case. */

/* Truncates the file, as a crash can. Only the records that are cut off may be lost. */
static bool damage_cut(struct damage *d, unsigned n)
{
    size_t len = records[record_count - 3].begin + n;
    if (len >= original.len)
        return false;
    add(&d->bytes, original.at, len);
    for (unsigned i = 0; i < record_count; i++)
        d->fate[i] = records[i].end <= len ? KEPT : LOST;
    snprintf(d->what, sizeof d->what, "cut at byte %zu of %zu", len, original.len);
    return true;
}

/* Changes one byte in one of three ways: flips its lowest bit, flips the bit that distinguishes
 * upper from lower case, or makes it a line end. */
static bool damage_flip(struct damage *d, unsigned n)
{
    unsigned i = 0;
    if (strcmp(which, "middle") == 0)
        i = record_count / 2;
    else if (strcmp(which, "last") == 0)
        i = record_count - 1;
    size_t at = records[i].begin + n / 3;
    if (at >= records[i].end)
        return false;
    add(&d->bytes, original.at, original.len);
    char *byte = &d->bytes.at[at];
    *byte = n % 3 == 0 ? *byte ^ 1 : n % 3 == 1 ? *byte ^ 0x20 : *byte == '\n' ? '\r' : '\n';
    d->fate[i] = LOST;
    /* Without its empty line the last record looks like a torn write, so the server cuts it off and
     * reports no damage. */
    bool torn = i == record_count - 1 && at >= records[i].end - 2;
    d->bad = torn ? SIZE_MAX : at;
    d->behind = torn ? -1 : message_before(i);
    snprintf(d->what, sizeof d->what, "byte %zu of record %u is now %02x", at - records[i].begin, i,
        (unsigned)(uint8_t)*byte);
    return true;
}

/* Adds bytes after the last record, as a file system can after a crash. No message may be lost. */
static bool damage_tail(struct damage *d, unsigned n)
{
    static const struct {
        const char *text;
        size_t len;
    } tails[] = { { "", 1 }, { "", 2 }, { "", 511 }, { "", 4096 }, { "", 1 << 20 }, { "\n", 1 },
        { "\n\n", 2 }, { "\n\n\n", 3 }, { ":", 1 }, { ":00000000 {", 11 },
        { ":00000000 {}\n\n", 14 }, { "x\n", 2 }, { "data: x\n\n", 9 }, { "\xff\xff\xff\xff", 4 } };
    if (n >= sizeof tails / sizeof *tails)
        return false;
    add(&d->bytes, original.at, original.len);
    size_t before = d->bytes.len;
    for (size_t i = 0; i < tails[n].len; i++) /* an empty text means zeros */
        add(&d->bytes, tails[n].text[0] != '\0' ? tails[n].text + i : "", 1);
    snprintf(d->what, sizeof d->what, "%zu bytes after the end", d->bytes.len - before);
    return true;
}

/* Inserts bytes before the first record. */
static bool damage_front(struct damage *d, unsigned n)
{
    static const char *const fronts[] = { "x", "\n", "\n\n", "rubbish\n", "rubbish\n\n", ":",
        ":00000000 {", ":00000000 {}\n\n", "data: x\n\n", "\xff\xfe\xfd\n", "id: 1-0\n" };
    static const size_t zeros[] = { 1, 2, 4096 };
    size_t count = sizeof fronts / sizeof *fronts;
    if (n >= count + sizeof zeros / sizeof *zeros)
        return false;
    if (n < count)
        add(&d->bytes, fronts[n], strlen(fronts[n]));
    for (size_t i = 0; n >= count && i < zeros[n - count]; i++)
        add(&d->bytes, "", 1);
    snprintf(d->what, sizeof d->what, "%zu bytes before the beginning", d->bytes.len);
    add(&d->bytes, original.at, original.len);
    return true;
}

/* Replaces `cut` bytes at `at` with `len` others. */
static void edit(struct damage *d, size_t at, size_t cut, const char *put, size_t len)
{
    struct bytes out = { 0 };
    add(&out, d->bytes.at, at);
    add(&out, put, len);
    add(&out, d->bytes.at + at + cut, d->bytes.len - at - cut);
    free(d->bytes.at);
    d->bytes = out;
}

/* Makes up to four random edits. A record that is still intact must be served in any case. */
static bool damage_random(struct damage *d, unsigned n)
{
    char rubbish[300];
    if (n >= random_count)
        return false;
    uint64_t random = random_seed + n;
    add(&d->bytes, original.at, original.len);
    for (unsigned edits = 1 + below(&random, 4); edits > 0; edits--) {
        size_t at = below(&random, (unsigned)d->bytes.len);
        size_t most = d->bytes.len - at;
        most = most < sizeof rubbish ? most : sizeof rubbish;
        size_t len = 1 + below(&random, (unsigned)most), from = 0;
        for (size_t i = 0; i < len; i++)
            rubbish[i] = (char)next_random(&random);
        switch (below(&random, 5)) {
        case 0: /* overwrite */
            edit(d, at, len, rubbish, len);
            break;
        case 1: /* overwrite with zeros */
            memset(rubbish, 0, len);
            edit(d, at, len, rubbish, len);
            break;
        case 2: /* remove */
            edit(d, at, len, "", 0);
            break;
        case 3: /* insert */
            edit(d, at, 0, rubbish, len);
            break;
        default: /* insert a copy of a stretch from elsewhere, shorter than a record */
            len = len < 64 ? len : 64;
            from = below(&random, (unsigned)(d->bytes.len - len + 1));
            memcpy(rubbish, d->bytes.at + from, len);
            edit(d, at, 0, rubbish, len);
        }
    }
    /* An intact record that begins a line and is still in order must be found; any other may be
     * found or not. */
    size_t from = 0;
    for (unsigned i = 0; i < record_count; i++) {
        size_t len = records[i].end - records[i].begin;
        const char *at =
            memmem(d->bytes.at + from, d->bytes.len - from, original.at + records[i].begin, len);
        d->fate[i] = EITHER;
        if (at == NULL || (at > d->bytes.at && at[-1] != '\n'))
            continue;
        d->fate[i] = KEPT;
        from = (size_t)(at - d->bytes.at) + len;
    }
    snprintf(d->what, sizeof d->what, "edits with seed %llu", (unsigned long long)random_seed + n);
    return true;
}

static bool make_damage(struct damage *d, unsigned n)
{
    start_damage(d, KEPT);
    if (strcmp(how, "cut") == 0)
        return damage_cut(d, n);
    if (strcmp(how, "flip") == 0)
        return damage_flip(d, n);
    if (strcmp(how, "tails") == 0)
        return damage_tail(d, n);
    if (strcmp(how, "fronts") == 0)
        return damage_front(d, n);
    if (strcmp(how, "random") == 0)
        return damage_random(d, n);
    fail("expected HOW to be cut, flip, tails, fronts or random, got %s", how);
}

/* ==== What the server serves ================================================================= */

/* A message in a page from the server. */
struct element {
    const char *at;
    size_t len;
};

/* Splits the array of a page into elements that point into the page. Returns how many. */
static unsigned split_page(const char *page, struct element *elements)
{
    const char *at = strstr(page, "{\"messages\":[");
    unsigned count = 0, depth = 0;
    if (at == NULL)
        fail("expected a page of messages, got: %s", page);
    for (at += strlen("{\"messages\":["); *at != ']' || depth > 0; at++) {
        if (*at == '\0' || count == RECORDS_MAX)
            fail("expected a page of messages, got: %s", page);
        if (*at == '"') /* skip a string, which may contain braces */
            for (at++; *at != '"'; at++)
                at += *at == '\\';
        else if (*at == '{' && depth++ == 0)
            elements[count].at = at;
        else if (*at == '}' && --depth == 0) {
            elements[count].len = (size_t)(at + 1 - elements[count].at);
            count++;
        }
    }
    return count;
}

static char *original_page; /* the server's page of the undamaged journal */
static struct element original_elements[RECORDS_MAX];

/* Returns the message with this id in `original_page`: the record as it must be served. */
static const struct element *original_element(const char *id)
{
    for (unsigned i = 0; original_elements[i].at != NULL; i++)
        if (strncmp(original_elements[i].at + 7, id, strlen(id)) == 0 &&
            original_elements[i].at[7 + strlen(id)] == '"')
            return &original_elements[i];
    fail("the server does not serve message %s of the undamaged journal", id);
}

/* Compares a page with the fates. Returns NULL or an error message. */
static const char *compare(const struct damage *d, const char *page)
{
    static char why[512];
    struct element elements[RECORDS_MAX];
    unsigned count = split_page(page, elements), next = 0;
    /* Records and elements are in the same order, so one pass finds missing and extra messages. */
    for (unsigned i = 0; i < record_count; i++) {
        if (records[i].id[0] == '\0')
            continue;
        const struct element *wanted = original_element(records[i].id);
        bool there = next < count && elements[next].len == wanted->len &&
                     memcmp(elements[next].at, wanted->at, wanted->len) == 0;
        next += there;
        if (there ? d->fate[i] != LOST : d->fate[i] != KEPT)
            continue;
        snprintf(why, sizeof why, "record %u (%s) %s", i, records[i].id,
            there ? "must not be served, but is" : "must be served, but is not");
        return why;
    }
    if (next == count)
        return NULL;
    snprintf(why, sizeof why, "the server serves a message that no record has: %.*s",
        (int)elements[next].len, elements[next].at);
    return why;
}

/* Checks that the log gives the offset of the damaged stretch and names a file of mode 0600 that
 * contains the stretch, with the changed byte. Returns NULL or an error message. */
static const char *check_kept(const struct damage *d, const char *log)
{
    static char why[8192];
    char path[4096];
    unsigned long long offset;
    size_t len;
    const char *line = strstr(log, "journal damaged=");
    if (line == NULL ||
        sscanf(line, "journal damaged=%zu offset=%llu kept=\"%4095[^\"]", &len, &offset, path) != 3)
        return "the log does not report the damage";
    struct bytes kept = { 0 };
    struct stat st;
    if (stat(path, &st) < 0 || (st.st_mode & 0777) != 0600)
        snprintf(why, sizeof why, "expected a file %s with mode 0600", path);
    else if (read_file(path, &kept), kept.len != len || offset + len > d->bytes.len ||
                                         memcmp(kept.at, d->bytes.at + offset, len) != 0)
        snprintf(
            why, sizeof why, "file %s does not contain the bytes from byte %llu on", path, offset);
    else if (d->bad < offset || d->bad >= offset + len)
        snprintf(why, sizeof why, "byte %zu was not put aside: %s", d->bad, line);
    else
        why[0] = '\0';
    free(kept.at);
    return why[0] != '\0' ? why : NULL;
}

/* Removes the stretches that the server put aside in the previous case. */
static void remove_kept(const char *folder)
{
    DIR *d = opendir(folder);
    if (d == NULL)
        fail("%s: %s", folder, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (strstr(e->d_name, ".damaged-") != NULL)
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

/* Prints the case, the error and the server's log, and ends the worker. Keeps the damaged journal,
 * so that the case can be repeated by hand. */
static void show(
    const struct damage *d, const char *journal, const char *why, const char *log, int rest)
{
    char path[4200];
    struct bytes more = { 0 };
    if (tool_server > 0)
        end_child(tool_server, SIGKILL);
    read_all(rest, &more);
    snprintf(path, sizeof path, "%s.failed", journal);
    write_file(path, &d->bytes);
    fail("%s: %s\nthe journal is in %s; the log:\n%s%s", d->what, why, path, log,
        more.at != NULL ? more.at : "");
}

/* Starts the server on the journal and checks the messages that it serves, the stretch that it puts
 * aside, and the gap that it reports. If `again` is set, this is a second start on the same file,
 * which must give the same, but put nothing aside. */
static void look(const struct damage *d, const char *journal, bool again)
{
    static char log[LOG_MAX_BYTES];
    static struct reply reply;
    const char *why;
    const char *const arguments[] = { server, "--max-streams-per-ip", "0", "--post-rate", "0",
        "--listen", "127.0.0.1:0", "--journal", journal, "--sync", "none", NULL };
    int pipes[2], status;
    log[0] = '\0';
    if (pipe2(pipes, O_CLOEXEC) < 0)
        fail("pipe: %s", strerror(errno));
    pid_t pid = spawn(arguments, pipes[1]);
    close(pipes[1]);
    int port = await_listening(pipes[0], log, sizeof log);
    if (port == 0)
        show(d, journal, "the server did not start", log, pipes[0]);
    if (get(port, "/messages?room=lobby&limit=500", &reply) != 200)
        show(d, journal, "GET /messages did not return 200", log, pipes[0]);
    if (original_page == NULL) { /* the first call has no damage */
        original_page = strdup(reply.body);
        split_page(original_page, original_elements);
    }
    if ((why = compare(d, reply.body)) != NULL)
        show(d, journal, why, log, pipes[0]);
    if (d->bad != SIZE_MAX && !again && (why = check_kept(d, log)) != NULL)
        show(d, journal, why, log, pipes[0]);
    /* A reader that resumes from the message before the damage must get a gap. */
    if (d->behind >= 0) {
        char path[128];
        snprintf(path, sizeof path, "/messages?room=lobby&after=%s", records[d->behind].id);
        if (get(port, path, &reply) != 200)
            show(d, journal, "the second GET /messages did not return 200", log, pipes[0]);
        if (strstr(reply.body, "\"gap\":true") == NULL)
            show(d, journal,
                again ? "a reader from before the damage gets no gap after a second start"
                      : "a reader from before the damage gets no gap",
                log, pipes[0]);
    }
    status = end_child(pid, SIGKILL);
    if (!WIFSIGNALED(status))
        show(d, journal, "the server ended before it was killed", log, pipes[0]);
    close(pipes[0]);
}

/* Runs every WORKERSth case from `first` on, in the worker's own folder. Returns how many. */
static unsigned work(const char *folder, unsigned first)
{
    char own[4000], journal[4100];
    struct damage d = { 0 };
    unsigned done = 0;
    snprintf(own, sizeof own, "%s/%u", folder, first);
    snprintf(journal, sizeof journal, "%s/journal", own);
    if (mkdir(own, 0700) < 0 && errno != EEXIST)
        fail("%s: %s", own, strerror(errno));
    for (unsigned n = first; make_damage(&d, n); n += WORKERS, done++) {
        remove_kept(own);
        write_file(journal, &d.bytes);
        look(&d, journal, false);
        if (n % AGAIN_EVERY < WORKERS)
            look(&d, journal, true);
    }
    return done;
}

/* Serves the undamaged journal first, because each case is compared with its page; then splits the
 * cases between the workers. */
static void run_damage(const char *folder, const char *journal)
{
    char path[4100];
    struct damage none = { .behind = -1, .bad = SIZE_MAX, .what = "no damage" };
    pid_t workers[WORKERS];
    unsigned cases = 0;
    read_file(journal, &original);
    record_count = find_records(&original, records);
    if (record_count < 4)
        fail("expected a journal with at least 4 records, got %u", record_count);
    snprintf(path, sizeof path, "%s/journal", folder);
    write_file(path, &original);
    look(&none, path, false);
    for (unsigned i = 0; i < WORKERS; i++) {
        fflush(NULL);
        workers[i] = fork();
        if (workers[i] == 0) {
            work(folder, i);
            _exit(0);
        }
    }
    bool good = true;
    for (unsigned i = 0; i < WORKERS; i++) {
        int status = 1;
        good &= workers[i] > 0 && waitpid(workers[i], &status, 0) == workers[i] && status == 0;
    }
    /* The workers are other processes, so the cases are counted by making them again. */
    for (struct damage d = { 0 }; make_damage(&d, cases);)
        cases++;
    if (!good)
        exit(1);
    printf("%u cases of %s %s\n", cases, how, which != NULL ? which : "");
}

/* ==== Posts ================================================================================== */

/* Writes the POST of a chat message; returns its length. */
static int post(char *out, size_t size, const char *text)
{
    char body[256];
    int len = snprintf(body, sizeof body, "{\"name\":\"probe\",\"message\":\"%s\"}", text);
    return snprintf(out, size,
        "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Content-Length: %d\r\n\r\n%s",
        len, body);
}

/* Returns whether the process has stopped. A traced one stops at each system call, too: it is
 * SIGSTOP that has stopped it if the signal is pending no longer. */
static bool has_stopped(pid_t pid)
{
    char path[64], line[512], state = '?';
    unsigned long long pending = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *status = fopen(path, "re");
    if (status == NULL)
        fail("there is no process %d", pid);
    while (fgets(line, sizeof line, status) != NULL) {
        (void)sscanf(line, "State: %c", &state);
        (void)sscanf(line, "ShdPnd: %llx", &pending);
    }
    fclose(status);
    return (state == 'T' || state == 't') && (pending >> (SIGSTOP - 1) & 1) == 0;
}

/* Stops the process. Until the signal has arrived, epoll_wait can return with what came first. */
static void stop(pid_t pid)
{
    kill(pid, SIGSTOP);
    for (int tries = 0; !has_stopped(pid); tries++) {
        if (tries == 5000)
            fail("process %d did not stop within 5 seconds", pid);
        sleep_us(1000);
    }
}

/* Sends all POSTs while the server is stopped, so that it finds them in one turn of its loop, as
 * one batch with one sync. */
static void run_burst(int port, pid_t pid, unsigned count)
{
    const char ask[] = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    char request[1024], text[32];
    struct reply reply = { 0 };
    int *fds = calloc(count, sizeof *fds);
    if (fds == NULL)
        fail("out of memory");
    for (unsigned i = 0; i < count; i++) { /* so that the server has accepted all connections */
        fds[i] = connect_to(port);
        if (fds[i] < 0 || !send_all(fds[i], ask, sizeof ask - 1) || !read_reply(fds[i], &reply))
            fail("connection %u: no answer to GET /healthz", i);
    }
    /* While the server is stopped, the kernel buffers the requests. */
    stop(pid);
    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, "burst %04u", i);
        int len = post(request, sizeof request, text);
        if (!send_all(fds[i], request, (size_t)len))
            fail("connection %u: the server closed it before its POST was sent", i);
    }
    kill(pid, SIGCONT);
    for (unsigned i = 0; i < count; i++)
        if (!read_reply(fds[i], &reply) || reply.status != 201)
            fail("connection %u: expected a 201, got: %s", i,
                reply.body != NULL ? reply.body : "no answer");
    printf("%u\n", count);
}

/* Returns whether the file contains the text by now. Reads the whole file each time, which is fine
 * for a short log. */
static bool file_has(const char *path, const char *text)
{
    struct bytes b = { 0 };
    read_file(path, &b);
    bool has = b.at != NULL && strstr(b.at, text) != NULL;
    free(b.at);
    return has;
}

/* Posts until the file contains the text; the suite uses this to wait for a compaction. Prints the
 * times of the POSTs. */
static void run_posts(int port, const char *path, const char *text)
{
    char request[1024];
    struct reply reply = { 0 };
    int fd = connect_to(port), count = 0;
    int64_t begin_us = now_us(), slowest_us = 0, total_us = 0;
    for (; !file_has(path, text); count++) {
        int len = post(request, sizeof request, "while it compacts");
        int64_t sent_us = now_us();
        if (sent_us - begin_us > 1000 * (int64_t)TOOL_START_MS)
            fail("\"%s\" did not appear in the file in time", text);
        if (fd < 0 || !send_all(fd, request, (size_t)len) || !read_reply(fd, &reply) ||
            reply.status != 201)
            fail("POST %d: expected a 201, got: %s", count,
                reply.body != NULL ? reply.body : "no answer");
        int64_t took_us = now_us() - sent_us;
        total_us += took_us;
        slowest_us = took_us > slowest_us ? took_us : slowest_us;
    }
    printf("posts %d slowest_us %lld mean_us %lld all_us %lld\n", count, (long long)slowest_us,
        count > 0 ? (long long)total_us / count : 0, (long long)(now_us() - begin_us));
}

int main(int argc, char **argv)
{
    const char *command = argc > 1 ? argv[1] : "";
    if (strcmp(command, "sign") == 0 && argc == 2) {
        run_sign();
    } else if (strcmp(command, "large") == 0 && argc >= 4) {
        run_large(argv[2], (unsigned)atoi(argv[3]), argc > 4);
    } else if (strcmp(command, "damage") == 0 && argc >= 6) {
        server = argv[2];
        how = argv[5];
        which = argc > 6 ? argv[6] : NULL;
        random_count = argc > 6 ? (unsigned)atoi(argv[6]) : 0;
        random_seed = argc > 7 ? strtoull(argv[7], NULL, 10) : 0;
        run_damage(argv[3], argv[4]);
    } else if (strcmp(command, "burst") == 0 && argc == 5) {
        run_burst(atoi(argv[2]), atoi(argv[3]), (unsigned)atoi(argv[4]));
    } else if (strcmp(command, "posts") == 0 && argc == 5) {
        run_posts(atoi(argv[2]), argv[3], argv[4]);
    } else {
        fputs("usage: journal_probe sign|large|damage|burst|posts ...; see the source\n", stderr);
        return 2;
    }
    return 0;
}
