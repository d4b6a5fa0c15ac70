// Unit tests of www/worker.js: tabs that come and go, and what each of them is told.
//
//   node --experimental-default-type=module --test test/page/worker.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeEventSource, makeFetch, settled } from './lib/fakes.mjs';

// The timers of a worker must not keep the tests running.
const { setTimeout: later } = globalThis;
globalThis.setTimeout = (run, ms) => later(run, ms).unref();

let count = 0;

// Starts a worker: the module in a state of its own, with an EventSource and a fetch to feed.
async function begin() {
  const sources = makeEventSource();
  const fetches = makeFetch();
  globalThis.EventSource = sources.EventSource;
  globalThis.fetch = fetches.fetch;
  count += 1;
  const { attach } = await import(`../../www/worker.js?${count}`);
  const tabs = [];

  // Joins a tab. `said` are the frames that it got; `batches` how many at a time.
  function join(hello = {}) {
    const said = [];
    const batches = [];
    const port = {
      postMessage(frames) {
        batches.push(frames.length);
        tab.last = Date.now();
        said.push(...structuredClone(frames));
      },
      addEventListener(event, run) { if (event === 'close') port.onclose = run; },
    };
    const bye = attach(port);
    const tab = {
      said,
      batches,
      bye,
      port,
      tell: (kind, value) => port.onmessage({ data: structuredClone([kind, value]) }),
      of: (kind) => said.filter(([other]) => other === kind).map(([, value]) => value),
      hello: (more) => tab.tell('hello', {
        token: '', name: '', rooms: ['lobby'], events: [], entries: [], online: true, ...hello, ...more }),
    };
    tab.hello();
    tabs.push(tab);
    return tab;
  }
  return { join, ...sources, fetches, close: () => tabs.forEach((tab) => tab.bye()) };
}

const soon = (ms = 30) => new Promise((resolve) => { later(resolve, ms); });
const chat = (id, more) => ({ id, room: 'lobby', name: 'bob', message: 'hi', time: 't', ...more });
const entry = (key, more) => ({ key, room: 'lobby', name: 'ann', message: key, at: 1, ...more });

test('ten tabs have one stream, and each gets what comes', async () => {
  const { join, all, latest, close } = await begin();
  const tabs = Array.from({ length: 10 }, () => join());
  assert.equal(all.length, 1);
  latest().ready('100-0');
  latest().give('message', chat('101-0'), '101-0');
  latest().give('gap', { room: 'lobby', after: '1-0', oldest: null, reason: 'expired' });
  latest().give('presence', { room: 'lobby', online: 1, names: [] });
  await soon();
  for (const tab of tabs) {
    assert.deepEqual(tab.of('item'), [chat('101-0')]);
    assert.equal(tab.of('gap').length, 1);
    assert.equal(tab.of('presence').length, 1);
    assert.equal(tab.of('ready').length, 1);
    assert.equal(tab.of('state').at(-1).state, 'connected');
  }
  close();
});

test('a tab that comes later is told the state, ready, presence and the outbox, in one message', async () => {
  const { join, latest, close } = await begin();
  const first = join({ rooms: ['a', 'b'] });
  latest().ready('100-0');
  latest().give('presence', { room: 'a', online: 1, names: ['x'] });
  latest().give('presence', { room: 'b', online: 2, names: [] });
  latest().give('presence', { room: 'a', online: 3, names: [] });
  first.tell('send', entry('k1'));
  await soon();
  const later = join({ rooms: ['a', 'b'] });
  assert.equal(later.batches[0], later.said.length);
  assert.deepEqual(later.of('outbox')[0].map(({ key, state }) => [key, state]), [['k1', 'sending']]);
  assert.equal(later.of('state')[0].state, 'connected');
  assert.equal(later.of('ready')[0].rooms.length, 2);
  assert.deepEqual(later.of('presence').map(({ room, online }) => [room, online]), [['a', 3], ['b', 2]]);
  close();
});

test('presence of a room that was left is forgotten', async () => {
  const { join, latest, close } = await begin();
  const first = join({ rooms: ['a', 'b'] });
  latest().ready('100-0');
  latest().give('presence', { room: 'b', online: 2, names: [] });
  first.tell('rooms', ['a']);
  latest().ready('100-0');
  assert.deepEqual(join({ rooms: ['a'] }).of('presence'), []);
  close();
});

test('the newest name and the newest list of rooms count, whichever tab sent them', async () => {
  const { join, latest, all, close } = await begin();
  const one = join({ name: 'ann' });
  const two = join({ name: 'ann', rooms: ['lobby', 'dev'] });
  assert.deepEqual(latest().query.getAll('room'), ['lobby', 'dev']);
  one.tell('name', 'eve');
  assert.equal(latest().query.get('name'), 'eve');
  two.tell('rooms', ['dev']);
  assert.deepEqual(latest().query.getAll('room'), ['dev']);
  two.hello({ name: 'eve', rooms: ['dev'] });
  assert.equal(all.length, 4);
  close();
});

test('names of events are heard, and added', async () => {
  const { join, latest, close } = await begin();
  const one = join({ events: ['news'] });
  join({ events: ['price'] });
  one.tell('listen', ['score']);
  latest().ready();
  for (const event of ['news', 'price', 'score']) latest().give(event, event, '101-0');
  await soon();
  assert.deepEqual(one.of('item').map((item) => item.data), ['news', 'price', 'score']);
  close();
});

test('a burst comes in few messages and in order; a single item comes at once', async () => {
  const { join, latest, close } = await begin();
  const tab = join();
  latest().ready('100-0');
  do await soon(); while (Date.now() - tab.last < 20);
  const before = tab.batches.length;
  latest().give('message', chat('101-0'), '101-0');
  assert.equal(tab.batches.length, before + 1);
  for (let i = 2; i <= 1000; i += 1) latest().give('message', chat(`101-${i}`), `101-${i}`);
  await soon();
  assert.ok(tab.batches.length - before < 50, `${tab.batches.length - before}`);
  assert.deepEqual(tab.of('item').map((item) => item.id),
    ['101-0', ...Array.from({ length: 999 }, (_, i) => `101-${i + 2}`)]);
  close();
});

test('messages of all tabs go out one by one, and all tabs are told', async () => {
  const { join, fetches, close } = await begin();
  const one = join();
  const two = join();
  one.tell('send', entry('k1'));
  two.tell('send', entry('k2'));
  assert.equal(fetches.requests.length, 1);
  await fetches.latest().answer(201, { id: '1-0', time: 't' });
  await fetches.latest().answer(201, { id: '2-0', time: 't' });
  await soon();
  for (const tab of [one, two]) {
    assert.deepEqual(tab.of('sent').map(({ key, id }) => [key, id]), [['k1', '1-0'], ['k2', '2-0']]);
    assert.deepEqual(tab.of('outbox').at(-1), []);
  }
  close();
});

test('an item with a key of ours is told as sent before it comes', async () => {
  const { join, latest, fetches, close } = await begin();
  const tab = join();
  latest().ready('100-0');
  tab.tell('send', entry('k1'));
  latest().give('message', chat('101-0', { key: 'strange' }), '101-0');
  latest().give('message', chat('102-0', { key: 'k1' }), '102-0');
  await fetches.latest().answer(201, { id: '102-0', time: 't' });
  await soon();
  const order = tab.said.filter(([kind]) => kind === 'sent' || kind === 'item')
    .map(([kind, { id }]) => `${kind} ${id}`);
  assert.deepEqual(order, ['item 101-0', 'sent 102-0', 'item 102-0']);
  close();
});

test('an entry handed over again is not posted again, and its tab is told', async () => {
  const { join, fetches, close } = await begin();
  join({ entries: [entry('k1')] });
  await fetches.latest().answer(201, { id: '1-0', time: 't' });
  const later = join({ entries: [entry('k1')] });
  assert.deepEqual(later.of('sent').map(({ key, id }) => [key, id]), [['k1', '1-0']]);
  later.tell('send', entry('k1'));
  assert.equal(later.of('sent').length, 2);
  assert.equal(fetches.requests.length, 1);
  close();
});

test('hello can be said again: it is answered, and nothing is done twice', async () => {
  const { join, all, fetches, close } = await begin();
  const tab = join({ entries: [entry('k1')] });
  const before = tab.batches.length;
  tab.hello();
  assert.ok(tab.batches.length > before);
  assert.equal(all.length, 1);
  assert.equal(fetches.requests.length, 1);
  close();
});

test('failed entries can be sent again and dropped, also by another tab', async () => {
  const { join, fetches, close } = await begin();
  const one = join({ entries: [entry('k1'), entry('k2', { state: 'failed', status: 413 })] });
  const two = join();
  await fetches.latest().answer(403, {});
  two.tell('again', 'k1');
  assert.equal(fetches.requests.length, 2);
  two.tell('drop', 'k2');
  await soon();
  assert.deepEqual(one.of('outbox').at(-1).map(({ key, state }) => [key, state]), [['k1', 'sending']]);
  assert.deepEqual(one.of('dropped'), [{ key: 'k2' }]);
  close();
});

test('a connection that is back ends the wait of the outbox', async () => {
  const { join, latest, fetches, close } = await begin();
  const tab = join();
  tab.tell('send', entry('k1'));
  await fetches.latest().fail();
  assert.equal(fetches.requests.length, 1);
  latest().ready('100-0');
  assert.equal(fetches.requests.length, 2);
  await fetches.latest().fail();
  tab.tell('retry');
  assert.equal(fetches.requests.length, 3);
  close();
});

test('a refused token is told by stream and outbox, also to later tabs; another one begins anew', async () => {
  const { join, latest, all, fetches, close } = await begin();
  const tab = join({ token: 'old', entries: [entry('k1')] });
  const post = fetches.latest();
  latest().refuse();
  await fetches.latest().answer(401, { detail: 'Expired.' });
  await post.answer(401, { detail: 'Expired.' });
  await soon();
  assert.deepEqual(tab.of('unauthorized'), ['Expired.', 'Expired.']);
  assert.deepEqual(join({ token: 'old' }).of('unauthorized'), ['Expired.']);
  tab.hello({ token: 'new', entries: [entry('k1')] });
  assert.equal(all.length, 2);
  assert.equal(latest().query.get('access_token'), 'new');
  assert.equal(fetches.latest().headers.Authorization, 'Bearer new');
  close();
});

test('what the outbox of another token still gets is not told', async () => {
  const { join, fetches, close } = await begin();
  const tab = join({ token: 'old', entries: [entry('k1')] });
  const post = fetches.latest();
  tab.hello({ token: 'new', entries: [] });
  const before = tab.said.length;
  await post.answer(401, { detail: 'Expired.' });
  await soon();
  assert.deepEqual(tab.said.slice(before).filter(([kind]) => kind === 'unauthorized' || kind === 'outbox'), []);
  close();
});

test('the stream is closed with the last tab, and resumed by the next', async () => {
  const { join, latest, all } = await begin();
  const one = join();
  const two = join();
  latest().ready('100-0');
  one.bye();
  assert.equal(all[0].closed, undefined);
  two.tell('bye');
  assert.equal(all[0].closed, true);
  const next = join();
  await soon();
  assert.equal(all.length, 2);
  assert.equal(latest().query.get('last_event_id'), '100-0');
  assert.deepEqual(next.of('ready'), []);
  assert.deepEqual(next.of('state').map(({ state }) => state), ['connecting']);
  next.port.onclose();
  assert.equal(latest().closed, true);
});

test('a tab that left is told nothing more', async () => {
  const { join, latest, close } = await begin();
  const one = join();
  join();
  one.bye();
  const before = one.said.length;
  latest().ready();
  await soon();
  assert.equal(one.said.length, before);
  close();
});

test('offline, online and look are passed on, and look is answered', async () => {
  const { join, latest, all, close } = await begin();
  const tab = join();
  latest().ready();
  tab.tell('online', false);
  await soon();
  assert.equal(tab.of('state').at(-1).state, 'offline');
  tab.tell('online', true);
  assert.equal(all.length, 2);
  tab.tell('look');
  assert.equal(tab.of('here').length, 1);
  const off = join({ online: false });
  await soon();
  assert.equal(off.of('state').at(-1).state, 'offline');
  close();
});

test('rooms that are refused are told', async () => {
  const { join, latest, close } = await begin();
  const tab = join();
  latest().ready();
  tab.tell('rooms', ['lobby', 'x']);
  latest().give('busy', { reason: 'rooms' });
  await soon();
  assert.deepEqual(tab.of('roomsRefused').map(({ rooms, why }) => [rooms, why]), [[['x'], 'rooms']]);
  close();
});

test('what is not known, or comes before hello, is ignored', async () => {
  const { join, close } = await begin();
  const tab = join();
  tab.tell('constructor', 1);
  tab.tell('nonsense', 1);
  close();
  const { attach } = await import(`../../www/worker.js?${count}x`);
  const port = { addEventListener() {}, postMessage() {} };
  const bye = attach(port);
  port.onmessage({ data: ['send', entry('k')] });
  port.onmessage({ data: ['look'] });
  bye();
  await settled();
});
