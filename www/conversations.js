// The conversations of all rooms, and how far they were read. The stream comes first, the history at
// its `ready`: nothing falls between them, and what both bring is dropped by its id.

const PAGE = 50;
const MANY = 500;
const KEPT = 1000;
const AGAIN_MS = 2000;

// '' is before every id.
const isBefore = (a, b) =>
  (parseInt(a, 10) - parseInt(b, 10) || a.length - b.length || (a < b ? -1 : 1)) < 0;

export function createConversation(room) {
  const items = [];
  const ids = new Set();
  const state = {
    live: false,
    loaded: false,             // the history up to the stream's beginning is here
    missing: '',               // the id after which something can be missing
    more: false,
    unread: 0,
    unreadFrom: '',
    place: null,
  };

  function insert(item, id) {
    let at = items.length;
    while (id && items[at - 1]?.id && isBefore(id, items[at - 1].id)) at -= 1;
    items.splice(at, 0, item);
    return at;
  }

  return {
    room, items, state,
    add(item) {
      if (ids.has(item.id)) return -1;
      ids.add(item.id);
      return insert(item, item.id);
    },
    // The stream tells of a gap later than of our own messages.
    addGap: ({ after, reason }) => insert({ gap: true, reason }, after),
    prepend(older) {
      const fresh = older.filter(({ id }) => !ids.has(id));
      for (const { id } of fresh) ids.add(id);
      items.unshift(...fresh);
      return fresh.length;
    },
    trim(count) {
      for (const { id } of items.splice(0, count)) ids.delete(id);
      state.more = true;
    },
    oldest: () => items.find(({ id }) => id)?.id ?? '',
    newest: () => items.findLast(({ id }) => id)?.id ?? '',
  };
}

export function createConversations({ api, store, isReading, shown, on }) {
  const rooms = new Map();

  function tell(what, conversation, ...rest) {
    if (conversation === shown()) on[what](...rest);
  }

  const tellPage = (items) => on.page(items.map(({ event }) => event).filter(Boolean));

  function of(room) {
    if (!rooms.has(room)) rooms.set(room, createConversation(room));
    return rooms.get(room);
  }

  const unread = (room) => rooms.get(room)?.state.unread ?? 0;

  function place(conversation, item) {
    const index = conversation.add(item);
    if (index >= 0) tell('inserted', conversation, index);
    return index >= 0;
  }

  // A message can come after the news that another tab has read it.
  function countUnread({ room, state }, item) {
    if (item.message === undefined || isReading(of(room))) return false;
    const read = store.get(`read:${room}`);
    if (!isBefore(read, item.id) || store.isMine(item.id) || store.isHidden(item.name)) return false;
    if (!state.unread || isBefore(item.id, state.unreadFrom)) state.unreadFrom = item.id;
    state.unread += 1;
    return true;
  }

  function take(item) {
    const conversation = of(item.room);
    if (place(conversation, item) && countUnread(conversation, item)) on.unread(item);
  }

  // In a room that was never read, what the history has is not new.
  function takePage(conversation, items) {
    const read = store.get(`read:${conversation.room}`);
    for (const item of items) if (place(conversation, item) && read) countUnread(conversation, item);
  }

  async function loadPage(conversation, after) {
    const { state, room } = conversation;
    const read = store.get(`read:${room}`);
    let page = await api.history(room, after ? { after, limit: MANY } : { limit: PAGE });
    if (!after && read && page.more && isBefore(read, page.oldest)) {
      page = await api.history(room, { limit: MANY });   // to count what is unread
    }
    if (page.gap && after === conversation.newest()) {
      tell('inserted', conversation, conversation.addGap({ after, reason: 'expired' }));
    }
    takePage(conversation, page.items);
    if (!after) state.more = page.more;
    else if (page.more) state.missing = page.newest;
    state.loaded = true;
    tellPage(page.items);
    tell('loaded', conversation);
  }

  async function load(conversation) {
    const { state } = conversation;
    if (state.loading) return;
    state.loading = true;
    let ms = AGAIN_MS;
    while (state.live && (!state.loaded || state.missing)) {
      const after = state.loaded ? state.missing : '';
      state.missing = '';
      try {
        await loadPage(conversation, after);
      } catch {
        state.missing = after || state.missing;
        await new Promise((resolve) => { state.wake = resolve; setTimeout(resolve, ms); });
        ms = Math.min(ms * (1.5 + Math.random()), 60_000);
      }
    }
    state.loading = false;
  }

  return {
    of, load, unread,
    forget: (room) => rooms.delete(room),
    allUnread: () => store.rooms().reduce((sum, room) => sum + unread(room), 0),

    // An empty room is read, too: what comes into it is new. Another tab can have read more.
    mark({ room, state, newest }) {
      const last = newest() || (state.loaded ? '0-0' : '');
      if (isBefore(store.get(`read:${room}`), last)) store.set(`read:${room}`, last);
    },

    readElsewhere(room) {
      const conversation = rooms.get(room);
      const read = store.get(`read:${room}`);
      if (conversation && !isBefore(read, conversation.newest())) conversation.state.unread = 0;
    },

    // A room can be unlisted, or the list can have failed.
    loadUnread(listed) {
      for (const [room, conversation] of rooms) {
        const { newest } = listed.find((entry) => entry.room === room) ?? {};
        if (store.get(`read:${room}`) !== newest) load(conversation);
      }
    },

    take(items) {
      for (const item of items) {
        if (item.room !== undefined) take(item);
        else for (const { state } of rooms.values()) state.missing ||= item.before;
      }
    },

    takeOwn: (item) => !rooms.has(item.room) || place(of(item.room), item),

    takeGap(gap) {
      const conversation = rooms.get(gap.room);
      if (conversation?.state.loaded) tell('inserted', conversation, conversation.addGap(gap));
    },

    ready(names) {
      names.forEach(of);
      for (const conversation of rooms.values()) {
        const { state, room } = conversation;
        if (state.live && !names.includes(room)) state.missing ||= conversation.newest();
        state.live = names.includes(room);
        state.wake?.();
      }
    },

    // This tab was away from the stream.
    miss() {
      for (const { state, newest } of rooms.values()) {
        state.missing ||= newest();
        state.loaded &&= state.missing !== '';
        state.live = false;
      }
    },

    trim() {
      for (const conversation of rooms.values()) {
        const extra = conversation.items.length - KEPT;
        if (conversation !== shown() && extra > PAGE) conversation.trim(extra);
      }
    },

    async loadOlder(conversation) {
      const before = conversation.oldest();
      const page = await api.history(conversation.room, { before, limit: PAGE });
      if (before !== conversation.oldest()) return;   // it was trimmed meanwhile
      conversation.state.more = page.more;
      tellPage(page.items);
      tell('prepended', conversation, conversation.prepend(page.items));
    },
  };
}
