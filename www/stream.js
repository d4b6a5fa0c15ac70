// The event stream, for up to 16 rooms: one EventSource at a time, closed at the first error and
// reopened from the id of the last frame, so that nothing is lost and nothing comes twice. See
// docs/page.md.

const OPENING_MS = 20_000;
const LOOK_MS = 5000;
const LONGEST_MS = 30_000;
const LONGEST_REFUSED_MS = 300_000;
const OFFLINE_MS = 1000;

const FINE = { why: '', status: 0, detail: '', retryAt: 0 };
const CLOCK = { now: Date.now, random: Math.random, setTimeout, clearTimeout };
const nothing = () => {};
const parse = (text) => { try { return JSON.parse(text); } catch { return undefined; } };

const isFinal = (status) => status >= 400 && status < 500 && ![408, 425, 429].includes(status);

export function createStream({
  base = '', rooms = ['lobby'], name = '', token = '', events = [],
  EventSource = globalThis.EventSource, fetch = globalThis.fetch,
  clock: { now, random, setTimeout, clearTimeout } = CLOCK,
  onItem = nothing, onGap = nothing, onPresence = nothing, onReady = nothing, onState = nothing,
  onRoomsRefused = nothing,
}) {
  let running = false;
  let known = new Set();
  let lastId = '';
  let source = null;
  let isReady = false;
  let asking = null;
  let timer = 0;
  let since = 0;
  let limitMs = Infinity;
  let retryMs = 2000;
  let failures = 0;
  let problem = FINE;
  let offlineAt = 0;
  let phase = { state: '' };
  let shown = '';

  function tell(state = phase.state, retryAt = phase.retryAt) {
    phase = { ...problem, state, retryAt };
    const isOffline = offlineAt && (state !== 'connected' || since - offlineAt < OFFLINE_MS);
    const visible = isOffline ? { ...FINE, state: 'offline' } : phase;
    if (JSON.stringify(visible) === shown) return;
    shown = JSON.stringify(visible);
    onState(visible);
  }

  function url(list = rooms) {
    const given = Object.entries({ name, access_token: token, last_event_id: lastId });
    const query = [...list.map((room) => ['room', room]), ...given.filter(([, value]) => value)];
    return `${base}events?${new URLSearchParams(query)}`;
  }

  function shut() {
    clearTimeout(timer);
    asking?.abort();
    source?.close();
    asking = source = null;
  }

  function connect(why = problem) {
    shut();
    isReady = false;
    problem = why;
    if (phase.state !== 'connected' || problem !== FINE) tell('connecting', 0);
    const mine = source = new EventSource(url());
    mine.onerror = () => { if (mine === source) onError(); };
    heard.forEach(hear);
    watch(OPENING_MS);
  }

  function watch(ms) {
    since = now();
    limitMs = ms;
    look();
  }

  // Compares dates, because timers stand still while a computer sleeps.
  function look() {
    if (!running) return;
    clearTimeout(timer);
    since = Math.min(since, now());
    const leftMs = since + limitMs - now();
    if (leftMs > 0) timer = setTimeout(look, Math.min(leftMs, LOOK_MS));
    else if (asking) asking.abort();
    else connect(source ? { ...FINE, why: 'silent' } : problem);
  }

  // A random part keeps clients apart that failed together.
  function wait(why, askedMs) {
    const longestMs = isFinal(why.status) ? LONGEST_REFUSED_MS : LONGEST_MS;
    const ownMs = Math.min(longestMs, retryMs * 2 ** failures) * (1 - random() / 4);
    shut();
    failures += 1;
    problem = { ...FINE, ...why };
    watch(askedMs ?? Math.round(ownMs));
    tell('waiting', askedMs === Infinity ? 0 : since + limitMs);
  }

  async function onError() {
    if (source.readyState !== 2) return wait({ why: isReady ? 'lost' : 'unreachable' });
    shut();                                    // 2 is EventSource.CLOSED
    const mine = asking = new AbortController();
    watch(OPENING_MS);
    const why = await whyRefused(mine.signal);
    if (mine !== asking) return undefined;
    if (why.status === 401) return wait(why, Infinity);   // for another token, or retry()
    const isRooms = isFinal(why.status) && rooms.length > 1;
    return (isRooms && (giveRoomsBack(why) || await dropRefused(why, mine))) || wait(why);
  }

  // EventSource does not reveal the status of an error, so fetch asks again.
  async function whyRefused(signal, list = rooms, method = 'GET') {
    try {
      const answer = await fetch(url(list), { method, signal, cache: 'no-store' });
      if (/^text\/event-stream/.test(answer.headers.get('Content-Type'))) return { why: 'lost' };
      const detail = (await answer.json().catch(() => null))?.detail;
      return { why: 'refused', status: answer.status, detail: `${detail ?? ''}` };
    } catch {
      return { why: 'unreachable' };
    }
  }

  function giveRoomsBack(why) {
    const added = rooms.filter((room) => !known.has(room));
    if (!known.size || !added.length) return false;
    rooms = [...known];
    connect();
    onRoomsRefused({ ...FINE, ...why, rooms: added });
    return true;
  }

  // Asks for each room alone: rooms of an earlier visit can be refused, too.
  async function dropRefused(why, mine) {
    const refused = [];
    for (const room of rooms) {
      if (isFinal((await whyRefused(mine.signal, [room], 'HEAD')).status)) refused.push(room);
    }
    if (mine !== asking) return true;
    if (!refused.length || refused.length === rooms.length) return false;
    rooms = rooms.filter((room) => !refused.includes(room));
    connect();
    onRoomsRefused({ ...FINE, ...why, rooms: refused });
    return true;
  }

  const OWN = new Map([
    ['ready', (data) => {
      isReady = true;
      known = new Set(rooms);
      failures = 0;
      problem = FINE;
      retryMs = data.retry || retryMs;
      watch(3000 * (data.heartbeat || 15));
      tell('connected', 0);
      onReady(data);
    }],
    // A room that is new in this stream has no gap: nothing of it was shown yet.
    ['gap', (data) => { if (known.has(data.room)) onGap(data); }],
    ['presence', onPresence],
    ['heartbeat', nothing],
    ['busy', ({ reason: why, retry: ms }) => {
      if (why !== 'rooms' || !giveRoomsBack({ why })) wait({ why }, ms || LONGEST_MS);
    }],
  ]);
  const heard = new Set([...OWN.keys(), 'message', ...events]);

  function hear(event) {
    const mine = source;
    mine.addEventListener(event, (frame) => {
      if (mine !== source) return;
      const before = lastId;
      lastId = frame.lastEventId || lastId;
      since = now();
      if (offlineAt) tell();
      if (OWN.has(event)) OWN.get(event)(parse(frame.data) ?? {});
      else take(event, frame, before);
    });
  }

  // Anyone can post data that looks like a message, but not with the id that it will get. Of several
  // rooms, a named event does not tell its own: the history can be asked what follows `before`.
  function take(event, { data, lastEventId: id }, before) {
    const parsed = parse(data);
    const isServers = parsed?.id === id;
    const isChat = event === 'message' && isServers
      && ['room', 'name', 'message', 'time'].every((field) => typeof parsed[field] === 'string');
    const room = rooms.length === 1 ? rooms[0]
      : rooms.find((streamed) => isServers && streamed === parsed.room);
    if (!isReady && room !== undefined && !known.has(room)) return;
    onItem(isChat ? parsed : { id, event, data, room, before });
  }

  function retry() {
    failures = 0;
    if (running) connect();
  }

  function change() {
    if (phase.state !== 'waiting' || problem.why === 'rooms' || isFinal(problem.status)) retry();
  }

  return {
    retry, look,
    open() {
      if (running) return;
      running = true;
      retry();
    },
    close() {
      running = false;
      phase = { state: '' };
      shut();
    },
    setRooms(list) {
      if (String([...list].sort()) === String([...rooms].sort())) return;
      rooms = [...list];
      change();
    },
    setName(text) {
      const isNew = text !== name;
      name = text;
      if (isNew) change();
    },
    listen(event) {
      if (source && !heard.has(event)) hear(event);
      heard.add(event);
    },
    setOnline(value) {
      if (value === !offlineAt) return;
      offlineAt = value ? 0 : now();
      tell(value ? 'connecting' : phase.state);
      if (value) retry();
    },
  };
}
