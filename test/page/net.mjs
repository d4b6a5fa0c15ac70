// Unit tests of www/net.js: how a tab joins a worker, and what it does without one.
//
//   node --experimental-default-type=module --test test/page/net.mjs

import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { makeClock, makeEventSource, makeFetch, settled } from './lib/fakes.mjs';

let count = 0;
const open = [];
const set = (name, value) =>
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });

// Makes the parts of a browser that net.js uses, and a tab in it. `workers` are the SharedWorkers
// that the tab has made; the messages that it sent to them are in `told`. All tests share one
// worker.js, which begins anew for each token.
async function begin({ options = {}, broken = false, noWorker = false, trusted = false } = {}) {
  const clock = makeClock();
  const sources = makeEventSource();
  const fetches = makeFetch();
  const workers = [];
  const policies = [];
  set('setTimeout', clock.setTimeout);
  set('clearTimeout', clock.clearTimeout);
  set('setInterval', (run, ms) => {
    const again = () => { run(); timer.id = clock.setTimeout(again, ms); };
    const timer = { id: clock.setTimeout(again, ms) };
    return timer;
  });
  set('clearInterval', (timer) => clock.clearTimeout(timer.id));
  set('EventSource', sources.EventSource);
  set('fetch', fetches.fetch);
  set('window', new EventTarget());
  set('document', Object.assign(new EventTarget(), { hidden: false }));
  set('navigator', { onLine: true });
  set('trustedTypes', trusted ? {
    createPolicy(name, rules) {
      policies.push({ name, rules });
      return { createScriptURL: (text) => ({ trusted: rules.createScriptURL(text) }) };
    },
  } : undefined);
  set('SharedWorker', noWorker ? undefined : class {
    constructor(address, { name, type }) {
      if (broken) throw new Error('not allowed');
      const told = [];
      Object.assign(this, { address, name, type, told, closed: false });
      this.port = {
        postMessage: (frame) => told.push(structuredClone(frame)),
        close: () => { this.closed = true; },
      };
      // What a test does as the worker.
      this.say = (...frames) => this.port.onmessage({ data: frames });
      this.of = (kind) => told.filter(([other]) => other === kind).map(([, value]) => value);
      workers.push(this);
    }
  });
  count += 1;
  const { createNet, VERSION } = await import(`../../www/net.js?${count}`);
  const got = [];
  const kinds = ['items', 'gap', 'presence', 'ready', 'state', 'outbox', 'sent', 'unauthorized', 'roomsRefused'];
  const handlers = Object.fromEntries(kinds.map((kind) => [kind, (value) => got.push([kind, value])]));
  const token = `t${count}`;
  const net = createNet({ token, name: 'ann', rooms: ['lobby'], events: ['news'], ...options }, handlers);
  open.push(net);
  const of = (kind) => got.filter(([other]) => other === kind).map(([, value]) => value);
  return { net, token, clock, workers, policies, got, of, VERSION, ...sources, fetches };
}

const entry = (key, more) => ({ key, room: 'lobby', name: 'ann', message: key, at: 1, tab: 'x', ...more });
const happens = (target, event, more = {}) => target.dispatchEvent(Object.assign(new Event(event), more));

// Waits for what comes by import() or through a MessageChannel.
async function until(condition) {
  const end = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`never came: ${condition}`);
    await settled();
  }
}

afterEach(() => open.splice(0).forEach((net) => net.close()));

test('a tab joins the worker of its version and token, and says hello', async () => {
  const { workers, VERSION } = await begin({ options: { token: 't', entries: [entry('k1')] } });
  assert.equal(workers.length, 1);
  assert.deepEqual([workers[0].address, workers[0].type, workers[0].name],
    ['worker.js', 'module', `ssechat ${VERSION} t`]);
  assert.deepEqual(workers[0].told, [['hello', {
    token: 't', name: 'ann', rooms: ['lobby'], events: ['news'], entries: [entry('k1')], online: true }]]);
});

test('the address of the worker goes through the policy, which accepts no other', async () => {
  const { workers, policies } = await begin({ trusted: true });
  assert.deepEqual(workers[0].address, { trusted: 'worker.js' });
  assert.deepEqual(policies.map(({ name }) => name), ['worker']);
  for (const other of ['', './worker.js', 'worker.js?x', 'http://a.example/worker.js']) {
    assert.throws(() => policies[0].rules.createScriptURL(other), TypeError);
  }
});

test('what is said goes to the worker', async () => {
  const { net, workers } = await begin();
  net.send(entry('k1'));
  net.again('k1');
  net.drop('k1');
  net.retry();
  net.setName('eve');
  net.setRooms(['a']);
  net.listen(['score']);
  assert.deepEqual(workers[0].told.slice(1), [
    ['send', entry('k1')], ['again', 'k1'], ['drop', 'k1'], ['retry', undefined], ['name', 'eve'],
    ['rooms', ['a']], ['listen', ['score']]]);
});

test('what comes goes to the handlers in order, items that follow each other together', async () => {
  const { workers, got } = await begin();
  workers[0].say(['state', 1], ['item', 'a'], ['item', 'b'], ['sent', { key: 'k' }], ['item', 'c'], ['here']);
  workers[0].say(['gap', 2], ['presence', 3], ['ready', 4], ['outbox', []], ['unauthorized', 5], ['roomsRefused', 6]);
  workers[0].say(['item', 'd']);
  assert.deepEqual(got, [
    ['state', 1], ['items', ['a', 'b']], ['sent', { key: 'k' }], ['items', ['c']],
    ['gap', 2], ['presence', 3], ['ready', 4], ['outbox', []], ['unauthorized', 5], ['roomsRefused', 6],
    ['items', ['d']]]);
});

test('the browser tells the worker: online, offline, visible, left, back', async () => {
  const { workers } = await begin({ options: { refresh: () => ({ name: 'eve', rooms: ['b'] }) } });
  const [worker] = workers;
  worker.say(['here']);
  happens(window, 'offline');
  happens(window, 'online');
  document.hidden = true;
  happens(document, 'visibilitychange');
  assert.deepEqual(worker.told.slice(1), [['online', false], ['online', true]]);
  document.hidden = false;
  happens(document, 'visibilitychange');
  assert.deepEqual(worker.told.at(-1), ['look', undefined]);
  happens(window, 'pagehide');
  assert.deepEqual(worker.told.at(-1), ['bye', undefined]);
  happens(window, 'pageshow', { persisted: false });
  assert.equal(worker.of('hello').length, 1);
  happens(window, 'pageshow', { persisted: true });
  const { name, rooms } = worker.of('hello')[1];
  assert.deepEqual([name, rooms], ['eve', ['b']]);
});

test('a tab that has left waits for no answer', async () => {
  const { workers, clock } = await begin();
  document.hidden = true;
  happens(window, 'pagehide');
  await clock.pass(100_000);
  assert.equal(workers.length, 1);
  assert.equal(workers[0].closed, false);
});

test('a visible tab looks every 30 s', async () => {
  const { workers, clock } = await begin();
  const [worker] = workers;
  worker.say(['here']);
  for (let i = 0; i < 3; i += 1) {
    await clock.pass(30_000);
    worker.say(['here']);
  }
  assert.equal(worker.of('look').length, 3);
  document.hidden = true;
  await clock.pass(300_000);
  assert.equal(worker.of('look').length, 3);
  assert.equal(workers.length, 1);
});

// ---- Without a worker ----

for (const [what, given, fail] of [
  ['no SharedWorker', { noWorker: true }],
  ['a SharedWorker that throws', { broken: true }],
  ['a worker that cannot be loaded', {}, ({ workers }) => workers[0].onerror()],
  ['a worker that never answers', {}, ({ clock }) => clock.pass(10_000)],
]) {
  test(`${what}: the page has the stream and the outbox`, async () => {
    const page = await begin(given);
    const { net, all, latest, fetches, of, workers } = page;
    net.send(entry('k1'));
    net.setRooms(['lobby', 'dev']);
    await fail?.(page);
    await until(() => fetches.requests.length && all.length);
    assert.ok(workers.every((worker) => worker.closed));
    assert.equal(all.filter((source) => !source.closed).length, 1);
    assert.deepEqual(latest().query.getAll('room'), ['lobby', 'dev']);
    assert.equal(fetches.requests.length, 1);
    assert.equal(fetches.latest().headers['Idempotency-Key'], 'k1');
    latest().ready('100-0');
    await fetches.latest().answer(201, { id: '101-0', time: 't' });
    await page.clock.pass(10);
    await until(() => of('sent').length);
    assert.equal(of('state').at(-1).state, 'connected');
    assert.deepEqual(of('sent').map(({ key, id }) => [key, id]), [['k1', '101-0']]);
    net.close();
    assert.equal(latest().closed, true);   // at once
  });
}

test('a worker that was given up is not heard any more', async () => {
  const { workers, of, all } = await begin();
  workers[0].onerror();
  workers[0].say(['state', 'late']);
  assert.deepEqual(of('state'), []);
  await until(() => all.length === 1);
});

test('a page without a worker closes its stream before it is cached, and resumes', async () => {
  const { all, latest } = await begin({ noWorker: true });
  await until(() => all.length === 1);
  latest().ready('100-0');
  happens(window, 'pagehide');
  assert.equal(latest().closed, true);   // at once: a cached page reads no messages
  happens(window, 'pageshow', { persisted: true });
  await until(() => all.length === 2);
  assert.equal(latest().query.get('last_event_id'), '100-0');
});

test('after a worker has died a new one gets all that was said and not sent', async () => {
  const entries = ['k1', 'k2', 'k5'].map((key) => entry(key));
  const { net, token, workers, clock, all } = await begin({ options: { entries } });
  workers[0].say(['here']);
  net.send(entry('k3'));
  net.send(entry('k4'));
  workers[0].say(['sent', { key: 'k1' }], ['outbox', [entry('k3', { state: 'failed', status: 413 }), entry('other')]],
    ['dropped', { key: 'k5' }]);
  net.drop('k4');
  net.setName('eve');
  net.setRooms(['a', 'b']);
  net.listen(['score']);
  happens(document, 'visibilitychange');
  await clock.pass(9999);
  assert.equal(workers.length, 1);
  await clock.pass(1);
  assert.equal(workers.length, 2);
  assert.equal(workers[0].closed, true);
  assert.deepEqual(workers[1].of('hello'), [{
    token, name: 'eve', rooms: ['a', 'b'], events: ['news', 'score'], online: true,
    entries: [entry('k2'), entry('k3', { state: 'failed', status: 413 })] }]);
  await clock.pass(10_000);
  await until(() => all.length === 1);
  assert.equal(workers.length, 2);   // that one was silent too, so the stream is in the page
});

test('another token has another worker, with the entries of that user', async () => {
  const { net, workers, VERSION } = await begin({ options: { token: 'old', entries: [entry('k1')] } });
  net.setToken('new', [entry('k2')]);
  assert.deepEqual(workers[0].told.at(-1), ['bye', undefined]);
  assert.equal(workers[0].closed, true);
  assert.equal(workers[1].name, `ssechat ${VERSION} new`);
  const { token, entries } = workers[1].of('hello')[0];
  assert.deepEqual([token, entries], ['new', [entry('k2')]]);
});

test('another token in the page begins anew', async () => {
  const { net, token, all, latest, fetches } = await begin({ noWorker: true });
  await until(() => all.length === 1);
  net.setToken(`${token} new`, [entry('k2')]);
  await until(() => all.length === 2);
  assert.equal(all[0].closed, true);
  assert.equal(latest().query.get('access_token'), `${token} new`);
  assert.equal(fetches.latest().headers.Authorization, `Bearer ${token} new`);
});

test('a closed tab says bye, and nothing more', async () => {
  const { net, workers, all, clock } = await begin();
  net.close();
  assert.deepEqual(workers[0].told.at(-1), ['bye', undefined]);
  const before = workers[0].told.length;
  happens(window, 'online');
  happens(document, 'visibilitychange');
  await clock.pass(100_000);
  net.retry();
  await settled();
  assert.equal(workers[0].told.length, before);
  assert.equal(workers.length + all.length, 1);
  assert.equal(clock.timers(), 0);
});
