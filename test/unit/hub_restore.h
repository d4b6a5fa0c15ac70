/* hub_restore.h - the part of hub.c (the driver) that restores: what can happen to a log, and the
 * model's side of the functions in hub/restore.h. hub.c includes it once, in its middle.
 *
 * The model restores itself from the same log, item by item, in its own simple way. Afterwards it
 * looks at every message that has ever been safe (recount). A message that the new places do not
 * hold is missing, so a reader that resumes from before it must get a gap; unless the log itself
 * ended before it (an older copy): for this hub it has never been, and a reader that has got it
 * must be told that its id is unknown. */

/* ==== What happens to a log ================================================================== */

/* Loses the end of the log: what was not yet on the disk, everything since a backup, or all. Notes
 * the number of the last item that is left, and of the last one that was lost. */
static void cut_log(void)
{
    struct log *log = &w.log, *backup = &w.backup;
    w.cut_from = w.cut_to = w.order;
    if (chance(8) && log->count > log->fixed) {
        log->count = log->fixed + draw((uint32_t)(log->count - log->fixed));
    } else if (chance(5) && backup->count > 0) {
        struct log newer = *log;
        *log = *backup;
        *backup = newer;
        backup->count = 0;
    } else if (chance(40)) {
        log->count = log->fixed = 0;
    } else {
        return;
    }
    w.cut_from = log->count > 0 ? log->at[log->count - 1].order : 0;
    if (backup->count > 0 && backup->at[backup->count - 1].order > w.cut_from)
        backup->count = 0; /* it has items that this log never had */
}

/* Damages a few items in a row, once or twice, and often at the beginning. A bad disk often does so
 * again. */
static void damage_log(void)
{
    uint32_t times = chance(w.damage ? 2 : 6) ? 1 + draw(2) : 0;
    for (; times > 0 && w.log.count > 0; times--) {
        size_t at = draw(chance(3) ? 1 : (uint32_t)w.log.count);
        size_t end = at + 1 + draw(chance(4) ? 100 : 4);
        for (; at < end && at < w.log.count; at++)
            w.log.at[at].type = ITEM_DAMAGE;
    }
}

/* Returns the newest id in the log. */
static struct id newest_in_log(void)
{
    struct id newest = { 0, 0 };
    for (const struct item *i = w.log.at; i < w.log.at + w.log.count; i++) {
        if (i->type == ITEM_HUB)
            raise_id(&newest, i->past->last);
        if (i->type == ITEM_ROOM || i->type == ITEM_FORGOTTEN)
            raise_id(&newest, i->lost);
        if (i->type == ITEM_MESSAGE)
            raise_id(&newest, i->post->id);
    }
    return newest;
}

/* Adds messages from elsewhere, as when journals are joined. Their ids and times can be far ahead
 * of the clock, and their times also long ago. */
static void extend_log(void)
{
    struct id id = newest_in_log();
    for (uint32_t count = chance(4) && w.log.count > 0 ? draw(20) : 0; count > 0; count--) {
        struct post *post = draw_foreign();
        uint64_t time_ms = w.real_ms - draw(100000);
        id = chance(2) ? (struct id) { id.ms, id.seq + 1 }
                       : (struct id) { id.ms + 1 + draw(2000), 0 };
        if (chance(16))
            id.ms += draw(1000000);
        if (chance(8))
            time_ms = chance(4) ? 1 + draw(3) : time_ms - 10000000 + draw(20000000);
        number(post, id, time_ms);
        log_message(post);
    }
}

/* Moves the items from `at` on to the beginning of the log. */
static void turn_log(size_t at)
{
    struct log *log = &w.log;
    struct item *items = malloc(log->count * sizeof *items);
    check(items != NULL, "the driver can allocate memory");
    for (size_t i = 0; i < log->count; i++)
        items[i] = log->at[(at + i) % log->count];
    memcpy(log->at, items, log->count * sizeof *items);
    free(items);
}

/* Returns whether the log says that the id is that of no message. */
static bool is_unused_in_log(struct id id)
{
    bool unused = false;
    for (const struct item *i = w.log.at; i < w.log.at + w.log.count; i++)
        unused |= i->type == ITEM_HUB && is_between(id, i->past->unused, i->past->unused_count);
    return unused;
}

/* Puts another server's log before this one, as when journals are joined. It has a room with a few
 * messages, which come between two of this log, and forgets the room. */
static void join_log(void)
{
    const size_t count = w.log.count;
    const struct post *near = w.all.count > 0 ? w.all.at[draw((uint32_t)w.all.count)] : NULL;
    if (near == NULL || count == 0)
        return;
    struct place *place = &w.places[draw(PLACES)];
    struct id last = { near->id.ms, 1000000 }, end = { near->id.ms, 1000005 };
    if (is_unused_in_log(last) || is_unused_in_log(end))
        return;
    struct past *past = past_new();
    past->last = last;
    past->start = past->lost = past->excuse = (struct id) { last.ms - draw(2000000), 0 };
    past->unused_count = 0;
    log_add(&w.log, (struct item) { .type = ITEM_HUB, .past = past });
    for (uint32_t left = 1 + draw(4); left > 0; left--) {
        struct post *post = draw_foreign();
        post->m.room = name_of(place);
        last.seq++;
        number(post, last, w.real_ms);
        log_message(post);
    }
    log_add(&w.log, (struct item) { .type = ITEM_FORGOTTEN, .place = place, .lost = last });
    turn_log(count);
}

/* Frees the bodies and frames of posts that are in no log and no place, because a long walk has
 * many. */
static void free_bodies(void)
{
    const struct log *logs[] = { &w.log, &w.backup };
    for (size_t i = 0; i < w.all.count; i++)
        w.all.at[i]->marked = false;
    for (int l = 0; l < 2; l++)
        for (size_t i = 0; i < logs[l]->count; i++)
            if (logs[l]->at[i].type == ITEM_MESSAGE)
                logs[l]->at[i].post->marked = true;
    for (const struct place *p = w.places; p < w.places + PLACES; p++)
        for (size_t i = 0; i < p->posts.count; i++)
            post_of(p, i)->marked = true;
    for (size_t i = 0; i < w.all.count; i++)
        if (!w.all.at[i]->marked)
            body_free(w.all.at[i]);
}

/* Does to the log whatever may happen to a journal between two runs. */
static void change_log(void)
{
    cut_log();
    extend_log();
    w.joined = chance(12);
    if (w.joined)
        join_log();
    damage_log();
}

/* Sets the clock at a start, after a moment or some hours. It can be wrong: behind, far ahead, or
 * (without a battery) in 1970. */
static void start_clock(void)
{
    w.real_ms += draw(chance(4) ? 20000000 : 3000);
    w.unix_ms = w.real_ms;
    if (chance(4))
        w.unix_ms -= draw(10000000);
    else if (chance(6))
        w.unix_ms += draw(1000000);
    else if (chance(8))
        w.unix_ms = 10000000 + draw(10000000);
    if (chance(2))
        w.mono_ms = 1 + draw(1000);
}

/* ==== Item by item =========================================================================== */

/* Empties the model, as restore_begin does with the hub. */
static void forget_model(void)
{
    w.start = w.last = w.newest = w.lost = w.excuse = (struct id) { 0, 0 };
    w.lost_before = w.excuse_before = w.start;
    w.unused_count = w.place_count = 0;
    w.limit = w.settings.history;
    w.damage = false;
    for (struct place *p = w.places; p < w.places + PLACES; p++) {
        struct posts posts = { .at = p->posts.at, .capacity = p->posts.capacity };
        *p = (struct place) { .posts = posts };
    }
}

/* Notes an interval of unused ids; the oldest of too many gives way. */
static void add_unused(struct id after, struct id before)
{
    if (w.unused_count == UNUSED_MAX)
        memmove(w.unused, w.unused + 1, --w.unused_count * sizeof w.unused[0]);
    w.unused[w.unused_count++] = (struct interval) { after, before };
}

static void replay_hub(const struct past *past)
{
    struct id none = { 0, 0 };
    bool newest = !id_before(past->last, w.last);
    check(restore_state(w.hub, past->start, past->last, past->lost) == newest,
        "restore_state tells an old state from a new one");
    restore_history(w.hub, past->history);
    w.lost_before = w.lost;
    w.excuse_before = w.excuse;
    if (id_equal(w.start, none) || id_before(past->start, w.start))
        w.start = past->start;
    raise_id(&w.last, past->last);
    raise_id(&w.lost, past->lost);
    raise_id(&w.excuse, past->excuse);
    w.unused_count = newest ? 0 : w.unused_count;
    for (unsigned i = 0; newest && i < past->unused_count; i++) {
        restore_unused(w.hub, past->unused[i].after, past->unused[i].before);
        add_unused(past->unused[i].after, past->unused[i].before);
    }
    while (w.limit < past->history)
        w.limit *= 2;
}

/* Restores what a room has lost. Such an item says all that the room has lost in its own log, but
 * the same file can begin with another log. */
static void replay_room(const struct item *i)
{
    struct place *place = i->place;
    check(restore_room(w.hub, name_of(place), i->lost), "the driver can allocate memory");
    if (!place->exists) {
        make(place);
        place->lost = w.lost_before;
        place->excuse = w.excuse_before;
    }
    raise_id(&place->lost, i->lost);
    raise_id(&place->excuse, i->excuse);
    raise_id(&w.last, i->lost);
}

static void replay_message(struct post *post)
{
    struct place *place = place_of(post);
    enum append result = result_of(place, post);
    check(append_post(post) == result, "a restored message is appended unless it is not new");
    if (result == APPEND_REPEATED || result == APPEND_OLD)
        return;
    make(place);
    raise_id(&w.last, post->id);
    if (result == APPENDED)
        enter(post);
    else
        pass(post);
}

static void replay_forgotten(const struct item *i)
{
    struct place *place = i->place;
    restore_forgotten(w.hub, name_of(place), i->lost);
    while (place->exists && oldest_of(place) != NULL && !id_before(i->lost, *oldest_of(place)))
        drop(place);
    if (place->exists)
        raise_id(&place->lost, i->lost);
    if (place->exists && oldest_of(place) == NULL)
        vanish(place);
    raise_id(&w.lost, i->lost);
    raise_id(&w.last, i->lost);
    raise_id(&w.excuse, w.last);
}

/* Restores all items in order. After some of them, tries an earlier message again. */
static void replay(void)
{
    for (size_t i = 0; i < w.log.count; i++) {
        const struct item *item = &w.log.at[i], *earlier = &w.log.at[draw((uint32_t)i + 1)];
        switch (item->type) {
        case ITEM_HUB:
            replay_hub(item->past);
            break;
        case ITEM_ROOM:
            replay_room(item);
            break;
        case ITEM_MESSAGE:
            replay_message(item->post);
            break;
        case ITEM_FORGOTTEN:
            replay_forgotten(item);
            break;
        case ITEM_DAMAGE:
            restore_damage(w.hub);
            w.damage = true;
        }
        if (chance(16) && earlier->type == ITEM_MESSAGE)
            append_again(earlier->post);
    }
}

/* ==== The end of restoring =================================================================== */

/* Returns the time of a place's newest post, or 0 if it has none. */
static uint64_t newest_time(const struct place *place)
{
    return oldest_of(place) != NULL ? post_of(place, place->posts.count - 1)->time_ms : 0;
}

/* Returns how many places that count exceed the limit on rooms. Those without any do not
 * stay. */
static unsigned count_excess(void)
{
    unsigned count = 0;
    for (const struct place *p = w.places; p < w.places + PLACES; p++)
        count += oldest_of(p) != NULL && can_count(p);
    if (w.settings.max_rooms == 0 || count <= w.settings.max_rooms)
        return 0;
    return count - (unsigned)w.settings.max_rooms;
}

/* Returns whether the limit on rooms drops this place: those whose newest message is oldest go
 * first. If places are equal, takes the hub's choice, as far as that can be seen. */
static bool is_excess(const struct place *place, unsigned excess)
{
    unsigned before = 0, equal = 0;
    for (const struct place *p = w.places; p < w.places + PLACES; p++) {
        if (!can_count(p))
            continue;
        before += oldest_of(p) != NULL && newest_time(p) < newest_time(place);
        equal += oldest_of(p) != NULL && newest_time(p) == newest_time(place);
    }
    if (before < excess && before + equal > excess)
        return room_find(w.hub, name_of(place)) == NULL;
    return before < excess;
}

/* Drops what exceeds the limits, and makes the other places silent since their newest message. That
 * is relative to the newest message of all, unless that is in the future. */
static void settle_place(
    struct place *place, bool goes, uint64_t now_ms, struct restore_excess *excess)
{
    uint64_t newest_ms = newest_time(place);
    if (goes) {
        excess->rooms++;
        excess->room_messages += place->posts.count - place->first;
    }
    while (!goes &&
           (place->posts.count - place->first > 1 ? place->weight : place->held_bytes) > w.limit) {
        excess->messages++;
        excess->bytes += post_of(place, place->first)->frame.len;
        drop(place);
    }
    if (goes || oldest_of(place) == NULL) {
        vanish(place);
        return;
    }
    if (w.damage) {
        raise_id(&place->lost, w.last);
        raise_id(&place->excuse, w.last);
    }
    release(place);
    int64_t ttl_ms = (int64_t)w.settings.room_ttl_ms;
    int64_t silent_ms = newest_ms < now_ms ? (int64_t)(now_ms - newest_ms) : 0;
    if (silent_ms >= ttl_ms) {
        excess->silent++;
        excess->silent_messages += place->posts.count - place->first;
    }
    if (silent_ms > ttl_ms - RESTORE_GRACE_MS)
        silent_ms = ttl_ms > RESTORE_GRACE_MS ? ttl_ms - RESTORE_GRACE_MS : 0;
    place->silent_ms -= silent_ms;
}

/* Settles all places. Those over the limit are chosen before any is removed. Sets `*sure` to false
 * if the hub could have counted a place in another way. */
static struct restore_excess settle_places(bool *sure)
{
    struct restore_excess excess = { 0 };
    uint64_t now_ms = 0;
    bool goes[PLACES];
    unsigned going = 0, count = count_excess();
    for (struct place *p = w.places; p < w.places + PLACES; p++) {
        goes[number_of(p)] = can_count(p) && oldest_of(p) != NULL && is_excess(p, count);
        going += goes[number_of(p)];
        now_ms = newest_time(p) > now_ms ? newest_time(p) : now_ms;
    }
    for (struct place *p = w.places; going > count && p < w.places + PLACES; p++)
        if (goes[number_of(p)] && post_of(p, p->posts.count - 1)->frame.len > w.limit) {
            goes[number_of(p)] = false; /* it goes anyway, because it loses all its messages */
            *sure = false;
            going--;
        }
    check(going == count, "as many rooms stay as the limit allows");
    now_ms = now_ms < w.unix_ms ? now_ms : w.unix_ms;
    for (struct place *p = w.places; p < w.places + PLACES; p++)
        if (p->exists)
            settle_place(p, goes[number_of(p)], now_ms, &excess);
    return excess;
}

/* Notes an interval. If no message and no watermark separates it from the last one, they are one.
 */
static void add_or_extend(struct id after, struct id before)
{
    if (w.unused_count > 0 && id_equal(w.unused[w.unused_count - 1].before, after) &&
        !id_equal(after, w.lost) && !id_equal(after, w.start))
        w.unused[w.unused_count - 1].before = before;
    else
        add_unused(after, before);
}

/* Ends restoring. The first id of this run is a new one: whatever lies between it and the newest id
 * of the log is unused. After damage, everything before it may be lost. */
static void restore_rest(void)
{
    struct id none = { 0, 0 }, loaded = w.last, first = clock_id();
    struct restore_excess excess, expected;
    bool sure = true;
    check(restore_end(w.hub, &excess), "the driver can allocate memory");
    if (id_equal(w.start, none))
        w.start = w.lost = w.excuse = first;
    else if (first.ms != loaded.ms || first.seq != loaded.seq + 1)
        add_or_extend(loaded, first);
    if (w.damage)
        w.lost = w.excuse = first;
    w.limit = w.settings.history;
    expected = settle_places(&sure);
    raise_id(&w.newest, w.lost);
    check(!sure || (excess.messages == expected.messages && excess.bytes == expected.bytes),
        "restore_end counts the messages that exceed the history");
    check(
        !sure || (excess.rooms == expected.rooms && excess.room_messages == expected.room_messages),
        "restore_end counts the rooms that exceed the limit");
    check(!sure || (excess.silent == expected.silent &&
                       excess.silent_messages == expected.silent_messages),
        "restore_end counts the rooms that were silent for longer than their time to live");
}

/* ==== What is missing ======================================================================== */

/* Keeps the ids of `ready` up to the last item that is left. */
static void keep_readies(struct id loaded)
{
    unsigned left = 0;
    for (unsigned i = 0; i < w.ready_count; i++)
        if (w.readies[i].order <= w.cut_from && !id_before(loaded, w.readies[i].id))
            w.readies[left++] = w.readies[i];
    w.ready_count = left;
}

/* Keeps the ids of undone posts for which the hub must report a gap: those in the interval before
 * this run, and those in an earlier one that is still in the log; but that has only the newest
 * UNUSED_MAX. If the clock has stepped back and the ids of this run begin before such an id, it
 * becomes an id like any other as soon as new ones have reached it. */
static void keep_undone(struct id loaded, struct id first)
{
    unsigned left = 0;
    for (unsigned i = 0; i < w.undone_count; i++) {
        const struct seen *s = &w.undone[i];
        bool known = (s->order < w.cut_from || id_before(loaded, s->id)) && id_before(s->id, first);
        if (known && w.restarts - s->restart < UNUSED_MAX)
            w.undone[left++] = *s;
    }
    w.undone_count = left;
}

/* Compares all posts that have ever been safe with those that are held now: see the beginning.
 * `loaded` is the newest id of the log, and w.last the first one of this run: a post that was lost
 * with a later id is missed only by readers that come before this run. */
static void recount(struct id loaded)
{
    keep_readies(loaded);
    keep_undone(loaded, w.last);
    for (size_t i = 0; i < w.all.count; i++)
        w.all.at[i]->marked = false;
    for (struct place *p = w.places; p < w.places + PLACES; p++) {
        p->dropped = (struct id) { 0, 0 };
        for (size_t at = 0; at < p->first;
             at++) /* beyond the limits, also those of other histories */
            raise_id(&p->dropped, post_of(p, at)->id);
        for (size_t at = p->first; at < p->posts.count; at++)
            post_of(p, at)->marked = true;
    }
    for (size_t i = 0; i < w.all.count; i++) {
        struct post *post = w.all.at[i];
        struct place *place = place_of(post);
        bool cut = w.cut_from < post->order && post->order <= w.cut_to;
        bool newer = id_before(loaded, post->id);
        if (post->entered && !post->marked && place->exists && !id_before(place->lost, post->id))
            raise_id(&place->dropped, post->id); /* the log knows of it, even if it was cut off */
        if (!post->entered || post->undone || post->marked)
            continue;
        post->undone = cut || newer;
        if (cut && newer && id_before(post->id, w.last))
            see(w.undone, &w.undone_count, post->id);
        if (!cut)
            raise_id(&place->dropped, newer ? w.last : post->id);
    }
}

/* ==== All of it ============================================================================== */

/* Writes the log again, or adds what a keeper writes at a start. After damage that includes
 * what each room has lost, and it replaces a damaged end; but if a room was dropped, the damage
 * stays, because a later start may bring the room back. */
static void log_start_of_run(bool drops)
{
    if (w.joined || chance(3)) {
        compact();
        return;
    }
    while (!drops && w.log.count > 0 && w.log.at[w.log.count - 1].type == ITEM_DAMAGE)
        w.log.count--;
    log_hub();
    for (struct place *p = w.places; w.damage && p < w.places + PLACES; p++)
        if (p->exists)
            log_room(p);
    w.log.fixed = w.log.count;
}

/* Restores the hub and the model from the log, or from the log twice, as when it was joined with a
 * copy of itself. */
static void restore(void)
{
    forget_model();
    restore_begin(w.hub);
    replay();
    if (w.joined && chance(2))
        replay();
    struct id loaded = w.last;
    unsigned count = w.place_count;
    restore_rest();
    recount(loaded);
    log_start_of_run(w.place_count < count);
    free_bodies();
}

/* ==== What the hub must know ================================================================= */

/* Compares each message in a ring with its post, and the room's notes with the messages that have
 * one. From the end, because only the newest message with a key has it. */
static void check_entries(const struct place *place, const struct room *room)
{
    const struct ring *ring = &room->ring;
    const struct link *link = &room->notes;
    const struct message *owners[KEYS * (USERS + 1)];
    size_t count = 0, at = place->posts.count;
    check(ring->next - ring->first == place->posts.count - place->first,
        "a room holds as many messages as its place");
    for (uint64_t n = ring->next; n-- > ring->first;) {
        const struct entry *e = ring_entry(ring, n);
        const struct post *post = post_of(place, --at);
        struct span key = post->keyless ? (struct span) { NULL, 0 } : post->m.key;
        for (size_t i = 0; i < count; i++)
            key.len = is_same_key(owners[i], &post->m) ? 0 : key.len;
        check(id_equal(e->id, post->id) && e->time_ms == post->time_ms && e->kind == post->kind,
            "an entry has its message's id, time and kind");
        check(e->by == post->m.author.by && e->with_token == post->m.author.with_token &&
                  e->by_user == post->m.author.by_user,
            "an entry has its message's author");
        check(e->key == NULL ? key.len == 0
                             : span_equal((struct span) { e->key->bytes, e->key->len }, key),
            "the newest message with a key has it");
        if (key.len > 0)
            owners[count++] = &post->m;
        if (post->kind != MESSAGE_OTHER)
            continue;
        link = link->prev;
        check(link != &room->notes, "each message of an unknown kind has a note");
        const struct note *note = CONST_CONTAINER(link, struct note, link);
        check(span_equal((struct span) { note->bytes, note->len },
                  (struct span) { post->note, post->note_len }),
            "a note stays with its message");
    }
    check(link->prev == &room->notes, "a note is dropped with its message");
}

/* Checks that a room's memory, as the heap gives it, is in proportion to its history. The debug
 * build's arrays begin smaller, but none of the bounds is so small. */
static void check_memory(const struct place *place, const struct room *room)
{
    enum { LEAST_BYTES = 2048 };
    const struct ring *ring = &room->ring;
    check(ring_weight(ring) == place->weight, "a room weighs as much as its place");
    check(ring->capacity + ring->entry_capacity * sizeof(struct entry) + ring->extra <=
              2 * w.limit + LEAST_BYTES,
        "a room takes at most twice its history");
    check(room->pending > 0 || ring->capacity <= 1024 || ring->capacity / 4 < place->held_bytes,
        "a ring gives back the bytes that it no longer needs");
    check(room->pending > 0 ||
              ring->entry_capacity <= 2 * (place->posts.count - place->first) + LEAST_BYTES / 64,
        "a ring gives back the entries that it no longer needs");
    check(room->presence.capacity <= 4 || room->presence.count >= room->presence.capacity / 4,
        "presence gives back the places that it no longer needs");
}

/* Compares what the hub says of a reader that resumes from this id in each room with the model. If
 * the reader has really got it (`seen`), a gap must have a reason: a missing message, or a room
 * that was removed since. If it has got it from messages that were undone, there must be one. */
static void check_resuming(struct id id, bool seen, bool undone)
{
    struct start start = { .since = SINCE_ID, .id = id, .scoped = chance(2) };
    for (const struct place *p = w.places; p < w.places + PLACES; p++) {
        const char *gap =
            history_gap_word(history_gap(w.hub, room_find(w.hub, name_of(p)), &start));
        const char *expected = gap_of(p, &start);
        bool excused = id_before(id, p->dropped) || id_before(id, p->exists ? p->excuse : w.excuse);
        check(gap == NULL || expected == NULL ? gap == expected : strcmp(gap, expected) == 0,
            "a gap has the reason that the model expects");
        check(!seen || gap == NULL || excused, "a reader that has missed nothing gets no gap");
        check(!undone || gap != NULL, "a reader with an id of another history gets a gap");
    }
}

/* Lets readers resume from the ids of recent and older messages, of `ready`, of undone messages,
 * and from those around the watermarks. */
static void check_gaps(void)
{
    for (size_t i = 0; i < 40 && i < w.all.count; i++) {
        size_t at = i < 20 ? w.all.count - 1 - i : draw((uint32_t)w.all.count);
        const struct post *post = w.all.at[at];
        check_resuming(post->id, post->entered && !post->undone, false);
    }
    for (unsigned i = 0; i < w.ready_count; i++)
        check_resuming(w.readies[i].id, true, false);
    for (unsigned i = 0; i < w.undone_count; i++)
        check_resuming(w.undone[i].id, false, true);
    struct id marks[] = { w.start, w.lost, w.newest, w.last, { 0, 0 }, { UINT64_MAX, 0 } };
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++) {
        check_resuming(marks[i], false, false);
        marks[i].seq++;
        check_resuming(marks[i], false, false);
    }
    for (unsigned i = 0; i < w.unused_count; i++) {
        check_resuming(w.unused[i].after, false, false);
        check_resuming(w.unused[i].before, false, false);
    }
}

/* Compares everything that the hub remembers with the model. */
static void check_state(void)
{
    uint64_t held = 0, messages = 0;
    for (const struct place *p = w.places; p < w.places + PLACES; p++) {
        const struct room *room = room_find(w.hub, name_of(p));
        check_page(&(struct page_query) { .room = name_of(p), .limit = HISTORY_MAX });
        check((room != NULL) == p->exists, "a room exists when its place does");
        if (room != NULL) {
            check_entries(p, room);
            check_memory(p, room);
        }
        held += p->held_bytes;
        messages += p->posts.count - p->first;
    }
    check(w.hub->held == held && w.hub->messages == messages,
        "the hub counts the bytes and the messages of all rooms");
    check(id_equal(w.hub->newest, w.newest), "the hub knows the newest id");
    check_gaps();
}
