// Unit tests of www/outbox.js: what is posted, when, and how often.
//
//   node --experimental-default-type=module --test test/page/outbox.mjs

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makeClock, makeFetch, settled } from './lib/fakes.mjs';
import { createOutbox } from '../../www/outbox.js';

// Makes an outbox, and records what it says.
function begin(options = {}) {
  const clock = makeClock();
  const { fetch, requests, latest } = makeFetch();
  const said = { changes: [], sent: [], asked: [] };
  const outbox = createOutbox({
    clock,
    fetch,
    onChange: (entries) => said.changes.push(entries),
    onSent: (sent) => said.sent.push(sent),
    on401: (detail) => said.asked.push(detail),
    ...options,
  });
  const write = (message, given) => outbox.send({ room: 'lobby', name: 'ann', message }, given);
  const states = () => outbox.entries().map(({ message, state }) => `${message} ${state}`);
  const posted = () => requests.map((request) => JSON.parse(request.body).message);
  const ok = (id = '1-0') => latest().answer(201, { id, room: 'lobby', time: 'T', online: 1 });
  return { outbox, clock, requests, latest, said, write, states, posted, ok };
}

// ---- The request ----

test('a message is posted with its key, its token, and its fields in a fixed order', () => {
  const { outbox, latest } = begin({ base: 'http://a.example/', token: 't.o.k' });
  outbox.send({ message: 'hi', name: 'ann', room: 'dev' }, { key: 'k1' });
  assert.equal(latest().url, 'http://a.example/messages');
  assert.equal(latest().method, 'POST');
  assert.equal(latest().keepalive, true);
  assert.equal(latest().body, '{"room":"dev","name":"ann","message":"hi"}');
  assert.deepEqual(latest().headers, {
    'Content-Type': 'application/json', 'Idempotency-Key': 'k1', Authorization: 'Bearer t.o.k' });
});

test('without a name and a token they are left out', () => {
  const { outbox, latest } = begin();
  outbox.send({ room: 'lobby', name: '', message: 'hi' });
  assert.equal(latest().url, 'messages');
  assert.equal(latest().body, '{"room":"lobby","message":"hi"}');
  assert.equal(latest().headers.Authorization, undefined);
});

test('each message gets a key of 16 random bytes', () => {
  const { write } = begin();
  const keys = Array.from({ length: 50 }, (_, i) => write(`${i}`).key);
  assert.ok(keys.every((key) => /^[0-9a-f]{32}$/.test(key)));
  assert.equal(new Set(keys).size, 50);
});

test('an entry tells what it is', () => {
  const { outbox, clock, write } = begin();
  const entry = { room: 'lobby', name: 'ann', message: 'one', why: '', status: 0, detail: '', retryAt: 0 };
  assert.deepEqual(write('one', { key: 'k1' }),
    { ...entry, key: 'k1', at: clock.now(), state: 'sending' });
  assert.deepEqual(write('two', { key: 'k2', at: 5 }),
    { ...entry, message: 'two', key: 'k2', at: 5, state: 'waiting' });
  outbox.entries()[0].state = 'spoilt';
  assert.equal(outbox.entries()[0].state, 'sending');
});

// ---- In order, once ----

test('there is one POST at a time, in the order of writing', async () => {
  const { requests, write, ok, states, posted, said } = begin();
  for (const text of ['a', 'b', 'c']) write(text);
  assert.deepEqual(states(), ['a sending', 'b waiting', 'c waiting']);
  for (let i = 1; i <= 3; i += 1) {
    assert.equal(requests.length, i);
    assert.equal(requests.filter((request) => request.open).length, 1);
    await ok(`${i}-0`);
  }
  assert.deepEqual(posted(), ['a', 'b', 'c']);
  assert.deepEqual(states(), []);
  assert.deepEqual(said.sent.map(({ id, message }) => [id, message]), [['1-0', 'a'], ['2-0', 'b'], ['3-0', 'c']]);
});

test('201 and 200 are told once, with what was sent', async () => {
  for (const status of [200, 201]) {
    const { latest, write, said, states } = begin();
    write('hi', { key: 'k1' });
    await latest().answer(status, { id: '7-0', room: 'lobby', time: 'T', online: 1 });
    assert.deepEqual(said.sent, [
      { key: 'k1', id: '7-0', room: 'lobby', time: 'T', name: 'ann', message: 'hi' }]);
    assert.deepEqual(states(), []);
    assert.deepEqual(said.changes.at(-1), []);
  }
});

test('the same key and the same body go out again after a failure', async () => {
  const { requests, latest, write, clock, ok } = begin();
  write('hi');
  await latest().fail();
  await clock.pass(1000);
  assert.equal(requests.length, 2);
  assert.equal(requests[0].body, requests[1].body);
  assert.deepEqual(requests[0].headers, requests[1].headers);
  await ok();
});

test('an entry that is handed over twice is posted once', async () => {
  const { outbox, requests, write, ok, said } = begin();
  write('hi', { key: 'k1' });
  write('hi', { key: 'k1' });
  assert.equal(outbox.entries().length, 1);
  await ok('7-0');
  const again = write('hi', { key: 'k1' });
  assert.deepEqual([again.state, again.id, again.key], ['sent', '7-0', 'k1']);
  await settled();
  assert.equal(requests.length, 1);
  assert.equal(said.sent.length, 1);
});

test('the last 500 keys are remembered', async () => {
  const { write, ok, requests } = begin();
  for (let i = 0; i < 501; i += 1) {
    write('hi', { key: `k${i}` });
    await ok(`${i}-0`);
  }
  assert.equal(write('hi', { key: 'k1' }).state, 'sent');
  assert.equal(write('hi', { key: 'k0' }).state, 'sending');
  assert.equal(requests.length, 502);
});

// ---- The stream is faster ----

test('settle() is the same as an answer, and the answer that comes later is not told', async () => {
  const { outbox, latest, write, said, states } = begin();
  write('hi', { key: 'k1' });
  assert.equal(outbox.settle('k1', '7-0', 'T'), true);
  assert.deepEqual(said.sent, [
    { key: 'k1', id: '7-0', room: 'lobby', time: 'T', name: 'ann', message: 'hi' }]);
  assert.deepEqual(states(), []);
  await latest().answer(201, { id: '7-0', time: 'T' });
  assert.equal(said.sent.length, 1);
});

test('settle() of a key that is not ours, or is settled, does nothing', () => {
  const { outbox, write, said } = begin();
  assert.equal(outbox.settle('strange', '7-0'), false);
  write('hi', { key: 'k1' });
  outbox.settle('k1', '7-0');
  assert.equal(outbox.settle('k1', '7-0'), false);
  assert.equal(said.sent.length, 1);
});

test('after settle() the next POST waits 2 s at most for the answer', async () => {
  const { outbox, requests, write, clock, posted } = begin();
  write('a', { key: 'k1' });
  write('b');
  outbox.settle('k1', '7-0');
  assert.equal(requests.length, 1);
  await clock.pass(1999);
  assert.equal(requests.length, 1);
  await clock.pass(1);
  assert.equal(requests[0].open, false);
  assert.deepEqual(posted(), ['a', 'b']);
});

test('an error answer to a settled entry is no failure', async () => {
  const { outbox, latest, write, states, posted } = begin();
  write('a', { key: 'k1' });
  write('b');
  outbox.settle('k1', '7-0');
  await latest().answer(503, {});
  assert.deepEqual(states(), ['b sending']);
  assert.deepEqual(posted(), ['a', 'b']);
});

test('settle() of the entry that waits lets the next go on at once', async () => {
  const { outbox, latest, write, posted } = begin();
  write('a', { key: 'k1' });
  write('b');
  await latest().fail();
  outbox.settle('k1', '7-0');
  assert.deepEqual(posted(), ['a', 'b']);
});

test('a failed entry that the stream brings was sent', async () => {
  const { outbox, latest, write, said, states } = begin();
  write('a', { key: 'k1' });
  await latest().answer(422, {});
  outbox.settle('k1', '7-0');
  assert.deepEqual(states(), []);
  assert.equal(said.sent.length, 1);
});

// ---- Later ----

test('our own wait doubles from 1 s to 30 s, and holds up those behind', async () => {
  const { outbox, clock, requests, latest, write, posted } = begin();
  write('a');
  write('b');
  const waits = [];
  for (let i = 0; i < 7; i += 1) {
    await latest().fail();
    const [entry] = outbox.entries();
    assert.deepEqual([entry.state, entry.why], ['waiting', 'unreachable']);
    waits.push(entry.retryAt - clock.now());
    await clock.pass(waits.at(-1) - 1);
    assert.equal(requests.length, i + 1);
    await clock.pass(1);
    assert.equal(requests.length, i + 2);
  }
  assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
  assert.ok(posted().every((text) => text === 'a'));
});

test('a random part shortens the wait by up to a quarter', async () => {
  const clock = { ...makeClock(), random: () => 0.999 };
  const { outbox, latest, write } = begin({ clock });
  write('a');
  await latest().fail();
  const ms = outbox.entries()[0].retryAt - clock.now();
  assert.ok(ms >= 750 && ms < 760, `${ms}`);
});

test('success resets the wait', async () => {
  const { outbox, clock, latest, write, ok } = begin();
  write('a');
  for (const ms of [1000, 2000, 4000]) {
    await latest().fail();
    await clock.pass(ms);
  }
  await ok();
  write('b');
  await latest().fail();
  assert.equal(outbox.entries()[0].retryAt - clock.now(), 1000);
});

test('5xx, 408, 425 and 429 are tried again, and tell why', async () => {
  for (const status of [408, 425, 429, 500, 502, 503, 507]) {
    const { outbox, clock, requests, latest, write, ok, said } = begin();
    write('a');
    await latest().answer(status, { detail: 'Later.' });
    const { state, why, detail, status: told } = outbox.entries()[0];
    assert.deepEqual([state, why, told, detail], ['waiting', 'busy', status, 'Later.']);
    await clock.pass(1000);
    assert.equal(requests.length, 2);
    await ok();
    assert.equal(said.sent.length, 1);
    assert.deepEqual(said.asked, []);
  }
});

test('Retry-After is obeyed: seconds, a date, and a date by the clock of the server', async () => {
  const date = (ms) => new Date(ms).toUTCString();
  const clock = makeClock();
  for (const [headers, ms] of [
    [{ 'Retry-After': '7' }, 7000],
    [{ 'Retry-After': ' 120 ' }, 120_000],
    [{ 'Retry-After': date(clock.now() + 90_000) }, 90_000],
    [{ 'Retry-After': date(clock.now() + 90_000), Date: date(clock.now() + 60_000) }, 30_000],
    [{ 'Retry-After': date(clock.now() - 90_000) }, 1000],
    [{ 'Retry-After': '0' }, 1000],
    [{ 'Retry-After': 'soon' }, 1000],
    [{ 'Retry-After': '-5' }, 1000],
    [{ 'Retry-After': '99999999999' }, 86_400_000],
    [{}, 1000],
  ]) {
    const { outbox, requests, latest, write, clock: mine } = begin();
    write('a');
    await latest().answer(429, {}, headers);
    assert.equal(outbox.entries()[0].retryAt - mine.now(), ms, JSON.stringify(headers));
    await mine.pass(ms - 1);
    assert.equal(requests.length, 1);
    await mine.pass(1);
    assert.equal(requests.length, 2);
  }
});

test('wake() ends our own wait and resets it, but never a Retry-After', async () => {
  const own = begin();
  own.write('a');
  for (const ms of [1000, 2000]) {
    await own.latest().fail();
    await own.clock.pass(ms);
  }
  await own.latest().fail();
  own.outbox.wake();
  assert.equal(own.requests.length, 4);
  await own.latest().fail();
  assert.equal(own.outbox.entries()[0].retryAt - own.clock.now(), 1000);

  const asked = begin();
  asked.write('a');
  await asked.latest().answer(429, {}, { 'Retry-After': '60' });
  asked.outbox.wake();
  asked.write('b');
  await asked.clock.pass(59_000);
  asked.outbox.wake();
  assert.equal(asked.requests.length, 1);
  asked.clock.sleep(5000);
  asked.outbox.wake();
  assert.equal(asked.requests.length, 2);
});

test('wake() without a wait posts nothing twice', () => {
  const { outbox, requests, write } = begin();
  outbox.wake();
  write('a');
  outbox.wake();
  assert.equal(requests.length, 1);
});

test('no timer is left when all is sent', async () => {
  const { outbox, latest, write, ok, clock } = begin();
  write('a', { key: 'k1' });
  outbox.settle('k1', '1-0');
  await ok();
  write('b');
  await latest().fail();
  outbox.wake();
  await ok();
  assert.equal(clock.timers(), 0);
});

test('a POST without an answer is given up after 20 s, and repeated', async () => {
  const { outbox, clock, requests, write } = begin();
  write('a');
  await clock.pass(19_999);
  assert.equal(requests[0].open, true);
  await clock.pass(1);
  assert.equal(requests[0].open, false);
  assert.equal(outbox.entries()[0].why, 'silent');
  await clock.pass(1000);
  assert.equal(requests.length, 2);
  assert.equal(requests[1].headers['Idempotency-Key'], requests[0].headers['Idempotency-Key']);
});

test('half an answer, or the page of something in between, is none', async () => {
  for (const body of ['{"id":"7-', '<html>log in</html>', '{}', 'null', '[]', '{"id":7}']) {
    const { latest, write, states, said, clock, requests } = begin();
    write('a');
    await latest().answer(200, body);
    assert.deepEqual(states(), ['a waiting']);
    assert.deepEqual(said.sent, []);
    await clock.pass(1000);
    assert.equal(requests.length, 2);
  }
});

// ---- Never ----

test('another 4xx is a failure that tells why, and holds up nothing', async () => {
  for (const status of [400, 403, 404, 413, 415, 422, 431]) {
    const { outbox, latest, write, states, posted, clock, said } = begin();
    write('a');
    write('b');
    await latest().answer(status, { detail: 'Too long.' });
    const { state, why, status: told, detail } = outbox.entries()[0];
    assert.deepEqual([state, why, told, detail], ['failed', 'refused', status, 'Too long.']);
    assert.deepEqual(states(), ['a failed', 'b sending']);
    await latest().answer(201, { id: '1-0' });
    await clock.pass(1_000_000);
    assert.deepEqual(posted(), ['a', 'b']);
    assert.deepEqual(said.sent.map((sent) => sent.message), ['b']);
    assert.deepEqual(said.asked, []);
  }
});

test('a failed entry is sent again by retry(), with its key', async () => {
  const { outbox, requests, latest, write, states, ok } = begin();
  const { key } = write('a');
  await latest().answer(403, {});
  outbox.retry(key);
  assert.deepEqual(states(), ['a sending']);
  assert.equal(requests[1].headers['Idempotency-Key'], key);
  assert.deepEqual(outbox.entries()[0].why, '');
  await ok();
  assert.deepEqual(states(), []);
});

test('a failed entry that is sent again waits for its turn, and that is told', async () => {
  const { outbox, latest, write, states, said, requests } = begin();
  const { key } = write('a');
  await latest().answer(403, {});
  write('b');
  outbox.retry(key);
  assert.equal(requests.length, 2);
  assert.deepEqual(states(), ['a waiting', 'b sending']);
  assert.deepEqual(said.changes.at(-1).map(({ state }) => state), ['waiting', 'sending']);
});

test('a failed entry is forgotten by drop(); others are not', async () => {
  const { outbox, latest, write, states } = begin();
  const { key } = write('a');
  outbox.drop(key);
  outbox.retry(key);
  outbox.retry('strange');
  outbox.drop('strange');
  assert.deepEqual(states(), ['a sending']);
  await latest().answer(403, {});
  outbox.drop(key);
  assert.deepEqual(states(), []);
});

test('a failed entry from storage stays failed', async () => {
  const { outbox, requests, write, states } = begin();
  write('a', { key: 'k1', state: 'failed', why: 'refused', status: 413, detail: 'Too long.' });
  await settled();
  assert.equal(requests.length, 0);
  assert.deepEqual(states(), ['a failed']);
  assert.deepEqual([outbox.entries()[0].status, outbox.entries()[0].detail], [413, 'Too long.']);
  write('b', { key: 'k2', state: 'sending', why: 'busy', status: 503 });
  assert.deepEqual(states(), ['a failed', 'b sending']);
  assert.equal(outbox.entries()[1].status, 0);
});

// ---- The token ----

test('a 401 asks for a token and waits without a timer; wake() tries again', async () => {
  const { outbox, clock, requests, latest, write, said, ok } = begin({ token: 'old' });
  write('a');
  write('b');
  await latest().answer(401, { detail: 'The token has expired.' });
  assert.deepEqual(said.asked, ['The token has expired.']);
  const { state, why, status, retryAt } = outbox.entries()[0];
  assert.deepEqual([state, why, status, retryAt], ['waiting', 'token', 401, 0]);
  await clock.pass(1_000_000);
  assert.equal(requests.length, 1);
  outbox.wake();
  assert.equal(requests.length, 2);
  await ok();
  assert.equal(requests.length, 3);
});

// ---- The end ----

test('a closed outbox posts nothing any more, but hears the answer that is on its way', async () => {
  const { outbox, requests, latest, write, said, clock } = begin();
  write('a');
  write('b');
  outbox.close();
  await latest().answer(201, { id: '1-0', time: 'T' });
  await clock.pass(1_000_000);
  assert.equal(requests.length, 1);
  assert.deepEqual(said.sent.map((sent) => sent.message), ['a']);
});

test('a closed outbox leaves no timer', async () => {
  const { outbox, latest, write, clock } = begin();
  write('a');
  await latest().fail();
  outbox.close();
  assert.equal(clock.timers(), 0);
});

test('each change is told', async () => {
  const { outbox, latest, write, said } = begin();
  const { key } = write('a');
  await latest().answer(403, {});
  outbox.drop(key);
  assert.deepEqual(said.changes.map((entries) => entries.map((entry) => entry.state)),
    [['waiting'], ['sending'], ['failed'], []]);
});
