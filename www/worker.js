// One stream and one outbox for all tabs: a SharedWorker, or imported into the page. A tab can say
// `hello` at any time, since nothing is done twice; a later one gets the state.

import { createOutbox } from './outbox.js';
import { createStream } from './stream.js';

const BATCH_MS = 10;
const BATCH_MAX = 200;

const ports = new Set();
let token;
let stream = null;
let outbox = null;
let state = null;
let ready = null;
let presence = new Map();

// Hidden pages have slow timers: a frame that comes alone goes out at once.
let batch = [];
let lastFlush = 0;
let timer = 0;

function say(kind, value) {
  batch.push([kind, value]);
  if (Date.now() - lastFlush >= BATCH_MS || batch.length === BATCH_MAX) flush();
  else timer ||= setTimeout(flush, BATCH_MS);
}

function flush() {
  clearTimeout(timer);
  timer = 0;
  lastFlush = Date.now();
  const frames = batch;
  batch = [];
  for (const port of ports) port.postMessage(frames);
}

function forget() {
  state = null;
  ready = null;
  presence = new Map();
}

function start(hello) {
  stream?.close();
  outbox?.close();
  ({ token } = hello);
  forget();
  const told = (kind) => (value) => { if (token === hello.token) say(kind, value); };
  const mine = createOutbox({
    token, onChange: told('outbox'), onSent: told('sent'), on401: told('unauthorized'),
  });
  outbox = mine;
  stream = createStream({
    token,
    rooms: hello.rooms,
    name: hello.name,
    events: hello.events,
    // `sent` first: so each tab knows the item as the user's own.
    onItem(item) {
      if (item.key) mine.settle(item.key, item.id, item.time);
      say('item', item);
    },
    onGap: told('gap'),
    onPresence(people) {
      presence.set(people.room, people);
      say('presence', people);
    },
    onReady(now) {
      ready = now;
      presence = new Map();
      say('ready', now);
    },
    onState(now) {
      state = now;
      say('state', now);
      if (now.status === 401) say('unauthorized', now.detail);
      if (now.state === 'connected') mine.wake();
    },
    onRoomsRefused: told('roomsRefused'),
  });
}

function accept(port, entry) {
  const known = outbox.send(entry, entry);
  if (known.state === 'sent') port.postMessage([['sent', known]]);
}

const ASKED = new Map(Object.entries({
  hello(port, hello) {
    flush();
    if (token !== hello.token) start(hello);
    ports.add(port);
    const frames = [['outbox', outbox.entries()]];
    if (state) frames.push(['state', state]);
    if (state?.status === 401) frames.push(['unauthorized', state.detail]);
    if (ready) frames.push(['ready', ready]);
    for (const people of presence.values()) frames.push(['presence', people]);
    port.postMessage(frames);
    stream.setName(hello.name);
    stream.setRooms(hello.rooms);
    hello.events.forEach(stream.listen);
    stream.setOnline(hello.online);
    stream.open();
    for (const entry of hello.entries) accept(port, entry);
  },
  // A page in the browser's cache must not occupy a connection.
  bye(port) {
    ports.delete(port);
    if (ports.size) return;
    stream?.close();
    forget();
  },
  send: accept,
  again: (port, key) => outbox.retry(key),
  drop(port, key) {
    outbox.drop(key);
    say('dropped', { key });
  },
  name: (port, name) => stream.setName(name),
  rooms: (port, rooms) => stream.setRooms(rooms),
  listen: (port, events) => events.forEach(stream.listen),
  retry() {
    stream.retry();
    outbox.wake();
  },
  online(port, online) {
    stream.setOnline(online);
    if (online) outbox.wake();
  },
  look(port) {
    stream.look();
    port.postMessage([['here']]);
  },
}));

export function attach(port) {
  const bye = () => ASKED.get('bye')(port);
  port.onmessage = ({ data: [kind, value] }) => {
    if (kind === 'hello' || stream) ASKED.get(kind)?.(port, value);
  };
  port.addEventListener('close', bye);   // newer browsers report a tab that has crashed
  return bye;
}

if (typeof SharedWorkerGlobalScope !== 'undefined') {
  self.onconnect = ({ ports: [port] }) => { attach(port); };
}
