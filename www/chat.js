// The chat page of ssechat. One module, no library, no build step.
//
// It shows how to use an event stream without losing or doubling anything:
//   - it reads with EventSource, which reconnects by itself and names the last id it saw;
//   - it writes with POST and an Idempotency-Key, and repeats that until it is answered;
//   - it knows its own message by that key when it comes back in the stream.
// Text from others only ever goes into text nodes. Nothing here makes HTML out of strings.
//
// A browser opens at most six HTTP/1.1 connections to a host, counted over all tabs, and each tab
// with this page holds one. With six there is none left for posting; HTTP/2 in front lifts that.

const HISTORY = 50;            // messages asked for at the start, and with each "load earlier"
const MESSAGE_MAX = 4096;      // characters; the server refuses longer ones
const NAME_MAX = 32;
const KEPT = 1000;             // messages kept on the page
const GROUP_MS = 5 * 60_000;   // messages of one person this close together form a group
const POST_TIMEOUT_MS = 20_000;

// Every element with an id, by its id: $.log, $.send, $['my-name'].
const $ = Object.fromEntries([...document.querySelectorAll('[id]')].map((e) => [e.id, e]));

// ---- Small helpers ----

// Makes an element. Children are nodes or strings; strings become text, never HTML.
function make(tag, className = '', ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

function button(label, onClick) {
  const element = make('button', '', label);
  element.type = 'button';
  element.addEventListener('click', onClick);
  return element;
}

// Storage can be switched off in a browser. The page then just forgets.
function recall(store, key) {
  try { return window[store].getItem(key); } catch { return null; }
}

function remember(store, key, value) {
  try { window[store].setItem(key, value); } catch { /* it is forgotten */ }
}

const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

// The server counts code points, not the UTF-16 units of String.length.
const characters = (text) => [...text].length;

// Invisible characters that the server refuses, because they could disguise other text. They come
// along with pasted text, where nobody sees them. Line separators turn into line ends.
function printable(text) {
  return text.replace(/\r\n?|[\u2028\u2029]/g, '\n')
    .replace(/[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, '');
}

// Waits longer after each failure, up to a limit, and never exactly as long as everybody else.
function backoffMs(failures, limitMs) {
  return Math.min(limitMs, 1000 * 2 ** failures) * (0.75 + Math.random() / 2);
}

async function getJson(url) {
  const answer = await fetch(url, { headers: withToken() });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

// Errors of the server are application/problem+json, with a `detail` for people.
async function problemOf(answer) {
  const problem = await answer.json().catch(() => null);
  return problem?.detail || `The server answered ${answer.status}.`;
}

// ---- The token: some servers let in only who has one ----
//
// An application sends its user here with the token behind a '#': /#token=eyJhbGciOi… A browser
// sends that part of an address to nobody. The token is taken out of the address at once, and kept
// for this tab alone. Requests carry it in a field; only EventSource, which can set none, in its URL.

let token = '';
let claims = {};               // what the token says: { sub, rooms, publish, exp }

function useToken(text) {
  token = text;
  claims = {};
  try {
    const bytes = atob(token.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
    const json = new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0)));
    claims = JSON.parse(json) ?? {};
  } catch { /* the server will say what it thinks of it */ }
  remember('sessionStorage', 'token', token);
}

// Takes the token out of the address. False if there is none.
function takeToken() {
  const parts = new URLSearchParams(location.hash.slice(1));
  if (!parts.has('token')) return false;
  history.replaceState(null, '', location.pathname + location.search);
  useToken(parts.get('token').trim());
  return true;
}

const withToken = (fields = {}) =>
  (token ? { ...fields, Authorization: `Bearer ${token}` } : fields);

function askToken(why) {
  if ($.asking.open) return;
  $.naming.close();
  $['asking-why'].textContent = why;
  $['token-error'].textContent = '';
  $.token.value = '';
  $.asking.showModal();
}

// A new token in an open page. The same person in the same room just goes on; for everybody else the
// page begins anew.
function goOn() {
  $.asking.close();
  if (room !== roomOf() || (signedName() && signedName() !== myName)) {
    location.reload();
    return;
  }
  connect();
  wakeOutbox();
  if (!myName) askName();
}

$['asking-form'].addEventListener('submit', (event) => {
  event.preventDefault();
  const text = $.token.value.replace(/\s/g, '');
  if (!/^[\w-]+\.[\w-]+\.[\w-]+$/.test(text)) {
    $['token-error'].textContent = 'A token is three long words with dots between them.';
    $.token.select();
    return;
  }
  $.token.value = '';
  useToken(text);
  goOn();
});

window.addEventListener('hashchange', () => { if (takeToken()) goOn(); });

if (!takeToken()) useToken(recall('sessionStorage', 'token') ?? '');

// ---- Who and where ----

// The room is in the address of the page, so that it can be linked and kept as a bookmark. Without
// one it is the first that the token is for.
function roomOf() {
  const askedFor = new URLSearchParams(location.search).get('room')
    ?? [].concat(claims.rooms).find((name) => typeof name === 'string' && name !== '*') ?? '';
  return printable(askedFor.split(/[,/]/)[0]).trim() || 'lobby';
}

const room = roomOf();

// A name that was signed cannot be chosen.
const cleanName = (text) => printable(text ?? '').replace(/\s+/g, ' ').trim();
const signedName = () => (typeof claims.sub === 'string' ? claims.sub : '');
let myName = signedName() || cleanName(recall('localStorage', 'name'));
if (characters(myName) > NAME_MAX) myName = '';

// After a reload the name is all that tells our own messages from those of others.
const isMine = (name) => !!myName && name === myName;

function showName() {
  $['my-name'].textContent = myName || 'only reading';
  $.rename.hidden = !!signedName();
  $.rename.textContent = myName ? 'Change' : 'Join';
}

function askName() {
  $.name.value = myName;
  $['name-error'].textContent = '';
  $['just-read'].textContent = myName ? 'Cancel' : 'Just read';
  $.naming.showModal();
  $.name.select();
}

$['naming-form'].addEventListener('submit', (event) => {
  event.preventDefault();
  const name = cleanName($.name.value);
  if (!name || characters(name) > NAME_MAX) {
    $['name-error'].textContent = name
      ? `At most ${NAME_MAX} characters, please.` : 'Please type a name.';
    $.name.focus();
    return;
  }
  $.naming.close();
  $.text.focus();
  if (name === myName) return;
  myName = name;
  remember('localStorage', 'name', name);
  showName();
  for (const node of $.log.children) {
    if (isMine(node.dataset.name)) node.classList.add('own');
    relate(node);
  }
  connect();   // the name belongs to the stream: others see it in the presence
});

$['just-read'].addEventListener('click', () => $.naming.close());
$.rename.addEventListener('click', askName);

// ---- Drawing a message ----

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const fullTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const dayName = new Intl.DateTimeFormat(undefined,
  { weekday: 'long', day: 'numeric', month: 'long' });

// Text with its http and https addresses made into links. A link is a node like any other; no other
// scheme ever becomes one.
function textNodes(text) {
  const nodes = [];
  let done = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"“”«»]+/gi)) {
    // A full stop or a bracket after an address belongs to the sentence around it.
    let address = match[0].replace(/[.,:;!?'’*_]+$/, '');
    if (address.endsWith(')') && !address.includes('(')) address = address.slice(0, -1);
    if (!URL.canParse?.(address)) continue;
    const link = make('a', '', address);
    link.href = address;
    link.rel = 'noopener noreferrer';
    link.target = '_blank';
    nodes.push(text.slice(done, match.index), link);
    done = match.index + address.length;
  }
  return [...nodes, text.slice(done)];
}

// One of six quiet colours for a name, the same one each time.
function hueOf(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return sum % 6;
}

function bubble(text) {
  const element = make('div', 'bubble', ...textNodes(text.replace(/\r\n?/g, '\n')));
  element.dir = 'auto';   // right to left, if the text begins so
  return element;
}

// Draws { id, name, message, time }, or { id, text } for an event that is no chat message.
function draw(item, own) {
  if (item.text !== undefined) {
    const node = make('article', 'message plain', bubble(item.text));
    node.dataset.id = item.id;
    return node;
  }
  const node = make('article', own ? 'message own' : 'message');
  const name = make('b', `name hue${hueOf(item.name)}`, item.name);
  name.dir = 'auto';
  const when = new Date(item.time);
  const time = make('time');
  if (!Number.isNaN(when.getTime())) {
    time.dateTime = item.time;
    time.textContent = clock.format(when);
    time.title = fullTime.format(when);
    node.dataset.day = dayName.format(when);
    node.dataset.ms = when.getTime();
  }
  node.append(name, make('div', 'line', bubble(item.message), time));
  node.dataset.name = item.name;
  if (item.id) node.dataset.id = item.id;
  return node;
}

// Compares a message with the one above it: it may begin a day, or go on in a group. The style
// sheet draws both, so nothing has to move when messages are put in above, or the oldest leave.
function relate(node) {
  if (!node) return;
  const above = node.previousElementSibling;
  if (!node.dataset.day && above?.dataset.day) node.dataset.day = above.dataset.day;
  const { day, name, ms } = node.dataset;
  node.classList.toggle('new-day', !!day && above?.dataset.day !== day);
  node.classList.toggle('follows', !!name && above?.dataset.name === name
    && above.dataset.day === day && ms - above.dataset.ms < GROUP_MS
    && above.classList.contains('own') === node.classList.contains('own'));
}

// ---- The conversation: order, bounds, scrolling, what is unread ----

const shown = new Set();       // ids on the page; one that comes again is skipped
let oldest = '';               // where "load earlier" goes on
let pinned = true;             // the reader is at the bottom, and stays there
let lastTop = 0;
let below = 0;                 // messages that arrived below the visible part
let unread = 0;                // messages that arrived while the page was hidden

// Whatever changes a height (a message, the notice, the keyboard of a phone): who was at the bottom
// stays at the bottom.
const bottomKeeper = new ResizeObserver(() => { if (pinned) toBottom(); });
bottomKeeper.observe($.scroller);
bottomKeeper.observe($.column);

function atBottom() {
  pinned = true;
  below = 0;
  $.newer.hidden = true;
}

function toBottom() {
  atBottom();
  $.scroller.scrollTop = $.scroller.scrollHeight;
}

// Only a scroll upwards lets go of the bottom. When it just moved away because something arrived,
// the reader has not moved.
$.scroller.addEventListener('scroll', () => {
  const { scrollTop, scrollHeight, clientHeight } = $.scroller;
  if (scrollHeight - clientHeight - scrollTop < 40) atBottom();
  else if (scrollTop < lastTop) pinned = false;
  lastTop = scrollTop;
}, { passive: true });

$.newer.addEventListener('click', () => { toBottom(); $.text.focus(); });

// Changes something above what is being read, and keeps that where it is.
function keepingPlace(change) {
  const fromBottom = $.scroller.scrollHeight - $.scroller.scrollTop;
  change();
  $.scroller.scrollTop = $.scroller.scrollHeight - (pinned ? 0 : fromBottom);
  lastTop = $.scroller.scrollTop;
}

// The page must not grow for ever. Somebody who reads further up is given more room. Fifty leave at
// a time, because each time the browser measures the whole page.
function trim() {
  const limit = pinned ? KEPT : 2 * KEPT;
  if ($.log.childElementCount <= limit + 50) return;
  keepingPlace(() => {
    while ($.log.childElementCount > limit) {
      shown.delete($.log.firstElementChild.dataset.id);
      $.log.firstElementChild.remove();
    }
    relate($.log.firstElementChild);
  });
  oldest = $.log.querySelector('[data-id]')?.dataset.id ?? oldest;
  $.earlier.hidden = false;
}

function append(node) {
  $.empty.hidden = true;
  $.log.append(node);
  relate(node);
  trim();
}

// One message from the stream. If it is ours, `settle` takes it out of the outbox.
function receive(item) {
  const ours = settle(item);
  if (shown.has(item.id)) return;
  shown.add(item.id);
  oldest ||= item.id;
  const own = ours || isMine(item.name);
  append(draw(item, own));
  if (own || !everReady) return;
  if (!pinned) {
    below += 1;
    $.newer.textContent = plural(below, 'new message', 'new messages');
    $.newer.hidden = false;
  }
  if (document.hidden) {
    unread += 1;
    showTitle();
  }
}

function showTitle() {
  document.title = `${unread ? `(${unread}) ` : ''}${room} · ssechat`;
}

// A line that no person said.
function note(text) {
  append(make('p', 'note', make('span', '', text)));
}

// Earlier messages come as JSON and go in above. A page of them may hold nothing but events that
// are not shown here; then the one before it is asked for at once.
async function loadEarlier() {
  $.earlier.disabled = true;
  $.earlier.textContent = 'Load earlier messages';
  $.log.ariaBusy = 'true';
  try {
    let page;
    let added = 0;
    do {
      const query = new URLSearchParams({ room, before: oldest, limit: HISTORY });
      page = await getJson(`messages?${query}`);
      oldest = page.oldest ?? oldest;
      const items = page.messages.map(fromHistory).filter((item) => item && !shown.has(item.id));
      added += items.length;
      keepingPlace(() => {
        const first = $.log.firstElementChild;
        for (const item of items) {
          shown.add(item.id);
          const node = draw(item, isMine(item.name));
          $.log.insertBefore(node, first);
          relate(node);
        }
        relate(first);
      });
    } while (page.more && !added);
    $.earlier.hidden = !page.more;
    if (!page.more) $.scroller.focus();
  } catch {
    $.earlier.textContent = 'That did not work. Try again';
  }
  $.log.ariaBusy = 'false';
  $.earlier.disabled = false;
}

// Anybody may post any data as a default event. What is no chat message is shown as plain text.
function itemOf(id, data) {
  try {
    const item = JSON.parse(data);
    if (typeof item.message === 'string' && typeof item.name === 'string') return { ...item, id };
  } catch { /* not JSON: just as good as text */ }
  return { id, text: data };
}

// The same for an entry of the history; null for the events with a name, which are not shown here.
function fromHistory(entry) {
  if (typeof entry.message === 'string') return entry;
  if (entry.event && entry.event !== 'message') return null;
  return itemOf(entry.id, typeof entry.data === 'string' ? entry.data : JSON.stringify(entry.data));
}

$.earlier.addEventListener('click', loadEarlier);

// ---- The stream ----

let stream = null;             // the EventSource
let lastId = '';               // EventSource keeps its own; this one is for a new EventSource
let everReady = false;         // from the first `ready` on, what arrives is new
let heartbeatMs = 15_000;
let lastSeen = Date.now();     // when the stream last gave a sign of life
let busy = '';                 // why the server sent us away, until it takes us again
let breaks = 0;                // how often the stream broke or was replaced
let refusals = 0;
let retryTimer = 0;

const GAP_WORDS = {
  expired: 'they are older than the history this server keeps',
  restarted: 'the server was restarted',
  unknown: 'the server does not know where you left off',
};

const BUSY_WORDS = {
  full: 'The server is full at the moment.',
  address: 'Too many connections come from your address. Close some tabs of this chat.',
  rooms: 'The server has no place for another room at the moment.',
  starting: 'The server is just starting.',
  draining: 'The server is about to restart.',
};

function showState(state, notice = '', canRetry = false) {
  const words = { connecting: 'Connecting', connected: 'Connected', closed: 'Not connected' };
  $.status.dataset.state = state;
  $.status.textContent = words[state] ?? 'Reconnecting';
  $['notice-text'].textContent = notice;
  $.notice.hidden = !notice;
  $.retry.hidden = !canRetry;
}

// Opens the stream. The first one asks for the latest messages, a later one for all that came after
// the last id seen. `history` would be ignored beside an id, and so it is left out.
function connect() {
  clearTimeout(retryTimer);
  stream?.close();
  breaks += 1;
  lastSeen = Date.now();
  const query = new URLSearchParams({ room });
  if (myName) query.set('name', myName);
  if (token) query.set('access_token', token);
  if (lastId) query.set('last_event_id', lastId);
  else query.set('history', HISTORY);
  stream = new EventSource(`events?${query}`);
  stream.onerror = onStreamError;
  const on = (name, take) => stream.addEventListener(name, (event) => {
    lastSeen = Date.now();
    lastId = event.lastEventId || lastId;
    take(event);
  });
  on('message', (event) => receive(itemOf(event.lastEventId, event.data)));
  on('ready', (event) => onReady(JSON.parse(event.data)));
  on('presence', (event) => showPeople(JSON.parse(event.data)));
  on('heartbeat', () => {});
  on('gap', (event) => {
    const { reason } = JSON.parse(event.data);
    note(`Some messages are no longer held: ${GAP_WORDS[reason] ?? reason}.`);
  });
  on('busy', (event) => {
    const { reason } = JSON.parse(event.data);
    busy = `${BUSY_WORDS[reason] ?? 'The server is busy.'} Trying again in a moment.`;
    showState('busy', busy);
  });
}

// The replay is over, what follows is live.
function onReady({ rooms, heartbeat }) {
  heartbeatMs = heartbeat * 1000;
  busy = '';
  refusals = 0;
  showState('connected');
  showOnline(rooms.find((entry) => entry.room === room)?.online);
  settleAccepted();
  wakeOutbox();
  loadRooms();
  if (everReady) return;
  everReady = true;
  $.log.ariaBusy = 'false';
  $.empty.hidden = !!($.log.firstElementChild || $.outbox.firstElementChild);
  // Is there anything before what we show? One small question saves a button that leads nowhere.
  oldest ||= lastId;
  getJson(`messages?${new URLSearchParams({ room, before: oldest, limit: 1 })}`)
    .then((page) => { $.earlier.hidden = !page.messages.length; }, () => {});
}

// An EventSource that lost its connection tries again by itself, after the `retry:` the server
// gave. Any answer but 200 closes it for good, also the 502 of a proxy whose server restarts. Then
// it is upon the page to go on.
async function onStreamError() {
  breaks += 1;
  showOnline();
  if (stream.readyState !== EventSource.CLOSED) {
    if (busy) showState('busy', busy);
    else if (everReady) showState('reconnecting', 'The connection was lost. Reconnecting…', true);
    else showState('connecting', 'The server does not answer. Trying again…', true);
    return;
  }
  const failed = stream;
  refusals += 1;
  showState('closed', 'The server refused the stream.', true);
  const { detail, limitMs, status } = await whyRefused(failed.url);
  if (failed !== stream) return;   // somebody pressed the button meanwhile
  if (status === 401 || (status === 403 && claims.exp)) askToken(detail);
  const ms = backoffMs(refusals, limitMs);
  const seconds = plural(Math.ceil(ms / 1000), 'second', 'seconds');
  showState('closed', `${detail} Trying again in ${seconds}.`, true);
  retryTimer = setTimeout(connect, ms);
}

// An EventSource does not tell what it was answered. So the page asks once more by itself. A 4xx will
// hardly mend itself: then it asks ever more rarely. If the stream is there now, it need not wait.
async function whyRefused(url) {
  const abort = new AbortController();
  try {
    const answer = await fetch(url, { signal: abort.signal });
    const type = answer.headers.get('Content-Type') ?? '';
    if (type.startsWith('text/event-stream')) return { detail: 'It is back.', limitMs: 1000 };
    if (answer.ok) return { detail: 'What answered was no event stream.', limitMs: 30_000 };
    const final = answer.status < 500 && answer.status !== 429;
    const detail = `The server refused: ${await problemOf(answer)}`;
    return { detail, limitMs: final ? 300_000 : 30_000, status: answer.status };
  } catch {
    return { detail: 'The server does not answer.', limitMs: 30_000 };
  } finally {
    abort.abort();
  }
}

$.retry.addEventListener('click', () => {
  showState(everReady ? 'reconnecting' : 'connecting', 'Trying…');
  connect();
});

// After the sleep of a laptop a dead connection can look open for many minutes. The server promises
// a heartbeat; when it stays away, the page reconnects by hand. It may be slow to reconnect, but
// must not hang there either: `busy` asks for up to 30 seconds of patience, so it gets more.
function watch() {
  if (document.hidden || !stream) return;
  const silentMs = Date.now() - lastSeen;
  const open = stream.readyState === EventSource.OPEN;
  if (stream.readyState === EventSource.CLOSED) return;   // a timer is on its way
  if (open ? !heartbeatMs || silentMs < 2.5 * heartbeatMs : silentMs < 60_000) return;
  showState('reconnecting', 'The connection went silent. Reconnecting…');
  connect();
}

setInterval(watch, 2000);

document.addEventListener('visibilitychange', () => {
  if (document.hidden) return;
  unread = 0;
  showTitle();
  watch();
});

window.addEventListener('online', () => {
  if ($.status.dataset.state !== 'connected' && !busy) connect();
  wakeOutbox();
});

// A page that is left may be kept by the browser to come back to. It must not hold its connection
// meanwhile, and goes on from its last id when it returns.
window.addEventListener('pagehide', () => {
  clearTimeout(retryTimer);
  stream?.close();
});

window.addEventListener('pageshow', (event) => { if (event.persisted) connect(); });

// ---- The outbox: what was written and is not in the conversation yet ----
// An entry is { key, body, state, node }. Its state is `waiting` until the server has answered,
// then `accepted` until it comes back in the stream, or `refused` until the writer takes it back.
// `body` never changes: a repeated POST has to be the same one, under the same key.

let outbox = [];
let sending = false;
let wakeOutbox = () => {};

function post(text) {
  // crypto.randomUUID exists on https only. This works everywhere.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const key = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  enqueue({ key, body: { room, name: myName, message: text } });
}

function enqueue(entry) {
  entry.state = 'waiting';
  // A message written in another room before the page was reloaded is sent, but not shown here.
  const { name, message } = entry.body;
  entry.node = draw({ name, message, time: new Date().toISOString() }, true);
  entry.status = make('p', 'delivery');
  entry.node.append(entry.status);
  entry.node.classList.add('pending');
  entry.node.dataset.key = entry.key;
  if (entry.body.room === room) {
    $.empty.hidden = true;
    $.outbox.append(entry.node);
    toBottom();
  }
  outbox.push(entry);
  showDelivery(entry, 'Sending…');
  keepOutbox();
  sendAll();
}

function showDelivery(entry, ...children) {
  entry.node.dataset.state = entry.state;
  entry.status.replaceChildren(...children);
}

// What waits survives a reload, and is then sent with its old key: it cannot come out twice.
function keepOutbox() {
  const waiting = outbox.filter((entry) => entry.state === 'waiting')
    .map(({ key, body }) => ({ key, body }));
  remember('sessionStorage', 'outbox', JSON.stringify(waiting));
}

function drop(entry) {
  outbox = outbox.filter((other) => other !== entry);
  entry.node.remove();
  keepOutbox();
}

// One at a time, so that messages arrive in the order in which they were written.
async function sendAll() {
  if (sending) return;
  sending = true;
  let failures = 0;
  for (let entry; (entry = outbox.find((other) => other.state === 'waiting'));) {
    const askedMs = await attempt(entry);
    if (entry.state !== 'waiting' || !outbox.includes(entry)) {
      failures = 0;
      continue;
    }
    showDelivery(entry, 'Not sent yet. Trying again…');
    await pause(askedMs, backoffMs(failures, 30_000));
    failures += 1;
  }
  sending = false;
}

// Posts an entry once. Returns how long the server wants us to wait, if it said so.
async function attempt(entry) {
  try {
    const answer = await fetch('messages', {
      method: 'POST',
      headers: withToken({ 'Content-Type': 'application/json', 'Idempotency-Key': entry.key }),
      body: JSON.stringify(entry.body),
      keepalive: true,   // goes out also when the page is left at this moment
      signal: AbortSignal.timeout(POST_TIMEOUT_MS),
    });
    if (answer.ok) {
      accepted(entry, await answer.json());
    } else if (answer.status === 401) {
      askToken(await problemOf(answer));
    } else if (answer.status < 500 && ![408, 425, 429].includes(answer.status)) {
      refused(entry, await problemOf(answer));
    }
    return 1000 * Number(answer.headers.get('Retry-After')) || 0;
  } catch {
    return 0;   // no connection, or half an answer: it may have arrived, so the same again
  }
}

// A wait that the server asked for is kept. One of our own ends early when the connection is back.
function pause(askedMs, ownMs) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, askedMs || ownMs);
    if (!askedMs) wakeOutbox = () => { clearTimeout(timer); resolve(); };
  });
}

function accepted(entry, { id }) {
  if (!outbox.includes(entry)) return;   // it came by the stream before
  entry.state = 'accepted';
  entry.id = id;
  entry.breaks = breaks;
  if (shown.has(id) || entry.body.room !== room) drop(entry);
  else showDelivery(entry);
  keepOutbox();
}

function refused(entry, detail) {
  entry.state = 'refused';
  keepOutbox();
  const back = button('Take the text back', () => {
    $.text.value = [entry.body.message, $.text.value].filter(Boolean).join('\n');
    drop(entry);
    onInput();
    $.text.focus();
  });
  const words = make('span', '', `Not sent. ${detail} `);
  words.role = 'alert';
  showDelivery(entry, words, back);
}

// A message came by the stream. If it is one of ours, it leaves the outbox. True if it is.
function settle(item) {
  const entry = outbox.find((other) => other.body.room === room
    && (other.id === item.id || (item.key && other.key === item.key)));
  if (!entry) return false;
  drop(entry);
  wakeOutbox();
  return true;
}

// What was accepted before the stream broke is replayed by the next one, before its `ready`. If it
// was not, it is lost to a gap, and takes its place now.
function settleAccepted() {
  for (const { id, body, node } of outbox.filter((entry) => entry.id && entry.breaks !== breaks)) {
    receive({ ...body, id, time: node.querySelector('time').dateTime });
  }
}

// ---- People and rooms ----

function showOnline(count) {
  $.online.textContent = count === undefined ? '' : `${count} online`;
}

function showPeople({ online, names }) {
  showOnline(online);
  $.people.replaceChildren(...names.map((name) => {
    const entry = make('li', isMine(name) ? 'me' : '', make('span', 'clip', name));
    entry.firstChild.dir = 'auto';
    return entry;
  }));
  if (names.length === 100) $.people.append(make('li', 'rest', 'and more'));
  if (!names.length) $.people.append(make('li', 'rest', 'Nobody with a name'));
}

async function loadRooms() {
  const { rooms } = await getJson('rooms').catch(() => ({ rooms: [] }));
  if (!rooms.some((entry) => entry.room === room)) rooms.push({ room });   // an unlisted one
  rooms.sort((a, b) => a.room.localeCompare(b.room));
  $.rooms.replaceChildren(...rooms.map((entry) => {
    const link = make('a', '', make('span', 'clip', entry.room));
    link.href = `?${new URLSearchParams({ room: entry.room })}`;
    if (entry.room === room) link.ariaCurrent = 'page';
    if (entry.online && entry.room !== room) {   // for this room the head line has it
      const count = make('span', 'count', String(entry.online));
      count.title = `${entry.online} online`;
      link.append(count);
    }
    return make('li', '', link);
  }));
}

setInterval(() => { if (!document.hidden) loadRooms(); }, 60_000);

// ---- Writing ----

function onInput() {
  const text = $.text.value;
  $.grow.dataset.text = text;
  const count = characters(printable(text));
  const over = count > MESSAGE_MAX;
  $.count.textContent = count > MESSAGE_MAX - 400 ? `${count} of ${MESSAGE_MAX} characters` : '';
  $.count.classList.toggle('over', over);
  $.send.disabled = over || !text.trim();
}

$.text.addEventListener('input', onInput);

// Enter sends, but not while it only confirms a word of an input method. Safari tells that by the
// key code alone.
$.text.addEventListener('keydown', (event) => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  event.preventDefault();
  $.composer.requestSubmit();
});

$.composer.addEventListener('submit', (event) => {
  event.preventDefault();
  const text = printable($.text.value);
  if (!text.trim() || characters(text) > MESSAGE_MAX) return;
  if (!myName) {
    askName();
    return;
  }
  post(text);
  $.text.value = '';
  onInput();
  $.text.focus();
});

// ---- The start ----

$.title.textContent = room;
$.text.placeholder = `Message to ${room}`;
showTitle();
showName();
onInput();
loadRooms();
$.app.hidden = false;
connect();
for (const entry of JSON.parse(recall('sessionStorage', 'outbox') || '[]')) enqueue(entry);
if (!myName && !$.asking.open) askName();
else if (matchMedia('(pointer: fine)').matches) $.text.focus();   // no keyboard over a phone's page
