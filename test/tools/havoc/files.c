/* files.c - what the tool does to the journal's file, and what the file contains.
 *
 * The journal is an event stream: a record is some lines and an empty line, and a message has a
 * line `id: ...`. That much of the format is public (the manual shows it), and all that this file
 * knows; it checks no CRC, and looks at nothing else but whether a snapshot is complete. The server
 * never sees a file of the tool's in its folder that it has not put there on purpose: copies lie
 * one folder up. */

#include "test/tools/havoc/havoc.h"

#include <ctype.h>
#include <dirent.h>
#include <sys/stat.h>

enum {
    COPIES = 4,     /* older copies at a time; a new one replaces a random one */
    FLIPS_MAX = 32, /* flipped bytes in the file */
};

struct bytes {
    char *at;
    size_t len;
};

static off_t flips[FLIPS_MAX]; /* where bytes of the file were flipped */
static unsigned flip_count;
static bool damaged;        /* the file with this inode has damage in its middle, until a server */
static ino_t damaged_inode; /* writes it again; each start on it finds the damage anew */
static bool copy_damaged[COPIES];
static bool replaced_rubbish; /* the tool has put something in its place that is no journal */

/* ==== Whole files ============================================================================ */

/* Writes the path of a file of the tool's. */
static const char *own_path(const char *name, unsigned number)
{
    static char path[2][4200];
    static unsigned turn;
    char *out = path[turn++ % 2];
    snprintf(out, sizeof path[0], "%s/%s-%u", folder, name, number);
    return out;
}

/* Reads a file, which may grow meanwhile. Returns false if there is none. */
static bool read_file(const char *path, struct bytes *b)
{
    size_t capacity = 0;
    ssize_t n = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    *b = (struct bytes) { NULL, 0 };
    if (fd < 0)
        return false;
    while (n > 0) {
        if (b->len + 65536 + 1 > capacity) {
            capacity = 2 * capacity + 65536 + 1;
            b->at = grow(b->at, capacity);
        }
        n = read(fd, b->at + b->len, 65536);
        b->len += n > 0 ? (size_t)n : 0;
    }
    b->at[b->len] = '\0';
    close(fd);
    return true;
}

/* Writes a file, or adds to it. */
static void write_file(const char *path, int flags, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    bool good = fd >= 0;
    while (good && len > 0) {
        ssize_t n = write(fd, bytes, len);
        good = n > 0;
        bytes += n;
        len -= good ? (size_t)n : 0;
    }
    if (!good)
        broken("%s: %s", path, strerror(errno));
    close(fd);
}

/* Reads a random copy; returns false if there is none. */
static bool read_copy(uint64_t *random, struct bytes *b, bool *is_damaged)
{
    unsigned number = below(random, COPIES);
    for (unsigned i = 0; i < COPIES; i++, number = (number + 1) % COPIES)
        if (read_file(own_path("copy", number), b)) {
            *is_damaged = copy_damaged[number];
            if (b->len > 0)
                return true;
            free(b->at);
        }
    return false;
}

/* Returns the inode of the journal, or 0 if there is none. */
static ino_t inode_of_journal(void)
{
    struct stat st;
    return stat(journal_path, &st) == 0 ? st.st_ino : 0;
}

void file_set_damaged(bool is_damaged)
{
    damaged = is_damaged;
    damaged_inode = inode_of_journal();
}

bool file_is_damaged(void)
{
    if (damaged && inode_of_journal() != damaged_inode)
        damaged = false;
    return damaged;
}

/* Puts bytes in the journal's place, as `mv` does. */
static void put(const char *bytes, size_t len, bool rubbish)
{
    const char *path = own_path("put", 0);
    write_file(path, O_TRUNC, bytes, len);
    write_file(own_path("replaced", 0), O_TRUNC, bytes, len);
    if (rename(path, journal_path) < 0)
        broken("rename %s: %s", path, strerror(errno));
    flip_count = 0;
    replaced_rubbish = rubbish;
}

/* ==== Its records ============================================================================ */

/* Reads the greatest id in a record into `top`, and returns whether it is a message, with its id.
 */
static bool read_record(const char *at, const char *end, struct id *top, struct id *id)
{
    bool message = false;
    for (const char *c = at; c < end; c++) {
        struct id found;
        if (!isdigit((unsigned char)*c) || (c > at && isalnum((unsigned char)c[-1])))
            continue;
        size_t digits = strspn(c, "0123456789");
        if (digits >= 12 && digits <= 16 && c[digits] == '-' &&
            isdigit((unsigned char)c[digits + 1])) {
            found = (struct id) { strtoull(c, NULL, 10), strtoull(c + digits + 1, NULL, 10) };
            if (is_before(*top, found))
                *top = found;
            if (c - at >= 4 && memcmp(c - 4, "id: ", 4) == 0 && (c - at == 4 || c[-5] == '\n')) {
                *id = found;
                message = true;
            }
        }
        c += digits - 1;
    }
    return message;
}

/* Follows the records through the file's snapshots: returns whether a snapshot is open after this
 * record. The records of a snapshot have no number; its last one is `snapshot`. */
static bool is_in_snapshot(const char *at, bool before)
{
    const char *json = at[0] == ':' ? memchr(at, '{', 12) : NULL;
    if (json == NULL)
        return before;
    if (strncmp(json, "{\"ssechat\":", 11) == 0 || strncmp(json, "{\"snapshot\":", 12) == 0)
        return false;
    return before || strncmp(json, "{\"n\":", 5) != 0;
}

/* Returns where a tail begins that cannot be told from a torn one, because a byte of the last two
 * records was flipped and no good record follows. `begins` are the offsets of the records. */
static size_t tail_begins(const size_t *begins, size_t count, size_t len)
{
    size_t first = count > 2 ? count - 2 : 0, tail = len;
    for (bool grew = true; grew;) {
        grew = false;
        for (unsigned i = 0; i < flip_count && count > 0; i++)
            if ((size_t)flips[i] >= begins[first] && tail > begins[first]) {
                tail = begins[first];
                first -= first > 0;
                grew = true;
            }
    }
    return tail;
}

/* Orders ids, for qsort(3) and bsearch(3). */
static int compare_two(const void *a, const void *b)
{
    return compare_ids(*(const struct id *)a, *(const struct id *)b);
}

void file_scan(struct contents *contents)
{
    struct bytes b;
    size_t *begins = NULL, count = 0;
    *contents = (struct contents) { 0 };
    if (!read_file(journal_path, &b))
        return;
    contents->bytes = b.len;
    char *end, *at = b.at;
    for (; (end = memmem(at, b.len - (size_t)(at - b.at), "\n\n", 2)) != NULL; at = end + 2) {
        if (count % 1024 == 0)
            begins = grow(begins, (count + 1024) * sizeof *begins);
        begins[count++] = (size_t)(at - b.at);
    }
    size_t tail = tail_begins(begins, count, b.len);
    contents->ids = grow(NULL, (count + 1) * sizeof *contents->ids);
    for (size_t i = 0; i < count && begins[i] < tail; i++) {
        const char *next = i + 1 < count ? b.at + begins[i + 1] : at; /* a torn tail is left out */
        contents->count +=
            read_record(b.at + begins[i], next, &contents->top, &contents->ids[contents->count]);
        contents->records += b.at[begins[i]] == ':';
        contents->cut_snapshot = is_in_snapshot(b.at + begins[i], contents->cut_snapshot);
    }
    qsort(contents->ids, contents->count, sizeof *contents->ids, compare_two);
    free(begins);
    free(b.at);
}

/* ==== What the tool does to it =============================================================== */

bool file_copy(uint64_t *random)
{
    struct bytes b;
    unsigned number = below(random, COPIES);
    if (!read_file(journal_path, &b))
        return false;
    write_file(own_path("copy", number), O_TRUNC, b.at, b.len);
    copy_damaged[number] = file_is_damaged();
    free(b.at);
    counts[COUNT_COPIED]++;
    note("copy %u of the journal (%zu bytes)", number, b.len);
    return true;
}

bool file_move(uint64_t *random)
{
    unsigned number = below(random, COPIES);
    bool is_damaged = file_is_damaged();
    if (rename(journal_path, own_path("copy", number)) < 0)
        return false;
    copy_damaged[number] = is_damaged;
    counts[COUNT_MOVED]++;
    note("moved the journal away (now copy %u)", number);
    return true;
}

bool file_remove(uint64_t *random)
{
    (void)random;
    if (unlink(journal_path) < 0)
        return false;
    counts[COUNT_REMOVED]++;
    note("removed the journal");
    return true;
}

bool file_cut(uint64_t *random, bool while_it_runs)
{
    struct stat st;
    if (stat(journal_path, &st) < 0 || st.st_size == 0)
        return false;
    unsigned size = (unsigned)st.st_size, length = below(random, size);
    if (below(random, 2) == 0) /* mostly near the end */
        length = size - 1 - below(random, size < 3000 ? size : 3000);
    if (below(random, 16) == 0)
        length = 0;
    if (truncate(journal_path, length) < 0)
        return false;
    unsigned kept = 0;
    for (unsigned i = 0; i < flip_count; i++)
        if (flips[i] < (off_t)length)
            flips[kept++] = flips[i];
    flip_count = kept;
    counts[while_it_runs ? COUNT_CUT : COUNT_TRUNCATED]++;
    note("cut the journal from %u to %u bytes", size, length);
    return true;
}

/* Replaces it by bytes that are no journal. */
bool file_replace(uint64_t *random)
{
    char bytes[3000];
    size_t len = 100 + below(random, sizeof bytes - 100);
    unsigned kind = below(random, 3);
    if (access(journal_path, F_OK) < 0)
        return false;
    for (size_t i = 0; i < len; i++)
        bytes[i] = kind == 0 ? (char)next_random(random) : "2026-01-01 a line of a log\n"[i % 27];
    if (kind == 2)
        memcpy(bytes, "PK\3\4", 4);
    put(bytes, len, true);
    counts[COUNT_REPLACED]++;
    note("replaced the journal by %zu bytes of rubbish", len);
    return true;
}

bool file_put_older(uint64_t *random, bool while_it_runs)
{
    struct bytes b;
    bool is_damaged;
    if (!read_copy(random, &b, &is_damaged))
        return false;
    put(b.at, b.len, false);
    file_set_damaged(is_damaged);
    free(b.at);
    counts[while_it_runs ? COUNT_OLDER : COUNT_RESTORED]++;
    note("put an older copy in the journal's place (%zu bytes)", b.len);
    return true;
}

/* Appends what another program might: text, a part of a record, or whole records. */
bool file_append(uint64_t *random)
{
    struct bytes b = { NULL, 0 };
    unsigned kind = below(random, 3);
    bool is_damaged;
    if (access(journal_path, F_OK) < 0 || (kind > 0 && !read_copy(random, &b, &is_damaged)))
        return false;
    if (kind == 0) {
        write_file(journal_path, O_APPEND, "a line of a log\n", below(random, 16) + 1);
    } else {
        /* From a record's begin, to its middle or to the end of a record. */
        const char *at = b.at + below(random, (unsigned)b.len);
        const char *begin = strstr(at, "\n\n"),
                   *end = begin != NULL ? strstr(begin + 2, "\n\n") : NULL;
        size_t len = end != NULL ? (size_t)(end - begin) : 0;
        if (len > 0)
            write_file(journal_path, O_APPEND, begin + 2, kind == 1 ? len / 2 : len);
    }
    free(b.at);
    counts[COUNT_APPENDED]++;
    note("appended to the journal, as a stranger would (kind %u)", kind);
    return true;
}

bool file_flip(uint64_t *random)
{
    struct stat st;
    int fd = open(journal_path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_size == 0 || flip_count == FLIPS_MAX) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    off_t at = below(random, (unsigned)st.st_size);
    char byte;
    if (pread(fd, &byte, 1, at) != 1)
        broken("%s: %s", journal_path, strerror(errno));
    byte = (char)(byte ^ (1 << below(random, 8)));
    if (pwrite(fd, &byte, 1, at) != 1)
        broken("%s: %s", journal_path, strerror(errno));
    close(fd);
    flips[flip_count++] = at;
    file_set_damaged(true);
    counts[COUNT_FLIPPED]++;
    note("flipped a bit of byte %lld of %lld", (long long)at, (long long)st.st_size);
    return true;
}

/* Joins two files, as `cat` does: a copy and the journal, in any order. */
bool file_join(uint64_t *random)
{
    struct bytes a, b;
    bool copy_first = below(random, 2) == 0, is_damaged;
    if (!read_file(journal_path, &a))
        return false;
    if (!read_copy(random, &b, &is_damaged)) {
        free(a.at);
        return false;
    }
    write_file(journal_path, O_TRUNC, copy_first ? b.at : a.at, copy_first ? b.len : a.len);
    write_file(journal_path, O_APPEND, copy_first ? a.at : b.at, copy_first ? a.len : b.len);
    /* A flipped byte is now further back, or has good records behind it. */
    for (unsigned i = 0; i < flip_count && copy_first; i++)
        flips[i] += (off_t)b.len;
    if (!copy_first)
        flip_count = 0;
    file_set_damaged(true); /* the first file can have a torn end */
    counts[COUNT_JOINED]++;
    note("joined the journal (%zu bytes) with a copy (%zu bytes), the copy %s", a.len, b.len,
        copy_first ? "first" : "last");
    free(a.at);
    free(b.at);
    return true;
}

void file_add_rubbish(uint64_t *random)
{
    static const char *const suffixes[] = { ".new", ".new", "~", ".bak", ".tmp", ".damaged",
        ".old" };
    const char *suffix = suffixes[below(random, sizeof suffixes / sizeof *suffixes)];
    char path[4200];
    struct bytes b = { NULL, 0 };
    snprintf(path, sizeof path, "%s%s", journal_path, suffix);
    bool is_damaged, copy = below(random, 2) == 0 && read_copy(random, &b, &is_damaged);
    write_file(path, O_TRUNC, copy ? b.at : "rubbish\n", copy ? b.len : 8);
    free(b.at);
    counts[COUNT_RUBBISH]++;
    note("put %s beside the journal: journal%s", copy ? "a copy" : "rubbish", suffix);
}

/* ==== What the server does with it =========================================================== */

/* Returns whether two files have the same bytes. */
static bool are_equal(const char *one, const char *other)
{
    struct bytes a, b;
    if (!read_file(one, &a))
        return false;
    if (!read_file(other, &b)) {
        free(a.at);
        return false;
    }
    bool equal = a.len == b.len && memcmp(a.at, b.at, a.len) == 0;
    free(a.at);
    free(b.at);
    return equal;
}

bool file_is_compacted(void)
{
    char path[4200];
    snprintf(path, sizeof path, "%s.new", journal_path);
    return access(path, F_OK) == 0;
}

bool file_is_torn(void)
{
    struct bytes b;
    if (!read_file(journal_path, &b))
        return false;
    bool torn = b.len > 0 && (b.len == 1 || memcmp(b.at + b.len - 2, "\n\n", 2) != 0);
    free(b.at);
    return torn;
}

bool file_is_rubbish(void)
{
    return replaced_rubbish && are_equal(journal_path, own_path("replaced", 0));
}

void file_trust(void)
{
    flip_count = 0;
    replaced_rubbish = false;
}

/* Calls a function for each file beside the journal; `suffix` is what its name has more. */
static void for_each(void (*call)(const char *path, const char *suffix))
{
    char box[4096], path[4400];
    snprintf(box, sizeof box, "%s", journal_path);
    *strrchr(box, '/') = '\0';
    DIR *files = opendir(box);
    struct dirent *entry;
    while (files != NULL && (entry = readdir(files)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        if (strncmp(entry->d_name, "journal", 7) != 0)
            broken(
                "expected only the journal and what belongs to it, found a file %s", entry->d_name);
        snprintf(path, sizeof path, "%s/%s", box, entry->d_name);
        call(path, entry->d_name + 7);
    }
    if (files != NULL)
        closedir(files);
}

static bool found, cleans;

/* Looks for what replaced the journal in a file that the server has set aside. */
static void look(const char *path, const char *suffix)
{
    found |= strncmp(suffix, ".found-", 7) == 0 && are_equal(path, own_path("replaced", 0));
}

void file_check_found(void)
{
    found = false;
    for_each(look);
    if (!found)
        broken("expected what was found in the journal's place to be kept as journal.found-*, "
               "but no such file has its bytes");
}

/* Removes a file that was set aside. */
static void clean(const char *path, const char *suffix)
{
    static const char *const own[] = { "", ".lock", ".new", "~", ".bak", ".tmp", ".damaged",
        ".old" };
    static const char *const aside[] = { ".damaged-", ".found-", ".old-" };
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(suffix, own[i]) == 0)
            return;
    for (size_t i = 0; i < sizeof aside / sizeof *aside; i++)
        if (strncmp(suffix, aside[i], strlen(aside[i])) == 0) {
            if (cleans && unlink(path) == 0)
                counts[COUNT_KEPT_ASIDE]++;
            return;
        }
    broken("expected only files that the server may make, found journal%s", suffix);
}

void file_check_folder(bool removes)
{
    cleans = removes;
    for_each(clean);
}
