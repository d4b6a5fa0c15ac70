// The chat page of ssechat: wires the modules together. See docs/page.md.
//
//   composer ─► net ─► outbox ─► POST         (in a worker, for all tabs)
//               net ◄─ stream ◄─ EventSource
//                └─► conversations ─► log

import { createApi, createSession } from './api.js';
import { createComposer, createSending } from './composer.js';
import { createConversations } from './conversations.js';
import { createLog } from './log.js';
import { createNet } from './net.js';
import { createNotifier, createStatus } from './notify.js';
import { pieces } from './render.js';
import { copiesLink, createPeople, createRooms, hrefOf, roomOfAddress } from './rooms.js';
import { createStore, nameTab } from './store.js';
import { t, translate, whyText } from './words.js';

const BEAT_MS = 3000;
const ROOMS_MS = 60_000;
const COUNTS_MS = 100;

const $ = Object.fromEntries([...document.querySelectorAll('[id]')].map((e) => [e.id, e]));

translate(document);

const { tab, lastTab } = nameTab();
const session = createSession({ $, onToken });
const signedName = session.name();
const firstRoom = session.room() || 'lobby';
const api = createApi(session.token);
const store = createStore({
  getStorage: () => localStorage, tab,
  scope: `ssechat ${new URL('.', location).pathname} ${encodeURIComponent(signedName)} `,
});

function onToken() {
  if (session.name() === signedName && session.allows(room)) {
    net.setToken(session.token(), store.waiting());
    return;
  }
  if (!session.allows(room)) history.replaceState(null, '', location.pathname);
  location.reload();
}

let room = roomOfAddress(firstRoom);
const shown = () => conversations.of(room);
const isReading = (conversation) => conversation === shown() && !document.hidden && log.pinned();

const log = createLog({
  $, onRead, onTop: loadOlder, sending: () => sending,
  contextOf: (item) => ({
    own: store.isMine(item.id), hidden: !!item.name && store.isHidden(item.name),
    me: composer.name(), names: people.names(),
  }),
});

const conversations = createConversations({
  api, store, isReading, shown,
  on: {
    inserted: log.inserted,
    prepended: log.prepended,
    loaded: log.loaded,
    page(events) { net.listen(events); drawCounts(); },
    unread(item) {
      if (item.message.includes('@')
        && pieces(item.message, { me: composer.name() }).some(({ mine }) => mine)) notifier.mention(item);
    },
  },
});

function onRooms(joined, left) {
  left.forEach(conversations.forget);
  if (left.includes(room)) {
    show(joined[0] ?? firstRoom);
    history.replaceState(null, '', hrefOf(room));   // Back must not lead there again
  }
  net.setRooms(joined);
  drawCounts();
}

function show(next) {
  room = next;
  $.title.textContent = room;
  composer.show(room);
  log.show(shown());
  showOlder();
  sending.show();
  conversations.load(shown());
  drawCounts();
  people.draw();
}

function follow() {
  const next = roomOfAddress(firstRoom);
  if ($.main.inert) $.side.hidePopover();   // older browsers lack :popover-open
  if (next === room || location.hash.startsWith('#token=')) return;
  stopReading();
  if (rooms.join(next)) show(next);
  else history.replaceState(null, '', hrefOf(room));
}
window.addEventListener('hashchange', follow);

let loadingOlder = null;       // the button is not disabled, which would take its focus away

async function loadOlder() {
  const mine = shown();
  if (loadingOlder === mine) return;
  loadingOlder = mine;
  const failure = await conversations.loadOlder(mine).catch((error) => error);
  if (loadingOlder === mine) showOlder(failure);
}

function showOlder(failure) {
  loadingOlder = null;
  $.older.textContent = t('older') + (failure ? ` · ${whyText(failure)}` : '');
}

$.older.addEventListener('click', loadOlder);
$.newer.addEventListener('click', () => { log.toEnd(); $.text.focus(); });

let countsTimer = 0;

function drawCounts() {
  countsTimer ||= setTimeout(() => {
    countsTimer = 0;
    if (isReading(shown())) conversations.mark(shown());
    notifier.setUnread(conversations.allUnread(), room);
    log.showButtons();
    rooms.draw();
    people.draw();
  }, COUNTS_MS);
}

// The mark is in localStorage, which is slow: in a burst not each frame writes it.
function onRead() {
  if (!isReading(shown())) return;
  shown().state.unread = 0;
  drawCounts();
}

function stopReading() {
  if (shown().state.unread) return;
  log.clearUnread();
  if (log.pinned()) conversations.mark(shown());
}

document.addEventListener('visibilitychange', () => {
  if (document.hidden) stopReading();
  else { onRead(); loadRooms(); }
});

const composer = createComposer({
  $, store, signedName,
  onSend(text, name) { stopReading(); sending.send(text, name); },
  onName(name) { net.setName(name); people.draw(); log.redraw(); },
  lastOwn: () => sending.last()
    ?? shown().items.findLast((item) => store.isMine(item.id))?.message,
});

const sending = createSending({
  store, log, net: () => net, room: () => room,
  onSent: conversations.takeOwn, onEdit: composer.add,
});

const people = createPeople({
  $, store, current: () => room, me: composer.name,
  authors: () => shown().items.slice(-200).map((item) => item.name).filter(Boolean),
  onMention: (name) => composer.add(`@${name} `),
  onHide(name, hide) { store.setHidden(name, hide); log.redraw(); },
});

const rooms = createRooms({
  $, api, store, current: () => room, unread: conversations.unread, onRooms, onLink: follow,
});

const notifier = createNotifier({
  get: store.get, set: store.set, onChange: showNotifications,
  onOpen: (item) => { location.hash = hrefOf(item.room); },
});

function showNotifications() {
  $.notifications.hidden = !notifier.supported;
  $.notifications.setAttribute('aria-pressed', notifier.enabled);
  $['notify-hint'].textContent = notifier.blocked ? t('notifyBlocked') : '';
}

const loadRooms = async () => conversations.loadUnread(await rooms.load());

if (!store.join(room)) [room] = store.rooms();
const net = createNet({
  token: session.token(), name: composer.name(), rooms: store.rooms(),
  entries: [...store.waiting(), ...store.adopt(lastTab)],
  refresh() {
    composer.changed('name');
    store.join(room);
    store.rooms().forEach(conversations.readElsewhere);
    return { name: composer.name(), rooms: store.rooms() };
  },
}, {
  hello: conversations.miss,
  items(items) {
    const joined = new Set([undefined, ...store.rooms()]);
    conversations.take(items.filter((item) => joined.has(item.room)));
    conversations.trim();
    conversations.load(shown());
    drawCounts();
  },
  gap: conversations.takeGap,
  presence: people.show,
  ready(ready) {
    conversations.ready(ready.rooms.map((entry) => entry.room));
    conversations.load(shown());
    loadRooms();
  },
  state: createStatus({ $, onRetry: () => net.retry() }),
  outbox: sending.update,
  sent: sending.sent,
  unauthorized: session.ask,
  roomsRefused: (refusal) =>
    rooms.leave(refusal.rooms, `${refusal.rooms.join(', ')}: ${whyText(refusal)}`),
});

window.addEventListener('storage', (event) => {
  const key = store.changed(event.key);
  if (!key) return;
  composer.changed(key, event.oldValue);
  if (key === 'hidden') log.redraw();
  if (key === 'notifications') showNotifications();
  if (key === 'rooms') rooms.join(room);
  if (key.startsWith('read:')) conversations.readElsewhere(key.slice('read:'.length));
  drawCounts();
});

setInterval(() => {
  if (store.waiting().length) store.beat();
  for (const entry of store.adopt()) net.send(entry);
  if (sending.last()) sending.show();
}, BEAT_MS);
setInterval(() => { if (!document.hidden) loadRooms(); }, ROOMS_MS);

$.notifications.addEventListener('click', notifier.toggle);
for (const button of [$.invite, $.share]) copiesLink(button, () => room);
$.app.hidden = false;
show(room);
follow();
showNotifications();
session.start();
if (!matchMedia('(pointer: coarse)').matches) $.text.focus();   // a phone would show its keyboard
