/* ledger.c - what was sent, what was acknowledged, and what was delivered.
 *
 * A message is what a publisher has to say; an entry is an id that the server gave to one. Usually
 * a message has one id. It gets a second one only if its publisher repeats it after the server has
 * rightly forgotten its key. The entries are one array in the order of their ids, which is almost
 * the order in which they are learnt. */

#include "test/tools/havoc/havoc.h"

enum {
    SMALL_PAD = 400, /* characters of most messages, and of large ones */
    LARGE_PAD = 3400,
    FRAME_BYTES = 500, /* more than a room's history needs for a message besides its text */
    NEAR_BYTES = 400,  /* the beginning of a message's data, up to its number */
};

struct message *messages;
unsigned message_count;
struct entry *entries;
size_t entry_count;

/* The most bytes that messages without a known id can have taken in a room's history. */
static uint64_t open_bytes[ROOMS];
static uint64_t given_up_bytes[LIVES_MAX][ROOMS]; /* by the life in which they were given up */

/* Returns the most bytes that a message takes in its room's history. */
static uint64_t size_of(const struct message *m)
{
    return m->pad + FRAME_BYTES;
}

/* Returns the only character of a message's padding. */
static char pad_of(unsigned number)
{
    return (char)('a' + number % 26);
}

/* ==== Posting ================================================================================ */

unsigned ledger_new(uint64_t *random, unsigned room, bool large)
{
    if (message_count % 4096 == 0)
        messages = grow(messages, (message_count + 4096) * sizeof *messages);
    large |= below(random, 32) == 0;
    messages[message_count] = (struct message) { .room = (uint8_t)room,
        .event = below(random, 5) == 0,
        .pad = (uint16_t)(1 + below(random, large ? LARGE_PAD : SMALL_PAD)),
        .life = life };
    open_bytes[room] += size_of(&messages[message_count]);
    counts[COUNT_MESSAGES]++;
    return message_count++;
}

size_t ledger_post(unsigned number, char *out, size_t size)
{
    struct message *m = &messages[number];
    char pad[LARGE_PAD + 2], body[LARGE_PAD + 200];
    memset(pad, pad_of(number), m->pad);
    pad[m->pad] = '\0';
    int len =
        m->event
            ? snprintf(body, sizeof body,
                  "{\"room\":\"r%u\",\"event\":\"news\",\"data\":{\"m\":%u,\"pad\":\"%s\"}}",
                  m->room, number, pad)
            : snprintf(body, sizeof body,
                  "{\"room\":\"r%u\",\"name\":\"p\",\"message\":\"m%u %s\"}", m->room, number, pad);
    len = snprintf(out, size,
        "POST /messages HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        "Idempotency-Key: k%u\r\nContent-Length: %d\r\n\r\n%s",
        number, len, body);
    if ((size_t)len >= size)
        broken("a POST is too long");
    m->posts++;
    m->open++;
    return (size_t)len;
}

/* ==== Entries ================================================================================ */

struct id ledger_newest(void)
{
    return entry_count > 0 ? entries[entry_count - 1].id : no_id;
}

size_t ledger_after(struct id id)
{
    size_t low = 0, high = entry_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_ids(entries[middle].id, id) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct entry *ledger_find(struct id id)
{
    size_t after = ledger_after(id);
    return after > 0 && compare_ids(entries[after - 1].id, id) == 0 ? &entries[after - 1] : NULL;
}

/* Checks, when a message turns out to have two ids, that its key can have been forgotten between
 * them: while a message is held, its key is. */
static void check_two(const struct message *m, struct id id, unsigned number)
{
    struct id older = is_before(m->id, id) ? m->id : id, newer = is_before(m->id, id) ? id : m->id;
    if (!check_may_be_gone(m->room, older))
        broken("message %u in room r%u has two ids, %llu-%llu and %llu-%llu; the first must still "
               "have been held when its key was repeated",
            number, m->room, (unsigned long long)older.ms, (unsigned long long)older.seq,
            (unsigned long long)newer.ms, (unsigned long long)newer.seq);
}

/* Takes an id out of the count of unknown ones, for a message that now has its first. */
static void count_known(const struct message *m)
{
    uint64_t *bytes =
        m->state == MESSAGE_GIVEN_UP ? &given_up_bytes[m->ended][m->room] : &open_bytes[m->room];
    *bytes -= size_of(m);
}

/* Returns the entry of an id, which is new or belongs to the same message. */
static struct entry *learn(struct id id, unsigned number, unsigned in_life)
{
    struct message *m = &messages[number];
    size_t at = ledger_after(id);
    struct entry *e = at > 0 ? &entries[at - 1] : NULL;
    if (e != NULL && compare_ids(e->id, id) == 0) {
        if (e->message != number)
            broken("the id %llu-%llu belongs to two messages, %u in room r%u and %u in room r%u",
                (unsigned long long)id.ms, (unsigned long long)id.seq, e->message,
                messages[e->message].room, number, m->room);
        e->life = in_life < e->life ? in_life : e->life;
        return e;
    }
    if (m->copies == 0)
        count_known(m);
    else
        check_two(m, id, number);
    m->copies++;
    m->id = m->copies == 1 || is_before(m->id, id) ? id : m->id;
    if (entry_count % 4096 == 0)
        entries = grow(entries, (entry_count + 4096) * sizeof *entries);
    memmove(&entries[at + 1], &entries[at], (entry_count - at) * sizeof *entries);
    entry_count++;
    entries[at] = (struct entry) { .id = id, .message = number, .life = in_life };
    return &entries[at];
}

void ledger_acknowledge(const struct post *post, int status, const char *body)
{
    struct message *m = &messages[post->message];
    char text[64];
    unsigned room;
    struct id id;
    if (!text_after(body, "{\"id\":\"", text, sizeof text) || !parse_id(text, &id) ||
        !text_after(body, "\"room\":\"r", text, sizeof text) || sscanf(text, "%u", &room) != 1)
        broken("expected a receipt, got: %s", body);
    if (room != m->room)
        broken("message %u for room r%u was published in room r%u", post->message, m->room, room);
    if (status == 200 && m->posts < 2)
        broken("message %u was sent once but is answered like a repetition", post->message);
    struct entry *e = learn(id, post->message, post->life);
    if (status == 201 && (e->created || !is_before(post->newest, id)))
        broken("message %u got a 201 with the id %llu-%llu, %s", post->message,
            (unsigned long long)id.ms, (unsigned long long)id.seq,
            e->created ? "which another 201 had"
                       : "which is not after all ids known before the POST");
    e->created |= status == 201;
    counts[COUNT_ACKNOWLEDGED] += m->state != MESSAGE_ACKNOWLEDGED;
    counts[COUNT_REPETITIONS] += status == 200 && m->state != MESSAGE_ACKNOWLEDGED;
    counts[COUNT_HELD_KEYS] += status == 200 && m->state == MESSAGE_ACKNOWLEDGED;
    counts[COUNT_LOST_KEYS] += status == 201 && m->state == MESSAGE_ACKNOWLEDGED;
    m->state = MESSAGE_ACKNOWLEDGED;
    if (e->acked != 0)
        return;
    e->acked = ++order;
    e->acked_us = turn_us;
}

void ledger_give_up(unsigned number)
{
    struct message *m = &messages[number];
    if (m->state != MESSAGE_OPEN)
        return; /* its twin was answered */
    m->state = MESSAGE_GIVEN_UP;
    m->ended = life;
    counts[COUNT_GIVEN_UP]++;
    if (m->copies > 0)
        return; /* a reader has it, so its id is known */
    open_bytes[m->room] -= size_of(m);
    given_up_bytes[life][m->room] += size_of(m);
}

/* ==== Deliveries ============================================================================= */

/* Finds a text in the beginning of a message's data. */
static const char *find_near(const char *data, const char *text)
{
    return memmem(data, strnlen(data, NEAR_BYTES), text, strlen(text));
}

/* Reads a message's number from its text, and checks the rest of the text. Not with sscanf(3),
 * which measures the whole page first. */
static unsigned read_number(const char *reader, const char *data)
{
    static const char in_chat[] = "\"message\":\"m", in_event[] = "{\"m\":";
    const char *chat = find_near(data, in_chat), *event = find_near(data, in_event);
    bool is_event = chat == NULL || (event != NULL && event < chat);
    const char *at = is_event ? event : chat, *then = is_event ? ",\"pad\":\"" : " ";
    char *end = NULL;
    unsigned long number = 0;
    if (at != NULL)
        number = strtoul(at + strlen(is_event ? in_event : in_chat), &end, 10);
    if (end == NULL || strncmp(end, then, strlen(then)) != 0 || number >= message_count ||
        messages[number].event != is_event)
        broken("%s: a message that was not sent: %.300s", reader, data);
    at = end + strlen(then);
    for (unsigned i = 0; i < messages[number].pad; i++, at++)
        if (*at != pad_of((unsigned)number))
            broken("%s: message %lu has another text than was sent: %.300s", reader, number, data);
    if (*at != '"')
        broken(
            "%s: the text of message %lu does not end where it should: %.300s", reader, number, at);
    return (unsigned)number;
}

/* Checks the fields of a message's data that the server adds: those of a chat message, and of each
 * element of a page. */
static void check_fields(
    const char *reader, unsigned number, struct id id, const char *data, bool key)
{
    char text[64], wanted[64];
    struct id in_data;
    const struct message *m = &messages[number];
    snprintf(wanted, sizeof wanted, "r%u", m->room);
    if (!text_after(data, "{\"id\":\"", text, sizeof text) || !parse_id(text, &in_data) ||
        compare_ids(in_data, id) != 0 || !text_after(data, "\"room\":\"", text, sizeof text) ||
        strcmp(text, wanted) != 0)
        broken("%s: message %u of room %s, with the id %llu-%llu, says of itself: %.200s", reader,
            number, wanted, (unsigned long long)id.ms, (unsigned long long)id.seq, data);
    snprintf(wanted, sizeof wanted, "k%u", number);
    if (key && (!text_after(data, "\"key\":\"", text, sizeof text) || strcmp(text, wanted) != 0))
        broken("%s: message %u came without its key: %s", reader, number, data);
}

/* Returns a number that differs if the data does (FNV-1a). */
static uint64_t digest_of(const char *data)
{
    uint64_t digest = 0xcbf29ce484222325;
    for (; *data != '\0'; data++)
        digest = (digest ^ (unsigned char)*data) * 0x100000001b3;
    return digest;
}

unsigned ledger_deliver(
    const char *reader, unsigned in_life, struct id id, const char *event, const char *data)
{
    unsigned number = read_number(reader, data);
    bool is_event = messages[number].event;
    if (event != NULL && strcmp(event, is_event ? "news" : "") != 0)
        broken("%s: message %u came as the event \"%s\"", reader, number, event);
    if (!is_event || event == NULL)
        check_fields(reader, number, id, data, event != NULL);
    struct entry *e = learn(id, number, in_life);
    if (event == NULL)
        return number;
    uint64_t digest = digest_of(data);
    if (e->digest != 0 && e->digest != digest)
        broken("%s: message %u came with other data than before: %s", reader, number, data);
    e->digest = digest;
    counts[COUNT_DELIVERIES]++;
    return number;
}

/* ==== Looking back =========================================================================== */

unsigned ledger_life_of(struct id id)
{
    size_t after = ledger_after(id);
    return after > 0 ? messages[entries[after - 1].message].life : 0;
}

uint64_t ledger_bytes_after(unsigned room, struct id id, unsigned since)
{
    uint64_t bytes = open_bytes[room];
    for (size_t i = ledger_after(id); i < entry_count; i++)
        if (messages[entries[i].message].room == room)
            bytes += size_of(&messages[entries[i].message]);
    for (unsigned l = since; l <= life; l++)
        bytes += given_up_bytes[l][room];
    return bytes;
}
