// The chat page of ssechat. One module, no library, no build step.
//
// It shows how to use an event stream without losing or duplicating a message:
//   - It reads with EventSource, which reconnects by itself and sends the last id it saw.
//   - It writes with POST and an Idempotency-Key, and repeats the POST until it gets an answer. The
//     key makes that safe: a message whose answer was lost is not published twice.
//   - It recognizes its own message by that key when the stream brings it back.
// Text from other users only ever becomes text nodes. Nothing here makes HTML out of strings.
//
// A browser opens at most six HTTP/1.1 connections to a host, counted across all tabs, and each tab
// with this page uses one. With six such tabs, none is left for posting. A proxy that speaks HTTP/2
// to the browser lifts that limit.

const HISTORY = 50;            // messages to ask for at startup, and with each "load earlier"
const MESSAGE_MAX = 4096;      // characters; the server refuses longer ones
const NAME_MAX = 32;
const KEPT = 1000;             // messages kept on the page; see trim()
const GROUP_MS = 5 * 60_000;   // messages of one user this close together form a group
const POST_TIMEOUT_MS = 20_000;   // then the POST is repeated; the key makes that harmless

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

// A browser can have its storage switched off; each access then throws. The page works without it,
// but forgets the name, the token and waiting messages on each reload.
function recall(store, key) {
  try { return window[store].getItem(key); } catch { return null; }
}

function remember(store, key, value) {
  try { window[store].setItem(key, value); } catch { /* it is forgotten */ }
}

const plural = (n, one, many) => `${n} ${n === 1 ? one : many}`;

// The server counts code points, not the UTF-16 units of String.length.
const characters = (text) => [...text].length;

// Removes control characters, which the server refuses. Pasted text can contain them unseen, so the
// page removes them instead of refusing the message. Line separators become line ends.
function printable(text) {
  return text.replace(/\r\n?|[\u2028\u2029]/g, '\n')
    .replace(/[\0-\x08\x0b-\x1f\x7f-\x9f]/g, '');
}

// Also removes from a name or a room the invisible characters, among them all bidirectional
// controls: they can make two names look the same. Joiners, variation selectors and tags stay,
// because emoji need them; the server refuses them elsewhere.
const nameable = (text) => printable(text)
  .replace(/(?![\u200c\u200d\ufe00-\ufe0f\u{e0020}-\u{e01ef}])[\p{DI}\u2800]/gu, '');

// Exponential backoff with jitter: each failure doubles the wait, up to a limit. A random part
// keeps clients that failed together from retrying together.
function backoffMs(failures, limitMs) {
  return Math.min(limitMs, 1000 * 2 ** failures) * (0.75 + Math.random() / 2);
}

async function getJson(url) {
  const answer = await fetch(url, { headers: withToken() });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return answer.json();
}

// The server's errors are application/problem+json (RFC 9457), with a `detail` for the user; a
// proxy's are not.
async function problemOf(answer) {
  const problem = await answer.json().catch(() => null);
  return problem?.detail || `The server answered ${answer.status}.`;
}

// ---- The token: needed if the server was started with --key ----
//
// An application sends its user here with the token after a '#': /#token=eyJhbGciOi… A browser
// never sends that part of an address to a server. The page removes the token from the address at
// once, so that no copied link contains it, and keeps it only for this tab. Requests send it in a
// header field; only an EventSource, which cannot set header fields, has it in its URL.
//
// Anyone can make such a link, also with a token of their own. If the page took it without a word,
// the user would go on writing as that other user, perhaps to that user alone (login CSRF). So a
// link that would replace another token has to wait until the user has decided.

let token = '';
let claims = {};               // the contents of the token: { sub, rooms, publish, exp }
let offered = '';              // the token of a link, until the user has decided

// Reads the claims without checking the signature, which needs the key. They only decide what the
// page shows; what the user may do is the server's decision.
function claimsOf(text) {
  try {
    const bytes = atob(text.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
    const json = new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0)));
    return JSON.parse(json) ?? {};
  } catch {
    return {};   // not a token: the server will refuse it, and say why
  }
}

function useToken(text) {
  token = text;
  claims = claimsOf(text);
  remember('sessionStorage', 'token', token);
}

// Moves the token out of the address and the tab's history. Uses it and returns true if no other
// one is in use; an expired one is not. Otherwise it becomes `offered`; while the user decides on
// an earlier link, later ones are ignored, so that no question changes under the user's finger.
function takeToken() {
  const linked = new URLSearchParams(location.hash.slice(1)).get('token')?.trim();
  if (linked === undefined) return false;
  history.replaceState(null, '', location.pathname + location.search);
  if (!linked || linked === token || offered) return false;
  if (token && !(claims.exp * 1000 < Date.now())) {
    offered = linked;
    return false;
  }
  useToken(linked);
  return true;
}

const withToken = (fields = {}) =>
  (token ? { ...fields, Authorization: `Bearer ${token}` } : fields);

function askToken(why) {
  if ($.asking.open || offered) return;
  $.naming.close();
  $['asking-why'].textContent = why;
  $['token-error'].textContent = '';
  $.token.value = '';
  $.asking.showModal();
}

// Continues with a new token in an open page: reconnects, and keeps the conversation. If the token
// is for another user or room, the page is reloaded.
function goOn() {
  $.asking.close();
  if (room !== roomOf() || signedName() !== signedAs) {
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
    $['token-error'].textContent = 'A token is three long words separated by dots.';
    $.token.select();
    return;
  }
  $.token.value = '';
  useToken(text);
  goOn();
});

// Asks whether to use the token of the link. Until then, the page goes on with the one it has.
function askSwitch() {
  const as = ({ sub }) => (typeof sub !== 'string' ? ['without a name']
    : ['as ', make('bdi', '', [...cleanName(sub)].slice(0, NAME_MAX).join(''))]);
  $.naming.close();
  $.asking.close();
  $['switching-why'].replaceChildren('You are signed in ', ...as(claims),
    '. The link would sign you in ', ...as(claimsOf(offered)), '.');
  $.switching.returnValue = '';
  $.switching.showModal();
}

// The Escape key keeps the token, as the button does.
$.switching.addEventListener('close', () => {
  const linked = offered;
  offered = '';
  if ($.switching.returnValue === 'switch') {
    useToken(linked);
    goOn();
    return;
  }
  if ($.status.dataset.state === 'closed') connect();   // asks for a token if it is refused again
  if (!myName) askName();
});

window.addEventListener('hashchange', () => {
  if (takeToken()) goOn();
  else if (offered && !$.switching.open) askSwitch();
});

useToken(recall('sessionStorage', 'token') ?? '');
takeToken();

// ---- Who and where ----

// The room is in the page's address, so that it can be linked and bookmarked. Otherwise it is the
// first room that the token is valid for, or the lobby.
function roomOf() {
  const askedFor = new URLSearchParams(location.search).get('room')
    ?? [].concat(claims.rooms).find((name) => typeof name === 'string' && name !== '*') ?? '';
  return nameable(askedFor.split(/[,/]/)[0]).trim() || 'lobby';
}

const room = roomOf();

// A name in the token takes precedence. Otherwise the name is the one that was chosen last.
const cleanName = (text) => nameable(text ?? '').replace(/\s+/g, ' ').trim();
const signedName = () => (typeof claims.sub === 'string' ? claims.sub : '');
const signedAs = signedName();   // when the page was loaded
let myName = signedName() || cleanName(recall('localStorage', 'name'));
if (characters(myName) > NAME_MAX) myName = '';

// Messages from before a reload can be recognized as our own only by the name, so those of another
// user with the same name are drawn as our own too.
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
  connect();   // the name is a parameter of the stream, and part of the presence
});

$['just-read'].addEventListener('click', () => $.naming.close());
$.rename.addEventListener('click', askName);

// ---- Drawing a message ----

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const fullTime = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const dayName = new Intl.DateTimeFormat(undefined,
  { weekday: 'long', day: 'numeric', month: 'long' });

// Splits a text into text nodes and links; the links are its http and https addresses. No other
// scheme becomes a link: a javascript: address could run a script in this page.
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

// Returns one of six quiet colours, chosen by a hash of the name, so it is the same in each tab.
function hueOf(name) {
  let sum = 0;
  for (const character of name) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return sum % 6;
}

function bubble(text) {
  const element = make('div', 'bubble', ...textNodes(text.replace(/\r\n?|[\u2028\u2029]/g, '\n')));
  element.dir = 'auto';   // right to left if the text's first letter is
  return element;
}

// Draws { id, name, message, time }, or { id, text } for an event that is not a chat message. The
// time can be missing or nonsense, because any client can post such data; it is then left out.
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

// Compares a message with the one above it, and marks it if it begins a day or continues a group.
// The style sheet draws both, so inserting or removing messages changes at most the one below them.
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

const shown = new Set();       // ids on the page; a message that arrives again is skipped
let oldest = '';               // "load earlier" asks for messages before this id
let pinned = true;             // the reader is at the bottom, and the page stays there
let lastTop = 0;               // the scroll position at the last scroll event
let below = 0;                 // messages that arrived below the visible part
let unread = 0;                // messages that arrived while the page was hidden

// A scroller at the bottom stays there, whatever changes a height: a message, the notice, or
// the keyboard of a phone.
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

// Only a scroll upwards ends `pinned`. The bottom also moves away when a message arrives, but then
// the reader has not moved.
$.scroller.addEventListener('scroll', () => {
  const { scrollTop, scrollHeight, clientHeight } = $.scroller;
  if (scrollHeight - clientHeight - scrollTop < 40) atBottom();
  else if (scrollTop < lastTop) pinned = false;
  lastTop = scrollTop;
}, { passive: true });

$.newer.addEventListener('click', () => { toBottom(); $.text.focus(); });

// Changes something above the visible part, which stays in place: its distance from the bottom is
// kept. (style.css turns the browser's scroll anchoring off, because not all browsers have it.)
function keepingPlace(change) {
  const fromBottom = $.scroller.scrollHeight - $.scroller.scrollTop;
  change();
  $.scroller.scrollTop = $.scroller.scrollHeight - (pinned ? 0 : fromBottom);
  lastTop = $.scroller.scrollTop;
}

// Removes the oldest messages, so that the page does not grow forever. While the reader is further
// up, the limit is twice as high, so that the messages being read stay longer. At least fifty are
// removed at a time, because each removal makes the browser measure the whole page.
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

// Shows a message from the stream. If it is our own, `settle` removes it from the outbox. A message
// that is already on the page is skipped.
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

// Adds a line to the conversation that comes from the page, not from a user.
function note(text) {
  append(make('p', 'note', make('span', '', text)));
}

// Loads earlier messages, which come as JSON, and inserts them above. If a page of the history
// contains nothing that is shown here, the page before it is loaded at once, because otherwise the
// button would seem to do nothing.
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
    $.earlier.textContent = 'Loading failed. Try again';
  }
  $.log.ariaBusy = 'false';
  $.earlier.disabled = false;
}

// Makes an item from the data of a default event. Clients may post any data as a default event; if
// it is not a chat message, the page shows it as plain text.
function itemOf(id, data) {
  try {
    const item = JSON.parse(data);
    if (typeof item.message === 'string' && typeof item.name === 'string') return { ...item, id };
  } catch { /* not JSON: shown as text */ }
  return { id, text: data };
}

// Makes an item from an entry of the history. Returns null for events with a name, because the page
// does not listen for them in the stream either.
function fromHistory(entry) {
  if (typeof entry.message === 'string') return entry;
  if (entry.event && entry.event !== 'message') return null;
  return itemOf(entry.id, typeof entry.data === 'string' ? entry.data : JSON.stringify(entry.data));
}

$.earlier.addEventListener('click', loadEarlier);

// ---- The stream ----

let stream = null;             // the EventSource
let lastId = '';               // EventSource keeps its own; this one is for a new EventSource
let everReady = false;         // from the first `ready` on, messages that arrive are new
let heartbeatMs = 15_000;      // until `ready` gives the server's interval
let lastSeen = Date.now();     // when the stream was opened or last brought an event
let busy = '';                 // why the server could not accept this stream; empty if it could
let breaks = 0;                // how often the stream broke or was replaced
let refusals = 0;              // errors since the last `ready`: the backoff grows with them
let retryTimer = 0;            // runs while the stream is closed

const GAP_WORDS = {
  expired: 'they are older than the history this server keeps',
  restarted: 'the server was restarted',
  unknown: 'the server does not know where you left off',
};

const BUSY_WORDS = {
  full: 'The server is full at the moment.',
  address: 'Too many connections come from your address. Close some tabs of this chat.',
  rooms: 'The server cannot open another room at the moment.',
  starting: 'The server is starting.',
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

// Opens a stream, and closes the one before it. The first stream asks for the latest messages, a
// later one for all messages after the last id seen. The server ignores `history` if there is an
// id, so the URL then omits it. A new EventSource does not know the id of the one before it and
// cannot set a header, so the id is in the URL; when this EventSource reconnects, its newer id
// overrides the one in the URL.
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
    note(`Some messages are lost: ${GAP_WORDS[reason] ?? reason}.`);
  });
  on('busy', (event) => {
    const { reason } = JSON.parse(event.data);
    busy = `${BUSY_WORDS[reason] ?? 'The server is busy.'} Trying again in a moment.`;
    showState('busy', busy);
  });
}

// Handles the end of the replay: the messages that follow are live, and everything that failed
// during an outage is now likely to work again.
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
  // Asks whether there are earlier messages: one small request avoids a button that does nothing.
  oldest ||= lastId;
  getJson(`messages?${new URLSearchParams({ room, before: oldest, limit: 1 })}`)
    .then((page) => { $.earlier.hidden = !page.messages.length; }, () => {});
}

// An EventSource that loses its connection tries again by itself, after the time in the server's
// `retry:`. Any answer other than a 200 with an event stream closes it for good (HTML Standard,
// 9.2), even the 502 of a proxy whose server is restarting. The page then opens a new one.
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
  if (failed !== stream) return;   // "Try now" or a new token has opened another stream
  if (status === 401 || (status === 403 && claims.exp)) askToken(detail);
  const ms = backoffMs(refusals, limitMs);
  const seconds = plural(Math.ceil(ms / 1000), 'second', 'seconds');
  showState('closed', `${detail} Trying again in ${seconds}.`, true);
  retryTimer = setTimeout(connect, ms);
}

// Finds out why a stream was refused. An EventSource does not reveal the status or the body of an
// error, so this sends the same request with fetch. A 4xx rarely resolves itself, so its backoff
// may grow to five minutes. If the answer is a stream now, the page reconnects after about a
// second. The request is always aborted, because an unread stream would stay open.
async function whyRefused(url) {
  const abort = new AbortController();
  try {
    const answer = await fetch(url, { signal: abort.signal });
    const type = answer.headers.get('Content-Type') ?? '';
    if (type.startsWith('text/event-stream')) {
      return { detail: 'The server is back.', limitMs: 1000 };
    }
    if (answer.ok) return { detail: 'The answer was not an event stream.', limitMs: 30_000 };
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

// Replaces a stream that is silent. After a laptop has slept, a dead connection can look open for
// many minutes, because a peer that only reads never notices. The server promises a heartbeat; if
// none comes for two and a half intervals, the page opens a new stream. An EventSource that is
// reconnecting gets 60 seconds, because `busy` can ask it to wait for up to 30.
function watch() {
  if (document.hidden || !stream) return;
  const silentMs = Date.now() - lastSeen;
  const open = stream.readyState === EventSource.OPEN;
  if (stream.readyState === EventSource.CLOSED) return;   // retryTimer is running
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

// When the user leaves the page, the browser may keep it in the back/forward cache. It must not
// occupy one of the six connections there. When the user returns, it resumes from its last id.
window.addEventListener('pagehide', () => {
  clearTimeout(retryTimer);
  stream?.close();
});

window.addEventListener('pageshow', (event) => { if (event.persisted) connect(); });

// ---- The outbox: messages that are not in the conversation yet ----
//
//   post() ──► waiting ──201──► accepted ──the stream sends it───► the conversation
//               │   │                                                   ▲
//               │   └────────────── the stream sends it first ──────────┘
//               └──4xx──► refused ──"Take the text back"──► the text box
//
// An entry is { key, by, body, state, node }. `body` never changes, because a repeated POST must
// have the same body with the same key; the server answers 422 to a different body. `by` is the
// signed name at the time of writing: a message must not go out under the token of another user.

let outbox = [];
let sending = false;
let wakeOutbox = () => {};

function post(text) {
  // crypto.randomUUID exists only on https and localhost. This works everywhere.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const key = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  enqueue({ key, by: token ? signedName() : undefined, body: { room, name: myName, message: text } });
}

function enqueue(entry) {
  entry.state = 'waiting';
  // After a change of rooms, messages for the old room can be in the outbox: sent, but not shown.
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

// Keeps waiting messages across a reload. They are sent with their old keys, so a message that the
// server already has is not published twice.
function keepOutbox() {
  const waiting = outbox.filter((entry) => entry.state === 'waiting')
    .map(({ key, by, body }) => ({ key, by, body }));
  remember('sessionStorage', 'outbox', JSON.stringify(waiting));
}

function drop(entry) {
  outbox = outbox.filter((other) => other !== entry);
  entry.node.remove();
  keepOutbox();
}

// Sends one message at a time, so that messages arrive in the order in which they were written. The
// price: a message that waits for the server delays all messages after it.
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

// Posts an entry once. Returns the milliseconds that the server asks to wait (Retry-After), or 0.
// The entry keeps waiting after a 5xx and after a 4xx that can be temporary (401, 408, 425, 429);
// any other 4xx would be the same the next time.
async function attempt(entry) {
  if ((entry.by ?? signedName()) !== signedName()) {
    refused(entry, 'It was written by another user.');
    return 0;
  }
  try {
    const answer = await fetch('messages', {
      method: 'POST',
      headers: withToken({ 'Content-Type': 'application/json', 'Idempotency-Key': entry.key }),
      body: JSON.stringify(entry.body),
      keepalive: true,   // is sent even if the user leaves the page at this moment
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
    return 0;   // no connection, or half an answer: the message may have arrived anyway
  }
}

// Waits before the next attempt. A wait that the server asked for is never shortened; wakeOutbox()
// ends the page's own backoff early when the connection is back.
function pause(askedMs, ownMs) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, askedMs || ownMs);
    if (!askedMs) wakeOutbox = () => { clearTimeout(timer); resolve(); };
  });
}

function accepted(entry, { id }) {
  if (!outbox.includes(entry)) return;   // it is in the conversation already
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

// Removes from the outbox a message that arrived in the stream. Returns false if it was not there.
// The stream can be faster than the answer to the POST, so an equal key is enough.
function settle(item) {
  const entry = outbox.find((other) => other.body.room === room
    && (other.id === item.id || (item.key && other.key === item.key)));
  if (!entry) return false;
  drop(entry);
  wakeOutbox();
  return true;
}

// Shows accepted messages that fell into a gap. A message that was accepted before the stream broke
// comes in the replay of the next stream, before its `ready`, unless it fell into a gap.
function settleAccepted() {
  for (const { id, body, node } of outbox.filter((entry) => entry.id && entry.breaks !== breaks)) {
    receive({ ...body, id, time: node.querySelector('time').dateTime });
  }
}

// ---- People and rooms ----

// Shows how many are online, or nothing if the stream is down, because an old count could be wrong.
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
  if (!names.length) $.people.append(make('li', 'rest', 'No one has given a name'));
}

// Loads the list of rooms: at startup, at each `ready`, and once a minute while the page is
// visible, because no event reports rooms that come or go. If the request fails, the list contains
// only this room.
async function loadRooms() {
  const { rooms } = await getJson('rooms').catch(() => ({ rooms: [] }));
  if (!rooms.some((entry) => entry.room === room)) rooms.push({ room });   // an unlisted one
  rooms.sort((a, b) => a.room.localeCompare(b.room));
  $.rooms.replaceChildren(...rooms.map((entry) => {
    const link = make('a', '', make('span', 'clip', entry.room));
    link.href = `?${new URLSearchParams({ room: entry.room })}`;
    if (entry.room === room) link.ariaCurrent = 'page';
    if (entry.online && entry.room !== room) {   // the header shows this room's count
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

// Enter sends, unless it confirms a word in an input method (Japanese, Chinese, Korean). In Safari
// only the key code 229 shows that.
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
if (offered) askSwitch();
else if (!myName && !$.asking.open) askName();
else if (matchMedia('(pointer: fine)').matches) $.text.focus();   // a phone would show its keyboard
